/* The files of settings: what is read, and where an error is. */
#include "check.h"

#include "allocations.h"
#include "base/toml.h"

static const char document[] =
    "# before\n"
    "threads = 4   # after\r\n"
    "\n"
    "lambda=-2.5e-3\n"
    "\ttau = +7\n"
    "exact\t=\ttrue\n"
    "quiet = false\n"
    "on-halt = \"I \\\"don't\\\" know.\\t\\u00e9\\U0001F600\\\\\"# no blank\n"
    "model = 'C:\\x \"y\" #z'\n"
    "empty = \"\"\n"
    "[ generate ] # a head\n"
    "stop = [ \"a\", # one\n"
    "  'b' ,\n"
    "\n"
    "]\n"
    "none = []\n"
    "[score]\n"
    "threads = 0";

static void test_reading(void **state)
{
    (void)state;
    static const struct {
        const char *table, *key;
        hb_toml_kind kind;
        const char *first, *last;
        size_t n, line;
    } expected[] = {
        {"", "threads", HB_TOML_INTEGER, "4", "4", 1, 2},
        {"", "lambda", HB_TOML_FLOAT, "-2.5e-3", "-2.5e-3", 1, 4},
        {"", "tau", HB_TOML_INTEGER, "7", "7", 1, 5},
        {"", "exact", HB_TOML_BOOLEAN, "true", "true", 1, 6},
        {"", "quiet", HB_TOML_BOOLEAN, "false", "false", 1, 7},
        {"", "on-halt", HB_TOML_STRING, "I \"don't\" know.\t\xC3\xA9\xF0\x9F\x98\x80\\", NULL, 1, 8},
        {"", "model", HB_TOML_STRING, "C:\\x \"y\" #z", NULL, 1, 9},
        {"", "empty", HB_TOML_STRING, "", "", 1, 10},
        {"generate", "", HB_TOML_TABLE, NULL, NULL, 0, 11},
        {"generate", "stop", HB_TOML_STRINGS, "a", "b", 2, 12},
        {"generate", "none", HB_TOML_STRINGS, NULL, NULL, 0, 16},
        {"score", "", HB_TOML_TABLE, NULL, NULL, 0, 17},
        {"score", "threads", HB_TOML_INTEGER, "0", "0", 1, 18},
    };
    hb_error err;
    hb_toml t;
    assert_ok(hb_toml_parse("f", document, strlen(document), &t, &err));
    assert_int_equal(t.n, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < t.n; i++) {
        const hb_toml_entry *e = &t.entries[i];
        assert_string_equal(e->table, expected[i].table);
        assert_string_equal(e->key, expected[i].key);
        assert_int_equal(e->kind, expected[i].kind);
        assert_int_equal(e->line, expected[i].line);
        assert_int_equal(e->values.n, expected[i].n);
        if (expected[i].first) assert_string_equal(e->values.list[0], expected[i].first);
        if (expected[i].last) assert_string_equal(e->values.list[e->values.n - 1], expected[i].last);
    }
    hb_toml_free(&t);
}

static void test_empty(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", " \t# only a comment", "\r\n\r\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        hb_error err;
        hb_toml t;
        assert_ok(hb_toml_parse("f", texts[i], strlen(texts[i]), &t, &err));
        assert_int_equal(t.n, 0);
        hb_toml_free(&t);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"a = 1\na = 2", "f:2: 'a' is given twice, first in line 1"},
        {"[t]\na = 1\n[u]\na = 1\n[t]", "f:5: 't' is given twice, first in line 1"},
        {"a", "f:1: 'a' needs = and a value"},
        {"\na =", "f:2: 'a' has no value"},
        {"a = # none", "'a' has no value"},
        {"a = \n1", "f:1: 'a' has no value"},
        {"= 1", "expected the name of an option"},
        {"a = b", "'b' is not a value; a text must stand in quotes"},
        {"a = True", "'True' is not a value"},
        {"a = 1 2", "expected the end of the line"},
        {"a = 1, b = 2", "expected the end of the line"},
        {"a = 007", "'007' is not a value"},
        {"a = 0x10", "'0x10' is not a value"},
        {"a = 1_000", "'1_000' is not a value"},
        {"a = 1.", "'1.' is not a value"},
        {"a = .5", "'.5' is not a value"},
        {"a = 1e", "'1e' is not a value"},
        {"a = inf", "'inf' is not a value"},
        {"a = nan", "'nan' is not a value"},
        {"a = 1979-05-27", "'1979-05-27' is not a value"},
        {"a = \"x", "a string has no closing \""},
        {"a = 'x\n'", "f:1: a string has no closing '"},
        {"a = \"\"\"x\"\"\"", "strings of several lines are not supported"},
        {"a = '''x'''", "strings of several lines are not supported"},
        {"a = \"\\q\"", "unknown escape"},
        {"a = \"\\", "unknown escape"},
        {"a = \"\\u12\"", "an escape needs 4 hexadecimal digits"},
        {"a = \"\\u0000\"", "U+0000 is not a character"},
        {"a = \"\\uD800\"", "U+D800 is not a character"},
        {"a = \"\\U00110000\"", "U+110000 is not a character"},
        {"a = [1]", "an array must have strings only"},
        {"a = [\"x\" \"y\"]", "an array needs a comma"},
        {"a = [,]", "an array must have strings only"},
        {"a = [\n\"x\",\n", "f:3: an array must have strings only, and end with ]"},
        {"a = [[\"x\"]]", "an array must have strings only"},
        {"a = {b = 1}", "inline tables are not supported"},
        {"[[a]]", "arrays of tables are not supported"},
        {"[a", "has no closing ]"},
        {"[]", "expected the name"},
        {"[a] b = 1", "expected the end of the line"},
        {"a.b = 1", "names with dots are not supported"},
        {"[a.b]", "names with dots are not supported"},
        {"\"a\" = 1", "names in quotes are not supported"},
        {"a = 1\x01", "f:1: has the control character 0x01"},
        {"a = 1\rb = 2", "has the control character 0x0d"},
        {"\n\na = \"\xFF\"", "f:3: the text is not UTF-8"},
        {"a = 1\n\xEF\xBB\xBF", "f:2: expected the name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_toml t;
        assert_fails(hb_toml_parse("f", cases[i].text, strlen(cases[i].text), &t, &err), HB_ERR_FORMAT,
                     cases[i].says);
    }
    hb_error err;
    hb_toml t;
    char name[80];
    memset(name, 'a', sizeof name);
    assert_fails(hb_toml_parse("f", name, sizeof name, &t, &err), HB_ERR_FORMAT, "more than 64");
    assert_fails(hb_toml_parse("f", "a = '\0'", 7, &t, &err), HB_ERR_FORMAT, "0x00");
}

static void test_without_memory(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        hb_error err;
        hb_toml t;
        fail_allocations(n, 0);
        hb_status status = hb_toml_parse("f", document, strlen(document), &t, &err);
        stop_failing();
        if (!status) hb_toml_free(&t);
        else assert_int_equal(status, HB_ERR_MEMORY);
        if (!allocations.failed) break;
        assert_in_range(n, 0, 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
