#include "engine/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/text.h"
#include "engine/tokenizer_bpe.h"
#include "engine/tokenizer_spm.h"

struct hb_tokenizer {
    hb_vocab vocab;
    bool byte_level; /* byte-level BPE (`bpe`) rather than SentencePiece */
    hb_bpe bpe;
    int32_t bos, eos; /* HB_NO_TOKEN if absent */
    bool add_bos, add_eos;
    bool add_space;   /* SentencePiece: add a space before the text and after each special token */
    bool strip_after; /* skip white space after most special tokens */
    bool guesses_words;
};

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

/* Defaults for files that do not say: in SentencePiece, <unk> is 0, <s> is 1, </s> is 2, and texts
 * begin with <s> and a space; in byte-level BPE, the pre-tokenizer decides whether texts begin with
 * BOS. */
static hb_status read_specials(hb_tokenizer *t, const hb_gguf *g, hb_error *err)
{
    bool spm = !t->byte_level;
    t->add_space = spm;
    t->add_bos = spm || hb_pretokenizer_add_bos(t->bpe.pretokenizer);
    hb_status status = read_special(t, g, "bos", spm ? 1 : HB_NO_TOKEN, &t->bos, err);
    if (!status) status = read_special(t, g, "unknown", spm ? 0 : HB_NO_TOKEN, &t->vocab.unknown, err);
    if (!status) status = read_special(t, g, "eos", spm ? 2 : HB_NO_TOKEN, &t->eos, err);
    if (!status) status = read_ends(t, g, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->add_space, err);
    return status;
}

/* Phi-3 was trained with white space after special tokens removed. No metadata says so; like llama.cpp,
 * hbar recognises the model by its name. */
static bool is_phi3(const hb_gguf *g)
{
    hb_text name = hb_gguf_get_text(g, "general.name");
    for (uint64_t i = 0; i + 4 <= name.length; i++)
        if (strncasecmp(name.bytes + i, "phi3", 4) == 0 ||
            (i + 5 <= name.length && strncasecmp(name.bytes + i, "phi-3", 5) == 0))
            return true;
    return false;
}

/* Reads which kind of tokenizer the file has. */
static hb_status read_kind(const hb_gguf *g, bool *byte_level, hb_error *err)
{
    hb_text model = hb_gguf_get_text(g, "tokenizer.ggml.model");
    char shown[48];
    *byte_level = hb_text_is(model, "gpt2");
    if (!model.bytes)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'tokenizer.ggml.model' is missing or not a string",
                       hb_gguf_path(g));
    if (*byte_level || hb_text_is(model, "llama")) return HB_OK;
    return hb_fail(err, HB_ERR_UNSUPPORTED,
                   "%s: tokenizer '%s' is not supported (supported: llama, gpt2)", hb_gguf_path(g),
                   hb_printable(shown, sizeof shown, model.bytes, model.length));
}

hb_status hb_tokenizer_open(const hb_gguf *gguf, hb_tokenizer **tokenizer, hb_error *err)
{
    bool byte_level;
    hb_status status = read_kind(gguf, &byte_level, err);
    if (status) return status;
    hb_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return hb_fail_memory(err);
    t->byte_level = byte_level;
    status =
        hb_vocab_read(&t->vocab, gguf, byte_level ? HB_SPELLING_BYTE_LEVEL : HB_SPELLING_MARKED, err);
    if (!status && byte_level) status = hb_bpe_read(&t->bpe, &t->vocab, gguf, err);
    if (!status) status = read_specials(t, gguf, err);
    t->strip_after = is_phi3(gguf);
    t->guesses_words = byte_level && !hb_gguf_get_text(gguf, "tokenizer.ggml.pre").bytes;
    if (status) hb_tokenizer_close(t);
    else *tokenizer = t;
    return status;
}

void hb_tokenizer_close(hb_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    hb_bpe_free(&tokenizer->bpe);
    hb_vocab_free(&tokenizer->vocab);
    free(tokenizer);
}

/* ---- Tokens ------------------------------------------------------------------------------------- */

int32_t hb_tokenizer_n_vocab(const hb_tokenizer *tokenizer)
{
    return tokenizer->vocab.n;
}

bool hb_tokenizer_guesses_words(const hb_tokenizer *tokenizer)
{
    return tokenizer->guesses_words;
}

hb_text hb_tokenizer_bytes(const hb_tokenizer *tokenizer, int32_t token)
{
    return tokenizer->vocab.entries[token].bytes;
}

hb_text hb_tokenizer_piece(const hb_tokenizer *tokenizer, int32_t token)
{
    return tokenizer->vocab.entries[token].piece;
}

bool hb_tokenizer_is_end(const hb_tokenizer *tokenizer, int32_t token)
{
    return tokenizer->vocab.entries[token].ends;
}

int32_t hb_tokenizer_bos(const hb_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t hb_tokenizer_eos(const hb_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

hb_text hb_tokenizer_find_control(const hb_tokenizer *tokenizer, hb_text text)
{
    const hb_vocab *v = &tokenizer->vocab;
    for (size_t at = 0; at < text.length; at++) {
        int32_t token = hb_vocab_special_at(v, text.bytes + at, text.length - at, true);
        if (token == HB_NO_TOKEN || v->entries[token].type == HB_TOKEN_USER) continue;
        return (hb_text){text.bytes + at, v->entries[token].piece.length};
    }
    return (hb_text){NULL, 0};
}

/* ---- Encoding ----------------------------------------------------------------------------------- */

/* The number of bytes of white space at the start of a text that the previous special token swallows.
 */
static size_t stripped(const hb_tokenizer *t, int32_t token, const char *text, size_t length)
{
    static const char *const exempt[] = {"<unk>", "<s>", "<|endoftext|>"};
    size_t n = 0;
    if (!t->strip_after) return 0;
    for (int i = 0; i < 3; i++)
        if (hb_text_is(t->vocab.entries[token].piece, exempt[i])) return 0;
    while (n < length && hb_is_space(text[n])) n++;
    return n;
}

/* Finds the special tokens, and encodes the text between them as ordinary text. */
static hb_status encode(const hb_tokenizer *t, const char *text, const hb_text_span *spans, size_t n,
                        bool continues, hb_ids *out, hb_error *err)
{
    hb_status status = HB_OK;
    size_t from = 0, length = spans[n - 1].end, span = 0;
    for (size_t at = 0; at <= length && !status; at++) {
        while (span < n - 1 && at >= spans[span].end) span++;
        int32_t special =
            hb_vocab_special_at(&t->vocab, text + at, spans[span].end - at, spans[span].parse_special);
        if (special == HB_NO_TOKEN && at < length) continue;
        bool add_space = t->add_space && !(continues && from == 0);
        if (at > from)
            status = t->byte_level
                         ? hb_bpe_encode(&t->bpe, text + from, at - from, out, err)
                         : hb_spm_encode(&t->vocab, add_space, text + from, at - from, out, err);
        if (status || special == HB_NO_TOKEN) break;
        status = hb_ids_add(out, special, err);
        from = at + t->vocab.entries[special].piece.length;
        from += stripped(t, special, text + from, length - from);
        at = from - 1;
    }
    return status;
}

hb_status hb_tokenizer_encode(const hb_tokenizer *tokenizer, const char *text,
                              const hb_text_span *spans, size_t n, bool add_bos, bool add_eos,
                              bool continues, int32_t **tokens, size_t *n_tokens, hb_error *err)
{
    const hb_tokenizer *t = tokenizer;
    hb_ids out = {0};
    hb_status status = HB_OK;
    if (add_bos && t->add_bos && t->bos != HB_NO_TOKEN) status = hb_ids_add(&out, t->bos, err);
    if (!status) status = encode(t, text, spans, n, continues, &out, err);
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
