/* SPDX-License-Identifier: MIT */
/* execve replaces the program inside the sandbox: what is kept is kept, what is reset is reset, a failure changes
 * nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void handler(int signal)
{
    (void)signal;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "second")) {
        struct sigaction ignored, handled;
        sigaction(SIGUSR1, NULL, &ignored);
        sigaction(SIGUSR2, NULL, &handled);
        sigset_t blocked;
        sigprocmask(SIG_BLOCK, NULL, &blocked);
        printf("pid kept: %d\n", atoi(argv[2]) == getpid());
        printf("ignored stays ignored: %d, handled is default: %d, blocked stays blocked: %d\n",
            ignored.sa_handler == SIG_IGN, handled.sa_handler == SIG_DFL, sigismember(&blocked, SIGHUP));
        printf("3 is open: %d, 4 is open: %d\n", fcntl(3, F_GETFD) != -1, fcntl(4, F_GETFD) != -1);
        printf("environment: %s, argv[0]: %s\n", getenv("ONLY"), argv[0]);
        fflush(stdout);
        char *const next[] = {"printf", "%s-", "and", "on", NULL};
        execvp("printf", next);
        return 1;
    }
    int kept = open("/dev/null", O_RDONLY), closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
    printf("%d %d\n", kept, closed);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, handler);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);

    char *const args[] = {"anything", NULL};
    char *const none[] = {NULL};
    execve("/nonexistent", args, none);
    printf("no such file: errno %d\n", errno);
    execve("/dev/null", args, none);
    printf("no permission: errno %d\n", errno);
    execve("/tmp", args, none);
    printf("a folder: errno %d\n", errno);
    int fd = open("text", O_WRONLY | O_CREAT, 0700);
    if (write(fd, "not an ELF\n", 11) != 11)
        return 1;
    close(fd);
    execve("text", args, none);
    printf("not an ELF: errno %d, 4 still open: %d\n", errno, fcntl(4, F_GETFD) != -1);
    fflush(stdout);

    char pid[16];
    snprintf(pid, sizeof(pid), "%d", getpid());
    char *const second[] = {"a name of its own", "second", pid, NULL};
    char *const only[] = {"ONLY=this", "PATH=/usr/bin:/bin:/applets", NULL};
    execve(argv[1], second, only);
    printf("execve: %s\n", strerror(errno));
    return 1;
}
