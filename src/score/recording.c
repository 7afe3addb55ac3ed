/* Puts together what is kept of finished samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "score/scorer.h"
#include "signals/running.h"

void hb_scoring_free(hb_scoring *sample)
{
    for (size_t i = 0; i < sample->n_answers; i++) free(sample->answers[i]);
    free(sample->answers);
    free(sample->id);
    free(sample->prompt);
    free(sample->context);
    free(sample->group);
    free(sample->response);
    free(sample->spans);
    free(sample->characters);
    hb_buffer_free(&sample->values);
    hb_buffer_free(&sample->ends);
    hb_buffer_free(&sample->raw);
    for (int32_t k = 0; k < sample->n_drawn; k++) {
        hb_buffer_free(&sample->drawn[k].raw);
        free(sample->drawn[k].state);
    }
    for (int32_t k = 0; sample->sampled && k <= sample->n_drawn; k++)
        free((char *)(uintptr_t)sample->sampled[k].text);
    free(sample->sampled);
    free(sample->question);
    free(sample->asked.entailment);
    free(sample->drawn);
    hb_scores_free(sample->outcome.scores);
    hb_features_free(sample->features);
    free(sample);
}

/* Writes the right answers as a JSON array. *text is NULL for a sample with a label. */
static hb_status write_answers(const hb_scoring *sample, char **text, hb_error *err)
{
    hb_json json = {0};
    *text = NULL;
    if (!sample->answers) return HB_OK;
    hb_json_list(&json, NULL);
    for (size_t i = 0; i < sample->n_answers; i++) hb_json_text(&json, NULL, sample->answers[i]);
    hb_json_end(&json);
    return hb_json_finish(&json, text, err);
}

/* Completes the row with the data of its sample, and hands everything on. */
static hb_status keep(hb_scorer *s, const hb_scoring *sample, hb_finished *finished, hb_error *err)
{
    hb_run_sample *row = &finished->sample;
    char *answers;
    hb_status status = write_answers(sample, &answers, err);
    if (status) return status;
    row->index = sample->index;
    row->id = sample->id;
    row->label = sample->label;
    row->answers = answers;
    row->prompt = sample->prompt;
    row->group = sample->group;
    row->prompt_sha256 = sample->prompt_sha256;
    row->n_prompt = (int32_t)sample->n_prompt;
    hb_scorer_report_work(s, 1);
    status = s->exchange->keep(s->exchange->user, finished, err);
    s->n_kept += !status;
    free(answers);
    return status;
}

hb_status hb_record_reason(hb_scorer *s, const hb_scoring *sample, hb_sample_status status,
                           const char *reason, hb_error *err)
{
    hb_finished finished = {.sample = {.status = status, .reason = reason}};
    return keep(s, sample, &finished, err);
}

/* The sample's text: the given response, or the generated text as valid UTF-8. NULL when memory runs
 * out. */
static const char *text_of(hb_scorer *s, const hb_scoring *sample)
{
    if (sample->response) return sample->response;
    hb_buffer_clear(&s->text);
    bool ok = hb_buffer_add(&s->text, "", 0);
    hb_utf8_clean(&s->text, sample->raw.data, sample->raw.length, true, &ok);
    return ok ? s->text.data : NULL;
}

hb_answer hb_find_answer(const hb_scorer *s, const hb_scoring *sample, const char *text)
{
    int32_t lines = sample->answers && !sample->response ? s->settings->answer_lines : HB_ALL_LINES;
    return hb_answer_find(text, strlen(text), lines);
}

/* The overlap of the answer with its context. The answer is the graded part of the text or, for a
 * sample with a label, all of the text after reasoning. */
static hb_status find_overlap(const hb_scorer *s, const hb_scoring *sample, const char *text,
                              double *overlap, hb_error *err)
{
    const hb_answer a = hb_find_answer(s, sample, text);
    return hb_word_overlap(text + a.start, a.end - a.start, sample->context, overlap, err);
}

/* Whether the run keeps the sample's steps. */
static bool keeps_steps(const hb_scoring *sample)
{
    return sample->spans || !sample->scorer->settings->no_steps;
}

/* Finds the characters of each generated token in the text, where each malformed byte is one. A step
 * without a token has none; a character that several tokens share belongs to each. */
static hb_status place_tokens(hb_scoring *sample, hb_error *err)
{
    const char *raw = sample->raw.data;
    const size_t *ends = (const size_t *)(const void *)sample->ends.data;
    size_t n = sample->outcome.n_steps, n_tokens = sample->ends.length / sizeof *ends;
    size_t at = 0, begin = 0;
    uint64_t place = 0; /* of `at`, in characters */
    free(sample->characters);
    sample->tokens.characters = sample->characters = calloc(n + 1, sizeof *sample->characters);
    if (!sample->characters) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        size_t end = i < n_tokens ? ends[i] : begin;
        uint64_t first = place - (at > begin && begin < end);
        while (at < end) {
            int size = hb_utf8_character(raw + at, sample->raw.length - at);
            at += size > 0 ? (size_t)size : 1;
            place++;
        }
        sample->characters[i] = (hb_response_span){first, place};
        begin = end;
    }
    return HB_OK;
}

static hb_run_tokens tokens_of(const hb_scoring *sample)
{
    hb_run_tokens tokens = sample->tokens;
    tokens.index = sample->index;
    tokens.n = sample->outcome.n_steps;
    tokens.values = (const float *)(const void *)sample->values.data;
    return tokens;
}

static hb_run_features features_of(const hb_scoring *sample)
{
    hb_run_features row = {.index = sample->index};
    for (int f = 0; f < HB_N_FEATURES && sample->features; f++) {
        row.n[f] = sample->features->n[f];
        row.values[f] = sample->features->values[f];
    }
    return row;
}

/* The row of a sample with scores. */
static hb_status make_row(hb_scorer *s, hb_scoring *sample, hb_run_sample *row, hb_error *err)
{
    const hb_outcome *o = &sample->outcome;
    const char *text = text_of(s, sample);
    if (!text) return hb_fail_memory(err);
    *row = (hb_run_sample){.status = HB_SAMPLE_SCORED,
                           .text = text,
                           .finish = o->finish,
                           .overlap = NAN,
                           .n_tokens = o->n_tokens,
                           .prompt_seconds = o->prompt_seconds,
                           .decode_seconds = o->decode_seconds};
    int32_t lines = s->settings->answer_lines;
    const hb_grading how = {.answer_lines = !lines && sample->response ? HB_ALL_LINES : lines,
                            .abstains = s->options->abstains};
    hb_status status = HB_OK;
    if (sample->answers)
        status = hb_grade_answer(row->text, (const char *const *)sample->answers, sample->n_answers,
                                 &how, &row->grade, err);
    if (!status && sample->context) status = find_overlap(s, sample, text, &row->overlap, err);
    if (!status) status = hb_measure_drawn(s, sample, err);
    row->scores = o->scores;
    return status;
}

static hb_status record_scores(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    hb_finished finished = {.n_generations = (size_t)sample->n_drawn};
    hb_run_generation *generations = NULL;
    hb_status status = make_row(s, sample, &finished.sample, err);
    if (!status && keeps_steps(sample) && !sample->response) status = place_tokens(sample, err);
    if (!status) generations = hb_list_generations(sample);
    if (!status && !generations) status = hb_fail_memory(err);
    const hb_run_tokens tokens = tokens_of(sample);
    const hb_run_features features = features_of(sample);
    if (keeps_steps(sample)) finished.tokens = &tokens;
    if (sample->features) finished.features = &features;
    finished.generations = generations;
    if (!status) status = keep(s, sample, &finished, err);
    free(generations);
    return status;
}

/* Records how a sample ended. A cancelled sample is not recorded, so that the run can be continued. Any
 * error but a numeric one, and a question that is too long, ends the call without recording the sample,
 * too. */
static hb_status record_end(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    if (sample->failed == HB_ERR_NUMERIC || (sample->is_asked && sample->failed == HB_ERR_CONTEXT))
        return hb_record_reason(s, sample, HB_SAMPLE_FAILED, sample->why.message, err);
    if (sample->failed) return hb_fail(err, sample->failed, "%s", sample->why.message);
    return sample->cancelled ? HB_OK : record_scores(s, sample, err);
}

/* Goes on when the answer and its samples are known: collects them, and asks about them. */
static void go_on(hb_scorer *s, hb_scoring *sample)
{
    const char *text = text_of(s, sample);
    hb_status status = text ? HB_OK : hb_fail_memory(&sample->why);
    sample->is_asked = true;
    if (!status) status = hb_collect_answers(s, sample, text, &sample->why);
    if (!status) status = hb_ask(s, sample, &sample->why);
    sample->failed = status;
}

void hb_end_part(hb_scoring *sample, hb_outcome *outcome)
{
    hb_scorer *s = sample->scorer;
    if (outcome->error && !sample->failed) {
        sample->failed = outcome->error->status;
        sample->why = *outcome->error;
    }
    if (!outcome->error && outcome->finish == HB_FINISH_CANCELLED) sample->cancelled = true;
    if (--sample->n_open > 0) return;
    bool whole = !sample->failed && !sample->cancelled && !s->failed;
    if (whole && !sample->is_asked && (sample->n_drawn || s->asks)) go_on(s, sample);
    if (sample->n_open > 0) return;
    if (!s->failed) s->failed = record_end(s, sample, &s->why);
    hb_scoring_free(sample);
}

/* Keeps a step's values of the run's signals, which come first. */
static hb_status keep_step(hb_scoring *sample, const hb_step *step, hb_error *err)
{
    const hb_signal_set *kept = sample->scorer->settings->signals;
    size_t n = hb_signal_set_count(kept);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        const float value = hb_running_round(hb_step_value(step, hb_signal_set_at(kept, i)));
        ok = hb_buffer_add(&sample->values, &value, sizeof value);
    }
    return ok ? HB_OK : hb_fail_memory(err);
}

/* Keeps a token's bytes and where they end. */
static hb_status keep_token(hb_scoring *sample, const hb_event *event, hb_error *err)
{
    bool ok = hb_buffer_add(&sample->raw, event->bytes, event->length) &&
              hb_buffer_add(&sample->ends, &sample->raw.length, sizeof sample->raw.length);
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_record_event(void *user, const hb_event *event, hb_error *err)
{
    hb_scoring *sample = user;
    if (event->kind == HB_EVENT_STEP)
        return keeps_steps(sample) ? keep_step(sample, event->step, err) : HB_OK;
    if (event->kind == HB_EVENT_TOKEN) return keep_token(sample, event, err);
    sample->outcome = *event->outcome;
    event->outcome->scores = NULL; /* kept */
    /* The decoder frees its features before the sample's other parts end. */
    if (sample->outcome.features && !sample->failed)
        sample->failed = hb_features_copy(sample->outcome.features, &sample->features, &sample->why);
    hb_end_part(sample, event->outcome);
    return HB_OK;
}
