/* --grade and --min-f1, which several commands have. */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

void cli_grading_add(cli_options *options, cli_grading *g)
{
    static const char *rules[HB_GRADE_F1 + 2]; /* and NULL after the last */
    for (int i = 0; i <= HB_GRADE_F1; i++) rules[i] = hb_grade_rule_name((hb_grade_rule)i);
    *g = (cli_grading){.min_f1 = hb_grading_defaults().min_f1};
    cli_begin_group(options, CLI_GROUP_DATA);
    cli_add_choice(options, "grade", 0, NULL, &g->rule, rules,
                   "for data with answers, the rule by which the model's answer is right")
        ->given = &g->rule_given;
    cli_add_real(options, "min-f1", 0, "F", &g->min_f1, 1e-9, 1,
                 "with --grade f1, the least F1 of a right answer")
        ->given = &g->min_f1_given;
}

bool cli_grading_check(const cli_command *command, cli_grading *g, int *code)
{
    g->grading = hb_grading_defaults();
    g->grading.rule = (hb_grade_rule)g->rule;
    g->grading.min_f1 = g->min_f1;
    if (!g->min_f1_given || g->grading.rule == HB_GRADE_F1) return true;
    *code = cli_usage(command, "--min-f1 needs --grade f1");
    return false;
}

int cli_grading_use(const cli_grading *g, const char *run_path, const hb_run_counts *counts,
                    const hb_grading **used)
{
    *used = counts->graded ? &g->grading : NULL;
    if (!g->rule_given || counts->graded || !counts->scored) return CLI_DONE;
    cli_message("%s: --grade: the run has labels, not answers to grade", run_path);
    return CLI_FAILED;
}

int cli_print_rate(size_t n, double rate, const hb_grading *grading)
{
    hb_error err;
    char *text;
    if (hb_rate_text(n, rate, grading, &text, &err)) return cli_fail(&err);
    cli_write(text, strlen(text));
    free(text);
    return CLI_DONE;
}
