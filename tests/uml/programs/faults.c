/* SPDX-License-Identifier: MIT */
/* What a handler is told of each fault that a program can make, and that it can go on behind it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static char *page;
static int quiet;

static void handler(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    char *address = info->si_addr;

    printf("signal %d code %d, trap %lld error %lld, address ", signal, info->si_code,
        uc->uc_mcontext.gregs[REG_TRAPNO], uc->uc_mcontext.gregs[REG_ERR]);
    if (quiet)
        printf("of the stack\n");
    else if (address >= page && address < page + 3 * 4096L)
        printf("page + %ld\n", (long)(address - page));
    else if (address == (char *)uc->uc_mcontext.gregs[REG_RIP])
        printf("of the instruction\n");
    else
        printf("%p\n", (void *)address);
    siglongjmp(back, 1);
}

#define TRY(name, code)                                                                                                \
    do {                                                                                                               \
        printf("%s: ", name);                                                                                          \
        fflush(stdout);                                                                                                \
        if (!sigsetjmp(back, 1)) {                                                                                     \
            code;                                                                                                      \
            printf("nothing\n");                                                                                       \
        }                                                                                                              \
    } while (0)

/* Down the stack to its end. */
static void overflow(void)
{
    __asm__ volatile("1: sub $4096, %%rsp; orq $0, (%%rsp); jmp 1b" ::: "memory", "cc");
}

int main(void)
{
    static char stack[65536];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    int status;
    int file = memfd_create("file", 0);

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        sigaction(signals[i], &action, NULL);
    page = mmap(NULL, 3 * 4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    munmap(page + 2 * 4096L, 4096);

    TRY("reading 0", (void)*(volatile char *)8);
    TRY("writing 0", *(volatile char *)8 = 1);
    TRY("calling 0", ((void (*)(void))8)());
    TRY("writing what is read-only", *(volatile char *)(page + 16) = 1);
    TRY("reading what has no rights", (void)*(volatile char *)(page + 4096 + 16));
    TRY("reading what is not mapped", (void)*(volatile char *)(page + 2 * 4096L + 16));
    TRY("an address that is none", (void)*(volatile char *)0x8000000000000000ul);
    TRY("a privileged instruction", __asm__ volatile("hlt"));
    TRY("a port", __asm__ volatile("outb %%al, $0x80" ::"a"(0)));
    TRY("a division", __asm__ volatile("idivl %k0" ::"r"(0), "a"(1), "d"(0)));
    TRY("no instruction", __asm__ volatile("ud2"));
    TRY("a breakpoint", __asm__ volatile("int3"));
    TRY("a step", __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" ::: "cc", "memory"));
    TRY("an SSE exception", {
        unsigned int mxcsr = 0x1f80 & ~0x80u;
        __asm__ volatile("ldmxcsr %0; pxor %%xmm0, %%xmm0; divss %%xmm0, %%xmm0" ::"m"(mxcsr) : "xmm0");
    });
    TRY("an x87 exception", {
        unsigned short control = 0x37f & ~5u;
        __asm__ volatile("fninit; fldcw %0; fldz; fldz; fdivrp; fwait" ::"m"(control));
    });
    TRY("a misaligned SSE access", __asm__ volatile("movaps (%0), %%xmm0" ::"r"(stack + 1) : "xmm0"));
    if (ftruncate(file, 4096) == 0) {
        page = mmap(NULL, 2 * 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        TRY("behind a file", *(volatile char *)(page + 4096 + 5) = 1);
    }
    /* Without room for a frame the program is killed, and writes nowhere else. */
    if (fork() == 0) {
        alternate = (stack_t){.ss_sp = stack + 32768, .ss_size = 2048};
        memset(stack, 0x55, sizeof(stack));
        sigaltstack(&alternate, NULL);
        *(volatile char *)8 = 1;
    }
    wait(&status);
    printf("a small alternate stack: %s\n", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it went well");
    if (fork() == 0) {
        quiet = 1;
        if (!sigsetjmp(back, 1))
            overflow();
        _exit(17);
    }
    wait(&status);
    printf("the stack's end: status %d\n", WEXITSTATUS(status));
    return 0;
}
