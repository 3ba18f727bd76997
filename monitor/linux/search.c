/* SPDX-License-Identifier: MIT */
#include "linux/search.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int search_executable(int dirfd, const char *path)
{
    struct stat st;
    if (fstatat(dirfd, path, &st, 0) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || faccessat(dirfd, path, X_OK, AT_EACCESS) != 0)
        return -EACCES;
    return 0;
}

int search_path(const char *name, const char *path, char found[PATH_MAX])
{
    if (*name == '\0')
        return -ENOENT;
    if (strchr(name, '/')) {
        if (strlen(name) >= PATH_MAX)
            return -ENAMETOOLONG;
        strcpy(found, name);
        return search_executable(AT_FDCWD, found);
    }
    if (!path)
        path = "/bin:/usr/bin";
    int result = -ENOENT;
    size_t name_length = strlen(name);
    for (;;) {
        size_t length = strcspn(path, ":");
        /* An empty entry is the current folder. */
        if (length + 1 + name_length < PATH_MAX) {
            size_t at = 0;
            if (length > 0) {
                memcpy(found, path, length);
                found[length] = '/';
                at = length + 1;
            }
            memcpy(found + at, name, name_length + 1);
            int r = search_executable(AT_FDCWD, found);
            if (r == 0)
                return 0;
            if (r == -EACCES)
                result = -EACCES;
        }
        if (path[length] == '\0')
            return result;
        path += length + 1;
    }
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

int search_script(const char *data, size_t size, struct search_script *script)
{
    if (size < 2 || data[0] != '#' || data[1] != '!')
        return 0;
    if (size > SEARCH_SCRIPT_LINE)
        size = SEARCH_SCRIPT_LINE;
    const char *end = memchr(data, '\n', size);
    bool whole_line = end != NULL;
    if (!end)
        end = data + size;
    const char *zero = memchr(data, '\0', (size_t)(end - data));
    if (zero) {
        end = zero;
        whole_line = true;
    }
    const char *path = skip_blanks(data + 2, end);
    const char *path_end = path;
    while (path_end < end && *path_end != ' ' && *path_end != '\t')
        path_end++;
    /* A path that runs into the end of what Linux reads may be cut off; to run a part of it would be wrong. */
    if (path == path_end || (path_end == end && !whole_line && size == SEARCH_SCRIPT_LINE))
        return -ENOEXEC;
    memcpy(script->interpreter, path, (size_t)(path_end - path));
    script->interpreter[path_end - path] = '\0';

    const char *arg = skip_blanks(path_end, end);
    const char *arg_end = end;
    while (arg_end > arg && (arg_end[-1] == ' ' || arg_end[-1] == '\t'))
        arg_end--;
    memcpy(script->argument, arg, (size_t)(arg_end - arg));
    script->argument[arg_end - arg] = '\0';
    return 1;
}
