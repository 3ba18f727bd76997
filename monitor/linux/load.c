/* SPDX-License-Identifier: MIT */
#include "linux/load.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/random.h>

#include "linux/user.h"

/*
 * Above where Linux puts the heap of a static position-independent program, which the monitor is, and where programs
 * expect to be: two thirds up. 28 bits of pages are Linux's own amount of randomness.
 */
#define PROGRAM_BASE 0x560000000000ull
#define RANDOM_PAGES (1ull << 28)

uint64_t load_program_base(void)
{
    uint32_t random = 0;
    int persona = personality(0xffffffff);
    if (persona == -1 || !(persona & ADDR_NO_RANDOMIZE)) {
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
            random = 0;
    }
    return PROGRAM_BASE + random % RANDOM_PAGES * ELF_PAGE;
}

/* Takes [low, high) for the image, shifted by *bias, so that its segments cannot collide with anything. */
static int reserve(struct memory *memory, const struct elf_image *image, uint64_t near, uint64_t *bias)
{
    const uint64_t anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint64_t span = image->high - image->low;
    if (!image->position_independent) {
        long r = memory_mmap(memory, image->low, span, PROT_NONE, anonymous | MAP_FIXED_NOREPLACE, -1, 0);
        *bias = 0;
        return r < 0 ? (int)r : 0;
    }
    /* The host aligns to pages only; what a larger alignment needs more is given back. */
    uint64_t slack = image->align - ELF_PAGE;
    if (span + slack < span)
        return -ENOMEM;
    long r = memory_mmap(memory, near, span + slack, PROT_NONE, anonymous, -1, 0);
    if (r < 0)
        return (int)r;
    uint64_t at = (uint64_t)r, end = at + span + slack;
    /* The lowest address that is the image's own modulo its alignment. */
    uint64_t start = at + ((image->low - at) & (image->align - 1));
    if (start > at)
        memory_munmap(memory, at, start - at);
    if (start + span < end)
        memory_munmap(memory, start + span, end - start - span);
    *bias = start - image->low;
    return 0;
}

static int map_segment(struct memory *memory, const struct elf_segment *s, int fd, uint64_t bias)
{
    static const char zeros[ELF_PAGE];
    uint64_t lead = s->vaddr % ELF_PAGE;
    uint64_t start = bias + s->vaddr - lead;
    uint64_t file_end = bias + s->vaddr + s->filesz, end = bias + s->vaddr + s->memsz;
    uint64_t anonymous = start;
    if (s->filesz != 0) {
        long r = memory_mmap(
            memory, start, lead + s->filesz, (uint64_t)s->prot, MAP_PRIVATE | MAP_FIXED, fd, s->offset - lead);
        if (r < 0)
            return (int)r;
        anonymous = (file_end + ELF_PAGE - 1) & -ELF_PAGE;
        /* The rest of the last page is memory that begins as zero. Where it cannot be written it stays as it is. */
        if (end > file_end && anonymous > file_end && (s->prot & PROT_WRITE)) {
            int put = user_put(memory->mm_fd, zeros, anonymous - file_end, file_end);
            if (put != 0)
                return put;
        }
    }
    if (end > anonymous) {
        long r = memory_mmap(
            memory, anonymous, end - anonymous, (uint64_t)s->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (r < 0)
            return (int)r;
    }
    return 0;
}

int load_image(struct memory *memory, const struct elf_image *image, int fd, uint64_t near, uint64_t *bias)
{
    int r = reserve(memory, image, near, bias);
    uint64_t done = image->low;
    for (unsigned i = 0; i < image->count && r == 0; i++) {
        const struct elf_segment *s = &image->segment[i];
        uint64_t start = s->vaddr & -ELF_PAGE;
        /* Between segments nothing is mapped. */
        if (start > done)
            memory_munmap(memory, *bias + done, start - done);
        r = map_segment(memory, s, fd, *bias);
        done = (s->vaddr + s->memsz + ELF_PAGE - 1) & -ELF_PAGE;
    }
    return r;
}
