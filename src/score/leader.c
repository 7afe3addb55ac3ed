/* The leader of a team: reads the dataset, hands out groups of samples as members become free, and
 * alone writes the run. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "score/messages.h"
#include "score/pool.h"
#include "score/team.h"
#include "signals/scores.h"
#include "store/run.h"

#define POOL_SIZE    4096 /* samples that are sorted together */
#define MOST_AT_ONCE 64   /* samples in a message, but for a group that is larger */
#define TICK         0.1  /* seconds between two commits, and between two looks at the cancel hook */

typedef struct rank {
    uint64_t held, most; /* samples that it has; the most that it wants */
    char *host;          /* NULL until it has said hello */
    bool done;
} rank;

typedef struct leader {
    hb_team *team;
    hb_ledger *ledger;
    const hb_run_settings *settings;
    rank *ranks; /* [team->size] */
    int32_t n_ready, n_done;
    size_t n_signals;
    hb_scores *columns; /* the run's scores, with the values of the sample read last */
    char *identity;
    hb_sample_pool pool;
    bool exhausted;            /* the dataset has no more samples */
    uint64_t held;             /* samples that members have */
    hb_score_work *work;       /* of all members */
    double started, committed; /* when the run was last committed */

    /* The member of this process. */
    hb_session *session;
    pthread_t thread;
    atomic_bool stopped;
} leader;

static bool is_cancelled(const leader *l)
{
    const hb_score_options *o = l->ledger->options;
    return o->cancelled && o->cancelled(o->user);
}

/* ---- Sending ------------------------------------------------------------------------------------- */

static hb_status send_message(leader *l, int32_t to, hb_writer *out, hb_error *err)
{
    if (!out->failed) return l->team->ops->send(l->team, to, HB_BOX_MEMBER, &out->text, err);
    hb_buffer_free(&out->text);
    return hb_fail_memory(err);
}

static void begin_message(hb_writer *out, hb_message_kind kind, size_t count)
{
    const hb_message_head head = {(uint32_t)kind, (uint32_t)count};
    hb_pack(out, &head, sizeof head);
}

static hb_status send_plan(leader *l, int32_t to, hb_error *err)
{
    hb_writer out = {0};
    size_t n = hb_scores_count(l->columns);
    begin_message(&out, HB_MESSAGE_PLAN, n);
    for (size_t i = 0; i < n; i++) hb_pack_text(&out, hb_scores_name(l->columns, i));
    return send_message(l, to, &out, err);
}

static hb_status send_work(leader *l, int32_t to, uint64_t want, hb_error *err)
{
    hb_writer samples = {0}, out = {0};
    size_t n = hb_sample_pool_take(&l->pool, want < MOST_AT_ONCE ? want : MOST_AT_ONCE, &samples);
    begin_message(&out, HB_MESSAGE_WORK, n);
    hb_pack(&out, samples.text.data, samples.text.length);
    out.failed = out.failed || samples.failed;
    hb_buffer_free(&samples.text);
    l->ranks[to].held += n;
    l->held += n;
    return send_message(l, to, &out, err);
}

static hb_status send_end(leader *l, bool failed, hb_error *err)
{
    hb_status status = HB_OK;
    for (int32_t i = 0; i < l->team->size && !status; i++) {
        hb_writer out = {0};
        begin_message(&out, HB_MESSAGE_END, failed);
        status = send_message(l, i, &out, err);
    }
    return status;
}

/* ---- Handing out --------------------------------------------------------------------------------- */

static hb_status fill_pool(leader *l, hb_error *err)
{
    hb_status status = HB_OK;
    hb_sample_pool_clear(&l->pool);
    while (!status && !l->exhausted && hb_sample_pool_left(&l->pool) < POOL_SIZE) {
        hb_sample sample;
        hb_supply supply;
        if (is_cancelled(l)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = hb_ledger_next(l->ledger, &sample, &supply, err);
        l->exhausted = !status && supply == HB_SUPPLY_END;
        if (!status && supply == HB_SUPPLY_SAMPLE) status = hb_sample_pool_add(&l->pool, &sample, err);
    }
    hb_sample_pool_sort(&l->pool);
    return status;
}

/* The number of samples that a rank should have: at most its share of all that are unfinished, so that
 * all ranks end together. */
static uint64_t share_of(const leader *l, const rank *r)
{
    const hb_run_counts *c = &l->ledger->counts;
    uint64_t finished = c->scored + c->skipped + c->failed;
    uint64_t unfinished = c->total > finished ? c->total - finished : 0;
    uint64_t share = unfinished / (uint64_t)l->team->size + 1;
    return share < r->most ? share : r->most;
}

/* Gives samples to a rank that lacks an eighth of its share. */
static hb_status supply(leader *l, int32_t i, bool *supplied, hb_error *err)
{
    const rank *r = &l->ranks[i];
    uint64_t share = share_of(l, r);
    *supplied = r->held < share && 8 * (share - r->held) >= share;
    return *supplied ? send_work(l, i, share - r->held, err) : HB_OK;
}

/* Supplies all ranks, each with one message in turn, so that all begin early. */
static hb_status hand_out(leader *l, hb_error *err)
{
    bool any = true;
    hb_status status = HB_OK;
    while (any && !status) {
        any = false;
        for (int32_t i = 0; i < l->team->size && !status; i++) {
            bool supplied = false;
            if (!hb_sample_pool_left(&l->pool)) status = fill_pool(l, err);
            if (!status && hb_sample_pool_left(&l->pool)) status = supply(l, i, &supplied, err);
            any = any || supplied;
        }
    }
    return status;
}

/* ---- Receiving ----------------------------------------------------------------------------------- */

static hb_status take_hello(leader *l, int32_t from, hb_unpacker *in, uint32_t most, hb_error *err)
{
    rank *r = &l->ranks[from];
    char who[128];
    const char *host = hb_unpack_text(in), *identity = hb_unpack_text(in);
    hb_status status = hb_unpack_status(in, err);
    if (status || r->host) return status;
    r->host = strdup(host);
    if (!r->host) return hb_fail_memory(err);
    r->most = most;
    l->n_ready++;
    snprintf(who, sizeof who, "rank %d (%s)", from, host);
    return hb_compare_identity(l->identity, identity, who, err);
}

/* Estimates the time that is left from the rate so far, when one more sample is about to be kept. */
static void report_time(leader *l)
{
    const hb_run_counts *c = &l->ledger->counts;
    uint64_t done = l->ledger->done + 1, left = c->total - (c->scored + c->skipped + c->failed) - 1;
    l->work->seconds = hb_seconds() - l->started;
    l->work->seconds_left = done < 2 ? NAN : l->work->seconds / (double)done * (double)left;
}

static hb_status take_rows(leader *l, int32_t from, hb_unpacker *in, uint32_t n, hb_error *err)
{
    hb_status status = HB_OK;
    for (uint32_t i = 0; i < n && !status; i++) {
        hb_unpacked row;
        hb_unpack_finished(in, l->columns, l->n_signals, &row);
        status = hb_unpack_status(in, err);
        if (!status && !l->ranks[from].held)
            status = hb_fail(err, HB_ERR_FORMAT, "rank %d: sent more samples than it got", from);
        if (!status) report_time(l);
        if (!status) status = hb_ledger_keep(l->ledger, &row.finished, err);
        hb_unpacked_free(&row);
        if (status) break;
        l->ranks[from].held--;
        l->held--;
    }
    return status;
}

static hb_status take_done(leader *l, int32_t from, hb_unpacker *in, hb_error *err)
{
    hb_score_work work;
    hb_unpack(in, &work, sizeof work);
    l->n_done += !l->ranks[from].done;
    l->ranks[from].done = true;
    l->work->tokens_evaluated += work.tokens_evaluated;
    l->work->tokens_shared += work.tokens_shared;
    l->work->literal += work.literal;
    l->work->unstated += work.unstated;
    l->work->prompt_seconds += work.prompt_seconds;
    l->work->answer_seconds += work.answer_seconds;
    l->work->sample_seconds += work.sample_seconds;
    l->work->question_seconds += work.question_seconds;
    return hb_unpack_status(in, err);
}

static hb_status take_failure(const leader *l, int32_t from, hb_unpacker *in, uint32_t failed,
                              hb_error *err)
{
    const char *message = hb_unpack_text(in), *host = l->ranks[from].host;
    hb_status status = hb_unpack_status(in, err);
    if (status) return status;
    return hb_fail(err, (hb_status)failed, "rank %d%s%s%s: %s", from, host ? " (" : "",
                   host ? host : "", host ? ")" : "", message);
}

static hb_status take_message(leader *l, const hb_parcel *parcel, hb_error *err)
{
    hb_message_head head;
    hb_unpacker in = hb_unpack_begin(&parcel->bytes, &head);
    switch (head.kind) {
    case HB_MESSAGE_HELLO:
        return take_hello(l, parcel->from, &in, head.count, err);
    case HB_MESSAGE_ROWS:
        return take_rows(l, parcel->from, &in, head.count, err);
    case HB_MESSAGE_DONE:
        return take_done(l, parcel->from, &in, err);
    case HB_MESSAGE_FAILED:
        return take_failure(l, parcel->from, &in, head.count, err);
    default:
        return hb_fail(err, HB_ERR_FORMAT, "rank %d: a message is of an unknown kind", parcel->from);
    }
}

/* Waits for a message, and takes it. Commits the run from time to time: for each message, it would take
 * too long. */
static hb_status receive(leader *l, hb_error *err)
{
    hb_parcel parcel = {0};
    bool found;
    if (is_cancelled(l)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
    hb_status status = l->team->ops->receive(l->team, HB_BOX_LEADER, TICK, &parcel, &found, err);
    if (!status && found) status = take_message(l, &parcel, err);
    hb_buffer_free(&parcel.bytes);
    if (status || hb_seconds() - l->committed < TICK) return status;
    status = hb_run_commit(l->ledger->run, err);
    l->committed = hb_seconds();
    return status;
}

/* ---- The leader's own member --------------------------------------------------------------------- */

static bool is_stopped(void *user)
{
    return atomic_load(&((leader *)user)->stopped);
}

/* A failure reaches the leader as a message. */
static void *run_member(void *user)
{
    leader *l = user;
    hb_score_options o = *l->ledger->options;
    o.on_progress = NULL;
    o.work = NULL;
    o.cancelled = is_stopped;
    o.user = l;
    hb_score_join(l->team, l->session, l->settings, &o, NULL);
    return NULL;
}

/* ---- The whole ----------------------------------------------------------------------------------- */

/* Waits for all members, and tells them what to report. */
static hb_status gather(leader *l, hb_error *err)
{
    hb_status status = HB_OK;
    while (!status && l->n_ready < l->team->size) status = receive(l, err);
    for (int32_t i = 0; i < l->team->size && !status; i++) status = send_plan(l, i, err);
    return status;
}

static hb_status lead(leader *l, hb_error *err)
{
    hb_status status = gather(l, err);
    if (!status) status = hand_out(l, err);
    while (!status && l->held) {
        status = receive(l, err);
        if (!status) status = hand_out(l, err);
    }
    if (!status) status = send_end(l, false, err);
    while (!status && l->n_done < l->team->size) status = receive(l, err);
    return status;
}

static hb_status lead_with_member(leader *l, hb_error *err)
{
    if (pthread_create(&l->thread, NULL, run_member, l))
        return hb_fail(err, HB_ERR_MEMORY, "no thread can be made for the evaluation");
    hb_status status = lead(l, err);
    atomic_store(&l->stopped, true);
    if (status) {
        hb_run_commit(l->ledger->run, NULL); /* now: the member may need a while to end */
        send_end(l, true, NULL);
    }
    pthread_join(l->thread, NULL);
    return status;
}

static hb_status open_leader(leader *l, hb_error *err)
{
    hb_writer identity = {0};
    const hb_run *run = l->ledger->run;
    size_t n = 0;
    while (hb_run_score_name(run, n)) n++;
    const char **names = calloc(n + 1, sizeof *names);
    l->ranks = calloc((size_t)l->team->size, sizeof *l->ranks);
    hb_write_identity(&identity, l->settings, l->settings->model_sha256);
    hb_status status = hb_writer_finish(&identity, &l->identity, err);
    if (!status && (!names || !l->ranks)) status = hb_fail_memory(err);
    for (size_t i = 0; i < n && !status; i++) names[i] = hb_run_score_name(run, i);
    if (!status) status = hb_scores_of_names(names, n, &l->columns, err);
    free(names);
    return status ? status : hb_ledger_open(l->ledger, err);
}

static void close_leader(leader *l)
{
    for (int32_t i = 0; i < l->team->size && l->ranks; i++) free(l->ranks[i].host);
    free(l->ranks);
    free(l->identity);
    hb_scores_free(l->columns);
    hb_sample_pool_free(&l->pool);
}

hb_status hb_score_lead(hb_team *team, hb_session *session, hb_ledger *ledger, hb_score_work *work,
                        hb_error *err)
{
    const hb_run_settings *settings = hb_run_get_settings(ledger->run);
    leader l = {.team = team,
                .ledger = ledger,
                .settings = settings,
                .session = session,
                .work = work,
                .started = hb_seconds(),
                .n_signals = hb_signal_set_count(settings->signals)};
    hb_status status = open_leader(&l, err);
    if (!status) {
        status = lead_with_member(&l, err);
        status = hb_ledger_close(ledger, status, err);
    } else send_end(&l, true, NULL);
    close_leader(&l);
    return status;
}
