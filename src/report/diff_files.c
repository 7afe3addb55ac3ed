/* Compares two documents: parameters or validations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "calibrate/diff.h"
#include "calibrate/names.h"
#include "report/page.h"

/* ---- Settings ------------------------------------------------------------------------------------ */

enum { DEPTH = 4, PATH_BYTES = 300 };

/* A value as a text; NULL for null, for none and for lists. *ok becomes false when memory runs out. */
static char *text_of(const json_t *value, bool *ok)
{
    char *text;
    if (json_is_string(value)) text = strdup(json_string_value(value));
    else if (json_is_number(value) || json_is_boolean(value))
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
    else return NULL;
    if (!text) *ok = false;
    return text;
}

static bool compare_values(hb_diff *d, const char *path, const json_t *a, const json_t *b, int depth);

/* Compares the members of `a` with those of `b`; where `also` is set, only those that `b` lacks. */
static bool compare_members(hb_diff *d, const char *path, const json_t *a, const json_t *b, bool also,
                            int depth)
{
    const char *name;
    json_t *value;
    bool ok = true;
    json_object_foreach((json_t *)(uintptr_t)a, name, value)
    {
        char inner[PATH_BYTES];
        const json_t *other = json_object_get(b, name);
        if (!ok || (also && other)) continue;
        snprintf(inner, sizeof inner, "%s.%s", path, name);
        ok = also ? compare_values(d, inner, NULL, value, depth + 1)
                  : compare_values(d, inner, value, other, depth + 1);
    }
    return ok;
}

/* Adds what differs between two values, member by member. False when memory runs out. */
static bool compare_values(hb_diff *d, const char *path, const json_t *a, const json_t *b, int depth)
{
    if (depth > DEPTH) return true;
    if (json_is_object(a) || json_is_object(b))
        return compare_members(d, path, a, b, false, depth) &&
               compare_members(d, path, b, a, true, depth);
    bool ok = true;
    char *x = text_of(a, &ok), *y = text_of(b, &ok);
    ok = ok && hb_diff_add_setting(d, path, x, y);
    free(x);
    free(y);
    return ok;
}

static bool compare_settings(hb_diff *d, const hb_subject *a, const hb_subject *b)
{
    static const char *const parts[] = {"model", "data", "settings"};
    bool ok = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && ok; i++)
        ok = compare_values(d, parts[i], json_object_get(a->root, parts[i]),
                            json_object_get(b->root, parts[i]), 0);
    return ok && hb_diff_add_setting(d, "score", a->score, b->score);
}

/* ---- Scores -------------------------------------------------------------------------------------- */

static const hb_ranked *find(const hb_ranked *rows, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!rows[i].control && strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

/* The direction of a score in its row of the document. */
static hb_direction direction_of(const hb_subject *s, const char *name)
{
    const json_t *row = NULL, *ranking = json_object_get(s->root, "ranking");
    hb_direction direction = HB_DIRECTION_AUTO;
    if (s->is_validation) row = json_object_get(json_object_get(s->root, "scores"), name);
    for (size_t i = 0; i < json_array_size(ranking) && !row; i++) {
        const char *other = hb_member_text(json_array_get(ranking, i), "name");
        if (other && strcmp(other, name) == 0) row = json_array_get(ranking, i);
    }
    if (!row && strcmp(s->score, name) == 0) row = s->root;
    const char *sign = hb_member_text(row, "direction");
    if (sign) hb_direction_by_sign(sign, &direction);
    return direction;
}

static bool compare_rankings(hb_diff *d, const hb_subject subjects[2])
{
    hb_ranked *rows[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    bool ok = hb_page_ranking(&subjects[0], &rows[0], &n[0]) &&
              hb_page_ranking(&subjects[1], &rows[1], &n[1]);
    for (size_t i = 0; i < n[0] && ok; i++) {
        const hb_ranked *pair[2] = {&rows[0][i], find(rows[1], n[1], rows[0][i].name)};
        if (pair[0]->control || !pair[1]) continue;
        hb_compared_result *s = hb_diff_add_score(d, pair[0]->name);
        ok = s != NULL;
        for (int r = 0; r < 2 && ok; r++) {
            s->auroc[r] = pair[r]->auroc;
            s->interval[r] = (hb_interval){pair[r]->lower, pair[r]->upper};
            s->direction[r] = direction_of(&subjects[r], s->name);
        }
    }
    free(rows[0]);
    free(rows[1]);
    return ok;
}

/* The samples of the document's score. */
static size_t samples_of(const hb_subject *s)
{
    double n = hb_member_number(s->main, s->is_validation ? "n" : "score.n");
    return n > 0 && n < 1e15 ? (size_t)n : 0;
}

hb_status hb_diff_files(const char *a, const char *b, hb_diff *diff, hb_error *err)
{
    const char *const paths[2] = {a, b};
    hb_subject subjects[2] = {0};
    hb_diff d = {0};
    hb_status status = HB_OK;
    for (int r = 0; r < 2 && !status; r++) {
        status = hb_subject_read_file(paths[r], &subjects[r], err);
        if (!status) d.n[r] = samples_of(&subjects[r]);
    }
    if (!status &&
        (!compare_settings(&d, &subjects[0], &subjects[1]) || !compare_rankings(&d, subjects)))
        status = hb_fail_memory(err);
    if (!status)
        status = hb_diff_leave_untested(&d,
                                        "parameters and validations have no samples; a paired test "
                                        "needs two runs",
                                        err);
    hb_subject_free(&subjects[0]);
    hb_subject_free(&subjects[1]);
    if (status) {
        hb_diff_free(&d);
        return status;
    }
    hb_diff_sort(&d);
    *diff = d;
    return HB_OK;
}
