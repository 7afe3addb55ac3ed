/* Shared by the tests of data sets: files, and samples written as text. */
#ifndef HB_TESTS_DATA_CHECK_H
#define HB_TESTS_DATA_CHECK_H

#include "check.h"

/* Writes a file of the test. */
static inline const char *put_file(const char *dir, const char *name, const char *bytes, size_t n)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline const char *put_text(const char *dir, const char *name, const char *text)
{
    return put_file(dir, name, text, strlen(text));
}

/* Messages of hooks, each ending in a newline, without the directory of the file. */
static char hooked[8192];

static inline void on_message(void *user, const char *message)
{
    const char *slash = strrchr(message, '/');
    size_t used = strlen(hooked);
    assert_ptr_equal(user, hooked);
    snprintf(hooked + used, sizeof hooked - used, "%s\n", slash ? slash + 1 : message);
}

static inline hb_dataset_options data_options(void)
{
    hb_dataset_options o = hb_dataset_defaults();
    o.on_broken = o.on_warning = on_message;
    o.user = hooked;
    hooked[0] = '\0';
    return o;
}

/* "id=label<prompt>answer|answer;" for each sample, with the response and its spans behind a '~'. */
static inline const char *spell(hb_dataset *dataset)
{
    static char out[65536];
    hb_sample s;
    bool found;
    hb_error err = {0};
    size_t n = 0;
    out[0] = '\0';
    while (hb_dataset_next(dataset, &s, &found, &err) == HB_OK && found) {
        n += (size_t)snprintf(out + n, sizeof out - n, "%s=%d<%s>", s.id, s.label, s.prompt);
        for (size_t i = 0; i < s.n_answers; i++)
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", i ? "|" : "", s.answers[i]);
        if (s.response) n += (size_t)snprintf(out + n, sizeof out - n, "~%s", s.response);
        for (size_t i = 0; i < s.n_spans; i++)
            n += (size_t)snprintf(out + n, sizeof out - n, "[%d,%d)", (int)s.spans[i].start,
                                  (int)s.spans[i].end);
        n += (size_t)snprintf(out + n, sizeof out - n, ";");
        assert_true(n < sizeof out);
    }
    if (err.status) fail_msg("%s", err.message);
    return out;
}

/* Checks the samples and the format of a file. */
static inline const char *samples_of(const char *path, const hb_dataset_options *options,
                                     const char *format)
{
    hb_dataset *dataset;
    hb_error err = {0};
    assert_ok(hb_dataset_open(path, options, &dataset, &err));
    if (format) assert_string_equal(hb_dataset_get_info(dataset)->format, format);
    const char *samples = spell(dataset);
    hb_dataset_close(dataset);
    return samples;
}

#endif
