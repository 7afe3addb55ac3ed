/* Byte-level BPE (Sennrich et al., 2016; Radford et al., GPT-2, 2019): within each word, the file's
 * merge rules join bytes. Rules that training found earlier are applied first. */
#include "engine/tokenizer_bpe.h"

#include <stdlib.h>
#include <string.h>
#include "engine/merge.h"

/* ---- Reading the rules -------------------------------------------------------------------------- */

typedef struct full_rule {
    int32_t left;
    hb_bpe_rule rule;
} full_rule;

static int compare_rules(const void *a, const void *b)
{
    const full_rule *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    if (x->rule.right != y->rule.right) return x->rule.right < y->rule.right ? -1 : 1;
    return (x->rule.rank > y->rule.rank) - (x->rule.rank < y->rule.rank);
}

/* Whether the piece is a special token. Ordinary text never becomes one. */
static bool is_special(const hb_vocab *v, hb_text piece)
{
    int32_t id = hb_vocab_special_at(v, piece.bytes, piece.length, true);
    return id != HB_NO_TOKEN && v->entries[id].piece.length == piece.length;
}

/* Reads a rule: two pieces with a space between them. Returns false when it is malformed. A rule whose
 * result is a special token is valid; its `joined` is HB_NO_TOKEN. */
static bool read_rule(const hb_vocab *v, hb_text text, int32_t rank, full_rule *out)
{
    char joined[HB_MAX_PIECE];
    const char *space = text.length > 1 ? memchr(text.bytes + 1, ' ', text.length - 1) : NULL;
    if (!space || text.length > sizeof joined) return false;
    hb_text left = {text.bytes, (uint64_t)(space - text.bytes)};
    hb_text right = {space + 1, text.length - left.length - 1};
    memcpy(joined, left.bytes, left.length);
    memcpy(joined + left.length, right.bytes, right.length);
    hb_text whole = {joined, left.length + right.length};
    *out = (full_rule){hb_vocab_find_piece(v, left),
                       {hb_vocab_find_piece(v, right), rank, hb_vocab_find_piece(v, whole)}};
    bool usable = out->left != HB_NO_TOKEN && out->rule.right != HB_NO_TOKEN;
    return usable && (out->rule.joined != HB_NO_TOKEN || is_special(v, whole));
}

/* Sorts the rules by their left token and records where each token's rules begin. */
static hb_status index_rules(hb_bpe *b, full_rule *full, size_t n, hb_error *err)
{
    qsort(full, n, sizeof *full, compare_rules);
    b->rules = malloc((n + 1) * sizeof *b->rules);
    b->first_rule = calloc((size_t)b->vocab->n + 1, sizeof *b->first_rule);
    if (!b->rules || !b->first_rule) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        b->rules[i] = full[i].rule;
        b->first_rule[full[i].left + 1]++;
    }
    for (int32_t id = 0; id < b->vocab->n; id++) b->first_rule[id + 1] += b->first_rule[id];
    return HB_OK;
}

static hb_status read_rules(hb_bpe *b, const hb_gguf *gguf, hb_error *err)
{
    const hb_gguf_value *merges = hb_gguf_find(gguf, "tokenizer.ggml.merges");
    if (!merges || merges->kind != HB_GGUF_ARRAY || merges->element != HB_GGUF_STRING ||
        merges->count > HB_MAX_VOCAB)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'tokenizer.ggml.merges' is missing or not an array of rules",
                       hb_gguf_path(gguf));
    full_rule *full = malloc((merges->count + 1) * sizeof *full);
    if (!full) return hb_fail_memory(err);
    const uint8_t *cursor = merges->data;
    hb_status status = HB_OK;
    size_t n = 0;
    for (uint64_t i = 0; i < merges->count && !status; i++) {
        if (!read_rule(b->vocab, hb_gguf_next_text(&cursor), (int32_t)i, &full[n]))
            status = hb_fail(err, HB_ERR_FORMAT, "%s: merge %llu does not join tokens into a token",
                             hb_gguf_path(gguf), (unsigned long long)i);
        else n += full[n].rule.joined != HB_NO_TOKEN;
    }
    if (!status) status = index_rules(b, full, n, err);
    free(full);
    return status;
}

hb_status hb_bpe_read(hb_bpe *bpe, const hb_vocab *vocab, const hb_gguf *gguf, hb_error *err)
{
    bpe->vocab = vocab;
    hb_status status = hb_pretokenizer_open(hb_gguf_get_text(gguf, "tokenizer.ggml.pre"),
                                            hb_gguf_path(gguf), &bpe->pretokenizer, err);
    return status ? status : read_rules(bpe, gguf, err);
}

void hb_bpe_free(hb_bpe *bpe)
{
    hb_pretokenizer_close(bpe->pretokenizer);
    free(bpe->rules);
    free(bpe->first_rule);
}

/* ---- Encoding ----------------------------------------------------------------------------------- */

static bool joins(const void *rules, const char *text, const hb_symbol *left, const hb_symbol *right,
                  int32_t *token, float *priority)
{
    const hb_bpe *b = rules;
    (void)text;
    if (left->token == HB_NO_TOKEN || right->token == HB_NO_TOKEN) return false;
    uint32_t low = b->first_rule[left->token], end = b->first_rule[left->token + 1], high = end;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (b->rules[mid].right < right->token) low = mid + 1;
        else high = mid;
    }
    if (low == end || b->rules[low].right != right->token) return false;
    *token = b->rules[low].joined;
    *priority = -(float)b->rules[low].rank; /* exact, because there are at most 2^24 rules */
    return true;
}

typedef struct encoder {
    const hb_bpe *bpe;
    hb_merger merger;
    hb_ids *out;
    const int32_t *letters; /* the token of each byte */
} encoder;

static hb_status encode_word(void *user, const char *word, size_t length, hb_error *err)
{
    encoder *e = user;
    const hb_vocab *vocab = e->bpe->vocab;
    if (hb_pretokenizer_whole_words(e->bpe->pretokenizer)) {
        int32_t whole = hb_vocab_find(vocab, word, length);
        if (whole != HB_NO_TOKEN) return hb_ids_add(e->out, whole, err);
    }
    hb_status status = hb_merger_reserve(&e->merger, length, err);
    if (status) return status;
    hb_symbol *symbols = e->merger.symbols;
    for (size_t i = 0; i < length; i++)
        symbols[i] =
            (hb_symbol){.at = (uint32_t)i, .length = 1, .token = e->letters[(unsigned char)word[i]]};
    hb_merge(&e->merger, word, (int32_t)length);
    for (int32_t i = 0; i >= 0 && !status; i = symbols[i].next) {
        int32_t id = symbols[i].token == HB_NO_TOKEN ? vocab->unknown : symbols[i].token;
        if (id != HB_NO_TOKEN) status = hb_ids_add(e->out, id, err);
    }
    return status;
}

hb_status hb_bpe_encode(const hb_bpe *bpe, const char *text, size_t length, hb_ids *out, hb_error *err)
{
    int32_t letters[256];
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        letters[i] = hb_vocab_find(bpe->vocab, &byte, 1);
    }
    encoder e = {.bpe = bpe, .merger = {.joins = joins, .rules = bpe}, .out = out, .letters = letters};
    hb_status status = hb_pretokenize(bpe->pretokenizer, text, length, encode_word, &e, err);
    hb_merger_free(&e.merger);
    return status;
}
