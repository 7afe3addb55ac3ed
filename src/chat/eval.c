#include "chat/eval.h"

#include "chat/builtins.h"

/* ---- Scopes ------------------------------------------------------------------------------------- */

hb_jscope *hb_jscope_new(hb_jinja *j, hb_jscope *around)
{
    hb_jscope *scope = hb_jalloc(j, 1, sizeof *scope);
    scope->around = around;
    return scope;
}

static hb_jvariable *find_variable(hb_jinja *j, const hb_jscope *scope, const hb_jtext *name)
{
    for (hb_jvariable *v = scope->variables; v; v = v->next) {
        hb_jstep(j, 1);
        if (hb_jsame_text(v->name, name)) return v;
    }
    return NULL;
}

void hb_jset(hb_jinja *j, hb_jscope *scope, const hb_jtext *name, hb_jvalue value)
{
    hb_jvariable *v = find_variable(j, scope, name);
    if (!v) {
        v = hb_jalloc(j, 1, sizeof *v);
        v->name = name;
        v->next = scope->variables;
        scope->variables = v;
    }
    v->value = value;
}

static hb_jvalue variable(hb_jinja *j, const hb_jtext *name)
{
    for (const hb_jscope *s = j->scope; s; s = s->around) {
        const hb_jvariable *v = find_variable(j, s, name);
        if (v) return v->value;
    }
    const hb_jbuiltin *global = hb_jfind_global(name);
    return global ? hb_jbound(j, global, (hb_jvalue){0}) : hb_jundefined(name);
}

/* ---- Collections -------------------------------------------------------------------------------- */

static hb_jvalue eval_list(hb_jinja *j, const hb_jnode *node)
{
    hb_jlist *list = hb_jnew_list(j, node->kind == HB_N_TUPLE ? HB_J_TUPLE : HB_J_PLAIN);
    for (const hb_jnode *item = node->list; item; item = item->next)
        hb_jpush(j, list, hb_jeval(j, item));
    return hb_jof_list(list);
}

static hb_jvalue eval_dict(hb_jinja *j, const hb_jnode *node)
{
    hb_jdict *dict = hb_jnew_dict(j);
    for (const hb_jnode *key = node->list; key; key = key->next->next) {
        hb_jvalue k = hb_jeval(j, key);
        hb_jput(j, dict, k, hb_jeval(j, key->next));
    }
    return hb_jof_dict(dict);
}

static hb_jvalue eval_slice(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue bounds[3], of = hb_jeval(j, node->a);
    size_t n = 0;
    for (const hb_jnode *bound = node->list; bound; bound = bound->next)
        bounds[n++] = hb_jeval(j, bound);
    return hb_jslice(j, of, bounds);
}

/* ---- Calls -------------------------------------------------------------------------------------- */

static void add_named(hb_jinja *j, hb_jargs *args, hb_jlist *values, hb_jlist *names, hb_jvalue name,
                      hb_jvalue value)
{
    if (name.kind != HB_J_TEXT) hb_jfail(j, HB_ERR_FORMAT, "an argument's name must be a text");
    hb_jpush(j, names, name);
    hb_jpush(j, values, value);
    args->n_named++;
}

static void spread_named(hb_jinja *j, hb_jargs *args, hb_jlist *values, hb_jlist *names, hb_jvalue of)
{
    if (of.kind != HB_J_DICT) hb_jfail(j, HB_ERR_FORMAT, "%s is not a mapping", hb_jkind_name(of));
    for (size_t i = 0; i < of.dict->n; i++)
        add_named(j, args, values, names, of.dict->pairs[i].key, of.dict->pairs[i].value);
}

hb_jargs hb_jeval_arguments(hb_jinja *j, const hb_jnode *list)
{
    hb_jargs args = {0};
    if (!list) return args;
    hb_jlist *places = hb_jnew_list(j, HB_J_PLAIN), *values = hb_jnew_list(j, HB_J_PLAIN);
    hb_jlist *names = hb_jnew_list(j, HB_J_PLAIN);
    for (const hb_jnode *node = list; node; node = node->next) {
        bool argument = node->kind >= HB_N_KEYWORD && node->kind <= HB_N_SPREAD_NAMED;
        hb_jvalue v = hb_jeval(j, argument ? node->a : node);
        if (node->kind == HB_N_KEYWORD) {
            add_named(j, &args, values, names, hb_jof_text(node->name), v);
        } else if (node->kind == HB_N_SPREAD_NAMED) {
            spread_named(j, &args, values, names, v);
        } else if (node->kind == HB_N_SPREAD) {
            const hb_jlist *items = hb_jitems(j, v);
            for (size_t i = 0; i < items->n; i++) hb_jpush(j, places, items->items[i]);
        } else {
            hb_jpush(j, places, v);
        }
    }
    args.v = places->items;
    args.n = places->n;
    args.named = values->items;
    args.names = hb_jalloc(j, names->n + 1, sizeof *args.names);
    for (size_t i = 0; i < names->n; i++) args.names[i] = names->items[i].text;
    return args;
}

static hb_jvalue eval_call(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue function = hb_jeval(j, node->a);
    hb_jargs args = hb_jeval_arguments(j, node->list);
    return hb_jcall(j, function, &args);
}

static hb_jvalue eval_filter(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue self = hb_jeval(j, node->a);
    hb_jargs args = hb_jeval_arguments(j, node->list);
    return hb_jinvoke(j, node->builtin, "filter", node->name, self, &args);
}

static hb_jvalue eval_test(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue self = hb_jeval(j, node->a);
    hb_jargs args = hb_jeval_arguments(j, node->list);
    return hb_jinvoke(j, node->builtin, "test", node->name, self, &args);
}

/* ---- Operators ---------------------------------------------------------------------------------- */

/* a < b < c means a < b and b < c. */
static hb_jvalue eval_compare(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue left = hb_jeval(j, node->a), result = hb_jbool(true);
    for (const hb_jnode *operand = node->list; operand && hb_jtrue(result); operand = operand->next) {
        hb_jvalue right = hb_jeval(j, operand->a);
        result = hb_joperate(j, operand->op, left, right);
        left = right;
    }
    return result;
}

static hb_jvalue eval_choice(hb_jinja *j, const hb_jnode *node)
{
    if (hb_jtrue(hb_jeval(j, node->b))) return hb_jeval(j, node->a);
    return node->c ? hb_jeval(j, node->c) : hb_jundefined(NULL);
}

static hb_jvalue eval_either(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue a = hb_jeval(j, node->a);
    return hb_jtrue(a) == (node->kind == HB_N_OR) ? a : hb_jeval(j, node->b);
}

static hb_jvalue eval_operation(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue a = hb_jeval(j, node->a);
    return hb_joperate(j, node->op, a, hb_jeval(j, node->b));
}

static hb_jvalue eval_item(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue a = hb_jeval(j, node->a);
    return hb_jitem(j, a, hb_jeval(j, node->b));
}

static hb_jvalue eval_sign(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue v = hb_jnegative(j, hb_jeval(j, node->a));
    return node->kind == HB_N_NEGATIVE ? v : hb_jnegative(j, v);
}

static hb_jvalue eval(hb_jinja *j, const hb_jnode *node)
{
    switch (node->kind) {
    case HB_N_CONST:
        return node->value;
    case HB_N_CAPTURED:
        return *j->captured;
    case HB_N_NAME:
        return variable(j, node->name);
    case HB_N_LIST:
    case HB_N_TUPLE:
        return eval_list(j, node);
    case HB_N_DICT:
        return eval_dict(j, node);
    case HB_N_ATTRIBUTE:
        return hb_jattribute(j, hb_jeval(j, node->a), node->name);
    case HB_N_ITEM:
        return eval_item(j, node);
    case HB_N_SLICE:
        return eval_slice(j, node);
    case HB_N_CALL:
        return eval_call(j, node);
    case HB_N_FILTER:
        return eval_filter(j, node);
    case HB_N_TEST:
        return eval_test(j, node);
    case HB_N_NOT:
        return hb_jbool(!hb_jtrue(hb_jeval(j, node->a)));
    case HB_N_NEGATIVE:
    case HB_N_POSITIVE:
        return eval_sign(j, node);
    case HB_N_AND:
    case HB_N_OR:
        return eval_either(j, node);
    case HB_N_OPERATE:
        return eval_operation(j, node);
    case HB_N_COMPARE:
        return eval_compare(j, node);
    default:
        return eval_choice(j, node);
    }
}

hb_jvalue hb_jeval(hb_jinja *j, const hb_jnode *node)
{
    int32_t line = j->line;
    hb_jenter(j);
    hb_jstep(j, 1);
    j->line = node->line;
    hb_jvalue v = eval(j, node);
    j->line = line;
    hb_jleave(j);
    return v;
}
