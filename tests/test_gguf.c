/* Models in several files, and inspection of any file. */
#include "check.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include "base/rng.h"

enum { PARTS = 3 };

static const char *part_name(int no)
{
    static char name[64];
    snprintf(name, sizeof name, "parts-%05d-of-%05d.gguf", no + 1, PARTS);
    return name;
}

static file_bytes load_part(void **state, int no)
{
    char from[512];
    snprintf(from, sizeof from, "%s/%s", HBAR_TEST_MODELS, part_name(no));
    return load_file(from, *state, part_name(no));
}

/* Copies all parts to the scratch directory; returns the first one's path there. */
static const char *copy_parts(void **state)
{
    static char path[160];
    for (int no = 0; no < PARTS; no++) {
        file_bytes f = load_part(state, no);
        save_file(&f, f.size);
        if (no == 0) memcpy(path, f.path, sizeof path);
        free(f.data);
    }
    return path;
}

/* ---- Split models -------------------------------------------------------------------------------- */

static float *logits_of(const hb_model *model)
{
    hb_error err;
    hb_session *s;
    const int32_t tokens[] = {1, 300, 412, 77}, last = 3;
    float *logits = calloc((size_t)hb_model_get_info(model)->n_vocab, sizeof *logits);
    const hb_session_options o = {.n_ctx = 8, .n_threads = 1};
    const hb_tap tap = {.rows = &last, .n_rows = 1, .logits = logits};
    assert_ok(hb_session_open(model, &o, &s, &err));
    assert_ok(hb_eval(s, tokens, 4, &tap, &err));
    hb_session_close(s);
    return logits;
}

static void test_parts_open_as_one(void **state)
{
    hb_error err;
    hb_model *whole, *split;
    assert_ok(hb_model_open(tiny_model("f32"), &whole, &err));
    assert_ok(hb_model_open(copy_parts(state), &split, &err));
    const hb_model_info *a = hb_model_get_info(whole), *b = hb_model_get_info(split);
    assert_int_equal(a->n_params, b->n_params);
    assert_string_equal(a->name, b->name);
    assert_true(b->file_size > a->file_size && b->file_size < a->file_size + 4096);
    float *x = logits_of(whole), *y = logits_of(split);
    assert_memory_equal(x, y, (size_t)a->n_vocab * sizeof *x);
    free(x);
    free(y);
    hb_model_close(whole);
    hb_model_close(split);
}

/* A part that was written to since the model was opened has no hash of these weights. */
static void test_hash_of_changed_part(void **state)
{
    static const struct timespec times[2] = {{2000000000, 0}, {2000000000, 0}};
    hb_error err;
    char hex[65] = "";
    for (int ahead = 0; ahead < 2; ahead++) {
        hb_model *model;
        const char *path = copy_parts(state);
        const hb_model_options options = {.hash_ahead = ahead};
        assert_ok(hb_model_open_with(path, &options, &model, &err));
        file_bytes f = load_part(state, 1);
        assert_int_equal(utimensat(AT_FDCWD, f.path, times, 0), 0);
        assert_fails(hb_model_sha256(model, hex, &err), HB_ERR_IO, "changed since it was opened");
        assert_string_equal(hex, "");
        free(f.data);
        hb_model_close(model);
    }
}

/* The hash covers the bytes of all parts, in order. */
static void test_hash_covers_all_parts(void **state)
{
    hb_error err;
    hb_model *model;
    char one[65], other[65], first[65];
    const char *path = copy_parts(state);
    for (int changed = -1; changed < PARTS; changed++) {
        if (changed >= 0) {
            file_bytes f = load_part(state, changed);
            f.data[f.size - 1] ^= 1;
            save_file(&f, f.size);
            free(f.data);
        }
        const hb_model_options ahead = {.hash_ahead = true};
        assert_ok(hb_model_open(path, &model, &err));
        assert_ok(hb_model_sha256(model, changed < 0 ? one : other, &err));
        hb_model_close(model);
        if (changed >= 0) assert_string_not_equal(one, other);
        assert_ok(hb_model_open_with(path, &ahead, &model, &err));
        assert_ok(hb_model_sha256(model, first, &err));
        assert_string_equal(first, changed < 0 ? one : other);
        hb_model_close(model);
    }
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    assert_ok(hb_model_sha256(model, one, &err));
    assert_ok(hb_file_sha256(tiny_model("f32"), first, &err));
    assert_string_equal(one, first);
    hb_model_close(model);
}

static void test_missing_and_misplaced_parts(void **state)
{
    hb_error err;
    hb_model *model;
    const char *path = copy_parts(state);
    file_bytes second = load_part(state, 1), third = load_part(state, 2);
    assert_fails(hb_model_open(second.path, &model, &err), HB_ERR_ARGUMENT, "part 2 of a model; open");
    assert_non_null(strstr(err.message, path));

    remove(third.path);
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_IO, third.path);
    assert_non_null(strstr(err.message, "part 3 of 3"));
    memcpy(second.path, third.path, sizeof second.path);
    save_file(&second, second.size); /* the second part under the name of the third */
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT, "part 2 of 3");
    assert_non_null(strstr(err.message, third.path));
    save_file(&third, third.size / 2);
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT, "truncated");

    char renamed[160];
    snprintf(renamed, sizeof renamed, "%s/renamed.gguf", (char *)*state);
    assert_int_equal(rename(path, renamed), 0);
    assert_fails(hb_model_open(renamed, &model, &err), HB_ERR_FORMAT,
                 "its name must end with -00001-of-00003.gguf");
    free(second.data);
    free(third.data);
}

/* Patches a number of one part, opens, and puts the part back. */
static void expect_patched(void **state, int no, const char *key, uint32_t type, uint32_t value,
                           const char *part)
{
    hb_error err;
    hb_model *model;
    const char *path = copy_parts(state);
    file_bytes f = load_part(state, no);
    memcpy(after(&f, key), &type, 4);
    memcpy(after(&f, key) + 4, &value, type == 2 ? 2 : 4);
    save_file(&f, f.size);
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT, part);
    free(f.data);
}

static void test_foreign_parts(void **state)
{
    expect_patched(state, 0, "split.count", 2, 0, "split.count' is 0");
    expect_patched(state, 0, "split.no", 2, 3, "split.no' is 3");
    expect_patched(state, 0, "split.tensors.count", 5, 0xFFFFFFFF, "split.tensors.count' is -1");
    expect_patched(state, 0, "split.tensors.count", 5, 29,
                   "00002-of-00003.gguf: part 2 of 3, with 30 tensors");
    expect_patched(state, 1, "split.count", 2, 4,
                   "part 2 of 4, with 30 tensors in all, which is wanted as");
    expect_patched(state, 1, "split.no", 2, 2, "part 3 of 3");
    expect_patched(state, 2, "split.tensors.count", 5, 31,
                   "00003-of-00003.gguf: part 3 of 3, with 31 tensors");

    hb_error err;
    hb_model *model;
    const char *path = copy_parts(state);
    file_bytes whole = load_file(tiny_model("f32"), *state, part_name(1));
    save_file(&whole, whole.size);
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT, "00002-of-00003.gguf: part 1 of 1");
    free(whole.data);

    /* A tensor in two parts, and one tensor fewer than the parts declare. */
    path = copy_parts(state);
    file_bytes last = load_part(state, 2);
    memcpy(after(&last, "blk.2.ffn_down.weight") - 21, "blk.0", 5);
    save_file(&last, last.size);
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT,
                 "tensor 'blk.0.ffn_down.weight': given twice");
    free(last.data);
    for (int no = 0; no < PARTS; no++) {
        file_bytes f = load_part(state, no);
        *(after(&f, "split.tensors.count") + 4) = 31;
        save_file(&f, f.size);
        free(f.data);
    }
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT,
                 "its 3 parts have 30 tensors, not 31");
}

/* ---- Inspection ---------------------------------------------------------------------------------- */

static json_t *inspect(const char *path, int32_t n_ctx)
{
    hb_error err;
    char *text;
    assert_ok(hb_inspect(path, n_ctx, &text, &err));
    for (const char *c = text; *c; c++) assert_true((*c >= 0x20 && *c < 0x7F) || *c == '\n');
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static const json_t *at(const json_t *root, const char *a, const char *b, const char *c)
{
    const json_t *value = json_object_get(root, a);
    if (b) value = json_object_get(value, b);
    if (c) value = json_object_get(value, c);
    if (!value) fail_msg("there is no %s %s %s", a, b ? b : "", c ? c : "");
    return value;
}

static void test_inspect(void **state)
{
    (void)state;
    hb_error err;
    hb_model *model;
    hb_memory m;
    json_t *root = inspect(tiny_model("q4_k"), 100);
    assert_ok(hb_model_open(tiny_model("q4_k"), &model, &err));
    const hb_model_info *info = hb_model_get_info(model);
    const hb_session_options o = {.n_ctx = 100};
    assert_ok(hb_session_memory(model, &o, &m, &err));
    assert_true(json_is_true(at(root, "runs", NULL, NULL)));
    assert_true(json_is_null(at(root, "why_not", NULL, NULL)));
    assert_int_equal(json_integer_value(at(root, "parameters", NULL, NULL)), info->n_params);
    assert_int_equal(json_integer_value(at(root, "file_size", NULL, NULL)), info->file_size);
    assert_int_equal(json_integer_value(at(root, "memory", "context", NULL)), 100);
    assert_int_equal(json_integer_value(at(root, "memory", "cache", NULL)), m.cache);
    assert_int_equal(json_integer_value(at(root, "memory", "total", NULL)),
                     info->file_size + m.cache + m.work);
    /* 100 positions take two pages; each has keys and values of 2 heads of 64 in 3 blocks. */
    assert_int_equal(m.cache, 2 * 64 * 3 * 2 * 2 * 64 * sizeof(uint16_t));
    assert_string_equal(json_string_value(at(root, "metadata", "general.architecture", "value")),
                        "llama");
    assert_int_equal(json_integer_value(at(root, "metadata", "llama.block_count", "value")), 3);
    assert_int_equal(json_integer_value(at(root, "metadata", "tokenizer.ggml.tokens", "count")),
                     info->n_vocab);
    assert_int_equal(json_array_size(at(root, "metadata", "tokenizer.ggml.tokens", "first")), 8);
    assert_int_equal(json_integer_value(at(root, "types", "F32", "tensors")), 7);
    assert_int_equal(json_integer_value(at(root, "types", "F32", "bytes")), 7 * 256 * 4);
    assert_int_equal(json_integer_value(at(root, "types", "Q4_K", "tensors")), 2 + 3 * 7);
    assert_int_equal(json_array_size(at(root, "tensors", NULL, NULL)), 7 + 2 + 3 * 7);
    json_decref(root);
    hb_model_close(model);
    assert_int_equal(hb_inspect(tiny_model("q4_k"), -1, &(char *){NULL}, NULL), HB_ERR_ARGUMENT);
}

static void test_inspect_parts(void **state)
{
    json_t *root = inspect(copy_parts(state), 0);
    assert_int_equal(json_integer_value(at(root, "parts", NULL, NULL)), PARTS);
    assert_int_equal(json_array_size(at(root, "tensors", NULL, NULL)), 30);
    assert_true(json_is_true(at(root, "runs", NULL, NULL)));
    json_decref(root);
}

/* Files that hbar cannot run are described as well, with the reason. */
static void expect_reason(const file_bytes *f, const char *part)
{
    save_file(f, f->size);
    json_t *root = inspect(f->path, 0);
    const char *why = json_string_value(at(root, "why_not", NULL, NULL));
    assert_true(json_is_false(at(root, "runs", NULL, NULL)));
    assert_true(json_is_null(at(root, "memory", NULL, NULL)));
    if (!why || !strstr(why, part)) fail_msg("'%s' is not in: %s", part, why);
    json_decref(root);
}

static void test_inspect_what_does_not_run(void **state)
{
    file_bytes f = load_file(tiny_model("f32"), *state, "odd.gguf");
    memcpy(after(&f, "general.architecture") + 12, "gpt9x", 5);
    expect_reason(&f, "architecture 'gpt9x' is not supported");
    memcpy(after(&f, "general.architecture") + 12, "llama", 5);

    uint32_t type = 16;
    memcpy(after(&f, "blk.1.ffn_down.weight") + 20, &type, 4);
    expect_reason(&f, "tensor 'blk.1.ffn_down.weight': type IQ2_XXS is not supported");
    json_t *root = inspect(f.path, 0);
    assert_true(json_is_null(at(root, "types", "IQ2_XXS", "bytes")));
    assert_int_equal(json_integer_value(at(root, "types", "IQ2_XXS", "weights")), 160 * 96);
    json_decref(root);
    free(f.data);

    root = inspect(shared_file("models/ggml-vocab-gpt-2.gguf"), 0);
    assert_non_null(strstr(json_string_value(at(root, "why_not", NULL, NULL)), "no tensors"));
    assert_int_equal(json_integer_value(at(root, "parameters", NULL, NULL)), 0);
    json_decref(root);
}

/* Control characters, terminal sequences and malformed UTF-8 in texts are never printed raw. */
static void test_inspect_hostile_texts(void **state)
{
    file_bytes f = load_file(tiny_model("f32"), *state, "odd.gguf");
    memcpy(after(&f, "general.name") + 12, "\033[2J\xC2\x9B\x7F\xFF\0x\n", 11);
    save_file(&f, f.size);
    json_t *root = inspect(f.path, 0);
    const char *name = json_string_value(at(root, "name", NULL, NULL));
    assert_non_null(
        strstr(name, "\033[2J")); /* escaped in the JSON, so reading it gives the original */
    json_decref(root);
    free(f.data);
}

static void test_inspect_damaged(void **state)
{
    hb_rng rng = {31};
    file_bytes f = load_file(tiny_model("f32"), *state, "odd.gguf");
    size_t header = (size_t)(after(&f, "blk.2.ffn_down.weight") - f.data);
    int read = 0, refused = 0;
    for (int i = 0; i < 300; i++) {
        hb_error err = {HB_OK, ""};
        char *text;
        size_t at = hb_rng_below(&rng, header);
        uint8_t was = f.data[at];
        f.data[at] = (uint8_t)hb_rng_next(&rng);
        save_file(&f, i % 3 ? f.size : hb_rng_below(&rng, f.size));
        if (hb_inspect(f.path, 0, &text, &err) == HB_OK) free(text), read++;
        else assert_non_null(strstr(err.message, f.path)), refused++;
        f.data[at] = was;
    }
    assert_true(read > 20 && refused > 20);
    free(f.data);
}

/* Sums over tensors must not overflow for any declared shapes. Tensors of unsupported types are not
 * checked against the size of the file. A tensor's entry is its name, then dims (count, cols, rows) and
 * type. */
static void test_more_weights_than_any(void **state)
{
    hb_error err;
    hb_model *model;
    char *json;
    file_bytes f = load_file(tiny_model("f32"), *state, "spoiled.gguf");
    static const char *const names[] = {"blk.0.ffn_down.weight", "blk.1.ffn_down.weight",
                                        "blk.2.ffn_down.weight"};
    for (int i = 0; i < 3; i++) {
        const uint64_t huge = INT32_MAX;
        const uint32_t unknown = 99;
        uint8_t *entry = after(&f, names[i]);
        memcpy(entry + 4, &huge, 8);
        memcpy(entry + 12, &huge, 8);
        memcpy(entry + 20, &unknown, 4);
    }
    save_file(&f, f.size);
    assert_fails(hb_inspect(f.path, 0, &json, &err), HB_ERR_FORMAT, "more weights than any model has");
    assert_non_null(strstr(err.message, names[0]));
    assert_fails(hb_model_open_vocab(f.path, &model, &err), HB_ERR_FORMAT, "more weights than");
    free(f.data);
}

/* The same when only all parts together have too many weights. */
static void test_more_weights_than_any_in_parts(void **state)
{
    hb_error err;
    hb_model *model;
    const char *path = copy_parts(state);
    for (int no = 0; no < PARTS; no++) {
        const uint64_t cols = INT32_MAX, rows = 400000000;
        const uint32_t unknown = 99;
        file_bytes f = load_part(state, no);
        char name[] = "blk.0.ffn_down.weight";
        uint8_t *entry = NULL;
        for (name[4] = '0'; !entry && name[4] < '3'; name[4]++)
            entry = memmem(f.data, f.size, name, strlen(name));
        if (!entry) {
            free(f.data);
            continue;
        }
        entry += strlen(name);
        memcpy(entry + 4, &cols, 8);
        memcpy(entry + 12, &rows, 8);
        memcpy(entry + 20, &unknown, 4);
        save_file(&f, f.size);
        free(f.data);
    }
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT, "more weights than any model has");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_more_weights_than_any, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_more_weights_than_any_in_parts, make_scratch,
                                        remove_scratch),
        cmocka_unit_test_setup_teardown(test_parts_open_as_one, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_hash_of_changed_part, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_hash_covers_all_parts, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_missing_and_misplaced_parts, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_foreign_parts, make_scratch, remove_scratch),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test_setup_teardown(test_inspect_parts, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_inspect_what_does_not_run, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_inspect_hostile_texts, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_inspect_damaged, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
