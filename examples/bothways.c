/* SPDX-License-Identifier: MIT */
/*
 * One program, two ways to be privileged: hosted it is an ordinary Linux program linked with libpolder, resident it is
 * a kernel linked with libpolder-resident that `polder boot` runs in ring 0. It uses polder.h alone; say() is all that
 * differs.
 */
#include <polder/polder.h>
#if __STDC_HOSTED__
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void say(const char *text)
{
    fputs(text, stdout);
}
#else
#include <polder/resident.h>
static void say(const char *text)
{
    polder_console_write(text, strlen(text));
}
#endif

#define CODE 0x400000ull
#define DATA 0x600000ull
#define HIDDEN 0x601000ull

/* Adds 1 to the word at DATA at every system call; then reads HIDDEN, which it must not. */
static const unsigned char program[] = {
    0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x60, 0x00, /* 1: incq DATA */
    0x48, 0x8b, 0x3c, 0x25, 0x00, 0x00, 0x60, 0x00, /* mov DATA, %rdi */
    0x0f, 0x05,                                     /* syscall */
    0x85, 0xc0,                                     /* test %eax, %eax */
    0x75, 0xea,                                     /* jnz 1b */
    0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x60, 0x00, /* mov HIDDEN, %rax */
    0x0f, 0x0b,                                     /* ud2 */
};

static void say_number(const char *before, uint64_t n, const char *after)
{
    char digits[24], *at = digits + sizeof digits - 1;
    *at = 0;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    say(before);
    say(at);
    say(after);
}

static int failed(const char *what)
{
    say(what);
    say_number(" failed, errno ", (uint64_t)errno, "\n");
    return 1;
}

static int map(int space, uint64_t at, int prot)
{
    void *got = polder_mmap((void *)at, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, space);
    return got == MAP_FAILED ? failed("polder_mmap") : 0;
}

/* Runs until the program has been told to stop and has gone where it must not. */
static int run(const char *name, int space, uint64_t rounds)
{
    struct polder_params params;
    polder_params_init(&params);
    params.regs.rip = CODE;
    for (;;) {
        if (polder_run_sandbox(space, &params) < 0)
            return failed("polder_run_sandbox");
        if (params.reason != POLDER_SYSCALL)
            break;
        params.regs.rax = --rounds ? 1 : 0;
    }
    say(name);
    say_number(": counted to ", params.regs.rdi, "");
    say_number(", then reason ", params.reason, "");
    say_number(" at ", params.fault_addr, "");
    say_number(" with error code ", params.error_code, "\n");
    polder_params_fini(&params);
    return 0;
}

/* Where a sandbox is after so many single steps. */
static int step(int space, unsigned steps)
{
    struct polder_params params;
    polder_params_init(&params);
    params.regs.rip = CODE;
    params.flags = POLDER_SINGLE_STEP;
    for (unsigned i = 0; i < steps; i++) {
        if (polder_run_sandbox(space, &params) < 0)
            return failed("polder_run_sandbox");
    }
    say_number("two steps lead to ", params.regs.rip - CODE, "\n");
    polder_params_fini(&params);
    return 0;
}

/* A loop without end, ended by a deadline. */
static int spin(int space)
{
    static const unsigned char loop[] = {0xeb, 0xfe};
    struct polder_params params;
    polder_params_init(&params);
    params.regs.rip = CODE;
    params.deadline_ns = 2000000;
    if (polder_write(space, loop, sizeof loop, CODE) < 0 || polder_run_sandbox(space, &params) < 0)
        return failed("a run with a deadline");
    say(params.reason == POLDER_DEADLINE ? "a loop without end ended\n" : "the loop ended by itself?\n");
    polder_params_fini(&params);
    return 0;
}

int main(void)
{
    uint64_t secret = 42, count = 0;
    int space = polder_open("/proc/mm");
    if (space < 0)
        return failed("polder_open");
    if (map(space, CODE, PROT_READ | PROT_WRITE | PROT_EXEC) || map(space, DATA, PROT_READ | PROT_WRITE) ||
        map(space, HIDDEN, PROT_READ | PROT_WRITE))
        return 1;
    if (polder_write(space, program, sizeof program, CODE) != sizeof program ||
        polder_write(space, &secret, sizeof secret, HIDDEN) != sizeof secret)
        return failed("polder_write");
    if (polder_mprotect((void *)HIDDEN, 4096, PROT_READ | PROT_WRITE | POLDER_PRIVILEGED, space) < 0)
        return failed("polder_mprotect");
    if (run("first", space, 3))
        return 1;
    int copy = polder_copy(space);
    if (copy < 0)
        return failed("polder_copy");
    if (run("copy", copy, 4) || run("first", space, 1))
        return 1;
    if (polder_read(copy, &count, sizeof count, DATA) != sizeof count ||
        polder_read(space, &secret, sizeof secret, HIDDEN) != sizeof secret)
        return failed("polder_read");
    say_number("the copy's count is ", count, "");
    say_number(", what is hidden is ", secret, "\n");
    if (step(copy, 2) || spin(copy))
        return 1;
    close(copy);
    close(space);
    return 7;
}
