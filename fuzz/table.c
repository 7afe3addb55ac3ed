/* The input is a table of scores and labels: read, calibrated, and read as labels. */
#include <math.h>
#include "fuzz.h"

static void calibrate(const hb_score_table *t, const char *const *names)
{
    hb_error err;
    hb_calibration_result r;
    hb_calibrate_options o = hb_calibrate_defaults();
    o.bootstrap.n_draws = 0;
    o.sweep.grid = HB_GRID_EXACT;
    o.map = HB_MAP_ISOTONIC;
    if (hb_calibrate(t, names, &o, &r, &err)) return;
    require(isfinite(r.sweep.best.tau) && r.sweep.auroc >= 0 && r.sweep.auroc <= 1);
    hb_calibration_result_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choices c = {data, size};
    hb_error err;
    hb_table *table;
    hb_score_table t;
    hb_labels labels;
    hb_table_options o = hb_table_defaults();
    uint8_t options = choose(&c);
    o.label_is_correct = options & 1;
    o.positive = options & 2 ? "yes" : NULL;
    o.strict = options & 4;
    static const char *const names[] = {"a", "entropy"};
    if (options & 8) o.score_columns = names;
    if (options & 8) o.n_scores = 1 + (options >> 4) % 2;
    if (hb_table_open(file_of(c.at, c.left), &table, &err)) return 0;
    if (!hb_table_scores(table, &o, &t, &err)) {
        for (size_t i = 0; i < t.n * t.n_scores; i++) require(isfinite(t.scores[i]));
        for (size_t i = 0; i < t.n; i++) require(t.labels[i] < 2);
        calibrate(&t, o.n_scores ? o.score_columns : names);
        hb_score_table_free(&t);
    }
    if (!hb_table_labels(table, NULL, &labels, &err)) hb_labels_free(&labels);
    hb_table_close(table);
    return 0;
}
