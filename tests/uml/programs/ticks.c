/* SPDX-License-Identifier: MIT */
/* A program that makes no system call is interrupted by each of its timers, of real, virtual and profiling time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>

static volatile sig_atomic_t count;

static void tick(int signal)
{
    (void)signal;
    count++;
}

static void wait_for(int which, int signal_number, int many, const char *name)
{
    for (int i = 0; i < many; i++) {
        struct itimerval timer = {.it_value.tv_usec = 100 + 37 * (i % 60)};

        count = 0;
        signal(signal_number, tick);
        setitimer(which, &timer, NULL);
        while (!count)
            ;
    }
    printf("%d of %s\n", many, name);
}

int main(int argc, char **argv)
{
    int many = argc > 1 ? atoi(argv[1]) : 200;
    struct rusage usage;
    struct itimerval timer = {.it_value.tv_usec = 2000, .it_interval.tv_usec = 2000};

    wait_for(ITIMER_REAL, SIGALRM, many, "real time");
    wait_for(ITIMER_VIRTUAL, SIGVTALRM, many / 20, "virtual time");
    wait_for(ITIMER_PROF, SIGPROF, many / 20, "profiling time");
    count = 0;
    signal(SIGALRM, tick);
    setitimer(ITIMER_REAL, &timer, NULL);
    while (count < many)
        ;
    printf("%d in a row\n", many);
    getrusage(RUSAGE_SELF, &usage);
    printf("%s user time\n", usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec > 0 ? "some" : "no");
    return 0;
}
