/* SPDX-License-Identifier: MIT */
/* process: how a process comes into being, ends, and is waited for. */
#include "umlike.h"

#define PIDS 4096

struct process *all_processes, *init_process;
uint32_t process_count;
void *fpu_state;

static struct process *by_pid[PIDS];
static int last_pid;
static struct process *unburied; /* ended, and nobody will wait for them; through `parent` */

_Static_assert(sizeof(struct process) <= PAGE && sizeof(struct files) <= PAGE, "each has a page of its own");

/* ---------------------------------------------------------------- memory of a process */

int copy_in(struct process *p, void *to, uint64_t from, size_t n)
{
    ssize_t got = polder_read(p->space->fd, to, n, from);
    return got == (ssize_t)n ? 0 : got < 0 ? -errno : -EFAULT;
}

int copy_out(struct process *p, uint64_t to, const void *from, size_t n)
{
    ssize_t put = polder_write(p->space->fd, from, n, to);
    return put == (ssize_t)n ? 0 : put < 0 ? -errno : -EFAULT;
}

int64_t string_in(struct process *p, char *to, uint64_t from, size_t size)
{
    /* Strings are short, and where one ends is not known before: a little at a time. */
    for (size_t done = 0; done < size;) {
        ssize_t got = polder_read(p->space->fd, to + done, min_u64(size - done, 128), from + done);
        if (got <= 0)
            return got ? -errno : -EFAULT;
        for (size_t end = done + (size_t)got; done < end; done++) {
            if (!to[done])
                return (int64_t)done;
        }
    }
    return -ENAMETOOLONG;
}

struct space *space_new(void)
{
    struct space *space = kalloc(sizeof *space);
    if (!space)
        return NULL;
    space->references = 1;
    space->fd = polder_open("/proc/mm");
    if (space->fd >= 0)
        return space;
    kfree(space, sizeof *space);
    return NULL;
}

struct space *space_copy(struct space *space)
{
    struct space *copy = kalloc(sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *space;
    copy->references = 1;
    copy->fd = polder_copy(space->fd);
    if (copy->fd < 0) {
        kfree(copy, sizeof *copy);
        return NULL;
    }
    if (copy->exe)
        inode_hold(copy->exe);
    return copy;
}

void space_put(struct space *space)
{
    if (!space || --space->references)
        return;
    polder_close(space->fd);
    if (space->exe)
        inode_put(space->exe);
    kfree(space, sizeof *space);
}

/* ---------------------------------------------------------------- FPU: a run that is ended before it begins */

void fpu_init(void)
{
    fpu_state = polder_mmap(NULL, polder_xstate_size() + sizeof(uint32_t), PROT_READ | PROT_WRITE | POLDER_PRIVILEGED,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);
}

static int fpu_move(struct process *p, uint32_t flag)
{
    uint64_t number = p->params.regs.orig_rax;
    p->params.xstate = fpu_state;
    p->params.xstate_size = polder_xstate_size();
    p->params.flags = flag;
    polder_kick(&p->params);
    int error = polder_run_sandbox(p->space->fd, &p->params) ? -errno : 0;
    p->params.flags = 0;
    p->params.regs.orig_rax = number;
    return error;
}

int fpu_save(struct process *p)
{
    return fpu_move(p, POLDER_XSTATE_STORE);
}

int fpu_load(struct process *p)
{
    return fpu_move(p, POLDER_XSTATE_LOAD);
}

/* ---------------------------------------------------------------- coming into being */

struct process *process_find(int pid)
{
    struct process *p = pid > 0 ? by_pid[pid % PIDS] : NULL;
    return p && p->pid == pid ? p : NULL;
}

static int new_pid(void)
{
    for (int tries = 0; tries < PIDS; tries++) {
        last_pid = last_pid == INT32_MAX ? 2 : last_pid + 1;
        if (!by_pid[last_pid % PIDS])
            return last_pid;
    }
    return -EAGAIN;
}

static void join_family(struct process *p, struct process *parent)
{
    p->parent = parent;
    p->sibling_before = NULL;
    p->sibling = parent->children;
    if (p->sibling)
        p->sibling->sibling_before = p;
    parent->children = p;
}

static void leave_family(struct process *p)
{
    if (p->sibling)
        p->sibling->sibling_before = p->sibling_before;
    if (p->sibling_before)
        p->sibling_before->sibling = p->sibling;
    else
        p->parent->children = p->sibling;
}

/* What fork copies but for space and files. */
static void inherit(struct process *p, struct process *parent)
{
    p->params.regs = parent->params.regs;
    p->group = parent->group;
    p->session = parent->session;
    p->cwd = inode_hold(parent->cwd);
    p->umask = parent->umask;
    p->blocked = parent->blocked;
    p->altstack = parent->altstack;
    memcpy(p->actions, parent->actions, sizeof p->actions);
    memcpy(p->name, parent->name, sizeof p->name);
    join_family(p, parent);
}

struct process *process_new(struct process *parent)
{
    int pid = new_pid();
    struct process *p = pid < 0 ? NULL : page_alloc();
    if (!p)
        return NULL;
    memset(p, 0, offsetof(struct process, actions));
    polder_params_init(&p->params);
    p->pid = pid;
    p->started = time_coarse();
    p->state = WAITING; /* for nothing, until process_wake */
    by_pid[pid % PIDS] = p;
    p->all_next = all_processes;
    if (p->all_next)
        p->all_next->all_before = p;
    all_processes = p;
    process_count++;
    if (parent) {
        inherit(p, parent);
    } else {
        p->umask = 022;
        p->altstack.flags = SS_DISABLE;
        memset(p->actions, 0, sizeof p->actions);
    }
    return p;
}

/* The last of it. */
static void process_free(struct process *p)
{
    if (p->parent)
        leave_family(p);
    if (p->all_next)
        p->all_next->all_before = p->all_before;
    if (p->all_before)
        p->all_before->all_next = p->all_next;
    else
        all_processes = p->all_next;
    by_pid[p->pid % PIDS] = NULL;
    process_count--;
    page_free(p);
}

/* ---------------------------------------------------------------- fork */

#define FORK_VM 1    /* the child borrows our space */
#define FORK_VFORK 2 /* we wait until it has one of its own */

static struct process *fork(struct process *p, unsigned how, uint64_t stack)
{
    struct process *child = process_new(p);
    if (!child)
        return NULL;
    child->files = files_copy(p->files);
    if (how & FORK_VM) {
        child->space = p->space;
        p->space->references++;
    } else {
        child->space = space_copy(p->space);
    }
    child->params.regs.rax = 0;
    if (stack)
        child->params.regs.rsp = stack;
    /* The child goes on with the FPU state of the moment of the call. */
    if (child->files && child->space && fpu_save(p) == 0 && fpu_load(child) == 0)
        return child;
    polder_params_fini(&child->params);
    files_close_all(child->files);
    space_put(child->space);
    inode_put(child->cwd);
    process_free(child);
    return NULL;
}

static int64_t start_child(struct process *p, struct process *child, bool wait)
{
    process_wake(child);
    if (!wait)
        return child->pid;
    p->vfork_child = child;
    p->call.saved = (uint64_t)child->pid;
    return wait_on(p, &p->child_event, WAIT_UNTIL_KILLED);
}

static int64_t vfork_resumed(struct process *p)
{
    return p->vfork_child ? wait_on(p, &p->child_event, WAIT_UNTIL_KILLED) : (int64_t)p->call.saved;
}

void vfork_done(struct process *child)
{
    struct process *parent = child->parent;
    if (!parent || parent->vfork_child != child)
        return;
    parent->vfork_child = NULL;
    queue_wake(&parent->child_event);
}

HANDLER(fork)
{
    (void)r;
    struct process *child = fork(p, 0, 0);
    return child ? start_child(p, child, false) : -ENOMEM;
}

HANDLER(vfork)
{
    (void)r;
    if (p->call.pending)
        return vfork_resumed(p);
    struct process *child = fork(p, FORK_VM, 0);
    return child ? start_child(p, child, true) : -ENOMEM;
}

HANDLER(clone)
{
    uint64_t flags = r->rdi;
    bool vfork = flags & CLONE_VFORK;
    if (p->call.pending)
        return vfork_resumed(p);
    /* Threads would need futexes, and a space that more than one runs in. */
    if ((flags & CLONE_THREAD) || ((flags & CLONE_VM) && !vfork))
        return -EINVAL;
    struct process *child = fork(p, flags & CLONE_VM ? FORK_VM : 0, r->rsi);
    if (!child)
        return -ENOMEM;
    if (flags & CLONE_SETTLS)
        child->params.regs.fs_base = r->r8;
    int32_t tid = child->pid;
    if (flags & CLONE_PARENT_SETTID)
        copy_out(p, r->rdx, &tid, sizeof tid);
    if (flags & CLONE_CHILD_SETTID)
        copy_out(child, r->r10, &tid, sizeof tid);
    return start_child(p, child, vfork);
}

/* ---------------------------------------------------------------- ending */

static void tell_parent(struct process *p, int code, int status)
{
    struct process *parent = p->parent;
    const struct sigaction *action = &parent->actions[SIGCHLD - 1];
    if (code != CLD_STOPPED || !(action->flags & SA_NOCLDSTOP))
        signal_send(parent, SIGCHLD, (struct signal_info){.code = code, .pid = p->pid, .status = status});
    queue_wake(&parent->child_event);
}

static bool wants_no_zombies(const struct process *parent)
{
    const struct sigaction *action = &parent->actions[SIGCHLD - 1];
    return action->handler == SIG_IGN || (action->flags & SA_NOCLDWAIT);
}

static void report_end(struct process *p)
{
    int killed_by = p->status & 0x7f;
    bool forget = wants_no_zombies(p->parent);
    tell_parent(p, killed_by ? CLD_KILLED : CLD_EXITED, killed_by ? killed_by : p->status >> 8);
    if (forget) {
        leave_family(p);
        p->parent = unburied; /* those who called us still look at it */
        unburied = p;
    }
}

void process_bury(void)
{
    while (unburied) {
        struct process *p = unburied;
        unburied = p->parent;
        p->parent = NULL;
        process_free(p);
    }
}

static void orphan_children(struct process *p)
{
    struct process *child;
    while ((child = p->children)) {
        leave_family(child);
        join_family(child, init_process);
        if (child->state == ZOMBIE)
            report_end(child);
    }
}

void process_exit(struct process *p, int status)
{
    if (p == init_process) {
        syscall_counts();
        polder_shutdown(status & 0x7f ? 128 + (status & 0x7f) : status >> 8);
    }
    call_end(p);
    timer_cancel(&p->alarm);
    queue_remove(p);
    vfork_done(p);
    polder_params_fini(&p->params);
    files_close_all(p->files);
    space_put(p->space);
    inode_put(p->cwd);
    p->files = NULL;
    p->space = NULL;
    p->cwd = NULL;
    p->state = ZOMBIE;
    p->status = status;
    orphan_children(p);
    report_end(p);
}

void process_stop(struct process *p, int signal)
{
    p->state = STOPPED;
    p->stop_signal = signal;
    p->stop_unseen = true;
    p->continue_unseen = false;
    if (p->parent)
        tell_parent(p, CLD_STOPPED, signal);
}

void process_continue(struct process *p)
{
    if (p->state != STOPPED)
        return;
    p->stop_unseen = false;
    p->continue_unseen = true;
    process_ready(p);
    if (p->parent)
        tell_parent(p, CLD_CONTINUED, SIGCONT);
}

HANDLER(exit)
{
    process_exit(p, (int)(r->rdi & 0xff) << 8);
    return BLOCKED;
}

/* ---------------------------------------------------------------- wait4 */

static bool matches(const struct process *child, int64_t which, const struct process *p)
{
    return which == -1 || (which > 0 && child->pid == which) || (which == 0 && child->group == p->group) ||
           (which < -1 && child->group == -which);
}

/* True if there is something to report of the child. */
static bool has_news(struct process *child, uint64_t options, int *status)
{
    if (child->state == ZOMBIE) {
        *status = child->status;
    } else if (child->stop_unseen && (options & WUNTRACED)) {
        *status = child->stop_signal << 8 | 0x7f;
        child->stop_unseen = false;
    } else if (child->continue_unseen && (options & WCONTINUED)) {
        *status = 0xffff;
        child->continue_unseen = false;
    } else {
        return false;
    }
    return true;
}

HANDLER(wait4)
{
    int64_t which = (int32_t)r->rdi;
    bool any = false;
    for (struct process *child = p->children; child; child = child->sibling) {
        int status, pid = child->pid;
        if (!matches(child, which, p))
            continue;
        any = true;
        if (!has_news(child, r->rdx, &status))
            continue;
        struct rusage usage = {.user = {(int64_t)child->ticks / 100, (int64_t)child->ticks % 100 * 10000}};
        if (child->state == ZOMBIE) {
            p->children_ticks += child->ticks + child->children_ticks;
            process_free(child);
        }
        if (r->rsi && copy_out(p, r->rsi, &status, sizeof status))
            return -EFAULT;
        if (r->r10 && copy_out(p, r->r10, &usage, sizeof usage))
            return -EFAULT;
        return pid;
    }
    if (!any)
        return -ECHILD;
    return r->rdx & WNOHANG ? 0 : wait_on(p, &p->child_event, 0);
}

/* ---------------------------------------------------------------- names and numbers */

HANDLER(getpid)
{
    (void)r;
    return p->pid;
}

HANDLER(getppid)
{
    (void)r;
    return p->parent ? p->parent->pid : 0;
}

static struct process *self_or(struct process *p, uint64_t pid)
{
    return pid == 0 ? p : process_find((int)pid);
}

HANDLER(getpgrp)
{
    (void)r;
    return p->group;
}

HANDLER(getpgid)
{
    struct process *other = self_or(p, r->rdi);
    return other ? other->group : -ESRCH;
}

HANDLER(getsid)
{
    struct process *other = self_or(p, r->rdi);
    return other ? other->session : -ESRCH;
}

HANDLER(setpgid)
{
    struct process *other = self_or(p, r->rdi);
    int group = r->rsi ? (int)r->rsi : other ? other->pid : 0;
    if (!other || (other != p && other->parent != p))
        return -ESRCH;
    if (group < 0)
        return -EINVAL;
    if (other->session != p->session || other->session == other->pid)
        return -EPERM;
    other->group = group;
    return 0;
}

HANDLER(setsid)
{
    (void)r;
    if (p->group == p->pid)
        return -EPERM;
    p->group = p->session = p->pid;
    return p->pid;
}

/* Everybody is root. */
HANDLER(getuid)
{
    (void)p, (void)r;
    return 0;
}

HANDLER(getresuid)
{
    uint32_t root_id = 0;
    int error = copy_out(p, r->rdi, &root_id, sizeof root_id);
    error = error ? error : copy_out(p, r->rsi, &root_id, sizeof root_id);
    return error ? error : copy_out(p, r->rdx, &root_id, sizeof root_id);
}

HANDLER(set_tid_address)
{
    (void)r;
    return p->pid;
}

HANDLER(arch_prctl)
{
    uint64_t base = r->rsi;
    switch (r->rdi) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (base >= USER_END)
            return -EPERM;
        *(r->rdi == ARCH_SET_FS ? &r->fs_base : &r->gs_base) = base;
        return 0;
    case ARCH_GET_FS:
        base = r->fs_base;
        break;
    case ARCH_GET_GS:
        base = r->gs_base;
        break;
    default:
        return -EINVAL;
    }
    return copy_out(p, r->rsi, &base, sizeof base);
}

HANDLER(prctl)
{
    char name[sizeof p->name] = "";
    switch (r->rdi) {
    case PR_SET_NAME:
        if (polder_read(p->space->fd, name, sizeof name - 1, r->rsi) <= 0)
            return -EFAULT;
        memcpy(p->name, name, sizeof name);
        return 0;
    case PR_GET_NAME:
        return copy_out(p, r->rsi, p->name, sizeof p->name);
    default:
        return -EINVAL;
    }
}

HANDLER(getrlimit)
{
    struct rlimit limit = {UINT64_MAX, UINT64_MAX};
    if (r->rdi == RLIMIT_STACK)
        limit.current = 8 << 20;
    if (r->rdi == RLIMIT_NOFILE)
        limit.current = limit.most = FILES_MAX;
    return copy_out(p, r->rsi, &limit, sizeof limit);
}

HANDLER(prlimit64)
{
    registers old = {.rdi = r->rsi, .rsi = r->r10};
    return r->r10 ? sys_getrlimit(p, &old) : 0;
}

HANDLER(uname)
{
    static const struct utsname name = {"Linux", "umlike", "6.1.0-umlike", "#1 polder", "x86_64", "(none)"};
    return copy_out(p, r->rdi, &name, sizeof name);
}

/* One CPU. */
HANDLER(sched_getaffinity)
{
    uint64_t mask = 1;
    if (r->rsi < sizeof mask)
        return -EINVAL;
    int error = copy_out(p, r->rdx, &mask, sizeof mask);
    return error ? error : (int64_t)sizeof mask;
}

HANDLER(reboot)
{
    (void)p;
    if (r->rdx != REBOOT_POWER_OFF && r->rdx != REBOOT_HALT && r->rdx != REBOOT_RESTART)
        return 0;
    syscall_counts();
    polder_shutdown(0);
}
