/* What the machine offers, and how speed is measured. */
#include "check.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/pool.h"

static void test_machine(void **state)
{
    (void)state;
    hb_error err;
    hb_machine m;
    assert_ok(hb_machine_describe(&m, &err));
    assert_true(m.kernels && *m.kernels);
    assert_int_equal(m.n_threads, hb_usable_processors());
    assert_in_range(m.n_allowed, m.n_threads, 1 << 20);
    assert_true(m.memory > (1 << 20) && m.memory_free > 0 && m.memory_free <= m.memory);
    setenv("HBAR_KERNELS", "portable", 1);
    assert_ok(hb_machine_describe(&m, &err));
    assert_string_equal(m.kernels, "portable");
    setenv("HBAR_KERNELS", "abacus", 1);
    assert_fails(hb_machine_describe(&m, &err), HB_ERR_ARGUMENT, "abacus");
    unsetenv("HBAR_KERNELS");
}

static void test_reading(void **state)
{
    (void)state;
    hb_error err;
    double speed;
    assert_ok(hb_measure_reading(2, 1e-6, &speed, &err));
    assert_true(speed > 0 && isfinite(speed));
    assert_fails(hb_measure_reading(-1, 1, &speed, &err), HB_ERR_ARGUMENT, "threads");
    assert_fails(hb_measure_reading(1, NAN, &speed, &err), HB_ERR_ARGUMENT, "seconds");
}

/* Where a limit forbids the usual size, less memory is read; where it forbids the least, memory is
 * missing. */
static void test_reading_with_little_memory(void **state)
{
    (void)state;
    if (UNDER_CHECKER) skip_because("the checker needs the address space that this test takes away");
    static const struct {
        rlim_t bytes;
        hb_status status;
    } limits[] = {{(rlim_t)300 << 20, HB_OK}, {(rlim_t)16 << 20, HB_ERR_MEMORY}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        pid_t child = fork();
        if (child == 0) {
            const struct rlimit little = {limits[i].bytes, limits[i].bytes};
            double speed;
            hb_error err;
            bool ok = setrlimit(RLIMIT_AS, &little) == 0 &&
                      hb_measure_reading(1, 1e-6, &speed, &err) == limits[i].status;
            _exit(ok ? 0 : 1);
        }
        int status = -1;
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

/* Whatever the session's shape, all speeds are known, and the session is empty afterwards. */
static void test_speed(void **state)
{
    (void)state;
    static const hb_session_options shapes[] = {
        {.n_threads = 1}, {.n_threads = 2, .n_sequences = 8, .n_positions = 512}, {.n_ctx = 64}};
    hb_error err;
    hb_model *model;
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        hb_session *session;
        hb_speed s;
        assert_ok(hb_session_open(model, &shapes[i], &session, &err));
        assert_ok(hb_measure_speed(session, 0.05, &s, &err));
        assert_true(s.prefill > 0 && isfinite(s.prefill));
        assert_true(s.decode > 0 && isfinite(s.decode));
        assert_true(s.together > 0 && isfinite(s.together));
        assert_true(s.measuring >= 0 && isfinite(s.measuring) && s.seconds > 0);
        assert_in_range(s.n_prefill, 8, 512);
        assert_in_range(s.n_together, 1, i == 1 ? 8 : 1);
        assert_int_equal(hb_session_n_past(session), 0);
        assert_fails(hb_measure_speed(session, 0, &s, &err), HB_ERR_ARGUMENT, "seconds");
        hb_session_close(session);
    }
    hb_model_close(model);
}

static void test_estimate(void **state)
{
    (void)state;
    const hb_speed s = {.prefill = 100, .decode = 5, .together = 50, .measuring = 0.01};
    assert_near(hb_score_seconds(&s, 10, 200, 30), 10 * (2 + 30 * 0.03), 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_machine), cmocka_unit_test(test_reading),
                                       cmocka_unit_test(test_reading_with_little_memory),
                                       cmocka_unit_test(test_speed), cmocka_unit_test(test_estimate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
