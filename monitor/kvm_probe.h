/* SPDX-License-Identifier: MIT */
/*
 * kvm_probe: which kind of KVM this is, found out by experiments in a virtual machine of its own that is thrown away.
 * Nothing of the library's own VM (kvm.c) takes part.
 */
#ifndef MONITOR_KVM_PROBE_H
#define MONITOR_KVM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

enum kvm_paging {
    KVM_PAGING_UNKNOWN,         /* the experiment went wrong */
    KVM_PAGING_TWO_DIMENSIONAL, /* the CPU reads the guest's page tables: they are plain memory */
    KVM_PAGING_SHADOWED,        /* KVM keeps copies, and does not see what the host writes into the originals */
};

struct kvm_probe {
    uint64_t ring0_rate;     /* instructions a second in ring 0; an emulator does a few millions */
    uint64_t exit_ns;        /* median of an exit to the host and back: one `out` in ring 0, nothing else */
    enum kvm_paging paging;  /* was the host's change to a used, present entry seen after invlpg and mov cr3? */
    bool ring0_store_obeyed; /* shadowed: the same change made by a store of ring 0 was seen */
};

/* 0 or -errno. */
int kvm_probe(struct kvm_probe *probe);

#endif
