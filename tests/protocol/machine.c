/* SPDX-License-Identifier: MIT */
#include "machine.h"
#include "schedule.h"

#include "entry.h"
#include "kvm.h"
#include "physmem.h"
#include "stub.h"
#include "tables.h"
#include "vcpu.h"
#include <errno.h>
#include <polder/abi.h>
#include <string.h>

#define VCPUS 8
#define KEPT_MAX 512
#define SHADOWS 4096
#define PAGES (64u << 14) /* guest-physical pages of 64 windows */
#define CR3_NO_FLUSH (1ull << 63)
#define PREFETCH 16

struct kvm_vm kvm;

struct kept {
    uint64_t pcid, at, value;
    uint32_t age; /* of the page that value leads to, when it was kept */
};

static struct machine_vcpu {
    char *data; /* host address of AREA_DATA */
    gva_t area_gva;
    uint64_t cr3;
    bool nmi, in_ring3;
    struct kept kept[KEPT_MAX];
    unsigned kept_count;
    struct kvm_run run;
} vcpus[VCPUS];

static struct {
    uint64_t at, value;
} shadows[SHADOWS];

static uint32_t ages[PAGES]; /* how often a page was given out */

static struct {
    uint64_t page;
    bool loads_too;
} forbidden[4];

/* ---------------------------------------------------------------- memory as a vCPU sees it */

static uint64_t *memory(uint64_t pa)
{
    return physmem_hva((gpa_t){pa});
}

static uint32_t *age_of(uint64_t pa)
{
    return &ages[(pa & PTE_ADDRESS) / PAGE_SIZE % PAGES];
}

static unsigned shadow_slot(uint64_t at)
{
    unsigned i = (unsigned)(at / 8 * 0x9e3779b97f4a7c15ull >> 52);
    while (shadows[i].at && shadows[i].at != at)
        i = (i + 1) % SHADOWS;
    return i;
}

static uint64_t entry_through_shadow(uint64_t at)
{
    unsigned i = shadow_slot(at);
    if (shadows[i].at && (shadows[i].value & PTE_P))
        return shadows[i].value;
    uint64_t value = *memory(at);
    if (value & PTE_P) {
        shadows[i].at = at;
        shadows[i].value = value;
    }
    return value;
}

static void store_of_ring0(uint64_t at, uint64_t value)
{
    *memory(at) = value;
    unsigned i = shadow_slot(at);
    if (shadows[i].at)
        shadows[i].value = value;
}

static struct kept *find_kept(struct machine_vcpu *v, uint64_t pcid, uint64_t at)
{
    for (unsigned i = 0; i < v->kept_count; i++) {
        if (v->kept[i].at == at && v->kept[i].pcid == pcid)
            return &v->kept[i];
    }
    return NULL;
}

static struct kept *keep(struct machine_vcpu *v, uint64_t pcid, uint64_t at, uint64_t value)
{
    struct kept *k = find_kept(v, pcid, at);
    if (k)
        return k;
    if (v->kept_count == KEPT_MAX)
        violation("the model's TLB is too small");
    k = &v->kept[v->kept_count++];
    *k = (struct kept){pcid, at, value, *age_of(value)};
    return k;
}

static void forget(struct machine_vcpu *v, struct kept *k)
{
    *k = v->kept[--v->kept_count];
}

static void load_cr3(struct machine_vcpu *v, uint64_t value)
{
    v->cr3 = value & ~CR3_NO_FLUSH;
    for (unsigned i = 0; !(value & CR3_NO_FLUSH) && i < v->kept_count;) {
        if (v->kept[i].pcid == (value & 0xfff))
            forget(v, &v->kept[i]);
        else
            i++;
    }
}

/* The host address, or NULL and the error code of the fault. */
static volatile char *translate(struct machine_vcpu *v, uint64_t address, bool write, uint64_t *error)
{
    uint64_t pcid = v->cr3 & 0xfff, table = v->cr3 & PTE_ADDRESS, ats[4], rights = PTE_U | PTE_W, value = 0;
    int level = 4, used = 0;
    for (;; level--) {
        uint64_t at = table + (address >> (12 + 9 * (level - 1)) & 511) * 8;
        struct kept *k = find_kept(v, pcid, at);
        if (!k) {
            value = entry_through_shadow(at);
            if (!(value & PTE_P))
                break;
            k = keep(v, pcid, at, value);
            for (uint64_t near = at & ~(PREFETCH * 8 - 1ull), i = 0; level == 1 && i < PREFETCH; i++) {
                uint64_t neighbour = entry_through_shadow(near + 8 * i);
                if (neighbour & PTE_P)
                    keep(v, pcid, near + 8 * i, neighbour);
            }
        } else if (k->age != *age_of(k->value)) {
            violation("vCPU %d reaches %#lx by an old entry of level %d: its page was given to somebody else",
                (int)(v - vcpus), address, level);
        }
        value = k->value;
        ats[used++] = at;
        rights &= value;
        if (level == 1 || (value & PTE_PS))
            break;
        table = value & PTE_ADDRESS;
    }
    if ((value & PTE_P) && (rights & PTE_U) && (!write || (rights & PTE_W))) {
        uint64_t size = level == 1 ? PAGE_SIZE : BLOCK_SIZE;
        return (char *)memory((value & PTE_ADDRESS & ~(size - 1)) + (address & (size - 1)));
    }
    *error = 4 | (write ? 2 : 0) | (value & PTE_P ? 1 : 0);
    for (int i = 0; i < used; i++) { /* Intel SDM vol. 3A, 4.10.4.1: a fault forgets what has led to it */
        struct kept *k = find_kept(v, pcid, ats[i]);
        if (k)
            forget(v, k);
    }
    return NULL;
}

/* A CPU may look ahead, and keeps the tables that it has come through even if there is no page at the end. */
static void look_ahead(struct machine_vcpu *v, uint64_t address)
{
    uint64_t pcid = v->cr3 & 0xfff, value = v->cr3;
    for (int level = 4; level >= 1; level--) {
        uint64_t at = (value & PTE_ADDRESS) + (address >> (12 + 9 * (level - 1)) & 511) * 8;
        struct kept *k = find_kept(v, pcid, at);
        value = k ? k->value : entry_through_shadow(at);
        if (!(value & PTE_P))
            return;
        keep(v, pcid, at, value);
        if (value & PTE_PS)
            return;
    }
}

static volatile uint64_t *access_word(struct machine_vcpu *v, uint64_t address, bool write, uint64_t *error)
{
    volatile char *to = translate(v, address, write, error);
    for (unsigned i = 0; to && i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        if (forbidden[i].page == (address & PAGE_MASK) && (write || forbidden[i].loads_too))
            violation("vCPU %d %s %#lx by a translation that was taken away", (int)(v - vcpus),
                write ? "writes" : "reads", address);
    }
    return (volatile uint64_t *)to;
}

/* Pages that are given out: nobody may reach them yet. */
static void given_out(uint64_t pa, uint64_t size)
{
    for (uint64_t at = pa; at < pa + size; at += PAGE_SIZE)
        ++*age_of(at);
    for (struct machine_vcpu *v = vcpus; v < vcpus + VCPUS; v++) {
        for (unsigned i = 0; v->in_ring3 && i < v->kept_count; i++) {
            uint64_t to = v->kept[i].value & PTE_ADDRESS;
            if (v->kept[i].pcid == (v->cr3 & 0xfff) && to >= pa && to < pa + size)
                violation("a page is given out, and vCPU %d is in ring 3 and has an entry that leads there",
                    (int)(v - vcpus));
        }
    }
}

uint32_t __real_frame_alloc(void);
uint32_t __wrap_frame_alloc(void);
uint32_t __wrap_frame_alloc(void)
{
    gpa_t gpa;
    uint32_t frame = __real_frame_alloc();
    if (frame && !physmem_gpa(frame_hva(frame), &gpa))
        given_out(gpa.value, PAGE_SIZE);
    return frame;
}

uint32_t __real_frame_alloc_block(void);
uint32_t __wrap_frame_alloc_block(void);
uint32_t __wrap_frame_alloc_block(void)
{
    gpa_t gpa;
    uint32_t first = __real_frame_alloc_block();
    if (first && !physmem_gpa(frame_hva(first), &gpa))
        given_out(gpa.value, BLOCK_SIZE);
    return first;
}

uint64_t __real_table_alloc(void);
uint64_t __wrap_table_alloc(void);
uint64_t __wrap_table_alloc(void)
{
    uint64_t pa = __real_table_alloc();
    if (pa)
        given_out(pa, PAGE_SIZE);
    return pa;
}

uint64_t __real_table_alloc_root(void);
uint64_t __wrap_table_alloc_root(void);
uint64_t __wrap_table_alloc_root(void)
{
    uint64_t pa = __real_table_alloc_root();
    if (pa)
        given_out(pa, PAGE_SIZE);
    return pa;
}

/* ---------------------------------------------------------------- what a vCPU executes */

static uint64_t *data_word(struct machine_vcpu *v, unsigned field)
{
    return (uint64_t *)(v->data + field);
}

static void *stack_at(struct machine_vcpu *v, unsigned top, size_t size)
{
    return v->data + top - size - AREA_DATA;
}

static int out_of(struct machine_vcpu *v, uint16_t port, uint8_t size)
{
    v->in_ring3 = false;
    v->run.exit_reason = KVM_EXIT_IO;
    v->run.io.port = port;
    v->run.io.size = size;
    return 0;
}

/* A step of the stub: an NMI that was sent comes here, or later. */
static bool nmi_in_stub(struct machine_vcpu *v)
{
    point();
    if (!v->nmi || choose(2))
        return false;
    v->nmi = false;
    struct trap_frame *frame = stack_at(v, STACK_NMI_TOP, sizeof *frame);
    frame->rip = v->area_gva + stub_header()->native_enter_edits;
    out_of(v, PORT_NMI_IN_STUB, 1);
    return true;
}

static uint64_t *direct(gva_t gva)
{
    return table_hva(gva);
}

/* guest-stub/stub.S, carry_out_edits. True if it was interrupted. */
static bool carry_out_edits(struct machine_vcpu *v)
{
    const uint64_t *list = (uint64_t *)(v->data + (*data_word(v, DATA_ENTRY_RSP) - v->area_gva) - AREA_DATA);
    for (uint64_t i = *data_word(v, DATA_EDIT_COUNT); i; i--, list += 2) {
        if (nmi_in_stub(v))
            return true;
        store_of_ring0(table_pa(direct(list[0])), list[1]);
        wrote();
    }
    for (uint64_t i = *data_word(v, DATA_ZERO_COUNT); i; i--, list++) {
        if (nmi_in_stub(v))
            return true;
        for (int j = 0; j < 512; j++)
            store_of_ring0(table_pa(direct(list[0]) + j), 0);
        wrote();
    }
    if (nmi_in_stub(v))
        return true;
    *(uint32_t *)data_word(v, DATA_EDITS_DONE) = 1;
    wrote();
    return false;
}

static void frame_of_ring3(struct machine_vcpu *v, struct trap_frame *frame)
{
    memcpy(frame, v->data + DATA_IRET_FRAME, sizeof *frame);
}

static int trap_out(struct machine_vcpu *v, uint64_t error, uint64_t address)
{
    struct {
        uint64_t vector, error_code;
        struct trap_frame frame;
    } *pushed = stack_at(v, STACK_TRAP_TOP, sizeof *pushed);
    pushed->vector = 14;
    pushed->error_code = error;
    frame_of_ring3(v, &pushed->frame);
    *(uint32_t *)data_word(v, DATA_VECTOR) = VECTOR_TRAP;
    *data_word(v, DATA_CR2) = address;
    return out_of(v, PORT_TRAP, 1);
}

/* Ring 3's registers are in the data page, where the stub puts them anyway. */
static int ring3(struct machine_vcpu *v)
{
    struct trap_frame *frame = (struct trap_frame *)(v->data + DATA_IRET_FRAME);
    uint64_t *count = data_word(v, DATA_RDX), error, address = *data_word(v, DATA_RDI);
    v->in_ring3 = true;
    for (;;) {
        look_ahead(v, address);
        point();
        if (frame->rip == PROGRAM_SPIN) {
            if (!v->nmi)
                wait_for_change();
        } else if (*count == 0) {
            *(uint32_t *)data_word(v, DATA_VECTOR) = VECTOR_SYSCALL;
            *data_word(v, DATA_RCX) = frame->rip;
            *data_word(v, DATA_R11) = 0x202;
            return out_of(v, PORT_TRAP, 1);
        } else {
            volatile uint64_t *word = access_word(v, address, frame->rip != PROGRAM_LOAD, &error);
            if (!word)
                return trap_out(v, error, address);
            if (frame->rip == PROGRAM_LOAD) {
                *data_word(v, DATA_RBX) = *word;
            } else {
                *word = *data_word(v, DATA_RSI);
                if (frame->rip == PROGRAM_KEEP) {
                    point();
                    word = access_word(v, address, false, &error);
                    if (word && *word != *data_word(v, DATA_RSI))
                        violation("%#lx is not what was written", address);
                }
            }
            wrote();
            --*count;
        }
        if (v->nmi) {
            v->nmi = false;
            *(uint32_t *)data_word(v, DATA_VECTOR) = VECTOR_NMI;
            frame_of_ring3(v, stack_at(v, STACK_NMI_TOP, sizeof(struct trap_frame)));
            return out_of(v, PORT_TRAP, 1);
        }
    }
}

int kvm_run(struct kvm_vcpu *vcpu)
{
    struct machine_vcpu *v = &vcpus[vcpu->id];
    const struct stub_header *stub = stub_header();
    uint64_t entry = *data_word(v, DATA_ENTRY) - v->area_gva;
    if (entry == stub->native_enter_edits) {
        if (carry_out_edits(v))
            return 0;
        if (*data_word(v, DATA_AFTER_EDITS) == v->area_gva + stub->edits_done_out)
            return out_of(v, PORT_EDITS_DONE, 2);
        entry = stub->native_enter_cr3;
    }
    if (nmi_in_stub(v))
        return 0;
    if (entry == stub->native_enter_cr3) {
        load_cr3(v, *data_word(v, DATA_CR3));
        if (nmi_in_stub(v))
            return 0;
    }
    return ring3(v);
}

int kvm_send_nmi(uint32_t id)
{
    point();
    vcpus[id].nmi = true;
    wrote();
    return 0;
}

/* ---------------------------------------------------------------- the rest of kvm.h */

int kvm_open(void)
{
    kvm.run_size = sizeof(struct kvm_run);
    kvm.xsave_size = 4096;
    kvm.gpa_bits = 40;
    kvm.max_slots = 64;
    kvm.max_vcpus = VCPUS;
    kvm.native_ring0 = true;
    return 0;
}

void kvm_forget(void)
{
}

int kvm_set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva)
{
    (void)slot;
    (void)gpa;
    (void)size;
    (void)hva;
    return 0;
}

int kvm_vcpu_create(struct kvm_vcpu *vcpu, uint32_t id, const struct kvm_ring0 *ring0, void *run_at)
{
    (void)run_at;
    struct machine_vcpu *v = &vcpus[id];
    v->area_gva = ring0->gdt_base - AREA_DATA - DATA_GDT;
    v->cr3 = ring0->cr3;
    uint64_t table = ring0->cr3, gva = v->area_gva + AREA_DATA;
    for (int level = 4; level >= 1; level--)
        table = memory(table)[gva >> (12 + 9 * (level - 1)) & 511] & PTE_ADDRESS;
    v->data = (char *)memory(table);
    vcpu->fd = 0;
    vcpu->id = id;
    vcpu->run = &v->run;
    return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
    vcpu->fd = -1;
}

#define NOTHING(name, ...)                                                                                             \
    int name(__VA_ARGS__)                                                                                              \
    {                                                                                                                  \
        return 0;                                                                                                      \
    }
#pragma GCC diagnostic ignored "-Wunused-parameter"
NOTHING(kvm_get_regs, struct kvm_vcpu *vcpu, struct kvm_regs *regs)
NOTHING(kvm_set_regs, struct kvm_vcpu *vcpu, const struct kvm_regs *regs)
NOTHING(kvm_get_sregs, struct kvm_vcpu *vcpu, struct kvm_sregs *sregs)
NOTHING(kvm_set_sregs, struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs)
NOTHING(kvm_get_events, struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events)
NOTHING(kvm_set_events, struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events)
NOTHING(kvm_get_xsave, struct kvm_vcpu *vcpu, void *area)
NOTHING(kvm_set_xsave, struct kvm_vcpu *vcpu, const void *area)
NOTHING(kvm_set_sigmask, struct kvm_vcpu *vcpu, const void *mask)
NOTHING(kvm_arm_deadline, struct kvm_vcpu *vcpu, uint64_t ns)
NOTHING(kvm_disarm_deadline, struct kvm_vcpu *vcpu)
NOTHING(kvm_end_interrupt, struct kvm_vcpu *vcpu)

/* ---------------------------------------------------------------- for the scenarios */

void machine_reset(void)
{
    memset(shadows, 0, sizeof(shadows));
    for (struct machine_vcpu *v = vcpus; v < vcpus + VCPUS; v++) {
        v->kept_count = 0;
        v->nmi = v->in_ring3 = false;
    }
    memset(forbidden, 0, sizeof(forbidden));
}

void machine_forbid(uint64_t page, bool loads_too)
{
    unsigned i = 0;
    while (forbidden[i].page && forbidden[i].page != page)
        i++;
    forbidden[i].page = page;
    forbidden[i].loads_too |= loads_too;
}

void machine_check_shadows(void)
{
    for (unsigned i = 0; i < SHADOWS; i++) {
        if (shadows[i].at && (shadows[i].value & PTE_P) && *memory(shadows[i].at) != shadows[i].value)
            violation("an entry is %#lx, and its shadow %#lx: the host has changed it", *memory(shadows[i].at),
                shadows[i].value);
    }
}
