/* SPDX-License-Identifier: MIT */
#include "boot/layout.h"

#include <polder/abi.h>
#include <string.h>

#include "area.h"
#include "boot/early.h"
#include "pagetable.h"
#include "types.h"

#define GIB (1ull << 30)
#define AREA_PAGES 3 /* data, IDT, stacks: one behind the other, as in the area */
#define TABLE_ENTRIES 512

/* Ranges of the levels: how many bytes one entry of a table at that level maps. */
static unsigned shift(unsigned level)
{
    return 12 + 9 * (level - 1);
}

static uint64_t tables_for(uint64_t start, uint64_t end, unsigned level)
{
    return ((end - 1) >> shift(level + 1)) - (start >> shift(level + 1)) + 1;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

uint64_t layout_area(uint32_t cpu)
{
    return POLDER_STUB_BASE + (uint64_t)cpu * AREA_STRIDE;
}

uint64_t layout_data_page(const struct layout *layout, uint32_t cpu)
{
    return layout->areas + (uint64_t)cpu * AREA_PAGES * PAGE_SIZE;
}

static uint64_t count_tables(const struct image *image, uint32_t cpus, uint64_t direct_end)
{
    uint64_t areas_end = layout_area(cpus);
    return 1 + 3 /* root, and the level-3 tables of its three entries */
           + tables_for(BOOT_RAM_BASE, direct_end, 2) + tables_for(image->low, image->high, 2) +
           tables_for(image->low, image->high, 1) + tables_for(POLDER_STUB_BASE, areas_end, 2) +
           tables_for(POLDER_STUB_BASE, areas_end, 1);
}

void layout_plan(struct layout *layout, const struct image *image, uint32_t cpus, uint64_t direct_end,
    uint64_t initrd_size, uint64_t device_tree_size)
{
    *layout = (struct layout){
        .image = BOOT_RAM_BASE, .initrd_size = initrd_size, .device_tree_size = device_tree_size, .cpus = cpus};
    layout->tables = round_up(BOOT_RAM_BASE + image->high - image->low, BLOCK_SIZE);
    layout->early = layout->tables + count_tables(image, cpus, direct_end) * PAGE_SIZE;
    layout->areas = layout->early + EARLY_SIZE;
    layout->initrd = layout->areas + (uint64_t)cpus * AREA_PAGES * PAGE_SIZE;
    layout->device_tree = layout->initrd + page_up(initrd_size);
    layout->end = layout->device_tree + page_up(device_tree_size);
}

/* ---------------------------------------------------------------- page tables */

struct builder {
    struct ram *ram;
    uint64_t root, next; /* guest-physical: the root, and the first table page that is free */
};

static uint64_t *entry_at(struct builder *b, uint64_t table, uint64_t gva, unsigned level)
{
    uint64_t *entries = ram_at(b->ram, table, PAGE_SIZE);
    return &entries[gva >> shift(level) & (TABLE_ENTRIES - 1)];
}

/* The entry of that level for gva; the tables above it are made. */
static uint64_t *entry_for(struct builder *b, uint64_t gva, unsigned level)
{
    uint64_t table = b->root;
    for (unsigned at = 4; at > level; at--) {
        uint64_t *entry = entry_at(b, table, gva, at);
        if (!*entry) {
            *entry = b->next | PTE_P | PTE_W | PTE_A;
            b->next += PAGE_SIZE;
        }
        table = *entry & PTE_ADDRESS;
    }
    return entry_at(b, table, gva, level);
}

static void map_page(struct builder *b, uint64_t gva, uint64_t gpa, uint64_t rights)
{
    *entry_for(b, gva, 1) = gpa | PTE_P | PTE_A | PTE_D | rights;
}

static void map_image(struct builder *b, const struct layout *layout, const struct image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_segment *s = &image->segment[i];
        uint64_t rights = (s->writable ? PTE_W : 0) | (s->executable ? 0 : PTE_NX);
        for (uint64_t at = s->vaddr; at < s->vaddr + s->memsz; at += PAGE_SIZE)
            map_page(b, at, layout->image + (at - image->low), rights);
    }
}

static void map_direct(struct builder *b, const struct layout *layout, uint64_t direct_end)
{
    for (uint64_t gpa = BOOT_RAM_BASE; gpa < direct_end; gpa += GIB)
        entry_for(b, POLDER_DIRECT_BASE + gpa, 2);
    for (uint64_t gpa = layout->tables; gpa < BOOT_RAM_BASE + b->ram->size; gpa += BLOCK_SIZE)
        *entry_for(b, POLDER_DIRECT_BASE + gpa, 2) = gpa | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS | PTE_NX;
}

static void map_areas(struct builder *b, const struct layout *layout)
{
    static const uint32_t offset[AREA_PAGES] = {AREA_DATA, AREA_IDT, AREA_STACKS};
    for (uint32_t cpu = 0; cpu < layout->cpus; cpu++) {
        uint64_t area = layout_area(cpu);
        for (unsigned i = 0; i < AREA_PAGES; i++)
            map_page(b, area + offset[i], layout_data_page(layout, cpu) + i * PAGE_SIZE, PTE_W | PTE_NX);
        map_page(b, area + AREA_EARLY, layout->early, 0);
    }
}

void layout_fill(const struct layout *layout, const struct image *image, struct ram *ram, uint64_t direct_end)
{
    struct builder b = {.ram = ram, .root = layout->tables, .next = layout->tables + PAGE_SIZE};
    image_load(image, ram_at(ram, layout->image, image->high - image->low));
    map_image(&b, layout, image);
    map_direct(&b, layout, direct_end);
    map_areas(&b, layout);
    memcpy(ram_at(ram, layout->early, EARLY_SIZE), early_code, EARLY_SIZE);
    for (uint32_t cpu = 0; cpu < layout->cpus; cpu++)
        area_fill(ram_at(ram, layout_data_page(layout, cpu), AREA_PAGES * PAGE_SIZE), layout_area(cpu), AREA_EARLY,
            EARLY_VECTOR_SIZE);
}
