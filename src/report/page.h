/* The parts of a report's page. */
#ifndef HB_REPORT_PAGE_H
#define HB_REPORT_PAGE_H

#include "report/figures.h"
#include "report/subject.h"

/* Begin and end the document. The page's own script is the only one that may run: the policy has its
 * hash.
 */
hb_status hb_page_begin(hb_writer *w, const char *title, bool script, hb_error *err);
void hb_page_end(hb_writer *w, bool script);

/* What the parts of a result contain. */
typedef enum hb_detail {
    HB_DETAIL_ALL,
    HB_DETAIL_FIGURES, /* no tables with the figures' numbers */
    HB_DETAIL_NUMBERS  /* no figures either */
} hb_detail;

/* The comparison of several results, and the parts of one (page_parts.c). `id` makes the names of
 * anchors unique. */
void hb_page_comparison(hb_writer *w, const hb_subject *subjects, size_t n);
void hb_page_parts(hb_writer *w, const hb_subject *subject, size_t id, hb_detail detail);

/* The samples, in at most `room` bytes (page_samples.c). */
void hb_page_samples(hb_writer *w, const hb_subject *subject, size_t id, size_t room);

/* Text whose tokens [n] have the colours of their levels, P_fail in tenths. Those below HB_PLAIN_LEVELS
 * stay plain. */
#define HB_PLAIN_LEVELS 2
void hb_page_tokens(hb_writer *w, const char *text, size_t length, const uint8_t *levels,
                    const hb_response_span *characters, size_t n);

/* The figures of a subject (page_figures.c): writes figure number i, or returns false if there is none.
 */
typedef struct hb_figure_words {
    const char *name, *title, *words; /* of the file; heading; how to read it */
} hb_figure_words;
bool hb_page_figure(hb_writer *w, bool alone, const hb_subject *subject, size_t i,
                    hb_figure_words *words);
/* The ROC curves of several results. */
void hb_page_overlay(hb_writer *w, bool alone, const hb_subject *subjects, size_t n);
/* The AUROCs of several results. HB_ERR_MEMORY is remembered by the writer. */
void hb_page_aurocs(hb_writer *w, bool alone, const hb_subject *subjects, size_t n);

/* The interval of the main AUROC; NaN: unknown. */
hb_interval hb_page_auroc_interval(const hb_subject *subject);
/* The share of hallucinated samples; NaN: unknown. */
double hb_page_rate(const hb_subject *subject);

/* The rows of the ranking, then those of the controls. Release *rows with free(). False when memory
 * runs out. */
bool hb_page_ranking(const hb_subject *subject, hb_ranked **rows, size_t *n);

#endif
