#include "chat/builtins.h"

#include "chat/text.h"

const hb_jbuiltin *hb_jfind_builtin(const hb_jbuiltin *table, size_t n, const hb_jtext *name)
{
    for (size_t i = 0; i < n; i++)
        if (hb_jtext_is(name, table[i].name)) return &table[i];
    return NULL;
}

const hb_jbuiltin *hb_jfind_filter(const hb_jtext *name)
{
    const hb_jbuiltin *found = hb_jfind_text_filter(name);
    if (!found) found = hb_jfind_number_filter(name);
    if (!found) found = hb_jfind_sequence_filter(name);
    return found ? found : hb_jfind_choosing_filter(name);
}

const hb_jbuiltin *hb_jfind_method(hb_jvalue of, const hb_jtext *name)
{
    if (of.kind == HB_J_TEXT) return hb_jfind_text_method(name);
    if (of.kind == HB_J_LIST && of.list->form <= HB_J_TUPLE)
        return hb_jfind_list_method(name, of.list->form == HB_J_TUPLE);
    if (of.kind == HB_J_DICT && !of.dict->is_namespace) return hb_jfind_dict_method(name);
    return NULL;
}

const hb_jtext *hb_jtext_argument(hb_jinja *j, hb_jvalue v, const char *what)
{
    if (v.kind != HB_J_TEXT)
        hb_jfail(j, HB_ERR_FORMAT, "%s must be a text, not %s", what, hb_jkind_name(v));
    return v.text;
}

const hb_jtext *hb_joptional_text(hb_jinja *j, hb_jvalue v, const char *what)
{
    if (v.kind == HB_J_ABSENT || v.kind == HB_J_NONE) return NULL;
    return hb_jtext_argument(j, v, what);
}

int64_t hb_jint_argument(hb_jinja *j, hb_jvalue v, int64_t by_default, const char *what)
{
    if (v.kind == HB_J_ABSENT || v.kind == HB_J_NONE) return by_default;
    if (v.kind != HB_J_INT && v.kind != HB_J_BOOL)
        hb_jfail(j, HB_ERR_FORMAT, "%s must be a whole number, not %s", what, hb_jkind_name(v));
    return v.kind == HB_J_BOOL ? v.truth : v.integer;
}

bool hb_jbool_argument(hb_jvalue v, bool by_default)
{
    return v.kind == HB_J_ABSENT ? by_default : hb_jtrue(v);
}
