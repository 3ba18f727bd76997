/* SPDX-License-Identifier: MIT */
/*
 * What a kernel costs its processes. The same static program runs natively, under umlike and in user-mode Linux; it
 * prints a line for each: a name and ns (or instructions) for one.
 *
 * processes [SCALE [ROW...]]      the rows named, or those that umlike can do
 * processes -c COMMAND            what a shell takes for this, once
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
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

/* Pages that were never touched: a mapping for every 256 of them. */
static void faults(long n)
{
    enum { PAGES = 256 };
    char *pages = NULL;

    for (long i = 0; i < n; i++) {
        if (i % PAGES == 0) {
            if (pages)
                munmap(pages, PAGES * 4096);
            pages = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (pages == MAP_FAILED)
                die("mmap");
        }
        *(volatile char *)(pages + i % PAGES * 4096) = 1;
    }
    munmap(pages, PAGES * 4096);
}

static void maps(long n)
{
    for (long i = 0; i < n; i++) {
        char *pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
            die("mmap");
        for (int page = 0; page < 4; page++)
            *(volatile char *)(pages + page * 4096) = 1;
        munmap(pages, 4 * 4096);
    }
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void send_signals(long n)
{
    struct sigaction action = {.sa_handler = count_signal};

    if (sigaction(SIGUSR1, &action, NULL) != 0)
        die("sigaction");
    for (long i = 0; i < n; i++)
        raise(SIGUSR1);
}

static void fork_touched(long n)
{
    const size_t size = 1 << 20;

    touched = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (touched == MAP_FAILED)
        die("mmap");
    memset(touched, 1, size);
    forks(n);
    munmap(touched, size);
}

static const struct row {
    const char *name;
    void (*body)(long);
    long each; /* for each of the scale */
    bool everywhere;
} rows[] = {
    {"getpid", getpids, 100, true},
    {"pipe", ping_pong, 10, true},
    {"fork", fork_touched, 1, true},
    {"exec", execs, 1, true},
    {"fault", faults, 50, false},
    {"mmap", maps, 10, false},
    {"signal", send_signals, 20, false},
};

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

static void one_command(const char *command)
{
    uint64_t start = now_ns();
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* the figures stay alone */
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        die("/bin/sh");
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die(command);
    printf("command %llu\n", (unsigned long long)(now_ns() - start));
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "-c") == 0) {
        one_command(argv[2]);
        return 0;
    }
    long scale = argc > 1 ? atol(argv[1]) : 100;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool wanted = argc < 3 && rows[i].everywhere;
        for (int a = 2; a < argc; a++)
            wanted |= strcmp(argv[a], rows[i].name) == 0;
        if (wanted)
            measure(rows[i].name, rows[i].body, rows[i].each * scale);
    }
    return 0;
}
