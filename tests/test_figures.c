/* Markup, figures and pages: what comes from outside stays text, and odd numbers stay in the picture.
 */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "report/figure.h"
#include "report/figures.h"
#include "report/markup.h"
#include "report/page.h"

static char *text_of(hb_writer *w)
{
    hb_error err;
    char *text;
    assert_ok(hb_writer_finish(w, &text, &err));
    return text;
}

static void test_markup(void **state)
{
    (void)state;
    hb_writer w = {0};
    hb_markup_bytes(&w, "<a b='c' d=\"&\">\n\t\r\x01\0\xFF\xC3\xA9\xC2\x85\xE2\x80\xAE\xEF\xBF\xBF",
                    31);
    char *text = text_of(&w);
#define BAD "\xEF\xBF\xBD"
    assert_string_equal(text, "&lt;a b=&#39;c&#39; d=&quot;&amp;&quot;&gt;\n\t " BAD BAD BAD
                              "\xC3\xA9" BAD BAD BAD);
    free(text);
}

static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(hb_markup_cut("abc", 3, 5), 3);
    assert_int_equal(hb_markup_cut("a\xC3\xA9", 3, 2), 1);
    assert_int_equal(hb_markup_cut("\x80\x80\x80\x80\x80\x80", 6, 5),
                     2); /* no character: cut all the same */
    hb_writer w = {0};
    hb_markup_some(&w, "a\xC3\xA9z", 2);
    char *text = text_of(&w);
    assert_string_equal(text, "a…");
    free(text);
}

static void test_numbers(void **state)
{
    (void)state;
    hb_writer w = {0};
    hb_markup_number(&w, NAN, 3);
    hb_markup_number(&w, -0.12345, 3);
    hb_markup_number(&w, 1e300, 1);
    hb_markup_interval(&w, NAN, 1, 2);
    hb_markup_interval(&w, 0, 1, 1);
    hb_figure_put(&w, -0.04);
    hb_figure_put(&w, -12.34);
    hb_figure_put(&w, 1e99);
    char *text = text_of(&w);
    assert_string_equal(text, "–-0.1231.0e+300 [0.0, 1.0]0-12.31000000");
    free(text);
}

/* Values on an axis and beyond it, also of an axis that is turned or has no length. */
static void test_places(void **state)
{
    (void)state;
    hb_figure f = hb_figure_of("t", "d", (hb_axis){"x", 0, 10, false}, (hb_axis){"y", 4, 0, false});
    double width = f.width - f.left - f.right, height = f.height - f.top - f.bottom;
    assert_near(hb_figure_x(&f, 5), f.left + width / 2, 1e-9);
    assert_near(hb_figure_x(&f, 99), f.left + width, 1e-9);
    assert_near(hb_figure_x(&f, NAN), f.left, 1e-9);
    assert_near(hb_figure_y(&f, 0), f.top, 1e-9);
    assert_near(hb_figure_y(&f, 3), f.top + height * 3 / 4, 1e-9);
    f.x.to = 0;
    assert_near(hb_figure_x(&f, 0), f.left + width / 2, 1e-9);
}

/* Whether markup is balanced: each element is closed, in order. Enough for what figures write. */
static bool is_balanced(const char *text)
{
    char names[32][16];
    int depth = 0;
    for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        char name[16] = "";
        if (!end) return false;
        if (at[1] == '!') continue;
        sscanf(at + 1 + (at[1] == '/'), "%15[a-z0-9]", name);
        if (at[1] == '/') {
            if (depth == 0 || strcmp(names[--depth], name) != 0) return false;
        } else if (end[-1] != '/') {
            if (depth == 32) return false;
            strcpy(names[depth++], name);
        }
    }
    return depth == 0;
}

static hb_curves *make_curves(void)
{
    hb_error err;
    double scores[200];
    uint8_t labels[200];
    hb_curves *curves;
    hb_rng rng = {1};
    for (size_t i = 0; i < 200; i++) {
        labels[i] = hb_rng_below(&rng, 2) == 0;
        scores[i] = (double)hb_rng_below(&rng, 100) + 40 * labels[i];
    }
    hb_validation_options o = hb_validation_defaults();
    o.bootstrap.n_draws = 100;
    assert_ok(hb_find_curves(scores, labels, 200, &o, &curves, &err));
    return curves;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part)) != NULL) {
        n++;
        text++;
    }
    return n;
}

static void test_figures(void **state)
{
    (void)state;
    hb_curves *c = make_curves();
    const hb_drawn drawn[2] = {{"a <b>", &c->roc, 0.2, 0.7}, {"b & c", &c->precision_recall, NAN, NAN}};
    const double matrix[4] = {1, -0.5, NAN, 1};
    const char *const names[2] = {"<script>", "\"quoted\""};
    const hb_ranked rows[2] = {{"<x>", 0.8, 0.7, 0.9, false}, {"length", 0.55, NAN, NAN, true}};
    hb_writer w[7] = {0};
    hb_draw_histogram(&w[0], false, c, "entropy & <more>", 60);
    hb_draw_roc(&w[1], true, drawn, 1);
    hb_draw_roc(&w[2], false, drawn, 2);
    hb_draw_risk_coverage(&w[3], false, drawn, 1, NAN);
    hb_draw_reliability(&w[4], true, &c->reliability, c->n_in_bin);
    hb_draw_ranking(&w[5], false, "Ranking", rows, 2);
    hb_draw_correlations(&w[6], false, names, matrix, 2);
    for (int i = 0; i < 7; i++) {
        char *text = text_of(&w[i]);
        assert_true(is_balanced(text));
        assert_non_null(strstr(text, "<desc>"));
        assert_non_null(strstr(text, "role=\"img\""));
        assert_null(strstr(text, "nan"));
        assert_null(strstr(text, "<script>"));
        assert_null(strstr(text, "<b>"));
        if (i == 1) assert_int_equal(count(text, "<polygon"), 1);
        if (i == 2) assert_int_equal(count(text, "<polygon"), 0);
        if (i == 2) assert_int_equal(count(text, "<polyline"), 2);
        if (i == 5) assert_int_equal(count(text, "<circle"), 2);
        if (i == 6) assert_int_equal(count(text, "<rect"), 3);
        assert_int_equal(count(text, "<style>"), i == 1 || i == 4);
        free(text);
    }
    hb_curves_free(c);
}

/* Figures of nothing are empty, not broken. */
static void test_nothing(void **state)
{
    (void)state;
    size_t none[1] = {0};
    hb_curves c = {.bars = {none, none}, .n_in_bin = none};
    const hb_drawn drawn = {"a", &c.roc, NAN, NAN};
    hb_writer w = {0};
    hb_draw_histogram(&w, false, &c, "s", NAN);
    hb_draw_roc(&w, false, &drawn, 1);
    hb_draw_ranking(&w, false, "Ranking", NULL, 0);
    hb_draw_correlations(&w, false, NULL, NULL, 0);
    char *text = text_of(&w);
    assert_true(is_balanced(text));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
}

/* Tokens with characters that overlap, run backwards or lie beyond the text. */
static void test_tokens(void **state)
{
    (void)state;
    static const uint8_t levels[] = {9, 0, 5, 7, 3, 2};
    static const hb_response_span spans[] = {{0, 1}, {1, 3}, {2, 4}, {4, 4}, {4, 5}, {900, UINT64_MAX}};
    hb_writer w = {0};
    hb_page_tokens(&w, "\xC3\xA9<b>xy", 7, levels, spans, 6);
    hb_page_tokens(&w, "", 0, levels, spans, 6);
    char *text = text_of(&w);
    assert_string_equal(text, "<i class=\"r9\">\xC3\xA9</i>&lt;b&gt;<i class=\"r3\">x</i>y");
    free(text);
}

/* ---- Documents ----------------------------------------------------------------------------------- */

static void test_documents(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "[]",
        "{",
        "{\"schema\": 5}",
        "{\"schema\": \"hbar-params\"}",
        "{\"schema\": \"hbar-validation\", \"score\": \"a\", \"scores\": {\"b\": {}}}",
        "{\"schema\": \"hbar-validation\", \"score\": \"a\", \"scores\": []}"};
    hb_error err;
    hb_subject s;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_fails(hb_subject_read("n", "FILE", refused[i], strlen(refused[i]), &s, &err),
                     HB_ERR_FORMAT, "FILE");
    static const char newer[] =
        "{\"schema\": \"hbar-params\", \"schema_version\": 99, \"score\": {\"name\": \"a\"}}";
    assert_fails(hb_subject_read("n", "FILE", newer, strlen(newer), &s, &err), HB_ERR_UNSUPPORTED,
                 "newer");
}

/* Fields of other kinds than they should have count as unknown. */
static void test_damaged(void **state)
{
    (void)state;
    static const char text[] =
        "{\"schema\": \"hbar-params\", \"score\": {\"name\": \"<s>\", \"n\": []}, \"auroc\": \"x\","
        " \"threshold\": 5, \"uncertainty\": {\"auroc_delong\": [1]}, \"ranking\": [5, {}],"
        " \"controls\": {}, \"halt\": {\"answers\": 3}, \"halting\": {}, \"better\": {\"name\": 7},"
        " \"correlations\": {\"scores\": [1, 2], \"matrix\": [[], 1]},"
        " \"curves\": {\"roc\": {\"false_positive_rate\": [0, 1], \"true_positive_rate\": [0]},"
        " \"histogram\": {\"lower\": 3, \"upper\": 1, \"label_0\": [1, 1e15], \"label_1\": [1]},"
        " \"reliability\": {\"p_fail\": [null, \"a\"], \"rate\": [1, 1], \"lower\": [0, 0],"
        " \"upper\": [1, 1]}, \"reliability_n\": [1, 2]}}";
    hb_error err;
    hb_subject s;
    hb_writer w = {0};
    assert_ok(hb_subject_read("n", "FILE", text, strlen(text), &s, &err));
    hb_page_parts(&w, &s, 0, HB_DETAIL_ALL);
    hb_page_samples(&w, &s, 0, 0);
    hb_page_comparison(&w, &s, 1);
    char *page = text_of(&w);
    assert_true(is_balanced(page));
    assert_null(strstr(page, "<s>"));
    free(page);
    hb_subject_free(&s);
}

static void test_report(void **state)
{
    (void)state;
    hb_error err;
    hb_report *report;
    char *html, *svg, name[HB_FIGURE_NAME_BYTES];
    hb_report_options o = hb_report_defaults();
    o.max_bytes = 5;
    assert_fails(hb_report_open(&o, &report, &err), HB_ERR_ARGUMENT, "max_bytes");
    assert_ok(hb_report_open(NULL, &report, &err));
    assert_fails(hb_report_html(report, &html, &err), HB_ERR_ARGUMENT, "no results");
    assert_ok(hb_report_figure(report, 0, name, &svg, &err));
    assert_null(svg);
    assert_fails(hb_report_add_file(report, "/dev/null/x", &err), HB_ERR_IO, "/dev/null/x");
    hb_report_close(report);
    hb_report_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_markup),  cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_numbers), cmocka_unit_test(test_places),
                                       cmocka_unit_test(test_figures), cmocka_unit_test(test_nothing),
                                       cmocka_unit_test(test_tokens),  cmocka_unit_test(test_documents),
                                       cmocka_unit_test(test_damaged), cmocka_unit_test(test_report)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
