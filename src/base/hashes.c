#include "base/hashes.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Three hashes fill 32 characters of base64. */
enum { GROUP = 3, GROUP_BYTES = 24, GROUP_TEXT = 32 };

uint64_t hb_hash_of_sha256(const char *hex)
{
    uint64_t hash = 0;
    for (int i = 0; i < 16 && hex[i]; i++)
        hash = hash << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return hash;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

size_t hb_hashes_sort(uint64_t *hashes, size_t n)
{
    size_t kept = 0;
    qsort(hashes, n, sizeof *hashes, compare);
    for (size_t i = 0; i < n; i++)
        if (!kept || hashes[i] != hashes[kept - 1]) hashes[kept++] = hashes[i];
    return kept;
}

bool hb_hashes_have(const uint64_t *hashes, size_t n, uint64_t hash)
{
    return n && bsearch(&hash, hashes, n, sizeof *hashes, compare) != NULL;
}

char *hb_hashes_encode(const uint64_t *hashes, size_t n)
{
    char *text = calloc(n / GROUP + 2, GROUP_TEXT), *out = text;
    for (size_t i = 0; text && i < n; i += GROUP) {
        unsigned char bytes[GROUP_BYTES];
        int size = 0;
        for (size_t k = i; k < n && k < i + GROUP; k++)
            for (int shift = 56; shift >= 0; shift -= 8)
                bytes[size++] = (unsigned char)(hashes[k] >> shift & 0xFF);
        out += EVP_EncodeBlock((unsigned char *)out, bytes, size);
    }
    return text;
}

/* Decodes up to 32 characters. Returns the number of bytes, -1 for what is not base64. */
static int decode_group(const char *text, size_t length, unsigned char bytes[GROUP_BYTES])
{
    size_t padding = length > 2 ? (text[length - 1] == '=') + (text[length - 2] == '=') : 0;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (length % 4 || strspn(text, alphabet) < length - padding) return -1;
    int size = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
    return size < 0 ? -1 : size - (int)padding;
}

hb_status hb_hashes_decode(const char *text, uint64_t **hashes, size_t *n, hb_error *err)
{
    size_t length = strlen(text), count = 0;
    uint64_t *list = calloc(length / GROUP_TEXT * GROUP + GROUP, sizeof *list);
    if (!list) return hb_fail_memory(err);
    for (size_t at = 0; at < length; at += GROUP_TEXT) {
        unsigned char bytes[GROUP_BYTES];
        size_t part = length - at < GROUP_TEXT ? length - at : GROUP_TEXT;
        int size = decode_group(text + at, part, bytes);
        if (size < 0 || size % 8) {
            free(list);
            return hb_fail(err, HB_ERR_FORMAT, "not base64 of hashes of 8 bytes");
        }
        for (int i = 0; i < size; i++) {
            list[count] = list[count] << 8 | bytes[i];
            count += i % 8 == 7;
        }
    }
    *n = hb_hashes_sort(list, count);
    *hashes = list;
    return HB_OK;
}
