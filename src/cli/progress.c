/* Interruption by signals, and the progress bar. */
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/clock.h"
#include "cli/cli.h"

/* ---- Interruption -------------------------------------------------------------------------------- */

/* Any thread may get the signal. Atomic numbers without a lock are safe in handlers, too. */
static atomic_int interrupted;

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

/* Only what a signal handler may call. Samples that are committed stay in their run. Threads that
 * evaluate together may fault together: the first one says why and ends the program. */
static void on_bus_error(int signal_number)
{
    static const char message[] =
        "hbar: a file was truncated while it was in use, most likely the model: input/output error\n";
    static atomic_flag is_said = ATOMIC_FLAG_INIT;
    (void)signal_number;
    while (atomic_flag_test_and_set(&is_said)) pause();
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
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

#define LOG_EVERY 10 /* seconds between two messages */

void cli_progress_start(cli_progress *progress, bool quiet, int32_t n_ranks)
{
    bool shown = !quiet && isatty(STDERR_FILENO);
    double now = hb_seconds();
    *progress = (cli_progress){.shown = shown,
                               .logged = !quiet && !shown && n_ranks > 1,
                               .n_ranks = n_ranks,
                               .started = now,
                               .drawn = shown ? 0 : now};
}

/* A text of the line. Starts empty; what does not fit is cut off. */
typedef struct line {
    char text[256];
    size_t n;
} line;

__attribute__((format(printf, 2, 3))) static void put(line *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(l->text + l->n, sizeof l->text - l->n, format, arguments);
    va_end(arguments);
    if (n > 0) l->n += (size_t)n < sizeof l->text - l->n ? (size_t)n : sizeof l->text - l->n - 1;
}

/* "1:23", or "2:01:23" from an hour on. */
static void put_time(line *l, double seconds)
{
    unsigned long long s = seconds < 1e12 ? (unsigned long long)(seconds + 0.5) : 0;
    if (s >= 3600) put(l, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else put(l, "%llu:%02llu", s / 60, s % 60);
}

/* Adds the shares of the time that each kind of work took, the largest first, while the line has room
 * for `most` bytes. */
static void put_shares(line *l, const hb_score_work *w, int most)
{
    struct {
        const char *name;
        double seconds;
    } parts[] = {{"prefill", w->prompt_seconds},
                 {"decode", w->answer_seconds},
                 {"samples", w->sample_seconds},
                 {"questions", w->question_seconds},
                 {"rest", w->seconds - w->prompt_seconds - w->answer_seconds - w->sample_seconds -
                              w->question_seconds}};
    enum { N = sizeof parts / sizeof *parts };
    for (size_t k = 0; k < N; k++) {
        size_t greatest = 0;
        line part = {0};
        for (size_t i = 1; i < N; i++)
            if (parts[i].seconds > parts[greatest].seconds) greatest = i;
        double percent = w->seconds > 0 ? 100 * parts[greatest].seconds / w->seconds : 0;
        put(&part, "%s%s %.0f %%", k ? ", " : ": ", parts[greatest].name, percent);
        if (percent < 0.5 || (int)(l->n + part.n) > most) return;
        put(l, "%s", part.text);
        parts[greatest].seconds = 0;
    }
}

/* The width of the terminal in columns. */
static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

enum { FRAME = 3, MOST = 30, LEAST = 10 }; /* of the bar: its brackets, and its width */

/* Draws the bar and the line in so many columns. */
static void draw(const line *l, int room, double share)
{
    static const char bar[] = "##############################";
    int width = room - (int)l->n - FRAME;
    if (width > MOST) width = MOST;
    if (width > 0)
        fprintf(stderr, "\r[%-*.*s] %s\033[K", width, (int)((double)width * share), bar, l->text);
    else fprintf(stderr, "\r%.*s\033[K", room, l->text);
    fflush(stderr);
}

void cli_progress_update(cli_progress *progress, uint64_t done, uint64_t total, uint64_t done_now,
                         const hb_score_work *work)
{
    double time = hb_seconds(), elapsed = time - progress->started, since = time - progress->drawn;
    line l = {0};
    bool due = progress->shown ? since >= 0.1 || done >= total : progress->logged && since >= LOG_EVERY;
    if (!due) return;
    progress->drawn = time;
    int room = columns() - 1; /* the last column stays empty */
    put(&l, "%llu/%llu  %.1f samples/s", (unsigned long long)done, (unsigned long long)total,
        elapsed > 0 ? (double)done_now / elapsed : 0);
    if (work->seconds_left >= 0) {
        put(&l, "  ");
        put_time(&l, work->seconds_left);
        put(&l, " left");
    }
    if (progress->n_ranks > 1) put(&l, "  %d ranks", progress->n_ranks);
    else if (work->seconds_left >= 0) put_shares(&l, work, room - LEAST - FRAME);
    if (progress->logged) cli_message("%s", l.text);
    else draw(&l, room, total ? (double)done / (double)total : 1);
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
