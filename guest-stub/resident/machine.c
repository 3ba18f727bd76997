/* SPDX-License-Identifier: MIT */
/*
 * The device tree, by Debian's libfdt as it is: it uses no vector registers, and the canary of its stack protector is
 * at %fs:0x28, which lies in the vCPU's data page until the first sandbox has run. So all is read before that.
 */
#include "machine.h"
#include <libfdt.h>
#include <polder/abi.h>
#include <polder/freestanding.h>

#define FILES_MAX 256

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

static void read_chosen(const void *tree)
{
    int chosen = fdt_path_offset(tree, "/chosen"), length;
    machine.bootargs = fdt_getprop(tree, chosen, "bootargs", &length);
    if (!machine.bootargs)
        machine.bootargs = "";
    uint64_t start = number(tree, chosen, "linux,initrd-start", 0), end = number(tree, chosen, "linux,initrd-end", 0);
    if (end > start) {
        machine.initrd = (const void *)(POLDER_DIRECT_BASE + start);
        machine.initrd_size = end - start;
    }
}

static bool read_memory(const void *tree)
{
    int memory = fdt_node_offset_by_prop_value(tree, -1, "device_type", "memory", sizeof "memory"), length;
    const fdt64_t *reg = fdt_getprop(tree, memory, "reg", &length);
    if (!reg || length < 16)
        return false;
    machine.ram_start = fdt64_ld(&reg[0]);
    machine.ram_end = machine.ram_start + fdt64_ld(&reg[1]);
    for (int i = 0; i < fdt_num_mem_rsv(tree); i++) {
        uint64_t start, size;
        if (fdt_get_mem_rsv(tree, i, &start, &size) == 0)
            machine.ram_start = max_u64(machine.ram_start, start + size);
    }
    machine.ram_start = (machine.ram_start + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    return machine.ram_start < machine.ram_end;
}

static void read_files(const void *tree)
{
    int parent = fdt_path_offset(tree, "/files"), node;
    fdt_for_each_subnode(node, tree, parent)
    {
        int length;
        const char *name = fdt_getprop(tree, node, "polder,name", &length);
        if (!name || files.count == FILES_MAX)
            continue;
        files.name[files.count] = name;
        files.writable[files.count] = !fdt_getprop(tree, node, "read-only", &length);
        files.index[files.count++] = (uint32_t)number(tree, node, "reg", 0);
    }
}

bool machine_read(const void *tree)
{
    if (fdt_check_header(tree))
        return false;
    int hypervisor = fdt_path_offset(tree, "/hypervisor"), cpus = fdt_path_offset(tree, "/cpus"), cpu;
    if (hypervisor < 0 || fdt_node_check_compatible(tree, hypervisor, "polder,hypervisor-1"))
        return false;
    machine.device_tree = tree;
    int length;
    const char *ring0 = fdt_getprop(tree, hypervisor, "polder,ring0", &length);
    machine.native_ring0 = ring0 && memcmp(ring0, "native", sizeof "native") == 0;
    machine.x2apic = fdt_getprop(tree, hypervisor, "polder,x2apic", &length) != NULL;
    machine.xstate_size = (uint32_t)number(tree, hypervisor, "polder,xstate-size", 4096);
    machine.ram_limit = number(tree, hypervisor, "polder,memory-limit", 0);
    fdt_for_each_subnode(cpu, tree, cpus)
    {
        machine.cpu_count++;
        machine.tsc_khz = (uint32_t)(number(tree, cpu, "timebase-frequency", 1000000000) / 1000);
    }
    read_chosen(tree);
    read_files(tree);
    return read_memory(tree) && machine.cpu_count;
}

static bool equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    return length == strlen(b) && memcmp(a, b, length) == 0;
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
