/* SPDX-License-Identifier: MIT */
/*
 * kmalloc: the kernel's own memory. Free pages and free blocks of a size wait in a list for the next who wants one;
 * what the kernel once took from the machine it keeps, so in the long run an allocation is two instructions and no
 * exit.
 */
#include "umlike.h"

#define CHUNK (16 * PAGE)
#define SMALLEST 32u
#define CLASSES 7u /* 32 to 2048 */

struct free {
    struct free *next;
};

static struct free *pages, *blocks[CLASSES];

static void *pop(struct free **list)
{
    struct free *first = *list;
    if (first)
        *list = first->next;
    return first;
}

static void push(struct free **list, void *block)
{
    struct free *first = block;
    first->next = *list;
    *list = first;
}

/* Cuts a piece of memory into blocks. */
static void *cut(struct free **list, char *piece, size_t length, size_t size)
{
    if (!piece)
        return NULL;
    for (char *at = piece + length - size; at > piece; at -= size)
        push(list, at);
    return piece;
}

void *page_alloc(void)
{
    void *page = pop(&pages);
    if (page)
        return page;
    size_t length = CHUNK;
    for (; length >= PAGE; length /= 2) { /* when memory runs out, what there is will do */
        char *chunk = polder_mmap(
            NULL, length, PROT_READ | PROT_WRITE | POLDER_PRIVILEGED, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, -1);
        if (chunk != MAP_FAILED)
            return cut(&pages, chunk, length, PAGE);
    }
    return NULL;
}

void page_free(void *page)
{
    if (page)
        push(&pages, page);
}

static unsigned class_of(size_t size)
{
    unsigned class = 0;
    while ((SMALLEST << class) < size)
        class ++;
    return class;
}

void *kalloc(size_t size)
{
    void *block;
    if (size > PAGE / 2) {
        block = page_alloc();
    } else {
        unsigned class = class_of(size);
        block = pop(&blocks[class]);
        if (!block)
            block = cut(&blocks[class], page_alloc(), PAGE, SMALLEST << class);
    }
    if (block)
        memset(block, 0, size);
    return block;
}

void kfree(void *block, size_t size)
{
    if (block && size > PAGE / 2)
        push(&pages, block);
    else if (block)
        push(&blocks[class_of(size)], block);
}
