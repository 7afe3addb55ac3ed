/* What /metrics shows: counters since the start, in Prometheus's text format. */
#ifndef HB_SERVE_METRICS_H
#define HB_SERVE_METRICS_H

#include <stdint.h>
#include "base/writer.h"

/* A histogram of seconds. */
enum { HB_N_BUCKETS = 12 };
typedef struct hb_histogram {
    uint64_t counts[HB_N_BUCKETS + 1]; /* by upper bound; the last has none */
    double sum;
} hb_histogram;
void hb_histogram_add(hb_histogram *histogram, double seconds);

typedef struct hb_metrics {
    uint64_t requests[6]; /* by status: [4] counts 4xx */
    uint64_t prompt_tokens, cached_tokens, generated_tokens;
    uint64_t answers, halted, risky, cancelled, refused; /* refused: the queue was full */
    hb_histogram first_token; /* from a request's arrival to its first token */
    hb_histogram between;     /* between tokens of one answer */
    /* As they are now. */
    size_t n_running, n_calls, n_clients;
} hb_metrics;

void hb_metrics_write(hb_writer *writer, const hb_metrics *metrics);

#endif
