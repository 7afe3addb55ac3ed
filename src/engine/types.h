/* GGUF tensor types: their names and block sizes, and which of them the kernels can read. */
#ifndef HB_ENGINE_TYPES_H
#define HB_ENGINE_TYPES_H

#include <stdint.h>

/* Numbers as in the GGUF specification. */
typedef enum hb_type {
    HB_TYPE_F32 = 0,
    HB_TYPE_F16 = 1,
    HB_TYPE_Q4_0 = 2,
    HB_TYPE_Q4_1 = 3,
    HB_TYPE_Q5_0 = 6,
    HB_TYPE_Q5_1 = 7,
    HB_TYPE_Q8_0 = 8,
    HB_TYPE_Q2_K = 10,
    HB_TYPE_Q3_K = 11,
    HB_TYPE_Q4_K = 12,
    HB_TYPE_Q5_K = 13,
    HB_TYPE_Q6_K = 14,
    HB_TYPE_IQ4_NL = 20,
    HB_TYPE_IQ4_XS = 23,
    HB_TYPE_BF16 = 30,
    HB_TYPE_MXFP4 = 39,
    HB_TYPE_COUNT = 40 /* one more than the highest known number */
} hb_type;

typedef struct hb_type_info {
    const char *name;     /* NULL: no such type */
    uint32_t block;       /* number of weights in a block */
    uint32_t block_bytes; /* 0: only the name is known, and the type is not supported */
    uint32_t group;       /* quantised types: number of weights that share a scale, 16 or 32; else 0 */
    uint32_t bits;        /* quantised types: u, as unpacked, is below 2^bits; else 0 */
    int32_t offset; /* quantised types whose groups have no minima: a weight is scale * (u - offset);
                       else 0 */
} hb_type_info;

/* Never NULL; an unknown number has a NULL name. */
const hb_type_info *hb_type_get_info(uint32_t type);

#endif
