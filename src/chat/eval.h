/* The interpreter: expressions (eval.c, operate.c), access to values (access.c), statements (exec.c)
 * and calls (call.c). */
#ifndef HB_CHAT_EVAL_H
#define HB_CHAT_EVAL_H

#include "chat/node.h"
#include "chat/text.h"

/* The variables of a block, and the scope that surrounds it. */
typedef struct hb_jvariable {
    const hb_jtext *name;
    hb_jvalue value;
    struct hb_jvariable *next;
} hb_jvariable;

typedef struct hb_jscope {
    struct hb_jscope *around; /* NULL for the outermost scope */
    hb_jvariable *variables;
} hb_jscope;

hb_jscope *hb_jscope_new(hb_jinja *j, hb_jscope *around);
void hb_jset(hb_jinja *j, hb_jscope *scope, const hb_jtext *name, hb_jvalue value);

hb_jvalue hb_jeval(hb_jinja *j, const hb_jnode *node);
hb_jvalue hb_joperate(hb_jinja *j, hb_jop op, hb_jvalue a, hb_jvalue b);
hb_jvalue hb_jnegative(hb_jinja *j, hb_jvalue v);

/* Runs statements in order. */
typedef enum hb_jflow { HB_J_NEXT, HB_J_BREAK, HB_J_CONTINUE } hb_jflow;
hb_jflow hb_jexec(hb_jinja *j, const hb_jnode *body);
/* Runs a body in a new scope within `around` and returns what it writes. A break must not leave the
 * body. */
const hb_jtext *hb_jcapture(hb_jinja *j, const hb_jnode *body, hb_jscope *scope);
void hb_jassign(hb_jinja *j, const hb_jnode *target, hb_jvalue value);

/* v.name looks for a method first, then for an item. v[key] looks for an item first, then for a method.
 * The result is UNDEFINED when there is neither. */
hb_jvalue hb_jattribute(hb_jinja *j, hb_jvalue v, const hb_jtext *name);
hb_jvalue hb_jitem(hb_jinja *j, hb_jvalue v, hb_jvalue key);
hb_jvalue hb_jslice(hb_jinja *j, hb_jvalue v, const hb_jvalue bounds[3]);
/* Follows a path such as "a.b.0" from a value. This is the attribute argument of map, selectattr and
 * others. */
hb_jvalue hb_jattribute_path(hb_jinja *j, hb_jvalue v, hb_jvalue path);

hb_jvalue hb_jcall(hb_jinja *j, hb_jvalue function, const hb_jargs *args);
/* Returns the builtin. If it is NULL, fails with a message that has `kind` and `name`. */
hb_jvalue hb_jinvoke(hb_jinja *j, const hb_jbuiltin *builtin, const char *kind, const hb_jtext *name,
                     hb_jvalue self, const hb_jargs *args);
hb_jargs hb_jeval_arguments(hb_jinja *j, const hb_jnode *list);

#endif
