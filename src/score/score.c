/* Pass 1: each sample of the dataset becomes a request and is generated, or its given response
 * evaluated, exactly once. Only scalars and the short text are kept. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "monitor/able.h"
#include "score/ledger.h"
#include "score/scorer.h"
#include "score/team.h"
#include "store/run.h"

/* Maximum number of waiting requests. With more of them, more prompts have common prefixes, and batches
 * stay full when most samples decode. */
#define MAX_WAITING 128

/* Samples that are recorded while the dataset is read are committed in groups of this size. */
#define COMMIT_EVERY 64

static bool is_cancelled(const hb_scorer *s)
{
    return s->options->cancelled && s->options->cancelled(s->options->user);
}

/* ---- From samples to requests -------------------------------------------------------------------- */

static bool copy_spans(hb_scoring *c, const hb_sample *sample)
{
    c->spans = calloc(sample->n_spans + 1, sizeof *c->spans);
    if (!c->spans) return false;
    memcpy(c->spans, sample->spans, sample->n_spans * sizeof *c->spans);
    c->tokens.spans = c->spans;
    c->tokens.n_spans = sample->n_spans;
    return true;
}

/* Copies the parts of a sample that the run keeps. NULL when memory runs out. */
static hb_scoring *copy_sample(hb_scorer *s, const hb_sample *sample)
{
    hb_scoring *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    *c = (hb_scoring){
        .scorer = s, .index = sample->index, .label = sample->label, .id = strdup(sample->id)};
    bool ok = c->id;
    memcpy(c->prompt_sha256, sample->prompt_sha256, sizeof c->prompt_sha256);
    if (s->asks) ok = (c->question = strdup(sample->prompt)) && ok;
    if (!s->settings->no_prompts) ok = (c->prompt = strdup(sample->prompt)) && ok;
    if (sample->response) ok = (c->response = strdup(sample->response)) && ok;
    if (sample->context) ok = (c->context = strdup(sample->context)) && ok;
    if (sample->group) ok = (c->group = strdup(sample->group)) && ok;
    if (sample->response && sample->spans) ok = copy_spans(c, sample) && ok;
    if (sample->answers) {
        c->answers = calloc(sample->n_answers + 1, sizeof *c->answers);
        ok = ok && c->answers;
    }
    for (; ok && c->n_answers < sample->n_answers; c->n_answers += ok)
        ok = (c->answers[c->n_answers] = strdup(sample->answers[c->n_answers])) != NULL;
    if (ok) return c;
    hb_scoring_free(c);
    return NULL;
}

/* Adds the request for the sample's answer. */
static hb_status add_answer(hb_scorer *s, hb_scoring *sample, const hb_given *given, hb_error *err)
{
    const hb_generate_options o = hb_generate_defaults();
    const int32_t lines = s->settings->answer_lines ? s->settings->answer_lines : 1;
    bool ends = sample->answers && !sample->response; /* at the end of the answer */
    const char *block = ends ? hb_prompt_opened_block(s->model, given->tokens, given->n_prompt) : NULL;
    uint64_t number;
    if (block && !hb_buffer_add_text(&sample->raw, block)) return hb_fail_memory(err);
    hb_request r = {.prompt = given->tokens,
                    .n_prompt = given->n_prompt,
                    .monitor = o.monitor,
                    .features = *s->settings->features ? &s->features : NULL,
                    .sampling = o.sampling,
                    .n_samples = 1,
                    .max_tokens = s->settings->max_tokens,
                    .answer_lines = ends ? lines : 0,
                    .sink = hb_record_event,
                    .user = sample};
    r.monitor.watched = NULL; /* nothing halts */
    r.monitor.alpha = s->settings->alpha;
    r.monitor.signals = s->measured;
    if (sample->response) {
        r.given = given->tokens + given->n_prompt;
        r.n_given = given->n_answer;
        r.max_tokens = (int32_t)given->n_answer;
    }
    return hb_scheduler_add(s->scheduler, &r, &number, err);
}

/* Adds the sample's requests. *added becomes whether one was added, which then owns the sample. */
static hb_status add_requests(hb_scorer *s, hb_scoring *sample, const hb_given *given, bool *added,
                              hb_error *err)
{
    sample->n_open = 1;
    hb_status status = add_answer(s, sample, given, err);
    *added = !status;
    if (status || !s->settings->samples) return status;
    return hb_draw(s, sample, given->tokens, given->n_prompt, err);
}

/* The most positions that the sample needs after the prompt. */
static size_t positions_after(const hb_scorer *s, const hb_scoring *sample, const hb_given *given)
{
    const hb_run_settings *r = s->settings;
    size_t n = sample->response ? given->n_answer : (size_t)r->max_tokens;
    if (r->samples && (size_t)r->sample_max_tokens > n) n = (size_t)r->sample_max_tokens;
    return n - 1;
}

static hb_status tokenize(hb_scorer *s, const hb_sample *sample, hb_given *given, hb_error *err)
{
    const hb_run_settings *r = s->settings;
    size_t n_control;
    bool prepared = r->chat && strcmp(r->chat, HB_CHAT_PREPARED) == 0;
    s->literal +=
        !prepared && hb_find_control(s->model, sample->prompt, strlen(sample->prompt), &n_control);
    return hb_sample_tokenize(s->model, s->chat, r->system, sample, given, err);
}

/* Adds a sample's request, or records why it cannot be scored; *added becomes whether the request was
 * added. A sample without room for all of its response or for max_tokens is skipped, because it would
 * not be comparable with the others. */
static hb_status begin_sample(hb_scorer *s, hb_scoring *sample, const hb_sample *source, bool *added,
                              hb_error *err)
{
    hb_given given = {0};
    hb_error why;
    *added = false;
    hb_status status = tokenize(s, source, &given, &why);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    if (status) return hb_record_reason(s, sample, HB_SAMPLE_FAILED, why.message, err);
    size_t n = given.n_prompt, room = (size_t)s->settings->n_ctx;
    size_t after = positions_after(s, sample, &given);
    sample->n_prompt = n;
    if (n == 0) {
        status = hb_record_reason(s, sample, HB_SAMPLE_FAILED, "the prompt is empty", err);
    } else if (n + after > room) {
        hb_fail(&why, HB_ERR_CONTEXT,
                "the prompt's %zu tokens and %zu more do not fit the context of %zu", n, after + 1,
                room);
        status = hb_record_reason(s, sample, HB_SAMPLE_SKIPPED, why.message, err);
    } else if (n + after > (size_t)hb_scheduler_positions(s->scheduler)) {
        status =
            hb_record_reason(s, sample, HB_SAMPLE_SKIPPED, "the prompt does not fit the KV cache", err);
    } else {
        sample->tokens.characters = sample->characters = given.characters;
        given.characters = NULL;
        status = add_requests(s, sample, &given, added, err);
    }
    hb_given_free(&given);
    return status;
}

static hb_status take_in(hb_scorer *s, const hb_sample *sample, hb_error *err)
{
    bool added;
    if (sample->label == HB_LABEL_NONE)
        return hb_fail(err, HB_ERR_ARGUMENT, "sample %s has no label", sample->id);
    hb_scoring *copy = copy_sample(s, sample);
    if (!copy) return hb_fail_memory(err);
    hb_status status = begin_sample(s, copy, sample, &added, err);
    if (!added) hb_scoring_free(copy);
    return status;
}

/* ---- The loop ------------------------------------------------------------------------------------ */

/* Whether a sample is unfinished, or a question about one. */
static bool is_busy(const hb_scorer *s)
{
    return hb_scheduler_is_busy(s->scheduler) ||
           (s->judge.scheduler && hb_scheduler_is_busy(s->judge.scheduler));
}

/* Whether enough requests wait for their turn. */
static bool is_supplied(const hb_scorer *s)
{
    return hb_scheduler_n_waiting(s->scheduler) > MAX_WAITING / 2 ||
           (s->judge.scheduler && hb_scheduler_n_waiting(s->judge.scheduler) > MAX_WAITING / 2);
}

/* Reads more samples when half of the waiting requests have begun, so that batches stay full. Many
 * samples may be skipped before one becomes a request. Meanwhile cancelling works, and recorded samples
 * are committed. */
static hb_status refill(hb_scorer *s, hb_error *err)
{
    const hb_exchange *e = s->exchange;
    hb_supply supply = HB_SUPPLY_SAMPLE;
    hb_status status = HB_OK;
    if (is_supplied(s)) return HB_OK;
    while (!status && !s->exhausted && hb_scheduler_n_waiting(s->scheduler) < MAX_WAITING) {
        hb_sample sample;
        uint64_t kept = s->n_kept;
        status = e->next(e->user, !is_busy(s), &sample, &supply, err);
        if (status || supply == HB_SUPPLY_LATER) return status;
        s->exhausted = supply == HB_SUPPLY_END;
        if (!s->exhausted) status = take_in(s, &sample, err);
        if (!status && s->n_kept > kept && s->n_kept % COMMIT_EVERY == 0)
            status = e->settle(e->user, err);
    }
    return status;
}

static hb_status score_all(hb_scorer *s, hb_error *err)
{
    const hb_exchange *e = s->exchange;
    hb_status status = HB_OK;
    while (!status && (!s->exhausted || is_busy(s))) {
        status = refill(s, err);
        if (!status && is_cancelled(s)) status = hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        if (!status) status = hb_scheduler_step(s->scheduler, err);
        if (!status && s->judge.scheduler) status = hb_scheduler_step(s->judge.scheduler, err);
        if (!status && s->failed) status = hb_fail(err, s->failed, "%s", s->why.message);
        if (!status) status = e->settle(e->user, err);
    }
    return status;
}

hb_score_options hb_score_defaults(void)
{
    return (hb_score_options){0};
}

/* Sets s->chat to the chat given or, without one, opens the format that the run names as *own. */
static hb_status find_chat(hb_scorer *s, hb_chat **own, hb_error *err)
{
    hb_chat_options o = hb_chat_defaults();
    o.format = s->settings->chat;
    s->chat = s->options->chat;
    if (s->chat || !o.format || !*o.format) return HB_OK;
    hb_status status = hb_chat_open(s->model, &o, own, err);
    if (!status) s->chat = *own;
    return status;
}

/* Lists the signals to measure: those of the run, P(Yes) if the run keeps it, and what measures over
 * samples need. */
static hb_status list_signals(hb_scorer *s, hb_error *err)
{
    hb_status status = hb_signal_set_copy(s->settings->signals, &s->measured, err);
    if (!status && s->has_p_yes) status = hb_p_yes_open(s->model, &s->p_yes, err);
    if (!status && s->has_p_yes) status = hb_signal_set_add(s->measured, &s->p_yes.signal, err);
    if (!status) status = hb_check_signals(s->model, s->measured, err);
    if (status || !s->settings->samples) return status;
    const hb_signal *log_prob = hb_signal_find(HB_LOG_PROB);
    status = hb_signal_set_add(s->measured, log_prob, err);
    if (!status) status = hb_signal_set_new(&s->of_samples, err);
    return status ? status : hb_signal_set_add(s->of_samples, log_prob, err);
}

/* Checks the questions, and prepares the models that they are put to. */
static hb_status open_asked(hb_scorer *s, hb_error *err)
{
    const hb_score_options *o = s->options;
    hb_status status = hb_asks_parse(s->settings->asks, &s->asks, err);
    if (status || !s->asks) return status;
    if ((s->asks & HB_ASKS_OF_SAMPLES) && s->settings->samples < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "the run's questions need samples");
    if (!o->questions || strcmp(hb_questions_sha256(o->questions), s->settings->questions_sha256) != 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "the questions differ from those of the run's settings");
    if (!o->judge != !(s->settings->judge_sha256 && *s->settings->judge_sha256))
        return hb_fail(err, HB_ERR_ARGUMENT, "the run's settings name another judge");
    s->self = (hb_asked_model){.model = s->model, .chat = s->chat, .scheduler = s->scheduler};
    status = hb_asked_model_open(&s->self, err);
    if (status || !o->judge) return status;
    s->judge = (hb_asked_model){.model = hb_session_model(o->judge), .chat = o->judge_chat};
    status = hb_scheduler_open(o->judge, &s->judge.scheduler, err);
    return status ? status : hb_asked_model_open(&s->judge, err);
}

/* The time for the samples that the run lacks: a finished sample took so many tokens, and the
 * unfinished ones have some of theirs already. NaN in a team, whose leader knows the run. */
static double seconds_left(const hb_scorer *s, const hb_scheduler_work *work, double seconds,
                           uint64_t pending)
{
    const hb_ledger *l = s->exchange->ledger;
    if (!l || l->done + pending < 2 || !work->evaluated) return NAN;
    const hb_run_counts *c = &l->counts;
    uint64_t left = c->total - (c->scored + c->skipped + c->failed) - pending;
    double each = (double)(work->evaluated - work->unfinished) / (double)(l->done + pending);
    double tokens = fmax(each * (double)left - (double)work->unfinished, 0);
    return tokens / (double)work->evaluated * seconds;
}

void hb_scorer_report_work(const hb_scorer *s, uint64_t pending)
{
    hb_scheduler_work w = hb_scheduler_get_work(s->scheduler), judge = {0};
    if (s->judge.scheduler) judge = hb_scheduler_get_work(s->judge.scheduler);
    const double *prompts = w.prompt_seconds, *tokens = w.decode_seconds;
    double seconds = hb_seconds() - s->started;
    *s->work =
        (hb_score_work){.tokens_evaluated = w.evaluated + judge.evaluated,
                        .tokens_shared = w.shared + judge.shared,
                        .literal = s->literal,
                        .unstated = s->unstated,
                        .seconds = seconds,
                        .prompt_seconds = prompts[HB_PURPOSE_ANSWER] + prompts[HB_PURPOSE_SAMPLES],
                        .answer_seconds = tokens[HB_PURPOSE_ANSWER],
                        .sample_seconds = tokens[HB_PURPOSE_SAMPLES],
                        .question_seconds = prompts[HB_PURPOSE_QUESTION] + tokens[HB_PURPOSE_QUESTION] +
                                            judge.prompt_seconds[HB_PURPOSE_QUESTION] +
                                            judge.decode_seconds[HB_PURPOSE_QUESTION],
                        .seconds_left = seconds_left(s, &w, seconds, pending)};
}

/* Scores all samples, with the scheduler open. */
static hb_status open_and_score(hb_scorer *s, hb_error *err)
{
    hb_status status = open_asked(s, err);
    if (!status) status = score_all(s, err);
    hb_scorer_report_work(s, 0);
    hb_scheduler_close(s->judge.scheduler);
    hb_scheduler_close(s->scheduler);
    hb_asked_model_close(&s->judge);
    hb_asked_model_close(&s->self);
    return status;
}

hb_status hb_score_exchange(hb_session *session, const hb_exchange *exchange,
                            const hb_run_settings *settings, bool has_p_yes,
                            const hb_score_options *options, hb_score_work *work, hb_error *err)
{
    hb_scorer s = {.model = hb_session_model(session),
                   .exchange = exchange,
                   .settings = settings,
                   .options = options,
                   .has_p_yes = has_p_yes,
                   .work = work,
                   .started = hb_seconds()};
    hb_chat *own = NULL;
    *work = (hb_score_work){0};
    hb_status status = find_chat(&s, &own, err);
    if (!status) status = list_signals(&s, err);
    if (!status)
        status = hb_feature_plan_open(settings->features, hb_model_get_info(s.model), &s.features, err);
    if (!status) status = hb_check_features(s.model, &s.features, err);
    if (s.features.hidden)
        s.of_states = (hb_feature_plan){.hidden = true, .blocks = &s.middle, .n_blocks = 1};
    s.middle = (hb_model_get_info(s.model)->n_layers + 1) / 2 - 1;
    if (!status) status = hb_scheduler_open(session, &s.scheduler, err);
    if (!status) status = open_and_score(&s, err);
    hb_chat_close(own);
    hb_signal_set_free(s.measured);
    hb_signal_set_free(s.of_samples);
    hb_feature_plan_free(&s.features);
    hb_buffer_free(&s.text);
    return status;
}

/* ---- Alone --------------------------------------------------------------------------------------- */

/* Whether the session's cache has the type of the settings. */
static bool has_kv_type(const hb_session *session, const hb_run_settings *settings)
{
    hb_kv_type type = settings->exact ? HB_KV_F32 : HB_KV_F16;
    if (!settings->kv_type || !*settings->kv_type) return hb_session_kv_type(session) == type;
    return hb_kv_type_find(settings->kv_type, &type) && hb_session_kv_type(session) == type;
}

static bool same_engine(const hb_session *session, const hb_run_settings *settings)
{
    bool set = settings->engine && *settings->engine;
    const char *given = set ? settings->engine : hb_engine_name(HB_ENGINE_NATIVE);
    return strcmp(hb_model_engine(hb_session_model(session)), given) == 0;
}

static hb_status check_session(hb_session *session, const hb_dataset *dataset,
                               const hb_run_settings *settings, hb_error *err)
{
    const hb_dataset_info *info = hb_dataset_get_info(dataset);
    if (hb_session_n_ctx(session) == settings->n_ctx &&
        hb_session_is_exact(session) == (settings->exact != 0) && has_kv_type(session, settings) &&
        same_engine(session, settings) && info->n_selected == settings->n_samples &&
        info->shard == settings->shard && info->shards == settings->shards)
        return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT,
                   "the session's context, exactness, type of cache or engine, or the dataset's number "
                   "of samples or shard differs from the run's settings");
}

/* Finds the next sample that the run lacks. Interruptions are noticed between samples that it has. */
static hb_status next_of_ledger(void *user, bool wait, hb_sample *sample, hb_supply *supply,
                                hb_error *err)
{
    const hb_ledger *l = user;
    (void)wait;
    hb_status status = HB_OK;
    do {
        if (l->options->cancelled && l->options->cancelled(l->options->user))
            return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = hb_ledger_next(user, sample, supply, err);
    } while (!status && *supply == HB_SUPPLY_LATER);
    return status;
}

static hb_status keep_in_ledger(void *user, const hb_finished *finished, hb_error *err)
{
    return hb_ledger_keep(user, finished, err);
}

static hb_status commit_ledger(void *user, hb_error *err)
{
    return hb_run_commit(((hb_ledger *)user)->run, err);
}

static hb_status score_alone(hb_session *session, hb_ledger *ledger, hb_score_work *work, hb_error *err)
{
    const hb_exchange exchange = {ledger, next_of_ledger, keep_in_ledger, commit_ledger, ledger};
    hb_status status = hb_ledger_open(ledger, err);
    if (status) return status;
    status =
        hb_score_exchange(session, &exchange, hb_run_get_settings(ledger->run),
                          hb_run_has_score(ledger->run, HB_SCORE_P_YES), ledger->options, work, err);
    return hb_ledger_close(ledger, status, err);
}

hb_status hb_score(hb_session *session, hb_dataset *dataset, hb_run *run,
                   const hb_score_options *options, hb_error *err)
{
    const hb_score_options defaults = hb_score_defaults();
    hb_ledger ledger = {.dataset = dataset, .run = run, .options = options ? options : &defaults};
    hb_score_work own, *work = ledger.options->work ? ledger.options->work : &own;
    *work = (hb_score_work){0};
    hb_status status = check_session(session, dataset, hb_run_get_settings(run), err);
    if (!status && hb_team_size(ledger.options->team) > 1)
        status = hb_score_lead(ledger.options->team, session, &ledger, work, err);
    else if (!status) status = score_alone(session, &ledger, work, err);
    return status;
}
