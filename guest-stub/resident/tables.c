/* SPDX-License-Identifier: MIT */
#include "tables.h"
#include <polder/freestanding.h>

#define LEVELS 4
#define ENTRIES 512u
#define TABLE_RIGHTS (PTE_P | PTE_W | PTE_U | PTE_A)
#define UPPER_TABLE_RIGHTS (PTE_P | PTE_W | PTE_A)

static uint64_t own_root;

static unsigned slot(uint64_t address, int level)
{
    return (unsigned)(address >> (12 + 9 * (level - 1))) % ENTRIES;
}

static uint64_t span(int level)
{
    return 1ull << (12 + 9 * (level - 1));
}

void tables_init(uint64_t root)
{
    own_root = root;
}

uint64_t tables_own_root(void)
{
    return own_root;
}

void tables_share_upper_half(uint64_t *root)
{
    static const uint64_t shared[] = {POLDER_DIRECT_BASE, POLDER_STUB_BASE, BOOT_IMAGE_MIN};
    const uint64_t *own = direct(own_root);
    for (unsigned i = 0; i < sizeof shared / sizeof shared[0]; i++)
        root[slot(shared[i], LEVELS)] = own[slot(shared[i], LEVELS)];
}

uint64_t *tables_direct_entry(uint64_t pa)
{
    uint64_t address = POLDER_DIRECT_BASE + pa;
    uint64_t *entries = direct(own_root);
    for (int level = LEVELS; level > 2; level--) {
        uint64_t *entry = &entries[slot(address, level)];
        if (!(*entry & PTE_P)) /* abi.h: there for all that can be brought in */
            return NULL;
        entries = direct(*entry & PTE_ADDRESS);
    }
    return &entries[slot(address, 2)];
}

uint64_t *table_entry_make_tables(uint64_t root, uint64_t address)
{
    uint64_t rights = address >> 63 ? UPPER_TABLE_RIGHTS : TABLE_RIGHTS;
    uint64_t *entries = direct(root);
    for (int level = LEVELS; level > 1; level--) {
        uint64_t *entry = &entries[slot(address, level)];
        if (!(*entry & PTE_P)) {
            uint64_t table = table_alloc();
            if (!table)
                return NULL;
            entry_set(entry, table | rights);
        }
        entries = direct(*entry & PTE_ADDRESS);
    }
    return &entries[slot(address, 1)];
}

uint64_t tables_translate(uint64_t root, uint64_t address)
{
    const uint64_t *entries = direct(root);
    for (int level = LEVELS; level >= 1; level--) {
        uint64_t entry = entries[slot(address, level)];
        if (!(entry & PTE_P))
            return ~0ull;
        if (level == 1 || (entry & PTE_PS))
            return (entry & PTE_ADDRESS & ~(span(level) - 1)) + (address & (span(level) - 1));
        entries = direct(entry & PTE_ADDRESS);
    }
    return ~0ull;
}

static void visit_in(uint64_t table, int level, uint64_t start, uint64_t end, table_visit *visit, void *opaque,
    struct frame_list *emptied)
{
    if (frame_is_ram(table) && frame_of(table)->references == 0)
        return;
    unsigned first = slot(start, level), count = slot(end - 1, level) + 1 - first;
    uint64_t *entry = (uint64_t *)direct(table) + first, base = start & ~(span(level) - 1);
    if (level == 1) {
        visit(opaque, start, entry, count);
        return;
    }
    FOR_ENTRIES(i, entry, count)
    {
        uint64_t child = entry[i] & PTE_ADDRESS, at = base + i * span(level), next = at + span(level);
        visit_in(child, level - 1, at < start ? start : at, next < end ? next : end, visit, opaque, emptied);
        if (frame_is_ram(child) && frame_of(child)->references == 0) {
            entry_set(&entry[i], 0);
            table_drop(child, emptied);
        }
    }
}

void tables_visit(
    uint64_t root, uint64_t start, uint64_t end, table_visit *visit, void *opaque, struct frame_list *emptied)
{
    if (start < end)
        visit_in(root, LEVELS, start, end, visit, opaque, emptied);
}
