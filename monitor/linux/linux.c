/* SPDX-License-Identifier: MIT */
#include "linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/exec.h"
#include "linux/fault.h"
#include "linux/fds.h"
#include "linux/policy.h"
#include "linux/search.h"
#include "linux/signals.h"

#define STATUS_NOT_FOUND 127
#define STATUS_CANNOT_RUN 126
#define STATUS_NO_KVM 2
#define STATUS_CANNOT_CONFINE 2

static const struct linux_hooks no_hooks;

/* There is one: signal handlers and descriptors are the process's. */
static struct task the_task;

static int no_kvm(int error)
{
    const char *advice = "";
    if (error == ENOENT)
        advice = ": there is no /dev/kvm; load kvm_intel or kvm_amd, or switch virtualisation on in the firmware or "
                 "for this virtual machine";
    else if (error == EACCES || error == EPERM)
        advice = ": /dev/kvm cannot be opened; join the group kvm or run as root";
    else if (error == ENOSYS)
        advice = ": this KVM lacks something; `polder info` names it";
    fprintf(stderr, "polder: KVM cannot be had (%s)%s\n", strerror(error), advice);
    return STATUS_NO_KVM;
}

static int cannot_run(const char *name, int error, const char *reason)
{
    fprintf(stderr, "polder: %s: %s\n", name, reason && *reason ? reason : strerror(error));
    return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
}

static const char *path_variable(char *const envp[])
{
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return NULL;
}

/*
 * Shows the program the vDSO and the data that it reads the clock from: clock_gettime then costs no trap. They are not
 * the program's to unmap, the monitor uses them too.
 */
static uint64_t show_vdso(void)
{
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
    FILE *maps = vdso != 0 ? fopen("/proc/self/maps", "re") : NULL;
    char line[512];
    bool shown = false;
    while (maps && fgets(line, sizeof(line), maps)) {
        uint64_t start, end;
        bool code = strstr(line, "[vdso]") != NULL;
        if (!code && !strstr(line, "[vvar"))
            continue;
        int prot = code ? PROT_READ | PROT_EXEC : PROT_READ;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2 ||
            polder_mprotect((void *)(uintptr_t)start, end - start, prot, -1) != 0) {
            vdso = 0;
            break;
        }
        shown |= code;
    }
    if (maps)
        fclose(maps);
    return shown ? vdso : 0;
}

/* Everything that the library and the monitor ever open is opened here. 0 or -errno. */
static int open_space(struct task *task)
{
    int r = fds_begin();
    if (r != 0)
        return r;
    task->mm_fd = polder_open("/proc/self/mm");
    if (task->mm_fd < 0)
        return -errno;
    task->report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    polder_params_init(&task->params);
    size_t size = polder_xstate_size();
    if (size == 0)
        return -errno;
    task->xstate_parts = frame_xstate(size);
    task->xstate = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!task->xstate)
        return -ENOMEM;
    memset(task->xstate, 0, size);
    r = memory_start(&task->memory, task->mm_fd);
    if (r != 0)
        return r;
    /* What it tells, it tells without a call. */
    task->vdso = policy_denies_vdso(task->policy) ? 0 : show_vdso();
    /* One run, of nothing: it makes the vCPU. Address 0 holds no code, so it comes back with a fault. */
    if (polder_run_sandbox(task->mm_fd, &task->params) != 0)
        return -errno;
    return fds_end();
}

static void fault(struct task *task)
{
    struct polder_params *params = &task->params;
    const void *fpu = NULL;
    siginfo_t info;
    if (params->reason == POLDER_EXCEPTION || params->reason == POLDER_STEP) {
        task->fault_trapno = params->vector;
    } else {
        task->fault_trapno = 14;
        task->fault_addr = params->fault_addr;
    }
    task->fault_err = params->error_code;
    if (fault_needs_fpu(params))
        fpu = signals_xstate(task);
    fault_signal(&info, params, &task->memory.vmas, fpu);
    signals_fault(task, &info);
}

/* After what the sandbox asked for is done: its registers get the result, and it goes on. */
static void system_call(struct task *task)
{
    struct user_regs_struct *regs = &task->params.regs;
    const struct linux_hooks *hooks = task->hooks;
    struct linux_call call = {
        .mm_fd = task->mm_fd,
        .number = (uint32_t)regs->orig_rax, /* as Linux: it looks at eax */
        .args = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9},
        .regs = regs,
    };
    if (hooks->enter)
        hooks->enter(task->opaque, &call);
    long result = 0;
    enum calls_outcome outcome = CALLS_RESULT;
    if (policy_denies(task->policy, call.number)) {
        result = -EPERM;
        if (hooks->refused)
            hooks->refused(task->opaque, &call, "denied");
    } else {
        outcome = calls_perform(task, &call, &result);
    }
    if (outcome == CALLS_OVER)
        return;
    long was_call = -1;
    if (outcome == CALLS_RESULT) {
        regs->rax = (uint64_t)result;
        regs->orig_rax = -1ull;
        if (result == -EINTR && signals_waiting()) {
            was_call = (long)call.number;
            result = -LINUX_ERESTARTSYS;
        }
    } else if (outcome == CALLS_AGAIN) {
        regs->rax = call.number;
        regs->rip -= 2; /* SYSCALL is two bytes */
        regs->orig_rax = -1ull;
        result = -LINUX_ERESTARTSYS;
    }
    if (hooks->leave)
        hooks->leave(task->opaque, &call, result);
    signals_deliver(task, was_call);
}

/* Runs the program to its end; returns the status to exit with. */
static int loop(struct task *task)
{
    struct polder_params *params = &task->params;
    while (!task->over) {
        int r = polder_run_sandbox(task->mm_fd, params);
        if (r != 0) {
            int error = errno;
            fprintf(stderr, "polder: the sandbox cannot go on: %s\n", strerror(error));
            return STATUS_NO_KVM;
        }
        params->flags = 0;
        switch (params->reason) {
        case POLDER_SYSCALL:
            system_call(task);
            break;
        case POLDER_SIGNAL:
        case POLDER_KICK:
        case POLDER_DEADLINE:
            signals_deliver(task, -1);
            break;
        default:
            fault(task);
            break;
        }
    }
    if (task->hooks->exited)
        task->hooks->exited(task->opaque, task->exit_status);
    return task->exit_status;
}

int linux_run(const char *program, char **argv, char **envp, const struct linux_setting *setting,
    const struct linux_hooks *hooks, void *opaque)
{
    struct task *task = &the_task;
    *task = (struct task){
        .mm_fd = -1, .report_fd = -1, .policy = setting->policy, .hooks = hooks ? hooks : &no_hooks, .opaque = opaque};
    task->alt_stack.flags = SS_DISABLE;

    char path[PATH_MAX];
    int r = search_path(program, path_variable(envp), path);
    if (r != 0)
        return cannot_run(program, -r, NULL);
    struct exec_plan *plan = malloc(sizeof(*plan));
    if (!plan)
        return cannot_run(path, ENOMEM, NULL);
    r = exec_prepare(task, plan, AT_FDCWD, path, argv, envp, 0);
    if (r != 0)
        return cannot_run(plan->culprit, -r, plan->reason.text);
    r = open_space(task);
    if (r != 0)
        return no_kvm(-r);
    r = signals_start(task);
    if (r != 0)
        return cannot_run(path, -r, NULL);
    bool late;
    uint64_t envp_addr;
    r = exec_commit(task, plan, &late, &envp_addr);
    if (r != 0)
        return cannot_run(plan->culprit, -r, plan->reason.text);
    exec_free(plan);
    free(plan);
    if (!setting->confine(setting->confine_opaque))
        return STATUS_CANNOT_CONFINE;
    if (task->hooks->started)
        task->hooks->started(opaque, path, argv, envp, envp_addr, task->mm_fd);
    return loop(task);
}
