/* The table of the engine over libllama. Tokens, hash and template come from hbar's own reader of the
 * file, where it has a tokenizer for it. */
#include "engine_llama/session.h"

static hb_status sha256(const hb_model *model, char hex[65], hb_error *err)
{
    return hb_model_sha256(hb_llama(model)->file, hex, err);
}

static hb_text chat_template(const hb_model *model)
{
    return hb_model_chat_template(hb_llama(model)->file);
}

static hb_status tokenize(const hb_model *model, const char *text, const hb_text_span *spans, size_t n,
                          bool add_bos, bool add_eos, bool continues, int32_t **tokens,
                          size_t *n_tokens, hb_error *err)
{
    const hb_llama_model *m = hb_llama(model);
    if (!m->vocabulary)
        return hb_tokenize_spans(m->file, text, spans, n, add_bos, add_eos, continues, tokens, n_tokens,
                                 err);
    return hb_llama_tokenize(m->vocabulary, text, spans, n, add_bos, add_eos, tokens, n_tokens, err);
}

static hb_text token_bytes(const hb_model *model, int32_t token)
{
    const hb_llama_model *m = hb_llama(model);
    hb_text text;
    if (m->vocabulary) return hb_llama_token_bytes(m->vocabulary, token);
    text.bytes = hb_token_bytes(m->file, token, &text.length);
    return text;
}

static hb_text token_piece(const hb_model *model, int32_t token)
{
    const hb_llama_model *m = hb_llama(model);
    hb_text text;
    if (m->vocabulary) return hb_llama_token_piece(m->vocabulary, token);
    text.bytes = hb_token_piece(m->file, token, &text.length);
    return text;
}

static bool token_is_end(const hb_model *model, int32_t token)
{
    const hb_llama_model *m = hb_llama(model);
    if (!m->vocabulary) return hb_token_is_end(m->file, token);
    return llama_vocab_is_eog(llama_model_get_vocab(m->model), token);
}

static int32_t token_bos(const hb_model *model)
{
    const hb_llama_model *m = hb_llama(model);
    if (!m->vocabulary) return hb_model_bos(m->file);
    return llama_vocab_bos(llama_model_get_vocab(m->model));
}

static int32_t token_eos(const hb_model *model)
{
    const hb_llama_model *m = hb_llama(model);
    if (!m->vocabulary) return hb_model_eos(m->file);
    return llama_vocab_eos(llama_model_get_vocab(m->model));
}

static hb_text find_control(const hb_model *model, hb_text text)
{
    const hb_llama_model *m = hb_llama(model);
    hb_text found;
    if (m->vocabulary) return hb_llama_find_control(m->vocabulary, text);
    found.bytes = hb_find_control(m->file, text.bytes, text.length, &found.length);
    return found;
}

static hb_text not_finite(const hb_model *model)
{
    return hb_model_not_finite(hb_llama(model)->file);
}

const hb_engine hb_engine_llama = {
    .name = "llama",
    .open = hb_llama_open,
    .close = hb_llama_close,
    .sha256 = sha256,
    .chat_template = chat_template,
    .tokenize = tokenize,
    .token_bytes = token_bytes,
    .token_piece = token_piece,
    .token_is_end = token_is_end,
    .token_bos = token_bos,
    .token_eos = token_eos,
    .find_control = find_control,
    .not_finite = not_finite,
    .memory = hb_llama_memory,
    .open_session = hb_llama_open_session,
    .close_session = hb_llama_close_session,
    .n_free = hb_llama_n_free,
    .n_past = hb_llama_n_past,
    .drop = hb_llama_drop,
    .fork = hb_llama_fork,
    .eval = hb_llama_eval,
};
