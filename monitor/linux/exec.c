/* SPDX-License-Identifier: MIT */
#include "linux/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/fds.h"
#include "linux/load.h"
#include "linux/procfs.h"
#include "linux/search.h"
#include "linux/signals.h"
#include "linux/stack.h"
#include "linux/user.h"

#define SCRIPT_DEPTH 5 /* as Linux: then it is ELOOP */
#define HWCAP2_FSGSBASE 2

static int fail(struct exec_plan *plan, const char *culprit, int error, const char *reason)
{
    size_t length = strnlen(culprit, sizeof(plan->culprit) - 1);
    memcpy(plan->culprit, culprit, length);
    plan->culprit[length] = '\0';
    if (reason != plan->reason.text)
        snprintf(plan->reason.text, sizeof(plan->reason.text), "%s", reason ? reason : strerror(-error));
    return error;
}

/* Opens what is to be executed; the descriptor or -errno. */
static int open_program(int dirfd, const char *path, int flags)
{
    char by_number[32];
    if (path[0] == '\0' && (flags & AT_EMPTY_PATH)) {
        snprintf(by_number, sizeof(by_number), "/proc/self/fd/%d", dirfd);
        path = by_number;
        dirfd = AT_FDCWD;
    }
    struct stat st;
    if ((flags & AT_SYMLINK_NOFOLLOW) && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return -ELOOP;
    int r = search_executable(dirfd, path);
    if (r != 0)
        return r;
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A new argv for a script: its interpreter, the argument if there is one, the script, and what came after argv[0]. */
static char **script_argv(const struct search_script *script, const char *path, char *const argv[])
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **list = calloc(count + 4, sizeof(*list));
    if (!list)
        return NULL;
    size_t n = 0;
    list[n++] = strdup(script->interpreter);
    if (script->argument[0] != '\0')
        list[n++] = strdup(script->argument);
    list[n++] = strdup(path);
    for (size_t i = 1; i < count; i++)
        list[n++] = strdup(argv[i]);
    for (size_t i = 0; i < n; i++) {
        if (!list[i]) {
            while (n > 0)
                free(list[--n]);
            free(list);
            return NULL;
        }
    }
    return list;
}

static char **copy_list(char *const argv[])
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **list = calloc(count + 1, sizeof(*list));
    for (size_t i = 0; list && i < count; i++) {
        list[i] = strdup(argv[i]);
        if (!list[i]) {
            user_strings_free(list);
            return NULL;
        }
    }
    return list;
}

/* Who wrote the program's name has to find it in the message; the interpreter's alone would tell him nothing. */
static int fail_interpreter(struct exec_plan *plan, const char *path, const char *name, int error, const char *why)
{
    snprintf(plan->reason.text, sizeof(plan->reason.text), "its interpreter %.90s: %.140s", name, why);
    return fail(plan, path, error, plan->reason.text);
}

static int prepare_interpreter(struct exec_plan *plan, const char *path)
{
    char name[ELF_MAX_INTERP];
    if (!elf_read_interp(plan->fd, &plan->image, name, &plan->reason))
        return fail(plan, path, -ENOEXEC, plan->reason.text);
    plan->interp_fd = open_program(AT_FDCWD, name, 0);
    if (plan->interp_fd < 0) {
        int error = plan->interp_fd;
        plan->interp_fd = -1;
        return fail_interpreter(plan, path, name, error, strerror(-error));
    }
    struct elf_reason why;
    if (!elf_read(plan->interp_fd, &plan->interp, &why))
        return fail_interpreter(plan, path, name, -ELIBBAD, why.text);
    return 0;
}

int exec_prepare(struct task *task, struct exec_plan *plan, int dirfd, const char *asked, char *const argv[],
    char *const envp[], int flags)
{
    *plan = (struct exec_plan){.fd = -1, .interp_fd = -1, .envp = envp};
    char path[PATH_MAX];
    if (strlen(asked) >= sizeof(path))
        return fail(plan, asked, -ENAMETOOLONG, NULL);
    strcpy(path, procfs_is_own(asked, "exe") && task->exe ? task->exe : asked);
    plan->execfn = strdup(asked);
    plan->argv = copy_list(argv);
    if (!plan->argv || !plan->execfn)
        return fail(plan, asked, -ENOMEM, NULL);

    for (unsigned depth = 0;; depth++) {
        char start[SEARCH_SCRIPT_LINE];
        struct search_script script;
        plan->fd = open_program(dirfd, path, flags);
        if (plan->fd < 0 && depth > 0)
            return fail_interpreter(plan, asked, path, plan->fd, strerror(-plan->fd));
        if (plan->fd < 0)
            return fail(plan, path, plan->fd, NULL);
        ssize_t n = pread(plan->fd, start, sizeof(start), 0);
        int found = n < 0 ? -errno : search_script(start, (size_t)n, &script);
        if (found == 0)
            break;
        if (found == -ENOEXEC)
            return fail(plan, path, found, "the line after #! names no interpreter");
        if (found < 0)
            return fail(plan, path, found, NULL);
        if (depth == SCRIPT_DEPTH)
            return fail(plan, path, -ELOOP, "too many scripts that are each other's interpreter");
        char **longer = script_argv(&script, path, plan->argv);
        if (!longer)
            return fail(plan, path, -ENOMEM, NULL);
        user_strings_free(plan->argv);
        plan->argv = longer;
        close(plan->fd);
        dirfd = AT_FDCWD;
        flags = 0;
        strcpy(path, script.interpreter);
    }

    if (!elf_read(plan->fd, &plan->image, &plan->reason))
        return fail(plan, path, errno != 0 ? -errno : -ENOEXEC, plan->reason.text);
    if (plan->image.interp_size != 0) {
        int r = prepare_interpreter(plan, path);
        if (r != 0)
            return r;
    }
    return fail(plan, path, 0, "");
}

void exec_free(struct exec_plan *plan)
{
    if (plan->fd >= 0)
        close(plan->fd);
    if (plan->interp_fd >= 0)
        close(plan->interp_fd);
    plan->fd = plan->interp_fd = -1;
    free(plan->execfn);
    user_strings_free(plan->argv);
    plan->execfn = NULL;
    plan->argv = NULL;
}

static uint64_t stack_size(void)
{
    struct rlimit limit;
    uint64_t size = 8ull << 20;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        size = limit.rlim_cur;
    /* The largest is a size that no program needs and every address space has; the least holds the arguments. */
    if (size > 16ull << 30)
        size = 16ull << 30;
    if (size < 128ull << 10)
        size = 128ull << 10;
    return (size + ELF_PAGE - 1) & -ELF_PAGE;
}

/* False if one of the images has to be where the monitor is. */
static bool can_place(struct task *task, const struct elf_image *image)
{
    return image->position_independent || memory_free_of_monitor(&task->memory, image->low, image->high);
}

#define AUXV_MAX 20

static size_t make_auxv(const struct task *task, const struct exec_plan *plan, uint64_t bias, uint64_t interp_bias,
    struct stack_auxv auxv[AUXV_MAX])
{
    size_t n = 0;
    if (task->vdso != 0)
        auxv[n++] = (struct stack_auxv){AT_SYSINFO_EHDR, task->vdso};
    const struct stack_auxv list[] = {
        {AT_HWCAP, getauxval(AT_HWCAP)},
        {AT_PAGESZ, ELF_PAGE},
        {AT_CLKTCK, (uint64_t)sysconf(_SC_CLK_TCK)},
        {AT_PHDR, plan->image.phdr_vaddr != 0 ? bias + plan->image.phdr_vaddr : 0},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, plan->image.phnum},
        {AT_BASE, interp_bias},
        {AT_FLAGS, 0},
        {AT_ENTRY, bias + plan->image.entry},
        {AT_UID, getuid()},
        {AT_EUID, geteuid()},
        {AT_GID, getgid()},
        {AT_EGID, getegid()},
        {AT_SECURE, getauxval(AT_SECURE)},
        /* Of these only what the sandbox's processor state really has. */
        {AT_HWCAP2, getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE},
        {AT_MINSIGSTKSZ, frame_size(&task->xstate_parts)},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        auxv[n++] = list[i];
    return n;
}

/* What /proc/self/exe is to the program: the file's own path. */
static char *path_of(int fd)
{
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return NULL;
    path[n] = '\0';
    return strdup(path);
}

static int replace(struct task *task, struct exec_plan *plan, uint64_t stack_bytes, uint64_t *envp_addr)
{
    struct memory *memory = &task->memory;
    uint64_t bias, interp_bias = 0;
    int r = load_image(memory, &plan->image, plan->fd, load_program_base(), &bias);
    if (r != 0)
        return r;
    if (plan->interp_fd >= 0 && (r = load_image(memory, &plan->interp, plan->interp_fd, 0, &interp_bias)) != 0)
        return r;
    if ((r = memory_stack(memory, stack_bytes, plan->image.stack_exec)) != 0)
        return r;
    memory->brk_start = memory->brk_end = bias + plan->image.high;

    struct stack_auxv auxv[AUXV_MAX];
    struct stack_contents contents = {
        .argv = plan->argv,
        .envp = plan->envp,
        .execfn = plan->execfn,
        .platform = "x86_64",
        .auxv = auxv,
        .auxc = make_auxv(task, plan, bias, interp_bias, auxv),
    };
    struct stack_image stack;
    if (getrandom(contents.random, sizeof(contents.random), 0) != sizeof(contents.random))
        return -EIO;
    if ((r = stack_build(&contents, memory->stack_end, stack_bytes / 4, &stack)) != 0)
        return r;
    r = user_put(task->mm_fd, stack.bytes, stack.size, stack.sp);
    free(stack.bytes);
    if (r != 0)
        return r;
    *envp_addr = stack.envp_addr;

    /* A new context: all registers and the FPU as they are when a processor starts. */
    polder_params_fini(&task->params);
    polder_params_init(&task->params);
    task->params.xstate = task->xstate;
    task->params.xstate_size = polder_xstate_size();
    task->params.regs.rsp = stack.sp;
    task->params.regs.rip = plan->interp_fd >= 0 ? interp_bias + plan->interp.entry : bias + plan->image.entry;

    free(task->exe);
    task->exe = path_of(plan->fd);
    const char *slash = strrchr(plan->execfn, '/');
    prctl(PR_SET_NAME, slash ? slash + 1 : plan->execfn);
    return 0;
}

int exec_commit(struct task *task, struct exec_plan *plan, bool *late, uint64_t *envp_addr)
{
    *late = false;
    uint64_t stack_bytes = stack_size();
    /* Whether the arguments fit does not depend on where they will be. */
    struct stack_auxv auxv[AUXV_MAX];
    struct stack_contents trial = {
        .argv = plan->argv,
        .envp = plan->envp,
        .execfn = plan->execfn,
        .platform = "x86_64",
        .auxv = auxv,
        .auxc = make_auxv(task, plan, 0, 0, auxv),
    };
    struct stack_image image;
    int r = stack_build(&trial, ELF_TASK_SIZE, stack_bytes / 4, &image);
    if (r != 0)
        return fail(plan, plan->execfn, r, NULL);
    free(image.bytes);
    if (!can_place(task, &plan->image) || (plan->interp_fd >= 0 && !can_place(task, &plan->interp)))
        return fail(plan, plan->execfn, -ENOMEM, "its fixed address is taken here");

    signals_hold();
    r = memory_drop_all(&task->memory);
    if (r != 0) {
        signals_release(task);
        return fail(plan, plan->execfn, r, NULL);
    }
    r = replace(task, plan, stack_bytes, envp_addr);
    if (r != 0) {
        *late = true;
        return fail(plan, plan->execfn, r, NULL);
    }
    signals_exec(task);
    signals_release(task);
    return 0;
}

long exec_call(struct task *task, int dirfd, uint64_t path_at, uint64_t argv_at, uint64_t envp_at, uint64_t flags)
{
    char path[PATH_MAX];
    int error = 0;
    if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    long length = user_string(task->mm_fd, path, sizeof(path), path_at);
    if (length < 0)
        return length;
    if (length == 0 && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    char **argv = user_strings(task->mm_fd, argv_at, &error);
    char **envp = argv ? user_strings(task->mm_fd, envp_at, &error) : NULL;
    struct exec_plan *plan = envp ? malloc(sizeof(*plan)) : NULL;
    long r = plan ? 0 : -(error != 0 ? error : ENOMEM);
    if (plan) {
        /* A program may count on argv[0]: Linux puts an empty one there. */
        char *empty[] = {"", NULL};
        bool late = false;
        uint64_t envp_addr;
        r = exec_prepare(task, plan, dirfd, path, argv[0] ? argv : empty, envp, (int)flags);
        if (r == 0)
            r = exec_commit(task, plan, &late, &envp_addr);
        exec_free(plan);
        if (r != 0 && late)
            signals_die(SIGSEGV);
        if (r == 0)
            fds_close_on_exec();
    }
    free(plan);
    user_strings_free(argv);
    user_strings_free(envp);
    return r;
}
