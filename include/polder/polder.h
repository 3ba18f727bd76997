/* SPDX-License-Identifier: MIT */
/*
 * polder.h - address-space descriptors and run_sandbox, on KVM.
 *
 * The interface is the one that Jeff Dike proposed to linux-kernel on 20 January 2002 ("the 2002 proposal" below), made
 * real without a kernel patch: a descriptor is a page-table root of a KVM guest, run_sandbox is a VM entry and exit.
 *
 * Conventions that hold for every function unless its comment says otherwise:
 *  - Success is 0 (or the value described); failure is -1 (MAP_FAILED for polder_mmap) with errno set, and then nothing
 *    has been changed. Where Linux has a call for the same thing, errno is what Linux gives for the same mistake.
 *  - Any thread may call any function at any time. None is async-signal-safe but polder_kick. A signal handler that
 *    interrupted a polder function must call no other one.
 *  - Addresses are bytes, lengths are bytes and are rounded up to 4096, times are nanoseconds.
 *  - The library never prints, exits, aborts, starts threads, installs signal handlers or changes signal masks.
 *  - A call that needs KVM for the first time opens /dev/kvm and fails with what open(2) or KVM said: ENOENT (no KVM on
 *    this machine), EACCES (no permission), ENOSYS (KVM lacks something that polder needs; `polder info` names it).
 *  - After fork() the child's inherited descriptors fail with ESTALE: a vCPU belongs to the process that made its VM
 * (KVM API, "2. File descriptors"). The child can open descriptors of its own. The memory of the spaces is not
 * inherited.
 */
#ifndef POLDER_POLDER_H
#define POLDER_POLDER_H

#include <stddef.h>
#include <stdint.h>
#if __STDC_HOSTED__
#include <signal.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/user.h>
#else
#include <polder/freestanding.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define POLDER_VERSION 0x000100 /* 0.1.0, as major << 16 | minor << 8 | patch */

/*
 * In the prot of polder_mmap and polder_mprotect: a page that only privileged code can touch; its U/S bit is clear (the
 * 2002 proposal's maps "only available in privileged mode"; Intel SDM vol. 3A, 4.6; AMD APM vol. 2, 5.6). The value is
 * above every PROT_ bit that Linux uses.
 */
#define POLDER_PRIVILEGED 0x10000000

/* Why polder_run_sandbox came back. */
enum polder_reason {
    POLDER_SYSCALL = 1, /* SYSCALL: regs.orig_rax is the number */
    POLDER_PAGE_FAULT,  /* vector 14: fault_addr and error_code as the hardware gives them */
    POLDER_EXCEPTION,   /* any other vector, in `vector`; error_code where the vector has one, else 0 */
    POLDER_STEP,        /* POLDER_SINGLE_STEP was asked for and one instruction is done */
    POLDER_SIGNAL,      /* a signal arrived at this thread; its handler, if any, has run */
    POLDER_KICK,        /* polder_kick ended the run */
    POLDER_DEADLINE,    /* deadline_ns have passed */
    POLDER_BUS,         /* fault_addr is mapped, but its file ends before it, or its disk has no room for it */
};

/* polder_params.flags */
#define POLDER_SINGLE_STEP 0x1u  /* come back after one instruction */
#define POLDER_XSTATE_LOAD 0x2u  /* take FPU and vector state from xstate before the run */
#define POLDER_XSTATE_STORE 0x4u /* put FPU and vector state into xstate after the run */

/*
 * The register file of one sandboxed context, and what ended its last run.
 *
 * Owned by the caller; at most one thread may be inside polder_run_sandbox with the same params (a second one gets
 * EBUSY). Set up with polder_params_init. Fields marked "in" are never written by the library, fields marked "out" are
 * written by every run that returns 0.
 */
struct polder_params {
    /*
     * In and out: the registers as PTRACE_GETREGS has them, fs_base and gs_base included. cs must be 0x33 (or 0x23,
     * code of 32 bits) and ss 0x2b, or the run is EINVAL. Entry loads every register exactly, rcx and r11 too; of
     * eflags IF is set and IOPL, NT, VM, VIF and VIP are cleared. What a run reports can go in again. At POLDER_SYSCALL
     * rax is -ENOSYS, orig_rax the number and rip is after the instruction; at every other reason orig_rax is -1. The
     * selectors ds, es, fs and gs are not carried: they are 0 when a context takes a vCPU (but PVM leaves them alone),
     * and no run looks at the fields or changes them.
     */
    struct user_regs_struct regs;
    /*
     * In: an XSAVE area (Intel SDM vol. 1, 13.4, standard format) of xstate_size bytes, at least polder_xstate_size(),
     * or NULL: the library keeps the state itself. Read with POLDER_XSTATE_LOAD, written with POLDER_XSTATE_STORE; with
     * neither it is not looked at. A new context starts with the state that FNINIT and reset give (mxcsr 0x1f80).
     */
    void *xstate;
    size_t xstate_size;
    uint32_t flags; /* in: POLDER_SINGLE_STEP, POLDER_XSTATE_LOAD, POLDER_XSTATE_STORE; others are EINVAL */
    /*
     * In: the signal mask for the time of the run, as in ppoll(2); NULL for the thread's own. A caller that must not
     * lose a signal blocks it and unblocks it here: with NULL, a signal that arrives after the call began but before
     * the sandbox is entered runs its handler and does not end the run (the handler may call polder_kick, which does).
     */
    const sigset_t *sigmask;
    uint64_t deadline_ns; /* in: end the run after this many ns, relative; 0 for no deadline */

    uint32_t reason;     /* out: enum polder_reason */
    uint32_t vector;     /* out: the vector of POLDER_PAGE_FAULT, POLDER_EXCEPTION and POLDER_STEP, else 0 */
    uint64_t error_code; /* out: what the hardware pushes (SDM vol. 3A, 4.7 and 6.13), the same on every KVM; bit 0 of a
                          * page fault's is set if and only if the address is mapped in the space */
    uint64_t fault_addr; /* out: CR2 of POLDER_PAGE_FAULT and the address of POLDER_BUS, else 0 */

    /* The library's own. */
    void *context;
    uint32_t kicked;
    uint32_t running;
    uint64_t reserved[4];
};

/* One operation of polder_apply. */
enum polder_op_code { POLDER_OP_MMAP = 1, POLDER_OP_MUNMAP, POLDER_OP_MPROTECT };

struct polder_op {
    uint32_t code;  /* enum polder_op_code */
    int32_t prot;   /* MMAP and MPROTECT */
    int32_t flags;  /* MMAP: with MAP_FIXED or MAP_FIXED_NOREPLACE, or the operation is EINVAL */
    int32_t src_fd; /* MMAP */
    void *start;
    size_t length;
    off_t offset; /* MMAP */
};

/*
 * Where the library takes memory for its own records from: page-aligned blocks of whole pages. The default is anonymous
 * mmap. Guest memory and page tables are always the library's own mappings. Calls are made from whatever thread needs
 * memory, never on the path of a run that finds its memory in place, and under the library's locks: they must call no
 * polder function.
 */
struct polder_allocator {
    void *(*alloc)(size_t size, void *opaque); /* size is a multiple of 4096; NULL if there is none */
    void (*free)(void *block, size_t size, void *opaque);
    void *opaque;
};

/*
 * Opens an address space (the 2002 proposal's open of the same paths).
 *   "/proc/mm"        a new, empty one
 *   "/proc/self/mm"   the caller's own process: ring 3 sees the caller's mappings at the caller's addresses with their
 *                     protection, except privileged ranges and the library's own memory
 *   "/proc/<pid>/mm"  of this process the same as self; of a foreign one a snapshot of its memory, with the permission
 *                     rule of ptrace
 * Returns a file descriptor with FD_CLOEXEC set. close(2) of its last duplicate ends the space once no run is in it;
 * its memory is given back at the latest when a space is next opened or copied. A duplicate is the same space. Errors:
 * ENOENT (another path, no such pid), EPERM or EACCES (a foreign process that ptrace could not read), EMFILE, ENFILE,
 * ENOMEM, ENOSPC (the user may watch no more descriptors: epoll(7)), and those of the first use of KVM.
 */
int polder_open(const char *path);

/*
 * Maps into the space of dest_fd as mmap(2) does into the caller's (the 2002 proposal's new_mmap). dest_fd -1 is the
 * caller's own process: the host's mmap, plus the record that "/proc/self/mm" shows its sandboxes; with
 * POLDER_PRIVILEGED the range is hidden from them.
 * Page 0 can never be mapped (EPERM): SYSCALL in code of 32 bits must find nothing there. Private pages of a file that
 * were written stay when the file is truncated, unlike Linux's.
 * x86 cannot withhold reading from a writable page, nor (without protection keys) from an executable one.
 * Errors: as mmap(2); EMFILE or ENFILE (a file that is mapped takes a descriptor); EBADF or EINVAL for dest_fd; ESTALE
 * after fork.
 */
void *polder_mmap(void *start, size_t length, int prot, int flags, int src_fd, off_t offset, int dest_fd);

/*
 * munmap(2) and mprotect(2) on the space of dest_fd, -1 as above. When they return, no vCPU can use the old
 * translation. They enter no vCPU; they force out only those that are inside that space. polder_mprotect(start, length,
 * POLDER_PRIVILEGED, -1) only declares: the range, mapped or not, is hidden from sandboxes of the caller's own space
 * and the host's protection stays; a later polder_mmap or polder_mprotect there without POLDER_PRIVILEGED shows it
 * again. Errors: as munmap(2), mprotect(2); EBADF or EINVAL for dest_fd; ESTALE after fork.
 */
int polder_munmap(void *start, size_t length, int dest_fd);
int polder_mprotect(void *start, size_t length, int prot, int dest_fd);

/*
 * Carries out ops[0] to ops[count - 1] in order, as the three calls above would, with one identity check and one round
 * of forcing vCPUs out. It stops at the first operation that fails, with its errno; those before it stand.
 */
int polder_apply(int dest_fd, const struct polder_op *ops, size_t count);

/*
 * A new descriptor of a new space with the same mappings. Private memory is shared copy-on-write. A copy of
 * "/proc/self/mm" is EINVAL: fork() is that.
 */
int polder_copy(int mm_fd);

/*
 * Enters ring 3 of the space with params->regs and comes back with what happened (the 2002 proposal's run_sandbox).
 * Returns 0 when the sandbox came back, whatever the reason, and params->reason says which.
 * Errors: EBADF, EINVAL (mm_fd is not a space; bad flags, selectors or xstate), EBUSY (params are in a run), ESTALE
 * (after fork), ENOMEM, EAGAIN (more threads run than KVM allows vCPUs), EMFILE or ENFILE (a thread's first run),
 * EFAULT (memory of the space cannot be had: the host's own is exhausted or protected behind the library's back), EIO
 * (KVM failed).
 */
int polder_run_sandbox(int mm_fd, struct polder_params *params);

/*
 * Performs on the host, for the sandbox, the system call that the last run reported in params, and puts the result into
 * params->regs.rax, -errno included. polder(3) lists which calls are carried for which space; what is not carried gives
 * -ENOSYS there. Returns 0, or -1 with EINVAL (the last reason was not POLDER_SYSCALL) or an error of mm_fd.
 */
int polder_proceed(int mm_fd, struct polder_params *params);

/*
 * Copies memory of the space. Reading ignores protection; writing breaks copy-on-write and obeys PROT_WRITE.
 * Return the number of bytes copied, short where the space ends, or -1: EFAULT if nothing could be copied, and the
 * errors of mm_fd.
 */
ssize_t polder_read(int mm_fd, void *buf, size_t count, uint64_t addr);
ssize_t polder_write(int mm_fd, const void *buf, size_t count, uint64_t addr);

/*
 * Ends the run of params with POLDER_KICK; if none is under way, the next one, once. Async-signal-safe, from any
 * thread. params must stay valid until it returns. Always returns 0.
 */
int polder_kick(struct polder_params *params);

/*
 * polder_params_init: a new context: cs 0x33, ss 0x2b, eflags 0x202, all else 0. Allocates nothing.
 * polder_params_fini: gives back what runs have allocated. No run may be under way.
 */
void polder_params_init(struct polder_params *params);
void polder_params_fini(struct polder_params *params);

/* The size in bytes of an XSAVE area here (KVM_GET_XSAVE2), 0 with errno if KVM cannot be had. */
size_t polder_xstate_size(void);

/* Before the first use of any other function but polder_params_init, or EBUSY. The structure is copied. */
int polder_set_allocator(const struct polder_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
