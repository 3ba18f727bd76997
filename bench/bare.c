/* SPDX-License-Identifier: MIT */
/*
 * The floor: KVM_RUN with nothing around it. A loop of `out` in ring 0, and the trap: ring 3, SYSCALL, ring 0, out, and
 * back to ring 3, with a handler that is empty. Once without and once with the registers carried by KVM_CAP_SYNC_REGS.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

extern const char bare_supervisor[4096], bare_user[4096];

#define UPPER 0xffffe80000000000ul /* where the supervisor's pages are */
#define USER 0x400000ul

/* The guest's physical memory, page by page. */
enum {
    AT_PML4 = 0x1000,
    AT_PDPT_LOW = 0x2000,
    AT_PDPT_HIGH = 0x3000,
    AT_PD_LOW = 0x4000,
    AT_PD_HIGH = 0x5000,
    AT_PT_LOW = 0x6000,
    AT_PT_HIGH = 0x7000,
    AT_CODE = 0x8000, /* from here on: the pages at UPPER */
    AT_GDT = 0x9000,
    AT_IDT = 0xa000,
    AT_TSS = 0xb000,
    AT_STACK = 0xc000,
    AT_USER = 0xd000,
    MEMORY = 0x10000,
};
#define UPPER_OF(at) (UPPER + (at)-AT_CODE)

struct bare {
    int vcpu;
    struct kvm_run *run;
    int port; /* that the exits come from */
    bool registers;
};

static int checked(int result, const char *what)
{
    if (result < 0)
        bench_give_up("%s: %s", what, strerror(errno));
    return result;
}

static void fill_memory(char *memory)
{
    uint64_t *const pml4 = (void *)(memory + AT_PML4), *const pdpt_low = (void *)(memory + AT_PDPT_LOW),
                    *const pdpt_high = (void *)(memory + AT_PDPT_HIGH), *const pd_low = (void *)(memory + AT_PD_LOW),
                    *const pd_high = (void *)(memory + AT_PD_HIGH), *const pt_low = (void *)(memory + AT_PT_LOW),
                    *const pt_high = (void *)(memory + AT_PT_HIGH);
    /* Accessed and dirty are set: on shadow paging KVM would otherwise come back for them. */
    const uint64_t user = 0x67, supervisor = 0x63;

    pml4[0] = AT_PDPT_LOW | user;
    pml4[UPPER >> 39 & 511] = AT_PDPT_HIGH | supervisor;
    pdpt_low[0] = AT_PD_LOW | user;
    pdpt_high[0] = AT_PD_HIGH | supervisor;
    pd_low[USER >> 21] = AT_PT_LOW | user;
    pd_high[0] = AT_PT_HIGH | supervisor;
    pt_low[0] = AT_USER | user;
    for (uint64_t at = AT_CODE; at <= AT_STACK; at += 4096)
        pt_high[(at - AT_CODE) >> 12] = at | supervisor;
    memcpy(memory + AT_CODE, bare_supervisor, 4096);
    memcpy(memory + AT_USER, bare_user, 4096);

    uint64_t *gdt = (void *)(memory + AT_GDT);
    const uint64_t tss = UPPER_OF(AT_TSS);
    gdt[2] = 0x00af9b000000ffff; /* 0x10 ring 0 code */
    gdt[3] = 0x00cf93000000ffff; /* 0x18 ring 0 data */
    gdt[4] = 0x00cffb000000ffff; /* 0x23 ring 3 code of 32 bits */
    gdt[5] = 0x00cff3000000ffff; /* 0x2b ring 3 data */
    gdt[6] = 0x00affb000000ffff; /* 0x33 ring 3 code */
    gdt[8] = 0x0000890000000067 | (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56;
    gdt[9] = tss >> 32;
    const uint64_t stack = UPPER_OF(AT_STACK) + 4096;
    memcpy(memory + AT_TSS + 4, &stack, sizeof(stack));
    uint64_t *idt = (void *)(memory + AT_IDT);
    for (int vector = 0; vector < 256; vector++) {
        const uint64_t handler = UPPER + (vector == 14 ? 0x80 : 0xc0);
        idt[2 * vector] = (handler & 0xffff) | 0x10 << 16 | 0x8eul << 40 | (handler >> 16 & 0xffff) << 48;
        idt[2 * vector + 1] = handler >> 32;
    }
}

static void set_registers(struct bare *bare, bool ring3)
{
    struct kvm_sregs s;

    checked(ioctl(bare->vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
    s.cr0 = 0x80050033;
    s.cr3 = AT_PML4;
    s.cr4 = 1 << 5 | 1 << 9 | 1 << 10;
    s.efer = 0xd01;
    struct kvm_segment data = {.limit = 0xffffffff,
        .selector = ring3 ? 0x2b : 0x18,
        .type = 3,
        .present = 1,
        .s = 1,
        .db = 1,
        .g = 1,
        .dpl = ring3 ? 3 : 0};
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cs = data;
    s.cs.selector = ring3 ? 0x33 : 0x10;
    s.cs.type = 11;
    s.cs.db = 0;
    s.cs.l = 1;
    s.tr = (struct kvm_segment){.base = UPPER_OF(AT_TSS), .limit = 0x67, .selector = 0x40, .type = 11, .present = 1};
    s.gdt.base = UPPER_OF(AT_GDT);
    s.gdt.limit = 10 * 8 - 1;
    s.idt.base = UPPER_OF(AT_IDT);
    s.idt.limit = 4095;
    checked(ioctl(bare->vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
    union {
        struct kvm_msrs header;
        char space[sizeof(struct kvm_msrs) + 3 * sizeof(struct kvm_msr_entry)];
    } msrs;
    memset(&msrs, 0, sizeof(msrs));
    msrs.header.nmsrs = 3;
    msrs.header.entries[0] =
        (struct kvm_msr_entry){.index = 0xc0000081, .data = 0x23ul << 48 | 0x10ul << 32};       /* STAR */
    msrs.header.entries[1] = (struct kvm_msr_entry){.index = 0xc0000082, .data = UPPER + 0x40}; /* LSTAR */
    msrs.header.entries[2] = (struct kvm_msr_entry){.index = 0xc0000084, .data = 0x47700};      /* FMASK */
    if (ioctl(bare->vcpu, KVM_SET_MSRS, &msrs) != 3)
        bench_give_up("KVM_SET_MSRS");
    struct kvm_regs r = {.rip = ring3 ? USER : UPPER, .rsp = UPPER_OF(AT_STACK) + 4096, .rflags = 2};
    checked(ioctl(bare->vcpu, KVM_SET_REGS, &r), "KVM_SET_REGS");
}

static struct bare *make(bool ring3, bool registers)
{
    struct bare *bare = calloc(1, sizeof(*bare));
    int kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    int vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    char *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(struct kvm_cpuid_entry2));

    if (!bare || !cpuid || memory == MAP_FAILED)
        bench_give_up("out of memory");
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uint64_t)memory};
    checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    bare->vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    int size = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    bare->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, bare->vcpu, 0);
    if (bare->run == MAP_FAILED)
        bench_give_up("mapping of a vCPU: %s", strerror(errno));
    cpuid->nent = 256;
    checked(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
    checked(ioctl(bare->vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
    fill_memory(memory);
    set_registers(bare, ring3);
    bare->registers = registers;
    if (registers)
        bare->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    /* The first exits fill KVM's own tables. Which port they come from tells how SYSCALL arrives on this KVM. */
    for (int i = 0; i < 4; i++) {
        checked(ioctl(bare->vcpu, KVM_RUN, 0), "KVM_RUN");
        if (bare->run->exit_reason != KVM_EXIT_IO || bare->run->io.port > 0x12)
            bench_give_up("the bare guest came back with exit %u", bare->run->exit_reason);
        bare->port = bare->run->io.port;
    }
    return bare;
}

static double bare_round(void *state, long n)
{
    struct bare *bare = state;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        if (bare->registers)
            bare->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
        if (ioctl(bare->vcpu, KVM_RUN, 0) != 0 || bare->run->exit_reason != KVM_EXIT_IO ||
            bare->run->io.port != bare->port)
            bench_give_up("the bare guest stopped");
    }
    return now_ns() - start;
}

static void *make_out(void)
{
    return make(false, false);
}

static void *make_out_registers(void)
{
    return make(false, true);
}

static void *make_trap(void)
{
    return make(true, false);
}

static void *make_trap_registers(void)
{
    return make(true, true);
}

const struct bench_case bare_out = {"bare KVM_RUN: out in ring 0", make_out, bare_round, 0};
const struct bench_case bare_out_registers = {"the same, registers by SYNC_REGS", make_out_registers, bare_round, 0};
const struct bench_case bare_trap = {"bare KVM_RUN: ring 3, syscall, out, ring 3", make_trap, bare_round, 0};
const struct bench_case bare_trap_registers = {"the same, registers by SYNC_REGS", make_trap_registers, bare_round, 0};
