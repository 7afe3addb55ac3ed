/* The parts of reading a row, which rows.c puts together. A function that returns bool gives false with
 * the reason in `why` for a row that cannot be used, with HB_ERR_MEMORY when memory ran out.
 */
#ifndef HB_DATA_ROW_PARTS_H
#define HB_DATA_ROW_PARTS_H

#include "data/rows.h"

/* ---- Values (row_values.c) ----------------------------------------------------------------------- */

bool hb_row_no_memory(hb_error *why); /* false */

/* What a path leads to, which must be something. */
bool hb_row_find(const hb_path *path, hb_row *row, hb_values *values, hb_error *why);

/* Appends values as text, line by line. Objects are text only where `objects` says so. */
bool hb_row_add_values(const hb_path *path, const hb_values *values, bool objects, hb_buffer *out,
                       hb_error *why);
bool hb_row_add_path(const hb_path *path, hb_row *row, bool objects, hb_buffer *out, hb_error *why);

/* The elements of the one list that the values are, else the values. */
size_t hb_list_size(const hb_values *values);
const json_t *hb_list_get(const hb_values *values, size_t i);

/* ---- Parts --------------------------------------------------------------------------------------- */

/* Fills row->answers (row_answers.c). */
bool hb_row_read_answers(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Makes the assistant's reply the right answer. */
bool hb_row_read_reply(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* The texts of the choices of a question with letters; whatever is returned, the caller then owns them.
 */
bool hb_row_find_choices(const hb_mapping *mapping, hb_row *row, hb_texts *choices, hb_error *why);

/* Reads the messages into row->messages, ->conversation and, where the last one is the assistant's, the
 * response (row_messages.c). */
bool hb_row_read_messages(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Fills row->labels, and with them responses, spans and answers (row_labels.c). */
bool hb_row_read_labels(const hb_mapping *mapping, hb_row *row, hb_error *why);

#endif
