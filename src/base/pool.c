#include "base/pool.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/error.h"
#include "base/thread.h"

#define CACHE_LINE 64

/* How often a thread looks for work, or for the end of a job, before it sleeps: some 20 microseconds.
 * Within a forward pass the next job follows sooner. */
#define SPINS 1000

/* The parts of hb_pool.state. */
#define INSIDE UINT64_C(0xffff)    /* number of workers that take items of the job */
#define OPEN   (UINT64_C(1) << 16) /* workers may still join the job */
#define STOP   (UINT64_C(1) << 17) /* workers shall end */
#define NUMBER 32                  /* from this bit on: the number of the job */

/* The items from `next` on that nobody has taken, of one thread's share. */
typedef struct share {
    alignas(CACHE_LINE) _Atomic int32_t next;
} share;

struct hb_pool {
    hb_pool_work *work;
    const void *context;
    int32_t n_items;

    int32_t n_workers;
    pthread_t *workers;
    struct start *starts; /* [n_workers] */
    share *shares;        /* [n_workers + 1] */

    alignas(CACHE_LINE) _Atomic uint64_t state;

    alignas(CACHE_LINE) pthread_mutex_t lock; /* for the two conditions */
    pthread_cond_t posted, left;
    _Atomic int32_t n_asleep; /* workers that wait for `posted` */
    _Atomic bool caller_asleep;
};

/* The argument of a worker's thread. */
struct start {
    hb_pool *pool;
    int32_t thread;
};

static void pause_briefly(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* The first item of a thread's share. Shares are equal and in the order of the threads. */
static int32_t first_of(const hb_pool *p, int32_t thread)
{
    return (int32_t)((int64_t)p->n_items * thread / (p->n_workers + 1));
}

/* Takes the items of the thread's own share, then what is left of the others'. In one job after the
 * other a thread thus meets the same rows, which its caches still hold. */
static void take_items(hb_pool *p, int32_t thread)
{
    int32_t n = p->n_workers + 1, item;
    for (int32_t k = 0; k < n; k++) {
        int32_t owner = (thread + k) % n, end = first_of(p, owner + 1);
        _Atomic int32_t *next = &p->shares[owner].next;
        while ((item = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) < end)
            p->work(p->context, item, thread);
    }
}

/* ---- Workers ------------------------------------------------------------------------------------- */

static bool is_new(const hb_pool *p, uint64_t seen, uint64_t *state)
{
    *state = atomic_load(&p->state);
    return *state >> NUMBER != seen;
}

/* Waits for a job whose number is not `seen` and returns the pool's state. */
static uint64_t wait_for_job(hb_pool *p, uint64_t seen)
{
    uint64_t state;
    for (int i = 0; i < SPINS; i++) {
        if (is_new(p, seen, &state)) return state;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->n_asleep, 1);
    while (!is_new(p, seen, &state)) pthread_cond_wait(&p->posted, &p->lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return state;
}

/* Joins the job of this state; false when it is closed. */
static bool join_job(hb_pool *p, uint64_t state)
{
    uint64_t number = state >> NUMBER;
    while (state >> NUMBER == number && state & OPEN)
        if (atomic_compare_exchange_weak(&p->state, &state, state + 1)) return true;
    return false;
}

static void leave_job(hb_pool *p)
{
    uint64_t before = atomic_fetch_sub(&p->state, 1);
    if (before & OPEN || (before & INSIDE) > 1 || !atomic_load(&p->caller_asleep)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->left);
    pthread_mutex_unlock(&p->lock);
}

static void *run_worker(void *argument)
{
    const struct start *start = argument;
    hb_pool *p = start->pool;
    for (uint64_t seen = 0;;) {
        uint64_t state = wait_for_job(p, seen);
        if (state & STOP) return NULL;
        seen = state >> NUMBER;
        if (!join_job(p, state)) continue;
        take_items(p, start->thread);
        leave_job(p);
    }
}

/* ---- The caller ---------------------------------------------------------------------------------- */

/* Makes the next number public, with these bits, and wakes the workers. */
static void post(hb_pool *p, uint64_t bits)
{
    uint64_t number = (atomic_load(&p->state) >> NUMBER) + 1;
    atomic_store(&p->state, number << NUMBER | bits);
    if (!atomic_load(&p->n_asleep)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->posted);
    pthread_mutex_unlock(&p->lock);
}

static bool all_left(const hb_pool *p)
{
    return !(atomic_load(&p->state) & INSIDE);
}

/* Closes the job, whose items are all taken, and waits for those who still work on one. */
static void close_job(hb_pool *p)
{
    atomic_fetch_and(&p->state, ~OPEN);
    for (int i = 0; i < SPINS; i++) {
        if (all_left(p)) return;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_asleep, true);
    while (!all_left(p)) pthread_cond_wait(&p->left, &p->lock);
    atomic_store(&p->caller_asleep, false);
    pthread_mutex_unlock(&p->lock);
}

void hb_pool_each(hb_pool *p, int32_t n_items, hb_pool_work *work, const void *context)
{
    if (!p || !p->n_workers || n_items < 2) {
        for (int32_t i = 0; i < n_items; i++) work(context, i, 0);
        return;
    }
    p->work = work;
    p->context = context;
    p->n_items = n_items;
    for (int32_t t = 0; t <= p->n_workers; t++)
        atomic_store_explicit(&p->shares[t].next, first_of(p, t), memory_order_relaxed);
    post(p, OPEN);
    take_items(p, 0);
    close_job(p);
}

/* ---- Opening and closing ------------------------------------------------------------------------- */

static void release(hb_pool *p)
{
    pthread_cond_destroy(&p->left);
    pthread_cond_destroy(&p->posted);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p->starts);
    free(p->shares);
    free(p);
}

void hb_pool_close(hb_pool *p)
{
    if (!p) return;
    post(p, STOP);
    for (int32_t i = 0; i < p->n_workers; i++) pthread_join(p->workers[i], NULL);
    release(p);
}

static hb_pool *allocate(int32_t n_workers)
{
    hb_pool *p = aligned_alloc(CACHE_LINE, sizeof *p);
    if (!p) return NULL;
    *p = (hb_pool){.workers = calloc((size_t)n_workers + 1, sizeof *p->workers),
                   .starts = calloc((size_t)n_workers + 1, sizeof *p->starts),
                   .shares = aligned_alloc(CACHE_LINE, ((size_t)n_workers + 1) * sizeof *p->shares)};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->posted, NULL);
    pthread_cond_init(&p->left, NULL);
    if (p->workers && p->starts && p->shares) return p;
    release(p);
    return NULL;
}

/* Starts workers up to n. Returns false when the system refuses one. */
static bool start_workers(hb_pool *p, int32_t n)
{
    bool ok = true;
    while (ok && p->n_workers < n) {
        struct start *start = &p->starts[p->n_workers];
        *start = (struct start){p, p->n_workers + 1};
        ok = hb_thread_start(&p->workers[p->n_workers], run_worker, start);
        p->n_workers += ok;
    }
    return ok;
}

hb_status hb_pool_open(hb_pool **pool, int32_t n_threads, hb_error *err)
{
    hb_pool *p = allocate(n_threads - 1);
    if (!p) return hb_fail_memory(err);
    if (start_workers(p, n_threads - 1)) {
        *pool = p;
        return HB_OK;
    }
    int32_t started = p->n_workers + 1;
    hb_pool_close(p);
    return hb_fail(err, HB_ERR_MEMORY, "the system allows %d of %d threads; use fewer threads", started,
                   n_threads);
}
