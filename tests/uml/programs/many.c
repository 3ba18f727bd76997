/* SPDX-License-Identifier: MIT */
/*
 * many forks N       N processes, one after another, every tenth of which runs a program
 * many bomb          processes until there can be no more; all of them end, and then one can be made again
 * many threads N     N threads, one after another, that use vector registers
 * many oom N         N processes, one after another, that want more memory than there is, and are killed
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int one(int n)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return 1;
    if (pid == 0) {
        if (n % 10 == 9)
            execlp("/proc/self/exe", "many", "nothing", NULL);
        _exit(0);
    }
    return waitpid(pid, &status, 0) != pid || status != 0;
}

static __thread int mine;

static void *thread(void *argument)
{
    volatile double x = 1.5;

    x = x * 3 + 1;
    mine++; /* of this thread, and of no other */
    return argument;
}

static void hog(void)
{
    FILE *score = fopen("/proc/self/oom_score_adj", "w");

    if (score) {
        fputs("1000", score);
        fclose(score);
    }
    for (;;) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (block == MAP_FAILED)
            _exit(1);
        memset(block, 1, 1 << 20);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? atoi(argv[2]) : 0;
    int failures = 0;

    if (!strcmp(what, "forks"))
        for (int i = 0; i < count; i++)
            failures += one(i);
    if (!strcmp(what, "threads"))
        for (int i = 0; i < count; i++) {
            pthread_t id;

            failures += pthread_create(&id, NULL, thread, NULL) != 0;
            pthread_join(id, NULL);
            failures += mine != 0;
        }
    if (!strcmp(what, "oom"))
        for (int i = 0, status; i < count; i++) {
            if (fork() == 0)
                hog();
            wait(&status);
            failures += !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
        }
    if (!strcmp(what, "bomb")) {
        int made = 0, ended = 0, ends[2];
        char byte;
        pid_t pid;

        if (pipe(ends))
            return 2;
        while ((pid = fork()) > 0)
            made++;
        if (pid == 0) {
            close(ends[1]);
            _exit((int)read(ends[0], &byte, 1)); /* 0: the other end is closed */
        }
        if (errno != EAGAIN)
            perror("fork");
        failures += errno != EAGAIN || made < 10;
        close(ends[1]);
        for (int status; wait(&status) > 0; ended++)
            failures += status != 0;
        printf("made %d, ended %d\n", made, ended);
        failures += made != ended;
        failures += one(0);
    }
    return failures != 0;
}
