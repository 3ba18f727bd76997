/* SPDX-License-Identifier: MIT */
/*
 * task: the one program that is run.
 */
#ifndef MONITOR_LINUX_TASK_H
#define MONITOR_LINUX_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "linux/frame.h"
#include "linux/linux.h"
#include "linux/memory.h"
#include "polder/polder.h"

/* struct sigaction as the kernel has it. */
struct signal_action {
    uint64_t handler, flags, restorer, mask;
};

struct task {
    int mm_fd;
    struct polder_params params;
    struct memory memory;

    /* The XSAVE area of params, and what of it is the program's. */
    void *xstate;
    struct frame_xstate xstate_parts;

    struct signal_action action[65]; /* by number */
    uint64_t mask;                   /* bit sig - 1 */
    struct signal_stack alt_stack;
    uint64_t fault_err, fault_trapno, fault_addr; /* of the last fault, for the frame */

    char *exe;     /* what /proc/self/exe is to the program */
    int report_fd; /* the standard error that the monitor was started with, or -1 */
    uint64_t vdso; /* where the program may find the vDSO, 0 for nowhere */
    bool over;     /* it has exited, with this status */
    int exit_status;

    const struct linux_policy *policy; /* or NULL */
    const struct linux_hooks *hooks;   /* never NULL */
    void *opaque;
};

#endif
