/* Messages on standard error and results on standard output. All text leaves through here, so that text
 * from outside is cleaned in one place. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"

/* ---- Messages ------------------------------------------------------------------------------------ */

/* Before the messages of a process that does not lead its team; "" in all other processes. */
static char speaker[96];

void cli_speak_as(int32_t rank, const char *host)
{
    char clean[64];
    snprintf(speaker, sizeof speaker, "rank %d (%s): ", rank,
             hb_printable(clean, sizeof clean, host, strlen(host)));
}

/* Lets the leader speak first. It ends the job when it fails, too, so a failure of all processes is
 * reported once. */
static void wait_for_leader(void)
{
    if (*speaker) sleep(1);
}

/* Takes messages; NULL: they are printed. */
static cli_messenger *messenger;

cli_messenger *cli_send_messages(cli_messenger *to)
{
    cli_messenger *before = messenger;
    messenger = to;
    return before;
}

/* These need no memory, so that they can say that memory ran out. */
enum { MESSAGE_BYTES = 8000 };

static void make_message(char clean[MESSAGE_BYTES], const char *format, va_list args)
{
    char text[MESSAGE_BYTES + 200]; /* hb_printable cuts what is too long */
    vsnprintf(text, sizeof text, format, args);
    hb_printable(clean, MESSAGE_BYTES, text, strlen(text));
}

static void print_message(const char *program, const char *message, const char *end)
{
    wait_for_leader();
    fprintf(stderr, "%s: %s%s%s\n", program, speaker, message, end);
}

void cli_message(const char *format, ...)
{
    char clean[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    make_message(clean, format, args);
    va_end(args);
    if (messenger) messenger(clean);
    else print_message("hbar", clean, "");
}

int cli_usage(const cli_command *command, const char *format, ...)
{
    char program[64], end[64], clean[MESSAGE_BYTES];
    va_list args;
    snprintf(program, sizeof program, "hbar %s", command->name);
    snprintf(end, sizeof end, "; see hbar %s --help", command->name);
    va_start(args, format);
    make_message(clean, format, args);
    va_end(args);
    print_message(program, clean, end);
    return CLI_USAGE;
}

int cli_fail(const hb_error *err)
{
    cli_message("%s", err->message);
    return err->status == HB_ERR_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
}

int cli_fail_memory(void)
{
    cli_message("out of memory");
    return CLI_FAILED;
}

void cli_show_broken(void *broken, const char *message)
{
    cli_broken *b = broken;
    if (++b->shown <= 10) cli_message("%s", message);
    if (b->shown == 11) cli_message("more rows are broken; only their number will be shown");
}

void cli_report_broken(const char *path, uint64_t n_broken, uint64_t n_good)
{
    if (n_broken)
        cli_message("%s: %llu rows are broken and skipped, %llu are good", path,
                    (unsigned long long)n_broken, (unsigned long long)n_good);
}

void cli_show_warnings(const hb_model *model)
{
    const char *warning;
    if (*speaker) return; /* the leader shows the same */
    for (size_t i = 0; (warning = hb_model_warning(model, i)); i++) cli_message("warning: %s", warning);
}

/* ---- Results ------------------------------------------------------------------------------------- */

/* errno of the first write that failed; 0 if none did. */
static int write_error;

bool cli_write(const char *bytes, size_t length)
{
    if (fwrite(bytes, 1, length, stdout) == length) return true;
    if (!write_error) write_error = errno;
    return false;
}

bool cli_put(const char *text)
{
    return cli_write(text, strlen(text));
}

static bool fail_memory_write(void)
{
    if (!write_error) write_error = ENOMEM;
    return false;
}

void cli_flush(void)
{
    errno = 0;
    if (fflush(stdout) != 0 && !write_error) write_error = errno;
}

static bool write_clean(const char *text, size_t length, const char *kept)
{
    hb_buffer clean = {0};
    bool ok = hb_add_printable(&clean, text, length, kept) || fail_memory_write();
    ok = ok && cli_write(clean.data, clean.length);
    hb_buffer_free(&clean);
    return ok;
}

bool cli_write_text(const char *text, size_t length)
{
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDOUT_FILENO);
    return terminal ? write_clean(text, length, "\n\t") : cli_write(text, length);
}

bool cli_print(const char *format, ...)
{
    char *text;
    size_t n = strlen(format);
    bool ends_line = n > 0 && format[n - 1] == '\n';
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) return fail_memory_write();
    bool ok = write_clean(text, (size_t)length - ends_line, "");
    free(text);
    return ok && (!ends_line || cli_write("\n", 1));
}

bool cli_print_quoted(const char *bytes, size_t length)
{
    hb_writer w = {0};
    char *text;
    hb_write_quoted(&w, bytes, length);
    if (hb_writer_finish(&w, &text, NULL)) return fail_memory_write();
    bool ok = cli_write(text, strlen(text));
    free(text);
    return ok;
}

int cli_print_json(hb_json *json)
{
    hb_error err;
    char *text;
    if (hb_json_finish(json, &text, &err)) return cli_fail(&err);
    bool ok = cli_write(text, strlen(text)) && cli_write("\n", 1);
    free(text);
    return ok ? CLI_DONE : CLI_FAILED;
}

int cli_finish_output(int code)
{
    cli_flush();
    if (!write_error && !ferror(stdout)) return code;
    cli_message("standard output: %s", write_error ? strerror(write_error) : "a write failed");
    return CLI_FAILED;
}

/* ---- Names of files ------------------------------------------------------------------------------ */

enum { NAME_MAX_BYTES = 128 }; /* leaves room for what is appended */

char *cli_file_name(const char *name)
{
    char *copy = strndup(*name ? name : "unnamed", NAME_MAX_BYTES);
    for (char *c = copy; c && *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        else if (!letter && (c == copy || !strchr("._-", *c))) *c = '_';
    }
    return copy;
}

char *cli_base_name(const char *path)
{
    const char *base = hb_base_name(path), *dot = strrchr(base, '.');
    char *stem = strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
    char *name = stem ? cli_file_name(stem) : NULL;
    free(stem);
    return name;
}
