/* SPDX-License-Identifier: MIT */
#include "linux/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/elf.h"
#include "linux/fds.h"
#include "polder/polder.h"

#define PAGE ELF_PAGE
#define HUGE_PAGE (2ull << 20)
#define SPARE_SIZE (16 * HUGE_PAGE)
#define SPARE_LEAST (64ull << 10) /* smaller requests are not worth a huge page */
#define STACK_GUARD (1ull << 20)  /* as wide as Linux's own gap below a stack */
#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static void *pointer(uint64_t addr)
{
    return (void *)(uintptr_t)addr;
}

static uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & -PAGE;
}

/* Rounds the length up; false if [addr, addr + length) is not a range of user space. */
static bool user_range(uint64_t addr, uint64_t *length)
{
    if (*length > ELF_TASK_SIZE)
        return false;
    *length = page_up(*length);
    return *length <= ELF_TASK_SIZE && addr <= ELF_TASK_SIZE - *length;
}

/* Shows the program memory that the host has mapped behind polder's back. */
static long show(struct memory *memory, uint64_t addr, uint64_t length, int prot)
{
    if (polder_mprotect(pointer(addr), length, prot, -1) != 0)
        return -errno;
    vma_set(&memory->vmas, addr, addr + length, prot);
    return 0;
}

static void drop_spare(struct memory_spare *spare)
{
    if (spare->end > spare->start)
        munmap(pointer(spare->start), spare->end - spare->start);
    *spare = (struct memory_spare){0};
}

/* Where the program itself asks for a place, nothing of ours must be in the way. */
static void drop_spares_in(struct memory *memory, uint64_t start, uint64_t end)
{
    struct memory_spare *spares[] = {&memory->brk_spare, &memory->map_spare, &memory->grow_spare};
    for (size_t i = 0; i < 3; i++)
        if (spares[i]->start < end && spares[i]->end > start)
            drop_spare(spares[i]);
}

/* Gives back the reservations that claim made in [start, end). */
static void release(const struct memory *memory, uint64_t start, uint64_t end)
{
    while (start < end) {
        const struct vma *vma = vma_find(&memory->vmas, start);
        uint64_t gap_end = vma && vma->start < end ? vma->start : end;
        if (gap_end > start)
            munmap(pointer(start), gap_end - start);
        start = vma && vma->start < end ? vma->end : end;
    }
}

static bool anonymous_private(uint64_t flags)
{
    return (flags & ~(uint64_t)(MAP_NORESERVE | MAP_STACK)) == (MAP_PRIVATE | MAP_ANONYMOUS);
}

/* A small anonymous mapping out of the spare memory; 0 if there is none. */
static uint64_t map_from_spare(struct memory *memory, uint64_t length, int prot)
{
    struct memory_spare *spare = &memory->map_spare;
    if (spare->end - spare->start < length) {
        drop_spare(spare);
        void *p = mmap(
            NULL, SPARE_SIZE + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return 0;
        uint64_t start = (uintptr_t)p, end = start + SPARE_SIZE + HUGE_PAGE;
        uint64_t from = (start + HUGE_PAGE - 1) & -HUGE_PAGE, to = from + SPARE_SIZE;
        if (from > start)
            munmap(p, from - start);
        if (to < end)
            munmap(pointer(to), end - to);
        madvise(pointer(from), SPARE_SIZE, MADV_HUGEPAGE);
        *spare = (struct memory_spare){from, to};
    }
    if (show(memory, spare->end - length, length, prot) != 0)
        return 0;
    spare->end -= length;
    return spare->end;
}

/*
 * Reserves what is not the program's in [start, end), so that a fixed mapping may replace the whole range. The host
 * decides what is free: the monitor's own mappings need no list, and none can be hit. -errno: EEXIST if the monitor is
 * there.
 */
static int claim(const struct memory *memory, uint64_t start, uint64_t end)
{
    uint64_t at = start;
    while (at < end) {
        const struct vma *vma = vma_find(&memory->vmas, at);
        uint64_t gap_end = vma && vma->start < end ? vma->start : end;
        if (gap_end > at) {
            void *p = mmap(pointer(at), gap_end - at, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
            if (p != pointer(at)) {
                int error = p == MAP_FAILED ? errno : EEXIST;
                if (p != MAP_FAILED)
                    munmap(p, gap_end - at); /* a kernel that takes the flag for a hint */
                release(memory, start, at);
                return -error;
            }
        }
        at = vma && vma->start < end ? vma->end : end;
    }
    return 0;
}

bool memory_free_of_monitor(struct memory *memory, uint64_t start, uint64_t end)
{
    if (claim(memory, start, end) != 0)
        return false;
    release(memory, start, end);
    return true;
}

int memory_start(struct memory *memory, int mm_fd)
{
    *memory = (struct memory){.mm_fd = mm_fd};
    return polder_mprotect(NULL, ELF_TASK_SIZE, POLDER_PRIVILEGED, -1) == 0 ? 0 : -errno;
}

/*
 * Takes a range away. It is declared privileged at once: the host may give the addresses to the monitor's next
 * allocation, which the program must not see.
 */
static int hide(uint64_t start, uint64_t end)
{
    const struct polder_op ops[] = {
        {.code = POLDER_OP_MUNMAP, .start = pointer(start), .length = end - start},
        {.code = POLDER_OP_MPROTECT, .start = pointer(start), .length = end - start, .prot = POLDER_PRIVILEGED},
    };
    return polder_apply(-1, ops, 2) == 0 ? 0 : -errno;
}

long memory_mmap(
    struct memory *memory, uint64_t addr, uint64_t length, uint64_t prot, uint64_t flags, int fd, uint64_t offset)
{
    if (length == 0 || offset % PAGE != 0)
        return -EINVAL;
    if (length > ELF_TASK_SIZE)
        return -ENOMEM;
    length = page_up(length);
    if (!(flags & MAP_ANONYMOUS) && fds_hidden(fd))
        return -EBADF;
    bool noreplace = (flags & MAP_FIXED_NOREPLACE) != 0;
    bool fixed = (flags & MAP_FIXED) != 0 || noreplace;
    if (fixed && addr % PAGE != 0)
        return -EINVAL;
    if (addr > ELF_TASK_SIZE - length) {
        if (fixed)
            return -ENOMEM;
        addr = 0;
    }
    if (!vma_reserve(&memory->vmas))
        return -ENOMEM;
    if (fixed) {
        drop_spares_in(memory, addr, addr + length);
    } else if (addr == 0 && length >= SPARE_LEAST && length < HUGE_PAGE && anonymous_private(flags) &&
               (prot & PROT_ALL) == (PROT_READ | PROT_WRITE)) {
        uint64_t at = map_from_spare(memory, length, PROT_READ | PROT_WRITE);
        if (at != 0)
            return (long)at;
    }
    if (fixed && !noreplace) {
        int r = claim(memory, addr, addr + length);
        if (r != 0)
            return r == -EPERM ? r : -ENOMEM;
    }
    /* A mapping that grows down would grow over what the host, not the program, sees below it. */
    int host_flags = (int)flags & ~MAP_GROWSDOWN;
    /* Above PROT_ALL are bits that mean something to polder_mmap, and none that mmap(2) looks at. */
    int host_prot = (int)prot & PROT_ALL;
    void *p = polder_mmap(pointer(addr & -PAGE), length, host_prot, host_flags, fd, (off_t)offset, -1);
    if (p == MAP_FAILED) {
        int error = errno;
        if (fixed && !noreplace)
            release(memory, addr, addr + length);
        return -error;
    }
    uint64_t at = (uintptr_t)p;
    vma_set(&memory->vmas, at, at + length, host_prot);
    if ((flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE && length >= HUGE_PAGE)
        madvise(p, length, MADV_HUGEPAGE); /* a first touch then costs one fault for 512 pages */
    return (long)at;
}

long memory_munmap(struct memory *memory, uint64_t addr, uint64_t length)
{
    if (addr % PAGE != 0 || length == 0 || !user_range(addr, &length))
        return -EINVAL;
    uint64_t end = addr + length;
    for (;;) {
        const struct vma *vma = vma_find(&memory->vmas, addr);
        if (!vma || vma->start >= end)
            return 0;
        uint64_t from = vma->start > addr ? vma->start : addr;
        uint64_t to = vma->end < end ? vma->end : end;
        if (!vma_reserve(&memory->vmas))
            return -ENOMEM;
        int r = hide(from, to);
        if (r != 0)
            return r;
        vma_clear(&memory->vmas, from, to);
        addr = to;
    }
}

long memory_mprotect(struct memory *memory, uint64_t addr, uint64_t length, uint64_t prot)
{
    if (addr % PAGE != 0)
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!user_range(addr, &length))
        return -ENOMEM;
    if ((prot & ~(uint64_t)(PROT_ALL | PROT_GROWSDOWN)) != 0)
        return -EINVAL;
    uint64_t end = addr + length;
    if (prot & PROT_GROWSDOWN) {
        /* "From the start of the mapping", which Linux allows for one that grows down: here only the stack. */
        if (addr < memory->stack_start || end > memory->stack_end)
            return -EINVAL;
        addr = memory->stack_start;
    }
    prot &= PROT_ALL;
    /* As Linux: up to the first gap the change is made, then it is ENOMEM. */
    uint64_t covered = vma_covered(&memory->vmas, addr, end);
    if (covered > addr) {
        if (!vma_reserve(&memory->vmas))
            return -ENOMEM;
        if (polder_mprotect(pointer(addr), covered - addr, (int)prot, -1) != 0)
            return -errno;
        vma_set(&memory->vmas, addr, covered, (int)prot);
    }
    return covered == end ? 0 : -ENOMEM;
}

/*
 * The host's mremap for a mapping that grows. A large one is moved to where it has room to grow on and keeps its place
 * within huge pages: programs grow by small steps, and a move costs the sandbox every translation, and huge pages that
 * come to lie across others are broken up.
 */
static void *grow(struct memory *memory, uint64_t addr, uint64_t old_length, uint64_t new_length, bool may_move)
{
    struct memory_spare *room = &memory->grow_spare;
    uint64_t end = addr + old_length, more = new_length - old_length;
    if (room->start == end && room->end - end >= more) {
        munmap(pointer(end), more);
        room->start += more;
    }
    void *p = mremap(pointer(addr), old_length, new_length, 0);
    if (p != MAP_FAILED || !may_move)
        return p;
    if (new_length < HUGE_PAGE || new_length > ELF_TASK_SIZE / 4)
        return mremap(pointer(addr), old_length, new_length, MREMAP_MAYMOVE);
    uint64_t size = 2 * new_length + HUGE_PAGE;
    p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return mremap(pointer(addr), old_length, new_length, MREMAP_MAYMOVE);
    uint64_t base = (uintptr_t)p, target = base + ((addr - base) & (HUGE_PAGE - 1));
    p = mremap(pointer(addr), old_length, new_length, MREMAP_MAYMOVE | MREMAP_FIXED, pointer(target));
    if (p == MAP_FAILED) {
        int error = errno;
        munmap(pointer(base), size);
        errno = error;
        return p;
    }
    if (target > base)
        munmap(pointer(base), target - base);
    drop_spare(room);
    *room = (struct memory_spare){target + new_length, base + size};
    return p;
}

long memory_mremap(
    struct memory *memory, uint64_t addr, uint64_t old_length, uint64_t new_length, uint64_t flags, uint64_t new_addr)
{
    if ((flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0 || addr % PAGE != 0 || new_length == 0)
        return -EINVAL;
    if ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if (!user_range(addr, &old_length) || old_length == 0 || !user_range(0, &new_length))
        return -EINVAL;
    const struct vma *vma = vma_find(&memory->vmas, addr);
    if (!vma || vma->start > addr || vma->end - addr < old_length)
        return -EFAULT;
    int prot = vma->prot;
    if (!vma_reserve(&memory->vmas))
        return -ENOMEM;

    void *p;
    if (flags & MREMAP_FIXED) {
        if (new_addr % PAGE != 0 || !user_range(new_addr, &new_length))
            return -EINVAL;
        if (new_addr < addr + old_length && addr < new_addr + new_length)
            return -EINVAL;
        drop_spares_in(memory, new_addr, new_addr + new_length);
        int r = claim(memory, new_addr, new_addr + new_length);
        if (r != 0)
            return -ENOMEM;
        /* The target goes first, through polder, so that no old translation of it is left. */
        long unmapped = memory_munmap(memory, new_addr, new_length);
        p = unmapped == 0 && vma_reserve(&memory->vmas)
                ? mremap(pointer(addr), old_length, new_length, (int)flags, pointer(new_addr))
                : MAP_FAILED;
        if (p == MAP_FAILED) {
            int error = unmapped != 0 ? (int)-unmapped : errno;
            release(memory, new_addr, new_addr + new_length);
            return -error;
        }
    } else if (new_length <= old_length) {
        long r = new_length == old_length ? 0 : memory_munmap(memory, addr + new_length, old_length - new_length);
        return r != 0 ? r : (long)addr;
    } else {
        p = grow(memory, addr, old_length, new_length, (flags & MREMAP_MAYMOVE) != 0);
        if (p == MAP_FAILED)
            return -errno;
    }

    uint64_t at = (uintptr_t)p;
    long r;
    if (at == addr) {
        r = show(memory, addr + old_length, new_length - old_length, prot);
    } else {
        r = hide(addr, addr + old_length);
        vma_clear(&memory->vmas, addr, addr + old_length);
        if (r == 0 && vma_reserve(&memory->vmas))
            r = show(memory, at, new_length, prot);
    }
    if (r == 0 && new_length >= HUGE_PAGE)
        madvise(p, new_length, MADV_HUGEPAGE); /* refused by the host where it makes no sense */
    return r == 0 ? (long)at : r;
}

/* Makes [from, to) the program's, which begins where its heap ends. */
static long grow_brk(struct memory *memory, uint64_t from, uint64_t to)
{
    struct memory_spare *spare = &memory->brk_spare;
    if (!vma_reserve(&memory->vmas))
        return -ENOMEM;
    if (spare->start != from)
        drop_spare(spare);
    if (spare->end < to) {
        /* To the end of the huge page; if something is there already, no further than asked. */
        uint64_t start = spare->end > from ? spare->end : from, end = (to + HUGE_PAGE - 1) & -HUGE_PAGE;
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
        void *p = end <= ELF_TASK_SIZE
                      ? mmap(pointer(start), end - start, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, -1, 0)
                      : MAP_FAILED;
        if (p != pointer(start)) {
            if (p != MAP_FAILED)
                munmap(p, end - start);
            drop_spare(spare);
            return memory_mmap(memory, from, to - from, PROT_READ | PROT_WRITE, (uint64_t)flags, -1, 0);
        }
        madvise(p, end - start, MADV_HUGEPAGE);
        *spare = (struct memory_spare){from, end};
    }
    long r = show(memory, from, to - from, PROT_READ | PROT_WRITE);
    if (r == 0)
        spare->start = to;
    return r;
}

/* Takes [from, to) away, the end of the program's heap. What is given again must be zero. */
static long shrink_brk(struct memory *memory, uint64_t from, uint64_t to)
{
    struct memory_spare *spare = &memory->brk_spare;
    bool whole = spare->start == to && vma_covered(&memory->vmas, from, to) == to;
    if (!whole || !vma_reserve(&memory->vmas) || madvise(pointer(from), to - from, MADV_DONTNEED) != 0)
        return memory_munmap(memory, from, to - from);
    if (polder_mprotect(pointer(from), to - from, POLDER_PRIVILEGED, -1) != 0)
        return -errno;
    vma_clear(&memory->vmas, from, to);
    spare->start = from;
    return 0;
}

long memory_brk(struct memory *memory, uint64_t addr)
{
    if (addr < memory->brk_start || addr > ELF_TASK_SIZE)
        return (long)memory->brk_end;
    uint64_t old_end = page_up(memory->brk_end), new_end = page_up(addr);
    long r = 0;
    if (new_end > old_end)
        r = grow_brk(memory, old_end, new_end);
    else if (new_end < old_end)
        r = shrink_brk(memory, new_end, old_end);
    if (r < 0)
        return (long)memory->brk_end;
    memory->brk_end = addr;
    return (long)addr;
}

/*
 * Makes a host call that changes no protection on the program's parts of a range. As Linux: gaps are ENOMEM, but the
 * parts are done.
 */
static long on_parts(
    struct memory *memory, uint64_t addr, uint64_t length, long (*call)(uint64_t, uint64_t, int), int arg)
{
    uint64_t end = addr + length;
    long result = 0;
    while (addr < end) {
        const struct vma *vma = vma_find(&memory->vmas, addr);
        if (!vma || vma->start >= end)
            return -ENOMEM;
        if (vma->start > addr) {
            result = -ENOMEM;
            addr = vma->start;
        }
        uint64_t to = vma->end < end ? vma->end : end;
        long r = call(addr, to - addr, arg);
        if (r != 0)
            return r;
        addr = to;
    }
    return result;
}

static long host_madvise(uint64_t addr, uint64_t length, int advice)
{
    return madvise(pointer(addr), length, advice) == 0 ? 0 : -errno;
}

static long host_msync(uint64_t addr, uint64_t length, int flags)
{
    return msync(pointer(addr), length, flags) == 0 ? 0 : -errno;
}

long memory_madvise(struct memory *memory, uint64_t addr, uint64_t length, int advice)
{
    if (addr % PAGE != 0)
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!user_range(addr, &length))
        return -EINVAL;
    /* Guard pages and poisoned ones live in the host's page tables only: the sandbox would stop at them for good. */
    if (advice >= MADV_HWPOISON && advice <= MADV_GUARD_INSTALL + 1)
        return -EINVAL;
    return on_parts(memory, addr, length, host_madvise, advice);
}

long memory_msync(struct memory *memory, uint64_t addr, uint64_t length, int flags)
{
    if (addr % PAGE != 0)
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!user_range(addr, &length))
        return -ENOMEM;
    return on_parts(memory, addr, length, host_msync, flags);
}

long memory_lock(struct memory *memory, long number, uint64_t addr, uint64_t length, uint64_t flags)
{
    length += addr % PAGE;
    addr &= -PAGE;
    if (!user_range(addr, &length))
        return -EINVAL;
    if (vma_covered(&memory->vmas, addr, addr + length) != addr + length)
        return -ENOMEM;
    long r = syscall(number, addr, length, flags);
    return r < 0 ? -errno : r;
}

long memory_mincore(struct memory *memory, uint64_t addr, uint64_t length, uint64_t vector)
{
    if (addr % PAGE != 0)
        return -EINVAL;
    if (!user_range(addr, &length) || vma_covered(&memory->vmas, addr, addr + length) != addr + length)
        return -ENOMEM;
    for (uint64_t end = addr + length; addr < end;) {
        unsigned char state[1024];
        uint64_t pages = (end - addr) / PAGE;
        if (pages > sizeof(state))
            pages = sizeof(state);
        if (mincore(pointer(addr), pages * PAGE, state) != 0)
            return -errno;
        if (polder_write(memory->mm_fd, state, pages, vector) != (ssize_t)pages)
            return -EFAULT;
        vector += pages;
        addr += pages * PAGE;
    }
    return 0;
}

int memory_drop_all(struct memory *memory)
{
    size_t count = memory->vmas.count;
    struct polder_op *ops = calloc(count * 2 + 1, sizeof(*ops));
    if (!ops)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct vma *vma = &memory->vmas.v[i];
        ops[2 * i] =
            (struct polder_op){.code = POLDER_OP_MUNMAP, .start = pointer(vma->start), .length = vma->end - vma->start};
        ops[2 * i + 1] = ops[2 * i];
        ops[2 * i + 1].code = POLDER_OP_MPROTECT;
        ops[2 * i + 1].prot = POLDER_PRIVILEGED;
    }
    int r = count == 0 || polder_apply(-1, ops, count * 2) == 0 ? 0 : -errno;
    free(ops);
    if (r != 0)
        return r;
    if (memory->guard_end > memory->guard_start)
        munmap(pointer(memory->guard_start), memory->guard_end - memory->guard_start);
    drop_spare(&memory->brk_spare);
    drop_spare(&memory->map_spare);
    drop_spare(&memory->grow_spare);
    memory->vmas.count = 0;
    memory->brk_start = memory->brk_end = 0;
    memory->guard_start = memory->guard_end = 0;
    memory->stack_start = memory->stack_end = 0;
    return 0;
}

int memory_stack(struct memory *memory, uint64_t size, bool executable)
{
    /* The guard stays a mapping of the host's, so that nothing is ever placed there. */
    void *p = mmap(NULL, STACK_GUARD + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    uint64_t guard = (uintptr_t)p, start = guard + STACK_GUARD;
    int prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
    if (!vma_reserve(&memory->vmas) ||
        polder_mmap(pointer(start), size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | MAP_FIXED, -1,
            0, -1) == MAP_FAILED) {
        int error = errno;
        munmap(p, STACK_GUARD + size);
        return -error;
    }
    vma_set(&memory->vmas, start, start + size, prot);
    memory->guard_start = guard;
    memory->guard_end = start;
    memory->stack_start = start;
    memory->stack_end = start + size;
    return 0;
}
