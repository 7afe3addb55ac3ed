/* Code shared by the subcommands. Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted. */
#ifndef HB_CLI_H
#define HB_CLI_H

#include <stdio.h>
#include "base/buffer.h"
#include "base/json.h"
#include "base/texts.h"
#include "hbar.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/* ---- Options (options.c, help.c) ----------------------------------------------------------------- */

typedef enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_TEXT,   /* const char * */
    CLI_LIST,   /* cli_list: the option may be repeated and collects all texts */
    CLI_INT,    /* int32_t within [min, max] */
    CLI_COUNT,  /* uint64_t within [min, max] */
    CLI_BYTES,  /* uint64_t within [min, max], with suffix K, M, G or T for powers of 1024 */
    CLI_REAL,   /* double within [min, max] */
    CLI_CHOICE, /* int, the index in `choices` */
} cli_kind;

/* Texts in the order given. Starts zeroed; released with free(texts). */
typedef struct cli_list {
    const char **texts; /* [n], pointing into argv */
    size_t n, room;
} cli_list;

/* The heading of an option in the help of a command with many options. Help shows the groups in this
 * order. */
typedef enum cli_group {
    CLI_GROUP_MODEL,
    CLI_GROUP_CHAT,
    CLI_GROUP_DATA,
    CLI_GROUP_SCORES,
    CLI_GROUP_THRESHOLD,
    CLI_GROUP_GENERATION,
    CLI_GROUP_SERVER,
    CLI_GROUP_RESOURCES,
    CLI_GROUP_OUTPUT,
    CLI_N_GROUPS
} cli_group;

/* One row of a command's table of options. Parsing and help both use this table. */
typedef struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    cli_kind kind;
    cli_group group;
    const char *argument; /* placeholder shown by help; NULL for flags and for options whose choices are
                             listed */
    void *target;         /* holds the default until the option is given */
    double min, max;      /* range of a number */
    const char *const *choices; /* NULL-terminated */
    const char *help;           /* a phrase without the default, which help derives from *target */
    const char *standard;       /* text of the default if *target does not hold it; else NULL */
    bool required;
    bool *given; /* set when the option is given; may be NULL */
    /* Set by cli_parse: cli_given, or what gave the value, such as "hbar.toml:3"; NULL: the default. */
    const char *source;
} cli_option;

#define CLI_MAX_OPTIONS 96
typedef struct cli_options {
    cli_option list[CLI_MAX_OPTIONS];
    int n;
    cli_group group;                   /* group of the options added next */
    const hb_session_options *session; /* what cli_add_session fills; NULL: no session */
} cli_options;

/* Every command has these options, and no table. */
enum { CLI_COMMON_CONFIG, CLI_COMMON_SHOW_CONFIG, CLI_COMMON_HELP, CLI_N_COMMON };
extern const cli_option cli_common_options[CLI_N_COMMON];
extern const char cli_given[]; /* the source of an option on the command line */

/* The program's name as it was called (main.c). */
extern const char *cli_program;

typedef struct cli_command {
    const char *name;
    const char *operand; /* name of the operand in help, such as "PROMPT"; NULL: no operand. It is
                            required unless it stands in brackets. */
    const char *summary; /* one line */
    const char *details; /* a paragraph, which help wraps */
    int (*run)(const struct cli_command *command, int argc, char **argv);
} cli_command;

/* Options added from now on belong to this group. */
void cli_begin_group(cli_options *options, cli_group group);

/* Each adds a row to the table and returns it, so that the caller can set standard, required and given.
 */
cli_option *cli_add_flag(cli_options *options, const char *name, char letter, bool *target,
                         const char *help);
cli_option *cli_add_text(cli_options *options, const char *name, char letter, const char *argument,
                         const char **target, const char *help);
cli_option *cli_add_list(cli_options *options, const char *name, char letter, const char *argument,
                         cli_list *target, const char *help);
cli_option *cli_add_int(cli_options *options, const char *name, char letter, const char *argument,
                        int32_t *target, int32_t min, int32_t max, const char *help);
cli_option *cli_add_count(cli_options *options, const char *name, char letter, const char *argument,
                          uint64_t *target, double min, double max, const char *help);
cli_option *cli_add_bytes(cli_options *options, const char *name, char letter, const char *argument,
                          uint64_t *target, double min, double max, const char *help);
cli_option *cli_add_real(cli_options *options, const char *name, char letter, const char *argument,
                         double *target, double min, double max, const char *help);
cli_option *cli_add_choice(cli_options *options, const char *name, char letter, const char *argument,
                           int *target, const char *const *choices, const char *help);

/* Replaces the help (NULL: keeps it) and the default text of an option with another meaning here. */
void cli_explain(cli_options *options, const char *name, const char *help, const char *standard);
/* The default of --ctx-size in words. */
#define CLI_TEXT_OF_(x)      #x
#define CLI_TEXT_OF(x)       CLI_TEXT_OF_(x)
#define CLI_CONTEXT_STANDARD "the model's, at most " CLI_TEXT_OF(HB_DEFAULT_CTX)

/* What evaluates a model (engine.c): --engine and --gpu-layers. */
typedef struct cli_engine {
    int choice; /* hb_engine_choice */
    int32_t n_gpu_layers;
    bool hash_ahead; /* for commands that need the hash of every model they open */
} cli_engine;
void cli_add_engine(cli_options *options, cli_engine *engine);
hb_status cli_open_model(const char *path, const cli_engine *engine, hb_model **model, hb_error *err);

/* The engine of a model as a run's settings have it. */
const char *cli_engine_setting(const hb_model *model);
/* The engine's name for such a setting. */
const char *cli_engine_name(const char *setting);

/* Completes the signals to measure, which were parsed from `list`, when the model is known: "all" means
 * those that its engine can measure, and others are refused. Returns an exit code. */
int cli_choose_signals(const hb_model *model, const char *list, bool quiet, hb_signal_set **signals);

/* The options of a session: --ctx-size, --threads, --exact and --kv-type, and those of the engine. */
void cli_add_session(cli_options *options, hb_session_options *session, cli_engine *engine);
/* --quiet and --json, which every command has. */
void cli_add_common(cli_options *options, bool *quiet, bool *json);

/* Parses argv[1...]; Sets *operand to the operand, or to NULL if the command takes none. False when the
 * command must exit with *code: help was printed, or the usage was wrong and reported. */
bool cli_parse(const cli_command *command, cli_options *options, int argc, char **argv,
               const char **operand, int *code);

/* The same for a command with one or more operands, *operands [*n], which point into argv. */
bool cli_parse_many(const cli_command *command, cli_options *options, int argc, char **argv,
                    char ***operands, size_t *n, int *code);

/* Sets an option to the value that a text stands for; of a flag to true, or false for "false" or "0".
 * Its source must be set, and the text must stay. Returns an exit code, after a message that names the
 * source. */
int cli_set_option(const cli_command *command, cli_option *o, const char *text);

/* Sets the options that have no source from variables of the environment, then from `path` or, if it is
 * NULL, from the files that hbar looks for (config.c). With `show`, does not say which file is used.
 * Returns an exit code. */
int cli_configure(const cli_command *command, cli_options *options, const char *path, bool show);
/* Prints each option with its value and its source, as a file that cli_configure reads. */
void cli_show_config(const cli_command *command, const cli_options *options);
enum { CLI_NAME_BYTES = 64 }; /* for the name of a variable */

/* Called where --help is parsed: prints the help of a command, or what cli_show_command asks for. */
void cli_print_help(const cli_command *command, const cli_options *options);

/* Writes a command and its table of options in one form, such as a man page. */
typedef void cli_writer(const cli_command *command, const cli_options *options);
cli_writer cli_write_help, cli_write_man;
/* Lets `write` see the table that the command prints for --help. Returns an exit code. */
int cli_show_command(const cli_command *command, cli_writer *write);
int cli_show_commands(cli_writer *write); /* the same for all commands */

/* Parts of the forms. */
enum { CLI_OPTION_TEXT = 1024 };
/* Calls `write` for each option of a command, the common ones last, in the order of help. `heading` is
 * that of the group which begins with the option, or NULL. */
typedef void cli_option_writer(const cli_option *o, const char *heading);
void cli_walk_options(const cli_options *options, cli_option_writer *write);
/* The placeholder of an option's value, such as "FILE" or "high|low"; empty for flags. */
void cli_option_argument(const cli_option *o, char *text, size_t size);
/* The default of an option in words. */
void cli_option_default(const cli_option *o, char *text, size_t size);
/* The description of an option, its choices and its default. */
void cli_option_text(const cli_option *o, char *text, size_t size);

/* Forms of the whole program. Return an exit code. */
int cli_write_program_man(void); /* hbar.1 */
int cli_write_program_markdown(void), cli_write_program_bash(void), cli_write_program_zsh(void),
    cli_write_program_fish(void);

/* Appends the operand to `text`. If the operand is "-", appends standard input instead, without its
 * final line end. Returns an exit code. */
int cli_read_operand(const char *operand, hb_buffer *text);

/* ---- Messages and results (output.c) ------------------------------------------------------------ */

/* "hbar: message" on standard error, one line. Like everything that prints text here, it replaces
 * control characters, so that text from outside cannot act on the terminal. */
__attribute__((format(printf, 1, 2))) void cli_message(const char *format, ...);

/* Gives messages to a function from now on, without "hbar: "; NULL: they are printed. Wrong usage is
 * always printed. Returns where messages went before. */
typedef void cli_messenger(const char *message);
cli_messenger *cli_send_messages(cli_messenger *to);

/* Reports wrong usage; returns CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_usage(const cli_command *command, const char *format,
                                                    ...);

/* Reports a failed library call; returns the matching exit code. */
int cli_fail(const hb_error *err);
int cli_fail_memory(void);

/* All output to standard output goes through these functions. They return false when writing fails.
 * cli_finish_output reports the reason, so most callers can ignore the result. */

/* Prints a line or a part of one. Replaces all control characters except a final "\n" of the format. */
__attribute__((format(printf, 1, 2))) bool cli_print(const char *format, ...);
/* Writes bytes unchanged: for trusted text, or when the bytes themselves are the result. */
bool cli_write(const char *bytes, size_t length);
bool cli_put(const char *text); /* the same for a string */
/* Writes a result with text from outside. On a terminal, replaces control characters except line breaks
 * and tabs; otherwise writes it unchanged. */
bool cli_write_text(const char *text, size_t length);
/* Prints bytes in quotes. Escapes quotes and unprintable bytes. */
bool cli_print_quoted(const char *bytes, size_t length);

void cli_flush(void);

/* Finishes a document and prints it with a line end. Returns an exit code. */
int cli_print_json(hb_json *json);

/* Flushes standard output; a failure (a full disk, say) is reported and turns `code` into CLI_FAILED.
 */
int cli_finish_output(int code);

/* For hooks that report broken rows: shows the first few. `user` is a cli_broken. */
typedef struct cli_broken {
    uint64_t shown;
} cli_broken;
void cli_show_broken(void *broken, const char *message);
/* Prints the numbers of rows, if any is broken. */
void cli_report_broken(const char *path, uint64_t n_broken, uint64_t n_good);

/* Prints the model's warnings (hb_model_warning), also with --quiet. */
void cli_show_warnings(const hb_model *model);

/* Converts a name to the beginning of a file name: letters become lower case, digits and "._-" stay,
 * all other bytes become "_". The result is cut at 128 bytes. Release with free(). NULL when memory
 * runs out. */
char *cli_file_name(const char *name);
/* The same for a file's base name without its suffix. */
char *cli_base_name(const char *path);

/* ---- Files that are written as a whole (files.c) ------------------------------------------------- */

/* Whether both paths lead to one existing file. NULL is no file. */
bool cli_is_same_file(const char *a, const char *b);
/* Whether the file begins like an SQLite database, as runs do. */
bool cli_is_run(const char *path);
/* Refuses the value of the option `name` if another option names the same file, which would be replaced
 * then, and "-", because standard output has the result. Returns an exit code. */
int cli_check_apart(const cli_command *command, const cli_options *options, const char *name);
/* Opens a file, a pipe or a device for writing, without waiting for the reader of a pipe. Makes a file
 * that is missing and truncates none. Returns -1 after a message. */
int cli_open_output(const char *path);
/* Checks early that a file can be written, and opens a pipe. Returns an exit code. */
int cli_check_output(const char *path);
/* Writes a file, whole or not at all: it replaces an existing one at the end. Writes into pipes and
 * devices. Returns an exit code. */
int cli_save(const char *path, const char *text, size_t length);

/* ---- Interruption and progress (progress.c) ------------------------------------------------------ */

/* Reading a mapped file that was truncated ends the program with a message (SIGBUS). Writing beyond the
 * limit for the size of files is an error like a full disk (SIGXFSZ). */
void cli_catch_faults(void);

/* Makes Ctrl-C and SIGTERM set cli_interrupted. A second one ends the program. */
void cli_catch_interrupts(void);
bool cli_interrupted(void *unused);

/* A progress bar on standard error, drawn only on a terminal. */
typedef struct cli_progress {
    bool shown, logged; /* as a bar on the terminal; as a message from time to time */
    int32_t n_ranks;
    double started, drawn;
} cli_progress;
/* n_ranks: processes that share the work. Launchers connect no terminal, so more than one log lines. */
void cli_progress_start(cli_progress *progress, bool quiet, int32_t n_ranks);
/* `done` of `total` are finished, `done_now` of them since the start, with so much work. */
void cli_progress_update(cli_progress *progress, uint64_t done, uint64_t total, uint64_t done_now,
                         const hb_score_work *work);
double cli_progress_seconds(const cli_progress *progress); /* since the start */
void cli_progress_end(cli_progress *progress);

/* ---- Groups of options that several commands share ---------------------------------------------- */

/* Options that say how answers are graded (grading.c). */
typedef struct cli_grading {
    int rule, abstain_as;
    double min_f1, tolerance;
    bool rule_given, min_f1_given, tolerance_given, abstain_as_given;
    const char *lines_text, *abstain_path; /* of pass 1 alone; NULL: not given */
    bool shown;                            /* --shots shows the model answers of one line */
    bool taken;                            /* cli_grading_take was called */
    int32_t lines;                         /* as in hb_grading; 0: what is usual for the rule */
    hb_grading grading;
    hb_abstain_list *abstains; /* opened by cli_grading_open */
    char abstain_sha256[65];   /* of abstain_path; empty: none */
} cli_grading;
/* --grade, --min-f1, --tolerance, --abstain-as: how grades become labels; by default as the run says.
 */
void cli_grading_add(cli_options *options, cli_grading *grading);
/* Sets what the help says of the defaults of --grade and --abstain-as. */
void cli_grading_explain(cli_options *options, const char *grade, const char *abstain_as);
/* --answer-lines and --abstain: how pass 1 reads answers. */
void cli_grading_add_reading(cli_options *options, cli_grading *grading);
/* Fills grading->grading. False, with *code, for bad usage. */
bool cli_grading_check(const cli_command *command, cli_grading *grading, int *code);
/* Takes the options that are not given from the grading of a calibration or a run. */
void cli_grading_take(cli_grading *grading, const hb_grading *from);
/* Takes the options that are not given from the run that pass 1 continues, except --answer-lines: with
 * another number of lines, the run would need other answers. */
void cli_grading_continue(cli_grading *grading, const hb_run *run);
/* Opens the phrases of abstentions for pass 1. Returns an exit code. */
int cli_grading_open(cli_grading *grading);
void cli_grading_close(cli_grading *grading);
/* Prints notes about the grades of a run: no answer is right by the rule, but some are by other rules;
 * unless `quiet`, answers abstain, or texts end while the model still reasons. */
void cli_grading_advise(hb_run *run, const char *run_path, const hb_grading *grading, bool quiet);
/* Sets *used to the grading that labels a run's samples, or to NULL if the samples have given labels.
 * --grade is then an error. Options that are not given come from the run's settings, unless they were
 * taken before. Returns an exit code. */
int cli_grading_use(cli_grading *grading, const hb_run *run, const char *run_path,
                    const hb_run_counts *counts, const hb_grading **used);
/* Writes a rule with its limit and the treatment of abstentions, where these are not the defaults. */
#define CLI_GRADING_BYTES 96
void cli_grading_describe(const hb_grading *grading, char text[CLI_GRADING_BYTES]);
/* Prints hb_rate_text. Returns an exit code. */
int cli_print_rate(size_t n, double hallucination_rate, const hb_grading *grading,
                   uint64_t n_abstained);

/* The most bytes of a file with a chat template or a prompt template. */
#define CLI_TEMPLATE_BYTES ((size_t)1 << 20)

/* --chat, --system, --chat-template, --thinking and --parse-special (chat.c). */
typedef struct cli_chat {
    bool on, prepared;
    const char *system, *template_given; /* NULL: none */
    int thinking;                        /* an hb_thinking */
    hb_chat *chat;                       /* opened by cli_chat_find; NULL: bare prompts */
    const char *format;                  /* its name; NULL: bare prompts */
} cli_chat;
void cli_chat_add(cli_options *options, cli_chat *chat);
/* False, with *code, for bad usage. */
bool cli_chat_check(const cli_command *command, const cli_chat *chat, int *code);
/* With --chat or --parse-special, opens chat->chat; released with cli_chat_close. */
hb_status cli_chat_find(cli_chat *chat, const hb_model *model, hb_error *err);
void cli_chat_close(cli_chat *chat);
/* Warns if the prompt spells a control token that it does not become. */
void cli_chat_warn(const cli_chat *chat, const hb_model *model, const hb_buffer *prompt);

/* How an answer is watched: --params, --watch, --tau, --direction, --lambda and --cutoff (monitor.c).
 */
typedef struct cli_monitor {
    const char *params_path, *watched;
    bool tau_given, lambda_given, direction_given;
    double tau, lambda;
    int direction;
    char *own_params_path; /* owns the path of parameters that were not named */
    bool cutoff_given;
    bool demo;                   /* the model is the demo's, which was not named */
    hb_params *params;           /* read from params_path */
    hb_signal_set *signals;      /* the built-in signals and the parameters' probes; NULL: no probes */
    bool draws;                  /* samples are drawn beside the answer */
    const hb_scores *of_samples; /* the measures over them; NULL: not known */
    hb_score_id score;           /* the calibrated score, unless it is a joint model */
    const hb_signal *watched_signal; /* the signal of --watch */
    hb_monitor monitor;
} cli_monitor;
void cli_monitor_add(cli_options *options, cli_monitor *watch); /* sets the defaults in *watch */
/* False, with *code, for bad usage. */
bool cli_monitor_check(const cli_command *command, cli_monitor *watch, int *code);
/* Without a model, uses the demo model. *own owns the model's path. Returns an exit code. */
int cli_monitor_embedded(const cli_command *command, cli_monitor *watch, bool quiet,
                         const char **model_path, char **own);
/* Reads the parameters and sets watch->monitor. Without --params, unless an option says what to watch,
 * they are the newest of CLI_PARAMS_DIR that match the model, or else the demo model's own. Warns if
 * they were calibrated on something else or with another session. Returns an exit code. */
int cli_monitor_open(const cli_command *command, cli_monitor *watch, const hb_model *model,
                     const cli_chat *chat, const hb_session_options *session, bool quiet);
void cli_monitor_close(cli_monitor *watch);
/* Warns that parameters have no calibrated halt, and says what that means. */
void cli_warn_no_halt(const char *params_path);
/* Why the generation halted at this step, in words. */
void cli_monitor_why(const cli_monitor *watch, const hb_step *step, char *text, size_t size);
const char *cli_watched_name(const hb_monitor *monitor); /* the signal, or "joint" */

/* The judgement of a whole answer by the parameters. */
typedef struct cli_verdict {
    double value, p_fail;
    bool risky;
} cli_verdict;
/* False when there are no parameters for the watched signal. */
bool cli_monitor_judge(const cli_monitor *watch, const hb_generation *generation, cli_verdict *verdict);

/* Members of JSON objects: a step's values; "halt", the step that reached the cutoff; "answer", the
 * verdict; "scores", each signal's score by its usual aggregation; "monitor". */
void cli_write_step(hb_json *json, const hb_step *step);
void cli_write_halt(hb_json *json, const cli_monitor *watch, const hb_generation *generation);
void cli_write_verdict(hb_json *json, const cli_monitor *watch, const hb_generation *generation);
void cli_write_scores(hb_json *json, const hb_generation *generation);
void cli_write_monitor(hb_json *json, const cli_monitor *watch);

/* --correct and --positive, which say what labels mean (data.c). */
typedef struct cli_labels {
    const char *correct, *positive;
} cli_labels;
void cli_labels_add(cli_options *options, cli_labels *labels);
/* `label` is the column that the option of this name gives; NULL: none. Returns an exit code. */
int cli_labels_check(const cli_command *command, const cli_labels *labels, const char *label,
                     const char *option);

/* For hooks that report likely mistakes. */
void cli_show_warning(void *unused, const char *message);
/* hb_table_scores with the labels' column and meaning, which reports skipped rows. `label` is the name
 * of the column unless --correct names it. */
hb_status cli_read_table(hb_table *file, const char *path, hb_table_options options,
                         const cli_labels *labels, const char *label, hb_score_table *table,
                         hb_error *err);

/* Which data are read, and how (data.c). */
typedef struct cli_data {
    cli_list paths, fields;
    cli_labels labels;
    const char *separator, *where, *join, *template, *shots_path, *group;
    int format, read_as; /* read_as: an hb_read_as */
    int32_t shots;
    bool strict;                /* set by the command */
    hb_dataset_options options; /* set by cli_data_check, with what own_template holds */
    char *own_template;
} cli_data;
void cli_data_add(cli_options *options, cli_data *data);
/* --as: whether responses are evaluated or judged. */
void cli_data_add_as(cli_options *options, cli_data *data);
/* Turns the options given into data->options. Returns an exit code. */
int cli_data_check(const cli_command *command, cli_data *data);
/* Opens the dataset, and reports rows that are skipped. */
hb_status cli_data_open(cli_data *data, uint64_t n_samples, uint64_t seed, bool quiet,
                        hb_dataset **dataset, hb_error *err);
void cli_data_free(cli_data *data);

/* ---- The comma-separated list of --score (scores.c) ---------------------------------------------- */

/* Resolves the list for a run, or for a future run if `run` is NULL. As a signal, "all" means all
 * measured signals; as an aggregation, all aggregations. If `named` is not NULL, *named becomes the set
 * of signals in the list; release it with hb_signal_set_free. Returns an exit code. */
int cli_scores_of_run(const cli_command *command, const char *list, const hb_run *run, hb_texts *scores,
                      hb_signal_set **named);
/* Resolves the list for the columns of a table. "all" means all columns named like a score that hbar
 * measures. Without a list, the usual column is used, or none if the table lacks it. Returns an exit
 * code. */
int cli_scores_of_table(const char *list, const char *path, const hb_table *table, hb_texts *scores);

/* ---- The demo's files (embedded.c) --------------------------------------------------------------- */

/* If *path is not set, sets it to the demo file of that name and prints a note. *own then owns the
 * path. The folder is HBAR_DATA_DIR, else share/hbar beside the program or beside its folder. Returns
 * an exit code. CLI_USAGE when the file is not found; the user must then give `option`. */
int cli_embedded(const cli_command *command, const char *option, const char *name, bool quiet,
                 const char **path, char **own);
#define CLI_DEMO_MODEL  "hbar-demo.gguf"
#define CLI_DEMO_DATA   "demo_calibration.jsonl"
#define CLI_DEMO_TEST   "demo_test.jsonl"
#define CLI_DEMO_PARAMS "demo_params.json"
#define CLI_FEATURES_HELP                                                                              \
    "features to keep, separated by commas: hidden (the states after four blocks, or after blocks "    \
    "named as in hidden:8+15+30), topk and attention for probes; states (the state at each token "     \
    "after the middle block, or states:20) for a halt by a probe"

/* ---- Several processes (team.c) ------------------------------------------------------------------ */

/* Finds the processes that were started together with this one. *team is NULL if there are none.
 * Returns an exit code. */
int cli_team_open(hb_team **team);
/* Leaves the team when all others do, or ends all of them if `code` is a failure. Returns `code`. */
int cli_team_close(hb_team *team, int code);
/* The default number of threads: a share of the machine's processors. 0 if the process is alone there,
 * or has processors of its own. */
int32_t cli_team_threads(const hb_team *team);
/* Makes messages name this process, which does not lead (output.c). */
void cli_speak_as(int32_t rank, const char *host);

/* ---- The two passes, as several commands run them ------------------------------------------------ */

#define CLI_PARAMS_DIR "calibrated_params" /* the folder that calibrate writes to by default */
#define CLI_MAX_TOKENS 20                  /* default number of tokens generated per sample */

/* --samples and the options of drawing them; and what is asked about answers (samples.c). */
typedef struct cli_samples {
    int32_t n, max_tokens; /* max_tokens 0: as the answer */
    double temperature, top_p;
    bool n_given, temperature_given, top_p_given, max_tokens_given;

    /* Only in pass 1: */
    int entailment; /* 1: a model judges it */
    const char *judge_path, *ask, *questions_dir;
    char *asks; /* the questions as hb_run_settings has them; NULL: none */
    hb_questions *questions;
    hb_model *judge;
    hb_session *judge_session;
    hb_chat *judge_chat;
    char judge_sha256[65];
} cli_samples;
void cli_samples_add(cli_options *options, cli_samples *samples); /* sets the defaults in *samples */
/* --entailment, --judge, --ask and --prompts. */
void cli_samples_add_asking(cli_options *options, cli_samples *samples);
/* Opens what the questions need, if there are any. The session is like `resources`. */
hb_status cli_samples_open(cli_samples *samples, const hb_session_options *resources,
                           const cli_engine *engine, hb_error *err);
void cli_samples_close(cli_samples *samples);
/* Refuses options of drawing without --samples. Returns an exit code. */
int cli_samples_check(const cli_command *command, cli_samples *samples);
/* Takes the options that are not given from a calibration's samples. */
void cli_samples_take(cli_samples *samples, const hb_params *params);
/* Warns if samples are drawn in another way than those of the calibration: the values of measures over
 * samples depend on their number and on how they are drawn. */
void cli_samples_warn(const hb_params *there, int32_t n, double temperature, double top_p,
                      int32_t max_tokens);
/* Samples beside a generated answer, and how far they agree with it (agreement.c). */
typedef struct cli_agreement {
    hb_sampled *answers; /* [1 + n], the first is the answer */
    size_t *cluster;     /* [1 + n], as hb_cluster_samples has it */
    size_t n_clusters;
    int32_t n;
    hb_scores *scores;
} cli_agreement;
/* Generates an answer and draws samples beside it, with its options. The agreement is not set if the
 * answer was cancelled or has no checked step. */
hb_status cli_agreement_generate(hb_session *session, const int32_t *prompt, size_t n_prompt,
                                 const hb_generate_options *engine, const cli_samples *samples,
                                 hb_generation *generation, cli_agreement *agreement, hb_error *err);
void cli_agreement_free(cli_agreement *agreement);
/* Print the clusters with their shares: as messages, and as the member "samples". */
void cli_agreement_print(const cli_agreement *agreement);
void cli_agreement_write(hb_json *json, const cli_agreement *agreement);

/* Measures over samples: all of them, those that only pass 1 computes (they ask a model or read
 * states), and those that read states. */
typedef enum cli_need { CLI_NEED_SAMPLES, CLI_NEED_PASS1, CLI_NEED_STATES } cli_need;
/* The first of the calibrated score and the joint model's features that is such a measure; NULL: none.
 */
const char *cli_measure_needed(const hb_params *params, cli_need need);
/* Refuses options that do not give a measure what it needs. NULL: no measure is needed. Returns an exit
 * code. */
int cli_samples_check_measure(const cli_command *command, const cli_samples *samples,
                              const char *measure);

/* Pass 1 (pass1.c). */
typedef struct cli_pass1 {
    const char *model_path, *run_path, *output_dir, *name, *signal_list;
    const char *feature_list; /* features to keep, besides those that the command requires */
    const char *needs_hidden; /* states that the command requires, as in feature_list; NULL: none */
    const char *needs_states; /* states of each token that it requires, likewise */
    bool needs_topk, needs_attention; /* whether it requires these features */
    char *features;                   /* as in hb_run_settings */
    const char *demo_data;            /* the demo file used when no data are given */
    hb_signal_set *signals;           /* named by signal_list */
    hb_signal_set *needed;            /* signals that the command requires; NULL: none */
    bool needs_p_yes;                 /* whether it requires P(Yes), which only judgements have */
    const char *needed_measure;       /* a measure that it requires; NULL: none */
    cli_samples samples;
    uint64_t n_samples, seed, kv_mem;
    int32_t max_tokens, n_sequences;
    hb_session_options resources; /* as given */
    cli_engine engine;
    bool strict, no_prompts, no_steps, quiet, json;

    hb_model *model;
    hb_session *session;
    hb_dataset *dataset;
    hb_run *run;
    bool n_samples_given;
    cli_data data;
    cli_grading grading;
    cli_chat chat;
    char *own_model_path, *own_data_path, *own_run_path,
        *own_name; /* own the paths that were not given */
    hb_run_counts counts;
    uint64_t done_now; /* samples that this command has recorded */
    hb_score_work work;
    double seconds;
    cli_progress progress;
    hb_team *team; /* during pass 1, the processes that share it; NULL: there are no others */
    bool joined;   /* another process has the run and the result; nothing remains to be done */
    /* Called before anything is created or generated, when `model`, `chat` and `name` are known. Any
     * exit code except CLI_DONE ends pass 1. May be NULL. */
    int (*check)(void *user);
    /* Called before anything is created or generated, when the data are open. Any other status than
     * HB_OK ends pass 1. May be NULL. */
    hb_status (*check_data)(void *user, const hb_dataset_info *info, hb_error *err);
    void *user;
} cli_pass1;

#define CLI_SEQUENCES 128 /* default number of samples evaluated together */
/* The options of pass 1's session. kv_mem 0: the usual limit for the model and the free memory. */
hb_session_options cli_pass1_session(const hb_session_options *resources, const hb_model *model,
                                     int32_t n_sequences, uint64_t kv_mem);
void cli_pass1_add(cli_options *options, cli_pass1 *pass); /* sets the defaults in *pass */
/* Makes pass 1 keep features that the command requires, as hb_probe_kind_features or feature_list have
 * them. */
void cli_pass1_need(cli_pass1 *pass, const char *features);
/* Runs pass 1. The run stays open in `pass` until cli_pass1_close, whatever this returns. After
 * CLI_DONE, a process with pass->joined has no run and only exits. */
int cli_pass1_run(const cli_command *command, cli_pass1 *pass);
void cli_pass1_close(cli_pass1 *pass);
/* {"run", "total", "scored", "skipped", "failed", "seconds", "tokens_evaluated", "tokens_shared"}. */
void cli_pass1_json(hb_json *json, const cli_pass1 *pass);

/* Pass 2 (pass2.c). */
typedef struct cli_pass2 {
    double start, stop, step, min_recall;
    bool start_given, stop_given, step_given, recall_given, map_given, joint;
    int grid, direction, map;
    const char *guarantee, *halt, *false_halts, *halts;
    uint64_t n_draws;
    hb_calibrate_options options;
    bool demo;                 /* the model is the demo model */
    const char *chat_template; /* as given to pass 1; NULL: none */
    const char *read_as;       /* as given by --as; NULL: not given */
} cli_pass2;

void cli_pass2_add(cli_options *options, cli_pass2 *pass);
/* Converts the given options to pass->options. False, with *code, for bad usage. */
bool cli_pass2_check(const cli_command *command, cli_pass2 *pass, int *code);
/* Checks that the options suit these scores. Returns an exit code. */
int cli_pass2_check_scores(const cli_command *command, const cli_pass2 *pass, const hb_texts *scores);
/* The same for scores of a run, among which may be probes. The default map of a single probe is platt.
 */
int cli_pass2_check_probes(const cli_command *command, cli_pass2 *pass, const hb_texts *scores);
/* Saves a calibration's parameters under `output_dir`, unless it is NULL, and prints the calibration.
 */
int cli_pass2_report(const cli_pass2 *pass, const hb_params_source *source,
                     const hb_calibration_result *result, const char *output_dir, const char *name,
                     bool json);
/* Prints the next commands for a run's parameters, ready to paste (next.c). */
int cli_print_next(const hb_run_settings *run, const cli_pass2 *pass, const char *params);

/* --report (report.c). */
void cli_report_add(cli_options *options, const char **path);
/* Write the page; nothing if `path` is NULL. `run` may be NULL. Return an exit code. */
int cli_report_calibration(const char *path, const hb_params_source *source,
                           const hb_calibration_result *result, hb_run *run, bool quiet);
int cli_report_validation(const char *path, const hb_validation_source *source,
                          const hb_validation_result *result, hb_run *run, bool quiet);

/* The option for the number of bootstrap draws, and the check of its value. */
void cli_draws_add(cli_options *options, uint64_t *n_draws);
bool cli_draws_check(const cli_command *command, uint64_t n_draws, int *code);

/* Directions as choices of an option: "high", "low" and, if `automatic`, "auto". */
const char *const *cli_directions(bool automatic);

/* ---- The commands ------------------------------------------------------------------------------- */

extern const cli_command cli_calibrate, cli_diff, cli_doctor, cli_export, cli_generate, cli_help,
    cli_inspect, cli_judge, cli_label, cli_merge, cli_report, cli_runs, cli_score, cli_serve, cli_sweep,
    cli_tokenize, cli_validate;

/* All of them, in the order of help; NULL ends the list (main.c). */
extern const cli_command *const cli_commands[];
/* NULL: none has this name. */
const cli_command *cli_find_command(const char *name);
/* Prints the help of the program. */
void cli_print_commands(FILE *out);

/* What all commands' flags have in common. */
#define CLI_ABOUT_FLAGS                                                                                \
    "--FLAG=false switches off a flag (an option without a value) that a configuration file or a "     \
    "variable sets."

#define CLI_ABOUT                                                                                      \
    "Runs a local language model, measures its uncertainty token by token, and stops\n"                \
    "it before it makes something up."

#endif
