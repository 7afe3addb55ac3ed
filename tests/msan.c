/* Linked into the tests for MemorySanitizer. The libraries are not compiled for it, so it takes what
 * they write for uninitialised. Each function here calls one of liblinear, utf8proc, PCRE2 or OpenSSL,
 * and says what it wrote. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <linear.h>
#include <openssl/evp.h>
#include <pcre2.h>
#include <sanitizer/msan_interface.h>
#include <utf8proc.h>

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
