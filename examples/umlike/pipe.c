/* SPDX-License-Identifier: MIT */
/* pipe: 64 KiB in pages that are taken as they are needed. A message goes through with two copies and no exit. */
#include "umlike.h"

#define PIPE_PAGES 16u
#define PIPE_SIZE (PIPE_PAGES * PAGE)

struct pipe {
    uint64_t head, tail; /* bytes ever read and written, since it was last empty */
    uint32_t readers, writers;
    struct queue wants_data, wants_room;
    char *page[PIPE_PAGES];
};

static char *at_position(struct pipe *pipe, uint64_t position)
{
    char **page = &pipe->page[position / PAGE % PIPE_PAGES];
    if (!*page)
        *page = page_alloc();
    return *page ? *page + position % PAGE : NULL;
}

static int64_t pipe_read(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    struct pipe *pipe = f->inode->pipe;
    uint64_t available = pipe->tail - pipe->head, done = 0;
    (void)offset;
    if (!available) {
        if (!pipe->writers || !count)
            return 0;
        return f->flags & O_NONBLOCK ? -EAGAIN : wait_on(p, &pipe->wants_data, 0);
    }
    count = min_u64(count, available);
    while (done < count) {
        uint64_t part = min_u64(count - done, PAGE - pipe->head % PAGE);
        ssize_t n = polder_write(p->space->fd, at_position(pipe, pipe->head), part, at + done);
        if (n <= 0) {
            if (!done)
                return n ? -errno : -EFAULT;
            break;
        }
        done += (uint64_t)n;
        pipe->head += (uint64_t)n;
    }
    if (pipe->head == pipe->tail) /* from the first page again, which the cache knows */
        pipe->head = pipe->tail = 0;
    queue_wake(&pipe->wants_room);
    return (int64_t)done;
}

static int64_t pipe_write(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    struct pipe *pipe = f->inode->pipe;
    uint64_t room = PIPE_SIZE - (pipe->tail - pipe->head), done = 0;
    (void)offset;
    if (!pipe->readers) {
        signal_send(p, SIGPIPE, (struct signal_info){.code = SI_USER, .pid = p->pid});
        return -EPIPE;
    }
    if (!room || (count <= PIPE_BUF && room < count)) /* what is short goes in as a whole */
        return f->flags & O_NONBLOCK ? -EAGAIN : wait_on(p, &pipe->wants_room, 0);
    count = min_u64(count, room);
    while (done < count) {
        uint64_t part = min_u64(count - done, PAGE - pipe->tail % PAGE);
        char *to = at_position(pipe, pipe->tail);
        ssize_t n = to ? polder_read(p->space->fd, to, part, at + done) : -1;
        if (n <= 0) {
            if (!done)
                return to && n < 0 ? -errno : to ? -EFAULT : -ENOMEM;
            break;
        }
        done += (uint64_t)n;
        pipe->tail += (uint64_t)n;
    }
    queue_wake(&pipe->wants_data);
    return (int64_t)done;
}

static unsigned pipe_poll(struct process *p, struct file *f)
{
    struct pipe *pipe = f->inode->pipe;
    unsigned mode = f->flags & O_ACCMODE, events = 0;
    (void)p;
    if (mode != O_WRONLY)
        events |= (pipe->tail != pipe->head ? POLLIN : 0) | (pipe->writers ? 0 : POLLHUP);
    if (mode != O_RDONLY)
        events |= (PIPE_SIZE - (pipe->tail - pipe->head) >= PIPE_BUF ? POLLOUT : 0) | (pipe->readers ? 0 : POLLERR);
    return events;
}

static int64_t pipe_ioctl(struct process *p, struct file *f, unsigned request, uint64_t argument)
{
    int32_t available = (int32_t)(f->inode->pipe->tail - f->inode->pipe->head);
    return request == FIONREAD ? copy_out(p, argument, &available, sizeof available) : -ENOTTY;
}

/* Also of one that is open already, through /proc. */
static int pipe_open(struct process *p, struct file *f)
{
    struct inode *inode = f->inode;
    unsigned mode = f->flags & O_ACCMODE;
    (void)p;
    if (!inode->pipe)
        inode->pipe = kalloc(sizeof *inode->pipe);
    if (!inode->pipe)
        return -ENOMEM;
    inode->pipe->readers += mode != O_WRONLY;
    inode->pipe->writers += mode != O_RDONLY;
    return 0;
}

static void pipe_release(struct file *f)
{
    struct pipe *pipe = f->inode->pipe;
    unsigned mode = f->flags & O_ACCMODE;
    if (!pipe)
        return;
    pipe->readers -= mode != O_WRONLY;
    pipe->writers -= mode != O_RDONLY;
    queue_wake(&pipe->wants_data);
    queue_wake(&pipe->wants_room);
    if (pipe->readers || pipe->writers)
        return;
    for (unsigned i = 0; i < PIPE_PAGES; i++)
        page_free(pipe->page[i]);
    kfree(pipe, sizeof *pipe);
    f->inode->pipe = NULL;
}

static const struct file_ops pipe_ops = {.read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .open = pipe_open,
    .release = pipe_release};

static int install_pair(struct process *p, struct inode *inode, uint32_t flags, int32_t fd[2])
{
    struct file *ends[2];
    int error = open_inode(p, inode, (flags & O_NONBLOCK) | O_RDONLY, &ends[0]);
    if (error)
        return error;
    error = open_inode(p, inode, (flags & O_NONBLOCK) | O_WRONLY, &ends[1]);
    if (error) {
        file_put(ends[0]);
        return error;
    }
    fd[0] = fd_install(p, ends[0], 0, flags & O_CLOEXEC);
    if (fd[0] < 0) {
        file_put(ends[1]);
        return fd[0];
    }
    fd[1] = fd_install(p, ends[1], 0, flags & O_CLOEXEC);
    if (fd[1] < 0)
        fd_close(p, (uint32_t)fd[0]);
    return fd[1] < 0 ? fd[1] : 0;
}

HANDLER(pipe2)
{
    int32_t fd[2];
    if (r->rsi & ~(uint64_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    struct inode *inode = inode_new(S_IFIFO | 0600, &pipe_ops);
    if (!inode)
        return -ENOMEM;
    int error = install_pair(p, inode, (uint32_t)r->rsi, fd);
    inode_put(inode);
    if (!error && (error = copy_out(p, r->rdi, fd, sizeof fd))) {
        fd_close(p, (uint32_t)fd[0]);
        fd_close(p, (uint32_t)fd[1]);
    }
    return error;
}

HANDLER(pipe)
{
    registers without_flags = {.rdi = r->rdi};
    return sys_pipe2(p, &without_flags);
}
