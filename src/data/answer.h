/* Where a model's answer begins and ends in its text, found while the text grows. Generation asks after
 * each token whether the answer has ended; grading asks at the end where it stood. */
#ifndef HB_DATA_ANSWER_H
#define HB_DATA_ANSWER_H

#include "base/error.h"

#define HB_ANSWER_LINE   160 /* bytes of a line that are looked at; a longer one is no lead-in */
#define HB_ANSWER_MARKER 32  /* bytes of the longest marker, at most */

/* Starts by hb_answer_scan_start; its fields are the scan's own. */
typedef struct hb_answer_scan {
    int32_t lines, n_lines;           /* asked for, below 0 all; of the answer, ended so far */
    size_t at;                        /* bytes taken */
    const struct hb_answer_block *in; /* the reasoning block that is open; NULL: none */
    char line[HB_ANSWER_LINE];        /* the line in hand from its first byte that is not blank, */
    size_t line_start, line_length;   /* and where that stands */
    char tail[HB_ANSWER_MARKER];      /* the last bytes taken */
    size_t skipped;                   /* where the first line that was skipped begins */
    bool has_skipped, has_block, ended;
    size_t start, end; /* of the answer: start once n_lines is not 0, end once it ended */
} hb_answer_scan;

/* An answer of at most `lines` lines that are not blank; 0: of one; HB_ALL_LINES: only a marker such as
 * </answer> ends it. */
void hb_answer_scan_start(hb_answer_scan *scan, int32_t lines);

/* Takes the next bytes of the text, which may be cut anywhere, within characters, too. True once the
 * answer has ended: with the line end of its last line, or with a marker. */
bool hb_answer_scan_add(hb_answer_scan *scan, const char *bytes, size_t length);

/* The marker of a reasoning block that a prompt opens at its very end, as chat templates with thinking
 * switched on do; NULL for none. The text that the model goes on with is scanned, kept and graded with
 * this marker put before it. */
const char *hb_answer_opened_block(const char *prompt, size_t length);

/* Whether a control token, as the vocabulary spells it, is one of the markers or a part of one. Control
 * tokens stand for no bytes, so such a one is to be kept in the text by its spelling. */
bool hb_answer_is_marker(const char *piece, size_t length);

#endif
