/* SPDX-License-Identifier: MIT */
#include "cpu.h"
#include "hypercall.h"
#include "lock.h"
#include "machine.h"
#include "mm.h"
#include "tables.h"

#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_X2APIC_EOI 0x80bu
#define MSR_X2APIC_ICR 0x830u
#define ICR_NMI (4u << 8 | 1u << 14)

extern char entry_begin[], entry_vectors[], entry_syscall[], entry_syscall_msrs[], entry_page_fault_msrs[], entry_end[];

static struct {
    struct lock evicting;
    bool exists[CPU_MAX];
} cpus;

/* A gate of the IDT (Intel SDM vol. 3A, 6.14.1). */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
};

static void set_gates(uint64_t area)
{
    struct gate *gates = (struct gate *)(area + AREA_IDT);
    uint64_t vectors = area + AREA_CODE + (uint64_t)(entry_vectors - entry_begin);
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t at = vectors + 16 * vector;
        if (vector == 14 && !machine.native_ring0)
            at = area + AREA_CODE + (uint64_t)(entry_page_fault_msrs - entry_begin);
        gates[vector] = (struct gate){.offset_low = (uint16_t)at,
            .selector = GDT_KERNEL_CODE,
            .ist = vector == 2 ? 2 : 1,
            .type = vector == 3 ? 0xee : 0x8e, /* int3 is ring 3's to use */
            .offset_middle = (uint16_t)(at >> 16),
            .offset_high = (uint32_t)(at >> 32)};
    }
}

static bool map_page(uint64_t at, uint64_t pa, uint64_t rights)
{
    uint64_t *entry = table_entry(tables_own_root(), at);
    if (!entry || pa == ~0ull)
        return false;
    entry_set(entry, pa | PTE_P | PTE_A | PTE_D | rights);
    return true;
}

bool cpu_prepare(uint32_t number)
{
    uint64_t area = area_of(number), page = tables_translate(tables_own_root(), area + AREA_KERNEL);
    if (page == ~0ull) /* not there from a start that failed */
        page = frame_alloc_zeroed();
    if (!page || !map_page(area + AREA_KERNEL, page, PTE_W | PTE_NX))
        return false;
    for (uint64_t at = 0; at < (uint64_t)(entry_end - entry_begin); at += PAGE_SIZE) {
        uint64_t pa = tables_translate(tables_own_root(), (uint64_t)entry_begin + at);
        if (!map_page(area + AREA_CODE + at, pa, 0))
            return false;
    }
    set_gates(area);
    struct cpu *cpu = cpu_of(number);
    cpu->number = number;
    cpu_not_ready(cpu);
    cpu->x2apic = machine.x2apic;
    cpu->safe_root = tables_own_root();
    return true;
}

void cpu_begin(void)
{
    struct cpu *cpu = this_cpu();
    const char *entry = machine.native_ring0 ? entry_syscall : entry_syscall_msrs;
    cpu->lstar = area_of(cpu->number) + AREA_CODE + (uint64_t)(entry - entry_begin);
    wrmsr(MSR_LSTAR, cpu->lstar);
    wrmsr(MSR_CSTAR, COMPAT_RIP);
    cpu->fs_base = cpu->gs_base = area_of(cpu->number) + AREA_DATA; /* abi.h */
    /* From here on it is waited for, so that no change is missed by the load that follows. */
    __atomic_store_n(&cpus.exists[cpu->number], true, __ATOMIC_SEQ_CST);
    write_cr3(tables_own_root());
    cpu->loaded_serial = mm_own()->serial;
    cpu->loaded_generation = mm_own()->generation;
}

bool cpu_exists(uint32_t number)
{
    return number < CPU_MAX && __atomic_load_n(&cpus.exists[number], __ATOMIC_ACQUIRE);
}

void cpu_send_nmi(struct cpu *cpu)
{
    if (cpu->x2apic)
        wrmsr(MSR_X2APIC_ICR, (uint64_t)cpu->number << 32 | ICR_NMI);
    else
        hypercall(HC_NMI, cpu->number, 0, 0, 0);
}

void cpu_end_interrupt(const struct cpu *cpu)
{
    if (cpu->x2apic)
        wrmsr(MSR_X2APIC_EOI, 0);
}

void cpu_load(struct cpu *cpu, const struct mm *mm)
{
    uint64_t generation = __atomic_load_n(&mm->generation, __ATOMIC_SEQ_CST);
    if (cpu->loaded_serial == mm->serial && cpu->loaded_generation == generation)
        return;
    cpu->loaded_serial = mm->serial;
    cpu->loaded_generation = generation;
    cpu_not_ready(cpu);
    write_cr3(mm->root);
}

void cpu_flush_page(const struct mm *mm, uint64_t page)
{
    struct cpu *cpu = this_cpu();
    if (cpu->loaded_serial != mm->serial || cpu->loaded_generation + 1 != mm->generation)
        return;
    __asm__ volatile("invlpg %0" : : "m"(*(char *)page) : "memory");
    cpu->loaded_generation = mm->generation;
}

/*
 * Waits until the other vCPU has taken an NMI that began after this call: one that was under way may have flushed too
 * early. For a space it is enough that ring 3 was left, since it flushes on its way back; what is the kernel's own is
 * used before that.
 */
static void interrupt_and_wait(struct cpu *cpu, bool leaving_is_enough)
{
    uint64_t runs = __atomic_load_n(&cpu->runs, __ATOMIC_SEQ_CST);
    uint64_t begun = __atomic_load_n(&cpu->nmis_begun, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cpu->idle, __ATOMIC_SEQ_CST))
        return;
    cpu_send_nmi(cpu);
    while (!(leaving_is_enough && __atomic_load_n(&cpu->runs, __ATOMIC_SEQ_CST) != runs) &&
           __atomic_load_n(&cpu->nmis_done, __ATOMIC_SEQ_CST) <= begun &&
           !__atomic_load_n(&cpu->idle, __ATOMIC_SEQ_CST))
        pause_cpu();
}

static uint64_t read_cr3(void)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3;
}

void cpu_shoot_down(struct mm *mm)
{
    struct cpu *self = this_cpu();
    if (self->loaded_serial == mm->serial && self->loaded_generation != mm->generation)
        cpu_load(self, mm);
    bool everywhere = mm == mm_own();
    if (everywhere) /* the upper half, whatever is loaded: the flush of any root is one of it */
        write_cr3(read_cr3());
    for (uint32_t i = 0; machine.cpu_count > 1 && i < machine.cpu_count; i++) {
        struct cpu *cpu = cpu_exists(i) ? cpu_of(i) : NULL;
        if (!cpu || cpu == self)
            continue;
        if (everywhere || __atomic_load_n(&cpu->inside, __ATOMIC_SEQ_CST) == mm)
            interrupt_and_wait(cpu, !everywhere);
    }
}

void cpu_idle(uint64_t flags)
{
    struct cpu *self = this_cpu();
    cpu_load(self, mm_own());
    __atomic_store_n(&self->idle, true, __ATOMIC_SEQ_CST);
    hypercall(HC_IDLE, flags, 0, 0, 0);
    __atomic_store_n(&self->idle, false, __ATOMIC_SEQ_CST);
    write_cr3(read_cr3());
}

void cpu_evict(uint64_t root)
{
    struct cpu *self = this_cpu();
    if (read_cr3() == root)
        cpu_load(self, mm_own());
    if (machine.cpu_count == 1)
        return;
    lock(&cpus.evicting);
    for (uint32_t i = 0; i < machine.cpu_count; i++) {
        struct cpu *cpu = cpu_exists(i) ? cpu_of(i) : NULL;
        if (!cpu || cpu == self)
            continue;
        __atomic_store_n(&cpu->evict_root, root, __ATOMIC_SEQ_CST);
        interrupt_and_wait(cpu, false);
        __atomic_store_n(&cpu->evict_root, 0, __ATOMIC_SEQ_CST);
    }
    unlock(&cpus.evicting);
}
