/* A team of MPI processes. All calls are made under one lock, so MPI_THREAD_SERIALIZED suffices. No
 * call waits inside MPI, because MPI keeps a processor busy while it waits. */
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "team/team.h"

/* A message on its way, and its bytes, which MPI still reads. */
typedef struct sending {
    struct sending *next;
    MPI_Request request;
    char *bytes;
} sending;

typedef struct mpi_team {
    hb_team team; /* first member, so that a pointer to it points to this */
    pthread_mutex_t lock;
    sending *sent; /* the last one first */
} mpi_team;

/* Pauses between two looks for a message, in nanoseconds: from the first, doubled up to the last. */
#define FIRST_PAUSE 20000
#define LAST_PAUSE  2000000

static hb_status fail(int code, hb_error *err)
{
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) text[0] = '\0';
    return hb_fail(err, HB_ERR_IO, "MPI: %s", text);
}

/* Frees the messages that have left. The lock is held. */
static int free_sent(mpi_team *t)
{
    int code = MPI_SUCCESS;
    for (sending **at = &t->sent; *at && code == MPI_SUCCESS;) {
        sending *s = *at;
        int gone = 0;
        code = MPI_Test(&s->request, &gone, MPI_STATUS_IGNORE);
        if (gone) {
            *at = s->next;
            free(s->bytes);
            free(s);
        } else at = &s->next;
    }
    return code;
}

static hb_status send_message(hb_team *team, int32_t to, hb_box box, hb_buffer *bytes, hb_error *err)
{
    mpi_team *t = (mpi_team *)team;
    size_t length = bytes->length;
    sending *s = malloc(sizeof *s);
    if (!s || length > INT_MAX) {
        free(s);
        hb_buffer_free(bytes);
        return s ? hb_fail(err, HB_ERR_UNSUPPORTED, "MPI: a message of %zu bytes is too long", length)
                 : hb_fail_memory(err);
    }
    *s = (sending){.bytes = bytes->data};
    *bytes = (hb_buffer){0};
    pthread_mutex_lock(&t->lock);
    int code = MPI_Isend(s->bytes, (int)length, MPI_BYTE, to, (int)box, MPI_COMM_WORLD, &s->request);
    if (code == MPI_SUCCESS) {
        s->next = t->sent;
        t->sent = s;
        code = free_sent(t);
    } else {
        free(s->bytes);
        free(s);
    }
    pthread_mutex_unlock(&t->lock);
    return code == MPI_SUCCESS ? HB_OK : fail(code, err);
}

/* Waits for the rest of a message whose beginning is there. */
static int wait_for(mpi_team *t, MPI_Request *request)
{
    const struct timespec pause = {.tv_nsec = FIRST_PAUSE};
    int code, done;
    for (;;) {
        pthread_mutex_lock(&t->lock);
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        pthread_mutex_unlock(&t->lock);
        if (code != MPI_SUCCESS || done) return code;
        nanosleep(&pause, NULL);
    }
}

/* Looks for a message, and begins to receive it. */
static int begin_receiving(mpi_team *t, hb_box box, hb_parcel *parcel, MPI_Request *request,
                           bool *found)
{
    MPI_Message handle;
    MPI_Status about;
    int there, n = 0;
    int code = free_sent(t);
    if (code == MPI_SUCCESS)
        code = MPI_Improbe(MPI_ANY_SOURCE, (int)box, MPI_COMM_WORLD, &there, &handle, &about);
    *found = code == MPI_SUCCESS && there;
    if (!*found) return code;
    code = MPI_Get_count(&about, MPI_BYTE, &n);
    if (code != MPI_SUCCESS) return code;
    char *bytes = malloc((size_t)n + 1);
    if (!bytes) return MPI_ERR_NO_MEM;
    bytes[n] = '\0';
    parcel->from = about.MPI_SOURCE;
    parcel->bytes = (hb_buffer){.data = bytes, .length = (size_t)n, .capacity = (size_t)n + 1};
    return MPI_Imrecv(bytes, n, MPI_BYTE, &handle, request);
}

static hb_status look(mpi_team *t, hb_box box, hb_parcel *parcel, bool *found, hb_error *err)
{
    MPI_Request request;
    *parcel = (hb_parcel){0};
    pthread_mutex_lock(&t->lock);
    int code = begin_receiving(t, box, parcel, &request, found);
    pthread_mutex_unlock(&t->lock);
    if (code == MPI_SUCCESS && *found) code = wait_for(t, &request);
    if (code == MPI_SUCCESS) return HB_OK;
    hb_buffer_free(&parcel->bytes);
    return code == MPI_ERR_NO_MEM ? hb_fail_memory(err) : fail(code, err);
}

static hb_status receive_message(hb_team *team, hb_box box, double seconds, hb_parcel *parcel,
                                 bool *found, hb_error *err)
{
    mpi_team *t = (mpi_team *)team;
    double end = seconds > 0 ? hb_seconds() + seconds : 0;
    struct timespec pause = {.tv_nsec = FIRST_PAUSE};
    for (;;) {
        hb_status status = look(t, box, parcel, found, err);
        if (status || *found || seconds <= 0 || hb_seconds() >= end) return status;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < LAST_PAUSE) pause.tv_nsec *= 2;
    }
}

static void close_team(hb_team *team)
{
    mpi_team *t = (mpi_team *)team;
    const struct timespec pause = {.tv_nsec = LAST_PAUSE};
    while (t->sent && free_sent(t) == MPI_SUCCESS && t->sent) nanosleep(&pause, NULL);
    MPI_Finalize();
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void abort_team(hb_team *team, int code)
{
    (void)team;
    MPI_Abort(MPI_COMM_WORLD, code);
}

/* Counts the processes on this machine. */
static int count_local(int32_t *n)
{
    MPI_Comm local;
    int size = 1;
    int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
    if (code == MPI_SUCCESS) code = MPI_Comm_size(local, &size);
    if (code == MPI_SUCCESS) code = MPI_Comm_free(&local);
    *n = size;
    return code;
}

hb_status hb_team_open_mpi(hb_team **team, hb_error *err)
{
    static const hb_team_ops ops = {send_message, receive_message, close_team, abort_team};
    int threads, rank, size;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &threads);
    if (code != MPI_SUCCESS) return fail(code, err);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (threads < MPI_THREAD_SERIALIZED)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "MPI: this library does not allow calls by threads");
    code = MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (code == MPI_SUCCESS) code = MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (code != MPI_SUCCESS) return fail(code, err);
    if (size == 1) {
        MPI_Finalize();
        return HB_OK;
    }
    mpi_team *t = calloc(1, sizeof *t);
    if (!t) return hb_fail_memory(err);
    t->team = (hb_team){.ops = &ops, .rank = rank, .size = size};
    if (gethostname(t->team.host, sizeof t->team.host)) t->team.host[0] = '\0';
    t->team.host[sizeof t->team.host - 1] = '\0';
    code = count_local(&t->team.n_local);
    if (code != MPI_SUCCESS) {
        free(t);
        return fail(code, err);
    }
    pthread_mutex_init(&t->lock, NULL);
    *team = &t->team;
    return HB_OK;
}
