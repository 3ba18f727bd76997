/* SPDX-License-Identifier: MIT */
/*
 * proceed_call against attacks. The space is played by this file: three pages of this process of which the middle one
 * is privileged, and for spaces that are not the caller's own a buffer at an address that means nothing here. host_call
 * is wrapped (ld --wrap), so that a test sees whether the host was asked and with what.
 */
#include "unit.h"

#include "proceed/calls.h"
#include "proceed/host.h"
#include "proceed/proceed.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul

/* ---- The space. */

static char *pages;                       /* user, privileged, user */
static char *user;                        /* the first */
static char *priv;                        /* the second */
static bool self = true;                  /* which kind of space */
static bool touched_privileged;           /* mm_read or mm_write was let loose on it */
static void (*after_read)(uint64_t addr); /* what another thread of the sandbox does right then */

#define OTHER_BASE 0x700000000ul
#define OTHER_SIZE (3ul << 20)
static char *other;

bool mm_is_self(const struct mm *mm)
{
    (void)mm;
    return self;
}

static bool overlaps_privileged(uint64_t addr, uint64_t length)
{
    return length && addr < (uintptr_t)priv + PAGE && addr + length > (uintptr_t)priv;
}

bool mm_user_range(struct mm *mm, uint64_t addr, uint64_t length)
{
    uint64_t end;
    (void)mm;
    if (length == 0) {
        return true;
    }
    if (__builtin_add_overflow(addr, length, &end) || end > 0x800000000000) {
        return false;
    }
    return !overlaps_privileged(addr, length);
}

/* How much of it is there, -1 if nothing. */
static ssize_t in_other(size_t count, uint64_t addr)
{
    if (addr < OTHER_BASE || addr >= OTHER_BASE + OTHER_SIZE) {
        errno = EFAULT;
        return -1;
    }
    size_t room = OTHER_BASE + OTHER_SIZE - addr;
    return (ssize_t)(count < room ? count : room);
}

ssize_t mm_read(struct mm *mm, void *buf, size_t count, uint64_t addr)
{
    (void)mm;
    if (!self) {
        ssize_t there = in_other(count, addr);
        if (there > 0) {
            memcpy(buf, other + (addr - OTHER_BASE), (size_t)there);
        }
        return there;
    }
    touched_privileged |= overlaps_privileged(addr, count);
    struct iovec to = {buf, count}, from = {(void *)addr, count};
    ssize_t got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
    if (after_read) {
        after_read(addr);
    }
    return got;
}

ssize_t mm_write(struct mm *mm, const void *buf, size_t count, uint64_t addr)
{
    (void)mm;
    if (!self) {
        ssize_t there = in_other(count, addr);
        if (there > 0) {
            memcpy(other + (addr - OTHER_BASE), buf, (size_t)there);
        }
        return there;
    }
    touched_privileged |= overlaps_privileged(addr, count);
    struct iovec from = {(void *)buf, count}, to = {(void *)addr, count};
    return process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

static size_t records;

void *record_alloc(size_t size)
{
    records += size;
    return calloc(1, size);
}

void record_free(void *record, size_t size)
{
    records -= size;
    free(record);
}

/* ---- The host. */

static bool host_is_real;
static unsigned host_calls;
static uint64_t host_args[7];
static void (*on_host)(const uint64_t call[7]);

long __real_host_call(const uint64_t call[7]);
long __wrap_host_call(const uint64_t call[7]);
long __wrap_host_call(const uint64_t call[7])
{
    host_calls++;
    memcpy(host_args, call, sizeof(host_args));
    if (on_host) {
        on_host(call);
    }
    return host_is_real ? __real_host_call(call) : -EPERM;
}

static long proceed(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    struct user_regs_struct regs = {
        .orig_rax = (uint64_t)number, .rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e, .r9 = f};
    host_calls = 0;
    return proceed_call(NULL, &regs);
}

#define A(x) ((uint64_t)(uintptr_t)(x))

static int setup(void **state)
{
    (void)state;
    if (!pages) {
        pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        user = pages;
        priv = pages + PAGE;
        other = calloc(1, OTHER_SIZE);
    }
    memset(pages, 0, 3 * PAGE);
    memset(priv, 'S', PAGE);
    self = true;
    host_is_real = false;
    on_host = NULL;
    after_read = NULL;
    touched_privileged = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PAGE; i++) {
        if (priv[i] != 'S') {
            return -1;
        }
    }
    return touched_privileged || records ? -1 : 0;
}

/* ---- Every pointer argument of every call. */

/* A good argument of that kind, somewhere in the user's page. */
static uint64_t good(const struct arg *arg, unsigned index)
{
    char *slot = user + index * 512;
    char *more = slot + 256;
    memset(slot, 0, 512);
    struct iovec vec[2] = {{more, 16}, {more + 16, 16}};
    switch ((enum arg_memory)arg->memory) {
    case MEM_NONE:
        return 0;
    case MEM_STRING:
        strcpy(slot, "x");
        break;
    case MEM_IOVEC:
        memcpy(slot, vec, sizeof(vec));
        break;
    case MEM_MSGHDR:
    case MEM_MMSGHDR: {
        struct msghdr msg = {.msg_name = more + 64,
            .msg_namelen = 16,
            .msg_iov = (struct iovec *)(more + 128),
            .msg_iovlen = 2,
            .msg_control = more + 80,
            .msg_controllen = 16};
        memcpy(more + 128, vec, sizeof(vec));
        memcpy(slot, &msg, sizeof(msg));
        memcpy(slot + sizeof(struct mmsghdr), &msg, sizeof(msg));
        break;
    }
    case MEM_SIZE:
        *(socklen_t *)slot = 16;
        break;
    case MEM_SIGSET_PAIR:
        ((uint64_t *)slot)[0] = A(more);
        ((uint64_t *)slot)[1] = 8;
        break;
    case MEM_FUTEX_WAITV:
        for (unsigned i = 0; i < 2; i++) {
            ((struct futex_waitv *)slot)[i] = (struct futex_waitv){.uaddr = A(more), .flags = 2};
        }
        break;
    case MEM_FILE_HANDLE:
        *(uint32_t *)slot = 8;
        break;
    case MEM_SCHED_ATTR:
        *(uint32_t *)slot = 48;
        break;
    case MEM_IFCONF:
        ((struct ifconf *)slot)->ifc_len = 64;
        ((struct ifconf *)slot)->ifc_buf = more;
        break;
    default:
        break;
    }
    return A(slot);
}

static void good_args(const struct call *call, const uint64_t fixed[CALL_ARGS], uint64_t out[CALL_ARGS])
{
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        out[i] = call->args[i].memory ? good(&call->args[i], i) : fixed[i];
    }
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        const struct arg *arg = &call->args[i];
        switch (arg->memory) {
        case MEM_COUNTED:
            out[arg->len] = arg->size > 1 ? 2 : 16;
            break;
        case MEM_IOVEC:
        case MEM_MMSGHDR:
        case MEM_FUTEX_WAITV:
            out[arg->len] = 2;
            break;
        case MEM_FDSET:
            out[arg->len] = 64;
            break;
        default:
            break;
        }
    }
}

static unsigned attacks;

static void refuse(const char *name, unsigned index, const char *how, long number, const uint64_t args[CALL_ARGS])
{
    long result = proceed(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    attacks++;
    if (result != -EFAULT || host_calls) {
        fail_msg("%s: argument %u %s: %ld, host asked %u times", name, index, how, result, host_calls);
    }
}

/* With the arguments that make it the call that it is (a command, a request); pointers are filled in here. */
static void attack(long number, const uint64_t fixed[CALL_ARGS])
{
    struct call call;
    uint64_t args[CALL_ARGS];
    if (call_describe((uint64_t)number, fixed, &call)) {
        fail_msg("%s %#lx is not carried", call.name, fixed[1]);
    }
    good_args(&call, fixed, args);
    long result = proceed(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    if (host_calls != 1 || result != -EPERM) {
        fail_msg("%s %#lx with good arguments: %ld, host asked %u times", call.name, fixed[1], result, host_calls);
    }
    for (unsigned i = 0; i < CALL_ARGS; i++) {
        const struct arg *arg = &call.args[i];
        if (arg->memory == MEM_NONE) {
            continue;
        }
        good_args(&call, fixed, args);
        args[i] = A(priv);
        refuse(call.name, i, "privileged", number, args);
        args[i] = A(priv) + PAGE - 1;
        refuse(call.name, i, "privileged at its first byte only", number, args);
        args[i] = 0xffff800000000000;
        refuse(call.name, i, "in the kernel's half", number, args);
        args[i] = UINT64_MAX;
        refuse(call.name, i, "at the very end", number, args);
        if (arg->memory == MEM_PAGE || (arg->memory == MEM_FIXED && arg->size == 1)) {
            continue; /* takes what there is; has no second byte */
        }
        memset(priv - 1, 'x', 1);
        args[i] = A(priv) - 1;
        refuse(call.name, i, "privileged from its second byte", number, args);
        memset(priv - 1, 0, 1);
        if (arg->memory == MEM_COUNTED && call.args[arg->len].kind == ARG_ULONG) {
            args[i] = A(user);
            args[arg->len] = UINT64_MAX - 8;
            refuse(call.name, i, "whose end wraps around", number, args);
            args[arg->len] = INT64_MAX;
            refuse(call.name, i, "longer than the address space", number, args);
        }
    }
}

static void attack_op(long number, unsigned index, uint64_t value)
{
    uint64_t args[CALL_ARGS] = {0};
    args[index] = value;
    attack(number, args);
}

static void test_every_call(void **state)
{
    (void)state;
    unsigned carried = 0;
    for (unsigned number = 0; number < call_limit; number++) {
        const struct call *call = call_find(number);
        if (!call || call->policy != CALL_HOST) {
            continue;
        }
        carried++;
        if (call->refine == REFINE_NONE) {
            attack_op(number, 0, 0);
        }
    }
    assert_true(carried > 250);
    assert_true(attacks > 700);
}

static void test_every_face(void **state)
{
    (void)state;
    static const uint32_t fcntls[] = {F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_GETOWN_EX,
        F_SETOWN_EX, F_GETFD, F_DUPFD, F_SETFL, 17, 1035, 1036, 1037, 1038};
    for (unsigned i = 0; i < sizeof(fcntls) / sizeof(fcntls[0]); i++) {
        attack_op(SYS_fcntl, 1, fcntls[i]);
    }
    static const uint32_t futexes[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP,
        FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET, FUTEX_WAIT_REQUEUE_PI,
        FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI2};
    for (unsigned i = 0; i < sizeof(futexes) / sizeof(futexes[0]); i++) {
        attack_op(SYS_futex, 1, futexes[i]);
        attack_op(SYS_futex, 1, futexes[i] | FUTEX_PRIVATE_FLAG);
        attack_op(SYS_futex, 1, futexes[i] | FUTEX_CLOCK_REALTIME | 0xabcd00000000);
    }
    static const int prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_PDEATHSIG, PR_GET_CHILD_SUBREAPER};
    for (unsigned i = 0; i < sizeof(prctls) / sizeof(prctls[0]); i++) {
        attack_op(SYS_prctl, 0, (uint64_t)prctls[i]);
    }
    attack(SYS_setsockopt, (uint64_t[6]){0, SOL_SOCKET, SO_RCVBUF});
    attack(SYS_getsockopt, (uint64_t[6]){0, SOL_SOCKET, SO_PEERCRED});
    attack(SYS_semctl, (uint64_t[6]){0, 0, SETVAL, 1});
    attack(SYS_shmctl, (uint64_t[6]){0, IPC_RMID});
    attack(SYS_msgctl, (uint64_t[6]){0, IPC_RMID});
    attack(SYS_fsconfig, (uint64_t[6]){0, FSCONFIG_SET_STRING});
    attack(SYS_fsconfig, (uint64_t[6]){0, FSCONFIG_SET_BINARY});
    attack_op(SYS_unshare, 0, CLONE_NEWNS);
    attack_op(SYS_close_range, 0, 9);
    attack_op(SYS_personality, 0, 0xffffffff);
    /* Every request of the terminal and descriptor kind that is known, found by its number. */
    unsigned requests = 0;
    for (uint32_t request = 0; request < 0x10000; request++) {
        struct arg arg;
        if (ioctl_argument(request, &arg) == 0) {
            requests++;
            attack_op(SYS_ioctl, 1, request);
            attack_op(SYS_ioctl, 1, request | 0xffff00000000); /* the kernel looks at 32 bits */
        }
    }
    assert_true(requests > 80);
    static const uint64_t encoded[] = {TIOCGPTN, TIOCSPTLCK, FICLONERANGE, FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR,
        BLKGETSIZE64, BLKPBSZGET, FITRIM, FS_IOC_GETFSLABEL};
    for (unsigned i = 0; i < sizeof(encoded) / sizeof(encoded[0]); i++) {
        attack_op(SYS_ioctl, 1, encoded[i]);
    }
}

/* ---- The table against what the running kernel says of itself, where it lets itself be asked. */

static const char *kernel_name(const char *name)
{
    static const char *const names[][2] = {{"stat", "newstat"}, {"fstat", "newfstat"}, {"lstat", "newlstat"},
        {"uname", "newuname"}, {"sendfile", "sendfile64"}, {"umount2", "umount"}};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i][0], name) == 0) {
            return names[i][1];
        }
    }
    return name;
}

/* Arguments of the kernel's function; *pointers has a bit for each that is a pointer. -1 if it does not say. */
static int kernel_arguments(const char *name, unsigned *pointers)
{
    char path[160], line[256];
    snprintf(path, sizeof(path), "/sys/kernel/tracing/events/syscalls/sys_enter_%s/format", kernel_name(name));
    FILE *file = fopen(path, "r");
    if (!file) {
        return -1;
    }
    int count = 0;
    unsigned offset;
    *pointers = 0;
    while (fgets(line, sizeof(line), file)) {
        char *at = strstr(line, "offset:");
        if (strstr(line, "field:") && at && sscanf(at, "offset:%u", &offset) == 1 && offset >= 16) {
            *at = 0;
            *pointers |= (unsigned)(strchr(line, '*') || strstr(line, "cap_user_")) << count++;
        }
    }
    fclose(file);
    return count;
}

static void test_table_is_the_kernels(void **state)
{
    (void)state;
    unsigned compared = 0;
    for (unsigned number = 0; number < call_limit; number++) {
        const struct call *call = call_find(number);
        unsigned theirs, ours = 0;
        if (!call || call->policy != CALL_HOST || (call->refine && call->refine != REFINE_FCNTL)) {
            continue;
        }
        int count = kernel_arguments(call->name, &theirs), known = 0;
        if (count < 0) {
            continue;
        }
        for (unsigned i = 0; i < CALL_ARGS; i++) {
            known += call->args[i].kind != ARG_END;
            ours |= (unsigned)(call->args[i].memory != MEM_NONE) << i;
        }
        if (number == SYS_getcpu) {
            theirs &= 3; /* the third has been unused for long */
        }
        if (known != count || ours != theirs) {
            fail_msg("%s: %d arguments, %d in the table; pointers %#x, %#x", call->name, count, known, theirs, ours);
        }
        compared++;
    }
    if (!compared) {
        skip();
    }
    assert_true(compared > 200);
}

/* ---- Pointers behind pointers. */

static void expect_fault(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    long result = proceed(number, a, b, c, d, e, f);
    if (result != -EFAULT || host_calls) {
        fail_msg("call %ld: %ld, host asked %u times", number, result, host_calls);
    }
}

static void test_iovec(void **state)
{
    (void)state;
    struct iovec *vec = (struct iovec *)user;
    static const long calls[] = {
        SYS_readv, SYS_writev, SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_vmsplice};
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        vec[0] = (struct iovec){user + 512, 16};
        vec[1] = (struct iovec){priv, 1};
        expect_fault(calls[i], 0, A(vec), 2, 0, 0, 0);
        vec[1] = (struct iovec){priv - 8, 9};
        expect_fault(calls[i], 0, A(vec), 2, 0, 0, 0);
        vec[1] = (struct iovec){user, INT64_MAX};
        expect_fault(calls[i], 0, A(vec), 2, 0, 0, 0);
        vec[1] = (struct iovec){user, UINT64_MAX};
        assert_int_equal(proceed(calls[i], 0, A(vec), 2, 0, 0, 0), -EINVAL);
        assert_int_equal(host_calls, 0);
        assert_int_equal(proceed(calls[i], 0, A(vec), 1025, 0, 0, 0), -EINVAL);
        assert_int_equal(proceed(calls[i], 0, A(vec), 1ul << 60, 0, 0, 0), -EINVAL);
        assert_int_equal(host_calls, 0);
        vec[1] = (struct iovec){priv, 0}; /* nothing is touched */
        assert_int_equal(proceed(calls[i], 0, A(vec), 2, 0, 0, 0), -EPERM);
        assert_int_equal(host_calls, 1);
        assert_false(host_args[2] == A(vec));
    }
}

static struct msghdr a_message(struct iovec *vec)
{
    *vec = (struct iovec){user + 1024, 16};
    return (struct msghdr){.msg_name = user + 1100,
        .msg_namelen = 16,
        .msg_iov = vec,
        .msg_iovlen = 1,
        .msg_control = user + 1200,
        .msg_controllen = 32};
}

static void attack_message(struct msghdr *msg, void (*call)(void))
{
    struct iovec *vec = (struct iovec *)(user + 2048);
    *msg = a_message(vec);
    msg->msg_name = priv;
    call();
    *msg = a_message(vec);
    msg->msg_name = priv - 15;
    call();
    msg->msg_namelen = 0x7fffffff; /* cut to 128 by the kernel, which still reaches it */
    call();
    *msg = a_message(vec);
    msg->msg_control = priv - 31;
    call();
    *msg = a_message(vec);
    msg->msg_control = priv + PAGE - 1;
    call();
    *msg = a_message(vec);
    msg->msg_iov = (struct iovec *)(priv - 8);
    call();
    *msg = a_message(vec);
    msg->msg_iov = (struct iovec *)priv;
    call();
    *msg = a_message(vec);
    vec->iov_base = priv;
    call();
    *msg = a_message(vec);
    vec->iov_base = priv - 1;
    call();
}

static void sendmsg_faults(void)
{
    expect_fault(SYS_sendmsg, 0, A(user), 0, 0, 0, 0);
}

static void recvmsg_faults(void)
{
    expect_fault(SYS_recvmsg, 0, A(user), 0, 0, 0, 0);
}

static void sendmmsg_faults(void)
{
    expect_fault(SYS_sendmmsg, 0, A(user), 1, 0, 0, 0);
}

static void recvmmsg_faults(void)
{
    expect_fault(SYS_recvmmsg, 0, A(user), 1, 0, 0, 0);
}

/* The second of two messages is bad: the kernel sends the first and so does this. */
static void second_is_cut(void)
{
    assert_int_equal(proceed(SYS_sendmmsg, 0, A(user), 2, 0, 0, 0), -EPERM);
    assert_int_equal(host_calls, 1);
    assert_int_equal(host_args[3], 1);
}

static void test_messages(void **state)
{
    (void)state;
    attack_message((struct msghdr *)user, sendmsg_faults);
    attack_message((struct msghdr *)user, recvmsg_faults);
    attack_message((struct msghdr *)user, sendmmsg_faults);
    attack_message((struct msghdr *)user, recvmmsg_faults);
    struct iovec *vec = (struct iovec *)(user + 3072);
    *(struct msghdr *)user = a_message(vec);
    attack_message((struct msghdr *)(user + 64), second_is_cut);

    struct msghdr *msg = (struct msghdr *)user;
    *msg = a_message(vec);
    msg->msg_iovlen = 1025;
    assert_int_equal(proceed(SYS_sendmsg, 0, A(msg), 0, 0, 0, 0), -EMSGSIZE);
    *msg = a_message(vec);
    msg->msg_controllen = UINT64_MAX;
    assert_int_equal(proceed(SYS_sendmsg, 0, A(msg), 0, 0, 0, 0), -ENOBUFS);
    assert_int_equal(host_calls, 0);

    /* The copies are what the host gets. */
    *msg = a_message(vec);
    assert_int_equal(proceed(SYS_recvmsg, 0, A(msg), 0, 0, 0, 0), -EPERM);
    assert_int_equal(host_calls, 1);
    assert_false(host_args[2] >= A(pages) && host_args[2] < A(pages) + 3 * PAGE);

    /* A thousand messages of a thousand pieces: as many as there is room for. */
    struct mmsghdr *msgs = (struct mmsghdr *)user;
    struct iovec *pieces =
        mmap(NULL, 1024 * sizeof(*pieces), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < 1024; i++) {
        pieces[i] = (struct iovec){user, 1};
    }
    for (unsigned i = 0; i < 32; i++) {
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = pieces, .msg_iovlen = 1024};
    }
    assert_int_equal(proceed(SYS_sendmmsg, 0, A(msgs), 32, 0, 0, 0), -EPERM);
    assert_int_equal(host_calls, 1);
    assert_int_equal(host_args[3], 1);
    munmap(pieces, 1024 * sizeof(*pieces));
}

static void test_other_nested(void **state)
{
    (void)state;
    uint64_t *pair = (uint64_t *)user;
    pair[0] = A(priv);
    pair[1] = 8;
    expect_fault(SYS_pselect6, 1, 0, 0, 0, 0, A(pair));
    pair[0] = A(priv) - 7;
    expect_fault(SYS_pselect6, 1, 0, 0, 0, 0, A(pair));

    struct futex_waitv *waits = (struct futex_waitv *)user;
    waits[0] = (struct futex_waitv){.uaddr = A(user), .flags = 2};
    waits[1] = (struct futex_waitv){.uaddr = A(priv) - 3, .flags = 2};
    expect_fault(SYS_futex_waitv, A(waits), 2, 0, 0, CLOCK_MONOTONIC, 0);
    assert_int_equal(proceed(SYS_futex_waitv, A(waits), 129, 0, 0, 0, 0), -EINVAL);

    struct ifconf *conf = (struct ifconf *)user;
    conf->ifc_len = 4096;
    conf->ifc_buf = priv - 100;
    expect_fault(SYS_ioctl, 0, SIOCGIFCONF, A(conf), 0, 0, 0);
    conf->ifc_len = -1;
    assert_int_equal(proceed(SYS_ioctl, 0, SIOCGIFCONF, A(conf), 0, 0, 0), -EINVAL);

    /* Lengths that memory holds. */
    socklen_t *length = (socklen_t *)user;
    *length = 16;
    expect_fault(SYS_getsockname, 0, A(priv) - 8, A(length), 0, 0, 0);
    *length = 0x7fffffff;
    expect_fault(SYS_accept, 0, A(priv) - 127, A(length), 0, 0, 0);
    expect_fault(SYS_getsockopt, 0, SOL_SOCKET, SO_PEERSEC, A(user), A(length), 0);
    expect_fault(SYS_recvfrom, 0, A(user), 1, 0, A(user) + 64, A(priv) - 2);
    uint32_t *handle = (uint32_t *)(priv - 64);
    *handle = 128;
    expect_fault(SYS_open_by_handle_at, 0, A(handle), 0, 0, 0, 0);
    expect_fault(SYS_name_to_handle_at, 0, A("x"), A(handle), A(user), 0, 0);
    *handle = 129;
    assert_int_equal(proceed(SYS_open_by_handle_at, 0, A(handle), 0, 0, 0, 0), -EINVAL);
    *handle = 4096; /* sched_attr's size */
    expect_fault(SYS_sched_setattr, 0, A(handle), 0, 0, 0, 0);
}

static void test_strings(void **state)
{
    (void)state;
    /* A string that ends with the last byte before the privileged page is fine. */
    strcpy(priv - 6, "abcde");
    assert_int_equal(proceed(SYS_chdir, A(priv) - 6, 0, 0, 0, 0, 0), -EPERM);
    assert_int_equal(host_calls, 1);
    assert_false(host_args[1] == A(priv) - 6);
    memset(user, 'x', PAGE);
    expect_fault(SYS_chdir, A(priv) - 6, 0, 0, 0, 0, 0);
    expect_fault(SYS_chdir, A(user) + 1, 0, 0, 0, 0, 0);
}

/* A page without NUL is too long a name before it is a fault. */
static void test_long_string(void **state)
{
    (void)state;
    char *pages2 = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages2, 'x', 2 * PAGE);
    host_is_real = true;
    assert_int_equal(proceed(SYS_chdir, A(pages2), 0, 0, 0, 0, 0), -ENAMETOOLONG);
    assert_int_equal(proceed(SYS_chdir, A(pages2) + 100, 0, 0, 0, 0, 0), -ENAMETOOLONG);
    munmap(pages2, 2 * PAGE);
    assert_int_equal(proceed(SYS_chdir, A(pages2), 0, 0, 0, 0, 0), -EFAULT);
    assert_int_equal(proceed(SYS_chdir, 0, 0, 0, 0, 0, 0), -EFAULT);
    /* The longest path there is. */
    char *path = user;
    memset(path, '/', PAGE);
    path[PAGE - 1] = 0;
    assert_int_equal(proceed(SYS_access, A(path), F_OK, 0, 0, 0, 0), 0);
}

/* ---- Races: what the sandbox changes after the look is not what the kernel sees. */

static void point_iovec_at_privileged(uint64_t addr)
{
    if (addr == A(user)) {
        ((struct iovec *)user)->iov_base = priv;
    }
}

static void iovec_is_good(const uint64_t call[7])
{
    const struct iovec *vec = (const struct iovec *)call[2];
    assert_ptr_equal(vec->iov_base, user + 512);
}

static void swap_path(uint64_t addr)
{
    if (addr == A(user)) {
        memset(user, 'x', PAGE);
    }
}

static void path_is_good(const uint64_t call[7])
{
    assert_string_equal((const char *)call[1], "/tmp");
}

static void grow_socklen(uint64_t addr)
{
    if (addr == A(user)) {
        *(socklen_t *)user = 4096;
    }
}

static void socklen_is_good(const uint64_t call[7])
{
    assert_int_equal(*(const socklen_t *)call[5], 16);
}

static void test_races(void **state)
{
    (void)state;
    struct iovec *vec = (struct iovec *)user;
    *vec = (struct iovec){user + 512, 16};
    after_read = point_iovec_at_privileged;
    on_host = iovec_is_good;
    proceed(SYS_writev, 0, A(vec), 1, 0, 0, 0);
    assert_int_equal(host_calls, 1);
    assert_ptr_equal(vec->iov_base, priv); /* the attack took place */

    strcpy(user, "/tmp");
    after_read = swap_path;
    on_host = path_is_good;
    proceed(SYS_chdir, A(user), 0, 0, 0, 0, 0);
    assert_int_equal(host_calls, 1);
    assert_int_equal(user[4], 'x');

    *(socklen_t *)user = 16;
    after_read = grow_socklen;
    on_host = socklen_is_good;
    proceed(SYS_getsockopt, 0, SOL_SOCKET, SO_PEERSEC, A(user) + 64, A(user), 0);
    assert_int_equal(host_calls, 1);
    assert_int_equal(*(socklen_t *)user, 4096);
}

/* ---- What is never made. */

static void expect_refused(long number, uint64_t a, uint64_t b, uint64_t c, long error)
{
    long result = proceed(number, a, b, c, 0, 0, 0);
    if (result != error || host_calls) {
        fail_msg("call %ld: %ld, host asked %u times", number, result, host_calls);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const long calls[] = {SYS_exit, SYS_exit_group, SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_clone,
        SYS_clone3, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigtimedwait,
        SYS_rt_sigqueueinfo, SYS_rt_sigsuspend, SYS_rt_tgsigqueueinfo, SYS_sigaltstack, SYS_set_tid_address, SYS_rseq,
        SYS_get_robust_list, SYS_set_robust_list, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_brk, SYS_madvise,
        SYS_msync, SYS_mincore, SYS_mlock, SYS_mlock2, SYS_mlockall, SYS_munlock, SYS_munlockall, SYS_remap_file_pages,
        SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free, SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy,
        SYS_migrate_pages, SYS_move_pages, SYS_set_mempolicy_home_node, SYS_memfd_secret, SYS_shmat, SYS_shmdt,
        SYS_arch_prctl, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_setup, SYS_io_submit,
        SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_process_madvise, SYS_process_mrelease,
        SYS_userfaultfd, SYS_pidfd_getfd, SYS_seccomp, SYS_modify_ldt, SYS_kexec_load, SYS_kexec_file_load, SYS_bpf,
        SYS_perf_event_open, SYS_init_module, SYS_reboot, SYS_iopl, SYS_restart_syscall, SYS_landlock_restrict_self,
        SYS_keyctl, 462, 463, 470, 511, 512, 547, 1000};
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        expect_refused(calls[i], 0, 0, 0, -ENOSYS);
        expect_refused(calls[i] | 0x500000000, 0, 0, 0, -ENOSYS);
        expect_refused(calls[i] | 0x40000000, 0, 0, 0, -ENOSYS); /* the x32 bit */
    }
    expect_refused(-1, 0, 0, 0, -ENOSYS);
    static const int prctls[] = {
        PR_SET_MM, PR_SET_SECCOMP, PR_SET_TSC, PR_SET_THP_DISABLE, PR_GET_TID_ADDRESS, 53, 59, 65, 0x53564d41, -1};
    for (unsigned i = 0; i < sizeof(prctls) / sizeof(prctls[0]); i++) {
        expect_refused(SYS_prctl, (uint64_t)prctls[i], 0, 0, -ENOSYS);
    }
    expect_refused(SYS_unshare, CLONE_FILES, 0, 0, -ENOSYS);
    expect_refused(SYS_unshare, CLONE_VM | CLONE_NEWNS, 0, 0, -ENOSYS);
    expect_refused(SYS_close_range, 3, UINT32_MAX, 2, -ENOSYS);
    expect_refused(SYS_personality, 0x0400000, 0, 0, -ENOSYS);
    expect_refused(SYS_futex, A(user), 40, 0, -ENOSYS);
    expect_refused(SYS_semctl, 0, 0, SETALL, -ENOSYS);
    expect_refused(SYS_shmctl, 0, IPC_STAT, 0, -ENOSYS);
    expect_refused(SYS_ioctl, 0, 0x2285 /* SG_IO */, A(user), -ENOTTY);
    expect_refused(SYS_ioctl, 0, 0x8946 /* SIOCETHTOOL */, A(user), -ENOTTY);
    expect_refused(SYS_ioctl, 0, 0xae80 /* KVM_RUN */, 0, -ENOTTY);
    expect_refused(SYS_ioctl, 0, 0x4020ae46 /* KVM_SET_USER_MEMORY_REGION */, A(user), -ENOTTY);
    expect_refused(SYS_fcntl, 0, 9999, A(user), -EINVAL);
    expect_refused(SYS_setsockopt, 0, SOL_SOCKET, SO_ATTACH_FILTER, -ENOPROTOOPT);
    expect_refused(SYS_getsockopt, 0, SOL_SOCKET, SO_GET_FILTER, -ENOPROTOOPT);
    expect_refused(SYS_setsockopt, 0, 0 /* IPPROTO_IP */, 64 /* IPT_SO_SET_REPLACE */, -ENOPROTOOPT);
    expect_refused(SYS_getsockopt, 0, 6 /* IPPROTO_TCP */, 35 /* TCP_ZEROCOPY_RECEIVE */, -ENOPROTOOPT);
    expect_refused(SYS_setsockopt, 0, 263 /* SOL_PACKET */, 22 /* PACKET_FANOUT_DATA */, -ENOPROTOOPT);
}

/* ---- Opening one's own memory. */

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void open_memory_by_every_way(void)
{
    char path[64], link[] = "/tmp/polder-test-XXXXXX", inner[80];
    assert_non_null(mkdtemp(link));
    snprintf(inner, sizeof(inner), "%s/l", link);
    unsigned before = open_descriptors();
    static const char *const names[] = {"/proc/self/mem", "/proc/thread-self/mem", "/proc/self/task/../mem",
        "/proc/self/root/proc/self/mem", "//proc/./self//mem"};
    static const int modes[] = {
        O_RDONLY, O_RDWR, O_WRONLY, O_PATH, O_RDWR | O_CLOEXEC | O_CREAT, O_RDONLY | O_NOFOLLOW};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (unsigned m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
            assert_int_equal(proceed(SYS_open, A(names[i]), (uint64_t)modes[m], 0, 0, 0, 0), -EACCES);
            assert_int_equal(
                proceed(SYS_openat, (uint64_t)AT_FDCWD, A(names[i]), (uint64_t)modes[m], 0, 0, 0), -EACCES);
            struct open_how *how = (struct open_how *)user;
            *how = (struct open_how){.flags = (uint64_t)modes[m]};
            assert_int_equal(
                proceed(SYS_openat2, (uint64_t)AT_FDCWD, A(names[i]), A(how), sizeof(*how), 0, 0), -EACCES);
        }
        assert_int_equal(proceed(SYS_creat, A(names[i]), 0, 0, 0, 0, 0), -EACCES);
    }
    snprintf(path, sizeof(path), "/proc/%d/mem", getpid());
    assert_int_equal(proceed(SYS_open, A(path), O_RDWR, 0, 0, 0, 0), -EACCES);
    assert_int_equal(symlink(path, inner), 0);
    assert_int_equal(proceed(SYS_open, A(inner), O_RDWR, 0, 0, 0, 0), -EACCES);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", getpid(), getpid());
    assert_int_equal(proceed(SYS_open, A(path), O_RDWR, 0, 0, 0, 0), -EACCES);
    /* By a descriptor of the folder, from within it, and again through a descriptor. */
    int folder = open("/proc/self", O_PATH | O_DIRECTORY);
    assert_int_equal(proceed(SYS_openat, (uint64_t)folder, A("mem"), O_RDWR, 0, 0, 0), -EACCES);
    int here = open(".", O_PATH);
    assert_int_equal(fchdir(folder), 0);
    assert_int_equal(proceed(SYS_open, A("mem"), O_RDWR, 0, 0, 0, 0), -EACCES);
    assert_int_equal(fchdir(here), 0);
    int memory = open("/proc/self/mem", O_PATH);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    assert_int_equal(proceed(SYS_open, A(path), O_RDWR, 0, 0, 0, 0), -EACCES);
    close(memory);
    close(here);
    close(folder);
    /* Mounted under another name, where mounting is allowed. */
    assert_int_equal(unlink(inner), 0);
    int file = open(inner, O_CREAT | O_RDWR, 0600);
    close(file);
    if (mount("/proc/self/mem", inner, NULL, MS_BIND, NULL) == 0) {
        assert_int_equal(proceed(SYS_open, A(inner), O_RDWR, 0, 0, 0, 0), -EACCES);
        assert_int_equal(umount(inner), 0);
    }
    assert_int_equal(unlink(inner), 0);
    assert_int_equal(rmdir(link), 0);
    assert_int_equal(open_descriptors(), before);
    /* The rest of procfs is open. */
    static const char *const others[] = {"/proc/self/maps", "/proc/meminfo", "/proc/self", "/proc/cpuinfo"};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        long fd = proceed(SYS_open, A(others[i]), O_RDONLY, 0, 0, 0, 0);
        assert_true(fd >= 0);
        close((int)fd);
    }
    assert_int_equal(open_descriptors(), before);
}

/* Opening is what open(2) is, however it is done. */
static void open_as_natively(void)
{
    char folder[] = "/tmp/polder-test-XXXXXX", file[64], dangling[64], loop[64];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/file", folder);
    snprintf(dangling, sizeof(dangling), "%s/dangling", folder);
    snprintf(loop, sizeof(loop), "%s/loop", folder);
    unsigned before = open_descriptors();
    int lowest = dup(0);
    close(lowest);

    assert_int_equal(proceed(SYS_open, A(file), O_RDONLY, 0, 0, 0, 0), -ENOENT);
    umask(022);
    assert_int_equal(proceed(SYS_open, A(file), O_CREAT | O_EXCL | O_RDWR, 0666, 0, 0, 0), lowest);
    struct stat st;
    assert_int_equal(fstat(lowest, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(write(lowest, "12345", 5), 5);
    assert_int_equal(fcntl(lowest, F_GETFD), 0);
    close(lowest);
    assert_int_equal(proceed(SYS_open, A(file), O_CREAT | O_EXCL | O_RDWR, 0666, 0, 0, 0), -EEXIST);
    assert_int_equal(proceed(SYS_open, A(file), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666, 0, 0, 0), lowest);
    assert_int_equal(fcntl(lowest, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(lowest, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    close(lowest);
    assert_int_equal(proceed(SYS_creat, A(file), 0600, 0, 0, 0, 0), lowest);
    assert_int_equal(fstat(lowest, &st), 0);
    assert_int_equal(st.st_size, 0);
    close(lowest);
    assert_int_equal(proceed(SYS_open, A(folder), O_CREAT | O_RDONLY, 0666, 0, 0, 0), -EISDIR);
    assert_int_equal(proceed(SYS_open, A(folder), O_RDWR, 0, 0, 0, 0), -EISDIR);
    assert_int_equal(proceed(SYS_open, A(file), O_RDONLY | O_DIRECTORY, 0, 0, 0, 0), -ENOTDIR);
    assert_int_equal(proceed(SYS_open, A(folder), O_TMPFILE | O_RDWR, 0600, 0, 0, 0), lowest);
    close(lowest);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("file", dangling), 0);
    assert_int_equal(symlink("loop", loop), 0);
    assert_int_equal(proceed(SYS_open, A(dangling), O_RDONLY, 0, 0, 0, 0), -ENOENT);
    assert_int_equal(proceed(SYS_open, A(dangling), O_CREAT | O_EXCL | O_RDWR, 0666, 0, 0, 0), -EEXIST);
    assert_int_equal(proceed(SYS_open, A(dangling), O_CREAT | O_RDWR, 0666, 0, 0, 0), lowest);
    close(lowest);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(proceed(SYS_open, A(dangling), O_RDONLY | O_NOFOLLOW, 0, 0, 0, 0), -ELOOP);
    assert_int_equal(proceed(SYS_open, A(loop), O_RDONLY, 0, 0, 0, 0), -ELOOP);
    struct open_how *how = (struct open_how *)user;
    *how = (struct open_how){.flags = O_RDONLY, .resolve = RESOLVE_NO_SYMLINKS};
    assert_int_equal(proceed(SYS_openat2, (uint64_t)AT_FDCWD, A(dangling), A(how), sizeof(*how), 0, 0), -ELOOP);
    assert_int_equal(proceed(SYS_openat2, (uint64_t)AT_FDCWD, A(file), A(how), sizeof(*how), 0, 0), lowest);
    close(lowest);
    *how = (struct open_how){.flags = 1ul << 40};
    assert_int_equal(proceed(SYS_openat2, (uint64_t)AT_FDCWD, A(file), A(how), sizeof(*how), 0, 0), -EINVAL);
    assert_int_equal(proceed(SYS_openat2, (uint64_t)AT_FDCWD, A(file), A(how), 8, 0, 0), -EINVAL);
    unlink(file);
    unlink(dangling);
    unlink(loop);
    rmdir(folder);
    assert_int_equal(open_descriptors(), before);
}

static void test_open(void **state)
{
    (void)state;
    host_is_real = true;
    open_memory_by_every_way();
    open_as_natively();
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *idle(void *unused)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return unused;
}

/* Whether, at the moment of a host call that opens, a file was opened for reading that is this process's memory. */
static bool memory_was_open;

static void look_for_memory(const uint64_t call[7])
{
    (void)call;
    for (int fd = 3; fd < 32; fd++) {
        char name[32], target[64];
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        ssize_t size = readlink(name, target, sizeof(target));
        if (size > 4 && memcmp(target + size - 4, "/mem", 4) == 0 && !(fcntl(fd, F_GETFL) & O_PATH)) {
            memory_was_open = true;
        }
    }
}

static void test_open_with_threads(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_mutex_lock(&gate);
    assert_int_equal(pthread_create(&thread, NULL, idle, NULL), 0);
    host_is_real = true;
    open_memory_by_every_way();
    open_as_natively();
    /* Not even for a moment: the host is not asked to open it for reading at all. */
    assert_int_equal(proceed(SYS_open, A("/proc/self/mem"), O_RDWR, 0, 0, 0, 0), -EACCES);
    assert_int_equal(host_calls, 0);
    /* The kernel gets the very flags that were looked at. */
    struct open_how *how = (struct open_how *)user;
    *how = (struct open_how){.flags = O_PATH};
    long fd = proceed(SYS_openat2, (uint64_t)AT_FDCWD, A("/tmp"), A(how), sizeof(*how), 0, 0);
    assert_true(fd > 2);
    assert_false(host_args[3] >= A(pages) && host_args[3] < A(pages) + 3 * PAGE);
    close((int)fd);
    on_host = look_for_memory;
    assert_int_equal(proceed(SYS_open, A("/proc/self/mem"), O_RDWR | O_CREAT, 0, 0, 0, 0), -EACCES);
    assert_false(memory_was_open);
    pthread_mutex_unlock(&gate);
    pthread_join(thread, NULL);
}

/* ---- Calls that are made. */

static void test_calls_work(void **state)
{
    (void)state;
    host_is_real = true;
    int *fds = (int *)user;
    assert_int_equal(proceed(SYS_pipe2, A(fds), O_CLOEXEC, 0, 0, 0, 0), 0);
    int in = fds[0], out = fds[1];
    strcpy(user + 64, "hello, world");
    assert_int_equal(proceed(SYS_write, (uint64_t)out, A(user) + 64, 12, 0, 0, 0), 12);
    assert_int_equal(proceed(SYS_read, (uint64_t)in, A(user) + 128, 100, 0, 0, 0), 12);
    assert_memory_equal(user + 128, "hello, world", 12);
    struct iovec *vec = (struct iovec *)(user + 256);
    vec[0] = (struct iovec){user + 64, 5};
    vec[1] = (struct iovec){user + 69, 7};
    assert_int_equal(proceed(SYS_writev, (uint64_t)out, A(vec), 2, 0, 0, 0), 12);
    vec[0] = (struct iovec){user + 512, 2};
    vec[1] = (struct iovec){user + 600, 100};
    assert_int_equal(proceed(SYS_readv, (uint64_t)in, A(vec), 2, 0, 0, 0), 12);
    assert_memory_equal(user + 512, "he", 2);
    assert_memory_equal(user + 600, "llo, world", 10);
    /* Nothing at the end of the page is touched that is not asked for. */
    assert_int_equal(proceed(SYS_write, (uint64_t)out, A(priv) - 4, 4, 0, 0, 0), 4);
    assert_int_equal(proceed(SYS_write, (uint64_t)out, A(priv) - 4, 5, 0, 0, 0), -EFAULT);
    assert_int_equal(proceed(SYS_read, (uint64_t)in, A(priv) - 4, 4, 0, 0, 0), 4);
    assert_int_equal(proceed(SYS_write, (uint64_t)out, A(priv), 0, 0, 0, 0), 0);
    struct pollfd *poll = (struct pollfd *)user;
    *poll = (struct pollfd){.fd = out, .events = POLLOUT};
    assert_int_equal(proceed(SYS_poll, A(poll), 1, 0, 0, 0, 0), 1);
    assert_int_equal(poll->revents, POLLOUT);
    fd_set *set = (fd_set *)user;
    FD_ZERO(set);
    FD_SET(out, set);
    uint64_t *pair = (uint64_t *)(user + 1024);
    pair[0] = A(user) + 1100;
    pair[1] = 8;
    memset(user + 1100, 0, 8);
    assert_int_equal(proceed(SYS_pselect6, (uint64_t)out + 1, 0, A(set), 0, 0, A(pair)), 1);
    assert_int_equal(proceed(SYS_fstat, (uint64_t)out, A(user), 0, 0, 0, 0), 0);
    assert_true(S_ISFIFO(((struct stat *)user)->st_mode));
    assert_int_equal(proceed(SYS_ioctl, (uint64_t)in, FIONREAD, A(user), 0, 0, 0), 0);
    assert_int_equal(*(int *)user, 0);
    assert_int_equal(proceed(SYS_getpid, 1, 2, 3, 4, 5, 6), getpid());
    assert_int_equal(proceed(SYS_fcntl, (uint64_t)in, F_GETFD, 0, 0, 0, 0), FD_CLOEXEC);
    close(in);
    close(out);
}

static void test_sockets_work(void **state)
{
    (void)state;
    host_is_real = true;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    struct msghdr *msg = (struct msghdr *)user;
    struct iovec *vec = (struct iovec *)(user + 128);
    /* A descriptor travels in the control data. */
    struct cmsghdr *control = (struct cmsghdr *)(user + 256);
    *control = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(control), &pair[0], sizeof(int));
    *vec = (struct iovec){"datagram", 8};
    *msg = (struct msghdr){
        .msg_iov = vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    assert_int_equal(proceed(SYS_sendmsg, (uint64_t)pair[0], A(msg), 0, 0, 0, 0), 8);
    memset(control, 0, 64);
    *vec = (struct iovec){user + 512, 4};
    msg->msg_name = user + 1024;
    msg->msg_namelen = 128;
    msg->msg_controllen = 64;
    assert_int_equal(proceed(SYS_recvmsg, (uint64_t)pair[1], A(msg), 0, 0, 0, 0), 4);
    assert_memory_equal(user + 512, "data", 4);
    assert_int_equal(msg->msg_flags, MSG_TRUNC);
    assert_int_equal(msg->msg_namelen, 0);
    assert_int_equal(msg->msg_controllen, CMSG_SPACE(sizeof(int)));
    assert_ptr_equal(msg->msg_iov, vec); /* the sandbox's pointers are its own again */
    int received;
    memcpy(&received, CMSG_DATA(control), sizeof(int));
    assert_true(received > 2 && fcntl(received, F_GETFD) >= 0);
    close(received);

    socklen_t *length = (socklen_t *)user;
    *length = 200;
    assert_int_equal(proceed(SYS_getsockname, (uint64_t)pair[0], A(user) + 64, A(length), 0, 0, 0), 0);
    assert_int_equal(*length, 2);
    *length = 4;
    assert_int_equal(proceed(SYS_getsockopt, (uint64_t)pair[0], SOL_SOCKET, SO_TYPE, A(user) + 64, A(length), 0), 0);
    assert_int_equal(*(int *)(user + 64), SOCK_DGRAM);
    *(int *)(user + 64) = 1;
    assert_int_equal(proceed(SYS_setsockopt, (uint64_t)pair[0], SOL_SOCKET, SO_PASSCRED, A(user) + 64, 4, 0), 0);

    struct mmsghdr *msgs = (struct mmsghdr *)user;
    memset(msgs, 0, 256);
    vec = (struct iovec *)(user + 256);
    for (unsigned i = 0; i < 3; i++) {
        vec[i] = (struct iovec){"abcdefgh", i + 1};
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &vec[i], .msg_iovlen = 1};
    }
    assert_int_equal(proceed(SYS_sendmmsg, (uint64_t)pair[0], A(msgs), 3, 0, 0, 0), 3);
    assert_int_equal(msgs[2].msg_len, 3);
    for (unsigned i = 0; i < 3; i++) {
        msgs[i].msg_len = 0;
        vec[i] = (struct iovec){user + 512 + i * 16, 16};
    }
    assert_int_equal(proceed(SYS_recvmmsg, (uint64_t)pair[1], A(msgs), 3, MSG_DONTWAIT, 0, 0), 3);
    assert_int_equal(msgs[0].msg_len, 1);
    assert_int_equal(msgs[2].msg_len, 3);
    assert_memory_equal(user + 512 + 32, "abc", 3);
    close(pair[0]);
    close(pair[1]);
}

/* ---- Signals. */

static void test_stop(void **state)
{
    (void)state;
    host_is_real = true;
    proceed_interrupt.stop = 1;
    assert_int_equal(proceed(SYS_getpid, 0, 0, 0, 0, 0, 0), -EINTR);
    assert_true(proceed_interrupt.skipped);
    proceed_interrupt.stop = 0;
    assert_int_equal(proceed(SYS_getpid, 0, 0, 0, 0, 0, 0), getpid());
    assert_false(proceed_interrupt.skipped);
}

static volatile int steps, caught;

/* After every instruction: once the next one is the SYSCALL, the signal "arrives". */
static void on_step(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *next = (const unsigned char *)regs[REG_RIP];
    steps++;
    if (regs[REG_RIP] >= (greg_t)proceed_syscall_start && regs[REG_RIP] < (greg_t)proceed_syscall_end &&
        next[0] == 0x0f && next[1] == 0x05) {
        caught++;
        proceed_interrupt.stop = 1;
        regs[REG_RIP] = (greg_t)proceed_syscall_skip;
        regs[REG_EFL] &= ~0x100;
    }
}

static void test_no_lost_wakeup(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    host_is_real = true;
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, old;
    assert_int_equal(sigaction(SIGTRAP, &action, &old), 0);
    const uint64_t call[7] = {SYS_read, (uint64_t)fds[0], A(user), 16};
    alarm(20); /* if it blocks, the test dies instead of hanging */
    proceed_interrupt.skipped = 0;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    long result = __real_host_call(call);
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
    alarm(0);
    sigaction(SIGTRAP, &old, NULL);
    proceed_interrupt.stop = 0;
    assert_int_equal(caught, 1);
    assert_int_equal(result, -EINTR);
    assert_true(proceed_interrupt.skipped);
    close(fds[0]);
    close(fds[1]);
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void test_interrupted(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    host_is_real = true;
    struct sigaction action = {.sa_handler = on_alarm}, old;
    sigaction(SIGALRM, &action, &old);
    ualarm(20000, 20000);
    assert_int_equal(proceed(SYS_read, (uint64_t)fds[0], A(user), 16, 0, 0, 0), -EINTR);
    assert_false(proceed_interrupt.skipped);
    ualarm(0, 0);
    sigaction(SIGALRM, &old, NULL);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Other spaces. */

static void test_other_space(void **state)
{
    (void)state;
    self = false;
    host_is_real = true;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    uint64_t in = (uint64_t)fds[0], out = (uint64_t)fds[1];
    strcpy(other + 64, "hello, world");
    assert_int_equal(proceed(SYS_write, out, OTHER_BASE + 64, 12, 0, 0, 0), 12);
    assert_int_equal(proceed(SYS_read, in, OTHER_BASE + 128, 100, 0, 0, 0), 12);
    assert_memory_equal(other + 128, "hello, world\0", 13);
    /* Only what was read is written. */
    memset(other + 128, 'z', 100);
    assert_int_equal(proceed(SYS_write, out, OTHER_BASE + 64, 5, 0, 0, 0), 5);
    assert_int_equal(proceed(SYS_read, in, OTHER_BASE + 128, 100, 0, 0, 0), 5);
    assert_memory_equal(other + 128, "hellozz", 7);
    struct iovec *vec = (struct iovec *)(other + 256);
    vec[0] = (struct iovec){(void *)(OTHER_BASE + 64), 5};
    vec[1] = (struct iovec){(void *)(OTHER_BASE + 69), 7};
    assert_int_equal(proceed(SYS_writev, out, OTHER_BASE + 256, 2, 0, 0, 0), 12);
    vec[0] = (struct iovec){(void *)(OTHER_BASE + 512), 3};
    vec[1] = (struct iovec){(void *)(OTHER_BASE + 600), 100};
    memset(other + 600, 0, 100);
    assert_int_equal(proceed(SYS_readv, in, OTHER_BASE + 256, 2, 0, 0, 0), 12);
    assert_memory_equal(other + 512, "hel", 3);
    assert_memory_equal(other + 600, "lo, world\0", 10);
    strcpy(other, "/dev/zero");
    assert_int_equal(proceed(SYS_stat, OTHER_BASE, OTHER_BASE + 1024, 0, 0, 0, 0), 0);
    assert_true(S_ISCHR(((struct stat *)(other + 1024))->st_mode));
    long zero = proceed(SYS_openat, (uint64_t)AT_FDCWD, OTHER_BASE, O_RDWR, 0, 0, 0);
    assert_true(zero > 2);
    /* More than is carried at once: fewer bytes are the answer. */
    memset(other + 4096, 'z', 2ul << 20);
    assert_int_equal(proceed(SYS_read, (uint64_t)zero, OTHER_BASE + 4096, 2ul << 20, 0, 0, 0), 1ul << 20);
    assert_int_equal(other[4096 + (1 << 20) - 1], 0);
    assert_int_equal(other[4096 + (1 << 20)], 'z');
    assert_int_equal(proceed(SYS_write, (uint64_t)zero, OTHER_BASE + 4096, 2ul << 20, 0, 0, 0), 1ul << 20);
    vec[0] = (struct iovec){(void *)(OTHER_BASE + 4096), 1 << 20};
    vec[1] = (struct iovec){(void *)(OTHER_BASE + 4096), 1 << 20};
    assert_int_equal(proceed(SYS_writev, (uint64_t)zero, OTHER_BASE + 256, 2, 0, 0, 0), 1ul << 20);
    /* Never more than once for all of memory. */
    assert_int_equal(proceed(SYS_read, (uint64_t)zero, OTHER_BASE + 4096, INT64_MAX, 0, 0, 0), 1ul << 20);
    close((int)zero);
    /* Where the space ends. */
    assert_int_equal(proceed(SYS_read, in, OTHER_BASE - 1, 4, 0, 0, 0), -EFAULT);
    assert_int_equal(proceed(SYS_write, out, A(user), 4, 0, 0, 0), -EFAULT); /* an address of this process */
    assert_int_equal(proceed(SYS_write, out, OTHER_BASE + OTHER_SIZE - 4, 10, 0, 0, 0), 4);
    assert_int_equal(proceed(SYS_fstat, out, OTHER_BASE + OTHER_SIZE - 4, 0, 0, 0, 0), -EFAULT);
    memset(other + OTHER_SIZE - 4, 'x', 4);
    assert_int_equal(proceed(SYS_chdir, OTHER_BASE + OTHER_SIZE - 4, 0, 0, 0, 0, 0), -EFAULT);
    /* What means the memory itself. */
    assert_int_equal(proceed(SYS_futex, OTHER_BASE, FUTEX_WAKE, 1, 0, 0, 0), -ENOSYS);
    assert_int_equal(proceed(SYS_vmsplice, out, OTHER_BASE + 256, 1, 0, 0, 0), -ENOSYS);
    assert_int_equal(proceed(SYS_sendto, out, OTHER_BASE + 256, 1, MSG_ZEROCOPY, 0, 0), -ENOSYS);
    assert_int_equal(proceed(SYS_mmap, 0, 4096, 0, 0, 0, 0), -ENOSYS);
    strcpy(other, "/proc/self/mem");
    assert_int_equal(proceed(SYS_open, OTHER_BASE, O_RDWR, 0, 0, 0, 0), -EACCES);
    long size = proceed(SYS_getcwd, OTHER_BASE, 4096, 0, 0, 0, 0);
    assert_int_equal(size, (long)strlen(other) + 1);
    close(fds[0]);
    close(fds[1]);
    self = true;
}

static void test_other_space_sockets(void **state)
{
    (void)state;
    self = false;
    host_is_real = true;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    struct msghdr *msg = (struct msghdr *)other;
    struct iovec *vec = (struct iovec *)(other + 128);
    strcpy(other + 256, "datagram");
    *vec = (struct iovec){(void *)(OTHER_BASE + 256), 8};
    *msg = (struct msghdr){.msg_iov = (struct iovec *)(OTHER_BASE + 128), .msg_iovlen = 1};
    assert_int_equal(proceed(SYS_sendmsg, (uint64_t)pair[0], OTHER_BASE, 0, 0, 0, 0), 8);
    *vec = (struct iovec){(void *)(OTHER_BASE + 512), 4};
    msg->msg_control = (void *)(OTHER_BASE + 1024);
    msg->msg_controllen = 64;
    assert_int_equal(proceed(SYS_recvmsg, (uint64_t)pair[1], OTHER_BASE, 0, 0, 0, 0), 4);
    assert_memory_equal(other + 512, "data\0", 5);
    assert_int_equal(msg->msg_flags, MSG_TRUNC);
    assert_int_equal(msg->msg_controllen, 0);
    assert_ptr_equal(msg->msg_iov, OTHER_BASE + 128);
    /* A datagram is whole or it is not. */
    assert_int_equal(proceed(SYS_write, (uint64_t)pair[0], OTHER_BASE, 2ul << 20, 0, 0, 0), -EMSGSIZE);
    *vec = (struct iovec){(void *)OTHER_BASE, 2ul << 20};
    assert_int_equal(proceed(SYS_writev, (uint64_t)pair[0], OTHER_BASE + 128, 1, 0, 0, 0), -EMSGSIZE);
    socklen_t *length = (socklen_t *)other;
    *length = 100;
    assert_int_equal(proceed(SYS_getsockname, (uint64_t)pair[0], OTHER_BASE + 64, OTHER_BASE, 0, 0, 0), 0);
    assert_int_equal(*length, 2);
    assert_int_equal(*(short *)(other + 64), AF_UNIX);
    close(pair[0]);
    close(pair[1]);
    self = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_face, setup, teardown),
        cmocka_unit_test_setup_teardown(test_table_is_the_kernels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_iovec, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_string, setup, teardown),
        cmocka_unit_test_setup_teardown(test_races, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_with_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_work, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sockets_work, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_lost_wakeup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_space_sockets, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
