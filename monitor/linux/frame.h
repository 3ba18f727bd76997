/* SPDX-License-Identifier: MIT */
/*
 * frame: the signal frame that Linux puts on a program's stack and takes back at rt_sigreturn (arch/x86 rt_sigframe).
 * Pure data. What comes back has been in the program's hands: only values that user code may have are taken from it.
 */
#ifndef MONITOR_LINUX_FRAME_H
#define MONITOR_LINUX_FRAME_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

/* stack_t as the kernel has it. */
struct signal_stack {
    uint64_t sp;
    int32_t flags;
    uint32_t pad;
    uint64_t size;
};

/* struct sigcontext_64 and struct ucontext of the kernel's uapi headers. */
struct frame_context {
    uint64_t flags, link;
    struct signal_stack stack;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
    uint64_t eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    uint64_t fpstate; /* address of the XSAVE area */
    uint64_t reserved[8];
    uint64_t mask;
};

struct frame {
    uint64_t restorer;
    struct frame_context context;
    siginfo_t info;
};

/* Which parts of the XSAVE area a program here can have. */
struct frame_xstate {
    uint64_t features; /* as XCR0 */
    size_t size;       /* of the area that holds them all */
    uint32_t mxcsr_mask;
};

/* What this processor has and an area of `available` bytes holds. */
struct frame_xstate frame_xstate(size_t available);

/* The least stack that a handler needs: AT_MINSIGSTKSZ. */
size_t frame_size(const struct frame_xstate *xstate);

/*
 * Where the frame goes below sp, and its XSAVE area. False if the addresses wrap. sp is that of the interrupted code
 * less its red zone, or the end of the signal stack.
 */
bool frame_place(uint64_t sp, const struct frame_xstate *xstate, uint64_t *frame_at, uint64_t *xstate_at);

/* Registers to frame, and back. frame_take leaves orig_rax -1. */
void frame_fill(struct frame_context *context, const struct user_regs_struct *regs);
void frame_take(struct user_regs_struct *regs, const struct frame_context *context);

/* The marks by which Linux knows that an XSAVE area of size follows; area has 4 bytes more than xstate->size. */
void frame_mark_xstate(void *area, const struct frame_xstate *xstate);
/*
 * Makes what a program left in an area harmless for the processor. False if it is not one that frame_mark_xstate has
 * made; then only the first 512 bytes mean something.
 */
bool frame_clean_xstate(void *area, const struct frame_xstate *xstate);

#endif
