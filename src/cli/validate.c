#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

typedef struct validating {
    const char *params_path, *scores_path, *label, *report;
    double min_recall;
    bool recall_given, force;
    uint64_t n_draws;
    cli_pass1 pass1;

    hb_params *params;
    hb_run *run;                 /* NULL: scores from a table */
    hb_buffer hidden;            /* states that the parameters' probes need, for pass 1 */
    char states[24];             /* states that their halt needs, for pass 1 */
    hb_validation_source source; /* origin of the scores */
} validating;

/* What is not given is taken from the parameters. */
static void explain_samples(cli_options *options)
{
    cli_explain(options, "samples",
                "also draw N samples of each prompt, and measure how far they agree with the answer",
                "as calibrated");
    cli_explain(options, "sample-temperature", "temperature of these samples", "as calibrated");
    cli_explain(options, "sample-top-p",
                "draw them from the fewest tokens whose probabilities reach P together",
                "as calibrated");
    cli_explain(options, "sample-max-tokens", "generate at most N tokens for each of them",
                "as calibrated");
    cli_explain(options, "entailment", "whether the model judges which samples follow from each other",
                "self if the parameters need it, else none");
    cli_explain(options, "judge", "another model that judges this, a GGUF file",
                "none, so the model itself judges; parameters do not keep the path");
    cli_explain(options, "ask",
                "ask the model about its answer: p_true, verbalised and, with --samples, "
                "self_assessment, selfcheck; or all",
                "as calibrated");
}

static void add_options(cli_options *options, validating *v)
{
    cli_pass1_add(options, &v->pass1);
    v->pass1.n_samples = 0;
    v->pass1.max_tokens = 0; /* replaced when the parameters are loaded */
    cli_explain(options, "data", "prompts of the split, with labels or answers",
                "the demo's test split");
    cli_explain(options, "n-samples", "draw N samples; 0 means all", NULL);
    cli_explain(options, "max-tokens", "generate at most N tokens for a sample", "as calibrated");
    cli_grading_explain(options, "as calibrated, or else as in the run",
                        "as calibrated, or else as in the run");
    cli_explain(options, "answer-lines",
                "for data with answers, how many lines of the generated text are the answer",
                "as calibrated");
    cli_explain(
        options, "exact",
        "do not round activations to 8 bits; required by parameters that were calibrated with it",
        NULL);
    cli_explain(options, "kv-type", "type of the numbers in the KV cache", "as calibrated");
    cli_explain(options, "features", CLI_FEATURES_HELP, "what the parameters need");
    explain_samples(options);
    cli_explain(options, "run", "a run to validate; with --model and --data, where to keep samples",
                "DIR/NAME_run_HASH.db");
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_text(options, "scores", 0, "FILE", &v->scores_path,
                 "instead of generating: a table with a column for each score");
    cli_add_text(options, "label", 'l', "NAME", &v->label, "column of labels in --scores")->standard =
        "label";
    cli_begin_group(options, CLI_GROUP_THRESHOLD);
    cli_add_text(options, "params", 'p', "FILE", &v->params_path, "parameters to validate")->required =
        true;
    cli_add_flag(options, "force", 0, &v->force, "accept parameters of another model or chat format");
    cli_option *recall = cli_add_real(options, "min-recall", 0, "R", &v->min_recall, 1e-9, 1,
                                      "find the highest precision at this recall or more");
    recall->given = &v->recall_given;
    recall->standard = "as calibrated";
    cli_draws_add(options, &v->n_draws);
    cli_report_add(options, &v->report);
}

/* ---- Whether the parameters fit ------------------------------------------------------------------ */

/* Refuses parameters that do not match; with --force, only warns. */
static int refuse(const validating *v, const char *why)
{
    cli_message("%s%s was calibrated %s%s", v->force ? "warning: " : "", v->params_path, why,
                v->force ? "" : "; --force accepts it");
    return v->force ? CLI_DONE : CLI_FAILED;
}

static int check_chat(const validating *v, const char *format, const char *system)
{
    char why[256];
    const char *then = v->params->chat, *now = format ? format : "";
    if (hb_params_same_chat(v->params, format, system)) return CLI_DONE;
    if (strcmp(then, now) == 0) return refuse(v, "with another system message");
    if (*then && *now) snprintf(why, sizeof why, "on chat format %.100s, not %.100s", then, now);
    else if (*then) snprintf(why, sizeof why, "on chat format %.100s, not on bare prompts", then);
    else snprintf(why, sizeof why, "on bare prompts, not on chat format %.100s", now);
    return refuse(v, why);
}

static int check_model(const validating *v, const hb_model_info *model)
{
    const hb_params *p = v->params;
    char why[400];
    if (hb_params_same_model(p, model)) return CLI_DONE;
    snprintf(why, sizeof why, "on another model (%.120s, %llu bytes), not on %.120s, %llu bytes",
             *p->model_name ? p->model_name : "unknown", (unsigned long long)p->model_size, model->name,
             (unsigned long long)model->file_size);
    return refuse(v, why);
}

static int check_params(const validating *v, const hb_model_info *model, const char *format,
                        const char *system)
{
    int code = check_model(v, model);
    return code ? code : check_chat(v, format, system);
}

/* Runs before pass 1, which may take hours. */
static int check_before(void *user)
{
    const validating *v = user;
    return check_params(v, hb_model_get_info(v->pass1.model), v->pass1.chat.format,
                        v->pass1.chat.system);
}

/* The kind of measured texts, for messages. */
static const char *kind_of(const char *read_as)
{
    if (strcmp(read_as, hb_read_as_name(HB_READ_RESPONSE)) == 0) return "given responses";
    return strcmp(read_as, hb_read_as_name(HB_READ_JUDGEMENT)) == 0 ? "judgements"
                                                                    : "generated answers";
}

/* Whether the parameters were calibrated on responses that were used in another way. */
static bool is_read_otherwise(const validating *v, const char *read_as)
{
    return v->params->read_as && strcmp(v->params->read_as, read_as) != 0;
}

/* Whether the calibration recognised abstentions by other phrases. Then answers have other labels. */
static bool abstains_otherwise(const validating *v, const char *sha256)
{
    const char *then = v->params->abstain_sha256;
    return v->params->is_graded && then && strcmp(then, sha256) != 0;
}

static const char *abstain_difference(const validating *v)
{
    return *v->params->abstain_sha256 ? "with the phrases of another file (--abstain)"
                                      : "without more phrases of abstentions (--abstain)";
}

static hb_status refuse_before(const validating *v, const char *why, hb_error *err)
{
    if (!v->force)
        return hb_fail(err, HB_ERR_MISMATCH, "%s was calibrated %s; --force accepts it", v->params_path,
                       why);
    refuse(v, why);
    return HB_OK;
}

/* Runs before pass 1, when it is known how the responses of the data are used. */
static hb_status check_data(void *user, const hb_dataset_info *info, hb_error *err)
{
    const validating *v = user;
    const char *then = v->params->read_as, *now = hb_read_as_name(info->read_as);
    char why[128];
    if (info->is_graded && abstains_otherwise(v, v->pass1.grading.abstain_sha256))
        return refuse_before(v, abstain_difference(v), err);
    if (!is_read_otherwise(v, now)) return HB_OK;
    snprintf(why, sizeof why, "on %s, not on %s", kind_of(then), kind_of(now));
    if (v->force) {
        refuse(v, why);
        return HB_OK;
    }
    return hb_fail(err, HB_ERR_MISMATCH, "%s was calibrated %s; %s%s%s--force accepts it",
                   v->params_path, why, *then && *now ? "--as " : "", *then && *now ? then : "",
                   *then && *now ? " reads the data so, and " : "");
}

/* Scores depend on the number of tokens they cover, so a different limit needs a warning. */
static void check_tokens(const validating *v)
{
    int32_t here = hb_run_get_settings(v->run)->max_tokens, there = v->params->max_tokens;
    if (there && here != there)
        cli_message("warning: samples have up to %d tokens, but those of the calibration had up to %d",
                    here, there);
}

static void check_exact(const validating *v)
{
    bool here = hb_run_get_settings(v->run)->exact != 0;
    if (v->params->knows_exact && here != v->params->exact)
        cli_message("warning: samples were measured %s --exact, but those of the calibration %s",
                    here ? "with" : "without", here ? "without" : "with");
}

/* Exactness implies the type of the cache. Where that differs, the warning of check_exact suffices. */
static void check_kv_type(const validating *v)
{
    const hb_run_settings *run = hb_run_get_settings(v->run);
    const char *here = run->kv_type, *there = hb_kv_type_name(v->params->kv_type);
    bool same_exact = !v->params->knows_exact || (run->exact != 0) == v->params->exact;
    if (v->params->kv_type && same_exact && *here && strcmp(here, there) != 0)
        cli_message("warning: samples were measured with a cache of %s, but those of the calibration "
                    "with one of %s",
                    here, there);
}

static void check_engine(const validating *v)
{
    const char *here = hb_run_get_settings(v->run)->engine, *there = v->params->engine;
    if (!v->params->knows_exact || strcmp(here, there) == 0) return;
    cli_message(
        "warning: samples were measured with the engine %s, but those of the calibration with %s",
        cli_engine_name(here), cli_engine_name(there));
}

static void check_samples(const validating *v)
{
    const hb_run_settings *here = hb_run_get_settings(v->run);
    const hb_params *there = v->params;
    if (here->samples)
        cli_samples_warn(there, here->samples, here->sample_temperature, here->sample_top_p,
                         here->sample_max_tokens);
}

/* Without a calibrated halt, only the cutoff's effect is counted. */
static void check_halt(const validating *v)
{
    if (v->params->halt.rule.kind == HB_HALT_NONE) cli_warn_no_halt(v->params_path);
}

/* A different grading rule gives different labels. */
static void check_grading(const validating *v)
{
    const hb_grading *here = v->source.grading, *there = &v->params->grading;
    const hb_grading own = hb_run_grading(v->run);
    char texts[3][CLI_GRADING_BYTES];
    if (!here || !v->params->is_graded) return;
    cli_grading_describe(here, texts[0]);
    cli_grading_describe(there, texts[1]);
    cli_grading_describe(&own, texts[2]);
    if (!hb_grading_same(here, there))
        cli_message("warning: answers are graded by %s, but those of the calibration by %s", texts[0],
                    texts[1]);
    else if (!v->pass1.grading.rule_given && *v->source.run->grading && !hb_grading_same(here, &own))
        cli_message("warning: answers are graded by %s, as in the calibration, but %s was graded by %s",
                    texts[0], v->source.scores, texts[2]);
    else if (!v->pass1.grading.rule_given && !v->pass1.quiet)
        cli_message("answers are graded by %s, as in the calibration", hb_grade_rule_name(here->rule));
}

/* ---- The split ----------------------------------------------------------------------------------- */

/* Parameters of exact sessions make the session exact, which allows no other cache. */
static int take_exact(const cli_command *command, validating *v)
{
    hb_session_options *r = &v->pass1.resources;
    if (!v->params->exact) return CLI_DONE;
    r->exact = true;
    if (!r->kv_type || r->kv_type == HB_KV_F32) return CLI_DONE;
    return cli_usage(command, "--kv-type %s: %s was calibrated with --exact, whose cache is %s",
                     hb_kv_type_name(r->kv_type), v->params_path, hb_kv_type_name(HB_KV_F32));
}

/* Takes settings that were not given from the parameters. */
static void take_settings(validating *v)
{
    hb_session_options *r = &v->pass1.resources;
    if (!v->pass1.max_tokens) v->pass1.max_tokens = v->params->max_tokens;
    if (!v->pass1.max_tokens) v->pass1.max_tokens = CLI_MAX_TOKENS;
    if (!r->kv_type && !r->exact) r->kv_type = v->params->kv_type;
    if (strcmp(v->params->engine, "llama") == 0 && v->pass1.engine.choice == HB_ENGINE_AUTO &&
        hb_engine_is_built(HB_ENGINE_LLAMA))
        v->pass1.engine.choice = HB_ENGINE_LLAMA;
    cli_samples_take(&v->pass1.samples, v->params);
    v->pass1.needed_measure = cli_measure_needed(v->params, CLI_NEED_PASS1);
    if (!v->pass1.needed_measure)
        v->pass1.needed_measure = cli_measure_needed(v->params, CLI_NEED_SAMPLES);
    if (v->params->is_graded) cli_grading_take(&v->pass1.grading, &v->params->grading);
}

/* Opens an existing run if it matches. */
static int open_run(validating *v)
{
    hb_error err;
    if (hb_run_open(v->pass1.run_path, &v->run, &err) || hb_run_count(v->run, &v->pass1.counts, &err))
        return cli_fail(&err);
    const hb_run_settings *s = hb_run_get_settings(v->run);
    const hb_model_info model = {
        .name = s->model_name, .architecture = s->model_architecture, .file_size = s->model_size};
    int code = check_params(v, &model, s->chat, s->system);
    if (!code && v->pass1.counts.graded && abstains_otherwise(v, s->abstain_sha256))
        code = refuse(v, abstain_difference(v));
    if (code || !is_read_otherwise(v, s->read_as)) return code;
    char why[128];
    snprintf(why, sizeof why, "on %s, not on %s", kind_of(v->params->read_as), kind_of(s->read_as));
    return refuse(v, why);
}

/* Whether the calibrated score is P(Yes), or a joint model with it. */
static bool needs_p_yes(const hb_params *p)
{
    bool needs = strcmp(p->score, HB_SCORE_P_YES) == 0;
    for (size_t i = 0; i < p->joint.n_features; i++)
        needs = needs || strcmp(p->joint.features[i].score, HB_SCORE_P_YES) == 0;
    return needs;
}

/* Makes pass 1 keep the features of the parameters' probes and EigenScore. False when memory runs out.
 */
static bool need_features(validating *v)
{
    const hb_params *p = v->params;
    char number[24];
    bool ok = true;
    for (int32_t block = 0; block < HB_MAX_LAYERS && ok; block++) {
        bool read = false;
        for (size_t i = 0; i < p->n_probes; i++) read = read || hb_probe_block(p->probes[i]) == block;
        snprintf(number, sizeof number, "%s%d", v->hidden.length ? "+" : "hidden:", block + 1);
        if (read) ok = hb_buffer_add_text(&v->hidden, number);
    }
    v->pass1.needs_hidden = v->hidden.data;
    if (!v->hidden.length && cli_measure_needed(p, CLI_NEED_STATES)) v->pass1.needs_hidden = "hidden";
    const char *kind;
    for (size_t k = 0; (kind = hb_probe_kind_name(k)) != NULL; k++)
        for (size_t i = 0; i < p->n_probes; i++)
            if (hb_probe_block(p->probes[i]) < 0 && strcmp(hb_probe_name(p->probes[i]), kind) == 0)
                cli_pass1_need(&v->pass1, hb_probe_kind_features(k));
    const hb_probe *halts = p->halt_model ? hb_halt_model_probe(p->halt_model) : NULL;
    if (halts) {
        snprintf(v->states, sizeof v->states, "states:%d", hb_probe_block(halts) + 1);
        v->pass1.needs_states = v->states;
    }
    return ok;
}

/* Opens the split: an existing run, or one that pass 1 creates. */
static int open_split(const cli_command *command, validating *v)
{
    int code = take_exact(command, v);
    if (code) return code;
    take_settings(v);
    v->source = (hb_validation_source){.params = v->params_path, .scores = v->scores_path};
    if (v->scores_path) return CLI_DONE;
    v->pass1.check = check_before;
    v->pass1.check_data = check_data;
    v->pass1.needs_p_yes = needs_p_yes(v->params);
    if (!need_features(v)) return cli_fail_memory();
    v->pass1.user = v;
    if (v->pass1.run_path && !v->pass1.model_path) {
        code = open_run(v);
    } else {
        code = cli_pass1_run(command, &v->pass1);
        v->run = v->pass1.run;
    }
    if (code || v->pass1.joined) return code;
    v->source.scores = v->pass1.run_path;
    code = cli_grading_use(&v->pass1.grading, v->run, v->source.scores, &v->pass1.counts,
                           &v->source.grading);
    if (code) return code;
    v->source.n_abstained = v->pass1.counts.abstained;
    v->source.run = hb_run_get_settings(v->run);
    v->source.counts = v->pass1.counts;
    check_tokens(v);
    check_exact(v);
    check_kv_type(v);
    check_engine(v);
    check_samples(v);
    check_grading(v);
    if (!v->pass1.quiet) check_halt(v);
    cli_grading_advise(v->run, v->source.scores, v->source.grading, v->pass1.quiet);
    return CLI_DONE;
}

/* ---- Judging ------------------------------------------------------------------------------------- */

static hb_bootstrap_options bootstrap(const validating *v)
{
    hb_bootstrap_options o = hb_bootstrap_defaults();
    o.n_draws = (size_t)v->n_draws;
    o.min_recall = v->recall_given ? v->min_recall : 0;
    return o;
}

static hb_status read_table(const validating *v, hb_table *file, const char *const *names, size_t n,
                            hb_score_table *table, hb_error *err)
{
    const cli_data *data = &v->pass1.data;
    const hb_table_options o = {
        .score_columns = names, .n_scores = n, .group_column = data->group, .strict = v->pass1.strict};
    return cli_read_table(file, v->scores_path, o, &data->labels, v->label, table, err);
}

static hb_status judge_table(const validating *v, hb_validation_result *result, hb_error *err)
{
    hb_score_table table;
    hb_table *file;
    const char **names = NULL;
    size_t n_columns, n;
    const hb_bootstrap_options o = bootstrap(v);
    hb_status status = hb_table_open(v->scores_path, &file, err);
    if (status) return status;
    const char *const *columns = hb_table_columns(file, &n_columns);
    status = hb_params_columns(v->params, columns, n_columns, &names, &n, err);
    if (!status) status = read_table(v, file, names, n, &table, err);
    if (!status) {
        status = hb_validate_scores(v->params, &table, names, &o, result, err);
        hb_score_table_free(&table);
    }
    free(names);
    hb_table_close(file);
    return status;
}

/* Reports the calibrated scores that were not validated. Missing ones share one line. */
static void report_unjudged(const validating *v, const hb_validation_result *r)
{
    hb_buffer missing = {0};
    bool ok = true;
    for (size_t i = 0; i < r->n_unjudged; i++) {
        const hb_unjudged_score *u = &r->unjudged[i];
        if (u->reason)
            cli_message("%s: %s is not validated: %s", v->source.scores, u->calibrated->name,
                        u->reason);
        else
            ok = ok && hb_buffer_add_text(&missing, missing.length ? ", " : "") &&
                 hb_buffer_add_text(&missing, u->calibrated->name);
    }
    if (missing.length)
        cli_message("%s: lacks calibrated scores, which are not validated: %s%s", v->source.scores,
                    missing.data, ok ? "" : " ...");
    hb_buffer_free(&missing);
}

/* Warns of samples that were calibrated on. A table has no prompts to compare. */
static void report_shared(const validating *v, const hb_validation_result *r)
{
    if (r->n_shared)
        cli_message("warning: %zu of %zu samples have prompts of the calibration and cannot "
                    "serve as a test",
                    r->n_shared, r->n);
    else if (v->run && !r->knows_shared && !v->pass1.quiet)
        cli_message("%s has no hashes of prompts, so hbar cannot tell whether the calibration had the "
                    "same samples",
                    v->params->n_prompts ? v->source.scores : v->params_path);
}

static int print_result(const validating *v, const hb_validation_result *r)
{
    hb_error err;
    char *report;
    hb_status status = v->pass1.json ? hb_validation_json(&v->source, r, &report, &err)
                                     : hb_validation_text(&v->source, r, &report, &err);
    if (status) return cli_fail(&err);
    cli_write(report, strlen(report));
    if (v->pass1.json) cli_write("\n", 1);
    free(report);
    return CLI_DONE;
}

static int judge(const validating *v)
{
    hb_error err;
    hb_validation_result r;
    const hb_bootstrap_options o = bootstrap(v);
    hb_status status = v->run ? hb_validate_run(v->params, v->run, v->source.grading, &o, &r, &err)
                              : judge_table(v, &r, &err);
    if (status) return cli_fail(&err);
    if (!v->pass1.quiet) report_unjudged(v, &r);
    report_shared(v, &r);
    int code = print_result(v, &r);
    if (!code) code = cli_report_validation(v->report, &v->source, &r, v->run, v->pass1.quiet);
    hb_validation_result_free(&r);
    return code;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static int validate(const cli_command *command, validating *v)
{
    hb_error err;
    int code = v->report ? cli_check_output(v->report) : CLI_DONE;
    if (code) return code;
    if (hb_params_load(v->params_path, &v->params, &err)) return cli_fail(&err);
    code = open_split(command, v);
    return code || v->pass1.joined ? code : judge(v);
}

static void close_validating(validating *v)
{
    hb_params_free(v->params);
    if (v->run != v->pass1.run) hb_run_close(v->run);
    cli_pass1_close(&v->pass1);
    hb_buffer_free(&v->hidden);
}

static int check_usage(const cli_command *command, validating *v)
{
    int code;
    bool model = v->pass1.model_path, data = v->pass1.data.paths.n > 0, run = v->pass1.run_path;
    if (v->label && !v->scores_path) return cli_usage(command, "--label needs --scores");
    if (v->scores_path && v->pass1.grading.rule_given)
        return cli_usage(command, "--grade cannot be used with --scores, which has labels");
    if ((run && model != data) || (v->scores_path && (model || data || run)))
        return cli_usage(command, "give --model and --data, or --run, or --scores");
    if (!cli_draws_check(command, v->n_draws, &code) ||
        !cli_grading_check(command, &v->pass1.grading, &code))
        return code;
    return cli_labels_check(command, &v->pass1.data.labels, v->label, "--label");
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    validating v = {0};
    const char *operand;
    int code;
    add_options(&options, &v);
    v.pass1.demo_data = CLI_DEMO_TEST;
    bool ready = cli_parse(command, &options, argc, argv, &operand, &code);
    if (ready) code = check_usage(command, &v);
    if (ready && !code) code = cli_check_apart(command, &options, "report");
    if (ready && !code) code = validate(command, &v);
    close_validating(&v);
    return code;
}

const cli_command cli_validate = {
    .name = "validate",
    .summary = "test calibrated thresholds on held-out data",
    .details = "Scores a held-out split (--model and --data, as hbar score does), or takes the scores "
               "of a run (--run alone) or of a table (--scores). Reports for each calibrated score how "
               "it ranks, what its threshold does, and how far the scores moved since the calibration.",
    .run = run,
};
