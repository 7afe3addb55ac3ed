/* The input makes a vocabulary: tokens with types and scores, merges, special ids. It then tokenizes a
 * text. */
#include "build_gguf.h"

static void add_tokens(built *b, uint32_t n, bool bytes)
{
    char text[256];
    begin_array(b, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (uint32_t i = 0; i < n; i++) {
        choose_text(b->choices, text);
        put_text(&b->pairs, text, strlen(text));
    }
    begin_array(b, "tokenizer.ggml.token_type", GGUF_INT32, n);
    for (uint32_t i = 0; i < n; i++) put32(&b->pairs, choose_below(b->choices, 8));
    if (bytes) return;
    begin_array(b, "tokenizer.ggml.scores", GGUF_FLOAT32, n);
    for (uint32_t i = 0; i < n; i++) put32(&b->pairs, (uint32_t)choose(b->choices) << 24);
}

static void add_merges(built *b)
{
    char text[256];
    uint32_t n = choose_below(b->choices, 12);
    begin_array(b, "tokenizer.ggml.merges", GGUF_STRING, n);
    for (uint32_t i = 0; i < n; i++) {
        choose_text(b->choices, text);
        put_text(&b->pairs, text, strlen(text));
    }
}

static void try_text(const hb_model *model, choices *c)
{
    hb_error err;
    int32_t *tokens;
    size_t n, length;
    for (int parse = 0; parse < 2; parse++) {
        if (hb_tokenize(model, (const char *)c->at, c->left, true, parse, &tokens, &n, &err)) continue;
        for (size_t i = 0; i < n; i++) {
            require(tokens[i] >= 0 && tokens[i] < hb_model_get_info(model)->n_vocab);
            hb_token_bytes(model, tokens[i], &length);
            hb_token_piece(model, tokens[i], &length);
            hb_token_is_end(model, tokens[i]);
        }
        free(tokens);
    }
    hb_find_control(model, (const char *)c->at, c->left, &length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const pres[] = {"default", "gpt-2", "llama-bpe", "qwen2", "smollm", "x"};
    choices c = {data, size};
    built b = {.choices = &c};
    bool bytes = choose_below(&c, 2);
    hb_error err;
    hb_model *model;
    add_string(&b, "general.architecture", "llama", 5);
    add_string(&b, "tokenizer.ggml.model", bytes ? "gpt2" : "llama", bytes ? 4 : 5);
    const char *pre = pres[choose_below(&c, 6)];
    if (bytes) add_string(&b, "tokenizer.ggml.pre", pre, strlen(pre));
    add_tokens(&b, choose_below(&c, 24), bytes);
    if (bytes) add_merges(&b);
    add_number(&b, "tokenizer.ggml.", "bos_token_id", choose_below(&c, 24));
    add_number(&b, "tokenizer.ggml.", "eos_token_id", choose_below(&c, 24));
    add_number(&b, "tokenizer.ggml.", "unknown_token_id", choose_below(&c, 24));
    hb_buffer file = finish_gguf(&b);
    if (!hb_model_open_vocab(file_of(file.data, file.length), &model, &err)) {
        try_text(model, &c);
        hb_model_close(model);
    }
    hb_buffer_free(&file);
    return 0;
}
