/* SPDX-License-Identifier: MIT */
/*
 * search: which file a program name means, and what a "#!" line says.
 */
#ifndef MONITOR_LINUX_SEARCH_H
#define MONITOR_LINUX_SEARCH_H

#include <limits.h>
#include <stddef.h>

/*
 * The file that a shell would run for name: name itself if it has a slash, else the first executable regular file of
 * that name in the folders of path (NULL: "/bin:/usr/bin"). 0, or -errno: ENOENT, EACCES (there is one, but it cannot
 * be executed), ENAMETOOLONG.
 */
int search_path(const char *name, const char *path, char found[PATH_MAX]);

/* A program file can be executed: 0, or -errno (EACCES also for what is not a regular file). */
int search_executable(int dirfd, const char *path);

/* What stands after "#!": a program and at most one argument (Linux does not split it further). */
#define SEARCH_SCRIPT_LINE 256
struct search_script {
    char interpreter[SEARCH_SCRIPT_LINE];
    char argument[SEARCH_SCRIPT_LINE]; /* empty if there is none */
};

/* Reads the first line in data: 1 if it is a script, 0 if it is not one, -ENOEXEC if its interpreter cannot be read. */
int search_script(const char *data, size_t size, struct search_script *script);

#endif
