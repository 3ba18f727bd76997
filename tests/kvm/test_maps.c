/* SPDX-License-Identifier: MIT */
/*
 * What can be mapped and what the sandbox then sees: every kind of mapping, every protection, anything mapped twice,
 * large and sparse mappings, and the caller's own view through polder_read and polder_write.
 */
#include "sandbox.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static void anonymous_private(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, 3 * PAGE, RW);
    for (uint64_t at = BOX_FREE; at < BOX_FREE + 3 * PAGE; at += PAGE) {
        assert_int_equal(box_load(&box, at), 0);
        box_store(&box, at + PAGE - 8, at);
        assert_int_equal(box_load(&box, at + PAGE - 8), at);
    }
    /* Written first, never read before. */
    box_map_anonymous(&box, BOX_FREE + 8 * PAGE, PAGE, RW);
    box_store(&box, BOX_FREE + 8 * PAGE, 5);
    assert_int_equal(box_load(&box, BOX_FREE + 8 * PAGE), 5);
    /* Mapped anew, the page is a new one. */
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE - 8), 0);
    assert_int_equal(polder_munmap((void *)(BOX_FREE + PAGE), PAGE, box.fd), 0);
    box_map_anonymous(&box, BOX_FREE + PAGE, PAGE, RW);
    assert_int_equal(box_load(&box, BOX_FREE + 2 * PAGE - 8), 0);
    box_close(&box);
}

static void anonymous_shared(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map(&box, BOX_FREE, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE), 0);
    box_store(&box, BOX_FREE, 1);
    /* It is one and the same memory in a copy of the space, in both directions and for pages not touched yet. */
    struct box copy = box;
    copy.fd = polder_copy(box.fd);
    assert_true(copy.fd >= 0);
    polder_params_init(&copy.params);
    assert_int_equal(box_load(&copy, BOX_FREE), 1);
    box_store(&copy, BOX_FREE, 2);
    box_store(&copy, BOX_FREE + PAGE, 3);
    assert_int_equal(box_load(&box, BOX_FREE), 2);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE), 3);
    polder_params_fini(&copy.params);
    close(copy.fd);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE), 3);
    box_close(&box);
}

static void file_shared(void **state)
{
    (void)state;
    struct box box;
    int file = make_file(8, 100);

    box_open(&box);
    /* Every offset, in an order that is not the file's. */
    for (size_t i = 0; i < 8; i++)
        box_map(&box, BOX_FREE + (7 - i) * PAGE, PAGE, RW, MAP_SHARED, file, (off_t)(i * PAGE));
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(box_load(&box, BOX_FREE + (7 - i) * PAGE), 100 + i);
    box_store(&box, BOX_FREE + 7 * PAGE, 1000);
    assert_int_equal(file_word(file, 0), 1000);
    set_file_word(file, 0, 1001);
    assert_int_equal(box_load(&box, BOX_FREE + 7 * PAGE), 1001);
    /* The mapping outlives the descriptor. */
    int again = dup(file);
    close(file);
    box_store(&box, BOX_FREE, 2000);
    assert_int_equal(file_word(again, 7 * PAGE), 2000);
    close(again);
    assert_int_equal(box_load(&box, BOX_FREE), 2000);
    box_close(&box);
}

static void file_private(void **state)
{
    (void)state;
    struct box box;
    int file = make_file(4, 100);

    box_open(&box);
    box_map(&box, BOX_FREE, 3 * PAGE, RW, MAP_PRIVATE, file, PAGE);
    assert_int_equal(box_load(&box, BOX_FREE), 101);
    box_store(&box, BOX_FREE, 7);            /* after a read */
    box_store(&box, BOX_FREE + PAGE + 8, 8); /* without one; the rest of the page must be the file's */
    assert_int_equal(box_load(&box, BOX_FREE), 7);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE), 102);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE + 8), 8);
    assert_int_equal(file_word(file, PAGE), 101);
    assert_int_equal(file_word(file, 2 * PAGE + 8), 0);
    /* A page that was not written to is still the file's; one that was is not. */
    set_file_word(file, 3 * PAGE, 9);
    assert_int_equal(box_load(&box, BOX_FREE + 2 * PAGE), 9);
    set_file_word(file, PAGE, 10);
    assert_int_equal(box_load(&box, BOX_FREE), 7);
#if __STDC_HOSTED__ /* a kernel's memory can always be written */
    /* The same from a descriptor that cannot write. */
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    int read_only = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read_only >= 0);
    box_map(&box, BOX_FREE, PAGE, RW, MAP_PRIVATE, read_only, 0);
    assert_int_equal(box_load(&box, BOX_FREE), 100);
    box_store(&box, BOX_FREE, 11);
    assert_int_equal(box_load(&box, BOX_FREE), 11);
    assert_int_equal(file_word(file, 0), 100);
    close(read_only);
#endif
    close(file);
    box_close(&box);
}

#if __STDC_HOSTED__ /* a kernel has no file system */
/* A file on a disk, and one that is not the library's kind of file at all: the test program itself, read-only. */
static void files_of_other_kinds(void **state)
{
    (void)state;
    struct box box;
    char head[PAGE], got[PAGE];
    int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(exe >= 0);
    assert_int_equal(read(exe, head, PAGE), PAGE);
    box_open(&box);
    box_map(&box, BOX_FREE, PAGE, PROT_READ, MAP_PRIVATE, exe, 0);
    box_map(&box, BOX_FREE + PAGE, PAGE, PROT_READ, MAP_SHARED, exe, 0);
    uint64_t word;
    memcpy(&word, head, sizeof(word));
    assert_int_equal(box_load(&box, BOX_FREE), word);
    assert_int_equal(box_load(&box, BOX_FREE + PAGE), word);
    assert_int_equal(polder_read(box.fd, got, PAGE, BOX_FREE), PAGE);
    assert_memory_equal(got, head, PAGE);
    close(exe);

    FILE *disk = tmpfile();
    assert_non_null(disk);
    assert_int_equal(ftruncate(fileno(disk), 2 * PAGE), 0);
    set_file_word(fileno(disk), PAGE, 42);
    box_map(&box, BOX_FREE, PAGE, RW, MAP_SHARED, fileno(disk), PAGE);
    assert_int_equal(box_load(&box, BOX_FREE), 42);
    box_store(&box, BOX_FREE, 43);
    assert_int_equal(file_word(fileno(disk), PAGE), 43);
    fclose(disk);

    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC); /* which is anonymous memory by another name */
    assert_true(zero >= 0);
    box_map(&box, BOX_FREE, PAGE, RW, MAP_PRIVATE, zero, 0);
    assert_int_equal(box_load(&box, BOX_FREE), 0);
    box_store(&box, BOX_FREE, 44);
    assert_int_equal(box_load(&box, BOX_FREE), 44);
    close(zero);
    box_close(&box);
}
#endif

static void where_mappings_go(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    /* No address: somewhere free, aligned, not at 0, and not twice at the same place. */
    uint64_t chosen[8];
    for (size_t i = 0; i < 8; i++) {
        void *at = polder_mmap(NULL, 2 * PAGE, RW, ANONYMOUS, -1, 0, box.fd);
        assert_ptr_not_equal(at, MAP_FAILED);
        chosen[i] = (uint64_t)at;
        assert_int_equal(chosen[i] % PAGE, 0);
        assert_true(chosen[i] >= PAGE && chosen[i] < 0x7ffffffff000);
        for (size_t j = 0; j < i; j++)
            assert_true(chosen[j] + 2 * PAGE <= chosen[i] || chosen[i] + 2 * PAGE <= chosen[j]);
        box_store(&box, chosen[i] + PAGE, i);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(box_load(&box, chosen[i] + PAGE), i);
    /* A hint that is free is taken; it is rounded down as Linux does; one that is not free is not. */
    assert_ptr_equal(polder_mmap((void *)BOX_FREE, PAGE, RW, ANONYMOUS, -1, 0, box.fd), (void *)BOX_FREE);
    box_store(&box, BOX_FREE, 1);
    void *other = polder_mmap((void *)BOX_FREE, PAGE, RW, ANONYMOUS, -1, 0, box.fd);
    assert_ptr_not_equal(other, MAP_FAILED);
    assert_ptr_not_equal(other, (void *)BOX_FREE);
    assert_int_equal(box_load(&box, BOX_FREE), 1);
    void *odd = polder_mmap((void *)(BOX_FREE + 5 * PAGE), 1, RW, ANONYMOUS, -1, 0, box.fd);
    assert_ptr_equal(odd, (void *)(BOX_FREE + 5 * PAGE));
    box_store(&box, BOX_FREE + 5 * PAGE + PAGE - 8, 1); /* a length of 1 is a page */
    box_fault(&box, sn_load, BOX_FREE + 6 * PAGE, 0, BOX_FREE + 6 * PAGE, PF_U);
    /* Fixed replaces; noreplace does not. */
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    assert_int_equal(box_load(&box, BOX_FREE), 0);
    assert_ptr_equal(
        polder_mmap((void *)(BOX_FREE - PAGE), 2 * PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0, box.fd),
        MAP_FAILED);
    assert_int_equal(errno, EEXIST);
    box_fault(&box, sn_load, BOX_FREE - PAGE, 0, BOX_FREE - PAGE, PF_U);
    /* The first and the last page that there are. */
    assert_ptr_equal(polder_mmap(NULL, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0, box.fd), MAP_FAILED);
    assert_int_equal(errno, EPERM);
    box_map_anonymous(&box, PAGE, PAGE, RW);
    box_store(&box, PAGE, 3);
    assert_int_equal(box_load(&box, PAGE), 3);
    box_map_anonymous(&box, 0x7fffffffe000, PAGE, RW);
    box_store(&box, 0x7fffffffeff8, 4);
    assert_int_equal(box_load(&box, 0x7fffffffeff8), 4);
    box_close(&box);
}

/* What ring 3 may do with a page of each protection, before and after its first touch. */
static void protections(void **state)
{
    (void)state;
    struct box box;
    const int kinds[] = {ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED};
    int file = make_file(1, 0);

    assert_int_equal(pwrite(file, sn_syscall, 2, 0), 2); /* the code is at the page's start */
    box_open(&box);
    for (size_t kind = 0; kind < 4; kind++) {
        bool anonymous = kinds[kind] & MAP_ANONYMOUS;
        for (int prot = 0; prot < 8; prot++) {
            for (int touched = 0; touched < 2; touched++) {
                const uint64_t at = BOX_FREE;
                if (touched) {
                    box_map(&box, at, PAGE, RW, kinds[kind], anonymous ? -1 : file, 0);
                    assert_int_equal(polder_write(box.fd, sn_syscall, 2, at), 2);
                    (void)box_load(&box, at);
                    assert_int_equal(polder_mprotect((void *)at, PAGE, prot, box.fd), 0);
                } else {
                    box_map(&box, at, PAGE, prot, kinds[kind], anonymous ? -1 : file, 0);
                }
                bool readable = prot != PROT_NONE; /* x86 has no way to forbid it alone */

                if (readable)
                    (void)box_load(&box, at);
                else
                    box_fault(&box, sn_load, at, 0, at, PF_P | PF_U);
                if (prot & PROT_EXEC) {
                    if (!anonymous || touched) {
                        box_syscall(&box, sn_jump, at, 0);
                        assert_int_equal(box.params.regs.rip, at + 2);
                    }
                } else {
                    box_fault(&box, sn_jump, at, 0, at, PF_P | PF_U | PF_I);
                    assert_int_equal(box.params.regs.rip, at);
                }
                if (prot & PROT_WRITE)
                    box_store(&box, at + 64, 1);
                else
                    box_fault(&box, sn_store, at + 64, 1, at + 64, PF_P | PF_U | PF_W);
                assert_int_equal(polder_munmap((void *)at, PAGE, box.fd), 0);
                box_fault(&box, sn_load, at, 0, at, PF_U);
                box_fault(&box, sn_store, at, 0, at, PF_U | PF_W);
                box_fault(&box, sn_jump, at, 0, at, PF_U | PF_I);
            }
        }
    }
    close(file);
    box_close(&box);
}

/* Protections that change while the page stays, in every order. */
static void protections_change(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    box_map_anonymous(&box, BOX_FREE, PAGE, RW);
    box_store(&box, BOX_FREE, 1);
    for (int from = 0; from < 8; from++) {
        for (int to = 0; to < 8; to++) {
            assert_int_equal(polder_mprotect((void *)BOX_FREE, PAGE, from, box.fd), 0);
            if (from)
                assert_int_equal(box_load(&box, BOX_FREE), 1);
            assert_int_equal(polder_mprotect((void *)BOX_FREE, PAGE, to, box.fd), 0);
            if (to)
                assert_int_equal(box_load(&box, BOX_FREE), 1);
            else
                box_fault(&box, sn_load, BOX_FREE, 0, BOX_FREE, PF_P | PF_U);
            if (to & PROT_WRITE)
                box_store(&box, BOX_FREE, 1);
            else
                box_fault(&box, sn_store, BOX_FREE, 2, BOX_FREE, PF_P | PF_U | PF_W);
            if (!(to & PROT_EXEC))
                box_fault(&box, sn_jump, BOX_FREE, 0, BOX_FREE, PF_P | PF_U | PF_I);
        }
    }
    box_close(&box);
}

static void privileged(void **state)
{
    (void)state;
    struct box box;
    int file = make_file(2, 50);

    box_open(&box);
    for (int kind = 0; kind < 2; kind++) {
        const uint64_t at = BOX_FREE;
        box_map(&box, at, 2 * PAGE, ALL_RWX | POLDER_PRIVILEGED, kind ? MAP_SHARED : MAP_PRIVATE, file, 0);
        for (int touched = 0; touched < 2; touched++) {
            box_fault(&box, sn_load, at, 0, at, PF_P | PF_U);
            box_fault(&box, sn_store, at, 0, at, PF_P | PF_U | PF_W);
            box_fault(&box, sn_jump, at, 0, at, PF_P | PF_U | PF_I);
            /* Whoever has the descriptor is privileged. */
            uint64_t word;
            assert_int_equal(polder_read(box.fd, &word, sizeof(word), at), sizeof(word));
            assert_int_equal(word, 50);
            assert_int_equal(polder_write(box.fd, &word, sizeof(word), at), sizeof(word));
        }
        /* Shown, hidden again, shown read-only. */
        assert_int_equal(polder_mprotect((void *)at, PAGE, RW, box.fd), 0);
        assert_int_equal(box_load(&box, at), 50);
        box_fault(&box, sn_load, at + PAGE, 0, at + PAGE, PF_P | PF_U);
        assert_int_equal(polder_mprotect((void *)at, PAGE, RW | POLDER_PRIVILEGED, box.fd), 0);
        box_fault(&box, sn_load, at, 0, at, PF_P | PF_U);
        assert_int_equal(polder_mprotect((void *)at, PAGE, PROT_READ, box.fd), 0);
        assert_int_equal(box_load(&box, at), 50);
        box_fault(&box, sn_store, at, 0, at, PF_P | PF_U | PF_W);
    }
    close(file);
    box_close(&box);
}

/* One page of a file in many places of two spaces, shared and private: one write is seen by all who share. */
static void mapped_many_times(void **state)
{
    (void)state;
    struct box one, two;
    int file = make_file(4, 10);
    uint64_t *host = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);

    assert_ptr_not_equal(host, MAP_FAILED);
    box_open(&one);
    box_open(&two);
    for (size_t i = 0; i < 4; i++) {
        box_map(&one, BOX_FREE + i * PAGE, PAGE, RW, MAP_SHARED, file, 2 * PAGE);
        box_map(&two, BOX_FREE + i * HUGE_PAGE, PAGE, RW, MAP_SHARED, file, 2 * PAGE);
    }
    box_map(&one, BOX_FREE + 8 * PAGE, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
    box_map(&two, BOX_FREE + 8 * PAGE, 4 * PAGE, PROT_READ, MAP_SHARED, file, 0);
    uint64_t value = 1000;
    for (size_t i = 0; i < 4; i++) {
        box_store(&one, BOX_FREE + i * PAGE, ++value);
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(box_load(&one, BOX_FREE + j * PAGE), value);
            assert_int_equal(box_load(&two, BOX_FREE + j * HUGE_PAGE), value);
        }
        assert_int_equal(host[2 * PAGE / 8], value);
        assert_int_equal(box_load(&two, BOX_FREE + 10 * PAGE), value);
        assert_int_equal(box_load(&one, BOX_FREE + 10 * PAGE), value); /* private, not written to yet */
        box_store(&two, BOX_FREE + i * HUGE_PAGE, ++value);
        assert_int_equal(box_load(&one, BOX_FREE), value);
        host[2 * PAGE / 8] = ++value;
        assert_int_equal(box_load(&one, BOX_FREE + i * PAGE), value);
        assert_int_equal(box_load(&two, BOX_FREE + i * HUGE_PAGE), value);
    }
    box_store(&one, BOX_FREE + 10 * PAGE, 5);
    assert_int_equal(host[2 * PAGE / 8], value);
    box_store(&one, BOX_FREE, ++value);
    assert_int_equal(box_load(&one, BOX_FREE + 10 * PAGE), 5);
    assert_int_equal(box_load(&two, BOX_FREE + 10 * PAGE), value);
    munmap(host, 4 * PAGE);
    close(file);
    box_close(&one);
    box_close(&two);
}

/* Large and aligned as large pages are, shared and private: holes and changes in the middle leave the rest alone. */
static void two_mebibytes(void **state)
{
    (void)state;
    struct box box;
    const size_t pages = 4 * HUGE_PAGE / PAGE;
    int file = make_file(pages, 1 << 20);
    const uint64_t base = BOX_FREE;

    box_open(&box);
    for (int kind = 0; kind < 3; kind++) {
        const int flags = kind == 0 ? MAP_SHARED : kind == 1 ? MAP_PRIVATE : ANONYMOUS;
        const uint64_t tag = kind == 2 ? 0 : 1 << 20;
        box_map(&box, base, 4 * HUGE_PAGE, RW, flags, kind == 2 ? -1 : file, 0);
        for (size_t i = 0; i < pages; i += 128)
            assert_int_equal(box_load(&box, base + i * PAGE), tag ? tag + i : 0);
        box_store(&box, base + HUGE_PAGE + 8, 5);
        assert_int_equal(box_load(&box, base + HUGE_PAGE + 8), 5);

        const uint64_t hole = base + 700 * PAGE, still = base + 701 * PAGE, dry = base + 1200 * PAGE;
        assert_int_equal(polder_munmap((void *)hole, PAGE, box.fd), 0);
        box_fault(&box, sn_load, hole, 0, hole, PF_U);
        assert_int_equal(box_load(&box, still), tag ? tag + 701 : 0);
        assert_int_equal(box_load(&box, base + HUGE_PAGE + 8), 5);
        assert_int_equal(polder_mprotect((void *)dry, PAGE, PROT_READ, box.fd), 0);
        box_fault(&box, sn_store, dry + 8, 0, dry + 8, PF_P | PF_U | PF_W);
        box_store(&box, dry + PAGE + 8, 6);
        box_store(&box, dry - 8, 6);
        /* One page of the same file at another offset, in the middle of it, and back. */
        box_map(&box, hole, PAGE, RW, MAP_SHARED, file, 3 * PAGE);
        assert_int_equal(box_load(&box, hole), (1 << 20) + 3);
        assert_int_equal(box_load(&box, hole - PAGE), tag ? tag + 699 : 0);
        if (kind == 0) {
            box_store(&box, hole + 8, 77);
            assert_int_equal(box_load(&box, base + 3 * PAGE + 8), 77);
            box_map(&box, base + 16 * HUGE_PAGE, PAGE, RW, MAP_SHARED, file, 900 * PAGE);
            box_store(&box, base + 16 * HUGE_PAGE + 16, 78);
            assert_int_equal(box_load(&box, base + 900 * PAGE + 16), 78);
        }
        assert_int_equal(polder_munmap((void *)base, 4 * HUGE_PAGE, box.fd), 0);
        for (size_t i = 0; i < pages; i += 256)
            box_fault(&box, sn_load, base + i * PAGE, 0, base + i * PAGE, PF_U);
    }
    close(file);
    box_close(&box);
}

/* Over the edges of the tables of every level, and far from everything else. */
static void across_table_edges(void **state)
{
    (void)state;
    struct box box;
    const uint64_t edges[] = {HUGE_PAGE, 1ul << 30, 1ul << 39, 5ul << 39, 255ul << 39, (3ul << 39) + (7ul << 30),
        (17ul << 30) + 5 * HUGE_PAGE};

    box_open(&box);
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        box_map_anonymous(&box, edges[i] - 2 * PAGE, 4 * PAGE, RW);
        for (uint64_t at = edges[i] - 2 * PAGE; at < edges[i] + 2 * PAGE; at += PAGE)
            box_store(&box, at, at);
        box_store(&box, edges[i] - 4, 0x1122334455667788); /* a store that is on both sides */
        assert_int_equal(box_load(&box, edges[i] - 4), 0x1122334455667788);
    }
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        assert_int_equal(box_load(&box, edges[i] - 2 * PAGE), edges[i] - 2 * PAGE);
        assert_int_equal(polder_munmap((void *)(edges[i] - PAGE), 2 * PAGE, box.fd), 0);
        assert_int_equal(box_load(&box, edges[i] + PAGE), edges[i] + PAGE);
        box_fault(&box, sn_load, edges[i], 0, edges[i], PF_U);
    }
    box_close(&box);
}

static void sparse(void **state)
{
    (void)state;
    struct box box;
    const size_t huge = 1ul << 40;
    int file = memfd_create("sparse", MFD_CLOEXEC);

    assert_int_equal(ftruncate(file, 1l << 36), 0);
    box_open(&box);
    box_syscall(&box, sn_syscall, 0, 0);
    size_t rss = own_rss(), descriptors = own_descriptors(), mappings = own_mappings();

    void *at = polder_mmap(NULL, huge, RW, ANONYMOUS | MAP_NORESERVE, -1, 0, box.fd);
    assert_ptr_not_equal(at, MAP_FAILED);
    const uint64_t base = (uint64_t)at;
    box_store(&box, base, 1);
    box_store(&box, base + huge / 2, 2);
    box_store(&box, base + huge - 8, 3);
    assert_int_equal(box_load(&box, base), 1);
    assert_int_equal(box_load(&box, base + huge / 2), 2);
    assert_int_equal(box_load(&box, base + huge - 8), 3);
    assert_int_equal(box_load(&box, base + huge / 4), 0);

    void *view = polder_mmap(NULL, 1ul << 36, RW, MAP_SHARED, file, 0, box.fd);
    assert_ptr_not_equal(view, MAP_FAILED);
    box_store(&box, (uint64_t)view + (1ul << 36) - 8, 4);
    assert_int_equal(file_word(file, (1l << 36) - 8), 4);
    assert_int_equal(box_load(&box, (uint64_t)view), 0);

    assert_true(own_rss() < rss + (16ul << 20));
    assert_true(own_descriptors() < descriptors + 16);
    assert_true(own_mappings() < mappings + 64);
    assert_int_equal(polder_mprotect(at, huge, PROT_READ, box.fd), 0);
    box_fault(&box, sn_store, base + huge / 2, 0, base + huge / 2, PF_P | PF_U | PF_W);
    assert_int_equal(polder_munmap(at, huge, box.fd), 0);
    assert_int_equal(polder_munmap(view, 1ul << 36, box.fd), 0);
    box_fault(&box, sn_load, base, 0, base, PF_U);
    close(file);
    box_close(&box);
}

/* Many small mappings in one space must not each cost a descriptor or a host mapping. */
static void many_mappings(void **state)
{
    (void)state;
    struct box box;
    const size_t count = (size_t)scaled(4000);
    int file = make_file(64, 500);

    box_open(&box);
    size_t descriptors = own_descriptors(), mappings = own_mappings();
    for (size_t i = 0; i < count; i++)
        box_map(&box, BOX_FREE + 2 * i * PAGE, PAGE, i % 3 ? RW : PROT_READ, i % 2 ? MAP_SHARED : MAP_PRIVATE, file,
            (off_t)(i * 7 % 64 * PAGE));
    for (size_t i = 0; i < count; i += 37)
        assert_int_equal(box_load(&box, BOX_FREE + 2 * i * PAGE), 500 + i * 7 % 64);
    assert_true(own_descriptors() < descriptors + 16);
    assert_true(own_mappings() < mappings + 64);
    for (size_t i = 0; i < count; i += 2)
        assert_int_equal(polder_munmap((void *)(BOX_FREE + 2 * i * PAGE), PAGE, box.fd), 0);
    for (size_t i = 0; i < count; i += 37) {
        uint64_t at = BOX_FREE + 2 * i * PAGE;
        if (i % 2)
            assert_int_equal(box_load(&box, at), 500 + i * 7 % 64);
        else
            box_fault(&box, sn_load, at, 0, at, PF_U);
    }
    close(file);
    box_close(&box);
}

static void reading_and_writing(void **state)
{
    (void)state;
    struct box box;
    static unsigned char out[4 * PAGE], in[4 * PAGE];
    const uint64_t at = BOX_FREE;

    box_open(&box);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (unsigned char)(i * 31 + 7);
    box_map_anonymous(&box, at, 3 * PAGE, RW);
    assert_int_equal(polder_write(box.fd, out, 0, at), 0);
    assert_int_equal(polder_read(box.fd, in, 0, at), 0);
    /* Over page edges, from and to odd addresses. */
    assert_int_equal(polder_write(box.fd, out + 1, 2 * PAGE + 3, at + 5), 2 * PAGE + 3);
    memset(in, 0, sizeof(in));
    assert_int_equal(polder_read(box.fd, in, 2 * PAGE + 3, at + 5), 2 * PAGE + 3);
    assert_memory_equal(in, out + 1, 2 * PAGE + 3);
    uint64_t word;
    memcpy(&word, out + 1 + PAGE - 2, sizeof(word));
    assert_int_equal(box_load(&box, at + PAGE + 3), word);
    box_store(&box, at + 2 * PAGE, 12345);
    assert_int_equal(polder_read(box.fd, &word, sizeof(word), at + 2 * PAGE), sizeof(word));
    assert_int_equal(word, 12345);
    /* Short where the space ends, at both ends; nothing is EFAULT. */
    assert_int_equal(polder_read(box.fd, in, sizeof(in), at), 3 * PAGE);
    assert_int_equal(polder_write(box.fd, out, sizeof(out), at + PAGE), 2 * PAGE);
    assert_int_equal(polder_read(box.fd, in, sizeof(in), at + 3 * PAGE - 1), 1);
    assert_errno(polder_read(box.fd, in, 1, at + 3 * PAGE), EFAULT);
    assert_errno(polder_write(box.fd, out, 1, at + 3 * PAGE), EFAULT);
    assert_errno(polder_read(box.fd, in, PAGE, at - 1), EFAULT);
    assert_errno(polder_read(box.fd, in, 8, 0x800000000000), EFAULT);
    assert_errno(polder_read(box.fd, in, 8, 0xffff800000000000), EFAULT);
    assert_errno(polder_write(box.fd, out, 8, 0xffffffffffffffff), EFAULT);
    assert_errno(polder_read(box.fd, in, PAGE, 0xfffffffffffffff8), EFAULT);
    /* Reading ignores protection, writing does not. */
    assert_int_equal(polder_mprotect((void *)(at + PAGE), PAGE, PROT_READ, box.fd), 0);
    assert_int_equal(polder_write(box.fd, out, 3 * PAGE, at), PAGE);
    assert_errno(polder_write(box.fd, out, 1, at + PAGE), EFAULT);
    assert_int_equal(polder_mprotect((void *)(at + PAGE), PAGE, PROT_NONE, box.fd), 0);
    assert_int_equal(polder_read(box.fd, in, 3 * PAGE, at), 3 * PAGE);
    assert_memory_equal(in, out, PAGE);
    assert_memory_equal(in + PAGE, out, PAGE);
    assert_errno(polder_write(box.fd, out, 1, at + PAGE), EFAULT);
    box_close(&box);
}

static void reading_and_writing_files(void **state)
{
    (void)state;
    struct box box;
    int file = make_file(2, 300);
    const uint64_t at = BOX_FREE;
    uint64_t word = 1, got;

    box_open(&box);
    box_map(&box, at, 4 * PAGE, RW, MAP_PRIVATE, file, 0); /* two pages more than the file has */
    assert_int_equal(polder_write(box.fd, &word, sizeof(word), at), sizeof(word));
    assert_int_equal(file_word(file, 0), 300);
    assert_int_equal(box_load(&box, at), 1);
    assert_int_equal(polder_read(box.fd, &got, sizeof(got), at + PAGE), sizeof(got));
    assert_int_equal(got, 301);
    static char bytes[4 * PAGE];
    assert_int_equal(polder_read(box.fd, bytes, sizeof(bytes), at), 2 * PAGE);
    assert_errno(polder_read(box.fd, bytes, 1, at + 2 * PAGE), EFAULT);
    assert_errno(polder_write(box.fd, bytes, 1, at + 2 * PAGE), EFAULT);

    box_map(&box, at, 4 * PAGE, RW, MAP_SHARED, file, 0);
    assert_int_equal(polder_write(box.fd, &word, sizeof(word), at + PAGE), sizeof(word));
    assert_int_equal(file_word(file, PAGE), 1);
    assert_int_equal(polder_read(box.fd, bytes, sizeof(bytes), at), 2 * PAGE);
    assert_errno(polder_write(box.fd, bytes, 1, at + 2 * PAGE), EFAULT);
    close(file);
    box_close(&box);
}

/* A file that ends before its mapping does, from the start or by truncation. After repair the run goes on. */
static void truncated_files(void **state)
{
    (void)state;
    struct box box;
    const uint64_t at = BOX_FREE;

    box_open(&box);
    for (int kind = 0; kind < 2; kind++) {
        const int flags = kind ? MAP_SHARED : MAP_PRIVATE;
        int file = make_file(2, 1);
        box_map(&box, at, 4 * PAGE, RW, flags, file, 0);
        assert_int_equal(box_load(&box, at + PAGE), 2);
        box_bus(&box, sn_load, at + 2 * PAGE, at + 2 * PAGE);
        assert_int_equal(box.params.regs.rip, SNIPPET(sn_load));
        box_bus(&box, sn_store, at + 3 * PAGE + 24, at + 3 * PAGE + 24);

        /* What has been touched before is taken away. */
        assert_int_equal(ftruncate(file, PAGE), 0);
        box_bus(&box, sn_load, at + PAGE + 16, at + PAGE + 16);
        box_bus(&box, sn_store, at + PAGE, at + PAGE);
        assert_int_equal(box_load(&box, at), 1);
        /* The same run, once the file is repaired, from where it was. */
        assert_int_equal(box_run(&box, sn_load, at + PAGE, 0), POLDER_BUS);
        assert_int_equal(ftruncate(file, 4 * PAGE), 0);
        set_file_word(file, PAGE, 99);
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.reason, POLDER_SYSCALL);
        assert_int_equal(box.params.regs.rbx, 99);
        assert_int_equal(box_load(&box, at + 3 * PAGE), 0);
        box_store(&box, at + 3 * PAGE, 5);
        assert_int_equal(box_load(&box, at + 3 * PAGE), 5);

        /* Truncated and extended again before anybody looks: the pages are new ones, and empty. */
        assert_int_equal(ftruncate(file, 0), 0);
        assert_int_equal(ftruncate(file, 4 * PAGE), 0);
        if (flags == MAP_SHARED)
            assert_int_equal(box_load(&box, at + 3 * PAGE), 0);
        assert_int_equal(box_load(&box, at), 0);

        /* The protection comes before the file's end. */
        assert_int_equal(ftruncate(file, 0), 0);
        box_bus(&box, sn_load, at, at);
        box_fault(&box, sn_jump, at + PAGE, 0, at + PAGE, PF_P | PF_U | PF_I);
        close(file);
        assert_int_equal(polder_munmap((void *)at, 4 * PAGE, box.fd), 0);
        box_fault(&box, sn_load, at, 0, at, PF_U);
    }
    box_close(&box);
}

/* The code itself is in the file that is cut. */
static void truncated_code(void **state)
{
    (void)state;
    struct box box;
    const uint64_t at = BOX_FREE;
    int file = make_file(1, 0);

    assert_int_equal(pwrite(file, sn_syscall, 2, 0), 2);
    box_open(&box);
    box_map(&box, at, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    box_syscall(&box, sn_jump, at, 0);
    assert_int_equal(ftruncate(file, 0), 0);
    box_bus(&box, sn_jump, at, at);
    assert_int_equal(box.params.regs.rip, at);
    assert_int_equal(ftruncate(file, PAGE), 0);
    assert_int_equal(pwrite(file, sn_syscall, 2, 0), 2);
    box_syscall(&box, sn_jump, at, 0);
    close(file);
    box_close(&box);
}

/* A large mapping of a file that is cut in the middle of a large page, and the spaces that share it. */
static void truncated_large(void **state)
{
    (void)state;
    struct box one, two;
    const size_t pages = 2 * HUGE_PAGE / PAGE;
    int file = make_file(pages, 7000);

    box_open(&one);
    box_open(&two);
    box_map(&one, BOX_FREE, 2 * HUGE_PAGE, RW, MAP_SHARED, file, 0);
    box_map(&two, BOX_FREE, 2 * HUGE_PAGE, RW, MAP_PRIVATE, file, 0);
    for (size_t i = 0; i < pages; i += 64) {
        assert_int_equal(box_load(&one, BOX_FREE + i * PAGE), 7000 + i);
        assert_int_equal(box_load(&two, BOX_FREE + i * PAGE), 7000 + i);
    }
    assert_int_equal(ftruncate(file, 700 * PAGE), 0);
    for (size_t i = 0; i < pages; i += 64) {
        uint64_t at = BOX_FREE + i * PAGE;
        if (i < 700) {
            assert_int_equal(box_load(&one, at), 7000 + i);
            assert_int_equal(box_load(&two, at), 7000 + i);
        } else {
            box_bus(&one, sn_load, at, at);
            box_bus(&two, sn_load, at, at);
        }
    }
    close(file);
    box_close(&one);
    box_close(&two);
}

/* A fault is the caller's to repair, and the same run then goes on. */
static void demand_paging(void **state)
{
    (void)state;
    struct box box;
    const size_t pages = (size_t)scaled(200);

    box_open(&box);
    aim(&box.params, sn_touch_pages, BOX_FREE, pages);
    for (size_t i = 0; i < pages; i++) {
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        assert_int_equal(box.params.reason, POLDER_PAGE_FAULT);
        assert_int_equal(box.params.fault_addr, BOX_FREE + i * PAGE);
        assert_int_equal(box.params.error_code, PF_U | PF_W);
        box_map_anonymous(&box, BOX_FREE + i * PAGE, PAGE, RW);
    }
    assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
    assert_int_equal(box.params.reason, POLDER_SYSCALL);
    for (size_t i = 0; i < pages; i += 7)
        assert_int_equal(box_load(&box, BOX_FREE + i * PAGE), 1);
    box_close(&box);
}

/* The memory of a space that is gone comes back, at the latest when the next one is opened. */
static void memory_comes_back(void **state)
{
    (void)state;
#if __STDC_HOSTED__
    const size_t pages = 8192;
#else
    const size_t pages = (size_t)scaled(8192);
#endif
    struct box box;
    size_t before = 0;

    for (int round = 0; round < 6; round++) {
        box_open(&box);
        size_t now = own_rss();
        if (round == 2)
            before = now;
        if (round > 2)
            assert_true(now < before + pages * PAGE / 2);
        box_map_anonymous(&box, BOX_FREE, pages * PAGE, RW);
        box_syscall(&box, sn_touch_pages, BOX_FREE, pages);
        box_close(&box);
    }
    /* And what is unmapped need not wait for that. */
    box_open(&box);
    for (int round = 0; round < 4; round++) {
        box_map_anonymous(&box, BOX_FREE, pages * PAGE, RW);
        box_syscall(&box, sn_touch_pages, BOX_FREE, pages);
        assert_int_equal(polder_munmap((void *)BOX_FREE, pages * PAGE, box.fd), 0);
        box_syscall(&box, sn_syscall, 0, 0);
    }
    assert_true(own_rss() < before + 2 * pages * PAGE);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anonymous_private),
        cmocka_unit_test(anonymous_shared),
        cmocka_unit_test(file_shared),
        cmocka_unit_test(file_private),
#if __STDC_HOSTED__
        cmocka_unit_test(files_of_other_kinds),
#endif
        cmocka_unit_test(where_mappings_go),
        cmocka_unit_test(protections),
        cmocka_unit_test(protections_change),
        cmocka_unit_test(privileged),
        cmocka_unit_test(mapped_many_times),
        cmocka_unit_test(two_mebibytes),
        cmocka_unit_test(across_table_edges),
        cmocka_unit_test(sparse),
        cmocka_unit_test(many_mappings),
        cmocka_unit_test(reading_and_writing),
        cmocka_unit_test(reading_and_writing_files),
        cmocka_unit_test(truncated_files),
        cmocka_unit_test(truncated_code),
        cmocka_unit_test(truncated_large),
        cmocka_unit_test(demand_paging),
        cmocka_unit_test(memory_comes_back),
    };
    return RUN_GROUP("maps", tests);
}
