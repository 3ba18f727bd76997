/* SPDX-License-Identifier: MIT */
#include "linux/elf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 2, 3))) static bool refuse(struct elf_reason *reason, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason->text, sizeof(reason->text), format, ap);
    va_end(ap);
    return false;
}

/* True if [start, start + length) lies inside [0, end) and the sum does not wrap. */
static bool inside(uint64_t start, uint64_t length, uint64_t end)
{
    return start <= end && length <= end - start;
}

bool elf_check_header(const void *data, size_t size, uint64_t file_size, struct elf_reason *reason)
{
    const unsigned char *ident = data;
    Elf64_Ehdr h;
    if (size < SELFMAG || memcmp(ident, ELFMAG, SELFMAG) != 0)
        return refuse(reason, "not an ELF program");
    if (size <= EI_CLASS)
        return refuse(reason, "truncated: %zu bytes are no ELF header", size);
    if (ident[EI_CLASS] == ELFCLASS32)
        return refuse(reason, "a 32-bit program; only x86-64 programs are run");
    if (ident[EI_CLASS] != ELFCLASS64)
        return refuse(reason, "unknown ELF class %u", ident[EI_CLASS]);
    if (size < sizeof(h))
        return refuse(reason, "truncated: %zu bytes are no ELF header", size);
    memcpy(&h, data, sizeof(h));
    if (h.e_ident[EI_DATA] != ELFDATA2LSB)
        return refuse(reason, "not little-endian (ELF data encoding %u)", h.e_ident[EI_DATA]);
    if (h.e_ident[EI_VERSION] != EV_CURRENT || h.e_version != EV_CURRENT)
        return refuse(reason, "unknown ELF version %" PRIu32, h.e_version);
    if (h.e_machine != EM_X86_64)
        return refuse(reason, "a program for another machine (ELF machine %u, x86-64 is %u)", h.e_machine, EM_X86_64);
    if (h.e_type != ET_EXEC && h.e_type != ET_DYN)
        return refuse(reason, "not a program (ELF type %u)", h.e_type);
    if (h.e_phentsize != sizeof(Elf64_Phdr))
        return refuse(reason, "program headers of %u bytes instead of %zu", h.e_phentsize, sizeof(Elf64_Phdr));
    if (h.e_phnum == 0)
        return refuse(reason, "no program headers");
    if (h.e_phnum > ELF_MAX_PHDRS)
        return refuse(reason, "%u program headers, more than %u", h.e_phnum, ELF_MAX_PHDRS);
    if (!inside(h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr), file_size))
        return refuse(reason, "truncated: the program headers at offset %" PRIu64 " end beyond the file", h.e_phoff);
    return true;
}

static bool add_segment(
    const Elf64_Phdr *p, unsigned index, uint64_t file_size, struct elf_image *image, struct elf_reason *reason)
{
    if (p->p_filesz > p->p_memsz)
        return refuse(reason, "program header %u: %" PRIu64 " bytes of file in %" PRIu64 " of memory", index,
            p->p_filesz, p->p_memsz);
    if (p->p_memsz == 0)
        return true; /* linkers do leave these behind; they are nothing to map */
    if (!inside(p->p_vaddr, p->p_memsz, ELF_TASK_SIZE))
        return refuse(reason, "program header %u: address %#" PRIx64 " and size %#" PRIx64 " leave user space", index,
            p->p_vaddr, p->p_memsz);
    if (!inside(p->p_offset, p->p_filesz, file_size))
        return refuse(reason,
            "truncated: program header %u: %#" PRIx64 " bytes at offset %#" PRIx64 " end beyond the file", index,
            p->p_filesz, p->p_offset);
    if (p->p_filesz != 0 && (p->p_vaddr - p->p_offset) % ELF_PAGE != 0)
        return refuse(reason, "program header %u: address %#" PRIx64 " and offset %#" PRIx64 " differ within a page",
            index, p->p_vaddr, p->p_offset);
    if (p->p_align > 1 && (p->p_align & (p->p_align - 1)) != 0)
        return refuse(reason, "program header %u: alignment %#" PRIx64 " is not a power of two", index, p->p_align);
    if (p->p_align > 1ull << 40)
        return refuse(reason, "program header %u: alignment %#" PRIx64 " cannot be had", index, p->p_align);
    if (image->count == ELF_MAX_SEGMENTS)
        return refuse(reason, "more than %u segments", ELF_MAX_SEGMENTS);
    if (image->count > 0) {
        const struct elf_segment *last = &image->segment[image->count - 1];
        if (p->p_vaddr < last->vaddr + last->memsz)
            return refuse(reason, "program header %u: address %#" PRIx64 " is not above the segment before it", index,
                p->p_vaddr);
    }
    image->segment[image->count++] = (struct elf_segment){
        .vaddr = p->p_vaddr,
        .memsz = p->p_memsz,
        .offset = p->p_offset,
        .filesz = p->p_filesz,
        .prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                (p->p_flags & PF_X ? PROT_EXEC : 0),
    };
    if (p->p_align > image->align)
        image->align = p->p_align;
    return true;
}

bool elf_check_segments(const Elf64_Ehdr *h, const Elf64_Phdr *phdrs, uint64_t file_size, struct elf_image *image,
    struct elf_reason *reason)
{
    memset(image, 0, sizeof(*image));
    image->position_independent = h->e_type == ET_DYN;
    image->entry = h->e_entry;
    image->align = ELF_PAGE;
    image->phnum = h->e_phnum;
    for (unsigned i = 0; i < h->e_phnum; i++) {
        const Elf64_Phdr *p = &phdrs[i];
        switch (p->p_type) {
        case PT_LOAD:
            if (!add_segment(p, i, file_size, image, reason))
                return false;
            break;
        case PT_INTERP:
            if (image->interp_size != 0)
                return refuse(reason, "program header %u: a second interpreter", i);
            if (p->p_filesz < 2 || p->p_filesz > ELF_MAX_INTERP)
                return refuse(reason, "program header %u: an interpreter path of %" PRIu64 " bytes", i, p->p_filesz);
            if (!inside(p->p_offset, p->p_filesz, file_size))
                return refuse(
                    reason, "truncated: the interpreter path at offset %" PRIu64 " ends beyond the file", p->p_offset);
            image->interp_offset = p->p_offset;
            image->interp_size = p->p_filesz;
            break;
        case PT_GNU_STACK:
            image->stack_exec = (p->p_flags & PF_X) != 0;
            break;
        default:
            break;
        }
    }
    if (image->count == 0)
        return refuse(reason, "nothing to load");
    const struct elf_segment *first = &image->segment[0], *last = &image->segment[image->count - 1];
    image->low = first->vaddr & -ELF_PAGE;
    image->high = (last->vaddr + last->memsz + ELF_PAGE - 1) & -ELF_PAGE;
    /* The segment that holds the headers decides where the program finds them, not PT_PHDR, which may lie. */
    for (unsigned i = 0; i < image->count; i++) {
        const struct elf_segment *s = &image->segment[i];
        if (h->e_phoff >= s->offset && inside(h->e_phoff - s->offset, h->e_phnum * sizeof(*phdrs), s->filesz)) {
            image->phdr_vaddr = s->vaddr + (h->e_phoff - s->offset);
            break;
        }
    }
    bool entered = false;
    for (unsigned i = 0; i < image->count; i++)
        entered |= image->entry - image->segment[i].vaddr < image->segment[i].memsz;
    if (!entered)
        return refuse(reason, "the entry point %#" PRIx64 " is in no segment", image->entry);
    return true;
}

/* pread until the buffer is full or the file ends; the number of bytes, or -1. */
static ssize_t read_at(int fd, void *buf, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

bool elf_read(int fd, struct elf_image *image, struct elf_reason *reason)
{
    struct stat st;
    Elf64_Ehdr header;
    Elf64_Phdr phdrs[ELF_MAX_PHDRS];
    ssize_t n;
    if (fstat(fd, &st) != 0 || (n = read_at(fd, &header, sizeof(header), 0)) < 0)
        return refuse(reason, "%s", strerror(errno));
    errno = 0;
    uint64_t file_size = (uint64_t)st.st_size;
    if (!elf_check_header(&header, (size_t)n, file_size, reason))
        return false;
    size_t size = header.e_phnum * sizeof(phdrs[0]);
    n = read_at(fd, phdrs, size, header.e_phoff);
    if (n < 0)
        return refuse(reason, "%s", strerror(errno));
    errno = 0;
    if ((size_t)n < size)
        return refuse(reason, "truncated: the program headers cannot be read");
    return elf_check_segments(&header, phdrs, file_size, image, reason);
}

bool elf_read_interp(int fd, const struct elf_image *image, char *path, struct elf_reason *reason)
{
    ssize_t n = read_at(fd, path, image->interp_size, image->interp_offset);
    if (n < 0)
        return refuse(reason, "%s", strerror(errno));
    errno = 0;
    if ((uint64_t)n < image->interp_size)
        return refuse(reason, "truncated: the interpreter path cannot be read");
    if (path[image->interp_size - 1] != '\0')
        return refuse(reason, "the interpreter path has no end");
    if (path[0] == '\0')
        return refuse(reason, "the interpreter path is empty");
    return true;
}
