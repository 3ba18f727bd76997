/* SPDX-License-Identifier: MIT */
/* A call from its name to its result. */
#include "strace.h"

#include "linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define RESULT_COLUMN 40

static bool is(const struct strace *s, const char *name)
{
    return s->call.name && strcmp(s->call.name, name) == 0;
}

static void put_dirfd(struct strace *s, uint64_t value)
{
    if ((int)value == AT_FDCWD) {
        put(s, "AT_FDCWD");
    } else {
        put_f(s, "%d", (int)value);
    }
}

static void put_value(struct strace *s, unsigned index)
{
    const uint64_t value = s->args[index];
    const enum arg_kind kind = s->call.args[index].kind;
    switch (kind) {
    case ARG_INT:
    case ARG_FD:
    case ARG_KILL_PID:
        if (is(s, "socket") || is(s, "socketpair")) {
            put_socket_protocol(s, s->args[0], value);
        } else {
            put_f(s, "%d", (int)value);
        }
        return;
    case ARG_UINT:
        put_f(s, "%u", (unsigned)value);
        return;
    case ARG_LONG:
        put_f(s, "%jd", (intmax_t)value);
        return;
    case ARG_ULONG:
        put_f(s, "%ju", (uintmax_t)value);
        return;
    case ARG_UID:
        put_f(s, (unsigned)value == UINT32_MAX ? "-1" : "%u", (unsigned)value);
        return;
    case ARG_HEX32:
        put_f(s, "%#x", (unsigned)value);
        return;
    case ARG_HEX:
        put_f(s, "%#" PRIx64, value);
        return;
    case ARG_DIRFD:
        put_dirfd(s, value);
        return;
    case ARG_MODE:
        if (is(s, "mknod") || is(s, "mknodat")) {
            put_file_mode(s, (unsigned)value);
        } else {
            put_mode(s, (unsigned)value);
        }
        return;
    case ARG_OPEN_MODE:
        put_mode(s, (unsigned)value);
        return;
    case ARG_DEV:
        put_device(s, value);
        return;
    case ARG_SOCKOPT:
        put_sockopt_name(s, s->args[1], value);
        return;
    default:
        if (!put_named(s, kind, value)) {
            put_address(s, value);
        }
        return;
    }
}

/* Arguments that are there only if the ones before say so. */
static bool is_absent(const struct strace *s, unsigned index)
{
    const struct arg *arg = &s->call.args[index];
    if (arg->kind == ARG_END || arg->kind == ARG_UNUSED) {
        return true;
    }
    if (arg->kind == ARG_OPEN_MODE) {
        uint64_t flags = s->args[index - 1];
        return !(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE;
    }
    if (is(s, "mremap") && index == 4) {
        return !(s->args[3] & (MREMAP_FIXED | 4));
    }
    if ((is(s, "mknod") || is(s, "mknodat")) && arg->kind == ARG_DEV) {
        unsigned type = s->args[index - 1] & 0170000;
        return type != 0020000 && type != 0060000;
    }
    return false;
}

/* Known when the call begins? What the kernel fills in is not. */
static bool is_known_at_entry(const struct strace *s, unsigned index)
{
    const struct arg *arg = &s->call.args[index];
    if (arg->kind == ARG_SOCKLEN || arg->kind == ARG_MMSGHDR || arg->kind == ARG_FLOCK_STRUCT) {
        return false;
    }
    return !(arg->flags & ARG_OUT) || (arg->flags & ARG_IN) || arg->memory == MEM_NONE;
}

static void put_argument(struct strace *s, unsigned index)
{
    const struct arg *arg = &s->call.args[index];
    const bool filled = (arg->flags & ARG_OUT) && !(arg->flags & ARG_IN);
    const bool interrupted = s->result == -EINTR && arg->kind == ARG_TIMESPEC;
    if (index == 5 && is(s, "futex") && arg->kind == ARG_HEX32) {
        put(s, (uint32_t)s->args[5] == FUTEX_BITSET_MATCH_ANY ? "FUTEX_BITSET_MATCH_ANY" : "");
        if ((uint32_t)s->args[5] != FUTEX_BITSET_MATCH_ANY) {
            put_value(s, index);
        }
        return;
    }
    /* The pages that mincore fills and the like are shown as addresses; so is what a failed call did not fill. */
    if (arg->memory == MEM_NONE && arg->kind != ARG_ARGV && arg->kind != ARG_ENVP) {
        put_value(s, index);
        return;
    }
    if (s->args[index] == 0 && arg->kind != ARG_BUFFER) {
        put(s, "NULL");
        return;
    }
    if (filled && !s->entering) {
        /* A sleep that came to its end leaves no time. */
        bool unfilled = s->result < 0 ? !interrupted : arg->kind == ARG_TIMESPEC && strstr(s->call.name, "nanosleep");
        if (unfilled) {
            put_address(s, s->args[index]);
            return;
        }
    }
    if (!put_data(s, index)) {
        put_address(s, s->args[index]);
    }
}

/* A number that the call moves on, such as sendfile's offset: "[3] => [13]". */
static void put_moved(struct strace *s)
{
    int64_t after;
    if (s->result >= 0 && fetch(s, &after, s->args[s->next], sizeof(after)) && after != s->before) {
        put_f(s, " => [%jd]", (intmax_t)after);
    }
    s->half = false;
    s->next++;
}

static bool is_moved(struct strace *s)
{
    const struct arg *arg = &s->call.args[s->next];
    return arg->kind == ARG_LONG_PTR && (arg->flags & ARG_IN) && (arg->flags & ARG_OUT) &&
           fetch(s, &s->before, s->args[s->next], sizeof(s->before));
}

static void put_arguments(struct strace *s)
{
    if (s->half) {
        put_moved(s);
    }
    while (s->next < CALL_ARGS) {
        if (is_absent(s, s->next)) {
            s->next++;
            continue;
        }
        if (s->entering && !is_known_at_entry(s, s->next)) {
            return;
        }
        put(s, s->next ? ", " : "");
        put_argument(s, s->next);
        if (s->entering && is_moved(s)) {
            s->half = true;
            return;
        }
        s->next++;
    }
}

/* The frame that a handler leaves by: struct ucontext, whose mask lies behind 256 bytes of registers. */
static void put_frame_mask(struct strace *s)
{
    uint64_t mask;
    if (s->stack && fetch(s, &mask, s->stack + 296, sizeof(mask))) {
        put(s, "{mask=");
        put_sigset(s, mask);
        put_char(s, '}');
    }
    s->next = CALL_ARGS;
}

/* What a socklen_t says now, for what it says afterwards. */
static void note_room(struct strace *s)
{
    s->room = 0;
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        if (s->call.args[i].memory == MEM_SIZE) {
            fetch(s, &s->room, s->args[i], sizeof(s->room));
        }
    }
}

/* clone's arguments have names and another order. */
static void put_clone(struct strace *s)
{
    put(s, "child_stack=");
    put_address(s, s->args[1]);
    put(s, ", flags=");
    put_named(s, ARG_CLONE_FLAGS, s->args[0]);
    if (s->args[0] & CLONE_PARENT_SETTID) {
        put(s, ", parent_tid=");
        put_address(s, s->args[2]);
    }
    if (s->args[0] & CLONE_SETTLS) {
        put(s, ", tls=");
        put_address(s, s->args[4]);
    }
    if (s->args[0] & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) {
        put(s, ", child_tidptr=");
        put_address(s, s->args[3]);
    }
    s->next = CALL_ARGS;
}

void strace_enter(struct strace *s, uint64_t number, const uint64_t args[CALL_ARGS])
{
    if (s->open) {
        strace_abandon(s);
    }
    s->number = number;
    memcpy(s->args, args, sizeof(s->args));
    call_describe(number, args, &s->call);
    s->next = 0;
    s->result = 0;
    s->open = true;
    s->entering = true;
    s->half = false;
    if (!s->call.name) {
        put_f(s, "syscall_%#x(%#" PRIx64, (unsigned)number, args[0]);
        for (unsigned i = 1; i < CALL_ARGS; i++) {
            put_f(s, ", %#" PRIx64, args[i]);
        }
        s->next = CALL_ARGS;
        return;
    }
    put(s, s->call.name);
    put_char(s, '(');
    note_room(s);
    if (number == SYS_clone) {
        put_clone(s);
    } else if (number == SYS_rt_sigreturn) {
        put_frame_mask(s);
    } else {
        put_arguments(s);
    }
}

/* ") " and blanks up to where results stand. */
static void end_arguments(struct strace *s)
{
    put_char(s, ')');
    do {
        put_char(s, ' ');
    } while (s->column < RESULT_COLUMN);
    put(s, "= ");
}

static bool result_is_address(const struct strace *s)
{
    switch (s->number) {
    case SYS_mmap:
    case SYS_mremap:
    case SYS_brk:
    case SYS_shmat:
        return true;
    default:
        return false;
    }
}

static void put_success(struct strace *s)
{
    uint32_t command = (uint32_t)s->args[1];
    if (result_is_address(s)) {
        put_f(s, "%#" PRIx64, (uint64_t)s->result);
    } else if (s->number == SYS_umask) {
        put_mode(s, (unsigned)s->result);
    } else if (s->number == SYS_fcntl && command == F_GETFL) {
        put_f(s, "%#lx (flags ", s->result);
        put_named(s, ARG_OPEN_FLAGS, (uint64_t)s->result);
        put_char(s, ')');
    } else if (s->number == SYS_fcntl && command == F_GETFD && s->result) {
        put_f(s, "%#lx (flags ", s->result);
        put_named(s, ARG_FD_FLAGS, (uint64_t)s->result);
        put_char(s, ')');
    } else if (s->number == SYS_time && s->result > 0) {
        struct tm tm;
        char date[64] = "";
        gmtime_r(&(time_t){s->result}, &tm);
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
        put_f(s, "%ld (%s+0000)", s->result, date);
    } else {
        put_f(s, "%ld", s->result);
    }
}

/* The kernel has three ways to begin again, and which one is the call's nature. */
static void put_restart(struct strace *s)
{
    switch (s->number) {
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_select:
    case SYS_pselect6:
    case SYS_ppoll:
        put(s, "? ERESTARTNOHAND (To be restarted if no handler)");
        return;
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_poll:
        put(s, "? ERESTART_RESTARTBLOCK (Interrupted by signal)");
        return;
    default:
        put(s, "? ERESTARTSYS (To be restarted if SA_RESTART is set)");
        return;
    }
}

void strace_leave(struct strace *s, long result, const char *note)
{
    if (!s->open) {
        return;
    }
    s->entering = false;
    s->result = result;
    if (s->call.name) {
        put_arguments(s);
    }
    end_arguments(s);
    if (result == -LINUX_ERESTARTSYS) {
        put_restart(s);
    } else if (result < 0 && result >= -4095) {
        const char *name = errno_name((int)-result);
        if (name) {
            put_f(s, "-1 %s (%s)", name, strerror((int)-result));
        } else {
            put_f(s, "-1 (errno %ld)", -result);
        }
    } else {
        put_success(s);
        put_ready(s);
    }
    if (note) {
        put_f(s, " (%s)", note);
    }
    put_char(s, '\n');
    s->open = false;
}

void strace_abandon(struct strace *s)
{
    if (!s->open) {
        return;
    }
    /* What it would have filled in is unknown: addresses. */
    s->entering = false;
    s->result = -EINTR;
    if (s->call.name) {
        put_arguments(s);
    }
    end_arguments(s);
    put(s, "?\n");
    s->open = false;
}

void strace_execve(struct strace *s, const char *path, char *const argv[], uint64_t envp, size_t envc)
{
    put(s, "execve(");
    put_quoted(s, path, strlen(path));
    put(s, ", [");
    for (unsigned i = 0; argv[i]; i++) {
        size_t length = strlen(argv[i]);
        put(s, i ? ", " : "");
        if (i == 32) {
            put(s, "...");
            break;
        }
        put_quoted(s, argv[i], length < STRACE_STRING ? length : STRACE_STRING);
        put(s, length > STRACE_STRING ? "..." : "");
    }
    put(s, "], ");
    put_address(s, envp);
    put_f(s, " /* %zu var%s */", envc, envc == 1 ? "" : "s");
    end_arguments(s);
    put(s, "0\n");
}

void strace_signal(struct strace *s, const siginfo_t *info)
{
    put(s, "--- ");
    put_signal(s, (uint64_t)info->si_signo);
    put(s, " {si_signo=");
    put_signal(s, (uint64_t)info->si_signo);
    put(s, ", si_code=");
    put_si_code(s, info->si_signo, info->si_code);
    if (info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_QUEUE) {
        put_f(s, ", si_pid=%d, si_uid=%u", info->si_pid, info->si_uid);
        if (info->si_code == SI_QUEUE) {
            put_f(s, ", si_int=%d, si_ptr=", info->si_value.sival_int);
            put_address(s, (uintptr_t)info->si_value.sival_ptr);
        }
    } else if (info->si_code == SI_TIMER) {
        put_f(s, ", si_timerid=%#x, si_overrun=%d", (unsigned)info->si_timerid, info->si_overrun);
    } else if (info->si_signo == SIGCHLD) {
        put_f(s, ", si_pid=%d, si_uid=%u, si_status=", info->si_pid, info->si_uid);
        if (info->si_code == CLD_EXITED) {
            put_f(s, "%d", info->si_status);
        } else {
            put_signal(s, (uint64_t)info->si_status);
        }
        put_f(s, ", si_utime=%ld, si_stime=%ld", info->si_utime, info->si_stime);
    } else if (info->si_code > 0 &&
               (info->si_signo == SIGSEGV || info->si_signo == SIGBUS || info->si_signo == SIGFPE ||
                   info->si_signo == SIGILL || info->si_signo == SIGTRAP)) {
        put(s, ", si_addr=");
        put_address(s, (uintptr_t)info->si_addr);
    }
    put(s, "} ---\n");
}

void strace_exited(struct strace *s, int status)
{
    strace_abandon(s);
    put_f(s, "+++ exited with %d +++\n", status);
}

void strace_killed(struct strace *s, int sig, bool core)
{
    strace_abandon(s);
    put(s, "+++ killed by ");
    put_signal(s, (uint64_t)sig);
    put(s, core ? " (core dumped) +++\n" : " +++\n");
}
