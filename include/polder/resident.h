/* SPDX-License-Identifier: MIT */
/*
 * resident.h - what a resident kernel has besides polder.h: the machine that `polder boot` gives it. libpolder-resident
 * implements both.
 *
 * A kernel is a freestanding program with int main(void), called on vCPU 0 in ring 0; what main returns is the exit
 * status of `polder boot`. Everything that is linked into it is privileged. It runs with interrupts off, always; an
 * interrupt that comes while it runs waits for the next polder_run_sandbox or polder_idle.
 *
 * polder.h here, where it differs from a hosted program:
 *  - dest_fd -1 and "/proc/self/mm" are the kernel's own space. What is mapped there with POLDER_PRIVILEGED lies in the
 *    upper half (start must be NULL) and can be used by the kernel whatever space it ran last; what is mapped there
 *    without lies in the lower half, and the kernel and ring 3 of "/proc/self/mm" share it. With several vCPUs, one
 * that was running sandboxes of other spaces when the kernel's lower half got its first mapping can use that after its
 *    next run.
 *  - POLDER_PRIVILEGED in another space: a page of its lower half that its ring 3 cannot touch.
 *  - src_fd is a descriptor of this header, not of a file system.
 *  - Only "/proc/mm" and "/proc/self/mm" can be opened; other paths are ENOENT.
 *  - POLDER_SIGNAL means: an interrupt came; its vector is in params->vector (VECTOR_TIMER of abi.h). sigmask must be
 *    NULL (EINVAL).
 *  - struct polder_params must lie in the upper half (the kernel's image, its stack, privileged memory), or a run is
 *    EFAULT: registers are read and written while the sandbox's space is loaded.
 *  - polder_proceed is ENOSYS: the kernel itself is the one that carries out system calls.
 *  - polder_copy of "/proc/self/mm" is EINVAL, as everywhere.
 *  - ESTALE and EAGAIN do not occur. Memory that the machine does not have is ENOMEM; at a fault, where a run cannot go
 *    on for want of memory, polder_run_sandbox fails with ENOMEM and can be called again.
 * The kernel's code may not use FPU or vector registers (-mgeneral-regs-only): they hold the sandbox's state.
 *
 * Thread safety: any vCPU may call any function at any time, but in an interrupt handler of its own none.
 */
#ifndef POLDER_RESIDENT_H
#define POLDER_RESIDENT_H

#include <polder/polder.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel's own: called on vCPU 0. */
int main(void);

/* ---- The machine's description. */

/* The flattened device tree (Devicetree Specification 0.4, chapter 5); lives for ever. libfdt's functions use the stack
 * protector's canary at %fs:0x28: call them before the first polder_run_sandbox only. */
const void *polder_device_tree(void);
/* --append's argument, "" without one. */
const char *polder_bootargs(void);
/* The initrd, or NULL and *size 0. Readable, page-aligned, lives for ever. */
const void *polder_initrd(size_t *size);
/* Bytes of RAM that --memory allows, and what is in use: brought in and not free. */
uint64_t polder_memory_limit(void);
uint64_t polder_memory_used(void);

/* ---- Console: standard input and output of `polder boot`, the terminal in raw mode. */

/* All of it is written, or -1: EFAULT, EIO. One exit per 4096 bytes. */
ssize_t polder_console_write(const void *buf, size_t count);
/* At most 4096 bytes; 0 at the end of the input; -1 with EAGAIN if there is nothing yet. */
ssize_t polder_console_read(void *buf, size_t count);

/* ---- Files and memory to map: descriptors for src_fd. MAP_PRIVATE maps copy-on-write, MAP_SHARED the memory itself.
 */

/* The --file of that name. ENOENT. */
int polder_file_open(const char *name);
/* Zeroed memory of so many bytes, brought in page by page as it is touched. */
int polder_memory_create(uint64_t size);
/* Another size for such memory: what is cut off is zero if it comes back; who has mapped it gets POLDER_BUS there. */
int polder_memory_resize(int fd, uint64_t size);
/* Size in bytes of either. */
int64_t polder_file_size(int fd);
/*
 * The kernel's own pointer to the page that holds byte `offset` of either: 4096 bytes at a page boundary, valid as long
 * as the descriptor or a mapping of the page lives and it is not cut off. NULL: EINVAL (beyond the end), ENOMEM, EBADF.
 */
void *polder_file_page(int fd, uint64_t offset);

/* ---- Time. */

/* Nanoseconds: 0 monotonic, 1 since 1970-01-01 UTC. One exit. */
uint64_t polder_clock(int clock);
/* One shot, ns from now, on this vCPU; it ends a run with POLDER_SIGNAL and VECTOR_TIMER, and polder_idle. Replaces
 * what was set; UINT64_MAX takes it back. An expiry that meets neither a run nor polder_idle ends the next one of
 * either. */
void polder_timer(uint64_t ns);
/* Waits for the timer, for polder_cpu_wake, or with console for something to read (or the end of the input). May return
 * early. */
void polder_idle(bool console);

/* ---- The rest. */

/* How often KVM has left the guest on this vCPU, by its own count: two calls with nothing between differ by the one
 * exit that a call is. -1 with ENOSYS where KVM does not count. */
int64_t polder_exits(void);
/* count random bytes. */
void polder_random(void *buf, size_t count);
/* Ends the machine with this exit status (0 to 255). */
__attribute__((noreturn)) void polder_shutdown(int status);

/* How many vCPUs there are, and which one this is. */
uint32_t polder_cpu_count(void);
uint32_t polder_cpu(void);
/* Starts that vCPU in function(argument), on a stack of 16 KiB of its own; it must not return. EINVAL, EBUSY, ENOMEM.
 */
int polder_cpu_start(uint32_t cpu, void (*function)(void *), void *argument);
void polder_cpu_wake(uint32_t cpu);

#ifdef __cplusplus
}
#endif

#endif
