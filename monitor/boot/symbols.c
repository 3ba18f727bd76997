/* SPDX-License-Identifier: MIT */
#include "boot/symbols.h"

#include <ctype.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>

#define NAME_MAX_SHOWN 80

/* The last symbol that begins at or before the address. */
struct best {
    GElf_Sym symbol;
    size_t strings; /* the section of its name */
    bool found;
};

/* Labels of assembly have neither type nor size; everything else says how far it reaches. */
static bool covers(const GElf_Sym *symbol, uint64_t address)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS || symbol->st_value > address ||
        (type != STT_FUNC && type != STT_NOTYPE))
        return false;
    return symbol->st_size == 0 || address - symbol->st_value < symbol->st_size;
}

static void search(Elf_Scn *section, const GElf_Shdr *header, uint64_t address, struct best *best)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Sym symbol;
    for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
        if (!covers(&symbol, address) || (best->found && symbol.st_value < best->symbol.st_value))
            continue;
        *best = (struct best){.symbol = symbol, .strings = header->sh_link, .found = true};
    }
}

static size_t copy_printable(char *text, size_t size, const char *name)
{
    size_t n = 0;
    for (; name[n] && n < NAME_MAX_SHOWN && n + 1 < size; n++)
        text[n] = isprint((unsigned char)name[n]) ? name[n] : '?';
    text[n] = '\0';
    return n;
}

bool symbols_name(const struct image *image, uint64_t address, bool after, char *text, size_t size)
{
    struct best best = {.found = false};
    *text = '\0';
    if (address - after < image->low || address - after >= image->high)
        return false;
    Elf *elf = elf_memory(image->file, image->file_size);
    if (!elf)
        return false;
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB)
            search(section, &header, address - after, &best);
    }
    const char *name = best.found ? elf_strptr(elf, best.strings, best.symbol.st_name) : NULL;
    if (name && *name) {
        size_t n = copy_printable(text, size, name);
        snprintf(text + n, size - n, "+%#" PRIx64, address - best.symbol.st_value);
    }
    elf_end(elf);
    return *text != '\0';
}
