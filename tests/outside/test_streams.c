/* SPDX-License-Identifier: MIT */
/*
 * The program and an embedder of the library among signals, pipes and terminals: each ends as it is documented, with
 * every byte where it belongs, the terminal as it was, no process left and nothing in the place for temporary files.
 */
#include "../kvm/sandbox.h"

#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <utmp.h>

static char polder[PATH_MAX + 16], kernels[PATH_MAX + 32], scratch[] = "/tmp/polder-outside-XXXXXX";

/* ---------------------------------------------------------------- a job */

enum { AS_IT_IS = -1, CLOSED = -2 };

struct job {
    pid_t pid;
    int out; /* what it says; of a pty: the master */
    char text[8192];
    size_t length;
};

/* The embedder: a loop in a sandbox, after the word that it is about to begin. */
static void embed(void)
{
    struct box box;
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    assert_int_equal(write(1, "ready\n", 6), 6);
    for (;;)
        box_run(&box, sn_spin, BOX_DATA, 0);
}

static void become(char *const argv[], int in, int out, int err)
{
    const int fds[] = {in, out, err};
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that has failed leaves nothing behind */
    for (int i = 0; i < 3; i++) {
        if (fds[i] == CLOSED)
            close(i);
        else if (fds[i] >= 0)
            dup2(fds[i], i);
    }
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    if (argv)
        execv(argv[0], argv);
    else
        embed();
    _exit(99);
}

static pid_t launch(char *const argv[], int in, int out, int err)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become(argv, in, out, err);
    return pid;
}

static void start(struct job *job, char *const argv[], int in)
{
    int pipe[2];
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    *job = (struct job){.out = pipe[0]};
    job->pid = launch(argv, in, pipe[1], AS_IT_IS);
    close(pipe[1]);
}

static void expect(struct job *job, const char *text)
{
    while (!strstr(job->text, text)) {
        ssize_t n = read(job->out, job->text + job->length, sizeof job->text - 1 - job->length);
        if (n <= 0)
            fail_msg("it ended before it said `%s': %s", text, job->text);
        job->length += (size_t)n;
        job->text[job->length] = '\0';
    }
}

/* What it ended with. This process is told of all that it leaves behind. */
static int finish(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return status;
}

static int end(struct job *job)
{
    int status = finish(job->pid);
    if (job->out >= 0)
        close(job->out);
    return status;
}

static void exited(int status, int expected)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
        fail_msg("ended with %#x instead of status %d", status, expected);
}

static void killed(int status, int number)
{
    if (!WIFSIGNALED(status) || WTERMSIG(status) != number)
        fail_msg("ended with %#x instead of %s", status, strsignal(number));
}

/* ---------------------------------------------------------------- what is started */

#define SPINS "echo ready; while :; do :; done"
#define READS "echo ready; read x; echo \"got $x\"; exit 7"
/* Not `read': busybox's shell has a handler for SIGINT, which only makes a note if it comes right before that waits. */
#define WAITS "echo ready; exec cat"

static char *run_spins[] = {polder, "run", "sh", "-c", SPINS, NULL};
static char *run_reads[] = {polder, "run", "sh", "-c", READS, NULL};
static char *run_waits[] = {polder, "run", "sh", "-c", WAITS, NULL};
static char *trace_spins[] = {polder, "trace", "-o", "/dev/null", "sh", "-c", SPINS, NULL};
static char *trace_reads[] = {polder, "trace", "-o", "/dev/null", "sh", "-c", READS, NULL};
static char *trace_waits[] = {polder, "trace", "-o", "/dev/null", "sh", "-c", WAITS, NULL};
static char deaf[PATH_MAX + 64], echo[PATH_MAX + 64];
static char *boot_deaf[] = {polder, "boot", "--cpus=2", deaf, NULL};
static char *boot_echo[] = {polder, "boot", echo, NULL};

static int null_in(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

/* ---------------------------------------------------------------- signals */

static void by_signal(char *const argv[], int number)
{
    struct job job;
    int pipe[2]; /* never written to */
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    start(&job, argv, pipe[0]);
    expect(&job, "ready");
    assert_int_equal(kill(job.pid, number), 0);
    killed(end(&job), number);
    close(pipe[0]);
    close(pipe[1]);
}

static void test_fatal_signals(void **state)
{
    (void)state;
    static const int numbers[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGALRM};
    char *const *const programs[] = {run_spins, run_waits, trace_spins, trace_waits, boot_deaf, NULL};
    size_t count = sizeof programs / sizeof programs[0];
    bool few = scaled(1000) < 1000;
    for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        for (size_t i = 0; i < count; i++) {
            if (numbers[n] == SIGQUIT && i < 4) /* which the shell of busybox ignores */
                continue;
            if (!few || (n + i) % 5 == 0)
                by_signal(programs[i], numbers[n]);
        }
    }
}

static void stop_and_go_on(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(kill(pid, SIGCONT), 0);
}

/* Stopped while it waits for what comes only afterwards. */
static void stopped(char *const argv[], const char *ready, const char *answer)
{
    struct job job;
    int pipe[2];
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    start(&job, argv, pipe[0]);
    close(pipe[0]);
    if (ready)
        expect(&job, ready);
    for (int i = 0; i < 3; i++)
        stop_and_go_on(job.pid);
    assert_int_equal(write(pipe[1], "abc\n", 4), 4);
    expect(&job, answer);
    for (int i = 0; i < 3 && !strstr(answer, "got"); i++)
        stop_and_go_on(job.pid);
    close(pipe[1]);
    exited(end(&job), 7);
}

static void test_stop(void **state)
{
    (void)state;
    stopped(run_reads, "ready", "got abc");
    stopped(trace_reads, "ready", "got abc");
    stopped(boot_echo, NULL, "abc");
}

/* Stopped and continued at any time, it computes what it would have. */
static void test_stop_at_work(void **state)
{
    (void)state;
    char *argv[] = {
        polder, "run", "sh", "-c", "echo ready; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo sum $i", NULL};
    struct job job;
    siginfo_t info;
    start(&job, argv, null_in());
    expect(&job, "ready");
    for (int stops = 0; stops < 100; stops++) {
        assert_int_equal(kill(job.pid, SIGSTOP), 0);
        assert_int_equal(waitid(P_PID, (id_t)job.pid, &info, WSTOPPED | WEXITED | WNOWAIT), 0);
        if (info.si_code != CLD_STOPPED)
            break;
        assert_int_equal(waitid(P_PID, (id_t)job.pid, &info, WSTOPPED), 0);
        assert_int_equal(kill(job.pid, SIGCONT), 0);
        for (int i = 0; i < 20; i++)
            sched_yield();
    }
    expect(&job, "sum 3000");
    exited(end(&job), 0);
}

/* Every call of the monitor's that waits is interrupted: what comes in goes out, once and in order. */
static void test_stop_between_lines(void **state)
{
    (void)state;
    struct job job;
    int pipe[2];
    char expected[4096];
    size_t length = 0;
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    start(&job, boot_echo, pipe[0]);
    close(pipe[0]);
    const int lines = 10 + scaled(200);
    for (int i = 0; i < lines; i++) {
        const int n = sprintf(expected + length, "line %d\n", i);
        if (i % 3 == 0)
            stop_and_go_on(job.pid);
        assert_int_equal(write(pipe[1], expected + length, (size_t)n), n);
        stop_and_go_on(job.pid);
        if (i % 8 == 0)
            expect(&job, expected + length);
        length += (size_t)n;
    }
    close(pipe[1]);
    expect(&job, expected);
    assert_string_equal(job.text, expected);
    exited(end(&job), 7);
}

/* ---------------------------------------------------------------- streams */

/* Nobody reads until the pipe is full; then everything arrives. */
static void read_late(char *const argv[], int in, const char *expected, size_t size, bool nonblocking, int status)
{
    int pipe[2], queued = 0;
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    assert_true(fcntl(pipe[1], F_SETPIPE_SZ, 4096) > 0);
    if (nonblocking)
        assert_int_equal(fcntl(pipe[1], F_SETFL, O_NONBLOCK), 0);
    pid_t pid = launch(argv, in, pipe[1], AS_IT_IS);
    close(pipe[1]);
    while (queued < 4096) {
        assert_int_equal(ioctl(pipe[0], FIONREAD, &queued), 0);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        sched_yield();
    }
    stop_and_go_on(pid);
    char *got = malloc(size + 1);
    size_t length = 0;
    for (ssize_t n; (n = read(pipe[0], got + length, size + 1 - length)) > 0;)
        length += (size_t)n;
    exited(finish(pid), status);
    close(pipe[0]);
    assert_int_equal(length, size);
    assert_memory_equal(got, expected, size);
    free(got);
}

static void test_full_pipe(void **state)
{
    (void)state;
    size_t size = 0;
    int last = 2000 + scaled(20000); /* more than the pipe takes */
    char *text = malloc((size_t)last * 8), number[16];
    for (int i = 1; i <= last; i++)
        size += (size_t)sprintf(text + size, "%d\n", i);
    snprintf(number, sizeof number, "%d", last);
    char *run[] = {polder, "run", "seq", number, NULL},
         *trace[] = {polder, "trace", "-o", "/dev/null", "seq", number, NULL};
    read_late(run, null_in(), text, size, false, 0);
    read_late(trace, null_in(), text, size, false, 0);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int in = memfd_create("in", MFD_CLOEXEC);
        assert_int_equal(write(in, text, size), size);
        assert_int_equal(lseek(in, 0, SEEK_SET), 0);
        read_late(boot_echo, in, text, size, nonblocking, 7);
        close(in);
    }
    free(text);
}

/* The reader goes away after a word. */
static int left_alone(char *const argv[], int in)
{
    struct job job;
    char word[4];
    start(&job, argv, in);
    assert_true(read(job.out, word, sizeof word) > 0);
    close(job.out);
    job.out = -1;
    return end(&job);
}

static void test_no_reader(void **state)
{
    (void)state;
    char *run[] = {polder, "run", "seq", "100000000", NULL};
    char *trace[] = {polder, "trace", "-o", "/dev/null", "seq", "100000000", NULL};
    killed(left_alone(run, null_in()), SIGPIPE);
    killed(left_alone(trace, null_in()), SIGPIPE);
    int in = memfd_create("in", MFD_CLOEXEC);
    assert_int_equal(ftruncate(in, 100000), 0);
    exited(left_alone(boot_echo, in), 7); /* it is told, and goes on */
    close(in);
}

/* The trace itself has lost its reader: that is nothing to the program, which does not get the signal. */
static void test_trace_without_reader(void **state)
{
    (void)state;
    int pipe[2];
    char first;
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    char *argv[] = {polder, "trace", "sh", "-c", "echo one; echo two; exit 5", NULL};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = launch(argv, null_in(), null, pipe[1]);
    close(pipe[1]);
    assert_int_equal(read(pipe[0], &first, 1), 1);
    close(pipe[0]);
    exited(finish(pid), 5);
    close(null);
}

static void test_full_device(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    char *run[] = {polder, "run", "sh", "-c", "echo one 2>/dev/null; exit $((10 + $?))", NULL};
    exited(finish(launch(run, null_in(), full, AS_IT_IS)), 11); /* its echo has failed */
    char *info[] = {polder, "info", "--json", NULL};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    exited(finish(launch(info, null_in(), full, null)), 1);
    int in = memfd_create("in", MFD_CLOEXEC);
    assert_int_equal(ftruncate(in, 100), 0);
    exited(finish(launch(boot_echo, in, full, AS_IT_IS)), 7);
    close(in);
    /* A trace: one line, and the program's own status. */
    int pipe[2];
    char text[1000];
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    char *trace[] = {polder, "trace", "-o", "/dev/full", "sh", "-c", "exit 6", NULL};
    exited(finish(launch(trace, null_in(), null, pipe[1])), 6);
    close(pipe[1]);
    ssize_t n = read(pipe[0], text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "polder trace: /dev/full: No space left on device; the trace ends here\n");
    close(pipe[0]);
    close(null);
    close(full);
}

static void test_closed_streams(void **state)
{
    (void)state;
    char *run[] = {polder, "run", "sh", "-c", "test -e /proc/self/fd/0 && exit 1; exec 0</dev/null; exit 4", NULL};
    exited(finish(launch(run, CLOSED, AS_IT_IS, AS_IT_IS)), 4);
    char *any[] = {polder, "run", "sh", "-c", "exit 4", NULL};
    exited(finish(launch(any, CLOSED, CLOSED, CLOSED)), 4);
    char *trace[] = {polder, "trace", "-o", "/dev/null", "sh", "-c", "exit 4", NULL};
    exited(finish(launch(trace, CLOSED, CLOSED, CLOSED)), 4);
    exited(finish(launch(boot_echo, CLOSED, CLOSED, CLOSED)), 7); /* the end of input at once */
    struct job job;
    start(&job, run_reads, CLOSED);
    expect(&job, "got");
    exited(end(&job), 7);
}

/* ---------------------------------------------------------------- terminals */

struct terminal {
    int master, slave;
    struct termios before;
};

static void open_terminal(struct terminal *t)
{
    assert_int_equal(openpty(&t->master, &t->slave, NULL, NULL, NULL), 0);
    fcntl(t->master, F_SETFD, FD_CLOEXEC);
    fcntl(t->slave, F_SETFD, FD_CLOEXEC);
    assert_int_equal(tcgetattr(t->slave, &t->before), 0);
}

static void on_terminal(struct job *job, struct terminal *t, char *const argv[])
{
    open_terminal(t);
    fflush(NULL);
    *job = (struct job){.pid = fork(), .out = t->master};
    assert_true(job->pid >= 0);
    if (job->pid == 0) {
        login_tty(dup(t->slave));
        become(argv, AS_IT_IS, AS_IT_IS, AS_IT_IS);
    }
}

static bool same(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag &&
           a->c_cflag == b->c_cflag && memcmp(a->c_cc, b->c_cc, sizeof a->c_cc) == 0;
}

static void close_terminal(struct terminal *t)
{
    close(t->master);
    close(t->slave);
}

static bool is_raw(const struct terminal *t)
{
    struct termios now;
    assert_int_equal(tcgetattr(t->slave, &now), 0);
    return !(now.c_lflag & ICANON);
}

static void wait_mode(const struct terminal *t, pid_t pid, bool raw)
{
    while (is_raw(t) != raw) {
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        sched_yield();
    }
}

static void killed_on_terminal(char *const argv[], int number)
{
    struct job job;
    struct terminal t;
    struct termios after;
    on_terminal(&job, &t, argv);
    expect(&job, "ready");
    assert_int_equal(kill(job.pid, number), 0);
    killed(finish(job.pid), number);
    assert_int_equal(tcgetattr(t.slave, &after), 0);
    assert_true(same(&after, &t.before));
    close_terminal(&t);
}

static void test_killed_on_terminal(void **state)
{
    (void)state;
    static const int numbers[] = {SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU, SIGABRT, SIGSEGV, SIGPROF};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        killed_on_terminal(boot_deaf, numbers[i]);
    killed_on_terminal(run_spins, SIGTERM);
    killed_on_terminal(trace_waits, SIGINT);
}

static void test_hangup(void **state)
{
    (void)state;
    char *const *const programs[] = {run_spins, run_waits, trace_spins, trace_waits, boot_deaf, NULL};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        struct job job;
        struct terminal t;
        on_terminal(&job, &t, programs[i]);
        expect(&job, "ready");
        close(t.master);
        killed(finish(job.pid), SIGHUP);
        close(t.slave);
    }
}

/* Somebody else has the terminal while the machine is stopped, in modes of his own; then it goes on, and it is raw. */
static void test_stopped_on_terminal(void **state)
{
    (void)state;
    struct job job;
    struct terminal t;
    int status;
    on_terminal(&job, &t, boot_echo);
    wait_mode(&t, job.pid, true);
    assert_int_equal(kill(job.pid, SIGTSTP), 0);
    assert_int_equal(waitpid(job.pid, &status, WUNTRACED), job.pid);
    assert_true(WIFSTOPPED(status));
    assert_false(is_raw(&t));
    assert_int_equal(kill(job.pid, SIGCONT), 0);
    wait_mode(&t, job.pid, true);
    assert_int_equal(kill(job.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(job.pid, &status, WUNTRACED), job.pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(tcsetattr(t.slave, TCSANOW, &t.before), 0);
    assert_int_equal(kill(job.pid, SIGCONT), 0);
    wait_mode(&t, job.pid, true);
    assert_int_equal(write(t.master, "xyz", 3), 3);
    expect(&job, "xyz");
    assert_int_equal(write(t.master, "\1x", 2), 2);
    exited(finish(job.pid), 130);
    assert_false(is_raw(&t));
    close_terminal(&t);
}

/* A shell with job control: it takes the terminal back, sets modes, and the job in the background is ended. */
static void shell(const struct terminal *t)
{
    int status;
    login_tty(dup(t->slave));
    signal(SIGTTOU, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        become(boot_deaf, AS_IT_IS, AS_IT_IS, AS_IT_IS);
    }
    while (!is_raw(t))
        sched_yield();
    tcsetpgrp(0, getpid());
    struct termios mine = t->before;
    mine.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(0, TCSANOW, &mine);
    kill(pid, SIGTERM);
    pid_t ended = waitpid(pid, &status, WUNTRACED);
    if (ended == pid && WIFSTOPPED(status))
        kill(pid, SIGKILL);
    struct termios after;
    tcgetattr(0, &after);
    _exit(!WIFSIGNALED(status) ? 1 : WTERMSIG(status) != SIGTERM ? 2 : same(&after, &mine) ? 0 : 3);
}

static void test_background(void **state)
{
    (void)state;
    struct terminal t;
    open_terminal(&t);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        shell(&t);
    exited(finish(pid), 0);
    close_terminal(&t);
}

/* ---------------------------------------------------------------- nothing is left */

static size_t entries(const char *path, const char *part)
{
    DIR *dir = opendir(path);
    size_t count = 0;
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.' && strstr(e->d_name, part) != NULL;
    if (dir)
        closedir(dir);
    return count;
}

static void test_nothing_left(void **state)
{
    (void)state;
    assert_int_equal(entries(scratch, ""), 0);
    assert_int_equal(entries("/dev/shm", "polder"), 0);
}

static int clean_up(void **state)
{
    (void)state;
    return rmdir(scratch);
}

int main(void)
{
    char self[PATH_MAX];
    assert_non_null(realpath("/proc/self/exe", self));
    const char *build = dirname(dirname(dirname(self)));
    snprintf(polder, sizeof polder, "%s/polder", build);
    snprintf(kernels, sizeof kernels, "%s/tests/boot", build);
    snprintf(deaf, sizeof deaf, "%s/deaf.kernel", kernels);
    snprintf(echo, sizeof echo, "%s/echo.kernel", kernels);
    assert_non_null(mkdtemp(scratch));
    setenv("TMPDIR", scratch, 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fatal_signals),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_stop_at_work),
        cmocka_unit_test(test_stop_between_lines),
        cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_no_reader),
        cmocka_unit_test(test_trace_without_reader),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_closed_streams),
        cmocka_unit_test(test_killed_on_terminal),
        cmocka_unit_test(test_hangup),
        cmocka_unit_test(test_stopped_on_terminal),
        cmocka_unit_test(test_background),
        cmocka_unit_test_teardown(test_nothing_left, clean_up),
    };
    return RUN_GROUP("streams", tests);
}
