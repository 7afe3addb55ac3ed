/* How answers are graded, as several commands ask for it. */
#include "cli/cli.h"

static const char *const rules[] = {"exact", "contains", "f1", NULL};

void cli_grading_add(cli_options *options, cli_grading *g)
{
    *g = (cli_grading){.min_f1 = hb_grading_defaults().min_f1};
    cli_add(options, (cli_option){"grade", 0, CLI_CHOICE, &g->rule, "exact|contains|f1",
                                  "which answers of the model are right, where the data has answers; "
                                  "exact",
                                  0, 0, rules, &g->rule_given});
    cli_add(options, (cli_option){"min-f1", 0, CLI_REAL, &g->min_f1, "F",
                                  "with --grade f1, right from this F1 on; 0.5", 1e-9, 1, NULL,
                                  &g->min_f1_given});
}

bool cli_grading_check(const cli_command *command, cli_grading *g, int *code)
{
    g->grading = (hb_grading){(hb_grade_rule)g->rule, g->min_f1};
    if (!g->min_f1_given || g->grading.rule == HB_GRADE_F1) return true;
    *code = cli_usage(command, "--min-f1 goes with --grade f1");
    return false;
}
