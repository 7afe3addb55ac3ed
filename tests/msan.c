/* Linked into the tests for MemorySanitizer. liblinear and utf8proc are not compiled for it, so it
 * takes what they write for uninitialised. Each function here calls theirs and says what it wrote. */
#include <linear.h>
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
