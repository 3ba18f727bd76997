/* SPDX-License-Identifier: MIT */
/*
 * What a running polder has given up. This test stands for whoever has taken it over: with ptrace it makes one of the
 * monitor's threads carry out a system call of the test's choice, and looks at what becomes of the process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"

static char build[PATH_MAX];

/* ---------------------------------------------------------------- a polder that waits */

struct running {
    pid_t pid;
    int in, out, err;
    char said[1024]; /* on standard error, before it was ready */
    bool held;       /* in: it is to stop before it becomes polder */
};

static void start(struct running *r, const char *const argv[], rlim_t core)
{
    int in[2], out[2], err[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        struct rlimit limit = {core, RLIM_INFINITY};
        char polder[PATH_MAX + 16];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
        /* Something to inherit. */
        dup2(in[0], 60);
        setrlimit(RLIMIT_CORE, &limit);
        setenv("ASAN_OPTIONS", "disable_coredump=0", 1); /* it would change the limit */
        snprintf(polder, sizeof polder, "%s/polder", build);
        if (r->held)
            raise(SIGSTOP);
        execv(polder, (char *const *)argv);
        _exit(99);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    r->in = in[1];
    r->out = out[0];
    r->err = err[0];
}

/* Until it has said "ready": the guest has run, and waits. */
static void until_ready(struct running *r)
{
    char text[16];
    size_t length = 0;
    while (length < 6) {
        ssize_t n = read(r->out, text + length, 6 - length);
        if (n <= 0)
            fail_msg("it ended before it was ready");
        length += (size_t)n;
    }
    assert_memory_equal(text, "ready\n", 6);
    fcntl(r->err, F_SETFL, O_NONBLOCK);
    ssize_t n = read(r->err, r->said, sizeof r->said - 1);
    r->said[n > 0 ? n : 0] = '\0';
}

static void boot_with(struct running *r, const char *option)
{
    char kernel[PATH_MAX + 64];
    snprintf(kernel, sizeof kernel, "%s/tests/boot/deaf.kernel", build);
    const char *const argv[] = {"polder", "boot", "--memory=64M", "--cpus=2", kernel, option, NULL};
    start(r, argv, RLIM_INFINITY);
    until_ready(r);
}

/* `cat` gives back what it is given, and waits for more. */
static void program_with(struct running *r, const char *command, const char *option)
{
    const char *const plain[] = {"polder", command, "--", "cat", NULL};
    const char *const argv[] = {"polder", command, option, "--", "cat", NULL};
    start(r, option ? argv : plain, RLIM_INFINITY);
    assert_int_equal(write(r->in, "ready\n", 6), 6);
    until_ready(r);
}

static void finish(struct running *r)
{
    kill(r->pid, SIGKILL);
    while (waitpid(r->pid, NULL, __WALL) != r->pid)
        ;
    close(r->in);
    close(r->out);
    close(r->err);
}

/* ---------------------------------------------------------------- looking at it */

/* The value of a line of /proc/PID/task/TID/status. */
static int status_value(pid_t pid, const char *tid, const char *name)
{
    char path[PATH_MAX], line[256];
    int value = -1;
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, tid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = atoi(line + strlen(name) + 1);
    fclose(file);
    return value;
}

/* KVM of Linux 6.13 and later keeps a thread of its own in the process. */
static bool is_polders(pid_t pid, const char *tid)
{
    char path[PATH_MAX], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%s/comm", pid, tid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(name, sizeof name, file));
    fclose(file);
    return strncmp(name, "kvm-", 4) != 0;
}

/* Every thread: returns how many there are. The last one's number is put into *last. */
static unsigned threads_are(pid_t pid, int no_new_privs, int seccomp, pid_t *last)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        if (entry->d_name[0] == '.' || !is_polders(pid, entry->d_name))
            continue;
        assert_int_equal(status_value(pid, entry->d_name, "NoNewPrivs"), no_new_privs);
        assert_int_equal(status_value(pid, entry->d_name, "Seccomp"), seccomp);
        *last = (pid_t)atoi(entry->d_name);
        count++;
    }
    closedir(tasks);
    return count;
}

/* How many descriptors lead to something of that name, and how many there are. */
static unsigned descriptors(pid_t pid, const char *name, unsigned *all)
{
    char path[PATH_MAX], target[PATH_MAX];
    unsigned count = 0;
    *all = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *fds = opendir(path);
    assert_non_null(fds);
    for (struct dirent *entry; (entry = readdir(fds)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        assert_true(n > 0);
        target[n] = '\0';
        count += strstr(target, name) != NULL;
        ++*all;
    }
    closedir(fds);
    return count;
}

/* ---------------------------------------------------------------- taking it over */

/* Linux's own numbers, in the order of the registers. */
struct taken {
    long number;
    unsigned long args[4];
};

enum { DIED_OF_SIGSYS = -100000, DIED_OTHERWISE };

static void wait_stop(pid_t tid, int *status)
{
    assert_int_equal(waitpid(tid, status, __WALL), tid);
}

/*
 * True if the thread is in a system call; rip is then that of its SYSCALL instruction. Interrupted twice, the call may
 * have been set back to be made again, and rip with it.
 */
static bool to_its_syscall(pid_t tid, struct user_regs_struct *regs)
{
    const long insn = 0x050f;
    if ((long)regs->orig_rax < 0)
        return false;
    if ((ptrace(PTRACE_PEEKTEXT, tid, (void *)(regs->rip - 2), NULL) & 0xffff) == insn) {
        regs->rip -= 2;
        return true;
    }
    return (ptrace(PTRACE_PEEKTEXT, tid, (void *)regs->rip, NULL) & 0xffff) == insn;
}

/*
 * Makes the thread, which waits in a system call, carry out this one: its result, or how the process died. The call
 * that it waits in is interrupted, and its SYSCALL instruction is used once more.
 */
static long take_over(pid_t pid, pid_t tid, struct taken call)
{
    struct user_regs_struct regs;
    int status;
    assert_int_equal(ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACESYSGOOD), 0);
    /* Until it is in a system call. Interrupted again too soon it does not get anywhere, and what is too soon depends
     * on what else the machine does. */
    for (useconds_t pause = 1000;; pause *= 2) {
        assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
        wait_stop(tid, &status);
        assert_true(WIFSTOPPED(status));
        assert_int_equal(ptrace(PTRACE_GETREGS, tid, NULL, &regs), 0);
        if (to_its_syscall(tid, &regs))
            break;
        assert_int_equal(ptrace(PTRACE_CONT, tid, NULL, NULL), 0);
        usleep(pause);
    }
    regs.orig_rax = -1ull;
    regs.rax = (unsigned long)call.number;
    regs.rdi = call.args[0];
    regs.rsi = call.args[1];
    regs.rdx = call.args[2];
    regs.r10 = call.args[3];
    regs.r8 = regs.r9 = 0;
    assert_int_equal(ptrace(PTRACE_SETREGS, tid, NULL, &regs), 0);
    /* Its entry and its exit. */
    for (unsigned stops = 0; stops < 3;) {
        if (ptrace(PTRACE_SYSCALL, tid, NULL, NULL) != 0) {
            assert_int_equal(errno, ESRCH); /* dying */
            break;
        }
        wait_stop(tid, &status);
        if (!WIFSTOPPED(status))
            break;
        if (WSTOPSIG(status) == SIGSEGV || WSTOPSIG(status) == SIGILL)
            fail_msg("signal %d instead of the call %ld", WSTOPSIG(status), call.number);
        stops += WSTOPSIG(status) == (SIGTRAP | 0x80);
        if (stops == 2) {
            assert_int_equal(ptrace(PTRACE_GETREGS, tid, NULL, &regs), 0);
            /* A call that is not made at all leaves its number, and the signal is on its way. */
            if ((long)regs.rax != call.number)
                return (long)regs.rax;
        }
    }
    if (tid != pid)
        wait_stop(pid, &status);
    assert_false(WIFSTOPPED(status));
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? DIED_OF_SIGSYS : DIED_OTHERWISE;
}

/* What a monitor that serves somebody else would want to do. None of it has an effect that outlasts the process. */
struct wish {
    const char *name;
    struct taken call;
    bool opens; /* a sanitizer's run-time may do so */
};

#define BAD 1ul /* where nothing can be */

static const struct wish boot_wishes[] = {
    {"openat", {SYS_openat, {(unsigned long)AT_FDCWD, BAD, O_RDONLY, 0}}, true},
    {"openat2", {SYS_openat2, {(unsigned long)AT_FDCWD, BAD, BAD, 24}}, false},
    {"execve", {SYS_execve, {BAD, 0, 0, 0}}, false},
    {"socket", {SYS_socket, {AF_INET, SOCK_STREAM, 0, 0}}, false},
    {"clone", {SYS_clone, {CLONE_VM | CLONE_THREAD, 0, 0, 0}}, false}, /* EINVAL: without CLONE_SIGHAND */
    {"clone3", {SYS_clone3, {BAD, 64, 0, 0}}, false},
    {"ptrace", {SYS_ptrace, {PTRACE_ATTACH, 0, 0, 0}}, false},
    {"process_vm_readv", {SYS_process_vm_readv, {1, BAD, 0, BAD}}, false},
    {"kill", {SYS_kill, {INT_MAX, 0, 0, 0}}, false},
    {"tgkill of another process", {SYS_tgkill, {INT_MAX, INT_MAX, 0, 0}}, false},
    {"ioctl TIOCSTI", {SYS_ioctl, {0, TIOCSTI, BAD, 0}}, false},
    {"ioctl KVM_CREATE_VM", {SYS_ioctl, {0, KVM_CREATE_VM, 0, 0}}, false},
    {"mmap PROT_EXEC", {SYS_mmap, {0, 0, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}}, false},
    {"mprotect PROT_EXEC", {SYS_mprotect, {BAD, 4096, PROT_EXEC, 0}}, false},
    {"prctl", {SYS_prctl, {PR_GET_DUMPABLE, 0, 0, 0}}, false},
    {"setrlimit", {SYS_setrlimit, {RLIMIT_CORE, BAD, 0, 0}}, false},
    {"io_uring_setup", {SYS_io_uring_setup, {0, BAD, 0, 0}}, false},
    {"a number that no kernel has", {1000000, {0, 0, 0, 0}}, false},
    {"a call of x32", {0x40000000 | SYS_getpid, {0, 0, 0, 0}}, false},
};

static const struct wish program_wishes[] = {
    {"execve", {SYS_execve, {BAD, 0, 0, 0}}, false},
    {"clone", {SYS_clone, {CLONE_VM | CLONE_THREAD, 0, 0, 0}}, false},
    {"clone3", {SYS_clone3, {BAD, 64, 0, 0}}, false},
    {"ptrace", {SYS_ptrace, {PTRACE_ATTACH, 0, 0, 0}}, false},
    {"seccomp", {SYS_seccomp, {99, 0, 0, 0}}, false},
    {"bpf", {SYS_bpf, {99, 0, 0, 0}}, false},
    {"perf_event_open", {SYS_perf_event_open, {BAD, 0, 0, 0}}, false},
    {"userfaultfd", {SYS_userfaultfd, {-1ul, 0, 0, 0}}, false},
    {"keyctl", {SYS_keyctl, {999, 0, 0, 0}}, false},
    {"finit_module", {SYS_finit_module, {-1ul, BAD, 0, 0}}, false},
    {"kexec_file_load", {SYS_kexec_file_load, {-1ul, -1ul, 0, 0}}, false},
    {"io_uring_setup", {SYS_io_uring_setup, {0, BAD, 0, 0}}, false},
    {"pidfd_getfd", {SYS_pidfd_getfd, {-1ul, 0, 0, 0}}, false},
    {"a number that no kernel has", {1000000, {0, 0, 0, 0}}, false},
    {"a call of x32", {0x40000000 | SYS_getpid, {0, 0, 0, 0}}, false},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool sanitized(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return false;
#endif
}

static void starts_boot(struct running *r, const char *option)
{
    boot_with(r, option);
}

static void starts_run(struct running *r, const char *option)
{
    program_with(r, "run", option);
}

static void all_fatal(void (*begin)(struct running *, const char *), const struct wish *wishes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct running r = {0};
        pid_t last;
        if (wishes[i].opens && sanitized())
            continue;
        begin(&r, NULL);
        threads_are(r.pid, 1, 2, &last);
        /* By turns in the first thread and in the last. */
        long result = take_over(r.pid, i % 2 ? last : r.pid, wishes[i].call);
        if (result != DIED_OF_SIGSYS)
            fail_msg("%s: %ld", wishes[i].name, result);
        close(r.in);
        close(r.out);
        close(r.err);
    }
}

/* The same calls end with a result where nothing has been given up: it is the filter that they die of. */
static void none_fatal(void (*begin)(struct running *, const char *), const struct wish *wishes, size_t count)
{
    struct running r = {0};
    pid_t last;
    begin(&r, "--no-confine");
    threads_are(r.pid, 0, 0, &last);
    for (size_t i = 0; i < count; i++) {
        long result = take_over(r.pid, r.pid, wishes[i].call);
        if (result == DIED_OF_SIGSYS || result == DIED_OTHERWISE)
            fail_msg("%s: %ld", wishes[i].name, result);
        /* Back into a call that waits. */
        struct user_regs_struct regs;
        int status;
        assert_int_equal(ptrace(PTRACE_GETREGS, r.pid, NULL, &regs), 0);
        regs.rip -= 2;
        regs.orig_rax = -1ull;
        regs.rax = SYS_pause;
        assert_int_equal(ptrace(PTRACE_SETREGS, r.pid, NULL, &regs), 0);
        assert_int_equal(ptrace(PTRACE_SYSCALL, r.pid, NULL, NULL), 0);
        wait_stop(r.pid, &status);
        assert_int_equal(ptrace(PTRACE_DETACH, r.pid, NULL, NULL), 0);
    }
    finish(&r);
}

/* ---------------------------------------------------------------- tests */

static void test_boot_dies(void **state)
{
    (void)state;
    all_fatal(starts_boot, boot_wishes, COUNT(boot_wishes));
}

static void test_boot_unconfined(void **state)
{
    (void)state;
    none_fatal(starts_boot, boot_wishes, COUNT(boot_wishes));
}

static void test_run_dies(void **state)
{
    (void)state;
    all_fatal(starts_run, program_wishes, COUNT(program_wishes));
}

static void test_run_unconfined(void **state)
{
    (void)state;
    none_fatal(starts_run, program_wishes, COUNT(program_wishes));
}

/* A call on the list is made as ever: it is not being traced that kills. */
static void test_allowed(void **state)
{
    (void)state;
    struct running r = {0};
    boot_with(&r, NULL);
    assert_int_equal(take_over(r.pid, r.pid, (struct taken){SYS_getpid, {0}}), r.pid);
    finish(&r);
    program_with(&r, "run", NULL);
    assert_true(take_over(r.pid, r.pid, (struct taken){SYS_socket, {AF_UNIX, SOCK_STREAM, 0, 0}}) > 0);
    finish(&r);
    /* Other processes' memory is not the library's to read; it is told so, and lives. */
    program_with(&r, "trace", NULL);
    pid_t last;
    assert_int_equal(threads_are(r.pid, 1, 2, &last), 1);
    assert_int_equal(take_over(r.pid, r.pid, (struct taken){SYS_process_vm_readv, {1, BAD, 0, BAD}}), -EPERM);
    finish(&r);
}

/* What a stop and a signal make of a wait with a timeout is a call of its own, restart_syscall. */
static void test_stopped(void **state)
{
    (void)state;
    struct running r = {0};
    int status;
    boot_with(&r, "--timeout=60");
    kill(r.pid, SIGSTOP);
    assert_int_equal(waitpid(r.pid, &status, WUNTRACED), r.pid);
    assert_true(WIFSTOPPED(status));
    kill(r.pid, SIGCONT);
    assert_int_equal(waitpid(r.pid, &status, WCONTINUED), r.pid);
    if (WIFCONTINUED(status)) {
        kill(r.pid, SIGTERM);
        assert_int_equal(waitpid(r.pid, &status, 0), r.pid);
    }
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    close(r.in);
    close(r.out);
    close(r.err);
}

static void test_boot_descriptors(void **state)
{
    (void)state;
    struct running r = {0};
    unsigned all, console;
    pid_t last;
    boot_with(&r, NULL);
    assert_int_equal(threads_are(r.pid, 1, 2, &last), 3); /* one for each vCPU, before it is started */
    assert_int_equal(descriptors(r.pid, "kvm-vm", &all), 1);
    assert_int_equal(descriptors(r.pid, "kvm-vcpu", &all), 2);
    assert_int_equal(descriptors(r.pid, "[eventfd]", &all), 3);
    assert_int_equal(descriptors(r.pid, "[signalfd]", &all), 1);
    console = descriptors(r.pid, "pipe:", &all);
    assert_int_equal(console, 3);
    assert_int_equal(all, 1 + 2 + 3 + 1 + 3);
    finish(&r);
    boot_with(&r, "--no-confine");
    assert_int_equal(descriptors(r.pid, "pipe:", &all), 4);
    assert_int_equal(descriptors(r.pid, "/dev/kvm", &all), 1);
    finish(&r);
}

static void test_run_descriptors(void **state)
{
    (void)state;
    struct running r = {0};
    unsigned all;
    program_with(&r, "run", NULL);
    /* The program's 0 to 2 and 60, standard error for reports, and the two ends that are the space. */
    assert_int_equal(descriptors(r.pid, "pipe:[", &all), 7);
    finish(&r);
}

/* Landlock by itself. */
static void test_landlock(void **state)
{
    (void)state;
    int status;
    bool bites = confine_landlock_abi() > 0 && !sanitized();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (!confine_privileges() || !confine_files())
            _exit(1);
        if (bites && (open(path, O_RDONLY) >= 0 || errno != EACCES))
            _exit(2);
        /* What is open can be used. */
        _exit(read(fd, path, 1) == 0 ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* The first thread, until it has its filter: Landlock comes before, and the guest has not run. */
static void test_landlock_comes_first(void **state)
{
    (void)state;
    struct running r = {.held = true};
    struct user_regs_struct regs;
    int status;
    bool entry = true, landlocked = false, run = false, filtered = false;
    char kernel[PATH_MAX + 64];
    snprintf(kernel, sizeof kernel, "%s/tests/boot/deaf.kernel", build);
    start(&r, (const char *const[]){"polder", "boot", "--memory=64M", kernel, NULL}, 0);
    assert_int_equal(waitpid(r.pid, &status, WUNTRACED), r.pid);
    assert_int_equal(ptrace(PTRACE_SEIZE, r.pid, NULL, (void *)PTRACE_O_TRACESYSGOOD), 0);
    wait_stop(r.pid, &status);
    kill(r.pid, SIGCONT);
    while (!filtered) {
        assert_true(WIFSTOPPED(status));
        assert_int_equal(ptrace(PTRACE_SYSCALL, r.pid, NULL, NULL), 0);
        wait_stop(r.pid, &status);
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) != (SIGTRAP | 0x80))
            continue;
        assert_int_equal(ptrace(PTRACE_GETREGS, r.pid, NULL, &regs), 0);
        landlocked |= !entry && regs.orig_rax == SYS_landlock_restrict_self && regs.rax == 0;
        run |= regs.orig_rax == SYS_ioctl && regs.rsi == KVM_RUN;
        filtered = !entry && regs.orig_rax == SYS_seccomp && regs.rdi == SECCOMP_SET_MODE_FILTER && regs.rax == 0;
        entry = !entry;
    }
    assert_false(run);
    assert_int_equal(landlocked, confine_landlock_abi() > 0 && !sanitized());
    finish(&r);
}

/* How many KiB of its memory no core file has. */
static long left_out_of_core(pid_t pid)
{
    char path[64], line[512];
    long size = 0, sum = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps", pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "Size: %ld", &size) != 1 && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd"))
            sum += size;
    }
    fclose(file);
    return sum;
}

static void core_is(struct running *r, rlim_t soft, rlim_t hard)
{
    struct rlimit limit;
    assert_int_equal(prlimit(r->pid, RLIMIT_CORE, NULL, &limit), 0);
    assert_int_equal(limit.rlim_cur, soft);
    assert_int_equal(limit.rlim_max, hard);
    finish(r);
}

static void test_core(void **state)
{
    (void)state;
    struct running r = {0};
    boot_with(&r, NULL);
    long without = left_out_of_core(r.pid);
    core_is(&r, 1, 1);
    boot_with(&r, "--core");
    assert_true(without - left_out_of_core(r.pid) >= 8 << 10); /* what the machine has at the start */
    core_is(&r, RLIM_INFINITY, RLIM_INFINITY);
    program_with(&r, "run", NULL);
    core_is(&r, 1, RLIM_INFINITY);
    program_with(&r, "run", "--core");
    core_is(&r, RLIM_INFINITY, RLIM_INFINITY);
}

static void test_no_confine_is_told(void **state)
{
    (void)state;
    struct running r = {0};
    boot_with(&r, "--no-confine");
    assert_non_null(strstr(r.said, "polder: not confined: core files, no_new_privs, filter of "));
    assert_non_null(strstr(r.said, "descriptors\n"));
    finish(&r);
    boot_with(&r, NULL);
    assert_string_equal(r.said, "");
    finish(&r);
    program_with(&r, "run", "--no-confine");
    assert_non_null(strstr(r.said, "polder: not confined: core files, no_new_privs, filter of "));
    finish(&r);
}

int main(int argc, char **argv)
{
    (void)argc;
    char self[PATH_MAX];
    assert_non_null(realpath(argv[0], self));
    snprintf(build, sizeof build, "%s", dirname(dirname(dirname(self))));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot_dies),
        cmocka_unit_test(test_boot_unconfined),
        cmocka_unit_test(test_run_dies),
        cmocka_unit_test(test_run_unconfined),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_boot_descriptors),
        cmocka_unit_test(test_run_descriptors),
        cmocka_unit_test(test_landlock),
        cmocka_unit_test(test_landlock_comes_first),
        cmocka_unit_test(test_core),
        cmocka_unit_test(test_no_confine_is_told),
    };
    /* A thread that is waited for in vain is a failure, and not the end of the other tests' time. */
    alarm(getenv("POLDER_TEST_SCALE") ? 390 : 120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
