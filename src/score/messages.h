/* The messages of a team that scores a dataset (leader.c, member.c). All its processes run the same
 * program on the same kind of machine, which their first message checks (hb_write_identity), so structs
 * travel as they are. What their pointers point to follows them. */
#ifndef HB_SCORE_MESSAGES_H
#define HB_SCORE_MESSAGES_H

#include "base/writer.h"
#include "score/exchange.h"

typedef enum hb_message_kind {
    /* To the leader. */
    HB_MESSAGE_HELLO,  /* count: the most samples to hold; then the machine's name and the identity */
    HB_MESSAGE_ROWS,   /* count: finished samples, which follow */
    HB_MESSAGE_DONE,   /* the member's hb_score_work */
    HB_MESSAGE_FAILED, /* count: the status; then the message */
    /* To a member. */
    HB_MESSAGE_PLAN, /* count: scores to report; then their names */
    HB_MESSAGE_WORK, /* count: samples, which follow */
    HB_MESSAGE_END   /* count: 0 when all is done, 1 when the leader failed */
} hb_message_kind;

typedef struct hb_message_head {
    uint32_t kind, count;
} hb_message_head;

void hb_pack(hb_writer *out, const void *bytes, size_t length);
void hb_pack_text(hb_writer *out, const char *text); /* not NULL */
void hb_pack_sample(hb_writer *out, const hb_sample *sample);
/* Packs the scores as values in the order of `columns`; NaN for those that are not there. */
void hb_pack_finished(hb_writer *out, const hb_finished *finished, const hb_scores *columns,
                      size_t n_signals);

/* Reads a message. After an error `broken` is true, and everything read is zero or NULL. */
typedef struct hb_unpacker {
    const char *at;
    size_t left;
    bool broken, no_memory;
} hb_unpacker;

hb_unpacker hb_unpack_begin(const hb_buffer *message, hb_message_head *head);
void hb_unpack(hb_unpacker *in, void *bytes, size_t length);
const char *hb_unpack_text(hb_unpacker *in);
/* Fails when the message was broken, or memory ran out. */
hb_status hb_unpack_status(const hb_unpacker *in, hb_error *err);

/* What was read of a message; its texts point into the message. */
typedef struct hb_unpacked {
    hb_sample sample;
    hb_finished finished;
    hb_run_tokens tokens;
    hb_run_features features;
    void *owned[HB_N_FEATURES + 5];
    size_t n_owned;
} hb_unpacked;

void hb_unpack_sample(hb_unpacker *in, hb_unpacked *out);
/* `columns` becomes the scores of the sample. */
void hb_unpack_finished(hb_unpacker *in, hb_scores *columns, size_t n_signals, hb_unpacked *out);
void hb_unpacked_free(hb_unpacked *unpacked);

/* Writes what all processes of a team must have in common: lines of a name and a value. */
void hb_write_identity(hb_writer *out, const hb_run_settings *settings, const char *model_sha256);
/* Fails with the first line that differs. `who` names the other process. */
hb_status hb_compare_identity(const char *ours, const char *theirs, const char *who, hb_error *err);

#endif
