/* SPDX-License-Identifier: MIT */
/* The library's own figures. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <math.h>
#include <polder/polder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096ul
#define CODE 0x10000000ul
#define STACK 0x20000000ul
#define PAGES_AT 0x40000000ul

enum { FILE_PAGES = 4096, BATCH = 1024 };

/* syscall, jmp back; ud2; a store to (rdi) and syscall. */
static const unsigned char call_code[] = {0x0f, 0x05, 0xeb, 0xfc};
static const unsigned char ud2_code[] = {0x0f, 0x0b};
static const unsigned char store_code[] = {0x48, 0x89, 0x37, 0x0f, 0x05};

struct hosted {
    int fd, second_fd, file;
    struct polder_params params, second;
    struct polder_op *ops;
};

static void run(int fd, struct polder_params *params, uint32_t reason)
{
    if (polder_run_sandbox(fd, params) != 0)
        bench_give_up("polder_run_sandbox: %s", strerror(errno));
    if (params->reason != reason)
        bench_give_up("reason %u instead of %u, vector %u", params->reason, reason, params->vector);
}

static void map(int fd, uint64_t at, size_t length, int prot, int flags, int file, off_t offset)
{
    if (polder_mmap((void *)at, length, prot, flags | MAP_FIXED, file, offset, fd) == MAP_FAILED)
        bench_give_up("polder_mmap: %s", strerror(errno));
}

static int code_file(const unsigned char *code, size_t size)
{
    int file = memfd_create("code", MFD_CLOEXEC);

    if (file < 0 || ftruncate(file, PAGE) != 0 || write(file, code, size) != (ssize_t)size)
        bench_give_up("memfd: %s", strerror(errno));
    return file;
}

static int new_space(int code)
{
    int fd = polder_open("/proc/mm");

    if (fd < 0)
        bench_give_up("polder_open: %s", strerror(errno));
    map(fd, CODE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, code, 0);
    map(fd, STACK, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return fd;
}

static void new_context(struct polder_params *params)
{
    polder_params_init(params);
    params->regs.rip = CODE;
    params->regs.rsp = STACK + PAGE;
}

static struct hosted *new_hosted(const unsigned char *code, size_t size)
{
    struct hosted *h = calloc(1, sizeof(*h));

    if (!h)
        bench_give_up("out of memory");
    int file = code_file(code, size);
    h->fd = new_space(file);
    h->second_fd = new_space(file);
    new_context(&h->params);
    new_context(&h->second);
    return h;
}

static void *setup_call(void)
{
    struct hosted *h = new_hosted(call_code, sizeof(call_code));

    run(h->fd, &h->params, POLDER_SYSCALL);
    return h;
}

static double call_round(void *state, long n)
{
    struct hosted *h = state;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        h->params.regs.rax = (uint64_t)i; /* the result of the last call, the number of the next */
        run(h->fd, &h->params, POLDER_SYSCALL);
    }
    return now_ns() - start;
}
const struct bench_case hosted_call = {"null system call, hosted", setup_call, call_round, 0};

static void *setup_call_xstate(void)
{
    struct hosted *h = setup_call();

    h->params.xstate_size = (polder_xstate_size() + 63) & ~63ul;
    h->params.xstate = aligned_alloc(64, h->params.xstate_size);
    if (!h->params.xstate)
        bench_give_up("out of memory");
    memset(h->params.xstate, 0, h->params.xstate_size);
    h->params.flags = POLDER_XSTATE_STORE;
    run(h->fd, &h->params, POLDER_SYSCALL);
    h->params.flags = POLDER_XSTATE_STORE | POLDER_XSTATE_LOAD;
    return h;
}
const struct bench_case hosted_call_xstate = {"the same, FPU state out and in", setup_call_xstate, call_round, 0};

static void *setup_exception(void)
{
    struct hosted *h = new_hosted(ud2_code, sizeof(ud2_code));

    run(h->fd, &h->params, POLDER_EXCEPTION);
    return h;
}

static double exception_round(void *state, long n)
{
    struct hosted *h = state;
    double start = now_ns();

    for (long i = 0; i < n; i++)
        run(h->fd, &h->params, POLDER_EXCEPTION);
    return now_ns() - start;
}
const struct bench_case hosted_exception = {"ud2, hosted", setup_exception, exception_round, 0};

/* A page fault that the caller serves: fault, polder_mmap of a page of a known file, entry, system call, munmap. */
static void *setup_fault(void)
{
    struct hosted *h = new_hosted(store_code, sizeof(store_code));

    h->file = memfd_create("bench", MFD_CLOEXEC);
    if (h->file < 0 || ftruncate(h->file, (off_t)(FILE_PAGES * PAGE)) != 0)
        bench_give_up("memfd: %s", strerror(errno));
    return h;
}

static double fault_round(void *state, long n)
{
    struct hosted *h = state;
    double took = 0;

    for (long i = 0; i < n; i++) {
        const long page = i % FILE_PAGES;
        h->params.regs.rip = CODE;
        h->params.regs.rdi = PAGES_AT + (uint64_t)page * PAGE;
        double start = now_ns();
        run(h->fd, &h->params, POLDER_PAGE_FAULT);
        map(h->fd, h->params.fault_addr, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, h->file,
            page * 7 % FILE_PAGES * 4096);
        run(h->fd, &h->params, POLDER_SYSCALL);
        took += now_ns() - start;
        if (page == FILE_PAGES - 1 || i == n - 1)
            polder_munmap((void *)PAGES_AT, FILE_PAGES * PAGE, h->fd);
    }
    return took;
}
const struct bench_case hosted_fault = {"fault, mapping of a page, system call, hosted", setup_fault, fault_round, 0};

static double contexts_round(void *state, long n)
{
    struct hosted *h = state;
    double start = now_ns();

    for (long i = 0; i < n; i++)
        run(h->fd, i & 1 ? &h->second : &h->params, POLDER_SYSCALL);
    return now_ns() - start;
}
const struct bench_case hosted_two_contexts = {
    "null system call, two contexts in turns", setup_call, contexts_round, 0};

static double spaces_round(void *state, long n)
{
    struct hosted *h = state;
    double start = now_ns();

    for (long i = 0; i < n; i++)
        run(i & 1 ? h->second_fd : h->fd, i & 1 ? &h->second : &h->params, POLDER_SYSCALL);
    return now_ns() - start;
}
const struct bench_case hosted_two_spaces = {"null system call, two spaces in turns", setup_call, spaces_round, 0};

/* ---- Mapping. The pages are of one file, which the monitor knows after the first time. */
static void *setup_map(void)
{
    struct hosted *h = setup_call();

    h->file = memfd_create("bench", MFD_CLOEXEC);
    if (h->file < 0 || ftruncate(h->file, (off_t)(FILE_PAGES * PAGE)) != 0)
        bench_give_up("memfd: %s", strerror(errno));
    h->ops = calloc(FILE_PAGES, sizeof(*h->ops));
    if (!h->ops)
        bench_give_up("out of memory");
    for (uint64_t i = 0; i < FILE_PAGES; i++)
        h->ops[i] = (struct polder_op){.code = POLDER_OP_MMAP,
            .prot = PROT_READ | PROT_WRITE,
            .flags = MAP_SHARED | MAP_FIXED,
            .src_fd = h->file,
            .start = (void *)(PAGES_AT + i * PAGE),
            .length = PAGE,
            .offset = (off_t)(i * 7 % FILE_PAGES * PAGE)};
    map(h->fd, PAGES_AT, FILE_PAGES * PAGE, PROT_READ, MAP_SHARED, h->file, 0);
    return h;
}

static void clear(struct hosted *h)
{
    if (polder_munmap((void *)PAGES_AT, FILE_PAGES * PAGE, h->fd) != 0)
        bench_give_up("polder_munmap: %s", strerror(errno));
    run(h->fd, &h->params, POLDER_SYSCALL); /* whatever is put off until the next entry is done */
}

static void map_some(struct hosted *h, long count, bool batch)
{
    if (batch) {
        for (long i = 0; i < count; i += BATCH)
            if (polder_apply(h->fd, h->ops + i, (size_t)(count - i < BATCH ? count - i : BATCH)) != 0)
                bench_give_up("polder_apply: %s", strerror(errno));
        return;
    }
    for (long i = 0; i < count; i++)
        map(h->fd, (uint64_t)h->ops[i].start, PAGE, h->ops[i].prot, MAP_SHARED, h->file, h->ops[i].offset);
}

/* Fresh: where nothing was. Not fresh: over mappings that are there; what that puts off until the entry is counted. */
static double map_pages(struct hosted *h, long n, bool batch, bool fresh)
{
    double took = 0;

    while (n > 0) {
        long some = n < FILE_PAGES ? n : FILE_PAGES;
        clear(h);
        if (!fresh)
            map_some(h, some, true);
        double start = now_ns();
        map_some(h, some, batch);
        if (!fresh)
            run(h->fd, &h->params, POLDER_SYSCALL);
        took += now_ns() - start;
        n -= some;
    }
    return took;
}

static double map_round(void *state, long n)
{
    return map_pages(state, n, false, true);
}

static double batch_round(void *state, long n)
{
    return map_pages(state, n, true, true);
}

static double replace_round(void *state, long n)
{
    return map_pages(state, n, false, false);
}

static double replace_batch_round(void *state, long n)
{
    return map_pages(state, n, true, false);
}

static double unmap_round(void *state, long n)
{
    struct hosted *h = state;
    double took = 0;

    while (n > 0) {
        long some = n < FILE_PAGES ? n : FILE_PAGES;
        clear(h);
        map_some(h, some, true);
        double start = now_ns();
        for (long i = 0; i < some; i++)
            if (polder_munmap(h->ops[i].start, PAGE, h->fd) != 0)
                bench_give_up("polder_munmap: %s", strerror(errno));
        run(h->fd, &h->params, POLDER_SYSCALL);
        took += now_ns() - start;
        n -= some;
    }
    return took;
}
const struct bench_case map_one_by_one = {"polder_mmap where nothing was", setup_map, map_round, 0};
const struct bench_case map_batch = {"polder_apply where nothing was, 1024 at a time", setup_map, batch_round, 0};
const struct bench_case replace_one_by_one = {"polder_mmap over a mapping, and one entry", setup_map, replace_round, 0};
const struct bench_case replace_batch = {
    "polder_apply over mappings, and one entry", setup_map, replace_batch_round, 0};
const struct bench_case unmap_one_by_one = {"polder_munmap, and one entry", setup_map, unmap_round, 0};

/* ---- Spaces. */
static double made_round(void *state, long n)
{
    (void)state;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        int fd = polder_open("/proc/mm");
        if (fd < 0)
            bench_give_up("polder_open: %s", strerror(errno));
        map(fd, PAGES_AT, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        close(fd);
    }
    return now_ns() - start;
}
const struct bench_case space_made = {"a space made, one page mapped, dropped", setup_call, made_round, 0};

static int used_code = -1;

static void *setup_used(void)
{
    used_code = code_file(call_code, sizeof(call_code));
    return setup_call();
}

static double used_round(void *state, long n)
{
    struct hosted *h = state;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        int fd = polder_open("/proc/mm");
        if (fd < 0)
            bench_give_up("polder_open: %s", strerror(errno));
        map(fd, CODE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, used_code, 0);
        h->params.regs.rip = CODE;
        run(fd, &h->params, POLDER_SYSCALL);
        close(fd);
    }
    return now_ns() - start;
}
const struct bench_case space_used = {"a space made, run in for one system call, dropped", setup_used, used_round, 0};

static void *setup_copied(void)
{
    struct hosted *h = new_hosted(store_code, sizeof(store_code));

    map(h->fd, PAGES_AT, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (uint64_t i = 0; i < 64; i++) {
        h->params.regs.rip = CODE;
        h->params.regs.rdi = PAGES_AT + i * PAGE;
        run(h->fd, &h->params, POLDER_SYSCALL);
    }
    return h;
}

static double copied_round(void *state, long n)
{
    struct hosted *h = state;
    double start = now_ns();

    for (long i = 0; i < n; i++) {
        int fd = polder_copy(h->fd);
        if (fd < 0)
            bench_give_up("polder_copy: %s", strerror(errno));
        h->params.regs.rip = CODE;
        h->params.regs.rdi = PAGES_AT;
        run(fd, &h->params, POLDER_SYSCALL);
        close(fd);
    }
    return now_ns() - start;
}
const struct bench_case space_copied = {"64 pages copied, one written to, dropped", setup_copied, copied_round, 0};

/* ---- Memory. */
static double resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long size, pages;

    if (!f || fscanf(f, "%lu %lu", &size, &pages) != 2)
        bench_give_up("/proc/self/statm: %s", strerror(errno));
    fclose(f);
    return (double)pages * 4;
}

enum { MANY = 1000 };

static double memory_of(bool used)
{
    struct rlimit limit;
    struct hosted *h = setup_used();
    double before = 0;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < 8 * MANY)
        bench_give_up("needs a limit of %d descriptors", 8 * MANY);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < 50 + MANY; i++) { /* the first few are for whatever is grown in steps */
        if (i == 50)
            before = resident();
        int fd = polder_open("/proc/mm");
        if (fd < 0)
            bench_give_up("space %d: %s", i, strerror(errno));
        if (used) {
            map(fd, CODE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, used_code, 0);
            h->params.regs.rip = CODE;
            run(fd, &h->params, POLDER_SYSCALL);
        } else {
            map(fd, PAGES_AT, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        }
    }
    return (resident() - before) / MANY;
}

double memory_of_a_space(void)
{
    return memory_of(false);
}

double memory_of_a_used_space(void)
{
    return memory_of(true);
}

/* ---- Exits, as KVM counts them: through the statistics of the vCPU, which is one of our descriptors. */
static uint64_t vcpu_exits(void)
{
    uint64_t total = 0;
    bool found = false;

    for (int fd = 0; fd < 1024; fd++) {
        char link[64], target[64];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = 0;
        if (strncmp(target, "anon_inode:kvm-vcpu", 19) != 0)
            continue;
        int stats = ioctl(fd, KVM_GET_STATS_FD, NULL);
        if (stats < 0)
            bench_give_up("KVM_GET_STATS_FD: %s", strerror(errno));
        struct kvm_stats_header header;
        if (pread(stats, &header, sizeof(header), 0) != sizeof(header))
            bench_give_up("statistics of KVM cannot be read");
        const size_t size = sizeof(struct kvm_stats_desc) + header.name_size;
        for (uint32_t i = 0; i < header.num_desc; i++) {
            char buf[512];
            struct kvm_stats_desc desc;
            if (size >= sizeof(buf) || pread(stats, buf, size, (off_t)(header.desc_offset + i * size)) != (ssize_t)size)
                bench_give_up("statistics of KVM cannot be read");
            buf[size] = 0;
            memcpy(&desc, buf, sizeof(desc));
            uint64_t value;
            if (strcmp(buf + sizeof(desc), "exits") != 0)
                continue;
            if (pread(stats, &value, sizeof(value), header.data_offset + desc.offset) != sizeof(value))
                bench_give_up("statistics of KVM cannot be read");
            total += value;
            found = true;
        }
        close(stats);
    }
    if (!found)
        bench_give_up("this KVM does not count exits");
    return total;
}

double exits_of_a_trap(void)
{
    const long n = 2000;
    struct hosted *h = setup_call();

    call_round(h, 100);
    uint64_t before = vcpu_exits();
    call_round(h, n);
    return (double)(vcpu_exits() - before) / (double)n;
}

void traps_to_be_counted(long n, void (*mark)(void))
{
    struct hosted *h = setup_call();

    for (int i = 0; i < 100; i++)
        run(h->fd, &h->params, POLDER_SYSCALL);
    mark();
    for (long i = 0; i < n; i++)
        run(h->fd, &h->params, POLDER_SYSCALL);
    mark();
}
