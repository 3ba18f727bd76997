/* SPDX-License-Identifier: MIT */
#include "kvm.h"
#include "clock.h"
#include "highfd.h"
#include "hostmem.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <polder/abi.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CPUID_ENTRIES 256

#define CR0_PE_ET_NE_WP_AM_PG 0x80050033ull /* with MP */
#define CR4_PAE (1ull << 5)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP (1ull << 11)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define EFER_SCE_LME_LMA_NXE 0xd01ull

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_TSC 0x10u

#define APIC_SPURIOUS 0xf0
#define APIC_SPURIOUS_ENABLE 0x100
#define APIC_ISR 0x100
#define APIC_IRR 0x200
#define APIC_BASE_X2APIC 0xc00ull /* enabled, in x2APIC mode */
#define APIC_LVT_TIMER 0x320
#define APIC_TIMER_TSC_DEADLINE (2u << 17)

/* arch_prctl codes of Linux 5.16: guests may use dynamically enabled XSAVE features such as AMX. */
#ifndef ARCH_REQ_XCOMP_GUEST_PERM
#define ARCH_REQ_XCOMP_GUEST_PERM 0x1025
#endif
#define XFEATURE_XTILEDATA 18

PRIVATE_STATE struct kvm_vm kvm = {.dev = -1, .fd = -1};

static PRIVATE_STATE union {
    struct kvm_cpuid2 header;
    char room[sizeof(struct kvm_cpuid2) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2)];
} PRIVATE_TYPE cpuid;

static PRIVATE_STATE struct {
    const char *name;
} PRIVATE_TYPE missing;

/* KVM's list of MSRs with room for a few. */
union msrs {
    struct kvm_msrs list;
    char room[sizeof(struct kvm_msrs) + 4 * sizeof(struct kvm_msr_entry)];
};

static const struct {
    int capability;
    const char *name;
} required[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS"},
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};

static int call(int fd, unsigned long request, void *argument)
{
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

static int call_number(int fd, unsigned long request, unsigned long argument)
{
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

static int capability(int fd, int number)
{
    int result = call_number(fd, KVM_CHECK_EXTENSION, (unsigned long)number);
    return result < 0 ? 0 : result;
}

const char *kvm_missing(void)
{
    return missing.name;
}

static void read_cpuid(void)
{
    uint32_t ecx1 = 0, ebx7 = 0, ecx7 = 0;
    kvm.gpa_bits = 36;
    for (uint32_t i = 0; i < cpuid.header.nent; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid.header.entries[i];
        if (e->function == 1) {
            ecx1 = e->ecx;
            e->ecx |= 1u << 24; /* TSC deadline: the in-kernel APIC has it whatever the CPU says */
        }
        if (e->function == 7 && e->index == 0) {
            ebx7 = e->ebx;
            ecx7 = e->ecx;
        }
        if (e->function == 0xd && e->index == 0)
            kvm.xcr0 = e->eax | (uint64_t)e->edx << 32;
        if (e->function == 0x80000008u)
            kvm.gpa_bits = e->eax & 0xff;
    }
    kvm.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (ecx1 >> 26 & 1)
        kvm.cr4 |= CR4_OSXSAVE;
    if (ecx1 >> 17 & 1)
        kvm.cr4 |= KVM_CR4_PCIDE;
    if (ebx7 & 1)
        kvm.cr4 |= CR4_FSGSBASE;
    if (ebx7 >> 7 & 1)
        kvm.cr4 |= CR4_SMEP;
    if (ebx7 >> 20 & 1)
        kvm.cr4 |= KVM_CR4_SMAP;
    if (ecx7 >> 2 & 1)
        kvm.cr4 |= CR4_UMIP;
    kvm.x2apic = ecx1 >> 21 & 1;
    kvm.native_ring0 = (kvm.cr4 & CR4_FSGSBASE) && (kvm.cr4 & CR4_SMEP);
    if (!(kvm.cr4 & CR4_OSXSAVE))
        kvm.xcr0 = 0;
}

/* AMX and its like are offered to guests only if asked for before the first vCPU (KVM API, KVM_GET_SUPPORTED_CPUID). */
static void request_dynamic_xfeatures(void)
{
    uint64_t supported = 0;
    struct kvm_device_attr attr = {.attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uint64_t)&supported};
    if (capability(kvm.dev, KVM_CAP_SYS_ATTRIBUTES) && !call(kvm.dev, KVM_GET_DEVICE_ATTR, &attr) &&
        (supported >> XFEATURE_XTILEDATA & 1))
        syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM, XFEATURE_XTILEDATA);
}

static int make_vm(void)
{
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!capability(kvm.dev, required[i].capability)) {
            missing.name = required[i].name;
            return -ENOSYS;
        }
    }
    request_dynamic_xfeatures();
    cpuid.header.nent = CPUID_ENTRIES;
    int error = call(kvm.dev, KVM_GET_SUPPORTED_CPUID, &cpuid.header);
    if (error < 0)
        return error;
    read_cpuid();
    int size = call_number(kvm.dev, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0)
        return size;
    kvm.run_size = (uint32_t)size;
    int fd;
    do
        fd = call_number(kvm.dev, KVM_CREATE_VM, 0);
    while (fd == -EINTR); /* seen where a signal arrives while the VM is set up */
    if (fd < 0)
        return fd;
    kvm.fd = highfd_move(fd);
    kvm.max_slots = (uint32_t)capability(kvm.fd, KVM_CAP_NR_MEMSLOTS);
    kvm.max_vcpus = (uint32_t)capability(kvm.fd, KVM_CAP_MAX_VCPUS);
    kvm.readonly_slots = capability(kvm.fd, KVM_CAP_READONLY_MEM);
    int xsave = capability(kvm.fd, KVM_CAP_XSAVE2);
    kvm.xsave_size = xsave < 4096 ? 4096 : (uint32_t)xsave;
    /* The local APIC in the kernel, the rest nowhere: it is what makes NMIs and a timer without any signal possible. */
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
    error = call(kvm.fd, KVM_ENABLE_CAP, &split);
    if (error < 0)
        return error;
    /*
     * With an APIC in the kernel, KVM brings in missing host pages asynchronously and halts the vCPU until they are
     * there. A page beyond the end of a truncated file never is: KVM_RUN would neither run nor return. Where HLT does
     * not exit, KVM does not do that, and KVM_RUN gives EFAULT.
     */
    struct kvm_enable_cap hlt = {.cap = KVM_CAP_X86_DISABLE_EXITS, .args = {KVM_X86_DISABLE_EXITS_HLT}};
    if (capability(kvm.fd, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT)
        error = call(kvm.fd, KVM_ENABLE_CAP, &hlt);
    return error;
}

int kvm_open(void)
{
    if (kvm.fd >= 0)
        return 0;
    int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (dev < 0)
        return -errno;
    kvm.dev = highfd_move(dev);
    int error = call_number(kvm.dev, KVM_GET_API_VERSION, 0);
    if (error == KVM_API_VERSION) {
        error = make_vm();
    } else {
        missing.name = "KVM_API_VERSION 12";
        error = -ENOSYS;
    }
    if (error < 0)
        kvm_forget();
    return error < 0 ? error : 0;
}

void kvm_forget(void)
{
    if (kvm.fd >= 0)
        close(kvm.fd);
    if (kvm.dev >= 0)
        close(kvm.dev);
    kvm.fd = kvm.dev = -1;
}

static int set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva, uint32_t flags)
{
    struct kvm_userspace_memory_region region = {.slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa.value,
        .memory_size = size,
        .userspace_addr = (uint64_t)hva};
    return call(kvm.fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva)
{
    return set_slot(slot, gpa, size, hva, 0);
}

int kvm_set_readonly_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva)
{
    return set_slot(slot, gpa, size, hva, kvm.readonly_slots ? KVM_MEM_READONLY : 0);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type)
{
    return (struct kvm_segment){.limit = ~0u,
        .selector = selector,
        .type = type,
        .present = 1,
        .s = 1,
        .l = type == 11,
        .db = type != 11,
        .g = 1};
}

static int set_ring0(struct kvm_vcpu *vcpu, const struct kvm_ring0 *ring0)
{
    struct kvm_sregs s;
    int error = kvm_get_sregs(vcpu, &s);
    if (error < 0)
        return error;
    s.cr0 = CR0_PE_ET_NE_WP_AM_PG;
    s.cr3 = ring0->cr3;
    s.cr4 = kvm.cr4 & ~ring0->cr4_without;
    s.efer = EFER_SCE_LME_LMA_NXE;
    s.cs = segment(GDT_KERNEL_CODE, 11);
    s.ss = segment(GDT_KERNEL_DATA, 3);
    s.ds = s.es = s.fs = s.gs = (struct kvm_segment){.type = 3, .s = 1, .unusable = 1};
    s.fs.base = s.gs.base = ring0->segment_base;
    if (ring0->x2apic)
        s.apic_base |= APIC_BASE_X2APIC;
    s.tr = (struct kvm_segment){.base = ring0->tss_base, .limit = 0x67, .selector = GDT_TSS, .type = 11, .present = 1};
    s.ldt = (struct kvm_segment){.unusable = 1, .type = 2};
    s.gdt.base = ring0->gdt_base;
    s.gdt.limit = ring0->gdt_limit;
    s.idt.base = ring0->idt_base;
    s.idt.limit = 0xfff;
    error = kvm_set_sregs(vcpu, &s);
    if (error < 0)
        return error;
    struct kvm_regs regs = {.rip = ring0->rip, .rflags = 2};
    return kvm_set_regs(vcpu, &regs);
}

static int set_msrs(struct kvm_vcpu *vcpu, const struct kvm_ring0 *ring0)
{
    union msrs msrs = {.list.nmsrs = 4};
    struct kvm_msr_entry *entries = msrs.list.entries;
    entries[0] = (struct kvm_msr_entry){
        .index = MSR_STAR, .data = (uint64_t)GDT_USER_CODE32 << 48 | (uint64_t)GDT_KERNEL_CODE << 32};
    entries[1] = (struct kvm_msr_entry){.index = MSR_LSTAR, .data = ring0->lstar};
    /* TF, IF, DF, IOPL, NT, AC, RF: none of ring 3's may hold in the stub. */
    entries[2] = (struct kvm_msr_entry){.index = MSR_SFMASK, .data = 0x57700};
    /*
     * SYSCALL in compatibility mode exists on AMD only. PVM's emulator goes to CSTAR cut to 32 bits, where ring 3 could
     * have put code, at CPL 0. No space can have memory at page 0: a fault there stands for this call.
     */
    entries[3] = (struct kvm_msr_entry){.index = MSR_CSTAR, .data = 0};
    int set = call(vcpu->fd, KVM_SET_MSRS, &msrs);
    return set < 0 ? set : set < 3 ? -EIO : 0;
}

static int enable_apic(struct kvm_vcpu *vcpu)
{
    struct kvm_lapic_state apic;
    int error = call(vcpu->fd, KVM_GET_LAPIC, &apic);
    if (error < 0)
        return error;
    /* Software-disabled, as at reset, it drops even NMIs sent to it by number. */
    *(uint32_t *)(apic.regs + APIC_SPURIOUS) = APIC_SPURIOUS_ENABLE | VECTOR_SPURIOUS;
    *(uint32_t *)(apic.regs + APIC_LVT_TIMER) = APIC_TIMER_TSC_DEADLINE | VECTOR_DEADLINE;
    return call(vcpu->fd, KVM_SET_LAPIC, &apic);
}

static int get_msr(struct kvm_vcpu *vcpu, uint32_t index, uint64_t *value)
{
    union msrs msr = {.list.nmsrs = 1};
    struct kvm_msr_entry *entry = msr.list.entries;
    entry->index = index;
    int got = call(vcpu->fd, KVM_GET_MSRS, &msr);
    *value = entry->data;
    return got < 0 ? got : got < 1 ? -EIO : 0;
}

/* How far the TSC inside is ahead of the one outside: between least and most. */
static int tsc_ahead(struct kvm_vcpu *vcpu, int64_t *least, int64_t *most)
{
    uint64_t inside, before = __builtin_ia32_rdtsc();
    int error = get_msr(vcpu, MSR_TSC, &inside);
    *least = (int64_t)(inside - __builtin_ia32_rdtsc());
    *most = (int64_t)(inside - before);
    return error;
}

/*
 * Where the host's kernel does not trust its TSC (processors that are not known to run alike, QEMU's among them), KVM
 * lets a vCPU's stand while the vCPU is not in KVM_RUN, and moves it on by leaps there, whatever offset it was given
 * (kvm_arch_vcpu_load, kvm_guest_time_update).
 */
static int look_at_tsc(struct kvm_vcpu *vcpu)
{
    enum { A_WHILE = 50000 }; /* many times what the host's TSCs may differ by */
    int64_t least, most, then_least, then_most;
    int error = tsc_ahead(vcpu, &least, &most);
    for (uint64_t start = __builtin_ia32_rdtsc(); __builtin_ia32_rdtsc() - start < A_WHILE;)
        ;
    if (!error)
        error = tsc_ahead(vcpu, &then_least, &then_most);
    if (error)
        return error;
    kvm.tsc_same = least <= 0 && most >= 0 && then_least <= 0 && then_most >= 0;
    kvm.tsc_steady = then_most >= least && then_least <= most;
    return 0;
}

static int set_tsc(struct kvm_vcpu *vcpu)
{
    /* Offset 0: the TSC inside is the TSC outside, and a vDSO tells the right time. Not every KVM has it. */
    uint64_t offset = 0;
    struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)&offset};
    call(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
    int khz = call_number(vcpu->fd, KVM_GET_TSC_KHZ, 0);
    kvm.tsc_khz = khz > 0 ? (uint32_t)khz : 1000000;
    return vcpu->id == 0 ? look_at_tsc(vcpu) : 0;
}

static int set_up(struct kvm_vcpu *vcpu, const struct kvm_ring0 *ring0)
{
    int error = call(vcpu->fd, KVM_SET_CPUID2, &cpuid.header);
    if (error < 0)
        return error;
    /* With an APIC in the kernel all vCPUs but the first wait to be started. */
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    error = call(vcpu->fd, KVM_SET_MP_STATE, &runnable);
    if (error < 0 && vcpu->id != 0)
        return error;
    error = set_ring0(vcpu, ring0);
    if (error < 0)
        return error;
    if (kvm.xcr0) {
        struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = kvm.xcr0}}};
        error = call(vcpu->fd, KVM_SET_XCRS, &xcrs);
        if (error < 0)
            return error;
    }
    error = set_msrs(vcpu, ring0);
    if (error < 0)
        return error;
    error = set_tsc(vcpu);
    if (error < 0)
        return error;
    error = enable_apic(vcpu);
    return error < 0 ? error : 0;
}

int kvm_vcpu_create(struct kvm_vcpu *vcpu, uint32_t id, const struct kvm_ring0 *ring0, void *run_at)
{
    if (vcpu->fd < 0) {
        int fd = call_number(kvm.fd, KVM_CREATE_VCPU, id);
        if (fd < 0)
            return fd;
        *vcpu = (struct kvm_vcpu){.fd = highfd_move(fd), .id = id};
    }
    if (!vcpu->run) {
        void *run = mmap(run_at, kvm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, vcpu->fd, 0);
        if (run == MAP_FAILED) {
            int error = -errno;
            hostmem_reserve(run_at, kvm.run_size);
            return error;
        }
        vcpu->run = run;
    }
    return set_up(vcpu, ring0);
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
    if (vcpu->run)
        hostmem_reserve(vcpu->run, kvm.run_size);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    vcpu->run = NULL;
    vcpu->fd = -1;
}

int kvm_run(struct kvm_vcpu *vcpu)
{
    return call_number(vcpu->fd, KVM_RUN, 0);
}

int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs)
{
    return call(vcpu->fd, KVM_GET_REGS, regs);
}

int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
{
    return call(vcpu->fd, KVM_SET_REGS, (void *)regs);
}

int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
{
    return call(vcpu->fd, KVM_GET_SREGS, sregs);
}

int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
{
    return call(vcpu->fd, KVM_SET_SREGS, (void *)sregs);
}

int kvm_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
{
    return call(vcpu->fd, KVM_GET_VCPU_EVENTS, events);
}

int kvm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
{
    return call(vcpu->fd, KVM_SET_VCPU_EVENTS, (void *)events);
}

int kvm_get_xsave(struct kvm_vcpu *vcpu, void *area)
{
    return call(vcpu->fd, kvm.xsave_size > 4096 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area);
}

int kvm_set_xsave(struct kvm_vcpu *vcpu, const void *area)
{
    return call(vcpu->fd, KVM_SET_XSAVE, (void *)area);
}

/* The descriptors follow the header, each with its name behind it; the values are where it says. */
static int find_counter(int fd, const char *name, uint64_t *value)
{
    struct kvm_stats_header header;
    union {
        struct kvm_stats_desc desc;
        char room[512];
    } entry;
    if (pread(fd, &header, sizeof header, 0) != sizeof header)
        return -ENOSYS;
    size_t size = sizeof(struct kvm_stats_desc) + header.name_size;
    if (size >= sizeof entry)
        return -ENOSYS;
    for (uint32_t i = 0; i < header.num_desc; i++) {
        if (pread(fd, &entry, size, (off_t)(header.desc_offset + i * size)) != (ssize_t)size)
            return -ENOSYS;
        entry.room[size] = 0;
        if (strcmp(entry.room + sizeof entry.desc, name) == 0)
            return pread(fd, value, sizeof *value, header.data_offset + entry.desc.offset) == sizeof *value ? 0
                                                                                                            : -ENOSYS;
    }
    return -ENOSYS;
}

int kvm_count_exits(struct kvm_vcpu *vcpu, uint64_t *exits)
{
    int fd = call_number(vcpu->fd, KVM_GET_STATS_FD, 0);
    if (fd < 0)
        return -ENOSYS;
    int error = find_counter(fd, "exits", exits);
    close(fd);
    return error;
}

int kvm_set_sigmask(struct kvm_vcpu *vcpu, const void *mask)
{
    struct {
        uint32_t length;
        uint8_t set[8];
    } argument = {.length = 8};
    if (!mask)
        return call(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL);
    memcpy(argument.set, mask, 8);
    return call(vcpu->fd, KVM_SET_SIGNAL_MASK, &argument);
}

static int set_deadline(struct kvm_vcpu *vcpu, uint64_t tsc)
{
    union msrs msr = {.list.nmsrs = 1};
    msr.list.entries[0] = (struct kvm_msr_entry){.index = MSR_TSC_DEADLINE, .data = tsc};
    int set = call(vcpu->fd, KVM_SET_MSRS, &msr);
    return set < 0 ? set : set < 1 ? -EIO : 0;
}

int kvm_arm_deadline(struct kvm_vcpu *vcpu, uint64_t ns)
{
    uint64_t now = __builtin_ia32_rdtsc();
    int error = kvm.tsc_same ? 0 : get_msr(vcpu, MSR_TSC, &now);
    if (error)
        return error;
    unsigned __int128 ticks = (unsigned __int128)ns * kvm.tsc_khz / 1000000;
    uint64_t at = ticks > INT64_MAX ? (uint64_t)INT64_MAX : now + (uint64_t)ticks + 1;
    if (!kvm.tsc_steady) {
        uint64_t time = clock_ns(CLOCK_MONOTONIC);
        vcpu->deadline_tsc = at;
        vcpu->deadline_ns = ns > UINT64_MAX - time ? UINT64_MAX : time + ns;
    }
    return set_deadline(vcpu, at);
}

int kvm_disarm_deadline(struct kvm_vcpu *vcpu)
{
    return set_deadline(vcpu, 0);
}

bool kvm_deadline_left(struct kvm_vcpu *vcpu, uint64_t *ns)
{
    union msrs msr = {.list.nmsrs = 2};
    struct kvm_msr_entry *entry = msr.list.entries;
    entry[0].index = MSR_TSC;
    entry[1].index = MSR_TSC_DEADLINE;
    if (call(vcpu->fd, KVM_GET_MSRS, &msr) != 2 || entry[1].data == 0)
        return false;
    if (!kvm.tsc_steady && entry[1].data == vcpu->deadline_tsc) {
        uint64_t time = clock_ns(CLOCK_MONOTONIC);
        *ns = vcpu->deadline_ns > time ? vcpu->deadline_ns - time : 0;
        return true;
    }
    uint64_t ticks = entry[1].data > entry[0].data ? entry[1].data - entry[0].data : 0;
    *ns = (uint64_t)((unsigned __int128)ticks * 1000000 / kvm.tsc_khz);
    return true;
}

bool kvm_interrupt_waits(struct kvm_vcpu *vcpu)
{
    struct kvm_lapic_state apic;
    struct kvm_vcpu_events events;
    if (call(vcpu->fd, KVM_GET_LAPIC, &apic) < 0 || kvm_get_events(vcpu, &events) < 0)
        return false;
    bool waits = events.nmi.pending || events.nmi.injected || events.interrupt.injected;
    for (int i = 0; i < 8; i++)
        waits |= *(uint32_t *)(apic.regs + APIC_IRR + 16 * i) != 0;
    return waits;
}

int kvm_end_interrupt(struct kvm_vcpu *vcpu)
{
    struct kvm_lapic_state apic;
    int error = call(vcpu->fd, KVM_GET_LAPIC, &apic);
    if (error < 0)
        return error;
    bool in_service = false;
    for (int i = 0; i < 8; i++) {
        uint32_t *isr = (uint32_t *)(apic.regs + APIC_ISR + 16 * i);
        in_service |= *isr != 0;
        *isr = 0;
    }
    return in_service ? call(vcpu->fd, KVM_SET_LAPIC, &apic) : 0;
}

int kvm_send_nmi(uint32_t vcpu_id)
{
    /* APM vol. 2, 16.6.1 as an MSI: the destination in bits 19:12 of the address, bits 31:8 of it in the high half
     * (x2APIC numbers); delivery mode 4 in the data is NMI. */
    struct kvm_msi msi = {
        .address_lo = 0xfee00000u | (vcpu_id & 0xff) << 12, .address_hi = vcpu_id & ~0xffu, .data = 4u << 8};
    return call(kvm.fd, KVM_SIGNAL_MSI, &msi);
}
