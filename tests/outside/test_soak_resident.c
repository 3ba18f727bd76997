/* SPDX-License-Identifier: MIT */
/*
 * kernel_soak.c with two vCPUs in `polder boot`: what the kernel has in use and what the monitor's process holds is the
 * same after the last batch as soon after the beginning. SOAK_SECONDS makes it last (`make soak`).
 */
#include "../kvm/sandbox.h"

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define WARM 2
/* The machine has some 10 MiB of RAM from the start, and the host may fill up what is around its pages with huge ones.
 */
#define SLACK (12ul << 20)

static char build[PATH_MAX];

struct sample {
    unsigned long used, rss, mappings, descriptors;
};

static unsigned long count_lines(pid_t pid, const char *what)
{
    char path[64], command[128];
    unsigned long n = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
    snprintf(command, sizeof command, strcmp(what, "maps") == 0 ? "wc -l <%s" : "ls %s | wc -l", path);
    FILE *out = popen(command, "re");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%lu", &n), 1);
    pclose(out);
    return n;
}

static struct sample look(pid_t pid, unsigned long used)
{
    char path[64];
    unsigned long size, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return (struct sample){used, resident * PAGE, count_lines(pid, "maps"), count_lines(pid, "fd")};
}

static pid_t boot(int batches, int *out)
{
    char polder[PATH_MAX + 16], kernel[PATH_MAX + 64], append[100];
    int pipe[2];
    snprintf(polder, sizeof polder, "%s/polder", build);
    snprintf(kernel, sizeof kernel, "%s/tests/outside/soak.kernel", build);
    snprintf(append, sizeof append, "--append=rounds=4 batches=%d", batches);
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that has failed leaves nothing behind */
        dup2(pipe[1], 1);
        execl(polder, "polder", "boot", "--cpus=2", append, kernel, (char *)NULL);
        _exit(99);
    }
    close(pipe[1]);
    *out = pipe[0];
    return pid;
}

static void test_soak(void **state)
{
    (void)state;
    const char *seconds = getenv("SOAK_SECONDS");
    time_t began = time(NULL), length = seconds ? atol(seconds) : 0, told = 0;
    int out, status, batch, seen = 0;
    char line[300];
    unsigned long used;
    struct sample then = {0}, now = {0};
    alarm(seconds ? 0 : TEST_SECONDS * 3);
    pid_t pid = boot(seconds ? 1000000 : 7, &out);
    FILE *lines = fdopen(out, "re");
    assert_non_null(lines);
    while (fgets(line, sizeof line, lines)) {
        if (strstr(line, "not ok") || strstr(line, "FAILED"))
            fail_msg("%s", line);
        if (sscanf(line, "# batch %d used %lu", &batch, &used) != 2)
            continue;
        seen++;
        now = look(pid, used);
        time_t second = time(NULL) - began;
        if (seconds && second >= told) {
            print_message("%5ld s: %lu bytes in use, RSS %lu KiB, %lu mappings, %lu descriptors\n", (long)second,
                now.used, now.rss >> 10, now.mappings, now.descriptors);
            told = second + 30;
        }
        if (batch == WARM)
            then = now;
        if (batch > WARM && (now.used > then.used || now.rss > then.rss + SLACK || now.mappings > then.mappings ||
                                now.descriptors > then.descriptors))
            fail_msg(
                "it grows: %lu bytes in use, RSS %lu, %lu mappings, %lu descriptors; %lu, %lu, %lu, %lu in batch %d",
                now.used, now.rss, now.mappings, now.descriptors, then.used, then.rss, then.mappings, then.descriptors,
                WARM);
        if (seconds && second >= length)
            kill(pid, SIGTERM);
    }
    fclose(lines);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(seconds ? WIFSIGNALED(status) : status == 0);
    assert_true(seen > WARM + 1);
    print_message(
        "%d batches: %lu bytes in use, RSS %lu KiB, %lu mappings, %lu descriptors; %lu, %lu, %lu, %lu at first\n", seen,
        now.used, now.rss >> 10, now.mappings, now.descriptors, then.used, then.rss >> 10, then.mappings,
        then.descriptors);
}

int main(void)
{
    char self[PATH_MAX];
    assert_non_null(realpath("/proc/self/exe", self));
    snprintf(build, sizeof build, "%s", dirname(dirname(dirname(self))));
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_soak)};
    return RUN_GROUP("soak_resident", tests);
}
