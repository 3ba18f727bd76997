/* SPDX-License-Identifier: MIT */
/*
 * umlike.h - what the parts of umlike know of each other.
 *
 * There is one kernel stack and no kernel thread. A system call that has to wait puts its process on a queue and
 * returns BLOCKED; when the process is woken, the same handler is called again with the same registers, and finds in
 * process->call what it had achieved. So nothing in this kernel sleeps in the middle of a function, nothing is locked,
 * and what a process waits for is data.
 *
 * Functions that can fail return a negative errno of Linux. Whatever comes from ring 3 is a number until copy_in or
 * copy_out (or polder_read and polder_write directly) has looked behind it.
 */
#ifndef UMLIKE_H
#define UMLIKE_H

#include "linux.h"
#include <polder/resident.h>

#define PAGE 4096ull
#define USER_END 0x7ffffffff000ull
#define SLICE_NS 10000000ul
#define BLOCKED INT64_MIN /* from a handler: the process is on a queue */

struct process;
struct file;
struct inode;
typedef struct user_regs_struct registers;

static inline uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & ~(PAGE - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- string.c, printk.c */

bool string_equal(const char *a, const char *b);
bool string_is(const char *string, const char *name, size_t length); /* name is not terminated */
size_t string_copy(char *to, const char *from, size_t size);         /* cut off and terminated; its length */
bool string_number(const char *digits, size_t length, uint64_t *number);
/* %s %c %d %u %x %o, with l for 64 bits; the length, cut off at size - 1. */
size_t format(char *buf, size_t size, const char *text, ...) __attribute__((format(printf, 3, 4)));
void printk(const char *text, ...) __attribute__((format(printf, 1, 2)));

/* ---- kmalloc.c: pages as they come, smaller blocks zeroed. NULL without memory. */

void *page_alloc(void);
void page_free(void *page);
void *kalloc(size_t size); /* up to a page */
void kfree(void *block, size_t size);

/* ---- time.c */

struct timer {
    struct timer *next, *previous;
    uint64_t at; /* 0: not set */
    struct process *process;
    void (*fire)(struct process *);
};

/* Monotonic ns. time_now asks the machine, time_coarse is what was last heard: at most a slice ago, and no exit. */
uint64_t time_now(void);
uint64_t time_coarse(void);
uint64_t time_wall(void); /* coarse, since 1970 */
void time_init(void);
void timer_set(struct timer *timer, uint64_t at);
void timer_cancel(struct timer *timer);
/* Lets every timer fire whose time has come. */
void timers_run(void);
/* When the next will: UINT64_MAX if there is none. */
uint64_t timers_next(void);
int timespec_in(struct process *p, uint64_t at, uint64_t *ns);

/* ---- sched.c */

struct queue {
    struct process *first, *last;
};

/* What a handler that blocks wants of a signal. */
#define WAIT_NO_RESTART 1   /* -EINTR even if the handler has SA_RESTART */
#define WAIT_UNTIL_KILLED 2 /* only SIGKILL ends it */

/* A system call that waits. */
struct call {
    bool pending;
    bool expired;  /* its timeout is over */
    uint8_t flags; /* WAIT_ */
    uint64_t number;
    uint64_t done;  /* bytes moved so far: what it returns if it is interrupted */
    uint64_t saved; /* the handler's own */
};

extern struct queue poll_queue; /* who waits for more than one thing: every event wakes them */

void process_ready(struct process *p);
/* Puts a process where an event will find it. */
int64_t wait_on(struct process *p, struct queue *queue, unsigned flags);
/* The same, no longer than until `at` (monotonic; UINT64_MAX: for ever): then call.expired. */
int64_t wait_until(struct process *p, struct queue *queue, unsigned flags, uint64_t at);
void queue_remove(struct process *p);
void process_wake(struct process *p);
void queue_wake(struct queue *queue);
void call_end(struct process *p);
__attribute__((noreturn)) void schedule(void);

/* ---- process.c */

enum state { RUNNABLE, WAITING, STOPPED, ZOMBIE };

/* What of a siginfo differs from signal to signal. */
struct signal_info {
    int32_t code, pid, status;
    uint64_t address;
};

/* An address space and what the kernel knows of it. Shared while a child of vfork borrows it. */
struct space {
    int references;
    int fd;
    uint64_t brk_start, brk;
    uint64_t arguments, arguments_end; /* argv's strings, for /proc */
    struct inode *exe;
};

#define FILES_MAX 256
struct files {
    struct file *file[FILES_MAX];
    uint64_t cloexec[FILES_MAX / 64];
    uint32_t end; /* none is open from here on */
};

struct process {
    struct polder_params params;
    struct space *space;
    enum state state;
    bool attention; /* a signal waits that is not blocked */
    struct call call;
    struct queue *queue; /* that it is on */
    struct process *next, *previous;

    int pid, group, session;
    struct process *parent, *children, *sibling, *sibling_before;
    struct process *all_next, *all_before;
    struct process *vfork_child; /* that has borrowed our space */
    struct queue child_event;
    int status;                        /* of a zombie, as wait4 gives it */
    bool stop_unseen, continue_unseen; /* by wait4 */
    int stop_signal;

    struct files *files;
    struct inode *cwd;
    uint32_t umask;

    uint64_t signals, blocked, blocked_before; /* bit n - 1 is signal n */
    uint64_t awaited;                          /* by rt_sigtimedwait */
    bool restore_blocked;                      /* blocked_before is to come back (sigsuspend, ppoll) */
    uint8_t interrupted;                       /* a call was: 1 + its WAIT_ flags */
    struct sigaltstack altstack;

    struct timer timeout, alarm;
    uint64_t alarm_interval;
    uint64_t ticks, children_ticks, started;
    char name[16];
    /* A new process is cleared up to here. */
    struct sigaction actions[NSIG];
    struct signal_info infos[32]; /* of those in `signals` */
};

extern struct process *all_processes;
extern struct process *init_process;
extern uint32_t process_count;

struct process *process_new(struct process *parent);
struct process *process_find(int pid);
void process_exit(struct process *p, int status); /* as wait4 gives it */
void process_bury(void);                          /* those whom nobody waits for */
void process_stop(struct process *p, int signal);
void process_continue(struct process *p);
/* The child has a space of its own now, or none any more. */
void vfork_done(struct process *child);

struct space *space_new(void);
struct space *space_copy(struct space *space);
void space_put(struct space *space);

/* The FPU's state of a process, in the form of XSAVE: through fpu_state, of polder_xstate_size() bytes. */
extern void *fpu_state;
void fpu_init(void);
int fpu_save(struct process *p);
int fpu_load(struct process *p);

/* Between the kernel and the space of a process. 0 or -EFAULT, -ENOMEM. */
int copy_in(struct process *p, void *to, uint64_t from, size_t n);
int copy_out(struct process *p, uint64_t to, const void *from, size_t n);
/* A string with its end: its length, -EFAULT, or -ENAMETOOLONG. */
int64_t string_in(struct process *p, char *to, uint64_t from, size_t size);

/* ---- exec.c */

/* Starts a program in p, with arguments from kernel strings: for the first process. */
int exec_first(struct process *p, const char *path, const char *const *argv, const char *const *envp);

/* ---- signal.c */

void signal_send(struct process *p, int signal, struct signal_info info);
int signal_group(int group, int signal, struct signal_info info);
/* For a fault: if the process does not want to hear of it, it dies. */
void signal_force(struct process *p, int signal, struct signal_info info);
/* Delivers what waits; false if the process does not run any more. */
bool signal_deliver(struct process *p);
void signals_changed(struct process *p);
void signals_exec(struct process *p);
bool signal_ignored(const struct process *p, int signal);
static inline uint64_t signal_bit(int signal)
{
    return 1ull << (signal - 1);
}

/* ---- syscall.c */

void syscall_enter(struct process *p);
void syscall_retry(struct process *p);
void syscall_counts(void);

/* ---- ramfs.c: inodes and directories */

struct entry {
    struct inode *dir, *inode;
    struct entry *hash_next;
    struct entry *next, *previous; /* in the directory, by cookie */
    uint64_t cookie;
    uint32_t hash;
    uint16_t length;
    char name[];
};

struct file_ops {
    /* Each transfers at *offset and moves it; BLOCKED is allowed. */
    int64_t (*read)(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset);
    int64_t (*write)(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset);
    unsigned (*poll)(struct process *p, struct file *f);
    int64_t (*ioctl)(struct process *p, struct file *f, unsigned request, uint64_t argument);
    int (*open)(struct process *p, struct file *f);
    void (*release)(struct file *f);
    bool seekable;
    bool map_zero; /* a private mapping of it is anonymous memory */
};

/* A directory whose content is made up as it is asked for: what is not found as an entry. */
struct synthetic {
    int (*find)(struct process *p, struct inode *dir, const char *name, size_t length, struct inode **inode);
    /* The name after *cookie: its length, 0 at the end. */
    size_t (*next)(struct inode *dir, uint64_t *cookie, char *name, uint8_t *type);
};

struct inode {
    uint32_t references, nlink; /* it goes when both are 0; nlink is without a directory's own "." */
    uint32_t mode, uid, gid, device;
    uint64_t number, size;
    uint64_t atime, mtime, ctime; /* ns since 1970 */
    const struct file_ops *ops;   /* NULL: cannot be opened to be read or written */
    struct entry *entry;          /* one that leads here, the only one of a directory; or NULL */
    int pid;                      /* of /proc */
    union {
        struct {
            int fd;     /* polder_memory_create's or polder_file_open's; -1: nothing was ever written */
            bool fixed; /* its size; it is a file of the host's */
            bool readonly;
            uint64_t capacity;
        } data;
        struct {
            struct entry *first, *last;
            uint64_t last_cookie;
            const struct synthetic *synthetic;
        } dir;
        struct {
            char *target;
            struct inode *to; /* of /proc: the inode itself, whatever it is called now */
        } link;
        struct pipe *pipe;
        size_t (*fill)(struct inode *inode, char *page); /* of /proc */
    };
};

extern struct inode *root;
extern const struct file_ops regular_ops;

struct inode *inode_new(uint32_t mode, const struct file_ops *ops);
struct inode *inode_new_link(const char *target, size_t length);
static inline struct inode *inode_hold(struct inode *inode)
{
    inode->references++;
    return inode;
}
void inode_put(struct inode *inode);
static inline bool is_type(const struct inode *inode, uint32_t type)
{
    return (inode->mode & S_IFMT) == type;
}
struct entry *dir_find(struct inode *dir, const char *name, size_t length);
int dir_add(struct inode *dir, const char *name, size_t length, struct inode *inode);
void dir_remove(struct entry *entry);
int data_resize(struct inode *inode, uint64_t size);
int data_prepare(struct inode *inode); /* that there is a descriptor to map */
/* From and to kernel memory. */
int64_t data_read(struct inode *inode, void *to, size_t count, uint64_t offset);
int64_t data_write(struct inode *inode, const void *from, size_t count, uint64_t offset);
void ramfs_init(void);

/* ---- path.c */

#define WALK_FOLLOW 1 /* a link in the last place too */
#define WALK_CREATE 2 /* the last may be missing: then inode is NULL */

/* Where a path leads. Both inodes are held until path_done. */
struct path {
    struct inode *dir, *inode;
    size_t length;
    char name[NAME_MAX + 1]; /* in dir; "" if the path ends in a directory as such: /, . or .. */
    bool slash;              /* it must be a directory */
};

int path_walk(struct process *p, struct inode *start, const char *text, unsigned flags, struct path *path);
/* The same for a path in the process's memory, from dirfd. */
int path_in(struct process *p, int dirfd, uint64_t text, unsigned flags, struct path *path);
void path_done(struct path *path);
/* The absolute path of an inode. Its length, or -ENOENT, -ERANGE. */
int64_t path_of(const struct inode *inode, char *buf, size_t size);

/* ---- main.c, cpio.c, procfs.c, device.c */

extern bool boot_debug;

int cpio_unpack(const void *archive, size_t size);
int procfs_init(void);
int devices_init(void);
int tty_init(void);
/* A directory, made if it is not there: not held. */
struct inode *dir_make(struct inode *dir, const char *name, uint32_t mode);
int device_add(const char *name, uint32_t number, const struct file_ops *ops);
void random_bytes(void *to, size_t count);

/* ---- file.c: open files and descriptors */

struct file {
    uint32_t references;
    uint32_t flags; /* O_ */
    struct inode *inode;
    uint64_t offset;
};

struct files *files_new(void);
struct files *files_copy(const struct files *files);
void files_close_all(struct files *files);
void files_exec(struct files *files);
struct file *file_new(struct inode *inode, uint32_t flags); /* takes the inode over */
void file_put(struct file *f);
static inline struct file *file_get(struct process *p, uint64_t fd)
{
    return fd < p->files->end ? p->files->file[fd] : NULL;
}
/* Takes the file over: the number, or -EMFILE. */
int fd_install(struct process *p, struct file *f, uint32_t from, bool cloexec);
int fd_close(struct process *p, uint32_t fd);
int open_inode(struct process *p, struct inode *inode, uint32_t flags, struct file **f);

/* ---- pipe.c, tty.c, poll.c */

/* Takes in what the console has. */
void tty_poll(void);
/* Whether that would do any good: there is room, and an end of the input has not come. */
bool tty_wants_input(void);
extern int tty_foreground;
unsigned file_poll(struct process *p, struct file *f);

/* ---- The handlers, syscall.c's table says which file has which. */
#define HANDLER(name) int64_t sys_##name(struct process *p, registers *r)

#endif
