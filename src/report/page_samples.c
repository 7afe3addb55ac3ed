/* The samples of a run as a table: the most wrong first, as many as there is room for. */
#include <math.h>
#include <string.h>
#include "report/markup.h"
#include "report/page.h"

enum { RESERVE = 3000, MOST_BARS = 400 };

/* P_fail at each token as small bars, which need no colour. */
static void put_bars(hb_writer *w, const hb_shown *s)
{
    size_t highest = 0, n = s->n_steps < MOST_BARS ? s->n_steps : MOST_BARS;
    for (size_t i = 0; i < n; i++)
        if (s->levels[i] > s->levels[highest]) highest = i;
    hb_write(
        w,
        "<span class=\"bars\" role=\"img\" aria-label=\"P_fail at each token; highest at token %zu\">",
        highest + 1);
    for (size_t i = 0; i < n; i++) {
        char bar[4] = "\xE2\x96\x81";
        bar[2] = (char)(bar[2] + s->levels[i] * 8 / 10);
        hb_write_bytes(w, bar, 3);
    }
    hb_write(w, "</span>");
}

static void put_answer(hb_writer *w, const hb_shown *s)
{
    size_t length = strlen(s->text);
    if (s->levels && s->characters)
        hb_page_tokens(w, s->text, length, s->levels, s->characters, s->n_steps);
    else hb_markup_bytes(w, s->text, length);
    if (length < s->text_length) hb_write(w, "…");
    if (s->levels && !s->characters && s->n_steps) put_bars(w, s);
}

static void put_row(hb_writer *w, const hb_shown *s)
{
    const hb_judged_sample *j = &s->judged;
    hb_write(w, "<tr><td>");
    hb_markup_some(w, s->id ? s->id : "", 60);
    hb_write(w, "</td><td>%s</td><td>", j->label ? "hallucinated" : "right");
    hb_markup_number(w, j->p_fail, 3);
    hb_write(w, "</td><td>");
    hb_markup_number(w, fabs(j->p_fail - j->label), 3);
    hb_write(w, "</td><td>");
    hb_markup_number(w, j->score, 4);
    hb_write(w, "</td><td>%d</td><td>", s->n_tokens);
    if (s->prompt) {
        hb_write(w, "<q>");
        hb_markup(w, s->prompt);
        hb_write(w, "</q>");
    }
    put_answer(w, s);
    hb_write(w, "</td></tr>\n");
}

/* Writes as many rows as fit; returns their number. */
static size_t put_rows(hb_writer *rows, const hb_subject *s, size_t room)
{
    size_t i = 0;
    for (; i < s->n_shown; i++) {
        hb_writer row = {0};
        put_row(&row, &s->shown[i]);
        bool fits = !row.failed && rows->text.length + row.text.length <= room;
        if (row.failed) rows->failed = true;
        if (fits) hb_write_bytes(rows, row.text.data, row.text.length);
        hb_buffer_free(&row.text);
        if (!fits) break;
    }
    return i;
}

static void put_words(hb_writer *w, const hb_subject *s, size_t n)
{
    bool placed = s->n_shown && s->shown[0].characters;
    hb_write(w, "<p class=\"how\">The most wrong come first: right answers with a high P_fail, and "
                "hallucinated ones with a low P_fail. ");
    if (!s->coloured)
        hb_write(w,
                 "The run has no P_fail at each token, because it keeps no steps or because the score "
                 "has no value there, so tokens are not coloured.");
    else if (placed)
        hb_write(w,
                 "The darker a token, the higher the P_fail at its step; tokens below 0.2 stay plain, "
                 "and those from 0.7 on are underlined.");
    else
        hb_write(w, "The run does not keep where the tokens of generated text begin, so they are not "
                    "coloured; a bar for each token shows P_fail at its step.");
    if (n < s->n_judged)
        hb_write(w,
                 " The page has room for %zu of %zu labelled samples; <code>hbar export</code> writes "
                 "all of them.",
                 n, s->n_judged);
    else hb_write(w, " All %zu labelled samples are here.", n);
    hb_write(w, "</p>\n");
}

void hb_page_samples(hb_writer *w, const hb_subject *s, size_t id, size_t room)
{
    static const char *const columns[] = {"id",    "label",  "P_fail",           "wrong by",
                                          "score", "tokens", "prompt and answer"};
    hb_writer rows = {0};
    hb_write(w, "<section class=\"samples\" id=\"s%zu\">\n<h2>Samples of ", id);
    hb_markup_some(w, s->name, 200);
    hb_write(w, "</h2>\n");
    size_t n = put_rows(&rows, s, room > RESERVE ? room - RESERVE : 0);
    put_words(w, s, n);
    hb_write(
        w, "<p class=\"tools\" hidden=\"hidden\"><label>Search <input type=\"search\" /></label> "
           "<span class=\"count\" role=\"status\"></span></p>\n<div class=\"wide\"><table><thead><tr>");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        hb_write(w, "<th scope=\"col\"%s><button type=\"button\">%s</button></th>",
                 i == 3 ? " aria-sort=\"descending\"" : "", columns[i]);
    hb_write(w, "</tr></thead><tbody>\n");
    hb_write_bytes(w, rows.text.data, rows.text.length);
    if (rows.failed) w->failed = true;
    hb_buffer_free(&rows.text);
    hb_write(w, "</tbody></table></div>\n</section>\n");
}
