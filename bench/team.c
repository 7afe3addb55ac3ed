/* Measures what rank 0 of a team has to do: its processor time for each sample and each message. The
 * other ranks are played by this program, which answers at once with made-up results.
 *   team [--samples N] [--ranks K] [--tokens T] [--rows R] [--dir DIR] MODEL
 *   mpirun -n 2 team --messages B
 * R is the number of finished samples in a message. With --messages, it measures the time of rank 0 for
 * a message of B bytes instead. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"
#include "score/messages.h"
#include "signals/scores.h"
#include "store/run.h"
#include "team/team.h"

static hb_error err;

/* Processor time of this thread. */
static double own_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Ranks that answer at once ------------------------------------------------------------------- */

typedef struct reply {
    struct reply *next;
    hb_parcel parcel;
} reply;

typedef struct actors {
    hb_team team; /* first member */
    const hb_run_settings *settings;
    int32_t n_tokens, n_rows, n_greeted;
    float *values;
    hb_response_span *places;
    hb_scores *scores;
    char *text;
    reply *first, **last;
    double seconds; /* spent here, which is not rank 0's time */
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
} actors;

static void push(actors *a, int32_t from, hb_writer *out)
{
    reply *r = bench_need(calloc(1, sizeof *r));
    r->parcel = (hb_parcel){from, out->text};
    *out = (hb_writer){0};
    *a->last = r;
    a->last = &r->next;
    a->messages_in++;
    a->bytes_in += r->parcel.bytes.length;
}

static void begin(hb_writer *out, hb_message_kind kind, uint32_t count)
{
    const hb_message_head head = {(uint32_t)kind, count};
    hb_pack(out, &head, sizeof head);
}

static void greet(actors *a, int32_t from)
{
    hb_writer out = {0}, identity = {0};
    hb_write_identity(&identity, a->settings, a->settings->model_sha256);
    begin(&out, HB_MESSAGE_HELLO, 192);
    hb_pack_text(&out, "here");
    hb_pack_text(&out, identity.text.data);
    hb_buffer_free(&identity.text);
    push(a, from, &out);
}

static void take_plan(actors *a, hb_unpacker *in, uint32_t n)
{
    const char **names = bench_need(calloc((size_t)n + 1, sizeof *names));
    for (uint32_t i = 0; i < n; i++) names[i] = hb_unpack_text(in);
    if (!a->scores) bench_check(hb_scores_of_names(names, n, &a->scores, &err), &err);
    for (uint32_t i = 0; i < n; i++) hb_scores_set(a->scores, i, 0.1 * i);
    free(names);
}

static void answer(actors *a, int32_t rank, hb_unpacker *in, uint32_t n)
{
    hb_writer out = {0};
    size_t n_signals = hb_signal_set_count(a->settings->signals);
    for (uint32_t i = 0; i < n; i++) {
        hb_unpacked got;
        hb_unpack_sample(in, &got);
        const hb_sample *s = &got.sample;
        const hb_run_tokens tokens = {
            .index = s->index, .n = (size_t)a->n_tokens, .characters = a->places, .values = a->values};
        const hb_finished f = {.sample = {.index = s->index,
                                          .id = s->id,
                                          .label = s->label,
                                          .prompt = s->prompt,
                                          .prompt_sha256 = s->prompt_sha256,
                                          .text = a->text,
                                          .n_tokens = a->n_tokens,
                                          .scores = a->scores},
                               .tokens = &tokens};
        if (i % (uint32_t)a->n_rows == 0) {
            uint32_t left = n - i, rows = (uint32_t)a->n_rows;
            if (i) push(a, rank, &out);
            begin(&out, HB_MESSAGE_ROWS, left < rows ? left : rows);
        }
        hb_pack_finished(&out, &f, a->scores, n_signals);
        hb_unpacked_free(&got);
    }
    push(a, rank, &out);
}

static void finish(actors *a, int32_t rank)
{
    const hb_score_work work = {0};
    hb_writer out = {0};
    begin(&out, HB_MESSAGE_DONE, 0);
    hb_pack(&out, &work, sizeof work);
    push(a, rank, &out);
}

static hb_status send_to(hb_team *team, int32_t to, hb_box box, hb_buffer *bytes, hb_error *e)
{
    actors *a = (actors *)team;
    double from = own_seconds();
    hb_message_head head;
    (void)e;
    /* Rank 0's own member says hello, too; it is played like the others. */
    if (box == HB_BOX_MEMBER) {
        hb_unpacker in = hb_unpack_begin(bytes, &head);
        a->messages_out++;
        a->bytes_out += bytes->length;
        if (head.kind == HB_MESSAGE_PLAN) take_plan(a, &in, head.count);
        if (head.kind == HB_MESSAGE_WORK) answer(a, to, &in, head.count);
        if (head.kind == HB_MESSAGE_END) finish(a, to);
        a->seconds += own_seconds() - from;
    }
    hb_buffer_free(bytes);
    return HB_OK;
}

static hb_status receive_from(hb_team *team, hb_box box, double seconds, hb_parcel *parcel, bool *found,
                              hb_error *e)
{
    actors *a = (actors *)team;
    (void)e;
    *found = false;
    if (box == HB_BOX_MEMBER) {
        usleep((useconds_t)(seconds * 1e6));
        return HB_OK;
    }
    double from = own_seconds();
    if (a->n_greeted < team->size) greet(a, a->n_greeted++);
    reply *r = a->first;
    *found = r;
    if (r) {
        *parcel = r->parcel;
        a->first = r->next;
        if (!a->first) a->last = &a->first;
        free(r);
    }
    a->seconds += own_seconds() - from;
    return HB_OK;
}

/* ---- The run of rank 0 --------------------------------------------------------------------------- */

static void write_data(const char *path, int32_t n)
{
    FILE *f = bench_need(fopen(path, "w"));
    for (int32_t i = 0; i < n; i++) {
        fprintf(f, "{\"id\": \"%d\", \"label\": %d, \"prompt\": \"Question %d: ", i, i % 2, i);
        for (int32_t k = 0; k < 20; k++)
            fprintf(f, "some %d words of a question that is not short, ", k);
        fprintf(f, "and its end?\"}\n");
    }
    fclose(f);
}

static hb_run_settings settings_of(hb_session *session, const hb_dataset *dataset)
{
    static char sha256[65];
    const hb_model *model = hb_session_model(session);
    const hb_model_info *m = hb_model_get_info(model);
    const hb_dataset_info *d = hb_dataset_get_info(dataset);
    hb_signal_set *signals;
    bench_check(hb_model_sha256(model, sha256, &err), &err);
    bench_check(hb_signal_set_parse("all", &signals, &err), &err);
    return (hb_run_settings){.model_path = m->path,
                             .model_name = m->name,
                             .model_architecture = m->architecture,
                             .model_sha256 = sha256,
                             .model_size = m->file_size,
                             .data_path = d->path,
                             .data_format = d->recipe,
                             .data_sha256 = d->sha256,
                             .data_rows = d->n_rows,
                             .n_samples = d->n_selected,
                             .max_tokens = 20,
                             .n_ctx = hb_session_n_ctx(session),
                             .alpha = 0.1,
                             .signals = signals};
}

static void measure(actors *a, const char *model_path, const char *dir, int32_t n)
{
    char data[4096], path[4096];
    hb_model *model;
    hb_session *session;
    hb_dataset *dataset;
    hb_run *run;
    snprintf(data, sizeof data, "%s/team.jsonl", dir);
    snprintf(path, sizeof path, "%s/team.db", dir);
    write_data(data, n);
    bench_check(hb_model_open(model_path, &model, &err), &err);
    bench_check(hb_session_open(model, NULL, &session, &err), &err);
    bench_check(hb_dataset_open(data, NULL, &dataset, &err), &err);
    const hb_run_settings s = settings_of(session, dataset);
    a->settings = &s;
    a->values =
        bench_need(calloc((size_t)a->n_tokens * hb_signal_set_count(s.signals) + 1, sizeof(float)));
    a->places = bench_need(calloc((size_t)a->n_tokens + 1, sizeof *a->places));
    a->text = bench_need(calloc((size_t)a->n_tokens * 4 + 1, 1));
    memset(a->text, 'x', (size_t)a->n_tokens * 4);
    bench_check(hb_run_create(path, &s, &run, &err), &err);
    hb_score_options o = hb_score_defaults();
    o.team = &a->team;
    double wall = hb_seconds(), own = own_seconds();
    bench_check(hb_score(session, dataset, run, &o, &err), &err);
    own = own_seconds() - own - a->seconds;
    wall = hb_seconds() - wall;
    hb_run_close(run);
    unlink(data);
    unlink(path);
    bench_print(bench_need(
        json_pack("{s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "samples", n, "ranks",
                  a->team.size, "tokens", a->n_tokens, "rows", a->n_rows, "microseconds_per_sample",
                  1e6 * own / n, "wall_microseconds_per_sample", 1e6 * wall / n,
                  "messages_out_per_sample", (double)a->messages_out / n, "messages_in_per_sample",
                  (double)a->messages_in / n, "bytes_out_per_sample", (double)a->bytes_out / n,
                  "bytes_in_per_sample", (double)a->bytes_in / n)));
}

/* ---- Messages by MPI ----------------------------------------------------------------------------- */

enum { MESSAGES = 20000 };

static void measure_messages(int32_t bytes)
{
    hb_team *team;
    bench_check(hb_team_open(&team, &err), &err);
    if (hb_team_size(team) != 2) {
        fputs("team: --messages needs mpirun -n 2, and a build with HBAR_MPI\n", stderr);
        exit(2);
    }
    double own = own_seconds();
    for (int32_t i = 0; i < MESSAGES; i++) {
        hb_parcel parcel = {0};
        bool found = false;
        if (team->rank) {
            parcel.bytes.data = bench_need(calloc((size_t)bytes, 1));
            parcel.bytes.length = (size_t)bytes;
            bench_check(team->ops->send(team, 0, HB_BOX_LEADER, &parcel.bytes, &err), &err);
        }
        while (!team->rank && !found)
            bench_check(team->ops->receive(team, HB_BOX_LEADER, 1, &parcel, &found, &err), &err);
        hb_buffer_free(&parcel.bytes);
    }
    own = own_seconds() - own;
    if (!team->rank)
        bench_print(bench_need(json_pack("{s:i, s:f}", "message_bytes", bytes,
                                         "microseconds_per_message", 1e6 * own / MESSAGES)));
    hb_team_close(team);
}

int main(int argc, char **argv)
{
    static const hb_team_ops ops = {.send = send_to, .receive = receive_from};
    static const struct option options[] = {{"samples", required_argument, NULL, 's'},
                                            {"ranks", required_argument, NULL, 'k'},
                                            {"tokens", required_argument, NULL, 't'},
                                            {"rows", required_argument, NULL, 'r'},
                                            {"messages", required_argument, NULL, 'm'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    actors a = {.team = {.ops = &ops, .size = 100, .n_local = 1}, .n_tokens = 20, .n_rows = 1};
    const char *dir = "/tmp";
    int32_t n = 20000, bytes = 0;
    int c;
    a.last = &a.first;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's') n = bench_number("--samples", optarg, 1);
        else if (c == 'k') a.team.size = bench_number("--ranks", optarg, 2);
        else if (c == 't') a.n_tokens = bench_number("--tokens", optarg, 1);
        else if (c == 'r') a.n_rows = bench_number("--rows", optarg, 1);
        else if (c == 'm') bytes = bench_number("--messages", optarg, 1);
        else if (c == 'd') dir = optarg;
        else return 2;
    }
    if (bytes) measure_messages(bytes);
    else if (optind + 1 == argc) measure(&a, argv[optind], dir, n);
    else return 2;
    return 0;
}
