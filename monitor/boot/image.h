/* SPDX-License-Identifier: MIT */
/*
 * image: a resident kernel's ELF file. The file is untrusted: every number is checked here, once, so that who loads it
 * can do arithmetic with what comes out. What a kernel has to look like is in abi.h.
 */
#ifndef MONITOR_BOOT_IMAGE_H
#define MONITOR_BOOT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX_FILE (1ull << 30)
#define IMAGE_MAX_SPAN (1ull << 30)
#define IMAGE_MAX_SEGMENTS 64

/* One PT_LOAD. Checked: inside the file, page-aligned, filesz <= memsz, no sum wraps, not writable and executable. */
struct image_segment {
    uint64_t vaddr, memsz, offset, filesz;
    bool writable, executable;
};

struct image {
    char *file; /* a private copy, which cannot change or shrink any more */
    size_t file_size;
    uint64_t low, high; /* the page-aligned span of all segments */
    uint64_t entry;
    unsigned count;
    struct image_segment segment[IMAGE_MAX_SEGMENTS]; /* ascending and disjoint */
};

/* Why a file was refused: one phrase, with the number that was wrong. */
struct image_reason {
    char text[256];
};

/* Fills in everything behind file_size. */
bool image_check(struct image *image, struct image_reason *reason);

/* Reads and checks the file: 0, or the status to exit with after a message: 127 if there is no such file, 126 if it
 * cannot be read or is not a kernel. */
int image_read(const char *path, struct image *image);

/* Puts the segments where `to` stands for image->low; there are zeroed pages up to image->high. */
void image_load(const struct image *image, char *to);

#endif
