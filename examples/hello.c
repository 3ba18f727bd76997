/* SPDX-License-Identifier: MIT */
/* A space with one page of code in it, entered until it has said what it has to say. */
#include <polder/polder.h>
#include <stdio.h>

static const unsigned char code[] = {
    0xb8, 0x2a, 0, 0, 0, /* mov $42, %eax */
    0x0f, 0x05,          /* syscall */
    0x89, 0x03,          /* mov %eax, (%rbx) */
};

int main(void)
{
    struct polder_params params;
    int space = polder_open("/proc/mm");
    if (space < 0)
        return perror("polder_open"), 2;
    void *at = polder_mmap((void *)0x400000, sizeof code, PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, space);
    if (at == MAP_FAILED || polder_write(space, code, sizeof code, 0x400000) != sizeof code)
        return perror("polder_mmap"), 2;
    polder_params_init(&params);
    params.regs.rip = 0x400000;
    params.regs.rbx = 0x1234;
    while (polder_run_sandbox(space, &params) == 0 && params.reason == POLDER_SYSCALL) {
        printf("system call %llu\n", (unsigned long long)params.regs.orig_rax);
        params.regs.rax = 7; /* its result */
    }
    printf("reason %u, fault at %#llx, error code %llu, rax %llu\n", params.reason,
        (unsigned long long)params.fault_addr, (unsigned long long)params.error_code,
        (unsigned long long)params.regs.rax);
    polder_params_fini(&params);
    return 0;
}
