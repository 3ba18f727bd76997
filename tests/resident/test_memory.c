/* SPDX-License-Identifier: MIT */
/*
 * A kernel's memory: copy-on-write in every order, ten thousand copies without a leak, all of it used up and given
 * back, memory objects that are cut, and the answers to mistakes, which in a hosted space Linux itself gives.
 */
#include "kernel.h"

static const uint64_t at = BOX_FREE;

/* A copy of a copy of a copy: every order of writing, and of closing, leaves each with its own. */
static void every_order(void **state)
{
    (void)state;
    enum { SPACES = 4 };
    struct box box;

    box_open(&box);
    for (int order = 0; order < 24; order += shim_ring0_is_emulated() ? 5 : 1) {
        int fds[SPACES], turns[SPACES] = {0, 1, 2, 3};
        for (int i = SPACES - 1, n = order; i > 0; n /= i + 1, i--) {
            int j = n % (i + 1), swap = turns[i];
            turns[i] = turns[j];
            turns[j] = swap;
        }
        box_map_anonymous(&box, at, 2 * PAGE, RW);
        box_store(&box, at, 100);
        box_store(&box, at + PAGE, 200);
        fds[0] = polder_copy(box.fd);
        for (int i = 1; i < SPACES; i++)
            fds[i] = polder_copy(fds[i - 1]);
        for (int i = 0; i < SPACES; i++) {
            aim(&box.params, sn_store, at, 1000 + (uint64_t)turns[i]);
            assert_int_equal(polder_run_sandbox(fds[turns[i]], &box.params), 0);
            assert_int_equal(box.params.reason, POLDER_SYSCALL);
            for (int j = 0; j < SPACES; j++) {
                bool written = false;
                for (int k = 0; k <= i; k++)
                    written = written || turns[k] == j;
                uint64_t word, other;
                assert_int_equal(polder_read(fds[j], &word, 8, at), 8);
                assert_int_equal(polder_read(fds[j], &other, 8, at + PAGE), 8);
                assert_int_equal(word, written ? 1000 + (uint64_t)j : 100);
                assert_int_equal(other, 200);
            }
        }
        assert_int_equal(box_load(&box, at), 100);
        for (int i = 0; i < SPACES; i++) { /* closed in that order; the rest writes to what is left */
            assert_ok(close(fds[turns[i]]));
            for (int j = i + 1; j < SPACES; j++) {
                aim(&box.params, sn_store, at + PAGE, 2000 + (uint64_t)turns[j]);
                assert_int_equal(polder_run_sandbox(fds[turns[j]], &box.params), 0);
                aim(&box.params, sn_load, at + PAGE, 0);
                assert_int_equal(polder_run_sandbox(fds[turns[j]], &box.params), 0);
                assert_int_equal(box.params.regs.rbx, 2000 + turns[j]);
            }
        }
        assert_int_equal(box_load(&box, at + PAGE), 200);
    }
    box_close(&box);
}

/* A process that forks: the child runs, writes, maps, and goes. Nothing of it is left. */
static void one_fork(struct box *box, uint64_t i)
{
    int child = polder_copy(box->fd);

    if (child < 0)
        fail_msg("copy %lu: %s", i, strerror(errno));
    aim(&box->params, sn_store, at + i % 4 * PAGE, i);
    assert_int_equal(polder_run_sandbox(child, &box->params), 0);
    assert_int_equal(box->params.reason, POLDER_SYSCALL);
    if (i % 8 == 0) {
        void *more = polder_mmap(NULL, 3 * PAGE, RW, ANONYMOUS, -1, 0, child);
        assert_ptr_not_equal(more, MAP_FAILED);
        aim(&box->params, sn_store, (uint64_t)more, i);
        assert_int_equal(polder_run_sandbox(child, &box->params), 0);
        assert_int_equal(box->params.reason, POLDER_SYSCALL);
    }
    assert_ok(close(child));
}

static void ten_thousand_forks(void **state)
{
    (void)state;
    struct box box;
    const uint64_t count = (uint64_t)times(80000, 150);

    box_open(&box);
    box_map_anonymous(&box, at, 4 * PAGE, RW);
    box_syscall(&box, sn_touch_pages, at, 4);
    for (uint64_t i = 0; i < 8; i++)
        one_fork(&box, i);
    const uint64_t before = polder_memory_used();
    for (uint64_t i = 0; i < count; i++)
        one_fork(&box, i);
    const uint64_t after = polder_memory_used();
    if (after != before)
        fail_msg("%lu forks have left %ld bytes", count, (int64_t)(after - before));
    print_message("%lu forks\n", count);
    assert_int_equal(box_load(&box, at), 1);
    box_close(&box);
}

/* Everything else that is made and dropped, by itself. */
static void nothing_is_left(void **state)
{
    (void)state;
    struct box box;
    uint64_t before = 0;

    for (int pass = 0; pass < 3; pass++) {
        for (int i = 0; i < times(1000, 8); i++) {
            box_open(&box);
            box_map_anonymous(&box, at + 0x40000000ul * (uint64_t)(i % 7), 16 * PAGE, RW);
            box_syscall(&box, sn_touch_pages, at + 0x40000000ul * (uint64_t)(i % 7), 16);
            int twin = dup(box.fd), memory = make_file(5, 1);
            box_map(&box, at + PAGE, 5 * PAGE, RW, i & 1 ? MAP_SHARED : MAP_PRIVATE, memory, 0);
            assert_ok(close(memory));
            (void)box_load(&box, at + 2 * PAGE);
            box_store(&box, at + 3 * PAGE, 1);
            assert_ok(polder_mprotect((void *)(at + 2 * PAGE), PAGE, PROT_NONE, box.fd));
            assert_ok(polder_munmap((void *)(at + 3 * PAGE), PAGE, box.fd));
            void *own = polder_mmap(NULL, (size_t)(1 + i % 5) * PAGE, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1);
            assert_ptr_not_equal(own, MAP_FAILED);
            assert_ok(polder_munmap(own, (size_t)(1 + i % 5) * PAGE, -1));
            own = polder_mmap(NULL, 3 * PAGE, RW, ANONYMOUS, -1, 0, -1);
            assert_ptr_not_equal(own, MAP_FAILED);
            assert_ok(polder_munmap(own, 3 * PAGE, -1));
            assert_ok(close(twin));
            box_close(&box);
        }
        if (pass == 1)
            before = polder_memory_used();
    }
    if (polder_memory_used() != before)
        fail_msg("%ld bytes are left", (int64_t)(polder_memory_used() - before));
}

/* All the memory that there is, by every way to use it; then it all comes back. */
static void until_there_is_no_more(void **state)
{
    (void)state;
    struct box box, other;
    const uint64_t limit = polder_memory_limit(), pages = limit / PAGE;
    uint64_t before = 0;

    box_open(&box);
    box_open(&other);
    box_map_anonymous(&other, at, 4 * PAGE, RW);
    box_store(&other, at, 5);
    /* The first time round may leave tables and slabs behind for the next; where that takes too long, few of them. */
    const int ways = shim_ring0_is_emulated() ? 4 : 8;
    for (int way = 0; way < ways; way++) {
        if (way == 4 || way == 0)
            before = polder_memory_used();
        int got = 0;
        int memory = -1, fds[64], count = 0;
        switch (way % 4) {
        case 0: /* touched by ring 3 */
            box_map_anonymous(&box, at, 2 * pages * PAGE, RW);
            aim(&box.params, sn_touch_pages, at, 2 * pages);
            errno = 0;
            got = polder_run_sandbox(box.fd, &box.params);
            assert_int_equal(got, -1);
            assert_int_equal(errno, ENOMEM);
            assert_true(box.params.regs.rdi > at + pages / 2 * PAGE);
            /* It can be called again, with the same answer; and with a better one when there is some. */
            assert_errno(polder_run_sandbox(box.fd, &box.params), ENOMEM);
            assert_int_equal(box_load(&other, at), 5);
            box_store(&other, at, 5);
            const uint64_t stopped = box.params.regs.rdi;
            assert_ok(polder_munmap((void *)at, 512 * PAGE, box.fd));
            assert_errno(polder_run_sandbox(box.fd, &box.params), ENOMEM);
            assert_true(box.params.regs.rdi > stopped);
            assert_ok(polder_munmap((void *)at, 2 * pages * PAGE, box.fd));
            break;
        case 1: /* a memory object's */
            memory = polder_memory_create(2 * limit);
            for (uint64_t i = 0; polder_file_page(memory, i * PAGE); i++)
                assert_true(i < 2 * pages);
            assert_int_equal(errno, ENOMEM);
            for (; count < 64 && (fds[count] = polder_open("/proc/mm")) >= 0; count++)
                ; /* roots are kept for the next space */
            assert_true(count < 64);
            assert_int_equal(errno, ENOMEM);
            assert_errno(polder_copy(other.fd), ENOMEM);
            assert_int_equal(box_load(&other, at), 5);
            while (count > 0)
                assert_ok(close(fds[--count]));
            assert_ok(close(memory));
            break;
        case 2: /* the kernel's own: all or nothing */
            assert_errno(polder_mmap(NULL, limit, RW | POLDER_PRIVILEGED, ANONYMOUS, -1, 0, -1), ENOMEM);
            assert_errno(polder_mmap(NULL, limit, RW, ANONYMOUS, -1, 0, -1), ENOMEM);
            break;
        default: /* copies that are written to, until there is no frame for one more page */
            box_map_anonymous(&box, at, pages / 8 * PAGE, RW);
            box_syscall(&box, sn_touch_pages, at, pages / 8);
            for (got = 0; got == 0 && count < 64;) {
                fds[count] = polder_copy(box.fd);
                if (fds[count] < 0)
                    break;
                aim(&box.params, sn_touch_pages, at, pages / 8);
                got = polder_run_sandbox(fds[count++], &box.params);
            }
            assert_true(count > 4 && count < 16);
            assert_int_equal(errno, ENOMEM);
            if (got < 0) /* the last page is shared still */
                assert_errno(polder_write(box.fd, &(uint64_t){1}, 8, at + (pages / 8 - 1) * PAGE), ENOMEM);
            while (count > 0)
                assert_ok(close(fds[--count]));
            assert_ok(polder_munmap((void *)at, pages / 8 * PAGE, box.fd));
        }
        assert_int_equal(box_load(&other, at), 5);
        box_syscall(&box, sn_syscall, 0, 0);
    }
    const uint64_t after = polder_memory_used();
    if (ways > 4 ? after != before : after > before + 64 * PAGE)
        fail_msg("%ld bytes are left", (int64_t)(after - before));
    box_close(&other);
    box_close(&box);
}

/* Cut while it is mapped in spaces of all kinds: BUS there, nothing for whoever has copies, zeros when it comes back.
 */
static void memory_that_is_cut(void **state)
{
    (void)state;
    enum { SPACES = 5 };
    struct box box;
    int fds[SPACES];

    box_open(&box);
    for (int round = 0; round < 6; round++) {
        int memory = make_file(8, 40);
        box_map(&box, at, 8 * PAGE, RW, MAP_SHARED, memory, 0);
        box_map(&box, at + 64 * PAGE, 4 * PAGE, RW, MAP_PRIVATE, memory, 4 * PAGE);
        box_store(&box, at + 65 * PAGE, 99); /* its own now */
        for (int i = 0; i < SPACES; i++) {
            fds[i] = polder_copy(i ? fds[i - 1] : box.fd);
            assert_true(fds[i] >= 0);
            struct box copy = box;
            copy.fd = fds[i];
            if (i & 1) /* some have looked before, some have not */
                for (uint64_t page = 0; page < 8; page++)
                    assert_int_equal(box_load(&copy, at + page * PAGE), 40 + page);
        }
        uint64_t *own = polder_mmap(NULL, 8 * PAGE, RW | POLDER_PRIVILEGED, MAP_SHARED, memory, 0, -1);
        assert_ptr_not_equal(own, MAP_FAILED);
        assert_ok(polder_memory_resize(memory, 5 * PAGE + 100));
        assert_int_equal(polder_file_size(memory), 5 * PAGE + 100);
        assert_ptr_equal(polder_file_page(memory, 6 * PAGE), NULL);
        assert_int_equal(errno, EINVAL);
        for (int i = 0; i < SPACES; i++) {
            struct box copy = box;
            copy.fd = fds[i];
            for (uint64_t page = 0; page < 8; page++) {
                if (page < 6)
                    assert_int_equal(box_load(&copy, at + page * PAGE), 40 + page);
                else
                    box_bus(&copy, page & 1 ? sn_load : sn_store, at + page * PAGE + 8, at + page * PAGE + 8);
            }
            assert_int_equal(box_load(&copy, at + 65 * PAGE), 99);
            box_bus(&copy, sn_load, at + 67 * PAGE, at + 67 * PAGE);
            assert_int_equal(box_load(&copy, at + 5 * PAGE + 104), 0);
        }
        assert_int_equal(own[7 * 512], 47); /* the kernel's own mapping does not fault under it */
        assert_ok(polder_memory_resize(memory, 8 * PAGE));
        for (int i = 0; i < SPACES; i++) {
            struct box copy = box;
            copy.fd = fds[i];
            for (uint64_t page = 6; page < 8; page++) {
                assert_int_equal(box_load(&copy, at + page * PAGE), i);
                box_store(&copy, at + page * PAGE, (uint64_t)i + 1);
            }
        }
        assert_ok(polder_munmap(own, 8 * PAGE, -1));
        assert_ok(close(memory));
        for (int i = 0; i < SPACES; i++)
            assert_ok(close(fds[i]));
    }
    box_close(&box);
}

/* Descriptors: the lowest that is free, until there is none. */
static void descriptors(void **state)
{
    (void)state;
    int first = polder_open("/proc/mm"), second = polder_open("/proc/mm"), third, fd, last = -1;
    unsigned count = 0;

    assert_ok(close(first));
    third = dup(second);
    assert_int_equal(third, first);
    assert_errno(polder_close(first + 1000), EBADF);
    assert_errno(polder_dup(-1), EBADF);
    assert_errno(polder_close(-1), EBADF);
    assert_errno(polder_close(1 << 30), EBADF);
    while ((fd = dup(second)) >= 0) {
        assert_true(fd > last);
        last = fd;
        if (++count == 2000 && shim_ring0_is_emulated()) /* all would take ten seconds */
            break;
    }
    if (fd < 0) {
        assert_int_equal(errno, EMFILE);
        assert_true(count > 2000);
        assert_errno(polder_open("/proc/mm"), EMFILE);
        assert_errno(polder_copy(second), EMFILE);
        assert_errno(polder_memory_create(PAGE), EMFILE);
    }
    assert_ok(close(last - 100));
    assert_int_equal(polder_open("/proc/self/mm"), last - 100);
    for (; count > 0; last--, count--)
        assert_ok(close(last));
    assert_ok(close(third));
    assert_errno(polder_read(second, &count, 1, at), EFAULT); /* empty, and there */
    assert_ok(close(second));
}

static void mistakes(void **state)
{
    (void)state;
    int space = polder_open("/proc/mm"), memory = make_file(4, 1);
    const struct {
        uint64_t start;
        size_t length;
        int prot, flags, fd;
        off_t offset;
        int wanted;
    } maps[] = {
        {0, 0, RW, ANONYMOUS, -1, 0, EINVAL},
        {0, PAGE, RW, MAP_ANONYMOUS, -1, 0, EINVAL},
        {0, PAGE, RW, 0, memory, 0, EINVAL},
        {0, PAGE, RW, MAP_SHARED, memory, 1, EINVAL},
        {0, PAGE, RW, MAP_SHARED, -1, 0, EBADF},
        {0, PAGE, RW, MAP_SHARED, 1 << 20, 0, EBADF},
        {0, PAGE, RW, MAP_PRIVATE, space, 0, ENODEV},
        {0, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, EPERM},
        {at + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, EINVAL},
        {0, SIZE_MAX, RW, ANONYMOUS, -1, 0, ENOMEM},
        {0x7ffffffff000, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, ENOMEM},
        {0x7fffffffe000, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, ENOMEM},
        {0x800000000000, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, ENOMEM},
        {0xffff800000000000, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, ENOMEM},
        {0, 2 * PAGE, RW, MAP_SHARED, memory, 0x7ffffffffffff000, EOVERFLOW},
        {at, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0, EEXIST},
    };

    assert_ptr_equal(polder_mmap((void *)at, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, space), (void *)at);
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        errno = 0;
        void *got = polder_mmap(
            (void *)maps[i].start, maps[i].length, maps[i].prot, maps[i].flags, maps[i].fd, maps[i].offset, space);
        if (got != MAP_FAILED || errno != maps[i].wanted)
            fail_msg("mmap %zu: %p, %s, not %s", i, got, strerrorname_np(errno), strerrorname_np(maps[i].wanted));
    }
    assert_errno(polder_munmap((void *)(at + 8), PAGE, space), EINVAL);
    assert_errno(polder_munmap((void *)at, 0, space), EINVAL);
    assert_errno(polder_munmap((void *)at, SIZE_MAX, space), EINVAL);
    assert_errno(polder_munmap((void *)0x800000000000, PAGE, space), EINVAL);
    assert_ok(polder_munmap((void *)(at + 64 * PAGE), PAGE, space));
    assert_errno(polder_mprotect((void *)(at + 8), PAGE, RW, space), EINVAL);
    assert_errno(polder_mprotect((void *)at, PAGE, RW | 0x40, space), EINVAL);
    assert_errno(polder_mprotect((void *)at, 2 * PAGE, RW, space), ENOMEM);
    assert_errno(polder_mprotect((void *)0xffff800000000000, PAGE, RW, space), ENOMEM);
    assert_ok(polder_mprotect((void *)at, 0, RW, space));
    assert_errno(polder_open("/proc/1/mm"), ENOENT);
    assert_errno(polder_open("/proc/mm2"), ENOENT);
    assert_errno(polder_memory_create(UINT64_MAX), EFBIG);
    assert_errno(polder_memory_resize(memory, UINT64_MAX), EFBIG);
    assert_errno(polder_memory_resize(space, PAGE), EINVAL);
    assert_errno(polder_memory_resize(-1, PAGE), EBADF);
    assert_errno(polder_file_size(99999), EBADF);
    assert_errno(polder_file_open("there is none"), ENOENT);
    assert_ptr_equal(polder_file_page(99999, 0), NULL);
    assert_int_equal(errno, EBADF);
    assert_ptr_equal(polder_file_page(memory, 4 * PAGE), NULL);
    assert_int_equal(errno, EINVAL);
    assert_errno(polder_run_sandbox(memory, &(struct polder_params){.flags = 0}), EINVAL);
    close(memory);
    close(space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order),
        cmocka_unit_test(ten_thousand_forks),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(memory_that_is_cut),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(until_there_is_no_more),
    };
    return RUN_GROUP("memory", tests);
}
