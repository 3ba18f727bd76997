/* SPDX-License-Identifier: MIT */
/*
 * Vector registers, the widest that the processor has, belong to their task: processes and threads that fill them with
 * patterns of their own take turns on one processor, are interrupted by signals whose handlers spoil them, and fork and
 * run programs meanwhile; each child begins with what its parent had.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define WIDTH 64
#define REGISTERS 32

static int avx512;

#define LOWER_HALF(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)

/* Fills the registers from `in`, spins, forks if asked, and stores them to `out`: what the child's fork gives in *pid.
 */
__attribute__((target("avx512f"))) static void all_zmm(const char *in, char *out, long spin, long nr, long *result)
{
    uint64_t masks[2] = {0x1234, 0x5678};
    long rax = nr;

#define UPPER_HALF(F) F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23) F(24) F(25) F(26) F(27) F(28) F(29) F(30) F(31)
#define EACH(F) LOWER_HALF(F) UPPER_HALF(F)
#define LOAD(n) "vmovdqu64 " #n "*64(%[in]), %%zmm" #n "\n"
#define STORE(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%[out])\n"
    __asm__ volatile(EACH(LOAD) "kmovw %k[m1], %%k1; kmovw %k[m2], %%k7\n"
                                "1: dec %[spin]; jnz 1b\n"
                                "syscall\n" EACH(STORE) "kmovw %%k1, %k[m1]; kmovw %%k7, %k[m2]\n"
                     : "+a"(rax), [spin] "+r"(spin), [m1] "+r"(masks[0]), [m2] "+r"(masks[1])
                     : [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
                     "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",
                     "xmm30", "xmm31", "k1", "k7");
    if (masks[0] != 0x1234 || masks[1] != 0x5678)
        out[0] ^= 1;
    *result = rax;
}

/* The same with the sixteen that every processor has. */
static void all_xmm(const char *in, char *out, long spin, long nr, long *result)
{
    long rax = nr;

#define LOAD_XMM(n) "movdqu " #n "*64(%[in]), %%xmm" #n "\n"
#define STORE_XMM(n) "movdqu %%xmm" #n ", " #n "*64(%[out])\n"
    memcpy(out, in, WIDTH * REGISTERS);
    __asm__ volatile(LOWER_HALF(LOAD_XMM) "1: dec %[spin]; jnz 1b\n"
                                          "syscall\n" LOWER_HALF(STORE_XMM)
                     : "+a"(rax), [spin] "+r"(spin)
                     : [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    *result = rax;
}

__attribute__((target("avx512f"))) static void spoil_zmm(void)
{
    __asm__ volatile("vpternlogd $0xff, %%zmm0, %%zmm0, %%zmm0; vpternlogd $0xff, %%zmm31, %%zmm31, %%zmm31; kxnorw "
                     "%%k1, %%k1, %%k1; vzeroall" ::
                         : "xmm0", "xmm31", "k1");
}

static volatile sig_atomic_t signals;

static void spoil(int signal)
{
    (void)signal;
    signals++;
    if (avx512)
        spoil_zmm();
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm15, %%xmm15; fninit; fldpi" ::: "xmm0", "xmm15");
}

static int wrong(unsigned int seed, long spin, long nr, long *result)
{
    char in[WIDTH * REGISTERS], out[WIDTH * REGISTERS] = {0};

    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)(seed * 31 + i * 7 + (i >> 6));
    if (avx512)
        all_zmm(in, out, spin, nr, result);
    else
        all_xmm(in, out, spin, nr, result);
    return memcmp(in, out, sizeof(in)) != 0;
}

static long rounds, spin;

static void *thread(void *seed)
{
    long result, failures = 0;

    for (long i = 0; i < rounds; i++)
        failures += wrong((unsigned int)(uintptr_t)seed + (unsigned int)i, spin, 24 /* sched_yield */, &result);
    return (void *)failures;
}

static int process(unsigned int seed)
{
    struct itimerval timer = {.it_value.tv_usec = 700, .it_interval.tv_usec = 700};
    pthread_t threads[3];
    long failures = 0;

    signal(SIGALRM, spoil);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (uintptr_t i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)(seed * 100 + i)))
            return 1;
    for (int i = 0; i < 3; i++) {
        void *result;

        pthread_join(threads[i], &result);
        failures += (long)result;
    }
    for (long i = 0; i < rounds / 10 + 1; i++) {
        long pid, status = 0;
        int bad = wrong(seed + 7777, 1, 57 /* fork */, &pid);

        if (pid == 0)
            _exit(bad);
        waitpid((pid_t)pid, (int *)&status, 0);
        failures += bad + (status != 0);
    }
    if (!signals)
        fprintf(stderr, "no signal came\n");
    return failures != 0 || !signals;
}

int main(int argc, char **argv)
{
    int failures = 0;

    rounds = argc > 1 ? strtol(argv[1], NULL, 0) : 200;
    spin = argc > 2 ? strtol(argv[2], NULL, 0) : 100000;
    avx512 = __builtin_cpu_supports("avx512f") != 0;
    for (unsigned int i = 0; i < 4; i++)
        if (fork() == 0)
            _exit(process(i));
    for (int i = 0; i < 4; i++) {
        int status;

        wait(&status);
        failures += status != 0;
    }
    printf("%d of 4 processes found a wrong register\n", failures);
    return failures != 0;
}
