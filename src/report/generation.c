/* One generation as a page: its text with the tokens' colours, P_fail over the steps, and a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "report/figure.h"
#include "report/markup.h"
#include "report/page.h"

enum { MOST_ROWS = 2000, PROMPT_BYTES = 20000 };

/* ---- Which characters belong to which token ------------------------------------------------------ */

/* Moves along the generated text. */
typedef struct reader {
    const char *text;
    size_t length, at;
    uint64_t place;  /* of `at`, in characters */
    char pending[8]; /* bytes of a character whose other bytes the next token has */
    size_t n_pending;
} reader;

static uint64_t characters_in(const char *bytes, size_t length)
{
    uint64_t n = 0;
    for (size_t i = 0; i < length; i++) n += ((uint8_t)bytes[i] & 0xC0) != 0x80;
    return n;
}

/* Whether the text goes on with these bytes; moves past them. */
static bool pass(reader *r, const char *bytes, size_t length)
{
    if (length > r->length - r->at || memcmp(r->text + r->at, bytes, length) != 0) return false;
    r->place += characters_in(bytes, length);
    r->at += length;
    return true;
}

/* The characters of a token, none if it has no text of its own or only a part of a character. A space
 * before the first word may be missing from the text. */
static hb_response_span next(reader *r, const char *bytes, size_t length)
{
    uint64_t begin = r->place;
    if (r->n_pending && r->n_pending + length <= sizeof r->pending) {
        memcpy(r->pending + r->n_pending, bytes, length);
        r->n_pending += length;
        if (hb_utf8_valid(r->pending, r->n_pending) && pass(r, r->pending, r->n_pending))
            r->n_pending = 0;
    } else if (hb_utf8_valid(bytes, length)) {
        r->n_pending = 0;
        if (!pass(r, bytes, length) && r->at == 0 && length && *bytes == ' ')
            pass(r, bytes + 1, length - 1);
    } else if (length <= 3) {
        memcpy(r->pending, bytes, length);
        r->n_pending = length;
    }
    return (hb_response_span){begin, r->place};
}

/* The tokens [g->n_tokens] with the levels of the latest checked steps. */
static void place_tokens(const hb_model *model, const hb_generation *g, hb_response_span *characters,
                         uint8_t *levels)
{
    reader r = {.text = g->text, .length = strlen(g->text)};
    size_t step = 0;
    for (int32_t i = 0; i < g->n_tokens; i++) {
        size_t length;
        const char *bytes = hb_token_bytes(model, g->tokens[i], &length);
        characters[i] = next(&r, bytes, length);
        while (step + 1 < g->n_steps && g->trajectory[step + 1].step <= i) step++;
        double p = g->n_steps ? g->trajectory[step].p_fail : NAN;
        levels[i] = p >= 0.9 ? 9 : p > 0 ? (uint8_t)(p * 10) : 0;
    }
}

/* ---- The parts of the page ----------------------------------------------------------------------- */

static hb_status put_answer(hb_writer *w, const hb_model *model, const hb_generation *g, hb_error *err)
{
    size_t n = (size_t)g->n_tokens;
    hb_response_span *characters = calloc(n + 1, sizeof *characters);
    uint8_t *levels = calloc(n + 1, sizeof *levels);
    hb_status status = characters && levels ? HB_OK : hb_fail_memory(err);
    if (!status) {
        place_tokens(model, g, characters, levels);
        hb_write(w,
                 "<h2>Answer</h2>\n<p class=\"how\">The darker a token, the higher the P_fail at its "
                 "step; tokens below 0.2 stay plain, and those from 0.7 on are underlined.</p>\n"
                 "<p class=\"answer\">");
        hb_page_tokens(w, g->text, strlen(g->text), levels, characters, n);
        hb_write(w, "</p>\n");
    }
    free(characters);
    free(levels);
    return status;
}

static void put_end(hb_writer *w, const hb_generation *g)
{
    hb_write(w, "<p>%d tokens; ended by: %s.", g->n_tokens, hb_finish_name(g->finish));
    if (g->finish == HB_FINISH_HALTED && g->n_steps) {
        hb_write(w, " Step %d would have added a token with P_fail ", g->last.step);
        hb_markup_number(w, g->last.p_fail, 3);
        hb_write(w, ".");
    }
    hb_write(w, "</p>\n");
}

static hb_status put_figure(hb_writer *w, const hb_generation *g, hb_error *err)
{
    size_t n = g->n_steps;
    double *x = calloc(2 * n + 1, sizeof *x), *y = x ? x + n : NULL;
    if (!x) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        x[i] = g->trajectory[i].step;
        y[i] = g->trajectory[i].p_fail;
    }
    hb_figure f = hb_figure_of(
        "P_fail at each step", "P_fail of each checked step. The dashed line is the cutoff.",
        (hb_axis){"step", 0, n ? fmax(x[n - 1], 1) : 1, false}, (hb_axis){"P_fail", 0, 1, false});
    hb_write(w, "<h2>P_fail over the steps</h2>\n<figure>");
    hb_figure_begin(w, &f);
    hb_figure_segment(w, &f, "chance", 0, g->cutoff, f.x.to, g->cutoff <= 1 ? g->cutoff : NAN);
    hb_figure_line(w, &f, "s1", x, y, n);
    hb_figure_end(w);
    hb_write(w,
             "<figcaption>Where the line rises, the model is likely to make something up. The dashed "
             "line is the cutoff, at which generation halts unless a calibrated halt decides."
             "</figcaption></figure>\n");
    free(x);
    return HB_OK;
}

static void put_steps(hb_writer *w, const hb_model *model, const hb_generation *g)
{
    size_t n = g->n_steps < MOST_ROWS ? g->n_steps : MOST_ROWS;
    hb_write(w, "<h2>Steps</h2>\n");
    if (n < g->n_steps) hb_write(w, "<p>The first %zu of %zu steps.</p>\n", n, g->n_steps);
    hb_write(w,
             "<div class=\"wide\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\">token"
             "</th><th scope=\"col\">P_fail</th><th scope=\"col\">watched value</th>"
             "<th scope=\"col\">halts</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const hb_step *s = &g->trajectory[i];
        size_t length;
        const char *piece = hb_token_piece(model, s->token, &length);
        hb_write(w, "<tr><td>%d</td><td>", s->step);
        hb_markup_bytes(w, piece, hb_markup_cut(piece, length, 60));
        hb_write(w, "</td><td class=\"number\">");
        hb_markup_number(w, s->p_fail, 3);
        hb_write(w, "</td><td class=\"number\">");
        hb_markup_number(w, s->watched, 4);
        hb_write(w, "</td><td>%s</td></tr>\n", s->halts ? "yes" : "");
    }
    hb_write(w, "</tbody></table></div>\n");
}

hb_status hb_generation_html(const hb_model *model, const hb_generation *generation, const char *prompt,
                             size_t length, char **html, hb_error *err)
{
    hb_writer w = {0};
    if (!generation->text)
        return hb_fail(err, HB_ERR_ARGUMENT, "the generation was only scored, so it has no text");
    hb_status status = hb_page_begin(&w, "Answer with its risk", false, err);
    if (!status) {
        size_t cut = hb_markup_cut(prompt, length, PROMPT_BYTES);
        hb_write(&w, "<h2>Prompt</h2>\n<p class=\"answer\">");
        hb_markup_bytes(&w, prompt, cut);
        hb_write(&w, "%s</p>\n", cut < length ? "…" : "");
        status = put_answer(&w, model, generation, err);
    }
    if (!status) {
        put_end(&w, generation);
        status = put_figure(&w, generation, err);
    }
    if (status) {
        hb_buffer_free(&w.text);
        return status;
    }
    put_steps(&w, model, generation);
    hb_page_end(&w, false);
    return hb_writer_finish(&w, html, err);
}
