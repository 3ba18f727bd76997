/* SPDX-License-Identifier: MIT */
#include "linux/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "linux/task.h"

static void what_happened(char *text, size_t size, const struct task *task, const siginfo_t *info)
{
    const struct polder_params *params = &task->params;
    uint64_t addr = (uintptr_t)info->si_addr;
    const char *action = task->fault_err & 16 ? "execution" : task->fault_err & 2 ? "write" : "read";
    if (info->si_signo == SIGSEGV && info->si_code == SEGV_MAPERR)
        snprintf(text, size, "%s at %#" PRIx64 ", where nothing is mapped", action, addr);
    else if (info->si_signo == SIGSEGV && info->si_code == SEGV_ACCERR)
        snprintf(text, size, "%s at %#" PRIx64 ", which its mapping does not allow", action, addr);
    else if (params->reason == POLDER_BUS)
        snprintf(text, size, "access at %#" PRIx64 ", beyond the end of the mapped file", addr);
    else if (params->reason == POLDER_EXCEPTION)
        snprintf(text, size, "exception %" PRIu32 ", error code %#" PRIx64, params->vector, params->error_code);
    else
        snprintf(text, size, "its stack cannot take or does not hold a signal frame");
}

/* The line of /proc/self/maps for an address that belongs to the program. */
static void print_mapping(FILE *out, const struct task *task, const char *name, uint64_t addr)
{
    const struct vma *vma = vma_find(&task->memory.vmas, addr);
    FILE *maps = vma && vma->start <= addr ? fopen("/proc/self/maps", "re") : NULL;
    char line[512];
    bool found = false;
    while (maps && !found && fgets(line, sizeof(line), maps)) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2 && addr >= start && addr < end) {
            line[strcspn(line, "\n")] = '\0';
            fprintf(out, "  %s %#" PRIx64 " is in %s\n", name, addr, line);
            found = true;
        }
    }
    if (maps)
        fclose(maps);
    if (!found)
        fprintf(out, "  %s %#" PRIx64 " is in no mapping of the program\n", name, addr);
}

void report_death(const struct task *task, const siginfo_t *info)
{
    if (task->report_fd < 0)
        return;
    const struct user_regs_struct *r = &task->params.regs;
    char text[4096], what[160];
    FILE *out = fmemopen(text, sizeof(text), "w");
    if (!out)
        return;
    what_happened(what, sizeof(what), task, info);
    fprintf(out, "polder: %s: killed by SIG%s: %s\n", task->exe ? task->exe : "the program",
        sigabbrev_np(info->si_signo), what);
    print_mapping(out, task, "rip", r->rip);
    if (task->params.reason == POLDER_PAGE_FAULT || task->params.reason == POLDER_BUS)
        print_mapping(out, task, "address", task->fault_addr);
    const struct {
        const char *name;
        uint64_t value;
    } regs[] = {
        {"rax", r->rax},
        {"rbx", r->rbx},
        {"rcx", r->rcx},
        {"rdx", r->rdx},
        {"rsi", r->rsi},
        {"rdi", r->rdi},
        {"rbp", r->rbp},
        {"rsp", r->rsp},
        {"r8", r->r8},
        {"r9", r->r9},
        {"r10", r->r10},
        {"r11", r->r11},
        {"r12", r->r12},
        {"r13", r->r13},
        {"r14", r->r14},
        {"r15", r->r15},
        {"rip", r->rip},
        {"eflags", r->eflags},
        {"fs_base", r->fs_base},
        {"gs_base", r->gs_base},
        {"cr2", task->fault_addr},
        {"vector", task->fault_trapno},
        {"error", task->fault_err},
    };
    size_t count = sizeof(regs) / sizeof(regs[0]);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-7s %016" PRIx64 "%s", regs[i].name, regs[i].value, i % 3 == 2 || i + 1 == count ? "\n" : "");
    long length = ftell(out);
    fclose(out);
    for (long done = 0; done < length;) {
        ssize_t n = write(task->report_fd, text + done, (size_t)(length - done));
        if (n <= 0)
            break;
        done += n;
    }
}
