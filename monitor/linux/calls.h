/* SPDX-License-Identifier: MIT */
/*
 * calls: which system calls the personality carries out itself, and which proceed on the host.
 */
#ifndef MONITOR_LINUX_CALLS_H
#define MONITOR_LINUX_CALLS_H

#include "linux/task.h"

enum calls_outcome {
    CALLS_RESULT,   /* *result is for rax */
    CALLS_REPLACED, /* the registers are already those to go on with: execve, rt_sigreturn */
    CALLS_AGAIN,    /* a signal came first: to be made again after its handler */
    CALLS_OVER,     /* the program has exited */
};

enum calls_outcome calls_perform(struct task *task, const struct linux_call *call, long *result);

#endif
