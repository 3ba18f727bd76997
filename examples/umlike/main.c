/* SPDX-License-Identifier: MIT */
/* main: from what `polder boot` was told to the first process. */
#include "umlike.h"

#define WORDS_MAX 128
#define STATUS_NO_INIT 127

bool boot_debug;

static struct {
    char text[PAGE]; /* the boot arguments, cut into words in place */
    const char *argv[WORDS_MAX], *envp[WORDS_MAX];
    const char *init;
} boot = {.envp = {"HOME=/", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", "TERM=linux"}};

__attribute__((noreturn)) static void give_up(const char *what, int error)
{
    printk("umlike: %s: error %d\n", what, -error);
    polder_shutdown(STATUS_NO_INIT);
}

/* The next word, as a shell would cut it: '', "" and \ quote. */
static char *next_word(char **rest)
{
    char *from = *rest, quote = 0;
    while (*from == ' ' || *from == '\n' || *from == '\t')
        from++;
    char *word = from, *to = from;
    if (!*from)
        return NULL;
    for (; *from && (quote || (*from != ' ' && *from != '\n' && *from != '\t')); from++) {
        if (!quote && (*from == '\'' || *from == '"'))
            quote = *from;
        else if (*from == quote)
            quote = 0;
        else if (*from == '\\' && quote != '\'' && from[1])
            *to++ = *++from;
        else
            *to++ = *from;
    }
    *rest = *from ? from + 1 : from;
    *to = 0;
    return word;
}

static bool begins_with(const char *word, const char *prefix)
{
    return strlen(word) >= strlen(prefix) && memcmp(word, prefix, strlen(prefix)) == 0;
}

static bool has_equals(const char *word)
{
    while (*word && *word != '=')
        word++;
    return *word;
}

/* debug, init=PATH, VARIABLE=value for the environment, and after "--" the arguments. */
static void read_bootargs(void)
{
    unsigned argc = 1, envc = 3;
    bool arguments = false;
    char *rest = boot.text, *word;
    string_copy(boot.text, polder_bootargs(), sizeof boot.text);
    while ((word = next_word(&rest))) {
        if (arguments && argc < WORDS_MAX - 1)
            boot.argv[argc++] = word;
        else if (string_equal(word, "--"))
            arguments = true;
        else if (string_equal(word, "debug"))
            boot_debug = true;
        else if (begins_with(word, "init="))
            boot.init = word + 5;
        else if (has_equals(word) && envc < WORDS_MAX - 1)
            boot.envp[envc++] = word;
    }
}

static int exec_init(struct process *p)
{
    static const char *const places[] = {"/init", "/sbin/init", "/bin/sh"};
    int error = -ENOENT;
    if (boot.init) {
        boot.argv[0] = boot.init;
        return exec_first(p, boot.init, boot.argv, boot.envp);
    }
    for (unsigned i = 0; i < sizeof places / sizeof *places && error == -ENOENT; i++) {
        boot.argv[0] = places[i];
        error = exec_first(p, places[i], boot.argv, boot.envp);
    }
    return error;
}

static int open_console(struct process *p)
{
    struct path path;
    struct file *f;
    int error = path_walk(p, root, "/dev/console", 0, &path);
    if (error)
        return error;
    error = open_inode(p, path.inode, O_RDWR, &f);
    path_done(&path);
    if (error)
        return error;
    f->references = 3;
    for (unsigned i = 0; i < 3; i++)
        fd_install(p, f, 0, false);
    return 0;
}

static void start_init(void)
{
    struct process *p = process_new(NULL);
    if (!p || !(p->files = files_new()))
        give_up("the first process", -ENOMEM);
    init_process = p;
    p->group = p->session = tty_foreground = p->pid;
    p->cwd = inode_hold(root);
    int error = open_console(p);
    if (error)
        give_up("/dev/console", error);
    error = exec_init(p);
    if (error)
        give_up(boot.init ? boot.init : "there is no init", error);
    process_wake(p);
}

int main(void)
{
    size_t size;
    time_init();
    fpu_init();
    read_bootargs();
    ramfs_init();
    const void *initrd = polder_initrd(&size);
    int error = initrd ? cpio_unpack(initrd, size) : 0;
    if (error)
        give_up("the initrd", error);
    error = devices_init();
    error = error ? error : tty_init();
    error = error ? error : procfs_init();
    if (error)
        give_up("the file systems", error);
    start_init();
    schedule();
}
