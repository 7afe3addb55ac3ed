/* Lists the results in a folder: runs, parameters and validations. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "calibrate/names.h"
#include "report/page.h"
#include "report/params.h"

/* The beginning of a file, which tells what it is. */
enum { HEAD_BYTES = 512 };

const char *hb_result_kind_name(hb_result_kind kind)
{
    static const char *const names[] = {[HB_RESULT_RUN] = "run",
                                        [HB_RESULT_PARAMS] = "parameters",
                                        [HB_RESULT_VALIDATION] = "validation",
                                        [HB_RESULT_DAMAGED] = "damaged"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

static void free_result(hb_result *r)
{
    free(r->path);
    free(r->reason);
    free(r->model);
    free(r->data);
    free(r->grade);
    free(r->score);
    free(r->created);
}

void hb_result_list_free(hb_result_list *list)
{
    if (!list) return;
    for (size_t i = 0; i < list->n; i++) free_result(&list->list[i]);
    free(list->list);
    *list = (hb_result_list){0};
}

/* ---- What a file is ------------------------------------------------------------------------------ */

typedef enum guess { OTHER, RUN, DOCUMENT } guess;

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Reads the beginning of a regular file as a text; false if it cannot be read. */
static bool read_head(const char *path, char head[HEAD_BYTES + 1])
{
    int fd = hb_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    ssize_t n = fd < 0 ? 0 : read(fd, head, HEAD_BYTES);
    if (fd >= 0) close(fd);
    head[n > 0 ? n : 0] = '\0';
    return fd >= 0 && n >= 0;
}

/* Guesses from the name and the beginning. A file whose beginning cannot be read may be a document. */
static guess guess_kind(const char *path)
{
    char head[HEAD_BYTES + 1];
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return OTHER;
    bool readable = read_head(path, head);
    if (ends_in(path, ".db") || strcmp(head, "SQLite format 3") == 0) return RUN;
    if (!ends_in(path, ".json")) return OTHER;
    bool ours = !readable || strstr(head, "\"" HB_PARAMS_SCHEMA "\"") ||
                strstr(head, "\"" HB_VALIDATION_SCHEMA "\"");
    return ours ? DOCUMENT : OTHER;
}

/* ---- Runs ---------------------------------------------------------------------------------------- */

typedef struct tally {
    const hb_grading *grading;
    size_t n, hallucinated;
} tally;

static hb_status count_label(void *user, const hb_run_sample *sample)
{
    tally *t = user;
    int label = sample->text ? hb_run_label(sample, t->grading) : HB_LABEL_NONE;
    t->n += label != HB_LABEL_NONE;
    t->hallucinated += label == 1;
    return HB_OK;
}

/* Copies a text; NULL and an empty text give NULL. False when memory runs out. */
static bool copy_text(const char *text, char **copy)
{
    if (!text || !*text) return true;
    *copy = strdup(text);
    return *copy;
}

/* Sets the rate of hallucinations. Unknown where grades decide, but the run does not say by which rule.
 */
static hb_status find_rate(hb_run *run, const hb_run_counts *counts, hb_result *r, hb_error *err)
{
    const char *text = hb_run_get_settings(run)->grading;
    hb_grading grading = hb_grading_defaults();
    hb_error why;
    tally t = {.grading = &grading};
    if (counts->graded && !*text) return HB_OK;
    if (*text && hb_grading_parse(text, &grading, &why))
        return hb_fail(err, HB_ERR_FORMAT, "%s: setting 'grading': %s", r->path, why.message);
    hb_status status = hb_run_each(run, count_label, &t, err);
    if (status) return status;
    if (t.n) r->hallucination_rate = (double)t.hallucinated / (double)t.n;
    return !counts->graded || copy_text(hb_grade_rule_name(grading.rule), &r->grade)
               ? HB_OK
               : hb_fail_memory(err);
}

static hb_status read_run(hb_result *r, hb_error *err)
{
    hb_run *run;
    hb_run_counts counts;
    hb_status status = hb_run_open(r->path, &run, err);
    if (status) return status;
    const hb_run_settings *s = hb_run_get_settings(run);
    status = hb_run_count(run, &counts, err);
    if (!status) status = find_rate(run, &counts, r, err);
    if (!status && (!copy_text(s->model_name, &r->model) || !copy_text(s->data_path, &r->data)))
        status = hb_fail_memory(err);
    if (!status) {
        r->kind = HB_RESULT_RUN;
        r->n_drawn = counts.total;
        r->n_scored = counts.scored;
        r->shard = s->shard;
        r->shards = s->shards;
    }
    hb_run_close(run);
    return status;
}

/* ---- Documents ----------------------------------------------------------------------------------- */

/* A count of the document; 0 if it has none. */
static uint64_t count_at(const json_t *root, const char *path)
{
    double n = hb_member_number(root, path);
    return n > 0 && n < 1e15 ? (uint64_t)n : 0;
}

static hb_status read_document(hb_result *r, hb_error *err)
{
    hb_subject s;
    hb_status status = hb_subject_read_file(r->path, &s, err);
    if (status) return status;
    const char *sign = hb_member_text(s.main, "direction");
    r->kind = s.is_validation ? HB_RESULT_VALIDATION : HB_RESULT_PARAMS;
    r->n_drawn = count_at(s.root, "data.samples");
    r->n_scored = count_at(s.main, s.is_validation ? "n" : "score.n");
    r->hallucination_rate = hb_page_rate(&s);
    r->auroc = hb_member_number(s.main, "auroc");
    r->interval = hb_page_auroc_interval(&s);
    r->tau = s.tau;
    if (sign) hb_direction_by_sign(sign, &r->direction);
    if (!copy_text(hb_member_text(s.root, "model.name"), &r->model) ||
        !copy_text(hb_member_text(s.root, s.is_validation ? "source" : "data.path"), &r->data) ||
        !copy_text(hb_member_text(s.root, s.is_validation ? "grade" : "settings.grade"), &r->grade) ||
        !copy_text(hb_member_text(s.root, "created"), &r->created) || !copy_text(s.score, &r->score))
        status = hb_fail_memory(err);
    hb_subject_free(&s);
    return status;
}

/* ---- The folder ---------------------------------------------------------------------------------- */

/* Fills in a result whose path is set. A file that cannot be read is damaged; only missing memory is an
 * error. */
static hb_status describe(hb_result *r, guess kind, hb_error *err)
{
    hb_error why;
    hb_status status = kind == RUN ? read_run(r, &why) : read_document(r, &why);
    if (!status) return HB_OK;
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    r->kind = HB_RESULT_DAMAGED;
    r->reason = strdup(why.message);
    return r->reason ? HB_OK : hb_fail_memory(err);
}

static hb_status add_file(hb_result_list *list, const char *dir, const char *name, hb_error *err)
{
    char *path;
    if (asprintf(&path, "%s/%s", dir, name) < 0) return hb_fail_memory(err);
    guess kind = guess_kind(path);
    hb_result *grown = kind == OTHER ? NULL : reallocarray(list->list, list->n + 1, sizeof *list->list);
    if (!grown) {
        free(path);
        return kind == OTHER ? HB_OK : hb_fail_memory(err);
    }
    list->list = grown;
    list->list[list->n] = (hb_result){.path = path,
                                      .auroc = NAN,
                                      .tau = NAN,
                                      .hallucination_rate = NAN,
                                      .interval = {NAN, NAN},
                                      .direction = HB_DIRECTION_AUTO};
    return describe(&list->list[list->n++], kind, err);
}

static int by_path(const void *a, const void *b)
{
    const hb_result *x = a, *y = b;
    return strcmp(x->path, y->path);
}

hb_status hb_results_list(const char *dir, hb_result_list *list, hb_error *err)
{
    hb_result_list l = {0};
    const struct dirent *entry;
    hb_status status = HB_OK;
    DIR *folder = opendir(dir);
    if (!folder) return hb_fail(err, HB_ERR_IO, "%s: %s", dir, strerror(errno));
    while (!status && (entry = readdir(folder)) != NULL)
        if (*entry->d_name != '.') status = add_file(&l, dir, entry->d_name, err);
    closedir(folder);
    if (status) {
        hb_result_list_free(&l);
        return status;
    }
    if (l.n) qsort(l.list, l.n, sizeof *l.list, by_path);
    *list = l;
    return HB_OK;
}
