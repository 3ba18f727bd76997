/* SPDX-License-Identifier: MIT */
/*
 * points: included before all else into those files of the library whose order of steps matters. Each of their atomic
 * operations becomes a place where another actor may run. What is inline in headers is not theirs, and comes first.
 */
#ifndef TESTS_PROTOCOL_POINTS_H
#define TESTS_PROTOCOL_POINTS_H

#include "edits.h"
#include "entry.h"
#include "file.h"
#include "frames.h"
#include "hostmem.h"
#include "mm.h"
#include "physmem.h"
#include "sandbox.h"
#include "schedule.h"
#include "state.h"
#include "tables.h"
#include "vcpu.h"

/* All actors are one thread: hint.h. */
#define __thread

/* Relaxed ones are read under a lock, or are hints. */
#define __atomic_load_n(p, order) ((order) == __ATOMIC_RELAXED ? (void)0 : point(), __atomic_load_n(p, order))
#define __atomic_store_n(p, value, order) (point(), __atomic_store_n(p, value, order), wrote())
#define __atomic_exchange_n(p, value, order) (point(), wrote(), __atomic_exchange_n(p, value, order))
#define __atomic_add_fetch(p, value, order) (point(), wrote(), __atomic_add_fetch(p, value, order))
#define __atomic_sub_fetch(p, value, order) (point(), wrote(), __atomic_sub_fetch(p, value, order))

#endif
