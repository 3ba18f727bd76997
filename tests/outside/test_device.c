/* SPDX-License-Identifier: MIT */
/*
 * /dev/kvm that goes away: not there, not allowed, or not what it should be, in a mount namespace of the test's own.
 * What has not begun says so, with what to do; what has begun goes on; a child of it, which would need its own, is
 * told.
 */
#include "../kvm/sandbox.h"

#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char polder[PATH_MAX + 16], kernel[PATH_MAX + 64];

enum vanishing { UNREADABLE, ABSENT, NOT_KVM };

/* In the namespace of this process alone: another node over it, or another folder over /dev. */
static void take_away(enum vanishing how)
{
    if (how == UNREADABLE) {
        char path[] = "/tmp/polder-outside-XXXXXX"; /* readable for its owner, root */
        int fd = mkstemp(path);
        assert_ok(fd);
        assert_ok(mount(path, "/dev/kvm", NULL, MS_BIND, NULL));
        unlink(path);
        close(fd);
    } else if (how == NOT_KVM) {
        assert_ok(mount("/dev/null", "/dev/kvm", NULL, MS_BIND, NULL));
    } else {
        assert_ok(mount("none", "/dev", "tmpfs", 0, "mode=755"));
    }
}

static void own_namespace(void)
{
    assert_ok(unshare(CLONE_NEWNS));
    assert_ok(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* Root may open what nobody may. */
static void become_nobody(void)
{
    assert_ok(setgid(65534));
    assert_ok(setuid(65534));
}

static void check_library(int expected)
{
    struct polder_params params;
    polder_params_init(&params);
    errno = 0;
    if (polder_open("/proc/mm") != -1 || errno != expected)
        fail_msg("polder_open: %s instead of %s", strerror(errno), strerror(expected));
    assert_errno(polder_open("/proc/self/mm"), expected);
    assert_ptr_equal(polder_mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1), MAP_FAILED);
    assert_int_equal(errno, expected);
    assert_int_equal(polder_xstate_size(), 0);
    assert_int_equal(errno, expected);
    assert_errno(polder_run_sandbox(0, &params), EINVAL);
}

/* Status 2 and one line with what to do. */
static void check_program(const char *command, const char *argument, const char *advice)
{
    char text[2000];
    int pipe[2], status;
    assert_ok(pipe2(pipe, O_CLOEXEC));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe[1], 2);
        execl(polder, "polder", command, argument, (char *)NULL);
        _exit(99);
    }
    close(pipe[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(pipe[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)n;
    text[length] = '\0';
    close(pipe[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 2 << 8 || !strstr(text, advice) || strchr(text, '\n') != text + length - 1)
        fail_msg("polder %s: ended with %#x and said: %s", command, status, text);
}

/* A process of its own for each, as the library opens the device but once. */
static void in_a_child(void (*function)(enum vanishing how, bool as_nobody), enum vanishing how, bool as_nobody)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(TEST_SECONDS);
        function(how, as_nobody);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static const int errors[] = {[UNREADABLE] = EACCES, [ABSENT] = ENOENT, [NOT_KVM] = ENOSYS};
static const char *const advices[] = {
    [UNREADABLE] = "join the group kvm", [ABSENT] = "there is no /dev/kvm", [NOT_KVM] = "KVM cannot be had"};

static void before_start(enum vanishing how, bool as_nobody)
{
    own_namespace();
    take_away(how);
    if (as_nobody)
        become_nobody();
    check_library(errors[how]);
    check_program("run", "true", advices[how]);
    check_program("trace", "true", advices[how]);
    check_program("boot", kernel, "KVM cannot be had");
}

static void test_before_start(void **state)
{
    (void)state;
    in_a_child(before_start, UNREADABLE, true);
    in_a_child(before_start, ABSENT, false);
    in_a_child(before_start, NOT_KVM, false);
}

/* The VM is there, the device is not any more: spaces, vCPUs, windows, copies, all can still be made. */
static void after_start(enum vanishing how, bool as_nobody)
{
    struct box box, other;
    int status;
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    own_namespace();
    take_away(how);
    if (as_nobody)
        become_nobody();
    box_open(&other);
    box_map_anonymous(&other, BOX_FREE, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE);
    box_store(&other, BOX_FREE, 5);
    int copy = polder_copy(other.fd);
    assert_ok(copy);
    aim(&box.params, sn_store, BOX_FREE, 6);
    assert_ok(polder_run_sandbox(copy, &box.params));
    assert_int_equal(box_load(&other, BOX_FREE), 5);
    close(copy);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        assert_errno(polder_run_sandbox(box.fd, &box.params), ESTALE);
        assert_errno(polder_open("/proc/mm"), errors[how]);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(box_load(&other, BOX_FREE), 5);
    box_close(&other);
    box_close(&box);
}

static void test_after_start(void **state)
{
    (void)state;
    in_a_child(after_start, UNREADABLE, true);
    in_a_child(after_start, ABSENT, false);
    in_a_child(after_start, NOT_KVM, false);
}

/* What failed for want of the device succeeds when it is back. */
static void comes_back(enum vanishing how, bool as_nobody)
{
    struct box box;
    (void)as_nobody;
    own_namespace();
    take_away(how);
    check_library(errors[how]);
    assert_ok(umount("/dev/kvm"));
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

static void test_comes_back(void **state)
{
    (void)state;
    in_a_child(comes_back, NOT_KVM, false);
}

static bool can_take_away(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void test_needs_root(void **state)
{
    (void)state;
    print_message("a mount namespace needs a root that may make one\n");
    skip();
}

int main(void)
{
    char self[PATH_MAX];
    assert_non_null(realpath("/proc/self/exe", self));
    const char *build = dirname(dirname(dirname(self)));
    snprintf(polder, sizeof polder, "%s/polder", build);
    snprintf(kernel, sizeof kernel, "%s/tests/boot/entry.kernel", build);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_start),
        cmocka_unit_test(test_after_start),
        cmocka_unit_test(test_comes_back),
    };
    const struct CMUnitTest none[] = {cmocka_unit_test(test_needs_root)};
    return can_take_away() ? RUN_GROUP("device", tests) : RUN_GROUP("device", none);
}
