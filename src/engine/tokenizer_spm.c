/* SentencePiece's BPE (Kudo and Richardson, 2018): two adjacent symbols are joined when the vocabulary
 * has their joined text, the pair with the best score first. Text that is not in the vocabulary becomes
 * byte tokens. */
#include "engine/tokenizer_spm.h"

#include "base/buffer.h"
#include "engine/merge.h"

/* U+2581, which stands for a space inside the vocabulary. */
static const char space_mark[] = "\xE2\x96\x81";

static bool joins(const void *rules, const char *text, const hb_symbol *left, const hb_symbol *right,
                  int32_t *token, float *priority)
{
    const hb_vocab *vocab = rules;
    *token = hb_vocab_find(vocab, text + left->at, left->length + right->length);
    if (*token != HB_NO_TOKEN) *priority = vocab->entries[*token].score;
    return *token != HB_NO_TOKEN;
}

/* Splits text into characters by looking at first bytes only, as these vocabularies expect. Malformed
 * text becomes byte tokens. */
static int32_t cut(const hb_vocab *vocab, hb_symbol *symbols, const char *text, size_t length)
{
    int32_t n = 0;
    for (size_t i = 0; i < length; n++) {
        unsigned char first = (unsigned char)text[i];
        size_t size = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        if (size > length - i) size = length - i;
        symbols[n] = (hb_symbol){
            .at = (uint32_t)i, .length = (uint32_t)size, .token = hb_vocab_find(vocab, text + i, size)};
        i += size;
    }
    return n;
}

/* Appends a symbol's token or, if it has none, the tokens of its bytes. */
static hb_status emit(const hb_vocab *vocab, const char *text, const hb_symbol *s, hb_ids *out,
                      hb_error *err)
{
    if (s->token != HB_NO_TOKEN) return hb_ids_add(out, s->token, err);
    hb_status status = HB_OK;
    for (uint32_t i = s->at; i < s->at + s->length && !status; i++) {
        int32_t id = vocab->byte_tokens[(unsigned char)text[i]];
        if (id == HB_NO_TOKEN) id = hb_vocab_find(vocab, text + i, 1);
        if (id == HB_NO_TOKEN) id = vocab->unknown;
        if (id != HB_NO_TOKEN) status = hb_ids_add(out, id, err);
    }
    return status;
}

/* Replaces each space by the mark. With `add_space`, puts one more mark in front. */
static bool mark_spaces(bool add_space, const char *text, size_t length, hb_buffer *marked)
{
    bool ok = !add_space || hb_buffer_add_text(marked, space_mark);
    for (size_t i = 0; i < length && ok; i++)
        ok = text[i] == ' ' ? hb_buffer_add_text(marked, space_mark)
                            : hb_buffer_add(marked, text + i, 1);
    return ok;
}

hb_status hb_spm_encode(const hb_vocab *vocab, bool add_space, const char *text, size_t length,
                        hb_ids *out, hb_error *err)
{
    hb_buffer marked = {0};
    hb_merger m = {.joins = joins, .rules = vocab};
    hb_status status = mark_spaces(add_space, text, length, &marked) ? HB_OK : hb_fail_memory(err);
    if (!status) status = hb_merger_reserve(&m, marked.length, err);
    if (!status) {
        hb_merge(&m, marked.data, cut(vocab, m.symbols, marked.data, marked.length));
        for (int32_t i = 0; i >= 0 && !status; i = m.symbols[i].next)
            status = emit(vocab, marked.data, &m.symbols[i], out, err);
    }
    hb_merger_free(&m);
    hb_buffer_free(&marked);
    return status;
}
