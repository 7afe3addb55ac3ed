/* The attributes of `loop` inside a for statement. */
#include "chat/builtins.h"
#include "chat/eval.h"

static hb_jvalue loop_cycle(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    if (args->n == 0) hb_jfail(j, HB_ERR_FORMAT, "loop.cycle needs something to cycle through");
    return args->v[self.loop->at % args->n];
}

/* Whether the arguments differ from those of the last call. */
static hb_jvalue loop_changed(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    hb_jlist *now = hb_jnew_list(j, HB_J_TUPLE);
    for (size_t i = 0; i < args->n; i++) hb_jpush(j, now, args->v[i]);
    hb_jlist *before = self.loop->seen;
    bool same = before && hb_jequal(j, hb_jof_list(before), hb_jof_list(now));
    self.loop->seen = now;
    return hb_jbool(!same);
}

static const hb_jbuiltin *find_method(const hb_jtext *name)
{
    static const hb_jbuiltin methods[] = {
        {"cycle", NULL, 0, NULL, loop_cycle},
        {"changed", NULL, 0, NULL, loop_changed},
    };
    return HB_J_FIND(methods, name);
}

/* The next or the previous item. */
static hb_jvalue neighbour(const hb_jloop *loop, bool next, const hb_jtext *name)
{
    if (next && loop->at + 1 < loop->items->n) return loop->items->items[loop->at + 1];
    if (!next && loop->at > 0) return loop->items->items[loop->at - 1];
    return hb_jundefined(name);
}

hb_jvalue hb_jloop_attribute(hb_jinja *j, hb_jvalue self, const hb_jtext *name)
{
    const hb_jloop *loop = self.loop;
    int64_t at = (int64_t)loop->at, n = (int64_t)loop->items->n;
    const hb_jbuiltin *method = find_method(name);
    if (method) return hb_jbound(j, method, self);
    if (hb_jtext_is(name, "index")) return hb_jint(at + 1);
    if (hb_jtext_is(name, "index0")) return hb_jint(at);
    if (hb_jtext_is(name, "first")) return hb_jbool(at == 0);
    if (hb_jtext_is(name, "last")) return hb_jbool(at + 1 == n);
    if (hb_jtext_is(name, "length")) return hb_jint(n);
    if (hb_jtext_is(name, "revindex")) return hb_jint(n - at);
    if (hb_jtext_is(name, "revindex0")) return hb_jint(n - at - 1);
    if (hb_jtext_is(name, "previtem")) return neighbour(loop, false, name);
    if (hb_jtext_is(name, "nextitem")) return neighbour(loop, true, name);
    if (hb_jtext_is(name, "depth")) return hb_jint(1);
    if (hb_jtext_is(name, "depth0")) return hb_jint(0);
    return hb_jundefined(name);
}
