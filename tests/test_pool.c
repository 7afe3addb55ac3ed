/* The thread pool, and the number of threads that a process can use. */
#include "check.h"
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/pool.h"

#define MAX_ITEMS   1000
#define MAX_THREADS 16

/* What a job records. */
typedef struct record {
    _Atomic int32_t done[MAX_ITEMS];
    _Atomic int32_t inside[MAX_THREADS];
    _Atomic int32_t overlaps; /* times that two items had the same thread number */
    _Atomic int64_t threads;  /* bit t: thread t did an item */
    int32_t sleep_ms;
} record;

static void work(const void *context, int32_t item, int32_t thread)
{
    record *r = (record *)(uintptr_t)context;
    if (atomic_fetch_add(&r->inside[thread], 1)) r->overlaps++;
    r->done[item]++;
    atomic_fetch_or(&r->threads, INT64_C(1) << thread);
    if (r->sleep_ms) nanosleep(&(struct timespec){.tv_nsec = r->sleep_ms * 1000000L}, NULL);
    atomic_fetch_sub(&r->inside[thread], 1);
}

static hb_pool *open_pool(int32_t n_threads)
{
    hb_pool *pool;
    hb_error err;
    assert_int_equal(hb_pool_open(&pool, n_threads, &err), HB_OK);
    return pool;
}

static void check_job(hb_pool *pool, record *r, int32_t n_items)
{
    memset(r, 0, sizeof *r);
    hb_pool_each(pool, n_items, work, r);
    for (int32_t i = 0; i < MAX_ITEMS; i++) assert_int_equal(r->done[i], i < n_items);
    assert_int_equal(r->overlaps, 0);
}

static void test_each_item_once(void **state)
{
    static const int32_t threads[] = {1, 2, 3, 16}, items[] = {0, 1, 2, 3, 15, 16, 17, MAX_ITEMS};
    record r;
    (void)state;
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        hb_pool *pool = open_pool(threads[t]);
        for (int round = 0; round < 300; round++)
            for (size_t i = 0; i < sizeof items / sizeof *items; i++) check_job(pool, &r, items[i]);
        hb_pool_close(pool);
    }
    check_job(NULL, &r, 17);
    assert_int_equal(r.threads, 1);
}

/* Sleeping threads wake up for the next job. */
static void test_sleepers_wake(void **state)
{
    hb_pool *pool = open_pool(4);
    record r;
    (void)state;
    for (int round = 0; round < 5; round++) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        memset(&r, 0, sizeof r);
        r.sleep_ms = 20;
        hb_pool_each(pool, 12, work, &r);
        assert_int_equal(r.threads, 15);
    }
    hb_pool_close(pool);
}

/* A pool without work uses no processor time. */
static void test_idle_pool_sleeps(void **state)
{
    hb_pool *pool = open_pool(4);
    record r;
    struct rusage before, after;
    (void)state;
    check_job(pool, &r, 100);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    getrusage(RUSAGE_SELF, &before);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    getrusage(RUSAGE_SELF, &after);
    long used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000L + after.ru_utime.tv_usec -
                before.ru_utime.tv_usec;
    assert_true(used < 100000);
    hb_pool_close(pool);
}

/* A system that refuses threads is an error that says how many it allows. */
static void test_refused_threads(void **state)
{
    (void)state;
    pid_t child = fork();
    if (!child) {
        hb_pool *pool = NULL;
        hb_error err = {0};
        if (!getuid() && setuid(65534)) _exit(2); /* the limit does not hold for root */
        setrlimit(RLIMIT_NPROC, &(struct rlimit){1, 1});
        hb_status status = hb_pool_open(&pool, 8, &err);
        _exit(status == HB_ERR_MEMORY && strstr(err.message, "of 8 threads") && !pool ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_affinity(void **state)
{
    cpu_set_t all, one;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_in_range(hb_usable_processors(), 1, CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(hb_usable_processors(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

/* ---- Quotas -------------------------------------------------------------------------------------- */

static char root[64];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        assert_true(!mkdir(path, 0700) || errno == EEXIST);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static double limit(double (*find)(const char *, const char *), const char *groups)
{
    char path[256];
    put("groups", groups);
    snprintf(path, sizeof path, "%s/groups", root);
    return find(path, root);
}

static double quota(const char *groups)
{
    return limit(hb_cpu_quota, groups);
}

static double memory(const char *groups)
{
    return limit(hb_memory_limit, groups);
}

static void make_root(void)
{
    snprintf(root, sizeof root, "/tmp/hbar-pool-XXXXXX");
    assert_non_null(mkdtemp(root));
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static void test_quotas(void **state)
{
    (void)state;
    make_root();
    put("job/cpu.max", "150000 100000\n");
    put("job/inner/cpu.max", "max 100000\n");
    put("free/cpu.max", "max 100000\n");
    put("cpu/docker/cpu.cfs_quota_us", "50000\n");
    put("cpu/docker/cpu.cfs_period_us", "100000\n");
    put("cpu/cpu.cfs_quota_us", "-1\n");
    put("cpu/cpu.cfs_period_us", "100000\n");
    put("odd/cpu.max", "nonsense\n");
    assert_float_equal(quota("0::/job\n"), 1.5, 0);
    assert_float_equal(quota("0::/job/inner\n"), 1.5, 0); /* of the group around it */
    assert_float_equal(quota("0::/free\n"), 0, 0);
    assert_float_equal(quota("0::/gone/inner\n"), 0, 0);
    assert_float_equal(quota("0::/odd\n"), 0, 0);
    assert_float_equal(quota("3:cpuset:/docker\n2:cpu,cpuacct:/docker\n0::/free\n"), 0.5, 0);
    assert_float_equal(quota("2:cpuacct:/docker\n"), 0, 0);
    assert_float_equal(quota("1:cpu:/elsewhere\n"), 0, 0);
    assert_float_equal(quota("no groups\n\n:::\n"), 0, 0);
    assert_float_equal(hb_cpu_quota("/nowhere", root), 0, 0);
    remove_root();
}

static void test_memory_limits(void **state)
{
    (void)state;
    make_root();
    put("job/memory.max", "2147483648\n");
    put("job/inner/memory.max", "max\n");
    put("free/memory.max", "max\n");
    put("memory/docker/memory.limit_in_bytes", "1048576\n");
    put("memory/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    put("odd/memory.max", "nonsense\n");
    assert_float_equal(memory("0::/job\n"), 0x1p31, 0);
    assert_float_equal(memory("0::/job/inner\n"), 0x1p31, 0); /* of the group around it */
    assert_float_equal(memory("0::/free\n"), 0, 0);
    assert_float_equal(memory("0::/odd\n"), 0, 0);
    assert_float_equal(memory("4:memory:/docker\n0::/free\n"), 0x1p20, 0);
    assert_float_equal(memory("4:memory:/elsewhere\n"), 0, 0);
    assert_float_equal(memory("4:cpu:/docker\n"), 0, 0);
    remove_root();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_item_once),   cmocka_unit_test(test_sleepers_wake),
        cmocka_unit_test(test_idle_pool_sleeps), cmocka_unit_test(test_refused_threads),
        cmocka_unit_test(test_affinity),         cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_memory_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
