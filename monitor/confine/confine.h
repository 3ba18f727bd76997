/* SPDX-License-Identifier: MIT */
/*
 * confine: what a command of the polder program gives up before it lets its guest run. Each step is one-way and tells
 * on standard error why it cannot be done. docs/man/polder.1, CONFINEMENT, is the list for users.
 */
#ifndef MONITOR_CONFINE_CONFINE_H
#define MONITOR_CONFINE_CONFINE_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

/* What --no-confine and --core said. */
struct confine {
    bool off;
    bool core; /* keep the limit on core files, and what is in them, as without polder */
};

/* A child of a command's own argp; its input is the struct confine. */
extern const struct argp confine_argp;

/* The system calls that are left, see generate.c. */
struct confine_filter {
    const void *code; /* struct sock_filter */
    unsigned short length;
    unsigned calls; /* how many are allowed, if only with some arguments */
};
extern const struct confine_filter confine_boot_filter;    /* no file can be opened, no thread or process made */
extern const struct confine_filter confine_program_filter; /* what the calls of a program need, and no more */

/* The next program that this process might execute gains nothing by it. A filter needs this, and Landlock. */
bool confine_privileges(void);

/* Landlock, as much as the kernel has: no file can be opened, no port bound or connected to, nobody outside signalled.
 * Only for the calling thread and those that it makes. True also where there is no Landlock. */
bool confine_files(void);
/* Landlock's version here, 0 for none. */
int confine_landlock_abi(void);

/* Closes every descriptor above 2 that is not among these, which are put in order. */
bool confine_descriptors(int *keep, size_t count);

/* No core file. `for_good`: the limit can be lifted no more; else the hard limit stays as it is. */
bool confine_core(bool for_good);

/* For all threads. A call that is not in it ends the process, by SIGSYS. */
bool confine_calls(const struct confine_filter *filter);
bool confine_has_seccomp(void);

/* Says that the confinement is off: what of it there would have been. */
void confine_tell_off(const struct confine_filter *filter, const char *others);

#endif
