/* SPDX-License-Identifier: MIT */
/*
 * The program, refused one thing at a time: `polder boot` either boots as ever, or says in one line what cannot be had
 * and ends with status 2; `polder run` likewise, or its program is told what it natively would be.
 */
#include "../kvm/sandbox.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

static char polder[PATH_MAX + 64], kernel[PATH_MAX + 64];
static char *told;
static int told_fd;

/* How it ended, as waitpid says; what it said on standard error. */
static int refused(char *const argv[], long n, char *text, size_t size)
{
    int pipe[2], status;
    char number[24];
    snprintf(number, sizeof number, "%ld", n);
    told[0] = '\0';
    assert_ok(pipe2(pipe, O_CLOEXEC));
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        dup2(pipe[1], 2);
        dup2(told_fd, 9);
        setenv("POLDER_REFUSE", number, 1);
        execv(argv[0], argv);
        _exit(99);
    }
    close(pipe[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(pipe[0], text + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(pipe[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Every one of the first, and some of the rest: `polder run` takes thousands of numbers of descriptors once. */
static void each(char *const argv[], int good)
{
    char text[4096];
    long n = 0, failures = 0, stride = 1000 / scaled(1000);
    for (;; n += n < 100 ? 1 + n * 7 % stride : 200 * stride + 1) {
        int status = refused(argv, n, text, sizeof text);
        if (!told[0])
            break;
        if (status == good << 8)
            continue;
        failures++;
        char *end = strchr(text, '\n');
        if ((status != 2 << 8 && status != 126 << 8) || !strstr(text, "polder") || !end || end[1])
            fail_msg("refusal %ld, of %s: ended with %#x, and said: %s", n, told, status, text);
    }
    print_message("%ld of %ld refusals ended it\n", failures, n);
    assert_true(failures > 0);
}

static void test_boot(void **state)
{
    (void)state;
    char *argv[] = {polder, "boot", "--cpus=2", kernel, NULL};
    each(argv, 42);
}

static void test_run(void **state)
{
    (void)state;
    char *argv[] = {polder, "run", "/bin/true", NULL};
    each(argv, 0);
}

int main(void)
{
    char self[PATH_MAX];
    assert_non_null(realpath("/proc/self/exe", self));
    const char *build = dirname(dirname(dirname(self)));
    snprintf(polder, sizeof polder, "%s/tests/outside/polder-refused", build);
    snprintf(kernel, sizeof kernel, "%s/tests/boot/entry.kernel", build);
    told_fd = memfd_create("told", MFD_CLOEXEC);
    assert_ok(ftruncate(told_fd, 4096));
    told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, told_fd, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_run),
    };
    return RUN_GROUP("refused", tests);
}
