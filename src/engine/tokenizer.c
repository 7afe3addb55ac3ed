#include "engine/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"

#define MAX_VOCAB (1 << 24)
#define NO_TOKEN  (-1)

/* Token types, numbered as in tokenizer.ggml.token_type. */
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_BYTE = 6, TOKEN_TYPES = 7 };

/* U+2581, which stands for a space inside a SentencePiece vocabulary. */
static const char space_mark[] = "\xE2\x96\x81";

typedef struct vocab_entry {
    hb_gguf_text piece; /* as in the file */
    float score;
    int32_t type;
    size_t bytes_at, bytes_length; /* what it decodes to, in hb_tokenizer.bytes */
} vocab_entry;

struct hb_tokenizer {
    vocab_entry *vocab;
    int32_t n_vocab;
    int32_t *by_piece; /* token ids sorted by piece: lookups that no vocabulary can slow down */
    hb_buffer bytes;
    int32_t byte_tokens[256]; /* NO_TOKEN where there is none */
    int32_t bos, unknown;     /* NO_TOKEN where there is none */
    int32_t ends[3];
    bool add_bos, add_space;
};

/* ---- The vocabulary ----------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b, void *vocab)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    int order = hb_gguf_text_compare(((vocab_entry *)vocab)[i].piece, ((vocab_entry *)vocab)[j].piece);
    return order ? order : (i > j) - (i < j);
}

/* The token spelled so, the last one where several are; NO_TOKEN when none is. */
static int32_t find_piece(const hb_tokenizer *t, const char *bytes, size_t length)
{
    hb_gguf_text wanted = {bytes, length};
    int32_t low = 0, high = t->n_vocab;
    while (low < high) { /* the first id whose piece is greater */
        int32_t mid = low + (high - low) / 2;
        if (hb_gguf_text_compare(t->vocab[t->by_piece[mid]].piece, wanted) <= 0) low = mid + 1;
        else high = mid;
    }
    if (low == 0) return NO_TOKEN;
    int32_t id = t->by_piece[low - 1];
    return hb_gguf_text_compare(t->vocab[id].piece, wanted) == 0 ? id : NO_TOKEN;
}

/* The value of a byte token, spelled <0xHH>; -1 for another spelling. */
static int byte_value(hb_gguf_text piece)
{
    static const char digits[] = "0123456789ABCDEF";
    if (piece.length != 6 || memcmp(piece.bytes, "<0x", 3) != 0 || piece.bytes[5] != '>') return -1;
    const char *high = memchr(digits, piece.bytes[3], 16), *low = memchr(digits, piece.bytes[4], 16);
    return high && low ? (int)(high - digits) * 16 + (int)(low - digits) : -1;
}

/* Adds what a piece decodes to: text with its marks turned into spaces. */
static bool decode_piece(hb_buffer *out, hb_gguf_text piece)
{
    bool ok = true;
    for (uint64_t i = 0; i < piece.length && ok;) {
        if (piece.length - i >= 3 && memcmp(piece.bytes + i, space_mark, 3) == 0) {
            ok = hb_buffer_add(out, " ", 1);
            i += 3;
        } else {
            ok = hb_buffer_add(out, piece.bytes + i, 1);
            i++;
        }
    }
    return ok;
}

static hb_status decode_vocab(hb_tokenizer *t, const char *path, hb_error *err)
{
    for (int i = 0; i < 256; i++) t->byte_tokens[i] = NO_TOKEN;
    for (int32_t id = 0; id < t->n_vocab; id++) {
        vocab_entry *v = &t->vocab[id];
        bool ok = true;
        v->bytes_at = t->bytes.length;
        if (v->type == TOKEN_BYTE) {
            int value = byte_value(v->piece);
            if (value < 0)
                return hb_fail(err, HB_ERR_FORMAT,
                               "%s: token %d has type byte but is not spelled <0xHH>", path, id);
            char byte = (char)value;
            t->byte_tokens[value] = id;
            ok = hb_buffer_add(&t->bytes, &byte, 1);
        } else if (v->type != TOKEN_CONTROL && v->type != TOKEN_UNKNOWN) {
            ok = decode_piece(&t->bytes, v->piece);
        }
        if (!ok) return hb_fail_memory(err);
        v->bytes_length = t->bytes.length - v->bytes_at;
    }
    return HB_OK;
}

/* An array of the vocabulary's length and the right kind; NULL when the file has none. */
static hb_status find_array(const hb_gguf *g, const char *key, hb_gguf_kind element, uint64_t count,
                            const hb_gguf_value **value, hb_error *err)
{
    *value = hb_gguf_find(g, key);
    if (!*value) return HB_OK;
    if ((*value)->kind == HB_GGUF_ARRAY && (*value)->element == element && (*value)->count == count)
        return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is not an array of %llu values of its type",
                   hb_gguf_path(g), key, (unsigned long long)count);
}

static hb_status read_vocab(hb_tokenizer *t, const hb_gguf *g, hb_error *err)
{
    const char *path = hb_gguf_path(g);
    const hb_gguf_value *tokens = hb_gguf_find(g, "tokenizer.ggml.tokens"), *scores, *types;
    if (!tokens || tokens->kind != HB_GGUF_ARRAY || tokens->element != HB_GGUF_STRING)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'tokenizer.ggml.tokens' is missing or no array", path);
    if (tokens->count < 1 || tokens->count > MAX_VOCAB)
        return hb_fail(err, HB_ERR_FORMAT, "%s: a vocabulary of %llu tokens", path,
                       (unsigned long long)tokens->count);
    hb_status status =
        find_array(g, "tokenizer.ggml.scores", HB_GGUF_FLOAT32, tokens->count, &scores, err);
    if (!status)
        status = find_array(g, "tokenizer.ggml.token_type", HB_GGUF_INT32, tokens->count, &types, err);
    if (status) return status;
    if (!scores)
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata 'tokenizer.ggml.scores' is missing", path);

    t->n_vocab = (int32_t)tokens->count;
    t->vocab = calloc(tokens->count, sizeof *t->vocab);
    t->by_piece = calloc(tokens->count, sizeof *t->by_piece);
    if (!t->vocab || !t->by_piece) return hb_fail_memory(err);
    const uint8_t *cursor = tokens->data;
    for (int32_t id = 0; id < t->n_vocab; id++) {
        vocab_entry *v = &t->vocab[id];
        v->piece = hb_gguf_next_text(&cursor);
        memcpy(&v->score, scores->data + (size_t)id * 4, 4);
        v->type = TOKEN_NORMAL;
        if (types) memcpy(&v->type, types->data + (size_t)id * 4, 4);
        if (v->type < 0 || v->type >= TOKEN_TYPES || isnan(v->score))
            return hb_fail(err, HB_ERR_FORMAT, "%s: token %d has type %d and score %g", path, id,
                           v->type, (double)v->score);
        t->by_piece[id] = id;
    }
    qsort_r(t->by_piece, tokens->count, sizeof *t->by_piece, compare_ids, t->vocab);
    return decode_vocab(t, path, err);
}

static hb_status read_special(hb_tokenizer *t, const hb_gguf *g, const char *name, int64_t fallback,
                              int32_t *token, hb_error *err)
{
    char key[64];
    int64_t id = fallback;
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name);
    hb_status status = hb_gguf_get_int(g, key, false, NO_TOKEN, t->n_vocab - 1, &id, err);
    *token = id < t->n_vocab ? (int32_t)id : NO_TOKEN;
    return status;
}

/* Defaults as SentencePiece gives them: <unk> 0, <s> 1, </s> 2, text begun by <s> and a space. */
static hb_status read_specials(hb_tokenizer *t, const hb_gguf *g, hb_error *err)
{
    t->add_bos = t->add_space = true;
    hb_status status = read_special(t, g, "bos", 1, &t->bos, err);
    if (!status) status = read_special(t, g, "unknown", 0, &t->unknown, err);
    if (!status) status = read_special(t, g, "eos", 2, &t->ends[0], err);
    if (!status) status = read_special(t, g, "eot", NO_TOKEN, &t->ends[1], err);
    if (!status) status = read_special(t, g, "eom", NO_TOKEN, &t->ends[2], err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos, err);
    if (!status) status = hb_gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->add_space, err);
    return status;
}

hb_status hb_tokenizer_open(const hb_gguf *gguf, hb_tokenizer **tokenizer, hb_error *err)
{
    hb_gguf_text model = hb_gguf_get_text(gguf, "tokenizer.ggml.model");
    if (!model.bytes)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'tokenizer.ggml.model' is missing or no string",
                       hb_gguf_path(gguf));
    if (!hb_gguf_text_is(model, "llama"))
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: tokenizer '%.*s' is not supported (llama is)",
                       hb_gguf_path(gguf), (int)(model.length < 32 ? model.length : 32), model.bytes);
    hb_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return hb_fail_memory(err);
    hb_status status = read_vocab(t, gguf, err);
    if (!status) status = read_specials(t, gguf, err);
    if (status) hb_tokenizer_close(t);
    else *tokenizer = t;
    return status;
}

void hb_tokenizer_close(hb_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    free(tokenizer->vocab);
    free(tokenizer->by_piece);
    hb_buffer_free(&tokenizer->bytes);
    free(tokenizer);
}

int32_t hb_tokenizer_n_vocab(const hb_tokenizer *tokenizer)
{
    return tokenizer->n_vocab;
}

const char *hb_tokenizer_bytes(const hb_tokenizer *tokenizer, int32_t token, size_t *length)
{
    *length = 0;
    if (token < 0 || token >= tokenizer->n_vocab) return "";
    const vocab_entry *v = &tokenizer->vocab[token];
    *length = v->bytes_length;
    return *length ? tokenizer->bytes.data + v->bytes_at : "";
}

bool hb_tokenizer_is_end(const hb_tokenizer *tokenizer, int32_t token)
{
    for (int i = 0; i < 3; i++)
        if (token == tokenizer->ends[i]) return true;
    return false;
}

/* ---- Encoding: SentencePiece BPE ----------------------------------------------------------------
 *
 * The text is cut into characters, then the neighbouring pair whose joined spelling has the best score
 * in the vocabulary is joined, again and again, the leftmost first among equals. A linked list holds
 * the symbols and a heap the candidate pairs, so the whole is O(n log n). */

typedef struct symbol {
    const char *bytes;
    size_t length; /* 0: joined into the symbol before it */
    int32_t previous, next;
} symbol;

typedef struct pair {
    float score;
    int32_t left, right;
    size_t length; /* of both when the pair was found: another length means it is out of date */
} pair;

typedef struct merge {
    const hb_tokenizer *tokenizer;
    symbol *symbols;
    pair *heap;
    size_t n_pairs;
} merge;

static bool goes_first(const pair *a, const pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void heap_push(merge *m, pair p)
{
    size_t at = m->n_pairs++;
    while (at > 0 && goes_first(&p, &m->heap[(at - 1) / 2])) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = p;
}

static pair heap_pop(merge *m)
{
    pair top = m->heap[0], last = m->heap[--m->n_pairs];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->n_pairs) break;
        if (child + 1 < m->n_pairs && goes_first(&m->heap[child + 1], &m->heap[child])) child++;
        if (!goes_first(&m->heap[child], &last)) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
    return top;
}

/* Makes a candidate of two neighbours if the vocabulary has them joined. */
static void consider(merge *m, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return;
    const symbol *a = &m->symbols[left], *b = &m->symbols[right];
    int32_t id = find_piece(m->tokenizer, a->bytes, a->length + b->length);
    if (id != NO_TOKEN)
        heap_push(m, (pair){m->tokenizer->vocab[id].score, left, right, a->length + b->length});
}

static void join_all(merge *m)
{
    while (m->n_pairs > 0) {
        pair p = heap_pop(m);
        symbol *left = &m->symbols[p.left], *right = &m->symbols[p.right];
        if (!left->length || !right->length || left->length + right->length != p.length) continue;
        left->length = p.length;
        right->length = 0;
        left->next = right->next;
        if (right->next >= 0) m->symbols[right->next].previous = p.left;
        consider(m, left->previous, p.left);
        consider(m, p.left, left->next);
    }
}

/* Cuts text into characters by their first byte alone, as SentencePiece vocabularies expect; malformed
 * text falls to the byte tokens. */
static int32_t cut(symbol *symbols, const char *text, size_t length)
{
    int32_t n = 0;
    for (size_t i = 0; i < length; n++) {
        unsigned char first = (unsigned char)text[i];
        size_t size = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        if (size > length - i) size = length - i;
        symbols[n] = (symbol){text + i, size, n - 1, n + 1};
        i += size;
    }
    if (n > 0) symbols[n - 1].next = -1;
    return n;
}

/* Writes a symbol's token, or those of its bytes; returns how many. */
static size_t emit(const hb_tokenizer *t, const symbol *s, int32_t *out)
{
    int32_t id = find_piece(t, s->bytes, s->length);
    if (id != NO_TOKEN) {
        out[0] = id;
        return 1;
    }
    size_t n = 0;
    for (size_t i = 0; i < s->length; i++) {
        id = t->byte_tokens[(unsigned char)s->bytes[i]];
        if (id == NO_TOKEN) id = find_piece(t, s->bytes + i, 1);
        if (id == NO_TOKEN) id = t->unknown;
        if (id != NO_TOKEN) out[n++] = id;
    }
    return n;
}

/* The text with its spaces marked, and one more in front. */
static bool mark_spaces(const hb_tokenizer *t, const char *text, size_t length, hb_buffer *marked)
{
    bool ok = true;
    if (length && t->add_space) ok = hb_buffer_add_text(marked, space_mark);
    for (size_t i = 0; i < length && ok; i++)
        ok = text[i] == ' ' ? hb_buffer_add_text(marked, space_mark)
                            : hb_buffer_add(marked, text + i, 1);
    return ok;
}

static hb_status encode(const hb_tokenizer *t, const hb_buffer *marked, int32_t *ids, size_t *n_ids,
                        hb_error *err)
{
    size_t room = marked->length + 1;
    /* Each character starts at most one pair, and each join at most two more. */
    merge m = {t, malloc(room * sizeof *m.symbols), malloc(3 * room * sizeof *m.heap), 0};
    if (!m.symbols || !m.heap) {
        free(m.symbols);
        free(m.heap);
        return hb_fail_memory(err);
    }
    int32_t n = cut(m.symbols, marked->data, marked->length);
    for (int32_t i = 1; i < n; i++) consider(&m, i - 1, i);
    join_all(&m);
    for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = m.symbols[i].next)
        *n_ids += emit(t, &m.symbols[i], ids + *n_ids);
    free(m.symbols);
    free(m.heap);
    return HB_OK;
}

hb_status hb_tokenizer_encode(const hb_tokenizer *tokenizer, const char *text, size_t length,
                              bool add_special, int32_t **tokens, size_t *n_tokens, hb_error *err)
{
    if (length > INT32_MAX / 16)
        return hb_fail(err, HB_ERR_ARGUMENT, "a text of %zu bytes is too long to tokenize", length);
    hb_buffer marked = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    hb_status status = HB_OK;
    if (!mark_spaces(tokenizer, text, length, &marked)) status = hb_fail_memory(err);
    else if (!(ids = malloc((marked.length + 1) * sizeof *ids))) status = hb_fail_memory(err);
    if (!status && add_special && tokenizer->add_bos && tokenizer->bos != NO_TOKEN)
        ids[n++] = tokenizer->bos;
    if (!status) status = encode(tokenizer, &marked, ids, &n, err);
    hb_buffer_free(&marked);
    if (status) {
        free(ids);
        return status;
    }
    *tokens = ids;
    *n_tokens = n;
    return HB_OK;
}
