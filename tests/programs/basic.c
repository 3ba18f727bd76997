/* SPDX-License-Identifier: MIT */
/* What every C program gets before main and uses after it. Built dynamic, static and static-pie. */
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static __thread int in_tls = 41;
static char zeroed[100000];

__attribute__((constructor)) static void before(void)
{
    in_tls++;
}
__attribute__((destructor)) static void after(void)
{
    write(1, "destructor\n", 11);
}
static void at_exit(void)
{
    puts("atexit");
}

static double ns_since(clockid_t clock, struct timespec start)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (now.tv_sec - start.tv_sec) * 1e9 + (now.tv_nsec - start.tv_nsec);
}

int main(int argc, char **argv, char **envp)
{
    atexit(at_exit);
    for (int i = 0; i < argc; i++)
        printf("argv[%d]=%s\n", i, argv[i]);
    for (int i = 0; envp[i]; i++)
        printf("env %s\n", envp[i]);
    printf("null after argv: %d, tls %d, bss %d\n", argv[argc] == NULL, in_tls, zeroed[99999]);
    printf("%s %s\n", program_invocation_name, program_invocation_short_name);

    /* The values of many differ from run to run; that they are there does not. */
    const unsigned long present[] = {AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_UID, AT_EUID, AT_GID, AT_EGID,
        AT_SECURE, AT_RANDOM, AT_HWCAP, AT_CLKTCK, AT_PLATFORM, AT_EXECFN, AT_SYSINFO_EHDR};
    for (size_t i = 0; i < sizeof(present) / sizeof(*present); i++) {
        errno = 0;
        getauxval(present[i]);
        if (present[i] != AT_SYSINFO_EHDR) /* programs do without a vDSO */
            printf("auxv %lu: %s\n", present[i], errno ? "absent" : "present");
    }
    printf("page %ld, uid %ld, execfn %s, platform %s\n", getauxval(AT_PAGESZ), getauxval(AT_UID),
        (char *)getauxval(AT_EXECFN), (char *)getauxval(AT_PLATFORM));
    printf("stack aligned: %d\n", (uintptr_t)__builtin_frame_address(0) % 16 == 0);
    printf("pid is tid: %d, pid above 1: %d\n", getpid() == syscall(SYS_gettid), getpid() > 1);

    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    printf("exe: %.*s\n", (int)length, length > 0 ? path : "");
    printf("cwd: %s\n", getcwd(path, sizeof(path)));

    uint32_t sum = 0;
    for (int round = 0; round < 200; round++) {
        size_t size = (size_t)round * round * 37 + 1;
        unsigned char *block = malloc(size);
        memset(block, round, size);
        sum = sum * 31 + block[size - 1] + block[size / 2];
        block = realloc(block, size * 2);
        sum = sum * 31 + block[size - 1];
        free(block);
    }
    printf("heap %08x\n", sum);

    volatile double two = 2, zero = 0;
    fesetround(FE_UPWARD);
    double up = 1 / (two + 1);
    fesetround(FE_TONEAREST);
    printf("%.17g %.17g %.17g %g %Lg\n", sqrt(two), up, 1 / (two + 1), 1 / zero, 1.0L / (long double)(two + 1));
    printf("division by zero noted: %d\n", fetestexcept(FE_DIVBYZERO) != 0);

    struct timespec start, nap = {.tv_nsec = 20000000};
    clock_gettime(CLOCK_MONOTONIC, &start);
    nanosleep(&nap, NULL);
    double slept = ns_since(CLOCK_MONOTONIC, start);
    printf("slept at least 20 ms: %d, less than 20 s: %d\n", slept >= 2e7, slept < 2e10);
    /* The vDSO and the kernel must tell the same time. */
    struct timespec by_call;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &by_call);
    double apart = ns_since(CLOCK_REALTIME, by_call);
    printf("clocks agree: %d\n", apart > -1e9 && apart < 1e10);

    struct stat st;
    int found = stat("/", &st), opened = open("/nonexistent", O_RDONLY);
    printf("stat: %d %d, open: %d errno %d\n", found, S_ISDIR(st.st_mode), opened, errno);
    fprintf(stderr, "to standard error\n");
    printf("unflushed until exit");
    return 42;
}
