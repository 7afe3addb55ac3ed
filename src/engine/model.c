#include "engine/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/utf8.h"
#include "engine/model_file.h"

/* ---- Weights ------------------------------------------------------------------------------------ */

/* Takes tensors one by one. `status` keeps the first failure, after which nothing more is taken. */
typedef struct taker {
    hb_native_model *model;
    hb_error *err;
    hb_status status;
    int32_t layer; /* block whose tensors are taken; -1: tensors outside blocks */
} taker;

/* The tensor "NAME.KIND" or "blk.N.NAME.KIND"; NULL when it is missing, or after a failure. */
static const hb_gguf_tensor *take(taker *t, const char *name, const char *kind, hb_gguf_shape shape,
                                  bool required)
{
    char full[64];
    const hb_gguf_tensor *tensor = NULL;
    if (t->status) return NULL;
    if (t->layer < 0) snprintf(full, sizeof full, "%s.%s", name, kind);
    else snprintf(full, sizeof full, "blk.%d.%s.%s", t->layer, name, kind);
    t->status = hb_gguf_take_tensor(t->model->gguf, full, shape, required, &tensor, t->err);
    return t->status ? NULL : tensor;
}

static hb_matrix take_matrix(taker *t, const char *name, int32_t cols, int32_t rows, bool required)
{
    const hb_gguf_tensor *w = take(t, name, "weight", (hb_gguf_shape){cols, rows, 1}, required);
    return w ? (hb_matrix){w->data, w->row_bytes, rows, cols, (hb_type)w->type} : (hb_matrix){0};
}

/* The matrices [rows][cols] of all experts as one matrix. */
static hb_matrix take_experts(taker *t, const char *name, int32_t cols, int32_t rows)
{
    int32_t n = t->model->n_experts;
    const hb_gguf_tensor *w = take(t, name, "weight", (hb_gguf_shape){cols, rows, n}, true);
    return w ? (hb_matrix){w->data, w->row_bytes, n * rows, cols, (hb_type)w->type} : (hb_matrix){0};
}

/* `rows` vectors of n floats, one after another. They are read in place; the file's alignment allows
 * it. */
static const float *take_vectors(taker *t, const char *name, const char *kind, int32_t n, int32_t rows,
                                 bool required)
{
    const hb_gguf_tensor *v = take(t, name, kind, (hb_gguf_shape){n, rows, 1}, required);
    if (!v) return NULL;
    if (v->type != HB_TYPE_F32)
        t->status = hb_fail(t->err, HB_ERR_UNSUPPORTED,
                            "%s: tensor '%.*s' is %s; only F32 is supported for vectors",
                            t->model->base.info.path, (int)v->name.length, v->name.bytes,
                            hb_type_get_info(v->type)->name);
    return (const float *)(const void *)v->data;
}

static const float *take_vector(taker *t, const char *name, const char *kind, int32_t n, bool required)
{
    return take_vectors(t, name, kind, n, 1, required);
}

/* Factors that divide the RoPE frequencies. */
static const float *take_rope_factors(taker *t, const char *name)
{
    int32_t n = t->model->n_rot / 2;
    const float *factors = take_vector(t, name, "weight", n, false);
    for (int32_t i = 0; factors && !t->status && i < n; i++)
        if (!(factors[i] > 0 && isfinite(factors[i])))
            t->status = hb_fail(t->err, HB_ERR_FORMAT, "%s: tensor '%s.weight' holds %g",
                                t->model->base.info.path, name, (double)factors[i]);
    return factors;
}

/* Whether a block is the last one of its period; a period of 0 has no last block. */
static bool is_last(int32_t layer, int32_t period)
{
    return period && layer % period == period - 1;
}

/* Sets the positions that a block sees, and which rope rotates them. */
static void set_window(const hb_native_model *m, int32_t layer, hb_layer *l)
{
    const hb_architecture *a = m->architecture;
    if (m->has_window ? m->has_window[layer] : !is_last(layer, m->full_every)) l->window = m->window;
    if (l->window && a->window_unscaled) l->rope = 1;
    if (is_last(layer, a->plain_every) || (a->plain_full && m->window && !l->window)) l->rope = -1;
}

/* Takes the norms of a block's part, as the architecture has them. */
static void take_norms(taker *t, const char *before, const char *after, const float **before_norm,
                       const float **after_norm)
{
    hb_norms norms = t->model->architecture->norms;
    int32_t d = t->model->base.info.n_embd;
    if (norms != HB_NORMS_AFTER) *before_norm = take_vector(t, before, "weight", d, true);
    if (norms != HB_NORMS_BEFORE) *after_norm = take_vector(t, after, "weight", d, true);
}

static void take_attention(taker *t, hb_layer *l)
{
    const hb_native_model *m = t->model;
    const hb_architecture *a = m->architecture;
    int32_t d = m->base.info.n_embd, dim = m->head_dim, q = m->base.info.n_heads * dim,
            kv = m->base.info.n_kv_heads * dim;
    if (a->fused_qkv) {
        hb_matrix all = take_matrix(t, "attn_qkv", d, q + 2 * kv, true);
        l->wq = hb_matrix_rows(all, 0, q);
        l->wk = hb_matrix_rows(all, q, kv);
        l->wv = hb_matrix_rows(all, q + kv, kv);
    } else {
        l->wq = take_matrix(t, "attn_q", d, q, true);
        l->wk = take_matrix(t, "attn_k", d, kv, true);
        l->wv = take_matrix(t, "attn_v", d, kv, true);
    }
    l->bq = take_vector(t, "attn_q", "bias", q, a->qkv_bias);
    l->bk = take_vector(t, "attn_k", "bias", kv, a->qkv_bias);
    l->bv = take_vector(t, "attn_v", "bias", kv, a->qkv_bias);
    l->wo = take_matrix(t, "attn_output", q, d, true);
    if (a->qk_norm) {
        bool whole = a->qk_norm == HB_QK_ROWS;
        l->q_norm = take_vector(t, "attn_q_norm", "weight", whole ? q : dim, true);
        l->k_norm = take_vector(t, "attn_k_norm", "weight", whole ? kv : dim, true);
    }
    l->bo = a->output_bias ? take_vector(t, "attn_output", "bias", d, true) : NULL;
    l->sinks = a->sinks ? take_vector(t, "attn_sinks", "weight", m->base.info.n_heads, true) : NULL;
    take_norms(t, "attn_norm", "post_attention_norm", &l->attn_norm, &l->attn_post_norm);
}

static void take_mixture(taker *t, hb_layer *l)
{
    const hb_native_model *m = t->model;
    int32_t d = m->base.info.n_embd, ff = m->n_ff_expert, n = m->n_experts;
    l->router = take_matrix(t, "ffn_gate_inp", d, n, true);
    l->experts_gate = take_experts(t, "ffn_gate_exps", d, ff);
    l->experts_up = take_experts(t, "ffn_up_exps", d, ff);
    l->experts_down = take_experts(t, "ffn_down_exps", ff, d);
    if (m->architecture->shared_expert)
        l->shared_router = take_vector(t, "ffn_gate_inp_shexp", "weight", d, true);
    if (!m->architecture->expert_biases) return;
    l->router_bias = take_vector(t, "ffn_gate_inp", "bias", n, true);
    l->experts_b_gate = take_vectors(t, "ffn_gate_exps", "bias", ff, n, true);
    l->experts_b_up = take_vectors(t, "ffn_up_exps", "bias", ff, n, true);
    l->experts_b_down = take_vectors(t, "ffn_down_exps", "bias", d, n, true);
}

static void take_dense(taker *t, hb_layer *l)
{
    const hb_native_model *m = t->model;
    int32_t d = m->base.info.n_embd, ff = m->n_ff;
    bool shared = m->architecture->shared_expert;
    if (m->architecture->fused_up) {
        hb_matrix both = take_matrix(t, "ffn_up", d, 2 * ff, true);
        l->w_gate = hb_matrix_rows(both, 0, ff);
        l->w_up = hb_matrix_rows(both, ff, ff);
    } else {
        l->w_gate = take_matrix(t, shared ? "ffn_gate_shexp" : "ffn_gate", d, ff, true);
        l->w_up = take_matrix(t, shared ? "ffn_up_shexp" : "ffn_up", d, ff, true);
    }
    l->w_down = take_matrix(t, shared ? "ffn_down_shexp" : "ffn_down", ff, d, true);
}

static void take_feed_forward(taker *t, hb_layer *l)
{
    const char *norm = t->model->architecture->ffn_norm;
    if (t->model->n_experts) take_mixture(t, l);
    if (t->model->n_ff) take_dense(t, l);
    take_norms(t, norm ? norm : "ffn_norm", "post_ffw_norm", &l->ffn_norm, &l->ffn_post_norm);
}

static hb_status take_weights(hb_native_model *m, hb_error *err)
{
    taker t = {.model = m, .err = err, .layer = -1};
    int32_t d = m->base.info.n_embd, vocab = m->base.info.n_vocab;
    m->token_embd = take_matrix(&t, "token_embd", d, vocab, true);
    m->output = take_matrix(&t, "output", d, vocab, false);
    m->output_norm = take_vector(&t, "output_norm", "weight", d, true);
    m->rope.factors = take_rope_factors(&t, "rope_freqs");
    m->rope_long = take_rope_factors(&t, "rope_factors_long");
    m->rope_short = take_rope_factors(&t, "rope_factors_short");
    if (t.status) return t.status;
    if (!m->rope_long != !m->rope_short)
        return hb_fail(err, HB_ERR_FORMAT, "%s: tensor 'rope_factors_%s.weight' is missing",
                       m->base.info.path, m->rope_long ? "short" : "long");
    if (!m->output.data) m->output = m->token_embd; /* a tied head */
    m->layers = calloc((size_t)m->base.info.n_layers, sizeof *m->layers);
    if (!m->layers) return hb_fail_memory(err);
    for (t.layer = 0; t.layer < m->base.info.n_layers && !t.status; t.layer++) {
        set_window(m, t.layer, &m->layers[t.layer]);
        take_attention(&t, &m->layers[t.layer]);
        take_feed_forward(&t, &m->layers[t.layer]);
    }
    return t.status ? t.status : hb_gguf_check_all_used(m->gguf, err);
}

/* ---- Opening and closing ------------------------------------------------------------------------ */

enum { MAX_NAME = 255 }; /* bytes */

/* A copy of the text as valid UTF-8, cut to MAX_NAME bytes; release it with free(). NULL when memory
 * runs out. */
static char *as_name(const char *bytes, size_t length)
{
    hb_buffer clean = {0};
    bool ok = hb_buffer_add(&clean, "", 0);
    size_t n = 0, next;
    hb_utf8_clean(&clean, bytes, length < MAX_NAME ? length : MAX_NAME, true, &ok);
    for (; ok && n < clean.length; n = next) { /* each malformed byte has become three */
        next = n + (size_t)hb_utf8_character(clean.data + n, clean.length - n);
        if (next > MAX_NAME) break;
    }
    char *name = ok ? strndup(clean.data, n) : NULL;
    hb_buffer_free(&clean);
    return name;
}

/* The file's base name without its suffix, for models without a name. */
static char *name_from_path(const char *path)
{
    const char *base = hb_base_name(path), *dot = strrchr(base, '.');
    return as_name(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static bool is_name(hb_text name)
{
    return name.bytes && name.length > 0 && name.length <= MAX_NAME &&
           !memchr(name.bytes, 0, name.length) && hb_utf8_valid(name.bytes, name.length);
}

static hb_status read_identity(hb_native_model *m, hb_error *err)
{
    hb_model_info *info = &m->base.info;
    hb_text architecture = hb_gguf_get_text(m->gguf, "general.architecture");
    hb_text name = hb_gguf_get_text(m->gguf, "general.name");
    info->path = hb_gguf_path(m->gguf);
    info->file_size = hb_gguf_file_size(m->gguf);
    info->n_params = hb_gguf_n_weights(m->gguf);
    if (!architecture.bytes)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: metadata 'general.architecture' is missing or not a string", info->path);
    m->architecture_name = as_name(architecture.bytes, architecture.length);
    m->name = is_name(name) ? strndup(name.bytes, name.length) : name_from_path(info->path);
    if (!m->architecture_name || !m->name) return hb_fail_memory(err);
    info->name = m->name;
    info->architecture = m->architecture_name;
    return HB_OK;
}

static hb_status find_architecture(hb_native_model *m, hb_error *err)
{
    char names[256], shown[48];
    m->architecture = hb_architecture_find(m->architecture_name);
    if (m->architecture) return HB_OK;
    hb_architecture_names(names, sizeof names);
    hb_printable(shown, sizeof shown, m->architecture_name, strlen(m->architecture_name));
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: architecture '%s' is not supported (supported: %s)",
                   m->base.info.path, shown, names);
}

static hb_status open_vocab(hb_native_model *m, hb_error *err)
{
    hb_status status = hb_tokenizer_open(m->gguf, &m->tokenizer, err);
    if (status) return status;
    m->base.info.n_vocab = hb_tokenizer_n_vocab(m->tokenizer);
    if (!hb_tokenizer_guesses_words(m->tokenizer)) return HB_OK;
    if (asprintf(&m->warning,
                 "%s: metadata 'tokenizer.ggml.pre' is missing, so hbar splits text by the default "
                 "rules; if the model was trained with other rules, its answers and scores get worse; "
                 "convert the model again with a current converter",
                 m->base.info.path) < 0) {
        m->warning = NULL;
        return hb_fail_memory(err);
    }
    m->base.warnings = (const char *const *)&m->warning;
    m->base.n_warnings = 1;
    return HB_OK;
}

/* The paths of all parts, in an array to be released with free(); NULL when memory runs out. */
static const char **part_paths(const hb_gguf *g)
{
    uint32_t n = hb_gguf_n_parts(g);
    const char **paths = calloc(n, sizeof *paths);
    for (uint32_t i = 0; paths && i < n; i++) paths[i] = hb_gguf_part_path(g, i);
    return paths;
}

/* Lets a thread hash the file, if the options ask for it. Without memory for it, hb_native_sha256
 * hashes the file. */
static void hash_ahead(hb_native_model *m, const hb_model_options *options)
{
    const char **paths = options->hash_ahead ? part_paths(m->gguf) : NULL;
    if (paths) m->hashing = hb_hashing_start(paths, hb_gguf_n_parts(m->gguf));
    free(paths);
}

hb_status hb_native_open(const char *path, bool vocab_only, const hb_model_options *options,
                         hb_model **model, hb_error *err)
{
    hb_native_model *m = calloc(1, sizeof *m);
    if (!m) return hb_fail_memory(err);
    hb_status status = hb_gguf_open(path, &m->gguf, err);
    if (!status) status = read_identity(m, err);
    if (!status && !vocab_only) status = find_architecture(m, err);
    if (!status && !vocab_only) status = hb_shape_read(m, err);
    if (!status) hash_ahead(m, options);
    if (!status) status = open_vocab(m, err);
    if (!status && !vocab_only) status = take_weights(m, err);
    if (status) hb_native_close(&m->base);
    else *model = &m->base;
    return status;
}

hb_status hb_model_file_open(const char *path, const hb_model_options *options, bool *has_tokens,
                             hb_model **file, hb_error *err)
{
    hb_native_model *m = calloc(1, sizeof *m);
    if (!m) return hb_fail_memory(err);
    hb_error why;
    hb_status status = hb_gguf_open(path, &m->gguf, err), tokens = HB_OK;
    if (!status) status = read_identity(m, err);
    if (!status) hash_ahead(m, options);
    if (!status) tokens = open_vocab(m, &why);
    if (tokens && tokens != HB_ERR_UNSUPPORTED) status = hb_fail(err, tokens, "%s", why.message);
    if (status) {
        hb_native_close(&m->base);
        return status;
    }
    m->base.engine = &hb_engine_native;
    m->base.vocab_only = true;
    *has_tokens = !tokens;
    *file = &m->base;
    return HB_OK;
}

void hb_native_close(hb_model *model)
{
    hb_native_model *m = (hb_native_model *)(void *)model;
    hb_hashing_end(m->hashing);
    hb_tokenizer_close(m->tokenizer);
    hb_gguf_close(m->gguf);
    free(m->layers);
    free(m->name);
    free(m->architecture_name);
    free(m->warning);
    free(m);
}

static hb_status find_sha256(const hb_native_model *m, char hex[65], hb_error *err)
{
    if (m->hashing) return hb_hashing_wait(m->hashing, hex, err);
    const char **paths = part_paths(m->gguf);
    if (!paths) return hb_fail_memory(err);
    hb_status status = hb_files_sha256(paths, hb_gguf_n_parts(m->gguf), hex, err);
    free(paths);
    return status;
}

/* The weights are those of the file that was opened, so the hash must be, too. */
hb_status hb_native_sha256(const hb_model *model, char hex[65], hb_error *err)
{
    const hb_native_model *m = hb_native(model);
    char found[65];
    hb_status status = find_sha256(m, found, err);
    if (!status) status = hb_gguf_check_unchanged(m->gguf, err);
    if (!status) memcpy(hex, found, sizeof found);
    return status;
}
