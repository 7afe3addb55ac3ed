#include "engine_llama/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"

struct hb_llama_vocabulary {
    const struct llama_vocab *vocab;
    int32_t n;
    hb_buffer texts;
    size_t *ends; /* [n], where each token's text ends in `texts`; it begins where the last ends */
    bool control_first[256]; /* whether a control token begins with this byte */
};

static hb_text text_of(const hb_llama_vocabulary *v, int32_t token)
{
    size_t begin = token ? v->ends[token - 1] : 0;
    return (hb_text){v->texts.data + begin, v->ends[token] - begin};
}

/* Adds the text of the next token. */
static bool add_token(hb_llama_vocabulary *v, int32_t token)
{
    char few[64], *text = few;
    int32_t n = llama_token_to_piece(v->vocab, token, few, sizeof few, 0, true);
    if (n < 0 && (text = malloc((size_t)-n)) != NULL)
        n = llama_token_to_piece(v->vocab, token, text, -n, 0, true);
    bool ok = text && n >= 0 && hb_buffer_add(&v->texts, text, (size_t)n);
    if (ok && n > 0 && llama_vocab_is_control(v->vocab, token))
        v->control_first[(unsigned char)*text] = true;
    if (text != few) free(text);
    v->ends[token] = v->texts.length;
    return ok;
}

hb_status hb_llama_vocabulary_open(const struct llama_vocab *vocab, const char *path,
                                   hb_llama_vocabulary **vocabulary, hb_error *err)
{
    int32_t n = llama_vocab_n_tokens(vocab);
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || n < 1)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: has no vocabulary", path);
    hb_llama_vocabulary *v = calloc(1, sizeof *v);
    if (!v) return hb_fail_memory(err);
    v->vocab = vocab;
    v->n = n;
    v->ends = calloc((size_t)n, sizeof *v->ends);
    bool ok = v->ends && hb_buffer_add(&v->texts, "", 0);
    for (int32_t i = 0; i < n && ok; i++) ok = add_token(v, i);
    if (!ok) {
        hb_llama_vocabulary_close(v);
        return hb_fail_memory(err);
    }
    *vocabulary = v;
    return HB_OK;
}

void hb_llama_vocabulary_close(hb_llama_vocabulary *v)
{
    if (!v) return;
    hb_buffer_free(&v->texts);
    free(v->ends);
    free(v);
}

/* Appends the tokens of one span to `list`. */
static hb_status add_span(const hb_llama_vocabulary *v, const char *text, size_t length, bool special,
                          hb_buffer *list, hb_error *err)
{
    if (!length) return HB_OK;
    int32_t room = (int32_t)length + 2; /* engine.c limits the length */
    int32_t *tokens = calloc((size_t)room, sizeof *tokens);
    if (!tokens) return hb_fail_memory(err);
    int32_t n = llama_tokenize(v->vocab, text, (int32_t)length, tokens, room, false, special);
    hb_status status = HB_OK;
    if (n < 0)
        status =
            hb_fail(err, HB_ERR_UNSUPPORTED, "libllama cannot tokenize a text of %zu bytes", length);
    else if (!hb_buffer_add(list, (const char *)tokens, (size_t)n * sizeof *tokens))
        status = hb_fail_memory(err);
    free(tokens);
    return status;
}

hb_status hb_llama_tokenize(const hb_llama_vocabulary *v, const char *text, const hb_text_span *spans,
                            size_t n, bool add_bos, bool add_eos, int32_t **tokens, size_t *n_tokens,
                            hb_error *err)
{
    hb_buffer list = {0};
    int32_t bos = llama_vocab_bos(v->vocab), eos = llama_vocab_eos(v->vocab);
    bool ok = hb_buffer_add(&list, "", 0);
    if (ok && add_bos && bos >= 0 && llama_vocab_get_add_bos(v->vocab))
        ok = hb_buffer_add(&list, (const char *)&bos, sizeof bos);
    hb_status status = ok ? HB_OK : hb_fail_memory(err);
    for (size_t i = 0, begin = 0; i < n && !status; begin = spans[i++].end)
        status = add_span(v, text + begin, spans[i].end - begin, spans[i].parse_special, &list, err);
    if (!status && add_eos && eos >= 0 && llama_vocab_get_add_eos(v->vocab) &&
        !hb_buffer_add(&list, (const char *)&eos, sizeof eos))
        status = hb_fail_memory(err);
    if (status) {
        hb_buffer_free(&list);
        return status;
    }
    *tokens = (int32_t *)(void *)list.data;
    *n_tokens = list.length / sizeof **tokens;
    return HB_OK;
}

hb_text hb_llama_token_bytes(const hb_llama_vocabulary *v, int32_t token)
{
    return llama_vocab_is_control(v->vocab, token) ? (hb_text){"", 0} : text_of(v, token);
}

hb_text hb_llama_token_piece(const hb_llama_vocabulary *v, int32_t token)
{
    return text_of(v, token);
}

/* The longest control token at the start of the text; NULL bytes if there is none. */
static hb_text control_at(const hb_llama_vocabulary *v, hb_text text)
{
    hb_text found = {0};
    for (int32_t i = 0; i < v->n; i++) {
        hb_text piece = text_of(v, i);
        if (piece.length > found.length && piece.length <= text.length &&
            memcmp(piece.bytes, text.bytes, piece.length) == 0 && llama_vocab_is_control(v->vocab, i))
            found = (hb_text){text.bytes, piece.length};
    }
    return found;
}

hb_text hb_llama_find_control(const hb_llama_vocabulary *v, hb_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!v->control_first[(unsigned char)text.bytes[i]]) continue;
        hb_text found = control_at(v, (hb_text){text.bytes + i, text.length - i});
        if (found.bytes) return found;
    }
    return (hb_text){0};
}
