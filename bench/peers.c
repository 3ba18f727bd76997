/* SPDX-License-Identifier: MIT */
/* What else there is to catch another program's system calls, and what else there is instead of a space. */
#include "bench.h"

#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif

static double native_round(void *state, long n)
{
    (void)state;
    double start = now_ns();
    for (long i = 0; i < n; i++)
        syscall(SYS_getppid);
    return now_ns() - start;
}
const struct bench_case native_call = {"getppid, natively", NULL, native_round, 0};

static void call_for_ever(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        syscall(SYS_getppid);
}

/* ---- ptrace, as user-mode Linux does it: every call is emulated. */
struct tracee {
    pid_t pid;
    bool xstate;
    char area[32768];
    size_t size;
};

static void *start_tracee(bool xstate)
{
    struct tracee *t = calloc(1, sizeof(*t));
    int status;

    if (!t)
        bench_give_up("out of memory");
    t->xstate = xstate;
    t->pid = fork();
    if (t->pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        call_for_ever();
    }
    if (waitpid(t->pid, &status, 0) != t->pid || !WIFSTOPPED(status))
        bench_give_up("ptrace: the tracee did not stop");
    if (ptrace(PTRACE_SETOPTIONS, t->pid, NULL, PTRACE_O_EXITKILL) != 0)
        bench_give_up("ptrace: %s", strerror(errno));
    return t;
}

static double ptrace_round(void *state, long n)
{
    struct tracee *t = state;
    struct user_regs_struct regs;
    int status;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        if (ptrace((enum __ptrace_request)PTRACE_SYSEMU, t->pid, NULL, NULL) != 0)
            bench_give_up("PTRACE_SYSEMU: %s", strerror(errno));
        if (waitpid(t->pid, &status, __WALL) != t->pid || !WIFSTOPPED(status))
            bench_give_up("the tracee is gone");
        if (ptrace(PTRACE_GETREGS, t->pid, NULL, &regs) != 0)
            bench_give_up("PTRACE_GETREGS: %s", strerror(errno));
        struct iovec iov = {t->area, sizeof(t->area)};
        if (t->xstate && ptrace(PTRACE_GETREGSET, t->pid, NT_X86_XSTATE, &iov) != 0)
            bench_give_up("PTRACE_GETREGSET: %s", strerror(errno));
        regs.rax = 0;
        if (ptrace(PTRACE_SETREGS, t->pid, NULL, &regs) != 0)
            bench_give_up("PTRACE_SETREGS: %s", strerror(errno));
        if (t->xstate && ptrace(PTRACE_SETREGSET, t->pid, NT_X86_XSTATE, &iov) != 0)
            bench_give_up("PTRACE_SETREGSET: %s", strerror(errno));
    }
    return now_ns() - start;
}

static void *setup_ptrace(void)
{
    return start_tracee(false);
}

static void *setup_ptrace_xstate(void)
{
    return start_tracee(true);
}
const struct bench_case ptrace_sysemu = {"ptrace SYSEMU, GETREGS, SETREGS", setup_ptrace, ptrace_round, 0};
const struct bench_case ptrace_sysemu_xstate = {"the same and its FPU state", setup_ptrace_xstate, ptrace_round, 0};

/* ---- seccomp, with a supervisor that is told. */
static int install_filter(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void pass_descriptor(int socket, int *fd, bool send)
{
    char byte = 0;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    memset(&control, 0, sizeof(control));
    if (send) {
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(&control.header), fd, sizeof(int));
        if (sendmsg(socket, &message, 0) != 1)
            _exit(1);
    } else {
        if (recvmsg(socket, &message, 0) != 1 || message.msg_controllen < CMSG_LEN(sizeof(int)))
            bench_give_up("seccomp user notification is not to be had");
        memcpy(fd, CMSG_DATA(&control.header), sizeof(int));
    }
}

static void *setup_seccomp(void)
{
    static int listener;
    int sockets[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        bench_give_up("socketpair: %s", strerror(errno));
    if (fork() == 0) {
        close(sockets[0]);
        int fd = install_filter();
        if (fd < 0)
            _exit(1);
        pass_descriptor(sockets[1], &fd, true);
        close(fd);
        call_for_ever();
    }
    close(sockets[1]);
    pass_descriptor(sockets[0], &listener, false);
    return &listener;
}

static double seccomp_round(void *state, long n)
{
    int listener = *(int *)state;
    struct seccomp_notif call;
    struct seccomp_notif_resp answer;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        memset(&call, 0, sizeof(call));
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            bench_give_up("SECCOMP_IOCTL_NOTIF_RECV: %s", strerror(errno));
        answer = (struct seccomp_notif_resp){.id = call.id, .val = 0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) != 0)
            bench_give_up("SECCOMP_IOCTL_NOTIF_SEND: %s", strerror(errno));
    }
    return now_ns() - start;
}
const struct bench_case seccomp_notification = {
    "seccomp user notification, two processes", setup_seccomp, seccomp_round, 0};

/* ---- The address space that everybody has. */
static double fork_round(void *state, long n)
{
    (void)state;
    double start = now_ns();
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            bench_give_up("fork: %s", strerror(errno));
    }
    return now_ns() - start;
}
const struct bench_case fork_exit = {"fork, exit, wait", NULL, fork_round, 0};

/* ---- mmap of one's own, the same pages of the same kind of file. */
enum { FILE_PAGES = 4096 };

struct own_map {
    int file;
    char *at;
};

static void *setup_mmap(void)
{
    static struct own_map own;

    own.file = memfd_create("bench", MFD_CLOEXEC);
    if (own.file < 0 || ftruncate(own.file, FILE_PAGES * 4096l) != 0)
        bench_give_up("memfd: %s", strerror(errno));
    own.at = mmap(NULL, 2 * FILE_PAGES * 4096l, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (own.at == MAP_FAILED)
        bench_give_up("mmap: %s", strerror(errno));
    return &own;
}

static double mmap_round(void *state, long n)
{
    const struct own_map *own = state;
    double took = 0;

    while (n > 0) {
        /* Linux allows 65,530 mappings; and neighbours that are not neighbours in the file stay separate. */
        long some = n < FILE_PAGES ? n : FILE_PAGES;
        double start = now_ns();
        for (long i = 0; i < some; i++)
            if (mmap(own->at + 4096 * i, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, own->file,
                    i * 7 % FILE_PAGES * 4096) == MAP_FAILED)
                bench_give_up("mmap: %s", strerror(errno));
        took += now_ns() - start;
        munmap(own->at, 4096 * some);
        n -= some;
    }
    return took;
}
const struct bench_case mmap_native = {"mmap into one's own process", setup_mmap, mmap_round, 0};
