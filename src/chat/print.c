/* Writes values as text like Python. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "chat/text.h"

/* ---- Numbers ------------------------------------------------------------------------------------ */

/* Digits and exponent of the shortest decimal number that gives the same double when read. */
static int shortest(double real, char digits[24])
{
    char text[40];
    int precision = 0;
    do snprintf(text, sizeof text, "%.*e", precision, fabs(real));
    while (strtod(text, NULL) != fabs(real) && ++precision < 17);
    size_t n = 0;
    char *c = text;
    for (; *c != 'e'; c++)
        if (*c != '.') digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = '\0';
    return atoi(c + 1);
}

void hb_jreal_text(double real, char out[64])
{
    char digits[24];
    if (!isfinite(real)) {
        strcpy(out, isnan(real) ? "nan" : real > 0 ? "inf" : "-inf");
        return;
    }
    int exponent = shortest(real, digits), n = (int)strlen(digits);
    const char *sign = signbit(real) ? "-" : "";
    if (exponent < -4 || exponent >= 16)
        snprintf(out, 64, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                 exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0) snprintf(out, 64, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    else if (n > exponent + 1)
        snprintf(out, 64, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
    else snprintf(out, 64, "%s%s%.*s.0", sign, digits, exponent + 1 - n, "000000000000000");
}

static void print_number(hb_jinja *j, hb_jbuilder *b, hb_jvalue v)
{
    char text[64];
    if (v.kind == HB_J_INT) snprintf(text, sizeof text, "%" PRId64, v.integer);
    else hb_jreal_text(v.real, text);
    hb_jadd_bytes(j, b, text, strlen(text), v.mark);
}

/* ---- Texts in quotes ---------------------------------------------------------------------------- */

static bool is_printable(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return false;
    case UTF8PROC_CATEGORY_ZS:
        return c == ' ';
    default:
        return true;
    }
}

/* Sets `out` to the escape that repr writes for the character; empty if repr writes it unchanged. */
static void escaped(int32_t c, unsigned char byte, char quote, char out[16])
{
    out[0] = '\0';
    if (c == quote || c == '\\') snprintf(out, 16, "\\%c", (char)c);
    else if (c == '\n') strcpy(out, "\\n");
    else if (c == '\r') strcpy(out, "\\r");
    else if (c == '\t') strcpy(out, "\\t");
    else if (c < 0) snprintf(out, 16, "\\x%02x", byte);
    else if (is_printable(c)) return;
    else snprintf(out, 16, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

static void quote_text(hb_jinja *j, hb_jbuilder *b, const hb_jtext *t)
{
    bool single = t->length && memchr(t->bytes, '\'', t->length);
    char quote = single && !memchr(t->bytes, '"', t->length) ? '"' : '\'', out[16];
    hb_jadd_bytes(j, b, &quote, 1, HB_FROM_TEMPLATE);
    for (size_t at = 0, n; at < t->length; at += n) {
        int32_t c;
        n = hb_jcharacter(t, at, &c);
        escaped(c, (unsigned char)t->bytes[at], quote, out);
        if (*out) hb_jadd_bytes(j, b, out, strlen(out), hb_jmark_at(t, at));
        else hb_jadd_bytes(j, b, t->bytes + at, n, hb_jmark_at(t, at));
    }
    hb_jadd_bytes(j, b, &quote, 1, HB_FROM_TEMPLATE);
}

/* ---- Values ------------------------------------------------------------------------------------- */

static void repr_list(hb_jinja *j, hb_jbuilder *b, const hb_jlist *list)
{
    static const char *const open[] = {"[", "(", "", "<generator>"};
    static const char *const close[] = {"]", ")", "])", ""};
    static const char *const views[] = {"dict_keys([", "dict_values([", "dict_items(["};
    hb_jadd_literal(j, b, list->form == HB_J_VIEW ? views[list->part] : open[list->form]);
    for (size_t i = 0; i < list->n && list->form != HB_J_GENERATOR; i++) {
        if (i > 0) hb_jadd_literal(j, b, ", ");
        hb_jrepr(j, b, list->items[i]);
    }
    if (list->form == HB_J_TUPLE && list->n == 1) hb_jadd_literal(j, b, ",");
    hb_jadd_literal(j, b, close[list->form]);
}

static void repr_dict(hb_jinja *j, hb_jbuilder *b, const hb_jdict *dict)
{
    hb_jadd_literal(j, b, dict->is_namespace ? "<Namespace {" : "{");
    for (size_t i = 0; i < dict->n; i++) {
        if (i > 0) hb_jadd_literal(j, b, ", ");
        hb_jrepr(j, b, dict->pairs[i].key);
        hb_jadd_literal(j, b, ": ");
        hb_jrepr(j, b, dict->pairs[i].value);
    }
    hb_jadd_literal(j, b, dict->is_namespace ? "}>" : "}");
}

void hb_jrepr(hb_jinja *j, hb_jbuilder *b, hb_jvalue v)
{
    hb_jenter(j);
    hb_jstep(j, 1);
    switch (v.kind) {
    case HB_J_ABSENT:
    case HB_J_UNDEFINED:
        hb_jadd_literal(j, b, "Undefined");
        break;
    case HB_J_NONE:
        hb_jadd_literal(j, b, "None");
        break;
    case HB_J_BOOL:
        hb_jadd_literal(j, b, v.truth ? "True" : "False");
        break;
    case HB_J_INT:
    case HB_J_REAL:
        print_number(j, b, v);
        break;
    case HB_J_TEXT:
        quote_text(j, b, v.text);
        break;
    case HB_J_LIST:
        repr_list(j, b, v.list);
        break;
    case HB_J_DICT:
        repr_dict(j, b, v.dict);
        break;
    case HB_J_LOOP:
        hb_jadd_literal(j, b, "<loop>");
        break;
    case HB_J_CALLABLE:
        hb_jadd_literal(j, b, "<function>");
        break;
    }
    hb_jleave(j);
}

void hb_jprint(hb_jinja *j, hb_jbuilder *b, hb_jvalue v)
{
    if (v.kind == HB_J_TEXT) hb_jadd(j, b, v.text);
    else if (v.kind != HB_J_UNDEFINED && v.kind != HB_J_ABSENT) hb_jrepr(j, b, v);
}

const hb_jtext *hb_jto_text(hb_jinja *j, hb_jvalue v)
{
    if (v.kind == HB_J_TEXT) return v.text;
    hb_jbuilder b = {0};
    hb_jprint(j, &b, v);
    return hb_jbuilt(j, &b);
}
