/* Grading: the options that several commands share, and notes about their results. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

void cli_grading_add(cli_options *options, cli_grading *g)
{
    static const char *rules[HB_N_GRADE_RULES + 1];
    static const char *treatments[HB_N_ABSTAIN_AS + 1];
    const hb_grading defaults = hb_grading_defaults();
    *g = (cli_grading){.min_f1 = defaults.min_f1, .tolerance = defaults.tolerance};
    for (int i = 0; i < HB_N_GRADE_RULES; i++) rules[i] = hb_grade_rule_name((hb_grade_rule)i);
    for (int i = 0; i < HB_N_ABSTAIN_AS; i++) treatments[i] = hb_abstain_as_name((hb_abstain_as)i);
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_choice(options, "grade", 0, NULL, &g->rule, rules,
                   "for data with answers, the rule by which the model's answer is right")
        ->given = &g->rule_given;
    cli_add_real(options, "min-f1", 0, "F", &g->min_f1, 1e-9, 1,
                 "with --grade f1, the smallest F1 of a right answer")
        ->given = &g->min_f1_given;
    cli_add_real(options, "tolerance", 0, "E", &g->tolerance, 0, 1e9,
                 "with --grade number, the largest relative error of a right answer")
        ->given = &g->tolerance_given;
    cli_add_choice(options, "abstain-as", 0, NULL, &g->abstain_as, treatments,
                   "how answers like \"I don't know\" count; out: they are left out")
        ->given = &g->abstain_as_given;
    cli_grading_explain(options, "as in the run", "as in the run");
}

void cli_grading_explain(cli_options *options, const char *grade, const char *abstain_as)
{
    cli_explain(options, "grade", NULL, grade);
    cli_explain(options, "abstain-as", NULL, abstain_as);
}

void cli_grading_add_reading(cli_options *options, cli_grading *g)
{
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_text(options, "answer-lines", 0, "N|all", &g->lines_text,
                 "for data with answers, how many lines of the generated text are the answer")
        ->standard = "1; with --grade number and no --shots, all";
    cli_add_text(options, "abstain", 0, "FILE", &g->abstain_path,
                 "more phrases like \"I don't know\", one per line");
}

/* Reads a number of lines. False if the text is not one. */
static bool read_lines(const char *text, int32_t *lines)
{
    char *end;
    *lines = HB_ALL_LINES;
    if (strcmp(text, "all") == 0) return true;
    errno = 0;
    long value = strtol(text, &end, 10);
    *lines = (int32_t)value;
    return *text >= '0' && *text <= '9' && !*end && !errno && value >= 1 && value <= 1 << 24;
}

/* The lines of an answer where no option says: a number may stand at the end of a calculation. */
static int32_t usual_lines(const cli_grading *g, hb_grade_rule rule)
{
    return rule == HB_GRADE_NUMBER && !g->shown ? HB_ALL_LINES : 1;
}

bool cli_grading_check(const cli_command *command, cli_grading *g, int *code)
{
    hb_grading *to = &g->grading;
    *to = hb_grading_defaults();
    to->rule = (hb_grade_rule)g->rule;
    to->min_f1 = g->min_f1;
    to->tolerance = g->tolerance;
    to->abstain_as = (hb_abstain_as)g->abstain_as;
    *code = CLI_DONE;
    if (g->min_f1_given && to->rule != HB_GRADE_F1)
        *code = cli_usage(command, "--min-f1 needs --grade f1");
    else if (g->tolerance_given && to->rule != HB_GRADE_NUMBER)
        *code = cli_usage(command, "--tolerance needs --grade number");
    else if (g->lines_text && !read_lines(g->lines_text, &g->lines))
        *code = cli_usage(command, "--answer-lines: '%s' is neither a number from 1 nor 'all'",
                          g->lines_text);
    to->answer_lines = g->lines ? g->lines : usual_lines(g, to->rule);
    return *code == CLI_DONE;
}

void cli_grading_take(cli_grading *g, const hb_grading *from)
{
    hb_grading *to = &g->grading;
    if (!g->rule_given) {
        g->rule = (int)(to->rule = from->rule);
        g->min_f1 = to->min_f1 = from->min_f1;
        g->tolerance = to->tolerance = from->tolerance;
    }
    if (!g->abstain_as_given) g->abstain_as = (int)(to->abstain_as = from->abstain_as);
    if (!g->lines_text) g->lines = to->answer_lines = from->answer_lines;
    g->taken = true;
}

void cli_grading_continue(cli_grading *g, const hb_run *run)
{
    hb_grading own = hb_run_grading(run);
    if (!*hb_run_get_settings(run)->grading) return;
    own.answer_lines = usual_lines(g, g->rule_given ? g->grading.rule : own.rule);
    cli_grading_take(g, &own);
}

int cli_grading_open(cli_grading *g)
{
    hb_error err;
    if ((g->abstain_path && hb_file_sha256(g->abstain_path, g->abstain_sha256, &err)) ||
        hb_abstain_list_open(g->abstain_path, &g->abstains, &err))
        return cli_fail(&err);
    g->grading.abstains = g->abstains;
    return CLI_DONE;
}

void cli_grading_close(cli_grading *g)
{
    hb_abstain_list_free(g->abstains);
    g->abstains = NULL;
}

int cli_grading_use(cli_grading *g, const hb_run *run, const char *run_path,
                    const hb_run_counts *counts, const hb_grading **used)
{
    const hb_grading own = hb_run_grading(run);
    if (!g->taken) cli_grading_take(g, &own);
    *used = counts->graded ? &g->grading : NULL;
    if (!g->rule_given || counts->graded || !counts->scored) return CLI_DONE;
    cli_message("%s: --grade: the run has labels, not answers to grade", run_path);
    return CLI_FAILED;
}

void cli_grading_describe(const hb_grading *g, char text[CLI_GRADING_BYTES])
{
    const hb_grading usual = hb_grading_defaults();
    char limit[32] = "", treatment[32] = "";
    if (g->rule == HB_GRADE_F1 && g->min_f1 != usual.min_f1)
        snprintf(limit, sizeof limit, " from %g", g->min_f1);
    if (g->rule == HB_GRADE_NUMBER && g->tolerance != usual.tolerance)
        snprintf(limit, sizeof limit, " within %g", g->tolerance);
    if (g->abstain_as != usual.abstain_as)
        snprintf(treatment, sizeof treatment, ", abstentions as %s", hb_abstain_as_name(g->abstain_as));
    snprintf(text, CLI_GRADING_BYTES, "%s%s%s", hb_grade_rule_name(g->rule), limit, treatment);
}

/* ---- Advice ------------------------------------------------------------------------------------- */

typedef struct summary {
    hb_grading grading;
    int32_t lines;                   /* the grading of the run */
    size_t n, abstained, cut;        /* cut: ended by the limit of tokens */
    size_t blocks, unended, unknown; /* beginnings of the texts */
    size_t right[HB_N_GRADE_RULES];  /* without abstentions */
    char marker[32];                 /* of the first unknown block */
} summary;

/* Copies the marker in brackets at the beginning of a text. */
static void keep_marker(summary *s, const char *text)
{
    size_t n = strcspn(text, ">]");
    n = n < sizeof s->marker - 2 ? n + 1 : 0;
    memcpy(s->marker, text, n);
    s->marker[n] = '\0';
}

static hb_status summarise(void *user, const hb_run_sample *sample)
{
    summary *s = user;
    if (sample->status != HB_SAMPLE_SCORED || !sample->answers || sample->set_by) return HB_OK;
    hb_answer answer = hb_answer_find(sample->text, strlen(sample->text), s->lines);
    s->n++;
    s->abstained += sample->grade.abstained;
    s->cut += sample->finish == HB_FINISH_MAX_TOKENS;
    s->blocks += answer.has_block;
    s->unended += answer.in_block;
    if (answer.unknown_block && !s->unknown++) keep_marker(s, sample->text + answer.start);
    hb_grade_count(&sample->grade, &s->grading, s->right, HB_N_GRADE_RULES);
    return HB_OK;
}

/* Prints a note if most texts begin with reasoning. */
static void advise_blocks(const summary *s, const char *run_path)
{
    if (s->unended > s->n / 2)
        cli_message("%s: %zu of %zu texts end while the model still reasons (<think> ...), before any "
                    "answer; raise --max-tokens, or try --thinking off",
                    run_path, s->unended, s->n);
    else if (s->unknown > s->n / 2)
        cli_message("warning: %s: %zu of %zu answers begin with a block that hbar does not know (%s), "
                    "which is taken for the answer; try --thinking off, or --answer-lines all with "
                    "--grade contains",
                    run_path, s->unknown, s->n, s->marker);
    else if (s->blocks > s->n / 2)
        cli_message("%s: %zu of %zu texts begin with reasoning (<think> ...): grading skips it, the "
                    "scores cover it; --thinking off may switch it off",
                    run_path, s->blocks, s->n);
}

/* Lists the other rules by which answers are right: "9 by contains, 10 by f1". NULL for none and when
 * memory runs out. Released with free(). */
static char *other_rules(const summary *s)
{
    hb_buffer text = {0};
    char part[64];
    for (int i = 0; i < HB_N_GRADE_RULES; i++) {
        if (i == (int)s->grading.rule || !s->right[i]) continue;
        snprintf(part, sizeof part, "%s%zu by %s", text.length ? ", " : "", s->right[i],
                 hb_grade_rule_name((hb_grade_rule)i));
        hb_buffer_add_text(&text, part);
    }
    return text.data;
}

/* If no answer is right by the rule, prints by which other rules answers are right. */
static void advise_rule(const summary *s, const char *run_path)
{
    const char *rule = hb_grade_rule_name(s->grading.rule);
    char *others = other_rules(s);
    if (others)
        cli_message(
            "%s: none of the %zu answers is right by --grade %s; right are %s. Try --grade with "
            "one of these%s",
            run_path, s->n - s->abstained, rule, others,
            s->grading.rule == HB_GRADE_EXACT
                ? " or, with --chat, --system \"Answer with the name only.\""
                : "");
    else
        cli_message("%s: none of the %zu answers is right, by %s or any other rule", run_path,
                    s->n - s->abstained, rule);
    free(others);
}

/* Prints how many labels were set by hbar label. */
static void note_labels(hb_run *run, const char *run_path)
{
    hb_run_counts c;
    if (!hb_run_count(run, &c, NULL) && c.labelled)
        cli_message("%s: %llu of %llu labels were set by hbar label", run_path,
                    (unsigned long long)c.labelled, (unsigned long long)c.scored);
}

void cli_grading_advise(hb_run *run, const char *run_path, const hb_grading *grading, bool quiet)
{
    if (!quiet) note_labels(run, run_path);
    if (!grading) return;
    summary s = {.grading = *grading, .lines = hb_run_get_settings(run)->answer_lines};
    s.grading.abstain_as = HB_ABSTAIN_OUT;
    if (hb_run_each(run, summarise, &s, NULL) || !s.n) return;
    if (!quiet) advise_blocks(&s, run_path);
    if (!quiet && s.lines == HB_ALL_LINES && s.cut > s.n / 2 && s.unended <= s.n / 2)
        cli_message("%s: %zu of %zu answers are cut off at %d tokens; raise --max-tokens", run_path,
                    s.cut, s.n, hb_run_get_settings(run)->max_tokens);
    if (!quiet && s.abstained && grading->abstain_as == HB_ABSTAIN_OUT)
        cli_message(
            "%s: %zu of %zu answers abstain and are left out; --abstain-as right or wrong counts "
            "them",
            run_path, s.abstained, s.n);
    if (s.n > s.abstained && !s.right[grading->rule]) advise_rule(&s, run_path);
}

int cli_print_rate(size_t n, double rate, const hb_grading *grading, uint64_t n_abstained)
{
    hb_error err;
    char *text;
    if (hb_rate_text(n, rate, grading, n_abstained, &text, &err)) return cli_fail(&err);
    cli_write(text, strlen(text));
    free(text);
    return CLI_DONE;
}
