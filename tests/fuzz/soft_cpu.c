/* SPDX-License-Identifier: MIT */
/*
 * soft_cpu: a CPU in place of KVM, for spaces without /dev/kvm. It walks a space's page tables, keeps translations as
 * long as a CPU may, keeps present entries as shadow paging does (docs/kvm.md) until ring 0 stores over them, carries
 * out edits on its way in as the stub does, and can do two things in ring 3: load and store a word (soft_cpu.h). It
 * looks at the neighbours of what it touches, as a CPU does that speculates.
 */
#include "soft_cpu.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kvm.h"
#include "mm.h"
#include "physmem.h"
#include "sandbox.h"
#include "tables.h"
#include "vcpu.h"

#include "fuzz.h"

#define TLB_SIZE 64
#define SHADOWS 4096 /* what has no room is forgotten, which KVM may do at any time */
#define SAME_FAULT_LIMIT 16
#define WINDOW_LOSS_LIMIT 64
#define NEIGHBOURS 2

#define PF_PRESENT 1ull
#define PF_WRITE 2ull
#define PF_USER 4ull
#define PF_FETCH 16ull

struct kvm_vm kvm;

static struct {
    uint64_t serial, generation; /* of the space that is loaded */
    struct {
        uint64_t page, entry; /* entry 0: nothing */
    } tlb[TLB_SIZE];
    struct edit shadows[SHADOWS];
} cpu;

/* ---------------------------------------------------------------- what of KVM and vCPUs the library calls */

int kvm_open(void)
{
    kvm = (struct kvm_vm){.dev = -1, .fd = -1, .gpa_bits = 46, .max_slots = 32764, .max_vcpus = 1, .xsave_size = 4096};
    return 0;
}

void kvm_forget(void)
{
}

int kvm_set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva)
{
    CHECK(slot < kvm.max_slots && gpa.value % PAGE_SIZE == 0 && size && hva);
    return 0;
}

int kvm_send_nmi(uint32_t vcpu_id)
{
    (void)vcpu_id;
    return 0;
}

void vcpus_forget(void)
{
}

/* Between two runs nobody is inside. */
void vcpu_force_out(struct mm_change *change)
{
    (void)change;
}

void vcpu_wait_out(struct mm_change *change)
{
    (void)change;
}

bool vcpu_edits_done(const struct vcpu *vcpu)
{
    (void)vcpu;
    return true;
}

long proceed_call(struct mm *mm, const struct user_regs_struct *regs)
{
    (void)mm, (void)regs;
    return -ENOSYS;
}

/* ---------------------------------------------------------------- translation */

static struct edit *shadow(const uint64_t *entry)
{
    return &cpu.shadows[((uintptr_t)entry / 8 * 0x9e3779b97f4a7c15ull >> 40) % SHADOWS];
}

static uint64_t load_entry(uint64_t *entry)
{
    struct edit *s = shadow(entry);
    if (s->entry == entry)
        return s->value;
    if (*entry & PTE_P)
        *s = (struct edit){entry, *entry};
    return *entry;
}

/* By ring 0, which shadow paging sees. */
static void store_entry(uint64_t *entry, uint64_t value)
{
    struct edit *s = shadow(entry);
    *entry = value;
    if (s->entry == entry)
        s->entry = NULL;
}

static uint64_t walk(const struct mm *mm, uint64_t address)
{
    uint64_t table = mm->pt.root, rights = PTE_RIGHTS & ~PTE_NX, nx = 0;
    for (unsigned shift = 39;; shift -= 9) {
        uint64_t entry = load_entry(&table_entries(table)[address >> shift & 511]);
        if (!(entry & PTE_P))
            return 0;
        rights &= entry;
        nx |= entry & PTE_NX;
        table = entry & PTE_ADDRESS;
        if (shift == 12 || (shift == 21 && (entry & PTE_PS))) {
            uint64_t offset = address & ((1ull << shift) - 1) & PAGE_MASK;
            return (table & ~((1ull << shift) - 1)) | offset | rights | nx | PTE_P;
        }
    }
}

static void remember(const struct mm *mm, uint64_t address)
{
    unsigned i = address / PAGE_SIZE % TLB_SIZE;
    uint64_t entry = address < USER_END ? walk(mm, address) : 0;
    if (!entry || (cpu.tlb[i].entry && cpu.tlb[i].page == (address & PAGE_MASK)))
        return;
    cpu.tlb[i].page = address & PAGE_MASK;
    cpu.tlb[i].entry = entry;
}

/* The entry that permits the access, or 0: then there is no translation any more either. */
static uint64_t translate(const struct mm *mm, uint64_t address, uint64_t error)
{
    unsigned i = address / PAGE_SIZE % TLB_SIZE;
    remember(mm, address);
    uint64_t entry = cpu.tlb[i].page == (address & PAGE_MASK) ? cpu.tlb[i].entry : 0;
    if (entry && (entry & PTE_U) && (!(error & PF_WRITE) || (entry & PTE_W)) &&
        (!(error & PF_FETCH) || !(entry & PTE_NX)))
        return entry;
    cpu.tlb[i].entry = 0;
    return 0;
}

/* As the stub: what is queued, one retired table, and the flush if anything is newer than what was loaded. */
static void enter(struct mm *mm)
{
    static struct edit list[512];
    pthread_mutex_lock(&mm->lock);
    for (uint32_t n; (n = edits_take(&mm->edits, list, 512));)
        for (uint32_t i = 0; i < n; i++)
            store_entry(list[i].entry, list[i].value);
    mm->loaded = true;
    struct table_list retired = tables_take_retired(1);
    if (retired.count) {
        uint64_t pa = table_list_pop(&retired);
        for (unsigned i = 0, count = table_is_root(pa) ? 256 : 512; i < count; i++)
            store_entry(&table_entries(pa)[i], 0);
        table_list_add(&retired, pa);
        tables_free_cleared(&retired);
    }
    if (cpu.serial != mm->serial || cpu.generation != mm->generation)
        memset(cpu.tlb, 0, sizeof cpu.tlb);
    cpu.serial = mm->serial;
    cpu.generation = mm->generation;
    pthread_mutex_unlock(&mm->lock);
}

/* ---------------------------------------------------------------- a run */

static int report(struct polder_params *p, enum polder_reason reason, uint64_t error, uint64_t address)
{
    p->reason = reason;
    p->vector = reason == POLDER_PAGE_FAULT ? 14 : 0;
    p->error_code = error;
    p->fault_addr = address;
    return 1;
}

/* 0: go on; 1: reported; -errno. */
static int fault(struct mm *mm, struct polder_params *p, uint64_t address, uint64_t error)
{
    struct mm_change change;
    mm_begin(mm, &change);
    enum mm_fault found = mm_fault(&change, address, error);
    mm_finish(&change);
    switch (found) {
    case MM_RESOLVED:
        return 0;
    case MM_NOT_MAPPED:
        return report(p, POLDER_PAGE_FAULT, PF_USER | error, address);
    case MM_DENIED:
        return report(p, POLDER_PAGE_FAULT, PF_USER | PF_PRESENT | error, address);
    case MM_BEYOND_FILE:
        return report(p, POLDER_BUS, 0, address);
    default:
        return -EFAULT;
    }
}

/* The kernel makes the access, so that memory which is gone is an error and no signal. */
static bool access_memory(uint64_t entry, struct polder_params *p, bool store)
{
    gpa_t gpa = {(entry & PTE_ADDRESS) + p->regs.rdi % PAGE_SIZE};
    uint64_t word = p->regs.rsi;
    struct iovec own = {&word, sizeof word}, memory = {physmem_hva(gpa), sizeof word};
    ssize_t n = store ? process_vm_writev(getpid(), &own, 1, &memory, 1, 0)
                      : process_vm_readv(getpid(), &own, 1, &memory, 1, 0);
    if (n == sizeof word && !store)
        p->regs.rbx = word;
    return n == sizeof word;
}

int sandbox_run(struct mm *mm, struct polder_params *p)
{
    bool store = p->regs.rip % PAGE_SIZE == SOFT_CPU_STORE;
    uint64_t error = store ? PF_WRITE : 0, entry;
    unsigned losses = 0;
    for (unsigned i = 0; i < SAME_FAULT_LIMIT; i++) {
        int over = 0;
        enter(mm);
        if (!translate(mm, p->regs.rip, PF_FETCH))
            over = fault(mm, p, p->regs.rip, PF_FETCH);
        else if (!(entry = translate(mm, p->regs.rdi, error)))
            over = fault(mm, p, p->regs.rdi, error);
        else if (access_memory(entry, p, store))
            over = report(p, POLDER_SYSCALL, 0, 0);
        else if (losses++ < WINDOW_LOSS_LIMIT)
            mm_distrust_windows(mm);
        for (unsigned n = 1; n <= NEIGHBOURS; n++) {
            remember(mm, p->regs.rdi + n * PAGE_SIZE);
            remember(mm, p->regs.rdi - n * PAGE_SIZE);
        }
        if (over)
            return over < 0 ? over : 0;
    }
    return -EIO; /* a fault that comes back although it has been resolved */
}

int sandbox_kick(struct polder_params *params)
{
    (void)params;
    return 0;
}

void sandbox_fini(struct polder_params *params)
{
    (void)params;
}
