/* Scores: their names, which combine a signal and an aggregation, and the values of a sample. */
#include "signals/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"

/* ---- Names --------------------------------------------------------------------------------------- */

bool hb_score_find(const char *name, hb_score_id *id)
{
    size_t length = strcspn(name, ":");
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_at(i)) != NULL; i++) {
        const char *known = hb_signal_name(signal);
        if (strlen(known) == length && memcmp(known, name, length) == 0) break;
    }
    if (!signal) return false;
    hb_aggregation aggregation = hb_signal_usual(signal);
    if (name[length] && !hb_aggregation_find(name + length + 1, &aggregation)) return false;
    *id = (hb_score_id){signal, aggregation};
    return true;
}

hb_score_id hb_score_tail(hb_score_id id, hb_direction direction)
{
    if (id.aggregation == HB_AGGREGATION_TAIL5)
        id.aggregation = direction == HB_DIRECTION_LOW ? HB_AGGREGATION_BOTTOM5 : HB_AGGREGATION_TOP5;
    return id;
}

/* Appends a score's name: the signal and, unless it is the usual one, the aggregation. */
static bool add_name(hb_buffer *out, hb_score_id id)
{
    if (!hb_buffer_add_text(out, hb_signal_name(id.signal))) return false;
    if (id.aggregation == hb_signal_usual(id.signal)) return true;
    return hb_buffer_add_text(out, ":") && hb_buffer_add_text(out, hb_aggregation_name(id.aggregation));
}

char *hb_score_name(hb_score_id id)
{
    hb_buffer name = {0};
    if (add_name(&name, id)) return name.data;
    hb_buffer_free(&name);
    return NULL;
}

char *hb_score_tail_name(const char *score, hb_direction direction)
{
    hb_score_id id;
    if (!hb_score_find(score, &id) || id.aggregation != HB_AGGREGATION_TAIL5) return strdup(score);
    return hb_score_name(hb_score_tail(id, direction));
}

/* Whether this is the score's name in its short form. */
static bool is_named(hb_score_id id, const char *name)
{
    const char *signal = hb_signal_name(id.signal);
    size_t length = strlen(signal);
    if (strncmp(name, signal, length) != 0) return false;
    if (id.aggregation == hb_signal_usual(id.signal)) return !name[length];
    return name[length] == ':' && strcmp(name + length + 1, hb_aggregation_name(id.aggregation)) == 0;
}

bool hb_score_at(const hb_signal_set *set, size_t i, hb_score_id *id)
{
    const hb_signal *signal = hb_signal_set_at(set, i / hb_aggregation_count());
    if (!signal) return false;
    *id = (hb_score_id){signal, (hb_aggregation)(i % hb_aggregation_count())};
    return true;
}

/* ---- Values -------------------------------------------------------------------------------------- */

struct hb_scores {
    double *values; /* [n] */
    size_t *names;  /* [n], offset of each name in `text` */
    hb_buffer text; /* the names, each zero-terminated */
    size_t n;
};

void hb_scores_free(hb_scores *scores)
{
    if (!scores) return;
    hb_buffer_free(&scores->text);
    free(scores->values);
    free(scores->names);
    free(scores);
}

/* Allocates room for n scores. NULL when memory runs out. */
static hb_scores *make_scores(size_t n)
{
    hb_scores *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->values = calloc(n + 1, sizeof *s->values);
    s->names = calloc(n + 1, sizeof *s->names);
    if (s->values && s->names) return s;
    hb_scores_free(s);
    return NULL;
}

/* Terminates the name that begins at `begin` and adds a score with it. */
static bool end_name(hb_scores *s, size_t begin)
{
    s->names[s->n] = begin;
    s->values[s->n++] = NAN;
    return hb_buffer_add(&s->text, "", 1);
}

hb_status hb_scores_of_set(const hb_signal_set *set, hb_scores **scores, hb_error *err)
{
    hb_score_id id;
    hb_scores *s = make_scores(hb_signal_set_count(set) * hb_aggregation_count());
    bool ok = s != NULL;
    for (size_t i = 0; ok && hb_score_at(set, i, &id); i++) {
        size_t begin = s->text.length;
        if (!hb_aggregation_is_measured(id.aggregation)) continue;
        ok = add_name(&s->text, id) && end_name(s, begin);
    }
    if (ok) *scores = s;
    else hb_scores_free(s);
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_scores_of_names(const char *const *names, size_t n, hb_scores **scores, hb_error *err)
{
    hb_scores *s = make_scores(n);
    bool ok = s != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        size_t begin = s->text.length;
        ok = hb_buffer_add_text(&s->text, names[i]) && end_name(s, begin);
    }
    if (ok) *scores = s;
    else hb_scores_free(s);
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_scores_join(const hb_scores *a, const hb_scores *b, hb_scores **both, hb_error *err)
{
    hb_scores *s = make_scores(a->n + b->n);
    bool ok = s && hb_buffer_add(&s->text, a->text.data, a->text.length) &&
              hb_buffer_add(&s->text, b->text.data, b->text.length);
    for (size_t i = 0; ok && i < a->n + b->n; i++, s->n++) {
        s->names[i] = i < a->n ? a->names[i] : a->text.length + b->names[i - a->n];
        s->values[i] = i < a->n ? a->values[i] : b->values[i - a->n];
    }
    if (ok) *both = s;
    else hb_scores_free(s);
    return ok ? HB_OK : hb_fail_memory(err);
}

void hb_scores_set(hb_scores *scores, size_t i, double value)
{
    scores->values[i] = value;
}

size_t hb_scores_count(const hb_scores *scores)
{
    return scores ? scores->n : 0;
}

const char *hb_scores_name(const hb_scores *scores, size_t i)
{
    return i < hb_scores_count(scores) ? scores->text.data + scores->names[i] : NULL;
}

double hb_scores_at(const hb_scores *scores, size_t i)
{
    return i < hb_scores_count(scores) ? scores->values[i] : NAN;
}

double hb_scores_get(const hb_scores *scores, hb_score_id id)
{
    for (size_t i = 0; i < hb_scores_count(scores); i++)
        if (is_named(id, hb_scores_name(scores, i))) return scores->values[i];
    return NAN;
}

/* Finds the score of an id; without one (NULL), the score with this name. */
static bool find(const hb_scores *scores, const hb_score_id *id, const char *name, size_t *place)
{
    for (size_t i = 0; i < hb_scores_count(scores); i++) {
        const char *at = hb_scores_name(scores, i);
        if (!(id ? is_named(*id, at) : strcmp(name, at) == 0)) continue;
        *place = i;
        return true;
    }
    return false;
}

bool hb_scores_find(const hb_scores *scores, const char *name, size_t *place)
{
    hb_score_id id;
    return find(scores, hb_score_find(name, &id) ? &id : NULL, name, place);
}

bool hb_scores_find_tail(const hb_scores *scores, const char *name, hb_direction direction,
                         size_t *place)
{
    hb_score_id id;
    bool known = hb_score_find(name, &id);
    if (known) id = hb_score_tail(id, direction);
    return find(scores, known ? &id : NULL, name, place);
}

double hb_scores_value(const hb_scores *scores, const char *name)
{
    size_t place;
    return hb_scores_find(scores, name, &place) ? scores->values[place] : NAN;
}
