/* Splits a template's source into tokens. White space is handled like in transformers' Jinja settings:
 * the line end after a block is dropped (trim_blocks), and so are the blanks before a block at the
 * start of a line (lstrip_blocks). */
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
    hb_jvalue value; /* the text of data, literals, names and operators as spelled, or the number */
} hb_jtoken;

/* Returns the tokens of a source; the last one is HB_T_END. The tokens point into the source. */
hb_jtoken *hb_jlex(hb_jinja *j, const char *source, size_t length);

#endif
