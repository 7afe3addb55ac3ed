/* A team: the processes that score one dataset together. They exchange messages of bytes. Behind this
 * boundary is MPI (mpi.c), or what a test puts there. */
#ifndef HB_TEAM_TEAM_H
#define HB_TEAM_TEAM_H

#include "base/buffer.h"
#include "base/error.h"

#define HB_LEADER 0 /* the rank that leads */

/* Each process has two boxes for messages, which two of its threads read. */
typedef enum hb_box { HB_BOX_LEADER, HB_BOX_MEMBER, HB_N_BOXES } hb_box;

/* A message that arrived; release its bytes with hb_buffer_free. */
typedef struct hb_parcel {
    int32_t from;
    hb_buffer bytes;
} hb_parcel;

typedef struct hb_team_ops {
    /* Sends a message to a box of a process, this one included, without waiting for it to arrive. Takes
     * over the bytes, also on failure, and leaves the buffer empty. Messages from one process to one
     * box arrive in their order. */
    hb_status (*send)(hb_team *team, int32_t to, hb_box box, hb_buffer *bytes, hb_error *err);
    /* Waits up to `seconds` for a message to this process. Any call also moves sent messages on. */
    hb_status (*receive)(hb_team *team, hb_box box, double seconds, hb_parcel *parcel, bool *found,
                         hb_error *err);
    /* Waits until all processes of the team do the same, and frees the team. */
    void (*close)(hb_team *team);
    /* Ends all processes of the team at once. Does not return. */
    void (*abort)(hb_team *team, int code);
} hb_team_ops;

struct hb_team {
    const hb_team_ops *ops;
    int32_t rank, size;
    int32_t n_local; /* processes of the team on this machine */
    char host[64];   /* the machine's name */
};

#ifdef HB_HAVE_MPI
/* Joins the processes that MPI knows. *team is NULL if this process is the only one (mpi.c). */
hb_status hb_team_open_mpi(hb_team **team, hb_error *err);
#endif

#endif
