/* SPDX-License-Identifier: MIT */
/*
 * `polder boot` and its guest: the input is what the guest does, exit by exit. KVM is played here, so no /dev/kvm is
 * needed; hypercalls, the gate to RAM, windows, console and the report on how it ended are the real ones. Every access
 * of the monitor's that goes beside RAM meets memory that is not there.
 */
#include "fuzz.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <polder/abi.h>

#include "boot/cpu.h"
#include "boot/device_tree.h"
#include "boot/message.h"
#include "boot/report.h"
#include "types.h"

#define LIMIT (32ull << 20)
#define CPUS 3
#define FILES 2
#define EXITS_MAX 400
#define SLOTS 24
#define MAPPINGS 64

struct kvm_vm kvm = {
    .gpa_bits = 40, .max_slots = SLOTS, .max_vcpus = 8, .xsave_size = 2696, .tsc_khz = 2000000, .tsc_steady = true};

static struct input in;
static bool inside; /* the functions that are wrapped are the monitor's, not the fuzzer's */
static unsigned exits;

static struct machine machine;
static struct window files[FILES];
static struct kvm_run runs[CPUS];
static struct kvm_regs regs[CPUS];
static struct kvm_sregs sregs[CPUS];

static struct {
    uint64_t gpa, size;
    char *hva;
    bool readonly;
} slots[SLOTS];

static struct {
    char *at;
    size_t size;
} mappings[MAPPINGS];

/* vCPUs that have been started, in that order, and what their threads do. */
static struct cpu *started[CPUS];
static unsigned threads_started, threads_run;
static void *(*thread_function)(void *);

/* ---------------------------------------------------------------- the host */

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
ssize_t __real_read(int fd, void *to, size_t size);
ssize_t __real_write(int fd, const void *from, size_t size);
size_t __real_fwrite(const void *from, size_t size, size_t count, FILE *to);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*function)(void *), void *argument);
int __real_sem_wait(sem_t *sem);
int __real_sem_post(sem_t *sem);
int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);

/* So that what one machine has mapped can be taken away after it. */
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *got = __real_mmap(at, size, prot, flags, fd, offset);
    if (!inside || got == MAP_FAILED || (flags & MAP_FIXED))
        return got;
    for (unsigned i = 0; i < MAPPINGS; i++) {
        if (!mappings[i].size) {
            mappings[i].at = got;
            mappings[i].size = size;
            return got;
        }
    }
    CHECK(!"so many mappings");
    return got;
}

int __wrap_munmap(void *at, size_t size)
{
    for (unsigned i = 0; inside && i < MAPPINGS; i++)
        if (mappings[i].at == at)
            mappings[i].size = 0;
    return __real_munmap(at, size);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    if (!inside)
        return __real_poll(fds, count, timeout);
    for (nfds_t i = 0; i < count; i++)
        fds[i].revents = fds[i].fd < 0 ? 0 : POLLIN;
    return (int)count;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask;
    CHECK(!timeout || (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < 1000000000));
    return __wrap_poll(fds, count, -1);
}

ssize_t __wrap_read(int fd, void *to, size_t size)
{
    if (!inside || fd != STDIN_FILENO)
        return __real_read(fd, to, size);
    size_t n = take(&in, 1);
    if (n == 255) {
        errno = EIO;
        return -1;
    }
    n = min_u64(n, size);
    for (size_t i = 0; i < n; i++)
        ((char *)to)[i] = (char)take(&in, 1);
    return (ssize_t)n;
}

/* Reads a byte of each page, and the last. */
static void touch(const void *from, size_t size)
{
    for (size_t i = 0; i < size; i += PAGE_SIZE)
        (void)((const volatile char *)from)[i];
    if (size)
        (void)((const volatile char *)from)[size - 1];
}

ssize_t __wrap_write(int fd, const void *from, size_t size)
{
    if (!inside || fd != STDOUT_FILENO)
        return __real_write(fd, from, size);
    touch(from, size);
    switch (take(&in, 1)) {
    case 1:
        errno = EPIPE;
        return -1;
    case 2:
        errno = EAGAIN;
        return -1;
    case 3:
        return (ssize_t)min_u64(size, 3);
    default:
        return (ssize_t)size;
    }
}

static void look_at_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        CHECK(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
}

size_t __wrap_fwrite(const void *from, size_t size, size_t count, FILE *to)
{
    if (!inside || to != stderr)
        return __real_fwrite(from, size, count, to);
    look_at_text(from, size * count);
    return count;
}

void message(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    look_at_text(text, strlen(text));
}

/* The thread of a vCPU that has been started runs when the input says so; it does not wait for anything. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*function)(void *), void *argument)
{
    if (!inside)
        return __real_pthread_create(thread, attr, function, argument);
    thread_function = function;
    return 0;
}

int __wrap_sem_wait(sem_t *sem)
{
    return inside ? 0 : __real_sem_wait(sem);
}

int __wrap_sem_post(sem_t *sem)
{
    if (!inside)
        return __real_sem_post(sem);
    for (uint32_t i = 0; i < machine.cpu_count; i++) {
        if (sem != &machine.cpus[i].go)
            continue;
        CHECK(threads_started < CPUS);
        /* The last to run, or the next. */
        unsigned at = take(&in, 1) == 255 ? threads_run : threads_started;
        started[threads_started++] = started[at];
        started[at] = &machine.cpus[i];
    }
    return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return inside ? 0 : __real_pthread_sigmask(how, set, old);
}

static void run_thread(void)
{
    if (threads_run < threads_started)
        thread_function(started[threads_run++]);
}

void machine_end(struct machine *m, const struct ending *ending)
{
    CHECK(ending->kind != ENDING_NONE && ending->cpu < CPUS);
    CHECK(memchr(ending->text, 0, sizeof ending->text));
    if (m->ending.kind == ENDING_NONE)
        m->ending = *ending;
    m->stop = true;
}

/* ---------------------------------------------------------------- KVM */

static int refuse(int error)
{
    return take(&in, 1) == 255 ? error : 0;
}

static int set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva, bool readonly)
{
    CHECK(slot < SLOTS && !slots[slot].size);
    CHECK(size && size % PAGE_SIZE == 0 && gpa.value % PAGE_SIZE == 0 && !((uintptr_t)hva % PAGE_SIZE));
    for (unsigned i = 0; i < SLOTS; i++)
        CHECK(gpa.value + size <= slots[i].gpa || slots[i].gpa + slots[i].size <= gpa.value);
    int error = refuse(-ENOMEM);
    if (error)
        return error;
    slots[slot].gpa = gpa.value;
    slots[slot].size = size;
    slots[slot].hva = hva;
    slots[slot].readonly = readonly;
    return 0;
}

int kvm_set_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva)
{
    return set_slot(slot, gpa, size, hva, false);
}

int kvm_set_readonly_slot(uint32_t slot, gpa_t gpa, uint64_t size, void *hva)
{
    return set_slot(slot, gpa, size, hva, true);
}

int kvm_vcpu_create(struct kvm_vcpu *vcpu, uint32_t id, const struct kvm_ring0 *ring0, void *run_at)
{
    CHECK(id < CPUS && run_at);
    *vcpu = (struct kvm_vcpu){.fd = -1, .id = id, .run = &runs[id]};
    sregs[id] = (struct kvm_sregs){.cr3 = ring0->cr3, .cr0 = 1u << 31};
    return 0;
}

int kvm_get_regs(struct kvm_vcpu *vcpu, struct kvm_regs *to)
{
    *to = regs[vcpu->id];
    return 0;
}

int kvm_set_regs(struct kvm_vcpu *vcpu, const struct kvm_regs *from)
{
    regs[vcpu->id] = *from;
    return refuse(-EIO);
}

int kvm_get_sregs(struct kvm_vcpu *vcpu, struct kvm_sregs *to)
{
    *to = sregs[vcpu->id];
    return refuse(-EIO);
}

int kvm_set_sregs(struct kvm_vcpu *vcpu, const struct kvm_sregs *from)
{
    sregs[vcpu->id] = *from;
    return 0;
}

int kvm_get_xsave(struct kvm_vcpu *vcpu, void *area)
{
    (void)vcpu;
    memset(area, 0x5a, kvm.xsave_size);
    return refuse(-EIO);
}

int kvm_set_xsave(struct kvm_vcpu *vcpu, const void *area)
{
    (void)vcpu;
    char last = ((const volatile char *)area)[kvm.xsave_size - 1];
    return last & 1 ? -EINVAL : 0;
}

int kvm_count_exits(struct kvm_vcpu *vcpu, uint64_t *count)
{
    (void)vcpu;
    *count = exits;
    return refuse(-ENOSYS);
}

int kvm_arm_deadline(struct kvm_vcpu *vcpu, uint64_t ns)
{
    (void)vcpu, (void)ns;
    return refuse(-EIO);
}

int kvm_disarm_deadline(struct kvm_vcpu *vcpu)
{
    (void)vcpu;
    return 0;
}

bool kvm_deadline_left(struct kvm_vcpu *vcpu, uint64_t *ns)
{
    (void)vcpu;
    *ns = take(&in, 8);
    return *ns & 1;
}

bool kvm_interrupt_waits(struct kvm_vcpu *vcpu)
{
    (void)vcpu;
    return take(&in, 1) & 1;
}

int kvm_end_interrupt(struct kvm_vcpu *vcpu)
{
    (void)vcpu;
    return 0;
}

int kvm_send_nmi(uint32_t vcpu_id)
{
    CHECK(vcpu_id < machine.cpu_count);
    return refuse(-EIO);
}

/* ---------------------------------------------------------------- the guest */

/* A number as a guest that looks for mistakes would choose it. */
static uint64_t number(void)
{
    unsigned form = (unsigned)take(&in, 1);
    switch (form % 8) {
    case 0:
        return take(&in, 1);
    case 1:
        return BOOT_RAM_BASE + take(&in, 4);
    case 2:
        return take(&in, 8);
    case 3:
        return BOOT_RAM_BASE + machine.ram.size - take(&in, 1);
    case 4:
        return files[form / 8 % FILES].gpa + take(&in, 4);
    case 5:
        return BOOT_RAM_BASE + (take(&in, 2) << 12);
    case 6:
        return -take(&in, 2);
    default:
        return take(&in, 2) * RAM_STEP;
    }
}

static void fill_call(struct cpu *cpu)
{
    uint64_t *data = (uint64_t *)cpu->data;
    data[DATA_CALL / 8] = take(&in, 1);
    for (unsigned i = 0, count = (unsigned)take(&in, 1) % 7; i < count; i++)
        data[DATA_CALL_ARG(i) / 8] = number();
}

/* A store of the guest's: into its RAM or a file that may be written, wherever there is a slot. */
static void store(uint64_t gpa, uint64_t value)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t offset = gpa - slots[i].gpa;
        bool ram = gpa >= BOOT_RAM_BASE && gpa < BOOT_RAM_BASE + LIMIT; /* a cut file would be SIGBUS here */
        if (ram && offset < slots[i].size && slots[i].size - offset >= 8 && !slots[i].readonly)
            memcpy(slots[i].hva + offset, &value, sizeof value);
    }
}

static uint64_t *some_register(uint32_t id)
{
    uint64_t *const all[] = {(uint64_t *)&regs[id].rsp, (uint64_t *)&regs[id].rbp, (uint64_t *)&regs[id].rip,
        (uint64_t *)&sregs[id].cr3, (uint64_t *)&sregs[id].cr2, (uint64_t *)&sregs[id].cr0};
    return all[take(&in, 1) % (sizeof all / sizeof all[0])];
}

static void exit_io(struct kvm_run *run, uint16_t port, uint8_t size)
{
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.port = port;
    run->io.size = size;
    run->io.count = 1;
}

static void exit_other(struct kvm_run *run)
{
    static const uint32_t reasons[] = {KVM_EXIT_SHUTDOWN, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT,
        KVM_EXIT_INTR, KVM_EXIT_IOAPIC_EOI, KVM_EXIT_UNKNOWN};
    run->exit_reason = reasons[take(&in, 1) % (sizeof reasons / sizeof reasons[0])];
    if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
        return;
    run->internal.suberror = (uint32_t)take(&in, 1);
    run->emulation_failure.ndata = (uint32_t)take(&in, 1);
    run->emulation_failure.flags = take(&in, 1);
    run->emulation_failure.insn_size = (uint8_t)take(&in, 1);
}

enum { CALL, STORE, LOAD_REGISTER, MMIO, IO, FAULT, OTHER, ERROR, CUT, SWITCH, DATA, INPUT, THINGS };

int kvm_run(struct kvm_vcpu *vcpu)
{
    static const int errors[] = {-EINTR, -EAGAIN, -EFAULT, -EIO};
    struct kvm_run *run = vcpu->run;
    struct cpu *cpu = &machine.cpus[vcpu->id];
    while (in.left && exits++ < EXITS_MAX) {
        uint64_t at;
        switch (take(&in, 1) % THINGS) {
        case CALL:
            fill_call(cpu);
            exit_io(run, PORT_HYPERCALL, 1);
            return 0;
        case STORE:
            at = number();
            store(at, number());
            break;
        case LOAD_REGISTER:
            *some_register(vcpu->id) = number();
            break;
        case MMIO:
            run->exit_reason = KVM_EXIT_MMIO;
            run->mmio.phys_addr = number();
            run->mmio.is_write = take(&in, 1) & 1;
            run->mmio.len = 8;
            return 0;
        case IO:
            exit_io(run, (uint16_t)take(&in, 2), (uint8_t)(1 << take(&in, 1) % 3));
            run->io.direction = take(&in, 1) & 1;
            run->io.count = (uint32_t)take(&in, 1);
            return 0;
        case FAULT:
            exit_io(run, PORT_FAULT, 4);
            return 0;
        case OTHER:
            exit_other(run);
            return 0;
        case ERROR:
            return errors[take(&in, 1) % 4];
        case CUT:
            at = take(&in, 1) % FILES;
            CHECK(ftruncate(files[at].fd, (off_t)take(&in, 2)) == 0 || !files[at].writable);
            break;
        case SWITCH:
            run_thread();
            break;
        case INPUT: /* the main thread's */
            if (machine.console.terminal && !console_take_input(&machine.console))
                machine_end(&machine, &(struct ending){.kind = ENDING_USER});
            break;
        case DATA:
            at = take(&in, 2) % 512;
            ((uint64_t *)cpu->data)[at] = number();
            break;
        }
    }
    return -EIO;
}

/* ---------------------------------------------------------------- a machine */

/* The kernel: a real one, with symbols, for the report. */
static void load_image(struct image *image)
{
    static char bytes[4096];
    static struct image checked;
    if (!checked.file) {
        struct image_reason reason;
        int fd = open("tests/fuzz/seeds/image/symbols", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, bytes, sizeof bytes);
        CHECK(n > 0);
        close(fd);
        checked.file = bytes;
        checked.file_size = (size_t)n;
        CHECK(image_check(&checked, &reason));
    }
    *image = checked;
}

static bool make(const struct boot_options *options, bool terminal)
{
    machine = (struct machine){.options = options,
        .cpu_count = options->cpus,
        .windows = {.list = files, .count = FILES},
        .lock = PTHREAD_MUTEX_INITIALIZER};
    struct layout *layout = &machine.layout;
    load_image(&machine.image);
    CHECK(windows_open(&machine.windows, BOOT_RAM_BASE + LIMIT));
    layout_plan(layout, &machine.image, options->cpus, machine.windows.end, 5000, device_tree_room(options));
    CHECK(ram_init(&machine.ram, LIMIT, FILES, false) == 0);
    if (ram_grow(&machine.ram, 6 * RAM_STEP) < 0)
        return false;
    CHECK(layout->end <= BOOT_RAM_BASE + machine.ram.size);
    layout_fill(layout, &machine.image, &machine.ram, machine.windows.end);
    void *tree = ram_at(&machine.ram, layout->device_tree, layout->device_tree_size);
    CHECK(device_tree_make(&machine, tree, layout->device_tree_size));
    CHECK(fdt_check_full(tree, layout->device_tree_size) == 0);
    machine.cpus = calloc(options->cpus, sizeof *machine.cpus);
    machine.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (uint32_t i = 0; i < options->cpus; i++)
        CHECK(cpu_create(&machine, i) == 0 && cpu_make_thread(&machine.cpus[i]) == 0);
    console_init(&machine.console);
    machine.console.terminal = terminal;
    return true;
}

static void unmake(void)
{
    for (uint32_t i = 0; machine.cpus && i < machine.cpu_count; i++) {
        close(machine.cpus[i].wake);
        free(machine.cpus[i].xstate);
    }
    free(machine.cpus);
    if (machine.ended)
        close(machine.ended);
    for (unsigned i = 0; i < FILES; i++)
        close(files[i].fd);
    for (unsigned i = 0; i < MAPPINGS; i++) {
        if (mappings[i].size)
            __real_munmap(mappings[i].at, mappings[i].size);
        mappings[i].size = 0;
    }
}

static void open_files(void)
{
    static int source[FILES] = {-1, -1};
    static char paths[FILES][32];
    static const char *const names[FILES] = {"disk", "read-only"};
    for (unsigned i = 0; i < FILES; i++) {
        if (source[i] < 0)
            source[i] = memfd_create("fuzz", MFD_CLOEXEC);
        CHECK(ftruncate(source[i], (off_t)take(&in, 2)) == 0);
        snprintf(paths[i], sizeof paths[i], "/proc/self/fd/%d", source[i]);
        files[i] = (struct window){.name = names[i], .path = paths[i], .writable = !i, .fd = -1};
    }
}

const unsigned fuzz_mutations = 8000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    unsigned kind = (unsigned)take(&in, 1);
    struct boot_options options = {
        .kernel = "kernel", .append = "a b", .cpus = 1 + kind % CPUS, .files = files, .file_count = FILES};
    kvm.native_ring0 = kind & 16;
    kvm.x2apic = kind & 32;
    kvm.run_size = PAGE_SIZE;
    memset(slots, 0, sizeof slots);
    memset(runs, 0, sizeof runs);
    exits = threads_started = threads_run = 0;
    inside = true;
    open_files();
    if (make(&options, kind & 64)) {
        int error = cpu_start(&machine.cpus[0], machine.layout.tables, machine.image.entry, 0, 0);
        while (!error && threads_run < threads_started)
            run_thread();
        CHECK(machine.ram.size <= LIMIT && machine.ram.size % RAM_STEP == 0);
        if (machine.ending.kind == ENDING_FAULT || machine.ending.kind == ENDING_TRAP)
            report(&machine);
    }
    unmake();
    inside = false;
    return 0;
}
