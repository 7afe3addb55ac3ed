/* Writes values as JSON like Python's json.dumps. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "chat/text.h"

static void add_escape(hb_jinja *j, hb_jbuilder *b, int32_t c, uint8_t mark)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    char out[16];
    const char *known = c > 0 && c < 0x80 ? strchr(from, c) : NULL;
    if (known) snprintf(out, sizeof out, "\\%c", to[known - from]);
    else if (c < 0x10000) snprintf(out, sizeof out, "\\u%04x", (unsigned)c);
    else
        snprintf(out, sizeof out, "\\u%04x\\u%04x", 0xD800 + (unsigned)((c - 0x10000) >> 10),
                 0xDC00 + (unsigned)((c - 0x10000) & 0x3FF));
    hb_jadd_bytes(j, b, out, strlen(out), mark);
}

static void add_text(hb_jinja *j, hb_jbuilder *b, const hb_jtext *t, const hb_jjson *style)
{
    hb_jadd_literal(j, b, "\"");
    for (size_t at = 0, n; at < t->length; at += n) {
        int32_t c;
        n = hb_jcharacter(t, at, &c);
        bool escape = (c >= 0 && c < 0x20) || c == '"' || c == '\\' || (style->ascii && c >= 0x7F);
        if (escape && c != 0x7F) add_escape(j, b, c, hb_jmark_at(t, at));
        else hb_jadd_bytes(j, b, t->bytes + at, n, hb_jmark_at(t, at));
    }
    hb_jadd_literal(j, b, "\"");
}

static void add_value(hb_jinja *j, hb_jbuilder *b, hb_jvalue v, const hb_jjson *style, size_t level);

static void new_line(hb_jinja *j, hb_jbuilder *b, const hb_jjson *style, size_t level)
{
    if (!style->indent) return;
    hb_jadd_literal(j, b, "\n");
    for (size_t i = 0; i < level; i++) hb_jadd(j, b, style->indent);
}

static void add_list(hb_jinja *j, hb_jbuilder *b, const hb_jlist *list, const hb_jjson *style,
                     size_t level)
{
    hb_jadd_literal(j, b, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) hb_jadd(j, b, style->comma);
        new_line(j, b, style, level + 1);
        add_value(j, b, list->items[i], style, level + 1);
    }
    if (list->n) new_line(j, b, style, level);
    hb_jadd_literal(j, b, "]");
}

/* The text of a key in JSON. */
static const hb_jtext *key_text(hb_jinja *j, hb_jvalue key)
{
    if (key.kind == HB_J_NONE) return hb_jliteral(j, "null");
    if (key.kind == HB_J_BOOL) return hb_jliteral(j, key.truth ? "true" : "false");
    if (key.kind != HB_J_TEXT && !hb_jis_number(key))
        hb_jfail(j, HB_ERR_FORMAT, "%s cannot be a key in JSON", hb_jkind_name(key));
    return hb_jto_text(j, key);
}

static void add_dict(hb_jinja *j, hb_jbuilder *b, const hb_jdict *dict, const hb_jjson *style,
                     size_t level)
{
    hb_jlist *keys = hb_jdict_list(j, dict, HB_J_KEYS, HB_J_PLAIN);
    hb_jlist *values = hb_jdict_list(j, dict, HB_J_VALUES, HB_J_PLAIN);
    if (style->sort_keys) hb_jsort(j, keys->items, values->items, keys->n, false);
    hb_jadd_literal(j, b, "{");
    for (size_t i = 0; i < keys->n; i++) {
        if (i > 0) hb_jadd(j, b, style->comma);
        new_line(j, b, style, level + 1);
        add_text(j, b, key_text(j, keys->items[i]), style);
        hb_jadd(j, b, style->colon);
        add_value(j, b, values->items[i], style, level + 1);
    }
    if (keys->n) new_line(j, b, style, level);
    hb_jadd_literal(j, b, "}");
}

static void add_real(hb_jinja *j, hb_jbuilder *b, hb_jvalue v)
{
    if (isfinite(v.real)) hb_jprint(j, b, v);
    else hb_jadd_literal(j, b, isnan(v.real) ? "NaN" : v.real > 0 ? "Infinity" : "-Infinity");
}

static void add_value(hb_jinja *j, hb_jbuilder *b, hb_jvalue v, const hb_jjson *style, size_t level)
{
    hb_jenter(j);
    hb_jstep(j, 1);
    bool list = v.kind == HB_J_LIST && v.list->form <= HB_J_TUPLE;
    if (v.kind == HB_J_NONE) hb_jadd_literal(j, b, "null");
    else if (v.kind == HB_J_BOOL) hb_jadd_literal(j, b, v.truth ? "true" : "false");
    else if (v.kind == HB_J_INT) hb_jprint(j, b, v);
    else if (v.kind == HB_J_REAL) add_real(j, b, v);
    else if (v.kind == HB_J_TEXT) add_text(j, b, v.text, style);
    else if (list) add_list(j, b, v.list, style, level);
    else if (v.kind == HB_J_DICT && !v.dict->is_namespace) add_dict(j, b, v.dict, style, level);
    else hb_jfail(j, HB_ERR_FORMAT, "%s cannot be written as JSON", hb_jkind_name(v));
    hb_jleave(j);
}

void hb_jadd_json(hb_jinja *j, hb_jbuilder *b, hb_jvalue v, const hb_jjson *style)
{
    add_value(j, b, v, style, 0);
}
