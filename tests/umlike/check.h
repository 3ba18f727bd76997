/* SPDX-License-Identifier: MIT */
/* check.h - TAP for the programs of tests/umlike, which are ordinary Linux programs and pass natively, too. */
#ifndef TESTS_UMLIKE_CHECK_H
#define TESTS_UMLIKE_CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern bool test_failed;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("# %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);                                 \
            test_failed = true;                                                                                        \
        }                                                                                                              \
    } while (0)

struct test {
    const char *name;
    void (*function)(void);
};

/* Runs function in a child: its wait status. A child that gives up a CHECK exits with 1. */
int in_child(void (*function)(void));
/* The same, for functions that must end with exit status 0. */
#define CHECK_CHILD(function) CHECK(in_child(function) == 0)

/* How many rounds, of so many natively, are fit for this machine. */
unsigned scaled(unsigned rounds);

#endif
