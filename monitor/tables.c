/* SPDX-License-Identifier: MIT */
#include "tables.h"
#include "hostmem.h"
#include "pagetable.h"
#include "physmem.h"
#include <errno.h>
#include <polder/abi.h>
#include <string.h>
#include <sys/mman.h>

#define UPPER_TABLE (PTE_P | PTE_W | PTE_A)
#define UPPER_SLOTS 2
#define SLOT4(gva) ((unsigned)((gva) >> 39) % 512)

static PRIVATE_STATE struct {
    uint32_t *next;      /* by page number; number 0 is never given out */
    uint64_t pages;      /* of the area */
    uint64_t next_fresh; /* page number */
    uint64_t ready;      /* pages that are accessible and directly mapped */
    uint64_t direct_pdpt, stub_pdpt;
    struct table_list clean, clean_roots, retired;
    uint64_t in_use;
} PRIVATE_TYPE tables;

uint64_t *table_entries(uint64_t pa)
{
    return physmem_hva((gpa_t){pa});
}

uint64_t table_pa(const void *hva)
{
    gpa_t gpa;
    /* Its window was made when the page was made ready. */
    return physmem_gpa(hva, &gpa) ? 0 : gpa.value;
}

gva_t table_gva(const void *hva)
{
    return POLDER_DIRECT_BASE + (uint64_t)((const char *)hva - hostmem.tables.base);
}

void *table_hva(gva_t gva)
{
    return hostmem.tables.base + (gva - POLDER_DIRECT_BASE);
}

static char *page_hva(uint64_t number)
{
    return hostmem.tables.base + number * PAGE_SIZE;
}

static uint32_t page_number(uint64_t pa)
{
    return (uint32_t)(((char *)table_entries(pa) - hostmem.tables.base) / (int64_t)PAGE_SIZE);
}

/* Makes the next 2 MiB accessible, and mapped for ring 0. Their own first page serves if a page directory is needed. */
static int make_ready(void)
{
    if (tables.ready + BLOCK_PAGES > tables.pages)
        return -ENOMEM;
    char *block = page_hva(tables.ready);
    if (mprotect(block, BLOCK_SIZE, PROT_READ | PROT_WRITE))
        return -ENOMEM;
    madvise(block, BLOCK_SIZE, MADV_DONTFORK);
    gpa_t gpa;
    int error = physmem_gpa(block, &gpa);
    if (error)
        return error;
    uint64_t gva = table_gva(block);
    if (!tables.direct_pdpt) {
        tables.next_fresh = 1;
        tables.direct_pdpt = gpa.value + tables.next_fresh++ * PAGE_SIZE;
        tables.stub_pdpt = gpa.value + tables.next_fresh++ * PAGE_SIZE;
    }
    uint64_t *pdpte = &table_entries(tables.direct_pdpt)[gva >> 30 & 511];
    if (!*pdpte) {
        if (tables.next_fresh < tables.ready)
            tables.next_fresh = tables.ready;
        *pdpte = (gpa.value + (tables.next_fresh++ - tables.ready) * PAGE_SIZE) | UPPER_TABLE;
    }
    /* Only not present to present here: the host may write it at any time. */
    table_entries(*pdpte & PTE_ADDRESS)[gva >> 21 & 511] = gpa.value | PTE_P | PTE_W | PTE_A | PTE_D | PTE_PS | PTE_NX;
    tables.ready += BLOCK_PAGES;
    return 0;
}

int tables_init(void)
{
    if (tables.next)
        return 0;
    tables.pages = min_u64(hostmem.tables.size / PAGE_SIZE, UINT32_MAX);
    uint32_t *next = record_alloc(tables.pages * sizeof *next);
    if (!next)
        return -ENOMEM;
    tables.next = next;
    int error = make_ready();
    if (error) {
        record_free(next, tables.pages * sizeof *next);
        tables.next = NULL;
    }
    return error;
}

void tables_forget(void)
{
    if (tables.next)
        record_free(tables.next, tables.pages * sizeof *tables.next);
    if (tables.ready)
        hostmem_reserve(hostmem.tables.base, tables.ready * PAGE_SIZE);
    tables.next = NULL;
    tables.next_fresh = tables.ready = tables.direct_pdpt = tables.stub_pdpt = tables.in_use = 0;
    tables.clean = tables.clean_roots = tables.retired = (struct table_list){0};
}

static void *fresh(uint32_t n)
{
    while (tables.next_fresh + n > tables.ready) {
        if (make_ready())
            return NULL;
    }
    void *page = page_hva(tables.next_fresh);
    tables.next_fresh += n;
    return page;
}

void *tables_alloc_fixed(uint32_t n)
{
    pthread_mutex_lock(&locks.tables);
    void *page = fresh(n);
    pthread_mutex_unlock(&locks.tables);
    return page;
}

uint64_t table_alloc(void)
{
    pthread_mutex_lock(&locks.tables);
    uint64_t pa = table_list_pop(&tables.clean);
    if (!pa) {
        void *page = fresh(1);
        pa = page ? table_pa(page) : 0;
    }
    tables.in_use += pa != 0;
    pthread_mutex_unlock(&locks.tables);
    return pa;
}

bool table_is_root(uint64_t pa)
{
    return tables.stub_pdpt && table_entries(pa)[SLOT4(POLDER_STUB_BASE)] == (tables.stub_pdpt | UPPER_TABLE);
}

uint64_t table_alloc_root(void)
{
    pthread_mutex_lock(&locks.tables);
    uint64_t pa = table_list_pop(&tables.clean_roots);
    tables.in_use += pa != 0;
    pthread_mutex_unlock(&locks.tables);
    if (pa)
        return pa;
    pa = table_alloc();
    if (pa) {
        uint64_t *root = table_entries(pa);
        root[SLOT4(POLDER_DIRECT_BASE)] = tables.direct_pdpt | UPPER_TABLE;
        root[SLOT4(POLDER_STUB_BASE)] = tables.stub_pdpt | UPPER_TABLE;
    }
    return pa;
}

int tables_map_upper(gva_t gva, uint64_t pa, uint64_t bits)
{
    uint64_t at = tables.stub_pdpt;
    for (int shift = 30; shift >= 21; shift -= 9) {
        uint64_t *entry = &table_entries(at)[gva >> shift & 511];
        if (!*entry) {
            void *page = tables_alloc_fixed(1);
            if (!page)
                return -ENOMEM;
            *entry = table_pa(page) | UPPER_TABLE;
        }
        at = *entry & PTE_ADDRESS;
    }
    table_entries(at)[gva >> 12 & 511] = pa | bits | PTE_P | PTE_A | PTE_D;
    return 0;
}

void table_list_add(struct table_list *list, uint64_t pa)
{
    uint32_t number = page_number(pa);
    tables.next[number] = list->head;
    if (!list->head)
        list->tail = number;
    list->head = number;
    list->count++;
}

uint64_t table_list_pop(struct table_list *list)
{
    if (!list->head)
        return 0;
    uint32_t number = list->head;
    list->head = tables.next[number];
    list->count--;
    return table_pa(page_hva(number));
}

static void splice(struct table_list *to, struct table_list *from)
{
    if (!from->head)
        return;
    tables.next[from->tail] = to->head;
    if (!to->head)
        to->tail = from->tail;
    to->head = from->head;
    to->count += from->count;
    *from = (struct table_list){0};
}

void tables_free_unshadowed(struct table_list *list)
{
    for (uint32_t n = list->head, i = list->count; i; i--, n = tables.next[n]) {
        bool root = table_is_root(table_pa(page_hva(n)));
        memset(page_hva(n), 0, root ? PAGE_SIZE / 2 : PAGE_SIZE);
    }
    tables_free_cleared(list);
}

void tables_free_cleared(struct table_list *list)
{
    pthread_mutex_lock(&locks.tables);
    tables.in_use -= list->count;
    for (uint64_t pa; (pa = table_list_pop(list));)
        table_list_add(table_is_root(pa) ? &tables.clean_roots : &tables.clean, pa);
    pthread_mutex_unlock(&locks.tables);
}

void tables_retire(struct table_list *list)
{
    pthread_mutex_lock(&locks.tables);
    splice(&tables.retired, list);
    pthread_mutex_unlock(&locks.tables);
}

uint32_t tables_retired(void)
{
    return __atomic_load_n(&tables.retired.count, __ATOMIC_RELAXED);
}

struct table_list tables_take_retired(uint32_t max)
{
    struct table_list taken = {0};
    pthread_mutex_lock(&locks.tables);
    while (taken.count < max && tables.retired.head)
        table_list_add(&taken, table_list_pop(&tables.retired));
    pthread_mutex_unlock(&locks.tables);
    return taken;
}

uint64_t tables_in_use(void)
{
    return tables.in_use;
}
