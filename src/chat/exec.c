/* Executes statements. */
#include "chat/eval.h"

/* ---- Assignments -------------------------------------------------------------------------------- */

static void assign_attribute(hb_jinja *j, const hb_jnode *target, hb_jvalue value)
{
    hb_jvalue of = hb_jeval(j, target->a);
    if (of.kind != HB_J_DICT || !of.dict->is_namespace)
        hb_jfail(j, HB_ERR_FORMAT, "only attributes of a namespace can be set");
    hb_jput(j, of.dict, hb_jof_text(target->name), value);
}

static void unpack(hb_jinja *j, const hb_jnode *targets, hb_jvalue value)
{
    const hb_jlist *items = hb_jitems(j, value);
    size_t n = 0, i = 0;
    for (const hb_jnode *t = targets; t; t = t->next) n++;
    if (items->n != n)
        hb_jfail(j, HB_ERR_FORMAT, "%zu values cannot be unpacked into %zu names", items->n, n);
    for (const hb_jnode *t = targets; t; t = t->next) hb_jassign(j, t, items->items[i++]);
}

void hb_jassign(hb_jinja *j, const hb_jnode *target, hb_jvalue value)
{
    if (target->kind == HB_N_NAME) hb_jset(j, j->scope, target->name, value);
    else if (target->kind == HB_N_TUPLE) unpack(j, target->list, value);
    else assign_attribute(j, target, value);
}

/* ---- Blocks ------------------------------------------------------------------------------------- */

static hb_jflow exec_scoped(hb_jinja *j, const hb_jnode *body, hb_jscope *scope)
{
    hb_jscope *before = j->scope;
    j->scope = scope;
    hb_jflow flow = hb_jexec(j, body);
    j->scope = before;
    return flow;
}

const hb_jtext *hb_jcapture(hb_jinja *j, const hb_jnode *body, hb_jscope *scope)
{
    hb_jbuilder text = {0}, *before = j->out;
    j->out = &text;
    if (exec_scoped(j, body, scope))
        hb_jfail(j, HB_ERR_FORMAT, "a break or continue is outside a loop");
    j->out = before;
    return hb_jbuilt(j, &text);
}

/* The output of a body after its filters. */
static hb_jvalue captured(hb_jinja *j, const hb_jnode *body, const hb_jnode *filters)
{
    hb_jvalue text = hb_jof_text(hb_jcapture(j, body, hb_jscope_new(j, j->scope)));
    j->captured = &text;
    hb_jvalue result = hb_jeval(j, filters);
    j->captured = NULL;
    return result;
}

static void exec_with(hb_jinja *j, const hb_jnode *node, hb_jflow *flow)
{
    hb_jscope *own = hb_jscope_new(j, j->scope), *before = j->scope;
    for (const hb_jnode *set = node->list; set; set = set->next) {
        hb_jvalue value = hb_jeval(j, set->b);
        j->scope = own;
        hb_jassign(j, set->a, value);
        j->scope = before;
    }
    *flow = exec_scoped(j, node->body, own);
}

static hb_jvalue macro_value(hb_jinja *j, const hb_jnode *node)
{
    hb_jcallable *c = hb_jalloc(j, 1, sizeof *c);
    c->macro = node;
    c->scope = j->scope;
    return (hb_jvalue){.kind = HB_J_CALLABLE, .callable = c};
}

/* {% call(...) macro(...) %}: the called macro sees the body as the macro `caller`. */
static void exec_call_block(hb_jinja *j, const hb_jnode *node)
{
    hb_jvalue function = hb_jeval(j, node->a->a);
    hb_jargs args = hb_jeval_arguments(j, node->a->list);
    args.caller = macro_value(j, node);
    hb_jprint(j, j->out, hb_jcall(j, function, &args));
}

/* ---- Loops -------------------------------------------------------------------------------------- */

/* The items for which the loop's condition is true. */
static const hb_jlist *chosen(hb_jinja *j, const hb_jnode *node, const hb_jlist *items)
{
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    hb_jscope *before = j->scope;
    for (size_t i = 0; i < items->n; i++) {
        j->scope = hb_jscope_new(j, before);
        hb_jassign(j, node->a, items->items[i]);
        if (hb_jtrue(hb_jeval(j, node->c))) hb_jpush(j, list, items->items[i]);
    }
    j->scope = before;
    return list;
}

/* Runs a loop. The else branch runs unless at least one iteration reached its end. As in Jinja, an
 * iteration that continue or break leaves does not count. */
static hb_jflow exec_for(hb_jinja *j, const hb_jnode *node)
{
    static const hb_jtext loop_name = {"loop", 4, NULL, 0};
    hb_jscope *before = j->scope;
    hb_jlist *items = hb_jnew_list(j, HB_J_PLAIN);
    hb_jloop *loop = hb_jalloc(j, 1, sizeof *loop);
    *items = *hb_jitems(j, hb_jeval(j, node->b)); /* a copy, because the body may change the list */
    loop->items = node->c ? chosen(j, node, items) : items;
    hb_jflow flow = HB_J_NEXT;
    bool whole = false;
    for (loop->at = 0; loop->at < loop->items->n && flow != HB_J_BREAK; loop->at++) {
        hb_jstep(j, 1);
        j->scope = hb_jscope_new(j, before);
        hb_jset(j, j->scope, &loop_name, (hb_jvalue){.kind = HB_J_LOOP, .loop = loop});
        hb_jassign(j, node->a, loop->items->items[loop->at]);
        flow = hb_jexec(j, node->body);
        whole = whole || flow == HB_J_NEXT;
    }
    j->scope = before;
    return whole ? HB_J_NEXT : exec_scoped(j, node->other, hb_jscope_new(j, before));
}

/* ---- All ---------------------------------------------------------------------------------------- */

static hb_jflow exec_if(hb_jinja *j, const hb_jnode *node)
{
    while (!hb_jtrue(hb_jeval(j, node->a))) {
        const hb_jnode *other = node->other;
        if (!other || other->kind != HB_N_IF || other->next) return hb_jexec(j, other);
        node = other;
    }
    return hb_jexec(j, node->body);
}

static hb_jflow exec(hb_jinja *j, const hb_jnode *node)
{
    hb_jflow flow = HB_J_NEXT;
    switch (node->kind) {
    case HB_N_OUTPUT:
        hb_jprint(j, j->out, hb_jeval(j, node->a));
        break;
    case HB_N_FOR:
        flow = exec_for(j, node);
        break;
    case HB_N_IF:
        flow = exec_if(j, node);
        break;
    case HB_N_SET:
        hb_jassign(j, node->a, hb_jeval(j, node->b));
        break;
    case HB_N_SET_BLOCK:
        hb_jassign(j, node->a, captured(j, node->body, node->b));
        break;
    case HB_N_MACRO:
        hb_jset(j, j->scope, node->name, macro_value(j, node));
        break;
    case HB_N_CALL_BLOCK:
        exec_call_block(j, node);
        break;
    case HB_N_FILTER_BLOCK:
        hb_jprint(j, j->out, captured(j, node->body, node->a));
        break;
    case HB_N_WITH:
        exec_with(j, node, &flow);
        break;
    case HB_N_SCOPE:
        flow = exec_scoped(j, node->body, hb_jscope_new(j, j->scope));
        break;
    case HB_N_BREAK:
        flow = HB_J_BREAK;
        break;
    default:
        flow = HB_J_CONTINUE;
    }
    return flow;
}

hb_jflow hb_jexec(hb_jinja *j, const hb_jnode *body)
{
    hb_jflow flow = HB_J_NEXT;
    hb_jenter(j);
    for (; body && flow == HB_J_NEXT; body = body->next) {
        hb_jstep(j, 1);
        j->line = body->line;
        flow = exec(j, body);
    }
    hb_jleave(j);
    return flow;
}
