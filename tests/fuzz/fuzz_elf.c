/* SPDX-License-Identifier: MIT */
/*
 * The program's file, as `polder run` and `trace` read it: elf.c on any bytes, then load.c with a memory that only
 * looks whether what is mapped lies in what was reserved.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/load.h"
#include "linux/user.h"

#define CHOSEN 0x550000000000ull /* where the host puts what has no address */

static struct {
    uint64_t start, end; /* reserved, 0 before */
    uint64_t file_size;
} loading;

static uint64_t page_end(uint64_t n)
{
    return (n + ELF_PAGE - 1) & -ELF_PAGE;
}

long memory_mmap(
    struct memory *memory, uint64_t addr, uint64_t length, uint64_t prot, uint64_t flags, int fd, uint64_t offset)
{
    (void)memory;
    CHECK(length != 0 && !(prot & ~7ull));
    if (!loading.end) {
        CHECK(prot == PROT_NONE && (flags & MAP_ANONYMOUS));
        if (!(flags & MAP_FIXED_NOREPLACE))
            addr = CHOSEN;
        if (length > ELF_TASK_SIZE - addr)
            return -12;
        loading.start = addr;
        loading.end = page_end(addr + length);
        return (long)addr;
    }
    CHECK(flags & MAP_FIXED);
    CHECK(addr % ELF_PAGE == 0 && addr >= loading.start && length <= loading.end - addr);
    if (!(flags & MAP_ANONYMOUS)) {
        CHECK(fd >= 0 && offset % ELF_PAGE == 0);
        CHECK(offset < loading.file_size && length <= page_end(loading.file_size) - offset);
    }
    return (long)addr;
}

long memory_munmap(struct memory *memory, uint64_t addr, uint64_t length)
{
    (void)memory;
    CHECK(addr % ELF_PAGE == 0 && length != 0 && addr >= loading.start && length <= loading.end - addr);
    return 0;
}

int user_put(int mm_fd, const void *buf, size_t size, uint64_t addr)
{
    (void)mm_fd;
    for (size_t i = 0; i < size; i++)
        CHECK(((const char *)buf)[i] == 0);
    CHECK(addr >= loading.start && size <= loading.end - addr && addr % ELF_PAGE + size == ELF_PAGE);
    return 0;
}

/* What elf.h says of every answer that is given. */
static void hold(const struct elf_image *image, uint64_t file_size)
{
    uint64_t end = image->low;
    CHECK(image->count >= 1 && image->count <= ELF_MAX_SEGMENTS);
    CHECK(image->low % ELF_PAGE == 0 && image->high % ELF_PAGE == 0 && image->high <= ELF_TASK_SIZE);
    CHECK(image->align >= ELF_PAGE && (image->align & (image->align - 1)) == 0);
    CHECK(image->interp_size <= ELF_MAX_INTERP);
    for (unsigned i = 0; i < image->count; i++) {
        const struct elf_segment *s = &image->segment[i];
        CHECK(s->memsz && s->filesz <= s->memsz && s->vaddr >= end && s->memsz <= image->high - s->vaddr);
        CHECK(s->offset <= file_size && s->filesz <= file_size - s->offset);
        CHECK(!s->filesz || (s->vaddr - s->offset) % ELF_PAGE == 0);
        end = s->vaddr + s->memsz;
    }
}

const unsigned fuzz_mutations = 20000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static struct elf_image image;
    static struct memory memory;
    struct elf_reason reason = {""};
    char path[ELF_MAX_INTERP];
    uint64_t bias;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    if (!elf_read(fd, &image, &reason)) {
        CHECK(reason.text[0]);
        return 0;
    }
    hold(&image, size);
    if (image.interp_size && elf_read_interp(fd, &image, path, &reason))
        CHECK(path[0] && strlen(path) < image.interp_size);
    loading.start = loading.end = 0;
    loading.file_size = size;
    if (load_image(&memory, &image, fd, load_program_base(), &bias) == 0)
        CHECK(image.low + bias >= loading.start && image.high + bias <= loading.end && bias % ELF_PAGE == 0);
    return 0;
}
