/* Pass 1 as several commands run it: open everything, begin or continue a run, and fill it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/memory.h"
#include "cli/cli.h"
#include "store/run.h"

/* A cache with more positions makes evaluation no faster. Enough for the 512 tokens of a step, kept
 * over the 20 steps of their samples, and for as many again that shared prompts take. */
#define USEFUL_POSITIONS 24576

/* Bytes of cache that even a small model gets. */
#define LEAST_CACHE (UINT64_C(240) << 20)

static void add_data_options(cli_options *options, cli_pass1 *p)
{
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_data_add(options, &p->data);
    cli_add_text(
        options, "group", 0, "FIELD", &p->data.group,
        "field that is the same in rows that belong together; these are resampled together and "
        "share a fold")
        ->standard = "none; the two samples of a row belong together";
    cli_data_add_as(options, &p->data);
    cli_add_count(options, "n-samples", 'n', "N", &p->n_samples, 0, 1e15,
                  "draw N samples; 0 means all, and the demo data are used whole by default; a run of "
                  "fewer samples is extended")
        ->given = &p->n_samples_given;
    cli_add_count(options, "seed", 0, "N", &p->seed, 0, 9e18, "seed of the draw");
    cli_add_flag(options, "strict", 0, &p->strict, "stop at the first broken row of the data");
    cli_add_flag(options, "no-prompts", 0, &p->no_prompts,
                 "keep only the prompts' SHA-256 in the run, not their texts");
    cli_add_flag(options, "no-steps", 0, &p->no_steps,
                 "do not keep the signals' values at each token in the run, which halts need");
    cli_add_text(options, "run", 'r', "FILE", &p->run_path,
                 "file that keeps the samples; an interrupted run continues from it")
        ->standard = "DIR/NAME_run_HASH.db";
}

static void add_resource_options(cli_options *options, cli_pass1 *p)
{
    cli_add_session(options, &p->resources, &p->engine);
    cli_add_bytes(options, "kv-mem", 0, "BYTES", &p->kv_mem, 1, 1e15,
                  "memory for keys and values, such as 2G")
        ->standard = "the model's size, at least 240M, at most half of the free memory";
    cli_add_int(options, "sequences", 0, "N", &p->n_sequences, 1, 512,
                "evaluate up to N samples together");
}

void cli_pass1_add(cli_options *options, cli_pass1 *p)
{
    *p = (cli_pass1){.n_samples = 100,
                     .seed = 42,
                     .max_tokens = CLI_MAX_TOKENS,
                     .n_sequences = CLI_SEQUENCES,
                     .output_dir = CLI_PARAMS_DIR,
                     .demo_data = CLI_DEMO_DATA,
                     .engine = {.hash_ahead = true},
                     .signal_list = "all"};
    cli_begin_group(options, CLI_GROUP_MODEL);
    cli_add_text(options, "model", 'm', "FILE", &p->model_path, "the model, a GGUF file")->standard =
        "the demo model";
    cli_chat_add(options, &p->chat);
    add_data_options(options, p);
    cli_grading_add(options, &p->grading);
    cli_grading_explain(options, "exact, or as in the run that is continued",
                        "out, or as in the run that is continued");
    cli_grading_add_reading(options, &p->grading);
    cli_begin_group(options, CLI_GROUP_SCORES);
    cli_add_text(options, "signals", 0, "LIST", &p->signal_list,
                 "signals to measure, separated by commas");
    cli_add_text(options, "features", 0, "LIST", &p->feature_list, CLI_FEATURES_HELP);
    cli_begin_group(options, CLI_GROUP_GENERATION);
    cli_add_int(options, "max-tokens", 0, "N", &p->max_tokens, 1, 1 << 24,
                "generate at most N tokens for a sample; given responses are evaluated whole");
    cli_samples_add(options, &p->samples);
    cli_samples_add_asking(options, &p->samples);
    cli_begin_group(options, CLI_GROUP_RESOURCES);
    add_resource_options(options, p);
    cli_begin_group(options, CLI_GROUP_OUTPUT);
    cli_add_text(options, "output-dir", 'o', "DIR", &p->output_dir, "directory to write to");
    cli_add_text(options, "name", 0, "NAME", &p->name, "beginning of the names of files")->standard =
        "the model's name";
    cli_add_common(options, &p->quiet, &p->json);
}

/* The default name of a run is a hash of what decides its contents. So the same command continues its
 * own run, with more samples it extends the run, and any other command starts another. The names of a
 * run's shards differ only in their end. */
static hb_status name_run(cli_pass1 *p, const hb_run_settings *s, hb_error *err)
{
    char hex[65], *path;
    hb_status status = hb_run_identity(s, hex, err);
    if (status) return status;
    int length = s->shards ? asprintf(&path, "%s/%s_run_%.8s_%dof%d.db", p->output_dir, p->name, hex,
                                      s->shard, s->shards)
                           : asprintf(&path, "%s/%s_run_%.8s.db", p->output_dir, p->name, hex);
    if (length < 0) return hb_fail_memory(err);
    p->run_path = p->own_run_path = path;
    return HB_OK;
}

/* Sets how samples are drawn, and what is asked about them. */
static void set_samples(const cli_samples *samples, int32_t max_tokens, hb_run_settings *s)
{
    if (samples->n) {
        s->samples = samples->n;
        s->sample_temperature = samples->temperature;
        s->sample_top_p = samples->top_p;
        s->sample_max_tokens = samples->max_tokens ? samples->max_tokens : max_tokens;
    }
    if (samples->asks) {
        s->asks = samples->asks;
        s->judge_sha256 = samples->judge_sha256;
        s->questions_sha256 = hb_questions_sha256(samples->questions);
    }
}

/* The settings but for those of the data. */
static void set_model(const cli_pass1 *p, const char *sha256, hb_run_settings *s)
{
    const hb_model_info *m = hb_model_get_info(p->model);
    *s = (hb_run_settings){.model_path = m->path,
                           .model_name = m->name,
                           .model_architecture = m->architecture,
                           .model_sha256 = sha256,
                           .model_size = m->file_size,
                           .seed = p->seed,
                           .max_tokens = p->max_tokens,
                           .n_ctx = hb_session_n_ctx(p->session),
                           .alpha = hb_generate_defaults().monitor.alpha,
                           .signals = p->signals,
                           .chat = p->chat.format,
                           .system = p->chat.system,
                           .answer_lines = p->grading.grading.answer_lines,
                           .abstain_sha256 = p->grading.abstain_sha256,
                           .no_prompts = p->no_prompts,
                           .no_steps = p->no_steps,
                           .exact = p->resources.exact,
                           .kv_type = hb_kv_type_name(hb_session_kv_type(p->session)),
                           .engine = cli_engine_setting(p->model),
                           .features = p->features};
    set_samples(&p->samples, p->max_tokens, s);
}

static void set_data(const hb_dataset_info *d, hb_run_settings *s)
{
    s->data_path = d->path;
    s->data_format = d->recipe;
    s->data_sha256 = d->sha256;
    s->data_rows = d->n_rows;
    s->data_broken = d->n_broken;
    s->n_samples = d->n_selected;
    s->read_as = hb_read_as_name(d->read_as);
    s->shard = d->shard;
    s->shards = d->shards;
    s->n_drawn = d->shards ? d->n_drawn : 0;
}

/* Takes the grading of the run that is continued, where options say nothing. A run that cannot be
 * read is left to hb_run_create, which says why. */
static hb_status take_grading(cli_pass1 *p, hb_error *err)
{
    hb_run *run;
    if (p->grading.taken) return HB_OK;
    hb_status status = hb_run_open(p->run_path, &run, NULL);
    if (status) return status == HB_ERR_MEMORY ? hb_fail_memory(err) : HB_OK;
    cli_grading_continue(&p->grading, run);
    hb_run_close(run);
    return HB_OK;
}

static hb_status open_run(cli_pass1 *p, hb_error *err)
{
    char sha256[65];
    char grading[HB_GRADING_TEXT_BYTES];
    const hb_dataset_info *info = hb_dataset_get_info(p->dataset);
    hb_run_settings s;
    hb_status status = p->run_path ? HB_OK : hb_params_try(p->output_dir, p->name, err);
    if (!status) status = hb_model_sha256(p->model, sha256, err);
    if (!status && p->run_path) status = take_grading(p, err);
    if (status) return status;
    set_model(p, sha256, &s);
    set_data(info, &s);
    if (!p->run_path) {
        status = name_run(p, &s, err);
        if (!status) status = take_grading(p, err);
        if (status) return status;
    }
    hb_grading_text(&p->grading.grading, grading);
    if (info->is_graded) s.grading = grading;
    return hb_run_create(p->run_path, &s, &p->run, err);
}

/* Opens the model. Returns an exit code. */
static int open_model(cli_pass1 *p)
{
    hb_error err;
    if (cli_open_model(p->model_path, &p->engine, &p->model, &err)) return cli_fail(&err);
    cli_show_warnings(p->model);
    if (cli_chat_find(&p->chat, p->model, &err)) return cli_fail(&err);
    if (!p->name) p->name = p->own_name = cli_file_name(hb_model_get_info(p->model)->name);
    return p->name ? CLI_DONE : cli_fail_memory();
}

/* The usual limit of the cache in bytes. A cache as large as the model already holds so many sequences
 * that weights are read for all of them at little cost; a small model needs LEAST_CACHE for that. */
static uint64_t usual_cache(const hb_model *model)
{
    uint64_t half = hb_available_memory() / 2, useful = hb_model_get_info(model)->file_size;
    if (useful < LEAST_CACHE) useful = LEAST_CACHE;
    return half < useful ? half : useful;
}

hb_session_options cli_pass1_session(const hb_session_options *resources, const hb_model *model,
                                     int32_t n_sequences, uint64_t kv_mem)
{
    hb_session_options o = *resources;
    o.n_sequences = n_sequences;
    o.claim = true;
    o.cache_bytes = (int64_t)(kv_mem ? kv_mem : usual_cache(model));
    if (!kv_mem) o.n_positions = USEFUL_POSITIONS > o.n_ctx ? USEFUL_POSITIONS : o.n_ctx;
    return o;
}

void cli_pass1_need(cli_pass1 *p, const char *features)
{
    if (strcmp(features, "topk") == 0) p->needs_topk = true;
    else if (strcmp(features, "attention") == 0) p->needs_attention = true;
    else p->needs_hidden = features;
}

/* Adds a feature to a list that has none of its name. NULL: none is required. */
static bool need_feature(hb_buffer *list, const char *name, const char *feature)
{
    if (!feature || strstr(list->data, name)) return true;
    return hb_buffer_add_text(list, list->length ? "," : "") && hb_buffer_add_text(list, feature);
}

/* Completes the list of features with those that the command requires. */
static int find_features(const cli_command *command, cli_pass1 *p)
{
    hb_error err;
    hb_buffer list = {0};
    const char *given = p->feature_list ? p->feature_list : "";
    bool ok = hb_buffer_add_text(&list, given) && need_feature(&list, "hidden", p->needs_hidden) &&
              need_feature(&list, "topk", p->needs_topk ? "topk" : NULL) &&
              need_feature(&list, "attention", p->needs_attention ? "attention" : NULL) &&
              need_feature(&list, "states", p->needs_states);
    hb_status status =
        ok ? hb_features_parse(list.data, hb_model_get_info(p->model), &p->features, &err)
           : hb_fail_memory(&err);
    hb_buffer_free(&list);
    if (status == HB_ERR_ARGUMENT) return cli_usage(command, "--features: %s", err.message);
    return status ? cli_fail(&err) : CLI_DONE;
}

/* Opens the data. Refuses a rule for grading where the data have labels. */
static hb_status open_data(cli_pass1 *p, hb_error *err)
{
    hb_status status = cli_data_open(&p->data, p->n_samples, p->seed, p->quiet, &p->dataset, err);
    if (status) return status;
    const hb_dataset_info *info = hb_dataset_get_info(p->dataset);
    if (p->check_data) status = p->check_data(p->user, info, err);
    if (!status && p->needs_p_yes && info->read_as != HB_READ_JUDGEMENT)
        status = hb_fail(err, HB_ERR_ARGUMENT,
                         "%s: only judgements of responses have the score " HB_SCORE_P_YES, info->path);
    if (status || !p->grading.rule_given || info->is_graded) return status;
    return hb_fail(err, HB_ERR_ARGUMENT, "%s: --grade: the data have labels, not answers to grade",
                   info->path);
}

/* Opens the session, and what the questions need. */
static hb_status open_session(cli_pass1 *p, hb_error *err)
{
    hb_session_options o = cli_pass1_session(&p->resources, p->model, p->n_sequences, p->kv_mem);
    /* Processes that share the work share the machine's memory, too. */
    int64_t share = (int64_t)(hb_available_memory() / 2 / (uint64_t)hb_team_local_size(p->team));
    if (!p->kv_mem && share < o.cache_bytes) o.cache_bytes = share;
    if (!o.n_threads) o.n_threads = cli_team_threads(p->team);
    hb_status status = hb_session_open(p->model, &o, &p->session, err);
    return status ? status : cli_samples_open(&p->samples, &o, &p->engine, err);
}

static hb_status open_all(cli_pass1 *p, hb_error *err)
{
    p->data.strict = p->strict;
    hb_status status = open_data(p, err);
    if (!status) status = open_session(p, err);
    return status ? status : open_run(p, err);
}

static void on_progress(void *user, const hb_run_counts *c, uint64_t done_now)
{
    cli_pass1 *p = user;
    p->done_now = done_now;
    cli_progress_update(&p->progress, c->scored + c->skipped + c->failed, c->total, done_now, &p->work);
}

/* Stops at the first sample without a score, to show its reason. */
static hb_status show_reason(void *user, const hb_run_sample *sample)
{
    (void)user;
    if (!sample->reason) return HB_OK;
    cli_message("%s %s: %s", hb_sample_status_name(sample->status), sample->id, sample->reason);
    return HB_ERR_CANCELLED;
}

static void report_features(const cli_pass1 *p)
{
    const hb_model_info *m = hb_model_get_info(p->model);
    size_t bytes, each;
    if (!*p->features || hb_features_size(p->features, m, &bytes, NULL) ||
        hb_features_step_size(p->features, m, &each, NULL))
        return;
    if (each)
        cli_message("features %s: %zu bytes for each sample and %zu for each of its tokens",
                    p->features, bytes, each);
    else cli_message("features %s: %zu bytes for each sample", p->features, bytes);
}

static void report(const cli_pass1 *p)
{
    const hb_run_counts *c = &p->counts;
    const hb_run_settings *s = hb_run_get_settings(p->run);
    if (p->quiet) return;
    cli_message("%llu of %llu samples scored, %llu skipped, %llu failed; run %s",
                (unsigned long long)c->scored, (unsigned long long)c->total,
                (unsigned long long)c->skipped, (unsigned long long)c->failed, p->run_path);
    if (s->shards)
        cli_message("shard %d/%d has %llu of the %llu samples drawn", s->shard, s->shards,
                    (unsigned long long)s->n_samples, (unsigned long long)s->n_drawn);
    uint64_t there = c->scored + c->skipped + c->failed - p->done_now;
    if (there && p->done_now)
        cli_message("the run had %llu of these samples, and %llu were added", (unsigned long long)there,
                    (unsigned long long)p->done_now);
    if (c->not_drawn)
        cli_message("%s: the run has %llu more samples; -n %llu leaves them out", p->run_path,
                    (unsigned long long)c->not_drawn, (unsigned long long)c->total);
    if (p->work.tokens_evaluated)
        cli_message("%llu tokens evaluated, %llu shared", (unsigned long long)p->work.tokens_evaluated,
                    (unsigned long long)p->work.tokens_shared);
    report_features(p);
    if (p->work.literal)
        cli_message("warning: %llu prompts spell control tokens, which are taken as plain text; see "
                    "--parse-special",
                    (unsigned long long)p->work.literal);
    if (p->work.unstated)
        cli_message("warning: %llu answers to the question for a probability have no number and count "
                    "as 0.5",
                    (unsigned long long)p->work.unstated);
    if (c->skipped + c->failed) {
        cli_message("the first sample without scores:");
        hb_run_each(p->run, show_reason, NULL, NULL);
    }
}

static int check_usage(const cli_command *command, cli_pass1 *p)
{
    hb_error err;
    if (p->name && (!*p->name || *p->name == '.' || strchr(p->name, '/') || strlen(p->name) > 128))
        return cli_usage(command, "--name: '%s' cannot be part of a file name", p->name);
    if (hb_signal_set_parse(p->signal_list, &p->signals, &err))
        return cli_usage(command, "--signals: %s", err.message);
    const hb_signal *needed;
    for (size_t i = 0; p->needed && (needed = hb_signal_set_at(p->needed, i)) != NULL; i++)
        if (!hb_signal_set_has(p->signals, needed))
            return cli_usage(command, "--signals: lacks a signal that --score names");
    return CLI_DONE;
}

/* Uses the demo model and all demo data if none are given. */
static int take_embedded(const cli_command *command, cli_pass1 *p)
{
    const char *data = p->data.paths.n ? p->data.paths.texts[0] : NULL;
    if (!data && !p->n_samples_given) p->n_samples = 0;
    int code =
        cli_embedded(command, "--model", CLI_DEMO_MODEL, p->quiet, &p->model_path, &p->own_model_path);
    if (!code) code = cli_embedded(command, "--data", p->demo_data, p->quiet, &data, &p->own_data_path);
    if (code || p->data.paths.n) return code;
    p->data.paths.texts = malloc(sizeof *p->data.paths.texts);
    if (!p->data.paths.texts) return cli_fail_memory();
    p->data.paths.texts[p->data.paths.n++] = data;
    return CLI_DONE;
}

static int check_all_usage(const cli_command *command, cli_pass1 *p)
{
    int code = check_usage(command, p);
    if (!code) code = cli_samples_check(command, &p->samples);
    if (!code) code = cli_samples_check_measure(command, &p->samples, p->needed_measure);
    p->grading.shown = p->data.shots > 0;
    if (!code && !cli_grading_check(command, &p->grading, &code)) return code;
    if (!code && !cli_chat_check(command, &p->chat, &code)) return code;
    return code ? code : cli_data_check(command, &p->data);
}

static hb_score_options score_options(cli_pass1 *p)
{
    return (hb_score_options){.on_progress = on_progress,
                              .cancelled = cli_interrupted,
                              .user = p,
                              .work = &p->work,
                              .chat = p->chat.chat,
                              .abstains = p->grading.abstains,
                              .questions = p->samples.questions,
                              .judge = p->samples.judge_session,
                              .judge_chat = p->samples.judge_chat,
                              .team = p->team};
}

/* Evaluates for the process that leads the team. It also reports failures of this one. */
static int join_team(cli_pass1 *p)
{
    char sha256[65];
    hb_run_settings s;
    hb_error err;
    hb_status status = open_session(p, &err);
    if (!status) status = hb_model_sha256(p->model, sha256, &err);
    if (status) return cli_fail(&err);
    set_model(p, sha256, &s);
    hb_score_options o = score_options(p);
    p->joined = true;
    return hb_score_join(p->team, p->session, &s, &o, &err) ? CLI_FAILED : CLI_DONE;
}

static int score(cli_pass1 *p)
{
    hb_error err, count_err;
    if (open_all(p, &err)) return cli_fail(&err);
    hb_score_options o = score_options(p);
    cli_catch_interrupts();
    cli_progress_start(&p->progress, p->quiet, hb_team_size(p->team));
    hb_status status = hb_score(p->session, p->dataset, p->run, &o, &err);
    p->seconds = cli_progress_seconds(&p->progress);
    cli_progress_end(&p->progress);
    if (hb_run_count(p->run, &p->counts, &count_err)) return cli_fail(&count_err);
    report(p);
    if (!status) return CLI_DONE;
    if (status == HB_ERR_CANCELLED)
        cli_message("interrupted; the same command continues %s", p->run_path);
    else cli_fail(&err);
    return status == HB_ERR_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
}

static int open_and_score(const cli_command *command, cli_pass1 *p)
{
    hb_error err;
    bool leads = hb_team_rank(p->team) == 0;
    p->quiet = p->quiet || !leads;
    int code = check_all_usage(command, p);
    if (!code && leads && p->run_path && hb_run_try(p->run_path, &err)) code = cli_fail(&err);
    if (!code) code = take_embedded(command, p);
    if (!code) code = open_model(p);
    if (!code) code = cli_choose_signals(p->model, p->signal_list, p->quiet, &p->signals);
    if (!code) code = find_features(command, p);
    if (!code && leads && p->check) code = p->check(p->user);
    if (!code) code = cli_grading_open(&p->grading);
    if (code) return code;
    return leads ? score(p) : join_team(p);
}

int cli_pass1_run(const cli_command *command, cli_pass1 *p)
{
    int code = cli_team_open(&p->team);
    if (!code) code = open_and_score(command, p);
    code = cli_team_close(p->team, code);
    p->team = NULL;
    return code;
}

void cli_pass1_close(cli_pass1 *p)
{
    cli_grading_close(&p->grading);
    hb_run_close(p->run);
    cli_samples_close(&p->samples);
    hb_dataset_close(p->dataset);
    hb_session_close(p->session);
    cli_chat_close(&p->chat);
    hb_model_close(p->model);
    hb_signal_set_free(p->signals);
    hb_signal_set_free(p->needed);
    free(p->features);
    free(p->own_model_path);
    cli_data_free(&p->data);
    free(p->own_data_path);
    free(p->own_run_path);
    free(p->own_name);
}

void cli_pass1_json(hb_json *json, const cli_pass1 *p)
{
    hb_json_text(json, "run", p->run_path);
    hb_json_whole(json, "total", (int64_t)p->counts.total);
    hb_json_whole(json, "scored", (int64_t)p->counts.scored);
    hb_json_whole(json, "skipped", (int64_t)p->counts.skipped);
    hb_json_whole(json, "failed", (int64_t)p->counts.failed);
    hb_json_number(json, "seconds", p->seconds);
    hb_json_whole(json, "tokens_evaluated", (int64_t)p->work.tokens_evaluated);
    hb_json_whole(json, "tokens_shared", (int64_t)p->work.tokens_shared);
}
