/* SPDX-License-Identifier: MIT */
#include "boot/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libfdt.h>
#include <polder/abi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "boot/cpu.h"
#include "boot/device_tree.h"
#include "boot/message.h"
#include "boot/report.h"
#include "clock.h"

#define STATUS_CANNOT 2
#define STATUS_USER 130 /* as if Ctrl-C had ended it */
#define FREE_AT_START (8ull << 20)
#define RAM_LIMIT_MIN (2 * RAM_STEP)

/* ---------------------------------------------------------------- making it */

/* A standard stream that is closed would otherwise become whatever is opened first. */
static void fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY); /* the lowest that is free: fd */
}

static bool open_kvm(void)
{
    int error = -kvm_open();
    if (!error)
        return true;
    if (kvm_missing())
        message("KVM cannot be had: this one lacks %s; `polder info` says more", kvm_missing());
    else
        message("KVM cannot be had: /dev/kvm: %s; `polder info` says what to do", strerror(error));
    return false;
}

static bool open_initrd(const char *path, int *fd, uint64_t *size)
{
    *fd = -1;
    *size = 0;
    if (!path)
        return true;
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &st)) {
        message("--initrd %s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        message("--initrd %s: it is not a regular file", path);
        return false;
    }
    *size = (uint64_t)st.st_size;
    return true;
}

static bool read_initrd(const char *path, int fd, char *to, uint64_t size)
{
    for (uint64_t done = 0; done < size;) {
        ssize_t n = read(fd, to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            message("--initrd %s: %s", path, n ? strerror(errno) : "it was cut while it was read");
            return false;
        }
        done += (uint64_t)n;
    }
    return true;
}

static bool fits(uint64_t end, const char *what)
{
    uint64_t most = min_u64(LAYOUT_DIRECT_MAX, 1ull << kvm.gpa_bits);
    if (end > most)
        message("%s end at %#lx guest-physical, beyond %#lx, which is all that there is here", what, end, most);
    return end <= most;
}

static bool make_memory(struct machine *machine, uint64_t initrd_size)
{
    const struct boot_options *options = machine->options;
    uint64_t limit = options->memory & ~(RAM_STEP - 1), ram_end = BOOT_RAM_BASE + limit;
    if (limit > LAYOUT_DIRECT_MAX || !fits(ram_end, "--memory: the memory would") ||
        !windows_open(&machine->windows, ram_end) || !fits(machine->windows.end, "--file: the files would"))
        return false;
    struct layout *layout = &machine->layout;
    layout_plan(layout, &machine->image, options->cpus, machine->windows.end, initrd_size, device_tree_room(options));
    uint64_t needed = (layout->end - BOOT_RAM_BASE + RAM_STEP - 1) & ~(RAM_STEP - 1), least = needed + RAM_STEP;
    if (initrd_size > limit || least > limit) {
        message(
            "--memory: the kernel, its initrd and what describes the machine need %" PRIu64 "M at least", least >> 20);
        return false;
    }
    int error = ram_init(&machine->ram, limit, machine->windows.count, options->confine.core);
    if (error) {
        message("--memory: no room for it in the address space: %s", strerror(-error));
        return false;
    }
    if (ram_grow(&machine->ram, min_u64(needed + FREE_AT_START, limit)) < 0) {
        message("no memory for the machine");
        return false;
    }
    layout_fill(layout, &machine->image, &machine->ram, machine->windows.end);
    return true;
}

static bool make_device_tree(struct machine *machine)
{
    const struct layout *layout = &machine->layout;
    return device_tree_make(
        machine, ram_at(&machine->ram, layout->device_tree, layout->device_tree_size), layout->device_tree_size);
}

static bool make(struct machine *machine)
{
    int fd;
    uint64_t size;
    if (!open_initrd(machine->options->initrd, &fd, &size))
        return false;
    bool made = make_memory(machine, size) &&
                read_initrd(machine->options->initrd, fd, ram_at(&machine->ram, machine->layout.initrd, size), size);
    if (fd >= 0)
        close(fd);
    return made;
}

static bool make_cpus(struct machine *machine)
{
    if (machine->cpu_count > kvm.max_vcpus) {
        message("--cpus: this KVM has %u at most", kvm.max_vcpus);
        return false;
    }
    machine->cpus = calloc(machine->cpu_count, sizeof *machine->cpus);
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        int error = machine->cpus ? cpu_create(machine, i) : -ENOMEM;
        if (error) {
            message("vCPU %u cannot be made: %s", i, strerror(-error));
            return false;
        }
    }
    return true;
}

static bool dump(const char *path, const void *fdt)
{
    FILE *out = fopen(path, "we");
    bool written = out && fwrite(fdt, fdt_totalsize(fdt), 1, out) == 1;
    if (out && fclose(out))
        written = false;
    if (!written)
        message("--dump-dtb %s: %s", path, strerror(errno));
    return written;
}

/* ---------------------------------------------------------------- running it */

void machine_end(struct machine *machine, const struct ending *ending)
{
    pthread_mutex_lock(&machine->lock);
    if (machine->ending.kind == ENDING_NONE)
        machine->ending = *ending;
    pthread_mutex_unlock(&machine->lock);
    __atomic_store_n(&machine->stop, true, __ATOMIC_RELEASE);
    eventfd_write(machine->ended, 1);
}

/*
 * The signals that end or stop the monitor, which it takes from a descriptor so that it can put the terminal right
 * first, and the one that lets it go on. A fault of the monitor itself kills it whether it is in the set or not.
 */
static sigset_t console_signals(void)
{
    static const int left[] = {SIGPIPE, SIGCHLD, SIGURG, SIGWINCH, SIGTTIN, SIGTTOU};
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGRTMIN); /* the vCPUs' */
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        sigdelset(&set, left[i]);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            sigdelset(&set, number);
    }
    return set;
}

static void take_signal(struct machine *machine, int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGTSTP) {
        console_suspend(&machine->console);
        raise(SIGSTOP); /* which stops all threads */
    } else if (info.ssi_signo == SIGCONT) {
        console_resume(&machine->console); /* whoever had it meanwhile has left it as he likes it */
    } else {
        machine_end(machine, &(struct ending){.kind = ENDING_SIGNAL, .number = (int)info.ssi_signo});
    }
}

static void take_input(struct machine *machine)
{
    if (!console_take_input(&machine->console))
        machine_end(machine, &(struct ending){.kind = ENDING_USER});
    for (uint32_t i = 0; i < machine->cpu_count; i++)
        if (__atomic_load_n(&machine->cpus[i].wants_console, __ATOMIC_SEQ_CST))
            cpu_wake(&machine->cpus[i]);
}

static uint64_t now_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

static void wait_for_end(struct machine *machine, int signals)
{
    uint64_t timeout = machine->options->timeout * 1000, until = now_ms() + timeout;
    while (!__atomic_load_n(&machine->stop, __ATOMIC_ACQUIRE)) {
        uint64_t now = now_ms();
        if (timeout && now >= until) {
            machine_end(machine, &(struct ending){.kind = ENDING_TIMEOUT});
            break;
        }
        bool input = machine->console.terminal && !machine->console.ended;
        struct pollfd fds[] = {{.fd = machine->ended, .events = POLLIN}, {.fd = signals, .events = POLLIN},
            {.fd = input ? STDIN_FILENO : -1, .events = POLLIN}};
        poll(fds, 3, timeout ? (int)min_u64(until - now, INT32_MAX) : -1);
        if (fds[1].revents)
            take_signal(machine, signals);
        if (fds[2].revents)
            take_input(machine);
    }
}

static int die_by(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    signal(number, SIG_DFL);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 128 + number;
}

static int finish(struct machine *machine)
{
    const struct ending *ending = &machine->ending;
    switch (ending->kind) {
    case ENDING_SHUTDOWN:
        return ending->number;
    case ENDING_SIGNAL:
        return die_by(ending->number);
    case ENDING_USER:
        message("ended from the console");
        return STATUS_USER;
    default:
        cpus_wait_stopped(machine);
        report(machine);
        return BOOT_STATUS_FAULT;
    }
}

/* Every thread that there will be. They cannot be made by one that is confined. */
static bool make_threads(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        int error = cpu_make_thread(&machine->cpus[i]);
        if (error) {
            message("no thread for vCPU %u: %s", i, strerror(-error));
            return false;
        }
    }
    return true;
}

static bool keep_own_descriptors(struct machine *machine, int signals)
{
    size_t count = 0;
    int *keep = calloc(3 + 2 * machine->cpu_count + machine->windows.count, sizeof *keep);
    if (!keep) {
        message("no memory for a list of descriptors");
        return false;
    }
    keep[count++] = kvm.fd;
    keep[count++] = machine->ended;
    keep[count++] = signals;
    for (uint32_t i = 0; i < machine->cpu_count; i++) {
        keep[count++] = machine->cpus[i].kvm.fd;
        keep[count++] = machine->cpus[i].wake;
    }
    for (uint32_t i = 0; i < machine->windows.count; i++)
        keep[count++] = machine->windows.list[i].fd;
    bool kept = confine_descriptors(keep, count);
    free(keep);
    kvm.dev = -1;
    return kept;
}

/* What is opened is open. Landlock goes from a thread to those that it makes, the filter to those that are there. */
static bool confine(struct machine *machine, int signals)
{
    const struct confine *wishes = &machine->options->confine;
    if (wishes->off) {
        confine_tell_off(&confine_boot_filter, confine_landlock_abi() ? ", Landlock, descriptors" : ", descriptors");
        return make_threads(machine);
    }
    return (wishes->core || confine_core(true)) && keep_own_descriptors(machine, signals) && confine_privileges() &&
           confine_files() && make_threads(machine) && confine_calls(&confine_boot_filter);
}

static int run(struct machine *machine)
{
    sigset_t set = console_signals(), before;
    sigprocmask(SIG_BLOCK, &set, &before);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    machine->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signals < 0 || machine->ended < 0) {
        message("no descriptors: %s", strerror(errno));
        return STATUS_CANNOT;
    }
    if (!confine(machine, signals))
        return STATUS_CANNOT;
    console_init(&machine->console);
    int error = cpu_start(&machine->cpus[0], machine->layout.tables, machine->image.entry, 0,
        POLDER_DIRECT_BASE + machine->layout.device_tree);
    if (!error)
        wait_for_end(machine, signals);
    console_restore(&machine->console);
    sigprocmask(SIG_SETMASK, &before, NULL); /* a report may find nobody who reads it */
    if (error)
        message("vCPU 0 cannot be started: %s", strerror(-error));
    return error ? STATUS_CANNOT : finish(machine);
}

int machine_boot(const struct boot_options *options)
{
    static struct machine machine = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = -1};
    machine.options = options;
    machine.cpu_count = options->cpus;
    machine.windows.list = options->files;
    machine.windows.count = options->file_count;
    fill_standard_streams();
    int status = image_read(options->kernel, &machine.image);
    if (status)
        return status;
    if (!open_kvm() || !make(&machine) || !make_cpus(&machine) || !make_device_tree(&machine))
        return STATUS_CANNOT;
    if (options->dump_dtb) {
        const void *fdt = ram_at(&machine.ram, machine.layout.device_tree, machine.layout.device_tree_size);
        return dump(options->dump_dtb, fdt) ? 0 : STATUS_CANNOT;
    }
    return run(&machine);
}
