/* SPDX-License-Identifier: MIT */
/*
 * Very many of everything that a caller can ask for: mappings, spaces, operations, copies of copies, threads, and
 * ranges as large as there are. It works or has its errno; the innocent context runs; and all of it comes back.
 * POLDER_MANY says how many mappings and spaces there shall be, a million for example.
 */
#if __STDC_HOSTED__
#include "frames.h"
#include "records.h"
#include "tables.h"
#endif

#include "attack.h"

#include <pthread.h>
#if __STDC_HOSTED__
#include <sys/resource.h>
#include <time.h>
#else
#include <polder/resident.h>
#endif

/* Where the many are: nothing else is near, in this process neither, nor is it where AddressSanitizer has its shadow
 * (below 0x10007fff8000). */
#define FIELD 0x200000000000ul

static uint64_t many(int native, int emulated)
{
    const char *value = getenv("POLDER_MANY");
    return value ? (uint64_t)atoi(value) : (uint64_t)times(native, emulated);
}

/* ---------------------------------------------------------------- what is in use */

struct usage {
    uint64_t descriptors, mappings, memory, tables, records;
};

/* A space that was closed is given back when the next is opened; what is left then is always the same. */
static struct usage usage_now(void)
{
    for (int i = 0; i < 2; i++) {
        int fd = polder_open("/proc/mm");
        assert_true(fd >= 0);
        assert_ok(close(fd));
    }
#if __STDC_HOSTED__
    return (struct usage){
        own_descriptors(), own_mappings(), frames_in_use(), tables_in_use() - tables_retired(), record_bytes()};
#else
    return (struct usage){own_descriptors(), 0, polder_memory_used(), 0, 0};
#endif
}

static void nothing_is_left(const struct usage *before, const char *what)
{
    const struct usage after = usage_now();
    if (after.descriptors > before->descriptors || after.memory > before->memory || after.tables > before->tables ||
        after.records > before->records + 8192 ||
        /* state of contexts, free lists */ after.mappings > before->mappings + 2)
        fail_msg("%s: %lu descriptors, %lu mappings, %lu of memory, %lu tables, %lu bytes of records; before %lu, %lu, "
                 "%lu, %lu, %lu",
            what, after.descriptors, after.mappings, after.memory, after.tables, after.records, before->descriptors,
            before->mappings, before->memory, before->tables, before->records);
}

static uint64_t milliseconds(void)
{
#if __STDC_HOSTED__
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
#else
    return polder_clock(0) / 1000000;
#endif
}

static void say(const char *what, uint64_t count, uint64_t since)
{
    print_message("%lu %s: %lu ms, %lu MiB\n", count, what, milliseconds() - since, own_rss() >> 20);
}

/* ---------------------------------------------------------------- mappings */

#define BATCH 1024ul

/* What page i of the field may be used for: neighbours differ, so that no two become one mapping. */
static int prot_of(uint64_t i)
{
    return i % 2 ? PROT_READ : RW;
}

static void map_field(int fd, uint64_t count)
{
    static struct polder_op ops[BATCH];

    for (uint64_t i = 0; i < count; i += BATCH) {
        uint64_t n = count - i < BATCH ? count - i : BATCH;
        for (uint64_t j = 0; j < n; j++)
            ops[j] = (struct polder_op){.code = POLDER_OP_MMAP,
                .prot = prot_of(i + j),
                .flags = ANONYMOUS | MAP_FIXED_NOREPLACE,
                .src_fd = -1,
                .start = (void *)(FIELD + (i + j) * PAGE),
                .length = PAGE};
        if (i / BATCH % 2) {
            assert_ok(polder_apply(fd, ops, n));
            continue;
        }
        for (uint64_t j = 0; j < n; j++)
            if (polder_mmap(ops[j].start, PAGE, ops[j].prot, ops[j].flags, -1, 0, fd) != ops[j].start)
                fail_msg("mapping %lu: %s", i + j, strerror(errno));
    }
}

/* Ring 3 at a few of them: they are what they were made. */
static void visit_field(struct attacker *a, int fd, uint64_t count, uint64_t seed)
{
    struct polder_params *p = &a->box.params;

    for (int n = 0; n < 24; n++) {
        const uint64_t i = n == 0 ? 0 : n == 1 ? count - 1 : random_next(&seed) % count;
        const bool store = n & 1;
        attack_aim(a, SNIPPET(store ? sn_store : sn_load));
        p->regs.rdi = FIELD + i * PAGE;
        assert_int_equal(polder_run_sandbox(fd, p), 0);
        if (store && i % 2)
            expect_fault(a, FIELD + i * PAGE, PF_P | PF_U | PF_W, p->regs.rip);
        else
            expect_reason(a, POLDER_SYSCALL);
    }
    innocent_check(a);
}

static void mappings(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};
    const uint64_t count = many(50000, __STDC_HOSTED__ ? 50000 : 250);

    attacker_open(&a);
    for (int round = 0; round < 3; round++) { /* the first one may leave room for the next */
        uint64_t since = milliseconds();
        map_field(a.box.fd, count);
        say("mappings made", count, since);
        visit_field(&a, a.box.fd, count, 5);
        since = milliseconds();
        if (round == 0) { /* one by one, and there are holes; then the rest */
            for (uint64_t i = 0; i < count; i += 2)
                assert_ok(polder_munmap((void *)(FIELD + i * PAGE), PAGE, a.box.fd));
            assert_errno(polder_mprotect((void *)FIELD, count * PAGE, PROT_READ, a.box.fd), ENOMEM);
            attack_aim(&a, SNIPPET(sn_load));
            a.box.params.regs.rdi = FIELD;
            attack_run(&a, "a hole among many mappings");
            expect_fault(&a, FIELD, PF_U, a.box.params.regs.rip);
        } else { /* all of them become one */
            assert_ok(polder_mprotect((void *)FIELD, count * PAGE, RW, a.box.fd));
            box_store(&a.box, FIELD + PAGE, 1);
        }
        assert_ok(polder_munmap((void *)FIELD, count * PAGE, a.box.fd));
        say("mappings taken away", count, since);
        box_syscall(&a.box, sn_syscall, 0, 0);
        innocent_check(&a);
        if (round == 1)
            before = usage_now();
    }
    nothing_is_left(&before, "many mappings");
    attacker_close(&a);
}

/* A copy has them all, and a copy of it too. */
static void copies_of_many_mappings(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};
    const uint64_t count = many(20000, __STDC_HOSTED__ ? 20000 : 100);

    attacker_open(&a);
    for (int round = 0; round < 2; round++) {
        before = usage_now();
        int fd = polder_open("/proc/mm");
        fill_space(fd, a.box.data_fd);
        map_field(fd, count);
        visit_field(&a, fd, count, 6);
        const uint64_t since = milliseconds();
        int first = polder_copy(fd), second = polder_copy(first);
        assert_true(first >= 0 && second >= 0);
        say("mappings copied twice", count, since);
        assert_ok(close(first));
        visit_field(&a, second, count, 7);
        assert_ok(close(fd));
        visit_field(&a, second, count, 8);
        assert_ok(close(second));
    }
    nothing_is_left(&before, "copies of many mappings");
    attacker_close(&a);
}

/* ---------------------------------------------------------------- operations */

/* One call that does very much, and what it has to remember until its end. */
static void operations(void **state)
{
    (void)state;
    struct attacker a;
    const uint64_t count = many(60000, __STDC_HOSTED__ ? 60000 : 450), pages = 64;
    struct polder_op *ops = malloc(count * sizeof(*ops));

    attacker_open(&a);
    assert_non_null(ops);
    for (int round = 0; round < 2; round++) {
        struct usage before = usage_now();
        for (uint64_t i = 0; i < count; i++) {
            const uint64_t page = i / 3 % pages;
            ops[i] =
                (struct polder_op){.code = (uint32_t[]){POLDER_OP_MMAP, POLDER_OP_MPROTECT, POLDER_OP_MUNMAP}[i % 3],
                    .prot = i % 3 ? PROT_READ : RW,
                    .flags = ANONYMOUS | MAP_FIXED,
                    .src_fd = -1,
                    .start = (void *)(FIELD + page * PAGE),
                    .length = PAGE};
        }
        /* There is a page to be taken away each time at first. */
        box_map_anonymous(&a.box, FIELD, pages * PAGE, RW);
        box_syscall(&a.box, sn_touch_pages, FIELD, pages);
        const uint64_t since = milliseconds();
        assert_ok(polder_apply(a.box.fd, ops, count));
        say("operations in one call", count, since);
        /* The last of them fails: those before it stand. */
        ops[count - 1] = (struct polder_op){.code = POLDER_OP_MMAP,
            .prot = RW,
            .flags = ANONYMOUS | MAP_FIXED,
            .src_fd = -1,
            .start = NULL,
            .length = PAGE};
        assert_errno(polder_apply(a.box.fd, ops, count), EPERM);
        assert_ok(polder_munmap((void *)FIELD, pages * PAGE, a.box.fd));
        box_syscall(&a.box, sn_syscall, 0, 0);
        innocent_check(&a);
        if (round)
            nothing_is_left(&before, "many operations");
    }
    free(ops);
    attacker_close(&a);
}

/* Pages that were written, each taken away by an operation of its own. */
static void pages_one_by_one(void **state)
{
    (void)state;
    struct attacker a;
    const uint64_t count = many(16384, __STDC_HOSTED__ ? 16384 : 300);
    struct polder_op *ops = malloc(count * sizeof(*ops));

    attacker_open(&a);
    assert_non_null(ops);
    for (uint64_t i = 0; i < count; i++)
        ops[i] = (struct polder_op){.code = POLDER_OP_MUNMAP, .start = (void *)(FIELD + i * PAGE), .length = PAGE};
    for (int round = 0; round < 2; round++) {
        struct usage before = usage_now();
        box_map_anonymous(&a.box, FIELD, count * PAGE, RW);
        a.box.params.deadline_ns = 0;
        box_syscall(&a.box, sn_touch_pages, FIELD, count);
        const uint64_t since = milliseconds();
        assert_ok(polder_apply(a.box.fd, ops, count));
        say("pages unmapped in one call", count, since);
        box_syscall(&a.box, sn_syscall, 0, 0);
        if (round)
            nothing_is_left(&before, "pages taken away one by one");
    }
    free(ops);
    attacker_close(&a);
}

/* ---------------------------------------------------------------- spaces */

static void spaces_in_turn(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};
    const uint64_t count = many(10000, __STDC_HOSTED__ ? 10000 : 100), warm = count / 4;

    attacker_open(&a);
    const uint64_t since = milliseconds();
    for (uint64_t i = 0; i < count; i++) {
        int fd = i % 3 == 2 ? polder_copy(a.box.fd) : polder_open("/proc/mm");
        if (fd < 0)
            fail_msg("space %lu: %s", i, strerror(errno));
        if (i % 16 == 0) {
            if (i % 3 != 2)
                fill_space(fd, a.box.data_fd);
            attack_aim(&a, SNIPPET(sn_store));
            a.box.params.regs.rdi = BOX_STACK;
            assert_int_equal(polder_run_sandbox(fd, &a.box.params), 0);
            expect_reason(&a, POLDER_SYSCALL);
        }
        assert_ok(close(fd));
        if (i == warm) {
            before = usage_now();
        }
    }
    say("spaces one after the other", count, since);
    nothing_is_left(&before, "spaces one after the other");
    attacker_close(&a);
}

/* As many as there can be at a time: then an errno that says why, all others work, and all can be had again. */
static void spaces_at_once(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};
    const uint64_t most = many(4000, __STDC_HOSTED__ ? 4000 : 60);
    int *fds = malloc((most + 1) * sizeof(*fds));

    attacker_open(&a);
    assert_non_null(fds);
#if __STDC_HOSTED__
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (int round = 0; round < 4; round++) { /* with 64 descriptors, and with as many as there may be */
        struct rlimit limit = {round % 2 ? old.rlim_max : 64 + own_descriptors(), old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
#else
    for (int round = 0; round < 3; round++) {
#endif
        const uint64_t since = milliseconds();
        uint64_t count = 0;
        for (; count < most; count++) {
            fds[count] = count % 2 ? polder_copy(a.box.fd) : polder_open("/proc/mm");
            if (fds[count] < 0)
                break;
        }
        if (count < most)
            assert_true(errno == EMFILE || errno == ENFILE || errno == ENOMEM);
        print_message("%s at %lu spaces\n", count < most ? strerrorname_np(errno) : "no error", count);
        assert_true(count >= 20);
        for (uint64_t i = 1; (i | 1) < count; i += count / 10) { /* they are all there */
            attack_aim(&a, SNIPPET(sn_store));
            a.box.params.regs.rdi = BOX_STACK;
            assert_int_equal(polder_run_sandbox(fds[i | 1], &a.box.params), 0); /* a copy: it has the program */
            expect_reason(&a, POLDER_SYSCALL);
        }
        innocent_check(&a);
        for (uint64_t i = 0; i < count; i++)
            assert_ok(close(fds[i]));
        say("spaces at once", count, since);
        if (round == 1)
            before = usage_now();
    }
#if __STDC_HOSTED__
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
#endif
    nothing_is_left(&before, "spaces at once");
    free(fds);
    attacker_close(&a);
}

/* A copy of a copy of a copy..., each with a page of its own; the one before it is gone. */
static void copies_of_copies(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};
    const uint64_t depth = (uint64_t)times(4000, __STDC_HOSTED__ ? 2000 : 40), pages = 64;
    uint64_t word = 0;

    attacker_open(&a);
    for (int round = 0; round < 2; round++) {
        int fd = polder_copy(a.box.fd);
        assert_true(polder_mmap((void *)FIELD, pages * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, fd) == (void *)FIELD);
        for (uint64_t i = 0; i < depth; i++) {
            int next = polder_copy(fd);
            if (next < 0)
                fail_msg("copy %lu: %s", i, strerror(errno));
            if (i % 2)
                assert_ok(close(fd));
            word = i;
            assert_int_equal(polder_write(next, &word, 8, FIELD + i % pages * PAGE), 8);
            if (i % 2 == 0)
                assert_ok(close(fd));
            fd = next;
        }
        for (uint64_t i = 0; i < pages; i++) {
            attack_aim(&a, SNIPPET(sn_load));
            a.box.params.regs.rdi = FIELD + i * PAGE;
            assert_int_equal(polder_run_sandbox(fd, &a.box.params), 0);
            const uint64_t last = i < depth ? (depth - 1 - i) / pages * pages + i : 0;
            assert_int_equal(a.box.params.regs.rbx, last);
        }
        assert_ok(close(fd));
        innocent_check(&a);
        if (!round) {
            before = usage_now();
        }
    }
    nothing_is_left(&before, "copies of copies");
    attacker_close(&a);
}

/* ---------------------------------------------------------------- ranges */

#define TOP 0x7ffffffff000ul

static void of_all_sizes(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};

    attacker_open(&a);
    for (int round = 0; round < 2; round++) {
        const int fd = a.box.fd;
        for (int shift = 40; shift <= 46; shift += ring0_is_emulated() && !__STDC_HOSTED__ ? 6 : 2) {
            const uint64_t length = 1ul << shift;
            const int kinds[] = {PROT_NONE, RW, PROT_READ, RW | POLDER_PRIVILEGED};
            for (int kind = 0; kind < 4; kind++) {
                char *at = polder_mmap(NULL, length, kinds[kind], ANONYMOUS | MAP_NORESERVE, -1, 0, fd);
                if (at == MAP_FAILED)
                    fail_msg("2^%d bytes: %s", shift, strerror(errno));
                const uint64_t places[] = {0, length / 2, length - PAGE};
                for (int i = 0; i < 3; i++) {
                    attack_aim(&a, SNIPPET(i & 1 ? sn_load : sn_store));
                    a.box.params.regs.rdi = (uint64_t)at + places[i];
                    attack_run(&a, "a huge mapping");
                    expect_reason(&a, kind == 1 || (kind == 2 && i == 1) ? POLDER_SYSCALL : POLDER_PAGE_FAULT);
                }
                /* The whole of it, the middle, everything around the middle, and over it again. */
                assert_ok(polder_mprotect(at, length, RW, fd));
                box_store(&a.box, (uint64_t)at + length / 2, 9);
                assert_ok(polder_munmap(at + length / 4, length / 2, fd));
                box_fault(&a.box, sn_load, (uint64_t)at + length / 2, 0, (uint64_t)at + length / 2, PF_U);
                assert_errno(polder_mprotect(at, length, PROT_READ, fd), ENOMEM);
                assert_ptr_equal(polder_mmap(at + length / 8, length / 4 * 3, RW, ANONYMOUS | MAP_FIXED, -1, 0, fd),
                    at + length / 8);
                assert_int_equal(box_load(&a.box, (uint64_t)at + length / 2), 0);
                box_store(&a.box, (uint64_t)at + length / 8, 3);
                assert_ok(polder_munmap(at, length, fd));
            }
        }
        /* The edges. */
        const int fixed = ANONYMOUS | MAP_FIXED;
        assert_ptr_equal(polder_mmap(NULL, PAGE, RW, fixed, -1, 0, fd), MAP_FAILED);
        assert_int_equal(errno, EPERM);
        assert_ptr_equal(polder_mmap((void *)PAGE, PAGE, RW, fixed, -1, 0, fd), (void *)PAGE);
        box_store(&a.box, PAGE, 1);
        box_fault(&a.box, sn_load, PAGE - 8, 0, PAGE - 8, PF_U);
        assert_ptr_equal(polder_mmap((void *)(TOP - PAGE), PAGE, RW, fixed, -1, 0, fd), (void *)(TOP - PAGE));
        box_store(&a.box, TOP - 8, 1);
        box_fault(&a.box, sn_load, TOP, 0, TOP, PF_U);
        assert_ok(polder_munmap((void *)PAGE, PAGE, fd));
        assert_ok(polder_munmap((void *)(TOP - PAGE), PAGE, fd));
        if (!round)
            before = usage_now();
    }
    /* All there is, in another space: no room for one page more. */
    int fd = polder_open("/proc/mm");
    assert_ptr_equal(polder_mmap((void *)PAGE, TOP - PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, fd), (void *)PAGE);
    assert_ptr_equal(polder_mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0, fd), MAP_FAILED);
    assert_int_equal(errno, ENOMEM);
    fill_space(fd, a.box.data_fd);
    aim(&a.box.params, sn_store, TOP - PAGE, 0);
    assert_int_equal(polder_run_sandbox(fd, &a.box.params), 0);
    expect_reason(&a, POLDER_SYSCALL);
    assert_ok(polder_munmap(NULL, TOP, fd));
    assert_ok(close(fd));
    nothing_is_left(&before, "huge ranges");
    attacker_close(&a);
}

/* Arguments that nobody means. Each call is good or has an errno of polder(3), and the bad ones change nothing. */
static void of_no_meaning(void **state)
{
    (void)state;
    static const int errors[] = {EACCES, EBADF, EEXIST, EINVAL, ENODEV, ENOMEM, 95 /* EOPNOTSUPP */, EOVERFLOW, EPERM};
    struct attacker a;
    uint64_t seed = 91;
    struct usage before = {0};
    int good = 0, bad = 0, file = make_file(3, 5);
    const int count = times(40000, __STDC_HOSTED__ ? 40000 : 1000);

    attacker_open(&a);
    int fd = polder_open("/proc/mm");
    for (int i = 0; i < count; i++) {
        const uint64_t start = odd_value(&seed) & (random_next(&seed) % 4 ? ~(PAGE - 1) : UINT64_MAX);
        uint64_t length = odd_value(&seed) >> random_next(&seed) % 64;
        const int prot = (int)random_next(&seed) & (random_next(&seed) % 4 ? ALL_RWX | POLDER_PRIVILEGED : -1);
        const int flags = (int)random_next(&seed) & (random_next(&seed) % 4 ? 0xf | MAP_ANONYMOUS | MAP_FIXED : -1);
        const int src = random_next(&seed) % 3 ? file : (int)random_next(&seed);
        const off_t offset = (off_t)(odd_value(&seed) & (random_next(&seed) % 4 ? ~(PAGE - 1) : UINT64_MAX));
        bool failed;

        errno = 0;
        switch (random_next(&seed) % 4) {
        case 0:
            failed = polder_munmap((void *)start, length, fd) < 0;
            break;
        case 1:
            failed = polder_mprotect((void *)start, length, prot, fd) < 0;
            break;
        default:
            failed = polder_mmap((void *)start, length, prot, flags, src, offset, fd) == MAP_FAILED;
        }
        bool known = !failed;
        for (size_t j = 0; j < sizeof(errors) / sizeof(errors[0]); j++)
            known = known || errno == errors[j];
        if (!known)
            fail_msg("call %d, %#lx, %#lx, prot %#x, flags %#x, source %d, offset %#lx: %s", i, start, length, prot,
                flags, src, (unsigned long)offset, strerror(errno));
        good += !failed;
        bad += failed;
        if (i % 500 == 0) {
            assert_ok(polder_munmap(NULL, TOP, fd));
            innocent_check(&a);
            if (i == count / 1000 * 500)
                before = usage_now();
        }
    }
    print_message("%d good, %d bad\n", good, bad);
    assert_true(good > count / 50 && bad > count / 50);
    assert_ok(close(fd));
    assert_ok(close(file));
    nothing_is_left(&before, "arguments of no meaning");
    attacker_close(&a);
}

/* ---------------------------------------------------------------- the caller's own space */

/* Declarations by the thousand, overlapping; ring 3 keeps to what is left. */
static void declarations(void **state)
{
    (void)state;
    struct attacker a;
    const uint64_t count = many(100000, __STDC_HOSTED__ ? 100000 : 1000), pages = 4096;
    uint64_t seed = 17;

    attacker_open(&a);
    const uint64_t since = milliseconds();
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t page = random_next(&seed) % pages, length = 1 + random_next(&seed) % 64;
        assert_ok(polder_mprotect((void *)(FIELD + page * PAGE), length * PAGE, POLDER_PRIVILEGED, -1));
        if (i % 4 == 0)
            assert_ok(polder_munmap((void *)(FIELD + page / 2 * PAGE), PAGE, -1));
    }
    say("declarations", count, since);
    innocent_check(&a);
    attacker_close(&a);
}

#if __STDC_HOSTED__
/* As many mappings as the host allows: then ENOMEM, as it says; sandboxes run on. */
static void host_mappings(void **state)
{
    (void)state;
    struct attacker a;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    long most = 65530;

    if (f) {
        assert_int_equal(fscanf(f, "%ld", &most), 1);
        fclose(f);
    }
    if (most > 100000 || scaled(1000) < 1000) {
        print_message("not run: needs a low vm.max_map_count, and no emulation\n");
        skip();
    }
    attacker_open(&a);
    const struct usage before = usage_now();
    int self = polder_open("/proc/self/mm"), n = 0;
    char *stack = polder_mmap(NULL, 2 * PAGE, ALL_RWX, ANONYMOUS, -1, 0, -1);
    memcpy(stack, snippets_begin, (size_t)(snippets_end - snippets_begin));
    char *at = (char *)FIELD;
    for (; n < most + 100; n++)
        if (polder_mmap(at + (uint64_t)n * PAGE, PAGE, prot_of((uint64_t)n), ANONYMOUS | MAP_FIXED, -1, 0, -1) ==
            MAP_FAILED)
            break;
    assert_string_equal(strerrorname_np(errno), "ENOMEM");
    print_message("ENOMEM at %d mappings of the host's\n", n);
    assert_true(n > most / 2);
    /* Cutting one is another. */
    struct polder_params params;
    polder_params_init(&params);
    for (int i = 0; i < 40; i++) {
        params.regs.rip = (uint64_t)stack + (uint64_t)(sn_store - snippets_begin);
        params.regs.rsp = (uint64_t)stack + 2 * PAGE;
        params.regs.rdi = FIELD + (uint64_t)i * (uint64_t)(n / 41) / 2 * 2 * PAGE;
        assert_int_equal(polder_run_sandbox(self, &params), 0);
        assert_int_equal(params.reason, POLDER_SYSCALL);
        innocent_check(&a);
    }
    box_map_anonymous(&a.box, FIELD, 2 * HUGE_PAGE, RW);
    box_syscall(&a.box, sn_touch_pages, FIELD, 2 * HUGE_PAGE / PAGE);
    assert_ok(polder_munmap((void *)FIELD, 2 * HUGE_PAGE, a.box.fd));
    assert_ok(polder_munmap(at, (size_t)n * PAGE, -1));
    polder_params_fini(&params);
    assert_ok(polder_munmap(stack, 2 * PAGE, -1));
    assert_ok(close(self));
    assert_true(usage_now().mappings <= before.mappings + 16);
    attacker_close(&a);
}
#endif

#if __STDC_HOSTED__
#define COMING_PAGES 64ul

static volatile bool coming;

/* Even pages behind polder's back, as malloc does it, odd ones with its knowledge: polder(3) has EFAULT for both at
 * once. */
static void *come_and_go(void *at)
{
    uint64_t seed = 23;

    while (coming) {
        const uint64_t page = random_next(&seed) % COMING_PAGES;
        char *place = (char *)at + page * PAGE;
        const bool told = page & 1;
        switch (random_next(&seed) % 4) {
        case 0:
            (void)!(told ? polder_munmap(place, PAGE, -1) : munmap(place, PAGE));
            break;
        case 1:
            (void)!(told ? polder_mprotect(place, PAGE, PROT_READ, -1) : mprotect(place, PAGE, PROT_READ));
            break;
        default:
            if (told)
                polder_mmap(place, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, -1);
            else
                mmap(place, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
        }
        random_delay(&seed, 3000);
    }
    return NULL;
}

/* What the caller has comes and goes while its sandbox is there: a report, or what was there. */
static void mappings_that_come_and_go(void **state)
{
    (void)state;
    struct attacker a;
    struct polder_params *p = &a.box.params;
    pthread_t thread;
    uint64_t seed = 24;
    int good = 0, bad = 0;
    const int count = times(4000, 4000);

    attacker_open(&a);
    int self = polder_open("/proc/self/mm");
    /* Pages that nobody else in the process is given when they are free. */
    char *at = mmap((void *)FIELD, (COMING_PAGES + 8) * PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    char *stack = polder_mmap(NULL, 2 * PAGE, ALL_RWX, ANONYMOUS, -1, 0, -1);
    assert_true(self >= 0 && at != MAP_FAILED && stack != MAP_FAILED);
    memcpy(stack, snippets_begin, (size_t)(snippets_end - snippets_begin));
    coming = true;
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, at), 0);
    for (int i = 0; i < count; i++) {
        attack_aim(&a, (uint64_t)stack + (uint64_t)((i & 1 ? sn_store : sn_load) - snippets_begin));
        p->regs.rsp = (uint64_t)stack + 2 * PAGE;
        p->regs.rdi = (uint64_t)at + random_next(&seed) % COMING_PAGES * PAGE;
        const uint64_t wanted = p->regs.rdi;
        if (polder_run_sandbox(self, p) < 0)
            fail_msg("run %d: %s", i, strerror(errno));
        assert_null(report_fault(p));
        if (p->reason == POLDER_PAGE_FAULT || p->reason == POLDER_BUS)
            assert_int_equal(p->fault_addr, wanted);
        else
            expect_reason(&a, POLDER_SYSCALL);
        good += p->reason == POLDER_SYSCALL;
        bad += p->reason != POLDER_SYSCALL;
        if (i % 64 == 0)
            innocent_check(&a);
    }
    coming = false;
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("%d were there, %d not\n", good, bad);
    assert_true(good > 0 && bad > 0);
    assert_ok(polder_munmap(at, (COMING_PAGES + 8) * PAGE, -1));
    assert_ok(polder_munmap(stack, 2 * PAGE, -1));
    assert_ok(close(self));
    attacker_close(&a);
}

/* ---------------------------------------------------------------- threads */

static struct box shared_box;
static pthread_barrier_t all_there;
static int refused;

static void *one_run(void *wait)
{
    struct polder_params params;

    polder_params_init(&params);
    aim(&params, sn_load, BOX_STACK, 0);
    if (polder_run_sandbox(shared_box.fd, &params) < 0) {
        assert_int_equal(errno, EAGAIN);
        __atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
    } else {
        assert_int_equal(params.reason, POLDER_SYSCALL);
    }
    polder_params_fini(&params);
    if (wait)
        pthread_barrier_wait(&all_there);
    return NULL;
}

/* More threads than there are vCPUs: EAGAIN for those that come late, and not for whoever comes when some have gone. */
static void threads_at_once(void **state)
{
    (void)state;
    struct attacker a;
    const int count = scaled(300);
    pthread_t *threads = malloc((size_t)count * sizeof(*threads));

    attacker_open(&a);
    box_open(&shared_box);
    for (int round = 0; round < 2; round++) {
        refused = 0;
        assert_int_equal(pthread_barrier_init(&all_there, NULL, (unsigned)count + 1), 0);
        for (int i = 0; i < count; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, one_run, &all_there), 0);
        pthread_barrier_wait(&all_there);
        for (int i = 0; i < count; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        pthread_barrier_destroy(&all_there);
        print_message("%d of %d threads refused\n", refused, count);
        assert_int_equal(refused, count > 254 ? count - 254 : 0); /* this thread has one */
        innocent_check(&a);
    }
    box_close(&shared_box);
    free(threads);
    attacker_close(&a);
}

static void threads_in_turn(void **state)
{
    (void)state;
    struct attacker a;
    struct usage before = {0};
    size_t resident = 0;
    const int count = times(10000, 10000);

    attacker_open(&a);
    box_open(&shared_box);
    refused = 0;
    const uint64_t since = milliseconds();
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, one_run, NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (i == count / 2) {
            before = usage_now();
            resident = own_rss();
        }
    }
    say("threads one after the other", (uint64_t)count, since);
    assert_int_equal(refused, 0);
    const struct usage after = usage_now();
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.memory, before.memory);
    assert_int_equal(after.records, before.records);
#ifdef __SANITIZE_ADDRESS__ /* which keeps stacks */
    const size_t slack = 256ul << 20;
#else
    const size_t slack = 4ul << 20;
#endif
    assert_true(own_rss() < resident + slack);
    innocent_check(&a);
    box_close(&shared_box);
    attacker_close(&a);
}
#endif

/* ---------------------------------------------------------------- a kernel's memory */

#if !__STDC_HOSTED__
/* Some of everything. False if there was no memory for it: then `where` says for what. */
static bool some_of_everything(struct attacker *a, const char **where)
{
    struct polder_params params;
    bool done = false;
    uint64_t word = 5;
    int fd = -1, copy = -1, file = -1;
    void *own = MAP_FAILED, *visible = MAP_FAILED;

    polder_params_init(&params);
#define STEP(call)                                                                                                     \
    do {                                                                                                               \
        *where = #call;                                                                                                \
        errno = 0;                                                                                                     \
        if ((long)(call) == -1)                                                                                        \
            goto out;                                                                                                  \
    } while (0)
#define MAP(at, pages, prot, flags, src) STEP(polder_mmap((void *)(at), (pages)*PAGE, prot, flags, src, 0, fd))
#define RUN(space, snippet, rdi, rsi)                                                                                  \
    do {                                                                                                               \
        aim(&params, snippet, rdi, rsi);                                                                               \
        STEP(polder_run_sandbox(space, &params));                                                                      \
        assert_int_equal(params.reason, POLDER_SYSCALL);                                                               \
    } while (0)
    STEP(fd = polder_open("/proc/mm"));
    STEP(file = polder_memory_create(8 * PAGE));
    MAP(BOX_CODE, 1, ALL_RWX, ANONYMOUS | MAP_FIXED, -1);
    STEP(polder_write(fd, snippets_begin, (size_t)(snippets_end - snippets_begin), BOX_CODE));
    MAP(BOX_STACK, 1, RW, ANONYMOUS | MAP_FIXED, -1);
    MAP(FIELD, 12, RW, ANONYMOUS | MAP_FIXED, -1);
    MAP(FIELD + (1ul << 32), 4, RW, MAP_SHARED | MAP_FIXED, file);
    MAP(FIELD + (2ul << 32), 4, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1);
    RUN(fd, sn_touch_pages, FIELD, 12);
    RUN(fd, sn_store, FIELD + (1ul << 32), 3);
    RUN(fd, sn_store, FIELD + (2ul << 32), 3);
    STEP(polder_mprotect((void *)(FIELD + 3 * PAGE), PAGE, PROT_NONE, fd));
    STEP(polder_munmap((void *)(FIELD + 5 * PAGE), PAGE, fd));
    STEP(copy = polder_copy(fd));
    RUN(copy, sn_store, FIELD, 7);
    STEP(polder_write(copy, &word, 8, FIELD + 2 * PAGE));
    STEP(polder_mprotect((void *)(FIELD + 3 * PAGE), PAGE, RW, copy));
    RUN(copy, sn_store, FIELD + 3 * PAGE, 7);
    STEP(polder_read(fd, &word, 8, FIELD));
    assert_int_equal((uint8_t)word, 1);
    STEP(visible = polder_mmap(NULL, 5 * PAGE, RW, ANONYMOUS, -1, 0, -1));
    STEP(own = polder_mmap(NULL, 5 * PAGE, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1));
    done = true;
out:
    if (!done && errno != ENOMEM)
        fail_msg("%s: %s", *where, strerror(errno));
    polder_params_fini(&params);
    if (own != MAP_FAILED)
        assert_ok(polder_munmap(own, 5 * PAGE, -1));
    if (visible != MAP_FAILED)
        assert_ok(polder_munmap(visible, 5 * PAGE, -1));
    const int fds[] = {copy, fd, file};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            assert_ok(close(fds[i]));
    innocent_check(a);
    return done;
}

/* The memory that there is ends at every page of it, one after the other; whoever has what he needs runs. Often enough
 * that a lost record is a lost page, but where that takes too long. */
static void memory_runs_out(void **state)
{
    (void)state;
    struct attacker a;
    const char *where = NULL;
    const uint64_t most = polder_memory_limit();
    const int times_each = ring0_is_emulated() ? 1 : 24;
    uint64_t all = 0, spare = 0;
    bool enough = false;

    attacker_open(&a);
    assert_true(some_of_everything(&a, &where) && some_of_everything(&a, &where));
    int hog = polder_memory_create(most);
    assert_true(hog >= 0);
    for (; !enough; spare++) {
        uint64_t got = 0;
        /* Pages that are there are found, the others made. */
        for (uint64_t at = spare && all > spare ? all - spare - 1 : 0; polder_file_page(hog, at * PAGE); at++)
            got = at + 1;
        assert_int_equal(errno, ENOMEM);
        if (spare && got != all)
            fail_msg("before %lu pages, %s: %ld pages are lost", spare, where, (int64_t)(all - got));
        all = got;
        assert_ok(polder_memory_resize(hog, (all - spare) * PAGE));
        for (int i = 0; i < times_each && !enough; i++)
            enough = some_of_everything(&a, &where);
        assert_ok(polder_memory_resize(hog, most));
    }
    print_message("%lu pages are enough; %lu MiB\n", spare, most >> 20);
    assert_true(spare > 20);
    assert_ok(close(hog));
    attacker_close(&a);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings),
        cmocka_unit_test(copies_of_many_mappings),
        cmocka_unit_test(operations),
        cmocka_unit_test(pages_one_by_one),
        cmocka_unit_test(spaces_in_turn),
        cmocka_unit_test(spaces_at_once),
        cmocka_unit_test(copies_of_copies),
        cmocka_unit_test(of_all_sizes),
        cmocka_unit_test(of_no_meaning),
        cmocka_unit_test(declarations),
#if __STDC_HOSTED__
        cmocka_unit_test(host_mappings),
        cmocka_unit_test(mappings_that_come_and_go),
        cmocka_unit_test(threads_at_once),
        cmocka_unit_test(threads_in_turn),
#else
        cmocka_unit_test(memory_runs_out),
#endif
    };
    return RUN_GROUP("hostile: many", tests);
}
