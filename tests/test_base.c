#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hashes.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/text.h"
#include "base/texts.h"
#include "base/utf8.h"

/* The first values of SplitMix64 with seed 1234567, from its authors' reference program. */
static void test_rng_is_the_published_one(void **state)
{
    (void)state;
    hb_rng rng = {1234567};
    const uint64_t expected[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                 4593380528125082431u, 16408922859458223821u};
    for (int i = 0; i < 5; i++) assert_true(hb_rng_next(&rng) == expected[i]);
}

static void test_rng_ranges(void **state)
{
    (void)state;
    hb_rng rng = {7};
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++) {
        double unit = hb_rng_unit(&rng);
        assert_true(unit >= 0 && unit < 1);
        uint64_t below = hb_rng_below(&rng, 6);
        assert_true(below < 6);
        counts[below]++;
    }
    for (int i = 0; i < 6; i++) assert_in_range(counts[i], 9600, 10400); /* 4 standard deviations */
    assert_true(hb_rng_below(&rng, 1) == 0);
}

static void test_buffer(void **state)
{
    (void)state;
    hb_buffer b = {0};
    assert_true(hb_buffer_add(&b, "", 0));
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++) assert_true(hb_buffer_add_text(&b, "abc"));
    assert_int_equal(b.length, 3000);
    assert_int_equal(strlen(b.data), 3000);
    hb_buffer_clear(&b);
    assert_string_equal(b.data, "");
    assert_false(hb_buffer_add(&b, "x", SIZE_MAX - 4)); /* refused before any byte is read */
    assert_int_equal(b.length, 0);
    hb_buffer_free(&b);
    assert_null(b.data);
}

/* The array doubles, keeps its elements, and stays as it is when the next room has no size. */
static void test_grown(void **state)
{
    (void)state;
    size_t room = 0, moves = 0;
    int *list = NULL;
    for (int i = 0; i < 1000; i++) {
        size_t before = room;
        list = hb_grown(list, (size_t)i, sizeof *list, &room);
        assert_non_null(list);
        assert_true(room > (size_t)i);
        moves += room != before;
        list[i] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(list[i], i);
    assert_in_range(moves, 1, 10);
    assert_null(hb_grown(list, room, SIZE_MAX / 16, &room));
    size_t most = SIZE_MAX / 2 + 1;
    assert_null(hb_grown(list, most, 1, &most));
    assert_int_equal(list[999], 999);
    free(list);
    room = 0;
    void *empty = hb_grown(NULL, 0, 0, &room);
    assert_non_null(empty);
    assert_non_null(empty = hb_grown(empty, room, 0, &room));
    free(empty);
}

static void test_texts(void **state)
{
    (void)state;
    hb_texts texts = {0};
    assert_false(hb_texts_has(&texts, "a"));
    assert_true(hb_texts_add(&texts, "abc", 1));
    assert_true(hb_texts_add_once(&texts, "a"));
    assert_int_equal(texts.n, 1);
    for (int i = 0; i < 40; i++) assert_true(hb_texts_add_once(&texts, i % 2 ? "b" : "a"));
    assert_int_equal(texts.n, 2);
    for (int i = 0; i < 40; i++) assert_true(hb_texts_add(&texts, "c", 1));
    assert_int_equal(texts.n, 42);
    assert_string_equal(texts.list[0], "a");
    assert_true(hb_texts_has(&texts, "b"));
    hb_texts_clear(&texts);
    assert_int_equal(texts.n, 0);
    assert_false(hb_texts_has(&texts, "b"));
    hb_texts_free(&texts);
    assert_null(texts.list);
}

static void test_utf8_characters(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        int expected;
    } cases[] = {
        {"a", 1},
        {"\xC3\xA9", 2},
        {"\xE2\x82\xAC", 3},
        {"\xF0\x9F\x98\x80", 4},
        {"\x80", 0},
        {"\xC0\x80", 0},
        {"\xC1\xBF", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xED\xA0\x80", 0},
        /* a surrogate */ {"\xF0\x8F\xBF\xBF", 0},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5", 0},
        {"\xFF", 0},
        {"\xE2\x28\xA1", 0},
        {"\xC3", -1},
        {"\xE2\x82", -1},
        {"\xF0\x9F\x98", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(hb_utf8_character(cases[i].bytes, strlen(cases[i].bytes)), cases[i].expected);
}

static void test_utf8_clean(void **state)
{
    (void)state;
    hb_buffer out = {0};
    bool ok = true;
    const char *text = "a\xFF\xE2\x82\xAC\xE2\x82";
    assert_int_equal(hb_utf8_clean(&out, text, 7, false, &ok), 5);
    assert_string_equal(out.data, "a\xEF\xBF\xBD\xE2\x82\xAC");
    hb_buffer_clear(&out);
    assert_int_equal(hb_utf8_clean(&out, text, 7, true, &ok), 7);
    assert_string_equal(out.data, "a\xEF\xBF\xBD\xE2\x82\xAC\xEF\xBF\xBD\xEF\xBF\xBD");
    hb_buffer_clear(&out);
    assert_int_equal(hb_utf8_clean(&out, "a\0b", 3, true, &ok), 3);
    assert_string_equal(out.data, "a\xEF\xBF\xBD"
                                  "b");
    assert_true(ok);
    hb_buffer_free(&out);
}

/* The digests of the example in FIPS 180-4 and of the empty text. */
static void test_sha256(void **state)
{
    char path[128], hex[65];
    hb_error err;
    hb_sha256 hash;
    assert_true(hb_sha256_init(&hash));
    hb_sha256_add(&hash, "a", 1);
    hb_sha256_add(&hash, "bc", 2);
    hb_sha256_finish(&hash, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    snprintf(path, sizeof path, "%s/empty", (char *)*state);
    fclose(fopen(path, "wb"));
    assert_ok(hb_file_sha256(path, hex, &err));
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_fails(hb_file_sha256("/no/such/file", hex, &err), HB_ERR_IO, "/no/such/file");
    assert_fails(hb_file_sha256(*state, hex, &err), HB_ERR_IO, "is a directory");
}

/* Other kinds of files are refused: reading them could wait for a writer or never end. */
/* Sets of hashes of sizes around a group of base64; texts that are none are refused. */
static void test_hashes(void **state)
{
    (void)state;
    hb_error err;
    uint64_t hashes[9], *back;
    size_t n;
    assert_true(hb_hash_of_sha256("00123456789abcdeffff") == 0x00123456789abcde);
    for (size_t size = 0; size < 8; size++) {
        for (size_t i = 0; i < size; i++) hashes[i] = 0xFEDCBA9876543210u >> (i * 9);
        hashes[size] = hashes[0];
        n = hb_hashes_sort(hashes, size ? size + 1 : 0);
        assert_int_equal(n, size);
        for (size_t i = 1; i < n; i++) assert_true(hashes[i - 1] < hashes[i]);
        char *text = hb_hashes_encode(hashes, n);
        assert_int_equal(strlen(text), (8 * n + 2) / 3 * 4);
        assert_ok(hb_hashes_decode(text, &back, &n, &err));
        assert_int_equal(n, size);
        assert_memory_equal(back, hashes, n * sizeof *hashes);
        assert_int_equal(hb_hashes_have(back, n, hashes[0]), n > 0);
        assert_false(hb_hashes_have(back, n, 5));
        free(back);
        free(text);
    }
    static const char *const bad[] = {"A",
                                      "AAAA",
                                      "AAAAAAAAAAE",
                                      "AAAAAAAAAA=E",
                                      "AAAAAAAA AE=",
                                      "====",
                                      "AAAAAAAAAAE=AAAAAAAAAAE=",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=AAAAAAAAAAE="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(hb_hashes_decode(bad[i], &back, &n, &err), HB_ERR_FORMAT, "base64");
    assert_ok(hb_hashes_decode("AAAAAAAAAAIAAAAAAAAAAQAAAAAAAAAC", &back, &n, &err));
    assert_int_equal(n, 2); /* made a set */
    assert_true(back[0] == 1 && back[1] == 2);
    free(back);
}

static void test_only_regular_files_are_read(void **state)
{
    char path[128], hex[65];
    hb_error err;
    int fd;
    snprintf(path, sizeof path, "%s/pipe", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(hb_file_sha256(path, hex, &err), HB_ERR_IO, "is a pipe, not a regular file");
    assert_fails(hb_file_sha256("/dev/zero", hex, &err), HB_ERR_IO, "/dev/zero: is a device");
    assert_fails(hb_open_regular(*state, &fd, &err), HB_ERR_IO, "is a directory");
    assert_fails(hb_open_regular("/no/such", &fd, &err), HB_ERR_IO, "/no/such: No such file");
}

/* If the standard descriptors are closed, opened files do not get their numbers; messages would be
 * written to these files. */
static void test_files_keep_off_the_standard_descriptors(void **state)
{
    (void)state;
    hb_error err;
    int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), regular;
    assert_true(saved >= 10);
    close(STDIN_FILENO);
    int fd = hb_open("/dev/null", O_RDWR, 0);
    assert_true(fd > STDERR_FILENO);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1); /* no descriptor stays open there */
    assert_ok(hb_open_regular("/proc/self/exe", &regular, &err));
    assert_true(regular > STDERR_FILENO);
    assert_int_equal(hb_open("/no/such", O_RDONLY, 0), -1);
    assert_int_equal(hb_move_descriptor(fd), fd);
    close(fd);
    close(regular);
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    close(saved);
}

static void test_directories(void **state)
{
    char path[128], file[160];
    hb_error err;
    snprintf(path, sizeof path, "%s/a/b//c/", (char *)*state);
    assert_ok(hb_make_directory(path, &err));
    assert_ok(hb_make_directory(path, &err));
    assert_int_equal(access(path, W_OK), 0);
    snprintf(file, sizeof file, "%sfile", path);
    fclose(fopen(file, "wb"));
    assert_fails(hb_make_directory(file, &err), HB_ERR_IO, "Not a directory");
    strcat(file, "/below");
    assert_fails(hb_make_directory(file, &err), HB_ERR_IO, "Not a directory");
    assert_fails(hb_make_directory("", &err), HB_ERR_ARGUMENT, "name of a directory is empty");
}

static void test_version(void **state)
{
    (void)state;
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", HB_VERSION_MAJOR, HB_VERSION_MINOR,
             HB_VERSION_PATCH);
    assert_string_equal(hb_version(), expected);
}

static void test_printable(void **state)
{
    (void)state;
    char out[8];
    assert_string_equal(hb_printable(out, 8, "1234567", 7), "1234567");
    assert_string_equal(hb_printable(out, 8, "12345678", 8), "1234...");
    assert_string_equal(hb_printable(out, 8, "123\xC3\xA9\xC3\xA9\xC3\xA9", 9), "123...");
    assert_string_equal(hb_printable(out, 8, "a\nb\x7F\xFF\0c", 7), "a b ? c");
    assert_string_equal(hb_printable(out, 8, "", 0), "");
}

/* Each control character becomes one space, whatever its length. Terminals act on C1 controls like on
 * escape sequences, and direction overrides show text in a false order. */
static void test_printable_stops_what_acts(void **state)
{
    (void)state;
    static const char *const acting[] = {
        "\x1B",         "\r",           "\x7F",         "\xC2\x80",     "\xC2\x85",
        "\xC2\x9B",     "\xC2\x9F",     "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAA",
        "\xE2\x80\xAE", "\xE2\x81\xA6", "\xE2\x81\xA9",
    };
    static const char *const shown[] = {
        " ",
        "~",
        "\xC2\xA0",
        "\xC2\xA9",
        "\xC3\x9B",
        "\xE2\x80\xA7",
        "\xE2\x80\xAF",
        "\xE2\x81\xA5",
        "\xE2\x81\xAA",
        "\xE2\x82\xA8",
        "\xE1\x80\xA8",
        "\xF0\x9F\x98\x80",
    };
    char out[16], text[16], expected[16];
    for (size_t i = 0; i < sizeof acting / sizeof *acting; i++) {
        snprintf(text, sizeof text, "a%sb", acting[i]);
        assert_string_equal(hb_printable(out, sizeof out, text, strlen(text)), "a b");
    }
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        snprintf(expected, sizeof expected, "a%sb", shown[i]);
        assert_string_equal(hb_printable(out, sizeof out, expected, strlen(expected)), expected);
    }
    /* The limit applies to the bytes written, not to the bytes read. */
    const char *run = "\xE2\x80\xAE\xE2\x80\xAE\xE2\x80\xAE\xE2\x80\xAE\xE2\x80\xAE";
    assert_string_equal(hb_printable(out, 8, run, 15), "     ");
    /* Single bytes that an 8-bit terminal would act on are malformed UTF-8. */
    assert_string_equal(hb_printable(out, 8,
                                     "a\x9B"
                                     "1m",
                                     4),
                        "a?1m");
}

static void test_printable_without_a_limit(void **state)
{
    (void)state;
    hb_buffer out = {0};
    assert_true(hb_add_printable(&out, "", 0, ""));
    assert_string_equal(out.data, "");
    const char text[] = "a\nb\tc\x1B[0m\xC2\x9B\xFF\xC3\xA9\0\xE2\x80";
    assert_true(hb_add_printable(&out, text, sizeof text - 1, "\n"));
    assert_string_equal(out.data, "a\nb c [0m ?\xC3\xA9 ??");
    hb_buffer_free(&out);
}

/* A message is one line, whatever its arguments contain. A message that is too long is cut and ends in
 * "...". */
static void test_errors_are_one_line(void **state)
{
    (void)state;
    hb_error err;
    assert_int_equal(hb_fail(NULL, HB_ERR_IO, "x"), HB_ERR_IO);
    assert_int_equal(hb_fail(&err, HB_ERR_IO, "%s: bad", "a\n\x1B]0;b\x07\xC2\x9B\xFF"), HB_ERR_IO);
    assert_string_equal(err.message, "a  ]0;b  ?: bad");
    hb_fail(&err, HB_ERR_DATA, "the file says: %s",
            err.message); /* the message itself as an argument */
    assert_string_equal(err.message, "the file says: a  ]0;b  ?: bad");
    char name[1000] = "";
    for (size_t i = 0; i + 3 < sizeof name; i += 2) memcpy(name + i, "\xC3\xA9", 3);
    hb_fail(&err, HB_ERR_DATA, "%s", name);
    size_t n = strlen(err.message);
    assert_true(n < sizeof err.message && n > sizeof err.message - 6);
    assert_string_equal(err.message + n - 5, "\xC3\xA9...");
}

static void test_white_space(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++)
        assert_int_equal(hb_is_space((char)c), c != 0 && strchr(" \t\n\v\f\r", c) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_printable_stops_what_acts),
        cmocka_unit_test(test_printable_without_a_limit),
        cmocka_unit_test(test_errors_are_one_line),
        cmocka_unit_test(test_white_space),
        cmocka_unit_test(test_rng_is_the_published_one),
        cmocka_unit_test(test_rng_ranges),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_grown),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_utf8_characters),
        cmocka_unit_test(test_utf8_clean),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test_setup_teardown(test_sha256, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_only_regular_files_are_read, make_scratch, remove_scratch),
        cmocka_unit_test(test_files_keep_off_the_standard_descriptors),
        cmocka_unit_test_setup_teardown(test_directories, make_scratch, remove_scratch),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
