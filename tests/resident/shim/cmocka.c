/* SPDX-License-Identifier: MIT */
/* The tests of a group one after the other, in TAP. */
#include "shim.h"
#include <polder/resident.h>

enum { PASSED, FAILED, SKIPPED };

static jmp_buf end_of_test;

void shim_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    printf("# %s:%d: ", file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    longjmp(end_of_test, FAILED);
}

void shim_skip(void)
{
    longjmp(end_of_test, SKIPPED);
}

void shim_compare(uint64_t a, uint64_t b, bool equal, const char *what, const char *file, int line)
{
    if ((a == b) != equal)
        shim_fail(file, line, "%s: %#lx, %#lx", what, a, b);
}

void shim_compare_memory(const void *a, const void *b, size_t size, const char *file, int line)
{
    const unsigned char *p = a, *q = b;

    for (size_t i = 0; i < size; i++)
        if (p[i] != q[i])
            shim_fail(file, line, "byte %zu of %zu is %#x, not %#x", i, size, p[i], q[i]);
}

void shim_compare_strings(const char *a, const char *b, const char *file, int line)
{
    if (strcmp(a, b) != 0)
        shim_fail(file, line, "\"%s\", not \"%s\"", a, b);
}

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count, void *setup, void *teardown)
{
    const char *only = getenv("only");
    volatile int failed = 0;

    (void)name;
    (void)setup;
    (void)teardown;
    printf("1..%zu\n", only ? (size_t)1 : count);
    for (volatile size_t i = 0; i < count; i++) {
        void *state = NULL;
        size_t length = strlen(tests[i].name);
        if (only && (strncmp(only, tests[i].name, length) != 0 || (only[length] && only[length] != ' ')))
            continue;
        volatile uint64_t began = polder_clock(0);
        switch (setjmp(end_of_test)) {
        case 0:
            if (tests[i].setup_func)
                tests[i].setup_func(&state);
            tests[i].test_func(&state);
            printf("ok %zu - %s\n", i + 1, tests[i].name);
            break;
        case SKIPPED:
            printf("ok %zu - %s # SKIP\n", i + 1, tests[i].name);
            break;
        default:
            printf("not ok %zu - %s\n", i + 1, tests[i].name);
            failed++;
        }
        uint64_t took = (polder_clock(0) - began) / 1000000;
        if (took > 2000)
            printf("# %s took %lu ms\n", tests[i].name, took);
    }
    return failed;
}
