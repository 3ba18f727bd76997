/* SPDX-License-Identifier: MIT */
/*
 * calls: what is known about each system call of x86-64 Linux: its name, and for each argument what it means and which
 * memory it points to. One table serves both the checks of proceed_call and the printing of a tracer, so that what is
 * shown is what was checked.
 */
#ifndef MONITOR_PROCEED_CALLS_H
#define MONITOR_PROCEED_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an argument means: for printing. */
enum arg_kind {
    ARG_END = 0,
    ARG_INT,
    ARG_UINT,
    ARG_LONG,
    ARG_ULONG,
    ARG_HEX,
    ARG_HEX32,
    ARG_ADDR,
    ARG_FD,
    ARG_DIRFD,
    ARG_UID,
    ARG_MODE,
    ARG_DEV,
    ARG_OPEN_MODE, /* like ARG_MODE, but there only if the flags before it create */
    ARG_UNUSED,    /* passed, never printed */
    /* Flags and names of constants. */
    ARG_OPEN_FLAGS,
    ARG_ACCESS,
    ARG_AT_FLAGS,
    ARG_PROT,
    ARG_MAP_FLAGS,
    ARG_MREMAP_FLAGS,
    ARG_MADVICE,
    ARG_MSYNC_FLAGS,
    ARG_WHENCE,
    ARG_FCNTL_CMD,
    ARG_FD_FLAGS,
    ARG_CLOCK,
    ARG_TIMER_FLAGS,
    ARG_SIGNAL,
    ARG_SIG_HOW,
    ARG_AF,
    ARG_SOCK_TYPE,
    ARG_SHUT,
    ARG_SOL,
    ARG_SOCKOPT,
    ARG_MSG_FLAGS,
    ARG_EPOLL_OP,
    ARG_EPOLL_FLAGS,
    ARG_EVENTFD_FLAGS,
    ARG_PIPE_FLAGS,
    ARG_FUTEX_OP,
    ARG_RLIMIT,
    ARG_RUSAGE_WHO,
    ARG_WAIT_OPTIONS,
    ARG_CLONE_FLAGS,
    ARG_UNSHARE_FLAGS,
    ARG_PRCTL,
    ARG_ARCH_PRCTL,
    ARG_IOCTL,
    ARG_FLOCK,
    ARG_MOUNT_FLAGS,
    ARG_UMOUNT_FLAGS,
    ARG_FALLOC_MODE,
    ARG_FADVICE,
    ARG_GRND_FLAGS,
    ARG_MFD_FLAGS,
    ARG_STATX_MASK,
    ARG_SPLICE_FLAGS,
    ARG_XATTR_FLAGS,
    ARG_RENAME_FLAGS,
    ARG_PRIO_WHICH,
    ARG_SCHED_POLICY,
    ARG_ITIMER,
    ARG_TFD_FLAGS,
    ARG_SFD_FLAGS,
    ARG_CLOSE_RANGE_FLAGS,
    ARG_INOTIFY_FLAGS,
    ARG_INOTIFY_MASK,
    ARG_P_IDTYPE,
    ARG_MLOCKALL_FLAGS,
    ARG_KILL_PID,
    /* Memory. */
    ARG_PATH,
    ARG_STRING,
    ARG_BUFFER, /* bytes shown as a string */
    ARG_RANDOM, /* bytes shown in hexadecimal escapes */
    ARG_OPAQUE, /* a structure that is shown as its address only */
    ARG_ARGV,
    ARG_ENVP,
    ARG_INT_PTR,
    ARG_UINT_PTR,
    ARG_LONG_PTR,
    ARG_FD_PAIR,
    ARG_UID_PTR,
    ARG_UID_ARRAY,
    ARG_STAT,
    ARG_STATX,
    ARG_STATFS,
    ARG_TIMESPEC,
    ARG_TIMESPEC_PAIR,
    ARG_TIMEVAL,
    ARG_TIMEVAL_PAIR,
    ARG_TIMEZONE,
    ARG_ITIMERVAL,
    ARG_ITIMERSPEC,
    ARG_UTIMBUF,
    ARG_TMS,
    ARG_SIGSET,
    ARG_SIGACTION,
    ARG_SIGINFO,
    ARG_STACK_T,
    ARG_RLIMITS,
    ARG_RUSAGE,
    ARG_SYSINFO,
    ARG_UTSNAME,
    ARG_POLLFDS,
    ARG_FDSET,
    ARG_SIGSET_PAIR, /* the last argument of pselect6 */
    ARG_EPOLL_EVENT,
    ARG_EPOLL_EVENTS,
    ARG_IOVEC,
    ARG_MSGHDR,
    ARG_MMSGHDR,
    ARG_SOCKADDR,
    ARG_SOCKLEN,
    ARG_SOCKOPT_VALUE,
    ARG_DIRENTS,
    ARG_FLOCK_STRUCT,
    ARG_WINSIZE,
    ARG_TERMIOS,
    ARG_WAIT_STATUS,
    ARG_SCHED_PARAM,
    ARG_CPUSET,
    ARG_KINDS
};

/* Which memory an argument points to: for the checks. */
enum arg_memory {
    MEM_NONE = 0,
    MEM_FIXED,       /* `size` bytes */
    MEM_COUNTED,     /* `size` bytes times argument `len`, plus `extra` */
    MEM_STRING,      /* NUL-terminated, at most a page is looked at */
    MEM_PAGE,        /* up to a page, as far as it is mapped (the data of mount) */
    MEM_IOVEC,       /* argument `len` entries of struct iovec */
    MEM_MSGHDR,      /* struct msghdr and all that hangs on it */
    MEM_MMSGHDR,     /* argument `len` entries of struct mmsghdr */
    MEM_SIZED,       /* as many bytes as the socklen_t that argument `len` points to says */
    MEM_SIZE,        /* that socklen_t, in and out */
    MEM_FDSET,       /* bits for argument `len` descriptors */
    MEM_SIGSET_PAIR, /* pselect6's {pointer, size} */
    MEM_FUTEX_WAITV, /* argument `len` entries of struct futex_waitv */
    MEM_FILE_HANDLE, /* struct file_handle: its first word says how long it is */
    MEM_SCHED_ATTR,  /* struct sched_attr: likewise */
    MEM_IFCONF,      /* struct ifconf with its buffer */
};

enum arg_flag {
    ARG_IN = 1,       /* the kernel reads it */
    ARG_OUT = 2,      /* the kernel writes it */
    ARG_OPTIONAL = 4, /* NULL means that it is not there */
    ARG_RESULT = 8,   /* of what is written, only as many units as the result says */
    ARG_SHORT = 16,   /* fewer bytes than asked for are an answer too */
};

struct arg {
    uint8_t kind;   /* enum arg_kind */
    uint8_t memory; /* enum arg_memory */
    uint8_t flags;  /* enum arg_flag */
    uint8_t len;    /* which argument has the length */
    uint16_t size;
    uint8_t extra;
};

#define CALL_ARGS 6

/* What proceed_call does with it. */
enum call_policy {
    CALL_UNKNOWN = 0,
    CALL_HOST,   /* made on the host after the checks */
    CALL_CALLER, /* acts on the process itself or carries what cannot be checked: -ENOSYS */
};

/* A call of many faces (ioctl, fcntl, ...): what its arguments are depends on their values. */
enum call_refine {
    REFINE_NONE = 0,
    REFINE_FCNTL,
    REFINE_IOCTL,
    REFINE_PRCTL,
    REFINE_FUTEX,
    REFINE_GETSOCKOPT,
    REFINE_SETSOCKOPT,
    REFINE_SEMCTL,
    REFINE_SHMCTL,
    REFINE_MSGCTL,
    REFINE_UNSHARE,
    REFINE_CLOSE_RANGE,
    REFINE_PERSONALITY,
    REFINE_MQ_NOTIFY,
    REFINE_FSCONFIG,
};

struct call {
    const char *name; /* NULL: there is no such call */
    uint8_t policy;
    uint8_t refine;
    bool opens;     /* the result is a descriptor of a file that a path or a handle named */
    bool self_only; /* means the memory itself, not what is in it (futexes): copies would not do */
    struct arg args[CALL_ARGS];
};

/* The table's row for a number, or NULL if there is no such call. */
const struct call *call_find(uint64_t number);

/* The number of that name, or -1. */
long call_number(const char *name);

/* One more than the largest number in the table. */
extern const unsigned call_limit;

/*
 * The row for a call with these very arguments: a copy of the table's, with the arguments of fcntl, ioctl and the like
 * made precise. Returns 0 if the host may make it, else the -errno that the sandbox gets; *out is filled either way, as
 * well as it can be.
 */
long call_describe(uint64_t number, const uint64_t args[CALL_ARGS], struct call *out);

/* For call_describe: changes call->args; 0 or -errno. */
long call_refine_args(struct call *call, const uint64_t args[CALL_ARGS]);

/* The value of argument index as the kernel sees a length: 32 bits of it if the kernel takes an int. */
uint64_t call_length(const struct call *call, const uint64_t args[CALL_ARGS], unsigned index);

/* ioctl: the request's argument, or -ENOTTY if the request is not known. */
long ioctl_argument(uint32_t request, struct arg *out);
/* The request's name, or NULL. */
const char *ioctl_name(uint32_t request);

#endif
