/* SPDX-License-Identifier: MIT */
/*
 * The device tree, by Debian's libfdt as it is: it uses no vector registers, and the canary of its stack protector is
 * at %fs:0x28, which lies in the vCPU's data page until the first sandbox has run. So all is read before that. A tree
 * that describes what no monitor here makes is refused, for the numbers in it are used without a further look.
 */
#include "machine.h"
#include <libfdt.h>
#include <polder/abi.h>
#include <polder/freestanding.h>

#include "cpu.h"

#define FILES_MAX 256
#define RAM_MAX (512ull << 30) /* what POLDER_DIRECT_BASE has room for */
#define XSTATE_MIN 576u        /* the legacy region and the header (Intel SDM vol. 1, 13.4) */

struct machine machine;

static struct {
    const char *name[FILES_MAX];
    bool writable[FILES_MAX];
    uint32_t index[FILES_MAX];
    uint32_t count;
} files;

static uint64_t number(const void *tree, int node, const char *name, uint64_t otherwise)
{
    int length;
    const void *property = fdt_getprop(tree, node, name, &length);
    if (property && length == 4)
        return fdt32_ld(property);
    if (property && length == 8)
        return fdt64_ld(property);
    return otherwise;
}

/* A property that is a string: NULL without it, or if its end is not in it. */
static const char *string(const void *tree, int node, const char *name)
{
    int length;
    const char *property = fdt_getprop(tree, node, name, &length);
    return property && length > 0 && !property[length - 1] ? property : NULL;
}

/* The monitor has put the initrd into what is reserved. */
static bool read_chosen(const void *tree)
{
    int chosen = fdt_path_offset(tree, "/chosen");
    machine.bootargs = string(tree, chosen, "bootargs");
    if (!machine.bootargs)
        machine.bootargs = "";
    uint64_t start = number(tree, chosen, "linux,initrd-start", 0), end = number(tree, chosen, "linux,initrd-end", 0);
    if (end <= start)
        return true;
    machine.initrd = (const void *)(POLDER_DIRECT_BASE + start);
    machine.initrd_size = end - start;
    return start >= BOOT_RAM_BASE && end <= machine.ram_start;
}

/* What is free begins behind all that is reserved. */
static bool read_reservations(const void *tree)
{
    uint64_t start, size;
    for (int i = 0; i < fdt_num_mem_rsv(tree); i++) {
        if (fdt_get_mem_rsv(tree, i, &start, &size) || start > machine.ram_end || size > machine.ram_end - start)
            return false;
        machine.ram_start = max_u64(machine.ram_start, start + size);
    }
    machine.ram_start = (machine.ram_start + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    return machine.ram_start < machine.ram_end;
}

static bool read_memory(const void *tree)
{
    int memory = fdt_node_offset_by_prop_value(tree, -1, "device_type", "memory", sizeof "memory"), length;
    const fdt64_t *reg = fdt_getprop(tree, memory, "reg", &length);
    if (!reg || length < 16 || fdt64_ld(&reg[0]) != BOOT_RAM_BASE)
        return false;
    uint64_t size = fdt64_ld(&reg[1]);
    if (size % BLOCK_SIZE || size > machine.ram_limit || machine.ram_limit > RAM_MAX)
        return false;
    machine.ram_start = BOOT_RAM_BASE;
    machine.ram_end = BOOT_RAM_BASE + size;
    return read_reservations(tree);
}

static bool read_cpus(const void *tree)
{
    int cpus = fdt_path_offset(tree, "/cpus"), cpu;
    if (cpus < 0)
        return false;
    fdt_for_each_subnode(cpu, tree, cpus)
    {
        /* Not there is an answer; no number, or one below a kilohertz, is none. */
        bool steady = fdt_getprop(tree, cpu, "timebase-frequency", NULL) != NULL;
        uint64_t khz = number(tree, cpu, "timebase-frequency", 0) / 1000;
        machine.tsc_khz = (uint32_t)khz;
        if ((steady && khz == 0) || khz > UINT32_MAX || ++machine.cpu_count > CPU_MAX)
            return false;
    }
    return machine.cpu_count > 0;
}

static void read_files(const void *tree)
{
    int parent = fdt_path_offset(tree, "/files"), node, length;
    if (parent < 0)
        return;
    fdt_for_each_subnode(node, tree, parent)
    {
        const char *name = string(tree, node, "polder,name");
        uint64_t index = number(tree, node, "reg", 0);
        if (!name || index > INT32_MAX || files.count == FILES_MAX)
            continue;
        files.name[files.count] = name;
        files.writable[files.count] = !fdt_getprop(tree, node, "read-only", &length);
        files.index[files.count++] = (uint32_t)index;
    }
}

static bool equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    return length == strlen(b) && memcmp(a, b, length) == 0;
}

bool machine_read(const void *tree)
{
    int length;
    if (fdt_check_header(tree))
        return false;
    machine = (struct machine){.device_tree = tree};
    files.count = 0;
    int hypervisor = fdt_path_offset(tree, "/hypervisor");
    if (hypervisor < 0 || fdt_node_check_compatible(tree, hypervisor, "polder,hypervisor-1"))
        return false;
    const char *ring0 = string(tree, hypervisor, "polder,ring0");
    machine.native_ring0 = ring0 && equal(ring0, "native");
    machine.x2apic = fdt_getprop(tree, hypervisor, "polder,x2apic", &length) != NULL;
    machine.xstate_size = (uint32_t)number(tree, hypervisor, "polder,xstate-size", 4096);
    machine.ram_limit = number(tree, hypervisor, "polder,memory-limit", 0);
    read_files(tree);
    return machine.xstate_size >= XSTATE_MIN && read_memory(tree) && read_cpus(tree) && read_chosen(tree);
}

int machine_file(const char *name, bool *writable)
{
    for (uint32_t i = 0; i < files.count; i++) {
        if (equal(files.name[i], name)) {
            *writable = files.writable[i];
            return (int)files.index[i];
        }
    }
    return -ENOENT;
}
