#include "engine_llama/library.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"

static _Thread_local char first_error[256];

/* Keeps the first error, without the name of the function that it begins with. Drops everything else:
 * nothing below the command prints. */
static void on_log(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level != GGML_LOG_LEVEL_ERROR || *first_error) return;
    const char *colon = strstr(text, ": ");
    if (colon && !memchr(text, ' ', (size_t)(colon - text))) text = colon + 2;
    snprintf(first_error, sizeof first_error, "%.*s", (int)strcspn(text, "\n"), text);
}

/* libllama ends the program when a check inside it fails. Without this function, it would also start a
 * debugger and print its output. */
static void on_abort(const char *why)
{
    char clean[1000];
    hb_printable(clean, sizeof clean, why, strlen(why));
    fprintf(stderr, "hbar: libllama ends the program: %s\n", clean);
}

static void start(void)
{
    llama_log_set(on_log, NULL);
    ggml_set_abort_callback(on_abort);
    ggml_backend_load_all();
    llama_backend_init();
}

void hb_llama_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    *first_error = '\0';
}

const char *hb_llama_why(void)
{
    return *first_error ? first_error : "no reason given";
}
