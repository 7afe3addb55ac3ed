/* Code shared by several reports, most of it for JSON. Keys are used as in hb_json. */
#ifndef HB_REPORT_VALUES_H
#define HB_REPORT_VALUES_H

#include "base/json.h"

/* The i-th score's name in an hb_comparison, and in an hb_validation_result. */
const char *hb_compared_name(const void *comparison, size_t i);
const char *hb_judged_name(const void *result, size_t i);

/* Adds a text; an empty text becomes null. */
void hb_json_text_or_null(hb_json *json, const char *key, const char *text);

/* [values[0], values[1] ...]. */
void hb_json_numbers(hb_json *json, const char *key, const double *values, size_t n);

/* [lower, upper]. */
void hb_json_interval(hb_json *json, const char *key, const hb_interval *interval);

/* Adds a threshold's confusion matrix as members of the open object. */
void hb_json_point_members(hb_json *json, const hb_sweep_point *point);
/* The same as an object on one line. */
void hb_json_point(hb_json *json, const char *key, const hb_sweep_point *point);

/* Opens the object "guarantee" and adds "kind", "target" and "delta". Without a guarantee adds null and
 * returns false. */
bool hb_json_guarantee(hb_json *json, const hb_guarantee *guarantee);

/* {"n", "mean", "sd"}. */
void hb_json_class(hb_json *json, const char *key, const hb_class_summary *summary);

/* {"draws", "seed", "auroc", "pr_auc", "precision", "precision_at_recall"}. "precision_at_recall" is
 * the interval of "precision". null when there were no draws. */
void hb_json_bootstrap(hb_json *json, const char *key, const hb_uncertainty *uncertainty);

/* {"method", "scores", "matrix"} of correlations [n][n]. name(user, i) returns the i-th score's name.
 */
void hb_json_correlations(hb_json *json, const char *key, const char *(*name)(const void *, size_t),
                          const void *user, const double *correlations, size_t n);

/* How grades became labels, as members of the object that is open: "grade", its limit "min_f1" or
 * "tolerance" where it has one, "abstain_as". */
void hb_json_grading(hb_json *json, const hb_grading *grading);

/* "model", "data" and the run's "settings" (params_json.c). */
void hb_json_origin(hb_json *json, const hb_params_source *source);

/* [{"name", "n", "direction", "auroc", "interval", "p_difference"}]; of shuffled labels without
 * direction and p. */
void hb_json_controls(hb_json *json, const char *key, const hb_control *controls, size_t n);

/* The name of a score's values at each step: its signal. */
const char *hb_value_name(const char *score);

/* The members of a halt: "rule" with what belongs to it, "direction" and "tau". */
void hb_json_halt_members(hb_json *json, const hb_halt *halt);
/* {"rule" ... "tau"} on one line; null without a halt. */
void hb_json_halt(hb_json *json, const char *key, const hb_halt *halt);
/* {"hallucinated", "hallucinated_halted", "hallucinated_share" ... "printed_90"}. */
void hb_json_halt_report(hb_json *json, const char *key, const hb_halt_report *report);

/* {"cutoff", "hallucinated", "hallucinated_halted", "faithful", "faithful_halted"}. */
void hb_json_halting(hb_json *json, const char *key, const hb_halting *halting);

/* {"histogram", "roc", "precision_recall", "risk_coverage", "reliability", "aurc", "ece"}. */
void hb_json_curves(hb_json *json, const char *key, const hb_curves *curves);

/* {"answers", "tokens", "hallucinated", "spans", "signals", "alarms"}; null without tokens. */
void hb_json_tokens(hb_json *json, const char *key, const hb_token_report *report);

#endif
