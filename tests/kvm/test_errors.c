/* SPDX-License-Identifier: MIT */
/*
 * What misuse gives. For the mapping calls Linux itself is the judge: the same mistake is made with mmap, munmap and
 * mprotect on this process and with polder's on a space, at the same addresses, and the answers must be the same.
 */
#include "sandbox.h"

#include <pthread.h>
#if __STDC_HOSTED__
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#endif

#if __STDC_HOSTED__ /* there is no Linux inside to compare with: tests/resident has these */
#define ARENA_PAGES 16

struct pair {
    struct box box;
    char *arena; /* ARENA_PAGES pages of address space, free in the process and in the space */
};

static void pair_open(struct pair *pair)
{
    box_open(&pair->box);
    box_syscall(
        &pair->box, sn_syscall, 0, 0); /* what the library maps of its own is there before the arena is chosen */
    pair->arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(pair->arena, MAP_FAILED);
    assert_int_equal(munmap(pair->arena, ARENA_PAGES * PAGE), 0);
}

static void pair_close(struct pair *pair)
{
    munmap(pair->arena, ARENA_PAGES * PAGE);
    box_close(&pair->box);
}

static void pair_map(struct pair *pair, size_t page, size_t pages, int prot, int flags, int fd, off_t offset)
{
    char *at = pair->arena + page * PAGE;

    assert_ptr_equal(mmap(at, pages * PAGE, prot, flags | MAP_FIXED, fd, offset), at);
    assert_ptr_equal(polder_mmap(at, pages * PAGE, prot, flags | MAP_FIXED, fd, offset, pair->box.fd), at);
}

/* Makes the same call twice; both must fail, or both succeed. errno is compared by name for the sake of the message. */
static void same_mmap(
    struct pair *pair, const char *what, void *start, size_t length, int prot, int flags, int fd, off_t offset)
{
    errno = 0;
    void *linux_got = mmap(start, length, prot, flags, fd, offset);
    int linux_errno = errno;
    errno = 0;
    void *got = polder_mmap(start, length, prot, flags, fd, offset, pair->box.fd);
    int got_errno = errno;

    if (linux_got != MAP_FAILED)
        munmap(linux_got, length);
    if (got != MAP_FAILED)
        polder_munmap(got, length, pair->box.fd);
    if ((got == MAP_FAILED) != (linux_got == MAP_FAILED) || (got == MAP_FAILED && got_errno != linux_errno))
        fail_msg("mmap, %s: Linux %s, polder %s", what,
            linux_got == MAP_FAILED ? strerrorname_np(linux_errno) : "maps it",
            got == MAP_FAILED ? strerrorname_np(got_errno) : "maps it");
}

static void same_mprotect(struct pair *pair, const char *what, void *start, size_t length, int prot)
{
    errno = 0;
    int linux_got = mprotect(start, length, prot);
    int linux_errno = errno;
    errno = 0;
    int got = polder_mprotect(start, length, prot, pair->box.fd);
    int got_errno = errno;

    if (got != linux_got || (got < 0 && got_errno != linux_errno))
        fail_msg("mprotect, %s: Linux %s, polder %s", what, linux_got < 0 ? strerrorname_np(linux_errno) : "does it",
            got < 0 ? strerrorname_np(got_errno) : "does it");
}

static void same_munmap(struct pair *pair, const char *what, void *start, size_t length)
{
    errno = 0;
    int linux_got = munmap(start, length);
    int linux_errno = errno;
    errno = 0;
    int got = polder_munmap(start, length, pair->box.fd);
    int got_errno = errno;

    if (got != linux_got || (got < 0 && got_errno != linux_errno))
        fail_msg("munmap, %s: Linux %s, polder %s", what, linux_got < 0 ? strerrorname_np(linux_errno) : "does it",
            got < 0 ? strerrorname_np(got_errno) : "does it");
}

#define TOP 0x7ffffffff000ul /* Linux's TASK_SIZE with four levels of page tables */

static void mmap_mistakes(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_file(4, 1), read_only, write_only, directory, sealed, pipes[2];
    char path[64];

    pair_open(&pair);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    write_only = open(path, O_WRONLY | O_CLOEXEC);
    directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(sealed, PAGE), 0);
    assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_true(read_only >= 0 && write_only >= 0 && directory >= 0);

    const int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    char *at = pair.arena;
    const struct {
        const char *what;
        void *start;
        size_t length;
        int prot, flags, fd;
        off_t offset;
    } cases[] = {
        {"length 0", NULL, 0, rw, anonymous, -1, 0},
        {"length 0, file", NULL, 0, rw, MAP_SHARED, file, 0},
        {"neither shared nor private", NULL, PAGE, rw, MAP_ANONYMOUS, -1, 0},
        {"neither shared nor private, file", NULL, PAGE, rw, 0, file, 0},
        {"unaligned offset", NULL, PAGE, rw, MAP_SHARED, file, 1},
        {"unaligned offset, half a page", NULL, PAGE, rw, MAP_PRIVATE, file, 2048},
        {"unaligned offset, anonymous", NULL, PAGE, rw, anonymous, -1, 12},
        {"no file, shared", NULL, PAGE, rw, MAP_SHARED, -1, 0},
        {"no file, private", NULL, PAGE, rw, MAP_PRIVATE, -1, 0},
        {"a descriptor that is not open", NULL, PAGE, rw, MAP_SHARED, 1 << 20, 0},
        {"anonymous ignores the descriptor", NULL, PAGE, rw, anonymous, 1 << 20, 0},
        {"a directory", NULL, PAGE, PROT_READ, MAP_SHARED, directory, 0},
        {"a pipe", NULL, PAGE, PROT_READ, MAP_SHARED, pipes[0], 0},
        {"a pipe, private", NULL, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0},
        {"a file open for writing only, private", NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0},
        {"a file open for writing only, shared", NULL, PAGE, PROT_WRITE, MAP_SHARED, write_only, 0},
        {"a file open for reading only, shared and writable", NULL, PAGE, rw, MAP_SHARED, read_only, 0},
        {"a file open for reading only, shared", NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0},
        {"a file open for reading only, private and writable", NULL, PAGE, rw, MAP_PRIVATE, read_only, 0},
        {"a sealed file, shared and writable", NULL, PAGE, rw, MAP_SHARED, sealed, 0},
        {"a sealed file, private and writable", NULL, PAGE, rw, MAP_PRIVATE, sealed, 0},
        {"offset past what a file can have", NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, 0x7ffffffffffff000},
        {"offset that wraps", NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, (off_t)0xfffffffffffff000},
        {"offset past the file's end", NULL, PAGE, PROT_READ, MAP_SHARED, file, 64 * (off_t)PAGE},
        {"unaligned start, fixed", at + 1, PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"unaligned start, noreplace", at + 1, PAGE, rw, anonymous | MAP_FIXED_NOREPLACE, -1, 0},
        {"unaligned start, a hint", at + 1, PAGE, rw, anonymous, -1, 0},
        {"length that wraps", NULL, SIZE_MAX, rw, anonymous, -1, 0},
        {"length that wraps to one page", NULL, SIZE_MAX - PAGE + 2, rw, anonymous, -1, 0},
        {"length of the whole space and more", NULL, TOP + PAGE, rw, anonymous | MAP_NORESERVE, -1, 0},
        {"fixed at the top", (void *)TOP, PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"fixed across the top", (void *)(TOP - PAGE), 2 * PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"fixed and not canonical", (void *)0x800000000000, PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"fixed in the upper half", (void *)0xffff800000000000, PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"fixed at the last page", (void *)0xfffffffffffff000, PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"fixed and wrapping", (void *)0xfffffffffffff000, 2 * PAGE, rw, anonymous | MAP_FIXED, -1, 0},
        {"a hint in the upper half", (void *)0xffff800000000000, PAGE, rw, anonymous, -1, 0},
        {"an unknown flag, validated", NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x4000000, file, 0},
        {"MAP_SYNC on a file that has none", NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, file, 0},
        {"noreplace where nothing is", at, PAGE, rw, anonymous | MAP_FIXED_NOREPLACE, -1, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        same_mmap(&pair, cases[i].what, cases[i].start, cases[i].length, cases[i].prot, cases[i].flags, cases[i].fd,
            cases[i].offset);

    /* Replacing: a collision at either end of the range, and none beside it. */
    pair_map(&pair, 4, 2, rw, anonymous, -1, 0);
    for (size_t page = 2; page < 8; page++)
        same_mmap(&pair, "noreplace, two pages around a mapping of two", at + page * PAGE, 2 * PAGE, rw,
            anonymous | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(
        polder_mmap(at + 4 * PAGE, PAGE, rw, anonymous | MAP_FIXED_NOREPLACE, -1, 0, pair.box.fd), MAP_FAILED);
    assert_int_equal(errno, EEXIST);

    close(file);
    close(read_only);
    close(write_only);
    close(directory);
    close(sealed);
    close(pipes[0]);
    close(pipes[1]);
    pair_close(&pair);
}

static void mprotect_and_munmap_mistakes(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_file(4, 1), read_only;
    char path[64];
    const int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;

    pair_open(&pair);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read_only >= 0);
    char *at = pair.arena;
    /* Pages 0, 1 anonymous; 2, 3 shared of a file that is open for reading only; 4 a hole; 5 anonymous. */
    pair_map(&pair, 0, 2, rw, anonymous, -1, 0);
    pair_map(&pair, 2, 2, PROT_READ, MAP_SHARED, read_only, 0);
    pair_map(&pair, 5, 1, rw, anonymous, -1, 0);
    assert_int_equal(close(read_only), 0); /* the right to write is the mapping's, not the descriptor's */

    same_mprotect(&pair, "unaligned start", at + 8, PAGE, PROT_READ);
    same_mprotect(&pair, "length 0", at, 0, PROT_READ);
    same_mprotect(&pair, "length 0 where nothing is mapped", at + 4 * PAGE, 0, PROT_READ);
    same_mprotect(&pair, "unaligned start, length 0", at + 8, 0, PROT_READ);
    same_mprotect(&pair, "a hole", at + 4 * PAGE, PAGE, PROT_READ);
    same_mprotect(&pair, "writing to a file open for reading only", at + 2 * PAGE, PAGE, rw);
    same_mprotect(&pair, "length that wraps", at, SIZE_MAX - PAGE + 1, PROT_READ);
    same_mprotect(&pair, "length that wraps to 0", at, SIZE_MAX, PROT_READ);
    same_mprotect(&pair, "past the top", (void *)TOP, PAGE, PROT_READ);
    same_mprotect(&pair, "the upper half", (void *)0xffff800000000000, PAGE, PROT_READ);
    same_mprotect(&pair, "an unknown bit", at, PAGE, PROT_READ | 0x40);
    same_mprotect(&pair, "a length that is not whole pages", at, 1, PROT_READ);

    same_munmap(&pair, "unaligned start", at + 8, PAGE);
    same_munmap(&pair, "length 0", at, 0);
    same_munmap(&pair, "length that wraps", at, SIZE_MAX - PAGE + 1);
    same_munmap(&pair, "length that wraps to 0", at, SIZE_MAX);
    same_munmap(&pair, "past the top", (void *)TOP, PAGE);
    same_munmap(&pair, "across the top", (void *)(TOP - PAGE), 2 * PAGE);
    same_munmap(&pair, "the upper half", (void *)0xffff800000000000, PAGE);
    same_munmap(&pair, "a hole", at + 4 * PAGE, PAGE);
    same_munmap(&pair, "a length that is not whole pages", at + 5 * PAGE, 1);
    same_mprotect(&pair, "what has been unmapped", at + 5 * PAGE, PAGE, PROT_READ);

    /* After a failure nothing has been changed, also in the pages before the one that is wrong. */
    assert_int_equal(polder_mprotect(at, 2 * PAGE, rw, pair.box.fd), 0);
    assert_errno(polder_mprotect(at + PAGE, 2 * PAGE, rw | PROT_EXEC, pair.box.fd), EACCES);
    box_fault(&pair.box, sn_jump, (uint64_t)at + PAGE, 0, (uint64_t)at + PAGE, PF_P | PF_U | PF_I);
    assert_errno(polder_mprotect(at, 6 * PAGE, PROT_READ, pair.box.fd), ENOMEM);
    box_store(&pair.box, (uint64_t)at, 1);

    close(file);
    pair_close(&pair);
}
#endif

/* Every call with a descriptor of a space, on one that is none. */
static void each_call_fails(int fd, int wanted)
{
    struct polder_params params;
    struct polder_op op = {.code = POLDER_OP_MUNMAP, .start = (void *)BOX_FREE, .length = PAGE};
    char byte = 0;

    polder_params_init(&params);
    params.regs.rip = BOX_CODE;
    if (fd != -1) { /* which is the caller's own process to these */
        assert_errno(polder_mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, fd), wanted);
        assert_errno(polder_munmap((void *)BOX_FREE, PAGE, fd), wanted);
        assert_errno(polder_mprotect((void *)BOX_FREE, PAGE, PROT_READ, fd), wanted);
        assert_errno(polder_apply(fd, &op, 1), wanted);
    }
    assert_errno(polder_copy(fd), wanted);
    assert_errno(polder_run_sandbox(fd, &params), wanted);
    assert_errno(polder_proceed(fd, &params), __STDC_HOSTED__ ? wanted : ENOSYS);
    assert_errno(polder_read(fd, &byte, 1, BOX_CODE), wanted);
    assert_errno(polder_write(fd, &byte, 1, BOX_CODE), wanted);
    polder_params_fini(&params);
}

static void descriptors_that_are_no_space(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    each_call_fails(-1, EBADF);
    each_call_fails(-2, EBADF);
    each_call_fails(1 << 20, EBADF);

    int file = make_file(1, 1);
#if __STDC_HOSTED__
    int pipes[2], sockets[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    const int strangers[] = {file, null, pipes[0], pipes[1], sockets[0], sockets[1]};
#else
    const int strangers[] = {file};
#endif
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        each_call_fails(strangers[i], EINVAL);
        assert_int_equal(close(strangers[i]), 0);
    }
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

static void a_number_that_is_reused(void **state)
{
    (void)state;
    struct box box;
    int number;

    box_open(&box);
    number = box.fd;
    box_syscall(&box, sn_syscall, 0, 0);
    assert_int_equal(close(number), 0);
    each_call_fails(number, EBADF);

    /* Something else under the number of a space. */
    int file = make_file(1, 1);
#if __STDC_HOSTED__
    assert_int_equal(dup2(file, number), number);
    each_call_fails(number, EINVAL);
    assert_int_equal(close(number), 0);
    close(file);
#else /* which is the lowest that is free */
    assert_int_equal(file, number);
    each_call_fails(number, EINVAL);
    close(file);
#endif

    /* Another space under it: a new and empty one. */
    int other = polder_open("/proc/mm");
    assert_true(other >= 0);
#if __STDC_HOSTED__
    if (other != number) {
        assert_int_equal(dup2(other, number), number);
        close(other);
    }
#else
    assert_int_equal(other, number);
#endif
    aim(&box.params, sn_syscall, 0, 0);
    assert_int_equal(polder_run_sandbox(number, &box.params), 0);
    assert_int_equal(box.params.reason, POLDER_PAGE_FAULT);
    assert_int_equal(box.params.fault_addr, SNIPPET(sn_syscall));
    assert_int_equal(box.params.error_code, PF_U | PF_I);
    box_close(&box);
}

static void a_duplicate_is_the_same_space(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    assert_int_equal(fcntl(box.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
#if __STDC_HOSTED__
    int twin = fcntl(box.fd, F_DUPFD_CLOEXEC, 100);
    assert_true(twin >= 100);
#else
    int twin = dup(box.fd);
    assert_true(twin >= 0 && twin != box.fd);
#endif
    box_map_anonymous(&box, BOX_FREE, PAGE, PROT_READ | PROT_WRITE);
    box_store(&box, BOX_FREE, 77);
    assert_int_equal(close(box.fd), 0);

    box.fd = twin;
    assert_int_equal(box_load(&box, BOX_FREE), 77);
    int third = dup(twin);
    uint64_t word = 78;
    assert_int_equal(polder_write(third, &word, sizeof(word), BOX_FREE), sizeof(word));
    assert_int_equal(close(third), 0);
    assert_int_equal(box_load(&box, BOX_FREE), 78);
    box_close(&box);
}

#if __STDC_HOSTED__ /* no sockets */
static void a_descriptor_sent_through_a_socket(void **state)
{
    (void)state;
    struct box box;
    int sockets[2];
    char byte = 'x';
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    box_open(&box);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets), 0);
    memset(&control, 0, sizeof(control));
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &box.fd, sizeof(int));
    assert_int_equal(sendmsg(sockets[0], &message, 0), 1);
    assert_int_equal(close(box.fd), 0);
    /* While it is under way the space lives: another one opened now must not take it for dead. */
    int other = polder_open("/proc/mm");
    assert_true(other >= 0);
    message.msg_controllen = sizeof(control);
    assert_int_equal(recvmsg(sockets[1], &message, MSG_CMSG_CLOEXEC), 1);
    memcpy(&box.fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    box_syscall(&box, sn_syscall, 0, 0);
    close(other);
    close(sockets[0]);
    close(sockets[1]);
    box_close(&box);
}
#endif

static void opening(void **state)
{
    (void)state;
    assert_errno(polder_open("/proc/nonsense"), ENOENT);
    assert_errno(polder_open("/proc/mm/"), ENOENT);
    assert_errno(polder_open(""), ENOENT);
    assert_errno(polder_open("mm"), ENOENT);
    assert_errno(polder_open("/proc/0/mm"), ENOENT);
    assert_errno(polder_open("/proc/-1/mm"), ENOENT);
    assert_errno(polder_open("/proc/999999999/mm"), ENOENT);
    assert_errno(polder_open("/proc/99999999999999999999/mm"), ENOENT);
    assert_errno(polder_open("/proc/1x/mm"), ENOENT);
    assert_errno(polder_open("/dev/null"), ENOENT);

#if __STDC_HOSTED__ /* a kernel's limit is in the thousands: tests/resident goes there */
    /* With the descriptors all in use. The library is in use already, so only the new one is missing. */
    int first = polder_open("/proc/mm");
    assert_true(first >= 0);
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int lowest = dup(first);
    close(lowest);
    tight = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = old.rlim_max};
    size_t before = own_descriptors();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int got = polder_open("/proc/mm"), got_errno = errno, copy = polder_copy(first), copy_errno = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(got, -1);
    assert_int_equal(got_errno, EMFILE);
    assert_int_equal(copy, -1);
    assert_int_equal(copy_errno, EMFILE);
    assert_int_equal(own_descriptors(), before);
    close(first);
#endif
}

static void params_that_are_wrong(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    struct polder_params *p = &box.params;
    const uint64_t bad_cs[] = {0, 0x10, 0x08, 0x2b, 0x30, 0x32, 0x1b, 0xffff, 0x3b, 0x10033};
    for (size_t i = 0; i < sizeof(bad_cs) / sizeof(bad_cs[0]); i++) {
        aim(p, sn_syscall, 0, 0);
        p->regs.cs = bad_cs[i];
        assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    }
    p->regs.cs = 0x33;
    const uint64_t bad_ss[] = {0, 0x18, 0x28, 0x33, 0x23, 0xffff};
    for (size_t i = 0; i < sizeof(bad_ss) / sizeof(bad_ss[0]); i++) {
        p->regs.ss = bad_ss[i];
        assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    }
    p->regs.ss = 0x2b;
    for (unsigned bit = 3; bit < 32; bit++) {
        p->flags = 1u << bit;
        assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    }
    size_t size = polder_xstate_size();
    assert_true(size >= 576);
    p->flags = POLDER_XSTATE_LOAD;
    assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    p->flags = POLDER_XSTATE_STORE;
    assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    p->xstate = aligned_alloc(64, (size + 63) & ~63ul);
    assert_non_null(p->xstate);
    memset(p->xstate, 0, size);
    p->xstate_size = size - 1;
    assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    p->flags = 0; /* then it is not looked at */
    box_syscall(&box, sn_syscall, 0, 0);
    p->flags = POLDER_XSTATE_STORE;
    p->xstate_size = size;
    box_syscall(&box, sn_syscall, 0, 0);
    free(p->xstate);
    p->xstate = NULL;
    p->flags = 0;

#if __STDC_HOSTED__
    /* A report that is no system call cannot proceed. */
    box_exception(&box, sn_ud2, 0, 6, 0, SNIPPET(sn_ud2));
    assert_errno(polder_proceed(box.fd, p), EINVAL);
    struct polder_params fresh;
    polder_params_init(&fresh);
    assert_errno(polder_proceed(box.fd, &fresh), EINVAL);
#else
    const sigset_t mask = {{0}}; /* there are no signals */
    p->sigmask = &mask;
    assert_errno(polder_run_sandbox(box.fd, p), EINVAL);
    p->sigmask = NULL;
    box_syscall(&box, sn_syscall, 0, 0);
#endif
    box_close(&box);
}

/* A misuse that is refused leaves the params as they were, and a sticky kick where it was. */
static void a_refused_run_changes_nothing(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    polder_kick(&box.params);
    struct polder_params before = box.params;
    assert_errno(polder_run_sandbox(-1, &box.params), EBADF);
    box.params.regs.cs = 0x10;
    assert_errno(polder_run_sandbox(box.fd, &box.params), EINVAL);
    box.params.regs.cs = 0x33;
    assert_memory_equal(&before.regs, &box.params.regs, sizeof(before.regs));
    assert_int_equal(box.params.reason, POLDER_SYSCALL);
    assert_int_equal(box_run(&box, sn_syscall, 0, 0), POLDER_KICK);
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

static void *run_once(void *arg)
{
    struct box *box = arg;

    return (void *)(long)polder_run_sandbox(box->fd, &box->params);
}

static void params_that_are_in_use(void **state)
{
    (void)state;
    struct box box;
    pthread_t thread;
    void *result;

    box_open(&box);
    aim(&box.params, sn_spin, BOX_DATA, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_once, &box), 0);
    while (!box.data[0])
        sched_yield();
    assert_errno(polder_run_sandbox(box.fd, &box.params), EBUSY);
    polder_kick(&box.params);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((long)result, 0);
    assert_int_equal(box.params.reason, POLDER_KICK);
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
}

/* The close of a space that is in a run takes effect when the run is over. */
static void closed_during_a_run(void **state)
{
    (void)state;
    struct box box;
    pthread_t thread;
    void *result;

    box_open(&box);
    aim(&box.params, sn_lock_count, BOX_DATA, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_once, &box), 0);
    while (!box.data[0])
        sched_yield();
    assert_int_equal(close(box.fd), 0);
    int other = polder_open("/proc/mm"); /* looks for dead spaces */
    assert_true(other >= 0);
    uint64_t count = box.data[0];
    while (box.data[0] < count + 1000)
        sched_yield();
    polder_kick(&box.params);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((long)result, 0);
    assert_int_equal(box.params.reason, POLDER_KICK);
    box.fd = other;
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if __STDC_HOSTED__
        cmocka_unit_test(mmap_mistakes),
        cmocka_unit_test(mprotect_and_munmap_mistakes),
#endif
        cmocka_unit_test(descriptors_that_are_no_space),
        cmocka_unit_test(a_number_that_is_reused),
        cmocka_unit_test(a_duplicate_is_the_same_space),
#if __STDC_HOSTED__
        cmocka_unit_test(a_descriptor_sent_through_a_socket),
#endif
        cmocka_unit_test(opening),
        cmocka_unit_test(params_that_are_wrong),
        cmocka_unit_test(a_refused_run_changes_nothing),
        cmocka_unit_test(params_that_are_in_use),
        cmocka_unit_test(closed_during_a_run),
    };
    return RUN_GROUP("errors", tests);
}
