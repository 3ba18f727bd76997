/* SPDX-License-Identifier: MIT */
/*
 * observe FILE SECONDS PROGRAM ARGS...: runs the program and appends how it ended to FILE: "exit 3", "signal 11". A
 * shell would not do: its statuses do not tell exit(139) from a SIGSEGV, and it prints messages of its own about
 * signals. SIGTERM, SIGINT and SIGUSR1 are passed on to the program. After SECONDS it is killed, and that is noted.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 4)
        return 125;
    sigset_t watched, before;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGUSR1);
    sigprocmask(SIG_BLOCK, &watched, &before);

    pid_t child = fork();
    if (child < 0)
        return 125;
    if (!child) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(argv[3], argv + 3);
        fprintf(stderr, "observe: %s: %s\n", argv[3], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }

    time_t end = time(NULL) + atoi(argv[2]);
    int status = 0, late = 0;
    while (waitpid(child, &status, WNOHANG) != child) {
        struct timespec second = {.tv_sec = 1};
        int signal = sigtimedwait(&watched, NULL, &second);
        if (signal > 0 && signal != SIGCHLD)
            kill(child, signal);
        if (time(NULL) > end) {
            late = 1;
            kill(child, SIGKILL);
        }
    }

    FILE *report = fopen(argv[1], "a");
    if (!report)
        return 125;
    if (late)
        fprintf(report, "killed after %s s\n", argv[2]);
    else if (WIFSIGNALED(status))
        fprintf(report, "signal %d\n", WTERMSIG(status));
    else
        fprintf(report, "exit %d\n", WEXITSTATUS(status));
    fclose(report);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
