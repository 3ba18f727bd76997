/* SPDX-License-Identifier: MIT */
/*
 * polder info: which kind of KVM this is, found by experiment, and what it can do. It looks into the library's own
 * records (kvm.h): they are what the library goes by.
 */
#include "cmd.h"

#include <argp.h>
#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "confine/confine.h"
#include "kvm.h"
#include "kvm_probe.h"
#include "vcpu.h"
#include <polder/polder.h>

/* An emulator of instructions does a few million a second; a processor, even one that QEMU plays, far more. */
#define EMULATED_RATE 20000000u

#define XCR0_AVX 0x6ull
#define XCR0_AVX512 0xe6ull
#define XCR0_AMX 0x60000ull

#define CR4_UMIP (1ull << 11)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE (1ull << 17)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)

struct info_options {
    bool json;
};

struct info {
    struct kvm_probe probe;
    bool ring0_emulated;
    bool pvm_module;
    const char *vendor;           /* "SVM", "VMX", or NULL */
    const char *paging_parameter; /* "npt" or "ept": what the module was told to do; NULL: not readable */
    char paging_value;
    uint64_t trap_ns;
    uint64_t ring3_xcr0;
    uint64_t carried; /* features of XCR0 whose state is kept when a sandbox comes out */
};

/* ---------------------------------------------------------------- without KVM */

struct trouble {
    const char *what, *advice;
};

static struct trouble trouble_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return (struct trouble){"this machine has no KVM: /dev/kvm is not there",
            "modprobe kvm_intel or kvm_amd; if that fails, switch virtualisation on in the firmware, or nested "
            "virtualisation for this virtual machine. Without any KVM, `make check-nested` runs everything in an "
            "emulated machine that has one"};
    case EACCES:
    case EPERM:
        return (struct trouble){"/dev/kvm is there, but this user may not open it",
            "usermod -aG kvm USER as root, and log in again; or, without root, `make check-nested` runs everything in "
            "an emulated machine"};
    case ENOSYS:
        return (struct trouble){"this KVM lacks what polder needs",
            "a newer kernel, or `make check-nested`, which runs everything in an emulated machine"};
    case EBUSY:
        return (struct trouble){"another hypervisor is using the processor's virtualisation",
            "stop it; or `make check-nested` runs everything in an emulated machine"};
    default:
        return (struct trouble){
            "KVM fails here", "`make check-nested` runs everything in an emulated machine whose KVM does"};
    }
}

static int report_trouble(bool json, int error)
{
    const struct trouble trouble = trouble_of(error);
    const char *missing = error == ENOSYS ? kvm_missing() : NULL;
    if (json) {
        printf("{\"usable\": false, \"error\": \"%s (%s)\", \"missing\": ", trouble.what, strerrorname_np(error));
        printf(missing ? "\"%s\"" : "null%s", missing ? missing : "");
        printf(", \"advice\": \"%s\"}\n", trouble.advice);
    } else {
        printf("%s%s%s (%s)\n", trouble.what, missing ? ": " : "", missing ? missing : "", strerror(error));
        printf("what to do: %s\n", trouble.advice);
    }
    return 2;
}

/* ---------------------------------------------------------------- finding out */

static bool read_char(const char *path, char *c)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    int first = fgetc(file);
    fclose(file);
    *c = (char)first;
    return first != EOF;
}

static void read_modules(struct info *info)
{
    info->pvm_module = access("/sys/module/kvm_pvm", F_OK) == 0;
    if (access("/sys/module/kvm_amd", F_OK) == 0)
        info->vendor = "SVM";
    else if (access("/sys/module/kvm_intel", F_OK) == 0)
        info->vendor = "VMX";
    if (read_char("/sys/module/kvm_amd/parameters/npt", &info->paging_value))
        info->paging_parameter = "npt";
    else if (read_char("/sys/module/kvm_intel/parameters/ept", &info->paging_value))
        info->paging_parameter = "ept";
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What the experiments in a sandbox run; each ends in a system call. */
extern const char code_null[], code_xgetbv[], code_avx[], code_avx512[], code_end[];
__asm__(".pushsection .rodata\n"
        "code_null:\n"
        "1:  syscall\n"
        "    jmp 1b\n"
        "code_xgetbv:\n"
        "    xor %ecx, %ecx\n"
        "    xgetbv\n"
        "    mov %eax, %ebx\n"
        "    syscall\n"
        "code_avx:\n" /* all ones in ymm0 */
        "    vxorps %xmm0, %xmm0, %xmm0\n"
        "    vcmptrueps %ymm0, %ymm0, %ymm0\n"
        "    syscall\n"
        "code_avx512:\n" /* all ones in zmm16 */
        "    vpternlogd $0xff, %zmm16, %zmm16, %zmm16\n"
        "    syscall\n"
        "code_end:\n"
        "    .popsection");
#define AT_CODE 0x10000ul
#define AT(code) (AT_CODE + (uint64_t)((code)-code_null))

/* A space with that in it: a descriptor, or -1 with errno. */
static int open_sandbox(void)
{
    int fd = polder_open("/proc/mm");
    if (fd < 0)
        return -1;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const size_t size = (size_t)(code_end - code_null);
    void *code = (void *)AT_CODE;
    if (polder_mmap(code, 4096, PROT_READ | PROT_WRITE, flags, -1, 0, fd) == MAP_FAILED ||
        polder_write(fd, code_null, size, AT_CODE) != (ssize_t)size ||
        polder_mprotect(code, 4096, PROT_READ | PROT_EXEC, fd)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* The median of null system calls that come out of a sandbox. 0 or an errno. */
static int time_traps(int fd, uint64_t *ns)
{
    enum { WARM_UP = 20, TRAPS = 300 };
    uint64_t took[TRAPS];
    int error = 0;
    struct polder_params params;
    polder_params_init(&params);
    params.regs.rip = AT(code_null);
    for (int i = -WARM_UP; i < TRAPS && !error; i++) {
        uint64_t began = now();
        if (polder_run_sandbox(fd, &params))
            error = errno;
        else if (params.reason != POLDER_SYSCALL)
            error = EIO;
        if (i >= 0)
            took[i] = now() - began;
    }
    polder_params_fini(&params);
    qsort(took, error ? 0 : TRAPS, sizeof took[0], compare);
    *ns = error ? 0 : took[TRAPS / 2];
    return error;
}

/* A new context runs that code and leaves its state in area, if there is one. False if it did not get to its end. */
static bool run_code(int fd, const char *code, void *area, size_t size, struct user_regs_struct *regs)
{
    struct polder_params params;
    polder_params_init(&params);
    params.regs.rip = AT(code);
    if (area) {
        params.xstate = area;
        params.xstate_size = size;
        params.flags = POLDER_XSTATE_STORE;
    }
    bool done = polder_run_sandbox(fd, &params) == 0 && params.reason == POLDER_SYSCALL;
    *regs = params.regs;
    polder_params_fini(&params);
    return done;
}

/*
 * What KVM offers in CPUID is not the whole truth: PVM's ring 3 has the processor's registers whatever is offered, and
 * some of their state is kept and some is not. So the registers are filled in a sandbox and looked for in what came
 * out; of AMX, whose tiles a process must ask for first, what KVM offers is believed.
 */
static void probe_vectors(int fd, struct info *info)
{
    struct user_regs_struct regs;
    if (run_code(fd, code_xgetbv, NULL, 0, &regs))
        info->ring3_xcr0 = regs.rbx;
    info->carried = kvm.xcr0 & XCR0_AMX;
    static const struct {
        const char *code;
        uint64_t bits;
        unsigned component; /* all ones in the first 16 bytes of it */
    } tries[] = {{code_avx, XCR0_AVX, 2}, {code_avx512, XCR0_AVX512, 7}};
    const size_t size = polder_xstate_size();
    char ones[16];
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        unsigned length, offset, ecx, edx;
        void *area = aligned_alloc(64, (size + 63) & ~63ul);
        if (area && __get_cpuid_count(0xd, tries[i].component, &length, &offset, &ecx, &edx) &&
            run_code(fd, tries[i].code, area, size, &regs) && length >= sizeof ones && offset + length <= size &&
            memcmp((char *)area + offset, ones, sizeof ones) == 0)
            info->carried |= tries[i].bits;
        free(area);
    }
}

static int find_out(struct info *info)
{
    /* First: it is what makes the library's own VM and its first vCPU, which the records are about. */
    int fd = open_sandbox();
    if (fd < 0)
        return errno;
    int error = time_traps(fd, &info->trap_ns);
    if (!error)
        probe_vectors(fd, info);
    close(fd);
    if (!error)
        error = -kvm_probe(&info->probe);
    info->ring0_emulated = info->probe.ring0_rate < EMULATED_RATE;
    read_modules(info);
    return error;
}

/* ---------------------------------------------------------------- telling */

static const char *kind_name(const struct info *info)
{
    if (info->ring0_emulated)
        return "PVM";
    return info->vendor ? info->vendor : "hardware";
}

static bool parameter_says_two_dimensional(const struct info *info)
{
    return info->paging_value == 'Y' || info->paging_value == '1';
}

static const struct {
    const char *name;
    uint64_t bits;
} features[] = {{"AVX", XCR0_AVX}, {"AVX-512", XCR0_AVX512}, {"AMX", XCR0_AMX}},
  controls[] = {
      {"SMEP", CR4_SMEP}, {"SMAP", CR4_SMAP}, {"UMIP", CR4_UMIP}, {"FSGSBASE", CR4_FSGSBASE}, {"PCID", CR4_PCIDE}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool carries(const struct info *info, uint64_t bits)
{
    return (info->carried & bits) == bits;
}

static bool loses(const struct info *info, uint64_t bits)
{
    return (info->ring3_xcr0 & bits) == bits && !carries(info, bits);
}

static void print_paging(const struct info *info)
{
    static const char *const text[] = {
        [KVM_PAGING_UNKNOWN] = "unknown: the experiment failed",
        [KVM_PAGING_TWO_DIMENSIONAL] = "two-dimensional: the host's change to an entry in use was seen after invlpg",
        [KVM_PAGING_SHADOWED] =
            "shadowed: the host's change to an entry in use was not seen, invlpg and mov cr3 or not",
    };
    printf("page tables:     %s", text[info->probe.paging]);
    if (info->probe.paging == KVM_PAGING_SHADOWED)
        printf("; the same by a store of ring 0 was%s", info->probe.ring0_store_obeyed ? "" : " NOT");
    printf("\n");
    if (info->paging_parameter)
        printf("                 (the module's parameter says %s=%c%s)\n", info->paging_parameter, info->paging_value,
            info->probe.paging == KVM_PAGING_UNKNOWN ||
                    parameter_says_two_dimensional(info) == (info->probe.paging == KVM_PAGING_TWO_DIMENSIONAL)
                ? ""
                : ", which is not what was seen");
}

static void print_features(const struct info *info)
{
    printf("vector state:   ");
    for (size_t i = 0; i < COUNT(features); i++) {
        const char *how = carries(info, features[i].bits) ? "carried"
                          : loses(info, features[i].bits) ? "NOT carried"
                                                          : "not there";
        printf("%s %s %s", i ? "," : "", features[i].name, how);
    }
    printf(" (XCR0 in ring 3 is 0x%" PRIx64 ", KVM offers 0x%" PRIx64 ")\n", info->ring3_xcr0, kvm.xcr0);
    if (loses(info, XCR0_AMX))
        printf("                 AMX works in a sandbox, but KVM keeps no tiles: they are lost when it comes out\n");
    printf("XSAVE area:      %zu bytes\n", polder_xstate_size());
    printf("CR4 in use:     ");
    bool any = false;
    for (size_t i = 0; i < COUNT(controls); i++) {
        if (kvm.cr4 & controls[i].bits) {
            printf(" %s", controls[i].name);
            any = true;
        }
    }
    printf("%s\n", any ? "" : " none of SMEP, SMAP, UMIP, FSGSBASE, PCID");
}

static void print_text(const struct info *info)
{
    const char *modules = info->pvm_module ? "kvm_pvm is loaded"
                          : info->vendor   ? info->vendor[0] == 'S' ? "kvm_amd is loaded" : "kvm_intel is loaded"
                                           : "no module of KVM is named in /sys/module";
    printf("kind:            %s; %s\n", kind_name(info), modules);
    printf("ring 0:          %s: %.1f million instructions a second; SMEP and FSGSBASE are %s\n",
        info->ring0_emulated ? "emulated one instruction at a time" : "the processor's own",
        (double)info->probe.ring0_rate / 1e6, kvm.native_ring0 ? "offered" : "not offered");
    print_paging(info);
    printf("a trap:          %.2f us from a sandbox's system call to the caller and back (median)\n",
        (double)info->trap_ns / 1e3);
    printf("a bare exit:     %.2f us, nothing but KVM's part (median)\n", (double)info->probe.exit_ns / 1e3);
    print_features(info);
    printf("guest-physical:  %" PRIu32 " bits\n", kvm.gpa_bits);
    printf("memslots:        %" PRIu32 " (one for each 64 MiB in use, not for each mapping)\n", kvm.max_slots);
    printf("vCPUs:           %" PRIu32 " (one for each thread that runs sandboxes)\n", vcpus_limit());
    printf("TSC:             %s%s, %" PRIu32 " kHz\n", kvm.tsc_same ? "inside the same as outside" : "inside KVM's own",
        kvm.tsc_steady ? "" : ", which stands and leaps (the host's kernel does not trust its own)", kvm.tsc_khz);
    printf("hosted:          yes\n");
    printf("resident:        yes, by polder boot; ring 0 %s\n", kvm.native_ring0 ? "is the CPU's" : "is emulated");
    printf("confinement:     %s", confine_has_seccomp() ? "filter of system calls" : "NOT possible without seccomp");
    int landlock = confine_landlock_abi();
    if (landlock)
        printf(", Landlock version %d\n", landlock);
    else
        printf(", no Landlock\n");
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

static void print_json(const struct info *info)
{
    static const char *const paging[] = {
        [KVM_PAGING_UNKNOWN] = "unknown",
        [KVM_PAGING_TWO_DIMENSIONAL] = "two-dimensional",
        [KVM_PAGING_SHADOWED] = "shadowed",
    };
    printf("{\n  \"usable\": true,\n  \"kind\": \"%s\",\n", kind_name(info));
    printf("  \"kvm_pvm_loaded\": %s,\n", json_bool(info->pvm_module));
    printf("  \"ring0_emulated\": %s,\n", json_bool(info->ring0_emulated));
    printf("  \"ring0_instructions_per_second\": %" PRIu64 ",\n", info->probe.ring0_rate);
    printf("  \"native_ring0_features\": %s,\n", json_bool(kvm.native_ring0));
    printf("  \"page_tables\": \"%s\",\n", paging[info->probe.paging]);
    printf("  \"ring0_store_obeyed\": %s,\n",
        info->probe.paging == KVM_PAGING_SHADOWED ? json_bool(info->probe.ring0_store_obeyed) : "null");
    if (info->paging_parameter)
        printf("  \"%s_parameter\": %s,\n", info->paging_parameter, json_bool(parameter_says_two_dimensional(info)));
    printf("  \"trap_ns\": %" PRIu64 ",\n  \"bare_exit_ns\": %" PRIu64 ",\n", info->trap_ns, info->probe.exit_ns);
    printf("  \"xcr0_in_ring3\": %" PRIu64 ",\n  \"xcr0_offered\": %" PRIu64 ",\n", info->ring3_xcr0, kvm.xcr0);
    printf("  \"carried\": {");
    for (size_t i = 0; i < COUNT(features); i++)
        printf("%s\"%s\": %s", i ? ", " : "", features[i].name, json_bool(carries(info, features[i].bits)));
    printf("},\n  \"lost_at_exits\": [");
    for (size_t i = 0, n = 0; i < COUNT(features); i++) {
        if (loses(info, features[i].bits))
            printf("%s\"%s\"", n++ ? ", " : "", features[i].name);
    }
    printf("],\n  \"cr4\": {");
    for (size_t i = 0; i < COUNT(controls); i++)
        printf("%s\"%s\": %s", i ? ", " : "", controls[i].name, json_bool(kvm.cr4 & controls[i].bits));
    printf("},\n  \"xsave_bytes\": %zu,\n", polder_xstate_size());
    printf("  \"guest_physical_bits\": %" PRIu32 ",\n  \"memslots\": %" PRIu32 ",\n  \"vcpus\": %" PRIu32 ",\n",
        kvm.gpa_bits, kvm.max_slots, vcpus_limit());
    printf("  \"tsc_same_as_outside\": %s,\n  \"tsc_khz\": %" PRIu32 ",\n", json_bool(kvm.tsc_same), kvm.tsc_khz);
    printf("  \"tsc_steady\": %s,\n", json_bool(kvm.tsc_steady));
    printf("  \"hosted\": true,\n  \"resident\": true,\n");
    printf("  \"seccomp\": %s,\n  \"landlock\": %d\n}\n", json_bool(confine_has_seccomp()), confine_landlock_abi());
}

/* ---------------------------------------------------------------- the command */

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct info_options *options = state->input;
    switch (key) {
    case 'j':
        options->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument `%s'", arg);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .doc = "Tells which kind of KVM this machine has, by trying it out, and what it can do.\v"
           "Status 2: KVM cannot be had; why, and what to do about it, is printed.",
};

int cmd_info(int argc, char **argv)
{
    struct info_options options = {0};
    if (!cmd_parse(&argp, argc, argv, 0, &options))
        return 2;
    struct info info = {0};
    int error = find_out(&info);
    if (error)
        return report_trouble(options.json, error);
    if (options.json)
        print_json(&info);
    else
        print_text(&info);
    return fflush(stdout) == 0 ? 0 : 1;
}
