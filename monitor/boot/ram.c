/* SPDX-License-Identifier: MIT */
#include "boot/ram.h"

#include <errno.h>
#include <polder/abi.h>
#include <stddef.h>
#include <sys/mman.h>

#include "kvm.h"

int ram_init(struct ram *ram, uint64_t limit, uint32_t first_slot, bool in_core)
{
    *ram = (struct ram){.limit = limit, .next_slot = first_slot, .in_core = in_core, .lock = PTHREAD_MUTEX_INITIALIZER};
    /* Addresses that agree with the guest's modulo 2 MiB can be huge pages in both tables. */
    char *at = mmap(NULL, limit + RAM_STEP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    ram->base = (char *)(((uintptr_t)at + RAM_STEP - 1) & ~(RAM_STEP - 1));
    return 0;
}

static int bring_in(struct ram *ram, uint64_t offset, uint64_t bytes)
{
    char *at = ram->base + offset;
    if (mprotect(at, bytes, PROT_READ | PROT_WRITE))
        return -errno;
    madvise(at, bytes, MADV_HUGEPAGE); /* a wish */
    if (!ram->in_core)
        madvise(at, bytes, MADV_DONTDUMP);
    int error = kvm_set_slot(ram->next_slot, (gpa_t){BOOT_RAM_BASE + offset}, bytes, at);
    if (!error)
        ram->next_slot++;
    return error;
}

int64_t ram_grow(struct ram *ram, uint64_t bytes)
{
    if (bytes == 0 || bytes % RAM_STEP)
        return -EINVAL;
    pthread_mutex_lock(&ram->lock);
    uint64_t offset = ram->size;
    /* KVM that gives no more slots has no more memory either. */
    int error = bytes > ram->limit - offset || ram->next_slot >= kvm.max_slots ? -ENOMEM : bring_in(ram, offset, bytes);
    if (!error)
        __atomic_store_n(&ram->size, offset + bytes, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&ram->lock);
    return error ? -ENOMEM : (int64_t)(BOOT_RAM_BASE + offset);
}

void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t length)
{
    uint64_t size = __atomic_load_n(&ram->size, __ATOMIC_ACQUIRE), offset = gpa - BOOT_RAM_BASE;
    /* What lies below RAM has a larger offset than anything can have. */
    if (offset > size || length > size - offset)
        return NULL;
    return ram->base + offset;
}
