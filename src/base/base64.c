#include "base/base64.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL's functions take lengths of type int, so long texts are divided. */
enum { PART = 3 << 20, PART_TEXT = 4 << 20 };

char *hb_base64_encode(const uint8_t *bytes, size_t n)
{
    char *text = calloc(n / 3 + 2, 4), *out = text;
    for (size_t at = 0; text && at < n; at += PART)
        out += EVP_EncodeBlock((unsigned char *)out, bytes + at, n - at < PART ? (int)(n - at) : PART);
    return text;
}

/* Whether the text is whole groups of four characters, with padding at its end only. */
static bool is_base64(const char *text, size_t length, size_t padding)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return length % 4 == 0 && strspn(text, alphabet) == length - padding;
}

hb_status hb_base64_decode(const char *text, uint8_t **bytes, size_t *n, hb_error *err)
{
    size_t length = strlen(text), count = 0;
    size_t padding = length > 2 ? (text[length - 1] == '=') + (text[length - 2] == '=') : 0;
    if (!is_base64(text, length, padding)) return hb_fail(err, HB_ERR_FORMAT, "not base64");
    uint8_t *out = malloc(length / 4 * 3 + 1);
    if (!out) return hb_fail_memory(err);
    for (size_t at = 0; at < length; at += PART_TEXT) {
        size_t part = length - at < PART_TEXT ? length - at : PART_TEXT;
        int size = EVP_DecodeBlock(out + count, (const unsigned char *)text + at, (int)part);
        if (size < 0) {
            free(out);
            return hb_fail(err, HB_ERR_FORMAT, "not base64");
        }
        count += (size_t)size;
    }
    *bytes = out;
    *n = count - padding;
    return HB_OK;
}

char *hb_base64_of_floats(const float *values, size_t n)
{
    uint8_t *bytes = malloc(4 * n + 1);
    for (size_t i = 0; bytes && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int b = 0; b < 4; b++) bytes[4 * i + (size_t)b] = (uint8_t)(bits >> 8 * b);
    }
    char *text = bytes ? hb_base64_encode(bytes, 4 * n) : NULL;
    free(bytes);
    return text;
}

hb_status hb_base64_floats(const char *text, float **values, size_t *n, hb_error *err)
{
    uint8_t *bytes;
    size_t length;
    hb_status status = hb_base64_decode(text, &bytes, &length, err);
    if (status) return status;
    float *out = length % 4 ? NULL : malloc(length + 1);
    for (size_t i = 0; out && i < length / 4; i++) {
        const uint8_t *b = bytes + 4 * i;
        uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&out[i], &bits, sizeof bits);
    }
    free(bytes);
    if (length % 4) return hb_fail(err, HB_ERR_FORMAT, "not base64 of floats of 4 bytes");
    if (!out) return hb_fail_memory(err);
    *values = out;
    *n = length / 4;
    return HB_OK;
}
