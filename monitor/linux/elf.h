/* SPDX-License-Identifier: MIT */
/*
 * elf: what a program file says about itself. The file is untrusted: every number is checked here, once, so that the
 * loader can do arithmetic with what comes out. Nothing here touches the address space.
 */
#ifndef MONITOR_LINUX_ELF_H
#define MONITOR_LINUX_ELF_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_PAGE 4096ull
#define ELF_TASK_SIZE 0x7ffffffff000ull /* where user addresses end on x86-64 with four levels */

#define ELF_MAX_SEGMENTS 64
#define ELF_MAX_PHDRS 256
#define ELF_MAX_INTERP 4096 /* PATH_MAX, the terminating zero included */

/* One PT_LOAD. Checked: filesz <= memsz, no sum wraps, offset and vaddr agree modulo the page size. */
struct elf_segment {
    uint64_t vaddr, memsz;
    uint64_t offset, filesz;
    int prot; /* PROT_ bits */
};

struct elf_image {
    bool position_independent; /* ET_DYN */
    bool stack_exec;           /* PT_GNU_STACK asks for an executable stack */
    uint64_t entry;
    uint64_t phdr_vaddr; /* where the program headers are in memory, 0 if no segment holds them */
    uint64_t low, high;  /* the page-aligned span of all segments */
    uint64_t align;      /* the largest p_align, a power of two and at least a page */
    uint64_t interp_offset, interp_size;
    unsigned phnum;
    unsigned count;
    struct elf_segment segment[ELF_MAX_SEGMENTS]; /* ascending and disjoint */
};

/* Why a file was refused: one phrase, with the number that was wrong. */
struct elf_reason {
    char text[256];
};

/*
 * elf_check_header: true if the file can be an x86-64 Linux program; then its program headers are at e_phoff, e_phnum
 * of them, wholly inside the file. elf_check_segments fills image from them. size is how many bytes of header could be
 * read, file_size that of the whole file.
 */
bool elf_check_header(const void *header, size_t size, uint64_t file_size, struct elf_reason *reason);
bool elf_check_segments(const Elf64_Ehdr *header, const Elf64_Phdr *phdrs, uint64_t file_size, struct elf_image *image,
    struct elf_reason *reason);

/* Both checks on an open file. False also for a file that cannot be read; then errno is set, else 0. */
bool elf_read(int fd, struct elf_image *image, struct elf_reason *reason);

/* The path in PT_INTERP, into path of ELF_MAX_INTERP bytes. Only if image->interp_size is not 0. */
bool elf_read_interp(int fd, const struct elf_image *image, char *path, struct elf_reason *reason);

#endif
