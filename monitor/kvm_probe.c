/* SPDX-License-Identifier: MIT */
#include "kvm_probe.h"

#include "clock.h"
#include "types.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* The guest's physical memory, page by page. */
enum { AT_PML4 = 0x1000, AT_PDPT = 0x2000, AT_PD = 0x3000, AT_PT = 0x4000, AT_TSS = 0x5000, AT_OLD = 0x6000 };
enum { AT_NEW = 0x7000, AT_USER = 0x8000, AT_SUPERVISOR = 0x9000, MEMORY = 0xa000, AT_NOTHING = 0x100000 };

/* What is where in its only 2 MiB of virtual memory. */
enum { SUBJECT = 0x401000, MAILBOX = 0x402000, USER = 0x403000, SUPERVISOR = 0x404000, TABLE = 0x405000 };
enum { TSS = 0x406000 };

/* Present, writable, user, accessed, dirty: preset, or a CPU that sets them would write to the entry too. */
#define ENTRY_USER 0x67ull
#define ENTRY_SUPERVISOR 0x63ull

#define OLD_VALUE 0x0123456789abcdefull
#define NEW_VALUE 0xfedcba9876543210ull

/*
 * Ring 3 tells what it sees by a store to where no memory is: that ends KVM_RUN without an IDT, and without ring 0. The
 * ud2 are never reached.
 */
extern const char probe_user[], probe_supervisor[], probe_flush[], probe_store[], probe_count[], probe_exits[],
    probe_end[];
__asm__(".pushsection .rodata\n"
        "probe_user:\n"
        "    mov (%rbx), %rax\n"
        "    mov %rax, (%rdi)\n"
        "    ud2\n"
        "probe_supervisor:\n"
        "probe_flush:\n"
        "    invlpg (%rbx)\n"
        "    mov %cr3, %rax\n"
        "    mov %rax, %cr3\n"
        "    out %al, $0x10\n"
        "    ud2\n"
        "probe_store:\n"
        "    mov %rdx, (%rsi)\n"
        "    invlpg (%rbx)\n"
        "    out %al, $0x10\n"
        "    ud2\n"
        "probe_count:\n"
        "    dec %rcx\n"
        "    jnz probe_count\n"
        "probe_exits:\n"
        "    out %al, $0x10\n"
        "    jmp probe_exits\n"
        "probe_end:\n"
        "    .popsection");
#define SUPERVISOR_AT(code) (SUPERVISOR + (uint64_t)((code)-probe_supervisor))

struct machine {
    int dev, vm, vcpu;
    uint32_t run_size;
    struct kvm_run *run;
    char *memory;
};

static uint64_t *word_at(const struct machine *m, uint64_t at)
{
    return (uint64_t *)(m->memory + at);
}

static uint64_t *entry_of(const struct machine *m, uint64_t address)
{
    return word_at(m, AT_PT) + (address >> 12) % 512;
}

static void fill_memory(const struct machine *m)
{
    *word_at(m, AT_PML4) = AT_PDPT | ENTRY_USER;
    *word_at(m, AT_PDPT) = AT_PD | ENTRY_USER;
    word_at(m, AT_PD)[SUBJECT >> 21] = AT_PT | ENTRY_USER;
    *entry_of(m, SUBJECT) = AT_OLD | ENTRY_USER;
    *entry_of(m, MAILBOX) = AT_NOTHING | ENTRY_USER;
    *entry_of(m, USER) = AT_USER | ENTRY_USER;
    *entry_of(m, SUPERVISOR) = AT_SUPERVISOR | ENTRY_SUPERVISOR;
    *entry_of(m, TABLE) = AT_PT | ENTRY_SUPERVISOR;
    *entry_of(m, TSS) = AT_TSS | ENTRY_SUPERVISOR;
    *word_at(m, AT_OLD) = OLD_VALUE;
    *word_at(m, AT_NEW) = NEW_VALUE;
    memcpy(m->memory + AT_USER, probe_user, (size_t)(probe_supervisor - probe_user));
    memcpy(m->memory + AT_SUPERVISOR, probe_supervisor, (size_t)(probe_end - probe_supervisor));
}

static int set_cpuid(const struct machine *m)
{
    enum { ENTRIES = 256 };
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + ENTRIES * sizeof cpuid->entries[0]);
    if (!cpuid)
        return -ENOMEM;
    cpuid->nent = ENTRIES;
    int error = ioctl(m->dev, KVM_GET_SUPPORTED_CPUID, cpuid) || ioctl(m->vcpu, KVM_SET_CPUID2, cpuid) ? -errno : 0;
    free(cpuid);
    return error;
}

static int machine_make(struct machine *m)
{
    m->dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (m->dev < 0)
        return -errno;
    m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m->memory == MAP_FAILED) {
        m->memory = NULL;
        return -errno;
    }
    fill_memory(m);
    do
        m->vm = ioctl(m->dev, KVM_CREATE_VM, 0);
    while (m->vm < 0 && errno == EINTR);
    if (m->vm < 0)
        return -errno;
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uint64_t)m->memory};
    if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region))
        return -errno;
    m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
    if (m->vcpu < 0)
        return -errno;
    int size = ioctl(m->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0)
        return -errno;
    m->run_size = (uint32_t)size;
    m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
    if (m->run == MAP_FAILED) {
        m->run = NULL;
        return -errno;
    }
    return set_cpuid(m);
}

static void machine_drop(struct machine *m)
{
    if (m->run)
        munmap(m->run, m->run_size);
    if (m->vcpu >= 0)
        close(m->vcpu);
    if (m->vm >= 0)
        close(m->vm);
    if (m->memory)
        munmap(m->memory, MEMORY);
    if (m->dev >= 0)
        close(m->dev);
}

static struct kvm_segment segment(uint8_t type, uint8_t ring)
{
    return (struct kvm_segment){.limit = ~0u,
        .selector = (uint16_t)((type == 11 ? 8 : 16) | ring),
        .type = type,
        .present = 1,
        .dpl = ring,
        .s = 1,
        .l = type == 11,
        .db = type != 11,
        .g = 1};
}

/* Goes on at rip in that ring. */
static int aim(const struct machine *m, uint8_t ring, struct kvm_regs regs)
{
    struct kvm_sregs s;
    if (ioctl(m->vcpu, KVM_GET_SREGS, &s))
        return -errno;
    s.cr0 = 0x80050033;
    s.cr3 = AT_PML4;
    s.cr4 = 0x20;
    s.efer = 0xd01;
    s.cs = segment(11, ring);
    s.ss = segment(3, ring);
    s.ds = s.es = s.fs = s.gs = (struct kvm_segment){.type = 3, .s = 1, .unusable = 1};
    s.tr = (struct kvm_segment){.base = TSS, .limit = 0x67, .selector = 0x40, .type = 11, .present = 1};
    s.ldt = (struct kvm_segment){.unusable = 1, .type = 2};
    s.gdt.limit = s.idt.limit = 0; /* no exception can be taken: one is a shutdown, which is told as such */
    regs.rflags = 2;
    return ioctl(m->vcpu, KVM_SET_SREGS, &s) || ioctl(m->vcpu, KVM_SET_REGS, &regs) ? -errno : 0;
}

static int run(const struct machine *m, uint32_t wanted_exit)
{
    int result;
    do
        result = ioctl(m->vcpu, KVM_RUN, 0);
    while (result && errno == EINTR);
    if (result)
        return -errno;
    return m->run->exit_reason == wanted_exit ? 0 : -EIO;
}

/* An exit that is not completed would hand its ring to whatever registers are set next. */
static void complete(const struct machine *m)
{
    m->run->immediate_exit = 1;
    ioctl(m->vcpu, KVM_RUN, 0);
    m->run->immediate_exit = 0;
}

static int run_ring0(const struct machine *m, struct kvm_regs regs)
{
    int error = aim(m, 0, regs);
    if (!error)
        error = run(m, KVM_EXIT_IO);
    complete(m);
    return error;
}

/* What ring 3 sees at SUBJECT. */
static int look(const struct machine *m, uint64_t *seen)
{
    int error = aim(m, 3, (struct kvm_regs){.rip = USER, .rbx = SUBJECT, .rdi = MAILBOX});
    if (!error)
        error = run(m, KVM_EXIT_MMIO);
    if (!error && (!m->run->mmio.is_write || m->run->mmio.len != 8))
        error = -EIO;
    memcpy(seen, m->run->mmio.data, sizeof *seen);
    complete(m);
    return error;
}

static int try_paging(const struct machine *m, struct kvm_probe *probe)
{
    uint64_t seen;
    int error = look(m, &seen);
    if (error || seen != OLD_VALUE)
        return error ? error : -EIO;
    const uint64_t entry = AT_NEW | ENTRY_USER;
    __atomic_store_n(entry_of(m, SUBJECT), entry, __ATOMIC_SEQ_CST);
    error = run_ring0(m, (struct kvm_regs){.rip = SUPERVISOR_AT(probe_flush), .rbx = SUBJECT});
    if (!error)
        error = look(m, &seen);
    if (error)
        return error;
    if (seen == NEW_VALUE) {
        probe->paging = KVM_PAGING_TWO_DIMENSIONAL;
        return 0;
    }
    if (seen != OLD_VALUE)
        return -EIO;
    probe->paging = KVM_PAGING_SHADOWED;
    struct kvm_regs store = {.rip = SUPERVISOR_AT(probe_store), .rbx = SUBJECT, .rdx = entry};
    store.rsi = TABLE + (SUBJECT >> 12) % 512 * 8;
    error = run_ring0(m, store);
    if (!error)
        error = look(m, &seen);
    probe->ring0_store_obeyed = !error && seen == NEW_VALUE;
    return 0;
}

static int measure_rate(const struct machine *m, struct kvm_probe *probe)
{
    enum { ROUNDS = 10000, INSTRUCTIONS = 2 * ROUNDS + 1 };
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        int error = aim(m, 0, (struct kvm_regs){.rip = SUPERVISOR_AT(probe_count), .rcx = ROUNDS});
        uint64_t began = clock_ns(CLOCK_MONOTONIC);
        if (!error)
            error = run(m, KVM_EXIT_IO);
        best = min_u64(best, clock_ns(CLOCK_MONOTONIC) - began);
        complete(m);
        if (error)
            return error;
    }
    probe->ring0_rate = INSTRUCTIONS * 1000000000ull / max_u64(best, 1);
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int measure_exits(const struct machine *m, struct kvm_probe *probe)
{
    enum { WARM_UP = 20, EXITS_TIMED = 300 };
    uint64_t took[EXITS_TIMED];
    int error = aim(m, 0, (struct kvm_regs){.rip = SUPERVISOR_AT(probe_exits)});
    for (int i = -WARM_UP; i < EXITS_TIMED && !error; i++) {
        uint64_t began = clock_ns(CLOCK_MONOTONIC);
        error = run(m, KVM_EXIT_IO);
        if (i >= 0)
            took[i] = clock_ns(CLOCK_MONOTONIC) - began;
    }
    complete(m);
    if (error)
        return error;
    qsort(took, EXITS_TIMED, sizeof took[0], compare);
    probe->exit_ns = took[EXITS_TIMED / 2];
    return 0;
}

int kvm_probe(struct kvm_probe *probe)
{
    struct machine m = {.dev = -1, .vm = -1, .vcpu = -1};
    memset(probe, 0, sizeof *probe);
    int error = machine_make(&m);
    if (!error)
        error = measure_rate(&m, probe);
    if (!error)
        error = measure_exits(&m, probe);
    /* Last: a guest that was shut down cannot be used for anything else. Unknown is a result too. */
    if (!error)
        try_paging(&m, probe);
    machine_drop(&m);
    return error;
}
