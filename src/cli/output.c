#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/cli.h"

void cli_message(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("hbar: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int cli_fail(const hb_error *err)
{
    cli_message("%s", err->message);
    return err->status == HB_ERR_CANCELLED ? CLI_INTERRUPTED : CLI_FAILED;
}

int cli_print_json(json_t *root, size_t flags)
{
    int failed = !root || json_dumpf(root, stdout, flags) != 0 || putchar('\n') == EOF;
    if (!root) cli_message("out of memory");
    json_decref(root);
    return failed ? CLI_FAILED : CLI_DONE;
}

void cli_print_quoted(const char *bytes, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)bytes[i];
        int size = hb_utf8_character(bytes + i, length - i);
        bool control = c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)bytes[i + 1] < 0xA0);
        if (size < 1) size = 1, control = true;
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (!control) fwrite(bytes + i, 1, (size_t)size, stdout);
        else
            for (int k = 0; k < size; k++) printf("\\x%02X", (unsigned char)bytes[i + (size_t)k]);
        i += (size_t)size;
    }
    putchar('"');
}

json_t *cli_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int cli_finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    cli_message("standard output: %s", strerror(errno));
    return CLI_FAILED;
}

/* ---- Interruption -------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void cli_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void *unused)
{
    (void)unused;
    return interrupted != 0;
}

/* ---- Progress ------------------------------------------------------------------------------------ */

void cli_progress_start(cli_progress *progress, bool quiet)
{
    *progress = (cli_progress){.shown = !quiet && isatty(STDERR_FILENO), .started = hb_seconds()};
}

void cli_progress_update(cli_progress *progress, uint64_t done, uint64_t total, uint64_t done_now)
{
    static const char bar[] = "##############################";
    double time = hb_seconds(), elapsed = time - progress->started;
    if (!progress->shown || (time - progress->drawn < 0.1 && done < total)) return;
    progress->drawn = time;
    int filled = total ? (int)(30 * done / total) : 30;
    double rate = elapsed > 0 ? (double)done_now / elapsed : 0;
    unsigned long long left = rate > 0 ? (unsigned long long)((double)(total - done) / rate + 0.5) : 0;
    fprintf(stderr, "\r[%-30.*s] %llu/%llu  %.1f samples/s  %llu:%02llu left \033[K", filled, bar,
            (unsigned long long)done, (unsigned long long)total, rate, left / 60, left % 60);
    fflush(stderr);
}

double cli_progress_seconds(const cli_progress *progress)
{
    return hb_seconds() - progress->started;
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->shown && progress->drawn > 0) fputc('\n', stderr);
    progress->shown = false;
}

void cli_show_broken(void *broken, const char *message)
{
    cli_broken *b = broken;
    if (++b->shown <= 10) cli_message("%s", message);
    if (b->shown == 11) cli_message("more broken rows follow; only their number will be shown");
}

void cli_show_warnings(const hb_model *model)
{
    const char *warning;
    for (size_t i = 0; (warning = hb_model_warning(model, i)); i++) cli_message("warning: %s", warning);
}

/* ASCII letters in lower case; what else may trouble a shell or a file system becomes '_'. */
static char *file_name(const char *text, size_t length)
{
    enum { MOST = 128 }; /* leaves room for what comes after it in a file's name */
    char *name = strndup(text, length < MOST ? length : MOST);
    for (char *c = name; c && *c; c++) {
        if (isalnum((unsigned char)*c)) *c = (char)tolower((unsigned char)*c);
        else if (c == name || !strchr("._-", *c)) *c = '_';
    }
    return name;
}

char *cli_file_name(const char *text)
{
    return file_name(text, strlen(text));
}

char *cli_base_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return file_name(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}
