/* Divides a text into sentences. */
#ifndef HB_MEASURES_SENTENCES_H
#define HB_MEASURES_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

/* Finds the next sentence of a text from *at on. Sets *start and *end to its bytes without surrounding
 * white space, and *at behind it. A sentence ends with a line, or with one of . ! ? and closing marks
 * before white space; a full stop after one letter or a known abbreviation ("J.", "Dr.") does not end
 * it. Ideographic full stops end it, too. False if there is none. */
bool hb_sentence_next(const char *text, size_t length, size_t *at, size_t *start, size_t *end);

#endif
