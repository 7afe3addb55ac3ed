/* Tokenizers with vocabularies made for these tests: malformed and odd vocabularies, special tokens,
 * and words so long that merging must be fast. */
#include "check.h"

#include <math.h>
#include <time.h>
#include "base/buffer.h"

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE }; /* kinds of a token in a file */

/* ---- Files --------------------------------------------------------------------------------------- */

/* A GGUF file without tensors, built in memory. */
typedef struct vocab_file {
    hb_buffer bytes;
    uint64_t n_values;
} vocab_file;

static void put(vocab_file *f, const void *bytes, size_t length)
{
    assert_true(hb_buffer_add(&f->bytes, bytes, length));
}

static void put_text(vocab_file *f, const char *text)
{
    uint64_t length = strlen(text);
    put(f, &length, sizeof length);
    put(f, text, length);
}

static void add_key(vocab_file *f, const char *key, uint32_t kind)
{
    put_text(f, key);
    put(f, &kind, sizeof kind);
    f->n_values++;
}

static void add_text(vocab_file *f, const char *key, const char *text)
{
    add_key(f, key, 8);
    put_text(f, text);
}

static void add_int(vocab_file *f, const char *key, int32_t value)
{
    add_key(f, key, 5);
    put(f, &value, sizeof value);
}

static void add_array(vocab_file *f, const char *key, uint32_t kind, uint64_t n)
{
    add_key(f, key, 9);
    put(f, &kind, sizeof kind);
    put(f, &n, sizeof n);
}

static void add_texts(vocab_file *f, const char *key, const char *const *texts, size_t n)
{
    add_array(f, key, 8, n);
    for (size_t i = 0; i < n; i++) put_text(f, texts[i]);
}

static vocab_file begin(const char *tokenizer)
{
    vocab_file f = {0};
    add_text(&f, "general.architecture", "llama");
    if (tokenizer) add_text(&f, "tokenizer.ggml.model", tokenizer);
    return f;
}

/* Writes the file and opens its vocabulary; the file's memory is freed. */
static hb_status open_file(void **state, vocab_file *f, hb_model **model, hb_error *err)
{
    char path[64];
    const uint32_t version = 3;
    const uint64_t no_tensors = 0;
    snprintf(path, sizeof path, "%s/vocab.gguf", (char *)*state);
    FILE *file = fopen(path, "wb");
    fwrite("GGUF", 1, 4, file);
    fwrite(&version, 4, 1, file);
    fwrite(&no_tensors, 8, 1, file);
    fwrite(&f->n_values, 8, 1, file);
    assert_int_equal(fwrite(f->bytes.data, 1, f->bytes.length, file), f->bytes.length);
    fclose(file);
    hb_buffer_free(&f->bytes);
    return hb_model_open_vocab(path, model, err);
}

typedef struct piece {
    const char *text;
    int32_t type;
} piece;

static void add_pieces(vocab_file *f, const piece *pieces, size_t n)
{
    add_array(f, "tokenizer.ggml.tokens", 8, n);
    for (size_t i = 0; i < n; i++) put_text(f, pieces[i].text);
    add_array(f, "tokenizer.ggml.token_type", 5, n);
    for (size_t i = 0; i < n; i++) put(f, &pieces[i].type, 4);
}

/* Scores that prefer earlier tokens. */
static void add_scores(vocab_file *f, size_t n)
{
    add_array(f, "tokenizer.ggml.scores", 6, n);
    for (size_t i = 0; i < n; i++) put(f, &(float){-(float)i}, 4);
}

static hb_model *must_open(void **state, vocab_file *f)
{
    hb_error err;
    hb_model *model;
    assert_ok(open_file(state, f, &model, &err));
    return model;
}

static hb_model *open_bpe(void **state, const piece *pieces, size_t n, const char *const *merges,
                          size_t n_merges)
{
    vocab_file f = begin("gpt2");
    add_text(&f, "tokenizer.ggml.pre", "gpt-2");
    add_pieces(&f, pieces, n);
    add_texts(&f, "tokenizer.ggml.merges", merges, n_merges);
    return must_open(state, &f);
}

static hb_model *open_spm(void **state, const piece *pieces, size_t n)
{
    vocab_file f = begin("llama");
    add_pieces(&f, pieces, n);
    add_scores(&f, n);
    return must_open(state, &f);
}

/* The tokens of a text as ids with spaces between. */
static void expect_ids(const hb_model *model, const char *text, bool parse, const char *ids)
{
    hb_error err;
    int32_t *tokens;
    size_t n, at = 0;
    char got[512] = "";
    assert_ok(hb_tokenize(model, text, strlen(text), false, parse, &tokens, &n, &err));
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, i ? " %d" : "%d", tokens[i]);
    if (strcmp(got, ids) != 0) fail_msg("'%s' gave %s, not %s", text, got, ids);
    free(tokens);
}

/* ---- Merges of byte-level BPE -------------------------------------------------------------------- */

static const piece letters[] = {
    {"a", NORMAL},  {"b", NORMAL},   {"ab", NORMAL},    {"ba", NORMAL},      {"aba", NORMAL},
    {"<|", NORMAL}, {"x|>", NORMAL}, {"<||>", CONTROL}, {"<", NORMAL},       {"|", NORMAL},
    {"x", NORMAL},  {">", NORMAL},   {"|>", NORMAL},    {"\xC4\xA0", NORMAL}};
#define N_LETTERS (sizeof letters / sizeof *letters)

static void test_merges_that_lie(void **state)
{
    char endless[6000];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    endless[3000] = ' ';
    const char *const bad[] = {"",
                               "a",
                               " ",
                               "ab",
                               " a",
                               "a ",
                               "a z",
                               "z a",
                               "b b",
                               "a  b",
                               "aba b",
                               "\xFF a",
                               endless,
                               "a\xC4\xA0"
                               "b"};
    hb_error err;
    hb_model *model;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const merges[] = {"a b", bad[i]};
        vocab_file f = begin("gpt2");
        add_pieces(&f, letters, N_LETTERS);
        add_texts(&f, "tokenizer.ggml.merges", merges, 2);
        assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT,
                     "merge 1 does not join tokens into a token");
    }
    for (int kind = 0; kind < 3; kind++) {
        vocab_file f = begin("gpt2");
        add_pieces(&f, letters, N_LETTERS);
        if (kind == 1) add_text(&f, "tokenizer.ggml.merges", "a b");
        if (kind == 2) add_array(&f, "tokenizer.ggml.merges", 5, 0);
        assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT,
                     "'tokenizer.ggml.merges' is missing or not an array");
    }
    vocab_file f = begin("gpt2");
    add_pieces(&f, letters, N_LETTERS);
    add_array(&f, "tokenizer.ggml.merges", 8, UINT64_MAX);
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT,
                 "'tokenizer.ggml.merges': truncated");
}

/* A byte-level file without a pre-tokenizer is an old conversion. It opens with a warning about the
 * guess. */
static void test_missing_pretokenizer_is_told(void **state)
{
    static const char *const merges[] = {"a b"};
    hb_model *model = open_bpe(state, letters, N_LETTERS, merges, 1);
    assert_null(hb_model_warning(model, 0));
    hb_model_close(model);
    model = open_spm(state, letters, N_LETTERS);
    assert_null(hb_model_warning(model, 0));
    hb_model_close(model);
    for (int number = 0; number < 2; number++) { /* or the value is not a string */
        vocab_file f = begin("gpt2");
        if (number) add_int(&f, "tokenizer.ggml.pre", 7);
        add_pieces(&f, letters, N_LETTERS);
        add_texts(&f, "tokenizer.ggml.merges", merges, 1);
        model = must_open(state, &f);
        assert_non_null(hb_model_warning(model, 0));
        assert_non_null(strstr(hb_model_warning(model, 0), "vocab.gguf: "));
        assert_non_null(strstr(hb_model_warning(model, 0), "'tokenizer.ggml.pre' is missing"));
        assert_null(hb_model_warning(model, 1));
        hb_model_close(model);
    }
}

/* The first rule wins, also among several for one pair. A rule whose result is a special token is
 * ignored. */
static void test_order_of_merges(void **state)
{
    const struct {
        const char *merges[4];
        size_t n;
        const char *aba, *special;
    } cases[] = {
        {{""}, 0, "0 1 0", "8 9 9 11"},
        {{"a b", "b a"}, 2, "2 0", "8 9 9 11"},
        {{"b a", "a b"}, 2, "0 3", "8 9 9 11"},
        {{"b a", "a b", "b a"}, 3, "0 3", "8 9 9 11"},
        {{"a b", "b a", "a b"}, 3, "2 0", "8 9 9 11"},
        {{"a b", "b a", "ab a", "a ba"}, 4, "4", "8 9 9 11"},
        {{"< |", "| >", "<| |>"}, 3, "0 1 0", "5 12"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_model *model = open_bpe(state, letters, N_LETTERS, cases[i].merges, cases[i].n);
        expect_ids(model, "aba", false, cases[i].aba);
        expect_ids(model, "<||>", false, cases[i].special);
        expect_ids(model, "<||>", true, "7");
        expect_ids(model, " a", false, "13 0");
        hb_model_close(model);
    }
}

/* ---- Special tokens ------------------------------------------------------------------------------ */

static const struct {
    const char *text, *plain, *parsed;
} special_cases[] = {
    {"ab", "9", "9"},
    {"a[X]b", "7 10 11 12 8", "7 3 8"},
    {"[X]Y[X]", "10 11 12 13 10 11 12", "4 3"},
    {"[X][X]YY", "10 11 12 10 11 12 13 13", "3 4 13"},
    {"[X", "10 11", "10 11"},
    {"@", "14", "14"},
    {"@@", "5", "5"},
    {"@@@@@", "6 5", "6 5"},
    {"a@@b", "7 5 8", "7 5 8"},
    {"<s>a</s>", "15 16 17 7 15 18 16 17", "1 7 2"},
    {"[X]@@@[X]", "10 11 12 6 10 11 12", "3 6 3"},
    {"", "", ""},
};

/* Control tokens are recognised only on request, user-defined tokens always. The longest match wins,
 * and neither kind takes part in merging. */
static void test_special_tokens(void **state)
{
    static const piece pieces[] = {
        {"<unk>", UNKNOWN}, {"<s>", CONTROL}, {"</s>", CONTROL}, {"[X]", CONTROL}, {"[X]Y", CONTROL},
        {"@@", USER},       {"@@@", USER},    {"a", NORMAL},     {"b", NORMAL},    {"ab", NORMAL},
        {"[", NORMAL},      {"X", NORMAL},    {"]", NORMAL},     {"Y", NORMAL},    {"@", NORMAL},
        {"<", NORMAL},      {"s", NORMAL},    {">", NORMAL},     {"/", NORMAL}};
    static const char *const merges[] = {"a b"};
    size_t n = sizeof pieces / sizeof *pieces;
    for (int kind = 0; kind < 2; kind++) {
        vocab_file f = begin(kind ? "llama" : "gpt2");
        add_pieces(&f, pieces, n);
        if (kind) add_scores(&f, n);
        else add_texts(&f, "tokenizer.ggml.merges", merges, 1);
        add_key(&f, "tokenizer.ggml.add_space_prefix", 7);
        put(&f, "", 1);
        hb_model *model = must_open(state, &f);
        for (size_t i = 0; i < sizeof special_cases / sizeof *special_cases; i++) {
            expect_ids(model, special_cases[i].text, false, special_cases[i].plain);
            expect_ids(model, special_cases[i].text, true, special_cases[i].parsed);
        }
        size_t length;
        hb_token_bytes(model, 3, &length);
        assert_int_equal(length, 0); /* control tokens are no text, */
        hb_token_bytes(model, 5, &length);
        assert_int_equal(length, 2); /* user-defined ones are, */
        hb_token_piece(model, 3, &length);
        assert_int_equal(length, 3); /* and all are spelled */
        assert_true(hb_token_is_end(model, 2) && !hb_token_is_end(model, 3));
        hb_model_close(model);
    }
}

/* Among special tokens with the same spelling the last is found; in plain text, the last user-defined
 * one. */
static void test_special_tokens_alike(void **state)
{
    static const piece pieces[] = {{"@", CONTROL}, {"@", USER},    {"@", USER},
                                   {"@", CONTROL}, {"#", CONTROL}, {"#", CONTROL},
                                   {"#", NORMAL},  {"%", CONTROL}, {"%", USER}};
    hb_model *model = open_bpe(state, pieces, sizeof pieces / sizeof *pieces, NULL, 0);
    expect_ids(model, "@#%", false, "2 6 8");
    expect_ids(model, "@#%", true, "3 5 8");
    hb_model_close(model);
}

/* SentencePiece puts a space before the text and after each special token. */
static void test_spaces_of_spm(void **state)
{
    static const piece pieces[] = {{"<unk>", UNKNOWN},
                                   {"<s>", CONTROL},
                                   {"</s>", CONTROL},
                                   {"a", NORMAL},
                                   {"\xE2\x96\x81", NORMAL},
                                   {"\xE2\x96\x81"
                                    "a",
                                    NORMAL}};
    hb_model *model = open_spm(state, pieces, 6);
    expect_ids(model, "aa", false, "5 3");
    expect_ids(model, " a", false, "4 5");
    expect_ids(model, "a</s>a", true, "5 2 5");
    expect_ids(model, "</s></s>", true, "2 2");
    hb_model_close(model);
}

/* ---- Odd vocabularies ---------------------------------------------------------------------------- */

static void test_vocabularies_that_lie(void **state)
{
    char endless[5000];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    const piece none = {"a", NORMAL}, negative[] = {{"a", -1}}, beyond[] = {{"a", 7}};
    const piece huge[] = {{"a", NORMAL}, {endless, NORMAL}}, bytes[] = {{"<0x0g>", BYTE}};
    const struct {
        const piece *pieces;
        size_t n;
        const char *part;
    } cases[] = {
        {&none, 0, "a vocabulary of 0 tokens"},
        {negative, 1, "token 0 has type -1"},
        {beyond, 1, "token 0 has type 7"},
        {huge, 2, "token 1 is 4999 bytes long"},
        {bytes, 1, "token 0 has type byte but is not spelled <0xHH>"},
    };
    hb_error err;
    hb_model *model;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        vocab_file f = begin(i % 2 ? "llama" : "gpt2");
        add_pieces(&f, cases[i / 2].pieces, cases[i / 2].n);
        if (i % 2) add_scores(&f, cases[i / 2].n);
        else add_texts(&f, "tokenizer.ggml.merges", NULL, 0);
        assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT, cases[i / 2].part);
    }
}

static void test_vocabularies_without_a_part(void **state)
{
    hb_error err;
    hb_model *model;
    vocab_file f = begin("llama");
    add_pieces(&f, letters, N_LETTERS);
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT,
                 "'tokenizer.ggml.scores' is missing");
    f = begin("llama");
    add_pieces(&f, letters, N_LETTERS);
    add_scores(&f, N_LETTERS - 1);
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT, "is not an array of 14 values");
    f = begin("llama");
    add_pieces(&f, letters, 1);
    add_array(&f, "tokenizer.ggml.scores", 6, 1);
    put(&f, &(float){NAN}, 4);
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT, "score nan");
    f = begin("gpt2");
    add_pieces(&f, letters, N_LETTERS);
    add_texts(&f, "tokenizer.ggml.merges", NULL, 0);
    add_int(&f, "tokenizer.ggml.bos_token_id", N_LETTERS);
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT, "bos_token_id' is 14, outside");
    f = begin("gpt2");
    add_pieces(&f, letters, N_LETTERS);
    add_text(&f, "tokenizer.ggml.pre", "mine");
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_UNSUPPORTED, "pre-tokenizer 'mine'");
    f = begin(NULL);
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_FORMAT,
                 "'tokenizer.ggml.model' is missing");
    f = begin("wordpiece");
    assert_fails(open_file(state, &f, &model, &err), HB_ERR_UNSUPPORTED, "tokenizer 'wordpiece'");
}

/* Vocabularies may have empty, duplicate and malformed pieces, and may lack tokens. */
static void test_odd_vocabularies(void **state)
{
    static const piece odd[] = {{"", NORMAL},  {"a", NORMAL}, {"a", NORMAL}, {"\xFF\xFE", NORMAL},
                                {"b", UNUSED}, {"", CONTROL}, {"c", 0}};
    hb_model *model = open_bpe(state, odd, 7, NULL, 0);
    expect_ids(model, "aa", false, "2 2"); /* the last of the duplicates */
    expect_ids(model, "aa", true, "2 2");
    expect_ids(model, "c", false, "6");
    expect_ids(model, "azb", false,
               "2 4"); /* text without a token, if there is no unknown token either */
    hb_model_close(model);

    vocab_file f = begin("gpt2");
    add_pieces(&f, odd, 7);
    add_texts(&f, "tokenizer.ggml.merges", NULL, 0);
    add_int(&f, "tokenizer.ggml.unknown_token_id", 0);
    add_int(&f, "tokenizer.ggml.bos_token_id", -1);
    model = must_open(state, &f);
    expect_ids(model, "azb", false, "2 0 4");
    hb_model_close(model);

    static const piece one[] = {{"<unk>", UNKNOWN}};
    model = open_spm(state, one, 1); /* it has no <s> and </s> */
    hb_error err;
    int32_t *tokens;
    size_t n;
    assert_ok(hb_tokenize(model, "ab", 2, true, true, &tokens, &n, &err));
    for (size_t i = 0; i < n; i++) assert_int_equal(tokens[i], 0);
    free(tokens);
    assert_fails(hb_tokenize(model, "x", (size_t)INT32_MAX, false, false, &tokens, &n, &err),
                 HB_ERR_ARGUMENT, "too long to tokenize");
    hb_model_close(model);
}

/* With tokens for all bytes, any text survives tokenizing and decoding. */
static void test_any_bytes(void **state)
{
    (void)state;
    hb_error err;
    hb_model *model;
    int32_t *tokens;
    size_t n, length;
    unsigned char text[256];
    hb_buffer back = {0};
    for (int i = 0; i < 256; i++) text[i] = (unsigned char)(255 - i);
    assert_ok(hb_model_open_vocab(tiny_model("f32"), &model, &err));
    assert_ok(hb_tokenize(model, (const char *)text, sizeof text, false, true, &tokens, &n, &err));
    for (size_t i = 0; i < n; i++) {
        const char *bytes = hb_token_bytes(model, tokens[i], &length);
        hb_buffer_add(&back, bytes, length);
    }
    assert_int_equal(back.length, sizeof text + 1);
    assert_memory_equal(back.data + 1, text, sizeof text);
    hb_buffer_free(&back);
    free(tokens);
    hb_model_close(model);
}

/* ---- Long words ---------------------------------------------------------------------------------- */

enum { LENGTH = 1 << 20, DOUBLINGS = 10 };

/* Tokenizes a megabyte of one character and checks the bytes. Returns the processor time in seconds. */
static void expect_quick(const hb_model *model, const char *character, size_t n_tokens)
{
    hb_error err;
    int32_t *tokens;
    size_t n, size = strlen(character), total = 0, length;
    char *text = malloc(LENGTH + 4);
    for (size_t at = 0; at < LENGTH; at += size) memcpy(text + at, character, size);
    clock_t start = clock();
    assert_ok(hb_tokenize(model, text, LENGTH / size * size, false, false, &tokens, &n, &err));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    for (size_t i = 0; i < n; i++) {
        hb_token_bytes(model, tokens[i], &length);
        total += length;
    }
    if (seconds > 20) fail_msg("%d bytes of '%s' took %.1f s", LENGTH, character, seconds);
    if (n_tokens) assert_int_equal(n, n_tokens);
    assert_true(total == LENGTH / size * size || total == LENGTH / size * size + 1);
    free(tokens);
    free(text);
}

/* A letter whose repetitions 2, 4 ... 1024 are tokens that only merging finds. */
static void test_a_megabyte_of_one_letter(void **state)
{
    static char texts[DOUBLINGS + 1][1025], rules[DOUBLINGS][1026];
    piece pieces[DOUBLINGS + 2] = {{"<unk>", UNKNOWN}};
    const char *merges[DOUBLINGS];
    for (int k = 0; k <= DOUBLINGS; k++) {
        memset(texts[k], 'a', (size_t)1 << k);
        pieces[k + 1] = (piece){texts[k], NORMAL};
        if (k == 0) continue;
        snprintf(rules[k - 1], sizeof rules[0], "%s %s", texts[k - 1], texts[k - 1]);
        merges[k - 1] = rules[k - 1];
    }
    hb_model *model = open_bpe(state, pieces, DOUBLINGS + 2, merges, DOUBLINGS);
    expect_quick(model, "a", LENGTH >> DOUBLINGS);
    hb_model_close(model);
    vocab_file f = begin("llama");
    add_pieces(&f, pieces, DOUBLINGS + 2);
    add_scores(&f, DOUBLINGS + 2);
    add_key(&f, "tokenizer.ggml.add_space_prefix", 7);
    put(&f, "", 1);
    model = must_open(state, &f);
    expect_quick(model, "a", LENGTH >> DOUBLINGS);
    hb_model_close(model);
}

/* A vocabulary whose special tokens all have the same spelling. */
static void test_many_alike(void **state)
{
    enum { ALIKE = 100000 };
    static piece pieces[ALIKE];
    for (int i = 0; i < ALIKE; i++) pieces[i] = (piece){"x", USER};
    hb_model *model = open_bpe(state, pieces, ALIKE, NULL, 0);
    expect_quick(model, "x", LENGTH);
    hb_model_close(model);
}

/* The same with real vocabularies and with long runs of each class, the worst case for regular
 * expressions. */
static void test_long_runs(void **state)
{
    (void)state;
    static const char *const files[] = {"gpt-2", "llama-spm", "phi-3"};
    static const char *const runs[] = {"e", "7", " ", "\n", ".", "'", "\xC3\xA9", "\xE4\xB8\xAD"};
    for (int i = 0; i < 3; i++) {
        hb_error err;
        hb_model *model;
        char name[64];
        snprintf(name, sizeof name, "models/ggml-vocab-%s.gguf", files[i]);
        assert_ok(hb_model_open_vocab(shared_file(name), &model, &err));
        for (size_t k = 0; k < sizeof runs / sizeof *runs; k++) expect_quick(model, runs[k], 0);
        hb_model_close(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_missing_pretokenizer_is_told, make_scratch,
                                        remove_scratch),
        cmocka_unit_test_setup_teardown(test_merges_that_lie, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_order_of_merges, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_special_tokens, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_special_tokens_alike, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_spaces_of_spm, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_vocabularies_that_lie, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_vocabularies_without_a_part, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_odd_vocabularies, make_scratch, remove_scratch),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test_setup_teardown(test_a_megabyte_of_one_letter, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_many_alike, make_scratch, remove_scratch),
        cmocka_unit_test(test_long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
