/* SHA-256 as a stream, by OpenSSL. */
#ifndef HB_BASE_SHA256_H
#define HB_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"

typedef struct hb_sha256 {
    void *context; /* EVP_MD_CTX */
} hb_sha256;

bool hb_sha256_init(hb_sha256 *hash); /* false when memory runs out; then nothing is to be freed */
void hb_sha256_add(hb_sha256 *hash, const void *bytes, size_t length);
hb_status hb_sha256_add_file(hb_sha256 *hash, const char *path, hb_error *err);
void hb_sha256_finish(hb_sha256 *hash, char hex[65]); /* lower-case hexadecimal; frees the hash */
void hb_sha256_free(hb_sha256 *hash);                 /* for a hash not finished */

#endif
