/* SPDX-License-Identifier: MIT */
/*
 * FPU and vector state and segment bases belong to the params: never to the thread, the processor or the space. Several
 * contexts take turns, on one thread and on several, each with registers of its own.
 */
#include "sandbox.h"

#include <cpuid.h>
#include <pthread.h>
#include <x86intrin.h>

/* What there is to keep, from the narrowest to the widest. */
struct vectors {
    const char *name, *load, *store;
    size_t size; /* bytes of all the registers in memory */
    bool (*present)(void);
};

static bool always(void)
{
    return true;
}

#if __STDC_HOSTED__
static bool have_xcr0(uint64_t bits)
{
    unsigned a, b, c, d, low, high;

    __cpuid(1, a, b, c, d);
    if (!(c & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & bits) == bits;
}

static bool have_avx(void)
{
    return have_xcr0(6) && __builtin_cpu_supports("avx");
}

static bool have_avx512(void)
{
    return have_xcr0(0xe6) && __builtin_cpu_supports("avx512f");
}
#else /* what ring 3 is told: not all of it can be asked from ring 0 where that is emulated */
static bool have_feature(uint64_t bit)
{
    struct box box;

    box_open(&box);
    box_syscall(&box, sn_cpuid, 7, 0);
    uint64_t features = box.params.regs.rbx;
    box_close(&box);
    return features & bit;
}

static bool have_avx(void)
{
    return have_feature(bit_AVX2);
}

static bool have_avx512(void)
{
    return have_feature(bit_AVX512F);
}
#endif

static const struct vectors all_vectors[] = {
    {"x87", sn_x87_load, sn_x87_store, 8 * 16, always},
    {"SSE", sn_xmm_load, sn_xmm_store, 16 * 16, always},
    {"AVX", sn_ymm_load, sn_ymm_store, 16 * 32, have_avx},
    {"AVX-512", sn_zmm_load, sn_zmm_store, 32 * 64 + 8 * 2, have_avx512},
};

enum { KINDS = sizeof(all_vectors) / sizeof(all_vectors[0]) };

/* Values that every x87 register can hold unchanged, in every kind of register: ten bytes with a plain exponent. */
static void fill_pattern(void *buf, const struct vectors *v, uint64_t tag)
{
    unsigned char *bytes = buf;

    for (size_t i = 0; i < v->size; i++)
        bytes[i] = (unsigned char)((i + 1) * (tag * 2 + 1) + tag);
    if (v->load != sn_x87_load)
        return;
    for (size_t i = 0; i < 8; i++) {
        bytes[i * 16 + 7] |= 0x80;
        bytes[i * 16 + 8] = (unsigned char)(i + 1);
        bytes[i * 16 + 9] = 0x40;
        memset(bytes + i * 16 + 10, 0, 6); /* not stored */
    }
}

static void load_pattern(struct box *box, struct polder_params *params, const struct vectors *v, uint64_t tag)
{
    fill_pattern((void *)box->data, v, tag);
    aim(params, v->load, BOX_DATA, 0);
    assert_int_equal(polder_run_sandbox(box->fd, params), 0);
    assert_int_equal(params->reason, POLDER_SYSCALL);
}

static bool has_pattern(struct box *box, struct polder_params *params, const struct vectors *v, uint64_t tag)
{
#if __STDC_HOSTED__
    static _Thread_local
#endif
        unsigned char wanted[PAGE];

    memset((void *)box->data, 0, v->size);
    aim(params, v->store, BOX_DATA, 0);
    if (polder_run_sandbox(box->fd, params) != 0 || params->reason != POLDER_SYSCALL)
        return false;
    fill_pattern(wanted, v, tag);
    return memcmp(wanted, (void *)box->data, v->size) == 0;
}

static void is_reset(struct box *box, struct polder_params *params)
{
    /* mxcsr 0x1f80, control word 0x37f, registers all zero. */
    aim(params, sn_control_store, BOX_DATA, 0);
    memset((void *)box->data, 0x55, PAGE);
    assert_int_equal(polder_run_sandbox(box->fd, params), 0);
    assert_int_equal(params->reason, POLDER_SYSCALL);
    assert_int_equal(((volatile uint32_t *)box->data)[0], 0x1f80);
    assert_int_equal(((volatile uint16_t *)box->data)[2], 0x37f);
    for (int kind = 1; kind < KINDS; kind++) {
        const struct vectors *v = &all_vectors[kind];
        if (!v->present())
            continue;
        memset((void *)box->data, 0x55, PAGE);
        aim(params, v->store, BOX_DATA, 0);
        assert_int_equal(polder_run_sandbox(box->fd, params), 0);
        assert_int_equal(params->reason, POLDER_SYSCALL);
        for (size_t i = 0; i < v->size / 8; i++)
            assert_int_equal(box->data[i], 0);
    }
}

static void run_kind(int kind, void (*test)(const struct vectors *))
{
    if (!all_vectors[kind].present()) {
        print_message("needs a processor with %s\n", all_vectors[kind].name);
        skip();
    }
    test(&all_vectors[kind]);
}

/* Three contexts on one thread, in turns of every order. */
static void take_turns(const struct vectors *v)
{
    enum { CONTEXTS = 3 };
    struct box box;
    struct polder_params params[CONTEXTS];
    uint64_t tags[CONTEXTS], seed = 3;

    box_open(&box);
    for (uint64_t i = 0; i < CONTEXTS; i++) {
        polder_params_init(&params[i]);
        tags[i] = i;
        load_pattern(&box, &params[i], v, tags[i]);
    }
    for (int i = 0; i < scaled(200); i++) {
        size_t c = random_next(&seed) % CONTEXTS;
        if (!has_pattern(&box, &params[c], v, tags[c]))
            fail_msg("round %d: context %zu has lost its %s registers", i, c, v->name);
        if (v->load == sn_x87_load || i % 3 == 0) /* storing the x87 registers has emptied them */
            load_pattern(&box, &params[c], v, tags[c] = 10 + (uint64_t)i);
        if (i % 10 == 5) { /* a new one in between leaves nothing and finds nothing */
            struct polder_params fresh;
            polder_params_init(&fresh);
            is_reset(&box, &fresh);
            polder_params_fini(&fresh);
        }
    }
    for (int i = 0; i < CONTEXTS; i++)
        polder_params_fini(&params[i]);
    box_close(&box);
}

static void x87_registers(void **state)
{
    (void)state;
    run_kind(0, take_turns);
}

static void sse_registers(void **state)
{
    (void)state;
    run_kind(1, take_turns);
}

static void avx_registers(void **state)
{
    (void)state;
    run_kind(2, take_turns);
}

static void avx512_registers(void **state)
{
    (void)state;
    run_kind(3, take_turns);
}

/* Threads with contexts of their own, all at once, each in its own space. */
struct fpu_thread {
    pthread_t thread;
    const struct vectors *v;
    struct box box;
    uint64_t tag;
    unsigned long wrong;
};

static void *fpu_thread_main(void *arg)
{
    struct fpu_thread *t = arg;

    for (uint64_t i = 0; i < (uint64_t)scaled(100); i++) {
        fill_pattern((void *)t->box.data, t->v, t->tag + i);
        aim(&t->box.params, t->v->load, BOX_DATA, 0);
        t->wrong += polder_run_sandbox(t->box.fd, &t->box.params) != 0;
        sched_yield();
        t->wrong += !has_pattern(&t->box, &t->box.params, t->v, t->tag + i);
    }
    return NULL;
}

static void threads_at_once(const struct vectors *v)
{
    struct fpu_thread threads[4];

    for (uint64_t i = 0; i < 4; i++) {
        threads[i] = (struct fpu_thread){.v = v, .tag = i * 1000};
        box_open(&threads[i].box);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i].thread, NULL, fpu_thread_main, &threads[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].wrong, 0);
        box_close(&threads[i].box);
    }
}

static void sse_on_threads(void **state)
{
    (void)state;
    run_kind(1, threads_at_once);
}

static void avx512_on_threads(void **state)
{
    (void)state;
    run_kind(3, threads_at_once);
}

/* One context wanders: what one thread left in it, the next one finds, though the first still has a processor. */
struct wanderer {
    struct box *box;
    struct polder_params *params;
    const struct vectors *v;
    uint64_t tag;
    bool kept;
    pthread_barrier_t *barrier;
};

static void *wanderer_main(void *arg)
{
    struct wanderer *w = arg;

    w->kept = has_pattern(w->box, w->params, w->v, w->tag);
    fill_pattern((void *)w->box->data, w->v, w->tag + 1);
    aim(w->params, w->v->load, BOX_DATA, 0);
    w->params->regs.fs_base = w->tag + 1;
    w->kept = w->kept && polder_run_sandbox(w->box->fd, w->params) == 0 && w->params->regs.fs_base == w->tag + 1;
    pthread_barrier_wait(w->barrier); /* stays alive, with its processor */
    pthread_barrier_wait(w->barrier);
    return NULL;
}

static void wander(const struct vectors *v)
{
    struct box box;
    pthread_barrier_t barrier;
    pthread_t threads[6];
    struct wanderer wanderers[6];

    box_open(&box);
    load_pattern(&box, &box.params, v, 0);
    for (uint64_t i = 0; i < 6; i++) {
        pthread_barrier_t *step = &barrier;
        assert_int_equal(pthread_barrier_init(step, NULL, 2), 0);
        wanderers[i] = (struct wanderer){&box, &box.params, v, 2 * i, false, step};
        assert_int_equal(pthread_create(&threads[i], NULL, wanderer_main, &wanderers[i]), 0);
        pthread_barrier_wait(step);
        assert_true(wanderers[i].kept);
        if (!has_pattern(&box, &box.params, v, 2 * i + 1))
            fail_msg("what thread %lu left is not there", i);
        load_pattern(&box, &box.params, v, 2 * i + 2);
        pthread_barrier_wait(step);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        pthread_barrier_destroy(step);
    }
    box_close(&box);
}

static void x87_wanders(void **state)
{
    (void)state;
    run_kind(0, wander);
}

static void sse_wanders(void **state)
{
    (void)state;
    run_kind(1, wander);
}

static void avx512_wanders(void **state)
{
    (void)state;
    run_kind(3, wander);
}

static void control_words(void **state)
{
    (void)state;
    struct box box;
    struct polder_params other;
#if __STDC_HOSTED__ /* the kernel has no such state of its own: what is in the registers is always a sandbox's */
    const uint32_t host_mxcsr = _mm_getcsr();
    uint16_t host_control, control;

    __asm__ volatile("fnstcw %0" : "=m"(host_control));
#endif
    box_open(&box);
    polder_params_init(&other);
    struct polder_params *contexts[] = {&box.params, &other};
    const uint32_t mxcsr[] = {0x1fa0 | 0x6000, 0x9f80};
    const uint16_t words[] = {0x27f, 0xf7f};
    for (int i = 0; i < 2; i++) {
        ((volatile uint32_t *)box.data)[0] = mxcsr[i];
        ((volatile uint16_t *)box.data)[2] = words[i];
        aim(contexts[i], sn_control_load, BOX_DATA, 0);
        assert_int_equal(polder_run_sandbox(box.fd, contexts[i]), 0);
#if __STDC_HOSTED__
        /* The caller's own are not touched. */
        assert_int_equal(_mm_getcsr(), host_mxcsr);
        __asm__ volatile("fnstcw %0" : "=m"(control));
        assert_int_equal(control, host_control);
#endif
    }
    for (int round = 0; round < 10; round++) {
        int i = round % 3 == 0;
        memset((void *)box.data, 0, 8);
        aim(contexts[i], sn_control_store, BOX_DATA, 0);
        assert_int_equal(polder_run_sandbox(box.fd, contexts[i]), 0);
        assert_int_equal(((volatile uint32_t *)box.data)[0], mxcsr[i]);
        assert_int_equal(((volatile uint16_t *)box.data)[2], words[i]);
    }
#if __STDC_HOSTED__
    /* Nor does the caller's reach the sandbox. */
    _mm_setcsr(0x1f80 | 0x2000);
    struct polder_params fresh;
    polder_params_init(&fresh);
    aim(&fresh, sn_control_store, BOX_DATA, 0);
    int result = polder_run_sandbox(box.fd, &fresh);
    const uint32_t after = _mm_getcsr();
    _mm_setcsr(host_mxcsr);
    assert_int_equal(result, 0);
    assert_int_equal(after, 0x1f80 | 0x2000);
    assert_int_equal(((volatile uint32_t *)box.data)[0], 0x1f80);
    polder_params_fini(&fresh);
#endif
    polder_params_fini(&other);
    box_close(&box);
}

static void new_params_at_an_old_address(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    for (int round = 0; round < 20; round++) {
        const struct vectors *v = &all_vectors[have_avx512() ? 3 : 1];
        load_pattern(&box, &box.params, v, (uint64_t)round);
        ((volatile uint32_t *)box.data)[0] = 0x1f80 | 0x6000;
        ((volatile uint16_t *)box.data)[2] = 0x27f;
        aim(&box.params, sn_control_load, BOX_DATA, 0);
        box.params.regs.fs_base = 0x1000;
        assert_int_equal(polder_run_sandbox(box.fd, &box.params), 0);
        polder_params_fini(&box.params);
        polder_params_init(&box.params);
        is_reset(&box, &box.params);
        assert_int_equal(box.params.regs.fs_base, 0);
    }
    box_close(&box);
}

static void what_init_gives(void **state)
{
    (void)state;
    struct polder_params params;

    memset(&params, 0xaa, sizeof(params));
    polder_params_init(&params);
    assert_int_equal(params.regs.cs, 0x33);
    assert_int_equal(params.regs.ss, 0x2b);
    assert_int_equal(params.regs.eflags, 0x202);
    struct polder_params rest = params;
    rest.regs.cs = rest.regs.ss = rest.regs.eflags = 0;
    const struct polder_params zero = {.flags = 0};
    assert_memory_equal(&rest.regs, &zero.regs, sizeof(zero.regs));
    assert_null(rest.xstate);
    assert_int_equal(rest.xstate_size, 0);
    assert_int_equal(rest.flags, 0);
    assert_null(rest.sigmask);
    assert_int_equal(rest.deadline_ns, 0);
    assert_int_equal(rest.reason, 0);
    assert_int_equal(rest.vector, 0);
    assert_int_equal(rest.error_code, 0);
    assert_int_equal(rest.fault_addr, 0);
    polder_params_fini(&params);
    /* Thousands of contexts that never ran need no fini; those that ran and had one leave nothing. */
    struct box box;
    box_open(&box);
    size_t rss = 0;
    const int count = scaled(20000);
    for (int i = 0; i < count; i++) {
        polder_params_init(&params);
        if (i % 10 == 0) {
            aim(&params, sn_syscall, 0, 0);
            assert_int_equal(polder_run_sandbox(box.fd, &params), 0);
            polder_params_fini(&params);
        }
        if (i == count / 4)
            rss = own_rss();
    }
    assert_true(own_rss() < rss + (1ul << 19));
    box_close(&box);
}

/* The layout of an XSAVE area: SDM vol. 1, 13.4. */
enum { XSAVE_MXCSR = 24, XSAVE_ST = 32, XSAVE_XMM = 160, XSAVE_BV = 512, XSAVE_COMP = 520 };

static size_t component(unsigned n)
{
    unsigned a, b, c, d;

    __cpuid_count(0xd, n, a, b, c, d);
    return b;
}

static void *new_area(struct polder_params *params)
{
    params->xstate_size = (polder_xstate_size() + 63) & ~63ul;
    params->xstate = aligned_alloc(64, params->xstate_size);
    assert_non_null(params->xstate);
    memset(params->xstate, 0, params->xstate_size);
    return params->xstate;
}

static void xstate_store(void **state)
{
    (void)state;
    struct box box;
    unsigned char wanted[PAGE], *area;

    box_open(&box);
    area = new_area(&box.params);
    box.params.flags = POLDER_XSTATE_STORE;
    /* A new context: as reset, or marked as being in that state. */
    memset(area, 0x55, box.params.xstate_size);
    box_syscall(&box, sn_syscall, 0, 0);
    uint64_t bv;
    uint32_t mxcsr;
    memcpy(&bv, area + XSAVE_BV, sizeof(bv));
    memcpy(&mxcsr, area + XSAVE_MXCSR, sizeof(mxcsr));
    assert_int_equal(mxcsr, 0x1f80);
    for (size_t i = 0; i < 256; i++)
        if (bv & 2)
            assert_int_equal(area[XSAVE_XMM + i], 0);
    uint64_t comp;
    memcpy(&comp, area + XSAVE_COMP, sizeof(comp));
    assert_int_equal(comp, 0); /* the standard format */

    const struct vectors *sse = &all_vectors[1], *avx = &all_vectors[2], *avx512 = &all_vectors[3];
    load_pattern(&box, &box.params, sse, 5);
    fill_pattern(wanted, sse, 5);
    assert_memory_equal(area + XSAVE_XMM, wanted, sse->size);
    if (have_avx()) {
        load_pattern(&box, &box.params, avx, 6);
        fill_pattern(wanted, avx, 6);
        for (size_t i = 0; i < 16; i++) {
            assert_memory_equal(area + XSAVE_XMM + i * 16, wanted + i * 32, 16);
            assert_memory_equal(area + component(2) + i * 16, wanted + i * 32 + 16, 16);
        }
    }
    if (have_avx512()) {
        load_pattern(&box, &box.params, avx512, 7);
        fill_pattern(wanted, avx512, 7);
        for (size_t i = 0; i < 16; i++) {
            assert_memory_equal(area + component(6) + i * 32, wanted + i * 64 + 32, 32);
            assert_memory_equal(area + component(7) + i * 64, wanted + (i + 16) * 64, 64);
        }
        assert_memory_equal(area + component(5), wanted + 2048, 2);
    }
    /* Every way out stores. */
    load_pattern(&box, &box.params, sse, 8);
    memset(area + XSAVE_XMM, 0, 256);
    assert_int_equal(box_run(&box, sn_ud2, 0, 0), POLDER_EXCEPTION);
    fill_pattern(wanted, sse, 8);
    assert_memory_equal(area + XSAVE_XMM, wanted, sse->size);
    /* Without the flag the area is not looked at. */
    box.params.flags = 0;
    memset(area, 0x55, box.params.xstate_size);
    box_syscall(&box, sn_syscall, 0, 0);
    for (size_t i = 0; i < box.params.xstate_size; i++)
        assert_int_equal(area[i], 0x55);
    free(area);
    box_close(&box);
}

static void xstate_load(void **state)
{
    (void)state;
    struct box box;
    const struct vectors *v = &all_vectors[have_avx512() ? 3 : have_avx() ? 2 : 1];

    box_open(&box);
    unsigned char *area = new_area(&box.params);
    /* What one context has stored, another one loads, and has. */
    load_pattern(&box, &box.params, v, 20);
    box.params.flags = POLDER_XSTATE_STORE;
    box_syscall(&box, sn_syscall, 0, 0);
    struct polder_params other;
    polder_params_init(&other);
    other.xstate = area;
    other.xstate_size = box.params.xstate_size;
    other.flags = POLDER_XSTATE_LOAD;
    assert_true(has_pattern(&box, &other, v, 20));
    other.flags = 0;
    assert_true(has_pattern(&box, &other, v, 20)); /* and keeps */
    /* A loaded state replaces the whole of the old one. */
    load_pattern(&box, &other, v, 21);
    other.flags = POLDER_XSTATE_LOAD;
    assert_true(has_pattern(&box, &other, v, 20));
    other.flags = 0;
    /* A change that the caller makes to a stored area. */
    memset(area + XSAVE_XMM + 3 * 16, 0x77, 16);
    box.params.flags = POLDER_XSTATE_LOAD;
    box_syscall(&box, sn_xmm_store, BOX_DATA, 0);
    assert_int_equal(box.data[6], 0x7777777777777777);
    assert_int_equal(box.data[7], 0x7777777777777777);
    /* A component that is not in xstate_bv is in its first state, whatever the bytes say. */
    uint64_t bv = 0;
    memcpy(area + XSAVE_BV, &bv, sizeof(bv));
    box_syscall(&box, sn_xmm_store, BOX_DATA, 0);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(box.data[i], 0);
    box.params.flags = 0;
    assert_true(has_pattern(&box, &other, v, 20));
    /* Load and store at once: in, run, out. */
    bv = 3;
    memset(area, 0, box.params.xstate_size);
    memcpy(area + XSAVE_BV, &bv, sizeof(bv));
    const uint32_t mxcsr = 0x1f80;
    const uint16_t control = 0x37f;
    memcpy(area, &control, sizeof(control));
    memcpy(area + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    memset(area + XSAVE_XMM, 0x11, 256);
    box.params.flags = POLDER_XSTATE_LOAD | POLDER_XSTATE_STORE;
    box_syscall(&box, sn_xmm_store, BOX_DATA, 0);
    assert_int_equal(box.data[0], 0x1111111111111111);
    assert_int_equal(area[XSAVE_XMM + 255], 0x11);
    polder_params_fini(&other);
    free(area);
    box_close(&box);
}

static void areas_that_are_wrong(void **state)
{
    (void)state;
    struct box box;

    box_open(&box);
    unsigned char *area = new_area(&box.params);
    box.params.flags = POLDER_XSTATE_STORE;
    box_syscall(&box, sn_syscall, 0, 0);
    unsigned char *good = malloc(box.params.xstate_size);
    assert_non_null(good);
    memcpy(good, area, box.params.xstate_size);
    box.params.flags = POLDER_XSTATE_LOAD;

    const struct {
        size_t offset;
        uint64_t value;
        size_t size;
    } damage[] = {
        {XSAVE_MXCSR, 0xffffffff, 4}, /* reserved bits */
        {XSAVE_BV, 1ull << 62, 8},    /* a component that there is not */
        {XSAVE_COMP, 1ull << 63, 8},  /* the compacted format */
        {XSAVE_COMP + 8, 1, 8},       /* reserved, must be zero */
    };
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        memcpy(area, good, box.params.xstate_size);
        if (damage[i].offset == XSAVE_MXCSR)
            memcpy(area + XSAVE_BV, &(uint64_t){3}, 8);
        memcpy(area + damage[i].offset, &damage[i].value, damage[i].size);
        aim(&box.params, sn_syscall, 0, 0);
        errno = 0;
        int result = polder_run_sandbox(box.fd, &box.params);
        if (result != -1 || errno != EINVAL)
            fail_msg("damage %zu: %d, %s", i, result, strerror(errno));
    }
    /* The context is none the worse for it. */
    box.params.flags = 0;
    is_reset(&box, &box.params);
    free(good);
    free(area);
    box_close(&box);
}

/* Segment bases of contexts that take turns. */
static void segment_bases(void **state)
{
    (void)state;
    struct box box;
    struct polder_params params[3];
    uint64_t seed = 12;

    box_open(&box);
    for (uint64_t i = 0; i < 3; i++) {
        polder_params_init(&params[i]);
        params[i].regs.fs_base = BOX_DATA + 64 * i;
        params[i].regs.gs_base = BOX_DATA + PAGE + 64 * i;
        box.data[8 * i] = 100 + i;
        box.data[PAGE / 8 + 8 * i] = 200 + i;
    }
    for (int round = 0; round < scaled(200); round++) {
        uint64_t i = random_next(&seed) % 3;
        aim(&params[i], sn_load_fs, 0, 0);
        assert_int_equal(polder_run_sandbox(box.fd, &params[i]), 0);
        assert_int_equal(params[i].reason, POLDER_SYSCALL);
        assert_int_equal(params[i].regs.rbx, 100 + i);
        assert_int_equal(params[i].regs.r12, 200 + i);
        assert_int_equal(params[i].regs.fs_base, BOX_DATA + 64 * i);
        assert_int_equal(params[i].regs.gs_base, BOX_DATA + PAGE + 64 * i);
    }
    for (int i = 0; i < 3; i++)
        polder_params_fini(&params[i]);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_init_gives),
        cmocka_unit_test(x87_registers),
        cmocka_unit_test(sse_registers),
        cmocka_unit_test(avx_registers),
        cmocka_unit_test(avx512_registers),
        cmocka_unit_test(sse_on_threads),
        cmocka_unit_test(avx512_on_threads),
        cmocka_unit_test(x87_wanders),
        cmocka_unit_test(sse_wanders),
        cmocka_unit_test(avx512_wanders),
        cmocka_unit_test(control_words),
        cmocka_unit_test(new_params_at_an_old_address),
        cmocka_unit_test(xstate_store),
        cmocka_unit_test(xstate_load),
        cmocka_unit_test(areas_that_are_wrong),
        cmocka_unit_test(segment_bases),
    };
    return RUN_GROUP("fpu", tests);
}
