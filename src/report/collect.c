#include "report/collect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "report/markup.h"
#include "signals/scores.h"

/* The most bytes that are shown of a text. */
enum { TEXT_BYTES = 1500, PROMPT_HEAD = 160, PROMPT_TAIL = 340, ID_BYTES = 80 };

typedef struct collecting {
    hb_subject *subject; /* shown: ascending by index while the run is read */
    const hb_judge_rule *rule;
    const hb_signal *signal; /* NULL: the score has no values at steps */
    size_t place, n_signals; /* of the signal among those of the run */
    size_t next;             /* the first of subject->shown that has not been visited */
    bool failed;             /* memory ran out */
} collecting;

/* ---- Which samples ------------------------------------------------------------------------------- */

static double wrongness(const hb_judged_sample *s)
{
    return fabs(s->p_fail - s->label);
}

static int by_wrongness(const void *a, const void *b)
{
    const hb_shown *x = a, *y = b;
    double p = wrongness(&x->judged), q = wrongness(&y->judged);
    if (p != q) return p < q ? 1 : -1;
    return (x->judged.index > y->judged.index) - (x->judged.index < y->judged.index);
}

static int by_index(const void *a, const void *b)
{
    const hb_shown *x = a, *y = b;
    return (x->judged.index > y->judged.index) - (x->judged.index < y->judged.index);
}

static void sort(hb_subject *s, int (*compare)(const void *, const void *))
{
    if (s->n_shown) qsort(s->shown, s->n_shown, sizeof *s->shown, compare);
}

/* The sample of this index; NULL if it is not shown. Indices come in ascending order. */
static hb_shown *find(collecting *c, uint64_t index)
{
    hb_subject *s = c->subject;
    while (c->next < s->n_shown && s->shown[c->next].judged.index < index) c->next++;
    bool found = c->next < s->n_shown && s->shown[c->next].judged.index == index;
    return found ? &s->shown[c->next] : NULL;
}

/* ---- Texts --------------------------------------------------------------------------------------- */

/* The beginning and the end of a prompt, where its question is. NULL when memory runs out. */
static char *shorten(const char *prompt)
{
    size_t length = strlen(prompt);
    if (length <= PROMPT_HEAD + PROMPT_TAIL) return strdup(prompt);
    size_t head = hb_markup_cut(prompt, length, PROMPT_HEAD), tail = length - PROMPT_TAIL;
    while (tail < length && ((uint8_t)prompt[tail] & 0xC0) == 0x80) tail++;
    hb_buffer text = {0};
    if (hb_buffer_add(&text, prompt, head) && hb_buffer_add_text(&text, " … ") &&
        hb_buffer_add(&text, prompt + tail, length - tail))
        return text.data;
    hb_buffer_free(&text);
    return NULL;
}

static hb_status keep_sample(void *user, const hb_run_sample *sample)
{
    collecting *c = user;
    hb_shown *s = sample->text ? find(c, sample->index) : NULL;
    if (!s) return HB_OK;
    s->text_length = strlen(sample->text);
    s->text = strndup(sample->text, hb_markup_cut(sample->text, s->text_length, TEXT_BYTES));
    s->id = strndup(sample->id, ID_BYTES);
    s->prompt = sample->prompt ? shorten(sample->prompt) : NULL;
    s->n_tokens = sample->n_tokens;
    c->failed = !s->text || !s->id || (sample->prompt && !s->prompt);
    return c->failed ? HB_ERR_MEMORY : HB_OK;
}

/* ---- Steps --------------------------------------------------------------------------------------- */

static uint8_t level_of(const collecting *c, double value)
{
    const hb_judge_rule *r = c->rule;
    double p = hb_p_fail_by(r->map, value, r->tau, r->lambda, r->direction);
    return p >= 0.9 ? 9 : p > 0 ? (uint8_t)(p * 10) : 0;
}

static hb_status keep_steps(void *user, const hb_run_tokens *steps)
{
    collecting *c = user;
    hb_shown *s = find(c, steps->index);
    if (!s || !steps->n) return HB_OK;
    s->levels = calloc(steps->n, sizeof *s->levels);
    if (steps->characters) s->characters = calloc(steps->n, sizeof *s->characters);
    c->failed = !s->levels || (steps->characters && !s->characters);
    if (c->failed) return HB_ERR_MEMORY;
    for (size_t i = 0; i < steps->n; i++) {
        s->levels[i] = level_of(c, steps->values[i * c->n_signals + c->place]);
        if (steps->characters) s->characters[i] = steps->characters[i];
    }
    s->n_steps = steps->n;
    c->subject->coloured = true;
    return HB_OK;
}

/* Finds the score's signal among those of the run. */
static void find_signal(collecting *c, const hb_run *run)
{
    hb_score_id id;
    const hb_signal_set *signals = hb_run_get_settings(run)->signals;
    c->n_signals = hb_signal_set_count(signals);
    if (!hb_score_find(c->rule->score, &id)) return;
    for (size_t i = 0; i < c->n_signals; i++)
        if (hb_signal_set_at(signals, i) == id.signal) {
            c->signal = id.signal;
            c->place = i;
        }
}

hb_status hb_collect_samples(hb_subject *subject, hb_run *run, const hb_judged_sample *judged, size_t n,
                             const hb_judge_rule *rule, size_t most, hb_error *err)
{
    collecting c = {.subject = subject, .rule = rule};
    subject->has_samples = true;
    subject->n_judged = n;
    subject->shown = calloc(n + 1, sizeof *subject->shown);
    if (!subject->shown) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) subject->shown[i].judged = judged[i];
    subject->n_shown = n;
    sort(subject, by_wrongness);
    if (n > most) subject->n_shown = most;
    sort(subject, by_index);
    find_signal(&c, run);
    hb_status status = hb_run_each(run, keep_sample, &c, err);
    c.next = 0;
    if (!status && c.signal) status = hb_run_each_steps(run, keep_steps, &c, err);
    if (c.failed) return hb_fail_memory(err);
    for (size_t i = 0; i < subject->n_shown && !status; i++)
        if (!subject->shown[i].text && !(subject->shown[i].text = strdup("")))
            status = hb_fail_memory(err);
    sort(subject, by_wrongness);
    return status;
}
