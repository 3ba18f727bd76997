/* SPDX-License-Identifier: MIT */
#include "physmem.h"
#include "hostmem.h"
#include "kvm.h"
#include <errno.h>

#define WINDOW_SHIFT 26
#define HASH_SLOTS 65536 /* twice the memslots that KVM has */

_Static_assert(WINDOW_SIZE == 1ull << WINDOW_SHIFT, "WINDOW_SHIFT");

/* The page of the local APIC at 0xfee00000, and what firmware would have beside it: no memory there. */
#define APIC_WINDOW (0xfee00000ull >> WINDOW_SHIFT)

struct window {
    uint64_t hva_number; /* host address >> WINDOW_SHIFT, plus 1; 0: free */
    uint64_t gpa_number;
};

static PRIVATE_STATE struct {
    uint32_t count;
    uint32_t foreign; /* of them not over the library's reservation */
    uint64_t next_gpa_number;
    struct window *by_hva; /* open addressing; readers take no lock */
    uint64_t *hva_by_gpa;  /* hva_number by gpa_number */
    uint64_t gpa_numbers;
} PRIVATE_TYPE physmem;

static struct window *find(uint64_t hva_number)
{
    uint64_t i = hva_number * 0x9e3779b97f4a7c15ull >> 48;
    for (;; i++) {
        struct window *w = &physmem.by_hva[i % HASH_SLOTS];
        uint64_t key = __atomic_load_n(&w->hva_number, __ATOMIC_ACQUIRE);
        if (key == hva_number + 1 || key == 0)
            return w;
    }
}

static int prepare(void)
{
    if (physmem.by_hva)
        return 0;
    uint64_t numbers = 1ull << (kvm.gpa_bits - WINDOW_SHIFT);
    numbers = min_u64(numbers, HASH_SLOTS / 2);
    uint64_t *by_gpa = record_alloc(numbers * sizeof *by_gpa);
    struct window *by_hva = record_alloc(HASH_SLOTS * sizeof *by_hva);
    if (!by_gpa || !by_hva) {
        record_free(by_gpa, numbers * sizeof *by_gpa);
        record_free(by_hva, HASH_SLOTS * sizeof *by_hva);
        return -ENOMEM;
    }
    physmem.hva_by_gpa = by_gpa;
    physmem.gpa_numbers = numbers;
    __atomic_store_n(&physmem.by_hva, by_hva, __ATOMIC_RELEASE);
    return 0;
}

static int make_window(uint64_t hva_number)
{
    struct window *w = find(hva_number);
    if (w->hva_number)
        return 0;
    uint64_t number = physmem.next_gpa_number;
    if (number == APIC_WINDOW)
        number++;
    uint64_t most = min_u64(min_u64(physmem.gpa_numbers, kvm.max_slots), HASH_SLOTS / 2);
    if (number >= physmem.gpa_numbers || physmem.count >= most)
        return -ENOMEM;
    uint64_t hva = hva_number << WINDOW_SHIFT;
    /* A sandbox of the caller's own space may touch all of it, and shall not take the other spaces' windows. */
    bool foreign = hva - (uint64_t)hostmem.all.base >= hostmem.all.size;
    if (foreign && physmem.foreign >= most / 2)
        return -ENOMEM;
    uint64_t size = min_u64(WINDOW_SIZE, USER_END - hva); /* the last page below the non-canonical hole is no user's */
    int error = kvm_set_slot(physmem.count, (gpa_t){number << WINDOW_SHIFT}, size, (void *)hva);
    if (error < 0)
        return error;
    physmem.count++;
    physmem.foreign += foreign;
    physmem.next_gpa_number = number + 1;
    physmem.hva_by_gpa[number] = hva_number;
    w->gpa_number = number;
    __atomic_store_n(&w->hva_number, hva_number + 1, __ATOMIC_RELEASE);
    return 0;
}

int physmem_gpa(const void *hva, gpa_t *gpa)
{
    uint64_t number = (uint64_t)hva >> WINDOW_SHIFT;
    struct window *w = NULL;
    if (__builtin_expect(!__atomic_load_n(&physmem.by_hva, __ATOMIC_ACQUIRE) || !(w = find(number))->hva_number, 0)) {
        pthread_mutex_lock(&locks.physmem);
        int error = prepare();
        if (!error)
            error = make_window(number);
        pthread_mutex_unlock(&locks.physmem);
        if (error)
            return error;
        w = find(number);
    }
    gpa->value = w->gpa_number << WINDOW_SHIFT | ((uint64_t)hva & (WINDOW_SIZE - 1));
    return 0;
}

void *physmem_hva(gpa_t gpa)
{
    return (void *)(physmem.hva_by_gpa[gpa.value >> WINDOW_SHIFT] << WINDOW_SHIFT | (gpa.value & (WINDOW_SIZE - 1)));
}

uint32_t physmem_windows(void)
{
    return physmem.count;
}

void physmem_forget(void)
{
    if (physmem.by_hva) {
        record_free(physmem.by_hva, HASH_SLOTS * sizeof *physmem.by_hva);
        record_free(physmem.hva_by_gpa, physmem.gpa_numbers * sizeof *physmem.hva_by_gpa);
    }
    physmem.by_hva = NULL;
    physmem.hva_by_gpa = NULL;
    physmem.count = physmem.foreign = 0;
    physmem.next_gpa_number = 0;
}
