/* Grading of answers. */
#include "check.h"

#include <sys/resource.h>
#include <sys/wait.h>
static hb_grade grade(const char *text, const char *answer)
{
    hb_grade g;
    hb_error err;
    assert_ok(hb_grade_answer(text, &answer, 1, NULL, &g, &err));
    return g;
}

static void test_exact_after_normalising(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {" Paris", "paris"},
        {"Paris.\nWhat is", "Paris"},
        {"\n\n The Hague\n", "Hague"},
        {"N'Djamena", "NDjamena"},
        {"Rimsky-Korsakov", "rimsky korsakov"},
        {"STRASSE", "stra\xC3\x9F"
                    "e"},                   /* full case folding */
        {"\xEF\xBC\xA1\xEF\xBC\xB5", "Au"}, /* full width */
        {"Sa\xCC\x83o", "S\xC3\xA3"
                        "o"},      /* composed and decomposed */
        {"H\xE2\x82\x82O", "H2O"}, /* a subscript */
        {"the", "The"},            /* nothing but an article */
        {"\xE2\x80\x9C"
         "Faust\xE2\x80\x9D!",
         "Faust"}, /* quotation marks */
    };
    static const char *const different[][2] = {
        {"", "Paris"},         {"Paris France", "Paris"},
        {"\xFF\xFE", "Paris"}, {"parism", "paris"},
        {"...", "..."},        {"C", "C++"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_true(grade(same[i][0], same[i][1]).exact);
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        assert_false(grade(different[i][0], different[i][1]).exact);
}

static void test_contains_whole_words(void **state)
{
    (void)state;
    assert_true(grade("It is New Delhi, I think.", "new delhi").contains);
    assert_false(grade("It is Newer Delhi", "new").contains);
    assert_false(grade("It is so.\nParis", "Paris").contains); /* the answer ended */
    assert_false(grade("anything", "!").contains);
}

static void test_f1_counts_words(void **state)
{
    (void)state;
    assert_near(grade("Johann Wolfgang Goethe", "Johann Wolfgang von Goethe").f1, 6.0 / 7, 1e-12);
    assert_near(grade("b b c", "b c c").f1, 2.0 / 3, 1e-12);
    assert_near(grade("x", "y").f1, 0, 0);
    assert_near(grade("", "y").f1, 0, 0);
}

static void test_best_of_several_and_label(void **state)
{
    (void)state;
    static const char *const answers[] = {"Sucre", "La Paz"};
    hb_grade g;
    hb_error err;
    assert_ok(hb_grade_answer(" La Paz", answers, 2, NULL, &g, &err));
    assert_true(g.exact && g.contains && g.f1 == 1);
    assert_ok(hb_grade_answer(" La Plata", answers, 2, NULL, &g, &err));
    assert_near(g.f1, 0.5, 1e-12);
    assert_int_equal(hb_grade_label(&g, &(hb_grading){.rule = HB_GRADE_EXACT, .min_f1 = 0.5}), 1);
    assert_int_equal(hb_grade_label(&g, &(hb_grading){.rule = HB_GRADE_F1, .min_f1 = 0.5}), 0);
    assert_int_equal(hb_grade_label(&g, &(hb_grading){.rule = HB_GRADE_F1, .min_f1 = 0.51}), 1);
    assert_ok(hb_grade_answer("x", NULL, 0, NULL, &g, &err));
    assert_false(g.exact || g.contains);
}

/* Starved of memory, whether an answer can be graded stays unsaid. */
static int ask_without_memory(const char *answer)
{
    bool gradable = true;
    struct rlimit none = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_AS, &none)) return 1;
    if (hb_answer_is_gradable(answer, &gradable, NULL) != HB_ERR_MEMORY) return 2;
    return gradable ? 0 : 3;
}

static void test_output_stays_unset(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* which cannot be starved */
#endif
    size_t length = 4 << 20;
    char *answer = malloc(length + 1);
    int status;
    memset(answer, '.', length);
    answer[length] = '\0';
    pid_t child = fork();
    if (child == 0) _exit(ask_without_memory(answer));
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_after_normalising),
        cmocka_unit_test(test_contains_whole_words),
        cmocka_unit_test(test_f1_counts_words),
        cmocka_unit_test(test_best_of_several_and_label),
        cmocka_unit_test(test_output_stays_unset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
