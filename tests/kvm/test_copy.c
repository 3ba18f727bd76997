/* SPDX-License-Identifier: MIT */
/* Copies of spaces: what is shared copy-on-write, what is shared for good, and what thousands of spaces cost. */
#include "sandbox.h"

#include <sys/resource.h>

#define RW (PROT_READ | PROT_WRITE)

/* A box on a copy of another one's space. The data page is the same memory: it is mapped shared. */
static void box_copy(struct box *copy, const struct box *box)
{
    *copy = *box;
    copy->fd = polder_copy(box->fd);
    if (copy->fd < 0)
        fail_msg("polder_copy: %s", strerror(errno));
    polder_params_init(&copy->params);
}

static void box_close_copy(struct box *copy)
{
    polder_params_fini(&copy->params);
    assert_int_equal(close(copy->fd), 0);
}

static void parent_and_child_diverge(void **state)
{
    (void)state;
    struct box parent, child;
    const uint64_t at = BOX_FREE;

    box_open(&parent);
    box_map_anonymous(&parent, at, 6 * PAGE, RW);
    for (uint64_t i = 0; i < 4; i++) /* pages 4 and 5 stay untouched */
        box_store(&parent, at + i * PAGE, 10 + i);
    box_copy(&child, &parent);
    assert_int_equal(fcntl(child.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(box_load(&child, at + i * PAGE), 10 + i);
    box_store(&child, at, 20);             /* the child first */
    box_store(&parent, at + PAGE, 31);     /* the parent first */
    box_store(&parent, at + 2 * PAGE, 32); /* both */
    box_store(&child, at + 2 * PAGE, 22);
    box_store(&child, at + 4 * PAGE, 24); /* what neither has seen */
    box_store(&parent, at + 5 * PAGE, 35);
    const uint64_t of_parent[] = {10, 31, 32, 13, 0, 35}, of_child[] = {20, 11, 22, 13, 24, 0};
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(box_load(&parent, at + i * PAGE), of_parent[i]);
        assert_int_equal(box_load(&child, at + i * PAGE), of_child[i]);
    }
    /* One writes again and again to a page that the other has never written to. */
    for (uint64_t i = 0; i < 5; i++) {
        box_store(&child, at + 3 * PAGE, 100 + i);
        assert_int_equal(box_load(&parent, at + 3 * PAGE), 13);
    }
    box_close_copy(&child);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(box_load(&parent, at + i * PAGE), of_parent[i]);
    box_close(&parent);
}

static void the_child_outlives_its_parent(void **state)
{
    (void)state;
    struct box parent, child, grandchild;

    box_open(&parent);
    box_map_anonymous(&parent, BOX_FREE, 2 * PAGE, RW);
    box_store(&parent, BOX_FREE, 1);
    box_store(&parent, BOX_FREE + PAGE, 2);
    box_copy(&child, &parent);
    polder_params_fini(&parent.params);
    close(parent.fd);
    box_copy(&grandchild, &child);
    box_store(&child, BOX_FREE, 3);
    box_close_copy(&child);
    /* Something new that would like to have the memory. */
    int other = polder_open("/proc/mm");
    fill_space(other, parent.data_fd);
    struct box fresh = {.fd = other, .data_fd = parent.data_fd, .data = parent.data};
    polder_params_init(&fresh.params);
    box_map_anonymous(&fresh, BOX_FREE, 64 * PAGE, RW);
    box_syscall(&fresh, sn_touch_pages, BOX_FREE, 64);
    assert_int_equal(box_load(&grandchild, BOX_FREE), 1);
    assert_int_equal(box_load(&grandchild, BOX_FREE + PAGE), 2);
    box_store(&grandchild, BOX_FREE, 4);
    assert_int_equal(box_load(&grandchild, BOX_FREE), 4);
    box_close_copy(&grandchild);
    box_close(&fresh);
}

/* Every copy changes one word; each must have its ancestors' words and none of its descendants'. */
static void a_chain_of_copies(void **state)
{
    (void)state;
    enum { LINKS = 40 };
    struct box boxes[LINKS];

    box_open(&boxes[0]);
    box_map_anonymous(&boxes[0], BOX_FREE, 2 * PAGE, RW);
    for (int i = 0; i < LINKS; i++) {
        if (i > 0)
            box_copy(&boxes[i], &boxes[i - 1]);
        box_store(&boxes[i], BOX_FREE + 8 * (uint64_t)i, 1000 + (uint64_t)i);
    }
    for (int i = 0; i < LINKS; i++)
        for (int j = 0; j < LINKS; j += 3)
            assert_int_equal(box_load(&boxes[i], BOX_FREE + 8 * (uint64_t)j), j <= i ? 1000 + j : 0);
    for (int i = 1; i < LINKS; i += 2)
        box_close_copy(&boxes[i]);
    for (int i = 0; i < LINKS; i += 2)
        assert_int_equal(box_load(&boxes[i], BOX_FREE + 8 * (uint64_t)i), 1000 + i);
    for (int i = 2; i < LINKS; i += 2)
        box_close_copy(&boxes[i]);
    box_close(&boxes[0]);
}

static void mappings_diverge(void **state)
{
    (void)state;
    struct box parent, child;
    const uint64_t at = BOX_FREE;
    int file = make_file(4, 70);

    box_open(&parent);
    box_map(&parent, at, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
    box_map(&parent, at + 8 * PAGE, 4 * PAGE, RW, MAP_SHARED, file, 0);
    box_map_anonymous(&parent, at + 16 * PAGE, 3 * PAGE, RW);
    box_map(&parent, at + 24 * PAGE, PAGE, RW | POLDER_PRIVILEGED, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    box_store(&parent, at, 1);
    box_store(&parent, at + 16 * PAGE, 2);
    assert_int_equal(polder_mprotect((void *)(at + 17 * PAGE), PAGE, PROT_READ, parent.fd), 0);
    box_copy(&child, &parent);

    /* The copy has it all. */
    assert_int_equal(box_load(&child, at), 1);
    assert_int_equal(box_load(&child, at + PAGE), 71);
    assert_int_equal(box_load(&child, at + 8 * PAGE), 70);
    box_fault(&child, sn_store, at + 17 * PAGE, 0, at + 17 * PAGE, PF_P | PF_U | PF_W);
    box_fault(&child, sn_load, at + 24 * PAGE, 0, at + 24 * PAGE, PF_P | PF_U);
    box_fault(&child, sn_jump, at, 0, at, PF_P | PF_U | PF_I);
    /* Shared stays shared, private is private to each. */
    box_store(&child, at + 8 * PAGE, 80);
    assert_int_equal(box_load(&parent, at + 8 * PAGE), 80);
    assert_int_equal(file_word(file, 0), 80);
    box_store(&child, at + PAGE, 81);
    assert_int_equal(box_load(&parent, at + PAGE), 71);
    assert_int_equal(file_word(file, PAGE), 71);
    /* Changes to the mappings of one are not the other's. */
    assert_int_equal(polder_munmap((void *)at, PAGE, child.fd), 0);
    box_fault(&child, sn_load, at, 0, at, PF_U);
    assert_int_equal(box_load(&parent, at), 1);
    assert_int_equal(polder_mprotect((void *)(at + 16 * PAGE), PAGE, PROT_READ, parent.fd), 0);
    box_fault(&parent, sn_store, at + 16 * PAGE, 0, at + 16 * PAGE, PF_P | PF_U | PF_W);
    box_store(&child, at + 16 * PAGE, 82);
    assert_int_equal(box_load(&parent, at + 16 * PAGE), 2);
    box_map_anonymous(&parent, at + 32 * PAGE, PAGE, RW);
    box_fault(&child, sn_load, at + 32 * PAGE, 0, at + 32 * PAGE, PF_U);
    assert_int_equal(polder_mprotect((void *)(at + 24 * PAGE), PAGE, RW, child.fd), 0);
    box_store(&child, at + 24 * PAGE, 83);
    box_fault(&parent, sn_load, at + 24 * PAGE, 0, at + 24 * PAGE, PF_P | PF_U);
    /* Rights that were taken and given back do not undo copy-on-write. */
    box_store(&parent, at + 18 * PAGE, 4);
    struct box second;
    box_copy(&second, &parent);
    assert_int_equal(polder_mprotect((void *)(at + 18 * PAGE), PAGE, PROT_READ, second.fd), 0);
    assert_int_equal(polder_mprotect((void *)(at + 18 * PAGE), PAGE, RW, second.fd), 0);
    box_store(&second, at + 18 * PAGE, 5);
    assert_int_equal(box_load(&parent, at + 18 * PAGE), 4);
    box_close_copy(&second);
    box_close_copy(&child);
    close(file);
    box_close(&parent);
}

/* polder_write breaks copy-on-write as a store does, and polder_read sees each one's own. */
static void the_callers_writes(void **state)
{
    (void)state;
    struct box parent, child;
    uint64_t word;

    box_open(&parent);
    box_map_anonymous(&parent, BOX_FREE, 2 * PAGE, RW);
    box_store(&parent, BOX_FREE, 1);
    box_store(&parent, BOX_FREE + PAGE, 2);
    box_copy(&child, &parent);
    word = 3;
    assert_int_equal(polder_write(child.fd, &word, 8, BOX_FREE), 8);
    word = 4;
    assert_int_equal(polder_write(parent.fd, &word, 8, BOX_FREE + PAGE), 8);
    assert_int_equal(box_load(&parent, BOX_FREE), 1);
    assert_int_equal(box_load(&child, BOX_FREE), 3);
    assert_int_equal(box_load(&parent, BOX_FREE + PAGE), 4);
    assert_int_equal(box_load(&child, BOX_FREE + PAGE), 2);
    assert_int_equal(polder_read(parent.fd, &word, 8, BOX_FREE), 8);
    assert_int_equal(word, 1);
    assert_int_equal(polder_read(child.fd, &word, 8, BOX_FREE), 8);
    assert_int_equal(word, 3);
    box_close_copy(&child);
    box_close(&parent);
}

static void large_pages_are_copied_on_write_too(void **state)
{
    (void)state;
    struct box parent, child;
    const size_t pages = 3 * HUGE_PAGE / PAGE;

    box_open(&parent);
    box_map_anonymous(&parent, BOX_FREE, pages * PAGE, RW);
    box_syscall(&parent, sn_touch_pages, BOX_FREE, pages);
    box_copy(&child, &parent);
    box_store(&child, BOX_FREE + 600 * PAGE, 9);
    box_store(&parent, BOX_FREE + 1100 * PAGE, 8);
    for (size_t i = 0; i < pages; i += 100) {
        assert_int_equal(box_load(&child, BOX_FREE + i * PAGE), i == 600 ? 9 : 1);
        assert_int_equal(box_load(&parent, BOX_FREE + i * PAGE), i == 1100 ? 8 : 1);
    }
    box_syscall(&child, sn_touch_pages, BOX_FREE, pages);
    assert_int_equal(box_load(&parent, BOX_FREE + 1100 * PAGE), 8);
    assert_int_equal(box_load(&child, BOX_FREE + 1100 * PAGE), 1);
    box_close_copy(&child);
    box_close(&parent);
}

/* Random copies, stores, mappings and closes, against what the words should be. */
static void against_a_model(void **state)
{
    (void)state;
    enum { SPACES = 8, PAGES = 24, MOST_STEPS = 6000 };
    static struct {
        bool live;
        struct box box;
        bool mapped[PAGES];
        uint64_t word[PAGES];
    } spaces[SPACES];
    const int steps = scaled(MOST_STEPS);
    uint64_t seed = 20020120, stamp = 1;

    memset(spaces, 0, sizeof(spaces));
    struct box first;
    box_open(&first);
    spaces[0].live = true;
    box_copy(&spaces[0].box, &first);
    for (int step = 0; step < steps; step++) {
        size_t s = random_next(&seed) % SPACES, page = random_next(&seed) % PAGES;
        const uint64_t at = BOX_FREE + page * PAGE;
        if (!spaces[s].live)
            continue;
        struct box *box = &spaces[s].box;
        unsigned what = (unsigned)(random_next(&seed) % 100);

        if (what < 10) {
            size_t to = random_next(&seed) % SPACES;
            if (to == s)
                continue;
            if (spaces[to].live)
                box_close_copy(&spaces[to].box);
            spaces[to] = spaces[s];
            box_copy(&spaces[to].box, box);
        } else if (what < 20) {
            size_t pages = 1 + random_next(&seed) % (PAGES - page);
            assert_int_equal(polder_munmap((void *)at, pages * PAGE, box->fd), 0);
            for (size_t i = 0; i < pages; i++)
                spaces[s].mapped[page + i] = false;
        } else if (what < 35) {
            size_t pages = 1 + random_next(&seed) % (PAGES - page);
            box_map_anonymous(box, at, pages * PAGE, RW);
            for (size_t i = 0; i < pages; i++) {
                spaces[s].mapped[page + i] = true;
                spaces[s].word[page + i] = 0;
            }
        } else if (!spaces[s].mapped[page]) {
            box_fault(box, what & 1 ? sn_load : sn_store, at, 0, at, what & 1 ? PF_U : PF_U | PF_W);
        } else if (what < 60) {
            box_store(box, at, ++stamp);
            spaces[s].word[page] = stamp;
        } else if (what < 65) {
            ++stamp;
            assert_int_equal(polder_write(box->fd, &stamp, sizeof(stamp), at), sizeof(stamp));
            spaces[s].word[page] = stamp;
        } else {
            uint64_t got = box_load(box, at);
            if (got != spaces[s].word[page])
                fail_msg("step %d, space %zu, page %zu: %lu, not %lu", step, s, page, got, spaces[s].word[page]);
        }
    }
    for (size_t s = 0; s < SPACES; s++) {
        if (!spaces[s].live)
            continue;
        for (size_t page = 0; page < PAGES; page++)
            if (spaces[s].mapped[page])
                assert_int_equal(box_load(&spaces[s].box, BOX_FREE + page * PAGE), spaces[s].word[page]);
        box_close_copy(&spaces[s].box);
    }
    box_close(&first);
}

/* Spaces come and go; the process stays as it is. */
static void thousands_of_spaces(void **state)
{
    (void)state;
    size_t rss = 0, descriptors = 0, mappings = 0;
    struct box box, copy;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 4 * PAGE, RW);
    box_store(&box, BOX_FREE, 1);
    const int count = scaled(4000);
    for (int i = 0; i < count; i++) {
        if (i == count / 4) {
            rss = own_rss();
            descriptors = own_descriptors();
            mappings = own_mappings();
        }
        if (i % 2) {
            box_copy(&copy, &box);
            box_store(&copy, BOX_FREE, (uint64_t)i);
            assert_int_equal(box_load(&copy, BOX_FREE), i);
            box_close_copy(&copy);
        } else {
            int fd = polder_open("/proc/mm");
            assert_true(fd >= 0);
            void *at = polder_mmap((void *)BOX_FREE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, fd);
            assert_ptr_equal(at, (void *)BOX_FREE);
            uint64_t word = (uint64_t)i;
            assert_int_equal(polder_write(fd, &word, sizeof(word), BOX_FREE), sizeof(word));
            assert_int_equal(close(fd), 0);
        }
    }
    assert_int_equal(box_load(&box, BOX_FREE), 1);
    assert_true(own_descriptors() <= descriptors + 2);
    assert_true(own_mappings() <= mappings + 4);
    if (own_rss() > rss + (1ul << 20))
        fail_msg("%d spaces have left %zu KiB", count * 3 / 4, (own_rss() - rss) / 1024);
    box_close(&box);
}

/* All at once: each has its own memory. */
static void a_thousand_spaces_at_once(void **state)
{
    (void)state;
    enum { SPACES = 1000 };
    static int fds[SPACES];
    const int spaces = scaled(SPACES);
    struct box box;

#if __STDC_HOSTED__ /* a kernel has no limit of its own for them */
    struct rlimit old, wide;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    wide = old;
    wide.rlim_cur = wide.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &wide), 0);
#endif
    size_t each = own_descriptors();
    box_open(&box);
#if __STDC_HOSTED__
    if (wide.rlim_max < 8 * SPACES) {
        print_message("needs a limit of %d descriptors\n", 8 * SPACES);
        box_close(&box);
        skip();
    }
#endif
    for (int i = 0; i < spaces; i++) {
        fds[i] = i % 4 ? polder_open("/proc/mm") : polder_copy(box.fd);
        if (fds[i] < 0)
            fail_msg("space %d: %s", i, strerror(errno));
        if (i % 4)
            fill_space(fds[i], box.data_fd);
        assert_ptr_equal(
            polder_mmap((void *)BOX_FREE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, fds[i]),
            (void *)BOX_FREE);
    }
    /* One context visits them all: what it sees is the space's. */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < spaces; i++) {
            aim(&box.params, round ? sn_load : sn_store, BOX_FREE, 5000 + (uint64_t)i);
            assert_int_equal(polder_run_sandbox(fds[i], &box.params), 0);
            assert_int_equal(box.params.reason, POLDER_SYSCALL);
            if (round)
                assert_int_equal(box.params.regs.rbx, 5000 + i);
        }
    }
    for (int i = 0; i < spaces; i++)
        assert_int_equal(close(fds[i]), 0);
    box_syscall(&box, sn_syscall, 0, 0);
    box_close(&box);
    int last = polder_open("/proc/mm"); /* the dead are buried at the latest now */
    assert_true(last >= 0);
    close(last);
    assert_true(own_descriptors() <= each + 40);
#if __STDC_HOSTED__
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parent_and_child_diverge),
        cmocka_unit_test(the_child_outlives_its_parent),
        cmocka_unit_test(a_chain_of_copies),
        cmocka_unit_test(mappings_diverge),
        cmocka_unit_test(the_callers_writes),
        cmocka_unit_test(large_pages_are_copied_on_write_too),
        cmocka_unit_test(against_a_model),
        cmocka_unit_test(thousands_of_spaces),
        cmocka_unit_test(a_thousand_spaces_at_once),
    };
    return RUN_GROUP("copies", tests);
}
