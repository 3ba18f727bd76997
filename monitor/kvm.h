/* SPDX-License-Identifier: MIT */
/*
 * kvm: the library's only file with KVM ioctls. One VM per process, one kvm_vcpu per thread that runs sandboxes.
 * Functions return 0 or -errno. Section numbers are those of the kernel's "KVM API documentation".
 */
#ifndef MONITOR_KVM_H
#define MONITOR_KVM_H

#include "state.h"
#include "types.h"
#include <linux/kvm.h>

struct kvm_vm {
    int dev, fd;
    uint32_t run_size;   /* of the kvm_run mapping */
    uint32_t xsave_size; /* of KVM_GET_XSAVE2's area */
    uint32_t gpa_bits;
    uint32_t max_slots, max_vcpus;
    uint64_t xcr0;
    uint64_t cr4;      /* what this KVM takes of SMEP, SMAP, UMIP, FSGSBASE, PCIDE, OSXSAVE */
    bool native_ring0; /* FSGSBASE and SMEP in the CPUID that KVM offers: ring 0 is the CPU's, not an emulator's */
    bool tsc_same;     /* the TSC inside is the TSC outside */
    bool tsc_steady;   /* the TSC inside goes on at one pace, whether the vCPU runs or not */
    bool x2apic;
    bool readonly_slots; /* KVM_MEM_READONLY */
    uint32_t tsc_khz;
} PRIVATE_TYPE;

extern struct kvm_vm kvm;

/* Opens /dev/kvm and makes the VM. What is missing: -ENOENT, -EACCES, or -ENOSYS with kvm_missing() naming the
 * capability. */
int kvm_open(void);
void kvm_forget(void); /* after fork(): closes what belongs to the parent */
const char *kvm_missing(void);

int kvm_set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva);
/* A guest's write there is KVM_EXIT_MMIO; on a KVM without such slots, EFAULT from the host's protection. */
int kvm_set_readonly_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva);

struct kvm_vcpu {
    int fd;
    uint32_t id;
    struct kvm_run *run;
    uint64_t deadline_tsc, deadline_ns; /* what was armed last: the MSR's value, and when, by CLOCK_MONOTONIC */
};

#define KVM_CR4_PCIDE (1ull << 17)
#define KVM_CR4_SMAP (1ull << 21)

/* The registers that make ring 0 of a vCPU: what the stub's area has at which address. */
struct kvm_ring0 {
    uint64_t cr3, gdt_base, idt_base, tss_base, lstar, rip;
    uint16_t gdt_limit;
    /* What only a resident kernel wants; all zero for the stub. */
    uint64_t segment_base; /* of FS and GS */
    uint64_t cr4_without;  /* bits of kvm.cr4 that it is to turn on itself */
    bool x2apic;           /* the local APIC in x2APIC mode; only with kvm.x2apic */
};

/* Takes vcpu up with fd -1 and all else 0, or as this left it when it failed: KVM gives no number out twice. run_at:
 * where in the reservation kvm_run is mapped, kvm.run_size bytes. At an address of the kernel's choice, it could come
 * to lie where a sandbox of "/proc/self/mm" has had memory, and a host call under way still writes. */
int kvm_vcpu_create(struct kvm_vcpu *vcpu, uint32_t id, const struct kvm_ring0 *ring0, void *run_at);
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);

/* KVM_RUN (4.10): 0, or -EINTR, -EFAULT, ... */
int kvm_run(struct kvm_vcpu *vcpu);
int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *regs);
int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *regs);
int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *sregs);
int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *sregs);
int kvm_get_events(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
int kvm_set_events(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);
int kvm_get_xsave(struct kvm_vcpu *vcpu, void *area);       /* kvm.xsave_size bytes */
int kvm_set_xsave(struct kvm_vcpu *vcpu, const void *area); /* -EINVAL for reserved bits */
/* How often the vCPU has left the guest (4.131, KVM_GET_STATS_FD). -ENOSYS where KVM does not count. */
int kvm_count_exits(struct kvm_vcpu *vcpu, uint64_t *exits);
/* The mask while KVM_RUN runs (4.27); NULL: the thread's own. */
int kvm_set_sigmask(struct kvm_vcpu *vcpu, const void *mask);
/* Arms the local APIC's timer for VECTOR_DEADLINE, ns from now. */
int kvm_arm_deadline(struct kvm_vcpu *vcpu, uint64_t ns);
int kvm_disarm_deadline(struct kvm_vcpu *vcpu);
/* True while the deadline is armed and its interrupt has not reached the local APIC; *ns until then, 0 if it is due.
 * Not while the vCPU runs. */
bool kvm_deadline_left(struct kvm_vcpu *vcpu, uint64_t *ns);
/* True if the local APIC holds an interrupt, or an NMI waits, that the vCPU has not taken yet. Not while it runs. */
bool kvm_interrupt_waits(struct kvm_vcpu *vcpu);
/* Ends the interrupt that it raised, so that the next can come. */
int kvm_end_interrupt(struct kvm_vcpu *vcpu);
/* Sends an NMI: whatever the vCPU runs, it comes to the stub. Async-signal-safe, from any thread, without a signal. */
int kvm_send_nmi(uint32_t vcpu_id);

#endif
