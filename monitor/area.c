/* SPDX-License-Identifier: MIT */
#include "area.h"

#include <polder/abi.h>
#include <string.h>

static void set_gate(uint64_t *idt, unsigned vector, gva_t handler)
{
    unsigned ist = vector == VECTOR_NMI ? 2 : 1;
    /* int3 is ring 3's to use, as natively; any other INT n is #GP with the vector in its error code. */
    uint64_t dpl = vector == 3 ? 3 : 0;
    idt[2 * vector] = (handler & 0xffff) | (uint64_t)GDT_KERNEL_CODE << 16 | (uint64_t)ist << 32 | 0xeull << 40 |
                      dpl << 45 | 1ull << 47 | (handler >> 16 & 0xffff) << 48;
    idt[2 * vector + 1] = handler >> 32;
}

void area_fill(char *data, gva_t area_gva, uint32_t vectors, uint32_t vector_size)
{
    uint64_t *gdt = (uint64_t *)(data + DATA_GDT);
    char *tss = data + DATA_TSS;
    gva_t tss_gva = area_gva + AREA_DATA + DATA_TSS;
    gdt[GDT_KERNEL_CODE / 8] = 0x00af9b000000ffff;
    gdt[GDT_KERNEL_DATA / 8] = 0x00cf93000000ffff;
    gdt[GDT_USER_CODE32 / 8] = 0x00cffb000000ffff;
    gdt[GDT_USER_DATA / 8] = 0x00cff3000000ffff;
    gdt[GDT_USER_CODE / 8] = 0x00affb000000ffff;
    gdt[GDT_TSS / 8] = 0x0000890000000067 | (tss_gva & 0xffffff) << 16 | (tss_gva >> 24 & 0xff) << 56;
    gdt[GDT_TSS / 8 + 1] = tss_gva >> 32;
    uint64_t trap_top = area_gva + STACK_TRAP_TOP, nmi_top = area_gva + STACK_NMI_TOP;
    memcpy(tss + 4, &trap_top, 8);    /* RSP0, for KVMs that know no IST */
    memcpy(tss + 0x24, &trap_top, 8); /* IST1 */
    memcpy(tss + 0x2c, &nmi_top, 8);  /* IST2 */
    uint16_t no_io_bitmap = 0x68;
    memcpy(tss + 0x66, &no_io_bitmap, 2);
    for (unsigned i = 0; i < 256; i++)
        set_gate((uint64_t *)(data + AREA_IDT - AREA_DATA), i, area_gva + vectors + i * vector_size);
}
