/* The parts of reading a row, which rows.c calls. For an unusable row, the functions that return bool
 * return false with the reason in `why`; the status is HB_ERR_MEMORY when memory runs out. */
#ifndef HB_DATA_ROW_PARTS_H
#define HB_DATA_ROW_PARTS_H

#include "data/rows.h"

/* ---- Values (row_values.c) ----------------------------------------------------------------------- */

bool hb_row_no_memory(hb_error *why); /* returns false */

/* Finds the values of a path. No value is a failure. */
bool hb_row_find(const hb_path *path, hb_row *row, hb_values *values, hb_error *why);

/* Appends values as text, one per line. Objects are accepted only with `objects`. */
bool hb_row_add_values(const hb_path *path, const hb_values *values, bool objects, hb_buffer *out,
                       hb_error *why);
bool hb_row_add_path(const hb_path *path, hb_row *row, bool objects, hb_buffer *out, hb_error *why);

/* If the values are one list, these are its elements; otherwise they are the values. */
size_t hb_list_size(const hb_values *values);
const json_t *hb_list_get(const hb_values *values, size_t i);

/* ---- Parts --------------------------------------------------------------------------------------- */

/* Fills row->answers (row_answers.c). */
bool hb_row_read_answers(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Makes the assistant's reply the right answer. */
bool hb_row_read_reply(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Finds the choices of a multiple-choice question. The caller must release them even after a failure.
 */
bool hb_row_find_choices(const hb_mapping *mapping, hb_row *row, hb_texts *choices, hb_error *why);

/* Refuses a blank response that is to be evaluated (row_values.c). */
bool hb_row_check_response(const hb_mapping *mapping, const hb_row *row, int k, hb_error *why);

/* Reads the messages into row->messages and row->conversation. If the last message is the assistant's,
 * it becomes the response (row_messages.c). */
bool hb_row_read_messages(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Fills row->labels, and the responses, spans and answers that go with them (row_labels.c). */
bool hb_row_read_labels(const hb_mapping *mapping, hb_row *row, hb_error *why);

#endif
