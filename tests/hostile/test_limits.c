/* SPDX-License-Identifier: MIT */
/*
 * The host's own limits on a process, address space, data and descriptors, at every size: a failure is an errno that
 * polder(3) has, and when the limit is gone all is as before: the same work succeeds and leaves nothing behind.
 * tests/outside/inject fails single calls and allocations; here they fail from some point on.
 */
#include "frames.h"
#include "records.h"
#include "tables.h"

#include "attack.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---------------------------------------------------------------- the work that is done under a limit */

#define SMALL 40  /* pages: filled one by one */
#define LARGE 600 /* pages, with an aligned block of 2 MiB among them */

struct outcome {
    const char *step; /* that failed; NULL: none */
    int error;
    bool bad; /* what came of it is wrong, or its errno is not one that polder(3) has */
};

struct usage {
    size_t descriptors, mappings;
    uint64_t frames, tables, records;
};

static struct usage usage_now(void)
{
    return (struct usage){own_descriptors(), own_mappings(), frames_in_use(), tables_in_use(), record_bytes()};
}

static struct polder_params thread_params;
static int thread_space, thread_error;

static void *thread_run(void *unused)
{
    (void)unused;
    polder_params_init(&thread_params);
    aim(&thread_params, sn_load, BOX_FREE, 0);
    thread_error = polder_run_sandbox(thread_space, &thread_params) < 0 ? errno : 0;
    polder_params_fini(&thread_params);
    return NULL;
}

static char *own_page; /* with code of ring 3, outside of polder's sight */

#define STEP(call, ...)                                                                                                \
    do {                                                                                                               \
        static const int allowed[] = {ENOMEM, __VA_ARGS__};                                                            \
        errno = 0;                                                                                                     \
        if ((long)(call) < 0) {                                                                                        \
            o.step = #call;                                                                                            \
            o.error = errno;                                                                                           \
            o.bad = true;                                                                                              \
            for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)                                          \
                o.bad = o.bad && o.error != allowed[i];                                                                \
            goto out;                                                                                                  \
        }                                                                                                              \
    } while (0)
#define WANT(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            o = (struct outcome){#condition, 0, true};                                                                 \
            goto out;                                                                                                  \
        }                                                                                                              \
    } while (0)
#define OPEN_ERRORS EMFILE, ENFILE
#define MAP_ERRORS EMFILE, ENFILE
#define RUN_ERRORS EFAULT, EIO, EAGAIN, EMFILE, ENFILE
#define RUN(space, snippet, rdi, rsi)                                                                                  \
    do {                                                                                                               \
        aim(&params, snippet, rdi, rsi);                                                                               \
        STEP(polder_run_sandbox(space, &params), RUN_ERRORS);                                                          \
        WANT(params.reason == POLDER_SYSCALL);                                                                         \
    } while (0)

static struct outcome work(void)
{
    struct outcome o = {NULL, 0, false};
    struct polder_params params, other;
    pthread_t thread;
    int fd = -1, copy = -1, self = -1;
    uint64_t word = 0x77;
    const int fixed = ANONYMOUS | MAP_FIXED;
    const uint64_t small = BOX_FREE, large = BOX_FREE + (1ul << 30), shared = BOX_FREE + (2ul << 30);

    polder_params_init(&params);
    polder_params_init(&other);
    int file = (int)syscall(SYS_memfd_create, "work", MFD_CLOEXEC), code = (int)syscall(SYS_memfd_create, "code", 0);
    if (file < 0 || code < 0 || ftruncate(file, LARGE * PAGE) || ftruncate(code, PAGE) ||
        pwrite(code, snippets_begin, (size_t)(snippets_end - snippets_begin), 0) < 0)
        goto out; /* the test's own */
    STEP(fd = polder_open("/proc/mm"), OPEN_ERRORS);
    STEP(polder_mmap((void *)BOX_CODE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, code, 0, fd), MAP_ERRORS);
    STEP(polder_mmap((void *)BOX_STACK, PAGE, RW, fixed, -1, 0, fd), MAP_ERRORS);
    STEP(polder_mmap((void *)small, SMALL * PAGE, RW, fixed, -1, 0, fd), MAP_ERRORS);
    STEP(polder_mmap((void *)large, LARGE * PAGE, RW, fixed, -1, 0, fd), MAP_ERRORS);
    STEP(polder_mmap((void *)shared, LARGE * PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0, fd), MAP_ERRORS);
    RUN(fd, sn_touch_pages, small, SMALL);
    RUN(fd, sn_touch_pages, large, LARGE);
    RUN(fd, sn_store, shared + 7 * PAGE, 7);
    /* Something, holed; so that taking away has more to do. */
    STEP(polder_mprotect((void *)(small + 4 * PAGE), PAGE, PROT_READ, fd), EMFILE);
    STEP(polder_munmap((void *)(small + 8 * PAGE), PAGE, fd), EMFILE);
    STEP(polder_munmap((void *)(large + 8 * PAGE), 20 * PAGE, fd), EMFILE);
    STEP(copy = polder_copy(fd), OPEN_ERRORS);
    RUN(copy, sn_store, small, 8);
    STEP(polder_write(copy, &word, 8, small + 2 * PAGE), EFAULT);
    STEP(polder_write(copy, &word, 8, shared + 9 * PAGE), EFAULT);
    STEP(polder_read(fd, &word, 8, small), EFAULT);
    WANT((uint8_t)word == 1);
    STEP(polder_read(fd, &word, 8, shared + 9 * PAGE), EFAULT);
    WANT(word == 0x77);
    thread_space = fd;
    thread_error = 0;
    if (pthread_create(&thread, NULL, thread_run, NULL) == 0) {
        pthread_join(thread, NULL);
        STEP((errno = thread_error) ? -1 : 0, RUN_ERRORS);
    }
    const struct polder_op ops[] = {
        {.code = POLDER_OP_MMAP,
            .start = (void *)(small + 64 * PAGE),
            .length = PAGE,
            .prot = RW,
            .flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
            .src_fd = -1},
        {.code = POLDER_OP_MPROTECT, .start = (void *)large, .length = PAGE, .prot = PROT_READ},
        {.code = POLDER_OP_MUNMAP, .start = (void *)small, .length = 2 * PAGE},
    };
    STEP(polder_apply(fd, ops, 3), MAP_ERRORS);
    RUN(fd, sn_store, small + 64 * PAGE, 3);
    /* The caller's own. */
    STEP(self = polder_open("/proc/self/mm"), OPEN_ERRORS);
    char *mine;
    STEP(mine = polder_mmap(NULL, 3 * PAGE, RW, ANONYMOUS, -1, 0, -1), MAP_ERRORS);
    other.regs.rip = (uint64_t)own_page + (uint64_t)(sn_store - snippets_begin);
    other.regs.rsp = (uint64_t)own_page + 2 * PAGE;
    other.regs.rdi = (uint64_t)mine + PAGE;
    other.regs.rsi = 99;
    errno = 0;
    STEP(polder_run_sandbox(self, &other), RUN_ERRORS);
    WANT(other.reason == POLDER_SYSCALL && mine[PAGE] == 99);
    STEP(polder_munmap(mine, 3 * PAGE, -1), EMFILE);
out:
    polder_params_fini(&params);
    polder_params_fini(&other);
    const int all[] = {self, copy, fd, file, code};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] >= 0)
            close(all[i]);
    return o;
}

/* Spaces that were closed are given back when the next is made; retired tables when a vCPU goes in. */
static bool settle(void)
{
    return !work().step && !work().step;
}

static void say(const char *what, const struct outcome *o)
{
    fprintf(stderr, "# %s: %s: %s\n", what, o->step ? o->step : "all went well", strerrorname_np(o->error));
}

/* After a limit was there and is gone: the same work succeeds, and nothing is left of the failures. */
static int as_before(const struct usage *before, const char *what)
{
    struct outcome o = work();
    if (o.step) {
        say(what, &o);
        return 1;
    }
    settle();
    const struct usage after = usage_now();
    if (after.descriptors > before->descriptors || after.frames > before->frames || after.records > before->records ||
        after.tables > before->tables + 64 || after.mappings > before->mappings + 8) {
        fprintf(stderr,
            "# %s: %zu descriptors, %zu mappings, %lu frames, %lu tables, %lu bytes of records; before %zu, %zu, %lu, "
            "%lu, %lu\n",
            what, after.descriptors, after.mappings, after.frames, after.tables, after.records, before->descriptors,
            before->mappings, before->frames, before->tables, before->records);
        return 1;
    }
    return 0;
}

/* Runs a part of a test in a child, which has not used the library yet. */
static void in_a_child(int (*part)(long), long argument, const char *what)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(TEST_SECONDS);
        _exit(part(argument));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status)
        fail_msg("%s, %ld: exit status %d, signal %d", what, argument, WEXITSTATUS(status), WTERMSIG(status));
}

static void make_own_page(void)
{
    if (own_page)
        return;
    own_page = mmap(NULL, 2 * PAGE, ALL_RWX, ANONYMOUS, -1, 0);
    assert_ptr_not_equal(own_page, MAP_FAILED);
    memcpy(own_page, snippets_begin, (size_t)(snippets_end - snippets_begin));
}

/* ---------------------------------------------------------------- limits of the process */

static void set_limit(int which, rlim_t value)
{
    struct rlimit limit;

    getrlimit(which, &limit);
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    if (setrlimit(which, &limit))
        _exit(78);
}

static int limited_resource;

static uint64_t address_space(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages = 0, data = 0, unused;

    if (!f || fscanf(f, "%lu %lu %lu %lu %lu %lu", &pages, &unused, &unused, &unused, &unused, &data) != 6)
        _exit(79);
    fclose(f);
    return (limited_resource == RLIMIT_DATA ? data : pages) * PAGE;
}

/* A limit that is there from the start, and is lifted later; then one that comes when the library is in use. */
static int under_limit(long value)
{
    char what[64];
    struct rlimit old;

    getrlimit(limited_resource, &old);
    for (int round = 0; round < 2; round++) {
        struct usage before = {0};
        if (round && (!settle() || !settle()))
            return 3;
        if (round)
            before = usage_now();
        snprintf(what, sizeof(what), "limit %ld, %s use", value, round ? "later" : "first");
        set_limit(limited_resource,
            limited_resource == RLIMIT_NOFILE ? (rlim_t)value + (round ? 4 : 0) : address_space() + (rlim_t)value);
        struct outcome o = work();
        set_limit(limited_resource, old.rlim_max);
        if (o.bad) {
            say(what, &o);
            return 1;
        }
        if (round && as_before(&before, what))
            return 2;
    }
    return 0;
}

static void sweep(int resource, const char *name, const long *values, size_t count)
{
    limited_resource = resource;
    make_own_page();
    for (size_t i = 0; i < count; i += times(30, 30) >= 30 ? 1 : 5)
        in_a_child(under_limit, values[i], name);
}

static const long sizes[] = {0, 1 << 12, 1 << 16, 1 << 20, 3 << 20, 10 << 20, 40 << 20, 65l << 20, 100l << 20,
    130l << 20, 200l << 20, 500l << 20, 1l << 30, 2l << 30, (2l << 30) + (70l << 20), 3l << 30, 5l << 30, 9l << 30,
    70l << 30};

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void limited_address_space(void **state)
{
    (void)state;
    if (SANITIZED) /* whose own memory is counted too */
        skip();
    sweep(RLIMIT_AS, "RLIMIT_AS", sizes, sizeof(sizes) / sizeof(sizes[0]));
}

static void limited_data(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    sweep(RLIMIT_DATA, "RLIMIT_DATA", sizes, sizeof(sizes) / sizeof(sizes[0]) - 4);
}

static void limited_descriptors(void **state)
{
    (void)state;
    long numbers[40];

    for (size_t i = 0; i < 40; i++)
        numbers[i] = 3 + (long)i;
    sweep(RLIMIT_NOFILE, "RLIMIT_NOFILE", numbers, 40);
}

/* ---------------------------------------------------------------- the frames' part of a small reservation */

static int touch(struct polder_params *p, int fd, uint64_t from, uint64_t pages)
{
    aim(p, sn_touch_pages, from, pages);
    return polder_run_sandbox(fd, p);
}

/* All of guest memory in blocks, given back, and then page by page; and the other way round. */
static int all_frames(long unused)
{
    struct polder_params params;
    struct box box;
    const uint64_t most = 1ul << 30;

    (void)unused;
    set_limit(RLIMIT_AS, address_space() + (3ul << 30));
    polder_params_init(&params);
    box_open(&box);
    for (int round = 0; round < 4; round++) {
        uint64_t got = 0;
        if (round % 2 == 0) {
            if (polder_mmap((void *)BOX_FREE, most, RW, ANONYMOUS | MAP_FIXED, -1, 0, box.fd) == MAP_FAILED)
                return 1;
            if (touch(&params, box.fd, BOX_FREE, most / PAGE) == 0 || (errno != EFAULT && errno != ENOMEM))
                return 2;
            got = params.regs.rdi - BOX_FREE;
        } else { /* regions that no block fits into */
            for (uint64_t at = BOX_FREE; at < BOX_FREE + most; at += HUGE_PAGE) {
                if (polder_mmap((void *)at, HUGE_PAGE - PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, box.fd) == MAP_FAILED)
                    return 3;
                const int result = touch(&params, box.fd, at, HUGE_PAGE / PAGE - 1);
                got = params.regs.rdi - BOX_FREE;
                if (result < 0)
                    break;
            }
        }
        fprintf(stderr, "# round %d: %lu MiB\n", round, got >> 20);
        if (got < 700ul << 20)
            return 4;
        /* Somebody else is out of memory too, and back when there is some. */
        box_syscall(&box, sn_syscall, 0, 0);
        if (polder_munmap((void *)BOX_FREE, most, box.fd))
            return 5;
    }
    box_close(&box);
    return 0;
}

static void frames_in_blocks_and_pages(void **state)
{
    (void)state;

    if (SANITIZED || sysconf(_SC_PHYS_PAGES) < (4l << 30) / (long)PAGE) {
        print_message("not run: needs 4 GiB of memory, and no sanitizer\n");
        skip();
    }
    in_a_child(all_frames, 0, "all frames");
}

/* ---------------------------------------------------------------- the memslots that KVM has */

static int slots; /* that KVM is to say it has; 0: as many as it does */

/* Instead of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (slots && request == KVM_CHECK_EXTENSION && (uintptr_t)argument == KVM_CAP_NR_MEMSLOTS)
        return slots;
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

#define WINDOW (64ul << 20)

/* A sandbox that touches all of its caller's address space does not take the other spaces' memory; and files that are
 * too many for the slots are not for ever. */
static int few_slots(long number)
{
    struct box box;
    struct polder_params params;
    int files[200], count = 0, touched = 0;

    slots = (int)number;
    polder_params_init(&params);
    int self = polder_open("/proc/self/mm");
    char *stack = polder_mmap(NULL, 2 * PAGE, ALL_RWX, ANONYMOUS, -1, 0, -1);
    char *large = polder_mmap(NULL, (size_t)number * WINDOW, RW, ANONYMOUS | MAP_NORESERVE, -1, 0, -1);
    if (self < 0 || stack == MAP_FAILED || large == MAP_FAILED)
        return 1;
    memcpy(stack, snippets_begin, (size_t)(snippets_end - snippets_begin));
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    for (;; touched++) {
        params.regs.rip = (uint64_t)stack + (uint64_t)(sn_store - snippets_begin);
        params.regs.rsp = (uint64_t)stack + 2 * PAGE;
        params.regs.rdi = (uint64_t)large + (uint64_t)touched * WINDOW;
        if (touched == number)
            return 2;
        if (polder_run_sandbox(self, &params) < 0)
            break;
        if (params.reason != POLDER_SYSCALL)
            return 3;
    }
    fprintf(stderr, "# of %ld slots: %d for the caller's own memory, %s\n", number, touched, strerrorname_np(errno));
    if (errno != EFAULT && errno != ENOMEM)
        return 4;
    for (int round = 0; round < 3; round++) {
        for (count = 0; count < 200; count++) {
            files[count] = memfd_create("large", MFD_CLOEXEC);
            if (ftruncate(files[count], WINDOW))
                return 5;
            box_map(&box, BOX_FREE, WINDOW, RW, MAP_SHARED, files[count], 0);
            /* Held by a mapping of its own. */
            box_map(&box, BOX_FREE + (uint64_t)(count + 1) * WINDOW, PAGE, PROT_READ, MAP_SHARED, files[count], 0);
            aim(&box.params, sn_store, BOX_FREE, 5);
            if (polder_run_sandbox(box.fd, &box.params) < 0)
                break;
            if (box.params.reason != POLDER_SYSCALL)
                return 6;
        }
        fprintf(stderr, "# and %d for files, %s\n", count, strerrorname_np(errno));
        if (count < number / 4 || count == 200 || (errno != EFAULT && errno != ENOMEM))
            return 7;
        for (; count >= 0; count--)
            close(files[count]);
        if (polder_munmap((void *)BOX_FREE, 201 * WINDOW, box.fd))
            return 8;
        box_syscall(&box, sn_syscall, 0, 0);
    }
    return 0;
}

static void memslots(void **state)
{
    (void)state;
    in_a_child(few_slots, 40, "slots");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limited_address_space),
        cmocka_unit_test(limited_data),
        cmocka_unit_test(limited_descriptors),
        cmocka_unit_test(frames_in_blocks_and_pages),
        cmocka_unit_test(memslots),
    };
    return RUN_GROUP("hostile: limits", tests);
}
