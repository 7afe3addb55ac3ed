#include "signals/features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"

/* ---- Which features ------------------------------------------------------------------------------ */

/* The items of a list. */
enum { HIDDEN, TOPK, ATTENTION, STATES, N_ITEMS };
static const char *const items[N_ITEMS] = {"hidden", "topk", "attention", "states"};

/* A feature's name in the run, and the item of the list that keeps it. */
static const struct {
    const char *name;
    int item;
} kinds[HB_N_FEATURES] = {
    [HB_FEATURE_FIRST] = {"first", HIDDEN},
    [HB_FEATURE_MEAN] = {"mean", HIDDEN},
    [HB_FEATURE_LAST] = {"last", HIDDEN},
    [HB_FEATURE_TOPK] = {"topk", TOPK},
    [HB_FEATURE_ATTENTION] = {"attention", ATTENTION},
    [HB_FEATURE_LOOKBACK] = {"lookback", ATTENTION},
    [HB_FEATURE_STATES] = {"states", STATES},
};

const char *hb_feature_item(hb_feature feature)
{
    return items[kinds[feature].item];
}

const char *hb_feature_name(hb_feature feature)
{
    return (size_t)feature < HB_N_FEATURES ? kinds[feature].name : "unknown";
}

void hb_feature_plan_free(hb_feature_plan *plan)
{
    free(plan->blocks);
    *plan = (hb_feature_plan){0};
}

static bool is_item(const char *item, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(item, name, length) == 0;
}

bool hb_feature_listed(const char *list, hb_feature feature)
{
    const char *wanted = items[kinds[feature].item];
    for (const char *item = list; item && *item;) {
        if (is_item(item, strcspn(item, ":,"), wanted)) return true;
        item += strcspn(item, ",");
        if (*item) item++;
    }
    return false;
}

static bool is_planned(const hb_feature_plan *plan, hb_feature feature)
{
    const bool planned[N_ITEMS] = {plan->hidden, plan->topk, plan->attention, plan->states};
    return planned[kinds[feature].item];
}

size_t hb_feature_length(const hb_feature_plan *plan, hb_feature feature, const hb_model_info *model)
{
    size_t heads = (size_t)model->n_layers * (size_t)model->n_heads;
    if (!is_planned(plan, feature) || feature == HB_FEATURE_STATES) return 0;
    if (feature == HB_FEATURE_TOPK) return 2 * HB_RANKS;
    if (feature == HB_FEATURE_ATTENTION) return heads * HB_N_ATTENTION;
    if (feature == HB_FEATURE_LOOKBACK) return heads;
    return (size_t)plan->n_blocks * (size_t)model->n_embd;
}

/* Adds a block, numbered from 1 as users see it. False unless it is above the last one. */
static bool add_block(hb_feature_plan *plan, long number)
{
    if (number < 1 || number > HB_MAX_LAYERS) return false;
    if (plan->n_blocks && plan->blocks[plan->n_blocks - 1] >= number - 1) return false;
    plan->blocks[plan->n_blocks++] = (int32_t)number - 1;
    return true;
}

/* A quarter, a half, three quarters and all of the way through the model. */
static void add_default_blocks(hb_feature_plan *plan, int32_t n_layers)
{
    for (int32_t k = 1; k <= 4; k++) {
        int32_t number = (k * n_layers + 2) / 4;
        if (number >= 1 && (!plan->n_blocks || plan->blocks[plan->n_blocks - 1] < number - 1))
            add_block(plan, number);
    }
}

/* Reads "8+15+30" [length]. */
static bool read_blocks(hb_feature_plan *plan, const char *text, size_t length)
{
    const char *end = text + length;
    for (;; text++) {
        char *after;
        if (text == end || *text < '0' || *text > '9') return false;
        if (!add_block(plan, strtol(text, &after, 10))) return false;
        text = after;
        if (text == end) return true;
        if (*text != '+') return false;
    }
}

static hb_status bad_blocks(const char *text, size_t length, hb_error *err)
{
    return hb_fail(err, HB_ERR_ARGUMENT, "'%.*s' are not numbers of blocks, such as 8+15+30",
                   length < 60 ? (int)length : 60, text);
}

static hb_status read_hidden(const char *item, size_t length, const hb_model_info *model,
                             hb_feature_plan *plan, hb_error *err)
{
    const size_t name = strlen("hidden");
    if (plan->hidden) return hb_fail(err, HB_ERR_ARGUMENT, "'hidden' is listed twice");
    plan->hidden = true;
    plan->blocks = calloc(HB_MAX_LAYERS, sizeof *plan->blocks);
    if (!plan->blocks) return hb_fail_memory(err);
    if (length > name) {
        if (!read_blocks(plan, item + name + 1, length - name - 1))
            return bad_blocks(item + name + 1, length - name - 1, err);
    } else if (model) {
        add_default_blocks(plan, model->n_layers);
    } else {
        return bad_blocks("", 0, err);
    }
    if (!model || plan->blocks[plan->n_blocks - 1] < model->n_layers) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "the model has no block %d; it has %d",
                   plan->blocks[plan->n_blocks - 1] + 1, model->n_layers);
}

/* Reads "states" or "states:15". */
static hb_status read_states(const char *item, size_t length, const hb_model_info *model,
                             hb_feature_plan *plan, hb_error *err)
{
    const size_t name = strlen("states");
    char *end = NULL;
    long number = 0;
    if (plan->states) return hb_fail(err, HB_ERR_ARGUMENT, "'states' is listed twice");
    if (length > name) number = strtol(item + name + 1, &end, 10);
    else if (model) number = (model->n_layers + 1) / 2;
    if (number < 1 || number > HB_MAX_LAYERS || (end && end != item + length))
        return hb_fail(err, HB_ERR_ARGUMENT, "'%.*s' is not the number of one block, as in states:15",
                       length < 60 ? (int)length : 60, item);
    if (model && number > model->n_layers)
        return hb_fail(err, HB_ERR_ARGUMENT, "the model has no block %ld; it has %d", number,
                       model->n_layers);
    plan->states = true;
    plan->states_block = (int32_t)number - 1;
    return HB_OK;
}

/* Reads an item without numbers. */
static hb_status read_plain(const char *item, bool *planned, hb_error *err)
{
    if (*planned) return hb_fail(err, HB_ERR_ARGUMENT, "'%s' is listed twice", item);
    *planned = true;
    return HB_OK;
}

static hb_status read_item(const char *item, size_t length, const hb_model_info *model,
                           hb_feature_plan *plan, hb_error *err)
{
    size_t name = strcspn(item, ":,");
    if (is_item(item, length, items[TOPK])) return read_plain(items[TOPK], &plan->topk, err);
    if (is_item(item, length, items[ATTENTION]))
        return read_plain(items[ATTENTION], &plan->attention, err);
    if (is_item(item, name, items[HIDDEN])) return read_hidden(item, length, model, plan, err);
    if (is_item(item, name, items[STATES])) return read_states(item, length, model, plan, err);
    return hb_fail(err, HB_ERR_ARGUMENT,
                   "no features '%.*s'; there are hidden, topk, attention, states",
                   length < 60 ? (int)length : 60, item);
}

hb_status hb_feature_plan_open(const char *list, const hb_model_info *model, hb_feature_plan *plan,
                               hb_error *err)
{
    hb_feature_plan p = {0};
    hb_status status = HB_OK;
    for (const char *item = list; item && *item && !status;) {
        size_t length = strcspn(item, ",");
        status = read_item(item, length, model, &p, err);
        item += length;
        if (*item && !*++item)
            status = hb_fail(err, HB_ERR_ARGUMENT, "the list of features ends in a comma");
    }
    if (status) hb_feature_plan_free(&p);
    else *plan = p;
    return status;
}

static bool write_plan(const hb_feature_plan *plan, hb_buffer *out)
{
    char number[16];
    bool ok = hb_buffer_add(out, "", 0) && (!plan->hidden || hb_buffer_add_text(out, "hidden"));
    for (int32_t b = 0; b < plan->n_blocks && ok; b++) {
        snprintf(number, sizeof number, "%c%d", b ? '+' : ':', plan->blocks[b] + 1);
        ok = hb_buffer_add_text(out, number);
    }
    if (plan->topk) ok = ok && hb_buffer_add_text(out, out->length ? ",topk" : "topk");
    if (plan->attention) ok = ok && hb_buffer_add_text(out, out->length ? ",attention" : "attention");
    if (plan->states && ok) {
        char states[24];
        snprintf(states, sizeof states, "%sstates:%d", out->length ? "," : "", plan->states_block + 1);
        ok = hb_buffer_add_text(out, states);
    }
    return ok;
}

hb_status hb_features_parse(const char *list, const hb_model_info *model, char **features,
                            hb_error *err)
{
    hb_feature_plan plan;
    hb_buffer text = {0};
    hb_status status = hb_feature_plan_open(list, model, &plan, err);
    if (status) return status;
    if (write_plan(&plan, &text)) *features = text.data;
    else status = hb_fail_memory(err);
    if (status) hb_buffer_free(&text);
    hb_feature_plan_free(&plan);
    return status;
}

hb_status hb_features_size(const char *features, const hb_model_info *model, size_t *bytes,
                           hb_error *err)
{
    hb_feature_plan plan;
    hb_status status = hb_feature_plan_open(features, model, &plan, err);
    if (status) return status;
    *bytes = 0;
    for (int f = 0; f < HB_N_FEATURES; f++)
        *bytes += 2 * hb_feature_length(&plan, (hb_feature)f, model);
    hb_feature_plan_free(&plan);
    return HB_OK;
}

hb_status hb_features_step_size(const char *features, const hb_model_info *model, size_t *bytes,
                                hb_error *err)
{
    hb_feature_plan plan;
    hb_status status = hb_feature_plan_open(features, model, &plan, err);
    if (status) return status;
    *bytes = plan.states ? 2 * (size_t)model->n_embd : 0;
    hb_feature_plan_free(&plan);
    return HB_OK;
}

/* ---- The features of a sample -------------------------------------------------------------------- */

hb_status hb_features_open(const hb_feature_plan *plan, const hb_model_info *model,
                           hb_features **features, hb_error *err)
{
    size_t total = 0;
    hb_features *f = calloc(1, sizeof *f);
    if (!f) return hb_fail_memory(err);
    f->plan = plan;
    f->model = model;
    for (int k = 0; k < HB_N_FEATURES; k++)
        total += f->n[k] = hb_feature_length(plan, (hb_feature)k, model);
    f->values[0] = calloc(total + 1, sizeof(float));
    f->sums[0] = calloc(total + 1, sizeof(double));
    if (!f->values[0] || !f->sums[0]) {
        hb_features_free(f);
        return hb_fail_memory(err);
    }
    for (int k = 1; k < HB_N_FEATURES; k++) {
        f->values[k] = f->values[k - 1] + f->n[k - 1];
        f->sums[k] = f->sums[k - 1] + f->n[k - 1];
    }
    f->values[HB_FEATURE_STATES] = NULL;
    *features = f;
    return HB_OK;
}

hb_status hb_features_copy(const hb_features *from, hb_features **features, hb_error *err)
{
    hb_features *f;
    const size_t n_states = from->n[HB_FEATURE_STATES];
    hb_status status = hb_features_open(from->plan, from->model, &f, err);
    if (status) return status;
    if (n_states) f->values[HB_FEATURE_STATES] = calloc(n_states, sizeof(float));
    if (n_states && !f->values[HB_FEATURE_STATES]) {
        hb_features_free(f);
        return hb_fail_memory(err);
    }
    f->n[HB_FEATURE_STATES] = n_states;
    for (int k = 0; k < HB_N_FEATURES; k++)
        if (from->n[k]) memcpy(f->values[k], from->values[k], from->n[k] * sizeof(float));
    *features = f;
    return HB_OK;
}

void hb_features_free(hb_features *features)
{
    if (!features) return;
    free(features->values[0]);
    free(features->values[HB_FEATURE_STATES]);
    free(features->sums[0]);
    free(features);
}

/* Adds n values to a mean over the steps, this one included. */
static void add_to_mean(const hb_features *f, hb_feature feature, size_t at, const float *x, size_t n)
{
    double *sums = f->sums[feature] + at, steps = (double)f->n_steps;
    float *means = f->values[feature] + at;
    for (size_t i = 0; i < n; i++) {
        sums[i] += x[i];
        means[i] = (float)(sums[i] / steps);
    }
}

static void add_states(const hb_features *f, const hb_measuring *m)
{
    size_t d = (size_t)f->model->n_embd;
    for (int32_t b = 0; b < f->plan->n_blocks; b++) {
        const float *state = hb_measured_state(m, (size_t)f->plan->blocks[b]);
        size_t at = (size_t)b * d, bytes = d * sizeof *state;
        if (f->n_steps == 1) memcpy(f->values[HB_FEATURE_FIRST] + at, state, bytes);
        memcpy(f->values[HB_FEATURE_LAST] + at, state, bytes);
        add_to_mean(f, HB_FEATURE_MEAN, at, state, d);
    }
}

static void add_ranks(const hb_features *f, hb_measuring *m)
{
    const float *ranks = hb_measured_ranks(m);
    float *greatest = f->values[HB_FEATURE_TOPK] + HB_RANKS;
    add_to_mean(f, HB_FEATURE_TOPK, 0, ranks, HB_RANKS);
    for (int k = 0; k < HB_RANKS; k++)
        if (ranks[k] > greatest[k]) greatest[k] = ranks[k];
}

static void add_attention(const hb_features *f, hb_measuring *m)
{
    add_to_mean(f, HB_FEATURE_ATTENTION, 0, hb_measured_attention(m, 0, 0), f->n[HB_FEATURE_ATTENTION]);
    add_to_mean(f, HB_FEATURE_LOOKBACK, 0, hb_measured_lookback(m), f->n[HB_FEATURE_LOOKBACK]);
}

/* Appends the state of one step. False when memory runs out. */
static bool append_state(hb_features *f, const hb_measuring *m)
{
    const size_t n = (size_t)f->model->n_embd, bytes = n * sizeof(float);
    float *all = hb_grown(f->values[HB_FEATURE_STATES], f->n_steps, bytes, &f->states_room);
    if (!all) return false;
    f->values[HB_FEATURE_STATES] = all;
    memcpy(all + f->n_steps * n, hb_measured_state(m, (size_t)f->plan->states_block), bytes);
    f->n[HB_FEATURE_STATES] += n;
    return true;
}

bool hb_features_add(hb_features *f, hb_measuring *m)
{
    if (f->plan->states && !append_state(f, m)) return false;
    f->n_steps++;
    if (f->plan->hidden) add_states(f, m);
    if (f->plan->topk) add_ranks(f, m);
    if (f->plan->attention) add_attention(f, m);
    return true;
}
