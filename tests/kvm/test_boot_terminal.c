/* SPDX-License-Identifier: MIT */
/*
 * `polder boot` on a terminal: raw while the machine runs, and as it was after every way out; what is typed reaches the
 * kernel, but for Ctrl-A x.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

static char build[PATH_MAX];

/* A machine on a terminal of its own. */
struct session {
    int master, slave;
    pid_t pid;
    struct termios before;
    char output[4096];
    size_t length;
};

static void start(struct session *s, const char *kernel, const char *option)
{
    char polder[PATH_MAX + 32], path[PATH_MAX + 64];
    snprintf(polder, sizeof polder, "%s/polder", build);
    snprintf(path, sizeof path, "%s/tests/boot/%s.kernel", build, kernel);
    *s = (struct session){.pid = -1};
    assert_int_equal(openpty(&s->master, &s->slave, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(s->slave, &s->before), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        close(s->master);
        login_tty(dup(s->slave));
        close(s->slave);
        execl(polder, "polder", "boot", option, path, (char *)NULL);
        _exit(99);
    }
}

/* Reads until the text has come out. */
static void expect(struct session *s, const char *text)
{
    while (!strstr(s->output, text)) {
        ssize_t n = read(s->master, s->output + s->length, sizeof s->output - 1 - s->length);
        if (n <= 0)
            fail_msg("it ended before it said `%s': %s", text, s->output);
        s->length += (size_t)n;
        s->output[s->length] = '\0';
    }
}

static void type(struct session *s, const char *text, size_t length)
{
    assert_int_equal(write(s->master, text, length), length);
}

/* Until the machine has the terminal: what is typed before is the terminal's own. */
static void wait_raw(struct session *s)
{
    struct termios now;
    do {
        assert_int_equal(waitpid(s->pid, NULL, WNOHANG), 0);
        assert_int_equal(tcgetattr(s->slave, &now), 0);
        sched_yield();
    } while (now.c_lflag & ICANON);
}

/* What it ended with, as waitpid says, its terminal having been put right. */
static int end(struct session *s)
{
    int status;
    struct termios after;
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_int_equal(tcgetattr(s->slave, &after), 0);
    assert_int_equal(after.c_iflag, s->before.c_iflag);
    assert_int_equal(after.c_oflag, s->before.c_oflag);
    assert_int_equal(after.c_lflag, s->before.c_lflag);
    assert_int_equal(after.c_cflag, s->before.c_cflag);
    assert_memory_equal(after.c_cc, s->before.c_cc, sizeof after.c_cc);
    close(s->master);
    close(s->slave);
    return status;
}

static void exited(int status, int expected)
{
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

static void killed(int status, int signal)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
}

static void test_raw(void **state)
{
    (void)state;
    struct session s;
    struct termios during;
    start(&s, "deaf", "--cpus=1");
    expect(&s, "ready\r\n"); /* the terminal still turns a newline into two characters */
    assert_int_equal(tcgetattr(s.slave, &during), 0);
    assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG | IEXTEN), 0);
    assert_int_equal(during.c_iflag & (ICRNL | IXON), 0);
    assert_int_equal(during.c_cc[VMIN], 1);
    type(&s, "\1x", 2);
    exited(end(&s), 130);
}

static void test_shutdown(void **state)
{
    (void)state;
    struct session s;
    start(&s, "entry", "--cpus=1");
    expect(&s, "pg, pe");
    exited(end(&s), 42);
}

static void test_fault(void **state)
{
    (void)state;
    struct session s;
    start(&s, "undefined", "--cpus=1");
    expect(&s, "ring 3 has not run on this vCPU");
    exited(end(&s), 70);
}

static void test_timeout(void **state)
{
    (void)state;
    struct session s;
    start(&s, "hang", "--timeout=1");
    expect(&s, "it did not end within 1 s");
    exited(end(&s), 70);
}

static void test_refused(void **state)
{
    (void)state;
    struct session s;
    start(&s, "../kvm/boot_terminal", "--cpus=1");
    exited(end(&s), 127);
}

static void by_signal(int number)
{
    struct session s;
    start(&s, "deaf", "--cpus=2");
    expect(&s, "ready");
    assert_int_equal(kill(s.pid, number), 0);
    killed(end(&s), number);
}

static void test_signals(void **state)
{
    (void)state;
    by_signal(SIGTERM);
    by_signal(SIGINT);
    by_signal(SIGHUP);
}

/* Ctrl-C, Ctrl-Z, Ctrl-D and an unknown escape are the kernel's; Ctrl-A is typed twice. */
static void test_typing(void **state)
{
    (void)state;
    struct session s;
    start(&s, "echo", "--cpus=1");
    wait_raw(&s);
    type(&s, "\3\32\4", 3);
    expect(&s, "\3\32\4");
    type(&s, "a\1", 2);
    expect(&s, "a");
    type(&s, "\1b\1c", 4);
    expect(&s, "\3\32\4a\1b\1c");
    type(&s, "\1x", 2);
    exited(end(&s), 130);
}

/* A kernel that never reads. */
static void test_escape_of_the_deaf(void **state)
{
    (void)state;
    struct session s;
    char many[6000];
    memset(many, 'm', sizeof many);
    start(&s, "hang", "--cpus=1");
    wait_raw(&s);
    type(&s, many, 3000); /* more than what is kept, in parts that the terminal takes */
    type(&s, many, 3000);
    type(&s, "\1", 1);
    type(&s, "x", 1);
    exited(end(&s), 130);
}

static void test_hangup(void **state)
{
    (void)state;
    struct session s;
    int status;
    start(&s, "deaf", "--cpus=1");
    expect(&s, "ready");
    close(s.master);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    killed(status, SIGHUP);
    close(s.slave);
}

int main(int argc, char **argv)
{
    (void)argc;
    char self[PATH_MAX];
    if (access("/dev/kvm", R_OK | W_OK)) {
        fprintf(stderr, "%s: no /dev/kvm\n", argv[0]);
        return 77;
    }
    assert_non_null(realpath("/proc/self/exe", self));
    snprintf(build, sizeof build, "%s", dirname(dirname(dirname(self))));
    signal(SIGHUP, SIG_DFL);
    alarm(300); /* what waits for words that never come */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_fault),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_typing),
        cmocka_unit_test(test_escape_of_the_deaf),
        cmocka_unit_test(test_hangup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
