/* SPDX-License-Identifier: MIT */
/* machine: one machine of `polder boot`, from the options to how it ended. */
#ifndef MONITOR_BOOT_MACHINE_H
#define MONITOR_BOOT_MACHINE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot/console.h"
#include "boot/image.h"
#include "boot/layout.h"
#include "boot/ram.h"
#include "boot/windows.h"
#include "confine/confine.h"
#include "kvm.h"

#define MACHINE_MAX_CPUS 255 /* what the 8-bit number in an NMI's message addresses */

struct boot_options {
    const char *kernel;
    const char *append;   /* "" without one */
    const char *initrd;   /* or NULL */
    const char *dump_dtb; /* or NULL */
    uint64_t memory;
    uint32_t cpus;
    uint64_t timeout; /* in seconds, 0 for none */
    struct window *files;
    uint32_t file_count;
    struct confine confine;
};

enum ending_kind {
    ENDING_NONE,
    ENDING_SHUTDOWN, /* number: the status */
    ENDING_TRAP,     /* the kernel reported a trap of its own by PORT_FAULT */
    ENDING_FAULT,    /* what KVM ended: text says it */
    ENDING_TIMEOUT,
    ENDING_SIGNAL, /* number: of the signal that the monitor got */
    ENDING_USER,   /* Ctrl-A x */
};

struct ending {
    enum ending_kind kind;
    int number;
    uint32_t cpu;
    bool rip_is_past; /* the exit found RIP behind the instruction that made it */
    char text[400];
};

struct machine;

struct cpu {
    struct machine *machine;
    struct kvm_vcpu kvm;
    uint32_t number;
    char *data; /* the data page of its area */
    pthread_t thread;
    sem_t ready, go;    /* the thread is there; the vCPU has been started */
    bool started;       /* never false again */
    bool stopped;       /* the thread will touch nothing any more */
    int wake;           /* eventfd: HC_WAKE, HC_NMI, input, the end */
    bool wants_console; /* input on the terminal is to wake it */
    void *xstate;       /* kvm.xsave_size bytes that the guest cannot change while they are used */
};

struct machine {
    const struct boot_options *options;
    struct image image;
    struct ram ram;
    struct windows windows;
    struct layout layout;
    struct console console;
    struct cpu *cpus;
    uint32_t cpu_count;
    pthread_mutex_t lock; /* of `ending` and of who is started */
    struct ending ending; /* the first thing that ended it */
    bool stop;            /* there is one: every thread leaves */
    int ended;            /* eventfd: tells the main thread */
};

/* Boots, waits for the end and says how it ended: the exit status. May not return, where a signal ends the process. */
int machine_boot(const struct boot_options *options);

/* Ends the machine, if nothing has before; from any thread. */
void machine_end(struct machine *machine, const struct ending *ending);

#endif
