/* SPDX-License-Identifier: MIT */
/*
 * The device tree, as a resident kernel reads it: machine.c and libfdt. It is read once in a process, so what it has
 * read is cleared between inputs.
 */
#include "fuzz.h"
#include "machine.h"
#include <libfdt.h>
#include <polder/abi.h>
#include <polder/freestanding.h>

#include "cpu.h"

/* The value of a property of the tree: a string that ends where the property does, or before. */
static void inside(const uint8_t *data, size_t size, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    if (at < data || at >= data + size) {
        CHECK(!*text); /* the reader's own "" */
        return;
    }
    uint32_t length = fdt32_ld((const fdt32_t *)(at - 8));
    CHECK(length && length <= (size_t)(data + size - at) && strlen(text) < length);
}

const unsigned fuzz_mutations = 100000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool writable;
    /* What lies behind the tree nobody but the monitor knows: it may not say that it is longer than it is. */
    if (size < FDT_V1_SIZE || fdt_check_header(data) || fdt_totalsize(data) > size)
        return 0;
    if (!machine_read(data))
        return 0;
    CHECK(machine.cpu_count >= 1 && machine.cpu_count <= CPU_MAX && machine.device_tree == data);
    CHECK(machine.ram_start % BLOCK_SIZE == 0 && machine.ram_end % BLOCK_SIZE == 0);
    CHECK(machine.ram_start >= BOOT_RAM_BASE && machine.ram_start < machine.ram_end);
    CHECK(machine.ram_end - BOOT_RAM_BASE <= machine.ram_limit);
    CHECK(machine.xstate_size);
    inside(data, size, machine.bootargs);
    if (machine.initrd) {
        uint64_t at = (uint64_t)machine.initrd - POLDER_DIRECT_BASE;
        CHECK(at >= BOOT_RAM_BASE && at < machine.ram_start && machine.initrd_size <= machine.ram_start - at);
    }
    static const char *const names[] = {"a", "", "disk"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(machine_file(names[i], &writable) >= -ENOENT);
    return 0;
}
