/* SPDX-License-Identifier: MIT */
/* api: the functions of polder.h, over descriptors. */
#include "arena.h"
#include "cpu.h"
#include "fd.h"
#include "file.h"
#include "machine.h"
#include "map_args.h"
#include "mm.h"
#include "own.h"
#include "run.h"

EXPORT int *polder_errno(void)
{
    return &this_cpu()->error_number;
}

static int fail(int error)
{
    errno = -error;
    return -1;
}

EXPORT int polder_open(const char *path)
{
    static const char fresh[] = "/proc/mm", own[] = "/proc/self/mm";
    struct mm *mm;
    size_t length = strlen(path) + 1;
    if (length == sizeof own && !memcmp(path, own, length)) {
        mm = mm_own();
        mm_hold(mm);
    } else if (length == sizeof fresh && !memcmp(path, fresh, length)) {
        int error = mm_new(&mm);
        if (error)
            return fail(error);
    } else {
        return fail(-ENOENT);
    }
    int fd = fd_new_mm(mm);
    if (fd < 0) {
        mm_drop(mm);
        return fail(fd);
    }
    return fd;
}

EXPORT int polder_close(int fd)
{
    int error = fd_close(fd);
    return error ? fail(error) : 0;
}

EXPORT int polder_dup(int fd)
{
    int copy = fd_dup(fd);
    return copy < 0 ? fail(copy) : copy;
}

/* ---------------------------------------------------------------- mapping */

static int find_destination(int dest_fd, struct mm **mm)
{
    if (dest_fd != -1)
        return fd_get_mm(dest_fd, mm);
    *mm = mm_own();
    mm_hold(*mm);
    return 0;
}

/* Privileged memory of the kernel's own lies in the upper half, where every space has it. */
static int map_privileged(const struct polder_op *op, struct file *file, uint64_t *result)
{
    if (op->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
        return -EINVAL;
    uint64_t size = page_up(op->length), offset = (uint64_t)op->offset;
    int error = map_check(0, op->length, op->flags, offset);
    if (error)
        return error;
    if (file && offset + size > page_up(file->size))
        return -ENXIO; /* the kernel must not fault on what it has mapped */
    if (file && (op->flags & MAP_SHARED) && (op->prot & PROT_WRITE) && !file->writable)
        return -EACCES;
    return arena_map(size, op->prot, file, offset, op->flags & MAP_SHARED, result);
}

static bool in_upper_half(const struct polder_op *op)
{
    return (uint64_t)op->start >> 63;
}

/* munmap and mprotect of such memory. */
static int change_privileged(const struct polder_op *op)
{
    uint64_t start = (uint64_t)op->start, size = page_up(op->length);
    if ((start & ~PAGE_MASK) || size == 0 || start + size < start || !arena_holds(start, start + size))
        return -EINVAL;
    if (op->code == POLDER_OP_MPROTECT)
        return prot_check(op->prot) ? arena_protect(start, start + size, op->prot) : -EINVAL;
    return arena_unmap(start, size);
}

static int map(struct mm_change *change, const struct polder_op *op, struct file *file, uint64_t *result)
{
    return mm_map(change, (uint64_t)op->start, op->length, op->prot, op->flags, file, (uint64_t)op->offset, result);
}

static int apply_one(struct mm_change *change, const struct polder_op *op, uint64_t *result)
{
    uint64_t start = (uint64_t)op->start;
    struct file *file = NULL;
    int error = 0;
    switch (op->code) {
    case POLDER_OP_MUNMAP:
        return mm_unmap(change, start, op->length);
    case POLDER_OP_MPROTECT:
        return mm_protect(change, start, op->length, op->prot);
    case POLDER_OP_MMAP:
        if (!(op->flags & MAP_ANONYMOUS))
            error = fd_get_file(op->src_fd, &file);
        if (!error)
            error = map(change, op, file, result);
        if (file)
            file_drop(file);
        return error;
    default:
        return -EINVAL;
    }
}

/* What concerns the upper half takes no space's lock. */
static int apply_privileged(const struct polder_op *op, uint64_t *result)
{
    struct file *file = NULL;
    if (op->code != POLDER_OP_MMAP)
        return change_privileged(op);
    int error = op->flags & MAP_ANONYMOUS ? 0 : fd_get_file(op->src_fd, &file);
    if (!error)
        error = map_privileged(op, file, result);
    if (file)
        file_drop(file);
    return error;
}

static bool is_privileged(const struct mm *mm, const struct polder_op *op)
{
    if (mm != mm_own())
        return false;
    if (op->code == POLDER_OP_MMAP)
        return (op->prot & POLDER_PRIVILEGED) && (!op->start || in_upper_half(op));
    return in_upper_half(op);
}

static int apply(int dest_fd, const struct polder_op *ops, size_t count, uint64_t *result)
{
    struct mm *mm;
    struct mm_change change;
    int error = find_destination(dest_fd, &mm);
    if (error)
        return error;
    bool begun = false;
    for (size_t i = 0; !error && i < count; i++) {
        if (is_privileged(mm, &ops[i])) {
            error = apply_privileged(&ops[i], result);
            continue;
        }
        if (!begun)
            mm_begin(mm, &change);
        begun = true;
        error = apply_one(&change, &ops[i], result);
    }
    if (begun)
        mm_finish(&change);
    if (begun && mm == mm_own()) /* another space may be loaded, and the kernel wants to use what it has mapped */
        cpu_load(this_cpu(), mm);
    mm_drop(mm);
    return error;
}

/* The common case without the detour over operations: a kernel maps a page at its fault. */
static int map_in(struct mm *mm, const struct polder_op *op, uint64_t *result)
{
    struct mm_change change;
    struct file *file = NULL;
    if (!(op->flags & MAP_ANONYMOUS)) {
        int error = fd_get_file(op->src_fd, &file);
        if (error)
            return error;
    }
    mm_begin(mm, &change);
    int error = map(&change, op, file, result);
    mm_finish(&change);
    if (file)
        file_drop(file);
    return error;
}

EXPORT void *polder_mmap(void *start, size_t length, int prot, int flags, int src_fd, off_t offset, int dest_fd)
{
    struct polder_op op = {POLDER_OP_MMAP, prot, flags, src_fd, start, length, offset};
    struct mm *mm;
    uint64_t result;
    int error = dest_fd == -1 ? 0 : fd_get_mm(dest_fd, &mm);
    if (!error && (dest_fd == -1 || mm == mm_own())) {
        error = apply(dest_fd, &op, 1, &result);
        if (dest_fd != -1)
            mm_drop(mm);
    } else if (!error) {
        error = map_in(mm, &op, &result);
        mm_drop(mm);
    }
    if (error) {
        fail(error);
        return MAP_FAILED;
    }
    return (void *)result;
}

EXPORT int polder_munmap(void *start, size_t length, int dest_fd)
{
    struct polder_op op = {.code = POLDER_OP_MUNMAP, .start = start, .length = length};
    int error = apply(dest_fd, &op, 1, NULL);
    return error ? fail(error) : 0;
}

EXPORT int polder_mprotect(void *start, size_t length, int prot, int dest_fd)
{
    struct polder_op op = {.code = POLDER_OP_MPROTECT, .prot = prot, .start = start, .length = length};
    int error = apply(dest_fd, &op, 1, NULL);
    return error ? fail(error) : 0;
}

EXPORT int polder_apply(int dest_fd, const struct polder_op *ops, size_t count)
{
    uint64_t ignored;
    if (count && !ops)
        return fail(-EFAULT);
    size_t good = 0;
    while (good < count && (ops[good].code != POLDER_OP_MMAP || (ops[good].flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))))
        good++;
    int error = apply(dest_fd, ops, good, &ignored);
    if (!error && good < count)
        error = -EINVAL;
    return error ? fail(error) : 0;
}

EXPORT int polder_copy(int mm_fd)
{
    struct mm *mm, *copy;
    int error = fd_get_mm(mm_fd, &mm);
    if (error)
        return fail(error);
    error = mm_copy(mm, &copy);
    mm_drop(mm);
    if (error)
        return fail(error);
    int fd = fd_new_mm(copy);
    if (fd < 0) {
        mm_drop(copy);
        return fail(fd);
    }
    return fd;
}

/* ---------------------------------------------------------------- running */

/* polder_run_sandbox, the long way (entry.S). */
int run_sandbox(int mm_fd, struct polder_params *params)
{
    struct mm *mm;
    int error = fd_get_mm(mm_fd, &mm);
    if (__builtin_expect(error != 0, 0))
        return fail(error);
    error = sandbox_run(mm, params);
    if (!error)
        sandbox_ready(mm_fd, mm, params);
    mm_drop(mm);
    return __builtin_expect(error != 0, 0) ? fail(error) : 0;
}

/* What came out when it went the short way, if it is no system call. Only one vCPU does: nobody closes the descriptor.
 */
int run_trapped(struct polder_params *params, unsigned what)
{
    struct cpu *cpu = this_cpu();
    int error;
    bool over = sandbox_trapped(cpu->ready_mm, params, what, &error);
    if (!over)
        return RUN_GOES_ON;
    return error ? fail(error) : 0;
}

EXPORT int polder_proceed(int mm_fd, struct polder_params *params)
{
    (void)mm_fd;
    (void)params;
    return fail(-ENOSYS);
}

EXPORT ssize_t polder_read(int mm_fd, void *buf, size_t count, uint64_t addr)
{
    struct mm *mm;
    ssize_t n = fd_get_mm(mm_fd, &mm);
    if (n)
        return fail((int)n);
    n = mm_read(mm, buf, count, addr);
    mm_drop(mm);
    return n < 0 ? fail((int)n) : n;
}

EXPORT ssize_t polder_write(int mm_fd, const void *buf, size_t count, uint64_t addr)
{
    struct mm *mm;
    ssize_t n = fd_get_mm(mm_fd, &mm);
    if (n)
        return fail((int)n);
    n = mm_write(mm, buf, count, addr);
    mm_drop(mm);
    return n < 0 ? fail((int)n) : n;
}

EXPORT int polder_kick(struct polder_params *params)
{
    sandbox_kick(params);
    return 0;
}

EXPORT void polder_params_init(struct polder_params *params)
{
    *params = (struct polder_params){0};
    params->regs.cs = GDT_USER_CODE;
    params->regs.ss = GDT_USER_DATA;
    params->regs.eflags = 0x202;
}

EXPORT void polder_params_fini(struct polder_params *params)
{
    sandbox_fini(params);
}

EXPORT size_t polder_xstate_size(void)
{
    return machine.xstate_size;
}

EXPORT int polder_set_allocator(const struct polder_allocator *allocator)
{
    int error = record_set_allocator(allocator);
    return error ? fail(error) : 0;
}
