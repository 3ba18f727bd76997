/* SPDX-License-Identifier: MIT */
/*
 * A program without libc, that makes the system calls that its arguments name, each in its own way, and prints what
 * comes of it. It makes no others, but for write and exit_group.
 */
#include <asm/unistd.h>
#include <linux/elf.h>

typedef unsigned long word;

static long call(word number, word a, word b, word c, word d)
{
    register word r10 __asm__("r10") = d;
    register word r8 __asm__("r8") = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static word length(const char *text)
{
    word n = 0;
    while (text[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void say(const char *text)
{
    call(__NR_write, 1, (word)text, length(text), 0);
}

/* "socket: -1", or "socket: done": which number a descriptor has is of no interest. */
static void told(const char *name, long result)
{
    char digits[] = "-0000\n";
    say(name);
    if (result >= 0 || result < -4095) {
        say(": done\n");
        return;
    }
    result = -result;
    for (int i = 4; i > 0; i--, result /= 10)
        digits[i] = (char)('0' + result % 10);
    say(": ");
    say(digits);
}

#define AF_UNIX 1
#define SOCK_STREAM 1
#define SIGUSR1 10
#define SA_RESTORER 0x04000000ul
#define SOCKET AF_UNIX, SOCK_STREAM, 0, 0

static void handler(int sig)
{
    (void)sig;
    told("socket in a handler", call(__NR_socket, SOCKET));
}

extern void restorer(void);
__asm__("restorer: mov $15, %eax; syscall");

static void in_handler(void)
{
    struct {
        void (*handler)(int);
        word flags;
        void (*restorer)(void);
        word mask;
    } action = {handler, SA_RESTORER, restorer, 0};
    call(__NR_rt_sigaction, SIGUSR1, (word)&action, 0, 8);
    call(__NR_tgkill, (word)call(__NR_getpid, 0, 0, 0, 0), (word)call(__NR_gettid, 0, 0, 0, 0), SIGUSR1, 0);
    say("back\n");
}

/* As 32-bit programs do: socket is 359 there. */
static void int80(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(359), "b"(AF_UNIX), "c"(SOCK_STREAM), "d"(0) : "memory");
    told("int 0x80", (int)result);
}

/* time() of the page at a fixed address. */
static void vsyscall(void)
{
    told("vsyscall", ((long (*)(long *))0xffffffffff600400)(0));
}

static void one(const char *name, char **argv, char **envp, int has_vdso)
{
    char page[4096];
    if (same(name, "socket"))
        told(name, call(__NR_socket, SOCKET));
    else if (same(name, "socket, high half set"))
        told(name, call(0xdead00000000ul | __NR_socket, SOCKET));
    else if (same(name, "socket of x32"))
        told(name, call(0x40000000 | __NR_socket, SOCKET));
    else if (same(name, "getcwd"))
        told(name, call(__NR_getcwd, (word)page, sizeof page, 0, 0));
    else if (same(name, "mmap"))
        told(name, call(__NR_mmap, 0, 4096, 3, 0x22));
    else if (same(name, "mprotect"))
        told(name, call(__NR_mprotect, 0, 0, 0, 0));
    else if (same(name, "rt_sigprocmask"))
        told(name, call(__NR_rt_sigprocmask, 0, 0, 0, 8));
    else if (same(name, "fork"))
        told(name, call(__NR_fork, 0, 0, 0, 0));
    else if (same(name, "arch_prctl"))
        told(name, call(__NR_arch_prctl, 0x1003, (word)page, 0, 0));
    else if (same(name, "no such call"))
        told(name, call(5000, 0, 0, 0, 0));
    else if (same(name, "exec"))
        told(name, call(__NR_execve, (word) "/proc/self/exe", (word)argv, (word)envp, 0));
    else if (same(name, "handler"))
        in_handler();
    else if (same(name, "int80"))
        int80();
    else if (same(name, "vsyscall"))
        vsyscall();
    else if (same(name, "vdso"))
        say(has_vdso ? "there is a vDSO\n" : "there is no vDSO\n");
    else
        say("what?\n");
}

__attribute__((used)) static void begin(word *stack)
{
    char **argv = (char **)stack + 1, **envp = argv + stack[0] + 1;
    word *auxv = (word *)envp;
    int has_vdso = 0;
    while (*auxv++)
        ;
    for (; auxv[0]; auxv += 2)
        has_vdso |= auxv[0] == 33 && auxv[1]; /* AT_SYSINFO_EHDR */
    for (char **name = argv + 1; *name; name++)
        one(*name, name, envp, has_vdso);
    call(__NR_exit_group, 7, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi; and $-16, %rsp; call begin");
