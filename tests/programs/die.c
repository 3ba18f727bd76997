/* SPDX-License-Identifier: MIT */
/* die HOW: every way to end. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline)) static int deeper(int n)
{
    volatile char pad[4096];
    pad[0] = (char)n;
    return n ? deeper(n + 1) + pad[0] : 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    const char *how = argv[1];
    int number = argc > 2 ? atoi(argv[2]) : 0;
    printf("about to %s\n", how);
    fflush(stdout);
    if (!strcmp(how, "exit"))
        exit(number);
    else if (!strcmp(how, "_exit"))
        syscall(SYS_exit, number);
    else if (!strcmp(how, "signal"))
        raise(number);
    else if (!strcmp(how, "abort"))
        abort();
    else if (!strcmp(how, "write"))
        *(volatile int *)0x10 = 1;
    else if (!strcmp(how, "wild"))
        *(volatile int *)0x123456789abc = 1;
    else if (!strcmp(how, "code"))
        *(volatile char *)(uintptr_t)main = 1;
    else if (!strcmp(how, "jump"))
        ((void (*)(void))(uintptr_t)argv)();
    else if (!strcmp(how, "jump-null"))
        ((void (*volatile)(void))0)();
    else if (!strcmp(how, "kernel"))
        *(volatile int *)0xffffffff81000000 = 1;
    else if (!strcmp(how, "not-canonical"))
        *(volatile int *)0x1234000000000000 = 1;
    else if (!strcmp(how, "stack"))
        return deeper(1);
    else if (!strcmp(how, "no-stack"))
        __asm__ volatile("xor %esp, %esp; push %rax");
    else if (!strcmp(how, "divide"))
        __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx" ::: "rax", "rcx", "rdx");
    else if (!strcmp(how, "ud2"))
        __asm__ volatile("ud2");
    else if (!strcmp(how, "int3"))
        __asm__ volatile("int3");
    else if (!strcmp(how, "hlt"))
        __asm__ volatile("hlt");
    else if (!strcmp(how, "trap-flag"))
        __asm__ volatile("pushf; orl $0x100, (%rsp); popf; nop");
    return 3;
}
