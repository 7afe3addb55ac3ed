#include "engine/feed_forward.h"

#include <math.h>
#include <string.h>
#include "engine/matmul.h"

/* ---- Activation functions ----------------------------------------------------------------------- */

/* The gate of gpt-oss (OpenAI, gpt-oss Model Card, 2025): silu with slope 1.702, times up + 1, both
 * limited to 7. */
static void clamped_mul(float *gate, const float *up, size_t n)
{
    const float slope = 1.702f, limit = 7;
    for (size_t i = 0; i < n; i++) {
        bool finite = isfinite(gate[i]) && isfinite(up[i]); /* the limits would hide it */
        float g = fminf(gate[i], limit), u = fmaxf(-limit, fminf(up[i], limit));
        gate[i] = finite ? g / (1 + expf(-slope * g)) * (u + 1) : NAN;
    }
}

/* gate = activation(gate) * up, each [n]. */
static void gate_mul(const hb_workspace *w, const hb_native_model *m, float *gate, const float *up,
                     size_t n)
{
    switch (m->architecture->activation) {
    case HB_SILU:
        w->kernels->silu_mul(gate, up, n);
        return;
    case HB_GELU:
        w->kernels->gelu_mul(gate, up, n);
        return;
    case HB_CLAMPED_SILU:
        clamped_mul(gate, up, n);
        return;
    }
}

/* ---- Dense -------------------------------------------------------------------------------------- */

typedef struct dense {
    const hb_workspace *w;
    const hb_native_model *model;
    const hb_layer *layer;
    const float *x;
} dense;

/* Multiplies one row's gate, after its activation function, by its upward projection and, for a shared
 * expert, by the row's share of that expert. */
static void gate_row(const void *context, int32_t row, int32_t thread)
{
    const dense *c = context;
    size_t ff = (size_t)c->model->n_ff, d = (size_t)c->model->base.info.n_embd;
    float *gate = c->w->gate + (size_t)row * ff;
    const float *x = c->x + (size_t)row * d, *shared = c->layer->shared_router;
    (void)thread;
    gate_mul(c->w, c->model, gate, c->w->up + (size_t)row * ff, ff);
    if (!shared) return;
    float logit = 0;
    for (size_t i = 0; i < d; i++) logit += x[i] * shared[i];
    float part = isfinite(logit) ? 1 / (1 + expf(-logit)) : NAN;
    for (size_t i = 0; i < ff; i++) gate[i] *= part;
}

void hb_feed_forward(const hb_workspace *w, const hb_native_model *model, const hb_layer *layer,
                     const float *x, int32_t n)
{
    const hb_product products[] = {{&layer->w_gate, w->gate}, {&layer->w_up, w->up}};
    hb_matmul(w, x, n, products, 2);
    hb_workspace_each_row(w, n, gate_row, &(dense){w, model, layer, x});
}

/* ---- Choice of experts -------------------------------------------------------------------------- */

typedef struct routing {
    const hb_workspace *w;
    const hb_native_model *model;
    const hb_layer *layer;
} routing;

/* Puts the indices of the k largest logits into chosen, in ascending order. Of equal logits the first
 * is taken. */
static void choose(const float *logits, int32_t n, int32_t k, int32_t *chosen)
{
    for (int32_t taken = 0; taken < k; taken++) {
        int32_t best = -1, at = 0, place = taken;
        for (int32_t e = 0; e < n; e++) {
            if (at < taken && chosen[at] == e) at++; /* taken already */
            else if (best < 0 || logits[e] > logits[best]) best = e;
        }
        for (; place > 0 && chosen[place - 1] > best; place--) chosen[place] = chosen[place - 1];
        chosen[place] = best;
    }
}

/* Writes the shares of the chosen experts: the softmax over all logits or over those chosen. They are
 * NaN if a logit is not finite. */
static void share(const float *logits, int32_t n, const int32_t *chosen, int32_t k, bool among_chosen,
                  float *shares)
{
    float max = -INFINITY;
    double sum = 0;
    for (int32_t e = 0; e < n; e++) sum += (double)logits[e] * 0; /* NaN if one is not finite */
    for (int32_t i = 0; i < k; i++) max = fmaxf(max, logits[chosen[i]]);
    for (int32_t i = 0; i < k; i++) shares[i] = expf(logits[chosen[i]] - max);
    for (int32_t i = 0; among_chosen && i < k; i++) sum += (double)shares[i];
    for (int32_t e = 0; !among_chosen && e < n; e++) sum += (double)expf(logits[e] - max);
    for (int32_t i = 0; i < k; i++) shares[i] = (float)((double)shares[i] / sum);
}

static void route_row(const void *context, int32_t row, int32_t thread)
{
    const routing *c = context;
    const hb_native_model *m = c->model;
    int32_t n = m->n_experts, k = m->n_used;
    float *logits = c->w->routed + (size_t)row * (size_t)n;
    int32_t *chosen = c->w->chosen + (size_t)row * (size_t)k;
    (void)thread;
    for (int32_t e = 0; c->layer->router_bias && e < n; e++) logits[e] += c->layer->router_bias[e];
    choose(logits, n, k, chosen);
    share(logits, n, chosen, k, m->architecture->routing == HB_ROUTING_AMONG_CHOSEN,
          c->w->shares + (size_t)row * (size_t)k);
}

/* Sorts the choices, numbered row * n_used + i, by expert into w->by_expert; those of expert e begin at
 * start[e]. */
static void sort_by_expert(const hb_workspace *w, const hb_native_model *m, int32_t n, int32_t *start)
{
    int32_t choices = n * m->n_used;
    memset(start, 0, ((size_t)m->n_experts + 1) * sizeof *start);
    for (int32_t i = 0; i < choices; i++) start[w->chosen[i] + 1]++;
    for (int32_t e = 0; e < m->n_experts; e++) start[e + 1] += start[e];
    for (int32_t i = 0; i < choices; i++) w->by_expert[start[w->chosen[i]]++] = i;
    for (int32_t e = m->n_experts; e > 0; e--) start[e] = start[e - 1];
    start[0] = 0;
}

/* ---- Evaluation of experts ---------------------------------------------------------------------- */

/* The choices of one expert. */
typedef struct group {
    const hb_workspace *w;
    const hb_native_model *model;
    const hb_layer *layer;
    const float *x;
    int32_t expert;
    const int32_t *choices;
} group;

static void add_bias(float *to, const float *bias, int32_t expert, size_t n)
{
    for (size_t i = 0; bias && i < n; i++) to[i] += bias[(size_t)expert * n + i];
}

static void gather_row(const void *context, int32_t i, int32_t thread)
{
    const group *g = context;
    size_t d = (size_t)g->model->base.info.n_embd, row = (size_t)(g->choices[i] / g->model->n_used);
    (void)thread;
    memcpy(g->w->expert_in + (size_t)i * d, g->x + row * d, d * sizeof *g->x);
}

static void gate_expert_row(const void *context, int32_t i, int32_t thread)
{
    const group *g = context;
    size_t ff = (size_t)g->model->n_ff_expert;
    float *gate = g->w->gate + (size_t)i * ff, *up = g->w->up + (size_t)i * ff;
    (void)thread;
    add_bias(gate, g->layer->experts_b_gate, g->expert, ff);
    add_bias(up, g->layer->experts_b_up, g->expert, ff);
    gate_mul(g->w, g->model, gate, up, ff);
}

/* Adds one output of the expert, times its share, to the row that chose it. */
static void scatter_row(const void *context, int32_t i, int32_t thread)
{
    const group *g = context;
    size_t d = (size_t)g->model->base.info.n_embd, row = (size_t)(g->choices[i] / g->model->n_used);
    float *out = g->w->expert_out + (size_t)i * d, *x = g->w->x + row * d;
    float part = g->w->shares[g->choices[i]];
    (void)thread;
    add_bias(out, g->layer->experts_b_down, g->expert, d);
    for (size_t k = 0; k < d; k++) x[k] += part * out[k];
}

/* Evaluates one expert for the n rows that chose it. */
static void evaluate(const group *g, int32_t n)
{
    const hb_workspace *w = g->w;
    const hb_layer *l = g->layer;
    int32_t ff = g->model->n_ff_expert, d = g->model->base.info.n_embd;
    hb_matrix gate = hb_matrix_rows(l->experts_gate, g->expert * ff, ff);
    hb_matrix up = hb_matrix_rows(l->experts_up, g->expert * ff, ff);
    hb_matrix down = hb_matrix_rows(l->experts_down, g->expert * d, d);
    const hb_product products[] = {{&gate, w->gate}, {&up, w->up}};
    hb_workspace_each_row(w, n, gather_row, g);
    hb_matmul(w, w->expert_in, n, products, 2);
    hb_workspace_each_row(w, n, gate_expert_row, g);
    hb_matmul(w, w->gate, n, &(hb_product){&down, w->expert_out}, 1);
    hb_workspace_each_row(w, n, scatter_row, g);
}

void hb_experts(const hb_workspace *w, const hb_native_model *model, const hb_layer *layer,
                const float *x, int32_t n)
{
    int32_t start[HB_MAX_EXPERTS + 1];
    hb_matmul(w, x, n, &(hb_product){&layer->router, w->routed}, 1);
    hb_workspace_each_row(w, n, route_row, &(routing){w, model, layer});
    sort_by_expert(w, model, n, start);
    for (int32_t e = 0; e < model->n_experts; e++)
        if (start[e + 1] > start[e])
            evaluate(&(group){w, model, layer, x, e, w->by_expert + start[e]}, start[e + 1] - start[e]);
}
