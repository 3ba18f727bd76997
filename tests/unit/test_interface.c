/* SPDX-License-Identifier: MIT */
/*
 * The interface where there is no KVM: what is not a space is told by name, what would need KVM says what stands in the
 * way, and nothing is changed. Where there is a KVM it is put out of reach: with no descriptor left, /dev/kvm cannot be
 * opened.
 */
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <polder/polder.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE 4096ul

#define assert_errno(call, wanted)                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long assert_errno_result = (long)(call);                                                                       \
        int assert_errno_got = errno;                                                                                  \
        assert_int_equal(assert_errno_result, -1);                                                                     \
        assert_string_equal(strerrorname_np(assert_errno_got), strerrorname_np(wanted));                               \
    } while (0)

static size_t embedder_calls;

static void *embedder_alloc(size_t size, void *opaque)
{
    (void)opaque;
    embedder_calls++;
    return aligned_alloc(PAGE, size);
}

static void embedder_free(void *block, size_t size, void *opaque)
{
    (void)size;
    (void)opaque;
    free(block);
}

/* First: the allocator can be set only before anything else. */
static void allocator(void **state)
{
    (void)state;
    struct polder_allocator a = {embedder_alloc, NULL, NULL};
    assert_errno(polder_set_allocator(NULL), EINVAL);
    assert_errno(polder_set_allocator(&a), EINVAL);
    a = (struct polder_allocator){NULL, embedder_free, NULL};
    assert_errno(polder_set_allocator(&a), EINVAL);
    a.alloc = embedder_alloc;
    assert_int_equal(polder_set_allocator(&a), 0);
    assert_int_equal(embedder_calls, 0); /* nothing is taken in advance */
}

static void new_params(void **state)
{
    (void)state;
    struct polder_params params, zero;
    memset(&params, 0xee, sizeof params);
    memset(&zero, 0, sizeof zero);
    polder_params_init(&params);
    assert_int_equal(params.regs.cs, 0x33);
    assert_int_equal(params.regs.ss, 0x2b);
    assert_int_equal(params.regs.eflags, 0x202);
    params.regs.cs = params.regs.ss = params.regs.eflags = 0;
    assert_memory_equal(&params.regs, &zero.regs, sizeof params.regs);
    assert_null(params.xstate);
    assert_null(params.sigmask);
    assert_int_equal(params.xstate_size, 0);
    assert_int_equal(params.flags, 0);
    assert_int_equal(params.deadline_ns, 0);
    assert_int_equal(params.reason, 0);
    assert_int_equal(polder_kick(&params), 0);
    assert_int_equal(polder_kick(&params), 0);
    polder_params_fini(&params); /* without a run there is nothing to give back, however often */
    polder_params_fini(&params);
    polder_params_init(&params);
    polder_params_fini(&params);
}

/* Every function that takes a descriptor, with one that is no space. */
static void all_refuse(int fd, int wanted)
{
    struct polder_params params;
    char byte = 7;
    struct polder_op op = {.code = POLDER_OP_MUNMAP, .start = (void *)PAGE, .length = PAGE};
    void *const at = (void *)PAGE;
    const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

    polder_params_init(&params);
    struct polder_params before = params;
    assert_errno(polder_copy(fd), wanted);
    assert_errno(polder_run_sandbox(fd, &params), wanted);
    params.reason = before.reason = POLDER_SYSCALL;
    assert_errno(polder_proceed(fd, &params), wanted);
    assert_errno(polder_read(fd, &byte, 1, PAGE), wanted);
    assert_errno(polder_write(fd, &byte, 1, PAGE), wanted);
    assert_int_equal(byte, 7);
    assert_memory_equal(&params, &before, sizeof params);
    polder_params_fini(&params);
    if (fd == -1)
        return; /* the caller's own process */
    assert_errno(polder_mmap(at, PAGE, PROT_READ, anonymous, -1, 0, fd), wanted);
    assert_errno(polder_munmap(at, PAGE, fd), wanted);
    assert_errno(polder_mprotect(at, PAGE, PROT_READ, fd), wanted);
    assert_errno(polder_apply(fd, &op, 1), wanted);
    assert_errno(polder_apply(fd, NULL, 0), wanted);
    assert_errno(polder_apply(fd, NULL, 1), EFAULT);
}

static void closed_descriptors(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    all_refuse(fd, EBADF);
    all_refuse(-1, EBADF);
    all_refuse(-2, EBADF);
    all_refuse(INT_MIN, EBADF);
    all_refuse(INT_MAX, EBADF);
}

static void other_descriptors(void **state)
{
    (void)state;
    int pair[2], pipes[2];
    int fds[] = {open("/dev/null", O_RDWR | O_CLOEXEC), open("/", O_RDONLY | O_CLOEXEC), memfd_create("m", MFD_CLOEXEC),
        open("/", O_PATH | O_CLOEXEC), -1, -1, -1, -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0); /* what a space's descriptor is to everybody else */
    memcpy(&fds[4], pair, sizeof pair);
    memcpy(&fds[6], pipes, sizeof pipes);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        assert_true(fds[i] >= 0);
        all_refuse(fds[i], EINVAL);
        close(fds[i]);
    }
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* What needs KVM, when it cannot be had. */
static void all_fail(int wanted)
{
    static const char *const paths[] = {"/proc/mm", "/proc/self/mm", "/proc/1/mm"};
    struct polder_op op = {.code = POLDER_OP_MUNMAP};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_errno(polder_open(paths[i]), wanted);
    assert_errno(polder_open(NULL), EFAULT);
    errno = 0;
    assert_int_equal(polder_xstate_size(), 0);
    assert_int_equal(errno, wanted);

    /* On the caller's own process nothing is done that could then not be recorded. */
    char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    memset(page, 5, 2 * PAGE);
    const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    assert_errno(polder_mmap(page, PAGE, PROT_READ | PROT_WRITE, fixed, -1, 0, -1), wanted);
    assert_errno(polder_munmap(page, PAGE, -1), wanted);
    assert_errno(polder_mprotect(page, PAGE, PROT_NONE, -1), wanted);
    op.start = page;
    op.length = 2 * PAGE;
    assert_errno(polder_apply(-1, &op, 1), wanted);
    for (size_t i = 0; i < 2 * PAGE; i++)
        assert_int_equal(page[i]++, 5);
    munmap(page, 2 * PAGE);
}

static void without_kvm(void **state)
{
    (void)state;
    struct rlimit limit, none;
    size_t before = open_descriptors();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    all_fail(EMFILE);
    all_fail(EMFILE); /* and again the same */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(open_descriptors(), before);
}

/* A failure is not for ever: where there is a KVM, it is found now; where there is none, that is what is said. */
static void afterwards(void **state)
{
    (void)state;
    int fd = polder_open("/proc/mm");
    if (fd < 0) {
        assert_int_not_equal(errno, EMFILE);
        all_fail(errno);
        return;
    }
    static const char *const wrong[] = {"", "/", "/proc", "/proc/", "/proc/mm/", "/proc/mmm", "/proc/self", "proc/mm",
        "/proc/self/mm/", "/proc/self/mem", "/proc/0/mm", "/proc/-1/mm", "/proc/+1/mm", "/proc/ 1/mm", "/proc/01/mm",
        "/proc/1x/mm", "/proc/1/mmm", "/proc/99999999999999999999/mm", "/proc/4294967297/mm", "/proc/2147483647/mm"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_errno(polder_open(wrong[i]), ENOENT);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(embedder_calls > 0);
    struct polder_allocator late = {embedder_alloc, embedder_free, NULL};
    assert_errno(polder_set_allocator(&late), EBUSY);
    close(fd);
    all_refuse(fd, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocator),
        cmocka_unit_test(new_params),
        cmocka_unit_test(closed_descriptors),
        cmocka_unit_test(other_descriptors),
        cmocka_unit_test(without_kvm),
        cmocka_unit_test(afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
