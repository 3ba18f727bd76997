/* SPDX-License-Identifier: MIT */
/* The assembled stub as data of the library. */
    .section .rodata
    .globl stub_image, stub_image_end
    .hidden stub_image, stub_image_end
    .balign 16
stub_image:
    .incbin "stub.bin"
stub_image_end:
    .section .note.GNU-stack, "", @progbits
