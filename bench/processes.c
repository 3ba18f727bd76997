/* SPDX-License-Identifier: MIT */
/*
 * What a kernel costs its processes: getpid, a pipe there and back, fork with 1 MiB touched, fork and execve. The same
 * static program runs natively and under umlike; it prints a line for each: a name and ns (or instructions) for one.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec t;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static void getpids(long n)
{
    for (long i = 0; i < n; i++)
        syscall(SYS_getpid);
}

static void ping_pong(long n)
{
    int there[2], back[2];
    char byte = 'x';

    if (pipe(there) != 0 || pipe(back) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        close(there[1]); /* or it would never see the end */
        while (read(there[0], &byte, 1) == 1) {
            if (write(back[1], &byte, 1) != 1)
                die("write");
        }
        _exit(0);
    }
    for (long i = 0; i < n; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            die("a pipe");
    }
    close(there[0]);
    close(there[1]);
    close(back[0]);
    close(back[1]);
    waitpid(pid, NULL, 0);
}

static char *touched;

static void forks(long n)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            die("fork");
    }
}

static void execs(long n)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/bin/busybox", "busybox", "true", (char *)NULL);
            die("execl");
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            die("fork");
    }
}

static void measure(const char *name, void (*body)(long), long n)
{
    uint64_t best = UINT64_MAX;

    body(n / 4 + 1);
    for (int round = 0; round < 5; round++) {
        uint64_t start = now_ns();
        body(n);
        uint64_t took = (now_ns() - start) / (uint64_t)n;
        best = took < best ? took : best;
    }
    printf("%s %llu\n", name, (unsigned long long)best);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    long scale = argc > 1 ? atol(argv[1]) : 100;

    measure("getpid", getpids, 100 * scale);
    measure("pipe", ping_pong, 10 * scale);
    touched = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (touched == MAP_FAILED)
        die("mmap");
    memset(touched, 1, 1 << 20);
    measure("fork", forks, scale);
    munmap(touched, 1 << 20);
    measure("exec", execs, scale);
    return 0;
}
