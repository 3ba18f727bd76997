/* SPDX-License-Identifier: MIT */
#include "boot/walk.h"

#include <string.h>

#include "pagetable.h"
#include "types.h"

#define LEVELS 4
#define HUGE_LEVEL_MAX 3 /* PS means something in entries of levels 2 and 3 */

bool walk(const struct ram *ram, uint64_t cr3, uint64_t gva, struct translation *result)
{
    uint64_t table = cr3 & PTE_ADDRESS;
    if (!canonical(gva))
        return false;
    *result = (struct translation){.writable = true, .user = true, .executable = true};
    for (unsigned level = LEVELS; level; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        const volatile uint64_t *entries = ram_at(ram, table, PAGE_SIZE);
        if (!entries)
            return false;
        uint64_t entry = entries[gva >> shift & 511], offset = gva & ((1ull << shift) - 1);
        if (!(entry & PTE_P))
            return false;
        result->writable &= (entry & PTE_W) != 0;
        result->user &= (entry & PTE_U) != 0;
        result->executable &= !(entry & PTE_NX);
        table = entry & PTE_ADDRESS;
        if (level == 1 || (level <= HUGE_LEVEL_MAX && (entry & PTE_PS))) {
            result->size = 1ull << shift;
            result->gpa = (table & ~(result->size - 1)) + offset;
            return true;
        }
    }
    return false;
}

bool walk_read(const struct ram *ram, uint64_t cr3, uint64_t gva, void *to, size_t length)
{
    for (size_t done = 0, n; done < length; done += n) {
        struct translation t;
        uint64_t at = gva + done; /* may wrap to 0, where a kernel has nothing */
        n = min_u64(length - done, PAGE_SIZE - at % PAGE_SIZE);
        const void *from = walk(ram, cr3, at, &t) ? ram_at(ram, t.gpa, n) : NULL;
        if (!from)
            return false;
        memcpy((char *)to + done, from, n);
    }
    return true;
}
