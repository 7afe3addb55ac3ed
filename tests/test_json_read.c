/* Reading JSON when memory runs out: never a part of a document, never "malformed". */
#include "check.h"

#include "allocations.h"
#include "base/json_read.h"

static const char document[] =
    "{\"id\": \"caf\xC3\xA9 and a text longer than Jansson's first buffer, which grows\","
    " \"list\": [1, 2.5, true, null, {\"key\": \"\\u20ac\\n\"}, [\"a\", \"b\"]],"
    " \"123456789012345678\": -7, \"a\": {}, \"b\": {}, \"c\": {}, \"d\": {},"
    " \"e\": {}, \"f\": {}, \"g\": {}, \"h\": []}";

static json_t *load(const char *text)
{
    hb_error err;
    json_error_t why;
    json_t *value;
    assert_ok(hb_json_load(text, strlen(text), 0, &value, &why, &err));
    return value;
}

/* Loads a text with each allocation failing, alone and with all later ones. */
static void check_loading(const char *text)
{
    hb_error err;
    json_error_t why;
    json_t *whole = load(text), *value;
    assert_non_null(whole);
    for (long n = 0;; n++) {
        for (int all_after = 0; all_after < 2; all_after++) {
            fail_allocations(n, all_after);
            hb_status status = hb_json_load(text, strlen(text), 0, &value, &why, &err);
            stop_failing();
            if (allocations.failed) assert_int_equal(status, HB_ERR_MEMORY);
            else assert_int_equal(status, HB_OK);
            if (status) continue;
            assert_true(json_equal(value, whole));
            json_decref(value);
        }
        if (!allocations.failed) break;
        assert_in_range(n, 0, 10000);
    }
    json_decref(whole);
}

static void test_loading(void **state)
{
    (void)state;
    check_loading(document);
}

/* Jansson's buffer for a token grows at every length, so each character of a token is once the one that
 * it drops: also the quote at the end, and the backslash before a quote. */
static void test_tokens_of_each_length(void **state)
{
    (void)state;
    static const char *const ends[] = {"\"]", "\\\"\"]", "\\\\\"]", "\\u00e9\"]", "\", 1]"};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
        for (int length = 0; length < 140; length++) {
            char text[200];
            snprintf(text, sizeof text, "[\"%0*d%s", length + 1, 0, ends[e]);
            check_loading(text);
        }
}

static void test_malformed(void **state)
{
    (void)state;
    hb_error err;
    json_error_t why;
    json_t *value = (json_t *)&why;
    assert_ok(hb_json_load("[1, x]", 6, 0, &value, &why, &err));
    assert_null(value);
    assert_non_null(strstr(why.text, "invalid token"));
}

static void test_copying(void **state)
{
    (void)state;
    json_t *whole = load(document);
    for (long n = 0;; n++) {
        fail_allocations(n, false);
        json_t *copy = hb_json_copy(whole);
        stop_failing();
        if (copy) assert_true(json_equal(copy, whole));
        assert_int_equal(!copy, allocations.failed > 0);
        json_decref(copy);
        if (!allocations.failed) break;
        assert_in_range(n, 0, 10000);
    }
    json_decref(whole);
}

/* Jansson takes its memory from where allocations fail, also through hbar's function. */
static int take_allocations(void **state)
{
    (void)state;
    json_set_alloc_funcs(__wrap_malloc, free);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loading),
        cmocka_unit_test(test_tokens_of_each_length),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_copying),
    };
    return cmocka_run_group_tests_name("json_read", tests, take_allocations, NULL);
}
