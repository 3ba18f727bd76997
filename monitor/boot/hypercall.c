/* SPDX-License-Identifier: MIT */
#include "boot/hypercall.h"

#include <errno.h>
#include <polder/abi.h>
#include <string.h>
#include <sys/random.h>

#include "boot/cpu.h"
#include "clock.h"

#define XSTATE_ALIGN 64
#define RANDOM_MAX (64ull << 10) /* of one call: it cannot be interrupted */

/* What a call was given, copied once: the guest may change its data page at any time. */
struct arguments {
    uint64_t value[6];
    uint64_t result2;
};

static int64_t console_write_call(struct cpu *cpu, struct arguments *a)
{
    void *from = ram_at(&cpu->machine->ram, a->value[0], a->value[1]);
    return from ? console_write(from, a->value[1], &cpu->machine->stop) : -EFAULT;
}

static int64_t console_read_call(struct cpu *cpu, struct arguments *a)
{
    void *to = ram_at(&cpu->machine->ram, a->value[0], a->value[1]);
    return to ? console_read(&cpu->machine->console, to, a->value[1]) : -EFAULT;
}

static int64_t memory_call(struct cpu *cpu, struct arguments *a)
{
    return ram_grow(&cpu->machine->ram, a->value[0]);
}

static int64_t file_call(struct cpu *cpu, struct arguments *a)
{
    return windows_bring_in(&cpu->machine->windows, a->value[0], &a->result2);
}

static int64_t clock_call(struct cpu *cpu, struct arguments *a)
{
    (void)cpu;
    if (a->value[0] > 1)
        return -EINVAL;
    return (int64_t)clock_ns(a->value[0] ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

static int64_t timer_call(struct cpu *cpu, struct arguments *a)
{
    uint64_t ns = a->value[0];
    if (!kvm.x2apic) {
        /* The guest cannot: what it was told about has been taken by the time it asks for the next. */
        int error = kvm_end_interrupt(&cpu->kvm);
        if (error)
            return error;
    }
    return ns == UINT64_MAX ? kvm_disarm_deadline(&cpu->kvm) : kvm_arm_deadline(&cpu->kvm, ns);
}

static int64_t random_call(struct cpu *cpu, struct arguments *a)
{
    void *to = ram_at(&cpu->machine->ram, a->value[0], a->value[1]);
    if (!to)
        return -EFAULT;
    if (a->value[1] == 0)
        return -EINVAL;
    ssize_t n = getrandom(to, min_u64(a->value[1], RANDOM_MAX), 0);
    return n < 0 ? -errno : n;
}

static int64_t shutdown_call(struct cpu *cpu, struct arguments *a)
{
    if (a->value[0] > 255)
        return -EINVAL;
    machine_end(
        cpu->machine, &(struct ending){.kind = ENDING_SHUTDOWN, .number = (int)a->value[0], .cpu = cpu->number});
    return 0;
}

static struct cpu *other(struct cpu *cpu, uint64_t number)
{
    return number < cpu->machine->cpu_count ? &cpu->machine->cpus[number] : NULL;
}

static int64_t start_cpu_call(struct cpu *cpu, struct arguments *a)
{
    struct cpu *target = other(cpu, a->value[0]);
    struct kvm_sregs sregs;
    if (!target)
        return -EINVAL;
    int error = kvm_get_sregs(&cpu->kvm, &sregs);
    return error ? error : cpu_start(target, sregs.cr3, a->value[1], a->value[2], a->value[3]);
}

static int64_t idle_call(struct cpu *cpu, struct arguments *a)
{
    return a->value[0] & ~(uint64_t)IDLE_CONSOLE ? -EINVAL : cpu_idle(cpu, a->value[0] & IDLE_CONSOLE);
}

static int64_t wake_call(struct cpu *cpu, struct arguments *a)
{
    struct cpu *target = other(cpu, a->value[0]);
    if (!target)
        return -EINVAL;
    cpu_wake(target);
    return 0;
}

static bool bad_xstate(struct cpu *cpu, uint64_t gpa, void **area)
{
    *area = gpa ? ram_at(&cpu->machine->ram, gpa, kvm.xsave_size) : NULL;
    return gpa && !*area;
}

static int64_t xstate_call(struct cpu *cpu, struct arguments *a)
{
    void *save, *load;
    if ((a->value[0] | a->value[1]) % XSTATE_ALIGN)
        return -EINVAL;
    if (bad_xstate(cpu, a->value[0], &save) || bad_xstate(cpu, a->value[1], &load))
        return -EFAULT;
    if (save) {
        int error = kvm_get_xsave(&cpu->kvm, cpu->xstate);
        if (error < 0)
            return error;
        memcpy(save, cpu->xstate, kvm.xsave_size);
    }
    if (!load)
        return 0;
    memcpy(cpu->xstate, load, kvm.xsave_size);
    return kvm_set_xsave(&cpu->kvm, cpu->xstate) < 0 ? -EINVAL : 0;
}

static int64_t nmi_call(struct cpu *cpu, struct arguments *a)
{
    struct cpu *target = other(cpu, a->value[0]);
    if (!target || !__atomic_load_n(&target->started, __ATOMIC_ACQUIRE))
        return -EINVAL;
    int error = kvm_send_nmi(target->number);
    cpu_wake(target); /* one that sleeps does so outside KVM, which cannot wake it */
    return error < 0 ? error : 0;
}

static int64_t exits_call(struct cpu *cpu, struct arguments *a)
{
    uint64_t exits;
    (void)a;
    int error = kvm_count_exits(&cpu->kvm, &exits);
    return error ? error : (int64_t)exits;
}

#define CALLS(X)                                                                                                       \
    X(HC_CONSOLE_WRITE, console_write, "console-write")                                                                \
    X(HC_CONSOLE_READ, console_read, "console-read")                                                                   \
    X(HC_MEMORY, memory, "memory")                                                                                     \
    X(HC_FILE, file, "file")                                                                                           \
    X(HC_CLOCK, clock, "clock")                                                                                        \
    X(HC_TIMER, timer, "timer")                                                                                        \
    X(HC_RANDOM, random, "random")                                                                                     \
    X(HC_SHUTDOWN, shutdown, "shutdown")                                                                               \
    X(HC_START_CPU, start_cpu, "start-cpu")                                                                            \
    X(HC_IDLE, idle, "idle")                                                                                           \
    X(HC_WAKE, wake, "wake")                                                                                           \
    X(HC_XSTATE, xstate, "xstate")                                                                                     \
    X(HC_NMI, nmi, "nmi")                                                                                              \
    X(HC_EXITS, exits, "exits")

#define NAME(number, function, name) [number] = name,
const char *const hypercall_names[HC_COUNT] = {CALLS(NAME)};

#define HANDLER(number, function, name) [number] = function##_call,
static int64_t (*const handlers[HC_COUNT])(struct cpu *, struct arguments *) = {CALLS(HANDLER)};

bool hypercall(struct cpu *cpu)
{
    volatile uint64_t *data = (volatile uint64_t *)cpu->data;
    struct arguments arguments = {.result2 = 0};
    uint64_t number = data[DATA_CALL / 8];
    for (unsigned i = 0; i < 6; i++)
        arguments.value[i] = data[DATA_CALL_ARG(i) / 8];
    int64_t result = number < HC_COUNT ? handlers[number](cpu, &arguments) : -ENOSYS;
    data[DATA_CALL_RESULT / 8] = (uint64_t)result;
    data[DATA_CALL_RESULT2 / 8] = arguments.result2;
    return !(number == HC_SHUTDOWN && result == 0);
}
