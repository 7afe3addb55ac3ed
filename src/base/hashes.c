#include "base/hashes.h"

#include <stdlib.h>
#include "base/base64.h"

enum { HASH_BYTES = 8 };

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
    uint8_t *bytes = calloc(n + 1, HASH_BYTES);
    for (size_t i = 0; bytes && i < HASH_BYTES * n; i++)
        bytes[i] = (uint8_t)(hashes[i / HASH_BYTES] >> 8 * (HASH_BYTES - 1 - i % HASH_BYTES));
    char *text = bytes ? hb_base64_encode(bytes, HASH_BYTES * n) : NULL;
    free(bytes);
    return text;
}

hb_status hb_hashes_decode(const char *text, uint64_t **hashes, size_t *n, hb_error *err)
{
    uint8_t *bytes;
    size_t length;
    hb_status status = hb_base64_decode(text, &bytes, &length, err);
    if (status) return status;
    bool whole = length % HASH_BYTES == 0;
    uint64_t *list = whole ? calloc(length / HASH_BYTES + 1, sizeof *list) : NULL;
    for (size_t i = 0; list && i < length; i++)
        list[i / HASH_BYTES] = list[i / HASH_BYTES] << 8 | bytes[i];
    free(bytes);
    if (!whole) return hb_fail(err, HB_ERR_FORMAT, "not base64 of hashes of 8 bytes");
    if (!list) return hb_fail_memory(err);
    *n = hb_hashes_sort(list, length / HASH_BYTES);
    *hashes = list;
    return HB_OK;
}
