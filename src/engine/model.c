#include "engine/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/sha256.h"

/* ---- Weights ------------------------------------------------------------------------------------ */

/* Takes tensors until one cannot be had, which `status` then tells. */
typedef struct taker {
    hb_model *model;
    hb_error *err;
    hb_status status;
    int32_t layer; /* whose block the names are in; -1: in none */
} taker;

/* The tensor "NAME.KIND" or "blk.N.NAME.KIND"; NULL when it is not to be had. */
static const hb_gguf_tensor *take(taker *t, const char *name, const char *kind, int32_t cols,
                                  int32_t rows, bool required)
{
    char full[64];
    const hb_gguf_tensor *tensor = NULL;
    if (t->status) return NULL;
    if (t->layer < 0) snprintf(full, sizeof full, "%s.%s", name, kind);
    else snprintf(full, sizeof full, "blk.%d.%s.%s", t->layer, name, kind);
    t->status = hb_gguf_take_tensor(t->model->gguf, full, (uint64_t)cols, (uint64_t)rows, required,
                                    &tensor, t->err);
    return t->status ? NULL : tensor;
}

static hb_matrix take_matrix(taker *t, const char *name, int32_t cols, int32_t rows, bool required)
{
    const hb_gguf_tensor *w = take(t, name, "weight", cols, rows, required);
    return w ? (hb_matrix){w->data, w->row_bytes, rows, cols, (hb_type)w->type} : (hb_matrix){0};
}

/* Vectors are read where they lie, as floats; the file's alignment makes that possible. */
static const float *take_vector(taker *t, const char *name, const char *kind, int32_t n, bool required)
{
    const hb_gguf_tensor *v = take(t, name, kind, n, 1, required);
    if (!v) return NULL;
    if (v->type != HB_TYPE_F32)
        t->status = hb_fail(
            t->err, HB_ERR_UNSUPPORTED, "%s: tensor '%.*s' is %s; only F32 is supported for vectors",
            t->model->info.path, (int)v->name.length, v->name.bytes, hb_type_get_info(v->type)->name);
    return (const float *)(const void *)v->data;
}

/* What frequencies of rotation are divided by. */
static const float *take_rope_factors(taker *t, const char *name)
{
    int32_t n = t->model->n_rot / 2;
    const float *factors = take_vector(t, name, "weight", n, false);
    for (int32_t i = 0; factors && !t->status && i < n; i++)
        if (!(factors[i] > 0 && isfinite(factors[i])))
            t->status = hb_fail(t->err, HB_ERR_FORMAT, "%s: tensor '%s.weight' holds %g",
                                t->model->info.path, name, (double)factors[i]);
    return factors;
}

static hb_matrix rows_of(hb_matrix w, int32_t first, int32_t rows)
{
    if (w.data) w.data += (size_t)first * w.row_bytes;
    w.rows = rows;
    return w;
}

/* Which positions a block sees, and what rotates them. */
static void set_window(const hb_model *m, int32_t layer, hb_layer *l)
{
    int32_t every = m->full_every;
    if (every && layer % every == every - 1) return;
    l->window = m->window;
    l->rope = l->window && m->architecture->window_base > 0;
}

static void take_attention(taker *t, hb_layer *l)
{
    const hb_model *m = t->model;
    const hb_architecture *a = m->architecture;
    int32_t d = m->info.n_embd, dim = m->head_dim, q = m->info.n_heads * dim,
            kv = m->info.n_kv_heads * dim;
    if (a->fused) {
        hb_matrix all = take_matrix(t, "attn_qkv", d, q + 2 * kv, true);
        l->wq = rows_of(all, 0, q);
        l->wk = rows_of(all, q, kv);
        l->wv = rows_of(all, q + kv, kv);
    } else {
        l->wq = take_matrix(t, "attn_q", d, q, true);
        l->wk = take_matrix(t, "attn_k", d, kv, true);
        l->wv = take_matrix(t, "attn_v", d, kv, true);
    }
    l->bq = take_vector(t, "attn_q", "bias", q, a->qkv_bias);
    l->bk = take_vector(t, "attn_k", "bias", kv, a->qkv_bias);
    l->bv = take_vector(t, "attn_v", "bias", kv, a->qkv_bias);
    l->wo = take_matrix(t, "attn_output", q, d, true);
    l->attn_norm = take_vector(t, "attn_norm", "weight", d, true);
    if (a->qk_norm) {
        l->q_norm = take_vector(t, "attn_q_norm", "weight", dim, true);
        l->k_norm = take_vector(t, "attn_k_norm", "weight", dim, true);
    }
    if (a->post_norms) l->attn_post_norm = take_vector(t, "post_attention_norm", "weight", d, true);
}

static void take_feed_forward(taker *t, hb_layer *l)
{
    const hb_model *m = t->model;
    int32_t d = m->info.n_embd, ff = m->n_ff;
    if (m->architecture->fused) {
        hb_matrix both = take_matrix(t, "ffn_up", d, 2 * ff, true);
        l->w_gate = rows_of(both, 0, ff);
        l->w_up = rows_of(both, ff, ff);
    } else {
        l->w_gate = take_matrix(t, "ffn_gate", d, ff, true);
        l->w_up = take_matrix(t, "ffn_up", d, ff, true);
    }
    l->w_down = take_matrix(t, "ffn_down", ff, d, true);
    l->ffn_norm = take_vector(t, "ffn_norm", "weight", d, true);
    if (m->architecture->post_norms)
        l->ffn_post_norm = take_vector(t, "post_ffw_norm", "weight", d, true);
}

static hb_status take_weights(hb_model *m, hb_error *err)
{
    taker t = {.model = m, .err = err, .layer = -1};
    int32_t d = m->info.n_embd, vocab = m->info.n_vocab;
    m->token_embd = take_matrix(&t, "token_embd", d, vocab, true);
    m->output = take_matrix(&t, "output", d, vocab, false);
    m->output_norm = take_vector(&t, "output_norm", "weight", d, true);
    m->rope.factors = take_rope_factors(&t, "rope_freqs");
    m->rope_long = take_rope_factors(&t, "rope_factors_long");
    m->rope_short = take_rope_factors(&t, "rope_factors_short");
    if (t.status) return t.status;
    if (!m->rope_long != !m->rope_short)
        return hb_fail(err, HB_ERR_FORMAT, "%s: tensor 'rope_factors_%s.weight' is missing",
                       m->info.path, m->rope_long ? "short" : "long");
    if (!m->output.data) m->output = m->token_embd; /* a tied head */
    m->layers = calloc((size_t)m->info.n_layers, sizeof *m->layers);
    if (!m->layers) return hb_fail_memory(err);
    for (t.layer = 0; t.layer < m->info.n_layers && !t.status; t.layer++) {
        set_window(m, t.layer, &m->layers[t.layer]);
        take_attention(&t, &m->layers[t.layer]);
        take_feed_forward(&t, &m->layers[t.layer]);
    }
    return t.status ? t.status : hb_gguf_check_all_used(m->gguf, err);
}

/* ---- Opening and closing ------------------------------------------------------------------------ */

/* The file's base name without its suffix, for models that carry no name. */
static char *name_from_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static hb_status read_identity(hb_model *m, hb_error *err)
{
    m->info.path = hb_gguf_path(m->gguf);
    m->info.file_size = hb_gguf_file_size(m->gguf);
    m->info.n_params = hb_gguf_n_weights(m->gguf);
    hb_gguf_text architecture = hb_gguf_get_text(m->gguf, "general.architecture");
    hb_gguf_text name = hb_gguf_get_text(m->gguf, "general.name");
    if (!architecture.bytes)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'general.architecture' is missing or no string", m->info.path);
    m->architecture_name = strndup(architecture.bytes, architecture.length);
    bool named =
        name.bytes && name.length > 0 && name.length < 256 && !memchr(name.bytes, 0, name.length);
    m->name = named ? strndup(name.bytes, name.length) : name_from_path(m->info.path);
    if (!m->architecture_name || !m->name) return hb_fail_memory(err);
    m->info.name = m->name;
    m->info.architecture = m->architecture_name;
    return HB_OK;
}

static hb_status find_architecture(hb_model *m, hb_error *err)
{
    char names[256];
    m->architecture = hb_architecture_find(m->architecture_name);
    if (m->architecture) return HB_OK;
    hb_architecture_names(names, sizeof names);
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: architecture '%.32s' is not supported; these are: %s",
                   m->info.path, m->architecture_name, names);
}

static hb_status open_vocab(hb_model *m, hb_error *err)
{
    hb_status status = hb_tokenizer_open(m->gguf, &m->tokenizer, err);
    if (!status) m->info.n_vocab = hb_tokenizer_n_vocab(m->tokenizer);
    return status;
}

static hb_status open_file(const char *path, bool weights, hb_model **model, hb_error *err)
{
    hb_model *m = calloc(1, sizeof *m);
    if (!m) return hb_fail_memory(err);
    hb_status status = hb_gguf_open(path, &m->gguf, err);
    if (!status) status = read_identity(m, err);
    if (!status && weights) status = find_architecture(m, err);
    if (!status && weights) status = hb_shape_read(m, err);
    if (!status) status = open_vocab(m, err);
    if (!status && weights) status = take_weights(m, err);
    if (status) hb_model_close(m);
    else *model = m;
    return status;
}

hb_status hb_model_open(const char *path, hb_model **model, hb_error *err)
{
    return open_file(path, true, model, err);
}

hb_status hb_model_open_vocab(const char *path, hb_model **model, hb_error *err)
{
    return open_file(path, false, model, err);
}

void hb_model_close(hb_model *model)
{
    if (!model) return;
    hb_tokenizer_close(model->tokenizer);
    hb_gguf_close(model->gguf);
    free(model->layers);
    free(model->name);
    free(model->architecture_name);
    free(model);
}

const hb_model_info *hb_model_get_info(const hb_model *model)
{
    return &model->info;
}

hb_status hb_model_sha256(const hb_model *model, char hex[65], hb_error *err)
{
    hb_sha256 hash;
    hb_status status = HB_OK;
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    for (uint32_t i = 0; i < hb_gguf_n_parts(model->gguf) && !status; i++)
        status = hb_sha256_add_file(&hash, hb_gguf_part_path(model->gguf, i), err);
    if (status) hb_sha256_free(&hash);
    else hb_sha256_finish(&hash, hex);
    return status;
}

hb_status hb_tokenize(const hb_model *model, const char *text, size_t length, bool add_special,
                      bool parse_special, int32_t **tokens, size_t *n_tokens, hb_error *err)
{
    return hb_tokenizer_encode(model->tokenizer, text, length, add_special, parse_special, tokens,
                               n_tokens, err);
}

const char *hb_token_bytes(const hb_model *model, int32_t token, size_t *length)
{
    return hb_tokenizer_bytes(model->tokenizer, token, length);
}

const char *hb_token_piece(const hb_model *model, int32_t token, size_t *length)
{
    return hb_tokenizer_piece(model->tokenizer, token, length);
}

bool hb_token_is_end(const hb_model *model, int32_t token)
{
    return hb_tokenizer_is_end(model->tokenizer, token);
}
