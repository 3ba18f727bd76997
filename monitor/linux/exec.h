/* SPDX-License-Identifier: MIT */
/*
 * exec: from a program file to a task that can run it, for the first program and for execve alike.
 */
#ifndef MONITOR_LINUX_EXEC_H
#define MONITOR_LINUX_EXEC_H

#include <limits.h>

#include "linux/elf.h"
#include "linux/task.h"

/* A program that can be run as far as can be told before the old one is gone. */
struct exec_plan {
    int fd, interp_fd; /* interp_fd is -1 if there is none */
    struct elf_image image, interp;
    char *execfn; /* the name that was asked for */
    char **argv;  /* with what "#!" lines add */
    char *const *envp;
    /* On failure: which file is at fault, and why. */
    char culprit[PATH_MAX];
    struct elf_reason reason;
};

/*
 * Opens and checks everything. argv and envp must stay until the plan is carried out or freed. 0, or -errno as execve
 * gives it; culprit and reason are then set. exec_free in either case.
 */
int exec_prepare(struct task *task, struct exec_plan *plan, int dirfd, const char *path, char *const argv[],
    char *const envp[], int flags);
void exec_free(struct exec_plan *plan);

/*
 * Replaces the task's memory, registers and signal handlers by the new program's. 0, or -errno: then the old program is
 * unharmed. What fails after that point kills with SIGSEGV, as Linux does; for the first program *late is set instead,
 * and -errno returned. *envp_addr is where the new program finds its environment.
 */
int exec_commit(struct task *task, struct exec_plan *plan, bool *late, uint64_t *envp_addr);

/* execve and execveat with the program's own arguments; flags are execveat's. 0 or -errno. */
long exec_call(struct task *task, int dirfd, uint64_t path, uint64_t argv, uint64_t envp, uint64_t flags);

#endif
