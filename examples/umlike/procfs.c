/* SPDX-License-Identifier: MIT */
/* procfs: /proc, made up as it is asked for. A file's text is made when it is opened, and is a file like any other. */
#include "umlike.h"

#define PID_COOKIE 1000u

/* ---------------------------------------------------------------- texts */

static size_t fill_meminfo(struct inode *inode, char *page)
{
    uint64_t limit = polder_memory_limit(), used = polder_memory_used();
    (void)inode;
    return format(page, PAGE, "MemTotal: %lu kB\nMemFree: %lu kB\nMemAvailable: %lu kB\nMemUsed: %lu kB\n",
        limit / 1024, (limit - used) / 1024, (limit - used) / 1024, used / 1024);
}

static size_t fill_uptime(struct inode *inode, char *page)
{
    uint64_t hundredths = time_now() / 10000000;
    (void)inode;
    return format(page, PAGE, "%lu.%lu%lu 0.00\n", hundredths / 100, hundredths / 10 % 10, hundredths % 10);
}

static size_t fill_stat(struct inode *inode, char *page)
{
    uint64_t ticks = 0;
    (void)inode;
    for (struct process *p = all_processes; p; p = p->all_next)
        ticks += p->ticks;
    return format(page, PAGE, "cpu %lu 0 0 0 0 0 0 0 0 0\nbtime %lu\nprocesses %u\n", ticks,
        (time_wall() - time_coarse()) / 1000000000, process_count);
}

static size_t fill_mounts(struct inode *inode, char *page)
{
    (void)inode;
    return string_copy(page, "ramfs / ramfs rw 0 0\nproc /proc proc rw 0 0\n", PAGE);
}

static size_t fill_version(struct inode *inode, char *page)
{
    (void)inode;
    return string_copy(page, "Linux version 6.1.0-umlike (polder)\n", PAGE);
}

static char state_of(const struct process *p)
{
    return "RSTZ"[p->state];
}

static size_t fill_pid_stat(struct inode *inode, char *page)
{
    const struct process *p = process_find(inode->pid);
    if (!p)
        return 0;
    return format(page, PAGE,
        "%d (%s) %c %d %d %d 1281 %d 0 0 0 0 0 %lu 0 %lu 0 20 0 1 0 %lu 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 "
        "0 "
        "17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        p->pid, p->name, state_of(p), p->parent ? p->parent->pid : 0, p->group, p->session, tty_foreground, p->ticks,
        p->children_ticks, p->started / SLICE_NS);
}

static size_t fill_pid_status(struct inode *inode, char *page)
{
    const struct process *p = process_find(inode->pid);
    if (!p)
        return 0;
    return format(page, PAGE, "Name:\t%s\nState:\t%c\nPid:\t%d\nPPid:\t%d\nUid:\t0 0 0 0\nGid:\t0 0 0 0\nThreads:\t1\n",
        p->name, state_of(p), p->pid, p->parent ? p->parent->pid : 0);
}

static size_t fill_pid_cmdline(struct inode *inode, char *page)
{
    const struct process *p = process_find(inode->pid);
    if (!p || !p->space)
        return 0;
    size_t size = min_u64(p->space->arguments_end - p->space->arguments, PAGE);
    ssize_t n = size ? polder_read(p->space->fd, page, size, p->space->arguments) : 0;
    return n > 0 ? (size_t)n : 0;
}

static size_t fill_pid_comm(struct inode *inode, char *page)
{
    const struct process *p = process_find(inode->pid);
    return p ? format(page, PAGE, "%s\n", p->name) : 0;
}

struct text {
    const char *name;
    size_t (*fill)(struct inode *inode, char *page);
};

static const struct text texts[] = {{"meminfo", fill_meminfo}, {"uptime", fill_uptime}, {"stat", fill_stat},
    {"mounts", fill_mounts}, {"version", fill_version}};
static const struct text pid_texts[] = {
    {"stat", fill_pid_stat}, {"status", fill_pid_status}, {"cmdline", fill_pid_cmdline}, {"comm", fill_pid_comm}};
#define COUNT(array) (sizeof array / sizeof *array)

/* The file becomes one of the RAM file system, with this content and no name. */
static int text_open(struct process *p, struct file *f)
{
    struct inode *inode = inode_new(f->inode->mode, &regular_ops);
    char *page = page_alloc();
    (void)p;
    int64_t n = inode && page ? data_write(inode, page, f->inode->fill(f->inode, page), 0) : -ENOMEM;
    page_free(page);
    if (n < 0) {
        if (inode)
            inode_put(inode);
        return (int)n;
    }
    inode_put(f->inode);
    f->inode = inode;
    return 0;
}

static const struct file_ops text_ops = {.open = text_open};

static int new_text(
    const struct text *list, size_t count, const char *name, size_t length, int pid, struct inode **result)
{
    for (size_t i = 0; i < count; i++) {
        if (!string_is(list[i].name, name, length))
            continue;
        struct inode *inode = inode_new(S_IFREG | 0444, &text_ops);
        if (!inode)
            return -ENOMEM;
        inode->pid = pid;
        inode->fill = list[i].fill;
        *result = inode;
        return 0;
    }
    return -ENOENT;
}

static size_t list_text(const struct text *list, size_t count, uint64_t *cookie, char *name, uint8_t *type)
{
    size_t index = *cookie - 2;
    if (index >= count)
        return 0;
    ++*cookie;
    *type = S_IFREG >> 12;
    return string_copy(name, list[index].name, NAME_MAX);
}

/* ---------------------------------------------------------------- links to what a process has */

static int new_link_to(struct inode *to, struct inode **result)
{
    struct inode *inode = to ? inode_new_link("", 0) : NULL;
    if (!inode)
        return to ? -ENOMEM : -ENOENT;
    inode->link.to = inode_hold(to);
    *result = inode;
    return 0;
}

static int fd_find(struct process *p, struct inode *dir, const char *name, size_t length, struct inode **result)
{
    struct process *of = process_find(dir->pid);
    uint64_t number;
    (void)p;
    struct file *f = string_number(name, length, &number) && of && of->files ? file_get(of, number) : NULL;
    return new_link_to(f ? f->inode : NULL, result);
}

static size_t fd_next(struct inode *dir, uint64_t *cookie, char *name, uint8_t *type)
{
    const struct process *p = process_find(dir->pid);
    if (!p || !p->files)
        return 0;
    for (uint64_t fd = *cookie - 2; fd < p->files->end; fd++) {
        if (!p->files->file[fd])
            continue;
        *cookie = fd + 3;
        *type = S_IFLNK >> 12;
        return format(name, NAME_MAX, "%lu", fd);
    }
    return 0;
}

static const struct synthetic fd_dir = {fd_find, fd_next};

static int new_dir(const struct synthetic *synthetic, int pid, struct inode **result)
{
    struct inode *inode = inode_new(S_IFDIR | 0555, NULL);
    if (!inode)
        return -ENOMEM;
    inode->pid = pid;
    inode->dir.synthetic = synthetic;
    *result = inode;
    return 0;
}

static int pid_find(struct process *p, struct inode *dir, const char *name, size_t length, struct inode **result)
{
    struct process *of = process_find(dir->pid);
    (void)p;
    if (!of)
        return -ENOENT;
    if (string_is("exe", name, length))
        return new_link_to(of->space ? of->space->exe : NULL, result);
    if (string_is("cwd", name, length))
        return new_link_to(of->cwd, result);
    if (string_is("root", name, length))
        return new_link_to(root, result);
    if (string_is("fd", name, length))
        return new_dir(&fd_dir, dir->pid, result);
    return new_text(pid_texts, COUNT(pid_texts), name, length, dir->pid, result);
}

static size_t pid_next(struct inode *dir, uint64_t *cookie, char *name, uint8_t *type)
{
    (void)dir;
    return list_text(pid_texts, COUNT(pid_texts), cookie, name, type);
}

static const struct synthetic pid_dir = {pid_find, pid_next};

/* ---------------------------------------------------------------- /proc itself */

static int proc_find(struct process *p, struct inode *dir, const char *name, size_t length, struct inode **result)
{
    char number_text[16];
    uint64_t number;
    (void)dir;
    if (p && string_is("self", name, length)) {
        *result = inode_new_link(number_text, format(number_text, sizeof number_text, "%d", p->pid));
        return *result ? 0 : -ENOMEM;
    }
    if (string_number(name, length, &number))
        return process_find((int)number) ? new_dir(&pid_dir, (int)number, result) : -ENOENT;
    return new_text(texts, COUNT(texts), name, length, 0, result);
}

/* The texts, then the processes in the order of their numbers. */
static size_t proc_next(struct inode *dir, uint64_t *cookie, char *name, uint8_t *type)
{
    const struct process *best = NULL;
    (void)dir;
    if (*cookie < PID_COOKIE) {
        size_t length = list_text(texts, COUNT(texts), cookie, name, type);
        if (length)
            return length;
        *cookie = PID_COOKIE;
    }
    for (const struct process *p = all_processes; p; p = p->all_next) {
        if ((uint64_t)p->pid + PID_COOKIE > *cookie && (!best || p->pid < best->pid))
            best = p;
    }
    if (!best)
        return 0;
    *cookie = (uint64_t)best->pid + PID_COOKIE;
    *type = S_IFDIR >> 12;
    return format(name, NAME_MAX, "%d", best->pid);
}

int procfs_init(void)
{
    static const struct synthetic proc_dir = {proc_find, proc_next};
    struct inode *dir = dir_make(root, "proc", 0555);
    if (!dir)
        return -ENOMEM;
    dir->dir.synthetic = &proc_dir;
    return 0;
}
