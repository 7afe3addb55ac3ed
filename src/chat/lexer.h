/* A template's source as tokens, with white space controlled as transformers sets Jinja up: the line
 * end after a block is dropped (trim_blocks), and so are blanks before one at the start of a line
 * (lstrip_blocks). */
#ifndef HB_CHAT_LEXER_H
#define HB_CHAT_LEXER_H

#include "chat/value.h"

typedef enum hb_jtoken_kind {
    HB_T_DATA,      /* text between tags */
    HB_T_PRINT,     /* {{ */
    HB_T_PRINT_END, /* }} */
    HB_T_BLOCK,     /* {% */
    HB_T_BLOCK_END, /* %} */
    HB_T_NAME,
    HB_T_TEXT, /* a string literal */
    HB_T_INT,
    HB_T_REAL,
    HB_T_OPERATOR,
    HB_T_END
} hb_jtoken_kind;

typedef struct hb_jtoken {
    hb_jtoken_kind kind;
    int32_t line;
    hb_jvalue value; /* a text: data, literals, names and operators as spelled; or the number */
} hb_jtoken;

/* The tokens of a source, which must last; the last is HB_T_END. */
hb_jtoken *hb_jlex(hb_jinja *j, const char *source, size_t length);

#endif
