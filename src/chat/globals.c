/* The functions that every template can call. */
#include <time.h>
#include "chat/builtins.h"
#include "chat/eval.h"

#define MAX_RANGE 100000 /* as in Jinja's sandbox */

static hb_jvalue global_range(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    int64_t from = 0, to = 0, step = 1;
    (void)self;
    if (args->n == 0 || args->n > 3) hb_jfail(j, HB_ERR_FORMAT, "range takes one to three arguments");
    to = hb_jint_argument(j, args->v[args->n > 1], 0, "a range's end");
    if (args->n > 1) from = hb_jint_argument(j, args->v[0], 0, "a range's start");
    if (args->n > 2) step = hb_jint_argument(j, args->v[2], 0, "a range's step");
    if (step == 0) hb_jfail(j, HB_ERR_FORMAT, "a range's step is 0");
    uint64_t distance = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    bool empty = step > 0 ? to <= from : to >= from;
    uint64_t n = empty ? 0 : (distance - 1) / stride + 1;
    if (n > MAX_RANGE) hb_jfail(j, HB_ERR_FORMAT, "a range has more than %d items", MAX_RANGE);
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    uint64_t item = (uint64_t)from; /* unsigned, because it may pass the end of 64 bits at last */
    for (uint64_t i = 0; i < n; i++, item += (uint64_t)step) hb_jpush(j, list, hb_jint((int64_t)item));
    return hb_jof_list(list);
}

/* Puts the pairs of a mapping or of a list of pairs into a dict. */
static void put_all(hb_jinja *j, hb_jdict *dict, hb_jvalue from)
{
    const hb_jlist *pairs = from.kind == HB_J_DICT ? hb_jdict_list(j, from.dict, HB_J_ITEMS, HB_J_PLAIN)
                                                   : hb_jitems(j, from);
    for (size_t i = 0; i < pairs->n; i++) {
        const hb_jlist *pair = hb_jitems(j, pairs->items[i]);
        if (pair->n != 2) hb_jfail(j, HB_ERR_FORMAT, "a dict is made of pairs");
        hb_jput(j, dict, pair->items[0], pair->items[1]);
    }
}

static hb_jvalue global_dict(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    hb_jdict *dict = hb_jnew_dict(j);
    (void)self;
    for (size_t i = 0; i < args->n; i++) put_all(j, dict, args->v[i]);
    for (size_t i = 0; i < args->n_named; i++)
        hb_jput(j, dict, hb_jof_text(args->names[i]), args->named[i]);
    return hb_jof_dict(dict);
}

static hb_jvalue global_namespace(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    hb_jvalue made = global_dict(j, self, args);
    made.dict->is_namespace = true;
    return made;
}

static hb_jvalue global_raise(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jtext *why = hb_jto_text(j, arg[0]);
    (void)self;
    hb_jfail(j, HB_ERR_ARGUMENT, "the template refuses: %.*s",
             (int)(why->length < 300 ? why->length : 300), why->bytes);
}

static hb_jvalue global_now(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jtext *format = hb_jtext_argument(j, arg[0], "a date's format");
    char form[128], text[512];
    time_t now = (time_t)j->now;
    struct tm tm;
    (void)self;
    if (format->length >= sizeof form || !localtime_r(&now, &tm))
        hb_jfail(j, HB_ERR_FORMAT, "a date's format is too long");
    for (size_t i = 0; i <= format->length; i++) form[i] = i < format->length ? format->bytes[i] : '\0';
    hb_jbuilder b = {0};
    hb_jadd_bytes(j, &b, text, strftime(text, sizeof text, form, &tm), hb_jmark_of(format));
    return hb_jof_text(hb_jbuilt(j, &b));
}

/* ---- Cyclers and joiners ------------------------------------------------------------------------- */

/* Both keep a list that templates cannot access, and their position in its `taken`. */
static hb_jvalue cycler_next(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)j, (void)arg;
    return self.list->items[self.list->taken++ % self.list->n];
}

static hb_jvalue cycler_reset(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)j, (void)arg;
    self.list->taken = 0;
    return hb_jnone();
}

static hb_jvalue global_cycler(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    static const hb_jbuiltin methods[] = {{"next", "", 0, cycler_next, NULL},
                                          {"reset", "", 0, cycler_reset, NULL}};
    hb_jlist *items = hb_jnew_list(j, HB_J_TUPLE);
    hb_jdict *cycler = hb_jnew_dict(j);
    (void)self;
    if (args->n == 0) hb_jfail(j, HB_ERR_FORMAT, "a cycler needs something to cycle through");
    for (size_t i = 0; i < args->n; i++) hb_jpush(j, items, args->v[i]);
    cycler->is_namespace = true;
    for (size_t i = 0; i < 2; i++)
        hb_jput(j, cycler, hb_jof_text(hb_jliteral(j, methods[i].name)),
                hb_jbound(j, &methods[i], hb_jof_list(items)));
    return hb_jof_dict(cycler);
}

/* Returns an empty text at the first call, and then the separator. */
static hb_jvalue joiner_call(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    if (self.list->taken++) return self.list->items[0];
    return hb_jof_text(hb_jliteral(j, ""));
}

static hb_jvalue global_joiner(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    static const hb_jbuiltin method = {"joiner", "", 0, joiner_call, NULL};
    hb_jlist *separator = hb_jnew_list(j, HB_J_TUPLE);
    (void)self;
    hb_jpush(j, separator, arg[0].kind == HB_J_ABSENT ? hb_jof_text(hb_jliteral(j, ", ")) : arg[0]);
    return hb_jbound(j, &method, hb_jof_list(separator));
}

const hb_jbuiltin *hb_jfind_global(const hb_jtext *name)
{
    static const hb_jbuiltin globals[] = {
        {"range", NULL, 0, NULL, global_range},
        {"dict", NULL, 0, NULL, global_dict},
        {"namespace", NULL, 0, NULL, global_namespace},
        {"raise_exception", "message", 1, global_raise, NULL},
        {"strftime_now", "format", 1, global_now, NULL},
        {"cycler", NULL, 0, NULL, global_cycler},
        {"joiner", "sep", 0, global_joiner, NULL},
    };
    return HB_J_FIND(globals, name);
}
