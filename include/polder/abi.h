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

/*
 * ------------------------------------------------------------------ Resident kernels: what `polder boot` promises.
 *
 * The file: a static ELF64 for x86-64 (ET_EXEC) whose PT_LOAD segments lie page-aligned in the upper half, at or above
 * BOOT_IMAGE_MIN, none of them both writable and executable; with a note of the name "polder" and the type
 * BOOT_NOTE_ABI whose four bytes are BOOT_ABI. POLDER_BOOT_NOTE below makes it.
 *
 * Guest-physical memory: RAM begins at BOOT_RAM_BASE and has no hole. First the image, then, from the next 2 MiB on,
 * what the monitor has made (page tables, areas, device tree, initrd: the memory reservations of the device tree cover
 * all that and the image), then free memory to the end of /memory's reg. HC_MEMORY makes it longer.
 *
 * At the entry of the ELF file: long mode with four levels of paging, CPL 0, interrupts off, EFER.NXE and CR0.WP set;
 * SMEP, UMIP, FSGSBASE and OSXSAVE in CR4 where CPUID has them, and SMAP never; the local APIC in x2APIC mode if CPUID
 * has that, else disabled for the guest.
 *   rdi      address of the flattened device tree, or what HC_START_CPU was given as its argument
 *   rsi      number of this vCPU
 *   rsp      undefined, or what HC_START_CPU was given
 *   fs, gs   base: the data page of the vCPU's area
 *   cr3      the root that the monitor has made: its lower half is empty; its upper half maps, supervisor only,
 *              the image as its segments say;
 *              all RAM but the image's, at POLDER_DIRECT_BASE + guest-physical address: writable, never executable, in
 *              entries of 2 MiB; the level-2 tables there reach to the limit of --memory and over all file windows, so
 *              that a kernel maps what it brings in by storing such entries;
 *              one area per vCPU at POLDER_STUB_BASE + number * AREA_STRIDE: the data page, the IDT and the stacks at
 *              the offsets above, writable; AREA_EARLY executable. AREA_CODE and AREA_KERNEL are not present, but the
 *              tables down to their entries are there.
 *            The level-3 tables of these three slots of the root are there: a kernel that copies the three entries
 *            into another root shares all that follows.
 *   GDTR, TR the data page's GDT and TSS: selectors as above, IST 1 and RSP0 the trap stack, IST 2 the NMI stack
 *   IDTR     the area's IDT: every vector has a gate, IST 1 (the NMI: IST 2), DPL 0 (vector 3: DPL 3), to a handler in
 *            AREA_EARLY that reports the trap through PORT_FAULT. The kernel replaces gates as it likes.
 *   SFMASK   0x57700; STAR for the selectors above; CSTAR 0; LSTAR 0, for the kernel to set.
 */
#define BOOT_ABI 1
#define BOOT_NOTE_ABI 1
#define BOOT_IMAGE_MIN 0xffffffff80000000
#define BOOT_RAM_BASE 0x100000000
#define AREA_EARLY 0x5000
#define AREA_KERNEL 0x8000 /* four pages for whatever the kernel maps there */
#define AREA_KERNEL_SIZE 0x4000

/*
 * A hypercall: the number and the arguments are stored in the data page of the vCPU that calls, then one byte is
 * written to PORT_HYPERCALL (any value). The results are in the data page when the instruction is done; no register
 * changes. Addresses are guest-physical and must lie in RAM, or the result is -EFAULT. DATA_CALL_RESULT is the result
 * or a negative errno of Linux; an unknown number gives -ENOSYS.
 */
#define DATA_CALL 0x400 /* number, then six arguments of 8 bytes */
#define DATA_CALL_ARG(n) (0x408 + 8 * (n))
#define DATA_CALL_RESULT 0x440
#define DATA_CALL_RESULT2 0x448
#define PORT_HYPERCALL 0xe0

/*
 * A trap of ring 0 that the kernel cannot go on from: four bytes are written to PORT_FAULT with rsp pointing at vector,
 * error code, rip, cs, rflags, rsp, ss (8 bytes each) and every other register as it was. The monitor reports it and
 * exits with BOOT_STATUS_FAULT.
 */
#define PORT_FAULT 0xe1
#define BOOT_STATUS_FAULT 70

/* In the data page, for that report: address of the struct polder_params that last ran on this vCPU, or 0. */
#define DATA_PARAMS 0x458

/* (buffer, length): writes to the console. Bytes written: all, but for an error on the way. -EPIPE: nobody reads it any
 * more; and what write(2) says. */
#define HC_CONSOLE_WRITE 0
/* (buffer, length): reads what is there. Bytes read, 0 at the end of the input, -EAGAIN if there is nothing yet,
 * -EINVAL for no length. */
#define HC_CONSOLE_READ 1
/* (bytes): brings in more RAM, a multiple of 2 MiB, zeroed, right behind what is there. Its guest-physical address;
 * mapped nowhere yet. -ENOMEM beyond the limit of --memory, -EINVAL. */
#define HC_MEMORY 2
/* (index): brings in the file of the device-tree node file@index. Its guest-physical address, page-aligned; RESULT2:
 * its size in bytes. A page beyond its end reads as zeros, also when the file is cut later. -ENOENT, and what open(2)
 * says. Again the same address when it is called again. Only a file given with `rw` may be written. */
#define HC_FILE 3
/* (clock): nanoseconds. 0: monotonic since some moment before the start; 1: since 1970-01-01 UTC. */
#define HC_CLOCK 4
/* (ns): after so many ns the interrupt VECTOR_TIMER comes to this vCPU, once. Replaces what was armed; UINT64_MAX
 * disarms. The kernel ends the interrupt with an EOI to its local APIC. */
#define HC_TIMER 5
/* (buffer, length): random bytes of the host. Bytes written, at least 1 and at most 64 KiB; -EINVAL for no length. */
#define HC_RANDOM 6
/* (status): ends the machine; 0 to 255 is the exit status of `polder boot`. Does not return, but with -EINVAL. */
#define HC_SHUTDOWN 7
/* (number, rip, rsp, argument): starts a vCPU, with the caller's CR3. 0; -EBUSY if it has been started before, -EINVAL
 * also for addresses that are not canonical. */
#define HC_START_CPU 8
/* (flags): sleeps until an interrupt waits for this vCPU or HC_WAKE or HC_NMI is called for it; with IDLE_CONSOLE in
 * flags also until the console can be read, or its end be learnt. 0; -EINVAL. It may come back early. One HC_WAKE that
 * came before is not lost. An interrupt that another vCPU's local APIC sends while this one sleeps does not wake it:
 * who sends it calls HC_WAKE as well. */
#define HC_IDLE 9
#define IDLE_CONSOLE 1
/* (number): ends that vCPU's HC_IDLE. 0 or -EINVAL. */
#define HC_WAKE 10
/* (save, load): where ring 0 cannot execute XSAVE: stores the FPU state of ring 3 at `save`, then loads it from `load`
 * (xstate-size bytes each, 64-byte aligned, 0 for neither). 0; -EINVAL for reserved bits in what is loaded. */
#define HC_XSTATE 11
/* (number): sends an NMI to that vCPU, where there is no x2APIC. 0; -EINVAL if it has not been started. */
#define HC_NMI 12
/* (): how often this vCPU has left the guest, by KVM's own count (KVM API, 4.131, KVM_GET_STATS_FD): for measurements.
 * -ENOSYS where KVM does not count. */
#define HC_EXITS 13
#define HC_COUNT 14

#define VECTOR_TIMER VECTOR_DEADLINE

#ifdef __ASSEMBLER__
/* clang-format off */
    .macro POLDER_BOOT_NOTE
    .pushsection .note.polder, "a", @note
    .balign 4
    .long 7, 4, BOOT_NOTE_ABI
    .asciz "polder"
    .balign 4
    .long BOOT_ABI
    .popsection
    .endm
/* clang-format on */
#endif

#endif
