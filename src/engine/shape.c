/* Reads a model's shape from its metadata. Each number is checked against bounds before it is used. */
#include <math.h>
#include <stdio.h>
#include "engine/model.h"

/* Bounds on a file's numbers: far above any real model, low enough that products of a few of them fit
 * 64 bits. */
enum { MAX_WIDTH = 1 << 20, MAX_HEADS = 1 << 12, MAX_HEAD_DIM = 1 << 12 };

/* "<architecture>.<name>" */
typedef struct key {
    char text[128];
} key;

static key key_of(const hb_native_model *m, const char *name)
{
    key k;
    snprintf(k.text, sizeof k.text, "%s.%s", m->architecture->name, name);
    return k;
}

static hb_status get_int(const hb_native_model *m, const char *name, bool required, int64_t min,
                         int64_t max, int64_t *out, hb_error *err)
{
    return hb_gguf_get_int(m->gguf, key_of(m, name).text, required, min, max, out, err);
}

/* Reads a float that may be missing. */
static hb_status get_float(const hb_native_model *m, const char *name, double *out, hb_error *err)
{
    return hb_gguf_get_float(m->gguf, key_of(m, name).text, false, out, err);
}

static hb_status bad_shape(const hb_native_model *m, const char *why, hb_error *err)
{
    return hb_fail(err, HB_ERR_FORMAT, "%s: %s", m->base.info.path, why);
}

static hb_status read_heads(hb_native_model *m, hb_error *err)
{
    int64_t heads, kv_heads, dim, value, rot;
    hb_status status = get_int(m, "attention.head_count", true, 1, MAX_HEADS, &heads, err);
    if (status) return status;
    kv_heads = heads;
    status = get_int(m, "attention.head_count_kv", false, 1, heads, &kv_heads, err);
    if (status) return status;
    if (heads % kv_heads)
        return bad_shape(m, "the number of heads is not a multiple of the number of key-value heads",
                         err);
    dim = m->base.info.n_embd / heads;
    status = get_int(m, "attention.key_length", false, 1, MAX_HEAD_DIM, &dim, err);
    value = dim;
    if (!status) status = get_int(m, "attention.value_length", false, 1, MAX_HEAD_DIM, &value, err);
    rot = dim;
    if (!status) status = get_int(m, "rope.dimension_count", false, 1, dim > 0 ? dim : 1, &rot, err);
    if (status) return status;
    if (dim < 1 || dim != value || dim * heads > MAX_WIDTH)
        return bad_shape(m, "the lengths of attention heads are inconsistent", err);
    if (rot % 2) return bad_shape(m, "the number of rotated dimensions is odd", err);
    m->base.info.n_heads = (int32_t)heads;
    m->base.info.n_kv_heads = (int32_t)kv_heads;
    m->head_dim = (int32_t)dim;
    m->n_rot = (int32_t)rot;
    return HB_OK;
}

/* Reads a factor. A value of 0, or none, leaves *factor as it is. */
static hb_status read_factor(const hb_native_model *m, const char *name, bool divides, float *factor,
                             hb_error *err)
{
    double value = 0;
    hb_status status = get_float(m, name, &value, err);
    if (status || value == 0) return status;
    *factor = (float)(divides ? 1 / value : value);
    return isfinite(*factor) ? HB_OK : bad_shape(m, "a factor is not a finite number", err);
}

static hb_status read_factors(hb_native_model *m, hb_error *err)
{
    hb_status status = read_factor(m, "embedding_scale", false, &m->embedding_scale, err);
    if (!status) status = read_factor(m, "residual_scale", false, &m->residual_scale, err);
    if (!status) status = read_factor(m, "attention.scale", false, &m->attention_scale, err);
    return status ? status : read_factor(m, "logit_scale", true, &m->logit_scale, err);
}

static hb_status read_scales(hb_native_model *m, hb_error *err)
{
    const hb_architecture *a = m->architecture;
    double attention_cap = (double)a->attention_cap, logit_cap = (double)a->logit_cap;
    hb_status status = HB_OK;
    m->residual_scale = m->logit_scale = 1;
    if (a->attention_cap > 0) status = get_float(m, "attn_logit_softcapping", &attention_cap, err);
    if (!status) status = get_float(m, "final_logit_softcapping", &logit_cap, err);
    float width = (float)m->head_dim;
    if (m->base.info.n_layers == a->wide_layers)
        width = (float)m->base.info.n_embd / (float)m->base.info.n_heads;
    m->attention_scale = 1.0f / sqrtf(width);
    m->attention_cap = (float)attention_cap;
    m->logit_cap = (float)logit_cap;
    m->embedding_scale = a->scaled_embedding ? sqrtf((float)m->base.info.n_embd) : 1;
    if (!status && a->file_scales) status = read_factors(m, err);
    return status;
}

/* Reads which blocks have a window: a period, or a flag for each block. */
static hb_status read_pattern(hb_native_model *m, int64_t *full_every, hb_error *err)
{
    const char *name = "attention.sliding_window_pattern";
    const hb_gguf_value *v = hb_gguf_find(m->gguf, key_of(m, name).text);
    if (!v || v->kind != HB_GGUF_ARRAY) return get_int(m, name, false, 0, INT32_MAX, full_every, err);
    if (v->element != HB_GGUF_BOOL || v->count != (uint64_t)m->base.info.n_layers)
        return bad_shape(m, "the list of blocks with a sliding window needs a flag for each block",
                         err);
    m->has_window = v->data;
    return HB_OK;
}

/* Reads the sliding window and which blocks have none. */
static hb_status read_windows(hb_native_model *m, hb_error *err)
{
    const hb_architecture *a = m->architecture;
    int64_t window = a->window, full_every = a->full_every;
    if (!a->windows) return HB_OK;
    hb_status status = get_int(m, "attention.sliding_window", false, 0, INT32_MAX, &window, err);
    if (!status && full_every) status = read_pattern(m, &full_every, err);
    m->window = (int32_t)window;
    m->full_every = (int32_t)full_every;
    return status;
}

/* Reads YaRN's parameters. Its scaling also changes the magnitude of scores. */
static hb_status read_yarn(hb_native_model *m, hb_error *err)
{
    hb_rope *r = &m->rope;
    r->unscaled = 1;
    hb_status status = get_float(m, "rope.scaling.yarn_ext_factor", &r->unscaled, err);
    if (!status) status = get_float(m, "rope.scaling.yarn_beta_fast", &r->fast, err);
    if (!status) status = get_float(m, "rope.scaling.yarn_beta_slow", &r->slow, err);
    double log_multiplier = 0;
    if (!status) status = get_float(m, "rope.scaling.yarn_log_multiplier", &log_multiplier, err);
    double grown = r->scale < 1 ? 0.1 * log(1 / r->scale) : 0;
    r->magnitude *= (1 + grown) / (1 + log_multiplier * grown);
    return status;
}

static hb_status read_rope(hb_native_model *m, hb_error *err)
{
    double factor = 1, attn_factor = 1;
    char shown[48];
    int64_t original = m->base.info.n_ctx_train;
    hb_rope *r = &m->rope;
    *r = (hb_rope){.base = 10000, .scale = 1, .fast = 32, .slow = 1};
    hb_status status = get_float(m, "rope.freq_base", &r->base, err);
    if (!status) status = get_float(m, "rope.scale_linear", &factor, err);
    if (!status) status = get_float(m, "rope.scaling.factor", &factor, err);
    if (!status) status = get_float(m, "rope.scaling.attn_factor", &attn_factor, err);
    if (!status)
        status =
            get_int(m, "rope.scaling.original_context_length", false, 1, INT32_MAX, &original, err);
    if (status) return status;
    r->n_original = (double)original;
    r->magnitude = attn_factor;
    hb_text type = hb_gguf_get_text(m->gguf, key_of(m, "rope.scaling.type").text);
    if (!hb_text_is(type, "none")) r->scale = 1 / factor;
    if (hb_text_is(type, "yarn")) status = read_yarn(m, err);
    else if (type.bytes && !hb_text_is(type, "none") && !hb_text_is(type, "linear") &&
             !hb_text_is(type, "longrope"))
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: rope scaling '%s' is not supported",
                       m->base.info.path, hb_printable(shown, sizeof shown, type.bytes, type.length));
    m->window_rope = *r;
    if (m->architecture->window_unscaled) {
        double base = m->architecture->window_base > 0 ? m->architecture->window_base : r->base;
        m->window_rope = (hb_rope){.base = base, .scale = 1, .magnitude = attn_factor};
        if (!status) status = get_float(m, "rope.freq_base_swa", &m->window_rope.base, err);
    }
    double temperature = 0;
    if (!status && m->architecture->temperature)
        status = get_float(m, "attention.temperature_scale", &temperature, err);
    m->temperature = (float)temperature;
    return status;
}

/* Reads the numbers of a mixture of experts. The dense feed-forward is absent then, or is the shared
 * expert. */
static hb_status read_experts(hb_native_model *m, int64_t ff, hb_error *err)
{
    const hb_architecture *a = m->architecture;
    int64_t n = 0, used = 0, width = ff, shared = ff;
    bool required = a->routing && !a->optional_experts;
    m->n_ff = (int32_t)ff;
    hb_status status = get_int(m, "expert_count", required, required, HB_MAX_EXPERTS, &n, err);
    if (status || n == 0) return status;
    if (!a->routing)
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       "%s: a mixture of %lld experts is not supported in this architecture",
                       m->base.info.path, (long long)n);
    status = get_int(m, "expert_used_count", true, 1, n, &used, err);
    if (!status) status = get_int(m, "expert_feed_forward_length", false, 1, MAX_WIDTH, &width, err);
    if (!status)
        status = get_int(m, "expert_shared_feed_forward_length", false, 1, MAX_WIDTH, &shared, err);
    m->n_ff = a->shared_expert ? (int32_t)shared : 0;
    m->n_experts = (int32_t)n;
    m->n_used = (int32_t)used;
    m->n_ff_expert = (int32_t)width;
    return status;
}

hb_status hb_shape_read(hb_native_model *m, hb_error *err)
{
    int64_t layers, width, ff, context;
    double eps;
    hb_status status = get_int(m, "block_count", true, 1, HB_MAX_LAYERS, &layers, err);
    if (!status) status = get_int(m, "embedding_length", true, 1, MAX_WIDTH, &width, err);
    if (!status) status = get_int(m, "feed_forward_length", true, 1, MAX_WIDTH, &ff, err);
    if (!status) status = get_int(m, "context_length", true, 1, INT32_MAX, &context, err);
    if (!status)
        status = hb_gguf_get_float(m->gguf, key_of(m, "attention.layer_norm_rms_epsilon").text, true,
                                   &eps, err);
    if (status) return status;
    m->base.info.n_layers = (int32_t)layers;
    m->base.info.n_embd = (int32_t)width;
    m->base.info.n_ctx_train = (int32_t)context;
    m->norm_eps = (float)eps;
    status = read_experts(m, ff, err);
    if (!status) status = read_heads(m, err);
    if (!status) status = read_scales(m, err);
    if (!status) status = read_windows(m, err);
    return status ? status : read_rope(m, err);
}
