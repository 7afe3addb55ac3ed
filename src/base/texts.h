/* A list of texts that owns them. Starts as a zeroed struct. */
#ifndef HB_BASE_TEXTS_H
#define HB_BASE_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct hb_texts {
    char **list; /* [n], zero-terminated */
    size_t n, room;
} hb_texts;

bool hb_texts_has(const hb_texts *texts, const char *text);

/* Appends a copy of `text` [length]. False when memory runs out. */
bool hb_texts_add(hb_texts *texts, const char *text, size_t length);

/* The same for a zero-terminated text that the list does not have; does nothing if it has it. */
bool hb_texts_add_once(hb_texts *texts, const char *text);

void hb_texts_clear(hb_texts *texts); /* empties the list and keeps its array */
void hb_texts_free(hb_texts *texts);

#endif
