/* SPDX-License-Identifier: MIT */
#include "boot/cpu.h"

#include <errno.h>
#include <inttypes.h>
#include <polder/abi.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "boot/hypercall.h"

#define KICK SIGRTMIN /* ends whatever a thread waits in, for a report; never sent from outside */
#define KICK_AGAIN_MS 10
#define CPU_STACK (256u << 10)
#define EFAULTS_MAX 16 /* in a row: a file may be cut and grow again while it is looked at */

/* ---------------------------------------------------------------- making and starting */

int cpu_create(struct machine *machine, uint32_t number)
{
    struct cpu *cpu = &machine->cpus[number];
    *cpu = (struct cpu){.machine = machine, .number = number, .kvm.fd = -1};
    cpu->data = ram_at(&machine->ram, layout_data_page(&machine->layout, number), PAGE_SIZE);
    cpu->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cpu->wake < 0)
        return -errno;
    cpu->xstate = aligned_alloc(PAGE_SIZE, page_up(kvm.xsave_size));
    void *run_at = mmap(NULL, kvm.run_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!cpu->xstate || run_at == MAP_FAILED)
        return -ENOMEM;
    uint64_t area = layout_area(number);
    struct kvm_ring0 ring0 = {.cr3 = machine->layout.tables,
        .gdt_base = area + AREA_DATA + DATA_GDT,
        .gdt_limit = GDT_SIZE - 1,
        .idt_base = area + AREA_IDT,
        .tss_base = area + AREA_DATA + DATA_TSS,
        .segment_base = area + AREA_DATA,
        .cr4_without = KVM_CR4_SMAP | KVM_CR4_PCIDE,
        .x2apic = kvm.x2apic};
    return kvm_vcpu_create(&cpu->kvm, number, &ring0, run_at);
}

static int set_entry(struct cpu *cpu, uint64_t cr3, uint64_t rip, uint64_t rsp, uint64_t rdi)
{
    struct kvm_sregs sregs;
    int error = kvm_get_sregs(&cpu->kvm, &sregs);
    if (error < 0)
        return error;
    sregs.cr3 = cr3;
    error = kvm_set_sregs(&cpu->kvm, &sregs);
    if (error < 0)
        return error;
    struct kvm_regs regs = {.rip = rip, .rsp = rsp, .rdi = rdi, .rsi = cpu->number, .rflags = 2};
    return kvm_set_regs(&cpu->kvm, &regs);
}

static void *run(void *cpu);

int cpu_make_thread(struct cpu *cpu)
{
    pthread_attr_t attr;
    sem_init(&cpu->ready, 0, 0);
    sem_init(&cpu->go, 0, 0);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CPU_STACK);
    int error = pthread_create(&cpu->thread, &attr, run, cpu);
    pthread_attr_destroy(&attr);
    /* What a new thread tells the kernel about itself, it may not tell any more once it is confined. */
    while (!error && sem_wait(&cpu->ready))
        ;
    return -error;
}

int cpu_start(struct cpu *cpu, uint64_t cr3, uint64_t rip, uint64_t rsp, uint64_t rdi)
{
    if (!canonical(rip) || !canonical(rsp))
        return -EINVAL;
    pthread_mutex_lock(&cpu->machine->lock);
    int error = cpu->started ? -EBUSY : set_entry(cpu, cr3, rip, rsp, rdi);
    if (!error) {
        __atomic_store_n(&cpu->started, true, __ATOMIC_RELEASE);
        sem_post(&cpu->go);
    }
    pthread_mutex_unlock(&cpu->machine->lock);
    return error;
}

/* ---------------------------------------------------------------- waiting */

void cpu_wake(struct cpu *cpu)
{
    eventfd_write(cpu->wake, 1); /* it cannot overflow: that takes 2^64 of them unread */
}

/* KVM alone knows when the timer expires: by a clock of its own, which need not agree with the host's. Whoever comes
 * back a little too early finds the time that is left. */
static const struct timespec *timeout(struct cpu *cpu, struct timespec *room)
{
    uint64_t ns;
    if (!kvm_deadline_left(&cpu->kvm, &ns))
        return NULL;
    room->tv_sec = (time_t)(ns / 1000000000);
    room->tv_nsec = (long)(ns % 1000000000);
    return room;
}

int64_t cpu_idle(struct cpu *cpu, bool console)
{
    struct console *input = &cpu->machine->console;
    struct timespec room;
    struct pollfd fds[2] = {{.fd = cpu->wake, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (kvm_interrupt_waits(&cpu->kvm))
        return 0;
    if (console) {
        /* First the wish, then the look: input that comes in between wakes. */
        __atomic_store_n(&cpu->wants_console, true, __ATOMIC_SEQ_CST);
        if (console_readable(input)) {
            __atomic_store_n(&cpu->wants_console, false, __ATOMIC_SEQ_CST);
            return 0;
        }
        fds[1].fd = console_poll_fd(input);
    }
    int ready = ppoll(fds, 2, timeout(cpu, &room), NULL);
    eventfd_t value;
    if (ready > 0 && fds[0].revents)
        eventfd_read(cpu->wake, &value);
    __atomic_store_n(&cpu->wants_console, false, __ATOMIC_SEQ_CST);
    return 0;
}

/* ---------------------------------------------------------------- exits */

__attribute__((format(printf, 3, 4))) static bool fault(struct cpu *cpu, bool rip_is_past, const char *format, ...)
{
    struct ending ending = {.kind = ENDING_FAULT, .cpu = cpu->number, .rip_is_past = rip_is_past};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ending.text, sizeof ending.text, format, arguments);
    va_end(arguments);
    machine_end(cpu->machine, &ending);
    return false;
}

static bool port(struct cpu *cpu)
{
    const struct kvm_run *run = cpu->kvm.run;
    bool out = run->io.direction == KVM_EXIT_IO_OUT;
    if (out && run->io.port == PORT_HYPERCALL && run->io.size == 1 && run->io.count == 1)
        return hypercall(cpu);
    if (out && run->io.port == PORT_FAULT && run->io.size == 4 && run->io.count == 1) {
        machine_end(cpu->machine, &(struct ending){.kind = ENDING_TRAP, .cpu = cpu->number});
        return false;
    }
    /* An emulator is done with the instruction when it exits; a CPU is not. */
    return fault(cpu, !kvm.native_ring0, "%s port %#x with %u byte%s; there is nothing",
        out ? "a write to" : "a read from", run->io.port, run->io.size, run->io.size == 1 ? "" : "s");
}

/* An access that found no memory. In a page that was cut off a file it reads zeros, and what is written is lost. */
static bool mmio(struct cpu *cpu, uint64_t mended_before)
{
    struct kvm_run *run = cpu->kvm.run;
    struct windows *windows = &cpu->machine->windows;
    uint64_t gpa = run->mmio.phys_addr;
    bool write = run->mmio.is_write;
    const char *what = write ? "a write to" : "a read from";
    const struct window *w = windows_at(windows, gpa);
    if (!w)
        return fault(cpu, write, "%s guest-physical %#" PRIx64 ", where there is nothing", what, gpa);
    windows_mend(windows, mended_before);
    if ((w->writable || !write) && windows_is_cut(windows, w, gpa)) {
        memset(run->mmio.data, 0, sizeof run->mmio.data);
        return true;
    }
    return fault(cpu, write, "%s guest-physical %#" PRIx64 ", in the file %s=%s, %s", what, gpa, w->name, w->path,
        write && !w->writable ? "given without `,rw'" : "which HC_FILE has not brought in");
}

static bool internal_error(struct cpu *cpu)
{
    const struct kvm_run *run = cpu->kvm.run;
    char bytes[3 * 15 + 40] = "";
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return fault(cpu, false, "KVM cannot go on: internal error %u", run->internal.suberror);
    if (run->emulation_failure.ndata >= 4 &&
        (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
        int at = snprintf(bytes, sizeof bytes, "; its bytes:");
        for (unsigned i = 0; i < run->emulation_failure.insn_size && i < 15; i++)
            at += snprintf(bytes + at, sizeof bytes - (size_t)at, " %02x", run->emulation_failure.insn_bytes[i]);
    }
    return fault(cpu, false, "an instruction that KVM cannot emulate%s", bytes);
}

static bool exited(struct cpu *cpu, uint64_t mended_before)
{
    const struct kvm_run *run = cpu->kvm.run;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return port(cpu);
    case KVM_EXIT_MMIO:
        return mmio(cpu, mended_before);
    case KVM_EXIT_HLT: /* only where KVM cannot let it be */
        cpu_idle(cpu, false);
        return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IOAPIC_EOI:
        return true;
    case KVM_EXIT_SHUTDOWN:
        return fault(cpu, false, "a triple fault");
    case KVM_EXIT_INTERNAL_ERROR:
        return internal_error(cpu);
    case KVM_EXIT_FAIL_ENTRY:
        return fault(cpu, false, "KVM cannot enter the guest: reason %#" PRIx64,
            (uint64_t)run->fail_entry.hardware_entry_failure_reason);
    default:
        return fault(cpu, false, "KVM says exit %u, which nothing here asks for", run->exit_reason);
    }
}

static void *run(void *argument)
{
    struct cpu *cpu = argument;
    struct machine *machine = cpu->machine;
    unsigned efaults = 0;
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, KICK);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    sem_post(&cpu->ready);
    while (sem_wait(&cpu->go))
        ;
    for (bool go_on = true; go_on && !__atomic_load_n(&machine->stop, __ATOMIC_ACQUIRE);) {
        uint64_t mended_before = windows_mended(&machine->windows);
        int error = kvm_run(&cpu->kvm);
        if (error == 0)
            go_on = exited(cpu, mended_before);
        else if (error == -EFAULT && (windows_mend(&machine->windows, mended_before) || efaults < EFAULTS_MAX))
            efaults++;
        else if (error != -EINTR && error != -EAGAIN)
            go_on = fault(cpu, false, "KVM cannot run it: %s", strerror(-error));
        if (error != -EFAULT)
            efaults = 0;
    }
    __atomic_store_n(&cpu->stopped, true, __ATOMIC_RELEASE);
    eventfd_write(machine->ended, 1);
    return NULL;
}

/* ---------------------------------------------------------------- the end */

static void interrupted(int signal)
{
    (void)signal;
}

static bool kick(struct cpu *cpu)
{
    if (!__atomic_load_n(&cpu->started, __ATOMIC_ACQUIRE) || __atomic_load_n(&cpu->stopped, __ATOMIC_ACQUIRE))
        return false;
    cpu->kvm.run->immediate_exit = 1;
    pthread_kill(cpu->thread, KICK);
    return true;
}

void cpus_wait_stopped(struct machine *machine)
{
    struct sigaction action = {.sa_handler = interrupted};
    sigaction(KICK, &action, NULL);
    for (uint32_t running = 1; running;) {
        running = 0;
        for (uint32_t i = 0; i < machine->cpu_count; i++)
            running += kick(&machine->cpus[i]);
        /* A signal that comes just before a thread begins to wait is lost: so it is sent until it is not. */
        struct pollfd fd = {.fd = machine->ended, .events = POLLIN};
        eventfd_t value;
        if (running)
            poll(&fd, 1, KICK_AGAIN_MS);
        eventfd_read(machine->ended, &value);
    }
}
