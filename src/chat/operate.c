/* Python's operators. Whole numbers have 64 bits; an overflow is an error. */
#include <math.h>
#include "chat/eval.h"

static const char *const spelled[] = {"+",  "-",  "*", "/",  "//", "%",  "**", "~",
                                      "==", "!=", "<", "<=", ">",  ">=", "in", "not in"};

_Noreturn static void fail_kinds(hb_jinja *j, hb_jop op, hb_jvalue a, hb_jvalue b)
{
    hb_jneed(j, a);
    hb_jneed(j, b);
    hb_jfail(j, HB_ERR_FORMAT, "'%s' does not take %s and %s", spelled[op], hb_jkind_name(a),
             hb_jkind_name(b));
}

/* ---- Numbers ------------------------------------------------------------------------------------ */

static double operate_reals(hb_jinja *j, hb_jop op, double a, double b)
{
    bool divides = op == HB_J_DIVIDE || op == HB_J_FLOOR_DIVIDE || op == HB_J_MODULO;
    if (divides && b == 0) hb_jfail(j, HB_ERR_FORMAT, "division by zero");
    switch (op) {
    case HB_J_ADD:
        return a + b;
    case HB_J_SUBTRACT:
        return a - b;
    case HB_J_MULTIPLY:
        return a * b;
    case HB_J_DIVIDE:
        return a / b;
    case HB_J_FLOOR_DIVIDE:
        return floor(a / b);
    case HB_J_POWER:
        return pow(a, b);
    default:
        break;
    }
    double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static int64_t power(hb_jinja *j, int64_t a, int64_t b, bool *overflows)
{
    int64_t result = 1;
    for (; b > 0 && !*overflows; b--) {
        hb_jstep(j, 1);
        if (a == 0 || a == 1) return a;
        if (a == -1) return b % 2 ? -result : result;
        *overflows = __builtin_mul_overflow(result, a, &result);
    }
    return result;
}

static int64_t operate_integers(hb_jinja *j, hb_jop op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflows = false;
    bool divides = op == HB_J_FLOOR_DIVIDE || op == HB_J_MODULO;
    if (divides && b == 0) hb_jfail(j, HB_ERR_FORMAT, "division by zero");
    if (divides && a == INT64_MIN && b == -1) overflows = op == HB_J_FLOOR_DIVIDE;
    else if (op == HB_J_ADD) overflows = __builtin_add_overflow(a, b, &result);
    else if (op == HB_J_SUBTRACT) overflows = __builtin_sub_overflow(a, b, &result);
    else if (op == HB_J_MULTIPLY) overflows = __builtin_mul_overflow(a, b, &result);
    else if (op == HB_J_POWER) result = power(j, a, b, &overflows);
    else if (op == HB_J_FLOOR_DIVIDE) result = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
    else result = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
    if (overflows) hb_jfail(j, HB_ERR_FORMAT, "a whole number exceeds 64 bits");
    return result;
}

static hb_jvalue operate_numbers(hb_jinja *j, hb_jop op, hb_jvalue a, hb_jvalue b)
{
    hb_jvalue result;
    int64_t x = a.kind == HB_J_BOOL ? a.truth : a.integer;
    int64_t y = b.kind == HB_J_BOOL ? b.truth : b.integer;
    bool real =
        a.kind == HB_J_REAL || b.kind == HB_J_REAL || op == HB_J_DIVIDE || (op == HB_J_POWER && y < 0);
    if (real) result = hb_jreal(operate_reals(j, op, hb_jto_real(a), hb_jto_real(b)));
    else result = hb_jint(operate_integers(j, op, x, y));
    result.mark = a.mark ? a.mark : b.mark;
    return result;
}

hb_jvalue hb_jnegative(hb_jinja *j, hb_jvalue v)
{
    if (!hb_jis_number(v)) fail_kinds(j, HB_J_SUBTRACT, hb_jint(0), v);
    if (v.kind != HB_J_REAL) return operate_numbers(j, HB_J_SUBTRACT, hb_jint(0), v);
    v.real = -v.real;
    return v;
}

/* ---- Texts and lists ----------------------------------------------------------------------------- */

static hb_jvalue repeat_text(hb_jinja *j, const hb_jtext *t, int64_t times)
{
    hb_jbuilder b = {0};
    for (int64_t i = 0; t->length && i < times; i++) hb_jadd(j, &b, t);
    return hb_jof_text(hb_jbuilt(j, &b));
}

static void add_items(hb_jinja *j, hb_jlist *list, const hb_jlist *items)
{
    for (size_t i = 0, n = items->n; i < n; i++) hb_jpush(j, list, items->items[i]);
}

static hb_jvalue repeat_list(hb_jinja *j, const hb_jlist *items, int64_t times)
{
    hb_jlist *list = hb_jnew_list(j, items->form);
    for (int64_t i = 0; items->n && i < times; i++) add_items(j, list, items);
    return hb_jof_list(list);
}

static bool is_list(hb_jvalue v)
{
    return v.kind == HB_J_LIST && v.list->form <= HB_J_TUPLE;
}

static hb_jvalue multiply(hb_jinja *j, hb_jvalue a, hb_jvalue b)
{
    hb_jvalue of = hb_jis_number(a) ? b : a, by = hb_jis_number(a) ? a : b;
    bool whole = by.kind == HB_J_INT || by.kind == HB_J_BOOL;
    int64_t times = by.kind == HB_J_BOOL ? by.truth : by.integer;
    if (whole && of.kind == HB_J_TEXT) return repeat_text(j, of.text, times);
    if (whole && is_list(of)) return repeat_list(j, of.list, times);
    fail_kinds(j, HB_J_MULTIPLY, a, b);
}

static hb_jvalue add(hb_jinja *j, hb_jvalue a, hb_jvalue b)
{
    if (a.kind == HB_J_TEXT && b.kind == HB_J_TEXT) return hb_jof_text(hb_jjoin(j, a.text, b.text));
    if (!is_list(a) || !is_list(b) || a.list->form != b.list->form) fail_kinds(j, HB_J_ADD, a, b);
    hb_jlist *list = hb_jnew_list(j, a.list->form);
    add_items(j, list, a.list);
    add_items(j, list, b.list);
    return hb_jof_list(list);
}

/* ---- All ---------------------------------------------------------------------------------------- */

static bool ordered(hb_jinja *j, hb_jop op, hb_jvalue a, hb_jvalue b)
{
    int order = hb_jcompare(j, a, b);
    if (op == HB_J_LESS) return order == -1;
    if (op == HB_J_LESS_EQUAL) return order == -1 || order == 0;
    if (op == HB_J_GREATER) return order == 1;
    return order == 1 || order == 0;
}

hb_jvalue hb_joperate(hb_jinja *j, hb_jop op, hb_jvalue a, hb_jvalue b)
{
    bool numbers = hb_jis_number(a) && hb_jis_number(b);
    switch (op) {
    case HB_J_EQUAL:
        return hb_jbool(hb_jequal(j, a, b));
    case HB_J_UNEQUAL:
        return hb_jbool(!hb_jequal(j, a, b));
    case HB_J_LESS:
    case HB_J_LESS_EQUAL:
    case HB_J_GREATER:
    case HB_J_GREATER_EQUAL:
        return hb_jbool(ordered(j, op, a, b));
    case HB_J_IN:
        return hb_jbool(hb_jcontains(j, b, a));
    case HB_J_NOT_IN:
        return hb_jbool(!hb_jcontains(j, b, a));
    case HB_J_CONCATENATE:
        return hb_jof_text(hb_jjoin(j, hb_jto_text(j, a), hb_jto_text(j, b)));
    case HB_J_ADD:
        return numbers ? operate_numbers(j, op, a, b) : add(j, a, b);
    case HB_J_MULTIPLY:
        return numbers ? operate_numbers(j, op, a, b) : multiply(j, a, b);
    case HB_J_MODULO:
        if (a.kind == HB_J_TEXT) return hb_jof_text(hb_jformat_percent(j, a.text, b));
        break;
    default:
        break;
    }
    if (!numbers) fail_kinds(j, op, a, b);
    return operate_numbers(j, op, a, b);
}
