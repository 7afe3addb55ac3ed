/* Filters that return numbers. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "chat/builtins.h"
#include "chat/text.h"

/* Copies a text that spells a number, without surrounding blanks and without underscores between
 * digits. Returns false for a text that cannot be a number or is too long. */
static bool copy_digits(hb_jinja *j, const hb_jtext *text, char *out, size_t room)
{
    const hb_jtext *t = hb_jstrip(j, text, NULL, HB_J_LEFT | HB_J_RIGHT);
    size_t n = 0;
    for (size_t i = 0; i < t->length; i++) {
        bool between = i > 0 && i + 1 < t->length && isalnum((unsigned char)t->bytes[i - 1]) &&
                       isalnum((unsigned char)t->bytes[i + 1]);
        if (t->bytes[i] == '_' && between) continue;
        if (n + 1 == room || t->bytes[i] == '_' || t->bytes[i] == '\0') return false;
        out[n++] = t->bytes[i];
    }
    out[n] = '\0';
    return n > 0 && !isspace((unsigned char)*out);
}

static bool read_real(hb_jinja *j, const hb_jtext *text, double *real)
{
    char digits[128], *end;
    if (!copy_digits(j, text, digits, sizeof digits) || strpbrk(digits, "xXpP(")) return false;
    *real = strtod(digits, &end);
    return !*end;
}

/* Like Python's int(text, base). */
static bool read_int(hb_jinja *j, const hb_jtext *text, int64_t base, int64_t *integer)
{
    char digits[128], *end;
    bool ok = copy_digits(j, text, digits, sizeof digits) && base >= 0 && base <= 36 && base != 1;
    const char *first = digits + (ok && (*digits == '+' || *digits == '-'));
    if (!ok || !isalnum((unsigned char)*first)) return false;
    char prefix = first[0] == '0' ? (char)tolower((unsigned char)first[1]) : 0;
    if (prefix == 'x' && base != 16 && base != 0) return false;
    errno = 0;
    *integer = strtoll(digits, &end, (int)base);
    return !*end && !errno;
}

static bool whole_of(double real, int64_t *integer)
{
    if (!(fabs(real) < 9.2e18)) return false;
    *integer = (int64_t)real;
    return true;
}

static hb_jvalue filter_int(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    hb_jvalue result = hb_jint(0);
    double real;
    bool ok = false;
    hb_jneed(j, self);
    if (self.kind == HB_J_TEXT) {
        ok = read_int(j, self.text, hb_jint_argument(j, arg[1], 10, "the base"), &result.integer) ||
             (read_real(j, self.text, &real) && whole_of(real, &result.integer));
        result.mark = hb_jmark_of(self.text);
    } else if (hb_jis_number(self)) {
        ok = self.kind != HB_J_REAL || whole_of(self.real, &result.integer);
        if (self.kind != HB_J_REAL) result.integer = self.kind == HB_J_INT ? self.integer : self.truth;
        result.mark = self.mark;
    }
    if (ok) return result;
    return arg[0].kind == HB_J_ABSENT ? hb_jint(0) : arg[0];
}

static hb_jvalue filter_float(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    hb_jvalue result = hb_jreal(0);
    bool ok = hb_jis_number(self);
    hb_jneed(j, self);
    if (ok) {
        result.real = hb_jto_real(self);
        result.mark = self.mark;
    } else if (self.kind == HB_J_TEXT) {
        ok = read_real(j, self.text, &result.real);
        result.mark = hb_jmark_of(self.text);
    }
    if (ok) return result;
    return arg[0].kind == HB_J_ABSENT ? hb_jreal(0) : arg[0];
}

static void need_number(hb_jinja *j, hb_jvalue v)
{
    hb_jneed(j, v);
    if (!hb_jis_number(v)) hb_jfail(j, HB_ERR_FORMAT, "%s is not a number", hb_jkind_name(v));
}

static hb_jvalue filter_abs(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    need_number(j, self);
    if (self.kind == HB_J_BOOL) return hb_jint(self.truth);
    if (self.kind == HB_J_REAL) self.real = fabs(self.real);
    else if (self.integer == INT64_MIN) hb_jfail(j, HB_ERR_FORMAT, "a whole number exceeds 64 bits");
    else self.integer = llabs(self.integer);
    return self;
}

/* Rounds a real number to a number of decimals. Decides halves by the exact value of the binary number,
 * like Python. */
static double rounded(double real, int digits)
{
    char text[512];
    if (!isfinite(real)) return real;
    if (digits < 0) return rint(real / pow(10, -digits)) * pow(10, -digits);
    snprintf(text, sizeof text, "%.*f", digits, real);
    return strtod(text, NULL);
}

static hb_jvalue filter_round(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    int64_t digits = hb_jint_argument(j, arg[0], 0, "the precision");
    const hb_jtext *method = hb_joptional_text(j, arg[1], "the method");
    need_number(j, self);
    if (digits < -20 || digits > 20) hb_jfail(j, HB_ERR_FORMAT, "the precision is out of range");
    hb_jvalue result = hb_jreal(hb_jto_real(self));
    result.mark = self.mark;
    if (!method || hb_jtext_is(method, "common")) {
        if (self.kind == HB_J_BOOL && digits >= 0) return hb_jint(self.truth);
        if (self.kind == HB_J_INT && digits >= 0) return self;
        result.real = rounded(result.real, (int)digits);
    } else {
        double scale = pow(10, (double)digits);
        if (hb_jtext_is(method, "ceil")) result.real = ceil(result.real * scale) / scale;
        else if (hb_jtext_is(method, "floor")) result.real = floor(result.real * scale) / scale;
        else hb_jfail(j, HB_ERR_FORMAT, "the rounding method must be common, ceil or floor");
    }
    return result;
}

const hb_jbuiltin *hb_jfind_number_filter(const hb_jtext *name)
{
    static const hb_jbuiltin filters[] = {
        {"int", "default base", 0, filter_int, NULL},
        {"float", "default", 0, filter_float, NULL},
        {"abs", "", 0, filter_abs, NULL},
        {"round", "precision method", 0, filter_round, NULL},
    };
    return HB_J_FIND(filters, name);
}
