/* SPDX-License-Identifier: MIT */
/*
 * memory: the memory calls of the program. It lives in this process, so the host's calls do the work; what is decided
 * here is that they reach only what belongs to the program, never the monitor. Arguments are the program's, unchecked;
 * results are those of the system calls, -errno included.
 */
#ifndef MONITOR_LINUX_MEMORY_H
#define MONITOR_LINUX_MEMORY_H

#include "linux/vma.h"

/*
 * Memory that the host has mapped ahead of need, in whole huge pages, and the program cannot see yet. Small steps of
 * mmap and brk take from it: one fault then brings in 512 pages, also where the steps are smaller than that.
 */
struct memory_spare {
    uint64_t start, end;
};

struct memory {
    int mm_fd;
    struct vma_list vmas;
    uint64_t brk_start, brk_end;
    struct memory_spare brk_spare;  /* right after the page of brk_end */
    struct memory_spare map_spare;  /* taken from its end */
    struct memory_spare grow_spare; /* addresses only: room for the mapping before it, which mremap has grown already */
    uint64_t guard_start, guard_end; /* below the stack: nobody's, so that an overflow hits nothing */
    uint64_t stack_start, stack_end;
};

/* Hides the whole process from its sandboxes; what the program maps from here on is shown. 0 or -errno. */
int memory_start(struct memory *memory, int mm_fd);

long memory_mmap(
    struct memory *memory, uint64_t addr, uint64_t length, uint64_t prot, uint64_t flags, int fd, uint64_t offset);
long memory_munmap(struct memory *memory, uint64_t addr, uint64_t length);
long memory_mprotect(struct memory *memory, uint64_t addr, uint64_t length, uint64_t prot);
long memory_mremap(
    struct memory *memory, uint64_t addr, uint64_t old_length, uint64_t new_length, uint64_t flags, uint64_t new_addr);
long memory_brk(struct memory *memory, uint64_t addr);
long memory_madvise(struct memory *memory, uint64_t addr, uint64_t length, int advice);
long memory_mincore(struct memory *memory, uint64_t addr, uint64_t length, uint64_t vector);
long memory_msync(struct memory *memory, uint64_t addr, uint64_t length, int flags);
/* number is SYS_mlock, SYS_mlock2 or SYS_munlock. */
long memory_lock(struct memory *memory, long number, uint64_t addr, uint64_t length, uint64_t flags);

/* For exec. True if [start, end) holds nothing of the monitor's. */
bool memory_free_of_monitor(struct memory *memory, uint64_t start, uint64_t end);
/* Takes everything away from the program. 0 or -errno; then nothing is changed. */
int memory_drop_all(struct memory *memory);
/* An empty stack of size bytes with a guard below it. 0 or -errno. */
int memory_stack(struct memory *memory, uint64_t size, bool executable);

#endif
