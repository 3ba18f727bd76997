/* SPDX-License-Identifier: MIT */
/* symbols: what an address of a kernel is called, by its file's .symtab. The file is untrusted. */
#ifndef MONITOR_BOOT_SYMBOLS_H
#define MONITOR_BOOT_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "boot/image.h"

/* "name+0x12" into text; false, and an empty text, if the file has no symbol for it. A return address is `after` the
 * instruction that is meant, which may be its function's last. */
bool symbols_name(const struct image *image, uint64_t address, bool after, char *text, size_t size);

#endif
