/* The engine against reference vectors made by llama.cpp (tests/peer/make_vectors.py). */
#include "check.h"

#include <jansson.h>
#include <math.h>
#include "engine/kernels/kernels.h"

#define LIMIT 1e-3

typedef struct walk {
    hb_session *session;
    const hb_model_info *info;
    float *logits, *states;
} walk;

static double number(const json_t *array, size_t i)
{
    return json_number_value(json_array_get(array, i));
}

static double norm(const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    return sqrt(sum);
}

static void check_logits(const walk *w, const json_t *sample)
{
    const json_t *at = json_object_get(sample, "logits_at"),
                 *expected = json_object_get(sample, "logits");
    assert_true(json_array_size(at) >= 10);
    for (size_t i = 0; i < json_array_size(at); i++)
        assert_near(w->logits[json_integer_value(json_array_get(at, i))], number(expected, i), LIMIT);
    double expected_norm = json_number_value(json_object_get(sample, "logits_norm"));
    assert_near(norm(w->logits, (size_t)w->info->n_vocab), expected_norm, LIMIT * expected_norm);
}

static void check_states(const walk *w, const json_t *sample)
{
    const json_t *at = json_object_get(sample, "states_at"),
                 *expected = json_object_get(sample, "states");
    const json_t *norms = json_object_get(sample, "norms");
    size_t d = (size_t)w->info->n_embd;
    assert_int_equal(json_array_size(expected), w->info->n_layers);
    for (size_t l = 0; l < json_array_size(expected); l++) {
        const float *state = w->states + l * d;
        assert_near(norm(state, d), number(norms, l), LIMIT * number(norms, l));
        for (size_t i = 0; i < json_array_size(at); i++)
            assert_near(state[json_integer_value(json_array_get(at, i))],
                        number(json_array_get(expected, l), i), LIMIT * number(norms, l));
    }
}

static int32_t argmax(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Evaluates a prompt, then greedy tokens. Compares tokens at every step, and logits and states at the
 * sampled steps. */
static size_t check_prompt(walk *w, const hb_model *model, const json_t *vector)
{
    hb_error err;
    const char *prompt = json_string_value(json_object_get(vector, "prompt"));
    const json_t *expected_prompt = json_object_get(vector, "prompt_tokens");
    const json_t *expected = json_object_get(vector, "tokens"),
                 *samples = json_object_get(vector, "samples");
    int32_t *tokens;
    size_t n, next_sample = 0;
    assert_ok(hb_tokenize(model, prompt, strlen(prompt), true, true, &tokens, &n, &err));
    assert_int_equal(n, json_array_size(expected_prompt));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(tokens[i], json_integer_value(json_array_get(expected_prompt, i)));

    hb_session_reset(w->session);
    for (size_t step = 0; step < json_array_size(expected); step++) {
        int32_t last = (int32_t)n - 1;
        hb_tap tap = {.rows = &last, .n_rows = 1, .logits = w->logits, .states = w->states};
        assert_ok(hb_eval(w->session, tokens, (int32_t)n, &tap, &err));
        const json_t *sample = json_array_get(samples, next_sample);
        if (json_integer_value(json_object_get(sample, "step")) == (json_int_t)step) {
            check_logits(w, sample);
            check_states(w, sample);
            next_sample++;
        }
        tokens[0] = argmax(w->logits, w->info->n_vocab);
        n = 1;
        assert_int_equal(tokens[0], json_integer_value(json_array_get(expected, step)));
    }
    assert_int_equal(next_sample, json_array_size(samples));
    free(tokens);
    return json_array_size(expected);
}

/* Checks all prompts of a vector file; returns how many tokens were compared. */
static size_t check_model(const char *model_path, const char *name)
{
    hb_error err;
    hb_model *model;
    char path[512];
    size_t total = 0;
    snprintf(path, sizeof path, "%s/%s.json", HBAR_TEST_VECTORS, name);
    json_t *vectors = json_load_file(path, 0, NULL);
    assert_true(json_array_size(vectors) > 0);
    walk w;
    assert_ok(hb_model_open(model_path, &model, &err));
    /* Does not quantise activations: the vectors come from exact arithmetic on unpacked weights. */
    const hb_session_options options = {.exact = true};
    assert_ok(hb_session_open(model, &options, &w.session, &err));
    w.info = hb_model_get_info(model);
    w.logits = calloc((size_t)w.info->n_vocab, sizeof *w.logits);
    w.states = calloc((size_t)w.info->n_layers * (size_t)w.info->n_embd, sizeof *w.states);
    for (size_t i = 0; i < json_array_size(vectors); i++)
        total += check_prompt(&w, model, json_array_get(vectors, i));
    free(w.logits);
    free(w.states);
    hb_session_close(w.session);
    hb_model_close(model);
    json_decref(vectors);
    return total;
}

static void test_trained_model(void **state)
{
    (void)state;
    assert_true(check_model(shared_file("models/stories260K.gguf"), "stories260K") >= 200);
}

/* The models of tests/CMakeLists.txt, one for each type and each architecture. */
static void test_small_model(void **state)
{
    char name[32];
    snprintf(name, sizeof name, "tiny-%s", (const char *)*state);
    assert_true(check_model(tiny_model(*state), name) > 0);
}

#define SMALL_MODEL(name)                                                                              \
    {                                                                                                  \
        name, test_small_model, NULL, NULL, name                                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trained_model),
        SMALL_MODEL("f32"),
        SMALL_MODEL("f16"),
        SMALL_MODEL("bf16"),
        SMALL_MODEL("q8_0"),
        SMALL_MODEL("q4_0"),
        SMALL_MODEL("q4_k"),
        SMALL_MODEL("q6_k"),
        SMALL_MODEL("q4_1"),
        SMALL_MODEL("q5_0"),
        SMALL_MODEL("q5_1"),
        SMALL_MODEL("iq4_nl"),
        SMALL_MODEL("mxfp4"),
        SMALL_MODEL("q2_k"),
        SMALL_MODEL("q3_k"),
        SMALL_MODEL("q5_k"),
        SMALL_MODEL("iq4_xs"),
        SMALL_MODEL("llama3"),
        SMALL_MODEL("linear"),
        SMALL_MODEL("yarn"),
        SMALL_MODEL("qwen2"),
        SMALL_MODEL("qwen3"),
        SMALL_MODEL("phi3"),
        SMALL_MODEL("phi3-window"),
        SMALL_MODEL("gemma2"),
        SMALL_MODEL("gemma3"),
        SMALL_MODEL("smollm3"),
        SMALL_MODEL("olmo2"),
        SMALL_MODEL("granite"),
        SMALL_MODEL("glm4"),
        SMALL_MODEL("exaone4"),
        SMALL_MODEL("exaone4-flags"),
        SMALL_MODEL("mistral3"),
        SMALL_MODEL("experts"),
        SMALL_MODEL("qwen2moe"),
        SMALL_MODEL("qwen3moe"),
        SMALL_MODEL("olmoe"),
        SMALL_MODEL("gpt-oss"),
    };
    const char *kernels = getenv("HBAR_KERNELS");
    if (kernels && !hb_kernels_named(kernels)) {
        printf("skipped: this processor has no %s\n", kernels);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
