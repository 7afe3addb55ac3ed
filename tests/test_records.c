/* Data files: layouts of records, compression, encodings, and pipes. */
#include "data_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>
#include "data/records.h"

/* Two rows in every layout of a file. */
#define A_ROW "{\"id\":\"a\",\"prompt\":\"p\",\"label\":0}"
#define B_ROW "{\"id\":\"b\",\"prompt\":\"q\",\"label\":1}"
static const char two_rows[] = "a=0<p>;b=1<q>;";

static void test_json_layouts(void **state)
{
    static const char *const layouts[] = {
        A_ROW "\n" B_ROW "\n",
        A_ROW "\r" B_ROW "\r",
        A_ROW B_ROW,
        A_ROW " " B_ROW "\n",
        A_ROW ",\n" B_ROW ",\n",
        A_ROW " , \r\n" B_ROW " ,",
        "{\n  \"id\": \"a\",\n  \"prompt\": \"p\",\n  \"label\": 0\n}\n{\n  \"id\": \"b\",\n"
        "  \"prompt\": \"q\",\n  \"label\": 1\n}\n",
        "{\n\"id\":\"a\",\"x\":{\"y\":\"}{\"},\"prompt\":\"p\",\"label\":0}, {\"id\":\"b\",\n"
        "\"prompt\":\"q\",\"label\":1}",
        "{\"version\": \"1.1\", \"data\": [" A_ROW ",\n" B_ROW "]}",
        "{\n \"Data\": [\n  " A_ROW ",\n  " B_ROW "\n ],\n \"Domain\": \"x\", \"n\": {\"a\": [1]}\n}\n",
        "{\"a\":[1,[2,\"]\"]],\"b\":{\"data\":[3]},\"data\":[" A_ROW "," B_ROW "]}",
    };
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const hb_dataset_options o = data_options();
        const char *path = put_text(*state, "f", layouts[i]);
        if (strcmp(samples_of(path, &o, "generic"), two_rows) != 0 || hooked[0])
            fail_msg("layout %zu: %s %s", i, samples_of(path, &o, NULL), hooked);
    }
}

/* A row may have a field "data" and still be an ordinary row. */
static void test_rows_with_data(void **state)
{
    const hb_dataset_options o = data_options();
    const char *path = put_text(
        *state, "f", "{\"data\":[{\"x\":1}],\"id\":\"a\",\"prompt\":\"p\",\"label\":0}\n" B_ROW "\n");
    assert_string_equal(samples_of(path, &o, "generic"), two_rows);
}

static void test_csv_layouts(void **state)
{
    static const char *const layouts[] = {
        "id,prompt,label\na,p,0\nb,q,1\n",
        "id;prompt;label\r\na;p;0\r\nb;q;1\r\n",
        "id\tprompt\tlabel\na\tp\t0\nb\tq\t1",
        "\tid\tprompt\tlabel\n0\ta\tp\t0\n1\tb\tq\t1\n",
        "sep=;\r\nid;prompt;label\r\na;p;0\r\nb;q;1\r\n",
        "id,prompt,label\ra,p,0\rb,q,1\r",
        "\xEF\xBB\xBFid,\"prompt\",label\n\"a\",\"p\",0\n\n\"b\",\"q\",\"1\"\n",
        "\"id\";\"a,b,c,d\";prompt;label\na;,;p;0\nb;;q;1\n",
        ",id,,prompt,label\n,a,,p,0\n,b,,q,1\n",
    };
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const hb_dataset_options o = data_options();
        const char *path = put_text(*state, "f", layouts[i]);
        if (strcmp(samples_of(path, &o, "generic"), two_rows) != 0 || hooked[0])
            fail_msg("layout %zu: %s %s", i, samples_of(path, &o, NULL), hooked);
    }
}

/* Rows are reported by the line on which they start, for all line ends. */
static void test_csv_lines(void **state)
{
    static const char *const ends[] = {"\n", "\r", "\r\n"};
    for (size_t i = 0; i < 3; i++) {
        char text[256];
        const char *e = ends[i];
        hb_dataset_options o = data_options();
        snprintf(text, sizeof text, "id,prompt,label%sa,\"p%sp\",0%s%sb,q,x%sc,r%sd,s,1%s", e, e, e, e,
                 e, e, e);
        samples_of(put_text(*state, "f", text), &o, "generic");
        assert_string_equal(hooked, "f:5: label 'x' is neither 0 nor 1\n"
                                    "f:6: the row has 2 fields and the header 3\n");
    }
}

/* In tables with tabs, quotes may be ordinary characters. */
static void test_quotes_and_tabs(void **state)
{
    const hb_dataset_options o = data_options();
    const char *path = put_text(*state, "f",
                                "prompt\tlabel\n"
                                "a 5\" pipe\t0\n"
                                "\"Weird Al\" Yankovic\t1\n"
                                "\"two\nlines, \"\"quoted\"\"\"\t0\n");
    assert_string_equal(samples_of(path, &o, NULL), "sample_0=0<a 5\" pipe>;"
                                                    "sample_1=1<\"Weird Al\" Yankovic>;"
                                                    "sample_2=0<two\nlines, \"quoted\">;");
    path = put_text(*state, "f", "prompt,label\na 5\" pipe,0\nb,1\n");
    assert_string_equal(samples_of(path, &o, NULL), "sample_1=1<b>;");
    assert_string_equal(hooked, "f:2: a quote is out of place\n");
}

/* A zero byte in a table makes a row broken, as in JSON. */
static void test_zero_bytes(void **state)
{
    static const char table[] = "prompt,label\na\0b,0\nc,1\n";
    const hb_dataset_options o = data_options();
    const char *path = put_file(*state, "f", table, sizeof table - 1);
    assert_string_equal(samples_of(path, &o, NULL), "sample_1=1<c>;");
    assert_string_equal(hooked, "f:2: a field has a zero byte\n");
}

static void test_csv_header(void **state)
{
    hb_dataset *dataset;
    hb_error err;
    const char *path = put_text(*state, "f", "prompt,label,prompt\na,1,b\n");
    assert_fails(hb_dataset_open(path, NULL, &dataset, &err), HB_ERR_FORMAT,
                 "f:1: column 'prompt' appears twice");
    path = put_text(*state, "f", "prompt,\"la\"bel\na,1\n");
    assert_fails(hb_dataset_open(path, NULL, &dataset, &err), HB_ERR_FORMAT,
                 "f:1: a quote is out of place");
    path = put_text(*state, "f", "pr\xE9mpt,label\na,1\n");
    assert_fails(hb_dataset_open(path, NULL, &dataset, &err), HB_ERR_FORMAT,
                 "f:1: not UTF-8: byte 0xE9 at byte 3 of the field");
}

/* Output of Python's json module that is not JSON. */
static void test_python_json(void **state)
{
    const hb_dataset_options o = data_options();
    const char *path =
        put_text(*state, "f",
                 "{\"id\":NaN,\"x\":Infinity,\"y\":[-Infinity,\"NaN, \\\" NaN\"],\"prompt\":\"NaN "
                 "p\",\"label\":0}\n"
                 "{\"id\":123456789012345678901234567890,\"prompt\":\"q\",\"label\":1}\n");
    assert_string_equal(samples_of(path, &o, "generic"),
                        "sample_0=0<NaN p>;123456789012345678901234567890=1<q>;");
    assert_string_equal(hooked, "");
}

/* ---- Encodings ----------------------------------------------------------------------------------- */

/* ASCII text as UTF-16 with a byte order mark; '@' becomes U+1F600, a surrogate pair. */
static size_t widen(const char *text, bool big, char *out)
{
    size_t n = 0;
    const unsigned mark = 0xFEFF;
    for (size_t i = 0; i <= strlen(text); i++) {
        unsigned units[2] = {i ? (unsigned char)text[i - 1] : mark, 0};
        size_t m = 1;
        if (units[0] == '@') units[0] = 0xD83D, units[1] = 0xDE00, m = 2;
        for (size_t k = 0; k < m; k++) {
            out[n++] = (char)(big ? units[k] >> 8 : units[k]);
            out[n++] = (char)(big ? units[k] : units[k] >> 8);
        }
    }
    return n;
}

static void test_utf16(void **state)
{
    char bytes[1024];
    const hb_dataset_options o = data_options();
    for (int big = 0; big < 2; big++) {
        size_t n = widen("id,prompt,label\r\na,@p,0\r\n", big, bytes);
        const char *path = put_file(*state, "f", bytes, n);
        assert_string_equal(samples_of(path, &o, "generic"), "a=0<\xF0\x9F\x98\x80p>;");
        n = widen("{\"id\":\"a\",\"prompt\":\"@\",\"label\":1}", big, bytes);
        path = put_file(*state, "f", bytes, n);
        assert_string_equal(samples_of(path, &o, "generic"), "a=1<\xF0\x9F\x98\x80>;");
    }
    /* Unpaired surrogates, and an odd last byte. */
    size_t n = widen("prompt,label\n@x,1\n@", false, bytes);
    memmove(bytes + 2 + 26 + 2, bytes + 2 + 26 + 4, n - 32);
    const char *path = put_file(*state, "f", bytes, n - 3);
    assert_string_equal(samples_of(path, &o, NULL), "sample_0=1<\xEF\xBF\xBDx>;");
}

/* Text without a byte order mark and in other encodings is named. */
static void test_other_encodings(void **state)
{
    static const char unmarked[] = "p\0r\0o\0m\0p\0t\0", utf32[] = "\xFF\xFE\0\0p\0\0\0";
    hb_dataset *dataset;
    hb_error err;
    const char *path = put_file(*state, "f", unmarked, sizeof unmarked - 1);
    assert_fails(hb_dataset_open(path, NULL, &dataset, &err), HB_ERR_UNSUPPORTED,
                 "is UTF-16 text without a byte order mark");
    path = put_file(*state, "f", utf32, sizeof utf32 - 1);
    assert_fails(hb_dataset_open(path, NULL, &dataset, &err), HB_ERR_UNSUPPORTED, "is UTF-32 text");
}

/* Many blocks of UTF-16, so that surrogate pairs are split between them. */
static void test_long_utf16(void **state)
{
    enum { N = 3000 };
    char *text = malloc(N * 64), *wide = malloc(N * 160);
    size_t used = (size_t)sprintf(text, "prompt,label\n");
    for (int i = 0; i < N; i++)
        used += (size_t)sprintf(text + used, "%.*s@@@@@ %d,%d\n", i % 7, "@@@@@@@", i, i % 2);
    const char *path = put_file(*state, "f", wide, widen(text, false, wide));
    const hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_sample sample;
    bool found = true;
    hb_error err = {0};
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    for (int i = 0; i < N; i++) {
        assert_ok(hb_dataset_next(dataset, &sample, &found, &err));
        assert_int_equal(strlen(sample.prompt) - strlen(strchr(sample.prompt, ' ')),
                         4 * (size_t)(5 + i % 7));
        assert_null(strstr(sample.prompt, "\xEF\xBF\xBD"));
    }
    hb_dataset_close(dataset);
    free(text);
    free(wide);
}

/* ---- gzip ---------------------------------------------------------------------------------------- */

static size_t pack(const char *text, size_t n, char *out, size_t room)
{
    z_stream s = {.next_in = (Bytef *)text,
                  .avail_in = (uInt)n,
                  .next_out = (Bytef *)out,
                  .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
    deflateEnd(&s);
    return room - s.avail_out;
}

static void test_gzip(void **state)
{
    char packed[4096], hex[65];
    const hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err = {0};
    /* Two members, and trailing bytes that gzip ignores. */
    size_t n = pack(A_ROW "\n", strlen(A_ROW "\n"), packed, sizeof packed);
    n += pack(B_ROW "\n", strlen(B_ROW "\n"), packed + n, sizeof packed - n);
    memcpy(packed + n, "rest", 4);
    const char *path = put_file(*state, "f.gz", packed, n + 4);
    assert_string_equal(samples_of(path, &o, "generic"), two_rows);
    assert_ok(hb_file_sha256(path, hex, &err));
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    assert_string_equal(hb_dataset_get_info(dataset)->sha256, hex);
    hb_dataset_close(dataset);

    path = put_file(*state, "f.gz", packed, n - 9);
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_FORMAT,
                 "the gzip data end too early: the file is truncated");
    packed[14] ^= 0x55;
    path = put_file(*state, "f.gz", packed, n);
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_FORMAT, "the gzip data are damaged");
    n = pack("PAR1....", 8, packed, sizeof packed);
    path = put_file(*state, "f.gz", packed, n);
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_UNSUPPORTED, "is a Parquet file");
}

/* A record that unpacks to more than 16 MiB is broken and takes little memory. */
static void test_bomb(void **state)
{
    enum { SIZE = 64 << 20 };
    char *text = calloc(SIZE + 200, 1), *packed = malloc(1 << 20);
    size_t n = (size_t)sprintf(text, A_ROW "\n{\"prompt\":\"");
    memset(text + n, 'x', SIZE);
    n += SIZE;
    n += (size_t)sprintf(text + n, "\",\"label\":1}\n" B_ROW "\n");
    n = pack(text, n, packed, 1 << 20);
    const char *path = put_file(*state, "f.gz", packed, n);
    free(text);
    free(packed);
    const hb_dataset_options o = data_options();
    assert_string_equal(samples_of(path, &o, "generic"), two_rows);
    assert_string_equal(hooked, "f.gz:2: the record is larger than 16 MiB\n");
}

/* The fields of a CSV row may have 16 MiB together. */
static void test_huge_row(void **state)
{
    enum { FIELD = 9 << 20 };
    char *text = malloc(2 * FIELD + 100);
    size_t n = (size_t)sprintf(text, "prompt,x,label\np,");
    memset(text + n, 'x', FIELD);
    n += FIELD;
    text[n++] = ',';
    memset(text + n, 'y', FIELD);
    n += FIELD;
    n += (size_t)sprintf(text + n, "\nq,,1\n");
    const char *path = put_file(*state, "f", text, n);
    free(text);
    const hb_dataset_options o = data_options();
    assert_string_equal(samples_of(path, &o, "generic"), "sample_1=1<q>;");
    assert_string_equal(hooked, "f:2: the record is larger than 16 MiB\n");
}

/* ---- Pipes --------------------------------------------------------------------------------------- */

/* Opens a pipe to which another process writes the text, at most a given number of times. */
static int pipe_with(const char *text, int times)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    if (fork() == 0) {
        close(ends[0]);
        for (int i = 0; i < times; i++) {
            struct timespec pause = {.tv_nsec = 20000000};
            if (i) nanosleep(&pause, NULL);
            if (write(ends[1], text, strlen(text)) < 0) break;
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

/* A pipe can be read in several passes; with examples there are four. */
static void test_pipes(void **state)
{
    (void)state;
    char path[32];
    int fd = pipe_with("{\"prompt\":\"p\",\"label\":0}\n", 3);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    hb_dataset_options o = data_options();
    assert_string_equal(samples_of(path, &o, "generic"), "sample_0=0<p>;sample_1=0<p>;sample_2=0<p>;");
    close(fd);

    fd = pipe_with("prompt,answers\nA?,a\nB?,b\n", 1);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    o.shots = 1;
    assert_string_equal(samples_of(path, &o, "answers"),
                        "sample_0=-1<B? b\n\nA?>a;sample_1=-1<A? a\n\nB?>b;");
    close(fd);
}

/* "-" is standard input, which may be a pipe or a file. */
static void test_standard_input(void **state)
{
    const hb_dataset_options o = data_options();
    int saved = dup(STDIN_FILENO);
    int fd = pipe_with(A_ROW "\n" B_ROW "\nbroken\n", 1);
    dup2(fd, STDIN_FILENO);
    assert_string_equal(samples_of("-", &o, "generic"), two_rows);
    assert_memory_equal(hooked, "standard input:3: ", 18);
    close(fd);
    fd = open(put_text(*state, "f", A_ROW "\n" B_ROW "\n"), O_RDONLY);
    dup2(fd, STDIN_FILENO);
    assert_string_equal(samples_of("-", &o, "generic"), two_rows);
    hb_score_table table;
    hb_error err = {0};
    close(fd);
    fd = pipe_with("score,label\n0.5,1\n", 1);
    dup2(fd, STDIN_FILENO);
    assert_ok(hb_table_read("-", NULL, &table, &err));
    assert_int_equal(table.n, 1);
    hb_score_table_free(&table);
    close(fd);
    dup2(saved, STDIN_FILENO);
    close(saved);
}

/* A FIFO that nobody writes to, and endless files, are refused at once. */
static void test_special_files(void **state)
{
    char path[256];
    hb_dataset *dataset;
    hb_score_table table;
    hb_error err;
    snprintf(path, sizeof path, "%s/fifo", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(hb_dataset_open(path, NULL, &dataset, &err), HB_ERR_IO,
                 "nothing was written to this pipe");
    assert_fails(hb_table_read(path, NULL, &table, &err), HB_ERR_IO,
                 "nothing was written to this pipe");
    assert_fails(hb_dataset_open("/dev/zero", NULL, &dataset, &err), HB_ERR_IO,
                 "is a device, not a regular file or a pipe");
    assert_fails(hb_table_read("/dev/zero", NULL, &table, &err), HB_ERR_IO,
                 "is a device, not a regular file or a pipe");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_layouts),
        cmocka_unit_test(test_rows_with_data),
        cmocka_unit_test(test_csv_layouts),
        cmocka_unit_test(test_csv_lines),
        cmocka_unit_test(test_quotes_and_tabs),
        cmocka_unit_test(test_csv_header),
        cmocka_unit_test(test_zero_bytes),
        cmocka_unit_test(test_python_json),
        cmocka_unit_test(test_utf16),
        cmocka_unit_test(test_other_encodings),
        cmocka_unit_test(test_long_utf16),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_huge_row),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_special_files),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
