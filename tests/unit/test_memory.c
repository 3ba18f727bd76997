/* SPDX-License-Identifier: MIT */
/*
 * The program's memory calls, without a sandbox: polder_* is played by this file, which keeps its own record of what
 * would be visible. The monitor is everything else in this process, and nothing of it may ever be touched.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/elf.h"
#include "linux/memory.h"
#include "polder/polder.h"

#define PAGE 4096ull
#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define HUGE_PAGE (2ull << 20)

/* What polder has been told to show. */
static struct vma_list shown;

static void record(void *start, size_t length, int prot)
{
    uint64_t at = (uintptr_t)start, end = at + ((length + PAGE - 1) & -PAGE);
    assert_true(vma_reserve(&shown));
    if (prot & POLDER_PRIVILEGED)
        vma_clear(&shown, at, end);
    else
        vma_set(&shown, at, end, prot);
}

void *polder_mmap(void *start, size_t length, int prot, int flags, int src_fd, off_t offset, int dest_fd)
{
    assert_int_equal(dest_fd, -1);
    assert_int_equal(prot & ~(RW | PROT_EXEC), 0);
    void *p = mmap(start, length, prot, flags, src_fd, offset);
    if (p != MAP_FAILED)
        record(p, length, prot);
    return p;
}

int polder_mprotect(void *start, size_t length, int prot, int dest_fd)
{
    assert_int_equal(dest_fd, -1);
    if (prot != POLDER_PRIVILEGED && mprotect(start, length, prot) != 0)
        return -1;
    record(start, length, prot);
    return 0;
}

int polder_apply(int dest_fd, const struct polder_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i].code == POLDER_OP_MUNMAP) {
            assert_int_equal(munmap(ops[i].start, ops[i].length), 0);
            record(ops[i].start, ops[i].length, POLDER_PRIVILEGED);
        } else {
            assert_int_equal(ops[i].code, POLDER_OP_MPROTECT);
            assert_int_equal(polder_mprotect(ops[i].start, ops[i].length, ops[i].prot, dest_fd), 0);
        }
    }
    return 0;
}

static bool visible(uint64_t addr)
{
    const struct vma *vma = vma_find(&shown, addr);
    return vma && vma->start <= addr;
}

ssize_t polder_write(int mm_fd, const void *buf, size_t count, uint64_t addr)
{
    (void)mm_fd;
    if (!visible(addr)) {
        errno = EFAULT;
        return -1;
    }
    memcpy((void *)(uintptr_t)addr, buf, count);
    return (ssize_t)count;
}

static struct memory m;

/* What the monitor believes to be the program's is what polder shows. */
static void check(void)
{
    assert_int_equal(m.vmas.count, shown.count);
    for (size_t i = 0; i < shown.count; i++) {
        assert_int_equal(m.vmas.v[i].start, shown.v[i].start);
        assert_int_equal(m.vmas.v[i].end, shown.v[i].end);
        assert_int_equal(m.vmas.v[i].prot, shown.v[i].prot);
    }
}

static uint64_t map(uint64_t pages)
{
    long r = memory_mmap(&m, 0, pages * PAGE, RW, ANONYMOUS, -1, 0);
    assert_true(r > 0);
    check();
    return (uint64_t)r;
}

static char *at(uint64_t addr)
{
    assert_true(visible(addr));
    return (char *)(uintptr_t)addr;
}

/* How many mappings and bytes this process has. */
static void count(unsigned long *mappings, unsigned long *bytes)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    *mappings = *bytes = 0;
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        assert_int_equal(sscanf(line, "%lx-%lx", &from, &to), 2);
        if (!strstr(line, "[heap]") && !strstr(line, "[stack]")) {
            ++*mappings;
            *bytes += to - from;
        }
    }
    fclose(maps);
}

static int setup(void **state)
{
    (void)state;
    return memory_start(&m, 5);
}

static int teardown(void **state)
{
    (void)state;
    int r = memory_drop_all(&m);
    check();
    vma_free(&m.vmas);
    return r;
}

/* A page of the monitor's with two of the program's on each side. */
static char *monitor_page(uint64_t *around)
{
    uint64_t block = map(5);
    assert_int_equal(memory_munmap(&m, block + 2 * PAGE, PAGE), 0);
    char *page = mmap((void *)(uintptr_t)(block + 2 * PAGE), PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(page, (void *)(uintptr_t)(block + 2 * PAGE));
    strcpy(page, "the monitor's");
    *around = block;
    return page;
}

static void monitor_is_safe(void **state)
{
    (void)state;
    uint64_t block;
    char *page = monitor_page(&block);
    const uint64_t whole = 5 * PAGE;
    unsigned char resident[5];
    at(block)[0] = 'p';

    assert_int_equal(memory_mmap(&m, block, whole, RW, ANONYMOUS | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(memory_mmap(&m, block + 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(memory_mmap(&m, block + 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), -EEXIST);
    assert_int_equal(memory_mprotect(&m, block + 2 * PAGE, PAGE, PROT_NONE), -ENOMEM);
    assert_int_equal(memory_mprotect(&m, block, whole, RW), -ENOMEM);
    assert_int_equal(memory_madvise(&m, block + 2 * PAGE, PAGE, MADV_DONTNEED), -ENOMEM);
    assert_int_equal(memory_mremap(&m, block + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0), -EFAULT);
    assert_int_equal(memory_mremap(&m, block, whole, 6 * PAGE, MREMAP_MAYMOVE, 0), -EFAULT);
    assert_int_equal(memory_mremap(&m, block, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, block + 2 * PAGE), -ENOMEM);
    assert_int_equal(memory_mincore(&m, block + 2 * PAGE, PAGE, block), -ENOMEM);
    assert_int_equal(memory_msync(&m, block + 2 * PAGE, PAGE, MS_ASYNC), -ENOMEM);
    assert_int_equal(memory_lock(&m, SYS_mlock, block, whole, 0), -ENOMEM);
    assert_int_equal(memory_lock(&m, SYS_munlock, block + 2 * PAGE, 1, 0), -ENOMEM);
    assert_false(memory_free_of_monitor(&m, block, block + whole));
    check();
    assert_string_equal(page, "the monitor's");
    assert_int_equal(at(block)[0], 'p');
    assert_int_equal(mincore(page, PAGE, resident), 0);

    /* Over everything: what is the program's goes, the monitor's stays. */
    assert_int_equal(memory_madvise(&m, block, whole, MADV_DONTNEED), -ENOMEM);
    assert_int_equal(at(block)[0], 0);
    assert_int_equal(memory_munmap(&m, block, whole), 0);
    check();
    assert_int_equal(memory_munmap(&m, 0, ELF_TASK_SIZE), 0);
    check();
    assert_string_equal(page, "the monitor's");
    munmap(page, PAGE);
    assert_true(memory_free_of_monitor(&m, block, block + whole));
}

static void arguments(void **state)
{
    (void)state;
    uint64_t block = map(4);
    const uint64_t wild = ~0ull - 0xfff, kernel = 0xffff800000000000;
    assert_int_equal(memory_mmap(&m, 0, 0, RW, ANONYMOUS, -1, 0), -EINVAL);
    assert_int_equal(memory_mmap(&m, 0, PAGE, RW, ANONYMOUS, -1, 1), -EINVAL);
    assert_int_equal(memory_mmap(&m, 0, ~0ull, RW, ANONYMOUS, -1, 0), -ENOMEM);
    assert_int_equal(memory_mmap(&m, 0, PAGE, RW, MAP_PRIVATE, 999, 0), -EBADF);
    assert_int_equal(memory_mmap(&m, block + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), -EINVAL);
    assert_int_equal(memory_mmap(&m, wild, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(memory_mmap(&m, kernel, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), -ENOMEM);
    assert_int_equal(memory_mmap(&m, ELF_TASK_SIZE - PAGE, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), -ENOMEM);
    /* A hint is only that. */
    assert_true(memory_mmap(&m, wild, PAGE, RW, ANONYMOUS, -1, 0) > 0);
    /* No bit of the protection reaches polder but the three. */
    long r = memory_mmap(&m, 0, PAGE, POLDER_PRIVILEGED | PROT_READ, ANONYMOUS, -1, 0);
    assert_true(r > 0 && visible((uint64_t)r));
    assert_int_equal(memory_mprotect(&m, (uint64_t)r, PAGE, POLDER_PRIVILEGED), -EINVAL);

    assert_int_equal(memory_munmap(&m, block + 1, PAGE), -EINVAL);
    assert_int_equal(memory_munmap(&m, block, 0), -EINVAL);
    assert_int_equal(memory_munmap(&m, block, ~0ull), -EINVAL);
    assert_int_equal(memory_munmap(&m, kernel, PAGE), -EINVAL);
    assert_int_equal(memory_mprotect(&m, block + 1, PAGE, RW), -EINVAL);
    assert_int_equal(memory_mprotect(&m, block, 0, RW), 0);
    assert_int_equal(memory_mprotect(&m, block, ~0ull, RW), -ENOMEM);
    assert_int_equal(memory_mprotect(&m, block, PAGE, 0x4000000), -EINVAL);
    assert_int_equal(memory_mprotect(&m, block, PAGE, RW | PROT_GROWSDOWN), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, PAGE, 0, 0, 0), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, 0, PAGE, MREMAP_MAYMOVE, 0), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, PAGE, ~0ull, MREMAP_MAYMOVE, 0), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, PAGE, PAGE, MREMAP_FIXED, block + PAGE), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, block), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, kernel), -EINVAL);
    assert_int_equal(memory_mremap(&m, block, PAGE, PAGE, 64, 0), -EINVAL);
    assert_int_equal(memory_madvise(&m, block, PAGE, 100), -EINVAL);
    assert_int_equal(memory_madvise(&m, block + 1, PAGE, MADV_DONTNEED), -EINVAL);
    assert_int_equal(memory_madvise(&m, block, ~0ull, MADV_DONTNEED), -EINVAL);
    assert_int_equal(memory_mincore(&m, block, PAGE, 8), -EFAULT);
    assert_int_equal(memory_mincore(&m, block, 4 * PAGE, block), 0);
    check();
}

static void protection(void **state)
{
    (void)state;
    uint64_t block = map(6);
    assert_int_equal(memory_mprotect(&m, block + PAGE, PAGE, PROT_READ), 0);
    check();
    assert_int_equal(memory_munmap(&m, block + 3 * PAGE, PAGE), 0);
    check();
    /* Up to the hole, then ENOMEM. */
    assert_int_equal(memory_mprotect(&m, block, 6 * PAGE, PROT_READ), -ENOMEM);
    check();
    assert_int_equal(vma_find(&m.vmas, block + 2 * PAGE)->prot, PROT_READ);
    assert_int_equal(vma_find(&m.vmas, block + 4 * PAGE)->prot, RW);
    /* A fixed mapping fills the hole and replaces what is there. */
    assert_int_equal(memory_mmap(&m, block + 2 * PAGE, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), block + 2 * PAGE);
    check();

    assert_int_equal(memory_stack(&m, 64 * PAGE, false), 0);
    check();
    uint64_t top = m.stack_end;
    assert_int_equal(memory_mprotect(&m, top - PAGE, PAGE, RW | PROT_EXEC | PROT_GROWSDOWN), 0);
    assert_int_equal(vma_find(&m.vmas, m.stack_start)->prot, RW | PROT_EXEC);
    check();
    /* Nothing is ever below it. */
    assert_int_equal(memory_mmap(&m, m.stack_start - PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), -ENOMEM);
}

static void heap(void **state)
{
    (void)state;
    m.brk_start = m.brk_end = 0x10000000;
    assert_int_equal(memory_brk(&m, 0), 0x10000000);
    assert_int_equal(memory_brk(&m, 0xfffffff), 0x10000000);
    assert_int_equal(memory_brk(&m, ~0ull), 0x10000000);
    assert_int_equal(memory_brk(&m, 0x10000010), 0x10000010);
    check();
    assert_true(visible(0x10000fff));
    assert_false(visible(0x10001000));
    uint64_t end = 0x10000010;
    srandom(1);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t wanted = 0x10000000 + (uint64_t)random() % (8ull << 20);
        assert_int_equal(memory_brk(&m, wanted), wanted);
        check();
        uint64_t old_page = (end + PAGE - 1) & -PAGE;
        for (uint64_t page = old_page; page + PAGE <= wanted; page += PAGE) {
            assert_int_equal(*at(page), 0); /* what comes back is empty */
            *at(page) = 'h';
        }
        end = wanted;
        assert_false(visible((end + PAGE - 1) & -PAGE));
    }
    /* The program's own mapping in the way: where the heap was going to be, and in its middle. */
    assert_int_equal(memory_brk(&m, 0x10003000), 0x10003000);
    assert_int_equal(memory_mmap(&m, 0x10010000, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), 0x10010000);
    *at(0x10010000) = 'x';
    check();
    assert_int_equal(memory_brk(&m, 0x10011000), 0x10003000);
    assert_int_equal(memory_brk(&m, 0x10010000), 0x10010000);
    check();
    assert_int_equal(*at(0x10010000), 'x');
    assert_int_equal(memory_munmap(&m, 0x10004000, PAGE), 0);
    assert_int_equal(memory_brk(&m, 0x10001000), 0x10001000);
    check();
    assert_int_equal(memory_brk(&m, 0x10008000), 0x10008000);
    assert_int_equal(*at(0x10004000), 0);
    check();
}

static void moves(void **state)
{
    (void)state;
    uint64_t block = map(4);
    for (unsigned i = 0; i < 4; i++)
        *at(block + i * PAGE) = (char)('a' + i);
    assert_int_equal(memory_mremap(&m, block, 4 * PAGE, 2 * PAGE, 0, 0), block);
    check();
    long r = memory_mremap(&m, block, 2 * PAGE, 3 * HUGE_PAGE, MREMAP_MAYMOVE, 0);
    assert_true(r > 0);
    check();
    block = (uint64_t)r;
    assert_int_equal(*at(block), 'a');
    assert_int_equal(*at(block + PAGE), 'b');
    assert_int_equal(*at(block + 2 * PAGE), 0);
    /* It grows on in small steps, and every byte stays what it was. */
    uint64_t length = 3 * HUGE_PAGE;
    unsigned moved = 0;
    for (unsigned i = 0; i < 60; i++) {
        uint64_t longer = length + 100 * PAGE;
        r = memory_mremap(&m, block, length, longer, MREMAP_MAYMOVE, 0);
        assert_true(r > 0);
        check();
        moved += (uint64_t)r != block;
        block = (uint64_t)r;
        assert_int_equal(*at(block), 'a');
        assert_int_equal(*at(block + length), 0);
        *at(longer - PAGE + block) = 'z';
        length = longer;
    }
    assert_true(moved < 5);

    uint64_t target = map(3);
    assert_int_equal(memory_munmap(&m, target + PAGE, PAGE), 0);
    assert_int_equal(memory_mremap(&m, block, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target), target);
    check();
    assert_int_equal(*at(target), 'a');
    assert_int_equal(*at(target + PAGE), 0);
    assert_false(visible(block));
}

/* Random calls with small and absurd numbers: the record stays true and the monitor whole. */
static void random_calls(void **state)
{
    (void)state;
    uint64_t base = map(64);
    assert_int_equal(memory_munmap(&m, base + 20 * PAGE, 3 * PAGE), 0);
    char *mine = mmap((void *)(uintptr_t)(base + 21 * PAGE), PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(mine, (void *)(uintptr_t)(base + 21 * PAGE));
    memset(mine, 'm', PAGE);
    m.brk_start = m.brk_end = base + 64 * PAGE;
    srandom(2);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t addr = base + (uint64_t)(random() % 70) * PAGE, length = (uint64_t)(random() % 40) * PAGE;
        if (random() % 50 == 0)
            length = ~0ull - (uint64_t)random() % 8192;
        if (random() % 50 == 0)
            addr += 5;
        int prot = (int)random() & 3;
        switch (random() % 8) {
        case 0:
            memory_mmap(&m, addr, length, (uint64_t)prot, ANONYMOUS | MAP_FIXED, -1, 0);
            break;
        case 1:
            memory_munmap(&m, addr, length);
            break;
        case 2:
            memory_mprotect(&m, addr, length, (uint64_t)prot);
            break;
        case 3:
            memory_mremap(&m, addr, length, (uint64_t)(random() % 40) * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                base + (uint64_t)(random() % 70) * PAGE);
            break;
        case 4:
            memory_mremap(&m, addr, length, (uint64_t)(random() % 40) * PAGE, (uint64_t)(random() & 1), 0);
            break;
        case 5:
            memory_brk(&m, addr + length);
            break;
        case 6:
            memory_madvise(&m, addr, length, MADV_DONTNEED);
            break;
        default:
            memory_mmap(&m, random() & 1 ? addr : 0, length, RW, ANONYMOUS, -1, 0);
            break;
        }
        check();
        for (unsigned k = 0; k < PAGE; k += 512)
            assert_int_equal(mine[k], 'm');
    }
    munmap(mine, PAGE);
}

static void nothing_left(void **state)
{
    (void)state;
    unsigned long mappings[2], bytes[2];
    count(&mappings[0], &bytes[0]);
    count(&mappings[0], &bytes[0]); /* the first look may have made stdio's buffers */
    uint64_t block = map(100);
    assert_int_equal(memory_stack(&m, 64 * PAGE, false), 0);
    m.brk_start = m.brk_end = 0x10000000;
    memory_brk(&m, 0x10123456);
    long r = memory_mremap(&m, block, 100 * PAGE, 5 * HUGE_PAGE, MREMAP_MAYMOVE, 0);
    assert_true(r > 0);
    assert_int_equal(memory_drop_all(&m), 0);
    check();
    count(&mappings[1], &bytes[1]);
    assert_int_equal(mappings[0], mappings[1]);
    assert_int_equal(bytes[0], bytes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(monitor_is_safe, setup, teardown),
        cmocka_unit_test_setup_teardown(arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(protection, setup, teardown),
        cmocka_unit_test_setup_teardown(heap, setup, teardown),
        cmocka_unit_test_setup_teardown(moves, setup, teardown),
        cmocka_unit_test_setup_teardown(random_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
