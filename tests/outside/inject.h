/* SPDX-License-Identifier: MIT */
/*
 * Failures made to order: everything that the library asks of libc and of the kernel, and every allocation that its
 * parts make of each other, goes through a wrapper (-Wl,--wrap, the list is in module.mk), which counts, and fails when
 * it is told to. libc itself and the tests' own calls are not counted while nothing is planned.
 */
#ifndef TESTS_OUTSIDE_INJECT_H
#define TESTS_OUTSIDE_INJECT_H

#include <stdbool.h>
#include <stdint.h>

enum inject_kind {
    INJECT_RECORDS = 1,  /* record_alloc */
    INJECT_TABLES = 2,   /* table_alloc, tables_alloc_fixed */
    INJECT_FRAMES = 4,   /* frame_alloc, frame_alloc_block */
    INJECT_HOST = 8,     /* calls of libc, each with an errno that it has when something is used up */
    INJECT_EINTR = 16,   /* those of them that a signal can interrupt */
    INJECT_KVM_RUN = 32, /* ioctl(KVM_RUN), with inject.error, or, if that is 0, inject.exit_reason */
};

extern struct inject {
    unsigned kinds;
    long skip;        /* so many of these kinds succeed first */
    long strikes;     /* then so many fail */
    const char *only; /* the name of what alone can fail; NULL: all of these kinds. Taken back by inject_end */
    int error;        /* of INJECT_KVM_RUN: errno; 0: KVM_RUN seems to succeed with exit_reason */
    uint32_t exit_reason;
    /* What has happened. */
    long seen, struck;
    const char *last; /* the name of what failed last */
    char *told;       /* if not NULL: gets the name of what fails */
} inject;

/* This thread's calls only. */
void inject_begin(unsigned kinds, long skip, long strikes);
/* For more wrappers of INJECT_HOST: whether this one is to fail. */
bool inject_allocation(const char *name);
/* Whether anything failed. */
bool inject_end(void);

#endif
