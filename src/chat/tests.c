/* Tests, which follow "is". */
#include "chat/builtins.h"
#include "chat/eval.h"

#define TEST(name, condition)                                                                          \
    static hb_jvalue test_##name(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)                    \
    {                                                                                                  \
        (void)j, (void)arg;                                                                            \
        return hb_jbool(condition);                                                                    \
    }

/* ---- Kinds -------------------------------------------------------------------------------------- */

static bool is_dict(hb_jvalue v)
{
    return v.kind == HB_J_DICT && !v.dict->is_namespace;
}

static bool is_iterable(hb_jvalue v)
{
    return v.kind == HB_J_UNDEFINED || v.kind == HB_J_TEXT || v.kind == HB_J_LIST || is_dict(v) ||
           v.kind == HB_J_LOOP;
}

static bool is_sequence(hb_jvalue v)
{
    return v.kind == HB_J_UNDEFINED || v.kind == HB_J_TEXT || is_dict(v) ||
           (v.kind == HB_J_LIST && v.list->form <= HB_J_TUPLE);
}

TEST(defined, self.kind != HB_J_UNDEFINED)
TEST(undefined, self.kind == HB_J_UNDEFINED)
TEST(none, self.kind == HB_J_NONE)
TEST(boolean, self.kind == HB_J_BOOL)
TEST(true, self.kind == HB_J_BOOL && self.truth)
TEST(false, self.kind == HB_J_BOOL && !self.truth)
TEST(integer, self.kind == HB_J_INT)
TEST(float, self.kind == HB_J_REAL)
TEST(number, hb_jis_number(self))
TEST(string, self.kind == HB_J_TEXT)
TEST(mapping, is_dict(self))
TEST(sequence, is_sequence(self))
TEST(iterable, is_iterable(self))
TEST(callable, self.kind == HB_J_CALLABLE || self.kind == HB_J_UNDEFINED) /* as in Python */
TEST(filter, self.kind == HB_J_TEXT && hb_jfind_filter(self.text))
TEST(test, self.kind == HB_J_TEXT && hb_jfind_test(self.text))

/* ---- Comparisons -------------------------------------------------------------------------------- */

TEST(equal, hb_jequal(j, self, arg[0]))
TEST(unequal, !hb_jequal(j, self, arg[0]))
TEST(less, hb_jtrue(hb_joperate(j, HB_J_LESS, self, arg[0])))
TEST(less_equal, hb_jtrue(hb_joperate(j, HB_J_LESS_EQUAL, self, arg[0])))
TEST(greater, hb_jtrue(hb_joperate(j, HB_J_GREATER, self, arg[0])))
TEST(greater_equal, hb_jtrue(hb_joperate(j, HB_J_GREATER_EQUAL, self, arg[0])))
TEST(in, hb_jcontains(j, arg[0], self))
TEST(same, self.kind == arg[0].kind && hb_jequal(j, self, arg[0]))

/* ---- Numbers and texts --------------------------------------------------------------------------- */

static bool rest_is(hb_jinja *j, hb_jvalue v, hb_jvalue divisor, int64_t rest)
{
    return hb_jequal(j, hb_joperate(j, HB_J_MODULO, v, divisor), hb_jint(rest));
}

/* Whether a text has letters and all of them have this case. */
static bool is_case(hb_jinja *j, hb_jvalue v, hb_jcase which)
{
    const hb_jtext *t = hb_jto_text(j, v);
    hb_jcase other = which == HB_J_LOWER ? HB_J_UPPER : HB_J_LOWER;
    return hb_jsame_text(hb_jchange_case(j, t, which), t) &&
           !hb_jsame_text(hb_jchange_case(j, t, other), t);
}

TEST(even, rest_is(j, self, hb_jint(2), 0))
TEST(odd, rest_is(j, self, hb_jint(2), 1))
TEST(divisible, rest_is(j, self, arg[0], 0))
TEST(lower, is_case(j, self, HB_J_LOWER))
TEST(upper, is_case(j, self, HB_J_UPPER))

const hb_jbuiltin *hb_jfind_test(const hb_jtext *name)
{
    static const hb_jbuiltin tests[] = {
        {"defined", "", 0, test_defined, NULL},
        {"undefined", "", 0, test_undefined, NULL},
        {"none", "", 0, test_none, NULL},
        {"boolean", "", 0, test_boolean, NULL},
        {"true", "", 0, test_true, NULL},
        {"false", "", 0, test_false, NULL},
        {"integer", "", 0, test_integer, NULL},
        {"float", "", 0, test_float, NULL},
        {"number", "", 0, test_number, NULL},
        {"string", "", 0, test_string, NULL},
        {"mapping", "", 0, test_mapping, NULL},
        {"sequence", "", 0, test_sequence, NULL},
        {"iterable", "", 0, test_iterable, NULL},
        {"callable", "", 0, test_callable, NULL},
        {"filter", "", 0, test_filter, NULL},
        {"test", "", 0, test_test, NULL},
        {"eq", "other", 1, test_equal, NULL},
        {"equalto", "other", 1, test_equal, NULL},
        {"==", "other", 1, test_equal, NULL},
        {"ne", "other", 1, test_unequal, NULL},
        {"!=", "other", 1, test_unequal, NULL},
        {"lt", "other", 1, test_less, NULL},
        {"lessthan", "other", 1, test_less, NULL},
        {"<", "other", 1, test_less, NULL},
        {"le", "other", 1, test_less_equal, NULL},
        {"<=", "other", 1, test_less_equal, NULL},
        {"gt", "other", 1, test_greater, NULL},
        {"greaterthan", "other", 1, test_greater, NULL},
        {">", "other", 1, test_greater, NULL},
        {"ge", "other", 1, test_greater_equal, NULL},
        {">=", "other", 1, test_greater_equal, NULL},
        {"in", "seq", 1, test_in, NULL},
        {"sameas", "other", 1, test_same, NULL},
        {"even", "", 0, test_even, NULL},
        {"odd", "", 0, test_odd, NULL},
        {"divisibleby", "num", 1, test_divisible, NULL},
        {"lower", "", 0, test_lower, NULL},
        {"upper", "", 0, test_upper, NULL},
    };
    return HB_J_FIND(tests, name);
}
