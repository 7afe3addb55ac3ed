/* Finds where the answer begins and ends in a model's text, while the text grows. Generation asks after
 * each token whether the answer has ended; grading asks at the end where the answer is. */
#ifndef HB_BASE_ANSWER_H
#define HB_BASE_ANSWER_H

#include "base/error.h"

#define HB_ANSWER_LINE   160 /* a longer line is not a lead-in */
#define HB_ANSWER_MARKER 32  /* upper limit for the bytes of a marker */

/* The state of a scan. Initialise it with hb_answer_scan_start; the fields are private. */
typedef struct hb_answer_scan {
    int32_t lines,
        n_lines; /* maximum number of lines, below 0 all; number of ended lines of the answer */
    size_t at;   /* bytes read */
    const struct hb_answer_block *in; /* the open reasoning block; NULL: none */
    char line[HB_ANSWER_LINE];        /* the current line from its first byte that is not blank */
    size_t line_start, line_length;   /* place of that byte */
    char tail[HB_ANSWER_MARKER];      /* the last bytes read */
    size_t skipped;                   /* beginning of the first skipped line */
    bool has_skipped, has_block, ended;
    size_t start,
        end; /* of the answer; start is set when n_lines is not 0, end when the answer ended */
} hb_answer_scan;

/* Starts a scan for an answer of at most `lines` lines that are not blank. 0 means one line. With
 * HB_ALL_LINES only a marker such as </answer> ends the answer. */
void hb_answer_scan_start(hb_answer_scan *scan, int32_t lines);

/* Reads the next bytes of the text, which may be divided anywhere, also within characters. Returns
 * whether the answer has ended, with the line end of its last line or with a marker. */
bool hb_answer_scan_add(hb_answer_scan *scan, const char *bytes, size_t length);

/* The marker of a reasoning block that a prompt opens at its end, as chat templates with thinking do;
 * NULL for none. The generated text is scanned, stored and graded with this marker before it. */
const char *hb_answer_opened_block(const char *prompt, size_t length);

/* Whether a control token's spelling is one of the markers or a part of one. Control tokens have no
 * bytes, so such a token is added to the text with its spelling. */
bool hb_answer_is_marker(const char *piece, size_t length);

#endif
