/* Few-shot examples: rows that are drawn once and shown before every prompt. */
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/rng.h"
#include "base/text.h"
#include "data/dataset.h"

/* Rows drawn for each wanted example. More than one, because rows may have the same prompt. */
#define SPARE 4

/* The same where only the faithful ones of the given responses can be shown. */
#define SPARE_OF_LABELLED 64

/* Makes the draw of examples independent of the draw of samples. */
#define OTHER_SEED 0x73686F7473u

/* The answer that an example shows: the best right answer, the right judgement, or a faithful response.
 * NULL if there is none. */
static const char *answer_of(const hb_mapping *mapping, const hb_sample *sample)
{
    if (sample->n_answers) return sample->answers[0];
    if (mapping->judges) return sample->label ? "No" : "Yes";
    return sample->response && sample->label == 0 ? sample->response : NULL;
}

static bool has_prompt(const hb_shots *shots, const char *prompt)
{
    for (size_t i = 0; i < shots->n; i++)
        if (strcmp(shots->list[i].prompt, prompt) == 0) return true;
    return false;
}

static bool add_shot(hb_shots *shots, const char *prompt, const char *answer)
{
    hb_shot shot = {strdup(prompt), strdup(answer)};
    if (!shot.prompt || !shot.answer) {
        free(shot.prompt);
        free(shot.answer);
        return false;
    }
    shots->list[shots->n++] = shot;
    return true;
}

/* Whether the answer that an example shows is a response with a label. */
static bool shows_faithful(const hb_mapping *m)
{
    return m->preset->label_by != HB_BY_GRADE && m->evaluates;
}

static hb_status fail_too_few(const hb_dataset *from, size_t n, size_t wanted, hb_error *err)
{
    const hb_mapping *m = &from->files[0].mapping;
    if (m->preset->label_by != HB_BY_GRADE && !m->evaluates && !m->judges)
        return hb_fail(err, HB_ERR_DATA,
                       "%s: rows of format %s have labels but no answers, so they cannot be examples; "
                       "draw the examples from other data",
                       from->info.path, m->preset->name);
    return hb_fail(err, HB_ERR_DATA,
                   "%s: has only %zu rows with different prompts and %s, too few for %zu examples",
                   from->info.path, n,
                   shows_faithful(m) ? "a response that is not hallucinated" : "an answer", wanted);
}

/* Collects the drawn examples. If rows make two samples, rows give their first and second one by turns.
 */
static hb_status gather(hb_dataset *from, size_t room, hb_shots *shots, hb_error *err)
{
    hb_sample sample;
    bool found = true;
    hb_status status = HB_OK;
    for (size_t i = 0; status == HB_OK && shots->n < room; i++) {
        status = hb_dataset_next(from, &sample, &found, err);
        if (status != HB_OK || !found) break;
        const char *answer = answer_of(&hb_pass_file(from)->mapping, &sample);
        bool turn = from->per_row == 1 || i / 2 % 2 == i % 2;
        if (answer && turn && !has_prompt(shots, sample.prompt) &&
            !add_shot(shots, sample.prompt, answer))
            status = hb_fail_memory(err);
    }
    return status;
}

/* Shuffles the examples and keeps n of them. */
static void shuffle(hb_shots *shots, uint64_t seed, size_t n)
{
    hb_rng rng = {seed};
    hb_rng_shuffle(&rng, shots->list, shots->n, sizeof *shots->list);
    while (shots->n > n) {
        free(shots->list[--shots->n].prompt);
        free(shots->list[shots->n].answer);
    }
}

/* Draws from an open dataset that is at its beginning. */
static hb_status draw(hb_dataset *from, const hb_dataset_options *options, hb_shots *shots,
                      hb_error *err)
{
    size_t wanted = options->shots + 1;
    size_t room = wanted * (shows_faithful(&from->files[0].mapping) ? SPARE_OF_LABELLED : SPARE);
    uint64_t seed = options->seed ^ OTHER_SEED;
    const hb_dataset_options o = {.seed = seed, .n_samples = room * (uint64_t)from->per_row};
    hb_dataset_plan(from, &o);
    shots->shown = options->shots;
    shots->list = calloc(room, sizeof *shots->list);
    if (!shots->list) return hb_fail_memory(err);
    hb_status status = gather(from, room, shots, err);
    if (status != HB_OK) return status;
    shuffle(shots, seed, wanted);
    /* A sample never shows itself, so examples from the same data need one more. */
    if (shots->n >= (options->shots_path ? options->shots : wanted)) return HB_OK;
    return fail_too_few(from, shots->n, options->shots, err);
}

hb_status hb_shots_draw(hb_dataset *dataset, const hb_dataset_options *options, hb_shots *shots,
                        hb_error *err)
{
    hb_dataset_options o = *options;
    o.shots = 0;
    o.shots_path = NULL;
    o.shard = o.shards = 0; /* all shards show the same examples */
    o.strict = false;
    o.on_broken = NULL;
    o.on_warning = NULL;
    if (options->shots_path) {
        hb_dataset *other;
        hb_status status = hb_dataset_open(options->shots_path, &o, &other, err);
        if (status != HB_OK) return status;
        status = draw(other, options, shots, err);
        hb_dataset_close(other);
        return status;
    }
    hb_dataset same = {.info = dataset->info,
                       .files = dataset->files,
                       .n_files = dataset->n_files,
                       .borrowed = true,
                       .per_row = dataset->per_row};
    same.info.shard = same.info.shards = 0;
    hb_status status = draw(&same, options, shots, err);
    hb_dataset_release(&same);
    return status;
}

bool hb_shots_add(const hb_shots *shots, const char *prompt, hb_buffer *out)
{
    bool ok = true;
    size_t shown = 0;
    for (size_t i = 0; i < shots->n && shown < shots->shown && ok; i++) {
        const hb_shot *s = &shots->list[i];
        size_t length = strlen(s->prompt);
        if (strcmp(s->prompt, prompt) == 0) continue;
        bool blank = length && hb_is_space(s->prompt[length - 1]);
        ok = hb_buffer_add(out, s->prompt, length) && hb_buffer_add_text(out, blank ? "" : " ") &&
             hb_buffer_add_text(out, s->answer) && hb_buffer_add_text(out, "\n\n");
        shown++;
    }
    return ok;
}

void hb_shots_free(hb_shots *shots)
{
    for (size_t i = 0; i < shots->n; i++) {
        free(shots->list[i].prompt);
        free(shots->list[i].answer);
    }
    free(shots->list);
    *shots = (hb_shots){0};
}
