/* SPDX-License-Identifier: MIT */
/* own: what the parts of the run-time share that is in no other header. */
#ifndef RESIDENT_OWN_H
#define RESIDENT_OWN_H

#include <polder/polder.h>

#define EXPORT __attribute__((visibility("default")))

int record_set_allocator(const struct polder_allocator *allocator);

#endif
