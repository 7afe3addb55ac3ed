#include "engine/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bounds on what a file may claim: far above any real model, low enough that products of a few of them
 * fit 64 bits. */
enum { MAX_WIDTH = 1 << 20, MAX_HEADS = 1 << 12, MAX_HEAD_DIM = 1 << 12 };

/* ---- Shape -------------------------------------------------------------------------------------- */

/* Reads "<architecture>.<name>". */
static hb_status get_int(const hb_model *m, const char *name, bool required, int64_t max, int64_t *out,
                         hb_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", m->architecture, name);
    return hb_gguf_get_int(m->gguf, key, required, 1, max, out, err);
}

static hb_status get_float(const hb_model *m, const char *name, bool required, double *out,
                           hb_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", m->architecture, name);
    return hb_gguf_get_float(m->gguf, key, required, out, err);
}

static hb_status bad_shape(const hb_model *m, const char *why, hb_error *err)
{
    return hb_fail(err, HB_ERR_FORMAT, "%s: %s", m->info.path, why);
}

static hb_status read_attention(hb_model *m, hb_error *err)
{
    int64_t heads, kv_heads, key, value, rot;
    hb_status status = get_int(m, "attention.head_count", true, MAX_HEADS, &heads, err);
    if (status) return status;
    kv_heads = heads;
    status = get_int(m, "attention.head_count_kv", false, heads, &kv_heads, err);
    if (status) return status;
    if (heads % kv_heads) return bad_shape(m, "heads are not a multiple of key-value heads", err);
    key = m->info.n_embd / heads;
    status = get_int(m, "attention.key_length", false, MAX_HEAD_DIM, &key, err);
    value = key;
    if (!status) status = get_int(m, "attention.value_length", false, MAX_HEAD_DIM, &value, err);
    rot = key;
    if (!status) status = get_int(m, "rope.dimension_count", false, key > 0 ? key : 1, &rot, err);
    if (status) return status;
    if (key < 1 || key != value || key * heads > MAX_WIDTH)
        return bad_shape(m, "the attention heads' lengths do not make sense", err);
    if (rot % 2) return bad_shape(m, "an odd number of rotated dimensions", err);
    m->info.n_heads = (int32_t)heads;
    m->info.n_kv_heads = (int32_t)kv_heads;
    m->head_dim = (int32_t)key;
    m->n_rot = (int32_t)rot;
    return HB_OK;
}

static hb_status read_rope(hb_model *m, hb_error *err)
{
    double factor = 1;
    char key[128];
    m->rope_base = 10000;
    m->rope_scale = 1;
    hb_status status = get_float(m, "rope.freq_base", false, &m->rope_base, err);
    if (!status) status = get_float(m, "rope.scaling.factor", false, &factor, err);
    if (status) return status;
    snprintf(key, sizeof key, "%s.rope.scaling.type", m->architecture);
    hb_gguf_text type = hb_gguf_get_text(m->gguf, key);
    if (hb_gguf_text_is(type, "linear")) m->rope_scale = 1 / factor;
    else if (type.bytes && !hb_gguf_text_is(type, "none"))
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: rope scaling '%.*s' is not supported",
                       m->info.path, (int)(type.length < 32 ? type.length : 32), type.bytes);
    return HB_OK;
}

static hb_status read_shape(hb_model *m, hb_error *err)
{
    int64_t layers, width, ff, context, experts = 0;
    double eps;
    hb_status status = get_int(m, "block_count", true, HB_MAX_LAYERS, &layers, err);
    if (!status) status = get_int(m, "embedding_length", true, MAX_WIDTH, &width, err);
    if (!status) status = get_int(m, "feed_forward_length", true, MAX_WIDTH, &ff, err);
    if (!status) status = get_int(m, "context_length", true, INT32_MAX, &context, err);
    if (!status) status = get_float(m, "attention.layer_norm_rms_epsilon", true, &eps, err);
    char key[128];
    snprintf(key, sizeof key, "%s.expert_count", m->architecture);
    if (!status) status = hb_gguf_get_int(m->gguf, key, false, 0, INT32_MAX, &experts, err);
    if (status) return status;
    if (experts)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: a mixture of %lld experts is not supported",
                       m->info.path, (long long)experts);
    m->info.n_layers = (int32_t)layers;
    m->info.n_embd = (int32_t)width;
    m->info.n_ctx_train = (int32_t)context;
    m->n_ff = (int32_t)ff;
    m->norm_eps = (float)eps;
    status = read_attention(m, err);
    return status ? status : read_rope(m, err);
}

/* ---- Weights ------------------------------------------------------------------------------------ */

static hb_status take_matrix(hb_model *m, const char *name, int32_t cols, int32_t rows, bool required,
                             hb_matrix *out, hb_error *err)
{
    const hb_gguf_tensor *t;
    hb_status status =
        hb_gguf_take_tensor(m->gguf, name, (uint64_t)cols, (uint64_t)rows, required, &t, err);
    if (!status && t) *out = (hb_matrix){t->data, t->row_bytes, rows, cols, (hb_type)t->type};
    return status;
}

/* Vectors are read where they lie, as floats; the file's alignment makes that possible. */
static hb_status take_vector(hb_model *m, const char *name, int32_t n, bool required, const float **out,
                             hb_error *err)
{
    const hb_gguf_tensor *t;
    hb_status status = hb_gguf_take_tensor(m->gguf, name, (uint64_t)n, 1, required, &t, err);
    if (status || !t) return status;
    if (t->type != HB_TYPE_F32)
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       "%s: tensor '%s' is %s; only F32 is supported for vectors", m->info.path, name,
                       hb_type_get_info(t->type)->name);
    *out = (const float *)(const void *)t->data;
    return HB_OK;
}

static hb_status take_layer(hb_model *m, int32_t index, hb_layer *l, hb_error *err)
{
    int32_t d = m->info.n_embd, q = m->info.n_heads * m->head_dim,
            kv = m->info.n_kv_heads * m->head_dim;
    struct {
        const char *name;
        int32_t cols, rows;
        hb_matrix *matrix;
    } const matrices[] = {
        {"attn_q", d, q, &l->wq},
        {"attn_k", d, kv, &l->wk},
        {"attn_v", d, kv, &l->wv},
        {"attn_output", q, d, &l->wo},
        {"ffn_gate", d, m->n_ff, &l->w_gate},
        {"ffn_up", d, m->n_ff, &l->w_up},
        {"ffn_down", m->n_ff, d, &l->w_down},
    };
    char name[64];
    hb_status status = HB_OK;
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices && !status; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", index, matrices[i].name);
        status =
            take_matrix(m, name, matrices[i].cols, matrices[i].rows, true, matrices[i].matrix, err);
    }
    snprintf(name, sizeof name, "blk.%d.attn_norm.weight", index);
    if (!status) status = take_vector(m, name, d, true, &l->attn_norm, err);
    snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", index);
    if (!status) status = take_vector(m, name, d, true, &l->ffn_norm, err);
    return status;
}

static hb_status take_weights(hb_model *m, hb_error *err)
{
    int32_t d = m->info.n_embd, vocab = m->info.n_vocab;
    hb_status status = take_matrix(m, "token_embd.weight", d, vocab, true, &m->token_embd, err);
    if (!status) status = take_matrix(m, "output.weight", d, vocab, false, &m->output, err);
    if (!status) status = take_vector(m, "output_norm.weight", d, true, &m->output_norm, err);
    if (!status)
        status = take_vector(m, "rope_freqs.weight", m->n_rot / 2, false, &m->rope_factors, err);
    if (status) return status;
    if (!m->output.data) m->output = m->token_embd; /* a tied head */
    m->layers = calloc((size_t)m->info.n_layers, sizeof *m->layers);
    if (!m->layers) return hb_fail_memory(err);
    for (int32_t i = 0; i < m->info.n_layers && !status; i++)
        status = take_layer(m, i, &m->layers[i], err);
    return status ? status : hb_gguf_check_all_used(m->gguf, err);
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
        return bad_shape(m, "metadata 'general.architecture' is missing or no string", err);
    m->architecture = strndup(architecture.bytes, architecture.length);
    bool named =
        name.bytes && name.length > 0 && name.length < 256 && !memchr(name.bytes, 0, name.length);
    m->name = named ? strndup(name.bytes, name.length) : name_from_path(m->info.path);
    if (!m->architecture || !m->name) return hb_fail_memory(err);
    m->info.name = m->name;
    m->info.architecture = m->architecture;
    return HB_OK;
}

static hb_status check_architecture(const hb_model *m, hb_error *err)
{
    if (strcmp(m->architecture, "llama") == 0) return HB_OK;
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: architecture '%.32s' is not supported (llama is)",
                   m->info.path, m->architecture);
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
    if (!status && weights) status = check_architecture(m, err);
    if (!status && weights) status = read_shape(m, err);
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
    free(model->architecture);
    free(model);
}

const hb_model_info *hb_model_get_info(const hb_model *model)
{
    return &model->info;
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
