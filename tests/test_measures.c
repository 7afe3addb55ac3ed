/* Measures over samples, against values that NumPy computed from their definitions. */
#include "check.h"

#include <jansson.h>
#include <math.h>
#include "base/eigen.h"
#include "measures/graph.h"
#include "measures/sentences.h"
#include "measures/texts.h"

/* ---- Reference values ---------------------------------------------------------------------------- */

/* One case of the reference, as the library takes it. */
typedef struct reference_case {
    hb_sampled *answers;
    double *entailment;
    size_t n; /* samples */
} reference_case;

static reference_case read_case(const json_t *json)
{
    const json_t *texts = json_object_get(json, "texts"), *e = json_object_get(json, "entailment");
    size_t n = json_array_size(texts);
    reference_case c = {calloc(n, sizeof *c.answers), NULL, n - 1};
    for (size_t i = 0; i < n; i++) {
        c.answers[i].text = json_string_value(json_array_get(texts, i));
        c.answers[i].log_prob = json_real_value(json_array_get(json_object_get(json, "log_probs"), i));
        c.answers[i].n_tokens =
            (int32_t)json_integer_value(json_array_get(json_object_get(json, "lengths"), i));
    }
    if (!json_is_array(e)) return c;
    c.entailment = calloc(n * n, sizeof *c.entailment);
    for (size_t i = 0; i < n * n; i++)
        c.entailment[i] = json_real_value(json_array_get(json_array_get(e, i / n), i % n));
    return c;
}

static void check_case(json_t *json)
{
    reference_case c = read_case(json);
    json_t *wanted = json_object_get(json, "measures"), *value;
    const char *name;
    hb_scores *scores;
    hb_error err;
    assert_ok(hb_measure_samples(c.answers, c.n, c.entailment, &scores, &err));
    assert_int_equal(hb_scores_count(scores), json_object_size(wanted));
    json_object_foreach(wanted, name, value)
    {
        double got = hb_scores_value(scores, name), right = json_number_value(value);
        if (!(fabs(got - right) <= 1e-9 * fmax(1, fabs(right))))
            fail_msg("%s: %s is %.15g, not %.15g", json_string_value(json_object_get(json, "name")),
                     name, got, right);
    }
    hb_scores_free(scores);
    free(c.answers);
    free(c.entailment);
}

static void test_reference(void **state)
{
    (void)state;
    json_error_t why;
    json_t *all = json_load_file(HBAR_PROJECT "/tests/reference/measures_reference.json", 0, &why),
           *one;
    size_t i;
    assert_non_null(all);
    assert_true(json_array_size(all) >= 18);
    json_array_foreach(all, i, one) check_case(one);
    json_decref(all);
}

/* Whether a reference case of that name, with judged entailment, has a value of the measure. */
static bool has_value(const json_t *all, const char *name, const char *measure)
{
    size_t i;
    json_t *one;
    json_array_foreach(all, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) != 0) continue;
        if (json_object_get(json_object_get(one, "measures"), measure)) return true;
    }
    return false;
}

/* Every measure that needs no question but entailment has reference values for random, tied, identical
 * and empty answers. */
static void test_every_measure_has_a_reference(void **state)
{
    (void)state;
    static const char *const names[] = {"random", "tied", "identical", "empty", "all empty"};
    json_error_t why;
    json_t *all = json_load_file(HBAR_PROJECT "/tests/reference/measures_reference.json", 0, &why);
    const char *measure;
    for (size_t i = 0; (measure = hb_measure_name(i)) != NULL; i++) {
        const char *question = hb_measure_question(i);
        if (hb_measure_needs_states(i) || (question && strcmp(question, "entailment") != 0)) continue;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (!has_value(all, names[k], measure)) fail_msg("%s of %s answers", measure, names[k]);
    }
    json_decref(all);
}

static void check_spread(const json_t *json)
{
    const json_t *states = json_object_get(json, "states"),
                 *wanted = json_object_get(json, "eigenscore");
    size_t n = json_array_size(states), length = json_array_size(json_array_get(states, 0));
    float *values = calloc(n * length, sizeof *values);
    double score = 0, right = json_number_value(wanted);
    hb_error err;
    for (size_t i = 0; i < n * length; i++)
        values[i] =
            (float)json_number_value(json_array_get(json_array_get(states, i / length), i % length));
    assert_ok(hb_eigen_score(values, n, length, &score, &err));
    if (!(fabs(score - right) <= 1e-9 * fmax(1, fabs(right))))
        fail_msg("%s: %.15g, not %.15g", json_string_value(json_object_get(json, "name")), score,
                 right);
    values[n - 1] = NAN;
    assert_fails(hb_eigen_score(values, n, length, &score, &err), HB_ERR_ARGUMENT, "not finite");
    assert_fails(hb_eigen_score(values, 0, length, &score, &err), HB_ERR_ARGUMENT, "needs states");
    free(values);
}

/* EigenScore of random, tied and identical states, of one sample, and of more samples than dimensions.
 */
static void test_eigenscore(void **state)
{
    (void)state;
    json_error_t why;
    json_t *all = json_load_file(HBAR_PROJECT "/tests/reference/eigenscore_reference.json", 0, &why),
           *one;
    size_t i;
    assert_int_equal(json_array_size(all), 7);
    json_array_foreach(all, i, one) check_spread(one);
    json_decref(all);
}

/* ---- Properties ---------------------------------------------------------------------------------- */

static void test_registry(void **state)
{
    (void)state;
    size_t place, n_entailment = 0;
    const char *name;
    for (size_t i = 0; (name = hb_measure_name(i)) != NULL; i++) {
        assert_true(hb_measure_find(name, &place));
        assert_int_equal(place, i);
        assert_true(strlen(hb_measure_about(i)) > 0);
        assert_true(hb_measure_risky(i) != HB_DIRECTION_AUTO);
        assert_null(hb_signal_find(name));
        hb_score_id id;
        assert_false(hb_score_find(name, &id));
        bool named = strstr(name, ":entailment") != NULL;
        const char *question = hb_measure_question(i);
        assert_int_equal(question && strcmp(question, "entailment") == 0, named);
        n_entailment += named;
    }
    assert_int_equal(n_entailment, 10);
    assert_false(hb_measure_find("eigv:", &place));
    assert_string_equal(hb_similarity_name(HB_SIMILARITY_ROUGE_L), "rouge");
}

/* Samples of the same text are one sequence: its probability counts once, and its share n times. */
static void test_duplicates(void **state)
{
    (void)state;
    const hb_sampled once[] = {{"a", -1, 1}, {"yes", log(0.5), 1}, {"no", log(0.25), 1}};
    const hb_sampled thrice[] = {{"a", -1, 1},
                                 {"yes", log(0.5), 1},
                                 {"yes", log(0.5), 1},
                                 {"yes", log(0.5), 1},
                                 {"no", log(0.25), 1}};
    hb_scores *a, *b;
    hb_error err;
    assert_ok(hb_measure_samples(once, 2, NULL, &a, &err));
    assert_ok(hb_measure_samples(thrice, 4, NULL, &b, &err));
    assert_near(hb_scores_value(a, "semantic_entropy"), hb_scores_value(b, "semantic_entropy"), 1e-15);
    assert_near(hb_scores_value(b, "discrete_semantic_entropy"), -0.75 * log(0.75) - 0.25 * log(0.25),
                1e-15);
    assert_near(hb_scores_value(a, "discrete_semantic_entropy"), log(2), 1e-15);
    hb_scores_free(a);
    hb_scores_free(b);
}

/* Numbers of clusters where they are known: with matches only, EigV counts the clusters. */
static void test_clusters(void **state)
{
    (void)state;
    const hb_sampled answers[] = {{"the 5,000,000", -1, 2}, {"Paris!", -1, 2},   {"5,000,000", -2, 3},
                                  {"paris", -1, 2},         {"5000000.", -3, 2}, {"London", -4, 2}};
    size_t cluster[6], n_clusters;
    hb_error err;
    assert_ok(hb_cluster_samples(answers, 5, NULL, cluster, &n_clusters, &err));
    static const size_t wanted[] = {1, 0, 1, 0, 1, 2};
    assert_int_equal(n_clusters, 3);
    for (int i = 0; i < 6; i++) assert_int_equal(cluster[i], wanted[i]);
    const hb_sampled other[] = {{"Rome", -1, 2}, {"Paris", -1, 2}, {"London", -1, 2}};
    assert_ok(hb_cluster_samples(other, 2, NULL, cluster, &n_clusters, &err));
    assert_int_equal(cluster[0], n_clusters);
    const double entailment[] = {1, 0.9, 0.1, 0.9, 1, 0.4, 0.6, 0.9, 1};
    assert_ok(hb_cluster_samples(other, 2, entailment, cluster, &n_clusters, &err));
    assert_int_equal(n_clusters, 2); /* one direction is not enough */
    assert_int_equal(cluster[0], 0);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    const hb_sampled answers[] = {{"a", -1, 1}, {"b", -INFINITY, 1}};
    hb_scores *scores;
    hb_error err;
    assert_fails(hb_measure_samples(answers, 0, NULL, &scores, &err), HB_ERR_ARGUMENT, "at least one");
    assert_fails(hb_measure_samples(answers, 1, NULL, &scores, &err), HB_ERR_ARGUMENT, "answer 1");
}

/* A matrix with known eigenvalues: a path of n nodes has 2 - 2 cos(pi k / n). */
static void test_eigenvalues(void **state)
{
    (void)state;
    enum { N = 24 };
    static double a[N * N], before[N * N], vectors[N * N];
    const double pi = acos(-1);
    for (int i = 0; i < N; i++) {
        a[i * N + i] = i == 0 || i == N - 1 ? 1 : 2;
        if (i) a[i * N + i - 1] = a[(i - 1) * N + i] = -1;
    }
    memcpy(before, a, sizeof a);
    hb_eigen_symmetric(a, vectors, N);
    for (int k = 0; k < N; k++) {
        double wanted = 2 - 2 * cos(pi * k / N), nearest = INFINITY;
        for (int i = 0; i < N; i++) nearest = fmin(nearest, fabs(a[i * N + i] - wanted));
        assert_near(nearest, 0, 1e-12);
        for (int i = 0; i < N; i++) { /* A v = lambda v */
            double sum = 0;
            for (int j = 0; j < N; j++) sum += before[i * N + j] * vectors[j * N + k];
            assert_near(sum, a[k * N + k] * vectors[i * N + k], 1e-12);
        }
    }
}

/* ---- Sentences ----------------------------------------------------------------------------------- */

static void check_sentences(const char *text, const char *const *wanted, size_t n)
{
    size_t at = 0, start, end, i = 0;
    for (; hb_sentence_next(text, strlen(text), &at, &start, &end); i++) {
        assert_true(i < n);
        assert_int_equal(end - start, strlen(wanted[i]));
        assert_memory_equal(text + start, wanted[i], end - start);
    }
    assert_int_equal(i, n);
}

static void test_sentences(void **state)
{
    (void)state;
    static const char *const plain[] = {"Dr. A. Smith was born in 1.5 s.", "He said \"no!\"", "Why?",
                                        "A list", "- of two"};
    check_sentences("Dr. A. Smith was born in 1.5 s. He said \"no!\"  Why?\nA list\n\n- of two\n",
                    plain, 5);
    static const char *const wide[] = {"\xE6\x98\xAF\xE3\x80\x82", "\xE4\xB8\x8D\xE3\x80\x82"};
    check_sentences("\xE6\x98\xAF\xE3\x80\x82\xE4\xB8\x8D\xE3\x80\x82", wide, 2);
    check_sentences(" \n ", NULL, 0);
    check_sentences("", NULL, 0);
    static const char *const dots[] = {"...", "a.b"};
    check_sentences("... a.b", dots, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_eigenscore),
        cmocka_unit_test(test_every_measure_has_a_reference),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_eigenvalues),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
