/* SPDX-License-Identifier: MIT */
/*
 * The printing of system calls. Memory is read from this process through a callback that knows where it ends; the text
 * goes into a pipe and is compared with what strace(1) prints for the same call.
 */
#include "unit.h"

#include "linux/linux.h"
#include "linux/strace.h"

#include <arpa/inet.h>
#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define A(x) ((uint64_t)(uintptr_t)(x))
#define ARGS(...)                                                                                                      \
    (const uint64_t[6])                                                                                                \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static struct strace s;
static int out[2];
static char text[1 << 18];

/* As polder_read: short where memory ends, never a fault. */
static ssize_t read_self(void *opaque, void *buf, size_t count, uint64_t address)
{
    (void)opaque;
    struct iovec to = {buf, count}, from = {(void *)address, count};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pipe2(out, O_NONBLOCK), 0);
    fcntl(out[1], F_SETPIPE_SZ, 1 << 20);
    memset(&s, 0, sizeof(s));
    s.fd = out[1];
    s.read = read_self;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(out[0]);
    close(out[1]);
    return 0;
}

static const char *printed(void)
{
    strace_flush(&s);
    ssize_t size = read(out[0], text, sizeof(text) - 1);
    text[size > 0 ? size : 0] = 0;
    return text;
}

static void expect_call(long number, const uint64_t args[6], long result, const char *expected)
{
    strace_enter(&s, (uint64_t)number, args);
    strace_leave(&s, result, NULL);
    assert_string_equal(printed(), expected);
}

/* With addresses in it: built by the caller. */
static const char *format(const char *pattern, ...)
{
    static char built[4096];
    va_list list;
    va_start(list, pattern);
    vsnprintf(built, sizeof(built), pattern, list);
    va_end(list);
    return built;
}

static void test_files(void **state)
{
    (void)state;
    expect_call(SYS_access, ARGS(A("/etc/ld.so.preload"), R_OK), -ENOENT,
        "access(\"/etc/ld.so.preload\", R_OK)      = -1 ENOENT (No such file or directory)\n");
    expect_call(SYS_openat, ARGS((uint64_t)AT_FDCWD, A("/etc/ld.so.cache"), O_RDONLY | O_CLOEXEC, 0x1234), 3,
        "openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3\n");
    expect_call(SYS_openat, ARGS(5, A("f"), O_RDWR | O_CREAT | O_TRUNC, 0644), -EACCES,
        "openat(5, \"f\", O_RDWR|O_CREAT|O_TRUNC, 0644) = -1 EACCES (Permission denied)\n");
    expect_call(SYS_open, ARGS(A("d"), O_WRONLY | O_TMPFILE | 0x80000000, 0600), 4,
        "open(\"d\", O_WRONLY|O_TMPFILE|0x80000000, 0600) = 4\n");
    struct stat st = {.st_mode = S_IFREG | 0644, .st_size = 18891};
    expect_call(SYS_newfstatat, ARGS(3, A(""), A(&st), AT_EMPTY_PATH), 0,
        "newfstatat(3, \"\", {st_mode=S_IFREG|0644, st_size=18891, ...}, AT_EMPTY_PATH) = 0\n");
    st = (struct stat){.st_mode = S_IFCHR | 0620, .st_rdev = makedev(0x88, 1)};
    expect_call(
        SYS_fstat, ARGS(1, A(&st)), 0, "fstat(1, {st_mode=S_IFCHR|0620, st_rdev=makedev(0x88, 0x1), ...}) = 0\n");
    st = (struct stat){.st_mode = S_IFDIR | 01777, .st_size = 4096};
    expect_call(SYS_lstat, ARGS(A("/tmp"), A(&st)), 0,
        "lstat(\"/tmp\", {st_mode=S_IFDIR|S_ISVTX|0777, st_size=4096, ...}) = 0\n");
    expect_call(SYS_lstat, ARGS(A("/tmp"), A(&st)), -ENOENT,
        format("lstat(\"/tmp\", %#lx)%*s= -1 ENOENT (No such file or directory)\n", A(&st),
            25 - snprintf(NULL, 0, "%#lx", A(&st)), ""));
    struct statx stx = {.stx_mask = STATX_BASIC_STATS | 0x1000, .stx_mode = S_IFDIR | 0755, .stx_size = 4096};
    expect_call(SYS_statx, ARGS((uint64_t)AT_FDCWD, A("/"), AT_SYMLINK_NOFOLLOW, STATX_MODE | STATX_INO, A(&stx)), 0,
        "statx(AT_FDCWD, \"/\", AT_STATX_SYNC_AS_STAT|AT_SYMLINK_NOFOLLOW, STATX_MODE|STATX_INO, "
        "{stx_mask=STATX_BASIC_STATS|STATX_MNT_ID, stx_attributes=0, stx_mode=S_IFDIR|0755, stx_size=4096, ...}) = "
        "0\n");
    expect_call(SYS_chmod, ARGS(A("x"), 04755), 0, "chmod(\"x\", 04755)                       = 0\n");
    expect_call(SYS_umask, ARGS(027), 022, "umask(027)                              = 022\n");
    expect_call(SYS_mknodat, ARGS((uint64_t)AT_FDCWD, A("p"), S_IFIFO | 0600, 0), 0,
        "mknodat(AT_FDCWD, \"p\", S_IFIFO|0600)    = 0\n");
    expect_call(SYS_lseek, ARGS(3, (uint64_t)-10, SEEK_END), 90, "lseek(3, -10, SEEK_END)                 = 90\n");
    expect_call(
        SYS_lseek, ARGS(3, 0, 99), -EINVAL, "lseek(3, 0, 0x63 /* SEEK_??? */)        = -1 EINVAL (Invalid argument)\n");
    expect_call(SYS_fcntl, ARGS(3, F_GETFL), 0x8002,
        "fcntl(3, F_GETFL)                       = 0x8002 (flags O_RDWR|O_LARGEFILE)\n");
    expect_call(SYS_fcntl, ARGS(3, F_SETFD, FD_CLOEXEC), 0, "fcntl(3, F_SETFD, FD_CLOEXEC)           = 0\n");
    expect_call(SYS_fcntl, ARGS(3, F_GETFD), 1, "fcntl(3, F_GETFD)                       = 0x1 (flags FD_CLOEXEC)\n");
    struct flock lock = {.l_type = F_WRLCK};
    expect_call(SYS_fcntl, ARGS(13, F_SETLK, A(&lock)), 0,
        "fcntl(13, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=0}) = 0\n");
    int64_t offset = 3;
    strace_enter(&s, SYS_sendfile, ARGS(6, 13, A(&offset), 10));
    offset = 13;
    strace_leave(&s, 10, NULL);
    assert_string_equal(printed(), "sendfile(6, 13, [3] => [13], 10)        = 10\n");
    expect_call(
        SYS_unlinkat, ARGS((uint64_t)AT_FDCWD, A("l"), 0), 0, "unlinkat(AT_FDCWD, \"l\", 0)              = 0\n");
    expect_call(SYS_faccessat2, ARGS((uint64_t)AT_FDCWD, A("/x"), F_OK, AT_EACCESS), 0,
        "faccessat2(AT_FDCWD, \"/x\", F_OK, AT_EACCESS) = 0\n");
    expect_call(SYS_chown, ARGS(A("f"), (uint64_t)-1, 0), 0, "chown(\"f\", -1, 0)                       = 0\n");
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    expect_call(SYS_utimensat, ARGS((uint64_t)AT_FDCWD, A("f"), A(times), 0), 0,
        "utimensat(AT_FDCWD, \"f\", [UTIME_NOW, UTIME_OMIT], 0) = 0\n");
}

static void test_strings(void **state)
{
    (void)state;
    expect_call(SYS_write, ARGS(1, A("hello\n"), 6), 6, "write(1, \"hello\\n\", 6)                  = 6\n");
    expect_call(SYS_write, ARGS(1, A("a\"b\\c\t\r\v\f\0\1\0011\177\377"), 15), 15,
        "write(1, \"a\\\"b\\\\c\\t\\r\\v\\f\\0\\1\\0011\\177\\377\", 15) = 15\n");
    expect_call(SYS_read, ARGS(3, A("\177ELF\2\1\1\3\0\0\0\0\0\0\0\0\3\0>\0\1\0\0\0\20t\2\0\0\0\0\0xxxxx"), 832), 832,
        "read(3, \"\\177ELF\\2\\1\\1\\3\\0\\0\\0\\0\\0\\0\\0\\0\\3\\0>\\0\\1\\0\\0\\0\\20t\\2\\0\\0\\0\\0\\0\"..., "
        "832) = 832\n");
    expect_call(SYS_read, ARGS(3, A("abcdef"), 100), 3, "read(3, \"abc\", 100)                     = 3\n");
    expect_call(SYS_read, ARGS(3, A("abcdef"), 100), 0, "read(3, \"\", 100)                        = 0\n");
    expect_call(
        SYS_read, ARGS(3, 0x1000, 100), -EFAULT, "read(3, 0x1000, 100)                    = -1 EFAULT (Bad address)\n");
    expect_call(SYS_write, ARGS(3, 0, 0), 0, "write(3, NULL, 0)                       = 0\n");
    expect_call(SYS_getrandom, ARGS(A("\x00\xff\x41"), 3, GRND_NONBLOCK), 3,
        "getrandom(\"\\x00\\xff\\x41\", 3, GRND_NONBLOCK) = 3\n");
    /* A path is shown whole, another string up to 32 bytes. */
    char path[100];
    memset(path, 'p', 99);
    path[99] = 0;
    expect_call(SYS_chdir, ARGS(A(path)), 0, format("chdir(\"%s\") = 0\n", path));
    expect_call(
        SYS_memfd_create, ARGS(A(path), 0), 3, "memfd_create(\"pppppppppppppppppppppppppppppppp\"..., 0) = 3\n");
    expect_call(SYS_memfd_create, ARGS(A(path + 67), 1), 3,
        "memfd_create(\"pppppppppppppppppppppppppppppppp\", MFD_CLOEXEC) = 3\n");
    struct iovec vec[2] = {{"hello", 5}, {path, 53}};
    expect_call(SYS_writev, ARGS(6, A(vec), 2), 58,
        "writev(6, [{iov_base=\"hello\", iov_len=5}, {iov_base=\"pppppppppppppppppppppppppppppppp\"..., iov_len=53}], "
        "2) = "
        "58\n");
    expect_call(SYS_readv, ARGS(6, A(vec), 2), 7,
        "readv(6, [{iov_base=\"hello\", iov_len=5}, {iov_base=\"pp\", iov_len=53}], 2) = 7\n");
}

static void test_memory(void **state)
{
    (void)state;
    expect_call(SYS_brk, ARGS(0), 0x555555559000, "brk(NULL)                               = 0x555555559000\n");
    expect_call(SYS_mmap, ARGS(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0),
        0x7f0000000000, "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000\n");
    expect_call(SYS_mmap,
        ARGS(0x7f0000000000, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE, 3, 0x26000),
        0x7f0000000000,
        "mmap(0x7f0000000000, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE, 3, 0x26000) = "
        "0x7f0000000000\n");
    expect_call(SYS_mmap, ARGS(0, 0, PROT_NONE, MAP_SHARED, 3, 0), -EINVAL,
        "mmap(NULL, 0, PROT_NONE, MAP_SHARED, 3, 0) = -1 EINVAL (Invalid argument)\n");
    expect_call(SYS_mprotect, ARGS(0x1000, 16384, PROT_READ), 0, "mprotect(0x1000, 16384, PROT_READ)      = 0\n");
    expect_call(SYS_munmap, ARGS(0x1000, 18891), 0, "munmap(0x1000, 18891)                   = 0\n");
    expect_call(SYS_mremap, ARGS(0x1000, 4096, 8192, MREMAP_MAYMOVE, 0x99), 0x2000,
        "mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE) = 0x2000\n");
    expect_call(SYS_madvise, ARGS(0x1000, 4096, MADV_DONTNEED), 0, "madvise(0x1000, 4096, MADV_DONTNEED)    = 0\n");
    expect_call(SYS_madvise, ARGS(0x1000, 4096, 77), 0, "madvise(0x1000, 4096, 0x4d /* MADV_??? */) = 0\n");
    expect_call(SYS_arch_prctl, ARGS(ARCH_SET_FS, 0x7f01), 0, "arch_prctl(ARCH_SET_FS, 0x7f01)         = 0\n");
}

static void test_processes(void **state)
{
    (void)state;
    char *argv[] = {"nope", "a\nb", NULL}, *envp[] = {"A=1", NULL};
    expect_call(SYS_execve, ARGS(A("/nonexistent"), A(argv), A(envp)), -ENOENT,
        format(
            "execve(\"/nonexistent\", [\"nope\", \"a\\nb\"], %p /* 1 var */) = -1 ENOENT (No such file or directory)\n",
            (void *)envp));
    strace_execve(&s, "/bin/true", (char *[]){"true", NULL}, 0x7ffe12345678, 20);
    assert_string_equal(printed(), "execve(\"/bin/true\", [\"true\"], 0x7ffe12345678 /* 20 vars */) = 0\n");
    expect_call(SYS_clone, ARGS(CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, 0, 0, 0x1650, 0), 99,
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x1650) = 99\n");
    strace_enter(&s, SYS_fork, ARGS(0));
    strace_leave(&s, -ENOSYS, "not yet");
    assert_string_equal(
        printed(), "fork()                                  = -1 ENOSYS (Function not implemented) (not yet)\n");
    int status = 3 << 8;
    expect_call(SYS_wait4, ARGS((uint64_t)-1, A(&status), WNOHANG, 0), 7,
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 7\n");
    status = SIGSEGV | 0x80;
    expect_call(SYS_wait4, ARGS((uint64_t)-1, A(&status), 0, 0), 7,
        "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}], 0, NULL) = 7\n");
    struct rlimit limit = {8192 * 1024, RLIM_INFINITY};
    expect_call(SYS_prlimit64, ARGS(0, RLIMIT_STACK, 0, A(&limit)), 0,
        "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}) = 0\n");
    expect_call(SYS_getpid, ARGS(1, 2, 3), 1234, "getpid()                                = 1234\n");
    expect_call(999, ARGS(1, 2, 3), -ENOSYS,
        "syscall_0x3e7(0x1, 0x2, 0x3, 0, 0, 0)   = -1 ENOSYS (Function not implemented)\n");
    /* One call that never came back, and the next. */
    strace_enter(&s, SYS_pause, ARGS(0));
    expect_call(SYS_getpid, ARGS(0), 1,
        "pause()                                 = ?\ngetpid()                                = 1\n");
    strace_enter(&s, SYS_exit_group, ARGS(3));
    strace_exited(&s, 3);
    assert_string_equal(printed(), "exit_group(3)                           = ?\n+++ exited with 3 +++\n");
    strace_enter(&s, SYS_read, ARGS(0, 0x1000, 5));
    strace_killed(&s, SIGKILL, false);
    assert_string_equal(printed(), "read(0, 0x1000, 5)                      = ?\n+++ killed by SIGKILL +++\n");
    strace_killed(&s, SIGSEGV, true);
    assert_string_equal(printed(), "+++ killed by SIGSEGV (core dumped) +++\n");
}

struct kernel_sigaction {
    uint64_t handler, flags, restorer, mask;
};

static void test_signals(void **state)
{
    (void)state;
    struct kernel_sigaction new = {0x401635, 0x04000000 | SA_RESTART, 0x409db0, 1ul << (SIGCHLD - 1)}, old = {0};
    expect_call(SYS_rt_sigaction, ARGS(SIGUSR1, A(&new), A(&old), 8), 0,
        "rt_sigaction(SIGUSR1, {sa_handler=0x401635, sa_mask=[CHLD], sa_flags=SA_RESTORER|SA_RESTART, "
        "sa_restorer=0x409db0}, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, 8) = 0\n");
    uint64_t set = ~((1ul << 31) | (1ul << 32)), few = (1ul << (SIGUSR1 - 1)) | (1ul << 39);
    expect_call(SYS_rt_sigprocmask, ARGS(SIG_SETMASK, A(&few), A(&set), 8), 0,
        "rt_sigprocmask(SIG_SETMASK, [USR1 RT_8], ~[RTMIN RT_1], 8) = 0\n");
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SEGV_MAPERR, .si_addr = (void *)16};
    strace_signal(&s, &info);
    assert_string_equal(printed(), "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---\n");
    info = (siginfo_t){.si_signo = SIGUSR1, .si_code = SI_USER};
    info.si_pid = 12;
    strace_signal(&s, &info);
    assert_string_equal(printed(), "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=12, si_uid=0} ---\n");
    info = (siginfo_t){.si_signo = SIGALRM, .si_code = SI_KERNEL};
    strace_signal(&s, &info);
    assert_string_equal(printed(), "--- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n");
    info = (siginfo_t){.si_signo = SIGTRAP, .si_code = SI_KERNEL};
    strace_signal(&s, &info);
    assert_string_equal(printed(), "--- SIGTRAP {si_signo=SIGTRAP, si_code=SI_KERNEL, si_addr=NULL} ---\n");
    expect_call(SYS_kill, ARGS(12, SIGTERM), 0, "kill(12, SIGTERM)                       = 0\n");
    uint64_t frame[64] = {0};
    frame[296 / 8] = 1ul << (SIGINT - 1);
    s.stack = A(frame);
    expect_call(SYS_rt_sigreturn, ARGS(0), 5, "rt_sigreturn({mask=[INT]})              = 5\n");
    expect_call(SYS_pause, ARGS(0), -LINUX_ERESTARTSYS,
        "pause()                                 = ? ERESTARTNOHAND (To be restarted if no handler)\n");
    expect_call(SYS_poll, ARGS(0, 0, 5), -LINUX_ERESTARTSYS,
        "poll(NULL, 0, 5)                        = ? ERESTART_RESTARTBLOCK (Interrupted by signal)\n");
    /* What was asked for, whether or not it was done. */
    strace_enter(&s, SYS_read, ARGS(0, 0x1000, 5));
    strace_leave(&s, -LINUX_ERESTARTSYS, NULL);
    assert_string_equal(
        printed(), "read(0, 0x1000, 5)                      = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n");
}

static void test_descriptors(void **state)
{
    (void)state;
    int pair[2] = {3, 4};
    expect_call(SYS_pipe2, ARGS(A(pair), O_CLOEXEC), 0, "pipe2([3, 4], O_CLOEXEC)                = 0\n");
    struct pollfd fds[2] = {{.fd = 5, .events = POLLIN}, {.fd = 6, .events = POLLOUT | POLLERR}};
    expect_call(SYS_poll, ARGS(A(fds), 2, 10), 0,
        "poll([{fd=5, events=POLLIN}, {fd=6, events=POLLOUT|POLLERR}], 2, 10) = 0 (Timeout)\n");
    fds[1].revents = POLLOUT;
    expect_call(SYS_poll, ARGS(A(fds), 2, (uint64_t)-1), 1,
        "poll([{fd=5, events=POLLIN}, {fd=6, events=POLLOUT|POLLERR}], 2, -1) = 1 ([{fd=6, revents=POLLOUT}])\n");
    fd_set set;
    FD_ZERO(&set);
    FD_SET(3, &set);
    struct timeval tv = {1, 5};
    strace_enter(&s, SYS_select, ARGS(4, A(&set), 0, 0, A(&tv)));
    tv.tv_usec = 2;
    strace_leave(&s, 1, NULL);
    assert_string_equal(
        printed(), "select(4, [3], NULL, NULL, {tv_sec=1, tv_usec=5}) = 1 (in [3], left {tv_sec=1, tv_usec=2})\n");
    struct epoll_event event = {EPOLLIN | EPOLLET, {.u64 = 7}};
    expect_call(SYS_epoll_ctl, ARGS(14, EPOLL_CTL_ADD, 5, A(&event)), 0,
        "epoll_ctl(14, EPOLL_CTL_ADD, 5, {events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}) = 0\n");
    expect_call(SYS_epoll_wait, ARGS(14, A(&event), 1, 10), 1,
        "epoll_wait(14, [{events=EPOLLIN|EPOLLET, data={u32=7, u64=7}}], 1, 10) = 1\n");
    struct winsize size = {24, 80, 0, 0};
    expect_call(SYS_ioctl, ARGS(1, TIOCGWINSZ, A(&size)), 0,
        "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0\n");
    int count = 7;
    expect_call(SYS_ioctl, ARGS(1, FIONREAD, A(&count)), 0, "ioctl(1, FIONREAD, [7])                 = 0\n");
    expect_call(SYS_ioctl, ARGS(1, 0x12345678, 0x99), -ENOTTY,
        "ioctl(1, _IOC(_IOC_NONE, 0x56, 0x78, 0x1234), 0x99) = -1 ENOTTY (Inappropriate ioctl for device)\n");
    expect_call(SYS_futex, ARGS(0x7f10, FUTEX_WAKE_PRIVATE, 1), 0, "futex(0x7f10, FUTEX_WAKE_PRIVATE, 1)    = 0\n");
    struct timespec ts = {0, 1000};
    expect_call(SYS_futex,
        ARGS(0x7f10, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, A(&ts), 0, FUTEX_BITSET_MATCH_ANY),
        -ETIMEDOUT,
        "futex(0x7f10, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 1, {tv_sec=0, tv_nsec=1000}, "
        "FUTEX_BITSET_MATCH_ANY) = -1 ETIMEDOUT (Connection timed out)\n");
    expect_call(SYS_clock_nanosleep, ARGS(CLOCK_REALTIME, 0, A(&ts), 0), 0,
        "clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=1000}, NULL) = 0\n");
}

static void test_sockets(void **state)
{
    (void)state;
    expect_call(SYS_socket, ARGS(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), 9,
        "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_TCP) = 9\n");
    struct sockaddr_un un = {AF_UNIX, "/run/socket"};
    expect_call(SYS_connect, ARGS(12, A(&un), 110), -ENOENT,
        "connect(12, {sa_family=AF_UNIX, sun_path=\"/run/socket\"}, 110) = -1 ENOENT (No such file or directory)\n");
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t length = 110;
    strace_enter(&s, SYS_getsockname, ARGS(9, A(&in), A(&length)));
    length = 16;
    strace_leave(&s, 0, NULL);
    assert_string_equal(printed(), "getsockname(9, {sa_family=AF_INET, sin_port=htons(53), "
                                   "sin_addr=inet_addr(\"127.0.0.1\")}, [110 => 16]) = 0\n");
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(53), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    expect_call(SYS_sendto, ARGS(11, A("x"), 1, MSG_NOSIGNAL, A(&in6), 28), 1,
        "sendto(11, \"x\", 1, MSG_NOSIGNAL, {sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), "
        "inet_pton(AF_INET6, \"::1\", &sin6_addr), sin6_scope_id=0}, 28) = 1\n");
    int one = 1;
    expect_call(SYS_setsockopt, ARGS(9, SOL_SOCKET, SO_REUSEADDR, A(&one), 4), 0,
        "setsockopt(9, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0\n");
    struct iovec vec = {"hello", 5};
    struct msghdr msg = {.msg_iov = &vec, .msg_iovlen = 1};
    expect_call(SYS_sendmsg, ARGS(7, A(&msg), MSG_DONTWAIT), 5,
        "sendmsg(7, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"hello\", iov_len=5}], msg_iovlen=1, "
        "msg_controllen=0, msg_flags=0}, MSG_DONTWAIT) = 5\n");
    expect_call(SYS_accept4, ARGS(9, 0, 0, SOCK_CLOEXEC), 10, "accept4(9, NULL, NULL, SOCK_CLOEXEC)    = 10\n");
}

/* ---- Hostile arguments: whatever they are, something is printed and nothing is touched. */

static void test_hostile(void **state)
{
    (void)state;
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    memset(pages, 0xff, 4096);
    const uint64_t evil[] = {0, 1, 8, 4096, A(pages), A(pages) + 4095, A(pages) + 4088, A(pages) + 4096, 0x7fffffffffff,
        0x800000000000, 0xffff800000000000, UINT64_MAX, UINT64_MAX - 7, INT64_MAX, 0x7fffffff, 0xffffffff, 0x80000000,
        1ul << 40};
    const unsigned count = sizeof(evil) / sizeof(evil[0]);
    unsigned seed = 12345, lines = 0;
    for (unsigned number = 0; number < call_limit + 4; number++) {
        for (unsigned round = 0; round < 60; round++) {
            uint64_t args[6];
            for (unsigned i = 0; i < 6; i++) {
                args[i] = round < count ? evil[round] : evil[rand_r(&seed) % count];
            }
            /* Other numbers in memory, too. */
            memset(pages, (int)rand_r(&seed), 4096);
            s.stack = evil[rand_r(&seed) % count];
            long results[] = {0, 1, -EFAULT, -EINTR, -4095, INT64_MAX, 4096, -LINUX_ERESTARTSYS};
            strace_enter(&s, number, args);
            if (round % 2) {
                memset(pages, (int)rand_r(&seed), 4096);
            }
            strace_leave(&s, results[rand_r(&seed) % 8], NULL);
            const char *line = printed();
            assert_non_null(strstr(line, " = "));
            assert_int_equal(line[strlen(line) - 1], '\n');
            assert_true(strlen(line) < 3 * 4 * 4096 + 1000); /* three paths without end, every byte as four */
            lines++;
        }
    }
    assert_true(lines > 20000);
    /* Structures of plausible but evil content: every pointer in them into nowhere or to the end of the page. */
    struct iovec *vec = (struct iovec *)(pages + 64);
    struct msghdr *msg = (struct msghdr *)pages;
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t *words = (uint64_t *)pages;
        for (unsigned i = 0; i < 64; i++) {
            words[i] = evil[rand_r(&seed) % count];
        }
        if (round % 2) {
            msg->msg_iov = vec;
        }
        expect_call(SYS_getpid, ARGS(0), 1, "getpid()                                = 1\n");
        static const long calls[] = {SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_writev, SYS_readv};
        strace_enter(&s, (uint64_t)calls[round % 6], ARGS(3, A(pages), evil[rand_r(&seed) % count], 0, 0, 0));
        strace_leave(&s, (long)(rand_r(&seed) % 5000), NULL);
        strace_enter(&s, SYS_execve, ARGS(A(pages), A(pages), A(pages)));
        strace_leave(&s, -EFAULT, NULL);
        strace_enter(&s, SYS_pselect6, ARGS(1024, A(pages), A(pages), 0, A(pages), A(pages)));
        strace_leave(&s, 1, NULL);
        printed();
    }
    /* An argument list without end. */
    char *name = "x";
    for (unsigned i = 0; i < 512; i++) {
        ((uint64_t *)pages)[i] = A(name);
    }
    strace_enter(&s, SYS_execve, ARGS(A(name), A(pages), A(pages) + 4000));
    strace_leave(&s, -EFAULT, NULL);
    assert_non_null(strstr(printed(), "\"x\", ...], "));
    assert_non_null(strstr(text, "/* 12 vars, unterminated */"));
    const size_t endless = 1 << 20;
    char *many = mmap(NULL, endless, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(many, 1, endless);
    strace_enter(&s, SYS_execve, ARGS(A(name), 0, A(many)));
    strace_leave(&s, -EFAULT, NULL);
    assert_non_null(strstr(printed(), "/* 65536 vars, unterminated */"));
    munmap(many, endless);
    /* An oversized line goes out in pieces. */
    char *long_args[40];
    char big[200];
    memset(big, 1, sizeof(big));
    big[199] = 0;
    for (unsigned i = 0; i < 39; i++) {
        long_args[i] = big;
    }
    long_args[39] = NULL;
    strace_execve(&s, big, long_args, 1, 1);
    assert_non_null(strstr(printed(), "...], 0x1 /* 1 var */) = 0\n"));
    munmap(pages, 4096);
}

/* The reader is gone: the program goes on. */
static void test_no_reader(void **state)
{
    (void)state;
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    close(out[0]);
    out[0] = dup(0);
    for (unsigned i = 0; i < 1000; i++) {
        strace_enter(&s, SYS_getpid, ARGS(0));
        strace_leave(&s, 1, NULL);
    }
    strace_flush(&s);
    assert_int_equal(s.used, 0);
    signal(SIGPIPE, old);
}

/* ---- -e and -c. */

static void test_filter(void **state)
{
    (void)state;
    static struct strace_filter f;
    assert_null(filter_parse(&f, "trace=open,close"));
    assert_true(filter_has(&f, SYS_open) && filter_has(&f, SYS_close) && !filter_has(&f, SYS_read));
    assert_null(filter_parse(&f, "read"));
    assert_true(filter_has(&f, SYS_read) && !filter_has(&f, SYS_pread64));
    assert_null(filter_parse(&f, "trace=!read"));
    assert_true(!filter_has(&f, SYS_read) && filter_has(&f, SYS_write));
    assert_null(filter_parse(&f, "%file"));
    assert_true(filter_has(&f, SYS_openat) && filter_has(&f, SYS_execve) && filter_has(&f, SYS_newfstatat) &&
                filter_has(&f, SYS_getcwd) && !filter_has(&f, SYS_read) && !filter_has(&f, SYS_fstat));
    assert_null(filter_parse(&f, "trace=%desc"));
    assert_true(filter_has(&f, SYS_read) && filter_has(&f, SYS_openat) && filter_has(&f, SYS_mmap) &&
                filter_has(&f, SYS_pipe2) && !filter_has(&f, SYS_getpid));
    assert_null(filter_parse(&f, "%memory,%process"));
    assert_true(filter_has(&f, SYS_mmap) && filter_has(&f, SYS_brk) && filter_has(&f, SYS_exit_group) &&
                !filter_has(&f, SYS_openat));
    assert_null(filter_parse(&f, "%network,%signal"));
    assert_true(filter_has(&f, SYS_socket) && filter_has(&f, SYS_rt_sigaction) && !filter_has(&f, SYS_openat));
    assert_null(filter_parse(&f, "!%memory,%file"));
    assert_true(filter_has(&f, SYS_read) && !filter_has(&f, SYS_openat) && !filter_has(&f, SYS_mmap));
    assert_null(filter_parse(&f, "all"));
    assert_true(filter_has(&f, SYS_read) && filter_has(&f, 9999));
    assert_null(filter_parse(&f, "none"));
    assert_false(filter_has(&f, SYS_read));
    assert_false(filter_has(&f, UINT64_MAX));
    assert_string_equal(filter_parse(&f, "trace=read,wurst"), "wurst");
    assert_string_equal(filter_parse(&f, "%wurst"), "%wurst");
    assert_string_equal(filter_parse(&f, ""), "");
    assert_string_equal(filter_parse(&f, "read,"), "");
    assert_string_equal(filter_parse(&f, "rea"), "rea");
    char big[300];
    memset(big, 'x', 299);
    big[299] = 0;
    assert_int_equal(strlen(filter_parse(&f, big)), 63);
}

static void test_summary(void **state)
{
    (void)state;
    static struct strace_summary summary;
    for (unsigned i = 0; i < 3; i++) {
        summary_add(&summary, SYS_read, 1000000, false);
    }
    summary_add(&summary, SYS_openat, 9000000, true);
    summary_add(&summary, 500, 0, true);
    summary_add(&summary, UINT64_MAX, 1, false);
    summary_print(&summary, &s);
    assert_string_equal(printed(), "% time     seconds  usecs/call     calls    errors syscall\n"
                                   "------ ----------- ----------- --------- --------- ----------------\n"
                                   " 75.00    0.009000        9000         1         1 openat\n"
                                   " 25.00    0.003000        1000         3           read\n"
                                   "  0.00    0.000000           0         1         1 syscall_0x1f4\n"
                                   "------ ----------- ----------- --------- --------- ----------------\n"
                                   "100.00    0.012000        2400         5         2 total\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
