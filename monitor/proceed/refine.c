/* SPDX-License-Identifier: MIT */
/*
 * Calls of many faces. Only requests that are known are let through: what an unknown one would do with its argument
 * nobody has looked at, and the next kernel may make it a pointer.
 */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/mount.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>

#ifndef F_GET_RW_HINT
#define F_GET_RW_HINT 1035
#define F_SET_RW_HINT 1036
#define F_GET_FILE_RW_HINT 1037
#define F_SET_FILE_RW_HINT 1038
#endif
#define F_GETOWNER_UIDS_ 17
#define F_DUPFD_QUERY_ 1027
#define F_CREATED_QUERY_ 1028

static const struct arg no_argument = {.kind = ARG_END};

static struct arg value(enum arg_kind kind)
{
    return (struct arg){.kind = (uint8_t)kind};
}

static struct arg fixed(enum arg_kind kind, unsigned size, unsigned flags)
{
    return (struct arg){.kind = (uint8_t)kind, .memory = MEM_FIXED, .size = (uint16_t)size, .flags = (uint8_t)flags};
}

static void cut(struct call *call, unsigned first)
{
    for (unsigned i = first; i < CALL_ARGS; i++) {
        call->args[i] = no_argument;
    }
}

static long refine_fcntl(struct call *call, const uint64_t *args)
{
    struct arg *arg = &call->args[2];
    switch ((uint32_t)args[1]) {
    case F_GETFD:
    case F_GETFL:
    case F_GETOWN:
    case F_GETSIG:
    case F_GETLEASE:
    case F_GETPIPE_SZ:
    case F_GET_SEALS:
    case F_CREATED_QUERY_:
        *arg = no_argument;
        return 0;
    case F_SETFD:
        *arg = value(ARG_FD_FLAGS);
        return 0;
    case F_SETFL:
        *arg = value(ARG_OPEN_FLAGS);
        return 0;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_DUPFD_QUERY_:
    case F_SETOWN:
    case F_SETPIPE_SZ:
        *arg = value(ARG_INT);
        return 0;
    case F_SETSIG:
        *arg = value(ARG_SIGNAL);
        return 0;
    case F_SETLEASE:
    case F_NOTIFY:
    case F_ADD_SEALS:
        *arg = value(ARG_HEX);
        return 0;
    case F_GETLK:
    case F_OFD_GETLK:
        *arg = fixed(ARG_FLOCK_STRUCT, sizeof(struct flock), ARG_IN | ARG_OUT);
        return 0;
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        *arg = fixed(ARG_FLOCK_STRUCT, sizeof(struct flock), ARG_IN);
        return 0;
    case F_GETOWN_EX:
    case F_GETOWNER_UIDS_:
        *arg = fixed(ARG_OPAQUE, 8, ARG_OUT);
        return 0;
    case F_SETOWN_EX:
        *arg = fixed(ARG_OPAQUE, 8, ARG_IN);
        return 0;
    case F_GET_RW_HINT:
    case F_GET_FILE_RW_HINT:
        *arg = fixed(ARG_LONG_PTR, 8, ARG_OUT);
        return 0;
    case F_SET_RW_HINT:
    case F_SET_FILE_RW_HINT:
        *arg = fixed(ARG_LONG_PTR, 8, ARG_IN);
        return 0;
    default:
        return -EINVAL;
    }
}

/* Options of prctl about which the caller has nothing to fear: they name, count or restrict, and leave memory,
 * signals and the reading of the clock alone. */
static long refine_prctl(struct call *call, const uint64_t *args)
{
    struct arg *arg = &call->args[1];
    switch ((int)args[0]) {
    case PR_SET_NAME:
        *arg = (struct arg){.kind = ARG_STRING, .memory = MEM_STRING, .flags = ARG_IN};
        cut(call, 2);
        return 0;
    case PR_GET_NAME:
        *arg = fixed(ARG_STRING, 16, ARG_OUT);
        cut(call, 2);
        return 0;
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
        *arg = fixed(ARG_INT_PTR, 4, ARG_OUT);
        cut(call, 2);
        return 0;
    case PR_GET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_GET_TIMERSLACK:
    case PR_GET_SECUREBITS:
        cut(call, 1);
        return 0;
    case PR_SET_PDEATHSIG:
        *arg = value(ARG_SIGNAL);
        cut(call, 2);
        return 0;
    case PR_SET_DUMPABLE:
    case PR_SET_KEEPCAPS:
    case PR_SET_TIMERSLACK:
    case PR_SET_SECUREBITS:
    case PR_SET_CHILD_SUBREAPER:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_SET_PTRACER:
        cut(call, 2);
        return 0;
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_CAP_AMBIENT:
    case PR_MCE_KILL:
    case PR_MCE_KILL_GET:
    case PR_GET_SPECULATION_CTRL:
    case PR_GET_THP_DISABLE:
    case PR_SET_IO_FLUSHER:
    case PR_GET_IO_FLUSHER:
        return 0;
    default:
        return -ENOSYS;
    }
}

static long refine_futex(struct call *call, const uint64_t *args)
{
    struct arg *timeout = &call->args[3];
    struct arg *second = &call->args[4];
    const struct arg timespec = fixed(ARG_TIMESPEC, 16, ARG_IN | ARG_OPTIONAL);
    const struct arg word = fixed(ARG_ADDR, 4, ARG_IN | ARG_OUT);
    switch (args[1] & FUTEX_CMD_MASK & 0xffffffff) {
    case FUTEX_WAIT:
        *timeout = timespec;
        cut(call, 4);
        return 0;
    case FUTEX_WAKE:
        cut(call, 3);
        return 0;
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        *timeout = timespec;
        cut(call, 4);
        return 0;
    case FUTEX_UNLOCK_PI:
    case FUTEX_TRYLOCK_PI:
        cut(call, 2);
        return 0;
    case FUTEX_WAIT_BITSET:
        *timeout = timespec;
        *second = value(ARG_UNUSED);
        return 0;
    case FUTEX_WAKE_BITSET:
        *timeout = value(ARG_UNUSED);
        *second = value(ARG_UNUSED);
        return 0;
    case FUTEX_REQUEUE:
        *second = word;
        cut(call, 5);
        return 0;
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
    case FUTEX_CMP_REQUEUE_PI:
        *second = word;
        return 0;
    case FUTEX_WAIT_REQUEUE_PI:
        *timeout = timespec;
        *second = word;
        return 0;
    default:
        return -ENOSYS;
    }
}

/*
 * Options of sockets whose value is flat. Filters are not (struct sock_fprog has a pointer, and SO_GET_FILTER counts in
 * instructions, not bytes), nor are TCP_ZEROCOPY_RECEIVE and the tables of netfilter.
 */
static long check_sockopt(const uint64_t *args)
{
    int level = (int)args[1], option = (int)args[2];
    if (option < 0) {
        return -ENOPROTOOPT;
    }
    switch (level) {
    case SOL_SOCKET:
        return option == SO_ATTACH_FILTER || option == SO_ATTACH_REUSEPORT_CBPF || option > 80 ? -ENOPROTOOPT : 0;
    case IPPROTO_IP:
        return option >= 64 || option == 41 /* IP_MSFILTER */ ? -ENOPROTOOPT : 0;
    case IPPROTO_IPV6:
        return option > 80 || (option >= 64 && option <= 65) || (option >= 68 && option <= 69) ? -ENOPROTOOPT : 0;
    case IPPROTO_TCP:
        return option > 37 || option == 35 /* TCP_ZEROCOPY_RECEIVE */ ? -ENOPROTOOPT : 0;
    case IPPROTO_UDP:
        return option > 104 ? -ENOPROTOOPT : 0;
    case IPPROTO_ICMPV6:
    case IPPROTO_RAW:
        return option > 1 ? -ENOPROTOOPT : 0;
    case 270: /* SOL_NETLINK */
        return option > 12 ? -ENOPROTOOPT : 0;
    default:
        return -ENOPROTOOPT;
    }
}

static long refine_semctl(struct call *call, const uint64_t *args)
{
    switch ((int)args[2] & ~0x100 /* IPC_64 */) {
    case IPC_RMID:
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
        cut(call, 3);
        return 0;
    case SETVAL:
        call->args[3] = value(ARG_INT);
        return 0;
    default:
        return -ENOSYS;
    }
}

/* shmctl and msgctl: only the removal is simple. */
static long refine_ipc_rmid(struct call *call, const uint64_t *args)
{
    if (((int)args[1] & ~0x100) != IPC_RMID) {
        return -ENOSYS;
    }
    call->args[2] = value(ARG_ADDR);
    return 0;
}

static long refine_fsconfig(struct call *call, const uint64_t *args)
{
    struct arg *arg = &call->args[3];
    switch ((uint32_t)args[1]) {
    case FSCONFIG_SET_FLAG:
    case FSCONFIG_SET_FD:
    case FSCONFIG_CMD_CREATE:
    case FSCONFIG_CMD_RECONFIGURE:
        return 0;
    case FSCONFIG_SET_STRING:
    case FSCONFIG_SET_PATH:
    case FSCONFIG_SET_PATH_EMPTY:
        *arg = (struct arg){.kind = ARG_STRING, .memory = MEM_STRING, .flags = ARG_IN | ARG_OPTIONAL};
        return 0;
    case FSCONFIG_SET_BINARY:
        *arg = (struct arg){
            .kind = ARG_BUFFER, .memory = MEM_COUNTED, .size = 1, .len = 4, .flags = ARG_IN | ARG_OPTIONAL};
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

/* struct sigevent: a thread to be notified is a second pointer for the kernel (sival_ptr). */
static long refine_sigevent(struct call *call, const uint64_t *args)
{
    (void)call;
    return args[1] ? -ENOSYS : 0;
}

long call_refine_args(struct call *call, const uint64_t args[CALL_ARGS])
{
    switch (call->refine) {
    case REFINE_FCNTL:
        return refine_fcntl(call, args);
    case REFINE_IOCTL:
        return ioctl_argument((uint32_t)args[1], &call->args[2]);
    case REFINE_PRCTL:
        return refine_prctl(call, args);
    case REFINE_FUTEX:
        return refine_futex(call, args);
    case REFINE_GETSOCKOPT:
    case REFINE_SETSOCKOPT:
        return check_sockopt(args);
    case REFINE_SEMCTL:
        return refine_semctl(call, args);
    case REFINE_SHMCTL:
    case REFINE_MSGCTL:
        return refine_ipc_rmid(call, args);
    case REFINE_UNSHARE:
        /* What threads of one process share: taken from one of them, the caller would be torn apart. */
        return args[0] & (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES) ? -ENOSYS : 0;
    case REFINE_CLOSE_RANGE:
        return args[2] & CLOSE_RANGE_UNSHARE ? -ENOSYS : 0;
    case REFINE_PERSONALITY:
        return (uint32_t)args[0] == 0xffffffff ? 0 : -ENOSYS;
    case REFINE_MQ_NOTIFY:
        return refine_sigevent(call, args);
    case REFINE_FSCONFIG:
        return refine_fsconfig(call, args);
    default:
        return 0;
    }
}
