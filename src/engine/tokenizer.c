#include "engine/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "engine/tokenizer_kinds.h"

/* ---- Opening ------------------------------------------------------------------------------------ */

static hb_status read_special(const hb_tokenizer *t, const hb_gguf *g, const char *name,
                              int64_t fallback, int32_t *token, hb_error *err)
{
    char key[64];
    int64_t id = fallback;
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name);
    hb_status status = hb_gguf_get_int(g, key, false, HB_NO_TOKEN, t->vocab.n - 1, &id, err);
    *token = id < t->vocab.n ? (int32_t)id : HB_NO_TOKEN;
    return status;
}

/* Marks the tokens that the file says end a text, a turn or a message. */
static hb_status read_ends(hb_tokenizer *t, const hb_gguf *g, hb_error *err)
{
    static const char *const names[] = {"eot", "eom"};
    hb_status status = HB_OK;
    for (int i = 0; i < 2 && !status; i++) {
        int32_t id;
        status = read_special(t, g, names[i], HB_NO_TOKEN, &id, err);
        if (!status && id != HB_NO_TOKEN) t->vocab.entries[id].ends = true;
    }
    if (!status && t->eos != HB_NO_TOKEN) t->vocab.entries[t->eos].ends = true;
    return status;
}

/* Where the file does not say: SentencePiece has <unk> 0, <s> 1 and </s> 2, and texts begin with <s>
 * and a space; in byte-level BPE it is the pre-tokenizer's custom. */
static hb_status read_specials(hb_tokenizer *t, const hb_gguf *g, hb_error *err)
{
    bool spm = !t->pretokenizer;
    t->add_space = spm;
    t->add_bos = spm || hb_pretokenizer_add_bos(t->pretokenizer);
    hb_status status = read_special(t, g, "bos", spm ? 1 : HB_NO_TOKEN, &t->bos, err);
    if (!status) status = read_special(t, g, "unknown", spm ? 0 : HB_NO_TOKEN, &t->unknown, err);
    if (!status) status = read_special(t, g, "eos", spm ? 2 : HB_NO_TOKEN, &t->eos, err);
    if (!status) status = read_ends(t, g, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->add_space, err);
    return status;
}

/* Phi-3 was trained so that white space after its special tokens belongs to them. No metadata says so,
 * and llama.cpp goes by the name, too. */
static bool is_phi3(const hb_gguf *g)
{
    hb_gguf_text name = hb_gguf_get_text(g, "general.name");
    for (uint64_t i = 0; i + 4 <= name.length; i++)
        if (strncasecmp(name.bytes + i, "phi3", 4) == 0 ||
            (i + 5 <= name.length && strncasecmp(name.bytes + i, "phi-3", 5) == 0))
            return true;
    return false;
}

hb_status hb_tokenizer_open(const hb_gguf *gguf, hb_tokenizer **tokenizer, hb_error *err)
{
    hb_gguf_text model = hb_gguf_get_text(gguf, "tokenizer.ggml.model");
    bool byte_level = hb_gguf_text_is(model, "gpt2");
    if (!model.bytes)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'tokenizer.ggml.model' is missing or no string",
                       hb_gguf_path(gguf));
    if (!byte_level && !hb_gguf_text_is(model, "llama"))
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       "%s: tokenizer '%.*s' is not supported (llama and gpt2 are)", hb_gguf_path(gguf),
                       (int)(model.length < 32 ? model.length : 32), model.bytes);
    hb_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return hb_fail_memory(err);
    hb_status status =
        hb_vocab_read(&t->vocab, gguf, byte_level ? HB_SPELLING_BYTE_LEVEL : HB_SPELLING_MARKED, err);
    if (!status && byte_level) status = hb_bpe_read(t, gguf, err);
    if (!status) status = read_specials(t, gguf, err);
    t->strip_after = is_phi3(gguf);
    if (status) hb_tokenizer_close(t);
    else *tokenizer = t;
    return status;
}

void hb_tokenizer_close(hb_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    hb_vocab_free(&tokenizer->vocab);
    hb_pretokenizer_close(tokenizer->pretokenizer);
    free(tokenizer->rules);
    free(tokenizer->first_rule);
    free(tokenizer);
}

/* ---- Tokens ------------------------------------------------------------------------------------- */

int32_t hb_tokenizer_n_vocab(const hb_tokenizer *tokenizer)
{
    return tokenizer->vocab.n;
}

static const hb_vocab_entry *entry(const hb_tokenizer *t, int32_t token)
{
    static const hb_vocab_entry none = {.piece = {"", 0}, .bytes = {"", 0}};
    return token >= 0 && token < t->vocab.n ? &t->vocab.entries[token] : &none;
}

const char *hb_tokenizer_bytes(const hb_tokenizer *tokenizer, int32_t token, size_t *length)
{
    hb_gguf_text bytes = entry(tokenizer, token)->bytes;
    *length = bytes.length;
    return bytes.bytes;
}

const char *hb_tokenizer_piece(const hb_tokenizer *tokenizer, int32_t token, size_t *length)
{
    hb_gguf_text piece = entry(tokenizer, token)->piece;
    *length = piece.length;
    return piece.bytes;
}

bool hb_tokenizer_is_end(const hb_tokenizer *tokenizer, int32_t token)
{
    return entry(tokenizer, token)->ends;
}

/* ---- Encoding ----------------------------------------------------------------------------------- */

hb_status hb_ids_add(hb_ids *ids, int32_t token, hb_error *err)
{
    if (ids->n == ids->room) {
        size_t room = ids->room ? 2 * ids->room : 64;
        int32_t *grown = realloc(ids->ids, room * sizeof *grown);
        if (!grown) return hb_fail_memory(err);
        ids->ids = grown;
        ids->room = room;
    }
    ids->ids[ids->n++] = token;
    return HB_OK;
}

/* Bytes of white space at the start of a text that belong to the special token before it. */
static size_t stripped(const hb_tokenizer *t, int32_t token, const char *text, size_t length)
{
    static const char *const exempt[] = {"<unk>", "<s>", "<|endoftext|>"};
    size_t n = 0;
    if (!t->strip_after) return 0;
    for (int i = 0; i < 3; i++)
        if (hb_gguf_text_is(t->vocab.entries[token].piece, exempt[i])) return 0;
    while (n < length && memchr(" \t\n\v\f\r", text[n], 6)) n++;
    return n;
}

/* Ordinary text is what lies between special tokens. */
static hb_status encode(const hb_tokenizer *t, const char *text, const hb_text_span *spans, size_t n,
                        hb_ids *out, hb_error *err)
{
    hb_status status = HB_OK;
    size_t from = 0, length = spans[n - 1].end, span = 0;
    for (size_t at = 0; at <= length && !status; at++) {
        while (span < n - 1 && at >= spans[span].end) span++;
        int32_t special =
            hb_vocab_special_at(&t->vocab, text + at, spans[span].end - at, spans[span].parse_special);
        if (special == HB_NO_TOKEN && at < length) continue;
        if (at > from)
            status = t->pretokenizer ? hb_bpe_encode(t, text + from, at - from, out, err)
                                     : hb_spm_encode(t, text + from, at - from, out, err);
        if (status || special == HB_NO_TOKEN) break;
        status = hb_ids_add(out, special, err);
        from = at + t->vocab.entries[special].piece.length;
        from += stripped(t, special, text + from, length - from);
        at = from - 1;
    }
    return status;
}

hb_status hb_tokenizer_encode_spans(const hb_tokenizer *tokenizer, const char *text,
                                    const hb_text_span *spans, size_t n, bool add_bos, bool add_eos,
                                    int32_t **tokens, size_t *n_tokens, hb_error *err)
{
    const hb_tokenizer *t = tokenizer;
    size_t length = spans[n - 1].end;
    if (length > INT32_MAX / 16)
        return hb_fail(err, HB_ERR_ARGUMENT, "a text of %zu bytes is too long to tokenize", length);
    hb_ids out = {0};
    hb_status status = HB_OK;
    if (add_bos && t->add_bos && t->bos != HB_NO_TOKEN) status = hb_ids_add(&out, t->bos, err);
    if (!status) status = encode(t, text, spans, n, &out, err);
    if (!status && add_eos && t->add_eos && t->eos != HB_NO_TOKEN)
        status = hb_ids_add(&out, t->eos, err);
    if (!status && !out.ids && !(out.ids = malloc(sizeof *out.ids))) status = hb_fail_memory(err);
    if (status) {
        free(out.ids);
        return status;
    }
    *tokens = out.ids;
    *n_tokens = out.n;
    return HB_OK;
}

hb_status hb_tokenizer_encode(const hb_tokenizer *tokenizer, const char *text, size_t length,
                              bool add_special, bool parse_special, int32_t **tokens, size_t *n_tokens,
                              hb_error *err)
{
    const hb_text_span whole = {length, parse_special};
    return hb_tokenizer_encode_spans(tokenizer, text, &whole, 1, add_special, add_special, tokens,
                                     n_tokens, err);
}
