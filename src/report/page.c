/* The document around a report's parts. */
#include "report/page.h"

#include <stdlib.h>
#include <string.h>
#include "base/base64.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "report/markup.h"
#include "report/styles.h"

/* The byte of two hexadecimal digits in lower case. */
static uint8_t byte_of(const char *hex)
{
    uint8_t value = 0;
    for (int i = 0; i < 2; i++)
        value = (uint8_t)(value * 16 + (hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10));
    return value;
}

/* The hash of the page's script, in base64, for its policy. Released with free(). */
static char *hash_of_script(void)
{
    hb_sha256 hash;
    char hex[65];
    uint8_t bytes[32];
    if (!hb_sha256_init(&hash)) return NULL;
    hb_sha256_add(&hash, hb_report_js, hb_report_js_length);
    hb_sha256_finish(&hash, hex);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = byte_of(hex + 2 * i);
    return hb_base64_encode(bytes, sizeof bytes);
}

static void put_file(hb_writer *w, const unsigned char *bytes, size_t length)
{
    hb_write_bytes(w, (const char *)bytes, length);
}

hb_status hb_page_begin(hb_writer *w, const char *title, bool script, hb_error *err)
{
    char *hash = script ? hash_of_script() : strdup("");
    if (!hash) return hb_fail_memory(err);
    hb_write(w, "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
                "<meta charset=\"utf-8\" />\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n"
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'");
    if (script) hb_write(w, "; script-src 'sha256-%s'", hash);
    free(hash);
    hb_write(w, "\" />\n<title>");
    hb_markup_some(w, title, 300);
    hb_write(w, "</title>\n<style>\n");
    put_file(w, hb_figure_css, hb_figure_css_length);
    put_file(w, hb_report_css, hb_report_css_length);
    hb_write(w, "</style>\n</head>\n<body>\n<header><h1>");
    hb_markup_some(w, title, 300);
    hb_write(w, "</h1></header>\n<main>\n");
    return HB_OK;
}

void hb_page_end(hb_writer *w, bool script)
{
    hb_write(w, "</main>\n<footer><p>Written by hbar %s.</p></footer>\n", hb_version());
    if (script) {
        hb_write(w, "<script>");
        put_file(w, hb_report_js, hb_report_js_length);
        hb_write(w, "</script>\n");
    }
    hb_write(w, "</body>\n</html>\n");
}

/* ---- Tokens -------------------------------------------------------------------------------------- */

/* Moves a place in a text by `n` characters; not beyond the end. */
static size_t skip(const char *text, size_t length, size_t at, uint64_t n)
{
    for (; n > 0 && at < length; n--) {
        int size = hb_utf8_character(text + at, length - at);
        at += size > 0 ? (size_t)size : 1;
    }
    return at < length ? at : length;
}

void hb_page_tokens(hb_writer *w, const char *text, size_t length, const uint8_t *levels,
                    const hb_response_span *characters, size_t n)
{
    size_t at = 0;
    uint64_t place = 0; /* in characters, of `at` */
    for (size_t i = 0; i < n && at < length; i++) {
        const hb_response_span *c = &characters[i];
        if (c->start < place || c->end <= c->start) continue; /* it has no text of its own */
        size_t begin = skip(text, length, at, c->start - place);
        size_t end = skip(text, length, begin, c->end - c->start);
        if (begin == end) break; /* beyond the text */
        hb_markup_bytes(w, text + at, begin - at);
        if (levels[i] >= HB_PLAIN_LEVELS) hb_write(w, "<i class=\"r%d\">", levels[i]);
        hb_markup_bytes(w, text + begin, end - begin);
        if (levels[i] >= HB_PLAIN_LEVELS) hb_write(w, "</i>");
        at = end;
        place = c->end;
    }
    hb_markup_bytes(w, text + at, length - at);
}
