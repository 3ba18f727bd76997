/* SPDX-License-Identifier: MIT */
/*
 * Plays a person at a terminal: runs a command on a pseudo-terminal, types, and waits for what should appear.
 *
 * usage: terminal COMMAND...
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 40

static int terminal;
static char seen[65536]; /* since the last expectation */
static size_t length;

static void give_up(const char *what)
{
    printf("%s; what was seen:\n%.*s\n", what, (int)length, seen);
    exit(1);
}

/* True if something came. */
static bool listen_for(int ms)
{
    struct pollfd in = {terminal, POLLIN, 0};
    if (poll(&in, 1, ms) <= 0)
        return false;
    size_t kept = length;
    ssize_t n = read(terminal, seen + length, sizeof seen - 1 - length);
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n; i++) { /* how a line ends on this side of the terminal is the monitor's business */
        if (seen[length + (size_t)i] != '\r')
            seen[kept++] = seen[length + (size_t)i];
    }
    length = kept;
    seen[length] = 0;
    return true;
}

static void expect(const char *text)
{
    time_t end = time(NULL) + SECONDS;
    char *at;
    while (!(at = strstr(seen, text))) {
        if (time(NULL) > end) {
            printf("expected: %s\n", text);
            give_up("it did not come");
        }
        listen_for(1000);
    }
    at += strlen(text);
    length -= (size_t)(at - seen);
    memmove(seen, at, length + 1);
}

static void type(const char *text)
{
    usleep(50000); /* so that who is typed at has set the terminal as he likes it */
    if (write(terminal, text, strlen(text)) != (ssize_t)strlen(text))
        give_up("cannot type");
}

int main(int argc, char **argv)
{
    int status;
    pid_t pid = argc > 1 ? forkpty(&terminal, NULL, NULL, NULL) : -1;
    if (pid < 0)
        return perror("terminal"), 2;
    if (pid == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    expect("/ # ");
    type("echo $((6 * 7))\r");
    expect("\n42\n");
    expect("/ # ");
    type("echo axx\177\177bc\r"); /* the shell's own editing */
    expect("\nabc\n");
    expect("/ # ");
    type("echo rea''dy; cat\r"); /* what it says and what is typed must not be the same */
    expect("ready\n");
    type("wrong\025lxx\177\177ine\r"); /* the kernel's: ^U, erase */
    expect("\nline\n");
    type("\004");
    expect("/ # ");
    type("sh -c \"echo sle''eps; sleep 100\"\r");
    expect("sleeps\n");
    usleep(200000);
    type("\003");
    expect("^C");
    expect("/ # ");
    type("echo $?\r");
    expect("\n130\n");
    expect("/ # ");
    type("sh -c \"echo lo''ops; while :; do :; done\"\r"); /* ash itself may hang if it is interrupted like this */
    expect("loops\n");
    usleep(200000);
    type("\003");
    expect("/ # ");
    type("sh -c \"echo be''gins; exec yes >/dev/null\"\r");
    expect("begins\n");
    usleep(200000);
    type("\032");
    expect("Stopped");
    expect("/ # ");
    type("bg; jobs\r");
    expect("Running");
    type("kill %1; wait; echo reaped\r");
    expect("\nreaped\n");
    type("echo wai''ts; read line; echo got $line\r");
    expect("waits\n");
    type("some words\r");
    expect("got some words\n");
    type("stty size; test -t 0 && echo terminal\r");
    expect("24 80");
    expect("\nterminal\n");
    type("exit 5\r");
    while (listen_for(2000))
        ;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 5)
        give_up("the end is not status 5");
    return 0;
}
