#include "chat/lexer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "chat/text.h"

typedef struct lexer {
    hb_jinja *j;
    const char *source;
    size_t length, at;
    hb_jtoken *tokens;
    size_t n, room;
    bool line_starts;  /* whether `at` is at the start of a line, not counting tags */
    char closing[256]; /* closing brackets that are due, innermost last */
    size_t n_open;
} lexer;

/* ---- Characters and tokens ----------------------------------------------------------------------- */

static bool starts(const lexer *x, size_t at, const char *with)
{
    size_t n = strlen(with);
    return n <= x->length - at && memcmp(x->source + at, with, n) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    return letter || is_digit(c) || c == '_' || (unsigned char)c >= 0x80;
}

static void add_token(lexer *x, hb_jtoken_kind kind, hb_jvalue value)
{
    x->tokens = hb_jgrown(x->j, x->tokens, x->n, sizeof *x->tokens, &x->room);
    x->tokens[x->n++] = (hb_jtoken){kind, x->j->line, value};
}

static hb_jvalue source_text(lexer *x, size_t from, size_t to)
{
    hb_jtext *t = hb_jalloc(x->j, 1, sizeof *t);
    *t = (hb_jtext){x->source + from, to - from, NULL, HB_FROM_TEMPLATE};
    return hb_jof_text(t);
}

/* Moves forward to `to` and counts lines. */
static void go_to(lexer *x, size_t to)
{
    for (; x->at < to; x->at++) x->j->line += x->source[x->at] == '\n';
}

static size_t skip_blanks(const lexer *x, size_t at)
{
    while (at < x->length && hb_is_space(x->source[at])) at++;
    return at;
}

/* ---- Text between tags -------------------------------------------------------------------------- */

/* Adds the text up to `end`, where a tag begins. The tag may strip white space before it. */
static void add_data(lexer *x, size_t end, char sign, bool strips_line)
{
    size_t from = x->at, to = end;
    if (sign == '-') {
        while (to > from && hb_is_space(x->source[to - 1])) to--;
    } else if (sign != '+' && strips_line) {
        size_t line = end;
        while (line > from && x->source[line - 1] != '\n' && hb_is_space(x->source[line - 1])) line--;
        bool whole = line > from ? x->source[line - 1] == '\n' : x->line_starts;
        if (whole) to = line;
    }
    if (to > from) add_token(x, HB_T_DATA, source_text(x, from, to));
    go_to(x, end);
}

/* Moves to `at`, the end of a block, comment or raw tag, and past the white space that the tag strips.
 * `sign` is the sign before the closing characters. */
static void close_tag(lexer *x, size_t at, char sign, bool trims)
{
    size_t end = at;
    if (sign == '-') end = skip_blanks(x, at);
    else if (trims && sign != '+' && end < x->length && x->source[end] == '\n') end++;
    x->line_starts = end > 0 && x->source[end - 1] == '\n';
    go_to(x, end);
}

/* The sign of white-space control at `at`; 0 if there is none. */
static char sign_at(const lexer *x, size_t at)
{
    return at < x->length && (x->source[at] == '-' || x->source[at] == '+') ? x->source[at] : 0;
}

/* The offset of `what` at or after `from`; SIZE_MAX if it does not occur. */
static size_t find(const lexer *x, size_t from, const char *what)
{
    const char *found = memmem(x->source + from, x->length - from, what, strlen(what));
    return found ? (size_t)(found - x->source) : SIZE_MAX;
}

static void lex_comment(lexer *x, size_t from)
{
    size_t end = find(x, from, "#}");
    if (end == SIZE_MAX) hb_jfail(x->j, HB_ERR_FORMAT, "a comment does not end");
    close_tag(x, end + 2, end > from ? sign_at(x, end - 1) : 0, true);
}

/* Whether "{%" at `at` begins the tag `name`. If so, sets the tag's end and the sign there. */
static bool is_tag(const lexer *x, size_t at, const char *name, size_t *end, char *sign)
{
    size_t to = skip_blanks(x, at + 2 + (sign_at(x, at + 2) != 0));
    if (!starts(x, to, name)) return false;
    to = skip_blanks(x, to + strlen(name));
    *sign = sign_at(x, to);
    to += *sign != 0;
    if (!starts(x, to, "%}")) return false;
    *end = to + 2;
    return true;
}

/* Handles a raw block: everything up to {% endraw %} is text. */
static void lex_raw(lexer *x, size_t from, char sign)
{
    size_t at = from, end;
    char end_sign;
    close_tag(x, from, sign, false);
    do {
        at = find(x, at, "{%");
        if (at == SIZE_MAX) hb_jfail(x->j, HB_ERR_FORMAT, "a raw block does not end");
    } while (!is_tag(x, at, "endraw", &end, &end_sign) && ++at);
    add_data(x, at, sign_at(x, at + 2), true);
    close_tag(x, end, end_sign, true);
}

/* ---- Literals ----------------------------------------------------------------------------------- */

static int32_t hex_digits(const char *at, size_t n)
{
    char digits[9] = {0}, *end;
    memcpy(digits, at, n);
    for (size_t i = 0; i < n; i++)
        if (!is_digit(digits[i]) && !((digits[i] | 0x20) >= 'a' && (digits[i] | 0x20) <= 'f'))
            return -1;
    return (int32_t)strtol(digits, &end, 16);
}

/* Handles \xHH, \uHHHH or \UHHHHHHHH; `at` is at the letter. Returns the number of bytes read. */
static size_t add_numeric_escape(lexer *x, hb_jbuilder *b, size_t at, size_t end)
{
    char kind = x->source[at];
    size_t n = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
    int32_t c = end - at > n ? hex_digits(x->source + at + 1, n) : -1;
    if (c < 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        hb_jfail(x->j, HB_ERR_FORMAT, "a text has an invalid escape \\%c", kind);
    hb_jadd_character(x->j, b, c, HB_FROM_TEMPLATE);
    return n + 1;
}

static size_t add_octal_escape(lexer *x, hb_jbuilder *b, size_t at, size_t end)
{
    size_t n = 0;
    int32_t c = 0;
    for (; n < 3 && at + n < end && x->source[at + n] >= '0' && x->source[at + n] <= '7'; n++)
        c = 8 * c + x->source[at + n] - '0';
    hb_jadd_character(x->j, b, c, HB_FROM_TEMPLATE);
    return n;
}

/* Handles the characters after a backslash like Python. Returns the number of bytes read. */
static size_t add_escape(lexer *x, hb_jbuilder *b, size_t at, size_t end)
{
    static const char from[] = "ntr\\'\"abfv", to[] = "\n\t\r\\'\"\a\b\f\v";
    char c = x->source[at];
    const char *known = memchr(from, c, sizeof from - 1);
    if (known) hb_jadd_bytes(x->j, b, to + (known - from), 1, HB_FROM_TEMPLATE);
    else if (c == 'x' || c == 'u' || c == 'U') return add_numeric_escape(x, b, at, end);
    else if (c >= '0' && c <= '7') return add_octal_escape(x, b, at, end);
    else if (c == 'N') hb_jfail(x->j, HB_ERR_UNSUPPORTED, "characters by name (\\N) are not supported");
    else if (c != '\n') hb_jadd_bytes(x->j, b, x->source + at - 1, 2, HB_FROM_TEMPLATE);
    return 1;
}

static void lex_text(lexer *x)
{
    char quote = x->source[x->at];
    size_t from = x->at + 1, end = from;
    while (end < x->length && x->source[end] != quote) end += x->source[end] == '\\' ? 2 : 1;
    if (end >= x->length) hb_jfail(x->j, HB_ERR_FORMAT, "a text in quotes does not end");
    if (!memchr(x->source + from, '\\', end - from)) {
        add_token(x, HB_T_TEXT, source_text(x, from, end));
    } else {
        hb_jbuilder b = {0};
        for (size_t at = from; at < end;) {
            if (x->source[at] == '\\') at += 1 + add_escape(x, &b, at + 1, end);
            else hb_jadd_bytes(x->j, &b, x->source + at++, 1, HB_FROM_TEMPLATE);
        }
        add_token(x, HB_T_TEXT, hb_jof_text(hb_jbuilt(x->j, &b)));
    }
    go_to(x, end + 1);
}

static size_t skip_digits(const lexer *x, size_t at)
{
    while (at < x->length && (is_digit(x->source[at]) || x->source[at] == '_')) at++;
    return at;
}

/* The end of a number. Sets *real if it has a point or an exponent. After a point, a number is an index
 * and has neither: list.0.1 has two indices. */
static size_t number_end(const lexer *x, bool *real)
{
    size_t at = skip_digits(x, x->at), exponent;
    *real = false;
    if (x->source[x->at - 1] == '.') return at;
    *real = at + 1 < x->length && x->source[at] == '.' && is_digit(x->source[at + 1]);
    if (*real) at = skip_digits(x, at + 1);
    if (at < x->length && (x->source[at] | 0x20) == 'e') {
        exponent = at + 1 + (sign_at(x, at + 1) != 0);
        if (exponent < x->length && is_digit(x->source[exponent])) {
            *real = true;
            at = skip_digits(x, exponent);
        }
    }
    return at;
}

static void lex_number(lexer *x)
{
    bool real;
    char digits[64];
    size_t end = number_end(x, &real), n = 0;
    for (size_t at = x->at; at < end; at++) {
        if (x->source[at] == '_') continue;
        if (n == sizeof digits - 1) hb_jfail(x->j, HB_ERR_FORMAT, "a number has too many digits");
        digits[n++] = x->source[at];
    }
    digits[n] = '\0';
    errno = 0;
    hb_jvalue value = real ? hb_jreal(strtod(digits, NULL)) : hb_jint(strtoll(digits, NULL, 10));
    if (errno && !real) hb_jfail(x->j, HB_ERR_FORMAT, "the number %s is too large", digits);
    add_token(x, real ? HB_T_REAL : HB_T_INT, value);
    go_to(x, end);
}

/* ---- Within tags -------------------------------------------------------------------------------- */

/* Checks that brackets match. A tag cannot end inside brackets. */
static void track_bracket(lexer *x, char c)
{
    const char *open = strchr("([{", c), *close = strchr(")]}", c);
    if (open) {
        if (x->n_open == sizeof x->closing)
            hb_jfail(x->j, HB_ERR_FORMAT, "the template is nested too deeply");
        x->closing[x->n_open++] = ")]}"[open - "([{"];
    } else if (close) {
        if (x->n_open == 0 || x->closing[x->n_open - 1] != c)
            hb_jfail(x->j, HB_ERR_FORMAT, "unexpected '%c'", c);
        x->n_open--;
    }
}

static void lex_operator(lexer *x)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 0;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (starts(x, x->at, operators[i])) n = 2;
    if (!n && memchr("+-/*%~[](){}><=.:|,;", x->source[x->at], 20)) n = 1;
    if (!n) hb_jfail(x->j, HB_ERR_FORMAT, "unexpected character within a tag");
    if (n == 1) track_bracket(x, x->source[x->at]);
    add_token(x, HB_T_OPERATOR, source_text(x, x->at, x->at + n));
    go_to(x, x->at + n);
}

/* Moves past the end of the tag if it is here. The end of a block may have a '+', the end of {{ }} may
 * not. */
static bool at_end(lexer *x, bool block)
{
    char sign = sign_at(x, x->at);
    size_t at = x->at + (sign != 0);
    if (x->n_open || (!block && sign == '+') || !starts(x, at, block ? "%}" : "}}")) return false;
    add_token(x, block ? HB_T_BLOCK_END : HB_T_PRINT_END, hb_jnone());
    close_tag(x, at + 2, sign, block);
    return true;
}

static void lex_tag(lexer *x, bool block)
{
    add_token(x, block ? HB_T_BLOCK : HB_T_PRINT, hb_jnone());
    for (;;) {
        go_to(x, skip_blanks(x, x->at));
        if (x->at == x->length) hb_jfail(x->j, HB_ERR_FORMAT, "a tag does not end");
        if (at_end(x, block)) return;
        char c = x->source[x->at];
        size_t end = x->at;
        while (end < x->length && is_name(x->source[end])) end++;
        if (is_digit(c)) {
            lex_number(x);
        } else if (end > x->at) {
            add_token(x, HB_T_NAME, source_text(x, x->at, end));
            go_to(x, end);
        } else if (c == '"' || c == '\'') {
            lex_text(x);
        } else {
            lex_operator(x);
        }
    }
}

/* ---- The whole ---------------------------------------------------------------------------------- */

/* The offset of the next tag: "{{", "{%" or "{#". */
static size_t next_tag(const lexer *x)
{
    size_t at = x->at;
    while (at + 1 < x->length) {
        const char *brace = memchr(x->source + at, '{', x->length - at - 1);
        if (!brace) break;
        if (memchr("{%#", brace[1], 3)) return (size_t)(brace - x->source);
        at = (size_t)(brace - x->source) + 1;
    }
    return SIZE_MAX;
}

/* Converts all line ends to "\n" and drops the one at the end of the source. */
static const char *normal_lines(hb_jinja *j, const char *source, size_t *length)
{
    char *out = hb_jalloc(j, *length + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < *length; i++) {
        bool pair = source[i] == '\r' && i + 1 < *length && source[i + 1] == '\n';
        if (!pair) out[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n > 0 && out[n - 1] == '\n') n--;
    *length = n;
    return out;
}

hb_jtoken *hb_jlex(hb_jinja *j, const char *source, size_t length)
{
    lexer x = {.j = j, .line_starts = true, .length = length};
    x.source = normal_lines(j, source, &x.length);
    j->line = 1;
    for (size_t tag; (tag = next_tag(&x)) != SIZE_MAX;) {
        char kind = x.source[tag + 1], sign = sign_at(&x, tag + 2), raw_sign;
        size_t raw_end;
        add_data(&x, tag, sign, kind != '{');
        if (kind == '%' && is_tag(&x, tag, "raw", &raw_end, &raw_sign)) {
            lex_raw(&x, raw_end, raw_sign);
            continue;
        }
        go_to(&x, tag + 2 + (sign != 0));
        if (kind == '#') lex_comment(&x, x.at);
        else lex_tag(&x, kind == '%');
    }
    if (x.at < x.length) add_token(&x, HB_T_DATA, source_text(&x, x.at, x.length));
    add_token(&x, HB_T_END, hb_jnone());
    return x.tokens;
}
