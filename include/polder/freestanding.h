/* SPDX-License-Identifier: MIT */
/*
 * freestanding.h - the little of the C library that polder.h speaks of, for kernels that have none (-ffreestanding).
 * polder.h includes it; values are those of Linux on x86-64. What a kernel has defined before, it keeps.
 */
#ifndef POLDER_FREESTANDING_H
#define POLDER_FREESTANDING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef long ssize_t;
typedef long off_t;
#ifndef __sigset_t_defined /* headers of a C library that a library's headers have dragged in */
#define __sigset_t_defined 1
typedef struct {
    unsigned long bits[16];
} sigset_t;
#endif

#ifndef _SYS_USER_H
/* As PTRACE_GETREGS lays it out (Linux, arch/x86/include/uapi: struct user_regs_struct). */
struct user_regs_struct {
    unsigned long long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs,
        eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};
#endif

#ifndef PROT_READ
#define PROT_NONE 0x0
#define PROT_READ 0x1
#define PROT_WRITE 0x2
#define PROT_EXEC 0x4
#endif

#ifndef MAP_SHARED
#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MAP_SHARED_VALIDATE 0x03
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000
#define MAP_FIXED_NOREPLACE 0x100000
#define MAP_FAILED ((void *)-1)
#endif

#ifndef EPERM
#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EINTR 4
#define EIO 5
#define ENXIO 6
#define E2BIG 7
#define ENOEXEC 8
#define EBADF 9
#define ECHILD 10
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define EXDEV 18
#define ENODEV 19
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define ENFILE 23
#define EMFILE 24
#define ENOTTY 25
#define EFBIG 27
#define ENOSPC 28
#define ESPIPE 29
#define EROFS 30
#define EMLINK 31
#define EPIPE 32
#define EDOM 33
#define ERANGE 34
#define EDEADLK 35
#define ENAMETOOLONG 36
#define ENOSYS 38
#define ENOTEMPTY 39
#define ELOOP 40
#define EOVERFLOW 75
#define ETIMEDOUT 110
#define ESTALE 116
#endif

/* One per vCPU. */
int *polder_errno(void);
#ifndef errno
#define errno (*polder_errno())
#endif

/* close(2) and dup(2) of polder's descriptors. EBADF, EMFILE. */
int polder_close(int fd);
int polder_dup(int fd);
static inline int close(int fd)
{
    return polder_close(fd);
}
static inline int dup(int fd)
{
    return polder_dup(fd);
}

/* What the compiler calls by itself. In libpolder-resident. */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#ifdef __cplusplus
}
#endif

#endif
