/* The tree of a template. Its nodes are in the template's arena. */
#ifndef HB_CHAT_NODE_H
#define HB_CHAT_NODE_H

#include "chat/value.h"

typedef enum hb_jnode_kind {
    /* Expressions. In calls, `list` has the arguments. */
    HB_N_CONST,        /* value */
    HB_N_NAME,         /* name */
    HB_N_LIST,         /* list: items */
    HB_N_TUPLE,        /* list: items */
    HB_N_DICT,         /* list: keys and values alternate */
    HB_N_ATTRIBUTE,    /* a.name */
    HB_N_ITEM,         /* a[b] */
    HB_N_SLICE,        /* a[list]: three bounds; a missing one is an HB_N_CONST with an ABSENT value */
    HB_N_CALL,         /* a(list) */
    HB_N_FILTER,       /* a | name(list); builtin is NULL for an unknown name */
    HB_N_TEST,         /* a is name(list); builtin as for filters */
    HB_N_NOT,          /* not a */
    HB_N_NEGATIVE,     /* -a */
    HB_N_POSITIVE,     /* +a */
    HB_N_AND,          /* a and b */
    HB_N_OR,           /* a or b */
    HB_N_OPERATE,      /* a op b */
    HB_N_COMPARE,      /* a, followed by the HB_N_OPERAND in list */
    HB_N_OPERAND,      /* op a */
    HB_N_CHOICE,       /* a if b else c; without c, the result is undefined */
    HB_N_KEYWORD,      /* name=a, an argument */
    HB_N_SPREAD,       /* *a, an argument */
    HB_N_SPREAD_NAMED, /* **a, an argument */
    HB_N_CAPTURED,     /* the output of a block, below the filters applied to it */

    /* Statements. `body` has the statements inside. */
    HB_N_OUTPUT,       /* a */
    HB_N_FOR,          /* for a in b if c; `other` is the else branch */
    HB_N_IF,           /* if a; `other` is the else branch or the next elif */
    HB_N_SET,          /* set a = b */
    HB_N_SET_BLOCK,    /* set a = b, where b is filters applied to the body */
    HB_N_MACRO,        /* macro name(list of HB_N_PARAM) */
    HB_N_PARAM,        /* name=a; a is NULL without a default */
    HB_N_CALL_BLOCK,   /* call(list of HB_N_PARAM) a */
    HB_N_FILTER_BLOCK, /* a is filters applied to the body */
    HB_N_WITH,         /* with list of HB_N_SET */
    HB_N_SCOPE,        /* a body with its own variables */
    HB_N_BREAK,
    HB_N_CONTINUE
} hb_jnode_kind;

/* Operators of HB_N_OPERATE and HB_N_OPERAND. */
typedef enum hb_jop {
    HB_J_ADD,
    HB_J_SUBTRACT,
    HB_J_MULTIPLY,
    HB_J_DIVIDE,
    HB_J_FLOOR_DIVIDE,
    HB_J_MODULO,
    HB_J_POWER,
    HB_J_CONCATENATE,
    HB_J_EQUAL,
    HB_J_UNEQUAL,
    HB_J_LESS,
    HB_J_LESS_EQUAL,
    HB_J_GREATER,
    HB_J_GREATER_EQUAL,
    HB_J_IN,
    HB_J_NOT_IN
} hb_jop;

typedef struct hb_jnode {
    hb_jnode_kind kind;
    hb_jop op;
    int32_t line;
    const hb_jtext *name;
    const hb_jbuiltin *builtin; /* for filters and tests */
    hb_jvalue value;
    struct hb_jnode *a, *b, *c, *list, *body, *other;
    struct hb_jnode *next; /* next node in a list or body */
} hb_jnode;

#endif
