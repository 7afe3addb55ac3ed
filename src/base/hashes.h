/* Sets of 64-bit hashes: sorted arrays, each hash once. */
#ifndef HB_BASE_HASHES_H
#define HB_BASE_HASHES_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

/* The first 64 bits of a SHA-256 in hexadecimal. */
uint64_t hb_hash_of_sha256(const char *hex);

/* Makes a set of any hashes; returns how many remain. */
size_t hb_hashes_sort(uint64_t *hashes, size_t n);
bool hb_hashes_have(const uint64_t *hashes, size_t n, uint64_t hash);

/* The hashes in base64 (RFC 4648), each as 8 bytes, the highest first. Release with free(). NULL when
 * memory runs out. */
char *hb_hashes_encode(const uint64_t *hashes, size_t n);
/* Makes a set of such a text. HB_ERR_FORMAT for any other text; the message names no place. Release
 * *hashes with free(). */
hb_status hb_hashes_decode(const char *text, uint64_t **hashes, size_t *n, hb_error *err);

#endif
