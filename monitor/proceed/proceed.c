/* SPDX-License-Identifier: MIT */
/*
 * What is carried across (the manual page polder(3) has this list):
 *
 * On "/proc/self/mm": every call of calls.c that is marked HOST, REFINED, OPENS or SELF; about 265, all that ordinary
 * programs use but those that act on the process itself. With -ENOSYS end: exit*, exec*, fork, vfork, clone*, rt_sig*,
 * sigaltstack, restart_syscall, set_tid_address, rseq, robust lists, every memory call (mmap to mseal, shmat, mbind and
 * its kin), arch_prctl, modify_ldt, ioperm, prctl but for names, capabilities and the like, seccomp, landlock, ptrace,
 * process_vm_*, process_madvise, pidfd_getfd, perf_event_open, bpf, userfaultfd, io_uring and the older io_*, keyctl,
 * quotactl, modules, kexec and reboot, unshare of what the process shares with itself. The caller implements those that
 * it wants. Opening the memory of any process through procfs is EACCES. Requests of ioctl that are not in ioctl.c are
 * ENOTTY, commands of fcntl EINVAL, options of sockets ENOPROTOOPT.
 *
 * On any other space: the same, by copies, except for the calls that mean the memory itself: futex*, vmsplice, sendmmsg
 * and recvmmsg, and sends with MSG_ZEROCOPY (-ENOSYS). What crosses is at most 1 MiB for each argument; where fewer
 * bytes are an answer (read, write, and their kin; streams) the call is made with fewer, else it is EMSGSIZE.
 *
 * A descriptor is the process's own: which of its numbers the sandbox may use is for the caller to decide.
 */
#include "proceed.h"
#include "host.h"
#include "job.h"

#include <errno.h>
#include <linux/if.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* The length in argument arg->len was made smaller or was translated. */
static void set_length(struct job *job, const struct arg *arg, uint64_t units)
{
    job->host[1 + arg->len] = units;
}

static long prepare_counted(struct job *job, const struct arg *arg, uint64_t value, uint64_t *out)
{
    uint64_t count = call_length(&job->call, job->args, arg->len);
    uint64_t size;
    if (__builtin_mul_overflow(count, arg->size, &size) || __builtin_add_overflow(size, arg->extra, &size)) {
        return -EFAULT;
    }
    uint64_t asked = size;
    unsigned before = job->back_count;
    long error = job_memory(job, value, &size, arg->flags, out);
    if (error) {
        return error;
    }
    if (size != asked) {
        set_length(job, arg, size / arg->size);
    }
    if (job->back_count > before && (arg->flags & ARG_RESULT)) {
        job->backs[before].unit = arg->size;
        job->backs[before].extra = arg->extra;
    }
    return 0;
}

/* The kernel reads the length from memory: it gets a copy, so that it cannot grow after the check. */
static long prepare_sized(struct job *job, const struct arg *arg, uint64_t value, uint64_t *out)
{
    uint64_t length_addr = job->args[arg->len];
    if (job_fetch(job, &job->socklen, length_addr, sizeof(job->socklen))) {
        return -EFAULT;
    }
    uint64_t size = (int32_t)job->socklen < 0 ? 0 : job->socklen;
    if (arg->kind == ARG_SOCKADDR && size > sizeof(struct sockaddr_storage)) {
        size = sizeof(struct sockaddr_storage); /* no address is longer, so no more is written */
    }
    long error = job_memory(job, value, &size, arg->flags, out);
    if (error) {
        return error;
    }
    job->host[1 + arg->len] = (uintptr_t)&job->socklen;
    return job_put_back(job, length_addr, &job->socklen, sizeof(job->socklen), BACK_DONE);
}

static long prepare_iovec(struct job *job, const struct arg *arg, uint64_t value, uint64_t *out)
{
    uint64_t count = call_length(&job->call, job->args, arg->len);
    long error = job_iovec(job, value, &count, arg->flags, out);
    set_length(job, arg, count);
    return error;
}

static long prepare_mmsghdr(struct job *job, const struct arg *arg, uint64_t value, uint64_t *out)
{
    uint64_t count = call_length(&job->call, job->args, arg->len);
    long error = job_mmsghdr(job, value, &count, arg->flags, out);
    set_length(job, arg, count);
    return error;
}

static long prepare_fdset(struct job *job, const struct arg *arg, uint64_t value, uint64_t *out)
{
    int count = (int)job->args[arg->len];
    uint64_t size = count < 0 ? 0 : ((uint64_t)count + 63) / 64 * 8;
    return job_memory(job, value, &size, arg->flags, out);
}

/* Argument index: from what the sandbox gave to what the host gets. 0 or -errno. */
static long prepare(struct job *job, unsigned index)
{
    const struct arg *arg = &job->call.args[index];
    uint64_t value = job->args[index];
    uint64_t *out = &job->host[1 + index];
    uint64_t size = arg->size;

    if (arg->memory != MEM_NONE && value == 0 && (arg->flags & ARG_OPTIONAL)) {
        *out = 0;
        return 0;
    }
    switch ((enum arg_memory)arg->memory) {
    case MEM_NONE:
        /* A length may have been set already by the argument that it belongs to. */
        return 0;
    case MEM_FIXED:
        return job_memory(job, value, &size, arg->flags, out);
    case MEM_COUNTED:
        return prepare_counted(job, arg, value, out);
    case MEM_STRING:
        return job_string(job, value, out);
    case MEM_PAGE:
        return job_page(job, value, out);
    case MEM_IOVEC:
        return prepare_iovec(job, arg, value, out);
    case MEM_MSGHDR:
        return job_msghdr(job, value, arg->flags, out);
    case MEM_MMSGHDR:
        return prepare_mmsghdr(job, arg, value, out);
    case MEM_SIZED:
        return prepare_sized(job, arg, value, out);
    case MEM_SIZE:
        /* Done by the MEM_SIZED before it, unless that was NULL: then nobody looks at it. */
        if (*out == value) {
            *out = 0;
        }
        return 0;
    case MEM_FDSET:
        return prepare_fdset(job, arg, value, out);
    case MEM_SIGSET_PAIR:
        return job_sigset_pair(job, value, out);
    case MEM_FUTEX_WAITV:
        return job_futex_waitv(job, value, call_length(&job->call, job->args, arg->len), out);
    case MEM_FILE_HANDLE:
        return job_file_handle(job, value, arg->flags, out);
    case MEM_SCHED_ATTR:
        return job_sched_attr(job, value, out);
    case MEM_IFCONF:
        return job_ifconf(job, value, out);
    }
    return -ENOSYS;
}

/* The pages of a copy are gone before a send without copying has taken place. */
static bool sends_zero_copy(const struct job *job)
{
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        if (job->call.args[i].kind == ARG_MSG_FLAGS && (job->args[i] & MSG_ZEROCOPY)) {
            return true;
        }
    }
    return false;
}

static long run(struct job *job)
{
    if (!job->self && (job->call.self_only || sends_zero_copy(job))) {
        return -ENOSYS;
    }
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        /* What the call is not known to take, it does not get. */
        job->host[1 + i] = job->call.args[i].kind == ARG_END ? 0 : job->args[i];
    }
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        long error = prepare(job, i);
        if (error) {
            return error;
        }
    }
    long result = job->call.opens ? job_open(job) : host_call(job->host);
    long error = job_finish(job, result);
    return error && result >= 0 ? error : result;
}

long proceed_call(struct mm *mm, const struct user_regs_struct *regs)
{
    proceed_interrupt.skipped = false;
    struct job job;
    job.mm = mm;
    job.self = mm_is_self(mm);
    job.args[0] = regs->rdi;
    job.args[1] = regs->rsi;
    job.args[2] = regs->rdx;
    job.args[3] = regs->r10;
    job.args[4] = regs->r8;
    job.args[5] = regs->r9;
    job.host[0] = (uint32_t)regs->orig_rax; /* the kernel looks at no more of it */
    job.back_count = job.block_count = 0;
    job.spread = NULL;
    job.spread_count = 0;
    job.pool_used = 0;

    long result = call_describe(job.host[0], job.args, &job.call);
    if (result == 0) {
        result = run(&job);
        job_free(&job);
    }
    return result;
}
