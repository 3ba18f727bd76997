/* SPDX-License-Identifier: MIT */
/*
 * Everything that the library can be refused, one refusal at a time: a process goes through a scenario in which the
 * n-th call or allocation fails, for every n until the scenario is over before it. What fails says a documented errno
 * and has changed nothing; done again it succeeds; nothing is lost by it; and the whole scenario passes after it.
 */
#include "descriptor.h"
#include "frames.h"
#include "hostmem.h"
#include "records.h"
#include "tables.h"

#include "../kvm/sandbox.h"
#include "inject.h"

#include <limits.h>
#include <stdarg.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)

#define MANY BOX_FREE
#define BIG (BOX_FREE + (1ul << 28)) /* two blocks of 2 MiB */
#define SHARED (BOX_FREE + (1ul << 30))
#define PRIVATE (BOX_FREE + (2ul << 30))
#define MORE (BOX_FREE + (3ul << 30))
#define OWN_PAGES 4ul

static struct world {
    int data, fd, copy, self;
    struct polder_params params, second;
    char *own, *hidden; /* of the caller's own space */
    char *stack;
    bool misread;
} w;

/* ---------------------------------------------------------------- the scenario, step by step: 0, or -1 with errno */

static int map(uint64_t at, size_t pages, int prot, int flags, int fd, off_t offset)
{
    return polder_mmap((void *)at, pages * PAGE, prot, flags, fd, offset, w.fd) == MAP_FAILED ? -1 : 0;
}

static int run_params(struct polder_params *params, int space, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    aim(params, snippet, rdi, rsi);
    if (space == w.self) {
        params->regs.rip = (uint64_t)snippet;
        params->regs.rsp = (uint64_t)w.stack + PAGE;
    }
    return polder_run_sandbox(space, params);
}

static int run(int space, const char *snippet, uint64_t rdi, uint64_t rsi)
{
    return run_params(&w.params, space, snippet, rdi, rsi);
}

static int open_space(void)
{
    return (w.fd = polder_open("/proc/mm")) < 0 ? -1 : 0;
}

static int map_code(void)
{
    return map(BOX_CODE, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, w.data, 0);
}

static int map_stack(void)
{
    return map(BOX_STACK, 1, RW, ANONYMOUS, -1, 0);
}

static int map_many(void)
{
    return map(MANY, 64, RW, ANONYMOUS, -1, 0);
}

static int map_big(void)
{
    return map(BIG, 1024, RW, ANONYMOUS, -1, 0);
}

static int map_shared(void)
{
    return map(SHARED, 1, RW, MAP_SHARED | MAP_FIXED, w.data, 2 * PAGE);
}

static int map_private(void)
{
    return map(PRIVATE, 2, RW, MAP_PRIVATE | MAP_FIXED, w.data, PAGE);
}

static int store_many(void)
{
    return run(w.fd, sn_store, MANY, 1);
}

static int store_big(void)
{
    return run(w.fd, sn_store, BIG + 5 * PAGE, 2);
}

static int store_shared(void)
{
    return run(w.fd, sn_store, SHARED, 3);
}

static int store_private(void)
{
    return run(w.fd, sn_store, PRIVATE, 4);
}

static int second_context(void)
{
    return run_params(&w.second, w.fd, sn_load, MANY, 0);
}

static int first_context(void)
{
    return run(w.fd, sn_load, MANY, 0);
}

static int protect_many(void)
{
    return polder_mprotect((void *)(MANY + 8 * PAGE), 8 * PAGE, PROT_READ, w.fd);
}

static int unmap_many(void)
{
    return polder_munmap((void *)(MANY + 32 * PAGE), 4 * PAGE, w.fd);
}

static int protect_big(void)
{
    return polder_mprotect((void *)BIG, 1024 * PAGE, PROT_READ, w.fd);
}

static int unprotect_big(void)
{
    return polder_mprotect((void *)BIG, 1024 * PAGE, RW, w.fd);
}

static int cut_big(void)
{
    return run(w.fd, sn_store, BIG + 6 * PAGE, 5);
}

static int unmap_big(void)
{
    return polder_munmap((void *)(BIG + 7 * PAGE), 500 * PAGE, w.fd);
}

static int copy(void)
{
    return (w.copy = polder_copy(w.fd)) < 0 ? -1 : 0;
}

static int store_copy(void)
{
    return run(w.copy, sn_store, MANY, 10) || run(w.copy, sn_store, BIG + 5 * PAGE, 11);
}

static int store_original(void)
{
    return run(w.fd, sn_store, MANY + PAGE, 12) || run(w.fd, sn_store, BIG + 6 * PAGE, 13);
}

static int write_both(void)
{
    uint64_t word = 14;
    ssize_t n = polder_write(w.fd, &word, 8, MANY + 2 * PAGE);
    if (n < 0)
        return -1;
    return polder_write(w.copy, &word, 8, PRIVATE + PAGE) < 0 ? -1 : 0;
}

/* The same page of the file by two ways. */
static int read_files(void)
{
    uint64_t shared_word, private_word;
    if (polder_read(w.fd, &shared_word, 8, SHARED) < 0 || polder_read(w.fd, &private_word, 8, PRIVATE + PAGE) < 0)
        return -1;
    w.misread |= shared_word != 3 || private_word != 3;
    return 0;
}

static int apply_three(void)
{
    const struct polder_op ops[] = {
        {.code = POLDER_OP_MMAP,
            .prot = RW,
            .flags = ANONYMOUS,
            .src_fd = -1,
            .start = (void *)MORE,
            .length = 8 * PAGE},
        {.code = POLDER_OP_MPROTECT, .prot = PROT_READ, .start = (void *)MORE, .length = PAGE},
        {.code = POLDER_OP_MUNMAP, .start = (void *)(MORE + 4 * PAGE), .length = PAGE},
    };
    return polder_apply(w.fd, ops, 3);
}

static int map_anonymous_shared(void)
{
    return map(MORE, 2, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static int store_anonymous_shared(void)
{
    return run(w.fd, sn_store, MORE, 15);
}

static int open_self(void)
{
    return (w.self = polder_open("/proc/self/mm")) < 0 ? -1 : 0;
}

/* At addresses of the test's choice, which stay, so that all runs of the scenario compare. */
static int map_own(void)
{
    return polder_mmap(w.own, OWN_PAGES * PAGE, RW, ANONYMOUS, -1, 0, -1) == MAP_FAILED ? -1 : 0;
}

static int map_hidden(void)
{
    return polder_mmap(w.hidden, OWN_PAGES * PAGE, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1) == MAP_FAILED ? -1 : 0;
}

static int store_own(void)
{
    return run(w.self, sn_store, (uint64_t)w.own, 20);
}

static int protect_own(void)
{
    return polder_mprotect(w.own + PAGE, PAGE, PROT_READ, -1);
}

static int unmap_own(void)
{
    return polder_munmap(w.own + 2 * PAGE, PAGE, -1);
}

static int unmap_hidden(void)
{
    return polder_munmap(w.hidden + PAGE, PAGE, -1);
}

static int unmap_twice(void)
{
    return polder_munmap((void *)MANY, 64 * PAGE, w.fd);
}

static const struct step {
    const char *name;
    int (*function)(void);
    bool parts; /* of several calls: those before the one that failed stand */
} steps[] = {
#define STEP(function)                                                                                                 \
    {                                                                                                                  \
#function, function, false                                                                                     \
    }
    STEP(open_space),
    STEP(map_code),
    STEP(map_stack),
    STEP(map_many),
    STEP(map_big),
    STEP(map_shared),
    STEP(map_private),
    STEP(store_many),
    STEP(store_big),
    STEP(store_shared),
    STEP(store_private),
    STEP(read_files),
    STEP(second_context),
    STEP(first_context),
    STEP(protect_many),
    STEP(unmap_many),
    STEP(protect_big),
    STEP(unprotect_big),
    STEP(cut_big),
    STEP(unmap_big),
    STEP(copy),
    {"store_copy", store_copy, true},
    {"store_original", store_original, true},
    {"write_both", write_both, true},
    {"apply_three", apply_three, true},
    STEP(map_anonymous_shared),
    STEP(store_anonymous_shared),
    STEP(open_self),
    STEP(map_own),
    STEP(map_hidden),
    STEP(store_own),
    STEP(protect_own),
    STEP(unmap_own),
    STEP(unmap_hidden),
    STEP(unmap_twice),
};
#define STEPS (sizeof steps / sizeof steps[0])

/* ---------------------------------------------------------------- what ring 3 sees */

static const struct {
    bool of_copy;
    uint64_t address;
} probes[] = {
    {false, MANY},
    {false, MANY + PAGE},
    {false, MANY + 2 * PAGE},
    {false, MANY + 9 * PAGE},
    {false, MANY + 33 * PAGE},
    {false, BIG + 5 * PAGE},
    {false, BIG + 6 * PAGE},
    {false, BIG + 9 * PAGE},
    {false, SHARED},
    {false, PRIVATE},
    {false, PRIVATE + PAGE},
    {false, MORE},
    {false, MORE + 4 * PAGE},
    {true, MANY},
    {true, MANY + PAGE},
    {true, BIG + 5 * PAGE},
    {true, BIG + 6 * PAGE},
    {true, PRIVATE + PAGE},
};
#define PROBES (sizeof probes / sizeof probes[0])

struct sight {
    uint64_t word[PROBES];
    uint64_t own[OWN_PAGES], hidden[OWN_PAGES];
};

enum { NOTHING = 1000000, UNREADABLE, FAULT }; /* of a fault: + its error code */

/* Whether it can be read, what it holds, and whether it could be written. */
static uint64_t look(int space, uint64_t address)
{
    uint64_t word;
    struct polder_params params;
    if (space < 0)
        return NOTHING;
    if (space != w.self && polder_read(space, &word, 8, address) != 8)
        return UNREADABLE;
    polder_params_init(&params);
    uint64_t seen = UNREADABLE;
    if (run_params(&params, space, sn_load, address, 0) == 0) {
        seen = params.reason == POLDER_SYSCALL ? params.regs.rbx : FAULT + params.error_code;
        if (params.reason == POLDER_SYSCALL && run_params(&params, space, sn_store, address, seen) == 0)
            seen = params.reason == POLDER_SYSCALL ? seen : seen + 2000;
    }
    polder_params_fini(&params);
    return seen;
}

static void look_around(struct sight *sight)
{
    bool has_code = look(w.fd, BOX_CODE) < NOTHING, self = w.self >= 0;
    for (size_t i = 0; i < PROBES; i++)
        sight->word[i] = has_code ? look(probes[i].of_copy ? w.copy : w.fd, probes[i].address) : NOTHING;
    for (size_t i = 0; i < OWN_PAGES; i++) {
        sight->own[i] = self ? look(w.self, (uint64_t)w.own + i * PAGE) : NOTHING;
        sight->hidden[i] = self ? look(w.self, (uint64_t)w.hidden + i * PAGE) : NOTHING;
    }
}

/* ---------------------------------------------------------------- one process */

struct holdings {
    uint64_t tables, frames, records;
    size_t descriptors, mappings;
};

static struct shared {
    struct sight after[STEPS + 1]; /* after so many steps; learned by the first process, in which nothing fails */
    struct holdings holdings;
    char text[512];
    long seen;
} * shared;

enum { CHILD_PASSED, CHILD_STRUCK, CHILD_WRONG };

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shared->text, sizeof shared->text, format, arguments);
    va_end(arguments);
    _exit(CHILD_WRONG);
}

static bool documented(int error)
{
    switch (error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOSPC: /* of polder_open and polder_copy */
    case EAGAIN:
    case EFAULT:
        return true;
    default:
        return false;
    }
}

static void begin(void)
{
    w.fd = w.copy = w.self = -1;
    polder_params_init(&w.params);
    polder_params_init(&w.second);
    set_file_word(w.data, PAGE, 101);
    set_file_word(w.data, 2 * PAGE, 102);
    set_file_word(w.data, 3 * PAGE, 103);
}

static void end(void)
{
    polder_params_fini(&w.params);
    polder_params_fini(&w.second);
    if (polder_munmap(w.own, OWN_PAGES * PAGE, -1) || polder_munmap(w.hidden, OWN_PAGES * PAGE, -1))
        wrong("at the end: polder_munmap: %s", strerror(errno));
    const int fds[] = {w.fd, w.copy, w.self};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    int fd = polder_open("/proc/mm"); /* looks for what has been closed */
    close(fd);
    close(polder_open("/proc/mm"));
}

static void compare(const struct sight *sight, size_t step, const char *when, const char *culprit)
{
    const struct sight *expected = &shared->after[step];
    for (size_t i = 0; i < PROBES; i++) {
        if (sight->word[i] != expected->word[i])
            wrong("%s %s: %s at %#lx: %lu instead of %lu", when, culprit, probes[i].of_copy ? "copy" : "original",
                probes[i].address, sight->word[i], expected->word[i]);
    }
    for (size_t i = 0; i < OWN_PAGES; i++) {
        if (sight->own[i] != expected->own[i] || sight->hidden[i] != expected->hidden[i])
            wrong("%s %s: page %zu of the caller's own: %lu, privileged %lu; instead of %lu, %lu", when, culprit, i,
                sight->own[i], sight->hidden[i], expected->own[i], expected->hidden[i]);
    }
}

/* A hole in the library's reservation would be filled by whoever maps something next. */
static void check_reservation(void)
{
    uint64_t at = (uint64_t)hostmem.all.base, start, stop;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[600];
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx", &start, &stop) == 2 && start <= at && stop > at)
            at = stop;
    }
    fclose(maps);
    if (at < (uint64_t)hostmem.all.base + hostmem.all.size)
        wrong("after %s: nothing is mapped at %#lx, in the library's own reservation", inject.last, at);
}

/* One pass. In the one that learns nothing fails. */
static void pass(unsigned kinds, long skip, long strikes, bool learning, bool *struck)
{
    struct sight sight;
    long seen = 0, left = skip;
    *struck = false;
    begin();
    for (size_t i = 0; i < STEPS; i++) {
        inject_begin(*struck ? 0 : kinds, left, strikes);
        int result = steps[i].function();
        int error = errno;
        bool now = inject_end();
        left -= inject.seen;
        seen += inject.seen;
        *struck |= now;
        if (result < 0 && !now)
            wrong("%s: %s, though nothing was refused", steps[i].name, strerror(error));
        if (result < 0 && kinds == INJECT_EINTR)
            wrong("%s: %s, because a signal came in %s", steps[i].name, strerror(error), inject.last);
        if (result < 0 && !documented(error))
            wrong("%s: %s, when %s failed", steps[i].name, strerrorname_np(error), inject.last);
        if (w.misread)
            wrong("%s: something else is read than what is there, when %s failed", steps[i].name, inject.last);
        if (learning)
            look_around(&shared->after[i + 1]);
        if (!now)
            continue;
        char culprit[100];
        snprintf(culprit, sizeof culprit, "%s (%s)", steps[i].name, inject.last);
        if (result < 0 && !steps[i].parts) {
            look_around(&sight);
            compare(&sight, i, "after the failure of", culprit);
        }
        if (hostmem.all.base && strikes == 1)
            check_reservation();
        if (result < 0 && steps[i].function() < 0)
            wrong("%s does not succeed afterwards: %s", culprit, strerror(errno));
        look_around(&sight);
        compare(&sight, i + 1, "after", culprit);
    }
    if (!learning) {
        look_around(&sight);
        compare(&sight, STEPS, "at the end,", *struck ? inject.last : "of an innocent pass");
    }
    shared->seen = seen;
    end();
}

static void hold(struct holdings *now)
{
    *now = (struct holdings){tables_in_use(), frames_in_use(), record_bytes(), own_descriptors(), own_mappings()};
}

/* A fork must be noticed, whatever has failed before. */
static void check_fork(void)
{
    int status, fd = polder_open("/proc/mm");
    char byte;
    pid_t pid = fork();
    if (pid == 0)
        _exit(polder_read(fd, &byte, 1, MANY) == -1 && errno == ESTALE ? 0 : 1);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        wrong("after %s: a forked child is not told that its descriptors are not its own: %#x", inject.last, status);
    close(fd);
}

static void child(unsigned kinds, long skip, long strikes, bool learning)
{
    struct holdings now;
    bool struck, ignored;
    pass(kinds, skip, strikes, learning, &struck);
    long seen = shared->seen;
    pass(0, 0, 0, false, &ignored);
    hold(&now);
    if (learning)
        shared->holdings = now;
    const struct holdings *then = &shared->holdings;
    if (now.tables > then->tables || now.frames > then->frames || now.records > then->records ||
        now.descriptors > then->descriptors || now.mappings > then->mappings + 2)
        wrong("after %s: %lu tables, %lu frames, %lu bytes of records, %zu descriptors, %zu mappings; "
              "%lu, %lu, %lu, %zu, %zu without",
            inject.last, now.tables, now.frames, now.records, now.descriptors, now.mappings, then->tables, then->frames,
            then->records, then->descriptors, then->mappings);
    check_reservation();
    check_fork();
    shared->seen = seen;
    _exit(struck ? CHILD_STRUCK : CHILD_PASSED);
}

/* True if something failed in it. */
static bool process(unsigned kinds, long skip, long strikes, bool learning)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* CMocka would go on with the next test */
        signal(SIGBUS, SIG_DFL);
        alarm(60);
        child(kinds, skip, strikes, learning);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("with failure %ld of kinds %#x: killed by signal %d", skip, kinds, WTERMSIG(status));
    if (WEXITSTATUS(status) == CHILD_WRONG)
        fail_msg("with failure %ld of kinds %#x: %s", skip, kinds, shared->text);
    assert_in_range(WEXITSTATUS(status), CHILD_PASSED, CHILD_STRUCK);
    return WEXITSTATUS(status) == CHILD_STRUCK;
}

static int prepare(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *own = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    w.stack = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED && own != MAP_FAILED && w.stack != (char *)MAP_FAILED);
    w.own = own + 8 * PAGE;
    w.hidden = own + 32 * PAGE;
    w.data = make_file(4, 100);
    size_t length = (size_t)(snippets_end - snippets_begin);
    assert_int_equal(pwrite(w.data, snippets_begin, length, 0), length);
    /* What is never opened is as nothing. */
    for (size_t i = 0; i < PROBES; i++)
        shared->after[0].word[i] = NOTHING;
    for (size_t i = 0; i < OWN_PAGES; i++)
        shared->after[0].own[i] = shared->after[0].hidden[i] = NOTHING;
    process(0, 0, 0, true);
    return 0;
}

/* Every n, or as many as there is time for. */
static void each(unsigned kinds, long strikes)
{
    long n = 0, failures = 0;
    long stride = 1000 / scaled(1000);
    bool first = !shared;
    if (first)
        prepare(NULL);
    for (; process(kinds, n, strikes, false); n += 1 + (long)(n * 7 % stride))
        failures++;
    print_message("%ld of %ld points of failure\n", failures, n);
    assert_true(failures > 0);
}

static void records(void **state)
{
    (void)state;
    each(INJECT_RECORDS, 1);
}

static void tables_and_frames(void **state)
{
    (void)state;
    each(INJECT_TABLES | INJECT_FRAMES, 1);
}

static void calls(void **state)
{
    (void)state;
    each(INJECT_HOST, 1);
}

/* Once begun, it goes on for a while. */
static void calls_and_calls(void **state)
{
    (void)state;
    each(INJECT_HOST, 3);
}

static void interrupted(void **state)
{
    (void)state;
    each(INJECT_EINTR, 1);
}

/* ---------------------------------------------------------------- what a scenario does not show */

static uint64_t generation(int fd)
{
    struct mm *mm;
    assert_int_equal(descriptor_find(fd, &mm), 0);
    uint64_t generation = mm->generation;
    mm_drop(mm);
    return generation;
}

/*
 * A page of 2 MiB is to be cut, and there is no memory for the table: it is gone then, and what vCPUs have of it in
 * their TLBs must not outlive the next operation, which finds nothing to take away any more.
 */
static void without_a_table(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    box_map_anonymous(&box, BIG, 512 * PAGE, RW);
    box_store(&box, BIG, 1);
    assert_ok(polder_mprotect((void *)BIG, 512 * PAGE, PROT_READ, box.fd));
    assert_ok(polder_mprotect((void *)BIG, 512 * PAGE, RW, box.fd));
    assert_int_equal(box_load(&box, BIG), 1);
    uint64_t before = generation(box.fd);
    aim(&box.params, sn_store, BIG, 2);
    inject_begin(INJECT_TABLES, 0, LONG_MAX);
    int result = polder_run_sandbox(box.fd, &box.params);
    int error = errno;
    assert_true(inject_end());
    assert_int_equal(result, -1);
    assert_int_equal(error, EFAULT);
    assert_true(generation(box.fd) > before);
    box_store(&box, BIG, 2);
    assert_int_equal(box_load(&box, BIG), 2);
    box_close(&box);
}

/*
 * What is mapped in the caller's own process is read from a file. Without a descriptor for it the run fails, and
 * nothing is reported that is not so; once it is open, descriptors may run out.
 */
static void without_a_descriptor(void **state)
{
    (void)state;
    static uint64_t word = 77;
    char *pages = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct polder_params params;
    polder_params_init(&params);
    inject.only = "open";
    inject_begin(INJECT_HOST, 0, LONG_MAX);
    w.self = polder_open("/proc/self/mm");
    int result = run_params(&params, w.self, sn_load, (uint64_t)&word, 0);
    int error = errno;
    assert_true(inject_end());
    assert_true(w.self >= 0);
    assert_int_equal(result, -1);
    assert_int_equal(error, EFAULT);
    assert_ok(run_params(&params, w.self, sn_load, (uint64_t)&word, 0));
    assert_int_equal(params.reason, POLDER_SYSCALL);
    assert_int_equal(params.regs.rbx, 77);
    inject.only = "open";
    inject_begin(INJECT_HOST, 0, LONG_MAX);
    assert_ok(run_params(&params, w.self, sn_store, (uint64_t)pages, 78));
    inject_end();
    assert_int_equal(params.reason, POLDER_SYSCALL);
    assert_int_equal(*(uint64_t *)pages, 78);
    polder_params_fini(&params);
    close(w.self);
    munmap(pages, 4 * PAGE);
}

/* Locked memory does not go back to the host: a record that comes back is zero all the same. */
static void locked_memory(void **state)
{
    (void)state;
    const size_t size = 128 << 10;
    uint64_t *record = record_alloc(size);
    assert_non_null(record);
    memset(record, 0xff, size);
    inject.only = "madvise";
    inject_begin(INJECT_HOST, 0, LONG_MAX);
    record_free(record, size);
    assert_true(inject_end());
    uint64_t *again = record_alloc(size);
    assert_ptr_equal(again, record);
    for (size_t i = 0; i < size / sizeof *again; i++)
        assert_int_equal(again[i], 0);
    record_free(again, size);
}

static void interrupted_by(int number)
{
    (void)number;
}

/* What KVM has not been told is told it the next time. */
static void told_again(void **state)
{
    (void)state;
    struct box box;
    sigset_t usr1, none;
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);

    box.params.deadline_ns = 1000000;
    inject.only = "KVM_SET_MSRS";
    inject_begin(INJECT_HOST, 0, 1);
    aim(&box.params, sn_spin, BOX_DATA, 0);
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), -1);
    assert_true(inject_end());
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_DEADLINE);
    box.params.deadline_ns = 0;

    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    struct sigaction action = {.sa_handler = interrupted_by};
    sigaction(SIGUSR1, &action, NULL);
    assert_int_equal(sigprocmask(SIG_BLOCK, &usr1, NULL), 0);
    box.params.sigmask = &none;
    inject.only = "KVM_SET_SIGNAL_MASK";
    inject_begin(INJECT_HOST, 0, 1);
    aim(&box.params, sn_spin, BOX_DATA, 0);
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), -1);
    assert_true(inject_end());
    raise(SIGUSR1);
    assert_int_equal(box_run(&box, sn_spin, BOX_DATA, 0), POLDER_SIGNAL);
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(tables_and_frames),
        cmocka_unit_test(calls),
        cmocka_unit_test(calls_and_calls),
        cmocka_unit_test(interrupted),
        /* From here on in this process. */
        cmocka_unit_test(without_a_table),
        cmocka_unit_test(without_a_descriptor),
        cmocka_unit_test(locked_memory),
        cmocka_unit_test(told_again),
    };
    return RUN_GROUP("inject", tests);
}
