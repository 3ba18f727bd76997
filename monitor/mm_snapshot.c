/* SPDX-License-Identifier: MIT */
/* mm: "/proc/<pid>/mm" of a foreign process: a copy of its memory as it is now. */
#include "frames.h"
#include "mm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define PER_CALL 64 /* pages */

/* A page that was never touched reads as zeros, and needs no frame. */
static bool is_zero(const void *page)
{
    const uint64_t *words = page;
    for (size_t i = 0; i < PAGE_SIZE / sizeof *words; i++) {
        if (words[i])
            return false;
    }
    return true;
}

/* Whoever may not ptrace it may not read it: process_vm_readv asks that of the kernel (PTRACE_MODE_ATTACH_REALCREDS).
 */
static int copy_pages(struct mm *mm, pid_t pid, uint64_t start, uint64_t end)
{
    for (uint64_t at = start; at < end;) {
        uint64_t pages = min_u64(PER_CALL, (end - at) / PAGE_SIZE);
        struct iovec local[PER_CALL], remote = {(void *)at, pages * PAGE_SIZE};
        uint32_t frames[PER_CALL];
        for (uint64_t i = 0; i < pages; i++) {
            frames[i] = frame_alloc();
            if (!frames[i]) {
                while (i--)
                    frame_drop(frames[i]);
                return -ENOMEM;
            }
            local[i] = (struct iovec){frame_hva(frames[i]), PAGE_SIZE};
        }
        ssize_t n = process_vm_readv(pid, local, pages, &remote, 1, 0);
        int error = n < 0 && errno != EFAULT && errno != EIO ? -errno : 0;
        uint64_t got = n < 0 ? 0 : (uint64_t)n / PAGE_SIZE;
        for (uint64_t i = 0; i < pages; i++) {
            uint64_t address = at + i * PAGE_SIZE;
            bool wanted = !error && i < got && !is_zero(frame_hva(frames[i]));
            struct chunk *chunk = wanted ? mm_own_chunk(mm, address) : NULL;
            if (chunk)
                chunk->frame[address / PAGE_SIZE % BLOCK_PAGES] = frames[i];
            else
                frame_drop(frames[i]);
            if (wanted && !chunk)
                error = -ENOMEM;
        }
        if (error)
            return error;
        /* A page that cannot be read (a device's, or beyond a file's end) is left out. */
        at += (got ? got : 1) * PAGE_SIZE;
    }
    return 0;
}

/* Linux 6.7: which pages of a range have memory (Documentation/admin-guide/mm/pagemap.rst). Debian 12's headers lack
 * it. */
struct scan {
    uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
    uint64_t inverted, all_of, any_of, wanted;
};
struct scanned {
    uint64_t start, end, categories;
};
#define SCAN _IOWR('f', 16, struct scan)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_REGIONS 64

/* Anonymous memory: what was never touched is skipped, for it may be terabytes. */
static int copy_touched(struct mm *mm, pid_t pid, int pagemap, uint64_t start, uint64_t end)
{
    struct scanned regions[SCAN_REGIONS];
    while (start < end) {
        struct scan scan = {.size = sizeof scan,
            .start = start,
            .end = end,
            .regions = (uint64_t)regions,
            .region_count = SCAN_REGIONS,
            .any_of = SCAN_PRESENT | SCAN_SWAPPED,
            .wanted = SCAN_PRESENT | SCAN_SWAPPED};
        long n = ioctl(pagemap, SCAN, &scan);
        if (n < 0)
            return copy_pages(mm, pid, start, end); /* an older kernel: look at all of it */
        for (long i = 0; i < n; i++) {
            int error = copy_pages(mm, pid, regions[i].start, regions[i].end);
            if (error)
                return error;
        }
        start = scan.walk_end > start ? scan.walk_end : end;
    }
    return 0;
}

static int add_mapping(struct mm *mm, pid_t pid, int pagemap, const char *line)
{
    uint64_t start, end, inode;
    char prot[5];
    if (sscanf(line, "%lx-%lx %4s %*s %*s %lu", &start, &end, prot, &inode) != 4 || start >= end || end > USER_END ||
        start < PAGE_SIZE)
        return 0; /* the vsyscall page is in the upper half; nothing may be at 0 (MSR_CSTAR) */
    struct region model = {.start = start, .end = end, .kind = REGION_ANONYMOUS, .file_writable = true};
    model.prot |= prot[0] == 'r' ? PROT_READ : 0;
    model.prot |= prot[1] == 'w' ? PROT_WRITE : 0;
    model.prot |= prot[2] == 'x' ? PROT_EXEC : 0;
    if (!regions_reserve(&mm->regions, 1))
        return -ENOMEM;
    regions_add(&mm->regions, &model);
    if (!model.prot)
        return 0;
    return inode ? copy_pages(mm, pid, start, end) : copy_touched(mm, pid, pagemap, start, end);
}

int mm_snapshot(pid_t pid, struct mm **result)
{
    char path[32], line[8192];
    struct mm *mm = NULL;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : -errno;
    snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC); /* without it, everything is looked at */
    int error = mm_new(&mm);
    size_t kept = 0;
    bool any = false;
    for (ssize_t n; !error && (n = read(fd, line + kept, sizeof line - 1 - kept)) > 0;) {
        char *at = line, *end = line + kept + n;
        for (char *newline; !error && (newline = memchr(at, '\n', (size_t)(end - at))); at = newline + 1) {
            *newline = 0;
            any = true;
            error = add_mapping(mm, pid, pagemap, at);
        }
        kept = (size_t)(end - at) < sizeof line - 1 ? (size_t)(end - at) : 0;
        memmove(line, at, kept);
    }
    close(fd);
    if (pagemap >= 0)
        close(pagemap);
    if (!error && !any) { /* a process without memory, or one whose maps may not be read */
        mm_drop(mm);
        return -EACCES;
    }
    if (error && error != -ENOMEM)
        error = error == -ESRCH ? -ENOENT : error;
    if (error && mm)
        mm_drop(mm);
    else
        *result = mm;
    return error;
}
