/* Calls of builtins and macros. */
#include <string.h>
#include "chat/builtins.h"
#include "chat/eval.h"

/* ---- Builtins ----------------------------------------------------------------------------------- */

/* The index of a named parameter; HB_J_MAX_PARAMS for an unknown name. */
static size_t parameter_place(const char *params, const hb_jtext *name)
{
    size_t place = 0;
    for (const char *from = params; *from; place++) {
        size_t n = strcspn(from, " ");
        if (n == name->length && memcmp(from, name->bytes, n) == 0) return place;
        from += n + (from[n] == ' ');
    }
    return HB_J_MAX_PARAMS;
}

static size_t count_parameters(const char *params)
{
    size_t n = *params != '\0';
    for (; *params; params++) n += *params == ' ';
    return n;
}

static hb_jvalue call_bound(hb_jinja *j, const hb_jbuiltin *b, hb_jvalue self, const hb_jargs *args)
{
    hb_jvalue arg[HB_J_MAX_PARAMS] = {0};
    if (args->n > count_parameters(b->params))
        hb_jfail(j, HB_ERR_FORMAT, "too many arguments for '%s'", b->name);
    for (size_t i = 0; i < args->n; i++) arg[i] = args->v[i];
    for (size_t i = 0; i < args->n_named; i++) {
        size_t place = parameter_place(b->params, args->names[i]);
        if (place == HB_J_MAX_PARAMS || place < args->n)
            hb_jfail(j, HB_ERR_FORMAT, "'%s' does not take the argument '%.*s' here", b->name,
                     (int)args->names[i]->length, args->names[i]->bytes);
        arg[place] = args->named[i];
    }
    for (int i = 0; i < b->required; i++)
        if (arg[i].kind == HB_J_ABSENT)
            hb_jfail(j, HB_ERR_FORMAT, "an argument of '%s' is missing", b->name);
    return b->call(j, self, arg);
}

hb_jvalue hb_jinvoke(hb_jinja *j, const hb_jbuiltin *builtin, const char *kind, const hb_jtext *name,
                     hb_jvalue self, const hb_jargs *args)
{
    if (!builtin)
        hb_jfail(j, HB_ERR_UNSUPPORTED, "unknown %s '%.*s'", kind, (int)name->length, name->bytes);
    hb_jstep(j, 1);
    return builtin->raw ? builtin->raw(j, self, args) : call_bound(j, builtin, self, args);
}

/* ---- Macros ------------------------------------------------------------------------------------- */

static bool find_named(const hb_jargs *args, const hb_jtext *name, hb_jvalue *value)
{
    for (size_t i = 0; i < args->n_named; i++) {
        if (!hb_jsame_text(args->names[i], name)) continue;
        *value = args->named[i];
        return true;
    }
    return false;
}

/* Sets the macro's parameters in its scope. A default may use earlier parameters. Returns the number of
 * parameters. */
static size_t bind_parameters(hb_jinja *j, const hb_jnode *macro, const hb_jargs *args)
{
    size_t place = 0;
    for (const hb_jnode *p = macro->list; p; p = p->next, place++) {
        hb_jvalue value;
        if (place < args->n) value = args->v[place];
        else if (!find_named(args, p->name, &value))
            value = p->a ? hb_jeval(j, p->a) : hb_jundefined(p->name);
        hb_jset(j, j->scope, p->name, value);
    }
    return place;
}

static bool is_parameter(const hb_jnode *macro, const hb_jtext *name)
{
    const hb_jnode *p = macro->list;
    while (p && !hb_jsame_text(p->name, name)) p = p->next;
    return p != NULL;
}

/* Sets varargs, kwargs and caller to the arguments that have no parameter. */
static void bind_rest(hb_jinja *j, const hb_jnode *macro, const hb_jargs *args, size_t n_parameters)
{
    static const hb_jtext names[] = {
        {"varargs", 7, NULL, 0}, {"kwargs", 6, NULL, 0}, {"caller", 6, NULL, 0}};
    hb_jlist *places = hb_jnew_list(j, HB_J_TUPLE);
    hb_jdict *named = hb_jnew_dict(j);
    for (size_t i = n_parameters; i < args->n; i++) hb_jpush(j, places, args->v[i]);
    for (size_t i = 0; i < args->n_named; i++)
        if (!is_parameter(macro, args->names[i]))
            hb_jput(j, named, hb_jof_text(args->names[i]), args->named[i]);
    hb_jset(j, j->scope, &names[0], hb_jof_list(places));
    hb_jset(j, j->scope, &names[1], hb_jof_dict(named));
    if (args->caller.kind != HB_J_ABSENT) hb_jset(j, j->scope, &names[2], args->caller);
}

static hb_jvalue call_macro(hb_jinja *j, const hb_jcallable *c, const hb_jargs *args)
{
    hb_jscope *before = j->scope, *own = hb_jscope_new(j, c->scope);
    hb_jenter(j);
    j->scope = own;
    bind_rest(j, c->macro, args, bind_parameters(j, c->macro, args));
    const hb_jtext *text = hb_jcapture(j, c->macro->body, own);
    j->scope = before;
    hb_jleave(j);
    return hb_jof_text(text);
}

hb_jvalue hb_jcall(hb_jinja *j, hb_jvalue function, const hb_jargs *args)
{
    hb_jneed(j, function);
    if (function.kind != HB_J_CALLABLE)
        hb_jfail(j, HB_ERR_FORMAT, "%s cannot be called", hb_jkind_name(function));
    const hb_jcallable *c = function.callable;
    if (c->macro) return call_macro(j, c, args);
    return hb_jinvoke(j, c->builtin, "", NULL, c->self, args);
}
