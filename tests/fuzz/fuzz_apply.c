/* SPDX-License-Identifier: MIT */
/*
 * Lists of operations on spaces, against an array of pages: what is mapped with which rights, and what its first word
 * is. The input is the operations: polder_apply and the single calls, copies, writes, files that change their size,
 * loads and stores of ring 3. Linked with soft_cpu.c it needs no KVM; with the whole library the CPU is a real one.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <polder/polder.h>

#include "soft_cpu.h"

#define PAGE 4096ull
#define CODE 0x10000ull
#define LEAD 16 /* pages before the first block of 2 MiB */
#define PAGES (LEAD + 2 * 512 + 16)
#define BASE (0x40000000ull - LEAD * PAGE)
#define SPACES 3
#define OBJECTS 24
#define FILES 2
#define FILE_PAGES 600
#define LIST_MAX 6
#define ACTIONS_MAX 64

#define RW (PROT_READ | PROT_WRITE)
#define ANY_ACCESS (PROT_READ | PROT_WRITE | PROT_EXEC)

/* A file, or shared memory without a name: the first word of each page. */
struct object {
    int fd; /* -1: none */
    bool writable;
    unsigned pages; /* that it has */
    uint64_t *words;
};

enum kind { NOTHING, ANONYMOUS, PRIVATE_FILE, SHARED };

struct page {
    uint8_t kind, prot;
    bool privileged;
    bool own; /* private: has been written */
    uint8_t object;
    uint16_t object_page;
    uint64_t word; /* if own */
};

struct space {
    int fd;
    struct page pages[PAGES];
};

static struct {
    struct input in;
    struct object objects[OBJECTS];
    unsigned object_count;
    struct space spaces[SPACES];
    unsigned space_count;
    bool seen[PAGES]; /* near an edge of an operation: looked at in the end */
    struct polder_params params;
} w;

/* ---------------------------------------------------------------- the model */

static bool beyond(const struct page *p)
{
    return p->kind != ANONYMOUS && !p->own && p->object_page >= w.objects[p->object].pages;
}

static uint64_t word_of(const struct page *p)
{
    if (p->own)
        return p->word;
    return p->kind == ANONYMOUS ? 0 : w.objects[p->object].words[p->object_page];
}

static void set_word(struct page *p, uint64_t word)
{
    if (p->kind == SHARED) {
        w.objects[p->object].words[p->object_page] = word;
    } else {
        p->own = true;
        p->word = word;
    }
}

static bool page_mapped(const struct space *s, unsigned page, unsigned count, bool all)
{
    unsigned mapped = 0;
    for (unsigned i = page; i < page + count; i++)
        mapped += s->pages[i].kind != NOTHING;
    return all ? mapped == count : mapped > 0;
}

/* ---------------------------------------------------------------- looking */

static void look_by_read(struct space *s, unsigned page)
{
    const struct page *p = &s->pages[page];
    uint64_t word = 0xbad;
    bool there = p->kind != NOTHING && !beyond(p);
    errno = 0;
    ssize_t n = polder_read(s->fd, &word, sizeof word, BASE + page * PAGE);
    CHECK(there ? n == sizeof word && word == word_of(p) : n == -1 && errno == EFAULT);
}

static uint32_t run(struct space *s, uint64_t program, unsigned page, uint64_t word)
{
    w.params.regs.rip = CODE + program;
    w.params.regs.rdi = BASE + page * PAGE;
    w.params.regs.rsi = word;
    CHECK(polder_run_sandbox(s->fd, &w.params) == 0);
    CHECK(w.params.reason == POLDER_SYSCALL || w.params.fault_addr == BASE + page * PAGE);
    return w.params.reason;
}

/* What ring 3 must find; true if it gets at the page. */
static bool found(const struct page *p, uint32_t reason, bool store)
{
    uint64_t error = 4 | (store ? 2 : 0);
    if (p->kind == NOTHING) {
        CHECK(reason == POLDER_PAGE_FAULT && w.params.error_code == error);
    } else if (p->privileged || !(p->prot & (store ? PROT_WRITE : ANY_ACCESS))) {
        CHECK(reason == POLDER_PAGE_FAULT && w.params.error_code == (error | 1));
    } else if (beyond(p)) {
        CHECK(reason == POLDER_BUS);
    } else {
        CHECK(reason == POLDER_SYSCALL);
        return true;
    }
    return false;
}

static void look_by_load(struct space *s, unsigned page)
{
    const struct page *p = &s->pages[page];
    if (found(p, run(s, SOFT_CPU_LOAD, page, 0), false))
        CHECK(w.params.regs.rbx == word_of(p));
}

static void store(struct space *s, unsigned page, uint64_t word)
{
    struct page *p = &s->pages[page];
    if (found(p, run(s, SOFT_CPU_STORE, page, word), true))
        set_word(p, word);
}

static void look_around(struct space *s, unsigned page)
{
    for (unsigned i = page ? page - 1 : 0; i <= page + 1 && i < PAGES; i++) {
        w.seen[i] = true;
        look_by_read(s, i);
    }
}

/* ---------------------------------------------------------------- numbers of the input */

static uint64_t number(unsigned bytes)
{
    return take(&w.in, bytes);
}

/* Most pages lie near an edge of a block. */
static unsigned some_page(void)
{
    static const unsigned from[] = {0, LEAD - 8, LEAD + 512 - 24, PAGES - 64};
    unsigned n = (unsigned)number(1);
    return from[n / 64] + n % 64;
}

static unsigned some_count(unsigned page)
{
    unsigned n = (unsigned)number(1), count = n < 192 ? 1 + n % 24 : n < 224 ? 512 : PAGES;
    return count < PAGES - page ? count : PAGES - page;
}

static int some_prot(void)
{
    static const int prots[] = {
        RW, PROT_READ, RW, PROT_NONE, PROT_READ | PROT_EXEC, RW | PROT_EXEC, PROT_WRITE, RW | POLDER_PRIVILEGED};
    return prots[number(1) % 8];
}

static struct space *some_space(void)
{
    return &w.spaces[number(1) % w.space_count];
}

/* ---------------------------------------------------------------- operations */

/* One operation of a list, and what it should do. */
struct expected {
    int error;
    unsigned page, count;
    struct page first; /* mmap: of the first page; those that follow have the next pages of the object */
    int prot;
};

static void map_op(struct space *s, struct polder_op *op, struct expected *e)
{
    unsigned kind = (unsigned)number(1), object = 0;
    bool replace = kind & 16;
    e->page = some_page();
    e->count = some_count(e->page);
    e->prot = some_prot();
    *op = (struct polder_op){.code = POLDER_OP_MMAP,
        .prot = e->prot,
        .start = (void *)(BASE + e->page * PAGE),
        .length = e->count * PAGE - (kind & 32 ? 100 : 0),
        .src_fd = -1};
    e->first = (struct page){.prot = e->prot & ANY_ACCESS, .privileged = e->prot & POLDER_PRIVILEGED};
    switch (kind % 4) {
    case 0:
        op->flags = MAP_PRIVATE | MAP_ANONYMOUS;
        e->first.kind = ANONYMOUS;
        break;
    case 1:
        if (w.object_count < OBJECTS) {
            op->flags = MAP_SHARED | MAP_ANONYMOUS;
            e->first.kind = SHARED;
            object = w.object_count;
            break;
        }
        /* fall through */
    case 2:
        op->flags = MAP_PRIVATE;
        e->first.kind = PRIVATE_FILE;
        break;
    case 3:
        op->flags = MAP_SHARED;
        e->first.kind = SHARED;
    }
    if (!(op->flags & MAP_ANONYMOUS)) {
        object = kind / 4 % FILES;
        e->first.object_page = (uint16_t)(number(2) % (FILE_PAGES + 16));
        op->src_fd = w.objects[object].fd;
        op->offset = e->first.object_page * (off_t)PAGE;
    }
    op->flags |= replace ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    e->first.object = (uint8_t)object;
    if (e->first.kind == SHARED && object < FILES && (e->prot & PROT_WRITE) && !w.objects[object].writable)
        e->error = EACCES;
    else if (!replace && page_mapped(s, e->page, e->count, false))
        e->error = EEXIST;
}

static void unmap_op(struct polder_op *op, struct expected *e)
{
    e->page = some_page();
    e->count = some_count(e->page);
    *op = (struct polder_op){
        .code = POLDER_OP_MUNMAP, .start = (void *)(BASE + e->page * PAGE), .length = e->count * PAGE};
}

static void protect_op(struct space *s, struct polder_op *op, struct expected *e)
{
    e->page = some_page();
    e->count = some_count(e->page);
    e->prot = some_prot();
    *op = (struct polder_op){.code = POLDER_OP_MPROTECT,
        .prot = e->prot,
        .start = (void *)(BASE + e->page * PAGE),
        .length = e->count * PAGE};
    if (!page_mapped(s, e->page, e->count, true)) {
        e->error = ENOMEM;
        return;
    }
    for (unsigned i = e->page; i < e->page + e->count; i++) {
        const struct page *p = &s->pages[i];
        if (p->kind == SHARED && (e->prot & PROT_WRITE) && !w.objects[p->object].writable)
            e->error = EACCES;
    }
}

static void mistake_op(struct polder_op *op, struct expected *e)
{
    static const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    static const struct {
        struct polder_op op;
        int error;
    } mistakes[] = {
        {{.code = POLDER_OP_MMAP, .flags = fixed, .start = (void *)BASE, .src_fd = -1}, EINVAL},
        {{.code = POLDER_OP_MMAP, .flags = fixed, .start = (void *)(BASE + 1), .length = PAGE, .src_fd = -1}, EINVAL},
        {{.code = POLDER_OP_MMAP, .flags = fixed, .length = PAGE, .src_fd = -1}, EPERM},
        {{.code = POLDER_OP_MMAP, .flags = fixed, .start = (void *)0x7ffffffff000, .length = PAGE}, ENOMEM},
        {{.code = POLDER_OP_MMAP, .flags = fixed, .start = (void *)BASE, .length = -PAGE}, ENOMEM},
        {{.code = POLDER_OP_MMAP, .flags = fixed, .start = (void *)BASE, .length = -1ul}, ENOMEM},
        {{.code = POLDER_OP_MMAP, .flags = MAP_SHARED | MAP_FIXED, .start = (void *)BASE, .length = PAGE, .src_fd = -1},
            EBADF},
        {{.code = POLDER_OP_MUNMAP, .start = (void *)BASE}, EINVAL},
        {{.code = POLDER_OP_MUNMAP, .start = (void *)(BASE + 8), .length = PAGE}, EINVAL},
        {{.code = POLDER_OP_MUNMAP, .start = (void *)BASE, .length = -PAGE}, EINVAL},
        {{.code = POLDER_OP_MPROTECT, .start = (void *)(BASE + 8), .length = PAGE}, EINVAL},
        {{.code = POLDER_OP_MPROTECT, .start = (void *)(BASE + PAGES * PAGE), .length = PAGE}, ENOMEM},
        {{.code = POLDER_OP_MPROTECT, .prot = 64, .start = (void *)BASE, .length = PAGE}, EINVAL},
        {{.code = 0, .start = (void *)BASE, .length = PAGE}, EINVAL},
        {{.code = 99, .start = (void *)BASE, .length = PAGE}, EINVAL},
    };
    size_t i = number(1) % (sizeof mistakes / sizeof mistakes[0]);
    *op = mistakes[i].op;
    e->error = mistakes[i].error;
    e->count = 1;
}

/* What an operation that succeeds does to the model. */
static void carry_out(struct space *s, const struct polder_op *op, const struct expected *e)
{
    if (op->code == POLDER_OP_MMAP && (op->flags & MAP_ANONYMOUS) && e->first.kind == SHARED) {
        struct object *o = &w.objects[w.object_count++];
        *o = (struct object){.fd = -1, .writable = true, .pages = e->count, .words = calloc(PAGES, 8)};
        CHECK(o->words);
    }
    for (unsigned i = 0; i < e->count; i++) {
        struct page *p = &s->pages[e->page + i];
        if (op->code == POLDER_OP_MPROTECT) {
            p->prot = e->prot & ANY_ACCESS;
            p->privileged = e->prot & POLDER_PRIVILEGED;
        } else {
            *p = e->first; /* munmap: all zero, NOTHING */
            p->object_page = (uint16_t)(p->object_page + i);
        }
    }
}

static int one_call(struct space *s, const struct polder_op *op)
{
    switch (op->code) {
    case POLDER_OP_MMAP:
        return polder_mmap(op->start, op->length, op->prot, op->flags, op->src_fd, op->offset, s->fd) == MAP_FAILED ? -1
                                                                                                                    : 0;
    case POLDER_OP_MUNMAP:
        return polder_munmap(op->start, op->length, s->fd);
    default:
        return polder_mprotect(op->start, op->length, op->prot, s->fd);
    }
}

/* An operation depends on those before it: each is carried out in the model as it is made, up to the first mistake. */
static void apply(struct space *s)
{
    struct polder_op ops[LIST_MAX];
    struct expected e = {0};
    unsigned wish = (unsigned)number(1), count = 1 + wish % LIST_MAX, made = 0, near[2 * LIST_MAX];
    while (made < count) {
        struct polder_op *op = &ops[made];
        e = (struct expected){0};
        unsigned code = (unsigned)number(1) % 16;
        if (code < 7)
            map_op(s, op, &e);
        else if (code < 10)
            unmap_op(op, &e);
        else if (code < 15)
            protect_op(s, op, &e);
        else
            mistake_op(op, &e);
        near[2 * made] = e.page;
        near[2 * made + 1] = e.page + e.count - 1;
        made++;
        if (e.error)
            break;
        carry_out(s, op, &e);
    }
    /* Those after a mistake are not begun: whatever they are. */
    unsigned given = made;
    while (given < count && wish & 64)
        ops[given++] = (struct polder_op){.code = POLDER_OP_MUNMAP, .start = (void *)BASE, .length = PAGES * PAGE};
    bool single = made == 1 && given == 1 && (wish & 128) && ops[0].code >= 1 && ops[0].code <= 3;
    errno = 0;
    int result = single ? one_call(s, &ops[0]) : polder_apply(s->fd, ops, given);
    CHECK(e.error ? result == -1 && errno == e.error : result == 0);
    for (unsigned i = 0; i < 2 * made; i++)
        look_around(s, near[i]);
}

/* ---------------------------------------------------------------- the other actions */

static void copy(struct space *s)
{
    if (w.space_count == SPACES)
        return;
    struct space *to = &w.spaces[w.space_count++];
    *to = *s;
    to->fd = polder_copy(s->fd);
    CHECK(to->fd >= 0);
}

static void drop(struct space *s)
{
    if (w.space_count == 1)
        return;
    close(s->fd);
    *s = w.spaces[--w.space_count];
}

/* A write from outside over several pages is short where one does not take it. */
static void write_pages(struct space *s)
{
    static uint64_t bytes[8 * PAGE / 8];
    unsigned page = some_page(), count = 1 + (unsigned)number(1) % 8, good = 0;
    uint64_t word = number(1) + 1;
    if (count > PAGES - page)
        count = PAGES - page;
    for (unsigned i = 0; i < count; i++)
        bytes[i * PAGE / 8] = word + i;
    for (; good < count; good++) {
        struct page *p = &s->pages[page + good];
        if (p->kind == NOTHING || !(p->prot & PROT_WRITE) || beyond(p))
            break;
        set_word(p, word + good);
    }
    errno = 0;
    ssize_t n = polder_write(s->fd, bytes, count * PAGE, BASE + page * PAGE);
    CHECK(good ? n == (ssize_t)(good * PAGE) : n == -1 && errno == EFAULT);
    look_around(s, page);
}

static void change_file(void)
{
    struct object *o = &w.objects[number(1) % FILES];
    unsigned page = (unsigned)number(2) % FILE_PAGES;
    uint64_t word = number(1);
    if (!o->writable)
        return; /* its descriptor cannot change it */
    if (word & 1) {
        unsigned old = o->pages;
        CHECK(ftruncate(o->fd, page * (off_t)PAGE) == 0);
        o->pages = page;
        if (page < old)
            memset(o->words + page, 0, (old - page) * 8);
    } else if (page < o->pages) {
        CHECK(pwrite(o->fd, &word, sizeof word, page * (off_t)PAGE) == sizeof word);
        o->words[page] = word;
    }
}

/* ---------------------------------------------------------------- worlds */

static void open_files(void)
{
    static uint64_t words[FILES][FILE_PAGES + 16 + PAGES];
    static int fds[FILES] = {-1, -1}, behind = -1;
    if (fds[0] < 0) {
        char path[32];
        fds[0] = memfd_create("fuzz", MFD_CLOEXEC);
        behind = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", behind);
        fds[1] = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fds[0] >= 0 && fds[1] >= 0);
    }
    memset(words, 0, sizeof words);
    for (unsigned i = 0; i < FILES; i++) {
        int fd = i ? behind : fds[0];
        CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, FILE_PAGES * (off_t)PAGE) == 0);
        for (uint64_t page = 0; page < FILE_PAGES; page += page < 4 ? 1 : 127) {
            words[i][page] = 1000 * (i + 1) + page;
            CHECK(pwrite(fd, &words[i][page], 8, (off_t)(page * PAGE)) == 8);
        }
        w.objects[i] = (struct object){.fd = fds[i], .writable = !i, .pages = FILE_PAGES, .words = words[i]};
    }
    w.object_count = FILES;
}

static void open_space(void)
{
    static const char code[32] = {[SOFT_CPU_LOAD] = '\x48',
        '\x8b',
        '\x1f',
        '\x0f',
        '\x05',
        [SOFT_CPU_STORE] = '\x48',
        '\x89',
        '\x37',
        '\x0f',
        '\x05'};
    struct space *s = &w.spaces[0];
    memset(s->pages, 0, sizeof s->pages);
    s->fd = polder_open("/proc/mm");
    if (s->fd < 0) {
        perror("polder_open");
        exit(77);
    }
    w.space_count = 1;
    CHECK(polder_mmap((void *)CODE, PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, s->fd) ==
          (void *)CODE);
    CHECK(polder_write(s->fd, code, sizeof code, CODE) == sizeof code);
}

static void act(void)
{
    unsigned action = (unsigned)number(1) % 16;
    struct space *s = some_space();
    unsigned page;
    if (action < 7)
        apply(s);
    else if (action == 7)
        copy(s);
    else if (action == 8)
        drop(s);
    else if (action == 9)
        change_file();
    else if (action == 10)
        write_pages(s);
    else {
        page = some_page();
        if (action < 14)
            store(s, page, number(1) + 7);
        else
            look_by_load(s, page);
        look_around(s, page);
    }
}

const unsigned fuzz_mutations = 5000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    w.in = (struct input){data, size};
    polder_params_init(&w.params);
    memset(w.seen, 0, sizeof w.seen);
    open_files();
    open_space();
    for (unsigned i = 0; i < ACTIONS_MAX && w.in.left; i++)
        act();
    for (unsigned i = 0; i < w.space_count; i++) {
        for (unsigned page = 0; page < PAGES; page++) {
            if (w.seen[page]) {
                look_by_load(&w.spaces[i], page);
                store(&w.spaces[i], page, page + i);
                look_by_load(&w.spaces[i], page);
                look_by_read(&w.spaces[i], page);
            }
        }
    }
    for (unsigned i = 0; i < w.space_count; i++)
        close(w.spaces[i].fd);
    for (unsigned i = FILES; i < w.object_count; i++)
        free(w.objects[i].words);
    polder_params_fini(&w.params);
    return 0;
}
