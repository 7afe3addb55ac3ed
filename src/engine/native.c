/* The native engine's table. */
#include "engine/session.h"

static hb_text chat_template(const hb_model *model)
{
    return hb_gguf_get_text(hb_native(model)->gguf, "tokenizer.chat_template");
}

static hb_status tokenize(const hb_model *model, const char *text, const hb_text_span *spans, size_t n,
                          bool add_bos, bool add_eos, bool continues, int32_t **tokens,
                          size_t *n_tokens, hb_error *err)
{
    return hb_tokenizer_encode(hb_native(model)->tokenizer, text, spans, n, add_bos, add_eos, continues,
                               tokens, n_tokens, err);
}

static hb_text token_bytes(const hb_model *model, int32_t token)
{
    return hb_tokenizer_bytes(hb_native(model)->tokenizer, token);
}

static hb_text token_piece(const hb_model *model, int32_t token)
{
    return hb_tokenizer_piece(hb_native(model)->tokenizer, token);
}

static bool token_is_end(const hb_model *model, int32_t token)
{
    return hb_tokenizer_is_end(hb_native(model)->tokenizer, token);
}

static int32_t token_bos(const hb_model *model)
{
    return hb_tokenizer_bos(hb_native(model)->tokenizer);
}

static int32_t token_eos(const hb_model *model)
{
    return hb_tokenizer_eos(hb_native(model)->tokenizer);
}

static hb_text find_control(const hb_model *model, hb_text text)
{
    return hb_tokenizer_find_control(hb_native(model)->tokenizer, text);
}

const hb_engine hb_engine_native = {
    .name = "native",
    .open = hb_native_open,
    .close = hb_native_close,
    .sha256 = hb_native_sha256,
    .chat_template = chat_template,
    .tokenize = tokenize,
    .token_bytes = token_bytes,
    .token_piece = token_piece,
    .token_is_end = token_is_end,
    .token_bos = token_bos,
    .token_eos = token_eos,
    .find_control = find_control,
    .not_finite = hb_native_not_finite,
    .memory = hb_native_memory,
    .open_session = hb_native_open_session,
    .close_session = hb_native_close_session,
    .n_free = hb_native_n_free,
    .n_past = hb_native_n_past,
    .drop = hb_native_drop,
    .fork = hb_native_fork,
    .eval = hb_native_eval,
};
