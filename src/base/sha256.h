/* SHA-256 of a stream of bytes, computed by OpenSSL. */
#ifndef HB_BASE_SHA256_H
#define HB_BASE_SHA256_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

typedef struct hb_sha256 {
    void *context;           /* EVP_MD_CTX */
    const atomic_bool *stop; /* NULL unless the caller sets it after hb_sha256_init */
} hb_sha256;

bool hb_sha256_init(hb_sha256 *hash); /* false when memory runs out; there is then nothing to free */
void hb_sha256_add(hb_sha256 *hash, const void *bytes, size_t length);
/* Adds all bytes of a regular file; other kinds of file are refused. HB_ERR_IO, too, for a file that
 * changes meanwhile; HB_ERR_CANCELLED if *hash->stop becomes true. */
hb_status hb_sha256_add_file(hb_sha256 *hash, const char *path, hb_error *err);
void hb_sha256_finish(hb_sha256 *hash, char hex[65]); /* lower-case hexadecimal; frees the hash */
void hb_sha256_free(hb_sha256 *hash);                 /* instead of hb_sha256_finish */

#endif
