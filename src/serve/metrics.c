#include "serve/metrics.h"

static const double bounds[HB_N_BUCKETS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                            0.5,   1,    2.5,   5,    10,  30};

void hb_histogram_add(hb_histogram *h, double seconds)
{
    int i = 0;
    while (i < HB_N_BUCKETS && seconds > bounds[i]) i++;
    h->counts[i]++;
    h->sum += seconds;
}

static void write_head(hb_writer *w, const char *name, const char *type, const char *help)
{
    hb_write(w, "# HELP hbar_%s %s\n# TYPE hbar_%s %s\n", name, help, name, type);
}

static void write_counter(hb_writer *w, const char *name, const char *help, uint64_t value)
{
    write_head(w, name, "counter", help);
    hb_write(w, "hbar_%s %llu\n", name, (unsigned long long)value);
}

static void write_gauge(hb_writer *w, const char *name, const char *help, size_t value)
{
    write_head(w, name, "gauge", help);
    hb_write(w, "hbar_%s %zu\n", name, value);
}

static void write_histogram(hb_writer *w, const char *name, const char *help, const hb_histogram *h)
{
    unsigned long long n = 0;
    write_head(w, name, "histogram", help);
    for (int i = 0; i < HB_N_BUCKETS; i++) {
        n += h->counts[i];
        hb_write(w, "hbar_%s_bucket{le=\"%g\"} %llu\n", name, bounds[i], n);
    }
    n += h->counts[HB_N_BUCKETS];
    hb_write(w, "hbar_%s_bucket{le=\"+Inf\"} %llu\nhbar_%s_sum %.6f\nhbar_%s_count %llu\n", name, n,
             name, h->sum, name, n);
}

void hb_metrics_write(hb_writer *w, const hb_metrics *m)
{
    write_head(w, "requests_total", "counter", "Answered requests by class of status.");
    for (int i = 2; i < 6; i++)
        hb_write(w, "hbar_requests_total{status=\"%dxx\"} %llu\n", i,
                 (unsigned long long)m->requests[i]);
    write_counter(w, "prompt_tokens_total", "Tokens of prompts.", m->prompt_tokens);
    write_counter(w, "cached_tokens_total", "Tokens of prompts taken from the cache.",
                  m->cached_tokens);
    write_counter(w, "generated_tokens_total", "Generated tokens.", m->generated_tokens);
    write_counter(w, "answers_total", "Answers that ended.", m->answers);
    write_counter(w, "halted_answers_total", "Answers that were halted.", m->halted);
    write_counter(w, "risky_answers_total", "Answers that were risky, halted ones included.", m->risky);
    write_counter(w, "cancelled_answers_total", "Answers whose client went away.", m->cancelled);
    write_counter(w, "refused_requests_total", "Requests refused because the queue was full.",
                  m->refused);
    write_gauge(w, "running_answers", "Answers that are evaluated now.", m->n_running);
    write_gauge(w, "open_requests", "Requests that are queued or running.", m->n_calls);
    write_gauge(w, "connections", "Open connections.", m->n_clients);
    write_histogram(w, "first_token_seconds", "Time from a request to its first token.",
                    &m->first_token);
    write_histogram(w, "token_seconds", "Time between the tokens of an answer.", &m->between);
}
