/* Linked into the tests for MemorySanitizer. Most libraries are not compiled for it, so it takes what
 * they write for uninitialised. Each function here calls one of liblinear, utf8proc, PCRE2, OpenSSL or
 * zlib, and says what it wrote. Jansson, SQLite and libcsv are compiled for it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <linear.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pcre2.h>
#include <sanitizer/msan_interface.h>
#include <utf8proc.h>
#include <zlib.h>
#include "serve/http.h"

struct model *__real_train(const struct problem *problem, const struct parameter *parameter);
struct model *__wrap_train(const struct problem *problem, const struct parameter *parameter);
utf8proc_ssize_t __real_utf8proc_iterate(const utf8proc_uint8_t *text, utf8proc_ssize_t length,
                                         utf8proc_int32_t *c);
utf8proc_ssize_t __wrap_utf8proc_iterate(const utf8proc_uint8_t *text, utf8proc_ssize_t length,
                                         utf8proc_int32_t *c);
utf8proc_ssize_t __real_utf8proc_encode_char(utf8proc_int32_t c, utf8proc_uint8_t *text);
utf8proc_ssize_t __wrap_utf8proc_encode_char(utf8proc_int32_t c, utf8proc_uint8_t *text);
utf8proc_ssize_t __real_utf8proc_decompose(const utf8proc_uint8_t *text, utf8proc_ssize_t length,
                                           utf8proc_int32_t *to, utf8proc_ssize_t room,
                                           utf8proc_option_t options);
utf8proc_ssize_t __wrap_utf8proc_decompose(const utf8proc_uint8_t *text, utf8proc_ssize_t length,
                                           utf8proc_int32_t *to, utf8proc_ssize_t room,
                                           utf8proc_option_t options);
utf8proc_ssize_t __real_utf8proc_decompose_char(utf8proc_int32_t c, utf8proc_int32_t *to,
                                                utf8proc_ssize_t room, utf8proc_option_t options,
                                                int *boundary);
utf8proc_ssize_t __wrap_utf8proc_decompose_char(utf8proc_int32_t c, utf8proc_int32_t *to,
                                                utf8proc_ssize_t room, utf8proc_option_t options,
                                                int *boundary);
utf8proc_ssize_t __real_utf8proc_normalize_utf32(utf8proc_int32_t *text, utf8proc_ssize_t length,
                                                 utf8proc_option_t options);
utf8proc_ssize_t __wrap_utf8proc_normalize_utf32(utf8proc_int32_t *text, utf8proc_ssize_t length,
                                                 utf8proc_option_t options);
int __real_pcre2_match_8(const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE length, PCRE2_SIZE start,
                         uint32_t options, pcre2_match_data *match, pcre2_match_context *context);
int __wrap_pcre2_match_8(const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE length, PCRE2_SIZE start,
                         uint32_t options, pcre2_match_data *match, pcre2_match_context *context);
OSSL_LIB_CTX *__real_OSSL_LIB_CTX_get0_global_default(void);
OSSL_LIB_CTX *__wrap_OSSL_LIB_CTX_get0_global_default(void);
int __real_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine);
int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine);
int __real_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned *length);
int __wrap_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned *length);
unsigned char *__real_SHA256(const unsigned char *data, size_t n, unsigned char *hash);
unsigned char *__wrap_SHA256(const unsigned char *data, size_t n, unsigned char *hash);
int __real_EVP_DecodeBlock(unsigned char *to, const unsigned char *text, int n);
int __wrap_EVP_DecodeBlock(unsigned char *to, const unsigned char *text, int n);
int __real_EVP_EncodeBlock(unsigned char *to, const unsigned char *bytes, int n);
int __wrap_EVP_EncodeBlock(unsigned char *to, const unsigned char *bytes, int n);
hb_status __real_hb_http_start(hb_server *server, const struct sockaddr *address, hb_error *err);
hb_status __wrap_hb_http_start(hb_server *server, const struct sockaddr *address, hb_error *err);
int __real_deflate(z_streamp stream, int flush);
int __wrap_deflate(z_streamp stream, int flush);
int __real_inflate(z_streamp stream, int flush);
int __wrap_inflate(z_streamp stream, int flush);

struct model *__wrap_train(const struct problem *problem, const struct parameter *parameter)
{
    struct model *model = __real_train(problem, parameter);
    if (!model) return NULL;
    __msan_unpoison(model, sizeof *model);
    __msan_unpoison(model->w, (size_t)model->nr_feature * sizeof *model->w);
    __msan_unpoison(model->label, (size_t)model->nr_class * sizeof *model->label);
    return model;
}

/* n characters, of which `room` at most were written; a negative n is an error. */
static utf8proc_ssize_t written(utf8proc_int32_t *to, utf8proc_ssize_t n, utf8proc_ssize_t room)
{
    utf8proc_ssize_t there = n < room ? n : room;
    if (there > 0) __msan_unpoison(to, (size_t)there * sizeof *to);
    return n;
}

utf8proc_ssize_t __wrap_utf8proc_iterate(const utf8proc_uint8_t *text, utf8proc_ssize_t length,
                                         utf8proc_int32_t *c)
{
    utf8proc_ssize_t n = __real_utf8proc_iterate(text, length, c);
    __msan_unpoison(c, sizeof *c);
    return n;
}

utf8proc_ssize_t __wrap_utf8proc_encode_char(utf8proc_int32_t c, utf8proc_uint8_t *text)
{
    utf8proc_ssize_t n = __real_utf8proc_encode_char(c, text);
    __msan_unpoison(text, (size_t)n);
    return n;
}

utf8proc_ssize_t __wrap_utf8proc_decompose(const utf8proc_uint8_t *text, utf8proc_ssize_t length,
                                           utf8proc_int32_t *to, utf8proc_ssize_t room,
                                           utf8proc_option_t options)
{
    return written(to, __real_utf8proc_decompose(text, length, to, room, options), room);
}

utf8proc_ssize_t __wrap_utf8proc_decompose_char(utf8proc_int32_t c, utf8proc_int32_t *to,
                                                utf8proc_ssize_t room, utf8proc_option_t options,
                                                int *boundary)
{
    return written(to, __real_utf8proc_decompose_char(c, to, room, options, boundary), room);
}

utf8proc_ssize_t __wrap_utf8proc_normalize_utf32(utf8proc_int32_t *text, utf8proc_ssize_t length,
                                                 utf8proc_option_t options)
{
    return written(text, __real_utf8proc_normalize_utf32(text, length, options), length);
}

int __wrap_pcre2_match_8(const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE length, PCRE2_SIZE start,
                         uint32_t options, pcre2_match_data *match, pcre2_match_context *context)
{
    int n = __real_pcre2_match_8(code, text, length, start, options, match, context);
    if (n > 0) __msan_unpoison(pcre2_get_ovector_pointer(match), 2 * (size_t)n * sizeof(PCRE2_SIZE));
    return n;
}

/* While OpenSSL sets itself up, it gives texts of its own to functions of the C library. */
OSSL_LIB_CTX *__wrap_OSSL_LIB_CTX_get0_global_default(void)
{
    __msan_scoped_disable_interceptor_checks();
    OSSL_LIB_CTX *context = __real_OSSL_LIB_CTX_get0_global_default();
    __msan_scoped_enable_interceptor_checks();
    return context;
}

int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *type, ENGINE *engine)
{
    __msan_scoped_disable_interceptor_checks();
    int done = __real_EVP_DigestInit_ex(context, type, engine);
    __msan_scoped_enable_interceptor_checks();
    return done;
}

int __wrap_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned *length)
{
    int done = __real_EVP_DigestFinal_ex(context, digest, length);
    __msan_unpoison(length, sizeof *length);
    __msan_unpoison(digest, *length);
    return done;
}

unsigned char *__wrap_SHA256(const unsigned char *data, size_t n, unsigned char *hash)
{
    __msan_scoped_disable_interceptor_checks();
    unsigned char *done = __real_SHA256(data, n, hash);
    __msan_scoped_enable_interceptor_checks();
    if (done) __msan_unpoison(done, SHA256_DIGEST_LENGTH);
    return done;
}

int __wrap_EVP_DecodeBlock(unsigned char *to, const unsigned char *text, int n)
{
    int size = __real_EVP_DecodeBlock(to, text, n);
    if (size > 0) __msan_unpoison(to, (size_t)size);
    return size;
}

int __wrap_EVP_EncodeBlock(unsigned char *to, const unsigned char *bytes, int n)
{
    int length = __real_EVP_EncodeBlock(to, bytes, n);
    __msan_unpoison(to, (size_t)length + 1);
    return length;
}

/* libmicrohttpd gives the C library what it wrote itself. */
hb_status __wrap_hb_http_start(hb_server *server, const struct sockaddr *address, hb_error *err)
{
    __msan_scoped_disable_interceptor_checks();
    hb_status status = __real_hb_http_start(server, address, err);
    __msan_scoped_enable_interceptor_checks();
    return status;
}

/* `code` is what a function returned that wrote to a stream from `out` on. */
static int written_to(z_streamp stream, Bytef *out, int code)
{
    __msan_unpoison(stream, sizeof *stream);
    __msan_unpoison(out, (size_t)(stream->next_out - out));
    return code;
}

int __wrap_deflate(z_streamp stream, int flush)
{
    Bytef *out = stream->next_out;
    return written_to(stream, out, __real_deflate(stream, flush));
}

int __wrap_inflate(z_streamp stream, int flush)
{
    Bytef *out = stream->next_out;
    return written_to(stream, out, __real_inflate(stream, flush));
}
