/* SPDX-License-Identifier: MIT */
/* polder_apply: many operations in one go, in order, up to the first that fails. */
#include "sandbox.h"

#define RW (PROT_READ | PROT_WRITE)

static struct polder_op map_op(uint64_t at, size_t length, int prot, int flags, int fd, off_t offset)
{
    return (struct polder_op){.code = POLDER_OP_MMAP,
        .prot = prot,
        .flags = flags,
        .src_fd = fd,
        .start = (void *)at,
        .length = length,
        .offset = offset};
}

static struct polder_op unmap_op(uint64_t at, size_t length)
{
    return (struct polder_op){.code = POLDER_OP_MUNMAP, .start = (void *)at, .length = length};
}

static struct polder_op protect_op(uint64_t at, size_t length, int prot)
{
    return (struct polder_op){.code = POLDER_OP_MPROTECT, .prot = prot, .start = (void *)at, .length = length};
}

static void in_order(void **state)
{
    (void)state;
    struct box box;
    int file = make_file(8, 10);
    const uint64_t at = BOX_FREE;

    box_open(&box);
    assert_int_equal(polder_apply(box.fd, NULL, 0), 0);
    const struct polder_op ops[] = {
        map_op(at, 8 * PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0),
        protect_op(at + PAGE, PAGE, PROT_READ),
        unmap_op(at + 2 * PAGE, 2 * PAGE),
        map_op(at + 3 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE, file, 7 * PAGE),
        protect_op(at + 4 * PAGE, PAGE, RW | POLDER_PRIVILEGED),
        map_op(at + 5 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        protect_op(at + 6 * PAGE, PAGE, PROT_READ),
        protect_op(at + 6 * PAGE, PAGE, RW),
        protect_op(at + 7 * PAGE, PAGE, PROT_NONE),
        unmap_op(at + 7 * PAGE, PAGE),
    };
    assert_int_equal(polder_apply(box.fd, ops, sizeof(ops) / sizeof(ops[0])), 0);
    assert_int_equal(box_load(&box, at), 10);
    box_fault(&box, sn_store, at + PAGE, 0, at + PAGE, PF_P | PF_U | PF_W);
    assert_int_equal(box_load(&box, at + PAGE), 11);
    box_fault(&box, sn_load, at + 2 * PAGE, 0, at + 2 * PAGE, PF_U);
    assert_int_equal(box_load(&box, at + 3 * PAGE), 17);
    box_store(&box, at + 3 * PAGE, 1);
    assert_int_equal(file_word(file, 7 * PAGE), 17);
    box_fault(&box, sn_load, at + 4 * PAGE, 0, at + 4 * PAGE, PF_P | PF_U);
    assert_int_equal(box_load(&box, at + 5 * PAGE), 0);
    box_store(&box, at + 6 * PAGE, 2);
    assert_int_equal(file_word(file, 6 * PAGE), 2);
    box_fault(&box, sn_load, at + 7 * PAGE, 0, at + 7 * PAGE, PF_U);
    close(file);
    box_close(&box);
}

static void up_to_the_first_that_fails(void **state)
{
    (void)state;
    struct box box;
    int file = make_file(4, 20);
    const uint64_t at = BOX_FREE, victim = BOX_FREE + 64 * PAGE;

    const struct {
        const char *what;
        struct polder_op op;
        int error;
    } mistakes[] = {
        {"mmap without a fixed address", map_op(at, PAGE, RW, MAP_SHARED, file, 0), EINVAL},
        {"mmap of nothing", map_op(at, 0, RW, MAP_SHARED | MAP_FIXED, file, 0), EINVAL},
        {"mmap of no file", map_op(at, PAGE, RW, MAP_SHARED | MAP_FIXED, -1, 0), EBADF},
        {"mmap on top of a mapping", map_op(victim, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0), EEXIST},
        {"mmap beyond the top", map_op(0x7ffffffff000, PAGE, RW, MAP_SHARED | MAP_FIXED, file, 0), ENOMEM},
        {"munmap of half a page", unmap_op(at + 2048, PAGE), EINVAL},
        {"munmap of nothing", unmap_op(at, 0), EINVAL},
        {"mprotect of a hole", protect_op(victim + 32 * PAGE, PAGE, PROT_READ), ENOMEM},
        {"mprotect of half a page", protect_op(at + 2048, PAGE, PROT_READ), EINVAL},
        {"no operation at all", {.code = 0, .start = (void *)at, .length = PAGE}, EINVAL},
        {"no known operation", {.code = 4, .start = (void *)at, .length = PAGE}, EINVAL},
    };
    box_open(&box);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        box_map_anonymous(&box, victim, 3 * PAGE, RW);
        box_store(&box, victim, 33);
        const struct polder_op ops[] = {
            map_op(at, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, file, PAGE),
            protect_op(victim + PAGE, PAGE, PROT_READ),
            mistakes[i].op,
            unmap_op(victim, PAGE),
            protect_op(victim + 2 * PAGE, PAGE, PROT_READ),
        };
        errno = 0;
        int got = polder_apply(box.fd, ops, 5);
        if (got != -1 || errno != mistakes[i].error)
            fail_msg("%s: %d, %s, not %s", mistakes[i].what, got, strerrorname_np(errno),
                strerrorname_np(mistakes[i].error));
        /* Those before it stand, those after it have not been begun. */
        assert_int_equal(box_load(&box, at), 21);
        box_fault(&box, sn_store, victim + PAGE, 0, victim + PAGE, PF_P | PF_U | PF_W);
        assert_int_equal(box_load(&box, victim), 33);
        box_store(&box, victim + 2 * PAGE, 1);
        assert_int_equal(polder_munmap((void *)at, 2 * PAGE, box.fd), 0);
    }
    close(file);
    box_close(&box);
}

/* As a kernel does when it fills a process's space: thousands of pages of one file, in no order. */
static void thousands(void **state)
{
    (void)state;
    enum { COUNT = __STDC_HOSTED__ ? 4096 : 1024, FILE_PAGES = 512 };
    struct box box;
    struct polder_op *ops = calloc(COUNT, sizeof(*ops));
    int file = make_file(FILE_PAGES, 0);
    uint64_t seed = 21;

    assert_non_null(ops);
    box_open(&box);
    for (size_t i = 0; i < COUNT; i++)
        ops[i] = map_op(BOX_FREE + i * PAGE, PAGE, i % 5 ? RW : PROT_READ, MAP_SHARED | MAP_FIXED, file,
            (off_t)(i * 73 % FILE_PAGES * PAGE));
    assert_int_equal(polder_apply(box.fd, ops, COUNT), 0);
    for (int i = 0; i < scaled(300); i++) {
        size_t page = random_next(&seed) % COUNT;
        assert_int_equal(box_load(&box, BOX_FREE + page * PAGE), page * 73 % FILE_PAGES);
    }
    /* All of them somewhere else, one by one and in one go, over those that are in use. */
    for (size_t i = 0; i < COUNT; i++)
        ops[i].offset = (off_t)((i * 73 + 1) % FILE_PAGES * PAGE);
    assert_int_equal(polder_apply(box.fd, ops, COUNT), 0);
    for (int i = 0; i < scaled(300); i++) {
        size_t page = random_next(&seed) % COUNT;
        assert_int_equal(box_load(&box, BOX_FREE + page * PAGE), (page * 73 + 1) % FILE_PAGES);
    }
    for (size_t i = 0; i < COUNT; i++)
        ops[i] = i % 2 ? unmap_op(BOX_FREE + i * PAGE, PAGE) : protect_op(BOX_FREE + i * PAGE, PAGE, PROT_READ);
    assert_int_equal(polder_apply(box.fd, ops, COUNT), 0);
    for (int i = 0; i < scaled(300); i++) {
        size_t page = random_next(&seed) % COUNT;
        const uint64_t at = BOX_FREE + page * PAGE;
        if (page % 2)
            box_fault(&box, sn_load, at, 0, at, PF_U);
        else
            box_fault(&box, sn_store, at, 0, at, PF_P | PF_U | PF_W);
    }
    free(ops);
    close(file);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(up_to_the_first_that_fails),
        cmocka_unit_test(thousands),
    };
    return RUN_GROUP("apply", tests);
}
