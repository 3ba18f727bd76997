/* SPDX-License-Identifier: MIT */
/*
 * What a program may rely on: memory, FPU state, signals, pipes, poll, wait, files. Every test is one that Linux
 * passes; `memory comes back` asks /proc/meminfo for what only umlike says.
 *
 * usage: semantics [DIVISOR [PART-OF-A-NAME]]
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <immintrin.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>

#define PAGE 4096

bool test_failed;
static unsigned divisor = 1;
static const char *self;

unsigned scaled(unsigned rounds)
{
    return rounds / divisor ? rounds / divisor : 1;
}

int in_child(void (*function)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        test_failed = false;
        function();
        fflush(stdout);
        _exit(test_failed);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------- fork and memory */

static int in_data = 1;
static char *heap, *shared;

static void change_everything(void)
{
    CHECK(in_data == 1 && heap[0] == 'h' && heap[10 * PAGE] == 0 && shared[0] == 's');
    in_data = 2;
    memset(heap, 'x', 20 * PAGE);
    shared[0] = 'S';
}

static void grandchild(void)
{
    in_data = 3;
    heap[PAGE] = 'c';
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(in_data == 3 && heap[PAGE] == 'c' ? 0 : 1);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    pid = fork();
    if (pid == 0) {
        in_data = 4;
        heap[PAGE] = 'g';
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(in_data == 3 && heap[PAGE] == 'c');
}

static void test_fork(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    heap = mmap(NULL, 20 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    heap[0] = 'h';
    shared[0] = 's';
    CHECK_CHILD(change_everything);
    CHECK(in_data == 1 && heap[0] == 'h' && heap[10 * PAGE] == 0 && shared[0] == 'S');
    shared[0] = 's';
    CHECK_CHILD(grandchild);
    CHECK(in_data == 1 && heap[PAGE] == 0);
    munmap(heap, 20 * PAGE);
    munmap(shared, PAGE);
}

static void test_vfork(void)
{
    static volatile int seen;
    seen = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = 7; /* in the parent's memory, which waits */
        _exit(5);
    }
    int status = 0;
    CHECK(seen == 7);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

/* ---------------------------------------------------------------- faults and mappings */

static sigjmp_buf fault_jump;
static volatile siginfo_t fault_info;
static volatile int fault_signal;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    fault_signal = signal;
    *(siginfo_t *)&fault_info = *info;
    siglongjmp(fault_jump, 1);
}

/* 0, or the signal that touching the address gives. */
static int touch(volatile char *address, bool write)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old_segv, old_bus;
    fault_signal = 0;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
    if (!sigsetjmp(fault_jump, 1)) {
        char c = *address;
        if (write)
            *address = c;
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    return fault_signal;
}

static bool faults(char *address, bool write, int code)
{
    return touch(address, write) == SIGSEGV && fault_info.si_code == code && fault_info.si_addr == address;
}

static void test_mmap(void)
{
    int rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *m = mmap(NULL, 8 * PAGE, rw, flags, -1, 0);
    memset(m, 'a', 8 * PAGE);
    CHECK(munmap(m + 2 * PAGE, PAGE) == 0);
    CHECK(touch(m + PAGE, true) == 0 && touch(m + 3 * PAGE, true) == 0);
    CHECK(faults(m + 2 * PAGE + 5, false, SEGV_MAPERR));
    CHECK(mprotect(m, PAGE, PROT_READ) == 0);
    CHECK(m[7] == 'a' && faults(m + 7, true, SEGV_ACCERR));
    CHECK(mprotect(m, PAGE, PROT_NONE) == 0 && faults(m, false, SEGV_ACCERR));
    CHECK(mprotect(m, PAGE, rw) == 0 && touch(m, true) == 0 && m[0] == 'a');
    CHECK(mprotect(m + PAGE, 2 * PAGE, PROT_READ) == -1 && errno == ENOMEM);
    CHECK(mmap(m + PAGE, PAGE, rw, flags | MAP_FIXED, -1, 0) == m + PAGE && m[PAGE] == 0);
    CHECK(mmap(m, PAGE, rw, flags | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    CHECK(mmap(NULL, 0, rw, flags, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, rw, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF);
    munmap(m, 8 * PAGE);
    CHECK(touch(NULL, true) == SIGSEGV);
    CHECK(touch((char *)0x123400000000, false) == SIGSEGV);
}

static void test_brk(void)
{
    char *start = sbrk(0);
    CHECK(sbrk(5 * PAGE) == start);
    memset(start, 'b', 5 * PAGE);
    CHECK(sbrk(-4 * PAGE) == start + 5 * PAGE);
    CHECK(start[PAGE - 1] == 'b');
    char *gone = (char *)(((uintptr_t)start + PAGE + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    CHECK(faults(gone, false, SEGV_MAPERR));
    CHECK(sbrk(4 * PAGE) == start + PAGE && gone[0] == 0);
    CHECK(sbrk(-5 * PAGE) == start + 5 * PAGE);
    CHECK(sbrk(0) == start);
}

static void test_mremap(void)
{
    int rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *m = mmap(NULL, 4 * PAGE, rw, flags, -1, 0);
    memset(m, 'm', 4 * PAGE);
    CHECK(munmap(m + 2 * PAGE, 2 * PAGE) == 0);
    CHECK(mremap(m, 2 * PAGE, 3 * PAGE, 0) == m && m[2 * PAGE] == 0);
    char *block = mmap(m + 3 * PAGE, PAGE, rw, flags | MAP_FIXED, -1, 0);
    CHECK(mremap(m, 3 * PAGE, 4 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
    char *n = mremap(m, 3 * PAGE, 40 * PAGE, MREMAP_MAYMOVE);
    CHECK(n != MAP_FAILED && n != m && n[0] == 'm' && n[2 * PAGE - 1] == 'm' && n[39 * PAGE] == 0);
    CHECK(touch(m, false) == SIGSEGV);
    CHECK(mremap(n, 40 * PAGE, PAGE, 0) == n && touch(n + PAGE, false) == SIGSEGV);
    munmap(n, PAGE);
    munmap(block, PAGE);
}

static void test_mapped_file(void)
{
    char text[3 * PAGE];
    int fd = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
    memset(text, 'f', sizeof text);
    CHECK(fd >= 0 && write(fd, text, 2 * PAGE + 10) == 2 * PAGE + 10);
    char *private = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *common = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(private != MAP_FAILED && common != MAP_FAILED);
    CHECK(private[2 * PAGE + 9] == 'f' && private[2 * PAGE + 10] == 0);
    CHECK(touch(private + 3 * PAGE, false) == SIGBUS && touch(common + 3 * PAGE, true) == SIGBUS);
    private[0] = 'p';
    common[1] = 'c';
    CHECK(pread(fd, text, 2, 0) == 2 && text[0] == 'f' && text[1] == 'c');
    CHECK(pwrite(fd, "W", 1, PAGE) == 1 && common[PAGE] == 'W' && private[PAGE] == 'W');
    CHECK(ftruncate(fd, PAGE) == 0 && touch(common + PAGE, false) == SIGBUS);
    CHECK(ftruncate(fd, 2 * PAGE) == 0 && common[PAGE] == 0);
    CHECK(private[0] == 'p');
    munmap(private, 4 * PAGE);
    munmap(common, 4 * PAGE);
    close(fd);
    fd = open("/tmp/mapped", O_RDONLY);
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    close(fd);
    unlink("/tmp/mapped");
}

/* ---------------------------------------------------------------- FPU */

static void set_xmm(const uint64_t v[4])
{
    __asm__ volatile("movdqu (%0), %%xmm6\n\tmovdqu 16(%0), %%xmm15" : : "r"(v) : "xmm6", "xmm15", "memory");
}

static bool xmm_is(const uint64_t v[4])
{
    uint64_t got[4];
    __asm__ volatile("movdqu %%xmm6, (%0)\n\tmovdqu %%xmm15, 16(%0)" : : "r"(got) : "memory");
    return memcmp(got, v, sizeof got) == 0;
}

/* Registers and a control word of its own, looked at until some slices have passed. */
__attribute__((target("avx"))) static void spin_avx(uint64_t pattern, double until)
{
    uint64_t v[4] = {pattern, pattern * 3, pattern * 5, pattern * 7}, got[4];
    uint32_t mxcsr = 0x1f80 | (pattern & 3) << 13, mxcsr_got;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    while (now() < until) {
        __asm__ volatile("vmovdqu (%2), %%ymm9\n\tmov $200000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b\n\tvmovdqu %%ymm9, (%1)"
                         "\n\tstmxcsr %0"
                         : "=m"(mxcsr_got)
                         : "r"(got), "r"(v)
                         : "ecx", "xmm9", "memory");
        CHECK(memcmp(got, v, sizeof got) == 0);
        CHECK((mxcsr_got & ~0x3fu) == mxcsr);
    }
}

static void spin_sse(uint64_t pattern, double until)
{
    uint64_t v[4] = {pattern, pattern * 3, pattern * 5, pattern * 7};
    while (now() < until) {
        uint64_t got[4];
        __asm__ volatile("movdqu (%1), %%xmm6\n\tmovdqu 16(%1), %%xmm15\n\tmov $200000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b"
                         "\n\tmovdqu %%xmm6, (%0)\n\tmovdqu %%xmm15, 16(%0)"
                         :
                         : "r"(got), "r"(v)
                         : "ecx", "xmm6", "xmm15", "memory");
        CHECK(memcmp(got, v, sizeof got) == 0);
    }
}

static void test_fpu_preemption(void)
{
    double until = now() + 0.3;
    bool avx = __builtin_cpu_supports("avx");
    pid_t pids[3];
    fflush(stdout);
    for (unsigned i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            if (avx)
                spin_avx(0x1111111111111111u * (i + 1), until);
            else
                spin_sse(0x1111111111111111u * (i + 1), until);
            fflush(stdout);
            _exit(test_failed);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        int status = -1;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
}

static void test_fpu_fork(void)
{
    static const uint64_t v[4] = {0x1234, 0x5678, 0x9abc, 0xdef0};
    int status = -1;
    fflush(stdout);
    set_xmm(v);
    long pid = syscall(SYS_fork);
    bool kept = xmm_is(v);
    if (pid == 0)
        syscall(SYS_exit_group, kept ? 0 : 1);
    CHECK(kept && waitpid((pid_t)pid, &status, 0) == pid && status == 0);
}

static void clobber(int signal)
{
    static const uint64_t other[4] = {1, 2, 3, 4};
    (void)signal;
    set_xmm(other);
}

static void test_fpu_signal(void)
{
    static const uint64_t v[4] = {0xaaaa, 0xbbbb, 0xcccc, 0xdddd};
    signal(SIGUSR1, clobber);
    set_xmm(v);
    syscall(SYS_kill, getpid(), SIGUSR1);
    CHECK(xmm_is(v));
    signal(SIGUSR1, SIG_DFL);
}

/* ---------------------------------------------------------------- signals */

static volatile int got_signal, got_code, got_pid, got_status, got_count;
static volatile bool on_stack;
static char alternate[64 << 10];

static void on_signal(int signal, siginfo_t *info, void *context)
{
    char here;
    (void)context;
    got_signal = signal;
    got_code = info->si_code;
    got_pid = info->si_pid;
    got_status = info->si_status;
    got_count++;
    on_stack = &here >= alternate && &here < alternate + sizeof alternate;
}

static void catch (int signal, int flags)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    got_signal = got_count = 0;
    sigaction(signal, &action, NULL);
}

static void test_siginfo(void)
{
    catch (SIGUSR1, 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK(got_signal == SIGUSR1 && got_code == SI_USER && got_pid == getpid());
    CHECK(raise(SIGUSR1) == 0 && got_code == SI_TKILL && got_count == 2);
    catch (SIGCHLD, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(9);
    while (!got_signal)
        usleep(1000);
    CHECK(got_signal == SIGCHLD && got_code == CLD_EXITED && got_pid == pid && got_status == 9);
    CHECK(waitpid(pid, NULL, 0) == pid);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    CHECK(kill(getpid(), 0) == 0 && kill(999999, 0) == -1 && errno == ESRCH);
    CHECK(kill(getpid(), 65) == -1 && errno == EINVAL);
    CHECK(signal(SIGKILL, SIG_IGN) == SIG_ERR && errno == EINVAL);
}

static void test_masks(void)
{
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    catch (SIGUSR2, 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    raise(SIGUSR2);
    raise(SIGUSR2);
    CHECK(got_count == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2));
    sigset_t none = old;
    sigdelset(&none, SIGUSR2);
    CHECK(sigsuspend(&none) == -1 && errno == EINTR && got_count == 1);
    raise(SIGUSR2);
    CHECK(got_count == 1);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && got_count == 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct timespec short_time = {0, 20000000};
    siginfo_t info;
    CHECK(sigtimedwait(&set, &info, &short_time) == -1 && errno == EAGAIN);
    raise(SIGUSR2);
    CHECK(sigtimedwait(&set, &info, &short_time) == SIGUSR2 && info.si_signo == SIGUSR2);
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK(got_count == 2);
    signal(SIGUSR2, SIG_DFL);
}

static void overflow(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK(sigaltstack(&stack, NULL) == 0);
    catch (SIGUSR1, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(got_count == 1 && on_stack);
    catch (SIGUSR1, 0);
    raise(SIGUSR1);
    CHECK(got_count == 1 && !on_stack);
}

/* Changes a register and the place to go on at through the context. */
static void skip_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)info;
    got_signal = signal;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_RBX] = 0x5eed;
}

static void test_context(void)
{
    struct sigaction action = {.sa_sigaction = skip_fault, .sa_flags = SA_SIGINFO};
    uint64_t rbx;
    sigaction(SIGILL, &action, NULL);
    __asm__ volatile("xor %%ebx, %%ebx\n\tud2\n\tmov %%rbx, %0" : "=r"(rbx) : : "rbx", "memory");
    CHECK(got_signal == SIGILL && rbx == 0x5eed);
    signal(SIGILL, SIG_DFL);
}

static void die_by_fault(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* blocking does not help */
    *(volatile char *)NULL = 1;
}

static void divide(void)
{
    volatile int zero = 0;
    in_data = 7 / zero;
}

static void trap(void)
{
    __asm__ volatile("int3");
}

static void privileged(void)
{
    __asm__ volatile("hlt");
}

static void test_deaths(void)
{
    CHECK_CHILD(overflow);
    CHECK(in_child(die_by_fault) == SIGSEGV);
    CHECK(in_child(divide) == SIGFPE);
    CHECK(in_child(trap) == SIGTRAP);
    CHECK(in_child(privileged) == SIGSEGV);
    CHECK((in_child(abort) & 0x7f) == SIGABRT);
}

static void kill_parent_soon(void)
{
    usleep(50000);
    kill(getppid(), SIGUSR1);
    usleep(50000);
}

static pid_t start(void (*function)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        function();
        _exit(0);
    }
    return pid;
}

static int restart_fds[2];

static void interrupt_then_write(void)
{
    kill_parent_soon();
    write(restart_fds[1], "r", 1);
}

static void test_interruption(void)
{
    char c = 0;
    CHECK(pipe(restart_fds) == 0);
    catch (SIGUSR1, 0);
    pid_t pid = start(kill_parent_soon);
    CHECK(read(restart_fds[0], &c, 1) == -1 && errno == EINTR && got_count == 1);
    waitpid(pid, NULL, 0);
    catch (SIGUSR1, SA_RESTART);
    pid = start(interrupt_then_write);
    CHECK(read(restart_fds[0], &c, 1) == 1 && c == 'r' && got_count == 1);
    waitpid(pid, NULL, 0);
    pid = start(kill_parent_soon);
    struct timespec time = {10, 0}, left = {0, 0};
    CHECK(nanosleep(&time, &left) == -1 && errno == EINTR && left.tv_sec == 9);
    waitpid(pid, NULL, 0);
    pid = start(kill_parent_soon);
    CHECK(poll(NULL, 0, 10000) == -1 && errno == EINTR);
    waitpid(pid, NULL, 0);
    close(restart_fds[0]);
    close(restart_fds[1]);
    signal(SIGUSR1, SIG_DFL);
}

static void test_alarm(void)
{
    struct itimerval every = {{0, 20000}, {0, 20000}}, none = {{0, 0}, {0, 0}}, left;
    catch (SIGALRM, 0);
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
    while (got_count < 3)
        pause();
    CHECK(setitimer(ITIMER_REAL, &none, &left) == 0);
    int count = got_count;
    usleep(60000);
    CHECK(got_count == count);
    CHECK(alarm(100) == 0 && alarm(0) == 100);
    signal(SIGALRM, SIG_DFL);
}

/* ---------------------------------------------------------------- pipes and poll */

static void test_pipe(void)
{
    static char big[200000], got[200000];
    int fd[2], status;
    CHECK(pipe2(fd, O_NONBLOCK) == 0);
    CHECK(read(fd[0], got, 1) == -1 && errno == EAGAIN);
    size_t total = 0;
    ssize_t n;
    while ((n = write(fd[1], big, PAGE)) > 0)
        total += (size_t)n;
    CHECK(errno == EAGAIN && total == 65536);
    CHECK(read(fd[0], got, 100) == 100);
    CHECK(write(fd[1], big, 200) == -1 && errno == EAGAIN); /* what is short goes in as a whole */
    close(fd[1]);
    CHECK(read(fd[0], got, sizeof got) == 65536 - 100 && read(fd[0], got, 1) == 0);
    close(fd[0]);
    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 251);
    CHECK(pipe(fd) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        _exit(write(fd[1], big, sizeof big) == sizeof big ? 0 : 1); /* waits for room again and again */
    }
    close(fd[1]);
    for (total = 0; (n = read(fd[0], got + total, 3000)) > 0;)
        total += (size_t)n;
    CHECK(total == sizeof big && memcmp(big, got, sizeof big) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(fd[0]);
    CHECK(pipe(fd) == 0);
    struct iovec parts[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, places[2] = {{got, 1}, {got + 10, 100}};
    CHECK(writev(fd[1], parts, 3) == 5 && readv(fd[0], places, 2) >= 1 && got[0] == 'a');
    close(fd[0]);
    signal(SIGPIPE, SIG_IGN);
    CHECK(write(fd[1], "x", 1) == -1 && errno == EPIPE);
    signal(SIGPIPE, SIG_DFL);
    close(fd[1]);
}

static void test_poll(void)
{
    int fd[2];
    char c;
    CHECK(pipe(fd) == 0);
    struct pollfd in = {fd[0], POLLIN, 0};
    double before = now();
    CHECK(poll(&in, 1, 50) == 0 && now() - before >= 0.05);
    CHECK(poll(&in, 1, 0) == 0);
    write(fd[1], "x", 1);
    CHECK(poll(&in, 1, -1) == 1 && in.revents == POLLIN);
    struct pollfd both[3] = {{fd[0], POLLIN, 0}, {fd[1], POLLOUT, 0}, {77, POLLIN, 0}};
    CHECK(poll(both, 3, 1000) == 3 && both[1].revents == POLLOUT && both[2].revents == POLLNVAL);
    fd_set read_set, write_set;
    FD_ZERO(&read_set);
    FD_ZERO(&write_set);
    FD_SET(fd[0], &read_set);
    FD_SET(fd[1], &write_set);
    struct timeval tv = {1, 0};
    CHECK(select(fd[1] + 1, &read_set, &write_set, NULL, &tv) == 2 && FD_ISSET(fd[0], &read_set));
    read(fd[0], &c, 1);
    tv = (struct timeval){0, 20000};
    CHECK(select(fd[0] + 1, &read_set, NULL, NULL, &tv) == 0 && !FD_ISSET(fd[0], &read_set));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        usleep(30000);
        write(fd[1], "y", 1);
        _exit(0);
    }
    CHECK(poll(&in, 1, 10000) == 1 && in.revents == POLLIN);
    waitpid(pid, NULL, 0);
    close(fd[1]);
    read(fd[0], &c, 1);
    CHECK(poll(&in, 1, 1000) == 1 && in.revents == POLLHUP);
    close(fd[0]);
}

/* ---------------------------------------------------------------- wait */

static void stop_self(void)
{
    raise(SIGSTOP);
    _exit(4);
}

static void kill_self(void)
{
    raise(SIGKILL);
}

static void test_wait(void)
{
    int status;
    CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
    CHECK(in_child(kill_self) == SIGKILL);
    pid_t pid = start(stop_self);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(waitpid(pid, &status, WNOHANG | WUNTRACED) == 0);
    kill(pid, SIGCONT);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 4);
    pid = start(stop_self);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid);
    kill(pid, SIGTERM); /* waits with it until it goes on */
    CHECK(waitpid(pid, &status, WNOHANG) == 0);
    kill(pid, SIGCONT);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    signal(SIGCHLD, SIG_IGN);
    pid = start(kill_self);
    CHECK(waitpid(pid, &status, 0) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
    pid_t two[2] = {start(kill_self), start(kill_self)};
    pid_t first = wait(NULL), second = wait(NULL);
    CHECK((first == two[0] && second == two[1]) || (first == two[1] && second == two[0]));
}

/* Signals to a group reach its members and nobody else. */
static void test_groups(void)
{
    pid_t pids[2];
    int status;
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            setpgid(0, pids[0]);
            for (;;)
                pause();
        }
        setpgid(pids[i], pids[0]);
    }
    CHECK(getpgid(pids[1]) == pids[0] && getsid(pids[1]) == getsid(0));
    CHECK(waitpid(-pids[0], &status, WNOHANG) == 0);
    CHECK(kill(-pids[0], SIGTERM) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(waitpid(-pids[0], &status, 0) > 0 && WTERMSIG(status) == SIGTERM);
}

/* ---------------------------------------------------------------- exec */

static void exec_self(void)
{
    char *const argv[] = {"the name", "--print", "an argument", "", NULL}, *const envp[] = {"A=1", "B=2", NULL};
    int fd = open("/dev/null", O_RDWR);
    dup2(fd, 50);
    fcntl(50, F_SETFD, FD_CLOEXEC);
    dup2(fd, 51);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, clobber);
    execve(self, argv, envp);
}

/* What a program that was started like that finds. */
static int print(int argc, char **argv)
{
    struct sigaction one, two;
    sigaction(SIGUSR1, NULL, &one);
    sigaction(SIGUSR2, NULL, &two);
    bool good = argc == 4 && !strcmp(argv[0], "the name") && !strcmp(argv[2], "an argument") && !*argv[3] &&
                getenv("A") && getenv("B") && !strcmp(getenv("B"), "2") && fcntl(50, F_GETFD) == -1 &&
                fcntl(51, F_GETFD) == 0 && one.sa_handler == SIG_IGN && two.sa_handler == SIG_DFL;
    return good ? 0 : 1;
}

static void test_exec(void)
{
    CHECK_CHILD(exec_self);
    char *const argv[] = {"x", NULL};
    CHECK(execv("/nowhere", argv) == -1 && errno == ENOENT);
    CHECK(execv("/tmp", argv) == -1 && errno == EACCES);
    int fd = open("/tmp/junk", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    write(fd, "\177ELFjunk", 8);
    close(fd);
    CHECK(execv("/tmp/junk", argv) == -1 && errno == ENOEXEC);
    chmod("/tmp/junk", 0644);
    CHECK(execv("/tmp/junk", argv) == -1 && errno == EACCES);
    unlink("/tmp/junk");
    CHECK(syscall(SYS_execve, self, 8, NULL) == -1 && errno == EFAULT);
}

/* ---------------------------------------------------------------- files */

static void test_files(void)
{
    char buf[100];
    struct stat st, st2;
    mkdir("/tmp/f", 0755);
    CHECK(chdir("/tmp/f") == 0);
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0 && open("a", O_CREAT | O_EXCL, 0644) == -1 && errno == EEXIST);
    CHECK(write(fd, "0123456789", 10) == 10 && lseek(fd, 20000, SEEK_SET) == 20000 && write(fd, "e", 1) == 1);
    CHECK(pread(fd, buf, 5, 8) == 5 && !memcmp(buf, "89\0\0\0", 5));
    CHECK(fstat(fd, &st) == 0 && st.st_size == 20001 && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0644);
    CHECK(ftruncate(fd, 5) == 0 && ftruncate(fd, 10) == 0 && pread(fd, buf, 20, 0) == 10);
    CHECK(!memcmp(buf, "01234\0\0\0\0\0", 10));
    int copy = dup(fd), append = open("a", O_WRONLY | O_APPEND);
    CHECK(lseek(copy, 3, SEEK_SET) == 3 && read(fd, buf, 1) == 1 && buf[0] == '3');
    CHECK(write(append, "end", 3) == 3 && fstat(fd, &st) == 0 && st.st_size == 13);
    CHECK(read(append, buf, 1) == -1 && errno == EBADF);
    CHECK(link("a", "b") == 0 && stat("b", &st2) == 0 && st2.st_ino == st.st_ino && st2.st_nlink == 2);
    CHECK(unlink("a") == 0 && access("a", F_OK) == -1 && errno == ENOENT);
    CHECK(symlink("b", "s") == 0 && lstat("s", &st2) == 0 && S_ISLNK(st2.st_mode) && st2.st_size == 1);
    CHECK(stat("s", &st2) == 0 && st2.st_ino == st.st_ino && readlink("s", buf, 10) == 1 && buf[0] == 'b');
    CHECK(symlink("loop", "loop") == 0 && open("loop", O_RDONLY) == -1 && errno == ELOOP);
    CHECK(mkdir("d", 0700) == 0 && mkdir("d", 0700) == -1 && errno == EEXIST && mkdir("d/e", 0700) == 0);
    CHECK(rmdir("d") == -1 && errno == ENOTEMPTY && rename("d", "d/e/f") == -1 && errno == EINVAL);
    CHECK(rename("b", "d/e/b") == 0 && stat("d/e/b", &st2) == 0 && st2.st_ino == st.st_ino);
    CHECK(rename("d/e/b", "d/e") == -1 && errno == ENOTEMPTY && rename("d/e", "g") == 0 && stat("g/b", &st2) == 0);
    CHECK(mkdir("h", 0700) == 0 && rename("g/b", "h") == -1 && errno == EISDIR && rmdir("h") == 0);
    CHECK(unlink("g") == -1 && errno == EISDIR && rmdir("g/b") == -1 && errno == ENOTDIR);
    CHECK(open("g/b/c", O_RDONLY) == -1 && errno == ENOTDIR && open("g", O_WRONLY) == -1 && errno == EISDIR);
    CHECK(unlink("g/b") == 0 && pread(fd, buf, 13, 0) == 13); /* lives while it is open */
    CHECK(chdir("g") == 0 && rmdir("../g") == 0 && open("x", O_CREAT | O_RDWR, 0644) == -1 && errno == ENOENT);
    CHECK(chdir("/tmp/f") == 0 && getcwd(buf, sizeof buf) == buf && !strcmp(buf, "/tmp/f"));
    close(fd), close(copy), close(append);
    unlink("s"), unlink("loop"), rmdir("d"), chdir("/");
    CHECK(rmdir("/tmp/f") == 0);
}

static void test_directory(void)
{
    char name[40];
    unsigned seen = 0;
    mkdir("/tmp/dir", 0755);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "/tmp/dir/a rather long name %u", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    DIR *dir = opendir("/tmp/dir");
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        CHECK(e->d_type == DT_REG);
        snprintf(name, sizeof name, "/tmp/dir/%.30s", e->d_name);
        CHECK(unlink(name) == 0); /* while it is being read */
        seen++;
    }
    closedir(dir);
    CHECK(seen == 300 && rmdir("/tmp/dir") == 0);
}

/* ---------------------------------------------------------------- what a program should not do */

/* Calls with arguments that lead nowhere. */
static void test_bad_pointers(void)
{
    static const long bad[] = {0, 8, 0x7ffffffff000, -4096, -1, (long)0xffff800000000000};
    int fd[2];
    CHECK(pipe(fd) == 0);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *p = (char *)bad[i];
        CHECK(write(fd[1], p, 10) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_open, p, O_RDONLY) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_stat, "/", p) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_pipe, p) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_rt_sigaction, SIGUSR1, p ? p : (char *)8, NULL, 8) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_uname, p) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_writev, fd[1], p, 2) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_poll, p ? p : (char *)8, 1, 0) == -1 && errno == EFAULT);
    }
    static char byte;
    CHECK(write(fd[1], &byte, 1) == 1 && syscall(SYS_read, fd[0], 8, 1) == -1 && errno == EFAULT);
    CHECK(read(fd[0], &byte, 1) == 1); /* it was not lost */
    close(fd[0]);
    close(fd[1]);
}

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static uint64_t random_argument(char *page)
{
    switch (next_random() % 8) {
    case 0:
        return next_random();
    case 1:
        return (uint64_t)page + next_random() % 64;
    case 2:
        return (uint64_t)page + PAGE - next_random() % 16;
    case 3:
        return -(next_random() % 4096);
    case 4:
        return 0x7ffffffff000 - next_random() % 8192;
    case 5:
        return 1ull << next_random() % 64;
    default:
        return next_random() % 12;
    }
}

/* Any call with any arguments, but those that would end the test or leave the rules of the game. */
static void random_calls(void)
{
    static const short not_these[] = {SYS_fork, SYS_vfork, SYS_clone, SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill,
        SYS_tgkill, SYS_reboot, SYS_pause, SYS_rt_sigsuspend, SYS_sigaltstack, SYS_rt_sigtimedwait, SYS_nanosleep,
        SYS_clock_nanosleep, SYS_rt_sigreturn, SYS_unlink, SYS_rename, SYS_ioctl, SYS_write, SYS_writev, SYS_pwrite64};
    char *page = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page, PAGE);
    munmap(page + 2 * PAGE, PAGE);
    page += PAGE;
    for (unsigned i = 0; i < 200; i++) {
        long number = (long)(next_random() % 340);
        bool skip = false;
        for (unsigned n = 0; n < sizeof not_these / sizeof *not_these; n++)
            skip |= number == not_these[n];
        if (skip)
            continue;
        for (unsigned n = 0; n < 16; n++)
            ((uint64_t *)page)[n] = random_argument(page);
        syscall(number, random_argument(page), random_argument(page), random_argument(page), random_argument(page),
            random_argument(page), random_argument(page));
    }
}

static void test_random_calls(void)
{
    if (getpid() != 1 && !getenv("RANDOM_CALLS"))
        return; /* not on a machine that somebody needs */
    for (unsigned i = 0; i < scaled(200); i++) {
        random_state = 0x9e3779b97f4a7c15u * (i + 1);
        pid_t pid = start(random_calls), ended = 0;
        CHECK(pid > 0);
        /* It may have gone to sleep for ever, and even the alarm may be off. */
        for (unsigned ms = 0; !ended && ms < 1000; ms++) {
            usleep(1000);
            ended = waitpid(pid, NULL, WNOHANG);
        }
        kill(pid, SIGKILL);
        CHECK(ended == pid || waitpid(pid, NULL, 0) == pid);
    }
}

/* ---------------------------------------------------------------- memory */

static long memory_used(void)
{
    char text[1000] = "";
    int fd = open("/proc/meminfo", O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    const char *at = strstr(text, "MemUsed:");
    return at ? atol(at + 8) : -1;
}

static void use_memory(void)
{
    in_data++;
    memset(malloc(100000), 1, 100000);
    close(open("/tmp/some file", O_CREAT | O_WRONLY, 0644));
    unlink("/tmp/some file");
}

static void test_memory_comes_back(void)
{
    for (unsigned i = 0; i < 3; i++)
        CHECK_CHILD(use_memory);
    long before = memory_used();
    for (unsigned i = 0; i < scaled(10000); i++) {
        if (in_child(use_memory) != 0) {
            CHECK(!"a child failed");
            break;
        }
    }
    CHECK(memory_used() == before);
}

static const struct test tests[] = {
    {"fork copies on write", test_fork},
    {"vfork borrows", test_vfork},
    {"mmap, munmap, mprotect", test_mmap},
    {"brk", test_brk},
    {"mremap", test_mremap},
    {"mapped files", test_mapped_file},
    {"FPU state across preemption", test_fpu_preemption},
    {"FPU state across fork", test_fpu_fork},
    {"FPU state across signals", test_fpu_signal},
    {"siginfo", test_siginfo},
    {"signal masks", test_masks},
    {"a handler changes the context", test_context},
    {"deaths by fault, and the alternate stack", test_deaths},
    {"calls that signals interrupt", test_interruption},
    {"alarms", test_alarm},
    {"pipes, full and empty", test_pipe},
    {"poll and select", test_poll},
    {"wait", test_wait},
    {"process groups", test_groups},
    {"exec", test_exec},
    {"files", test_files},
    {"a directory that is emptied while it is read", test_directory},
    {"bad pointers", test_bad_pointers},
    {"random calls", test_random_calls},
    {"memory comes back", test_memory_comes_back},
};

int main(int argc, char **argv)
{
    unsigned count = sizeof tests / sizeof *tests, failures = 0;
    if (argc > 1 && !strcmp(argv[1], "--print"))
        return print(argc, argv);
    self = argv[0];
    if (argc > 1 && atoi(argv[1]) > 0)
        divisor = (unsigned)atoi(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < count; i++) {
        if (argc > 2 && !strstr(tests[i].name, argv[2]))
            continue;
        double before = now();
        test_failed = false;
        tests[i].function();
        if (getenv("TIMES"))
            printf("# %.3f s\n", now() - before);
        printf("%sok %u - %s\n", test_failed ? "not " : "", i + 1, tests[i].name);
        failures += test_failed;
    }
    if (argc <= 2)
        printf("1..%u\n", count);
    return failures != 0;
}
