/* SPDX-License-Identifier: MIT */
/* records: memory for the library's own records. Implemented by hostmem.c, and by the resident run-time for itself. */
#ifndef MONITOR_RECORDS_H
#define MONITOR_RECORDS_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed, at least 16-byte aligned; NULL if there is no memory. size must be given back as it was asked for. */
void *record_alloc(size_t size);
void record_free(void *record, size_t size);
/* Bytes of records handed out now: for tests of leaks. */
uint64_t record_bytes(void);

#endif
