/* SPDX-License-Identifier: MIT */
/*
 * zmm and mask registers hold their values over system calls, page faults and signals. Ends with 77, a skipped test,
 * where the processor has no AVX-512.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;

__attribute__((target("avx512f"))) static void handler(int signal)
{
    (void)signal;
    alarms++;
    __asm__ volatile("vpternlogd $0xff, %%zmm5, %%zmm5, %%zmm5; vpternlogd $0xff, %%zmm30, %%zmm30, %%zmm30; kxnorw "
                     "%%k3, %%k3, %%k3" ::
                         : "xmm5", "k3");
}

__attribute__((target("avx512f"))) static int rounds(int count, char *fresh)
{
    static uint64_t in[3][8], out[2][8];
    int wrong = 0;
    for (int round = 0; round < count; round++) {
        for (int i = 0; i < 8; i++) {
            in[0][i] = 0x0101010101010101u * (unsigned)(i + 1) ^ (unsigned)round;
            in[1][i] = ~in[0][i] * 31;
        }
        uint32_t mask = 0x5a5a ^ (round & 0xff), mask_out;
        long result;
        /* The page is touched for the first time between loading and storing; then getppid and, at times, SIGALRM. */
        __asm__ volatile(
            "vmovdqu64 (%[in]), %%zmm5; vmovdqu64 64(%[in]), %%zmm30; kmovw %[mask], %%k3\n"
            "movb $1, (%[fresh])\n"
            "mov %[nr], %%eax; syscall\n"
            "mov $20000, %%ecx; 1: dec %%ecx; jnz 1b\n"
            "vmovdqu64 %%zmm5, (%[out]); vmovdqu64 %%zmm30, 64(%[out]); kmovw %%k3, %[mask_out]"
            : "=&a"(result), [mask_out] "=&r"(mask_out)
            : [in] "r"(in), [out] "r"(out), [mask] "r"(mask), [fresh] "r"(fresh + 4096L * round), [nr] "i"(SYS_getppid)
            : "rcx", "r11", "xmm5", "xmm30", "k3", "memory", "cc");
        wrong += memcmp(in, out, 128) != 0 || mask != mask_out;
    }
    return wrong;
}

int main(void)
{
    if (!__builtin_cpu_supports("avx512f"))
        return 77;
    int count = 2000;
    char *fresh = mmap(NULL, 4096L * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000};
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("%d wrong\n", rounds(count, fresh));
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("alarms came: %d\n", alarms > 0);
    return 0;
}
