/* Calibrated parameters as JSON (docs/parameters.md). */
#include <stdlib.h>
#include <time.h>
#include "base/base64.h"
#include "base/hashes.h"
#include "report/params.h"
#include "report/values.h"
#include "signals/halt_model.h"
#include "signals/probe.h"

/* ---- Where they came from ----------------------------------------------------------------------- */

static void add_model(hb_json *j, const hb_run_settings *run)
{
    if (!run) {
        hb_json_null(j, "model");
        return;
    }
    hb_json_object(j, "model");
    hb_json_text_or_null(j, "name", run->model_name);
    hb_json_text_or_null(j, "architecture", run->model_architecture);
    hb_json_text_or_null(j, "path", run->model_path);
    hb_json_whole(j, "file_size", (int64_t)run->model_size);
    hb_json_text_or_null(j, "sha256", run->model_sha256);
    hb_json_end(j);
}

static void add_data(hb_json *j, const hb_params_source *source)
{
    const hb_run_settings *run = source->run;
    const hb_run_counts *c = &source->counts;
    hb_json_object(j, "data");
    hb_json_text_or_null(j, "path", run ? run->data_path : source->data_path);
    hb_json_text_or_null(j, "sha256", run ? run->data_sha256 : source->data_sha256);
    if (run) {
        hb_json_text_or_null(j, "format", run->data_format);
        hb_json_whole(j, "rows", (int64_t)run->data_rows);
    }
    hb_json_whole(j, "broken_rows", (int64_t)(run ? run->data_broken : source->n_broken));
    if (run) {
        hb_json_whole(j, "samples", (int64_t)c->total);
        hb_json_whole(j, "scored", (int64_t)c->scored);
        hb_json_whole(j, "skipped", (int64_t)c->skipped);
        hb_json_whole(j, "failed", (int64_t)c->failed);
        if (source->grading) hb_json_whole(j, "abstained", (int64_t)c->abstained);
        hb_json_whole(j, "labels_set", (int64_t)c->labelled);
    }
    hb_json_end(j);
}

static void add_run_settings(hb_json *j, const hb_run_settings *run)
{
    hb_json_whole(j, "n_samples", (int64_t)run->n_samples);
    hb_json_whole(j, "seed", (int64_t)run->seed);
    hb_json_whole(j, "max_tokens", run->max_tokens);
    hb_json_whole(j, "context", run->n_ctx);
    hb_json_number(j, "alpha", run->alpha);
    hb_json_text_or_null(j, "chat", run->chat);
    hb_json_text_or_null(j, "system", run->system);
    hb_json_text_or_null(j, "read_as", run->read_as);
    hb_json_bool(j, "exact", run->exact);
    if (run->kv_type && *run->kv_type) hb_json_text(j, "kv_type", run->kv_type);
    if (run->engine && *run->engine) hb_json_text(j, "engine", run->engine);
    if (run->asks && *run->asks) hb_json_text(j, "asks", run->asks);
    if (!run->samples) return;
    hb_json_object(j, "samples");
    hb_json_whole(j, "n", run->samples);
    hb_json_number(j, "temperature", run->sample_temperature);
    hb_json_number(j, "top_p", run->sample_top_p);
    hb_json_whole(j, "max_tokens", run->sample_max_tokens);
    hb_json_end(j);
}

static void add_settings(hb_json *j, const hb_params_source *source, const hb_sweep_options *sweep)
{
    const hb_grading *g = source->grading;
    hb_json_object(j, "settings");
    hb_json_number(j, "min_recall", sweep->min_recall);
    hb_json_text(j, "direction", hb_direction_name(sweep->direction));
    hb_json_text(j, "tau_grid", hb_grid_name(sweep->grid));
    if (sweep->grid == HB_GRID_RANGE) {
        hb_json_number(j, "tau_start", sweep->start);
        hb_json_number(j, "tau_stop", sweep->stop);
        hb_json_number(j, "tau_step", sweep->step);
    }
    if (source->run) add_run_settings(j, source->run);
    if (g) hb_json_grading(j, g);
    if (g && source->run) {
        hb_json_whole(j, "answer_lines", source->run->answer_lines);
        hb_json_text_or_null(j, "abstain_sha256", source->run->abstain_sha256);
    }
    hb_json_end(j);
}

void hb_json_origin(hb_json *j, const hb_params_source *source)
{
    add_model(j, source->run);
    add_data(j, source);
    hb_json_object(j, "settings");
    if (source->run) add_run_settings(j, source->run);
    hb_json_end(j);
}

/* ---- The score and its threshold ---------------------------------------------------------------- */

/* How per-step values became a sample's score. The names of a run's scores contain their aggregation.
 */
static const char *aggregation_text(const hb_params_source *source, const hb_calibration_result *r)
{
    hb_score_id id;
    if (r->joint.n_features) return "log-odds out of fold";
    if (!source->run || !hb_score_find(r->scores[0].name, &id)) return "as given";
    return hb_aggregation_name(id.aggregation);
}

static void add_score(hb_json *j, const hb_params_source *source, const hb_calibration_result *r)
{
    const hb_sweep_result *s = &r->sweep;
    hb_json_object(j, "score");
    hb_json_text(j, "name", r->scores[0].name);
    hb_json_text(j, "aggregation", aggregation_text(source, r));
    hb_json_whole(j, "n", (int64_t)s->n);
    hb_json_number(j, "min", s->score_min);
    hb_json_number(j, "max", s->score_max);
    hb_json_number(j, "hallucination_rate", s->hallucination_rate);
    hb_json_class(j, "label_0", &s->by_label[0]);
    hb_json_class(j, "label_1", &s->by_label[1]);
    hb_json_number(j, "cohens_d", s->cohens_d);
    hb_json_end(j);
}

static void add_uncertainty(hb_json *j, const hb_uncertainty *u)
{
    hb_json_object(j, "uncertainty");
    hb_json_interval(j, "auroc_delong", &u->auroc_delong);
    hb_json_bootstrap(j, "bootstrap", u);
    hb_json_end(j);
}

static void add_guarantee(hb_json *j, const hb_guarantee *g)
{
    if (!hb_json_guarantee(j, g)) return;
    hb_json_number(j, "level", g->level);
    hb_json_whole(j, "n", (int64_t)g->n);
    hb_json_whole(j, "k", (int64_t)g->k);
    hb_json_number(j, "p", g->p);
    hb_json_end(j);
}

static void add_threshold(hb_json *j, const hb_sweep_result *s)
{
    hb_json_object(j, "threshold");
    hb_json_point_members(j, &s->best);
    hb_json_number(j, "min_recall", s->min_recall);
    hb_json_bool(j, "reached_min_recall", s->best.recall >= s->min_recall * (1 - 1e-12));
    hb_json_text(j, "chosen_by", hb_selection_name(s->selection));
    add_guarantee(j, &s->guarantee);
    hb_json_bool(j, "wide_grid", s->wide_grid);
    hb_json_end(j);
}

static void add_map(hb_json *j, const hb_map *map)
{
    hb_json_object(j, "map");
    hb_json_text(j, "kind", hb_map_kind_name(map->kind));
    if (map->kind == HB_MAP_PLATT) {
        hb_json_number(j, "a", map->a);
        hb_json_number(j, "b", map->b);
    }
    if (map->kind == HB_MAP_ISOTONIC) {
        hb_json_numbers(j, "scores", map->scores, map->n_knots);
        hb_json_numbers(j, "p", map->p, map->n_knots);
    }
    hb_json_end(j);
}

/* ---- The joint model ---------------------------------------------------------------------------- */

static void add_features(hb_json *j, const hb_joint *joint)
{
    hb_json_array(j, "features");
    for (size_t k = 0; k < joint->n_features; k++) {
        const hb_joint_feature *f = &joint->features[k];
        hb_json_row(j, NULL);
        hb_json_text(j, "score", f->score);
        hb_json_number(j, "mean", f->mean);
        hb_json_number(j, "sd", f->sd);
        hb_json_number(j, "weight", f->weight);
        hb_json_end(j);
    }
    hb_json_end(j);
}

static void add_trials(hb_json *j, const hb_joint *joint)
{
    hb_json_array(j, "trials");
    for (size_t t = 0; t < joint->n_trials; t++) {
        hb_json_row(j, NULL);
        hb_json_number(j, "c", joint->trials[t].c);
        hb_json_number(j, "log_loss", joint->trials[t].log_loss);
        hb_json_number(j, "auroc", joint->trials[t].auroc);
        hb_json_end(j);
    }
    hb_json_end(j);
}

static void add_joint(hb_json *j, const hb_joint *joint)
{
    if (!joint->n_features) {
        hb_json_null(j, "joint");
        return;
    }
    hb_json_object(j, "joint");
    add_features(j, joint);
    hb_json_number(j, "intercept", joint->intercept);
    hb_json_number(j, "c", joint->trials[joint->best].c);
    hb_json_whole(j, "folds", (int64_t)joint->options.n_folds);
    hb_json_whole(j, "seed", (int64_t)joint->options.seed);
    add_trials(j, joint);
    hb_json_end(j);
}

/* ---- Probes ------------------------------------------------------------------------------------- */

static void add_probe_trials(hb_json *j, const hb_probe *p)
{
    hb_json_array(j, "trials");
    for (size_t t = 0; t < p->n_trials; t++) {
        hb_json_row(j, NULL);
        if (p->kind->of_block) hb_json_whole(j, "block", p->trials[t].block + 1);
        if (!p->kind->density) {
            hb_json_number(j, "c", p->trials[t].c);
            hb_json_number(j, "log_loss", p->trials[t].log_loss);
        }
        hb_json_number(j, "auroc", p->trials[t].auroc);
        hb_json_end(j);
    }
    hb_json_end(j);
}

static void add_floats(hb_json *j, const char *key, const float *values, size_t n)
{
    char *text = hb_base64_of_floats(values, n);
    if (text) hb_json_text(j, key, text);
    else j->out.failed = true;
    free(text);
}

static void add_probe(hb_json *j, const hb_probe *p)
{
    hb_json_object(j, p->kind->name);
    if (p->kind->of_block) hb_json_whole(j, "block", p->block + 1);
    if (!p->kind->density) hb_json_number(j, "c", p->trials[p->best].c);
    hb_json_whole(j, "folds", (int64_t)p->options.n_folds);
    hb_json_whole(j, "seed", (int64_t)p->options.seed);
    hb_json_number(j, "intercept", p->intercept);
    add_floats(j, "weights", p->weights, p->n);
    if (p->kind->density) {
        add_floats(j, "rows", p->rows, p->rank * p->n);
        hb_json_numbers(j, "offsets", p->offsets, p->rank);
        hb_json_numbers(j, "factors", p->factors, p->rank);
    }
    add_probe_trials(j, p);
    hb_json_end(j);
}

static void add_probes(hb_json *j, const hb_calibration_result *r)
{
    hb_json_object(j, "probes");
    for (size_t i = 0; i < r->n_probes; i++) add_probe(j, r->probes[i]);
    hb_json_end(j);
}

/* ---- All scores --------------------------------------------------------------------------------- */

static void add_scores(hb_json *j, const hb_calibration_result *r)
{
    hb_json_object(j, "scores");
    for (size_t i = 0; i < r->n_scores; i++) {
        const hb_calibrated_score *s = &r->scores[i];
        hb_json_object(j, s->name);
        hb_json_number(j, "tau", s->tau);
        hb_json_text(j, "direction", hb_direction_sign(s->direction));
        hb_json_number(j, "auroc", s->auroc);
        hb_json_number(j, "pr_auc", s->pr_auc);
        hb_json_number(j, "precision", s->precision);
        hb_json_number(j, "recall", s->recall);
        hb_json_number(j, "f1", s->f1);
        hb_json_class(j, "label_0", &s->by_label[0]);
        hb_json_class(j, "label_1", &s->by_label[1]);
        hb_json_end(j);
    }
    hb_json_end(j);
}

static void add_compared(hb_json *j, const hb_compared_score *s)
{
    const hb_sweep_result *r = &s->sweep;
    hb_json_object(j, NULL);
    hb_json_text(j, "name", s->name);
    hb_json_text(j, "direction", hb_direction_sign(r->direction));
    hb_json_number(j, "auroc", r->auroc);
    hb_json_number(j, "pr_auc", r->pr_auc);
    hb_json_number(j, "tau", r->best.tau);
    hb_json_number(j, "precision", r->best.precision);
    hb_json_number(j, "recall", r->best.recall);
    add_uncertainty(j, &s->uncertainty);
    hb_json_number(j, "p_difference", s->difference.p);
    hb_json_number(j, "p_difference_holm", s->p_holm);
    hb_json_end(j);
}

/* Adds the choice within folds. */
static void add_nested(hb_json *j, const hb_calibration_result *r)
{
    const hb_nested *n = &r->nested;
    if (!n->n_folds || !r->comparison.n) return;
    hb_json_object(j, "nested");
    hb_json_whole(j, "folds", (int64_t)n->n_folds);
    hb_json_whole(j, "seed", (int64_t)n->seed);
    hb_json_number(j, "auroc", n->auroc);
    hb_json_interval(j, "interval", &n->interval);
    hb_json_list(j, "winners");
    for (size_t f = 0; f < n->n_folds; f++)
        hb_json_text(j, NULL, r->comparison.scores[n->winners[f]].name);
    hb_json_end(j);
    hb_json_bool(j, "changes", n->changes);
    hb_json_end(j);
}

static void add_better(hb_json *j, const hb_better_score *b)
{
    if (!b->name) {
        hb_json_null(j, "better");
        return;
    }
    hb_json_object(j, "better");
    hb_json_text(j, "name", b->name);
    hb_json_number(j, "auroc", b->auroc);
    hb_json_number(j, "p_difference", b->difference.p);
    hb_json_number(j, "p_difference_holm", b->p_holm);
    hb_json_end(j);
}

/* Adds the ranking of the compared scores and their correlations. */
static void add_comparison(hb_json *j, const hb_comparison *c)
{
    hb_json_array(j, "ranking");
    for (size_t k = 0; k < c->n; k++) add_compared(j, &c->scores[k]);
    hb_json_end(j);
    hb_json_correlations(j, "correlations", hb_compared_name, c, c->correlations, c->n);
}

/* ---- The document ------------------------------------------------------------------------------- */

/* Adds what the halt runs over. */
static void add_halt_model(hb_json *j, const hb_halt_model *model)
{
    hb_json_object(j, "model");
    if (model->probe) add_probe(j, model->probe);
    if (model->joint.n_features) add_joint(j, &model->joint);
    hb_json_end(j);
}

/* Adds the halt, which is null if there is none. */
static void add_halt(hb_json *j, const hb_halt_calibration *c, const hb_halt_model *model,
                     const char *no_halt)
{
    if (c->halt.rule.kind == HB_HALT_NONE) {
        hb_json_null(j, "halt");
        if (no_halt) hb_json_text(j, "no_halt", no_halt);
        return;
    }
    hb_json_object(j, "halt");
    hb_json_halt_members(j, &c->halt);
    if (model) add_halt_model(j, model);
    add_guarantee(j, &c->guarantee);
    if (c->n_fitted) hb_json_whole(j, "fitted", (int64_t)c->n_fitted);
    hb_json_halt_report(j, "answers", &c->report);
    hb_json_end(j);
}

static void add_prompts(hb_json *j, const hb_calibration_result *r)
{
    char *text = hb_hashes_encode(r->prompts, r->n_prompts);
    if (text) hb_json_text(j, "prompt_hashes", text);
    else j->out.failed = true;
    free(text);
}

static void add_sweep(hb_json *j, const hb_calibration_result *r)
{
    hb_json_array(j, "sweep");
    for (size_t i = 0; i < r->sweep.n_points; i++) hb_json_point(j, NULL, &r->sweep.points[i]);
    hb_json_end(j);
}

static void add_header(hb_json *j)
{
    char created[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    hb_json_text(j, "schema", HB_PARAMS_SCHEMA);
    hb_json_whole(j, "schema_version", HB_PARAMS_VERSION);
    hb_json_text(j, "hbar_version", hb_version());
    hb_json_text(j, "created", created);
}

hb_status hb_params_json(const hb_params_source *source, const hb_calibration_result *r, char **json,
                         hb_error *err)
{
    hb_json j = {0};
    const hb_sweep_result *s = &r->sweep;
    hb_json_object(&j, NULL);
    add_header(&j);
    add_model(&j, source->run);
    add_data(&j, source);
    add_settings(&j, source, &r->options.sweep);
    add_score(&j, source, r);
    hb_json_number(&j, "auroc", s->auroc);
    hb_json_number(&j, "pr_auc", s->pr_auc);
    add_uncertainty(&j, &r->uncertainty);
    hb_json_number(&j, "auroc_high", s->auroc_high);
    hb_json_number(&j, "auroc_low", s->auroc_low);
    hb_json_number(&j, "auroc_null_se", s->auroc_null_se);
    hb_json_bool(&j, "within_noise", s->within_noise);
    hb_json_bool(&j, "contradicts_signal", r->contradicts_signal);
    hb_json_text(&j, "direction", hb_direction_sign(s->direction));
    add_threshold(&j, s);
    hb_json_number(&j, "lambda", r->map.lambda);
    add_map(&j, &r->map);
    add_joint(&j, &r->joint);
    if (r->n_probes) add_probes(&j, r);
    add_scores(&j, r);
    if (r->has_halting) hb_json_halting(&j, "halting", &r->halting);
    add_halt(&j, &r->halt, r->halt_model, r->no_halt);
    if (r->tokens.n_tokens) hb_json_tokens(&j, "tokens", &r->tokens);
    if (r->comparison.n) add_comparison(&j, &r->comparison);
    add_nested(&j, r);
    add_better(&j, &r->better);
    hb_json_controls(&j, "controls", r->controls, r->n_controls);
    hb_json_curves(&j, "curves", r->curves);
    if (r->n_prompts) add_prompts(&j, r);
    add_sweep(&j, r);
    hb_json_end(&j);
    return hb_json_finish(&j, json, err);
}
