/* SPDX-License-Identifier: MIT */
/*
 * abi.h - what the monitor and the ring-0 stub agree on; also for .S files.
 *
 * Upper half of every address space, supervisor only and the same in all of them:
 *   POLDER_DIRECT_BASE   every page-table page, at its offset in the monitor's table memory: where the stub carries out
 *                        page-table edits
 *   POLDER_STUB_BASE     one area per vCPU. The code pages are shared; what follows them is the vCPU's own. The code
 * finds its data by RIP-relative addressing through the alias it runs at, so that neither swapgs nor a register is
 * needed to know which vCPU this is, and nothing that ring 3 controls decides it.
 */
#ifndef POLDER_ABI_H
#define POLDER_ABI_H

#define POLDER_DIRECT_BASE 0xffffc80000000000
#define POLDER_STUB_BASE 0xfffffe0000000000

/* Offsets in a vCPU's area. */
#define AREA_STRIDE 0x40000
#define AREA_CODE 0x0000 /* executable, read-only */
#define AREA_CODE_SIZE 0x2000
#define AREA_DATA 0x2000 /* from here on writable, not executable */
#define AREA_IDT 0x3000
#define AREA_STACKS 0x4000
#define AREA_EDITS 0x5000 /* the list of page-table edits of one entry */
#define AREA_EDITS_SIZE 0x10000
#define AREA_SIZE 0x15000

/* Offsets in the data page. The registers of ring 3, on the way in and on the way out (native flavour). */
#define DATA_RAX 0x00
#define DATA_RBX 0x08
#define DATA_RCX 0x10
#define DATA_RDX 0x18
#define DATA_RSI 0x20
#define DATA_RDI 0x28
#define DATA_RBP 0x30
#define DATA_R8 0x38
#define DATA_R9 0x40
#define DATA_R10 0x48
#define DATA_R11 0x50
#define DATA_R12 0x58
#define DATA_R13 0x60
#define DATA_R14 0x68
#define DATA_R15 0x70
#define DATA_RSP 0x78         /* out: RSP as SYSCALL left it */
#define DATA_FS_BASE 0x80     /* in and out */
#define DATA_GS_BASE 0x88     /* in and out */
#define DATA_CR2 0x90         /* out */
#define DATA_VECTOR 0x98      /* out: VECTOR_SYSCALL, VECTOR_NMI, or: look at the trap frame */
#define DATA_CR3 0xa0         /* in: for the entries that load CR3 */
#define DATA_ENTRY 0xa8       /* in: address of one of the entries */
#define DATA_ENTRY_RSP 0xb0   /* in: RSP there */
#define DATA_AFTER_EDITS 0xb8 /* in: where to go on when the edits are done */
#define DATA_EDIT_COUNT 0xc0  /* in: pairs of address and value at ENTRY_RSP */
#define DATA_ZERO_COUNT 0xc8  /* in: addresses of table pages to be zeroed, after the pairs */
#define DATA_EDITS_DONE 0xd0  /* out: 1 when both are carried out */
#define DATA_IRET_FRAME 0x100 /* in: RIP, CS, RFLAGS, RSP, SS */
#define DATA_GDT 0x200        /* GDT_SIZE bytes */
#define DATA_TSS 0x300        /* 104 bytes */

#define VECTOR_TRAP 0 /* DATA_VECTOR: the frame is on the trap stack */
#define VECTOR_SYSCALL 256
#define VECTOR_NMI 2
#define VECTOR_DEADLINE 0xef
#define VECTOR_SPURIOUS 0xff

/* Tops of the stacks. Every vector has an IST stack (AMD APM vol. 2, 8.9.4), for ring 3 chooses RSP. The NMI has its
 * own, so that one that arrives in the stub leaves the frame of the trap under way alone. */
#define STACK_TRAP_TOP (AREA_STACKS + 0xc00)
#define STACK_NMI_TOP (AREA_STACKS + 0x1000)

/* Selectors: those of Linux where ring 3 sees them; STAR wants data right after code (APM vol. 2, 6.1.1). */
#define GDT_KERNEL_CODE 0x10
#define GDT_KERNEL_DATA 0x18
#define GDT_USER_CODE32 0x23
#define GDT_USER_DATA 0x2b
#define GDT_USER_CODE 0x33
#define GDT_TSS 0x40
#define GDT_SIZE 0x50

/* I/O ports of the native flavour. The synchronised flavour uses the vector as the port, and a write of 32 bits for
 * SYSCALL. PORT_EDITS_DONE is written with 16 bits, in both. */
#define PORT_TRAP 0
#define PORT_NMI_IN_STUB 1
#define PORT_EDITS_DONE 2

#endif
