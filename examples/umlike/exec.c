/* SPDX-License-Identifier: MIT */
/* exec: static ELF files and scripts. A program's text is mapped from its file: nothing is copied. */
#include "umlike.h"

#define STACK_SIZE (8ull << 20)
/* A little above a boundary of 2 MiB: most programs then touch one page table's first entries, and fork copies that. */
#define STACK_TOP (0x7fffffc00000 + 32 * PAGE)
#define STACK_GUARD (1ull << 20)
#define PIE_BASE 0x555555554000ull
#define SEGMENTS_MAX 16
#define STRINGS_MAX (128u << 10)
#define VECTOR_MAX 8192u
#define SCRIPTS_MAX 4
#define AUXV_WORDS 36

/*
 * The new program's arguments, gathered before the old one goes: strings one after another, argv's first. There is one
 * kernel stack and exec does not wait, so one of these will do.
 */
static struct {
    char strings[STRINGS_MAX];
    uint32_t used;
    uint32_t argc, envc;
    uint32_t offset[VECTOR_MAX]; /* of each string */
} args;

static struct {
    uint64_t word[VECTOR_MAX + AUXV_WORDS + 3];
    uint32_t count;
} stack;

/* ---------------------------------------------------------------- arguments */

static int64_t next_slot(void)
{
    return args.argc + args.envc < VECTOR_MAX ? (int64_t)(args.argc + args.envc) : -E2BIG;
}

static int add_string(const char *string)
{
    int64_t slot = next_slot();
    size_t size = strlen(string) + 1;
    if (slot < 0 || size > STRINGS_MAX - args.used)
        return -E2BIG;
    args.offset[slot] = args.used;
    memcpy(args.strings + args.used, string, size);
    args.used += (uint32_t)size;
    return 0;
}

static int add_strings_in(struct process *p, uint64_t vector, uint32_t *count)
{
    uint64_t pointers[32];
    for (;;) {
        /* As many as there are to be had: the vector may end at the end of memory. */
        ssize_t got = polder_read(p->space->fd, pointers, sizeof pointers, vector) / (ssize_t)sizeof *pointers;
        if (got <= 0)
            return -EFAULT;
        vector += (uint64_t)got * sizeof *pointers;
        for (ssize_t i = 0; i < got; i++) {
            if (!pointers[i])
                return 0;
            int64_t slot = next_slot();
            if (slot < 0)
                return (int)slot;
            int64_t length = string_in(p, args.strings + args.used, pointers[i], STRINGS_MAX - args.used);
            if (length < 0)
                return length == -ENAMETOOLONG ? -E2BIG : (int)length;
            args.offset[slot] = args.used;
            args.used += (uint32_t)length + 1;
            ++*count;
        }
    }
}

/* A script's interpreter, its argument if there is one, and the script itself take the place of argv[0]. */
static int prepend(const char *interpreter, const char *argument, const char *script)
{
    const char *head[3] = {interpreter, argument ? argument : script, script};
    uint32_t added = argument ? 3 : 2, removed = args.argc ? 1 : 0, rest = args.argc + args.envc - removed;
    uint32_t size = 0, cut = removed ? (uint32_t)strlen(args.strings) + 1 : 0;
    for (uint32_t i = 0; i < added; i++)
        size += (uint32_t)strlen(head[i]) + 1;
    if (rest + added > VECTOR_MAX || args.used - cut + size > STRINGS_MAX)
        return -E2BIG;
    memmove(args.strings + size, args.strings + cut, args.used - cut);
    memmove(args.offset + added, args.offset + removed, rest * sizeof *args.offset);
    for (uint32_t i = added; i < added + rest; i++)
        args.offset[i] += size - cut;
    args.used += size - cut;
    for (uint32_t i = 0, at = 0; i < added; i++) {
        args.offset[i] = at;
        at += (uint32_t)string_copy(args.strings + at, head[i], size) + 1;
    }
    args.argc += added - removed;
    return 0;
}

/* ---------------------------------------------------------------- the file */

struct program {
    struct elf_header header;
    struct elf_segment segments[SEGMENTS_MAX];
    uint64_t bias, end; /* of what is mapped */
    uint64_t phdr;      /* where the program headers are in memory */
    bool stack_exec;
};

static int read_program(struct inode *inode, struct program *program)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1};
    struct elf_header *h = &program->header;
    if (data_read(inode, h, sizeof *h, 0) != (int64_t)sizeof *h || memcmp(h->ident, ident, sizeof ident))
        return -ENOEXEC;
    if (h->machine != EM_X86_64 || (h->type != ET_EXEC && h->type != ET_DYN) ||
        h->phentsize != sizeof(struct elf_segment) || h->phnum == 0 || h->phnum > SEGMENTS_MAX)
        return -ENOEXEC;
    int64_t size = (int64_t)(h->phnum * sizeof(struct elf_segment));
    return data_read(inode, program->segments, (size_t)size, h->phoff) == size ? 0 : -ENOEXEC;
}

static int segment_prot(const struct elf_segment *s)
{
    return (s->flags & PF_R ? PROT_READ : 0) | (s->flags & PF_W ? PROT_WRITE : 0) | (s->flags & PF_X ? PROT_EXEC : 0);
}

static int map(int space, uint64_t start, uint64_t length, int prot, int fd, uint64_t offset)
{
    int flags = MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0);
    return polder_mmap((void *)start, length, prot, flags, fd, (off_t)offset, space) == MAP_FAILED ? -errno : 0;
}

/* Of the page where the file's bytes end, the rest is .bss. */
static int clear(int space, uint64_t start, uint64_t end)
{
    static const char zeros[PAGE];
    return polder_write(space, zeros, end - start, start) == (ssize_t)(end - start) ? 0 : -ENOMEM;
}

static int load_segment(struct space *space, struct inode *inode, struct program *program, const struct elf_segment *s)
{
    uint64_t start = s->vaddr + program->bias, file_end = start + s->filesz, end = start + s->memsz;
    uint64_t page = start & ~(PAGE - 1), shift = start - page;
    int prot = segment_prot(s), error = 0;
    if (s->filesz > s->memsz || s->memsz > USER_END || s->vaddr >= USER_END ||
        end > STACK_TOP - STACK_SIZE - STACK_GUARD || s->offset > inode->size || s->filesz > inode->size - s->offset ||
        (s->offset & (PAGE - 1)) != shift)
        return -ENOEXEC;
    if (s->filesz)
        error = map(space->fd, page, file_end - page, prot, inode->data.fd, s->offset - shift);
    uint64_t anonymous = s->filesz ? page_up(file_end) : page;
    if (!error && s->filesz && end > file_end && (prot & PROT_WRITE) && file_end < anonymous)
        error = clear(space->fd, file_end, min_u64(anonymous, end));
    if (!error && end > anonymous)
        error = map(space->fd, anonymous, end - anonymous, prot, -1, 0);
    const struct elf_header *h = &program->header;
    if (h->phoff >= s->offset && h->phoff < s->offset + s->filesz)
        program->phdr = start + (h->phoff - s->offset);
    if (page_up(end) > program->end)
        program->end = page_up(end);
    return error;
}

static int load(struct space *space, struct inode *inode, struct program *program)
{
    program->bias = program->header.type == ET_DYN ? PIE_BASE : 0;
    for (unsigned i = 0; i < program->header.phnum; i++) {
        const struct elf_segment *s = &program->segments[i];
        int error = 0;
        if (s->type == PT_INTERP)
            return -ENOEXEC; /* dynamically linked */
        if (s->type == PT_GNU_STACK)
            program->stack_exec = s->flags & PF_X;
        if (s->type == PT_LOAD)
            error = load_segment(space, inode, program, s);
        if (error)
            return error;
    }
    space->brk_start = space->brk = program->end;
    space->exe = inode_hold(inode);
    return program->end ? 0 : -ENOEXEC;
}

/* ---------------------------------------------------------------- the stack */

static void push(uint64_t word)
{
    stack.word[stack.count++] = word;
}

static void push_pair(uint64_t a, uint64_t b)
{
    push(a);
    push(b);
}

static void push_auxv(const struct program *program, uint64_t random, uint64_t platform, uint64_t execfn)
{
    push_pair(AT_PHDR, program->phdr);
    push_pair(AT_PHENT, sizeof(struct elf_segment));
    push_pair(AT_PHNUM, program->header.phnum);
    push_pair(AT_PAGESZ, PAGE);
    push_pair(AT_BASE, 0);
    push_pair(AT_FLAGS, 0);
    push_pair(AT_ENTRY, program->header.entry + program->bias);
    push_pair(AT_UID, 0);
    push_pair(AT_EUID, 0);
    push_pair(AT_GID, 0);
    push_pair(AT_EGID, 0);
    push_pair(AT_SECURE, 0);
    push_pair(AT_CLKTCK, 100);
    push_pair(AT_RANDOM, random);
    push_pair(AT_PLATFORM, platform);
    push_pair(AT_EXECFN, execfn);
    push_pair(AT_NULL, 0);
}

/* At the top the strings and what else is pointed at, below them the vectors. */
static int make_stack(struct space *space, const struct program *program, const char *name, uint64_t *sp)
{
    struct {
        uint64_t random[2];
        char platform[8];
    } extra = {.platform = "x86_64"};
    uint32_t name_size = (uint32_t)strlen(name) + 1, last = args.argc ? args.offset[args.argc - 1] : 0;
    if (name_size > STRINGS_MAX - args.used)
        return -E2BIG;
    int prot = PROT_READ | PROT_WRITE | (program->stack_exec ? PROT_EXEC : 0);
    int error = map(space->fd, STACK_TOP - STACK_SIZE, STACK_SIZE, prot, -1, 0);
    error = error ? error : map(space->fd, STACK_TOP - STACK_SIZE - STACK_GUARD, STACK_GUARD, PROT_NONE, -1, 0);
    if (error)
        return error;
    random_bytes(extra.random, sizeof extra.random);
    uint32_t name_offset = args.used, used = args.used + name_size;
    memcpy(args.strings + name_offset, name, name_size);
    uint64_t strings = STACK_TOP - used, at = (strings - sizeof extra) & ~15ull;
    stack.count = 0;
    push(args.argc);
    for (uint32_t i = 0; i < args.argc; i++)
        push(strings + args.offset[i]);
    push(0);
    for (uint32_t i = 0; i < args.envc; i++)
        push(strings + args.offset[args.argc + i]);
    push(0);
    push_auxv(program, at, at + offsetof(typeof(extra), platform), strings + name_offset);
    size_t size = stack.count * sizeof *stack.word;
    *sp = (at - size) & ~15ull;
    space->arguments = strings;
    space->arguments_end = strings + (args.argc ? last + strlen(args.strings + last) + 1 : 0);
    if (polder_write(space->fd, stack.word, size, *sp) != (ssize_t)size ||
        polder_write(space->fd, &extra, sizeof extra, at) != (ssize_t)sizeof extra ||
        polder_write(space->fd, args.strings, used, strings) != (ssize_t)used)
        return -ENOMEM;
    return 0;
}

/* ---------------------------------------------------------------- execve */

static void start(struct process *p, struct space *space, const struct program *program, uint64_t sp, const char *name)
{
    struct space *old = p->space;
    p->space = space;
    vfork_done(p);
    space_put(old);
    /* A fresh context, so that the FPU is as after a reset. */
    polder_params_fini(&p->params);
    polder_params_init(&p->params);
    p->params.regs.rip = program->header.entry + program->bias;
    p->params.regs.rsp = sp;
    signals_exec(p);
    if (p->files)
        files_exec(p->files);
    const char *base = name;
    for (const char *s = name; *s; s++) {
        if (*s == '/')
            base = s + 1;
    }
    string_copy(p->name, base, sizeof p->name);
}

static int exec_elf(struct process *p, struct inode *inode, const char *name)
{
    struct program program = {0};
    uint64_t sp;
    int error = read_program(inode, &program);
    if (error)
        return error;
    struct space *space = space_new();
    if (!space)
        return -ENOMEM;
    error = load(space, inode, &program);
    error = error ? error : make_stack(space, &program, name, &sp);
    if (error)
        space_put(space);
    else
        start(p, space, &program, sp, name);
    return error;
}

/* "#!interpreter argument": false if the line is no such thing. It is cut up in place. */
static bool parse_script(char *line, char **interpreter, char **argument)
{
    if (line[0] != '#' || line[1] != '!')
        return false;
    char *at = line + 2, *end = at;
    while (*end && *end != '\n')
        end++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    while (*at == ' ' || *at == '\t')
        at++;
    *interpreter = at;
    while (*at && *at != ' ' && *at != '\t')
        at++;
    *argument = NULL;
    if (*at) {
        *at++ = 0;
        while (*at == ' ' || *at == '\t')
            at++;
        *argument = at;
    }
    return **interpreter;
}

static int exec_inode(struct process *p, struct inode *inode, const char *name, unsigned depth)
{
    char line[256] = "", *interpreter, *argument;
    if (!is_type(inode, S_IFREG) || !(inode->mode & 0111))
        return -EACCES;
    if (inode->ops != &regular_ops)
        return -EACCES;
    data_read(inode, line, sizeof line - 1, 0);
    if (!parse_script(line, &interpreter, &argument))
        return exec_elf(p, inode, name);
    if (depth == SCRIPTS_MAX)
        return -ELOOP;
    int error = prepend(interpreter, argument, name);
    struct path path;
    error = error ? error : path_walk(p, p->cwd, interpreter, WALK_FOLLOW, &path);
    if (error)
        return error;
    error = exec_inode(p, path.inode, interpreter, depth + 1);
    path_done(&path);
    return error;
}

static int exec_path(struct process *p, const char *name)
{
    struct path path;
    int error = path_walk(p, p->cwd, name, WALK_FOLLOW, &path);
    if (error)
        return error;
    error = exec_inode(p, path.inode, name, 0);
    path_done(&path);
    return error;
}

HANDLER(execve)
{
    char name[PATH_MAX];
    int64_t error = string_in(p, name, r->rdi, sizeof name);
    args.used = args.argc = args.envc = 0;
    if (error >= 0 && r->rsi)
        error = add_strings_in(p, r->rsi, &args.argc);
    if (error >= 0 && r->rdx)
        error = add_strings_in(p, r->rdx, &args.envc);
    return error < 0 ? error : exec_path(p, name);
}

int exec_first(struct process *p, const char *path, const char *const *argv, const char *const *envp)
{
    args.used = args.argc = args.envc = 0;
    for (; *argv; argv++, args.argc++) {
        if (add_string(*argv))
            return -E2BIG;
    }
    for (; *envp; envp++, args.envc++) {
        if (add_string(*envp))
            return -E2BIG;
    }
    return exec_path(p, path);
}
