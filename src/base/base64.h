#ifndef HB_BASE_BASE64_H
#define HB_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

/* The bytes in base64 (RFC 4648). Release with free(). NULL when memory runs out. */
char *hb_base64_encode(const uint8_t *bytes, size_t n);

/* Decodes such a text. HB_ERR_FORMAT for any other text; the message names no place. Release *bytes
 * with free(). */
hb_status hb_base64_decode(const char *text, uint8_t **bytes, size_t *n, hb_error *err);

/* The same for floats, each in four bytes, the lowest first. */
char *hb_base64_of_floats(const float *values, size_t n);
hb_status hb_base64_floats(const char *text, float **values, size_t *n, hb_error *err);

#endif
