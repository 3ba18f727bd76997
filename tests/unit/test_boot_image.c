/* SPDX-License-Identifier: MIT */
/* What is a kernel for `polder boot`, and the names in it. The bytes of a good one are changed at random: every answer
 * will do that is an answer. */
#include "unit.h"

#include <elf.h>
#include <polder/abi.h>
#include <stdlib.h>
#include <string.h>

#include "boot/image.h"
#include "boot/symbols.h"

/* A kernel of one page of code with a note and a symbol table. */
struct kernel {
    Elf64_Ehdr header;
    Elf64_Phdr code, note;
    struct {
        Elf64_Nhdr header;
        char name[8];
        uint32_t version;
    } mark;
    Elf64_Shdr sections[4];
    Elf64_Sym symbols[4];
    char strings[32];
    char instructions[64];
};

#define CODE (BOOT_IMAGE_MIN + 0x2000)

static struct kernel good(void)
{
    struct kernel k = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
            .e_type = ET_EXEC,
            .e_machine = EM_X86_64,
            .e_version = EV_CURRENT,
            .e_entry = CODE + 0x10,
            .e_phoff = offsetof(struct kernel, code),
            .e_shoff = offsetof(struct kernel, sections),
            .e_ehsize = sizeof(Elf64_Ehdr),
            .e_phentsize = sizeof(Elf64_Phdr),
            .e_phnum = 2,
            .e_shentsize = sizeof(Elf64_Shdr),
            .e_shnum = 4,
            .e_shstrndx = 3},
        .code = {.p_type = PT_LOAD,
            .p_flags = PF_R | PF_X,
            .p_offset = offsetof(struct kernel, instructions),
            .p_vaddr = CODE,
            .p_filesz = 64,
            .p_memsz = 128,
            .p_align = 4096},
        .note = {.p_type = PT_NOTE,
            .p_flags = PF_R,
            .p_offset = offsetof(struct kernel, mark),
            .p_filesz = 24,
            .p_memsz = 24,
            .p_align = 4},
        .mark = {.header = {.n_namesz = 7, .n_descsz = 4, .n_type = BOOT_NOTE_ABI},
            .name = "polder",
            .version = BOOT_ABI},
        .sections = {[1] = {.sh_type = SHT_SYMTAB,
                         .sh_offset = offsetof(struct kernel, symbols),
                         .sh_size = sizeof k.symbols,
                         .sh_link = 3,
                         .sh_entsize = sizeof(Elf64_Sym),
                         .sh_addralign = 8},
            [2] = {.sh_type = SHT_PROGBITS,
                .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                .sh_addr = CODE,
                .sh_offset = offsetof(struct kernel, instructions),
                .sh_size = 64,
                .sh_addralign = 1},
            [3] = {.sh_type = SHT_STRTAB,
                .sh_offset = offsetof(struct kernel, strings),
                .sh_size = sizeof k.strings,
                .sh_addralign = 1}},
        .symbols = {[1] = {.st_name = 1,
                        .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                        .st_shndx = 2,
                        .st_value = CODE,
                        .st_size = 16},
            [2] = {.st_name = 7,
                .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                .st_shndx = 2,
                .st_value = CODE + 16,
                .st_size = 16},
            [3] = {.st_name = 14,
                .st_info = ELF64_ST_INFO(STB_LOCAL, STT_OBJECT),
                .st_shndx = 2,
                .st_value = CODE + 20,
                .st_size = 4}},
        .strings = "\0first\0second\0third",
    };
    return k;
}

static struct image of(struct kernel *k)
{
    return (struct image){.file = (char *)k, .file_size = sizeof *k};
}

static void refused(struct kernel *k, const char *text)
{
    struct image image = of(k);
    struct image_reason reason;
    assert_false(image_check(&image, &reason));
    if (!strstr(reason.text, text))
        fail_msg("refused for another reason: %s", reason.text);
}

static void test_good(void **state)
{
    (void)state;
    struct kernel k = good();
    struct image image = of(&k);
    struct image_reason reason;
    assert_true(image_check(&image, &reason));
    assert_int_equal(image.count, 1);
    assert_true(image.low == CODE && image.high == CODE + 4096 && image.entry == CODE + 0x10);
    assert_true(image.segment[0].executable && !image.segment[0].writable);
}

static void test_versions(void **state)
{
    (void)state;
    struct kernel k = good();
    k.mark.version = BOOT_ABI + 1;
    refused(&k, "version 2 of the boot protocol");
    k = good();
    k.mark.name[0] = 'P';
    refused(&k, "it lacks the note");
    k = good();
    k.note.p_filesz = 23;
    refused(&k, "it lacks the note");
    k = good();
    k.note.p_offset = -8ull;
    refused(&k, "it lacks the note");
    k = good();
    k.mark.header.n_namesz = -1u;
    refused(&k, "it lacks the note");
}

static void test_segments(void **state)
{
    (void)state;
    struct kernel k = good();
    k.code.p_vaddr = -4096ull;
    refused(&k, "beyond the end of the address space");
    k = good();
    k.code.p_memsz = -CODE;
    refused(&k, "beyond the end of the address space");
    k = good();
    k.code.p_offset = sizeof k - 63;
    refused(&k, "beyond the end of the file");
    k = good();
    k.code.p_offset = -1ull;
    refused(&k, "beyond the end of the file");
    k = good();
    k.code.p_memsz = 0, k.code.p_filesz = 0;
    refused(&k, "nothing to load");
    k = good();
    k.header.e_entry = CODE + 128;
    refused(&k, "is in no executable segment");
    k = good();
    k.code.p_flags = PF_R;
    refused(&k, "is in no executable segment");
    k = good();
    k.note = k.code;
    refused(&k, "shares a page");
}

static void named(struct image *image, uint64_t address, bool after, const char *expected)
{
    char text[128];
    assert_int_equal(symbols_name(image, address, after, text, sizeof text), *expected != '\0');
    assert_string_equal(text, expected);
}

static void test_symbols(void **state)
{
    (void)state;
    struct kernel k = good();
    struct image image = of(&k);
    struct image_reason reason;
    assert_true(image_check(&image, &reason));
    named(&image, CODE, false, "first+0");
    named(&image, CODE + 15, false, "first+0xf");
    named(&image, CODE + 16, false, "second+0");
    named(&image, CODE + 16, true, "first+0x10");
    named(&image, CODE + 21, false, "second+0x5");
    named(&image, CODE + 32, false, "");
    named(&image, CODE + 4096, false, "");
    named(&image, 0, false, "");
    named(&image, 0, true, "");
    k.strings[2] = '\033';
    named(&image, CODE, false, "f?rst+0");
    k.symbols[1].st_name = -1u;
    named(&image, CODE, false, "");
    k.sections[1].sh_link = 9;
    named(&image, CODE + 16, false, "");
}

/* Every answer that is given has to hold what image.h says of it. */
static void hold(const struct image *image)
{
    uint64_t end = BOOT_IMAGE_MIN;
    assert_in_range(image->count, 1, IMAGE_MAX_SEGMENTS);
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_segment *s = &image->segment[i];
        assert_true(s->vaddr % 4096 == 0 && s->vaddr >= end && s->vaddr >= image->low);
        assert_true(s->offset <= image->file_size && s->filesz <= image->file_size - s->offset);
        assert_true(s->filesz <= s->memsz && s->memsz <= image->high - s->vaddr);
        assert_false(s->writable && s->executable);
        end = (s->vaddr + s->memsz + 4095) & ~4095ull;
    }
    assert_true(image->high - image->low <= IMAGE_MAX_SPAN && image->high >= end);
}

static void test_mutations(void **state)
{
    (void)state;
    static const unsigned char bytes[] = {0, 1, 2, 3, 4, 6, 7, 0x10, 0x7f, 0x80, 0xf0, 0xff};
    char *room = malloc(sizeof(struct kernel));
    unsigned accepted = 0;
    srandom(1);
    assert_non_null(room);
    for (unsigned round = 0; round < 300000; round++) {
        struct kernel k = good();
        for (unsigned changes = 1 + (unsigned)random() % 4; changes; changes--) {
            size_t at = (size_t)random() % offsetof(struct kernel, instructions);
            ((char *)&k)[at] = (char)bytes[(size_t)random() % sizeof bytes];
        }
        /* The file ends where the memory does, for the sanitizer to watch. */
        size_t size = round % 8 ? sizeof k : (size_t)random() % sizeof k + 1;
        char *file = room + sizeof k - size;
        memcpy(file, &k, size);
        struct image image = {.file = file, .file_size = size};
        struct image_reason reason;
        if (!image_check(&image, &reason))
            continue;
        char text[128];
        accepted++;
        hold(&image);
        for (uint64_t at = CODE; at < CODE + 40; at += 8)
            symbols_name(&image, at, false, text, sizeof text);
    }
    free(room);
    assert_in_range(accepted, 1000, 299999); /* else it is not this code that is tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
