/* Evaluation of a call's tokens, in pieces of at most n_batch. */
#include <string.h>
#include "engine_llama/session.h"

/* Refuses tokens that do not fit, before anything is evaluated. */
static hb_status check_room(hb_llama_session *s, const int32_t *sequences, int32_t n, hb_error *err)
{
    const hb_cells *c = &s->cells;
    memcpy(s->before, c->n, (size_t)c->n_sequences * sizeof *s->before);
    if (n > c->n_free)
        return hb_fail(err, HB_ERR_CONTEXT,
                       "%d tokens do not fit the cache, which has %d free positions", n, c->n_free);
    bool fits = true;
    for (int32_t i = 0; i < n && fits; i++) fits = c->n[sequences ? sequences[i] : 0]++ < c->n_ctx;
    memcpy(c->n, s->before, (size_t)c->n_sequences * sizeof *s->before);
    if (fits) return HB_OK;
    return hb_fail(err, HB_ERR_CONTEXT, "the tokens do not fit the context of %d positions", c->n_ctx);
}

/* The number of tokens from `first` on that are evaluated together. */
static int32_t piece_length(const hb_llama_session *s, const int32_t *sequences, int32_t first,
                            int32_t n)
{
    int32_t length = n - first < s->base.n_batch ? n - first : s->base.n_batch;
    if (!s->model->recurrent || !sequences) return length;
    for (int32_t i = 1; i < length; i++)
        if (sequences[first + i] != sequences[first]) return i;
    return length;
}

/* Fills the batch with a piece, and marks the rows of the tap. */
static void fill_batch(hb_llama_session *s, const int32_t *tokens, const int32_t *sequences)
{
    hb_llama_tap *t = &s->tap;
    struct llama_batch *b = &s->batch;
    b->n_tokens = t->n;
    for (int32_t i = 0; i < t->n; i++) {
        int32_t sequence = sequences ? sequences[t->first + i] : 0, token = tokens[t->first + i];
        b->token[i] = token;
        b->pos[i] = hb_cells_add(&s->cells, sequence, token);
        b->n_seq_id[i] = 1;
        b->seq_id[i][0] = sequence;
        b->logits[i] = 0;
    }
    for (int32_t r = t->from; r < t->to; r++) b->logits[t->tap->rows[r] - t->first] = 1;
}

/* Copies the logits of the piece's rows. */
static bool copy_logits(const hb_llama_session *s)
{
    const hb_llama_tap *t = &s->tap;
    size_t vocab = (size_t)s->model->base.info.n_vocab;
    for (int32_t r = t->from; r < t->to; r++) {
        const float *row = llama_get_logits_ith(s->context, t->tap->rows[r] - t->first);
        if (!row) return false;
        memcpy(t->tap->logits + (size_t)r * vocab, row, vocab * sizeof *row);
    }
    return true;
}

static hb_status eval_piece(hb_llama_session *s, const int32_t *tokens, const int32_t *sequences,
                            hb_error *err)
{
    hb_llama_tap *t = &s->tap;
    fill_batch(s, tokens, sequences);
    int32_t code = llama_decode(s->context, s->batch);
    if (code == 1) return hb_fail(err, HB_ERR_CONTEXT, "the tokens do not fit libllama's cache");
    bool ok = !code && hb_llama_tap_is_whole(t) && (!t->tap->logits || copy_logits(s));
    if (!ok)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: libllama failed: %s", s->model->base.info.path,
                       hb_llama_why());
    if (t->tap->lens || t->tap->head) hb_llama_lens(s, t->tap, t->from, t->to);
    return HB_OK;
}

/* Removes what a failed call has added. A recurrent state cannot go back, so its sequence is emptied.
 */
static void undo(hb_llama_session *s)
{
    for (int32_t q = 0; q < s->cells.n_sequences; q++) {
        if (s->cells.n[q] == s->before[q]) continue;
        hb_cells_cut(&s->cells, q, s->before[q]);
        if (!llama_memory_seq_rm(llama_get_memory(s->context), q, s->before[q], -1))
            hb_llama_drop(&s->base, q);
    }
}

hb_status hb_llama_eval(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                        int32_t n_tokens, const hb_tap *tap, hb_error *err)
{
    hb_llama_session *s = hb_llama_session_of(session);
    hb_llama_tap *t = &s->tap;
    hb_status status = check_room(s, sequences, n_tokens, err);
    if (status) return status;
    hb_llama_start();
    t->tap = tap;
    t->to = 0;
    for (t->first = 0; t->first < n_tokens && !status; t->first += t->n) {
        t->n = piece_length(s, sequences, t->first, n_tokens);
        t->from = t->to;
        while (t->to < tap->n_rows && tap->rows[t->to] < t->first + t->n) t->to++;
        t->n_states = t->n_normed = 0;
        t->odd = false;
        status = eval_piece(s, tokens, sequences, err);
    }
    t->tap = NULL;
    if (status) undo(s);
    return status;
}
