/* SPDX-License-Identifier: MIT */
/* hostile KIND GOOD BAD: makes of the good executable one that no loader should take. */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Elf64_Phdr *find(char *file, uint32_t type)
{
    Elf64_Ehdr *header = (Elf64_Ehdr *)file;
    Elf64_Phdr *segment = (Elf64_Phdr *)(file + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == type)
            return &segment[i];
    fprintf(stderr, "hostile: no segment of type %u\n", type);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    static char file[8 << 20];
    int in = open(argv[2], O_RDONLY);
    ssize_t size = read(in, file, sizeof(file));
    if (size < (ssize_t)sizeof(Elf64_Ehdr))
        return 2;
    const char *kind = argv[1];
    Elf64_Ehdr *header = (Elf64_Ehdr *)file;
    Elf64_Phdr *load = find(file, PT_LOAD);

    if (!strcmp(kind, "empty"))
        size = 0;
    else if (!strcmp(kind, "text"))
        size = sprintf(file, "only words\n");
    else if (!strcmp(kind, "magic-only"))
        size = 4;
    else if (!strcmp(kind, "half-header"))
        size = 40;
    else if (!strcmp(kind, "header-only"))
        size = sizeof(*header);
    else if (!strcmp(kind, "half-phdrs"))
        size = (ssize_t)(header->e_phoff + sizeof(Elf64_Phdr) / 2);
    else if (!strcmp(kind, "half-segment")) {
        while (load[1].p_type == PT_LOAD)
            load++;
        size = (ssize_t)(load->p_offset + load->p_filesz / 2);
    } else if (!strcmp(kind, "machine"))
        header->e_machine = EM_AARCH64;
    else if (!strcmp(kind, "class"))
        header->e_ident[EI_CLASS] = ELFCLASS32;
    else if (!strcmp(kind, "endian"))
        header->e_ident[EI_DATA] = ELFDATA2MSB;
    else if (!strcmp(kind, "object"))
        header->e_type = ET_REL;
    else if (!strcmp(kind, "phoff-beyond"))
        header->e_phoff = (Elf64_Off)size + 4096;
    else if (!strcmp(kind, "phoff-wraps"))
        header->e_phoff = ~0ull - 8;
    else if (!strcmp(kind, "phnum-huge"))
        header->e_phnum = 0xffff;
    else if (!strcmp(kind, "phnum-zero"))
        header->e_phnum = 0;
    else if (!strcmp(kind, "phentsize"))
        header->e_phentsize = 1;
    else if (!strcmp(kind, "vaddr-kernel"))
        load->p_vaddr = 0xffffffff80000000, header->e_type = ET_EXEC;
    else if (!strcmp(kind, "vaddr-wraps"))
        load->p_vaddr = ~0ull << 12, header->e_type = ET_EXEC;
    else if (!strcmp(kind, "memsz-huge"))
        load->p_memsz = 1ull << 62;
    else if (!strcmp(kind, "memsz-wraps"))
        load->p_memsz = ~0ull;
    else if (!strcmp(kind, "filesz-above-memsz"))
        load->p_memsz = load->p_filesz - 1;
    else if (!strcmp(kind, "filesz-huge"))
        load->p_filesz = load->p_memsz = 1ull << 40;
    else if (!strcmp(kind, "offset-wraps"))
        load->p_offset = ~0ull << 12;
    else if (!strcmp(kind, "misaligned"))
        load->p_offset += 8, load->p_filesz -= 8, load->p_memsz -= 8;
    else if (!strcmp(kind, "interp-missing"))
        strcpy(file + find(file, PT_INTERP)->p_offset, "/nonexistent");
    else if (!strcmp(kind, "interp-folder"))
        strcpy(file + find(file, PT_INTERP)->p_offset, "/tmp");
    else if (!strcmp(kind, "interp-text"))
        strcpy(file + find(file, PT_INTERP)->p_offset, "/proc/version");
    else if (!strcmp(kind, "interp-unterminated"))
        memset(file + find(file, PT_INTERP)->p_offset, 'x', find(file, PT_INTERP)->p_filesz);
    else if (!strcmp(kind, "interp-huge"))
        find(file, PT_INTERP)->p_filesz = 1u << 20;
    else if (!strcmp(kind, "interp-beyond"))
        find(file, PT_INTERP)->p_offset = 1ull << 40;
    else
        return 2;

    int out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0755);
    return write(out, file, (size_t)size) != size;
}
