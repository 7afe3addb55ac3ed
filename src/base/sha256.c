#include "base/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

bool hb_sha256_init(hb_sha256 *hash)
{
    hash->context = EVP_MD_CTX_new();
    if (!hash->context) return false;
    if (EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) == 1) return true;
    hb_sha256_free(hash);
    return false;
}

void hb_sha256_add(hb_sha256 *hash, const void *bytes, size_t length)
{
    EVP_DigestUpdate(hash->context, bytes, length);
}

void hb_sha256_finish(hb_sha256 *hash, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(hash->context, digest, &length);
    for (unsigned i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    hb_sha256_free(hash);
}

void hb_sha256_free(hb_sha256 *hash)
{
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
}

hb_status hb_sha256_add_file(hb_sha256 *hash, const char *path, hb_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    char block[1 << 16];
    size_t n;
    while ((n = fread(block, 1, sizeof block, file)) > 0) hb_sha256_add(hash, block, n);
    bool failed = ferror(file) != 0;
    int reason = errno;
    fclose(file);
    return failed ? hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(reason)) : HB_OK;
}

hb_status hb_file_sha256(const char *path, char hex[65], hb_error *err)
{
    hb_sha256 hash;
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    hb_status status = hb_sha256_add_file(&hash, path, err);
    if (status) hb_sha256_free(&hash);
    else hb_sha256_finish(&hash, hex);
    return status;
}
