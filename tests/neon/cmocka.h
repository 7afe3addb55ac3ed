/* The few of cmocka's words that test_kernels.c uses, for a program that is compiled for another
 * processor, for which the library is not installed. A failure ends the program. */
#ifndef HB_TESTS_NEON_CMOCKA_H
#define HB_TESTS_NEON_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(function)                                                                     \
    {                                                                                                  \
#function, function                                                                            \
    }

#define print_message(...) printf(__VA_ARGS__)
#define fail_msg(...)                                                                                  \
    do {                                                                                               \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                \
        fprintf(stderr, __VA_ARGS__);                                                                  \
        fprintf(stderr, "\n");                                                                         \
        exit(1);                                                                                       \
    } while (0)
#define skip() fail_msg("nothing to skip to")
#define assert_true(condition)                                                                         \
    do {                                                                                               \
        if (!(condition)) fail_msg("not so: %s", #condition);                                          \
    } while (0)
#define assert_null(pointer)         assert_true((pointer) == NULL)
#define assert_non_null(pointer)     assert_true((pointer) != NULL)
#define assert_int_equal(a, b)       assert_true((a) == (b))
#define assert_ptr_equal(a, b)       assert_true((a) == (b))
#define assert_string_equal(a, b)    assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)

#define cmocka_run_group_tests(tests, setup, teardown) run_tests(tests, sizeof(tests) / sizeof *(tests))

static inline int run_tests(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tests[i].run(NULL);
        printf("passed: %s\n", tests[i].name);
    }
    return 0;
}

#endif
