#include "base/toml.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/memory.h"
#include "base/utf8.h"

/* Some editors write it at the beginning of a file. */
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

enum { KEY_BYTES = 64 };

typedef struct reader {
    const char *name, *at, *end;
    size_t line;
    const char *table; /* owned by an entry */
    hb_buffer word;    /* the string that is read */
    hb_toml toml;
    hb_error *err;
} reader;

/* Reports an error in the current line. */
__attribute__((format(printf, 2, 3))) static hb_status refuse(reader *r, const char *format, ...)
{
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return hb_fail(r->err, HB_ERR_FORMAT, "%s:%zu: %s", r->name, r->line, message);
}

/* ---- Characters ---------------------------------------------------------------------------------- */

/* The next byte; 0 at the end. The text has no zero bytes. */
static char next(const reader *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static bool starts_with(const reader *r, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, text, n) == 0;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* Skips blanks and a comment. */
static void skip_blanks(reader *r)
{
    while (next(r) == ' ' || next(r) == '\t') r->at++;
    if (next(r) != '#') return;
    while (r->at < r->end && *r->at != '\n') r->at++;
}

static bool skip_line_end(reader *r)
{
    if (starts_with(r, "\r\n")) r->at++;
    if (next(r) != '\n') return false;
    r->at++;
    r->line++;
    return true;
}

static void skip_empty_lines(reader *r)
{
    do skip_blanks(r);
    while (skip_line_end(r));
}

/* Refuses text that is not UTF-8 or has control characters. */
static hb_status check_text(reader *r)
{
    hb_status status = HB_OK;
    for (const char *c = r->at; c < r->end && !status;) {
        int n = hb_utf8_character(c, (size_t)(r->end - c));
        bool line_end = *c == '\n' || (*c == '\r' && c + 1 < r->end && c[1] == '\n');
        if (n < 1) return refuse(r, "the text is not UTF-8");
        if (((unsigned char)*c < ' ' && *c != '\t' && !line_end) || *c == 0x7f)
            status = refuse(r, "has the control character 0x%02x", (unsigned char)*c);
        r->line += *c == '\n';
        c += n;
    }
    r->line = 1;
    return status;
}

/* ---- Strings ------------------------------------------------------------------------------------- */

/* Appends a character as UTF-8. */
static bool add_character(hb_buffer *out, uint32_t c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6) bytes[i] = (char)(0x80 | (c & 0x3F));
    bytes[0] = (char)(leads[n] | c);
    return hb_buffer_add(out, bytes, n);
}

/* Reads the digits of \u or \U. */
static hb_status read_code_point(reader *r, int digits)
{
    uint32_t c = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        char d = next(r);
        int value = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : -1;
        if (value < 0) return refuse(r, "an escape needs %d hexadecimal digits", digits);
        c = c << 4 | (uint32_t)value;
    }
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return refuse(r, "the escape of U+%04X is not a character", c);
    return add_character(&r->word, c) ? HB_OK : hb_fail_memory(r->err);
}

/* Reads what follows a backslash. */
static hb_status read_escape(reader *r)
{
    static const char letters[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
    char c = next(r);
    const char *found = c ? strchr(letters, c) : NULL;
    r->at += c != '\0';
    if (c == 'u' || c == 'U') return read_code_point(r, c == 'u' ? 4 : 8);
    if (!found) return refuse(r, "a string has an unknown escape; \\\\ is a backslash");
    return hb_buffer_add(&r->word, &meant[found - letters], 1) ? HB_OK : hb_fail_memory(r->err);
}

/* Reads a string of one line into r->word. */
static hb_status read_string(reader *r)
{
    const char quote = *r->at;
    hb_status status = HB_OK;
    if (starts_with(r, "\"\"\"") || starts_with(r, "'''"))
        return refuse(r, "strings of several lines are not supported");
    hb_buffer_clear(&r->word);
    if (!hb_buffer_add(&r->word, "", 0)) return hb_fail_memory(r->err);
    r->at++;
    while (!status && next(r) != quote) {
        char c = next(r);
        if (!c || c == '\n' || c == '\r') return refuse(r, "a string has no closing %c", quote);
        r->at++;
        if (c == '\\' && quote == '"') status = read_escape(r);
        else if (!hb_buffer_add(&r->word, &c, 1)) status = hb_fail_memory(r->err);
    }
    if (!status) r->at++;
    return status;
}

/* ---- Values -------------------------------------------------------------------------------------- */

static hb_status add_value(reader *r, hb_toml_entry *e, const char *text, size_t length)
{
    return hb_texts_add(&e->values, text, length) ? HB_OK : hb_fail_memory(r->err);
}

static hb_status read_array(reader *r, hb_toml_entry *e)
{
    e->kind = HB_TOML_STRINGS;
    r->at++;
    for (;;) {
        skip_empty_lines(r);
        if (next(r) == ']') break;
        if (next(r) != '"' && next(r) != '\'')
            return refuse(r, "an array must have strings only, and end with ]");
        hb_status status = read_string(r);
        if (!status) status = add_value(r, e, r->word.data, r->word.length);
        if (status) return status;
        skip_empty_lines(r);
        if (next(r) == ',') r->at++;
        else if (next(r) != ']')
            return refuse(r, "an array needs a comma between strings and a ] at its end");
    }
    r->at++;
    return HB_OK;
}

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* Whether the text is a decimal number; *whole becomes whether it is an integer. */
static bool is_number(const char *text, bool *whole)
{
    text += *text == '+' || *text == '-';
    size_t n = count_digits(text);
    if (n == 0 || (n > 1 && *text == '0')) return false;
    text += n;
    *whole = !*text;
    if (*text == '.') {
        n = count_digits(++text);
        if (n == 0) return false;
        text += n;
    }
    if (*text != 'e' && *text != 'E') return !*text;
    text++;
    text += *text == '+' || *text == '-';
    n = count_digits(text);
    return n > 0 && !text[n];
}

/* Reads a number or a boolean. */
static hb_status read_bare(reader *r, hb_toml_entry *e)
{
    char text[KEY_BYTES];
    size_t n = 0;
    bool whole;
    while (n < sizeof text - 1 && (is_word(next(r)) || next(r) == '+' || next(r) == '.'))
        text[n++] = *r->at++;
    text[n] = '\0';
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) e->kind = HB_TOML_BOOLEAN;
    else if (is_number(text, &whole)) e->kind = whole ? HB_TOML_INTEGER : HB_TOML_FLOAT;
    else if (n == 0) return refuse(r, "'%s' has no value", e->key);
    else return refuse(r, "'%s' is not a value; a text must stand in quotes", text);
    return add_value(r, e, text + (*text == '+'), n - (*text == '+'));
}

static hb_status read_value(reader *r, hb_toml_entry *e)
{
    char c = next(r);
    if (c == '[') return read_array(r, e);
    if (c == '{') return refuse(r, "inline tables are not supported");
    if (c != '"' && c != '\'') return read_bare(r, e);
    e->kind = HB_TOML_STRING;
    hb_status status = read_string(r);
    return status ? status : add_value(r, e, r->word.data, r->word.length);
}

/* ---- Lines --------------------------------------------------------------------------------------- */

/* Reads the name of a key or of a table. */
static hb_status read_name(reader *r, char name[KEY_BYTES + 1])
{
    size_t n = 0;
    if (next(r) == '"' || next(r) == '\'') return refuse(r, "names in quotes are not supported");
    while (is_word(next(r)) && n < KEY_BYTES) name[n++] = *r->at++;
    name[n] = '\0';
    if (is_word(next(r))) return refuse(r, "a name has more than %d characters", KEY_BYTES);
    if (n == 0) return refuse(r, "expected the name of an option or of a [table]");
    skip_blanks(r);
    return next(r) == '.' ? refuse(r, "names with dots are not supported") : HB_OK;
}

/* Adds an entry with these names. */
static hb_status add_entry(reader *r, const char *table, const char *key, hb_toml_entry **out)
{
    hb_toml *t = &r->toml;
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->entries[i].table, table) == 0 && strcmp(t->entries[i].key, key) == 0)
            return refuse(r, "'%s' is given twice, first in line %zu", *key ? key : table,
                          t->entries[i].line);
    hb_toml_entry *entries = hb_grown(t->entries, t->n, sizeof *entries, &t->room);
    if (!entries) return hb_fail_memory(r->err);
    t->entries = entries;
    *out = &entries[t->n++];
    **out = (hb_toml_entry){.table = strdup(table), .key = strdup(key), .line = r->line};
    return (*out)->table && (*out)->key ? HB_OK : hb_fail_memory(r->err);
}

static hb_status read_table(reader *r)
{
    char name[KEY_BYTES + 1];
    hb_toml_entry *e;
    r->at++;
    if (next(r) == '[') return refuse(r, "arrays of tables are not supported");
    while (next(r) == ' ' || next(r) == '\t') r->at++;
    hb_status status = read_name(r, name);
    if (!status && next(r) != ']') status = refuse(r, "the head of a table has no closing ]");
    if (!status) status = add_entry(r, name, "", &e);
    if (status) return status;
    r->at++;
    r->table = e->table;
    return HB_OK;
}

static hb_status read_setting(reader *r)
{
    char name[KEY_BYTES + 1];
    hb_toml_entry *e;
    hb_status status = read_name(r, name);
    if (!status && next(r) != '=') status = refuse(r, "'%s' needs = and a value", name);
    if (!status) status = add_entry(r, r->table, name, &e);
    if (status) return status;
    r->at++;
    while (next(r) == ' ' || next(r) == '\t') r->at++;
    return read_value(r, e);
}

static hb_status read_lines(reader *r)
{
    hb_status status = check_text(r);
    if (starts_with(r, BYTE_ORDER_MARK)) r->at += strlen(BYTE_ORDER_MARK);
    for (skip_empty_lines(r); !status && r->at < r->end; skip_empty_lines(r)) {
        status = next(r) == '[' ? read_table(r) : read_setting(r);
        skip_blanks(r);
        if (!status && next(r) && next(r) != '\n' && !starts_with(r, "\r\n"))
            status = refuse(r, "expected the end of the line");
    }
    return status;
}

hb_status hb_toml_parse(const char *name, const char *text, size_t length, hb_toml *toml, hb_error *err)
{
    reader r = {.name = name, .at = text, .end = text + length, .line = 1, .table = "", .err = err};
    hb_status status = read_lines(&r);
    hb_buffer_free(&r.word);
    if (status) hb_toml_free(&r.toml);
    else *toml = r.toml;
    return status;
}

void hb_toml_free(hb_toml *toml)
{
    for (size_t i = 0; i < toml->n; i++) {
        free(toml->entries[i].table);
        free(toml->entries[i].key);
        hb_texts_free(&toml->entries[i].values);
    }
    free(toml->entries);
    *toml = (hb_toml){0};
}
