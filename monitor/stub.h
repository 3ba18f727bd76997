/* SPDX-License-Identifier: MIT */
/* stub: the image of guest-stub/stub.S and the offsets at its start. */
#ifndef MONITOR_STUB_H
#define MONITOR_STUB_H

#include <stdint.h>

struct stub_header {
    uint32_t native_vectors, native_syscall, native_resume;
    uint32_t native_enter_edits, native_enter_cr3, native_enter_bases, native_enter, native_iret_nmi;
    uint32_t native_nmi_in_stub, native_nmi_in_stub_out, native_end;
    uint32_t sync_vectors, sync_syscall, sync_enter_edits, sync_enter_cr3, sync_enter, sync_exit_end;
    uint32_t edits_done_out, end;
};

#define NATIVE_VECTOR_SIZE 16
#define SYNC_VECTOR_SIZE 4

extern const char stub_image[] __attribute__((visibility("hidden")));
extern const char stub_image_end[] __attribute__((visibility("hidden")));

static inline const struct stub_header *stub_header(void)
{
    return (const struct stub_header *)stub_image;
}

#endif
