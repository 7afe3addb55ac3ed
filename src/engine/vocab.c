#include "engine/vocab.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

/* Tokens that end a text or a turn, for files that do not mark them. */
static const char *const enders[] = {
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<|end_of_turn|>",
    "<|eot|>",
    "<|EOT|>",
    "[|endofturn|]",
    "<|END_OF_TURN_TOKEN|>",
    ("<\xEF\xBD\x9C"
     "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"),
};

/* Tokens that mark turns. Some files declare them as user-defined tokens, which are recognised in any
 * text. hbar treats them as control tokens, so that text from a user cannot begin a turn. */
static const char *const markers[] = {
    "<s>",
    "[INST]",
    "[/INST]",
    "<bos>",
    "<|begin_of_text|>",
    "<|im_start|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<start_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "<|im_sep|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|start_of_role|>",
    "<|end_of_role|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "[|system|]",
    "[|user|]",
    "[|assistant|]",
    "<\xEF\xBD\x9CUser\xEF\xBD\x9C>",
    ("<\xEF\xBD\x9C"
     "Assistant\xEF\xBD\x9C>"),
};

/* ---- Spelling ----------------------------------------------------------------------------------- */

/* The value of a byte token, spelled <0xHH>; -1 for another spelling. */
static int byte_value(hb_text piece)
{
    static const char digits[] = "0123456789ABCDEF";
    if (piece.length != 6 || memcmp(piece.bytes, "<0x", 3) != 0 || piece.bytes[5] != '>') return -1;
    const char *high = memchr(digits, piece.bytes[3], 16), *low = memchr(digits, piece.bytes[4], 16);
    return high && low ? (int)(high - digits) * 16 + (int)(low - digits) : -1;
}

/* Writes the piece with each mark replaced by a space. Returns the number of bytes written. */
static size_t decode_marked(hb_text piece, char *out)
{
    size_t n = 0;
    for (uint64_t i = 0; i < piece.length; n++) {
        bool mark = piece.length - i >= 3 && memcmp(piece.bytes + i, "\xE2\x96\x81", 3) == 0;
        out[n] = mark ? ' ' : piece.bytes[i];
        i += mark ? 3 : 1;
    }
    return n;
}

/* In GPT-2's alphabet printable Latin-1 characters stand for themselves. The characters from U+0100 on
 * stand for the other bytes, in order. */
static void fill_alphabet(int16_t *alphabet)
{
    int next = 256;
    for (int i = 0; i < HB_ALPHABET; i++) alphabet[i] = -1;
    for (int16_t byte = 0; byte < 256; byte++) {
        bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        alphabet[itself ? byte : next++] = byte;
    }
}

/* Writes the piece with each character of the alphabet replaced by its byte; other characters stay.
 * Returns the number of bytes written. */
static size_t decode_byte_level(const int16_t *alphabet, hb_text piece, char *out)
{
    size_t n = 0;
    for (uint64_t i = 0; i < piece.length;) {
        const unsigned char *c = (const unsigned char *)piece.bytes + i;
        int length = hb_utf8_character(piece.bytes + i, piece.length - i);
        uint32_t character = length == 2 ? (uint32_t)(c[0] & 0x1F) << 6 | (c[1] & 0x3F) : c[0];
        int byte = length > 0 && length < 3 && character < HB_ALPHABET ? alphabet[character] : -1;
        size_t size = length > 0 ? (size_t)length : 1;
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            memcpy(out + n, piece.bytes + i, size);
            n += size;
        }
        i += size;
    }
    return n;
}

static hb_status decode(hb_vocab *v, const char *path, hb_error *err)
{
    fill_alphabet(v->alphabet);
    uint64_t total = 1;
    for (int32_t id = 0; id < v->n; id++) total += v->entries[id].piece.length;
    char *at = v->decoded = malloc(total); /* no piece decodes to more bytes than it has */
    if (!at) return hb_fail_memory(err);
    for (int i = 0; i < 256; i++) v->byte_tokens[i] = HB_NO_TOKEN;
    for (int32_t id = 0; id < v->n; id++) {
        hb_vocab_entry *e = &v->entries[id];
        size_t n = 0;
        if (e->type == HB_TOKEN_BYTE) {
            int value = byte_value(e->piece);
            if (value < 0)
                return hb_fail(err, HB_ERR_FORMAT,
                               "%s: token %d has type byte but is not spelled <0xHH>", path, id);
            v->byte_tokens[value] = id;
            at[n++] = (char)value;
        } else if (e->type == HB_TOKEN_USER) {
            memcpy(at, e->piece.bytes, e->piece.length);
            n = e->piece.length;
        } else if (e->type != HB_TOKEN_CONTROL && e->type != HB_TOKEN_UNKNOWN) {
            n = v->spelling == HB_SPELLING_MARKED ? decode_marked(e->piece, at)
                                                  : decode_byte_level(v->alphabet, e->piece, at);
        }
        e->bytes = (hb_text){at, n};
        at += n;
    }
    return HB_OK;
}

/* ---- Finding ------------------------------------------------------------------------------------ */

static hb_text text_of(const hb_vocab *v, int32_t id)
{
    return v->spelling == HB_SPELLING_MARKED ? v->entries[id].piece : v->entries[id].bytes;
}

/* The first 8 bytes as a number. Texts are in the order of these numbers, unless the numbers are equal.
 */
static uint64_t prefix_of(hb_text text)
{
    uint64_t prefix = 0;
    if (text.length) memcpy(&prefix, text.bytes, text.length < 8 ? text.length : 8);
    return be64toh(prefix);
}

/* A token to be sorted by its text. */
typedef struct keyed {
    uint64_t prefix;
    int32_t id;
} keyed;

static int compare_by_text(const void *a, const void *b, void *vocab)
{
    const keyed *x = a, *y = b;
    if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
    int order = hb_text_compare(text_of(vocab, x->id), text_of(vocab, y->id));
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* Sorts the ids in by_text and sets their prefixes. */
static hb_status sort_by_text(hb_vocab *v, hb_error *err)
{
    size_t n = (size_t)v->n_by_text;
    keyed *list = malloc((n + 1) * sizeof *list);
    v->prefixes = malloc((n + 1) * sizeof *v->prefixes);
    if (!list || !v->prefixes) {
        free(list);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < n; i++)
        list[i] = (keyed){prefix_of(text_of(v, v->by_text[i])), v->by_text[i]};
    qsort_r(list, n, sizeof *list, compare_by_text, v);
    for (size_t i = 0; i < n; i++) {
        v->by_text[i] = list[i].id;
        v->prefixes[i] = list[i].prefix;
    }
    free(list);
    return HB_OK;
}

static int compare_by_piece(const void *a, const void *b, void *vocab)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    const hb_vocab_entry *entries = ((const hb_vocab *)vocab)->entries;
    int order = hb_text_compare(entries[i].piece, entries[j].piece);
    return order ? order : (i > j) - (i < j);
}

/* Of special tokens with the same text only the last can be found, and the last user-defined one. The
 * others must not be there: a file could have millions, and looking at them would take for ever. */
static void drop_hidden(hb_vocab *v)
{
    int32_t n = 0;
    for (int32_t first = 0, end; first < v->n_special; first = end) {
        hb_text piece = v->entries[v->special[first]].piece;
        int32_t user = HB_NO_TOKEN, last = HB_NO_TOKEN;
        for (end = first; end < v->n_special; end++) {
            const hb_vocab_entry *e = &v->entries[v->special[end]];
            if (hb_text_compare(e->piece, piece) != 0) break;
            last = v->special[end];
            if (e->type == HB_TOKEN_USER) user = last;
        }
        if (user != HB_NO_TOKEN && user != last) v->special[n++] = user;
        v->special[n++] = last;
    }
    v->n_special = n;
}

static hb_status sort(hb_vocab *v, hb_error *err)
{
    v->by_text = malloc((size_t)v->n * sizeof *v->by_text);
    v->special = malloc((size_t)v->n * sizeof *v->special);
    if (!v->by_text || !v->special) return hb_fail_memory(err);
    for (int32_t id = 0; id < v->n; id++) {
        const hb_vocab_entry *e = &v->entries[id];
        bool hidden = e->type == HB_TOKEN_CONTROL || e->type == HB_TOKEN_UNKNOWN;
        if (e->piece.length == 0) continue;
        if (!hidden) v->by_text[v->n_by_text++] = id;
        if (!hidden && e->type != HB_TOKEN_USER) continue;
        v->special[v->n_special++] = id;
        v->special_first[(unsigned char)e->piece.bytes[0]] = true;
    }
    qsort_r(v->special, (size_t)v->n_special, sizeof *v->special, compare_by_piece, v);
    drop_hidden(v);
    return sort_by_text(v, err);
}

/* The number of texts whose prefix is less. Has no branches, which would often be mispredicted. */
static int32_t first_with_prefix(const hb_vocab *v, uint64_t prefix)
{
    int32_t low = 0;
    for (int32_t n = v->n_by_text, half; n > 0; n -= half) {
        half = (n + 1) / 2;
        low += half * (v->prefixes[low + half - 1] < prefix);
    }
    return low;
}

int32_t hb_vocab_find(const hb_vocab *vocab, const char *text, size_t length)
{
    if (length == 0 || length > vocab->longest) return HB_NO_TOKEN;
    hb_text wanted = {text, length};
    uint64_t prefix = prefix_of(wanted);
    int32_t first = first_with_prefix(vocab, prefix), low = first, step = 1;
    while (step < vocab->n_by_text - first && vocab->prefixes[first + step] == prefix) step *= 2;
    int32_t high = step < vocab->n_by_text - first ? first + step : vocab->n_by_text;
    while (low < high) { /* the first id whose text is greater */
        int32_t mid = low + (high - low) / 2;
        if (hb_text_compare(text_of(vocab, vocab->by_text[mid]), wanted) <= 0) low = mid + 1;
        else high = mid;
    }
    if (low == 0) return HB_NO_TOKEN;
    int32_t id = vocab->by_text[low - 1];
    return hb_text_compare(text_of(vocab, id), wanted) == 0 ? id : HB_NO_TOKEN;
}

/* The special tokens of [low, high) agree in their first `at` bytes. Finds the first whose next byte is
 * at least `byte`; a token that ends there counts as less. */
static int32_t first_special(const hb_vocab *v, int32_t low, int32_t high, uint64_t at, int byte)
{
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        hb_text piece = v->entries[v->special[mid]].piece;
        if (piece.length <= at || (unsigned char)piece.bytes[at] < byte) low = mid + 1;
        else high = mid;
    }
    return low;
}

int32_t hb_vocab_special_at(const hb_vocab *vocab, const char *text, size_t length, bool parse)
{
    int32_t low = 0, high = vocab->n_special, found = HB_NO_TOKEN;
    if (length == 0 || !vocab->special_first[(unsigned char)text[0]]) return HB_NO_TOKEN;
    for (size_t i = 0; i < length && low < high; i++) {
        int byte = (unsigned char)text[i];
        low = first_special(vocab, low, high, i, byte);
        high = first_special(vocab, low, high, i, byte + 1);
        for (int32_t k = low; k < high && vocab->entries[vocab->special[k]].piece.length == i + 1; k++)
            if (parse || vocab->entries[vocab->special[k]].type == HB_TOKEN_USER)
                found = vocab->special[k];
    }
    return found;
}

int32_t hb_vocab_find_piece(const hb_vocab *vocab, hb_text piece)
{
    char bytes[HB_MAX_PIECE];
    if (vocab->spelling == HB_SPELLING_MARKED) return hb_vocab_find(vocab, piece.bytes, piece.length);
    if (piece.length > sizeof bytes) return HB_NO_TOKEN;
    return hb_vocab_find(vocab, bytes, decode_byte_level(vocab->alphabet, piece, bytes));
}

/* ---- Reading ------------------------------------------------------------------------------------ */

/* Finds an array of `count` values of kind `element`. *value is NULL when the file has none. */
static hb_status find_array(const hb_gguf *g, const char *key, hb_gguf_kind element, uint64_t count,
                            const hb_gguf_value **value, hb_error *err)
{
    *value = hb_gguf_find(g, key);
    if (!*value) return HB_OK;
    if ((*value)->kind == HB_GGUF_ARRAY && (*value)->element == element && (*value)->count == count)
        return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT,
                   "%s: metadata '%s' is not an array of %llu values of the expected type",
                   hb_gguf_path(g), key, (unsigned long long)count);
}

static bool is_one_of(hb_text piece, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (hb_text_is(piece, names[i])) return true;
    return false;
}

static hb_status read_entry(hb_vocab *v, int32_t id, const uint8_t *scores, const uint8_t *types,
                            const char *path, hb_error *err)
{
    hb_vocab_entry *e = &v->entries[id];
    int32_t type = HB_TOKEN_NORMAL;
    if (scores) memcpy(&e->score, scores + (size_t)id * 4, 4);
    if (types) memcpy(&type, types + (size_t)id * 4, 4);
    if (type < 0 || type >= HB_TOKEN_TYPES || isnan(e->score))
        return hb_fail(err, HB_ERR_FORMAT, "%s: token %d has type %d and score %g", path, id, type,
                       (double)e->score);
    if (e->piece.length > HB_MAX_PIECE)
        return hb_fail(err, HB_ERR_FORMAT, "%s: token %d is %llu bytes long", path, id,
                       (unsigned long long)e->piece.length);
    if (e->piece.length > v->longest) v->longest = e->piece.length;
    e->type = (hb_token_type)type;
    e->ends = is_one_of(e->piece, enders, sizeof enders / sizeof *enders);
    if (e->ends || is_one_of(e->piece, markers, sizeof markers / sizeof *markers))
        e->type = HB_TOKEN_CONTROL;
    return HB_OK;
}

hb_status hb_vocab_read(hb_vocab *vocab, const hb_gguf *gguf, hb_spelling spelling, hb_error *err)
{
    const char *path = hb_gguf_path(gguf);
    const hb_gguf_value *tokens = hb_gguf_find(gguf, "tokenizer.ggml.tokens"), *scores, *types;
    if (!tokens || tokens->kind != HB_GGUF_ARRAY || tokens->element != HB_GGUF_STRING)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'tokenizer.ggml.tokens' is missing or not an array", path);
    if (tokens->count < 1 || tokens->count > HB_MAX_VOCAB)
        return hb_fail(err, HB_ERR_FORMAT, "%s: a vocabulary of %llu tokens", path,
                       (unsigned long long)tokens->count);
    hb_status status =
        find_array(gguf, "tokenizer.ggml.scores", HB_GGUF_FLOAT32, tokens->count, &scores, err);
    if (!status)
        status =
            find_array(gguf, "tokenizer.ggml.token_type", HB_GGUF_INT32, tokens->count, &types, err);
    if (status) return status;
    if (!scores && spelling == HB_SPELLING_MARKED)
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata 'tokenizer.ggml.scores' is missing", path);

    vocab->spelling = spelling;
    vocab->entries = calloc(tokens->count, sizeof *vocab->entries);
    if (!vocab->entries) return hb_fail_memory(err);
    const uint8_t *cursor = tokens->data;
    for (; vocab->n < (int32_t)tokens->count && !status; vocab->n++) {
        vocab->entries[vocab->n].piece = hb_gguf_next_text(&cursor);
        status = read_entry(vocab, vocab->n, scores ? scores->data : NULL, types ? types->data : NULL,
                            path, err);
    }
    if (!status) status = decode(vocab, path, err);
    return status ? status : sort(vocab, err);
}

void hb_vocab_free(hb_vocab *vocab)
{
    free(vocab->entries);
    free(vocab->decoded);
    free(vocab->by_text);
    free(vocab->prefixes);
    free(vocab->special);
}
