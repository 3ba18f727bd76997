/* SPDX-License-Identifier: MIT */
#include "boot/device_tree.h"

#include <inttypes.h>
#include <libfdt.h>
#include <polder/abi.h>
#include <polder/polder.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "boot/hypercall.h"
#include "boot/message.h"

#define SEED_SIZE 64

/* libfdt's sequential writing. The first error stays, and all that follows does nothing. */
struct tree {
    void *fdt;
    int error;
};

static void begin(struct tree *t, const char *name)
{
    if (!t->error)
        t->error = fdt_begin_node(t->fdt, name);
}

static void end(struct tree *t)
{
    if (!t->error)
        t->error = fdt_end_node(t->fdt);
}

static void bytes(struct tree *t, const char *name, const void *value, size_t length)
{
    if (!t->error)
        t->error = fdt_property(t->fdt, name, value, (int)length);
}

static void string(struct tree *t, const char *name, const char *value)
{
    bytes(t, name, value, strlen(value) + 1);
}

static void u32(struct tree *t, const char *name, uint32_t value)
{
    if (!t->error)
        t->error = fdt_property_u32(t->fdt, name, value);
}

static void u64(struct tree *t, const char *name, uint64_t value)
{
    if (!t->error)
        t->error = fdt_property_u64(t->fdt, name, value);
}

static void reserve(struct tree *t, uint64_t start, uint64_t size)
{
    if (!t->error && size)
        t->error = fdt_add_reservemap_entry(t->fdt, start, size);
}

/* ---------------------------------------------------------------- nodes */

static void cells(struct tree *t, uint32_t address, uint32_t size)
{
    u32(t, "#address-cells", address);
    u32(t, "#size-cells", size);
}

static void chosen(struct tree *t, const struct machine *machine)
{
    unsigned char seed[SEED_SIZE];
    if (getrandom(seed, sizeof seed, 0) != sizeof seed)
        memset(seed, 0, sizeof seed); /* cannot be: up to 256 bytes come whole */
    begin(t, "chosen");
    string(t, "bootargs", machine->options->append);
    string(t, "stdout-path", "/console");
    if (machine->layout.initrd_size) {
        u64(t, "linux,initrd-start", machine->layout.initrd);
        u64(t, "linux,initrd-end", machine->layout.initrd + machine->layout.initrd_size);
    }
    bytes(t, "rng-seed", seed, sizeof seed);
    end(t);
}

static void memory(struct tree *t, const struct machine *machine)
{
    fdt64_t reg[2] = {cpu_to_fdt64(BOOT_RAM_BASE), cpu_to_fdt64(machine->ram.size)};
    char name[32];
    snprintf(name, sizeof name, "memory@%lx", BOOT_RAM_BASE);
    begin(t, name);
    string(t, "device_type", "memory");
    bytes(t, "reg", reg, sizeof reg);
    end(t);
}

static void cpus(struct tree *t, const struct machine *machine)
{
    begin(t, "cpus");
    cells(t, 1, 0);
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        uint64_t hz = (uint64_t)kvm.tsc_khz * 1000;
        char name[16];
        snprintf(name, sizeof name, "cpu@%" PRIx32, i);
        begin(t, name);
        string(t, "device_type", "cpu");
        string(t, "compatible", "polder,x86-64");
        u32(t, "reg", i);
        /* Without it a kernel takes the time from HC_CLOCK. */
        if (kvm.tsc_steady && hz <= UINT32_MAX)
            u32(t, "timebase-frequency", (uint32_t)hz);
        else if (kvm.tsc_steady)
            u64(t, "timebase-frequency", hz);
        end(t);
    }
    end(t);
}

static void devices(struct tree *t)
{
    begin(t, "console");
    string(t, "compatible", "polder,console-1");
    end(t);
    begin(t, "timer");
    string(t, "compatible", "polder,timer-1");
    u32(t, "polder,vector", VECTOR_TIMER);
    end(t);
    begin(t, "rng");
    string(t, "compatible", "polder,rng-1");
    end(t);
}

static void hypervisor(struct tree *t, const struct machine *machine)
{
    char names[16 * HC_COUNT];
    size_t length = 0;
    for (unsigned i = 0; i < HC_COUNT; i++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s", hypercall_names[i]) + 1;
    begin(t, "hypervisor");
    string(t, "compatible", "polder,hypervisor-1");
    u32(t, "polder,version", POLDER_VERSION);
    u32(t, "polder,port", PORT_HYPERCALL);
    bytes(t, "polder,hypercalls", names, length);
    u64(t, "polder,memory-limit", machine->ram.limit);
    u32(t, "polder,xstate-size", kvm.xsave_size);
    string(t, "polder,ring0", kvm.native_ring0 ? "native" : "emulated");
    if (kvm.x2apic)
        bytes(t, "polder,x2apic", "", 0);
    end(t);
}

static void files(struct tree *t, const struct machine *machine)
{
    begin(t, "files");
    cells(t, 1, 0);
    for (uint32_t i = 0; i < machine->windows.count; i++) {
        const struct window *w = &machine->windows.list[i];
        char name[16];
        snprintf(name, sizeof name, "file@%" PRIx32, i);
        begin(t, name);
        string(t, "compatible", "polder,file-1");
        u32(t, "reg", i);
        string(t, "polder,name", w->name);
        u64(t, "polder,size", w->size);
        if (!w->writable)
            bytes(t, "read-only", "", 0);
        end(t);
    }
    end(t);
}

static void reservations(struct tree *t, const struct layout *layout)
{
    /* What lies between the image and the tables is left to the image: nobody else can use it. */
    reserve(t, layout->image, layout->tables - layout->image);
    reserve(t, layout->tables, layout->initrd - layout->tables);
    reserve(t, layout->initrd, layout->device_tree - layout->initrd);
    reserve(t, layout->device_tree, layout->end - layout->device_tree);
    if (!t->error)
        t->error = fdt_finish_reservemap(t->fdt);
}

uint64_t device_tree_room(const struct boot_options *options)
{
    uint64_t room = 4096 + strlen(options->append) + options->cpus * 256ull;
    for (uint32_t i = 0; i < options->file_count; i++)
        room += 256 + strlen(options->files[i].name);
    return room;
}

bool device_tree_make(const struct machine *machine, void *to, uint64_t room)
{
    struct tree t = {.fdt = to};
    t.error = fdt_create(to, (int)room);
    reservations(&t, &machine->layout);
    begin(&t, "");
    string(&t, "compatible", "polder,machine-1");
    string(&t, "model", "polder boot");
    cells(&t, 2, 2);
    chosen(&t, machine);
    memory(&t, machine);
    cpus(&t, machine);
    devices(&t);
    hypervisor(&t, machine);
    files(&t, machine);
    end(&t);
    if (!t.error)
        t.error = fdt_finish(to);
    if (t.error)
        message("the device tree cannot be made: %s", fdt_strerror(t.error));
    return !t.error;
}
