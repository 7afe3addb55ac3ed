/* Questions about answers: their texts, and the numbers that a model states. */
#include "check.h"

#include "measures/asks.h"
#include "score/asking.h"
#include "score/questions.h"

static void test_stated_probability(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double p;
    } good[] = {{"85", 0.85},
                {" 85 %.", 0.85},
                {"0.85", 0.85},
                {"I'd say 90 percent", 0.9},
                {"0", 0},
                {"100%", 1},
                {"1", 0.01},
                {"1.0", 1},
                {"0.5 %", 0.005},
                {"99.5", 0.995},
                {"Probability: 7\n", 0.07}};
    static const char *const bad[] = {"", "none", "very likely", "150", "-5", "1e99"};
    double p;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(hb_stated_probability(good[i].text, &p));
        assert_near(p, good[i].p, 1e-12);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(hb_stated_probability(bad[i], &p));
}

static void test_texts(void **state)
{
    (void)state;
    hb_questions *q;
    hb_buffer out = {0};
    hb_error err;
    const hb_filling f = {.question = "Who {x}?", .answer = "Ann", .other = "Bob"};
    assert_ok(hb_questions_open(NULL, &q, &err));
    assert_int_equal(strlen(hb_questions_sha256(q)), 64);
    assert_ok(hb_question_write(q, HB_QUESTION_ENTAILMENT, &f, &out, &err));
    assert_non_null(strstr(out.data, "Who {x}?")); /* a value is no template */
    assert_true(strstr(out.data, "Ann") < strstr(out.data, "Bob"));
    assert_fails(hb_question_write(q, HB_QUESTION_SELFCHECK, &f, &out, &err), HB_ERR_ARGUMENT,
                 "no placeholder {context}");
    hb_buffer_free(&out);
    hb_questions_free(q);
}

static void test_sets(void **state)
{
    (void)state;
    unsigned asks;
    hb_error err;
    assert_ok(hb_asks_parse("selfcheck,p_true,selfcheck", &asks, &err));
    assert_int_equal(asks, HB_ASKS_P_TRUE | HB_ASKS_SELFCHECK);
    char *text = hb_asks_text(asks);
    assert_string_equal(text, "p_true,selfcheck");
    free(text);
    assert_ok(hb_asks_parse("all", &asks, &err));
    assert_false(asks & HB_ASKS_ENTAILMENT);
    assert_ok(hb_asks_parse("", &asks, &err));
    assert_int_equal(asks, 0);
    assert_fails(hb_asks_parse("p_true,luck", &asks, &err), HB_ERR_ARGUMENT, "no question 'luck'");
    size_t n[2] = {0}, place;
    for (size_t i = 0; hb_measure_name(i); i++) {
        n[0] += hb_measure_is_kept(i, 0, HB_ASKS_P_TRUE | HB_ASKS_VERBALISED, true);
        n[1] += hb_measure_is_kept(i, 0, 0, true);
    }
    assert_int_equal(n[0], 2);
    assert_int_equal(n[1], 0);
    assert_true(hb_measure_find("eigv:entailment", &place));
    assert_false(hb_measure_is_kept(place, 5, 0, true));
    assert_true(hb_measure_is_kept(place, 5, HB_ASKS_ENTAILMENT, false));
    assert_true(hb_measure_find("eigenscore", &place));
    assert_false(hb_measure_is_kept(place, 5, 0, false));
    assert_true(hb_measure_is_kept(place, 5, 0, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stated_probability),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
