#include "base/sha256.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"

/* OpenSSL 3 crashes in its first use if memory runs out while it sets up its default context. This sets
 * it up and says whether that succeeded. */
static bool has_openssl(void)
{
    return OSSL_LIB_CTX_get0_global_default();
}

bool hb_sha256_init(hb_sha256 *hash)
{
    *hash = (hb_sha256){0};
    if (!has_openssl()) return false;
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

static hb_status add_bytes(hb_sha256 *hash, int fd, const char *path, hb_error *err)
{
    char block[1 << 16];
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0) hb_sha256_add(hash, block, (size_t)n);
        if (hash->stop && *hash->stop) return hb_fail(err, HB_ERR_CANCELLED, "%s: stopped", path);
    }
    return n < 0 ? hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno)) : HB_OK;
}

/* Adds a file, and checks that it stays the same: otherwise the hash would be that of no file. */
static hb_status add_unchanged(hb_sha256 *hash, int fd, const char *path, hb_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    const hb_stamp before = hb_stamp_of(&st);
    hb_status status = add_bytes(hash, fd, path, err);
    if (status) return status;
    if (fstat(fd, &st) != 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    const hb_stamp after = hb_stamp_of(&st);
    if (hb_stamp_same(&before, &after)) return HB_OK;
    return hb_fail(err, HB_ERR_IO, "%s: changed while it was read", path);
}

hb_status hb_sha256_add_file(hb_sha256 *hash, const char *path, hb_error *err)
{
    int fd;
    hb_status status = hb_open_regular(path, &fd, err);
    if (status) return status;
    status = add_unchanged(hash, fd, path, err);
    close(fd);
    return status;
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
