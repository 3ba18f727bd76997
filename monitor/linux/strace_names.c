/* SPDX-License-Identifier: MIT */
/* Constants and flags by their names. */
#include "strace.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct name {
    uint64_t value;
    const char *name;
};
#define N(constant)                                                                                                    \
    {                                                                                                                  \
        (uint64_t)(constant), #constant                                                                                \
    }

/* How a set of names is used. */
enum manner {
    ONE,      /* the value is one of them */
    BITS,     /* the value is any of them together */
    ONE_BITS, /* the first `ones` are one of a kind, selected by `mask`; the rest are bits */
};

struct names {
    const struct name *names;
    unsigned count;
    enum manner manner;
    unsigned ones;
    uint64_t mask;
    const char *zero;    /* what 0 is called, if it is not just 0 */
    const char *unknown; /* ONE: what to say of others, such as "SEEK_???" */
};
#define SET(array, ...)                                                                                                \
    {                                                                                                                  \
        array, sizeof(array) / sizeof(array[0]), __VA_ARGS__                                                           \
    }

static const struct name open_flags[] = {N(O_RDONLY), N(O_WRONLY), N(O_RDWR), N(O_ACCMODE), N(O_CREAT), N(O_EXCL),
    N(O_NOCTTY), N(O_TRUNC), N(O_APPEND), N(O_NONBLOCK), N(O_SYNC), N(O_DSYNC), N(O_ASYNC), N(O_DIRECT),
    {0100000, "O_LARGEFILE"}, N(O_NOFOLLOW), N(O_NOATIME), N(O_CLOEXEC), N(O_PATH), N(O_TMPFILE), N(O_DIRECTORY)};
static const struct name access_modes[] = {N(R_OK), N(W_OK), N(X_OK)};
static const struct name at_flags[] = {N(AT_SYMLINK_NOFOLLOW), N(AT_REMOVEDIR), N(AT_SYMLINK_FOLLOW),
    N(AT_NO_AUTOMOUNT), N(AT_EMPTY_PATH), {0x2000, "AT_STATX_FORCE_SYNC"}, {0x4000, "AT_STATX_DONT_SYNC"},
    {0x8000, "AT_RECURSIVE"}};
static const struct name prots[] = {N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), N(PROT_GROWSDOWN), N(PROT_GROWSUP)};
static const struct name map_flags[] = {{0, "0"}, N(MAP_SHARED), N(MAP_PRIVATE), N(MAP_SHARED_VALIDATE), N(MAP_FIXED),
    N(MAP_ANONYMOUS), N(MAP_32BIT), N(MAP_NORESERVE), N(MAP_POPULATE), N(MAP_NONBLOCK), N(MAP_GROWSDOWN),
    N(MAP_DENYWRITE), N(MAP_EXECUTABLE), N(MAP_LOCKED), N(MAP_STACK), N(MAP_HUGETLB), N(MAP_SYNC),
    N(MAP_FIXED_NOREPLACE)};
static const struct name mremap_flags[] = {N(MREMAP_MAYMOVE), N(MREMAP_FIXED), {4, "MREMAP_DONTUNMAP"}};
static const struct name advices[] = {N(MADV_NORMAL), N(MADV_RANDOM), N(MADV_SEQUENTIAL), N(MADV_WILLNEED),
    N(MADV_DONTNEED), N(MADV_FREE), N(MADV_REMOVE), N(MADV_DONTFORK), N(MADV_DOFORK), N(MADV_MERGEABLE),
    N(MADV_UNMERGEABLE), N(MADV_HUGEPAGE), N(MADV_NOHUGEPAGE), N(MADV_DONTDUMP), N(MADV_DODUMP), N(MADV_WIPEONFORK),
    N(MADV_KEEPONFORK), N(MADV_COLD), N(MADV_PAGEOUT), N(MADV_POPULATE_READ), N(MADV_POPULATE_WRITE)};
static const struct name msync_flags[] = {N(MS_ASYNC), N(MS_INVALIDATE), N(MS_SYNC)};
static const struct name whences[] = {N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA), N(SEEK_HOLE)};
static const struct name fcntls[] = {N(F_DUPFD), N(F_GETFD), N(F_SETFD), N(F_GETFL), N(F_SETFL), N(F_GETLK), N(F_SETLK),
    N(F_SETLKW), N(F_SETOWN), N(F_GETOWN), N(F_SETSIG), N(F_GETSIG), N(F_SETOWN_EX), N(F_GETOWN_EX), N(F_OFD_GETLK),
    N(F_OFD_SETLK), N(F_OFD_SETLKW), N(F_SETLEASE), N(F_GETLEASE), N(F_NOTIFY), N(F_DUPFD_CLOEXEC), N(F_SETPIPE_SZ),
    N(F_GETPIPE_SZ), N(F_ADD_SEALS), N(F_GET_SEALS), {1035, "F_GET_RW_HINT"}, {1036, "F_SET_RW_HINT"},
    {1037, "F_GET_FILE_RW_HINT"}, {1038, "F_SET_FILE_RW_HINT"}};
static const struct name fd_flags[] = {N(FD_CLOEXEC)};
static const struct name clocks[] = {N(CLOCK_REALTIME), N(CLOCK_MONOTONIC), N(CLOCK_PROCESS_CPUTIME_ID),
    N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW), N(CLOCK_REALTIME_COARSE), N(CLOCK_MONOTONIC_COARSE),
    N(CLOCK_BOOTTIME), N(CLOCK_REALTIME_ALARM), N(CLOCK_BOOTTIME_ALARM), N(CLOCK_TAI)};
static const struct name timer_flags[] = {N(TIMER_ABSTIME)};
static const struct name sig_hows[] = {N(SIG_BLOCK), N(SIG_UNBLOCK), N(SIG_SETMASK)};
static const struct name families[] = {N(AF_UNSPEC), N(AF_UNIX), N(AF_INET), N(AF_INET6), N(AF_NETLINK), N(AF_PACKET),
    N(AF_ALG), N(AF_VSOCK), N(AF_BLUETOOTH)};
static const struct name socket_types[] = {{0, "0"}, N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_RAW), N(SOCK_RDM),
    N(SOCK_SEQPACKET), N(SOCK_PACKET), N(SOCK_CLOEXEC), N(SOCK_NONBLOCK)};
static const struct name accept_flags[] = {N(SOCK_CLOEXEC), N(SOCK_NONBLOCK)};
static const struct name shuts[] = {N(SHUT_RD), N(SHUT_WR), N(SHUT_RDWR)};
static const struct name levels[] = {
    N(SOL_SOCKET), N(SOL_IP), {IPPROTO_TCP, "SOL_TCP"}, {IPPROTO_UDP, "SOL_UDP"}, N(SOL_IPV6), {270, "SOL_NETLINK"}};
static const struct name msg_flags[] = {N(MSG_OOB), N(MSG_PEEK), N(MSG_DONTROUTE), N(MSG_CTRUNC), N(MSG_TRUNC),
    N(MSG_DONTWAIT), N(MSG_EOR), N(MSG_WAITALL), N(MSG_CONFIRM), N(MSG_ERRQUEUE), N(MSG_NOSIGNAL), N(MSG_MORE),
    N(MSG_WAITFORONE), N(MSG_FASTOPEN), N(MSG_CMSG_CLOEXEC), N(MSG_ZEROCOPY)};
static const struct name epoll_ops[] = {N(EPOLL_CTL_ADD), N(EPOLL_CTL_DEL), N(EPOLL_CTL_MOD)};
static const struct name epoll_flags[] = {N(EPOLL_CLOEXEC)};
static const struct name eventfd_flags[] = {N(EFD_SEMAPHORE), N(EFD_CLOEXEC), N(EFD_NONBLOCK)};
static const struct name pipe_flags[] = {N(O_NONBLOCK), N(O_CLOEXEC), N(O_DIRECT)};
static const struct name futex_ops[] = {N(FUTEX_WAIT), N(FUTEX_WAKE), N(FUTEX_REQUEUE), N(FUTEX_CMP_REQUEUE),
    N(FUTEX_WAKE_OP), N(FUTEX_LOCK_PI), N(FUTEX_UNLOCK_PI), N(FUTEX_TRYLOCK_PI), N(FUTEX_WAIT_BITSET),
    N(FUTEX_WAKE_BITSET), N(FUTEX_WAIT_REQUEUE_PI), N(FUTEX_CMP_REQUEUE_PI), {13, "FUTEX_LOCK_PI2"}};
static const struct name limits[] = {N(RLIMIT_CPU), N(RLIMIT_FSIZE), N(RLIMIT_DATA), N(RLIMIT_STACK), N(RLIMIT_CORE),
    N(RLIMIT_RSS), N(RLIMIT_NPROC), N(RLIMIT_NOFILE), N(RLIMIT_MEMLOCK), N(RLIMIT_AS), N(RLIMIT_LOCKS),
    N(RLIMIT_SIGPENDING), N(RLIMIT_MSGQUEUE), N(RLIMIT_NICE), N(RLIMIT_RTPRIO), N(RLIMIT_RTTIME)};
static const struct name rusages[] = {N(RUSAGE_SELF), N(RUSAGE_CHILDREN), N(RUSAGE_THREAD)};
static const struct name waits[] = {
    N(WNOHANG), N(WUNTRACED), N(WEXITED), N(WCONTINUED), N(WNOWAIT), N(__WALL), N(__WCLONE), N(__WNOTHREAD)};
static const struct name clones[] = {N(CLONE_VM), N(CLONE_FS), N(CLONE_FILES), N(CLONE_SIGHAND), N(CLONE_PIDFD),
    N(CLONE_PTRACE), N(CLONE_VFORK), N(CLONE_PARENT), N(CLONE_THREAD), N(CLONE_NEWNS), N(CLONE_SYSVSEM),
    N(CLONE_SETTLS), N(CLONE_PARENT_SETTID), N(CLONE_CHILD_CLEARTID), N(CLONE_UNTRACED), N(CLONE_CHILD_SETTID),
    N(CLONE_NEWCGROUP), N(CLONE_NEWUTS), N(CLONE_NEWIPC), N(CLONE_NEWUSER), N(CLONE_NEWPID), N(CLONE_NEWNET),
    N(CLONE_IO)};
static const struct name prctls[] = {N(PR_SET_PDEATHSIG), N(PR_GET_PDEATHSIG), N(PR_GET_DUMPABLE), N(PR_SET_DUMPABLE),
    N(PR_GET_KEEPCAPS), N(PR_SET_KEEPCAPS), N(PR_SET_NAME), N(PR_GET_NAME), N(PR_GET_SECCOMP), N(PR_SET_SECCOMP),
    N(PR_CAPBSET_READ), N(PR_CAPBSET_DROP), N(PR_GET_TSC), N(PR_SET_TSC), N(PR_GET_SECUREBITS), N(PR_SET_SECUREBITS),
    N(PR_SET_TIMERSLACK), N(PR_GET_TIMERSLACK), N(PR_MCE_KILL), N(PR_MCE_KILL_GET), N(PR_SET_MM),
    N(PR_SET_CHILD_SUBREAPER), N(PR_GET_CHILD_SUBREAPER), N(PR_SET_NO_NEW_PRIVS), N(PR_GET_NO_NEW_PRIVS),
    N(PR_GET_TID_ADDRESS), N(PR_SET_THP_DISABLE), N(PR_GET_THP_DISABLE), N(PR_CAP_AMBIENT), N(PR_GET_SPECULATION_CTRL),
    N(PR_SET_SPECULATION_CTRL), N(PR_SET_IO_FLUSHER), N(PR_GET_IO_FLUSHER), N(PR_SET_SYSCALL_USER_DISPATCH),
    N(PR_SET_VMA), N(PR_SET_PTRACER)};
static const struct name arch_prctls[] = {N(ARCH_SET_GS), N(ARCH_SET_FS), N(ARCH_GET_FS), N(ARCH_GET_GS),
    N(ARCH_GET_CPUID), N(ARCH_SET_CPUID), {0x1021, "ARCH_GET_XCOMP_SUPP"}, {0x1022, "ARCH_GET_XCOMP_PERM"},
    {0x1023, "ARCH_REQ_XCOMP_PERM"}, {0x3001, "ARCH_CET_STATUS"}, {0x5001, "ARCH_SHSTK_ENABLE"},
    {0x5002, "ARCH_SHSTK_DISABLE"}};
static const struct name flocks[] = {N(LOCK_SH), N(LOCK_EX), N(LOCK_NB), N(LOCK_UN)};
static const struct name mount_flags[] = {N(MS_RDONLY), N(MS_NOSUID), N(MS_NODEV), N(MS_NOEXEC), N(MS_SYNCHRONOUS),
    N(MS_REMOUNT), N(MS_MANDLOCK), N(MS_DIRSYNC), N(MS_NOATIME), N(MS_NODIRATIME), N(MS_BIND), N(MS_MOVE), N(MS_REC),
    N(MS_SILENT), N(MS_POSIXACL), N(MS_UNBINDABLE), N(MS_PRIVATE), N(MS_SLAVE), N(MS_SHARED), N(MS_RELATIME),
    N(MS_STRICTATIME), N(MS_LAZYTIME)};
static const struct name umount_flags[] = {N(MNT_FORCE), N(MNT_DETACH), N(MNT_EXPIRE), N(UMOUNT_NOFOLLOW)};
static const struct name falloc_modes[] = {N(FALLOC_FL_KEEP_SIZE), N(FALLOC_FL_PUNCH_HOLE), N(FALLOC_FL_COLLAPSE_RANGE),
    N(FALLOC_FL_ZERO_RANGE), N(FALLOC_FL_INSERT_RANGE), N(FALLOC_FL_UNSHARE_RANGE)};
static const struct name fadvices[] = {N(POSIX_FADV_NORMAL), N(POSIX_FADV_RANDOM), N(POSIX_FADV_SEQUENTIAL),
    N(POSIX_FADV_WILLNEED), N(POSIX_FADV_DONTNEED), N(POSIX_FADV_NOREUSE)};
static const struct name grnd_flags[] = {N(GRND_NONBLOCK), N(GRND_RANDOM), {4, "GRND_INSECURE"}};
static const struct name mfd_flags[] = {N(MFD_CLOEXEC), N(MFD_ALLOW_SEALING), N(MFD_HUGETLB)};
static const struct name statx_masks[] = {N(STATX_ALL), N(STATX_BASIC_STATS), N(STATX_TYPE), N(STATX_MODE),
    N(STATX_NLINK), N(STATX_UID), N(STATX_GID), N(STATX_ATIME), N(STATX_MTIME), N(STATX_CTIME), N(STATX_INO),
    N(STATX_SIZE), N(STATX_BLOCKS), N(STATX_BTIME), {0x1000, "STATX_MNT_ID"}, {0x2000, "STATX_DIOALIGN"},
    {0x4000, "STATX_MNT_ID_UNIQUE"}, {0x8000, "STATX_SUBVOL"}};
static const struct name splice_flags[] = {N(SPLICE_F_MOVE), N(SPLICE_F_NONBLOCK), N(SPLICE_F_MORE), N(SPLICE_F_GIFT)};
static const struct name xattr_flags[] = {N(XATTR_CREATE), N(XATTR_REPLACE)};
static const struct name rename_flags[] = {N(RENAME_NOREPLACE), N(RENAME_EXCHANGE), N(RENAME_WHITEOUT)};
static const struct name priorities[] = {N(PRIO_PROCESS), N(PRIO_PGRP), N(PRIO_USER)};
static const struct name policies[] = {
    {0, "SCHED_OTHER"}, N(SCHED_FIFO), N(SCHED_RR), N(SCHED_BATCH), N(SCHED_IDLE), {6, "SCHED_DEADLINE"}};
static const struct name itimers[] = {
    {ITIMER_REAL, "ITIMER_REAL"}, {ITIMER_VIRTUAL, "ITIMER_VIRTUAL"}, {ITIMER_PROF, "ITIMER_PROF"}};
static const struct name tfd_flags[] = {
    N(TFD_TIMER_ABSTIME), N(TFD_TIMER_CANCEL_ON_SET), N(TFD_NONBLOCK), N(TFD_CLOEXEC)};
static const struct name sfd_flags[] = {N(SFD_CLOEXEC), N(SFD_NONBLOCK)};
static const struct name close_range_flags[] = {N(CLOSE_RANGE_UNSHARE), N(CLOSE_RANGE_CLOEXEC)};
static const struct name inotify_flags[] = {N(IN_CLOEXEC), N(IN_NONBLOCK)};
static const struct name inotify_masks[] = {N(IN_ACCESS), N(IN_MODIFY), N(IN_ATTRIB), N(IN_CLOSE_WRITE),
    N(IN_CLOSE_NOWRITE), N(IN_OPEN), N(IN_MOVED_FROM), N(IN_MOVED_TO), N(IN_CREATE), N(IN_DELETE), N(IN_DELETE_SELF),
    N(IN_MOVE_SELF), N(IN_UNMOUNT), N(IN_Q_OVERFLOW), N(IN_IGNORED), N(IN_ONLYDIR), N(IN_DONT_FOLLOW),
    N(IN_EXCL_UNLINK), N(IN_MASK_ADD), N(IN_ISDIR), N(IN_ONESHOT)};
static const struct name idtypes[] = {N(P_ALL), N(P_PID), N(P_PGID), {3, "P_PIDFD"}};
static const struct name mlockall_flags[] = {N(MCL_CURRENT), N(MCL_FUTURE), N(MCL_ONFAULT)};

static const struct names sets[ARG_KINDS] = {
    [ARG_OPEN_FLAGS] = SET(open_flags, .manner = ONE_BITS, .ones = 4, .mask = O_ACCMODE),
    [ARG_ACCESS] = SET(access_modes, .manner = BITS, .zero = "F_OK"),
    [ARG_AT_FLAGS] = SET(at_flags, .manner = BITS),
    [ARG_PROT] = SET(prots, .manner = BITS, .zero = "PROT_NONE"),
    [ARG_MAP_FLAGS] = SET(map_flags, .manner = ONE_BITS, .ones = 4, .mask = MAP_TYPE),
    [ARG_MREMAP_FLAGS] = SET(mremap_flags, .manner = BITS),
    [ARG_MADVICE] = SET(advices, .manner = ONE, .unknown = "MADV_???"),
    [ARG_MSYNC_FLAGS] = SET(msync_flags, .manner = BITS),
    [ARG_WHENCE] = SET(whences, .manner = ONE, .unknown = "SEEK_???"),
    [ARG_FCNTL_CMD] = SET(fcntls, .manner = ONE, .unknown = "F_???"),
    [ARG_FD_FLAGS] = SET(fd_flags, .manner = BITS),
    [ARG_CLOCK] = SET(clocks, .manner = ONE, .unknown = "CLOCK_???"),
    [ARG_TIMER_FLAGS] = SET(timer_flags, .manner = BITS),
    [ARG_SIG_HOW] = SET(sig_hows, .manner = ONE, .unknown = "SIG_???"),
    [ARG_AF] = SET(families, .manner = ONE, .unknown = "AF_???"),
    [ARG_SOCK_TYPE] = SET(socket_types, .manner = ONE_BITS, .ones = 7, .mask = 0xf),
    [ARG_SHUT] = SET(shuts, .manner = ONE, .unknown = "SHUT_???"),
    [ARG_SOL] = SET(levels, .manner = ONE, .unknown = "SOL_???"),
    [ARG_MSG_FLAGS] = SET(msg_flags, .manner = BITS),
    [ARG_EPOLL_OP] = SET(epoll_ops, .manner = ONE, .unknown = "EPOLL_CTL_???"),
    [ARG_EPOLL_FLAGS] = SET(epoll_flags, .manner = BITS),
    [ARG_EVENTFD_FLAGS] = SET(eventfd_flags, .manner = BITS),
    [ARG_PIPE_FLAGS] = SET(pipe_flags, .manner = BITS),
    [ARG_RLIMIT] = SET(limits, .manner = ONE, .unknown = "RLIMIT_???"),
    [ARG_RUSAGE_WHO] = SET(rusages, .manner = ONE, .unknown = "RUSAGE_???"),
    [ARG_WAIT_OPTIONS] = SET(waits, .manner = BITS),
    [ARG_CLONE_FLAGS] = SET(clones, .manner = BITS),
    [ARG_UNSHARE_FLAGS] = SET(clones, .manner = BITS),
    [ARG_PRCTL] = SET(prctls, .manner = ONE, .unknown = "PR_???"),
    [ARG_ARCH_PRCTL] = SET(arch_prctls, .manner = ONE, .unknown = "ARCH_???"),
    [ARG_FLOCK] = SET(flocks, .manner = BITS),
    [ARG_MOUNT_FLAGS] = SET(mount_flags, .manner = BITS),
    [ARG_UMOUNT_FLAGS] = SET(umount_flags, .manner = BITS),
    [ARG_FALLOC_MODE] = SET(falloc_modes, .manner = BITS),
    [ARG_FADVICE] = SET(fadvices, .manner = ONE, .unknown = "POSIX_FADV_???"),
    [ARG_GRND_FLAGS] = SET(grnd_flags, .manner = BITS),
    [ARG_MFD_FLAGS] = SET(mfd_flags, .manner = BITS),
    [ARG_STATX_MASK] = SET(statx_masks, .manner = BITS),
    [ARG_SPLICE_FLAGS] = SET(splice_flags, .manner = BITS),
    [ARG_XATTR_FLAGS] = SET(xattr_flags, .manner = BITS),
    [ARG_RENAME_FLAGS] = SET(rename_flags, .manner = BITS),
    [ARG_PRIO_WHICH] = SET(priorities, .manner = ONE, .unknown = "PRIO_???"),
    [ARG_SCHED_POLICY] = SET(policies, .manner = ONE, .unknown = "SCHED_???"),
    [ARG_ITIMER] = SET(itimers, .manner = ONE, .unknown = "ITIMER_???"),
    [ARG_TFD_FLAGS] = SET(tfd_flags, .manner = BITS),
    [ARG_SFD_FLAGS] = SET(sfd_flags, .manner = BITS),
    [ARG_CLOSE_RANGE_FLAGS] = SET(close_range_flags, .manner = BITS),
    [ARG_INOTIFY_FLAGS] = SET(inotify_flags, .manner = BITS),
    [ARG_INOTIFY_MASK] = SET(inotify_masks, .manner = BITS),
    [ARG_P_IDTYPE] = SET(idtypes, .manner = ONE, .unknown = "P_???"),
    [ARG_MLOCKALL_FLAGS] = SET(mlockall_flags, .manner = BITS),
};

static const char *find_name(const struct name *names, unsigned count, uint64_t value)
{
    for (unsigned i = 0; i < count; i++) {
        if (names[i].value == value) {
            return names[i].name;
        }
    }
    return NULL;
}

/* The named bits of value, joined by |, after what has been printed already. */
static void put_bits(struct strace *s, const struct name *names, unsigned count, uint64_t value, bool after)
{
    for (unsigned i = 0; i < count; i++) {
        if (names[i].value && (value & names[i].value) == names[i].value) {
            put(s, after ? "|" : "");
            put(s, names[i].name);
            value &= ~names[i].value;
            after = true;
        }
    }
    if (value) {
        put_f(s, "%s%#" PRIx64, after ? "|" : "", value);
    }
}

static void put_one(struct strace *s, const struct names *set, uint64_t value)
{
    /* Most are ints; some of these are negative. */
    const char *name = find_name(set->names, set->count, value);
    name = name ? name : find_name(set->names, set->count, (uint64_t)(int32_t)value);
    if (name) {
        put(s, name);
    } else {
        put_f(s, "%#x /* %s */", (uint32_t)value, set->unknown);
    }
}

static void put_set(struct strace *s, const struct names *set, uint64_t value)
{
    if (set->manner == ONE) {
        put_one(s, set, value);
        return;
    }
    if (set->manner == ONE_BITS) {
        const char *first = find_name(set->names, set->ones, value & set->mask);
        uint64_t rest = value & ~set->mask;
        if (first && !(rest && strcmp(first, "0") == 0)) {
            put(s, first);
            put_bits(s, set->names + set->ones, set->count - set->ones, rest, true);
            return;
        }
    }
    if (value == 0) {
        put(s, set->zero ? set->zero : "0");
        return;
    }
    put_bits(s, set->names + set->ones, set->count - set->ones, value, false);
}

static void put_clone_flags(struct strace *s, uint64_t value)
{
    bool after = value & ~0xfful;
    if (after) {
        put_bits(s, clones, sizeof(clones) / sizeof(clones[0]), value & ~0xfful, false);
    }
    if (value & 0xff) {
        put(s, after ? "|" : "");
        put_signal(s, value & 0xff);
    } else if (!after) {
        put_char(s, '0');
    }
}

static void put_futex_op(struct strace *s, uint64_t value)
{
    const char *name = find_name(futex_ops, sizeof(futex_ops) / sizeof(futex_ops[0]), value & FUTEX_CMD_MASK);
    if (!name) {
        put_f(s, "%#" PRIx64 " /* FUTEX_??? */", value);
        return;
    }
    put(s, name);
    put(s, value & FUTEX_PRIVATE_FLAG ? "_PRIVATE" : "");
    put(s, value & FUTEX_CLOCK_REALTIME ? "|FUTEX_CLOCK_REALTIME" : "");
}

static void put_ioctl(struct strace *s, uint64_t value)
{
    static const char *const directions[] = {"_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE"};
    const char *name = ioctl_name((uint32_t)value);
    if (name) {
        put(s, name);
        return;
    }
    uint32_t request = (uint32_t)value;
    put_f(s, "_IOC(%s, %#x, %#x, %#x)", directions[request >> 30], (request >> 8) & 0xff, request & 0xff,
        (request >> 16) & 0x3fff);
}

bool put_named(struct strace *s, enum arg_kind kind, uint64_t value)
{
    value = kind == ARG_STATX_MASK || kind == ARG_CLONE_FLAGS || kind == ARG_PROT || kind == ARG_MAP_FLAGS
                ? value
                : (uint32_t)value;
    switch (kind) {
    case ARG_CLONE_FLAGS:
        put_clone_flags(s, value);
        return true;
    case ARG_FUTEX_OP:
        put_futex_op(s, value);
        return true;
    case ARG_IOCTL:
        put_ioctl(s, value);
        return true;
    case ARG_SIGNAL:
        put_signal(s, value);
        return true;
    case ARG_SOCK_TYPE:
        if (strcmp(s->call.name, "accept4") == 0) {
            const struct names set = SET(accept_flags, .manner = BITS);
            put_set(s, &set, value);
            return true;
        }
        break;
    case ARG_AT_FLAGS:
        /* For statx 0 in these two bits is a choice too; in faccessat2 a bit means something else. */
        if (strcmp(s->call.name, "statx") == 0 && !(value & 0x6000)) {
            put(s, "AT_STATX_SYNC_AS_STAT");
            if (value) {
                put_bits(s, at_flags, sizeof(at_flags) / sizeof(at_flags[0]), value, true);
            }
            return true;
        }
        if (strcmp(s->call.name, "faccessat2") == 0 && (value & AT_EACCESS)) {
            put(s, "AT_EACCESS");
            if (value & ~(uint64_t)AT_EACCESS) {
                put_bits(s, at_flags, sizeof(at_flags) / sizeof(at_flags[0]), value & ~(uint64_t)AT_EACCESS, true);
            }
            return true;
        }
        break;
    default:
        break;
    }
    if (!sets[kind].names) {
        return false;
    }
    put_set(s, &sets[kind], value);
    return true;
}

/* ---- Modes and devices. */

void put_mode(struct strace *s, unsigned mode)
{
    put_f(s, "%#03o", mode);
}

void put_file_mode(struct strace *s, unsigned mode)
{
    static const struct name types[] = {
        N(S_IFREG), N(S_IFDIR), N(S_IFCHR), N(S_IFBLK), N(S_IFIFO), N(S_IFLNK), N(S_IFSOCK)};
    const char *type = find_name(types, sizeof(types) / sizeof(types[0]), mode & S_IFMT);
    if (!type && (mode & S_IFMT)) {
        put_mode(s, mode);
        return;
    }
    if (type) {
        put_f(s, "%s|", type);
    }
    put(s, mode & S_ISUID ? "S_ISUID|" : "");
    put(s, mode & S_ISGID ? "S_ISGID|" : "");
    put(s, mode & S_ISVTX ? "S_ISVTX|" : "");
    put_mode(s, mode & 0777);
}

void put_device(struct strace *s, uint64_t dev)
{
    put_f(s, "makedev(%#x, %#x)", major(dev), minor(dev));
}

/* ---- Signals. */

static const struct name signals[] = {N(SIGHUP), N(SIGINT), N(SIGQUIT), N(SIGILL), N(SIGTRAP), N(SIGABRT), N(SIGBUS),
    N(SIGFPE), N(SIGKILL), N(SIGUSR1), N(SIGSEGV), N(SIGUSR2), N(SIGPIPE), N(SIGALRM), N(SIGTERM), N(SIGSTKFLT),
    N(SIGCHLD), N(SIGCONT), N(SIGSTOP), N(SIGTSTP), N(SIGTTIN), N(SIGTTOU), N(SIGURG), N(SIGXCPU), N(SIGXFSZ),
    N(SIGVTALRM), N(SIGPROF), N(SIGWINCH), N(SIGIO), N(SIGPWR), N(SIGSYS)};

static void put_signal_as(struct strace *s, uint64_t sig, size_t prefix)
{
    const char *name = find_name(signals, sizeof(signals) / sizeof(signals[0]), sig);
    if (name) {
        put(s, name + prefix);
    } else if (sig == 32) {
        put(s, &"SIGRTMIN"[prefix]);
    } else if (sig > 32 && sig <= 64) {
        put_f(s, "%s%d", &"SIGRT_"[prefix], (int)sig - 32);
    } else {
        put_f(s, "%d", (int)sig);
    }
}

void put_signal(struct strace *s, uint64_t sig)
{
    put_signal_as(s, sig, 0);
}

void put_sigset(struct strace *s, uint64_t set)
{
    /* Whichever is shorter to read. */
    bool inverted = __builtin_popcountll(set) > 32;
    set = inverted ? ~set : set;
    put(s, inverted ? "~[" : "[");
    for (unsigned sig = 1, first = 1; sig <= 64; sig++) {
        if (set & (1ull << (sig - 1))) {
            put(s, first ? "" : " ");
            put_signal_as(s, sig, 3);
            first = 0;
        }
    }
    put_char(s, ']');
}

void put_sa_flags(struct strace *s, uint64_t flags)
{
    static const struct name names[] = {{0x04000000, "SA_RESTORER"}, N(SA_NODEFER), N(SA_ONSTACK), N(SA_RESTART),
        N(SA_NOCLDSTOP), N(SA_NOCLDWAIT), N(SA_SIGINFO), {SA_RESETHAND, "SA_RESETHAND"}, {0x800, "SA_EXPOSE_TAGBITS"}};
    if (flags == 0) {
        put_char(s, '0');
    } else {
        put_bits(s, names, sizeof(names) / sizeof(names[0]), flags, false);
    }
}

void put_ss_flags(struct strace *s, unsigned flags)
{
    static const struct name names[] = {N(SS_ONSTACK), N(SS_DISABLE), {1u << 31, "SS_AUTODISARM"}};
    if (flags == 0) {
        put_char(s, '0');
    } else {
        put_bits(s, names, sizeof(names) / sizeof(names[0]), flags, false);
    }
}

void put_si_code(struct strace *s, int sig, int code)
{
    static const struct name any[] = {N(SI_USER), N(SI_KERNEL), N(SI_QUEUE), N(SI_TIMER), N(SI_MESGQ), N(SI_ASYNCIO),
        N(SI_SIGIO), N(SI_TKILL), N(SI_ASYNCNL)};
    static const struct name segv[] = {N(SEGV_MAPERR), N(SEGV_ACCERR), N(SEGV_BNDERR), N(SEGV_PKUERR)};
    static const struct name bus[] = {N(BUS_ADRALN), N(BUS_ADRERR), N(BUS_OBJERR), N(BUS_MCEERR_AR), N(BUS_MCEERR_AO)};
    static const struct name fpe[] = {N(FPE_INTDIV), N(FPE_INTOVF), N(FPE_FLTDIV), N(FPE_FLTOVF), N(FPE_FLTUND),
        N(FPE_FLTRES), N(FPE_FLTINV), N(FPE_FLTSUB)};
    static const struct name ill[] = {N(ILL_ILLOPC), N(ILL_ILLOPN), N(ILL_ILLADR), N(ILL_ILLTRP), N(ILL_PRVOPC),
        N(ILL_PRVREG), N(ILL_COPROC), N(ILL_BADSTK)};
    static const struct name trap[] = {N(TRAP_BRKPT), N(TRAP_TRACE), N(TRAP_BRANCH), N(TRAP_HWBKPT), N(TRAP_UNK)};
    static const struct name chld[] = {
        N(CLD_EXITED), N(CLD_KILLED), N(CLD_DUMPED), N(CLD_TRAPPED), N(CLD_STOPPED), N(CLD_CONTINUED)};
    static const struct name poll[] = {N(POLL_IN), N(POLL_OUT), N(POLL_MSG), N(POLL_ERR), N(POLL_PRI), N(POLL_HUP)};
#define OF(signal, names)                                                                                              \
    {                                                                                                                  \
        signal, names, sizeof(names) / sizeof(names[0])                                                                \
    }
    static const struct {
        int sig;
        const struct name *names;
        unsigned count;
    } special[] = {OF(SIGSEGV, segv), OF(SIGBUS, bus), OF(SIGFPE, fpe), OF(SIGILL, ill), OF(SIGTRAP, trap),
        OF(SIGCHLD, chld), OF(SIGIO, poll)};
#undef OF
    const char *name = find_name(any, sizeof(any) / sizeof(any[0]), (uint64_t)code);
    for (unsigned i = 0; !name && i < sizeof(special) / sizeof(special[0]); i++) {
        if (special[i].sig == sig) {
            name = find_name(special[i].names, special[i].count, (uint64_t)code);
        }
    }
    if (name) {
        put(s, name);
    } else {
        put_f(s, "%#x", code);
    }
}

/* ---- Descriptors and sockets. */

void put_poll_events(struct strace *s, unsigned events)
{
    static const struct name names[] = {N(POLLIN), N(POLLPRI), N(POLLOUT), N(POLLRDNORM), N(POLLRDBAND), N(POLLWRNORM),
        N(POLLWRBAND), N(POLLERR), N(POLLHUP), N(POLLNVAL), N(POLLMSG), N(POLLREMOVE), N(POLLRDHUP)};
    if (events == 0) {
        put_char(s, '0');
    } else {
        put_bits(s, names, sizeof(names) / sizeof(names[0]), events, false);
    }
}

void put_epoll_events(struct strace *s, unsigned events)
{
    static const struct name names[] = {N(EPOLLIN), N(EPOLLPRI), N(EPOLLOUT), N(EPOLLRDNORM), N(EPOLLRDBAND),
        N(EPOLLWRNORM), N(EPOLLWRBAND), N(EPOLLMSG), N(EPOLLERR), N(EPOLLHUP), N(EPOLLRDHUP),
        {1u << 28, "EPOLLEXCLUSIVE"}, {1u << 29, "EPOLLWAKEUP"}, {1u << 30, "EPOLLONESHOT"}, {1u << 31, "EPOLLET"}};
    if (events == 0) {
        put_char(s, '0');
    } else {
        put_bits(s, names, sizeof(names) / sizeof(names[0]), events, false);
    }
}

void put_sockopt_name(struct strace *s, uint64_t level, uint64_t option)
{
    static const struct name socket_options[] = {N(SO_DEBUG), N(SO_REUSEADDR), N(SO_TYPE), N(SO_ERROR), N(SO_DONTROUTE),
        N(SO_BROADCAST), N(SO_SNDBUF), N(SO_RCVBUF), N(SO_KEEPALIVE), N(SO_OOBINLINE), N(SO_NO_CHECK), N(SO_PRIORITY),
        N(SO_LINGER), N(SO_REUSEPORT), N(SO_PASSCRED), N(SO_PEERCRED), N(SO_RCVLOWAT), N(SO_SNDLOWAT),
        {20, "SO_RCVTIMEO_OLD"}, {21, "SO_SNDTIMEO_OLD"}, N(SO_BINDTODEVICE), N(SO_ATTACH_FILTER), N(SO_DETACH_FILTER),
        N(SO_PEERNAME), {29, "SO_TIMESTAMP_OLD"}, N(SO_ACCEPTCONN), N(SO_PEERSEC), N(SO_SNDBUFFORCE), N(SO_RCVBUFFORCE),
        N(SO_PASSSEC), N(SO_MARK), N(SO_PROTOCOL), N(SO_DOMAIN), N(SO_BUSY_POLL), N(SO_INCOMING_CPU), N(SO_ZEROCOPY)};
    static const struct name ip_options[] = {N(IP_TOS), N(IP_TTL), N(IP_HDRINCL), N(IP_OPTIONS), N(IP_RECVOPTS),
        N(IP_PKTINFO), N(IP_MTU_DISCOVER), N(IP_RECVERR), N(IP_RECVTTL), N(IP_RECVTOS), N(IP_MTU), N(IP_FREEBIND),
        N(IP_MULTICAST_IF), N(IP_MULTICAST_TTL), N(IP_MULTICAST_LOOP), N(IP_ADD_MEMBERSHIP), N(IP_DROP_MEMBERSHIP)};
    static const struct name ipv6_options[] = {N(IPV6_UNICAST_HOPS), N(IPV6_MULTICAST_IF), N(IPV6_MULTICAST_HOPS),
        N(IPV6_MULTICAST_LOOP), N(IPV6_MTU_DISCOVER), N(IPV6_MTU), N(IPV6_RECVERR), N(IPV6_V6ONLY), N(IPV6_RECVPKTINFO),
        N(IPV6_PKTINFO), N(IPV6_RECVHOPLIMIT), N(IPV6_TCLASS)};
    static const struct name tcp_options[] = {N(TCP_NODELAY), N(TCP_MAXSEG), N(TCP_CORK), N(TCP_KEEPIDLE),
        N(TCP_KEEPINTVL), N(TCP_KEEPCNT), N(TCP_SYNCNT), N(TCP_LINGER2), N(TCP_DEFER_ACCEPT), N(TCP_WINDOW_CLAMP),
        N(TCP_INFO), N(TCP_QUICKACK), N(TCP_CONGESTION), N(TCP_USER_TIMEOUT), N(TCP_FASTOPEN), N(TCP_FASTOPEN_CONNECT),
        N(TCP_ULP)};
#define OF(level, names)                                                                                               \
    {                                                                                                                  \
        level, names, sizeof(names) / sizeof(names[0])                                                                 \
    }
    static const struct {
        uint32_t level;
        const struct name *names;
        unsigned count;
    } known[] = {OF(SOL_SOCKET, socket_options), OF(IPPROTO_IP, ip_options), OF(IPPROTO_IPV6, ipv6_options),
        OF(IPPROTO_TCP, tcp_options)};
#undef OF
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].level == (uint32_t)level) {
            const char *name = find_name(known[i].names, known[i].count, (uint32_t)option);
            if (name) {
                put(s, name);
                return;
            }
        }
    }
    put_f(s, "%#x", (uint32_t)option);
}

void put_socket_protocol(struct strace *s, uint64_t family, uint64_t protocol)
{
    static const struct name ip[] = {N(IPPROTO_IP), N(IPPROTO_ICMP), N(IPPROTO_TCP), N(IPPROTO_UDP), N(IPPROTO_ICMPV6),
        N(IPPROTO_RAW), N(IPPROTO_UDPLITE), N(IPPROTO_SCTP)};
    static const struct name netlink[] = {{0, "NETLINK_ROUTE"}, {4, "NETLINK_SOCK_DIAG"}, {9, "NETLINK_AUDIT"},
        {15, "NETLINK_KOBJECT_UEVENT"}, {16, "NETLINK_GENERIC"}};
    const char *name = NULL;
    if ((uint32_t)family == AF_INET || (uint32_t)family == AF_INET6) {
        name = find_name(ip, sizeof(ip) / sizeof(ip[0]), (uint32_t)protocol);
    } else if ((uint32_t)family == AF_NETLINK) {
        name = find_name(netlink, sizeof(netlink) / sizeof(netlink[0]), (uint32_t)protocol);
    }
    if (name) {
        put(s, name);
    } else {
        put_f(s, "%d", (int)protocol);
    }
}

void put_lock_type(struct strace *s, int type)
{
    static const struct name names[] = {N(F_RDLCK), N(F_WRLCK), N(F_UNLCK)};
    const char *name = find_name(names, 3, (uint64_t)type);
    if (name) {
        put(s, name);
    } else {
        put_f(s, "%#x /* F_??? */", type);
    }
}

/* ---- Files. */

void put_statx_attributes(struct strace *s, uint64_t attributes)
{
    static const struct name names[] = {N(STATX_ATTR_COMPRESSED), N(STATX_ATTR_IMMUTABLE), N(STATX_ATTR_APPEND),
        N(STATX_ATTR_NODUMP), N(STATX_ATTR_ENCRYPTED), N(STATX_ATTR_AUTOMOUNT), {0x2000, "STATX_ATTR_MOUNT_ROOT"},
        {0x100000, "STATX_ATTR_VERITY"}, {0x200000, "STATX_ATTR_DAX"}};
    if (attributes == 0) {
        put_char(s, '0');
    } else {
        put_bits(s, names, sizeof(names) / sizeof(names[0]), attributes, false);
    }
}

void put_fs_type(struct strace *s, uint64_t type)
{
    static const struct name names[] = {{0xef53, "EXT2_SUPER_MAGIC"}, N(TMPFS_MAGIC), N(PROC_SUPER_MAGIC),
        N(SYSFS_MAGIC), N(RAMFS_MAGIC), N(BTRFS_SUPER_MAGIC), N(OVERLAYFS_SUPER_MAGIC), N(XFS_SUPER_MAGIC),
        N(DEVPTS_SUPER_MAGIC), N(CGROUP2_SUPER_MAGIC), N(SQUASHFS_MAGIC), N(CGROUP_SUPER_MAGIC), N(DEBUGFS_MAGIC),
        N(TRACEFS_MAGIC), N(SECURITYFS_MAGIC), N(BPF_FS_MAGIC), N(PSTOREFS_MAGIC), N(HUGETLBFS_MAGIC),
        N(ISOFS_SUPER_MAGIC), N(MSDOS_SUPER_MAGIC), N(EFIVARFS_MAGIC), N(AUTOFS_SUPER_MAGIC), N(BINFMTFS_MAGIC),
        N(NSFS_MAGIC), N(SOCKFS_MAGIC), {0xe0f5e1e2, "EROFS_SUPER_MAGIC_V1"}, {0x19800202, "MQUEUE_MAGIC"},
        N(NFS_SUPER_MAGIC), {0x65735546, "FUSE_SUPER_MAGIC"}};
    const char *name = find_name(names, sizeof(names) / sizeof(names[0]), type);
    if (name) {
        put(s, name);
    } else {
        put_f(s, "%#" PRIx64, type);
    }
}

void put_statfs_flags(struct strace *s, uint64_t flags)
{
    static const struct name names[] = {{0x20, "ST_VALID"}, N(ST_RDONLY), N(ST_NOSUID), N(ST_NODEV), N(ST_NOEXEC),
        N(ST_SYNCHRONOUS), N(ST_MANDLOCK), N(ST_NOATIME), N(ST_NODIRATIME), N(ST_RELATIME)};
    if (flags == 0) {
        put_char(s, '0');
    } else {
        put_bits(s, names, sizeof(names) / sizeof(names[0]), flags, false);
    }
}

void put_baud(struct strace *s, unsigned cflag)
{
    static const char *const low[] = {"B0", "B50", "B75", "B110", "B134", "B150", "B200", "B300", "B600", "B1200",
        "B1800", "B2400", "B4800", "B9600", "B19200", "B38400"};
    static const char *const high[] = {"BOTHER", "B57600", "B115200", "B230400", "B460800", "B500000", "B576000",
        "B921600", "B1000000", "B1152000", "B1500000", "B2000000", "B2500000", "B3000000", "B3500000", "B4000000"};
    put(s, cflag & 010000 ? high[cflag & 017] : low[cflag & 017]);
}

/* ---- Errors. */

const char *errno_name(int error)
{
    switch (error) {
    case EWOULDBLOCK:
        return "EAGAIN";
    default:
        return strerrorname_np(error);
    }
}
