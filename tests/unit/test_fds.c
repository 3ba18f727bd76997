/* SPDX-License-Identifier: MIT */
/* The monitor's descriptors: high, and as good as closed for the program. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/fds.h"
#include "linux/linux.h"

static int memory, moved, first;

static int setup(void **state)
{
    (void)state;
    first = dup(0);
    close(first);
    struct rlimit before, after;
    getrlimit(RLIMIT_NOFILE, &before);
    moved = linux_hide_fd(dup(2));
    if (moved < 0 || fds_begin() != 0)
        return -1;
    memory = memfd_create("monitor", MFD_CLOEXEC);
    if (fds_end() != 0)
        return -1;
    getrlimit(RLIMIT_NOFILE, &after);
    return memcmp(&before, &after, sizeof(before));
}

static void numbers(void **state)
{
    (void)state;
    assert_true(memory > 200 && moved > 200);
    assert_true(fds_hidden(memory));
    assert_true(fds_hidden(moved));
    assert_false(fds_hidden(-1));
    assert_false(fds_hidden(0));
    assert_false(fds_hidden(first));
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fd, first); /* as natively */
    close(fd);
}

static void calls(void **state)
{
    (void)state;
    uint64_t a[6] = {(uint64_t)memory, 0, 0, 0, 0, 0};
    assert_true(fds_refuse(SYS_close, a));
    assert_true(fds_refuse(SYS_dup2, a));
    assert_true(fds_refuse(SYS_ioctl, a));
    assert_false(fds_refuse(SYS_getpid, a));
    assert_false(fds_refuse(100000, a));
    uint64_t b[6] = {0, (uint64_t)memory, 0, 0, 0, 0};
    assert_true(fds_refuse(SYS_dup2, b));
    assert_true(fds_refuse(SYS_dup3, b));
    assert_false(fds_refuse(SYS_write, b));
    /* The kernel looks at 32 bits of a descriptor. */
    a[0] |= 0xffffffff00000000;
    assert_true(fds_refuse(SYS_close, a));
    uint64_t c[6] = {(uint64_t)AT_FDCWD, 0, 0, 0, 0, 0};
    assert_false(fds_refuse(SYS_openat, c));
}

static void ranges(void **state)
{
    (void)state;
    /* The monitor's numbers are the last below the limit: room above them for one of the program's. */
    struct rlimit limit, raised;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    raised = limit;
    if (raised.rlim_cur < (rlim_t)memory + 16)
        raised.rlim_cur = (rlim_t)memory + 16;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &raised), 0);
    int fd = dup(0), high = fcntl(0, F_DUPFD, memory + 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(fd >= 0 && high > memory);
    assert_int_equal(fds_close_range(5, 4, 0), -EINVAL);
    assert_int_equal(fds_close_range(3, ~0u, 1u << 30), -EINVAL);
    assert_int_equal(fds_close_range((uint64_t)memory, (uint64_t)memory, 0), 0);
    assert_int_equal(fds_close_range((uint64_t)fd, ~0u, 0), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(fcntl(high, F_GETFD), -1);
    assert_true(fcntl(memory, F_GETFD) >= 0);
    assert_true(fcntl(moved, F_GETFD) >= 0);
}

static void exec(void **state)
{
    (void)state;
    int goes = fcntl(0, F_DUPFD_CLOEXEC, 3), stays = dup(0);
    fds_close_on_exec();
    assert_int_equal(fcntl(goes, F_GETFD), -1);
    assert_true(fcntl(stays, F_GETFD) >= 0);
    assert_true(fcntl(memory, F_GETFD) >= 0);
    close(stays);
}

static unsigned listed(int directory, bool filter, int fd)
{
    char buf[65536];
    unsigned seen = 0;
    long n;
    assert_int_equal(lseek(directory, 0, SEEK_SET), 0);
    while ((n = syscall(SYS_getdents64, directory, buf, sizeof(buf))) > 0) {
        if (filter)
            n = (long)fds_filter_listing(directory, buf, (size_t)n);
        for (long at = 0; at < n; at += *(unsigned short *)(buf + at + 16)) {
            char name[16];
            int length = 0;
            for (int rest = fd, power = 1; rest / power != 0; power *= 10)
                length++;
            for (int i = length - 1, rest = fd; i >= 0; i--, rest /= 10)
                name[i] = (char)('0' + rest % 10);
            name[length] = '\0';
            seen += strcmp(buf + at + 19, name) == 0;
        }
    }
    return seen;
}

static void listings(void **state)
{
    (void)state;
    int fds = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(listed(fds, false, memory), 1);
    assert_int_equal(listed(fds, true, memory), 0);
    assert_int_equal(listed(fds, true, moved), 0);
    assert_int_equal(listed(fds, true, 2), 1);
    close(fds);

    /* Elsewhere a number is a name like any other. */
    char path[] = "/tmp/polder-fds-XXXXXX", name[64];
    assert_non_null(mkdtemp(path));
    snprintf(name, sizeof(name), "%s/%d", path, memory);
    close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    fds = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(listed(fds, true, memory), 1);
    close(fds);
    unlink(name);
    rmdir(path);

    /* What is no listing is left alone. */
    char junk[64];
    memset(junk, 0, sizeof(junk));
    assert_int_equal(fds_filter_listing(0, junk, sizeof(junk)), sizeof(junk));
    memset(junk, 0xff, sizeof(junk));
    assert_int_equal(fds_filter_listing(0, junk, sizeof(junk)), sizeof(junk));
    assert_int_equal(fds_filter_listing(0, junk, 3), 3);
}

static void reopened(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", memory);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(fds_same_file(fd));
    close(fd);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_false(fds_same_file(fd));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(calls),
        cmocka_unit_test(ranges),
        cmocka_unit_test(exec),
        cmocka_unit_test(listings),
        cmocka_unit_test(reopened),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
