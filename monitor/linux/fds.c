/* SPDX-License-Identifier: MIT */
#include "linux/fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/linux.h"

/* The monitor's descriptors are among base .. base + WINDOW - 1. */
#define WINDOW 128
/*
 * Base is the program's limit, which it cannot go beyond natively either, but no more than this: to get there, every
 * lower number has to be taken once, and that is time.
 */
#define HIGHEST_BASE 4096
/* What the monitor needs at least. */
#define FEWEST 24

static struct {
    int base; /* 0: not decided yet */
    bool hidden[WINDOW];
    /* Of those that have no name in any folder (memfd_create, pipe), what fstat says; else 0. */
    dev_t dev[WINDOW];
    ino_t ino[WINDOW];
    bool inherited[WINDOW];    /* open in the window before the monitor opened anything: the program's */
    bool filler[HIGHEST_BASE]; /* occupied only so that others get high numbers */
    struct rlimit limit;       /* to be restored */
} fds;

/* Calls f for each open descriptor; -errno if they cannot be listed. */
static int each_fd(void (*f)(int fd))
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(dir))
            f(fd);
    }
    closedir(dir);
    return 0;
}

static bool in_window(int fd)
{
    return fds.base != 0 && fd >= fds.base && fd < fds.base + WINDOW;
}

static void note_inherited(int fd)
{
    if (in_window(fd) && !fds.hidden[fd - fds.base])
        fds.inherited[fd - fds.base] = true;
}

static void note_hidden(int fd)
{
    struct stat st;
    if (!in_window(fd) || fds.inherited[fd - fds.base] || fstat(fd, &st) != 0)
        return;
    fds.hidden[fd - fds.base] = true;
    if ((S_ISREG(st.st_mode) && st.st_nlink == 0) || S_ISFIFO(st.st_mode)) {
        fds.dev[fd - fds.base] = st.st_dev;
        fds.ino[fd - fds.base] = st.st_ino;
    }
}

/* What the program has inherited too (a copy of standard error, say) is no secret. */
static void note_shared(int fd)
{
    struct stat st;
    if (fds_hidden(fd) || fstat(fd, &st) != 0)
        return;
    for (int i = 0; i < WINDOW; i++)
        if (fds.ino[i] == st.st_ino && fds.dev[i] == st.st_dev)
            fds.ino[i] = 0;
}

/* Decides where the window is and lifts the limit over it until fds_end. */
static int make_window(void)
{
    if (fds.base != 0)
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &fds.limit) != 0)
        return -errno;
    rlim_t base = fds.limit.rlim_cur < HIGHEST_BASE ? fds.limit.rlim_cur : HIGHEST_BASE;
    struct rlimit lifted = fds.limit;
    if (lifted.rlim_cur < base + WINDOW)
        lifted.rlim_cur = base + WINDOW;
    if (lifted.rlim_max < lifted.rlim_cur)
        lifted.rlim_max = lifted.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &lifted) != 0) {
        /* The hard limit is in the way: the program has to do with a few less. */
        lifted.rlim_max = fds.limit.rlim_max;
        if (lifted.rlim_cur > lifted.rlim_max)
            lifted.rlim_cur = lifted.rlim_max;
        if (lifted.rlim_cur < base + FEWEST)
            base = lifted.rlim_cur > 2 * FEWEST ? lifted.rlim_cur - FEWEST : lifted.rlim_cur / 2;
        if (setrlimit(RLIMIT_NOFILE, &lifted) != 0)
            return -errno;
    }
    fds.base = (int)base;
    return each_fd(note_inherited);
}

int linux_hide_fd(int fd)
{
    int r = make_window();
    if (r != 0) {
        errno = -r;
        return -1;
    }
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, fds.base);
    if (moved < 0)
        return -1;
    if (fd > STDERR_FILENO)
        close(fd);
    note_hidden(moved);
    return moved;
}

int fds_begin(void)
{
    int r = make_window();
    if (r != 0)
        return r;
    /* open(2) gives the lowest free number, so every lower one is taken first. */
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int source = fd;
    while (fd < fds.base) {
        fds.filler[fd] = true;
        fd = fcntl(source, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
    }
    close(fd);
    return 0;
}

int fds_end(void)
{
    for (int fd = 0; fd < fds.base; fd++) {
        int end = fd;
        while (end < fds.base && fds.filler[end])
            fds.filler[end++] = false;
        if (end > fd && syscall(SYS_close_range, fd, end - 1, 0) != 0)
            while (end > fd)
                close(--end); /* before Linux 5.9 */
    }
    int r = each_fd(note_hidden);
    if (r == 0)
        r = each_fd(note_shared);
    setrlimit(RLIMIT_NOFILE, &fds.limit);
    return r;
}

bool fds_hidden(int fd)
{
    return in_window(fd) && fds.hidden[fd - fds.base];
}

#define A(n) (1u << (n))

/* Which arguments of a system call are descriptors. A call that is not here has none. */
static const uint8_t fd_args[] = {
    [SYS_read] = A(0),
    [SYS_write] = A(0),
    [SYS_close] = A(0),
    [SYS_fstat] = A(0),
    [SYS_lseek] = A(0),
    [SYS_ioctl] = A(0),
    [SYS_pread64] = A(0),
    [SYS_pwrite64] = A(0),
    [SYS_readv] = A(0),
    [SYS_writev] = A(0),
    [SYS_dup] = A(0),
    [SYS_dup2] = A(0) | A(1),
    [SYS_sendfile] = A(0) | A(1),
    [SYS_connect] = A(0),
    [SYS_accept] = A(0),
    [SYS_sendto] = A(0),
    [SYS_recvfrom] = A(0),
    [SYS_sendmsg] = A(0),
    [SYS_recvmsg] = A(0),
    [SYS_shutdown] = A(0),
    [SYS_bind] = A(0),
    [SYS_listen] = A(0),
    [SYS_getsockname] = A(0),
    [SYS_getpeername] = A(0),
    [SYS_setsockopt] = A(0),
    [SYS_getsockopt] = A(0),
    [SYS_fcntl] = A(0),
    [SYS_flock] = A(0),
    [SYS_fsync] = A(0),
    [SYS_fdatasync] = A(0),
    [SYS_ftruncate] = A(0),
    [SYS_getdents] = A(0),
    [SYS_fchdir] = A(0),
    [SYS_fchmod] = A(0),
    [SYS_fchown] = A(0),
    [SYS_fstatfs] = A(0),
    [SYS_readahead] = A(0),
    [SYS_fsetxattr] = A(0),
    [SYS_fgetxattr] = A(0),
    [SYS_flistxattr] = A(0),
    [SYS_fremovexattr] = A(0),
    [SYS_getdents64] = A(0),
    [SYS_fadvise64] = A(0),
    [SYS_epoll_wait] = A(0),
    [SYS_epoll_ctl] = A(0) | A(2),
    [SYS_mq_timedsend] = A(0),
    [SYS_mq_timedreceive] = A(0),
    [SYS_mq_notify] = A(0),
    [SYS_mq_getsetattr] = A(0),
    [SYS_inotify_add_watch] = A(0),
    [SYS_inotify_rm_watch] = A(0),
    [SYS_openat] = A(0),
    [SYS_mkdirat] = A(0),
    [SYS_mknodat] = A(0),
    [SYS_fchownat] = A(0),
    [SYS_futimesat] = A(0),
    [SYS_newfstatat] = A(0),
    [SYS_unlinkat] = A(0),
    [SYS_renameat] = A(0) | A(2),
    [SYS_linkat] = A(0) | A(2),
    [SYS_symlinkat] = A(1),
    [SYS_readlinkat] = A(0),
    [SYS_fchmodat] = A(0),
    [SYS_faccessat] = A(0),
    [SYS_splice] = A(0) | A(2),
    [SYS_tee] = A(0) | A(1),
    [SYS_sync_file_range] = A(0),
    [SYS_vmsplice] = A(0),
    [SYS_utimensat] = A(0),
    [SYS_epoll_pwait] = A(0),
    [SYS_signalfd] = A(0),
    [SYS_fallocate] = A(0),
    [SYS_timerfd_settime] = A(0),
    [SYS_timerfd_gettime] = A(0),
    [SYS_accept4] = A(0),
    [SYS_signalfd4] = A(0),
    [SYS_dup3] = A(0) | A(1),
    [SYS_preadv] = A(0),
    [SYS_pwritev] = A(0),
    [SYS_recvmmsg] = A(0),
    [SYS_fanotify_mark] = A(0) | A(3),
    [SYS_name_to_handle_at] = A(0),
    [SYS_open_by_handle_at] = A(0),
    [SYS_syncfs] = A(0),
    [SYS_sendmmsg] = A(0),
    [SYS_setns] = A(0),
    [SYS_finit_module] = A(0),
    [SYS_renameat2] = A(0) | A(2),
    [SYS_execveat] = A(0),
    [SYS_copy_file_range] = A(0) | A(2),
    [SYS_preadv2] = A(0),
    [SYS_pwritev2] = A(0),
    [SYS_statx] = A(0),
    [SYS_pidfd_send_signal] = A(0),
    [SYS_open_tree] = A(0),
    [SYS_move_mount] = A(0) | A(2),
    [SYS_fsconfig] = A(0),
    [SYS_fsmount] = A(0),
    [SYS_fspick] = A(0),
    [SYS_openat2] = A(0),
    [SYS_pidfd_getfd] = A(0) | A(1),
    [SYS_faccessat2] = A(0),
    [SYS_epoll_pwait2] = A(0),
    [SYS_mount_setattr] = A(0),
    [SYS_quotactl_fd] = A(0),
};

bool fds_refuse(uint64_t number, const uint64_t args[6])
{
    if (number >= sizeof(fd_args))
        return false;
    for (unsigned mask = fd_args[number], i = 0; mask != 0; mask >>= 1, i++)
        if ((mask & 1) && fds_hidden((int)args[i]))
            return true;
    return false;
}

/* The first of the monitor's descriptors in [from, to], or -1. */
static int next_hidden(unsigned from, unsigned to)
{
    for (int i = 0; i < WINDOW; i++) {
        unsigned fd = (unsigned)(fds.base + i);
        if (fds.hidden[i] && fd >= from && fd <= to)
            return (int)fd;
    }
    return -1;
}

long fds_close_range(uint64_t first, uint64_t last, uint64_t flags)
{
    unsigned from = (unsigned)first, to = (unsigned)last;
    for (;;) {
        int hidden = next_hidden(from, to);
        unsigned end = hidden < 0 ? to : (unsigned)hidden - 1;
        /* An empty range is left out only next to a hidden one; if it is the program's own, the host refuses it. */
        if (hidden < 0 || end >= from)
            if (syscall(SYS_close_range, from, end, (unsigned)flags) != 0)
                return -errno;
        if (hidden < 0 || (unsigned)hidden == to)
            return 0;
        from = (unsigned)hidden + 1;
    }
}

static void close_if_marked(int fd)
{
    if (!fds_hidden(fd) && (fcntl(fd, F_GETFD) & FD_CLOEXEC))
        close(fd);
}

void fds_close_on_exec(void)
{
    each_fd(close_if_marked);
}

struct listed {
    uint64_t ino, off;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* The number that a directory entry's name is, or -1. */
static int number_of(const char *name)
{
    int n = 0;
    if (*name == '\0')
        return -1;
    for (; *name; name++) {
        if (*name < '0' || *name > '9' || n > 1000000)
            return -1;
        n = n * 10 + (*name - '0');
    }
    return n;
}

/* True if directory is .../fd or .../fdinfo of a process: only there does a number name a descriptor. */
static bool lists_descriptors(int directory)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    const char *last = strrchr(path, '/');
    return last && (strcmp(last, "/fd") == 0 || strcmp(last, "/fdinfo") == 0);
}

size_t fds_filter_listing(int directory, void *buf, size_t length)
{
    int known = -1;
    size_t at = 0;
    const size_t fixed = offsetof(struct listed, name); /* less than sizeof, which is padded */
    while (length - at > fixed) {
        struct listed *entry = (struct listed *)((char *)buf + at);
        size_t size = entry->length;
        if (size <= fixed || size > length - at || !memchr(entry->name, '\0', size - fixed))
            break;
        if (fds_hidden(number_of(entry->name))) {
            if (known < 0)
                known = lists_descriptors(directory);
            if (known) {
                memmove(entry, (char *)entry + size, length - at - size);
                length -= size;
                continue;
            }
        }
        at += size;
    }
    return length;
}

bool fds_same_file(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    for (int i = 0; i < WINDOW; i++)
        if (fds.hidden[i] && fds.ino[i] != 0 && fds.dev[i] == st.st_dev && fds.ino[i] == st.st_ino)
            return true;
    return false;
}
