/* SPDX-License-Identifier: MIT */
/* The signal frame: its layout is the kernel's, and what comes back from a program is harmless. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "linux/fault.h"
#include "linux/frame.h"

static void layout(void **state)
{
    (void)state;
    /* libc's ucontext_t begins as the kernel's struct ucontext does. */
    assert_int_equal(offsetof(struct frame_context, stack), offsetof(ucontext_t, uc_stack));
    assert_int_equal(offsetof(struct frame_context, r8), offsetof(ucontext_t, uc_mcontext));
    assert_int_equal(offsetof(struct frame_context, rip), offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]));
    assert_int_equal(offsetof(struct frame_context, eflags), offsetof(ucontext_t, uc_mcontext.gregs[REG_EFL]));
    assert_int_equal(offsetof(struct frame_context, cs), offsetof(ucontext_t, uc_mcontext.gregs[REG_CSGSFS]));
    assert_int_equal(offsetof(struct frame_context, cr2), offsetof(ucontext_t, uc_mcontext.gregs[REG_CR2]));
    assert_int_equal(offsetof(struct frame_context, fpstate), offsetof(ucontext_t, uc_mcontext.fpregs));
    assert_int_equal(offsetof(struct frame_context, mask), offsetof(ucontext_t, uc_sigmask));
    assert_int_equal(offsetof(struct frame, context), 8);
}

static void registers(void **state)
{
    (void)state;
    struct user_regs_struct in, out;
    struct frame_context context = {0};
    for (size_t i = 0; i < sizeof(in) / 8; i++)
        ((uint64_t *)&in)[i] = 0x1111111111111111u * (i % 14 + 1);
    in.eflags = 0x246;
    out = in;
    frame_fill(&context, &in);
    frame_take(&out, &context);
    in.orig_rax = -1ull;
    assert_memory_equal(&in, &out, sizeof(in));

    /* The program asks for I/O rights, for no interrupts, for other segments. */
    context.eflags = ~0ull;
    context.cs = 0x10;
    context.ss = 0;
    frame_take(&out, &context);
    assert_int_equal(out.eflags & 0x3000, 0);
    assert_int_equal(out.eflags & 0x200, 0x200);
    assert_int_equal(out.cs, in.cs);
    assert_int_equal(out.ss, in.ss);
    context.eflags = 0;
    frame_take(&out, &context);
    assert_int_equal(out.eflags, 0x202);
}

static void places(void **state)
{
    (void)state;
    struct frame_xstate x = frame_xstate(1 << 20);
    assert_true(x.features & 3);
    assert_true(x.size >= 576);
    for (uint64_t sp = 0x7ff000000000; sp < 0x7ff000000000 + 300; sp++) {
        uint64_t frame_at, xstate_at;
        assert_true(frame_place(sp, &x, &frame_at, &xstate_at));
        assert_int_equal((frame_at + 8) % 16, 0);
        assert_int_equal(xstate_at % 64, 0);
        assert_true(frame_at + sizeof(struct frame) <= xstate_at);
        assert_true(xstate_at + x.size + 4 <= sp);
        assert_true(sp - frame_at <= frame_size(&x));
    }
    uint64_t frame_at, xstate_at;
    assert_false(frame_place(100, &x, &frame_at, &xstate_at));
    /* An area that is too small for a part leaves it out. */
    struct frame_xstate small = frame_xstate(576);
    assert_int_equal(small.features, 3);
    assert_int_equal(small.size, 576);
}

static void xstate(void **state)
{
    (void)state;
    struct frame_xstate x = frame_xstate(1 << 20);
    uint8_t *area = calloc(1, x.size + 4);
    uint64_t bits = x.features, got;
    uint32_t mxcsr = 0x1f80;
    memcpy(area + 512, &bits, 8);
    memcpy(area + 24, &mxcsr, 4);
    frame_mark_xstate(area, &x);
    assert_true(frame_clean_xstate(area, &x));
    memcpy(&got, area + 512, 8);
    assert_int_equal(got, bits);

    memset(area + 512, 0xff, 64);
    memset(area + 24, 0xff, 4);
    assert_true(frame_clean_xstate(area, &x));
    memcpy(&got, area + 512, 8);
    assert_int_equal(got, x.features);
    for (size_t i = 520; i < 576; i++)
        assert_int_equal(area[i], 0);
    memcpy(&mxcsr, area + 24, 4);
    assert_int_equal(mxcsr, 0xffff);

    /* Without the mark at the end it is an FXSAVE image. */
    memset(area + x.size, 0, 4);
    assert_false(frame_clean_xstate(area, &x));
    memcpy(&got, area + 512, 8);
    assert_int_equal(got, 3);
    free(area);
}

static void one_fault(
    uint32_t reason, uint32_t vector, uint64_t addr, const void *fpu, int sig, int code, uint64_t where)
{
    struct vma vma = {0x1000, 0x3000, 1};
    struct vma_list vmas = {&vma, 1, 1};
    struct polder_params params = {.reason = reason, .vector = vector, .fault_addr = addr, .regs.rip = 0x401000};
    siginfo_t info;
    fault_signal(&info, &params, &vmas, fpu);
    assert_int_equal(info.si_signo, sig);
    assert_int_equal(info.si_code, code);
    assert_int_equal((uintptr_t)info.si_addr, where);
}

static void faults(void **state)
{
    (void)state;
    one_fault(POLDER_PAGE_FAULT, 14, 0, NULL, SIGSEGV, SEGV_MAPERR, 0);
    one_fault(POLDER_PAGE_FAULT, 14, 0x1000, NULL, SIGSEGV, SEGV_ACCERR, 0x1000);
    one_fault(POLDER_PAGE_FAULT, 14, 0x2fff, NULL, SIGSEGV, SEGV_ACCERR, 0x2fff);
    one_fault(POLDER_PAGE_FAULT, 14, 0x3000, NULL, SIGSEGV, SEGV_MAPERR, 0x3000);
    one_fault(POLDER_BUS, 14, 0x2000, NULL, SIGBUS, BUS_ADRERR, 0x2000);
    one_fault(POLDER_EXCEPTION, 0, 0, NULL, SIGFPE, FPE_INTDIV, 0x401000);
    one_fault(POLDER_EXCEPTION, 1, 0, NULL, SIGTRAP, TRAP_TRACE, 0x401000);
    one_fault(POLDER_STEP, 1, 0, NULL, SIGTRAP, TRAP_TRACE, 0x401000);
    one_fault(POLDER_EXCEPTION, 3, 0, NULL, SIGTRAP, SI_KERNEL, 0);
    one_fault(POLDER_EXCEPTION, 6, 0, NULL, SIGILL, ILL_ILLOPN, 0x401000);
    one_fault(POLDER_EXCEPTION, 11, 0, NULL, SIGBUS, SI_KERNEL, 0);
    one_fault(POLDER_EXCEPTION, 12, 0, NULL, SIGBUS, SI_KERNEL, 0);
    one_fault(POLDER_EXCEPTION, 13, 0, NULL, SIGSEGV, SI_KERNEL, 0);
    one_fault(POLDER_EXCEPTION, 17, 0, NULL, SIGBUS, BUS_ADRALN, 0);
    one_fault(POLDER_EXCEPTION, 29, 0, NULL, SIGSEGV, SI_KERNEL, 0);

    uint8_t fpu[576] = {0};
    uint16_t control = 0x37b, status = 0x3004; /* division by zero is not masked and has happened */
    memcpy(fpu, &control, 2);
    memcpy(fpu + 2, &status, 2);
    one_fault(POLDER_EXCEPTION, 16, 0, fpu, SIGFPE, FPE_FLTDIV, 0x401000);
    uint32_t mxcsr = 0x1f80 & ~(1u << 10); /* overflow likewise */
    mxcsr |= 1u << 3 | 1u << 5;
    memcpy(fpu + 24, &mxcsr, 4);
    one_fault(POLDER_EXCEPTION, 19, 0, fpu, SIGFPE, FPE_FLTOVF, 0x401000);
    one_fault(POLDER_EXCEPTION, 19, 0, NULL, SIGFPE, 0, 0x401000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),
        cmocka_unit_test(registers),
        cmocka_unit_test(places),
        cmocka_unit_test(xstate),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
