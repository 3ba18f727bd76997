/* SPDX-License-Identifier: MIT */
/*
 * Files that are no good to map, or stop being so: descriptors of every kind, files open for appending or without a
 * cache, sealed ones, a full disk behind a mapping, a file cut off and grown again under every call. What Linux gives
 * for it natively is the judge; the process lives, and nothing is left.
 */
#include "frames.h"
#include "records.h"

#include "attack.h"

#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>

/* ---------------------------------------------------------------- descriptors */

static bool is_device(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
}

/* The same mapping natively and in a space: the same answer, but that polder maps no devices. */
static void same_as_natively(struct attacker *a, const char *what, int fd)
{
    for (int i = 0; i < 8; i++) {
        const int prot = i & 1 ? RW : PROT_READ, flags = i & 2 ? MAP_SHARED : MAP_PRIVATE;
        const off_t offset = i & 4 ? 64 * (off_t)PAGE : 0;

        errno = 0;
        void *native = mmap(NULL, PAGE, prot, flags, fd, offset);
        int wanted = native == MAP_FAILED ? errno : 0;
        if (!wanted)
            munmap(native, PAGE);
        if (is_device(fd) && strcmp(what, "/dev/zero") != 0)
            wanted = wanted == EACCES || wanted == EBADF ? wanted : ENODEV;
        errno = 0;
        void *got = polder_mmap((void *)BOX_FREE, PAGE, prot, flags | MAP_FIXED, fd, offset, a->box.fd);
        const int error = got == MAP_FAILED ? errno : 0;
        if (error != wanted)
            fail_msg("%s, prot %d, flags %d, offset %ld: natively %s, here %s", what, prot, flags, (long)offset,
                wanted ? strerrorname_np(wanted) : "mapped", error ? strerrorname_np(error) : "mapped");
        if (!error) {
            attack_aim(a, SNIPPET(sn_load));
            a->box.params.regs.rdi = BOX_FREE;
            attack_run(a, what);
            assert_ok(polder_munmap((void *)BOX_FREE, PAGE, a->box.fd));
        }
    }
}

static void of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int flags;
    } paths[] = {{"/dev/zero", O_RDWR}, {"/dev/zero", O_RDONLY}, {"/dev/null", O_RDWR}, {"/dev/full", O_RDWR},
        {"/dev/mem", O_RDONLY}, {"/dev/kvm", O_RDWR}, {"/dev/tty", O_RDWR}, {"/dev/ptmx", O_RDWR}, {"/", O_RDONLY},
        {"/", O_PATH}, {"/proc/self/exe", O_RDONLY}, {"/proc/self/exe", O_PATH}, {"/proc/self/maps", O_RDONLY},
        {"/proc/self/mem", O_RDWR}, {"/proc/self/clear_refs", O_WRONLY}, {"/proc/version", O_RDONLY},
        {"/proc/sys/kernel/ostype", O_RDONLY}, {"/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY},
        {"/sys/kernel/notes", O_RDONLY}, {"/proc/self/ns/mnt", O_RDONLY}, {"/proc/kmsg", O_RDONLY | O_NONBLOCK}};
    struct attacker a;
    int ends[2], sockets[2];

    attacker_open(&a);
    const size_t descriptors = own_descriptors(), mappings = own_mappings();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = open(paths[i].path, paths[i].flags | O_CLOEXEC);
        if (fd < 0)
            continue;
        same_as_natively(&a, paths[i].path, fd);
        close(fd);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    const struct {
        const char *what;
        int fd;
    } made[] = {{"a pipe", ends[0]}, {"a pipe's other end", ends[1]}, {"a socket", sockets[0]},
        {"a socket's other end", sockets[1]}, {"an epoll set", epoll_create1(EPOLL_CLOEXEC)},
        {"an eventfd", eventfd(0, EFD_CLOEXEC)}, {"a timer", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)},
        {"a process", (int)syscall(SYS_pidfd_open, getpid(), 0)}, {"a space", polder_open("/proc/mm")},
        {"an empty file", memfd_create("empty", MFD_CLOEXEC)}};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        if (made[i].fd < 0)
            continue;
        same_as_natively(&a, made[i].what, made[i].fd);
        close(made[i].fd);
    }
    close(ends[0]);
    close(ends[1]);
    close(sockets[0]);
    close(sockets[1]);
    assert_int_equal(own_mappings(), mappings);
    assert_true(own_descriptors() <= descriptors + 1); /* our end of the space goes when the next is opened */
    attacker_close(&a);
}

/* ---------------------------------------------------------------- how a file was opened */

static int file_on_disk(int flags)
{
    char name[] = "/tmp/polder-hostile-XXXXXX";
    int plain = mkostemp(name, O_CLOEXEC);

    assert_true(plain >= 0);
    for (uint64_t word = 0; word < 4 * PAGE / 8; word++)
        set_file_word(plain, (off_t)(word * 8), 0x1000 + word);
    assert_int_equal(fsync(plain), 0);
    int fd = open(name, flags | O_CLOEXEC);
    close(plain);
    unlink(name);
    return fd;
}

/* polder_read and polder_write see and change the mapping, not where the descriptor would read and write. */
static void read_and_write_through(int fd)
{
    struct box box;
    uint64_t word;
    char bytes[100];

    box_open(&box);
    box_map(&box, BOX_FREE, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    box_map(&box, BOX_FREE + 8 * PAGE, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
    for (uint64_t at = BOX_FREE; at <= BOX_FREE + 8 * PAGE; at += 8 * PAGE) {
        for (uint64_t i = 0; i < 4; i++) {
            word = 0;
            assert_int_equal(polder_read(box.fd, &word, 8, at + i * PAGE + 16), 8);
            assert_int_equal(word, 0x1000 + i * PAGE / 8 + 2);
            word = 0x2000 + i;
            assert_int_equal(polder_write(box.fd, &word, 8, at + i * PAGE + 8), 8);
            assert_int_equal(box_load(&box, at + i * PAGE + 8), 0x2000 + i);
            box_store(&box, at + i * PAGE + 24, 0x3000 + i);
            assert_int_equal(polder_read(box.fd, &word, 8, at + i * PAGE + 24), 8);
            assert_int_equal(word, 0x3000 + i);
        }
        assert_int_equal(polder_write(box.fd, "across", 6, at + PAGE - 3), 6);
        assert_int_equal(polder_read(box.fd, bytes, 6, at + PAGE - 3), 6);
        assert_memory_equal(bytes, "across", 6);
    }
    assert_int_equal(lseek(fd, 0, SEEK_END), 4 * PAGE); /* no longer than it was */
    box_close(&box);
}

static void open_for_appending(void **state)
{
    (void)state;
    int fd = file_on_disk(O_RDWR | O_APPEND);

    assert_true(fd >= 0);
    read_and_write_through(fd);
    close(fd);
}

static void open_without_cache(void **state)
{
    (void)state;
    int fd = file_on_disk(O_RDWR | O_DIRECT);

    if (fd < 0) {
        print_message("not run: /tmp's file system has no O_DIRECT\n");
        skip();
    }
    read_and_write_through(fd);
    close(fd);
}

/* Writing is forbidden from now on, but not to mappings that there are. */
static void sealed_later(void **state)
{
    (void)state;
    struct box box;
    uint64_t word = 7;
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
    box_open(&box);
    box_map(&box, BOX_FREE, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    box_store(&box, BOX_FREE, 1);
    assert_errno(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    box_store(&box, BOX_FREE + PAGE, 2);
    assert_int_equal(polder_write(box.fd, &word, 8, BOX_FREE + 2 * PAGE), 8);
    assert_int_equal(box_load(&box, BOX_FREE + 2 * PAGE), 7);
    assert_int_equal(file_word(fd, 2 * PAGE), 7);
    assert_ptr_equal(
        polder_mmap((void *)(BOX_FREE + 8 * PAGE), PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0, box.fd), MAP_FAILED);
    assert_int_equal(errno, EPERM);
    box_map(&box, BOX_FREE + 8 * PAGE, PAGE, RW, MAP_PRIVATE, fd, 2 * PAGE);
    assert_int_equal(box_load(&box, BOX_FREE + 8 * PAGE), 7);
    close(fd);
    box_close(&box);
}

/* ---------------------------------------------------------------- a full disk */

#define DISK_PAGES 16

/* A file system of 64 KiB that only this child of the test sees; where there is no way to have one, exit status 77. */
static void make_disk(const char *path)
{
    char options[64];

    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWNS | CLONE_NEWUSER))
        _exit(77);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        _exit(77);
    snprintf(options, sizeof(options), "size=%luk", DISK_PAGES * PAGE / 1024);
    if (mount("polder", path, "tmpfs", 0, options))
        _exit(77);
}

#define CHECK(c)                                                                                                       \
    do {                                                                                                               \
        if (!(c)) {                                                                                                    \
            fprintf(stderr, "# line %d: %s; errno %s\n", __LINE__, #c, strerrorname_np(errno));                        \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static bool runs(struct box *box, const char *snippet, uint64_t at)
{
    aim(&box->params, snippet, at, 5);
    CHECK(polder_run_sandbox(box->fd, &box->params) == 0);
    return box->params.reason == POLDER_SYSCALL;
}

/* A page without a block: BUS at the very address, as SIGBUS natively; and nothing of the caller's own dies of it. */
static void no_block(struct box *box, uint64_t at)
{
    uint64_t word = 1;

    CHECK(!runs(box, sn_store, at + 8));
    CHECK(box->params.reason == POLDER_BUS && box->params.fault_addr == at + 8);
    CHECK(polder_write(box->fd, &word, 8, at) == -1 && errno == EFAULT);
    ssize_t n = polder_read(box->fd, &word, 8, at); /* a hole reads as zeros, if it can be read */
    CHECK((n == 8 && word == 0) || (n == -1 && errno == EFAULT));
    CHECK(!runs(box, sn_load, at) ? box->params.reason == POLDER_BUS : box->params.regs.rbx == 0);
}

static void on_a_full_disk(const char *path)
{
    struct box box;
    char name[100];
    static char page[PAGE];
    uint64_t word = 3;

    make_disk(path);
    snprintf(name, sizeof(name), "%s/ballast", path);
    int ballast = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    snprintf(name, sizeof(name), "%s/file", path);
    int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(ballast >= 0 && file >= 0);
    CHECK(ftruncate(file, 1024 * PAGE) == 0);
    CHECK(pwrite(file, page, PAGE, 3 * PAGE) == PAGE);
    while (write(ballast, page, PAGE) == PAGE)
        ;
    CHECK(errno == ENOSPC);

    box_open(&box);
    for (int private = 0; private < 2; private ++) {
        const uint64_t at = private ? BOX_FREE + 4096 * PAGE : BOX_FREE;
        CHECK(polder_mmap((void *)at, 1024 * PAGE, RW, MAP_FIXED | (private ? MAP_PRIVATE : MAP_SHARED), file, 0,
                  box.fd) != MAP_FAILED);
    }
    /* Pages that have a block are as good as ever, before and after. */
    CHECK(runs(&box, sn_store, BOX_FREE + 3 * PAGE));
    for (uint64_t i = 0; i < 1024; i += 1 + i / 4)
        if (i != 3)
            no_block(&box, BOX_FREE + i * PAGE);
    CHECK(runs(&box, sn_store, BOX_FREE + 3 * PAGE + 8));
    CHECK(file_word(file, 3 * PAGE + 8) == 5);
    /* A private page needs no block, only memory. */
    CHECK(runs(&box, sn_store, BOX_FREE + 4096 * PAGE + 7 * PAGE));
    CHECK(polder_write(box.fd, &word, 8, BOX_FREE + 4096 * PAGE + 8 * PAGE) == 8);
    CHECK(runs(&box, sn_load, BOX_FREE + 4096 * PAGE + 7 * PAGE) && box.params.regs.rbx == 5);
    /* Across the edge: what could be written was. */
    CHECK(polder_write(box.fd, page, 16, BOX_FREE + 4 * PAGE - 8) == 8);
    /* The host's read into such a page is EFAULT, as it is natively. */
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        CHECK(runs(&box, sn_syscall, 0));
        box.params.regs.orig_rax = SYS_read;
        box.params.regs.rdi = (uint64_t)zero;
        box.params.regs.rsi = i ? BOX_FREE + 3 * PAGE : BOX_FREE + 5 * PAGE;
        box.params.regs.rdx = 64;
        CHECK(polder_proceed(box.fd, &box.params) == 0);
        CHECK((int64_t)box.params.regs.rax == (i ? 64 : -EFAULT));
    }
    /* The caller's own space. */
    struct box self = {.fd = polder_open("/proc/self/mm")};
    CHECK(self.fd >= 0);
    polder_params_init(&self.params);
    char *stack = polder_mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0, -1);
    char *own = polder_mmap(NULL, 1024 * PAGE, RW, MAP_SHARED, file, 0, -1);
    CHECK(own != MAP_FAILED && stack != MAP_FAILED);
    for (int i = 0; i < 40; i++) {
        self.params.regs.rip = (uint64_t)(i & 1 ? sn_store : sn_load);
        self.params.regs.rsp = (uint64_t)stack + PAGE;
        self.params.regs.rdi = (uint64_t)own + (i % 3 ? 3 : 16 + (uint64_t)i) * PAGE;
        CHECK(polder_run_sandbox(self.fd, &self.params) == 0);
        CHECK(self.params.reason == (i % 3 ? POLDER_SYSCALL : POLDER_BUS));
        CHECK(i % 3 || self.params.fault_addr == self.params.regs.rdi);
    }
    CHECK(polder_munmap(own, 1024 * PAGE, -1) == 0);
    /* Room again. */
    CHECK(ftruncate(ballast, 0) == 0);
    for (uint64_t i = 0; i < 8; i++) {
        CHECK(runs(&box, sn_store, BOX_FREE + i * PAGE));
        CHECK(file_word(file, (off_t)(i * PAGE)) == 5);
    }
    box_close(&box);
    _exit(0);
}

static void disk_full(void **state)
{
    (void)state;
    char path[] = "/tmp/polder-disk-XXXXXX";
    int status;

    assert_non_null(mkdtemp(path));
    pid_t child = fork();
    if (child == 0)
        on_a_full_disk(path);
    assert_int_equal(waitpid(child, &status, 0), child);
    rmdir(path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("not run: needs to mount a tmpfs (root, or namespaces of users)\n");
        skip();
    }
    if (status)
        fail_msg("with a full disk: exit status %d, signal %d", WEXITSTATUS(status), WTERMSIG(status));
}

/* ---------------------------------------------------------------- cut off and grown again, all the time */

#define CUT_PAGES 1200 /* two blocks of 2 MiB, and a bit */

static atomic_bool cutting;
static int cut_file;

static void *cutter(void *unused)
{
    uint64_t seed = 77;

    (void)unused;
    while (atomic_load(&cutting)) {
        const uint64_t pages = random_next(&seed) % 4 ? random_next(&seed) % CUT_PAGES : 0;
        assert_int_equal(ftruncate(cut_file, (off_t)(pages * PAGE + random_next(&seed) % 2 * 100)), 0);
        random_delay(&seed, 4000);
        assert_int_equal(ftruncate(cut_file, CUT_PAGES * PAGE), 0);
        random_delay(&seed, 4000);
    }
    return NULL;
}

static void under_a_mapping(void **state)
{
    (void)state;
    static char buf[3 * PAGE];
    struct attacker a;
    pthread_t thread;
    uint64_t seed = 78;
    int bus = 0;

    attacker_open(&a); /* once, so that the next time finds what stays */
    attacker_close(&a);
    const uint64_t frames = frames_in_use(), records = record_bytes();
    attacker_open(&a);
    cut_file = make_file(CUT_PAGES, 9);
    const uint64_t shared = BOX_FREE, own = BOX_FREE + 4096 * PAGE;
    box_map(&a.box, shared, CUT_PAGES * PAGE, ALL_RWX, MAP_SHARED, cut_file, 0);
    box_map(&a.box, own, CUT_PAGES * PAGE, RW, MAP_PRIVATE, cut_file, 0);
    box_store(&a.box, own + 1100 * PAGE, 1100); /* its own now, whatever becomes of the file */
    atomic_store(&cutting, true);
    assert_int_equal(pthread_create(&thread, NULL, cutter, NULL), 0);
    for (int i = 0; i < times(4000, 2000); i++) {
        uint64_t page = random_next(&seed) % CUT_PAGES;
        const uint64_t at = (random_next(&seed) % 2 ? shared : own) + page * PAGE;
        const uint32_t what = random_next(&seed) % 16;
        ssize_t n = 0;
        int copy;

        switch (what) {
        case 0: /* to here and there in the file, and short where it ends */
        case 1:
            n = what ? polder_read(a.box.fd, buf, sizeof(buf), at) : polder_write(a.box.fd, buf, sizeof(buf), at);
            assert_true(n > 0 || (n < 0 && errno == EFAULT));
            break;
        case 2:
            copy = polder_copy(a.box.fd);
            assert_true(copy >= 0);
            attack_aim(&a, SNIPPET(sn_load));
            a.box.params.regs.rdi = at;
            assert_int_equal(polder_run_sandbox(copy, &a.box.params), 0);
            assert_true(a.box.params.reason == POLDER_SYSCALL || a.box.params.reason == POLDER_BUS);
            assert_ok(close(copy));
            break;
        case 3:
            box_map(&a.box, shared + page * PAGE, PAGE, ALL_RWX, MAP_SHARED, cut_file, (off_t)(page * PAGE));
            break;
        case 4: /* code, which may be gone before it is fetched: what it does is its own affair */
            attack_aim(&a, shared + page * PAGE);
            attack_run_only(&a, "code in a file that is cut");
            break;
        default:
            attack_aim(&a, SNIPPET(what & 1 ? sn_load : sn_store));
            a.box.params.regs.rdi = at;
            attack_run_only(&a, "a file that is cut");
            if (a.box.params.reason != POLDER_SYSCALL) {
                expect_reason(&a, POLDER_BUS);
                assert_int_equal(a.box.params.fault_addr, at);
                bus++;
            }
        }
        if (i % 64 == 0)
            innocent_check(&a);
    }
    atomic_store(&cutting, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("%d accesses met the end of the file\n", bus);
    assert_true(bus > 0);
    assert_int_equal(ftruncate(cut_file, CUT_PAGES * PAGE), 0);
    assert_int_equal(box_load(&a.box, own + 1100 * PAGE), 1100);
    for (uint64_t page = 0; page < CUT_PAGES; page += 50) {
        box_store(&a.box, shared + page * PAGE, page);
        assert_int_equal(file_word(cut_file, (off_t)(page * PAGE)), page);
    }
    close(cut_file);
    attacker_close(&a);
    const int other = polder_open("/proc/mm"); /* when what was closed is given back */
    assert_true(other >= 0);
    assert_ok(close(other));
    if (frames_in_use() > frames || record_bytes() > records + 8192)
        fail_msg("%lu frames, %lu bytes of records; before %lu, %lu", frames_in_use(), record_bytes(), frames, records);
}

/* ---------------------------------------------------------------- sizes */

static void of_every_size(void **state)
{
    (void)state;
    struct attacker a;
    uint64_t word = 0;
    const off_t sizes[] = {0, 1, (off_t)PAGE - 1, (off_t)PAGE, (off_t)PAGE + 1, 1l << 21, (1l << 21) + 1, 1l << 26,
        (1l << 26) + 1, 1l << 40, 1l << 46, INT64_MAX - 4095, INT64_MAX};

    attacker_open(&a);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int fd = memfd_create("sparse", MFD_CLOEXEC);
        if (ftruncate(fd, sizes[i])) { /* more than the file system has */
            close(fd);
            continue;
        }
        const uint64_t pages = ((uint64_t)sizes[i] + PAGE - 1) / PAGE;
        /* Its first page, its last, the one after it, and as much of it as a space can have. */
        for (int way = 0; way < 4; way++) {
            const uint64_t page = way == 0 ? 0 : way == 1 ? (pages ? pages - 1 : 0) : way == 2 ? pages : 0;
            const size_t length = way == 3 ? (pages < 1ul << 33 ? (pages ? pages : 1) * PAGE : 1ul << 45) : PAGE;
            if (page > (INT64_MAX - PAGE) / PAGE) {
                assert_ptr_equal(
                    polder_mmap(NULL, PAGE, RW, MAP_SHARED, fd, (off_t)(page * PAGE), a.box.fd), MAP_FAILED);
                assert_int_equal(errno, EOVERFLOW);
                continue;
            }
            void *at = polder_mmap(NULL, length, RW, MAP_SHARED, fd, (off_t)(page * PAGE), a.box.fd);
            if (at == MAP_FAILED)
                fail_msg("size %ld, way %d: %s", (long)sizes[i], way, strerror(errno));
            attack_aim(&a, SNIPPET(sn_store));
            a.box.params.regs.rdi = (uint64_t)at + (way == 3 ? length - PAGE : 0);
            a.box.params.regs.rsi = 55;
            const uint64_t touched = page + (way == 3 ? length / PAGE - 1 : 0);
            const bool there = touched < pages;
            attack_run(&a, "a file of some size");
            expect_reason(&a, there ? POLDER_SYSCALL : POLDER_BUS);
            if (there && (off_t)(touched * PAGE + 8) <= sizes[i])
                assert_int_equal(file_word(fd, (off_t)(touched * PAGE)), 55);
            assert_int_equal(polder_read(a.box.fd, &word, 8, a.box.params.regs.rdi), there ? 8 : -1);
            assert_ok(polder_munmap(at, length, a.box.fd));
        }
        close(fd);
    }
    /* Grown after it was mapped. */
    int fd = memfd_create("grown", MFD_CLOEXEC);
    box_map(&a.box, BOX_FREE, 1ul << 40, RW, MAP_SHARED, fd, 0);
    for (int shift = 12; shift <= 40; shift += 4) {
        const uint64_t last = BOX_FREE + (1ul << shift) - PAGE;
        box_bus(&a.box, sn_store, last, last);
        assert_int_equal(ftruncate(fd, 1l << shift), 0);
        box_store(&a.box, last, (uint64_t)shift);
        assert_int_equal(file_word(fd, (1l << shift) - (off_t)PAGE), shift);
    }
    close(fd);
    attacker_close(&a);
}

/* A file of huge pages: as many as there are, none that stay. */
static void of_huge_pages(void **state)
{
    (void)state;
    struct attacker a;
    uint64_t word = 9;
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

    if (fd < 0)
        skip();
    if (processor_is_tcg()) { /* a machine of the tests' own */
        int pool = open("/proc/sys/vm/nr_hugepages", O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(pool, "2", 1), 1);
        close(pool);
    }
    attacker_open(&a);
    assert_int_equal(ftruncate(fd, 4 * HUGE_PAGE), 0);
    const size_t mappings = own_mappings();
    void *native = mmap(NULL, HUGE_PAGE, RW, MAP_SHARED, fd, 0);
    const int wanted = native == MAP_FAILED ? errno : 0;
    if (!wanted)
        munmap(native, HUGE_PAGE);
    void *at = polder_mmap((void *)BOX_FREE, 4 * HUGE_PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0, a.box.fd);
    if (at == MAP_FAILED)
        assert_string_equal(strerrorname_np(errno), strerrorname_np(wanted));
    for (uint64_t page = 0; at != MAP_FAILED && page < 4; page++) { /* of which the pool has two */
        attack_aim(&a, SNIPPET(sn_store));
        a.box.params.regs.rdi = BOX_FREE + page * HUGE_PAGE + 5 * PAGE;
        a.box.params.regs.rsi = page;
        attack_run(&a, "a file of huge pages");
        if (a.box.params.reason != POLDER_BUS)
            expect_reason(&a, POLDER_SYSCALL);
        const bool there = a.box.params.reason == POLDER_SYSCALL;
        assert_true(there || page > 0);
        assert_int_equal(polder_write(a.box.fd, &word, 8, a.box.params.regs.rdi), there ? 8 : -1);
        assert_true(!there || box_load(&a.box, a.box.params.regs.rdi) == 9);
    }
    print_message("there are %shuge pages\n", at == MAP_FAILED ? "no " : "");
    if (at != MAP_FAILED)
        assert_ok(polder_munmap(at, 4 * HUGE_PAGE, a.box.fd));
    close(fd);
    assert_int_equal(own_mappings(), mappings);
    attacker_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_every_kind),
        cmocka_unit_test(of_every_size),
        cmocka_unit_test(open_for_appending),
        cmocka_unit_test(open_without_cache),
        cmocka_unit_test(sealed_later),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(under_a_mapping),
        cmocka_unit_test(of_huge_pages),
    };
    return RUN_GROUP("hostile: files", tests);
}
