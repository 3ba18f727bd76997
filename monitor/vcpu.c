/* SPDX-License-Identifier: MIT */
#include "vcpu.h"
#include "area.h"
#include "hostmem.h"
#include "stub.h"
#include <errno.h>
#include <polder/abi.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#define RUN_STRIDE (128u << 10) /* more than any kvm_run and its rings */
#define MAX_VCPUS 255           /* what an 8-bit APIC number addresses, which the NMI is sent by */

static PRIVATE_STATE struct {
    struct vcpu *all[MAX_VCPUS];
    uint32_t count;
    struct vcpu *next; /* one that could not be made yet: as far as it is, it stays, or its number would be lost */
    uint64_t idle_root;
    void *code; /* the stub's pages, shared by all areas */
    pthread_key_t key;
    bool has_key;
} PRIVATE_TYPE vcpus;

/* Which vCPU this thread used last. A hint: it lies in memory that a sandbox of "/proc/self/mm" may write, so that it
 * is checked against the table before it is used. */
static __thread struct {
    uint64_t epoch;
    uint32_t number; /* plus 1 */
} mine;

/* ---------------------------------------------------------------- the area */

static int make_area(struct vcpu *v, uint32_t id)
{
    uint32_t pages = (AREA_SIZE - AREA_DATA) / PAGE_SIZE;
    v->area_gva = POLDER_STUB_BASE + (uint64_t)id * AREA_STRIDE;
    if (!v->area)
        v->area = tables_alloc_fixed(pages);
    if (!v->area)
        return -ENOMEM;
    for (uint32_t i = 0; i < AREA_CODE_SIZE / PAGE_SIZE; i++) {
        int error = tables_map_upper(v->area_gva + i * PAGE_SIZE, table_pa((char *)vcpus.code + i * PAGE_SIZE), 0);
        if (error)
            return error;
    }
    for (uint32_t i = 0; i < pages; i++) {
        int error = tables_map_upper(
            v->area_gva + AREA_DATA + i * PAGE_SIZE, table_pa(v->area + i * PAGE_SIZE), PTE_W | PTE_NX);
        if (error)
            return error;
    }
    const struct stub_header *stub = stub_header();
    if (kvm.native_ring0)
        area_fill(v->area, v->area_gva, stub->native_vectors, NATIVE_VECTOR_SIZE);
    else
        area_fill(v->area, v->area_gva, stub->sync_vectors, SYNC_VECTOR_SIZE);
    return 0;
}

/* ---------------------------------------------------------------- one per thread */

static int prepare(void)
{
    if (vcpus.code)
        return 0;
    if (!vcpus.idle_root)
        vcpus.idle_root = table_alloc_root();
    void *code = vcpus.idle_root ? tables_alloc_fixed(AREA_CODE_SIZE / PAGE_SIZE) : NULL;
    if (!code)
        return -ENOMEM;
    memcpy(code, stub_image, (size_t)(stub_image_end - stub_image));
    vcpus.code = code;
    return 0;
}

static void thread_ends(void *number)
{
    struct vcpu *v = vcpus.all[(uintptr_t)number - 1];
    if (mine.epoch == state_epoch() && v)
        __atomic_store_n(&v->in_use, false, __ATOMIC_RELEASE);
}

static int create(struct vcpu *v, uint32_t id)
{
    const struct stub_header *stub = stub_header();
    if (kvm.run_size > RUN_STRIDE)
        return -ENOSYS;
    int error = make_area(v, id);
    if (error)
        return error;
    memset(v->area + DATA_CR3, 0, 0x100 - DATA_CR3);
    struct kvm_ring0 ring0 = {.cr3 = vcpus.idle_root,
        .gdt_base = v->area_gva + AREA_DATA + DATA_GDT,
        .gdt_limit = GDT_SIZE - 1,
        .idt_base = v->area_gva + AREA_IDT,
        .tss_base = v->area_gva + AREA_DATA + DATA_TSS,
        .lstar = v->area_gva + (kvm.native_ring0 ? stub->native_syscall : stub->sync_syscall),
        .rip = v->area_gva + stub->native_resume};
    error = kvm_vcpu_create(&v->kvm, id, &ring0, hostmem.runs.base + id * RUN_STRIDE);
    if (error)
        return error;
    error = kvm_get_sregs(&v->kvm, &v->ring0);
    if (error)
        return error;
    if (!kvm.native_ring0) {
        v->kvm.run->s.regs.sregs = v->ring0;
        v->kvm.run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    }
    v->fresh = true;
    v->owner = NULL;
    v->bases_known = false;
    v->sigmask_set = false;
    v->timer = 0;
    v->broken = false;
    memset(v->tlb, 0, sizeof v->tlb);
    return 0;
}

uint32_t vcpus_limit(void)
{
    return (uint32_t)min_u64(MAX_VCPUS, kvm.max_vcpus);
}

static int find_free(struct vcpu **result, uint32_t *number)
{
    int error = prepare();
    for (uint32_t i = 0; !error && i < vcpus.count; i++) {
        if (__atomic_exchange_n(&vcpus.all[i]->in_use, true, __ATOMIC_ACQUIRE))
            continue;
        *result = vcpus.all[i];
        *number = i + 1;
        return 0;
    }
    if (error)
        return error;
    if (vcpus.count >= vcpus_limit())
        return -EAGAIN;
    struct vcpu *v = vcpus.next ? vcpus.next : record_alloc(sizeof *v);
    if (!v)
        return -ENOMEM;
    if (!vcpus.next) {
        pthread_mutex_init(&v->lock, NULL);
        v->kvm.fd = -1;
        v->in_use = true;
        vcpus.next = v;
    }
    error = create(v, vcpus.count);
    if (error)
        return error;
    vcpus.next = NULL;
    vcpus.all[vcpus.count] = v;
    *number = vcpus.count + 1;
    __atomic_store_n(&vcpus.count, vcpus.count + 1, __ATOMIC_RELEASE);
    *result = v;
    return 0;
}

int vcpu_get(struct vcpu **result)
{
    uint32_t number = mine.epoch == state_epoch() ? mine.number : 0;
    struct vcpu *v;
    int error = 0;
    if (__builtin_expect(number && number <= vcpus.count, 1)) {
        v = vcpus.all[number - 1];
    } else {
        pthread_mutex_lock(&locks.vcpus);
        error = find_free(&v, &number);
        if (!error && !vcpus.has_key)
            vcpus.has_key = pthread_key_create(&vcpus.key, thread_ends) == 0;
        pthread_mutex_unlock(&locks.vcpus);
        if (error)
            return error;
        mine.epoch = state_epoch();
        mine.number = number;
        if (vcpus.has_key)
            pthread_setspecific(vcpus.key, (void *)(uintptr_t)number);
    }
    pthread_mutex_lock(&v->lock);
    if (__builtin_expect(v->broken, 0)) {
        if (v->owner) { /* its state is lost with the vCPU */
            __atomic_store_n(&v->owner->home, NULL, __ATOMIC_RELEASE);
            v->owner = NULL;
        }
        kvm_vcpu_destroy(&v->kvm);
        /* KVM gives no number out twice while the VM lives: this one is gone, the thread takes another. */
        v->in_use = true;
        pthread_mutex_unlock(&v->lock);
        mine.number = 0;
        return vcpu_get(result);
    }
    *result = v;
    return 0;
}

void vcpu_put(struct vcpu *v)
{
    pthread_mutex_unlock(&v->lock);
}

static void forget(struct vcpu *v)
{
    kvm_vcpu_destroy(&v->kvm);
    record_free(v->loading, kvm.xsave_size);
    record_free(v, sizeof *v);
}

void vcpus_forget(void)
{
    for (uint32_t i = 0; i < vcpus.count; i++) {
        forget(vcpus.all[i]);
        vcpus.all[i] = NULL;
    }
    if (vcpus.next)
        forget(vcpus.next);
    vcpus.next = NULL;
    vcpus.count = 0;
    vcpus.idle_root = 0;
    vcpus.code = NULL;
}

/* ---------------------------------------------------------------- FPU and vector state */

#define XSAVE_MXCSR 24
#define XSAVE_XMM 160
#define XSAVE_XMM_SIZE 256
#define XSAVE_HEADER 512
#define XSTATE_X87 1ull
#define XSTATE_SSE 2ull
#define MXCSR_RESET 0x1f80u
#define FCW_RESET 0x037fu

struct context *context_new(void)
{
    struct context *ctx = record_alloc(sizeof *ctx);
    if (ctx)
        ctx->epoch = state_epoch();
    return ctx;
}

static bool want_area(struct context *ctx)
{
    if (!ctx->xsave)
        ctx->xsave = record_alloc(kvm.xsave_size);
    return ctx->xsave != NULL;
}

static void reset_area(char *area)
{
    uint16_t fcw = FCW_RESET;
    uint32_t mxcsr = MXCSR_RESET;
    uint64_t x87_and_sse = XSTATE_X87 | XSTATE_SSE;
    memset(area, 0, kvm.xsave_size);
    memcpy(area, &fcw, sizeof fcw);
    memcpy(area + XSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    memcpy(area + XSAVE_HEADER, &x87_and_sse, sizeof x87_and_sse);
}

/*
 * Where an area says that the SSE registers are as reset, KVM takes no MXCSR from it, and where the host knows no
 * XSAVES the one of the last context stays: so they are there, and zero.
 */
static const void *complete(char *area)
{
    uint64_t components;
    memcpy(&components, area + XSAVE_HEADER, sizeof components);
    if (!(components & XSTATE_SSE)) {
        components |= XSTATE_SSE;
        memcpy(area + XSAVE_HEADER, &components, sizeof components);
        memset(area + XSAVE_XMM, 0, XSAVE_XMM_SIZE);
    }
    return area;
}

/* The caller's area may lie where ring 3 writes: what is looked at is a copy, and what is loaded. */
static const void *copy_area(struct vcpu *v, const void *load)
{
    if (!v->loading)
        v->loading = record_alloc(kvm.xsave_size);
    return v->loading ? complete(memcpy(v->loading, load, kvm.xsave_size)) : NULL;
}

/* Takes the owner's state out of a locked vCPU. */
static int evict(struct vcpu *v)
{
    struct context *ctx = v->owner;
    if (!ctx)
        return 0;
    if (!want_area(ctx))
        return -ENOMEM;
    int error = kvm_get_xsave(&v->kvm, ctx->xsave);
    if (error < 0)
        return error;
    ctx->has_state = true;
    v->owner = NULL;
    __atomic_store_n(&ctx->home, NULL, __ATOMIC_RELEASE);
    return 0;
}

int context_fetch(struct context *ctx, const struct vcpu *except)
{
    struct vcpu *home;
    while ((home = __atomic_load_n(&ctx->home, __ATOMIC_ACQUIRE)) && home != except) {
        /* If it runs somebody else, it has let go of ctx before. */
        pthread_mutex_lock(&home->lock);
        int error = home->owner == ctx ? evict(home) : 0;
        pthread_mutex_unlock(&home->lock);
        if (error)
            return error;
    }
    return 0;
}

void context_free(struct context *ctx)
{
    struct vcpu *home;
    while ((home = __atomic_load_n(&ctx->home, __ATOMIC_ACQUIRE))) {
        pthread_mutex_lock(&home->lock);
        if (home->owner == ctx) {
            home->owner = NULL;
            ctx->home = NULL;
        }
        pthread_mutex_unlock(&home->lock);
    }
    record_free(ctx->xsave, kvm.xsave_size);
    record_free(ctx, sizeof *ctx);
}

int vcpu_own(struct vcpu *v, struct context *ctx, const void *load)
{
    if (v->owner == ctx && !load)
        return 0;
    int error = v->owner == ctx ? 0 : evict(v);
    if (error)
        return error;
    const void *area = load ? copy_area(v, load) : ctx->has_state ? complete(ctx->xsave) : NULL;
    if (load && !area)
        return -ENOMEM;
    if (!area && !v->fresh) {
        if (!want_area(ctx))
            return -ENOMEM;
        reset_area(ctx->xsave);
        area = ctx->xsave;
    }
    if (area) {
        error = kvm_set_xsave(&v->kvm, area);
        if (error < 0)
            return error;
    }
    v->fresh = false;
    if (v->owner != ctx)
        v->bases_known = false; /* and so the segment registers are loaded anew */
    v->owner = ctx;
    ctx->has_state = false;
    __atomic_store_n(&ctx->home, v, __ATOMIC_RELEASE);
    return 0;
}

int vcpu_store_xstate(struct vcpu *v, void *area)
{
    int error = kvm_get_xsave(&v->kvm, area);
    return error < 0 ? error : 0;
}

/* ---------------------------------------------------------------- out of a space */

bool vcpu_edits_done(const struct vcpu *v)
{
    return __atomic_load_n((const uint32_t *)(v->area + DATA_EDITS_DONE), __ATOMIC_ACQUIRE);
}

void vcpu_force_out(struct mm_change *change)
{
    uint32_t count = __atomic_load_n(&vcpus.count, __ATOMIC_ACQUIRE);
    /* What was changed before this is seen by whoever goes in after it: entering takes mm->lock, which is held here. */
    for (uint32_t i = 0; i < count; i++) {
        struct vcpu *v = vcpus.all[i];
        if (__atomic_load_n(&v->inside, __ATOMIC_SEQ_CST) != change->mm)
            continue;
        change->inside[change->inside_count].vcpu = v;
        change->inside[change->inside_count++].run = __atomic_load_n(&v->runs, __ATOMIC_SEQ_CST);
        kvm_send_nmi(v->kvm.id);
    }
}

void vcpu_wait_out(struct mm_change *change)
{
    for (uint32_t i = 0; i < change->inside_count; i++) {
        struct vcpu *v = change->inside[i].vcpu;
        while (__atomic_load_n(&v->inside, __ATOMIC_SEQ_CST) == change->mm &&
               __atomic_load_n(&v->runs, __ATOMIC_SEQ_CST) == change->inside[i].run)
            sched_yield();
    }
}
