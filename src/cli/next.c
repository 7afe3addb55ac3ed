/* Prints the commands to run after a calibration, ready to paste. */
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "base/utf8.h"
#include "base/writer.h"
#include "cli/cli.h"

static bool is_harmless(const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-";
    return *text && text[strspn(text, plain)] == '\0';
}

/* Whether single quotes can hold a text: it neither acts on the terminal nor is malformed. */
static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(text + i, length - i);
        if (n < 1 || hb_is_control(text + i, (size_t)n)) return false;
        i += (size_t)n;
    }
    return true;
}

/* \xHH for every byte that is not plain ASCII, in $'...' of bash, zsh and ksh. */
static void write_escaped(hb_writer *w, const char *text)
{
    hb_write(w, "$'");
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') hb_write(w, "\\%c", *text);
        else if (*text == '\n') hb_write(w, "\\n");
        else hb_write(w, *text >= ' ' && *text <= '~' ? "%c" : "\\x%02x", (unsigned char)*text);
    }
    hb_write(w, "'");
}

/* Writes a text as one word of a shell command line. */
static void write_word(hb_writer *w, const char *text)
{
    if (is_harmless(text)) {
        hb_write(w, "%s", text);
    } else if (is_printable(text, strlen(text))) {
        hb_write(w, "'");
        for (; *text; text++) hb_write(w, *text == '\'' ? "'\\''" : "%c", *text);
        hb_write(w, "'");
    } else {
        write_escaped(w, text);
    }
}

static void write_option(hb_writer *w, const char *name, const char *value)
{
    hb_write(w, " --%s ", name);
    write_word(w, value);
}

/* Writes the chat options. A run stores only the hash of a chat template, so `given` must name a
 * template file. */
static void write_chat(hb_writer *w, const hb_run_settings *run, const char *given)
{
    static const char hashed[] = "template-";
    if (!run->chat || !*run->chat) return;
    if (strcmp(run->chat, HB_CHAT_PREPARED) == 0) {
        hb_write(w, " --parse-special");
        return;
    }
    hb_write(w, " --chat");
    if (strncmp(run->chat, hashed, sizeof hashed - 1) != 0) given = run->chat;
    if (given) write_option(w, "chat-template", given);
    if (strstr(run->chat, "-thinking-on")) write_option(w, "thinking", "on");
    if (strstr(run->chat, "-thinking-off")) write_option(w, "thinking", "off");
    if (run->system && *run->system) write_option(w, "system", run->system);
}

/* Whether a type of cache must be asked for. */
static bool is_unusual(const char *kv_type)
{
    return kv_type && *kv_type && strcmp(kv_type, hb_kv_type_name(HB_KV_F16)) != 0;
}

/* Writes the common beginning of both commands: the model and its options. */
static void write_command(hb_writer *w, const char *command, const hb_run_settings *run,
                          const cli_pass2 *pass, const char *params)
{
    hb_write(w, "  ");
    write_word(w, cli_program);
    hb_write(w, " %s", command);
    if (!pass->demo) write_option(w, "model", run->model_path);
    write_chat(w, run, pass->chat_template);
    if (run->exact) hb_write(w, " --exact");
    else if (is_unusual(run->kv_type)) write_option(w, "kv-type", run->kv_type);
    if (run->engine && *run->engine) write_option(w, "engine", run->engine);
    write_option(w, "params", params);
}

/* Writes the command that generates. False: hbar generate refuses the parameters, because it asks no
 * questions about an answer and has no response to judge. */
static bool write_generate(hb_writer *w, const hb_run_settings *run, const cli_pass2 *pass,
                           const hb_params *p, const char *path)
{
    if (cli_measure_needed(p, CLI_NEED_PASS1) || strcmp(p->score, HB_SCORE_P_YES) == 0) return false;
    hb_write(w, "Next: generate with these parameters, and validate them on other data:\n");
    write_command(w, "generate", run, pass, path);
    if (cli_measure_needed(p, CLI_NEED_SAMPLES)) hb_write(w, " --samples %d", (int)run->samples);
    hb_write(w, " \"%s\"\n", pass->demo ? "What is the capital of France?" : "Who wrote Faust?");
    return true;
}

int cli_print_next(const hb_run_settings *run, const cli_pass2 *pass, const char *params)
{
    hb_error err;
    hb_writer w = {0};
    hb_params *p;
    char *text;
    if (hb_params_load(params, &p, &err)) return cli_fail(&err);
    if (!write_generate(&w, run, pass, p, params))
        hb_write(&w, "Next: validate these parameters on other data:\n");
    hb_params_free(p);
    write_command(&w, "validate", run, pass, params);
    if (pass->read_as) write_option(&w, "as", pass->read_as);
    hb_write(&w, "%s\n", pass->demo ? "" : " --data FILE");
    if (hb_writer_finish(&w, &text, &err)) return cli_fail(&err);
    cli_write(text, strlen(text));
    free(text);
    return CLI_DONE;
}
