/* Finds filters, tests, functions and methods by name. NULL for an unknown name. */
#ifndef HB_CHAT_BUILTINS_H
#define HB_CHAT_BUILTINS_H

#include "chat/value.h"

const hb_jbuiltin *hb_jfind_filter(const hb_jtext *name);
const hb_jbuiltin *hb_jfind_test(const hb_jtext *name);
const hb_jbuiltin *hb_jfind_global(const hb_jtext *name);
const hb_jbuiltin *hb_jfind_method(hb_jvalue of, const hb_jtext *name);

/* ---- What the files of builtins share (builtins.c) ----------------------------------------------- */

const hb_jbuiltin *hb_jfind_builtin(const hb_jbuiltin *table, size_t n, const hb_jtext *name);
#define HB_J_FIND(table, name) hb_jfind_builtin(table, sizeof(table) / sizeof *(table), name)

/* Convert an argument to a C value. An argument that is absent or none gives the default. A value of
 * another kind fails with a message that names `what`. */
const hb_jtext *hb_jtext_argument(hb_jinja *j, hb_jvalue v, const char *what);
const hb_jtext *hb_joptional_text(hb_jinja *j, hb_jvalue v, const char *what); /* NULL by default */
int64_t hb_jint_argument(hb_jinja *j, hb_jvalue v, int64_t by_default, const char *what);
bool hb_jbool_argument(hb_jvalue v, bool by_default);

/* The tables. Each is in a file of its own. */
const hb_jbuiltin *hb_jfind_text_filter(const hb_jtext *name);             /* filters_text.c */
const hb_jbuiltin *hb_jfind_number_filter(const hb_jtext *name);           /* filters_number.c */
const hb_jbuiltin *hb_jfind_sequence_filter(const hb_jtext *name);         /* filters_sequence.c */
const hb_jbuiltin *hb_jfind_choosing_filter(const hb_jtext *name);         /* filters_choosing.c */
const hb_jbuiltin *hb_jfind_text_method(const hb_jtext *name);             /* methods_text.c */
const hb_jbuiltin *hb_jfind_list_method(const hb_jtext *name, bool tuple); /* methods_collection.c */
const hb_jbuiltin *hb_jfind_dict_method(const hb_jtext *name);
/* Attributes of `loop`, such as loop.index (loop.c). */
hb_jvalue hb_jloop_attribute(hb_jinja *j, hb_jvalue loop, const hb_jtext *name);

#endif
