/* A member of a team: evaluates samples that the leader sends, and sends back what the run keeps. */
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "score/messages.h"
#include "score/scorer.h"
#include "score/team.h"

/* Samples that a member holds beyond those that can run at once, so that batches stay full. */
#define MOST_WAITING 64

#define TICK 0.1 /* seconds between two looks at the cancel hook while nothing is to do */

/* A message of samples that waits its turn. */
typedef struct queued {
    struct queued *next;
    hb_buffer bytes;
} queued;

typedef struct member {
    hb_team *team;
    const hb_run_settings *settings;
    const hb_score_options *options;
    size_t n_signals;
    hb_scores *columns; /* the run's scores; NULL until the leader has sent their names */
    queued *first, **last;
    hb_buffer current; /* the message that is being read */
    hb_unpacker in;
    uint32_t n_left;    /* samples left in it */
    hb_unpacked sample; /* the last one that was read */
    hb_writer out;      /* finished samples, and how many */
    uint32_t n_out;
    bool ended, abandoned; /* the leader has ended the work; because it failed */
} member;

/* ---- Messages ------------------------------------------------------------------------------------ */

/* Sends a head and what follows it. */
static hb_status send_parts(member *m, hb_message_kind kind, uint32_t count, const hb_writer *body,
                            hb_error *err)
{
    const hb_message_head head = {(uint32_t)kind, count};
    hb_writer out = {0};
    hb_pack(&out, &head, sizeof head);
    if (body) hb_pack(&out, body->text.data, body->text.length);
    if (!out.failed && !(body && body->failed))
        return m->team->ops->send(m->team, HB_LEADER, HB_BOX_LEADER, &out.text, err);
    hb_buffer_free(&out.text);
    return hb_fail_memory(err);
}

static hb_status take_plan(member *m, hb_unpacker *in, uint32_t n, hb_error *err)
{
    const char **names = n <= in->left ? calloc((size_t)n + 1, sizeof *names) : NULL;
    if (!names) return hb_fail_memory(err);
    for (uint32_t i = 0; i < n; i++) names[i] = hb_unpack_text(in);
    hb_status status = hb_unpack_status(in, err);
    if (!status) status = hb_scores_of_names(names, n, &m->columns, err);
    free(names);
    return status;
}

static hb_status enqueue(member *m, hb_buffer *bytes, hb_error *err)
{
    queued *q = malloc(sizeof *q);
    if (!q) return hb_fail_memory(err);
    *q = (queued){.bytes = *bytes};
    *bytes = (hb_buffer){0};
    *m->last = q;
    m->last = &q->next;
    return HB_OK;
}

static hb_status take_message(member *m, hb_buffer *bytes, hb_error *err)
{
    hb_message_head head;
    hb_unpacker in = hb_unpack_begin(bytes, &head);
    if (head.kind == HB_MESSAGE_PLAN && !m->columns) return take_plan(m, &in, head.count, err);
    if (head.kind == HB_MESSAGE_WORK) return enqueue(m, bytes, err);
    m->ended = true;
    m->abandoned = head.kind != HB_MESSAGE_END || head.count;
    return HB_OK;
}

/* Takes the messages that are there; waits up to `seconds` for the first one. */
static hb_status fetch(member *m, double seconds, hb_error *err)
{
    bool found = true;
    hb_status status = HB_OK;
    while (!status && found && !m->ended) {
        hb_parcel parcel = {0};
        status = m->team->ops->receive(m->team, HB_BOX_MEMBER, seconds, &parcel, &found, err);
        if (!status && found) status = take_message(m, &parcel.bytes, err);
        hb_buffer_free(&parcel.bytes);
        seconds = 0;
    }
    if (!status && m->abandoned) return hb_fail(err, HB_ERR_CANCELLED, "rank 0 ended the job");
    return status;
}

/* ---- The exchange -------------------------------------------------------------------------------- */

static bool is_cancelled(const member *m)
{
    return m->options->cancelled && m->options->cancelled(m->options->user);
}

/* Sends what has finished, and takes messages. */
static hb_status settle(void *user, hb_error *err)
{
    member *m = user;
    hb_status status = HB_OK;
    if (m->n_out) status = send_parts(m, HB_MESSAGE_ROWS, m->n_out, &m->out, err);
    hb_buffer_clear(&m->out.text);
    m->n_out = 0;
    return status ? status : fetch(m, 0, err);
}

/* Opens the next message in the queue. False if there is none. */
static bool open_next(member *m)
{
    queued *q = m->first;
    hb_message_head head;
    hb_buffer_free(&m->current);
    if (!q) return false;
    m->first = q->next;
    if (!m->first) m->last = &m->first;
    m->current = q->bytes;
    free(q);
    m->in = hb_unpack_begin(&m->current, &head);
    m->n_left = head.count;
    return true;
}

/* Waits until there is a sample, or the work has ended. */
static hb_status await(member *m, hb_error *err)
{
    hb_status status = settle(m, err);
    while (!status && !m->first && !m->ended) {
        if (is_cancelled(m)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = fetch(m, TICK, err);
    }
    return status;
}

static hb_status next(void *user, bool wait, hb_sample *sample, hb_supply *supply, hb_error *err)
{
    member *m = user;
    hb_unpacked_free(&m->sample);
    if (!m->n_left && !m->first && wait) {
        hb_status status = await(m, err);
        if (status) return status;
    }
    while (!m->n_left && open_next(m)) {
    }
    *supply = m->ended ? HB_SUPPLY_END : HB_SUPPLY_LATER;
    if (!m->n_left) return HB_OK;
    *supply = HB_SUPPLY_SAMPLE;
    m->n_left--;
    hb_unpack_sample(&m->in, &m->sample);
    *sample = m->sample.sample;
    return hb_unpack_status(&m->in, err);
}

static hb_status keep(void *user, const hb_finished *finished, hb_error *err)
{
    member *m = user;
    hb_pack_finished(&m->out, finished, m->columns, m->n_signals);
    m->n_out++;
    return m->out.failed ? hb_fail_memory(err) : HB_OK;
}

/* ---- From hello to done -------------------------------------------------------------------------- */

static hb_status say_hello(member *m, hb_session *session, hb_error *err)
{
    char sha256[65];
    hb_writer hello = {0}, identity = {0};
    hb_status status = hb_model_sha256(hb_session_model(session), sha256, err);
    if (status) return status;
    hb_write_identity(&identity, m->settings, sha256);
    hb_pack_text(&hello, m->team->host);
    if (!identity.failed) hb_pack_text(&hello, identity.text.data);
    hello.failed = hello.failed || identity.failed;
    status = send_parts(m, HB_MESSAGE_HELLO, (uint32_t)hb_session_n_sequences(session) + MOST_WAITING,
                        &hello, err);
    hb_buffer_free(&identity.text);
    hb_buffer_free(&hello.text);
    while (!status && !m->columns && !m->ended) {
        if (is_cancelled(m)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = fetch(m, TICK, err);
    }
    return status;
}

static hb_status evaluate(member *m, hb_session *session, hb_error *err)
{
    const hb_exchange exchange = {m, next, keep, settle, NULL};
    hb_score_work work;
    hb_writer done = {0};
    size_t place;
    hb_status status = say_hello(m, session, err);
    if (status) return status;
    bool has_p_yes = m->columns && hb_scores_find(m->columns, HB_SCORE_P_YES, &place);
    status = hb_score_exchange(session, &exchange, m->settings, has_p_yes, m->options, &work, err);
    hb_pack(&done, &work, sizeof work);
    if (!status) status = settle(m, err);
    if (!status) status = send_parts(m, HB_MESSAGE_DONE, 0, &done, err);
    hb_buffer_free(&done.text);
    return status;
}

/* Tells the leader of a failure, and waits until it ends the work. */
static void give_up(member *m, const hb_error *why)
{
    hb_writer out = {0};
    hb_pack_text(&out, why->message);
    hb_status status = send_parts(m, HB_MESSAGE_FAILED, (uint32_t)why->status, &out, NULL);
    hb_buffer_free(&out.text);
    while (!status && !m->ended && !is_cancelled(m)) status = fetch(m, TICK, NULL);
}

static void close_member(member *m)
{
    while (open_next(m)) {
    }
    hb_unpacked_free(&m->sample);
    hb_buffer_free(&m->out.text);
    hb_scores_free(m->columns);
}

hb_status hb_score_join(hb_team *team, hb_session *session, const hb_run_settings *settings,
                        const hb_score_options *options, hb_error *err)
{
    const hb_score_options defaults = hb_score_defaults();
    if (!settings->signals) return hb_fail(err, HB_ERR_ARGUMENT, "the settings have no signals");
    member m = {.team = team,
                .settings = settings,
                .options = options ? options : &defaults,
                .n_signals = hb_signal_set_count(settings->signals)};
    hb_error why;
    m.last = &m.first;
    hb_status status = evaluate(&m, session, &why);
    if (status && !m.ended) give_up(&m, &why);
    close_member(&m);
    return status ? hb_fail(err, status, "%s", why.message) : HB_OK;
}
