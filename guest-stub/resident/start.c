/* SPDX-License-Identifier: MIT */
/* start: from the boot protocol to the kernel's main. */
#include "arena.h"
#include "cpu.h"
#include "hypercall.h"
#include "machine.h"
#include "mm.h"
#include "own.h"
#include "tables.h"
#include <polder/resident.h>

#define STACK_SIZE (16ull << 10)

struct secondary {
    uint32_t cpu;
    void (*function)(void *);
    void *argument;
};

void start_secondary(void);

void resident_start(const void *device_tree)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    if (!machine_read(device_tree))
        __builtin_trap(); /* the monitor's first handlers report it */
    tables_init(cr3 & PTE_ADDRESS);
    frames_init(machine.ram_start, machine.ram_end, machine.ram_limit);
    mm_init();
    if (!cpu_prepare(0))
        __builtin_trap();
    cpu_begin();
    polder_shutdown(main());
}

void resident_start_secondary(struct secondary *start)
{
    cpu_begin();
    start->function(start->argument);
    __builtin_trap();
}

EXPORT uint32_t polder_cpu_count(void)
{
    return machine.cpu_count;
}

EXPORT uint32_t polder_cpu(void)
{
    return this_cpu()->number;
}

/* The stack stays for ever, as the vCPU does; what it starts with lies at its top. */
static int start_cpu(uint32_t number, void (*function)(void *), void *argument)
{
    if (number >= machine.cpu_count)
        return -EINVAL;
    static bool begun[CPU_MAX]; /* one that has been started may not have come to cpu_begin yet: its page is its own */
    if (cpu_exists(number) || __atomic_exchange_n(&begun[number], true, __ATOMIC_ACQUIRE))
        return -EBUSY;
    char *stack = arena_alloc(STACK_SIZE);
    if (!stack || !cpu_prepare(number)) {
        if (stack)
            arena_free(stack, STACK_SIZE);
        __atomic_store_n(&begun[number], false, __ATOMIC_RELEASE);
        return -ENOMEM;
    }
    struct secondary *start = (struct secondary *)(stack + STACK_SIZE - 64);
    *start = (struct secondary){number, function, argument};
    cpu_load(this_cpu(), mm_own()); /* the new vCPU gets this one's CR3 */
    int64_t result = hypercall(HC_START_CPU, number, (uint64_t)start_secondary, (uint64_t)start, (uint64_t)start);
    if (result == 0)
        return 0;
    arena_free(stack, STACK_SIZE);
    __atomic_store_n(&begun[number], false, __ATOMIC_RELEASE);
    return (int)result;
}

EXPORT int polder_cpu_start(uint32_t cpu, void (*function)(void *), void *argument)
{
    int error = start_cpu(cpu, function, argument);
    if (error)
        errno = -error;
    return error ? -1 : 0;
}

EXPORT void polder_cpu_wake(uint32_t cpu)
{
    hypercall(HC_WAKE, cpu, 0, 0, 0);
}
