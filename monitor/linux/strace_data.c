/* SPDX-License-Identifier: MIT */
/* What arguments point to. Everything is copied before it is looked at, and only as much as is shown. */
#include "strace.h"

#include <arpa/inet.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>

#define SHOWN 32 /* entries of an array that are shown */

struct kernel_sigaction {
    uint64_t handler, flags, restorer, mask;
};

struct kernel_winsize {
    unsigned short rows, columns, x, y;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many entries argument index has: before the call as many as the length says, after it as the result says. */
static uint64_t entries(struct strace *s, unsigned index)
{
    const struct arg *arg = &s->call.args[index];
    uint64_t count = call_length(&s->call, s->args, arg->len);
    if ((arg->flags & ARG_RESULT) && !s->entering) {
        count = s->result < 0 ? 0 : least(count, (uint64_t)s->result);
    }
    return count;
}

/* ---- Times. */

static void put_timespec_at(struct strace *s, const struct timespec *ts)
{
    put_f(s, "{tv_sec=%jd, tv_nsec=%jd}", (intmax_t)ts->tv_sec, (intmax_t)ts->tv_nsec);
}

static void put_timeval_at(struct strace *s, const struct timeval *tv)
{
    put_f(s, "{tv_sec=%jd, tv_usec=%jd}", (intmax_t)tv->tv_sec, (intmax_t)tv->tv_usec);
}

/* "1970-01-01T00:00:00+0000" with the fraction, as a comment. */
static void put_date(struct strace *s, time_t seconds, long nanoseconds)
{
    struct tm tm;
    char text[64];
    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm)) {
        put_f(s, " /* %s.%09ld+0000 */", text, nanoseconds);
    }
}

static void put_utime_timespec(struct strace *s, const struct timespec *ts)
{
    if (ts->tv_nsec == UTIME_NOW) {
        put(s, "UTIME_NOW");
    } else if (ts->tv_nsec == UTIME_OMIT) {
        put(s, "UTIME_OMIT");
    } else {
        put_timespec_at(s, ts);
        if (ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000) {
            put_date(s, ts->tv_sec, ts->tv_nsec);
        }
    }
}

static void put_itimerval(struct strace *s, const struct itimerval *it)
{
    put(s, "{it_interval=");
    put_timeval_at(s, &it->it_interval);
    put(s, ", it_value=");
    put_timeval_at(s, &it->it_value);
    put_char(s, '}');
}

static void put_itimerspec(struct strace *s, const struct itimerspec *it)
{
    put(s, "{it_interval=");
    put_timespec_at(s, &it->it_interval);
    put(s, ", it_value=");
    put_timespec_at(s, &it->it_value);
    put_char(s, '}');
}

/* ---- Files. */

static void put_stat(struct strace *s, const struct stat *st)
{
    put(s, "{st_mode=");
    put_file_mode(s, st->st_mode);
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
        put(s, ", st_rdev=");
        put_device(s, st->st_rdev);
    } else {
        put_f(s, ", st_size=%jd", (intmax_t)st->st_size);
    }
    put(s, ", ...}");
}

static void put_statx(struct strace *s, const struct statx *st)
{
    put(s, "{stx_mask=");
    put_named(s, ARG_STATX_MASK, st->stx_mask);
    put(s, ", stx_attributes=");
    put_statx_attributes(s, st->stx_attributes);
    put(s, ", stx_mode=");
    put_file_mode(s, st->stx_mode);
    put_f(s, ", stx_size=%ju, ...}", (uintmax_t)st->stx_size);
}

static void put_statfs(struct strace *s, const struct statfs *fs)
{
    put(s, "{f_type=");
    put_fs_type(s, (uint64_t)fs->f_type);
    put_f(s, ", f_bsize=%jd, f_blocks=%ju, f_bfree=%ju, f_bavail=%ju, f_files=%ju, f_ffree=%ju", (intmax_t)fs->f_bsize,
        (uintmax_t)fs->f_blocks, (uintmax_t)fs->f_bfree, (uintmax_t)fs->f_bavail, (uintmax_t)fs->f_files,
        (uintmax_t)fs->f_ffree);
    unsigned id[2];
    memcpy(id, &fs->f_fsid, sizeof(id));
    put_f(s, ", f_fsid={val=[%#x, %#x]}, f_namelen=%jd, f_frsize=%jd, f_flags=", id[0], id[1], (intmax_t)fs->f_namelen,
        (intmax_t)fs->f_frsize);
    put_statfs_flags(s, (uint64_t)fs->f_flags);
    put_char(s, '}');
}

static void put_flock(struct strace *s, const struct flock *lock)
{
    put(s, "{l_type=");
    put_lock_type(s, lock->l_type);
    put(s, ", l_whence=");
    put_named(s, ARG_WHENCE, (uint64_t)lock->l_whence);
    put_f(s, ", l_start=%jd, l_len=%jd", (intmax_t)lock->l_start, (intmax_t)lock->l_len);
    uint32_t command = (uint32_t)s->args[1];
    if (command == F_GETLK || command == F_OFD_GETLK) {
        put_f(s, ", l_pid=%d", lock->l_pid);
    }
    put_char(s, '}');
}

/* ---- Sockets. */

static bool put_sockaddr(struct strace *s, uint64_t address, uint64_t size)
{
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_nl nl;
        char bytes[128];
    } a;
    char text[INET6_ADDRSTRLEN];
    memset(&a, 0, sizeof(a));
    size = least(size, sizeof(a));
    if (size < sizeof(a.any.sa_family) || !fetch(s, &a, address, size)) {
        return false;
    }
    put(s, "{sa_family=");
    put_named(s, ARG_AF, a.any.sa_family);
    if (a.any.sa_family == AF_UNIX && size > 2) {
        size_t length = size - 2;
        if (a.un.sun_path[0]) {
            put(s, ", sun_path=");
            put_quoted(s, a.un.sun_path, strnlen(a.un.sun_path, length));
        } else {
            put(s, ", sun_path=@");
            put_quoted(s, a.un.sun_path + 1, length - 1);
        }
    } else if (a.any.sa_family == AF_INET && size >= sizeof(a.in)) {
        inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof(text));
        put_f(s, ", sin_port=htons(%u), sin_addr=inet_addr(\"%s\")", ntohs(a.in.sin_port), text);
    } else if (a.any.sa_family == AF_INET6 && size >= 24) {
        inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof(text));
        put_f(s, ", sin6_port=htons(%u), sin6_flowinfo=htonl(%u), inet_pton(AF_INET6, \"%s\", &sin6_addr)",
            ntohs(a.in6.sin6_port), ntohl(a.in6.sin6_flowinfo), text);
        put_f(s, ", sin6_scope_id=%u", a.in6.sin6_scope_id);
    } else if (a.any.sa_family == AF_NETLINK && size >= sizeof(a.nl)) {
        put_f(s, ", nl_pid=%u, nl_groups=%08x", a.nl.nl_pid, a.nl.nl_groups);
    } else if (size > 2) {
        put(s, ", sa_data=");
        put_quoted(s, a.any.sa_data, size - 2);
    }
    put_char(s, '}');
    return true;
}

/* left: bytes that were transferred, over all entries; UINT64_MAX shows each whole. */
static bool put_iovec(struct strace *s, uint64_t address, uint64_t count, uint64_t left, bool content)
{
    struct iovec {
        uint64_t base, length;
    } vec[SHOWN];
    uint64_t shown = least(count, SHOWN);
    if (!address || !fetch(s, vec, address, shown * sizeof(vec[0]))) {
        return false;
    }
    put_char(s, '[');
    for (uint64_t i = 0; i < shown; i++) {
        uint64_t size = least(vec[i].length, left);
        put(s, i ? ", {iov_base=" : "{iov_base=");
        if (content) {
            put_bytes(s, vec[i].base, size, false);
        } else {
            put_address(s, vec[i].base);
        }
        put_f(s, ", iov_len=%ju}", (uintmax_t)vec[i].length);
        left -= left == UINT64_MAX ? 0 : size;
    }
    put(s, shown < count ? ", ...]" : "]");
    return true;
}

static bool put_msghdr_at(struct strace *s, uint64_t address, uint64_t left)
{
    struct msghdr msg;
    if (!fetch(s, &msg, address, sizeof(msg))) {
        return false;
    }
    put(s, "{msg_name=");
    if (!msg.msg_name || !put_sockaddr(s, (uintptr_t)msg.msg_name, msg.msg_namelen)) {
        put_address(s, (uintptr_t)msg.msg_name);
    }
    put_f(s, ", msg_namelen=%d, msg_iov=", (int)msg.msg_namelen);
    if (!put_iovec(s, (uintptr_t)msg.msg_iov, msg.msg_iovlen, left, true)) {
        put_address(s, (uintptr_t)msg.msg_iov);
    }
    put_f(s, ", msg_iovlen=%ju", (uintmax_t)msg.msg_iovlen);
    if (msg.msg_controllen) {
        put(s, ", msg_control=");
        put_address(s, (uintptr_t)msg.msg_control);
    }
    put_f(s, ", msg_controllen=%ju, msg_flags=", (uintmax_t)msg.msg_controllen);
    put_named(s, ARG_MSG_FLAGS, (uint64_t)msg.msg_flags);
    put_char(s, '}');
    return true;
}

static bool put_mmsghdr(struct strace *s, unsigned index)
{
    uint64_t count = call_length(&s->call, s->args, s->call.args[index].len);
    bool received = s->call.args[index].flags & ARG_OUT;
    if (received) {
        count = s->result < 0 ? 0 : least(count, (uint64_t)s->result);
    }
    uint64_t shown = least(count, SHOWN);
    put_char(s, '[');
    for (uint64_t i = 0; i < shown; i++) {
        uint64_t at = s->args[index] + i * sizeof(struct mmsghdr);
        unsigned length = 0;
        fetch(s, &length, at + offsetof(struct mmsghdr, msg_len), sizeof(length));
        put(s, i ? ", {msg_hdr=" : "{msg_hdr=");
        if (!put_msghdr_at(s, at, received ? length : UINT64_MAX)) {
            put_address(s, at);
        }
        if (received) {
            put_f(s, ", msg_len=%u", length);
        }
        put_char(s, '}');
    }
    put(s, shown < count ? ", ...]" : "]");
    return true;
}

static bool put_sockopt_value(struct strace *s, unsigned index)
{
    uint64_t size = s->args[4];
    int value;
    uint32_t length;
    if (s->call.args[index].memory == MEM_SIZED) {
        if (!fetch(s, &length, size, sizeof(length))) {
            return false;
        }
        size = length;
    } else {
        size = (uint32_t)size;
    }
    if (size != sizeof(value)) {
        put_bytes(s, s->args[index], size, false);
        return true;
    }
    if (!fetch(s, &value, s->args[index], sizeof(value))) {
        return false;
    }
    const char *name =
        value > 0 && (uint32_t)s->args[1] == SOL_SOCKET && (uint32_t)s->args[2] == SO_ERROR ? errno_name(value) : NULL;
    if (name) {
        put_f(s, "[%s]", name);
    } else {
        put_f(s, "[%d]", value);
    }
    return true;
}

/* ---- Descriptors. */

static bool put_pollfds(struct strace *s, unsigned index)
{
    struct pollfd fds[SHOWN];
    uint64_t count = call_length(&s->call, s->args, s->call.args[index].len), shown = least(count, SHOWN);
    if (!fetch(s, fds, s->args[index], shown * sizeof(fds[0]))) {
        return false;
    }
    put_char(s, '[');
    for (uint64_t i = 0; i < shown; i++) {
        put_f(s, "%s{fd=%d, events=", i ? ", " : "", fds[i].fd);
        put_poll_events(s, (unsigned short)fds[i].events);
        put_char(s, '}');
    }
    put(s, shown < count ? ", ...]" : "]");
    return true;
}

static bool put_fdset(struct strace *s, uint64_t address, uint64_t count)
{
    uint64_t bits[16]; /* 1024 descriptors, as many as a fd_set has */
    int limit = (int)count;
    if (limit < 0 || limit > 1024) {
        return false;
    }
    if (!fetch(s, bits, address, ((uint64_t)limit + 63) / 64 * 8)) {
        return false;
    }
    put_char(s, '[');
    bool first = true;
    for (int fd = 0; fd < limit; fd++) {
        if (bits[fd / 64] >> (fd % 64) & 1) {
            put_f(s, "%s%d", first ? "" : " ", fd);
            first = false;
        }
    }
    put_char(s, ']');
    return true;
}

static bool put_epoll_array(struct strace *s, uint64_t address, uint64_t count, bool brackets)
{
    struct epoll_event events[SHOWN];
    uint64_t shown = least(count, SHOWN);
    if (!fetch(s, events, address, shown * sizeof(events[0]))) {
        return false;
    }
    put(s, brackets ? "[" : "");
    for (uint64_t i = 0; i < shown; i++) {
        put(s, i ? ", {events=" : "{events=");
        put_epoll_events(s, events[i].events);
        uint64_t data = events[i].data.u64;
        put_f(s, ", data={u32=%u, u64=%ju}}", (uint32_t)data, (uintmax_t)data);
    }
    put(s, shown < count ? ", ..." : "");
    put(s, brackets ? "]" : "");
    return true;
}

/* Which descriptors poll found. */
static void put_polled(struct strace *s)
{
    struct pollfd fds[SHOWN];
    uint64_t shown = least(call_length(&s->call, s->args, 1), SHOWN);
    bool first = true;
    if (!fetch(s, fds, s->args[0], shown * sizeof(fds[0]))) {
        return;
    }
    put(s, " ([");
    for (uint64_t i = 0; i < shown; i++) {
        if (fds[i].revents) {
            put_f(s, "%s{fd=%d, revents=", first ? "" : ", ", fds[i].fd);
            put_poll_events(s, (unsigned short)fds[i].revents);
            put_char(s, '}');
            first = false;
        }
    }
    put_char(s, ']');
}

static void put_left(struct strace *s, unsigned index)
{
    int64_t left[2];
    if (s->args[index] && fetch(s, left, s->args[index], sizeof(left))) {
        put_f(s, ", left {tv_sec=%jd, tv_%s=%jd}", (intmax_t)left[0],
            s->call.args[index].kind == ARG_TIMEVAL ? "usec" : "nsec", (intmax_t)left[1]);
    }
}

static void put_selected(struct strace *s)
{
    static const char *const names[] = {"in ", "out ", "except "};
    bool first = true;
    put(s, " (");
    for (unsigned i = 0; i < 3; i++) {
        uint64_t bits[16] = {0}, any = 0;
        uint64_t limit = least((uint32_t)s->args[0], 1024);
        if (!s->args[1 + i] || !fetch(s, bits, s->args[1 + i], (limit + 63) / 64 * 8)) {
            continue;
        }
        for (unsigned word = 0; word < 16; word++) {
            any |= bits[word];
        }
        if (any) {
            put(s, first ? "" : ", ");
            put(s, names[i]);
            put_fdset(s, s->args[1 + i], limit);
            first = false;
        }
    }
}

void put_ready(struct strace *s)
{
    switch (s->call.args[0].kind == ARG_POLLFDS ? ARG_POLLFDS : s->call.args[1].kind) {
    case ARG_POLLFDS:
        if (s->result > 0) {
            put_polled(s);
            if (s->call.args[2].kind == ARG_TIMESPEC) {
                put_left(s, 2);
            }
            put_char(s, ')');
        } else if (s->result == 0) {
            put(s, " (Timeout)");
        }
        return;
    case ARG_FDSET:
        if (s->result > 0) {
            put_selected(s);
            put_left(s, 4);
            put_char(s, ')');
        } else if (s->result == 0) {
            put(s, " (Timeout)");
        }
        return;
    default:
        return;
    }
}

/* ---- Programs. */

size_t count_pointers(struct strace *s, uint64_t address, bool *known)
{
    uint64_t pointer;
    size_t count = 0;
    *known = false;
    while (count < 65536 && fetch(s, &pointer, address + count * sizeof(pointer), sizeof(pointer))) {
        if (!pointer) {
            *known = true;
            break;
        }
        count++;
    }
    return count;
}

void put_argv(struct strace *s, uint64_t address)
{
    uint64_t pointer;
    if (!address || !fetch(s, &pointer, address, sizeof(pointer))) {
        put_address(s, address);
        return;
    }
    put_char(s, '[');
    for (unsigned i = 0; pointer; i++) {
        put(s, i ? ", " : "");
        if (i == SHOWN) {
            put(s, "...");
            break;
        }
        put_string(s, pointer, false);
        address += sizeof(pointer);
        if (!fetch(s, &pointer, address, sizeof(pointer))) {
            put(s, ", ");
            put_f(s, "... /* %#" PRIx64 " */", address);
            break;
        }
    }
    put_char(s, ']');
}

static void put_envp(struct strace *s, uint64_t address)
{
    bool known;
    size_t count = count_pointers(s, address, &known);
    put_address(s, address);
    if (address) {
        put_f(s, " /* %zu var%s%s */", count, count == 1 ? "" : "s", known ? "" : ", unterminated");
    }
}

static void put_wait_status(struct strace *s, int status)
{
    if (WIFEXITED(status)) {
        put_f(s, "[{WIFEXITED(s) && WEXITSTATUS(s) == %d}]", WEXITSTATUS(status));
    } else if (WIFSTOPPED(status)) {
        put(s, "[{WIFSTOPPED(s) && WSTOPSIG(s) == ");
        put_signal(s, (uint64_t)WSTOPSIG(status));
        put(s, "}]");
    } else if (WIFCONTINUED(status)) {
        put(s, "[{WIFCONTINUED(s)}]");
    } else {
        put(s, "[{WIFSIGNALED(s) && WTERMSIG(s) == ");
        put_signal(s, (uint64_t)WTERMSIG(status));
        put(s, WCOREDUMP(status) ? " && WCOREDUMP(s)}]" : "}]");
    }
}

static void put_handler(struct strace *s, uint64_t handler)
{
    if (handler == (uintptr_t)SIG_DFL) {
        put(s, "SIG_DFL");
    } else if (handler == (uintptr_t)SIG_IGN) {
        put(s, "SIG_IGN");
    } else {
        put_address(s, handler);
    }
}

static void put_sigaction(struct strace *s, const struct kernel_sigaction *action)
{
    put(s, "{sa_handler=");
    put_handler(s, action->handler);
    put(s, ", sa_mask=");
    put_sigset(s, action->mask);
    put(s, ", sa_flags=");
    put_sa_flags(s, action->flags);
    if (action->flags & 0x04000000) {
        put(s, ", sa_restorer=");
        put_address(s, action->restorer);
    }
    put_char(s, '}');
}

static void put_limit(struct strace *s, uint64_t limit)
{
    if (limit == UINT64_MAX) {
        put(s, "RLIM64_INFINITY");
    } else if (limit > 1024 && limit % 1024 == 0) {
        put_f(s, "%ju*1024", (uintmax_t)limit / 1024);
    } else {
        put_f(s, "%ju", (uintmax_t)limit);
    }
}

static void put_termios(struct strace *s, const struct termios *t)
{
    put_char(s, '{');
    put_baud(s, t->c_cflag);
    put(s, t->c_oflag & OPOST ? " opost" : " -opost");
    put(s, t->c_lflag & ISIG ? " isig" : " -isig");
    put(s, t->c_lflag & ICANON ? " icanon" : " -icanon");
    put(s, t->c_lflag & ECHO ? " echo" : " -echo");
    put(s, " ...}");
}

static bool put_dirents(struct strace *s, unsigned index)
{
    uint64_t at = s->args[index], end = at + entries(s, index);
    unsigned count = 0;
    /* unsigned long number, unsigned long offset, unsigned short length: in both kinds of entry. */
    for (unsigned short length; at + 18 <= end && fetch(s, &length, at + 16, sizeof(length)) && length > 18;
         at += length) {
        count++;
    }
    put_address(s, s->args[index]);
    put_f(s, " /* %u entr%s */", count, count == 1 ? "y" : "ies");
    return true;
}

static bool put_cpuset(struct strace *s, unsigned index)
{
    uint64_t bits[16] = {0}, size = least(entries(s, index), sizeof(bits));
    bool first = true;
    if (!fetch(s, bits, s->args[index], size)) {
        return false;
    }
    put_char(s, '[');
    for (unsigned cpu = 0; cpu < size * 8; cpu++) {
        if (bits[cpu / 64] >> (cpu % 64) & 1) {
            put_f(s, "%s%u", first ? "" : " ", cpu);
            first = false;
        }
    }
    put_char(s, ']');
    return true;
}

static bool put_uids(struct strace *s, unsigned index)
{
    unsigned ids[SHOWN];
    uint64_t count = entries(s, index), shown = least(count, SHOWN);
    if (!fetch(s, ids, s->args[index], shown * sizeof(ids[0]))) {
        return false;
    }
    put_char(s, '[');
    for (uint64_t i = 0; i < shown; i++) {
        put_f(s, "%s%u", i ? ", " : "", ids[i]);
    }
    put(s, shown < count ? ", ...]" : "]");
    return true;
}

static bool put_siginfo_at(struct strace *s, uint64_t address)
{
    siginfo_t info;
    if (!fetch(s, &info, address, sizeof(info))) {
        return false;
    }
    put(s, "{si_signo=");
    put_signal(s, (uint64_t)info.si_signo);
    put(s, ", si_code=");
    put_si_code(s, info.si_signo, info.si_code);
    if (info.si_signo == SIGCHLD) {
        put_f(s, ", si_pid=%d, si_uid=%u, si_status=%d", info.si_pid, info.si_uid, info.si_status);
    }
    put(s, ", ...}");
    return true;
}

static bool put_socklen(struct strace *s, unsigned index)
{
    uint32_t length;
    if (!fetch(s, &length, s->args[index], sizeof(length))) {
        return false;
    }
    if (length == s->room || s->result < 0) {
        put_f(s, "[%d]", (int)length);
    } else {
        put_f(s, "[%d => %d]", (int)s->room, (int)length);
    }
    return true;
}

/* A socket's address that the kernel filled in: as long as its length argument says now. */
static bool put_sockaddr_argument(struct strace *s, unsigned index)
{
    const struct arg *arg = &s->call.args[index];
    if (arg->memory != MEM_SIZED) {
        return put_sockaddr(s, s->args[index], call_length(&s->call, s->args, arg->len));
    }
    uint32_t length;
    return fetch(s, &length, s->args[arg->len], sizeof(length)) &&
           put_sockaddr(s, s->args[index], least(length, s->room));
}

static bool put_sigset_argument(struct strace *s, unsigned index)
{
    uint64_t set;
    if (call_length(&s->call, s->args, s->call.args[index].len) != sizeof(set) ||
        !fetch(s, &set, s->args[index], sizeof(set))) {
        return false;
    }
    put_sigset(s, set);
    return true;
}

static bool put_sigset_pair(struct strace *s, uint64_t address)
{
    uint64_t pair[2], set;
    if (!fetch(s, pair, address, sizeof(pair))) {
        return false;
    }
    put(s, "{sigmask=");
    if (pair[0] && fetch(s, &set, pair[0], sizeof(set))) {
        put_sigset(s, set);
    } else {
        put_address(s, pair[0]);
    }
    put_f(s, ", sigsetsize=%ju}", (uintmax_t)pair[1]);
    return true;
}

/* Reads `name` of that type and prints it, or returns false. */
#define WITH(type, name, ...)                                                                                          \
    {                                                                                                                  \
        type name;                                                                                                     \
        if (!fetch(s, &name, address, sizeof(name)))                                                                   \
            return false;                                                                                              \
        __VA_ARGS__;                                                                                                   \
        return true;                                                                                                   \
    }

bool put_data(struct strace *s, unsigned index)
{
    const struct arg *arg = &s->call.args[index];
    const uint64_t address = s->args[index];
    switch ((enum arg_kind)arg->kind) {
    case ARG_PATH:
        if (arg->memory == MEM_COUNTED && s->result < 0) {
            return false;
        }
        put_string(s, address, true);
        return true;
    case ARG_STRING:
        put_string(s, address, false);
        return true;
    case ARG_BUFFER:
    case ARG_RANDOM:
        put_bytes(s, address, entries(s, index), arg->kind == ARG_RANDOM);
        return true;
    case ARG_ARGV:
        put_argv(s, address);
        return true;
    case ARG_ENVP:
        put_envp(s, address);
        return true;
    case ARG_INT_PTR:
    case ARG_WAIT_STATUS:
        WITH(int, value, arg->kind == ARG_INT_PTR ? put_f(s, "[%d]", value) : put_wait_status(s, value))
    case ARG_UINT_PTR:
    case ARG_UID_PTR:
    case ARG_SCHED_PARAM:
        WITH(unsigned, value, put_f(s, "[%u]", value))
    case ARG_LONG_PTR:
        WITH(int64_t, value, put_f(s, "[%jd]", (intmax_t)value))
    case ARG_FD_PAIR: {
        int fds[2];
        if (!fetch(s, fds, address, sizeof(fds))) {
            return false;
        }
        put_f(s, "[%d, %d]", fds[0], fds[1]);
        return true;
    }
    case ARG_UID_ARRAY:
        return put_uids(s, index);
    case ARG_STAT:
        WITH(struct stat, st, put_stat(s, &st))
    case ARG_STATX:
        WITH(struct statx, st, put_statx(s, &st))
    case ARG_STATFS:
        WITH(struct statfs, fs, put_statfs(s, &fs))
    case ARG_TIMESPEC:
        WITH(struct timespec, ts, put_timespec_at(s, &ts))
    case ARG_TIMEVAL:
        WITH(struct timeval, tv, put_timeval_at(s, &tv))
    case ARG_TIMESPEC_PAIR: {
        struct timespec ts[2];
        if (!fetch(s, ts, address, sizeof(ts))) {
            return false;
        }
        put_char(s, '[');
        put_utime_timespec(s, &ts[0]);
        put(s, ", ");
        put_utime_timespec(s, &ts[1]);
        put_char(s, ']');
        return true;
    }
    case ARG_TIMEVAL_PAIR: {
        struct timeval tv[2];
        if (!fetch(s, tv, address, sizeof(tv))) {
            return false;
        }
        put_char(s, '[');
        put_timeval_at(s, &tv[0]);
        put(s, ", ");
        put_timeval_at(s, &tv[1]);
        put_char(s, ']');
        return true;
    }
    case ARG_TIMEZONE: {
        int zone[2];
        if (!fetch(s, zone, address, sizeof(zone))) {
            return false;
        }
        put_f(s, "{tz_minuteswest=%d, tz_dsttime=%d}", zone[0], zone[1]);
        return true;
    }
    case ARG_ITIMERVAL:
        WITH(struct itimerval, it, put_itimerval(s, &it))
    case ARG_ITIMERSPEC:
        WITH(struct itimerspec, it, put_itimerspec(s, &it))
    case ARG_UTIMBUF:
        WITH(struct utimbuf, t, put_f(s, "{actime=%jd, modtime=%jd}", (intmax_t)t.actime, (intmax_t)t.modtime))
    case ARG_TMS:
        WITH(struct tms, t,
            put_f(s, "{tms_utime=%jd, tms_stime=%jd, tms_cutime=%jd, tms_cstime=%jd}", (intmax_t)t.tms_utime,
                (intmax_t)t.tms_stime, (intmax_t)t.tms_cutime, (intmax_t)t.tms_cstime))
    case ARG_SIGSET:
        return put_sigset_argument(s, index);
    case ARG_SIGACTION:
        WITH(struct kernel_sigaction, action, put_sigaction(s, &action))
    case ARG_SIGINFO:
        return put_siginfo_at(s, address);
    case ARG_STACK_T:
        WITH(stack_t, st, put(s, "{ss_sp="); put_address(s, (uintptr_t)st.ss_sp); put(s, ", ss_flags=");
             put_ss_flags(s, (unsigned)st.ss_flags); put_f(s, ", ss_size=%zu}", st.ss_size))
    case ARG_RLIMITS: {
        uint64_t limits[2];
        if (!fetch(s, limits, address, sizeof(limits))) {
            return false;
        }
        put(s, "{rlim_cur=");
        put_limit(s, limits[0]);
        put(s, ", rlim_max=");
        put_limit(s, limits[1]);
        put_char(s, '}');
        return true;
    }
    case ARG_RUSAGE:
        WITH(struct rusage, ru, put(s, "{ru_utime="); put_timeval_at(s, &ru.ru_utime); put(s, ", ru_stime=");
             put_timeval_at(s, &ru.ru_stime); put(s, ", ...}"))
    case ARG_SYSINFO:
        WITH(struct sysinfo, si,
             put_f(s, "{uptime=%ld, loads=[%lu, %lu, %lu], totalram=%lu, freeram=%lu, sharedram=%lu, bufferram=%lu",
                 si.uptime, si.loads[0], si.loads[1], si.loads[2], si.totalram, si.freeram, si.sharedram, si.bufferram);
             put_f(s, ", totalswap=%lu, freeswap=%lu, procs=%u, totalhigh=%lu, freehigh=%lu, mem_unit=%u}",
                 si.totalswap, si.freeswap, si.procs, si.totalhigh, si.freehigh, si.mem_unit))
    case ARG_UTSNAME:
        WITH(struct utsname, u, put(s, "{sysname="); put_quoted(s, u.sysname, strnlen(u.sysname, sizeof(u.sysname)));
             put(s, ", nodename="); put_quoted(s, u.nodename, strnlen(u.nodename, sizeof(u.nodename)));
             put(s, ", ...}"))
    case ARG_POLLFDS:
        return put_pollfds(s, index);
    case ARG_FDSET:
        return put_fdset(s, address, s->args[arg->len]);
    case ARG_SIGSET_PAIR:
        return put_sigset_pair(s, address);
    case ARG_EPOLL_EVENT:
        return put_epoll_array(s, address, 1, false);
    case ARG_EPOLL_EVENTS:
        return put_epoll_array(s, address, entries(s, index), true);
    case ARG_IOVEC: {
        bool received = (arg->flags & ARG_OUT) && !(arg->flags & ARG_IN);
        uint64_t left = received ? (s->result < 0 ? 0 : (uint64_t)s->result) : UINT64_MAX;
        return put_iovec(s, address, call_length(&s->call, s->args, arg->len), left, s->result >= 0 || !received);
    }
    case ARG_MSGHDR:
        return put_msghdr_at(s, address, arg->flags & ARG_OUT ? (uint64_t)s->result : UINT64_MAX);
    case ARG_MMSGHDR:
        return put_mmsghdr(s, index);
    case ARG_SOCKADDR:
        return put_sockaddr_argument(s, index);
    case ARG_SOCKLEN:
        return put_socklen(s, index);
    case ARG_SOCKOPT_VALUE:
        return put_sockopt_value(s, index);
    case ARG_DIRENTS:
        return put_dirents(s, index);
    case ARG_FLOCK_STRUCT:
        WITH(struct flock, lock, put_flock(s, &lock))
    case ARG_WINSIZE:
        WITH(struct kernel_winsize, w,
            put_f(s, "{ws_row=%u, ws_col=%u, ws_xpixel=%u, ws_ypixel=%u}", w.rows, w.columns, w.x, w.y))
    case ARG_TERMIOS:
        WITH(struct termios, t, put_termios(s, &t))
    case ARG_CPUSET:
        return put_cpuset(s, index);
    default:
        return false;
    }
}
