/* SPDX-License-Identifier: MIT */
/* The filter of system calls. */
#include "confine/confine.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/message.h"
#include "confine/placeholder.h"
#include "confine_filters.h"

#define LENGTH(code) (sizeof(code) / sizeof((code)[0]))

const struct confine_filter confine_boot_filter = {boot_code, LENGTH(boot_code), boot_calls};
const struct confine_filter confine_program_filter = {program_code, LENGTH(program_code), program_calls};

bool confine_has_seccomp(void)
{
    unsigned action = SECCOMP_RET_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool confine_privileges(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || confine_failed("no_new_privs", errno);
}

bool confine_calls(const struct confine_filter *filter)
{
    struct sock_filter code[BPF_MAXINSNS];
    memcpy(code, filter->code, filter->length * sizeof code[0]);
    for (unsigned i = 0; i < filter->length; i++)
        if (BPF_CLASS(code[i].code) == BPF_JMP && code[i].k == CONFINE_PID)
            code[i].k = (unsigned)getpid();
    struct sock_fprog program = {.len = filter->length, .filter = code};
    long error = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    /* Above 0 it is a thread that has a filter of its own. */
    return error == 0 || confine_failed("the filter of system calls", error < 0 ? errno : EBUSY);
}
