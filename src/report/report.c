/* A report: results added one by one, then written as a page or as figures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "report/collect.h"
#include "report/markup.h"
#include "report/page.h"

struct hb_report {
    hb_report_options options;
    char *title; /* NULL: none was given */
    hb_subject *subjects;
    size_t n;
};

/* The fewest bytes of a sample's row, the smallest limit of a page, and the bytes of a page's end with
 * its script. */
enum { ROW_BYTES = 130, LEAST_BYTES = 200000, END_BYTES = 4000 };

hb_report_options hb_report_defaults(void)
{
    return (hb_report_options){.max_bytes = 1000000};
}

hb_status hb_report_open(const hb_report_options *options, hb_report **report, hb_error *err)
{
    hb_report_options o = options ? *options : hb_report_defaults();
    if (o.max_bytes < LEAST_BYTES)
        return hb_fail(err, HB_ERR_ARGUMENT, "max_bytes is %zu, less than %d", o.max_bytes,
                       LEAST_BYTES);
    hb_report *r = calloc(1, sizeof *r);
    if (r && o.title && !(r->title = strdup(o.title))) {
        free(r);
        r = NULL;
    }
    if (!r) return hb_fail_memory(err);
    r->options = o;
    *report = r;
    return HB_OK;
}

void hb_report_close(hb_report *report)
{
    if (!report) return;
    for (size_t i = 0; i < report->n; i++) hb_subject_free(&report->subjects[i]);
    free(report->subjects);
    free(report->title);
    free(report);
}

/* ---- Adding results ------------------------------------------------------------------------------ */

/* Takes over the subject; frees it on failure. */
static hb_status add(hb_report *r, hb_subject *subject, hb_error *err)
{
    hb_status status = HB_OK;
    if (r->n == HB_REPORT_RESULTS)
        status = hb_fail(err, HB_ERR_ARGUMENT, "a report has at most %d results", HB_REPORT_RESULTS);
    hb_subject *list = status ? NULL : reallocarray(r->subjects, r->n + 1, sizeof *list);
    if (!list) {
        hb_subject_free(subject);
        return status ? status : hb_fail_memory(err);
    }
    r->subjects = list;
    r->subjects[r->n++] = *subject;
    return HB_OK;
}

hb_status hb_report_add_file(hb_report *report, const char *path, hb_error *err)
{
    hb_subject subject;
    hb_status status = hb_subject_read_file(path, &subject, err);
    return status ? status : add(report, &subject, err);
}

/* Adds a document, with the samples of its run. Frees the document. */
static hb_status add_document(hb_report *r, const char *name, char *json, hb_run *run,
                              const hb_judged_sample *judged, size_t n, const hb_judge_rule *rule,
                              hb_error *err)
{
    hb_subject subject;
    hb_status status = hb_subject_read(name, name, json, strlen(json), &subject, err);
    free(json);
    if (status) return status;
    if (run)
        status =
            hb_collect_samples(&subject, run, judged, n, rule, r->options.max_bytes / ROW_BYTES, err);
    if (status) {
        hb_subject_free(&subject);
        return status;
    }
    return add(r, &subject, err);
}

hb_status hb_report_add_calibration(hb_report *report, const char *name, const hb_params_source *source,
                                    const hb_calibration_result *r, hb_run *run, hb_error *err)
{
    char *json;
    const hb_judge_rule rule = {r->scores[0].name, r->sweep.best.tau, r->map.lambda, r->sweep.direction,
                                &r->map};
    hb_status status = hb_params_json(source, r, &json, err);
    if (status) return status;
    return add_document(report, name, json, run, r->judged, r->n_judged, &rule, err);
}

hb_status hb_report_add_validation(hb_report *report, const char *name,
                                   const hb_validation_source *source, const hb_validation_result *r,
                                   hb_run *run, hb_error *err)
{
    char *json;
    const hb_params *p = r->params;
    const hb_judge_rule rule = {p->score, p->tau, p->lambda, p->direction, &p->map};
    hb_status status = hb_validation_json(source, r, &json, err);
    if (status) return status;
    return add_document(report, name, json, run, r->judged, r->n_judged, &rule, err);
}

/* ---- The page ------------------------------------------------------------------------------------ */

/* "hbar report: A, B", written into `title`. */
static hb_status make_title(const hb_report *r, char **title, hb_error *err)
{
    hb_writer w = {0};
    if (r->title) hb_write(&w, "%s", r->title);
    else hb_write(&w, "hbar report: ");
    for (size_t i = 0; i < r->n && !r->title; i++)
        hb_write(&w, "%s%.200s", i ? ", " : "", r->subjects[i].name);
    return hb_writer_finish(&w, title, err);
}

static void put_contents(hb_writer *w, const hb_report *r)
{
    hb_write(w, "<nav aria-label=\"Contents\"><ul>\n");
    if (r->n > 1) hb_write(w, "<li><a href=\"#comparison\">Side by side</a></li>\n");
    for (size_t i = 0; i < r->n; i++) {
        hb_write(w, "<li><a href=\"#r%zu\">", i);
        hb_markup_some(w, r->subjects[i].name, 100);
        hb_write(w, "</a></li>\n");
        if (r->subjects[i].has_samples) hb_write(w, "<li><a href=\"#s%zu\">Its samples</a></li>\n", i);
    }
    hb_write(w, "</ul></nav>\n");
}

static size_t count_runs(const hb_report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) n += r->subjects[i].has_samples;
    return n;
}

/* The bytes that the page has left. */
static size_t room_of(const hb_writer *w, const hb_report *r)
{
    size_t used = w->text.length + END_BYTES;
    return used < r->options.max_bytes ? r->options.max_bytes - used : 0;
}

/* Writes the parts of all results, with as much detail as there is room for. A quarter of the room is
 * kept for samples. */
static void put_parts(hb_writer *w, const hb_report *r)
{
    size_t room = room_of(w, r);
    hb_writer parts = {0};
    if (count_runs(r)) room -= room / 4;
    for (int detail = HB_DETAIL_ALL; detail <= HB_DETAIL_NUMBERS; detail++) {
        hb_buffer_free(&parts.text);
        parts = (hb_writer){0};
        for (size_t i = 0; i < r->n; i++) hb_page_parts(&parts, &r->subjects[i], i, (hb_detail)detail);
        if (parts.failed || parts.text.length <= room) break;
    }
    if (parts.failed) w->failed = true;
    hb_write_bytes(w, parts.text.data, parts.text.length);
    hb_buffer_free(&parts.text);
}

/* Writes the samples of each run. The runs share the bytes that the page has left. */
static void put_samples(hb_writer *w, const hb_report *r)
{
    size_t left = count_runs(r);
    for (size_t i = 0; i < r->n; i++) {
        if (!r->subjects[i].has_samples) continue;
        hb_page_samples(w, &r->subjects[i], i, room_of(w, r) / left);
        left--;
    }
}

hb_status hb_report_html(const hb_report *report, char **html, hb_error *err)
{
    hb_writer w = {0};
    char *title;
    if (!report->n) return hb_fail(err, HB_ERR_ARGUMENT, "the report has no results");
    hb_status status = make_title(report, &title, err);
    if (status) return status;
    status = hb_page_begin(&w, title, true, err);
    free(title);
    if (!status) {
        put_contents(&w, report);
        if (report->n > 1) hb_page_comparison(&w, report->subjects, report->n);
        put_parts(&w, report);
        put_samples(&w, report);
        hb_page_end(&w, true);
        return hb_writer_finish(&w, html, err);
    }
    hb_buffer_free(&w.text);
    return status;
}

/* ---- Figures ------------------------------------------------------------------------------------- */

/* Writes name as the beginning of a file name: letters, digits, "-" and "_" stay. */
static void put_name(char *out, size_t size, const char *subject, const char *figure, bool with_subject)
{
    size_t n = 0;
    const char *dot = strrchr(subject, '.');
    size_t length = dot && dot > subject ? (size_t)(dot - subject) : strlen(subject);
    for (size_t i = 0; i < length && n + 40 < size && with_subject; i++) {
        char c = subject[i];
        bool kept =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        out[n++] = kept ? c : '_';
    }
    if (with_subject) out[n++] = '_';
    for (size_t i = 0; figure[i] && n + 1 < size; i++) out[n++] = figure[i];
    out[n] = '\0';
}

/* Finds the k-th figure that can be drawn; true if it was written, or if memory ran out, which w shows.
 * Else *k is reduced by their number. */
static bool draw_subject(hb_writer *w, const hb_subject *s, size_t *k, hb_figure_words *words)
{
    for (size_t i = 0;; i++) {
        hb_writer picture = {0};
        bool drawn = hb_page_figure(&picture, true, s, i, words);
        bool wanted = picture.failed || (drawn && (*k)-- == 0);
        if (wanted) *w = picture;
        else hb_buffer_free(&picture.text);
        if (wanted) return true;
        if (!words->name) return false;
    }
}

hb_status hb_report_figure(const hb_report *report, size_t i, char name[HB_FIGURE_NAME_BYTES],
                           char **svg, hb_error *err)
{
    hb_writer w = {0};
    hb_figure_words words;
    bool several = report->n > 1, found = false;
    char numbered[HB_FIGURE_NAME_BYTES];
    if (several && i < 2) {
        if (i == 0) hb_page_overlay(&w, true, report->subjects, report->n);
        else hb_page_aurocs(&w, true, report->subjects, report->n);
        put_name(name, HB_FIGURE_NAME_BYTES, "", i ? "aurocs" : "rocs", false);
        return hb_writer_finish(&w, svg, err);
    }
    if (several) i -= 2;
    for (size_t s = 0; s < report->n && !found; s++) {
        found = draw_subject(&w, &report->subjects[s], &i, &words);
        if (!found) continue;
        snprintf(numbered, sizeof numbered, "%zu_%.100s", s + 1, report->subjects[s].name);
        put_name(name, HB_FIGURE_NAME_BYTES, numbered, words.name, several);
    }
    if (found) return hb_writer_finish(&w, svg, err);
    *svg = NULL;
    return HB_OK;
}
