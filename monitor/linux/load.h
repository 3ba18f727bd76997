/* SPDX-License-Identifier: MIT */
/*
 * load: puts a checked ELF image into the program's memory.
 */
#ifndef MONITOR_LINUX_LOAD_H
#define MONITOR_LINUX_LOAD_H

#include "linux/elf.h"
#include "linux/memory.h"

/*
 * Maps every segment. *bias is what must be added to the image's addresses; for a position-independent image it is
 * chosen near `near` (0: wherever there is room). 0, or -errno; then parts may be mapped.
 */
int load_image(struct memory *memory, const struct elf_image *image, int fd, uint64_t near, uint64_t *bias);

/* Where the kernel would put a position-independent program: a random place, unless setarch -R asked for a fixed one.
 */
uint64_t load_program_base(void);

#endif
