/* Values of a chat template. They are the values of Python that templates use. Each byte of a text has
 * a mark of its origin. Values are in the arena of the rendering; literals are in the arena of the
 * template. */
#ifndef HB_CHAT_VALUE_H
#define HB_CHAT_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "chat/jinja.h"

/* Origins of bytes. Only bytes from the template can become control tokens. */
typedef enum hb_jmark {
    HB_FROM_TEMPLATE, /* the template's own text, names of roles, the model's bos and eos */
    HB_FROM_MESSAGE,
    HB_FROM_SYSTEM, /* the system message */
    HB_FROM_CALLER  /* all other texts of the caller */
} hb_jmark;

typedef enum hb_jkind {
    HB_J_ABSENT, /* an argument that was not given */
    HB_J_UNDEFINED,
    HB_J_NONE,
    HB_J_BOOL,
    HB_J_INT,
    HB_J_REAL,
    HB_J_TEXT,
    HB_J_LIST,
    HB_J_DICT,
    HB_J_LOOP,
    HB_J_CALLABLE
} hb_jkind;

/* Bytes of UTF-8. A malformed byte counts as a character. */
typedef struct hb_jtext {
    const char *bytes;
    size_t length;
    const uint8_t *marks; /* [length]; NULL: all are `mark` */
    uint8_t mark;
} hb_jtext;

typedef struct hb_jvalue {
    uint8_t kind; /* an hb_jkind */
    uint8_t mark; /* for numbers: origin of the digits */
    union {
        bool truth;
        int64_t integer;
        double real;
        const hb_jtext *text;
        const hb_jtext *missing; /* for UNDEFINED: the name; may be NULL */
        struct hb_jlist *list;
        struct hb_jdict *dict;
        struct hb_jloop *loop;
        struct hb_jcallable *callable;
    };
} hb_jvalue;

typedef enum hb_jform {
    HB_J_PLAIN,
    HB_J_TUPLE,
    HB_J_VIEW,     /* keys, values or items of a dict; cannot be indexed */
    HB_J_GENERATOR /* result of some filters; always true, has no length, and can be read only once */
} hb_jform;

typedef struct hb_jlist {
    hb_jvalue *items;
    size_t n, room;
    size_t taken; /* number of a generator's items that were read */
    hb_jform form;
    uint8_t part; /* for a view: the part of the dict, an hb_jpart */
} hb_jlist;

typedef struct hb_jpair {
    hb_jvalue key, value;
} hb_jpair;

typedef struct hb_jdict {
    hb_jpair *pairs; /* in the order of insertion */
    size_t n, room;
    bool is_namespace; /* made by namespace(); its attributes can be set */
} hb_jdict;

/* The variable `loop` inside a for statement. */
typedef struct hb_jloop {
    const hb_jlist *items;
    size_t at;
    hb_jlist *seen; /* last arguments of loop.changed; NULL before the first call */
} hb_jloop;

/* The arguments of a call. */
typedef struct hb_jargs {
    hb_jvalue *v; /* [n], positional */
    size_t n;
    const hb_jtext **names; /* [n_named] */
    hb_jvalue *named;       /* [n_named] */
    size_t n_named;
    hb_jvalue caller; /* body of a call block; ABSENT without one */
} hb_jargs;

#define HB_J_MAX_PARAMS 6

/* A filter, test, method or function of the language. `arg` has the arguments in the order of `params`;
 * a missing argument is ABSENT. */
typedef struct hb_jbuiltin {
    const char *name;
    const char
        *params;  /* parameter names separated by blanks; NULL: `raw` takes the arguments itself */
    int required; /* number of params */
    hb_jvalue (*call)(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg);
    hb_jvalue (*raw)(hb_jinja *j, hb_jvalue self, const hb_jargs *args);
} hb_jbuiltin;

typedef struct hb_jcallable {
    const hb_jbuiltin *builtin; /* NULL: a macro */
    hb_jvalue self;             /* object of a method */
    const struct hb_jnode *macro;
    struct hb_jscope *scope; /* scope in which the macro was defined */
} hb_jcallable;

/* ---- Making (value.c) ---------------------------------------------------------------------------- */

hb_jvalue hb_jundefined(const hb_jtext *missing);
hb_jvalue hb_jnone(void);
hb_jvalue hb_jbool(bool truth);
hb_jvalue hb_jint(int64_t integer);
hb_jvalue hb_jreal(double real);
hb_jvalue hb_jof_text(const hb_jtext *text);
hb_jvalue hb_jof_list(hb_jlist *list);
hb_jvalue hb_jof_dict(hb_jdict *dict);
hb_jvalue hb_jbound(hb_jinja *j, const hb_jbuiltin *builtin, hb_jvalue self);

/* A text of the template; `bytes` is not copied. */
const hb_jtext *hb_jliteral(hb_jinja *j, const char *bytes);

/* ---- Asking (value.c) ---------------------------------------------------------------------------- */

const char *hb_jkind_name(hb_jvalue v);  /* name of the value's kind: "a list" ... */
void hb_jneed(hb_jinja *j, hb_jvalue v); /* fails for an undefined value, and names it */
bool hb_jtrue(hb_jvalue v);
bool hb_jis_number(hb_jvalue v); /* booleans count as numbers */
double hb_jto_real(hb_jvalue number);
bool hb_jequal(hb_jinja *j, hb_jvalue a, hb_jvalue b);
/* -1, 0 or 1; 2 if either is NaN. Fails for values without an order. */
int hb_jcompare(hb_jinja *j, hb_jvalue a, hb_jvalue b);
bool hb_jcontains(hb_jinja *j, hb_jvalue container, hb_jvalue item);
bool hb_jlength(hb_jvalue v, size_t *n); /* false for values without a length */
/* The items that an iteration yields. Fails for values that cannot be iterated. The list may be the
 * value itself, so do not change it. */
const hb_jlist *hb_jitems(hb_jinja *j, hb_jvalue v);

/* ---- Lists and dicts (collection.c) -------------------------------------------------------------- */

hb_jlist *hb_jnew_list(hb_jinja *j, hb_jform form);
void hb_jpush(hb_jinja *j, hb_jlist *list, hb_jvalue v);
void hb_jreverse(hb_jinja *j, hb_jlist *list); /* the last item becomes the first */
hb_jdict *hb_jnew_dict(hb_jinja *j);
hb_jvalue *hb_jfind(hb_jinja *j, const hb_jdict *dict,
                    hb_jvalue key); /* NULL if there is no such key */
hb_jvalue *hb_jfind_name(hb_jinja *j, const hb_jdict *dict, const hb_jtext *name);
void hb_jput(hb_jinja *j, hb_jdict *dict, hb_jvalue key, hb_jvalue value);
bool hb_jremove(hb_jinja *j, hb_jdict *dict, hb_jvalue key, hb_jvalue *removed);
/* The keys, values or pairs of a dict. */
typedef enum hb_jpart { HB_J_KEYS, HB_J_VALUES, HB_J_ITEMS } hb_jpart;
hb_jlist *hb_jdict_list(hb_jinja *j, const hb_jdict *dict, hb_jpart part, hb_jform form);
/* Stable sort. Compares keys [n] and moves items [n] with them. */
void hb_jsort(hb_jinja *j, hb_jvalue *keys, hb_jvalue *items, size_t n, bool reverse);

/* A Python slice of n elements. Sets the first index and the number of elements, which are `step`
 * apart. ABSENT and none mean the default. */
void hb_jslice_places(hb_jinja *j, const hb_jvalue bounds[3], size_t n, int64_t *first, int64_t *step,
                      size_t *count);

#endif
