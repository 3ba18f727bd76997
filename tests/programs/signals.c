/* SPDX-License-Identifier: MIT */
/* Signal handlers run in the sandbox, with the machine state that they interrupt intact around them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count;
static sigjmp_buf back;

static void counting(int signal)
{
    (void)signal;
    count++;
    /* A handler that uses vector registers must not be felt outside. */
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm15, %%xmm15" ::: "xmm0", "xmm15");
}

static void describing(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    printf("signal %d code %d, trap %lld\n", signal, info->si_code, uc->uc_mcontext.gregs[REG_TRAPNO]);
    fflush(stdout);
    siglongjmp(back, 1);
}

static void skipping(int signal, siginfo_t *info, void *context)
{
    (void)info;
    ucontext_t *uc = context;
    printf("signal %d at ud2, going on behind it\n", signal);
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

static void set(int signal, void (*action)(int, siginfo_t *, void *), int flags)
{
    struct sigaction new = {.sa_sigaction = action, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &new, NULL);
}

static char alternate[65536];
static void on_alternate(int signal)
{
    char here;
    printf(
        "signal %d on the alternate stack: %d\n", signal, &here >= alternate && &here < alternate + sizeof(alternate));
    fflush(stdout);
    siglongjmp(back, 1);
}
/* Ends by running out of stack. */
__attribute__((noinline)) static int deeper(int n)
{
    volatile char pad[4096];
    pad[0] = (char)n;
    return n ? deeper(n + 1) + pad[0] : 0;
}

/* Spins on registers alone until the handler has run, and tells whether any of them changed. */
static int spin_and_compare(void)
{
    uint64_t changed;
    __asm__ volatile(
        "mov $0x1111, %%rax; mov $0x2222, %%rcx; mov $0x3333, %%r10; mov $0x4444, %%r11; mov $0x5555, %%r15\n"
        "movq %%rax, %%xmm0; movq %%rcx, %%xmm15\n"
        "movq $0x7777, -8(%%rsp)\n" /* the red zone */
        "1: pause; cmpl $0, %1; je 1b\n"
        "xor %%edx, %%edx\n"
        "cmp $0x1111, %%rax; setne %%dl; add %%rdx, %%rdx\n"
        "cmp $0x2222, %%rcx; setne %%cl; or %%cl, %%dl; add %%rdx, %%rdx\n"
        "cmp $0x3333, %%r10; setne %%cl; or %%cl, %%dl; add %%rdx, %%rdx\n"
        "cmp $0x4444, %%r11; setne %%cl; or %%cl, %%dl; add %%rdx, %%rdx\n"
        "cmp $0x5555, %%r15; setne %%cl; or %%cl, %%dl; add %%rdx, %%rdx\n"
        "movq %%xmm0, %%rcx; cmp $0x1111, %%rcx; setne %%cl; or %%cl, %%dl; add %%rdx, %%rdx\n"
        "movq %%xmm15, %%rcx; cmp $0x2222, %%rcx; setne %%cl; or %%cl, %%dl; add %%rdx, %%rdx\n"
        "cmpq $0x7777, -8(%%rsp); setne %%cl; or %%cl, %%dl\n"
        : "=&d"(changed)
        : "m"(count)
        : "rax", "rcx", "r10", "r11", "r15", "xmm0", "xmm15", "memory", "cc");
    return (int)changed;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction counter = {.sa_handler = counting};
    sigaction(SIGUSR1, &counter, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    printf("handled %d\n", (int)count);

    sigset_t mask, pending;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("blocked: handled %d, pending %d\n", (int)count, sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    printf("unblocked: handled %d\n", (int)count);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    printf("ignored: handled %d\n", (int)count);

    /* Every fault as a signal with its code. */
    set(SIGSEGV, describing, 0);
    set(SIGFPE, describing, 0);
    set(SIGILL, describing, 0);
    set(SIGTRAP, describing, 0);
    if (!sigsetjmp(back, 1))
        *(volatile int *)8 = 1;
    if (!sigsetjmp(back, 1))
        (void)*(volatile int *)(uintptr_t)0x8000000000000000; /* not canonical: a general protection fault */
    if (!sigsetjmp(back, 1))
        __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx" ::: "rax", "rcx", "rdx");
    if (!sigsetjmp(back, 1))
        __asm__ volatile("ud2");
    if (!sigsetjmp(back, 1))
        __asm__ volatile("int3");
    if (!sigsetjmp(back, 1))
        __asm__ volatile("hlt");
    if (!sigsetjmp(back, 1))
        __asm__ volatile("mov %%cr3, %%rax" ::: "rax");
    if (!sigsetjmp(back, 1))
        __asm__ volatile("out %%al, $0x80" ::: "rax");

    set(SIGILL, skipping, 0);
    uint64_t value;
    __asm__ volatile("ud2" : "=a"(value));
    printf("the handler's rax: %d\n", (int)value);

    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    sigaltstack(&stack, NULL);
    struct sigaction overflow = {.sa_handler = on_alternate, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &overflow, NULL);
    if (!sigsetjmp(back, 1))
        printf("%d\n", deeper(1));

    /* A signal in the middle of pure computation. */
    sigaction(SIGALRM, &counter, NULL);
    struct itimerval soon = {.it_value.tv_usec = 50000};
    for (int round = 0; round < 3; round++) {
        count = 0;
        setitimer(ITIMER_REAL, &soon, NULL);
        printf("changed registers: %d\n", spin_and_compare());
    }

    /* In the middle of a system call: EINTR without SA_RESTART. */
    int ends[2];
    if (pipe(ends))
        return 1;
    setitimer(ITIMER_REAL, &soon, NULL);
    char byte;
    ssize_t got = read(ends[0], &byte, 1);
    printf("interrupted read: %zd errno %d\n", got, got < 0 ? errno : 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    sigset_t none;
    sigemptyset(&none);
    int paused = sigsuspend(&none);
    printf("sigsuspend: %d errno %d\n", paused, errno);

    struct sigaction old;
    sigaction(SIGALRM, NULL, &old);
    printf("what sigaction tells: %d\n", old.sa_handler == counting);
    struct sigaction once = {.sa_handler = counting, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGUSR2, &once, NULL);
    raise(SIGUSR2);
    sigaction(SIGUSR2, NULL, &old);
    printf("SA_RESETHAND: default again %d\n", old.sa_handler == SIG_DFL);
    int refused = sigaction(SIGKILL, &counter, NULL);
    printf("sigaction of SIGKILL: %d errno %d\n", refused, errno);
    fflush(stdout);
    raise(SIGUSR2);
    printf("not reached\n");
    return 0;
}
