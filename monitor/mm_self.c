/* SPDX-License-Identifier: MIT */
/*
 * mm: "/proc/self/mm", the caller's own memory at its own addresses.
 *
 * Three sources say what a sandbox may see there, in this order: what is the library's own is never seen; what
 * polder_mmap and polder_mprotect with dest_fd -1 have recorded, hidden or not; and, for the rest, /proc/self/maps,
 * asked at the fault and remembered until KVM reports that memory has gone. A page is mapped through a window over the
 * very host page, so the host's own protection holds in any case: an outdated memory of it can make a fault late, never
 * a store legal.
 */
#include "highfd.h"
#include "hostmem.h"
#include "mm.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ERROR_WRITE 2
#define ERROR_FETCH 16
/* Around a fault so much of a recorded region is mapped with 2 MiB entries: they cost nothing until touched. */
#define AROUND (64ull << 20)

static PRIVATE_STATE struct {
    struct mm *mm;
    uint64_t epoch;
    int maps; /* /proc/self/maps, plus 1: kept, since a fault can come when no descriptor is left */
} PRIVATE_TYPE self;

static bool open_maps(void)
{
    if (!self.maps) {
        int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        self.maps = highfd_move(fd) + 1;
    }
    return self.maps != 0;
}

int mm_get_self(struct mm **mm)
{
    int error = 0;
    pthread_mutex_lock(&locks.self);
    if (!self.mm || self.epoch != state_epoch()) {
        error = mm_new(&self.mm);
        if (error) {
            self.mm = NULL;
        } else {
            self.epoch = state_epoch();
            self.mm->self = true;
            if (self.maps) /* a parent's, and of its memory */
                close(self.maps - 1);
            self.maps = 0;
            open_maps(); /* if it fails, it is tried again */
        }
    }
    if (!error) {
        mm_hold(self.mm);
        *mm = self.mm;
    }
    pthread_mutex_unlock(&locks.self);
    return error;
}

bool mm_is_self(const struct mm *mm)
{
    return mm->self;
}

static bool user_range_locked(struct mm *mm, uint64_t address, uint64_t length)
{
    uint64_t end = address + length;
    if (length == 0)
        return true;
    if (end < address || end > USER_END)
        return false;
    if (hostmem_overlaps(address, length))
        return false;
    for (struct region *r = region_at_or_after(&mm->regions, address); r && r->start < end; r = region_next(r)) {
        if (r->kind == REGION_HIDDEN)
            return false;
    }
    return true;
}

bool mm_user_range(struct mm *mm, uint64_t address, uint64_t length)
{
    pthread_mutex_lock(&mm->lock);
    bool user = user_range_locked(mm, address, length);
    pthread_mutex_unlock(&mm->lock);
    return user;
}

/* ---------------------------------------------------------------- /proc/self/maps */

static uint64_t hexadecimal(const char **at, const char *end)
{
    uint64_t n = 0;
    for (; *at < end; (*at)++) {
        char c = **at;
        if (c >= '0' && c <= '9')
            n = n << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    return n;
}

/* One line of maps: "start-end rwxp ...". True if it holds address. */
static bool parse_line(const char *line, const char *end, uint64_t address, struct region *found)
{
    uint64_t from = hexadecimal(&line, end);
    if (line == end || *line++ != '-')
        return false;
    uint64_t to = hexadecimal(&line, end);
    if (end - line < 5 || address < from || address >= to)
        return false;
    *found = (struct region){.start = from, .end = to, .kind = REGION_OBSERVED};
    if (line[1] == 'r')
        found->prot |= PROT_READ;
    if (line[2] == 'w')
        found->prot |= PROT_WRITE;
    if (line[3] == 'x')
        found->prot |= PROT_EXEC;
    return true;
}

/* MM_RESOLVED: it has been found. */
static enum mm_fault observe(uint64_t address, struct region *found)
{
    char buf[4096];
    size_t kept = 0;
    bool hit = false;
    if (!open_maps())
        return MM_NO_MEMORY;
    off_t at = 0;
    for (ssize_t n; !hit && (n = pread(self.maps - 1, buf + kept, sizeof buf - kept, at)); at += n > 0 ? n : 0) {
        if (n < 0 && errno != EINTR)
            return MM_NO_MEMORY;
        if (n < 0)
            continue;
        const char *line = buf, *end = buf + kept + n;
        for (const char *newline; !hit && (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1)
            hit = parse_line(line, newline, address, found);
        kept = (size_t)(end - line);
        if (kept == sizeof buf) /* a name longer than the buffer: what matters of the line is at its start */
            kept = 0;
        memmove(buf, line, kept);
    }
    return hit ? MM_RESOLVED : MM_NOT_MAPPED;
}

/* Cuts found down to what is neither hidden nor recorded nor the library's around address. */
static void cut_observed(struct mm *mm, struct region *found, uint64_t address)
{
    struct region *after = region_at_or_after(&mm->regions, address);
    if (after)
        found->end = min_u64(found->end, after->start);
    for (struct region *r = region_at_or_after(&mm->regions, found->start); r && r->start < address; r = region_next(r))
        found->start = max_u64(found->start, r->end);
    found->start = max_u64(found->start, address & ~(AROUND - 1));
    found->end = min_u64(found->end, (address & ~(AROUND - 1)) + AROUND);
    while (found->start < (address & PAGE_MASK) && !user_range_locked(mm, found->start, PAGE_SIZE))
        found->start += PAGE_SIZE;
    uint64_t at = address & PAGE_MASK;
    while (at < found->end && user_range_locked(mm, at, PAGE_SIZE))
        at += PAGE_SIZE;
    found->end = at;
    for (at = address & PAGE_MASK; at > found->start && user_range_locked(mm, at - PAGE_SIZE, PAGE_SIZE);)
        at -= PAGE_SIZE;
    found->start = at;
}

static bool allowed(const struct region *r, uint64_t error)
{
    if (error & ERROR_WRITE)
        return r->prot & PROT_WRITE;
    if (error & ERROR_FETCH)
        return r->prot & PROT_EXEC;
    return r->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int fill_around(struct mm *mm, const struct region *r, uint64_t address)
{
    uint64_t rights = mm_rights(r), block = address & ~(BLOCK_SIZE - 1);
    uint64_t from = max_u64(r->start, block), to = min_u64(r->end, block + BLOCK_SIZE);
    int error = mm_fill(mm, from, to, (const void *)from, rights, true);
    /* Whole blocks after it in the same window cost one entry each. */
    uint64_t last = min_u64(r->end & ~(BLOCK_SIZE - 1), (address & ~(AROUND - 1)) + AROUND);
    for (uint64_t at = block + BLOCK_SIZE; !error && at + BLOCK_SIZE <= last; at += BLOCK_SIZE)
        error = mm_fill(mm, at, at + BLOCK_SIZE, (const void *)at, rights, true);
    return error;
}

static enum mm_fault fill_carefully(struct mm *mm, const struct region *r, uint64_t page, uint64_t error)
{
    if (mm_page_is_lost(mm, (const void *)page, error))
        return MM_BEYOND_FILE;
    return mm_fill(mm, page, page + PAGE_SIZE, (const void *)page, mm_rights(r), false) ? MM_NO_MEMORY : MM_RESOLVED;
}

enum mm_fault mm_self_fault(struct mm *mm, uint64_t address, uint64_t error)
{
    struct region *r = region_find(&mm->regions, address), observed;
    if (address < PAGE_SIZE) /* not even if the host has memory there: see MSR_CSTAR */
        return MM_NOT_MAPPED;
    /* What is privileged is mapped all the same, if it is: it has a page, with U/S clear as it were. */
    if (hostmem_overlaps(address, 1) || (r && r->kind == REGION_HIDDEN)) {
        enum mm_fault there = observe(address, &observed);
        return there == MM_RESOLVED ? MM_DENIED : there;
    }
    if (!r || (r->kind == REGION_OBSERVED && !allowed(r, error))) {
        /* Not known, or perhaps no longer so. */
        if (r) {
            if (!regions_reserve(&mm->regions, 2) || !edits_reserve(&mm->edits, pagetable_edits(r->start, r->end)))
                return MM_NO_MEMORY;
            if (pagetable_unmap(&mm->pt, r->start, r->end) && mm->loaded)
                mm->generation++;
            regions_remove(&mm->regions, r->start, r->end);
        }
        enum mm_fault there = observe(address, &observed);
        if (there != MM_RESOLVED)
            return there;
        cut_observed(mm, &observed, address);
        if (!regions_reserve(&mm->regions, 2))
            return MM_NO_MEMORY;
        regions_add(&mm->regions, &observed);
        r = region_find(&mm->regions, address);
    }
    if (!allowed(r, error))
        return MM_DENIED;
    if (mm->careful)
        return fill_carefully(mm, r, address & PAGE_MASK, error);
    return fill_around(mm, r, address & PAGE_MASK) ? MM_NO_MEMORY : MM_RESOLVED;
}

/* ---------------------------------------------------------------- the host's own calls, and the record */

/* Hides [start, end) at once, as far as it was seen, and forgets what was recorded there. */
static int forget_range(struct mm_change *change, uint64_t start, uint64_t end)
{
    struct mm *mm = change->mm;
    if (!regions_reserve(&mm->regions, 4) || !mm_unmap_pages(change, start, end))
        return -ENOMEM;
    regions_remove(&mm->regions, start, end);
    return 0;
}

static void record(struct mm *mm, uint64_t start, uint64_t end, int prot)
{
    struct region model = {.start = start,
        .end = end,
        .kind = prot & POLDER_PRIVILEGED ? REGION_HIDDEN : REGION_OWN,
        .privileged = prot == POLDER_PRIVILEGED, /* declared: it outlives what is mapped there */
        .prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC)};
    regions_add(&mm->regions, &model);
}

int mm_self_map(struct mm_change *change, uint64_t start, uint64_t length, int prot, int flags, int fd, uint64_t offset,
    uint64_t *result)
{
    struct mm *mm = change->mm;
    uint64_t size = page_up(length);
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && size && hostmem_overlaps(start, size))
        return flags & MAP_FIXED_NOREPLACE ? -EEXIST : -ENOMEM;
    /* Asked for now: after the host's call nothing may fail. */
    if (!regions_reserve(&mm->regions, 4) || !edits_reserve(&mm->edits, pagetable_edits(start, start + size)))
        return -ENOMEM;
    void *at = mmap((void *)start, length, prot & ~POLDER_PRIVILEGED, flags, fd, (off_t)offset);
    if (at == MAP_FAILED)
        return -errno;
    uint64_t where = (uint64_t)at;
    if (forget_range(change, where, where + size)) {
        munmap(at, length);
        return -ENOMEM;
    }
    record(mm, where, where + size, prot);
    *result = where;
    return 0;
}

int mm_self_unmap(struct mm_change *change, uint64_t start, uint64_t length)
{
    if (length == 0 || (start & ~PAGE_MASK) || length > USER_END || start > USER_END - page_up(length))
        return -EINVAL;
    if (hostmem_overlaps(start, page_up(length)))
        return -EINVAL;
    struct mm *mm = change->mm;
    uint64_t end = start + page_up(length);
    if (!regions_reserve(&mm->regions, 4) || !mm_unmap_pages(change, start, end))
        return -ENOMEM;
    if (munmap((void *)start, length)) /* what is privileged stays so */
        return -errno;
    /* A declaration that a range is privileged holds whatever is mapped there, also if only a part of the range has it.
     */
    for (struct region *r = region_at_or_after(&mm->regions, start), *next; r && r->start < end; r = next) {
        next = region_next(r);
        if (!r->privileged)
            regions_remove(&mm->regions, max_u64(r->start, start), min_u64(r->end, end));
    }
    return 0;
}

int mm_self_protect(struct mm_change *change, uint64_t start, uint64_t length, int prot)
{
    struct mm *mm = change->mm;
    if ((start & ~PAGE_MASK) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | 0x8 | POLDER_PRIVILEGED)))
        return -EINVAL;
    if (length > USER_END || start > USER_END - page_up(length))
        return -ENOMEM;
    if (length == 0)
        return 0;
    uint64_t end = start + page_up(length);
    if (prot == POLDER_PRIVILEGED) {
        int error = forget_range(change, start, end);
        if (!error)
            record(mm, start, end, prot);
        return error;
    }
    if (hostmem_overlaps(start, end - start))
        return -ENOMEM;
    if (!regions_reserve(&mm->regions, 4) || !edits_reserve(&mm->edits, pagetable_edits(start, end)))
        return -ENOMEM;
    if (mprotect((void *)start, length, prot & ~POLDER_PRIVILEGED))
        return -errno;
    int error = forget_range(change, start, end);
    if (!error)
        record(mm, start, end, prot);
    return error;
}
