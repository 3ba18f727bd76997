/* SPDX-License-Identifier: MIT */
/*
 * policy: which system calls a program may make. The personality asks before it does anything about a call, its own
 * share of the calls included, and goes on asking after execve.
 */
#ifndef MONITOR_LINUX_POLICY_H
#define MONITOR_LINUX_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "linux/strace.h"

struct linux_policy {
    bool restricts; /* there is an `allow` */
    struct strace_filter allow, deny;
};

/* What --allow and --deny take: names and %classes as in -e. What is given twice adds up. NULL, or the name that is
 * none. */
const char *policy_allow(struct linux_policy *policy, const char *names);
const char *policy_deny(struct linux_policy *policy, const char *names);

/* The name of a call that is spelt nearly like that, or NULL. */
const char *policy_nearest(const char *name);

/* exit, exit_group and rt_sigreturn never: without them a program could not even end. policy may be NULL. */
bool policy_denies(const struct linux_policy *policy, uint64_t number);

/* Something that the vDSO tells without a system call is denied. */
bool policy_denies_vdso(const struct linux_policy *policy);

#endif
