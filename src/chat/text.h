/* Texts of a chat template. Every operation keeps the marks: bytes derived from a message still belong
 * to the message. */
#ifndef HB_CHAT_TEXT_H
#define HB_CHAT_TEXT_H

#include "chat/value.h"

/* A text that is built piece by piece. Start from a zeroed struct. */
typedef struct hb_jbuilder {
    char *bytes;
    uint8_t *marks; /* NULL: all bytes have `mark` */
    size_t length, room;
    uint8_t mark;
} hb_jbuilder;

void hb_jadd(hb_jinja *j, hb_jbuilder *b, const hb_jtext *text);
void hb_jadd_bytes(hb_jinja *j, hb_jbuilder *b, const char *bytes, size_t n, uint8_t mark);
void hb_jadd_literal(hb_jinja *j, hb_jbuilder *b,
                     const char *bytes); /* zero-terminated text of the template */
void hb_jadd_character(hb_jinja *j, hb_jbuilder *b, int32_t codepoint, uint8_t mark);
const hb_jtext *hb_jbuilt(hb_jinja *j, const hb_jbuilder *b); /* ends the use of the builder */

uint8_t hb_jmark_at(const hb_jtext *t, size_t at);
uint8_t
hb_jmark_of(const hb_jtext *t); /* the first mark that is not the template's, or the template's */
/* The bytes in [from, to). */
const hb_jtext *hb_jpart_of(hb_jinja *j, const hb_jtext *t, size_t from, size_t to);
const hb_jtext *hb_jjoin(hb_jinja *j, const hb_jtext *a, const hb_jtext *b);
bool hb_jtext_is(const hb_jtext *t, const char *literal);
bool hb_jsame_text(const hb_jtext *a, const hb_jtext *b);

/* Returns the number of bytes of the character at `at`, which is before the end. Sets its code point,
 * or -1 if it is malformed. */
size_t hb_jcharacter(const hb_jtext *t, size_t at, int32_t *codepoint);
size_t hb_jcharacter_before(const hb_jtext *t, size_t at,
                            int32_t *codepoint);  /* the same for the character that ends at `at` */
size_t hb_jcount(hb_jinja *j, const hb_jtext *t); /* number of characters */
size_t hb_jplace(hb_jinja *j, const hb_jtext *t,
                 size_t characters);  /* offset of a character in bytes */
bool hb_jis_space(int32_t codepoint); /* like Python's str.isspace */

/* The offset of `part` at or after `from`; SIZE_MAX if it does not occur. */
size_t hb_jfind_text(hb_jinja *j, const hb_jtext *t, const hb_jtext *part, size_t from);
size_t hb_jfind_last(hb_jinja *j, const hb_jtext *t, const hb_jtext *part, size_t before);
bool hb_jends_with(const hb_jtext *t, const hb_jtext *part);
bool hb_jstarts_with(const hb_jtext *t, const hb_jtext *part);

/* Removes the characters of `set` (NULL: white space) from the chosen ends. */
enum { HB_J_LEFT = 1, HB_J_RIGHT = 2 };
const hb_jtext *hb_jstrip(hb_jinja *j, const hb_jtext *t, const hb_jtext *set, unsigned ends);

typedef enum hb_jcase { HB_J_LOWER, HB_J_UPPER, HB_J_CAPITAL, HB_J_TITLE } hb_jcase;
const hb_jtext *hb_jchange_case(hb_jinja *j, const hb_jtext *t, hb_jcase to);

/* Replaces at most `limit` occurrences from the left; all if `limit` is below 0. */
const hb_jtext *hb_jreplace(hb_jinja *j, const hb_jtext *t, const hb_jtext *old, const hb_jtext *new,
                            int64_t limit);
/* Splits at `separator` (NULL: white space), at most `limit` times; without limit if it is below 0. */
hb_jlist *hb_jsplit(hb_jinja *j, const hb_jtext *t, const hb_jtext *separator, int64_t limit);
hb_jlist *hb_jsplit_right(hb_jinja *j, const hb_jtext *t, const hb_jtext *separator, int64_t limit);
hb_jlist *hb_jlines(hb_jinja *j, const hb_jtext *t, bool keep_ends);

/* ---- Values as text (print.c) -------------------------------------------------------------------- */

/* Writes a value like Python's str and repr. */
void hb_jprint(hb_jinja *j, hb_jbuilder *b, hb_jvalue v);
void hb_jrepr(hb_jinja *j, hb_jbuilder *b, hb_jvalue v);
const hb_jtext *hb_jto_text(hb_jinja *j, hb_jvalue v);
/* Writes a real number like Python's repr: the shortest text that gives the same number when read. */
void hb_jreal_text(double real, char out[64]);

/* Writes a value like Python's json.dumps. */
typedef struct hb_jjson {
    const hb_jtext *indent; /* of one level; NULL: everything on one line */
    const hb_jtext *comma, *colon;
    bool ascii, sort_keys;
} hb_jjson;
void hb_jadd_json(hb_jinja *j, hb_jbuilder *b, hb_jvalue v, const hb_jjson *style);

/* text % arguments, and text.format(arguments) */
const hb_jtext *hb_jformat_percent(hb_jinja *j, const hb_jtext *format, hb_jvalue arguments);
const hb_jtext *hb_jformat_braces(hb_jinja *j, const hb_jtext *format, const hb_jargs *args);

#endif
