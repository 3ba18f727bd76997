/* SPDX-License-Identifier: MIT */
#include "linux/procfs.h"

#include <string.h>
#include <unistd.h>

/* Skips one component of path that is `name`, and the slashes before it; NULL if it is another one. */
static const char *component(const char *path, const char *name)
{
    size_t length = strlen(name);
    if (!path || *path != '/')
        return NULL;
    while (*path == '/')
        path++;
    if (strncmp(path, name, length) != 0 || (path[length] != '\0' && path[length] != '/'))
        return NULL;
    return path + length;
}

/* Skips one component that is a decimal number, into *number; NULL if it is none. */
static const char *number(const char *path, int *number)
{
    int n = 0;
    if (!path || *path != '/')
        return NULL;
    while (*path == '/')
        path++;
    if (*path < '0' || *path > '9')
        return NULL;
    for (; *path >= '0' && *path <= '9'; path++) {
        if (n > 100000000)
            return NULL;
        n = n * 10 + (*path - '0');
    }
    *number = n;
    return *path == '\0' || *path == '/' ? path : NULL;
}

/* What follows /proc/<this process>; NULL if path is something else. */
static const char *own_folder(const char *path)
{
    const char *proc = component(path, "proc");
    const char *at = component(proc, "self");
    int pid;
    if (!at)
        at = component(proc, "thread-self");
    if (!at) {
        at = number(proc, &pid);
        if (at && pid != getpid())
            at = NULL;
    }
    const char *task = component(at, "task");
    if (task) {
        task = number(task, &pid);
        return task && pid == getpid() ? task : at;
    }
    return at;
}

bool procfs_is_own(const char *path, const char *name)
{
    const char *rest = component(own_folder(path), name);
    return rest && *rest == '\0';
}

int procfs_descriptor(const char *path)
{
    const char *folder = own_folder(path);
    const char *at = component(folder, "fd");
    int n;
    if (!at)
        at = component(folder, "fdinfo");
    if (!at)
        at = component(component(path, "dev"), "fd");
    at = number(at, &n);
    return at ? n : -1;
}
