/* SPDX-License-Identifier: MIT */
/* Which calls -e trace= means. */
#include "strace.h"

#include <string.h>

/* Classes that the arguments do not tell. */
static const char *const memory_calls[] = {"brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "msync", "mincore",
    "mlock", "mlock2", "munlock", "mlockall", "munlockall", "remap_file_pages", "mbind", "get_mempolicy",
    "set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages", "pkey_mprotect", "process_madvise",
    "shmat", "shmdt", "map_shadow_stack", "mseal", "io_setup", "io_destroy", NULL};
static const char *const process_calls[] = {"clone", "clone3", "fork", "vfork", "execve", "execveat", "exit",
    "exit_group", "wait4", "waitid", "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open",
    "pidfd_send_signal", "arch_prctl", NULL};
static const char *const network_calls[] = {"socket", "connect", "accept", "accept4", "sendto", "recvfrom", "sendmsg",
    "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "bind", "listen", "getsockname", "getpeername", "socketpair",
    "setsockopt", "getsockopt", "getpmsg", "putpmsg", NULL};
static const char *const signal_calls[] = {"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending",
    "rt_sigtimedwait", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigsuspend", "sigaltstack", "kill", "tkill",
    "tgkill", "pause", "signalfd", "signalfd4", "pidfd_send_signal", NULL};

static bool any_argument(const struct call *call, enum arg_kind a, enum arg_kind b)
{
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        if (call->args[i].kind == a || call->args[i].kind == b) {
            return true;
        }
    }
    return false;
}

static bool in_list(const char *const *list, const char *name)
{
    for (; *list; list++) {
        if (strcmp(*list, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Calls that hand out descriptors without taking one. */
static bool makes_descriptors(const char *name)
{
    static const char *const list[] = {"open", "creat", "pipe", "pipe2", "socket", "socketpair", "epoll_create",
        "epoll_create1", "eventfd", "eventfd2", "timerfd_create", "inotify_init", "inotify_init1", "memfd_create",
        "select", "pselect6", "poll", "ppoll", "close_range", "perf_event_open", "fanotify_init", "userfaultfd",
        "memfd_secret", "pidfd_open", "io_uring_setup", NULL};
    return in_list(list, name);
}

static bool in_class(const struct call *call, const char *class, size_t length)
{
    static const struct {
        const char *name;
        const char *const *calls;
    } lists[] = {{"memory", memory_calls}, {"process", process_calls}, {"network", network_calls},
        {"net", network_calls}, {"signal", signal_calls}};
    if (length == 4 && (memcmp(class, "file", 4) == 0 || memcmp(class, "desc", 4) == 0)) {
        return class[0] == 'f' ? any_argument(call, ARG_PATH, ARG_PATH)
                               : any_argument(call, ARG_FD, ARG_DIRFD) || makes_descriptors(call->name);
    }
    for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (strlen(lists[i].name) == length && memcmp(lists[i].name, class, length) == 0) {
            return in_list(lists[i].calls, call->name);
        }
    }
    return false;
}

/* Adds what one name means; false if it means nothing. */
static bool choose(struct strace_filter *filter, const char *name, size_t length)
{
    bool found = false;
    for (unsigned number = 0; number < call_limit; number++) {
        const struct call *call = call_find(number);
        if (!call) {
            continue;
        }
        bool match = name[0] == '%' ? in_class(call, name + 1, length - 1)
                                    : strlen(call->name) == length && memcmp(call->name, name, length) == 0;
        filter->chosen[number] |= match;
        found |= match;
    }
    return found;
}

const char *filter_parse(struct strace_filter *filter, const char *text)
{
    static char unknown[64];
    *filter = (struct strace_filter){0};
    if (strncmp(text, "trace=", 6) == 0) {
        text += 6;
    }
    bool others = *text == '!';
    text += others;
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
        filter->all = (*text == 'a') != others;
        return NULL;
    }
    do {
        size_t length = strcspn(text, ",");
        if (length == 0 || !choose(filter, text, length)) {
            length = length < sizeof(unknown) ? length : sizeof(unknown) - 1;
            memcpy(unknown, text, length);
            unknown[length] = 0;
            return unknown;
        }
        text += length;
    } while (*text++ == ',');
    if (others) {
        for (unsigned number = 0; number < sizeof(filter->chosen); number++) {
            filter->chosen[number] = !filter->chosen[number];
        }
    }
    return NULL;
}

bool filter_has(const struct strace_filter *filter, uint64_t number)
{
    return filter->all || (number < sizeof(filter->chosen) && filter->chosen[number]);
}
