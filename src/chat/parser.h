/* Parses a template's source into a tree. parser.c parses statements, expression.c parses expressions.
 */
#ifndef HB_CHAT_PARSER_H
#define HB_CHAT_PARSER_H

#include "chat/lexer.h"
#include "chat/node.h"

/* The statements of a template; NULL for an empty template. */
hb_jnode *hb_jparse(hb_jinja *j, const char *source, size_t length);

/* ---- Shared by parser.c and expression.c --------------------------------------------------------- */

typedef struct hb_jparser {
    hb_jinja *j;
    const hb_jtoken *token; /* next token */
} hb_jparser;

/* A list of nodes that grows at its end. Start from a zeroed struct. */
typedef struct hb_jnodes {
    hb_jnode *first, *last;
    size_t n;
} hb_jnodes;
void hb_jnodes_add(hb_jnodes *nodes, hb_jnode *node);

hb_jnode *hb_jnode_new(hb_jparser *p, hb_jnode_kind kind);
bool hb_jat(const hb_jparser *p, hb_jtoken_kind kind, const char *spelled);
bool hb_jskip(hb_jparser *p, hb_jtoken_kind kind,
              const char *spelled); /* skips this token if it is next */
void hb_jexpect(hb_jparser *p, hb_jtoken_kind kind,
                const char *spelled); /* skips this token, or fails */
const hb_jtext *hb_jexpect_name(hb_jparser *p);
_Noreturn void hb_junexpected(hb_jparser *p);

hb_jnode *hb_jparse_expression(hb_jparser *p);
hb_jnode *hb_jparse_condition(hb_jparser *p); /* an expression without "a if b else c" */
/* One expression. Several expressions separated by commas become a tuple. */
hb_jnode *hb_jparse_tuple(hb_jparser *p, hb_jnode *(*parse)(hb_jparser *p));
hb_jnode *hb_jparse_primary(hb_jparser *p);
/* "| filter | filter" applied to a node. With `named`, the first name has no bar before it. */
hb_jnode *hb_jparse_filters(hb_jparser *p, hb_jnode *of, bool named);
hb_jnode *hb_jparse_arguments(hb_jparser *p); /* "(a, b, c=d)" */

#endif
