/* SPDX-License-Identifier: MIT */
#include "linux/user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linux/stack.h"
#include "polder/polder.h"

int user_get(int mm_fd, void *buf, size_t size, uint64_t addr)
{
    return polder_read(mm_fd, buf, size, addr) == (ssize_t)size ? 0 : -EFAULT;
}

int user_put(int mm_fd, const void *buf, size_t size, uint64_t addr)
{
    return polder_write(mm_fd, buf, size, addr) == (ssize_t)size ? 0 : -EFAULT;
}

long user_string(int mm_fd, char *buf, size_t size, uint64_t addr)
{
    size_t done = 0;
    while (done < size) {
        /* Never beyond the page: the next one may not be there, and need not be. */
        size_t part = 4096 - (addr + done) % 4096;
        if (part > size - done)
            part = size - done;
        ssize_t n = polder_read(mm_fd, buf + done, part, addr + done);
        if (n <= 0)
            return -EFAULT;
        char *end = memchr(buf + done, '\0', (size_t)n);
        if (end)
            return end - buf;
        if ((size_t)n < part)
            return -EFAULT;
        done += part;
    }
    return -ENAMETOOLONG;
}

void user_strings_free(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

char **user_strings(int mm_fd, uint64_t addr, int *error)
{
    size_t count = 0, room = 16, total = 0;
    char **list = calloc(room, sizeof(*list));
    char *string = malloc(STACK_MAX_STRING);
    *error = list && string ? 0 : ENOMEM;
    while (*error == 0 && addr != 0) {
        uint64_t at;
        if (user_get(mm_fd, &at, sizeof(at), addr) != 0) {
            *error = EFAULT;
            break;
        }
        if (at == 0)
            break;
        long length = user_string(mm_fd, string, STACK_MAX_STRING, at);
        if (length < 0) {
            *error = length == -ENAMETOOLONG ? E2BIG : EFAULT;
            break;
        }
        total += (size_t)length + 1 + sizeof(at);
        if (total > STACK_MAX_TOTAL) {
            *error = E2BIG;
            break;
        }
        if (count + 1 == room) {
            char **more = realloc(list, 2 * room * sizeof(*list));
            if (!more) {
                *error = ENOMEM;
                break;
            }
            list = more;
            room *= 2;
        }
        list[count] = strdup(string);
        if (!list[count]) {
            *error = ENOMEM;
            break;
        }
        list[++count] = NULL;
        addr += sizeof(at);
    }
    free(string);
    if (*error != 0) {
        user_strings_free(list);
        return NULL;
    }
    return list;
}
