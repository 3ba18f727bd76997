/* SPDX-License-Identifier: MIT */
/* area: what ring 0 of a vCPU starts from: GDT, TSS and IDT, at their offsets in its area (polder/abi.h). */
#ifndef MONITOR_AREA_H
#define MONITOR_AREA_H

#include "types.h"

/* data: the area from AREA_DATA on. Vector n goes to area_gva + vectors + n * vector_size. */
void area_fill(char *data, gva_t area_gva, uint32_t vectors, uint32_t vector_size);

#endif
