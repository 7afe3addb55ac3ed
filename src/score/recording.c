/* Finished samples on their way into the run. */
#include <jansson.h>
#include <stdlib.h>
#include "base/utf8.h"
#include "score/scorer.h"
#include "signals/scores.h"
#include "store/run.h"

/* The right answers as a JSON array; NULL for a sample with a label. */
static hb_status write_answers(const hb_pending_sample *sample, char **text, hb_error *err)
{
    *text = NULL;
    if (!sample->answers) return HB_OK;
    json_t *array = json_array();
    for (size_t i = 0; i < sample->n_answers; i++)
        json_array_append_new(array, json_string(sample->answers[i]));
    if (json_array_size(array) == sample->n_answers) *text = json_dumps(array, JSON_COMPACT);
    json_decref(array);
    return *text ? HB_OK : hb_fail_memory(err);
}

/* Adds the row, completed by what is known of its sample from the beginning. */
static hb_status add(hb_scorer *s, const hb_pending_sample *sample, hb_run_sample *row)
{
    char *answers;
    hb_status status = write_answers(sample, &answers, s->err);
    if (status) return status;
    row->index = sample->index;
    row->id = sample->id;
    row->label = sample->label;
    row->answers = answers;
    row->n_prompt = sample->n;
    status = hb_run_add(s->run, row, s->err);
    free(answers);
    return status;
}

static void progress(hb_scorer *s)
{
    s->done++;
    if (s->options->on_progress) s->options->on_progress(s->options->user, &s->counts, s->done);
}

hb_status hb_record_reason(hb_scorer *s, const hb_pending_sample *sample, hb_sample_status status,
                           const char *reason)
{
    hb_run_sample row = {.status = status, .reason = reason};
    hb_status added = add(s, sample, &row);
    if (added) return added;
    ++*(status == HB_SAMPLE_SKIPPED ? &s->counts.skipped : &s->counts.failed);
    progress(s);
    return HB_OK;
}

hb_status hb_record_scores(hb_scorer *s, const hb_slot *q, hb_finish finish)
{
    hb_buffer_clear(&s->text);
    bool ok = hb_buffer_add(&s->text, "", 0);
    hb_utf8_clean(&s->text, q->raw.data, q->raw.length, true, &ok);
    if (!ok) return hb_fail_memory(s->err);
    hb_run_sample row = {.status = HB_SAMPLE_SCORED,
                         .text = s->text.data,
                         .finish = finish,
                         .n_tokens = q->step,
                         .prompt_seconds = q->prompt_seconds,
                         .decode_seconds = q->decode_seconds};
    hb_scores *scores = NULL;
    hb_status status = hb_watch_get_scores(q->watch, &scores, s->err);
    row.scores = scores;
    if (!status && q->sample.answers)
        status = hb_grade_answer(row.text, (const char *const *)q->sample.answers, q->sample.n_answers,
                                 &row.grade, s->err);
    if (!status) status = add(s, &q->sample, &row);
    hb_scores_free(scores);
    if (status) return status;
    s->counts.scored++;
    progress(s);
    return HB_OK;
}
