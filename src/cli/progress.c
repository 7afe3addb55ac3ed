/* Interruption by signals, and the progress bar. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "cli/cli.h"

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

/* Only what a signal handler may call. Samples that are committed stay in their run. */
static void on_bus_error(int signal_number)
{
    static const char message[] =
        "hbar: a file was truncated while it was in use, most likely the model: input/output error\n";
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)signal_number;
    (void)written;
    _exit(CLI_FAILED);
}

void cli_catch_faults(void)
{
    struct sigaction action = {.sa_handler = on_bus_error};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
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
