/* NaN or infinity in any tensor of a model makes its logits not finite, for every type and all kernels.
 * Such a model fails, with a message that names the tensor, and never gets scores. */
#include "check.h"

#include <dirent.h>
#include <math.h>
#include "engine/gguf.h"
#include "engine/norm.h"
#include "kernel_sets.h"

/* The offset of the half-precision scale in a block of a quantised type; -1 for other types and MXFP4.
 */
static int scale_place(uint32_t type)
{
    switch (type) {
    case HB_TYPE_Q2_K:
        return 80;
    case HB_TYPE_Q3_K:
        return 108;
    case HB_TYPE_Q6_K:
        return 208;
    case HB_TYPE_MXFP4:
    case HB_TYPE_F32:
    case HB_TYPE_F16:
    case HB_TYPE_BF16:
        return -1;
    default:
        return 0;
    }
}

/* Makes the first weight of a row, or its scale, `bad`: NaN or infinite. False if the type cannot hold
 * it. */
static bool spoil(uint8_t *row, uint32_t type, float bad)
{
    const uint16_t sign = bad < 0 ? 0x8000 : 0;
    const uint16_t half = isnan(bad) ? 0x7E00 : 0x7C00 | sign,
                   brain = isnan(bad) ? 0x7FC0 : 0x7F80 | sign;
    int place = scale_place(type);
    if (type == HB_TYPE_F32) memcpy(row, &bad, sizeof bad);
    else if (type == HB_TYPE_BF16) memcpy(row, &brain, sizeof brain);
    else if (type == HB_TYPE_F16) memcpy(row, &half, sizeof half);
    else if (place >= 0) memcpy(row + place, &half, sizeof half);
    else if (type == HB_TYPE_MXFP4 && isnan(bad)) *row = 255; /* the scale, a byte; none is infinite */
    else return false;
    return true;
}

enum { TOKEN = 7, MANY = 40, SOME = 4 }; /* the portable kernels multiply 4 tokens as they do 40 */

/* Whether any logit after n tokens is not finite. */
static bool shows(const hb_model *model, int32_t n, hb_kv_type type)
{
    hb_error err;
    hb_session *session;
    int32_t tokens[MANY], last = n - 1;
    size_t n_vocab = (size_t)hb_model_get_info(model)->n_vocab;
    float *logits = malloc(n_vocab * sizeof *logits);
    hb_tap tap = {.rows = &last, .n_rows = 1, .logits = logits};
    hb_distribution d;
    const hb_session_options o = {.n_ctx = MANY, .n_threads = 1, .kv_type = type};
    for (int32_t i = 0; i < n; i++) tokens[i] = TOKEN;
    assert_ok(hb_session_open(model, &o, &session, &err));
    assert_ok(hb_eval(session, tokens, n, &tap, &err));
    bool finite = hb_distribution_gather(logits, n_vocab, &d);
    hb_session_close(session);
    free(logits);
    return !finite;
}

/* Generation refuses the model and names the tensor. */
static void check_message(const hb_model *model, const char *spoiled, hb_text tensor)
{
    hb_error err;
    hb_session *session;
    hb_generation g;
    const int32_t prompt[] = {TOKEN, TOKEN};
    char name[128];
    const hb_session_options o = {.n_ctx = MANY, .n_threads = 1};
    snprintf(name, sizeof name, "the tensor '%.*s' has NaN or infinity", (int)tensor.length,
             tensor.bytes);
    assert_ok(hb_session_open(model, &o, &session, &err));
    if (hb_generate_tokens(session, prompt, 2, NULL, &g, &err) != HB_ERR_NUMERIC)
        fail_msg("%s: it generates", spoiled);
    if (!strstr(err.message, name)) fail_msg("%s: '%s'", spoiled, err.message);
    hb_session_close(session);
}

/* With each set of kernels that this processor can run, the types of cache by turns; in slow builds,
 * with one set by turns. */
static void check_model(const char *path, const char *spoiled, hb_text tensor)
{
    hb_error err;
    hb_model *model;
    assert_ok(hb_model_open(path, &model, &err));
    static int turn;
    do turn++;
    while (!hb_kernels_named(kernel_sets[turn % N_KERNEL_SETS]));
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kv_type type = (hb_kv_type)(HB_KV_F16 + (turn + s) % 3);
        if (!hb_kernels_named(kernel_sets[s]) || (UNDER_CHECKER && s != turn % N_KERNEL_SETS)) continue;
        setenv("HBAR_KERNELS", kernel_sets[s], 1);
        if (!shows(model, 1, type)) fail_msg("%s: one token hides it (%s)", spoiled, kernel_sets[s]);
        if (!shows(model, s ? MANY : SOME, type))
            fail_msg("%s: many tokens hide it (%s)", spoiled, kernel_sets[s]);
    }
    unsetenv("HBAR_KERNELS");
    check_message(model, spoiled, tensor);
    hb_model_close(model);
}

/* The first bytes of the mapped file: the first key begins 32 bytes later. */
static const uint8_t *map_of(const hb_gguf *gguf)
{
    uint64_t n;
    const hb_gguf_value *values = hb_gguf_values(gguf, &n);
    const char *first = values[0].key.bytes;
    for (uint64_t i = 1; i < n; i++)
        if (values[i].key.bytes < first) first = values[i].key.bytes;
    return (const uint8_t *)first - 32;
}

static bool begins(hb_text name, const char *with)
{
    return name.length >= strlen(with) && memcmp(name.bytes, with, strlen(with)) == 0;
}

/* Makes each token of a mixture use all experts, so that none of them hides what it holds. */
static void use_all_experts(const file_bytes *f, const hb_gguf *gguf)
{
    char key[128];
    hb_text name = hb_gguf_get_text(gguf, "general.architecture");
    snprintf(key, sizeof key, "%.*s.expert_count", (int)name.length, name.bytes);
    const hb_gguf_value *count = hb_gguf_find(gguf, key);
    snprintf(key, sizeof key, "%.*s.expert_used_count", (int)name.length, name.bytes);
    const hb_gguf_value *used = hb_gguf_find(gguf, key);
    if (count && used) memcpy(f->data + (used->data - map_of(gguf)), count->data, 4);
}

/* Damages each tensor, one after the other. */
static void check_tensors(const char *path, const char *dir, float bad)
{
    hb_error err;
    hb_gguf *gguf;
    uint64_t n;
    assert_ok(hb_gguf_open(path, &gguf, &err));
    const hb_gguf_tensor *tensors = hb_gguf_tensors(gguf, &n);
    file_bytes f = load_file(path, dir, "spoiled.gguf");
    use_all_experts(&f, gguf);
    for (uint64_t i = 0; i < n; i++) {
        const hb_gguf_tensor *t = &tensors[i];
        if (begins(t->name, "rope_")) continue;
        if (UNDER_SLOW_CHECKER && i % 7) continue; /* some tensors of each model */
        uint64_t row = begins(t->name, "token_embd") ? TOKEN : 0;
        uint8_t before[256], *at = f.data + (t->data - map_of(gguf)) + row * t->row_bytes;
        char name[400];
        memcpy(before, at, sizeof before);
        if (!spoil(at, t->type, bad)) continue;
        snprintf(name, sizeof name, "%g in %.*s of %.200s", (double)bad, (int)t->name.length,
                 t->name.bytes, path);
        save_file(&f, f.size);
        memcpy(at, before, sizeof before);
        check_model(f.path, name, t->name);
    }
    free(f.data);
    hb_gguf_close(gguf);
}

static void check_all(const char *dir, float bad)
{
    DIR *models = opendir(HBAR_TEST_MODELS);
    const struct dirent *entry;
    int n = 0;
    assert_non_null(models);
    while ((entry = readdir(models))) {
        char path[600];
        if (strncmp(entry->d_name, "tiny-", 5) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", HBAR_TEST_MODELS, entry->d_name);
        check_tensors(path, dir, bad);
        n++;
    }
    closedir(models);
    assert_true(n > 20);
}

static void test_nan(void **state)
{
    check_all(*state, NAN);
}

static void test_infinity(void **state)
{
    check_all(*state, INFINITY);
    check_all(*state, -INFINITY);
}

/* A value that is finite, but beyond a half. */
static void test_beyond_halves(void **state)
{
    const char *path = HBAR_TEST_MODELS "/tiny-f32.gguf";
    const float large = 1e9f;
    hb_error err;
    hb_gguf *gguf;
    hb_model *model;
    uint64_t n, v = 0;
    assert_ok(hb_gguf_open(path, &gguf, &err));
    const hb_gguf_tensor *tensors = hb_gguf_tensors(gguf, &n);
    while (v < n && !begins(tensors[v].name, "blk.0.attn_v.weight")) v++;
    assert_true(v < n);
    file_bytes f = load_file(path, *state, "large.gguf");
    memcpy(f.data + (tensors[v].data - map_of(gguf)), &large, sizeof large);
    save_file(&f, f.size);
    assert_ok(hb_model_open(f.path, &model, &err));
    assert_true(shows(model, 2, HB_KV_F16));
    assert_false(shows(model, 2, HB_KV_F32));
    assert_false(shows(model, 2, HB_KV_Q8_0));
    hb_model_close(model);
    free(f.data);
    hb_gguf_close(gguf);
}

/* Finite values whose squares are not: the norm is that of smaller values in the same proportions. */
static void test_large_values(void **state)
{
    const float x[4] = {3e30f, -1e30f, 2e30f, 3e30f}, small[4] = {3, -1, 2, 3}, ones[4] = {1, 1, 1, 1};
    float out[4], wanted[4];
    (void)state;
    hb_rms_norm(x, ones, 1e-5f, 4, out);
    hb_rms_norm(small, ones, 0, 4, wanted);
    for (int i = 0; i < 4; i++) assert_near(out[i], wanted[i], 1e-6);
    const float infinite[4] = {INFINITY, 1, 2, 3};
    hb_rms_norm(infinite, ones, 1e-5f, 4, out);
    assert_true(isnan(out[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_infinity),
        cmocka_unit_test(test_beyond_halves),
        cmocka_unit_test(test_large_values),
    };
    return cmocka_run_group_tests_name("nonfinite", tests, make_scratch, remove_scratch);
}
