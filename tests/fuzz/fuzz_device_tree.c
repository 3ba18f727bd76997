/* SPDX-License-Identifier: MIT */
/*
 * The device tree that `polder boot` makes, of arguments and names that may be anything a command line can hold: there
 * is room for it, it is whole, and it says what it was given.
 */
#include "fuzz.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include <polder/abi.h>

#include "boot/device_tree.h"
#include "boot/hypercall.h"
#include "boot/message.h"

#define FILES_MAX 128

struct kvm_vm kvm;
const char *const hypercall_names[HC_COUNT] = {[0 ... HC_COUNT - 1] = "console-write"};

void message(const char *format, ...)
{
    (void)format;
    CHECK(!"the device tree can be made");
}

/* The next string of the input, or "". */
static const char *string(struct input *in)
{
    const char *text = (const char *)in->at;
    const void *end = memchr(text, 0, in->left);
    if (!end)
        return "";
    size_t length = strlen(text) + 1;
    in->at += length;
    in->left -= length;
    return text;
}

static void look_at(const void *tree, const struct machine *machine)
{
    int length, node = fdt_path_offset(tree, "/files"), file;
    const char *args = fdt_getprop(tree, fdt_path_offset(tree, "/chosen"), "bootargs", &length);
    CHECK(args && (size_t)length == strlen(machine->options->append) + 1 && !strcmp(args, machine->options->append));
    uint32_t count = 0;
    fdt_for_each_subnode(file, tree, node)
    {
        const char *name = fdt_getprop(tree, file, "polder,name", &length);
        CHECK(name && count < machine->windows.count && !strcmp(name, machine->windows.list[count].name));
        count++;
    }
    CHECK(count == machine->windows.count);
}

const unsigned fuzz_mutations = 4000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct window files[FILES_MAX];
    uint32_t cpus = (uint32_t)take(&in, 1);
    /* Many take long. */
    struct boot_options options = {.cpus = cpus == 254 ? MACHINE_MAX_CPUS : 1 + cpus % 8, .files = files};
    kvm.tsc_khz = (uint32_t)take(&in, 4);
    kvm.x2apic = kvm.native_ring0 = kvm.tsc_khz & 1;
    kvm.tsc_steady = kvm.tsc_khz & 2;
    options.file_count = (uint32_t)take(&in, 1) % FILES_MAX;
    struct machine machine = {.options = &options,
        .cpu_count = options.cpus,
        .ram = {.size = take(&in, 4) * RAM_STEP, .limit = take(&in, 8)},
        .windows = {.list = files, .count = options.file_count},
        .layout = {.image = BOOT_RAM_BASE, .tables = BOOT_RAM_BASE + take(&in, 4)}};
    machine.layout.initrd = machine.layout.tables + take(&in, 2);
    machine.layout.initrd_size = take(&in, 4);
    machine.layout.device_tree = machine.layout.initrd + machine.layout.initrd_size;
    machine.layout.end = machine.layout.device_tree + take(&in, 2);
    options.append = string(&in);
    for (uint32_t i = 0; i < options.file_count; i++)
        files[i] = (struct window){.name = string(&in), .writable = i % 2, .size = take(&in, 8)};
    uint64_t room = device_tree_room(&options);
    void *tree = malloc(room);
    CHECK(tree && device_tree_make(&machine, tree, room));
    CHECK(fdt_check_full(tree, room) == 0);
    look_at(tree, &machine);
    free(tree);
    return 0;
}
