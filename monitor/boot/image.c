/* SPDX-License-Identifier: MIT */
#include "boot/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <polder/abi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/message.h"
#include "types.h"

#define MAX_PHDRS 256u
#define STATUS_NOT_A_KERNEL 126
#define STATUS_NO_FILE 127

__attribute__((format(printf, 2, 3))) static bool refuse(struct image_reason *reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason->text, sizeof reason->text, format, arguments);
    va_end(arguments);
    return false;
}

static bool check_header(const Elf64_Ehdr *h, uint64_t size, struct image_reason *reason)
{
    if (size < sizeof *h)
        return refuse(reason, "it has %" PRIu64 " bytes, less than an ELF header", size);
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(reason, "it is not an ELF file");
    if (h->e_ident[EI_CLASS] != ELFCLASS64)
        return refuse(reason, "its class is %u, not ELF64", h->e_ident[EI_CLASS]);
    if (h->e_ident[EI_DATA] != ELFDATA2LSB)
        return refuse(reason, "its data encoding is %u, not little-endian", h->e_ident[EI_DATA]);
    if (h->e_ident[EI_VERSION] != EV_CURRENT || h->e_version != EV_CURRENT)
        return refuse(reason, "its ELF version is %u, not 1", h->e_version);
    if (h->e_machine != EM_X86_64)
        return refuse(reason, "it is for machine %u, not x86-64 (62)", h->e_machine);
    if (h->e_type != ET_EXEC)
        return refuse(reason, "its type is %u, not a statically linked executable at fixed addresses (2)", h->e_type);
    if (h->e_phentsize != sizeof(Elf64_Phdr))
        return refuse(reason, "its program headers have %u bytes each, not %zu", h->e_phentsize, sizeof(Elf64_Phdr));
    if (h->e_phnum == 0 || h->e_phnum > MAX_PHDRS)
        return refuse(reason, "it has %u program headers, not 1 to %u", h->e_phnum, MAX_PHDRS);
    if (h->e_phoff > size || size - h->e_phoff < h->e_phnum * sizeof(Elf64_Phdr))
        return refuse(
            reason, "its program headers, at %#" PRIx64 ", go beyond its end at %#" PRIx64, (uint64_t)h->e_phoff, size);
    return true;
}

static bool check_segment(struct image *image, const Elf64_Phdr *p, struct image_reason *reason)
{
    uint64_t vaddr = p->p_vaddr;
    if (p->p_offset > image->file_size || image->file_size - p->p_offset < p->p_filesz)
        return refuse(reason, "its segment at %#" PRIx64 " goes beyond the end of the file", vaddr);
    if (p->p_filesz > p->p_memsz)
        return refuse(reason,
            "its segment at %#" PRIx64 " has %#" PRIx64 " bytes in the file for %#" PRIx64 " in memory", vaddr,
            (uint64_t)p->p_filesz, (uint64_t)p->p_memsz);
    if (p->p_memsz == 0)
        return true;
    if (vaddr % PAGE_SIZE)
        return refuse(reason, "its segment at %#" PRIx64 " does not begin at a page boundary", vaddr);
    if (vaddr < BOOT_IMAGE_MIN)
        return refuse(reason, "its segment at %#" PRIx64 " lies below %#lx", vaddr, BOOT_IMAGE_MIN);
    /* The last page is left out, so that no end of anything is 0. */
    if (p->p_memsz > -PAGE_SIZE - vaddr)
        return refuse(reason,
            "its segment at %#" PRIx64 " of %#" PRIx64 " bytes goes beyond the end of the address space", vaddr,
            (uint64_t)p->p_memsz);
    if ((p->p_flags & PF_W) && (p->p_flags & PF_X))
        return refuse(reason, "its segment at %#" PRIx64 " is both writable and executable", vaddr);
    if (image->count == IMAGE_MAX_SEGMENTS)
        return refuse(reason, "it has more than %u segments", IMAGE_MAX_SEGMENTS);
    if (image->count && vaddr < image->high)
        return refuse(reason,
            "its segment at %#" PRIx64 " lies below the end of the one before it, or shares a page with it", vaddr);
    if (!image->count)
        image->low = vaddr;
    image->high = page_up(vaddr + p->p_memsz);
    if (image->high - image->low > IMAGE_MAX_SPAN)
        return refuse(
            reason, "its segments span %#" PRIx64 " bytes, more than %#llx", image->high - image->low, IMAGE_MAX_SPAN);
    image->segment[image->count++] = (struct image_segment){.vaddr = vaddr,
        .memsz = p->p_memsz,
        .offset = p->p_offset,
        .filesz = p->p_filesz,
        .writable = p->p_flags & PF_W,
        .executable = p->p_flags & PF_X};
    return true;
}

/* Looks for the note in one PT_NOTE; libelf checks the sizes in it. -1: not there, else the version. */
static int64_t find_note(Elf *elf, const Elf64_Phdr *p)
{
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)p->p_offset, p->p_filesz, ELF_T_NHDR);
    if (!data)
        return -1;
    GElf_Nhdr note;
    size_t name, desc;
    for (size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &desc)) > 0;) {
        uint32_t version;
        if (note.n_type != BOOT_NOTE_ABI || note.n_namesz != sizeof "polder" || note.n_descsz != sizeof version ||
            memcmp((char *)data->d_buf + name, "polder", sizeof "polder") != 0)
            continue;
        memcpy(&version, (char *)data->d_buf + desc, sizeof version);
        return version;
    }
    return -1;
}

static bool check_note(const struct image *image, const Elf64_Phdr *phdrs, unsigned count, struct image_reason *reason)
{
    elf_version(EV_CURRENT);
    Elf *elf = elf_memory(image->file, image->file_size);
    int64_t version = -1;
    for (unsigned i = 0; elf && i < count && version < 0; i++)
        if (phdrs[i].p_type == PT_NOTE && phdrs[i].p_offset <= image->file_size &&
            phdrs[i].p_filesz <= image->file_size - phdrs[i].p_offset)
            version = find_note(elf, &phdrs[i]);
    elf_end(elf);
    if (version < 0)
        return refuse(reason, "it lacks the note that says it is one (POLDER_BOOT_NOTE of polder/abi.h)");
    if (version != BOOT_ABI)
        return refuse(
            reason, "it is for version %" PRId64 " of the boot protocol; this is version %d", version, BOOT_ABI);
    return true;
}

static bool entry_is_code(const struct image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_segment *s = &image->segment[i];
        if (s->executable && image->entry >= s->vaddr && image->entry - s->vaddr < s->memsz)
            return true;
    }
    return false;
}

bool image_check(struct image *image, struct image_reason *reason)
{
    Elf64_Ehdr header = {0};
    memcpy(&header, image->file, min_u64(sizeof header, image->file_size));
    if (!check_header(&header, image->file_size, reason))
        return false;
    Elf64_Phdr phdrs[MAX_PHDRS];
    memcpy(phdrs, image->file + header.e_phoff, header.e_phnum * sizeof phdrs[0]);
    image->entry = header.e_entry;
    image->count = 0;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (phdrs[i].p_type == PT_INTERP)
            return refuse(reason, "it asks for a program interpreter; a kernel is linked statically");
        if (phdrs[i].p_type == PT_LOAD && !check_segment(image, &phdrs[i], reason))
            return false;
    }
    if (!image->count)
        return refuse(reason, "it has nothing to load");
    if (!entry_is_code(image))
        return refuse(reason, "its entry, %#" PRIx64 ", is in no executable segment", image->entry);
    return check_note(image, phdrs, header.e_phnum, reason);
}

/* A private copy: a mapping would raise SIGBUS when somebody cuts the file. */
static bool read_all(int fd, struct image *image, struct image_reason *reason)
{
    struct stat st;
    if (fstat(fd, &st))
        return refuse(reason, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(reason, "it is not a regular file");
    if (st.st_size == 0)
        return refuse(reason, "it is empty");
    if ((uint64_t)st.st_size > IMAGE_MAX_FILE)
        return refuse(reason, "it has %" PRIu64 " bytes, more than %llu", (uint64_t)st.st_size, IMAGE_MAX_FILE);
    image->file_size = (size_t)st.st_size;
    image->file = malloc(image->file_size);
    if (!image->file)
        return refuse(reason, "no memory for its %zu bytes", image->file_size);
    for (size_t done = 0; done < image->file_size;) {
        ssize_t n = read(fd, image->file + done, image->file_size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return refuse(reason, "%s", n ? strerror(errno) : "it was cut while it was read");
        done += (size_t)n;
    }
    return true;
}

int image_read(const char *path, struct image *image)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int error = errno;
        message("%s: %s", path, strerror(error));
        return error == ENOENT || error == ENOTDIR ? STATUS_NO_FILE : STATUS_NOT_A_KERNEL;
    }
    struct image_reason reason;
    bool good = read_all(fd, image, &reason);
    close(fd);
    if (!good) {
        message("%s cannot be read: %s", path, reason.text);
        return STATUS_NOT_A_KERNEL;
    }
    if (!image_check(image, &reason)) {
        message("%s is not a kernel for polder boot: %s", path, reason.text);
        return STATUS_NOT_A_KERNEL;
    }
    return 0;
}

void image_load(const struct image *image, char *to)
{
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_segment *s = &image->segment[i];
        memcpy(to + (s->vaddr - image->low), image->file + s->offset, s->filesz);
    }
}
