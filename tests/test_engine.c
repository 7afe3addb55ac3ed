/* Malformed GGUF files, the tokenizer, and evaluation. */
#include "check.h"

#include <math.h>
#include <sys/stat.h>
#include "base/rng.h"
#include "kernel_sets.h"

/* ---- Files that lie ------------------------------------------------------------------------------ */

static file_bytes load(void **state, const char *model)
{
    return load_file(tiny_model(model), *state, "spoiled.gguf");
}

static file_bytes load_model(void **state)
{
    return load(state, "f32");
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

/* Opens the changed file; this must fail with the expected error and name the file. */
static void expect(const file_bytes *f, hb_status status, const char *part)
{
    hb_error err;
    hb_model *model;
    save_file(f, f->size);
    assert_fails(hb_model_open(f->path, &model, &err), status, part);
    assert_non_null(strstr(err.message, f->path));
}

static void test_header_errors(void **state)
{
    file_bytes f = load_model(state);
    put32(f.data + 4, 1);
    expect(&f, HB_ERR_UNSUPPORTED, "version 1");
    put32(f.data + 4, 3u << 24);
    expect(&f, HB_ERR_UNSUPPORTED, "big-endian");
    put32(f.data + 4, 3);
    uint64_t tensors, values;
    memcpy(&tensors, f.data + 8, 8);
    memcpy(&values, f.data + 16, 8);
    put64(f.data + 8, UINT64_MAX);
    expect(&f, HB_ERR_FORMAT, "is too small");
    put64(f.data + 8, tensors + 1);
    expect(&f, HB_ERR_FORMAT, "");
    put64(f.data + 8, tensors);
    put64(f.data + 16, 1ull << 60);
    expect(&f, HB_ERR_FORMAT, "is too small");
    put64(f.data + 16, values);
    f.data[0] = 'g';
    expect(&f, HB_ERR_FORMAT, "not a GGUF file");
    free(f.data);
}

static void test_metadata_errors(void **state)
{
    const struct {
        const char *key;
        uint32_t type, value;
        hb_status status;
        const char *part;
    } cases[] = {
        {"llama.block_count", 4, 0, HB_ERR_FORMAT, "llama.block_count"},
        {"llama.block_count", 4, 100000, HB_ERR_FORMAT, "outside"},
        {"llama.block_count", 4, 4, HB_ERR_FORMAT, "tensor 'blk.3."},
        {"llama.block_count", 4, 2, HB_ERR_UNSUPPORTED, "tensor 'blk.2."},
        {"llama.block_count", 6, 0x40000000, HB_ERR_FORMAT, "not an integer"},
        {"llama.block_count", 99, 0, HB_ERR_FORMAT, "unknown value type"},
        {"llama.embedding_length", 4, 95, HB_ERR_FORMAT, ""},
        {"llama.embedding_length", 4, 0xFFFFFFFF, HB_ERR_FORMAT, "embedding_length"},
        {"llama.attention.head_count", 4, 7, HB_ERR_FORMAT, "multiple"},
        {"llama.attention.head_count", 4, 0, HB_ERR_FORMAT, "head_count"},
        {"llama.attention.head_count_kv", 4, 12, HB_ERR_FORMAT, "head_count_kv"},
        {"llama.attention.head_count_kv", 4, 6, HB_ERR_FORMAT,
         "tensor 'blk.0.attn_k.weight' has shape"},
        {"llama.rope.dimension_count", 4, 3, HB_ERR_FORMAT, "odd"},
        {"llama.rope.dimension_count", 4, 64, HB_ERR_FORMAT, "dimension_count"},
        {"llama.attention.layer_norm_rms_epsilon", 6, 0x7FC00000, HB_ERR_FORMAT, "epsilon"},
        {"tokenizer.ggml.bos_token_id", 4, 1000000, HB_ERR_FORMAT, "bos_token_id"},
        {"llama.context_length", 4, 0, HB_ERR_FORMAT, "context_length"},
        {"llama.context_length", 8, 0, HB_ERR_FORMAT, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        file_bytes f = load_model(state);
        uint8_t *at = after(&f, cases[i].key);
        put32(at, cases[i].type);
        put32(at + 4, cases[i].value);
        expect(&f, cases[i].status, cases[i].part);
        free(f.data);
    }
}

static void test_identity_errors(void **state)
{
    file_bytes f = load_model(state);
    memcpy(after(&f, "general.architecture") + 12, "gpt9x", 5);
    expect(&f, HB_ERR_UNSUPPORTED,
           "architecture 'gpt9x' is not supported (supported: llama, qwen2, qwen3, phi3, gemma2, ");
    memcpy(after(&f, "general.architecture") + 12, "llama", 5);
    memcpy(after(&f, "tokenizer.ggml.model") + 12, "gpt2x", 5);
    expect(&f, HB_ERR_UNSUPPORTED, "tokenizer 'gpt2x'");
    memcpy(after(&f, "tokenizer.ggml.model") + 12, "llama", 5);
    memcpy(after(&f, "general.architecture") - 4, "turE", 4);
    expect(&f, HB_ERR_FORMAT, "'general.architecture' is missing");
    free(f.data);
}

/* Metadata that only some architectures have: missing, or with an invalid value. */
static void test_architecture_errors(void **state)
{
    const struct {
        const char *model, *key;
        uint32_t at, value; /* bytes after the key */
        hb_status status;
        const char *part;
    } cases[] = {
        {"qwen2", "blk.1.attn_k.bia", 0, 'z', HB_ERR_FORMAT, "tensor 'blk.1.attn_k.bias' is missing"},
        {"qwen2", "blk.1.attn_k.bias", 4, 33, HB_ERR_FORMAT, "has shape 33 x 1, not 32 x 1"},
        {"qwen3", "blk.2.attn_q_norm.weigh", 0, 'z', HB_ERR_FORMAT,
         "'blk.2.attn_q_norm.weight' is miss"},
        {"phi3", "blk.0.attn_qkv.weigh", 0, 'z', HB_ERR_FORMAT, "'blk.0.attn_qkv.weight' is missing"},
        {"phi3", "rope_factors_long.weigh", 0, 'z', HB_ERR_FORMAT,
         "'rope_factors_long.weight' is miss"},
        {"phi3", "phi3.rope.scaling.attn_factor", 4, 0xBF800000, HB_ERR_FORMAT,
         "not a positive number"},
        {"phi3", "phi3.rope.scaling.original_context_length", 4, 0, HB_ERR_FORMAT, "original_context"},
        {"phi3", "phi3.rope.scaling.type", 12, 'L', HB_ERR_UNSUPPORTED, "rope scaling 'Longrope'"},
        {"gemma2", "blk.2.post_ffw_norm.weigh", 0, 'z', HB_ERR_FORMAT,
         "'blk.2.post_ffw_norm.weight' is"},
        {"gemma2", "gemma2.attention.sliding_window", 4, 0xFFFFFFFF, HB_ERR_FORMAT, "sliding_window"},
        {"gemma2", "gemma2.final_logit_softcapping", 4, 0x7F800000, HB_ERR_FORMAT, "softcapping"},
        {"gemma3", "blk.6.attn_k_norm.weigh", 0, 'z', HB_ERR_FORMAT,
         "'blk.6.attn_k_norm.weight' is miss"},
        {"olmo2", "blk.1.attn_q_norm.weight", 4, 16, HB_ERR_FORMAT, "has shape 16 x 1, not 64 x 1"},
        {"olmo2", "blk.1.post_ffw_norm.weigh", 0, 'z', HB_ERR_FORMAT,
         "'blk.1.post_ffw_norm.weight' is m"},
        {"granite", "granite.logit_scale", 4, 0, HB_ERR_FORMAT, "not a positive number"},
        {"exaone4-flags", "exaone4.attention.sliding_window_pattern", 4, 1, HB_ERR_FORMAT,
         "needs a flag for each block"},
        {"experts", "llama.expert_count", 4, 1025, HB_ERR_FORMAT, "outside 0 to 1024"},
        {"experts", "llama.expert_count", 4, 3, HB_ERR_FORMAT, "has shape 64 x 4, not 64 x 3"},
        {"experts", "llama.expert_used_count", 4, 5, HB_ERR_FORMAT, "outside 1 to 4"},
        {"experts", "llama.expert_used_coun", 0, 'z', HB_ERR_FORMAT,
         "'llama.expert_used_count' is missing"},
        {"experts", "blk.2.ffn_up_exps.weight", 4, 32, HB_ERR_FORMAT,
         "has shape 32 x 96 x 4, not 64 x 96 x 4"},
        {"olmoe", "olmoe.expert_count", 4, 0, HB_ERR_FORMAT, "outside 1 to 1024"},
        {"gpt-oss", "blk.0.attn_sinks.weigh", 0, 'z', HB_ERR_FORMAT, "'blk.0.attn_sinks.weight' is m"},
        {"mistral3", "mistral3.attention.temperature_scale", 4, 0xBF800000, HB_ERR_FORMAT,
         "not a positive number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        file_bytes f = load(state, cases[i].model);
        uint8_t *at = after(&f, cases[i].key) + cases[i].at;
        if (cases[i].value < 256 && cases[i].value >= 'A') *at = (uint8_t)cases[i].value;
        else put32(at, cases[i].value);
        expect(&f, cases[i].status, cases[i].part);
        free(f.data);
    }
}

static void test_rope_factors(void **state)
{
    hb_error err;
    hb_model *model;
    const float bad[] = {0, -1, NAN, INFINITY};
    assert_ok(hb_model_open(tiny_model("llama3"), &model, &err));
    hb_model_close(model);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file_bytes f = load(state, "llama3");
        const float first[] = {1, 1.875f}; /* as tools/make_model.py writes them */
        uint8_t *at = memmem(f.data, f.size, first, sizeof first);
        assert_non_null(at);
        memcpy(at, &bad[i], sizeof *bad);
        expect(&f, HB_ERR_FORMAT, "tensor 'rope_freqs.weight' holds");
        free(f.data);
    }
}

/* A model's name is always valid UTF-8, even if the file's is not, so that parameters with the name can
 * be read again. */
static void test_names(void **state)
{
    hb_error err;
    hb_model *model;
    const struct {
        const char *in_file, *name; /* 12 bytes, as long as the name that it replaces */
    } cases[] = {{"Llama 3.2 1B", "Llama 3.2 1B"},
                 {"\xC3\xA9t\xC3\xA9 2026 f", "\xC3\xA9t\xC3\xA9 2026 f"},
                 {"bad \xFF bytes", "spoiled"},
                 {"cut short \xE2\x82", "spoiled"},
                 {"surrogate\xED\xA0\x80", "spoiled"}};
    file_bytes f = load_model(state);
    uint8_t *at = after(&f, "general.name") + 12;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(at, cases[i].in_file, 12);
        save_file(&f, f.size);
        assert_ok(hb_model_open(f.path, &model, &err));
        assert_string_equal(hb_model_get_info(model)->name, cases[i].name);
        hb_model_close(model);
    }
    /* The file's own name may be invalid UTF-8, too. */
    snprintf(f.path, sizeof f.path, "%s/\xFFodd\x80.gguf", (char *)*state);
    save_file(&f, f.size);
    assert_ok(hb_model_open(f.path, &model, &err));
    assert_string_equal(hb_model_get_info(model)->name, "\xEF\xBF\xBDodd\xEF\xBF\xBD");
    hb_model_close(model);
    /* The architecture's name may be any text; messages show it. */
    memcpy(after(&f, "general.architecture") + 12, "\x1B[2J\xFF", 5);
    save_file(&f, f.size);
    assert_fails(hb_model_open(f.path, &model, &err), HB_ERR_UNSUPPORTED, "architecture ' [2J");
    free(f.data);
}

static void test_vocabulary_errors(void **state)
{
    file_bytes f = load_model(state);
    uint8_t *count = after(&f, "tokenizer.ggml.scores") + 8;
    uint64_t n;
    memcpy(&n, count, 8);
    put64(count, n - 1);
    expect(&f, HB_ERR_FORMAT, "");
    put64(count, 1ull << 61);
    expect(&f, HB_ERR_FORMAT, "tokenizer.ggml.scores");
    put64(count, n);
    put32(after(&f, "tokenizer.ggml.token_type") + 16, 77);
    expect(&f, HB_ERR_FORMAT, "token 0 has type 77");
    put32(after(&f, "tokenizer.ggml.token_type") + 16, 6);
    expect(&f, HB_ERR_FORMAT, "not spelled <0xHH>");
    put32(after(&f, "tokenizer.ggml.token_type") + 16, 2);
    put32(after(&f, "tokenizer.ggml.tokens") + 4, 4); /* an array of numbers instead of strings */
    expect(&f, HB_ERR_FORMAT, "");
    put32(after(&f, "tokenizer.ggml.tokens") + 4, 9);
    expect(&f, HB_ERR_FORMAT, "arrays of arrays");
    put32(after(&f, "tokenizer.ggml.tokens") + 4, 55);
    expect(&f, HB_ERR_FORMAT, "unknown array element type");
    free(f.data);
}

static const struct {
    int at, bytes;
    uint64_t value;
    hb_status status;
    const char *part;
} tensor_errors[] = {
    {0, 4, 0, HB_ERR_FORMAT, "dimensions"},
    {0, 4, 5, HB_ERR_FORMAT, "dimensions"},
    {4, 8, 0, HB_ERR_FORMAT, "dimension out of range"},
    {4, 8, UINT64_MAX, HB_ERR_FORMAT, "dimension out of range"},
    {4, 8, 161, HB_ERR_FORMAT, "has shape 161 x 96, not 160 x 96"},
    {12, 8, 1u << 30, HB_ERR_FORMAT, "truncated"},
    {20, 4, 16, HB_ERR_UNSUPPORTED, "type IQ2_XXS is not supported"},
    {20, 4, 4, HB_ERR_UNSUPPORTED, "unknown type 4"},
    {20, 4, 0xFFFFFFFF, HB_ERR_UNSUPPORTED, "unknown type"},
    {20, 4, 12, HB_ERR_FORMAT, "not whole Q4_K blocks"},
    {24, 8, 8, HB_ERR_FORMAT, "not aligned"},
    {24, 8, UINT64_MAX - 31, HB_ERR_FORMAT, "truncated"},
};

/* A tensor's entry is its name, then dims (count, cols, rows), type and offset. */
static void test_tensor_errors(void **state)
{
    static const char name[] = "blk.1.ffn_down.weight";
    file_bytes f = load_model(state);
    uint8_t *entry = after(&f, name), saved[32];
    memcpy(saved, entry, sizeof saved);
    for (size_t i = 0; i < sizeof tensor_errors / sizeof *tensor_errors; i++) {
        memcpy(entry + tensor_errors[i].at, &tensor_errors[i].value, (size_t)tensor_errors[i].bytes);
        expect(&f, tensor_errors[i].status, tensor_errors[i].part);
        if (tensor_errors[i].at) { /* shifting the dimension count loses the name's place */
            save_file(&f, f.size);
            hb_error err;
            hb_model *model;
            hb_model_open(f.path, &model, &err);
            assert_non_null(strstr(err.message, name));
        }
        memcpy(entry, saved, sizeof saved);
    }
    memcpy(entry - strlen(name), "blk.0.ffn_down.weight", strlen(name));
    expect(&f, HB_ERR_FORMAT, "given twice");
    memcpy(entry - strlen(name), "blk.1.ffn_dawn.weight", strlen(name));
    expect(&f, HB_ERR_FORMAT, "tensor 'blk.1.ffn_down.weight' is missing");
    memcpy(entry - strlen(name), "blk.1.ffn\ndown.weight", strlen(name));
    expect(&f, HB_ERR_FORMAT, "not a name");
    memcpy(entry - strlen(name), name, strlen(name));
    uint8_t *norm = after(&f, "blk.0.attn_norm.weight");
    put32(norm + 12, 1);
    expect(&f, HB_ERR_UNSUPPORTED, "only F32 is supported for vectors");
    free(f.data);
}

static void test_truncated_everywhere(void **state)
{
    file_bytes f = load_model(state);
    hb_error err;
    hb_model *model;
    hb_rng rng = {11};
    for (size_t cut = 0; cut < f.size; cut += 1 + hb_rng_below(&rng, f.size / 400)) {
        save_file(&f, cut);
        hb_status status = hb_model_open(f.path, &model, &err);
        if (status != HB_ERR_FORMAT) fail_msg("cut at %zu of %zu gave %d", cut, f.size, (int)status);
    }
    free(f.data);
}

/* Random changes to the header never crash, and a model that opens can be evaluated. */
static void test_random_damage(void **state)
{
    hb_rng rng = {12};
    file_bytes f = load_model(state);
    int opened = 0, refused = 0;
    size_t header = (size_t)(after(&f, "blk.2.ffn_down.weight") - f.data);
    for (int i = 0; i < 1500; i++) {
        hb_error err;
        hb_model *model;
        hb_session *session;
        size_t at[3];
        uint8_t was[3];
        for (int k = 0; k < 3; k++) {
            at[k] = hb_rng_below(&rng, header);
            was[k] = f.data[at[k]];
            f.data[at[k]] = (uint8_t)hb_rng_next(&rng);
        }
        save_file(&f, f.size);
        if (hb_model_open(f.path, &model, &err) == HB_OK) {
            const hb_session_options options = {.n_ctx = 8, .n_threads = 1};
            const int32_t token = 5;
            assert_ok(hb_session_open(model, &options, &session, &err));
            assert_ok(hb_eval(session, &token, 1, NULL, &err));
            hb_session_close(session);
            hb_model_close(model);
            opened++;
        } else {
            refused++;
        }
        for (int k = 2; k >= 0; k--) f.data[at[k]] = was[k];
    }
    print_message("%d opened, %d refused\n", opened, refused);
    assert_true(opened > 50 && refused > 50);
    free(f.data);
}

static void test_not_a_model(void **state)
{
    hb_error err;
    hb_model *model;
    char path[128];
    assert_fails(hb_model_open("/no/such/model.gguf", &model, &err), HB_ERR_IO, "/no/such/model.gguf");
    assert_fails(hb_model_open(*state, &model, &err), HB_ERR_IO, "not a regular file");
    snprintf(path, sizeof path, "%s/fifo", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_IO, "not a regular file");
    snprintf(path, sizeof path, "%s/empty.gguf", (char *)*state);
    fclose(fopen(path, "wb"));
    assert_fails(hb_model_open(path, &model, &err), HB_ERR_FORMAT, "empty");
}

static void test_model_info(void **state)
{
    (void)state;
    hb_error err;
    hb_model *model;
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    const hb_model_info *m = hb_model_get_info(model);
    assert_string_equal(m->architecture, "llama");
    assert_string_equal(m->name, "random-llama");
    assert_int_equal(m->n_embd, 96);
    assert_int_equal(m->n_layers, 3);
    assert_int_equal(m->n_heads, 6);
    assert_int_equal(m->n_kv_heads, 3);
    assert_int_equal(m->n_ctx_train, 1024);
    /* Two tables, the final norm, and per block: two norms, q and o, k and v, and three of the
     * feed-forward part. */
    uint64_t block = 2 * 96 + 2 * 96 * 96 + 2 * 96 * 48 + 3 * 96 * 160;
    assert_int_equal(m->n_params, 2ull * 96 * (uint64_t)m->n_vocab + 96 + 3 * block);
    hb_model_close(model);
    hb_model_close(NULL);
}

/* ---- The tokenizer ------------------------------------------------------------------------------- */

static hb_model *open_vocab(const char *path)
{
    hb_error err;
    hb_model *model;
    assert_ok(hb_model_open_vocab(path, &model, &err));
    return model;
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Compares the tokens of a case with a line of ids, and the tokens' bytes with the text. */
static void check_case(const char *kind, const hb_model *t, const char *text, size_t length, char *line)
{
    hb_error err;
    int32_t *tokens;
    size_t n, i = 0, at = 0;
    assert_ok(hb_tokenize(t, text, length, false, false, &tokens, &n, &err));
    for (char *id = strtok(line, " "); id; id = strtok(NULL, " "), i++) {
        if (i >= n || tokens[i] != atoi(id)) fail_msg("token %zu of '%.*s'", i, (int)length, text);
    }
    assert_int_equal(i, n);
    for (i = 0; i < n; i++) {
        size_t size;
        const char *bytes = hb_token_bytes(t, tokens[i], &size);
        bool in_front = i == 0 && size && bytes[0] == ' ' && strcmp(kind, "gpt-2") != 0;
        if (in_front) { /* the space that SentencePiece puts there */
            bytes++;
            size--;
        }
        assert_memory_equal(bytes, text + at, size);
        at += size;
    }
    assert_int_equal(at, length);
    free(tokens);
}

/* Test cases that llama.cpp publishes. */
static void check_published(const char *name)
{
    char path[64];
    static const char separator[] = "\n__ggml_vocab_test__\n";
    snprintf(path, sizeof path, "models/ggml-vocab-%s.gguf", name);
    hb_model *t = open_vocab(shared_file(path));
    char *cases = read_text((strcat(path, ".inp"), shared_file(path)));
    memcpy(strstr(path, ".inp"), ".out", 4);
    char *lines = read_text(shared_file(path)), *line = lines;
    int n = 0;
    for (char *at = cases; at; n++) {
        char *end = strstr(at, separator), *newline = strchr(line, '\n');
        if (newline) *newline = '\0';
        check_case(name, t, at, end ? (size_t)(end - at) : strlen(at), line);
        line = newline ? newline + 1 : line + strlen(line);
        at = end ? end + strlen(separator) : NULL;
    }
    assert_true(n >= 40);
    free(cases);
    free(lines);
    hb_model_close(t);
}

static void test_published_cases(void **state)
{
    (void)state;
    check_published("llama-spm");
    check_published("phi-3");
    check_published("gpt-2");
}

static void test_tokenizer_edges(void **state)
{
    (void)state;
    hb_error err;
    int32_t *tokens;
    size_t n, length;
    hb_model *t = open_vocab(tiny_model("f32"));

    assert_ok(hb_tokenize(t, "", 0, true, false, &tokens, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(tokens[0], 1); /* the beginning of text alone */
    free(tokens);

    /* Bytes that are not text, including zero, become byte tokens. */
    assert_ok(hb_tokenize(t, "\xFF\x00\xE2", 3, false, false, &tokens, &n, &err));
    assert_int_equal(n, 4);
    assert_int_equal(tokens[1], 3 + 0xFF);
    assert_int_equal(tokens[2], 3 + 0x00);
    assert_int_equal(tokens[3], 3 + 0xE2);
    const char *bytes = hb_token_bytes(t, tokens[1], &length);
    assert_int_equal(length, 1);
    assert_int_equal((unsigned char)bytes[0], 0xFF);
    free(tokens);

    /* Text that spells a control token stays ordinary text. */
    assert_ok(hb_tokenize(t, "</s>", 4, false, false, &tokens, &n, &err));
    for (size_t i = 0; i < n; i++) assert_false(hb_token_is_end(t, tokens[i]));
    free(tokens);

    hb_token_bytes(t, -1, &length);
    assert_int_equal(length, 0);
    hb_token_bytes(t, 1 << 30, &length);
    assert_int_equal(length, 0);
    hb_token_bytes(t, 2, &length); /* a control token */
    assert_int_equal(length, 0);
    assert_true(hb_token_is_end(t, 2));
    hb_model_close(t);
}

/* ---- Evaluation ---------------------------------------------------------------------------------- */

enum { N_TOKENS = 600 }; /* more than are evaluated together */

typedef struct outcome {
    float *logits, *states;
    size_t n_logits, n_states;
} outcome;

/* Evaluates the same tokens in parts of a given size and taps four rows. */
static outcome evaluate(const hb_model *model, int32_t part, int32_t threads)
{
    static const int32_t wanted[] = {0, 511, 512, N_TOKENS - 1};
    const hb_model_info *m = hb_model_get_info(model);
    const hb_session_options options = {.n_ctx = N_TOKENS, .n_threads = threads};
    size_t vocab = (size_t)m->n_vocab, state = (size_t)m->n_layers * (size_t)m->n_embd;
    outcome o = {calloc(4 * vocab, sizeof(float)), calloc(4 * state, sizeof(float)), 4 * vocab,
                 4 * state};
    int32_t tokens[N_TOKENS];
    hb_error err;
    hb_session *s;
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + (i * 37 + i * i) % 500;
    assert_ok(hb_session_open(model, &options, &s, &err));
    for (int32_t at = 0; at < N_TOKENS; at += part) {
        int32_t n = N_TOKENS - at < part ? N_TOKENS - at : part, rows[4], n_rows = 0, first = -1;
        for (int i = 0; i < 4; i++) {
            if (wanted[i] < at || wanted[i] >= at + n) continue;
            if (first < 0) first = i;
            rows[n_rows++] = wanted[i] - at;
        }
        size_t place = first < 0 ? 0 : (size_t)first;
        hb_tap tap = {.rows = rows,
                      .n_rows = n_rows,
                      .logits = o.logits + place * vocab,
                      .states = o.states + place * state};
        assert_ok(hb_eval(s, tokens + at, n, &tap, &err));
        assert_int_equal(hb_session_n_past(s), at + n);
    }
    hb_session_close(s);
    return o;
}

static void free_outcome(outcome *o)
{
    free(o->logits);
    free(o->states);
}

static void assert_close(const float *a, const float *b, size_t n, double tolerance)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    assert_near(sqrt(difference / size), 0, tolerance);
}

/* Results do not depend on how the text is divided or on the number of threads. With portable kernels
 * they are bit-identical. Other kernels have different code for few and for many tokens, which rounds
 * differently. */
static void test_division_and_threads_change_nothing(void **state)
{
    (void)state;
    static const int32_t parts[] = {1, 7, 128, 400, N_TOKENS};
    hb_error err;
    hb_model *model;
    assert_ok(hb_model_open(tiny_model("q8_0"), &model, &err));
    for (int k = 0; k < N_KERNEL_SETS; k++) {
        if (!choose_kernels(k)) continue;
        outcome whole = evaluate(model, N_TOKENS, 1);
        for (int i = 0; i < 5; i++) {
            if (UNDER_SLOW_CHECKER && (k + i) % 5) continue; /* each set and each division once */
            outcome part = evaluate(model, parts[i], 1 + i % 2);
            if (k == 0) {
                assert_memory_equal(part.logits, whole.logits, whole.n_logits * sizeof(float));
                assert_memory_equal(part.states, whole.states, whole.n_states * sizeof(float));
            } else {
                assert_close(part.logits, whole.logits, whole.n_logits, 0.02);
                assert_close(part.states, whole.states, whole.n_states, 0.02);
            }
            free_outcome(&part);
        }
        free_outcome(&whole);
    }
    unsetenv("HBAR_KERNELS");
    hb_model_close(model);
}

/* With activations rounded to 8 bits, results stay near the exact ones. All kernels round alike. */
static void test_bytes_are_near_exact(void **state)
{
    (void)state;
    static const char *const types[] = {"q4_0", "q8_0", "q4_k", "q6_k"};
    for (int i = 0; i < 4; i++) {
        hb_error err;
        hb_model *model;
        hb_session *s;
        float *logits[2];
        const int32_t tokens[] = {5, 60, 170, 300, 9, 12, 44}, last = 6;
        assert_ok(hb_model_open(tiny_model(types[i]), &model, &err));
        size_t n = (size_t)hb_model_get_info(model)->n_vocab;
        for (int exact = 0; exact < 2; exact++) {
            const hb_session_options o = {.n_ctx = 8, .exact = exact == 1};
            logits[exact] = calloc(n, sizeof(float));
            const hb_tap tap = {.rows = &last, .n_rows = 1, .logits = logits[exact]};
            assert_ok(hb_session_open(model, &o, &s, &err));
            assert_ok(hb_eval(s, tokens, 7, &tap, &err));
            hb_session_close(s);
        }
        assert_close(logits[0], logits[1], n, 0.03);
        assert_memory_not_equal(logits[0], logits[1], n * sizeof(float));
        free(logits[0]);
        free(logits[1]);
        hb_model_close(model);
    }
}

static void test_eval_errors(void **state)
{
    (void)state;
    hb_error err;
    hb_model *model;
    hb_session *s;
    const hb_session_options options = {.n_ctx = 4, .n_threads = 1};
    const int32_t tokens[] = {5, 6, 7, 8, 9}, bad[] = {5, -1}, beyond[] = {5, 1 << 20};
    const int32_t unordered[] = {1, 1}, outside[] = {2}, below[] = {-1};
    float logits[2048];
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    assert_ok(hb_session_open(model, &options, &s, &err));
    assert_ptr_equal(hb_session_model(s), model);
    assert_int_equal(hb_session_n_ctx(s), 4);
    assert_fails(hb_eval(s, tokens, 5, NULL, &err), HB_ERR_CONTEXT, "5 tokens after 0");
    assert_fails(hb_eval(s, tokens, 0, NULL, &err), HB_ERR_ARGUMENT, "no tokens");
    assert_fails(hb_eval(s, bad, 2, NULL, &err), HB_ERR_ARGUMENT, "token -1");
    assert_fails(hb_eval(s, beyond, 2, NULL, &err), HB_ERR_ARGUMENT, "outside the vocabulary");
    assert_fails(
        hb_eval(s, tokens, 2, &(hb_tap){.rows = unordered, .n_rows = 2, .logits = logits}, &err),
        HB_ERR_ARGUMENT, "row 1");
    assert_fails(hb_eval(s, tokens, 2, &(hb_tap){.rows = outside, .n_rows = 1, .logits = logits}, &err),
                 HB_ERR_ARGUMENT, "row 2");
    assert_fails(hb_eval(s, tokens, 2, &(hb_tap){.rows = below, .n_rows = 1, .logits = logits}, &err),
                 HB_ERR_ARGUMENT, "row -1");
    assert_int_equal(hb_session_n_past(s), 0);
    assert_ok(hb_eval(s, tokens, 4, NULL, &err));
    assert_int_equal(hb_eval(s, tokens, 1, NULL, NULL), HB_ERR_CONTEXT);
    hb_session_reset(s);
    assert_int_equal(hb_session_n_past(s), 0);
    hb_session_close(s);
    hb_session_close(NULL);
    hb_model_close(model);
}

static void test_session_errors(void **state)
{
    (void)state;
    hb_error err;
    hb_model *model;
    hb_session *s;
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    hb_session_options o = {.n_ctx = -1};
    assert_fails(hb_session_open(model, &o, &s, &err), HB_ERR_ARGUMENT, "context");
    o = (hb_session_options){.n_ctx = (1 << 24) + 1};
    assert_fails(hb_session_open(model, &o, &s, &err), HB_ERR_ARGUMENT, "context");
    o = (hb_session_options){.n_threads = 5000};
    assert_fails(hb_session_open(model, &o, &s, &err), HB_ERR_ARGUMENT, "threads");
    o = (hb_session_options){.n_ctx = 1 << 24, .n_sequences = 4096};
    assert_fails(hb_session_open(model, &o, &s, &err), HB_ERR_MEMORY, "GiB");
    assert_ok(hb_session_open(model, NULL, &s, &err));
    assert_int_equal(hb_session_n_ctx(s), 1024); /* the model's training length */
    hb_session_close(s);
    hb_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_header_errors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_metadata_errors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_identity_errors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_architecture_errors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_rope_factors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_names, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_vocabulary_errors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_tensor_errors, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_truncated_everywhere, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_random_damage, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_not_a_model, make_scratch, remove_scratch),
        cmocka_unit_test(test_model_info),
        cmocka_unit_test(test_published_cases),
        cmocka_unit_test(test_tokenizer_edges),
        cmocka_unit_test(test_division_and_threads_change_nothing),
        cmocka_unit_test(test_bytes_are_near_exact),
        cmocka_unit_test(test_eval_errors),
        cmocka_unit_test(test_session_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
