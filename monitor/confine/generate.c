/* SPDX-License-Identifier: MIT */
/*
 * generate: makes the filters of system calls, at build time: with libseccomp, as C. At run time it would take a fifth
 * of the time that `polder run true` takes; what is made here is loaded by one system call.
 *
 * An allow list each, and every other call is the end of the process: none is made by what is in this tree, so whoever
 * makes one is not what is in this tree.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "confine/placeholder.h"
#include "proceed/calls.h"

/* ---------------------------------------------------------------- polder boot */

/* Memory, threads that are there, descriptors that are open, time, and the end. */
static const int boot_calls[] = {
    SYS_read, /* console, signalfd, eventfd */
    SYS_write,
    SYS_pread64, /* HC_EXITS: the statistics */
    SYS_close,
    SYS_fstat, /* has a file been cut? */
    SYS_poll,
    SYS_ppoll,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_sched_yield,
    SYS_getpid,
    SYS_gettid,
    SYS_getpgrp, /* is the terminal this job's? */
    SYS_getrandom,
    SYS_clock_gettime, /* these where the vDSO cannot tell the time */
    SYS_gettimeofday,
    SYS_time,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_restart_syscall, /* a poll that a stop and SIGCONT interrupted */
    SYS_exit,
    SYS_exit_group,
};

/* The one that is made most often, first. */
static const unsigned long boot_requests[] = {
    KVM_RUN, KVM_GET_LAPIC, KVM_GET_VCPU_EVENTS, KVM_GET_MSRS, KVM_SET_MSRS, KVM_SET_LAPIC, KVM_SIGNAL_MSI,
    KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XSAVE2, KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS,
    KVM_GET_STATS_FD, KVM_SET_USER_MEMORY_REGION,
    TCGETS,                                /* the terminal's mode, and back; libc's of 2.42 uses the newer two */
    TCSETSW, TCGETS2, TCSETSW2, TIOCGPGRP, /* see SYS_getpgrp */
};

/* ---------------------------------------------------------------- polder run and trace */

/* What the personality and the library need beyond what they carry for the program. */
static const int program_calls[] = {
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_madvise,
    SYS_msync,
    SYS_mincore,
    SYS_mlock,
    SYS_mlock2,
    SYS_munlock,
    SYS_brk,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
};

/* ---------------------------------------------------------------- built with a sanitizer */

/* A sanitizer's run-time needs these to keep its books, and to make a report with names. A test cannot tell the
 * difference between such a build and an ordinary one by other calls. */
#ifdef __SANITIZE_ADDRESS__
static const int sanitizer_calls[] = {SYS_sigaltstack, SYS_open, SYS_openat, SYS_readlink, SYS_newfstatat, SYS_lseek,
    SYS_getcwd, SYS_sysinfo, SYS_prlimit64, SYS_sched_getaffinity};
#endif

/* ---------------------------------------------------------------- making them */

static unsigned count; /* of calls that are allowed */

static void check(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(-error));
    exit(1);
}

static void allow(scmp_filter_ctx filter, int number)
{
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), "seccomp_rule_add");
    count++;
}

static void allow_all(scmp_filter_ctx filter, const int *numbers, size_t length)
{
    for (size_t i = 0; i < length; i++)
        allow(filter, numbers[i]);
}
#define ALLOW_ALL(filter, numbers) allow_all(filter, numbers, sizeof(numbers) / sizeof((numbers)[0]))

static void allow_if(scmp_filter_ctx filter, int number, struct scmp_arg_cmp condition)
{
    check(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &condition), "seccomp_rule_add_array");
}

static scmp_filter_ctx begin(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    check(filter ? 0 : -ENOMEM, "seccomp_init");
    /* int 0x80 and x32 */
    check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "SCMP_FLTATR_ACT_BADARCH");
    /* A binary tree: half as long to go through, and the kernel goes through it for every number when it is loaded. */
    check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "SCMP_FLTATR_CTL_OPTIMIZE");
    count = 0;
#ifdef __SANITIZE_ADDRESS__
    ALLOW_ALL(filter, sanitizer_calls);
#endif
    return filter;
}

static void end(scmp_filter_ctx filter, const char *name)
{
    FILE *file = tmpfile();
    check(file ? seccomp_export_bpf(filter, fileno(file)) : -errno, "seccomp_export_bpf");
    seccomp_release(filter);
    rewind(file);
    struct {
        unsigned short code;
        unsigned char jt, jf;
        unsigned k;
    } insn;
    printf("static const struct sock_filter %s_code[] = {\n", name);
    while (fread(&insn, sizeof insn, 1, file) == 1)
        printf("    {%#x, %u, %u, %#x},\n", insn.code, insn.jt, insn.jf, insn.k);
    printf("};\n#define %s_calls %u\n", name, count);
    fclose(file);
}

static void make_boot(void)
{
    scmp_filter_ctx filter = begin();
    ALLOW_ALL(filter, boot_calls);
    /* No code but what is there. */
    allow_if(filter, SYS_mmap, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    allow_if(filter, SYS_mprotect, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* Signals to itself: one to end a wait, and the one that it dies of. */
    allow_if(filter, SYS_tgkill, SCMP_A0(SCMP_CMP_EQ, CONFINE_PID, 0));
    for (size_t i = 0; i < sizeof boot_requests / sizeof boot_requests[0]; i++)
        allow_if(filter, SYS_ioctl, SCMP_A1(SCMP_CMP_EQ, boot_requests[i], 0));
    count += 4;
    end(filter, "boot");
}

static bool listed(const int *numbers, size_t length, int number)
{
    for (size_t i = 0; i < length; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

/* All that polder_proceed may make on the host, by its own table. */
static void make_program(void)
{
    scmp_filter_ctx filter = begin();
    ALLOW_ALL(filter, program_calls);
    for (unsigned i = 0; i < call_limit; i++) {
        const struct call *call = call_find(i);
        if (call && call->policy == CALL_HOST &&
            !listed(program_calls, sizeof program_calls / sizeof program_calls[0], (int)i))
            allow(filter, (int)i);
    }
    /* The library reads and writes the process's own memory by these, where it must not fault. Nobody else's: for the
     * program they are not carried. */
    static const int own_memory[] = {SYS_process_vm_readv, SYS_process_vm_writev};
    for (size_t i = 0; i < 2; i++) {
        allow_if(filter, own_memory[i], SCMP_A0(SCMP_CMP_EQ, CONFINE_PID, 0));
        check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), own_memory[i], 1, SCMP_A0(SCMP_CMP_NE, CONFINE_PID, 0)),
            "");
        count++;
    }
    end(filter, "program");
}

int main(void)
{
    make_boot();
    make_program();
    return fflush(stdout) ? 1 : 0;
}
