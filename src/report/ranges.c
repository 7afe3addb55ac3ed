/* Checks the ranges of a document's numbers. A field's name decides its range, wherever it stands: the
 * documents use a name for one thing. */
#include "report/ranges.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/buffer.h"
#include "base/text.h"

typedef enum range {
    SHARE,
    CORRELATION,
    AT_MOST_1,
    NOT_NEGATIVE,
    COUNT,
    TOKENS,
    LINES,
    N_RANGES
} range;

static const struct {
    double min, max;
    bool whole;
    const char *words;
} ranges[N_RANGES] = {[SHARE] = {0, 1, false, "between 0 and 1"},
                      [CORRELATION] = {-1, 1, false, "between -1 and 1"},
                      [AT_MOST_1] = {-INFINITY, 1, false, "at most 1"},
                      [NOT_NEGATIVE] = {0, INFINITY, false, "at least 0"},
                      [COUNT] = {0, 1e15, true, "a whole number between 0 and 1e15"},
                      [TOKENS] = {0, 1 << 24, true, "a whole number between 0 and 16777216"},
                      [LINES] = {-1, 1 << 24, true, "a whole number between -1 and 16777216"}};

/* Sums of rounded numbers may miss a bound by this much. */
static const double slack = 1e-6;

/* The fields of each range. A field whose value is a list has the range for each number in it. */
static const char *const fields[N_RANGES][64] = {
    [SHARE] = {"aurc",
               "auroc",
               "auroc_delong",
               "auroc_high",
               "auroc_low",
               "auroc_null_se",
               "average_precision",
               "brier",
               "calibration_auroc",
               "coverage",
               "cutoff",
               "delta",
               "ece",
               "f1",
               "false_positive_rate",
               "hallucinated_share",
               "hallucination_rate",
               "interval",
               "level",
               "min_f1",
               "min_recall",
               "p",
               "p_difference",
               "p_difference_holm",
               "p_fail",
               "pr_auc",
               "precision",
               "precision_at_recall",
               "rate",
               "recall",
               "right_share",
               "risk",
               "target",
               "top_p",
               "true_positive_rate",
               "value"},
    [CORRELATION] = {"matrix"},
    [AT_MOST_1] = {"prr"},
    [NOT_NEGATIVE] = {"alpha", "fitted", "log_loss", "median_delay", "printed_90", "printed_median",
                      "sd", "temperature", "tolerance"},
    [COUNT] = {"abstained",
               "broken_rows",
               "count",
               "draws",
               "failed",
               "faithful",
               "faithful_halted",
               "file_size",
               "fn",
               "folds",
               "fp",
               "hallucinated",
               "hallucinated_halted",
               "k",
               "label_0",
               "label_1",
               "labels_set",
               "left_out",
               "n",
               "n_samples",
               "outside",
               "outside_alarmed",
               "reliability_n",
               "right",
               "right_halted",
               "rows",
               "samples",
               "scored",
               "shared_prompts",
               "skipped",
               "spans",
               "spans_alarmed",
               "tn",
               "tp"},
    [TOKENS] = {"context", "max_tokens"},
    [LINES] = {"answer_lines"},
};

/* A value in the document, and where it stands. */
typedef struct place {
    const struct place *parent; /* NULL: the document */
    const char *name;           /* NULL: an element of a list */
    size_t index;
} place;

static bool is_bound(const char *name)
{
    return strcmp(name, "lower") == 0 || strcmp(name, "upper") == 0;
}

/* The range of a field; N_RANGES if it has none. The bounds of a band are lists; those of a histogram
 * are numbers of any size. */
static range range_of(const char *name, const json_t *value)
{
    if (is_bound(name)) return json_is_array(value) ? SHARE : N_RANGES;
    range r = SHARE;
    for (; r < N_RANGES; r++)
        for (const char *const *f = fields[r]; *f; f++)
            if (strcmp(*f, name) == 0) return r;
    return r;
}

/* Appends "scores.entropy.auroc_delong.1". */
static bool add_place(hb_buffer *out, const place *at)
{
    char text[80];
    bool ok = !at->parent || (add_place(out, at->parent) && hb_buffer_add_text(out, "."));
    if (at->name) hb_printable(text, sizeof text, at->name, strlen(at->name));
    else snprintf(text, sizeof text, "%zu", at->index);
    return ok && hb_buffer_add_text(out, text);
}

static hb_status check_number(const char *path, double x, range r, const place *at, hb_error *err)
{
    hb_buffer name = {0};
    if (r == N_RANGES || (x >= ranges[r].min - slack && x <= ranges[r].max + slack &&
                          (!ranges[r].whole || x == floor(x))))
        return HB_OK;
    hb_status status = add_place(&name, at) ? hb_fail(err, HB_ERR_FORMAT, "%s: '%s' is %g, not %s",
                                                      path, name.data, x, ranges[r].words)
                                            : hb_fail_memory(err);
    hb_buffer_free(&name);
    return status;
}

/* Checks a value, which is in range `r` if it is a number or a list of numbers. */
static hb_status check_value(const char *path, const json_t *value, range r, const place *at,
                             hb_error *err)
{
    const char *name;
    const json_t *element;
    json_t *member;
    size_t i;
    hb_status status = HB_OK;
    if (json_is_number(value)) return check_number(path, json_number_value(value), r, at, err);
    json_array_foreach(value, i, element)
    {
        const place inner = {at, NULL, i};
        if (!status) status = check_value(path, element, r, &inner, err);
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        const place inner = {at, name, 0};
        if (!status) status = check_value(path, member, range_of(name, member), &inner, err);
    }
    return status;
}

hb_status hb_check_ranges(const char *path, const json_t *root, hb_error *err)
{
    return check_value(path, root, N_RANGES, NULL, err);
}
