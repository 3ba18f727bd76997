/* SPDX-License-Identifier: MIT */
#include "hostmem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CLASS_MIN_SHIFT 5
#define CLASSES 28       /* 32 bytes to 4 GiB, in powers of two */
#define CLASSES_SMALL 11 /* from 64 KiB on, a record is a block of its own, whose pages go back to the host */
#define SLAB_SIZE (64u << 10)

struct free_record {
    struct free_record *next;
};

/* A block that an embedder's allocator gave: it is outside the reservation, and as private. */
struct foreign_block {
    uint64_t start, size;
    struct foreign_block *next;
};

PRIVATE_STATE struct hostmem hostmem;

static PRIVATE_STATE struct {
    struct free_record *free[CLASSES];
    uint64_t used; /* of hostmem.records */
    uint64_t bytes;
    bool begun;
    struct polder_allocator allocator;
    struct foreign_block *foreign;
} PRIVATE_TYPE records;

int hostmem_init(void)
{
    if (hostmem.all.base)
        return 0;
    /* Address space only. Under RLIMIT_AS less will have to do. */
    for (uint64_t size = 1ull << 40; size >= 32 * WINDOW_SIZE; size /= 2) {
        char *base = mmap(NULL, size + WINDOW_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            continue;
        char *aligned = (char *)(((uint64_t)base + WINDOW_SIZE - 1) & ~(WINDOW_SIZE - 1));
        if (aligned > base)
            munmap(base, (size_t)(aligned - base));
        munmap(aligned + size, (size_t)(base + WINDOW_SIZE - aligned));
        hostmem.tables = (struct hostmem_area){aligned, size / 16};
        hostmem.records = (struct hostmem_area){aligned + size / 16, size / 16};
        hostmem.frames = (struct hostmem_area){aligned + size / 8, size * 3 / 8};
        hostmem.files = (struct hostmem_area){aligned + size / 2, size / 2 - WINDOW_SIZE};
        hostmem.runs = (struct hostmem_area){aligned + size - WINDOW_SIZE, WINDOW_SIZE};
        hostmem.all = (struct hostmem_area){aligned, size};
        return 0;
    }
    return -ENOMEM;
}

void hostmem_reserve(void *at, uint64_t size)
{
    mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

bool hostmem_overlaps(uint64_t address, uint64_t length)
{
    uint64_t base = (uint64_t)hostmem.all.base, end = address + length;
    if (length == 0)
        return false;
    if (end < address)
        return true;
    if (hostmem.all.base && address < base + hostmem.all.size && end > base)
        return true;
    if (state_overlaps(address, length))
        return true;
    bool hit = false;
    pthread_mutex_lock(&locks.records);
    for (struct foreign_block *b = records.foreign; b && !hit; b = b->next)
        hit = address < b->start + b->size && end > b->start;
    pthread_mutex_unlock(&locks.records);
    return hit;
}

static void *block_alloc(uint64_t size)
{
    if (records.allocator.alloc) {
        char *block = records.allocator.alloc(size, records.allocator.opaque);
        if (!block)
            return NULL;
        /* Its description lies in its own last bytes, so that describing it cannot fail. */
        struct foreign_block *b = (struct foreign_block *)(block + size) - 1;
        *b = (struct foreign_block){(uint64_t)block, size, records.foreign};
        records.foreign = b;
        return block;
    }
    if (hostmem_init() || hostmem.records.size - records.used < size)
        return NULL;
    char *block = hostmem.records.base + records.used;
    if (mprotect(block, size, PROT_READ | PROT_WRITE))
        return NULL;
    records.used += size;
    return block;
}

static int class_of(size_t size)
{
    int class = 0;
    while (((size_t)1 << (CLASS_MIN_SHIFT + class)) < size)
        class ++;
    return class;
}

static bool class_refill(int class)
{
    size_t size = (size_t)1 << (CLASS_MIN_SHIFT + class);
    size_t spare = records.allocator.alloc ? sizeof(struct foreign_block) : 0;
    size_t block_size = page_up((size > SLAB_SIZE / 4 ? size : SLAB_SIZE) + spare);
    char *block = block_alloc(block_size);
    if (!block)
        return false;
    for (size_t at = 0; at + size <= block_size - spare; at += size) {
        struct free_record *r = (struct free_record *)(block + at);
        r->next = records.free[class];
        records.free[class] = r;
    }
    return true;
}

void *record_alloc(size_t size)
{
    int class = class_of(size);
    void *record = NULL;
    pthread_mutex_lock(&locks.records);
    records.begun = true;
    if (class >= CLASSES_SMALL && records.allocator.alloc) {
        record = block_alloc(page_up(size + sizeof(struct foreign_block)));
    } else if (class < CLASSES && (records.free[class] || class_refill(class))) {
        record = records.free[class];
        records.free[class] = records.free[class]->next;
    }
    if (record)
        records.bytes += size;
    pthread_mutex_unlock(&locks.records);
    if (record && class < CLASSES_SMALL)
        memset(record, 0, size);
    else if (record) /* fresh or given back to the host: only the link is not zero */
        memset(record, 0, records.allocator.alloc ? size : sizeof(struct free_record));
    return record;
}

static void foreign_forget(void *block)
{
    for (struct foreign_block **b = &records.foreign; *b; b = &(*b)->next) {
        if ((*b)->start != (uint64_t)block)
            continue;
        uint64_t size = (*b)->size;
        *b = (*b)->next;
        records.allocator.free(block, size, records.allocator.opaque);
        return;
    }
}

void record_free(void *record, size_t size)
{
    if (!record)
        return;
    int class = class_of(size);
    pthread_mutex_lock(&locks.records);
    records.bytes -= size;
    if (class >= CLASSES_SMALL && records.allocator.alloc) {
        foreign_forget(record);
    } else {
        size_t whole = (size_t)1 << (CLASS_MIN_SHIFT + class);
        if (class >= CLASSES_SMALL && madvise(record, whole, MADV_DONTNEED)) /* locked memory is not taken back */
            memset(record, 0, size);
        struct free_record *r = record;
        r->next = records.free[class];
        records.free[class] = r;
    }
    pthread_mutex_unlock(&locks.records);
}

int record_set_allocator(const struct polder_allocator *allocator)
{
    if (!allocator || !allocator->alloc || !allocator->free)
        return -EINVAL;
    int error = -EBUSY;
    pthread_mutex_lock(&locks.records);
    if (!records.begun) {
        records.allocator = *allocator;
        error = 0;
    }
    pthread_mutex_unlock(&locks.records);
    return error;
}

uint64_t record_bytes(void)
{
    return records.bytes;
}
