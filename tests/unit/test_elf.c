/* SPDX-License-Identifier: MIT */
/* Every reason for which a program file is refused, and that what is accepted has been understood. */
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/elf.h"

#define FILE_SIZE 0x10000u

/* A position-independent program of two segments with an interpreter, as ld makes it. */
static void good(Elf64_Ehdr *h, Elf64_Phdr p[4])
{
    *h = (Elf64_Ehdr){
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = 0x1040,
        .e_phoff = 64,
        .e_ehsize = 64,
        .e_phentsize = 56,
        .e_phnum = 4,
    };
    memcpy(h->e_ident, "\177ELF\2\1\1", 7);
    p[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 0x2000, .p_memsz = 0x2000};
    p[0].p_align = 0x1000;
    p[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 0x2e00, .p_vaddr = 0x3e00};
    p[1].p_filesz = 0x300;
    p[1].p_memsz = 0x2300;
    p[1].p_align = 0x200000;
    p[2] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = 0x400, .p_filesz = 28, .p_memsz = 28};
    p[3] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
}

static struct elf_image image;
static struct elf_reason reason;

static bool check(const Elf64_Ehdr *h, const Elf64_Phdr *p)
{
    memset(&reason, 0, sizeof(reason));
    bool ok =
        elf_check_header(h, sizeof(*h), FILE_SIZE, &reason) && elf_check_segments(h, p, FILE_SIZE, &image, &reason);
    assert_int_equal(ok, reason.text[0] == '\0');
    return ok;
}

static void accepted(void **state)
{
    (void)state;
    Elf64_Ehdr h;
    Elf64_Phdr p[4];
    good(&h, p);
    assert_true(check(&h, p));
    assert_true(image.position_independent);
    assert_false(image.stack_exec);
    assert_int_equal(image.count, 2);
    assert_int_equal(image.low, 0);
    assert_int_equal(image.high, 0x7000);
    assert_int_equal(image.align, 0x200000);
    assert_int_equal(image.phdr_vaddr, 64);
    assert_int_equal(image.interp_offset, 0x400);
    assert_int_equal(image.interp_size, 28);
    assert_int_equal(image.segment[0].prot, PROT_READ | PROT_EXEC);
    assert_int_equal(image.segment[1].prot, PROT_READ | PROT_WRITE);

    h.e_type = ET_EXEC;
    p[3].p_flags |= PF_X;
    assert_true(check(&h, p));
    assert_false(image.position_independent);
    assert_true(image.stack_exec);

    /* The headers need not be in memory, and an empty segment is nothing. */
    p[0].p_offset = 0x1000;
    p[2].p_type = PT_NULL;
    p[3] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = ~0ull};
    assert_true(check(&h, p));
    assert_int_equal(image.phdr_vaddr, 0);
    assert_int_equal(image.count, 2);

    /* A segment may end exactly where user space does. */
    good(&h, p);
    p[1].p_vaddr = ELF_TASK_SIZE - 0x2200;
    p[1].p_memsz = 0x2200;
    assert_true(check(&h, p));
    assert_int_equal(image.high, ELF_TASK_SIZE);
}

static void header_refused(const void *bytes, size_t size, uint64_t file_size, const char *word)
{
    memset(&reason, 0, sizeof(reason));
    assert_false(elf_check_header(bytes, size, file_size, &reason));
    if (!strstr(reason.text, word))
        fail_msg("\"%s\" does not say \"%s\"", reason.text, word);
}

static void header(void **state)
{
    (void)state;
    Elf64_Ehdr h;
    Elf64_Phdr p[4];
    header_refused("", 0, 0, "not an ELF");
    header_refused("#!/bin/sh\n", 10, 10, "not an ELF");
    header_refused("\177ELF", 4, 4, "truncated");
    good(&h, p);
    header_refused(&h, 63, 63, "truncated");
#define WRONG(field, value, word)                                                                                      \
    good(&h, p);                                                                                                       \
    h.field = (value);                                                                                                 \
    header_refused(&h, sizeof(h), FILE_SIZE, word)
    WRONG(e_ident[EI_CLASS], ELFCLASS32, "32-bit");
    WRONG(e_ident[EI_CLASS], 9, "class 9");
    WRONG(e_ident[EI_DATA], ELFDATA2MSB, "little-endian");
    WRONG(e_ident[EI_VERSION], 0, "version");
    WRONG(e_version, 7, "version 7");
    WRONG(e_machine, EM_AARCH64, "machine 183");
    WRONG(e_type, ET_REL, "type 1");
    WRONG(e_type, ET_CORE, "type 4");
    WRONG(e_phentsize, 32, "32 bytes");
    WRONG(e_phnum, 0, "no program headers");
    WRONG(e_phnum, 0xffff, "65535");
    WRONG(e_phoff, FILE_SIZE - 4 * 56 + 1, "truncated");
    WRONG(e_phoff, ~0ull, "truncated");
    good(&h, p);
    h.e_phoff = FILE_SIZE - 4 * 56;
    assert_true(elf_check_header(&h, sizeof(h), FILE_SIZE, &reason));
}

static void segments(void **state)
{
    (void)state;
    Elf64_Ehdr h;
    Elf64_Phdr p[4];
#define BAD(change, word)                                                                                              \
    good(&h, p);                                                                                                       \
    change;                                                                                                            \
    assert_false(check(&h, p));                                                                                        \
    if (!strstr(reason.text, word))                                                                                    \
    fail_msg("\"%s\" does not say \"%s\"", reason.text, word)
    BAD(p[1].p_filesz = p[1].p_memsz + 1, "bytes of file");
    BAD(p[1].p_memsz = ~0ull, "user space");
    BAD(p[1].p_vaddr = ~0xfffull + 0xe00, "user space");
    BAD(p[1].p_vaddr = ELF_TASK_SIZE - 0x200, "user space");
    BAD(p[1].p_vaddr = 0xffffffff80000e00, "user space");
    BAD(p[1].p_offset = FILE_SIZE - 0x200, "truncated");
    BAD(p[1].p_offset = ~0ull - 0x1ff, "truncated");
    BAD(p[1].p_offset += 8, "within a page");
    BAD(p[1].p_align = 0x3000, "power of two");
    BAD(p[1].p_align = 1ull << 63, "alignment");
    BAD(p[1].p_vaddr = 0x1e00, "not above");
    BAD(p[3] = p[2], "second interpreter");
    BAD(p[2].p_filesz = 1, "interpreter path of 1");
    BAD(p[2].p_filesz = 4097, "interpreter path of 4097");
    BAD(p[2].p_offset = FILE_SIZE - 27, "interpreter path at");
    BAD(p[2].p_offset = ~0ull, "interpreter path at");
    BAD(p[0].p_type = p[1].p_type = PT_NULL, "nothing to load");
    BAD(h.e_entry = 0x10000, "entry point 0x10000");
    BAD(h.e_entry = 0x2000, "entry point");
}

static void too_many(void **state)
{
    (void)state;
    Elf64_Ehdr h;
    Elf64_Phdr p[ELF_MAX_SEGMENTS + 1] = {0};
    good(&h, p);
    for (unsigned i = 0; i <= ELF_MAX_SEGMENTS; i++) {
        p[i] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = i * 0x1000ull};
        p[i].p_filesz = p[i].p_memsz = 0x1000;
    }
    h.e_phnum = ELF_MAX_SEGMENTS;
    assert_true(check(&h, p));
    h.e_phnum++;
    assert_false(check(&h, p));
    assert_non_null(strstr(reason.text, "segments"));
}

/* Random damage: whatever is accepted keeps what elf.h promises. */
static void damaged(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 0xfff, 0x1000, 0x1001, FILE_SIZE, FILE_SIZE - 1, ELF_TASK_SIZE,
        ELF_TASK_SIZE - 0x1000, 1ull << 47, 1ull << 63, ~0ull, ~0xfffull, 0x7fffffff, 0xffffffff};
    uint64_t seed = 1;
    unsigned ok = 0;
    for (unsigned round = 0; round < 200000; round++) {
        Elf64_Ehdr h;
        Elf64_Phdr p[4];
        good(&h, p);
        for (unsigned i = 0; i < 3; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint64_t value = numbers[(seed >> 33) % (sizeof(numbers) / sizeof(numbers[0]))];
            size_t at = (seed >> 50) % (4 * sizeof(p[0]) / 8);
            memcpy((char *)p + at * 8, &value, 8);
        }
        if (!check(&h, p))
            continue;
        ok++;
        assert_true(image.count > 0 && image.low < image.high && image.high <= ELF_TASK_SIZE);
        assert_true(image.low % ELF_PAGE == 0 && image.high % ELF_PAGE == 0);
        assert_true(image.align >= ELF_PAGE && (image.align & (image.align - 1)) == 0);
        uint64_t last = 0;
        for (unsigned i = 0; i < image.count; i++) {
            const struct elf_segment *s = &image.segment[i];
            assert_true(s->vaddr >= last && s->memsz > 0 && s->filesz <= s->memsz);
            last = s->vaddr + s->memsz;
            assert_true(last > s->vaddr && last <= image.high);
            assert_true(s->offset <= FILE_SIZE && s->filesz <= FILE_SIZE - s->offset);
        }
        assert_true(image.interp_size <= ELF_MAX_INTERP && image.interp_offset + image.interp_size <= FILE_SIZE);
    }
    assert_true(ok > 0);
}

static int file_of(const void *bytes, size_t size, off_t length)
{
    int fd = memfd_create("elf", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    assert_int_equal(ftruncate(fd, length), 0);
    return fd;
}

static void files(void **state)
{
    (void)state;
    struct {
        Elf64_Ehdr h;
        Elf64_Phdr p[4];
    } f;
    good(&f.h, f.p);
    char path[ELF_MAX_INTERP];

    int fd = file_of(&f, sizeof(f), FILE_SIZE);
    assert_true(elf_read(fd, &image, &reason));
    assert_false(elf_read_interp(fd, &image, path, &reason)); /* it is all zeros */
    assert_non_null(strstr(reason.text, "empty"));
    assert_int_equal(pwrite(fd, "/lib64/ld-linux-x86-64.so.2", 28, 0x400), 28);
    assert_true(elf_read_interp(fd, &image, path, &reason));
    assert_string_equal(path, "/lib64/ld-linux-x86-64.so.2");
    assert_int_equal(pwrite(fd, "!", 1, 0x400 + 27), 1);
    assert_false(elf_read_interp(fd, &image, path, &reason));
    assert_non_null(strstr(reason.text, "no end"));
    /* It shrinks between the two looks. */
    assert_int_equal(ftruncate(fd, 0x410), 0);
    assert_false(elf_read_interp(fd, &image, path, &reason));
    close(fd);

    fd = file_of(&f, sizeof(f), 0x1000);
    assert_false(elf_read(fd, &image, &reason));
    assert_non_null(strstr(reason.text, "truncated"));
    close(fd);
    fd = file_of("", 0, 0);
    assert_false(elf_read(fd, &image, &reason));
    close(fd);
    assert_false(elf_read(-1, &image, &reason));

    /* The program that runs this. */
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(elf_read(fd, &image, &reason));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(header),
        cmocka_unit_test(segments),
        cmocka_unit_test(too_many),
        cmocka_unit_test(damaged),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
