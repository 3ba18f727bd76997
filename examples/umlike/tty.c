/* SPDX-License-Identifier: MIT */
/*
 * tty: the console as a terminal with its line discipline: echo, erase, lines, and the keys that send signals. The
 * monitor's side of it is raw, so all of this happens here.
 */
#include "umlike.h"

#define CHUNK 1024u
#define SIZE 4096u
#define END_OF_FILE 0x100 /* in the queue: ^D */
#define TTY_DEVICE (5u << 8 | 1)

static struct {
    struct termios termios;
    struct winsize window;
    uint16_t in[SIZE];    /* what can be read */
    uint32_t head, count; /* of it */
    uint32_t lines;       /* ends of lines in it */
    char line[SIZE];      /* what is being edited */
    uint32_t length;
    char echo[256];
    uint32_t echo_length;
    bool end; /* of the console's input */
    struct queue readers;
} tty = {
    .termios = {.iflag = ICRNL | IXON,
        .oflag = OPOST | ONLCR,
        .cflag = B38400_CS8_CREAD,
        .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        .cc = {[VINTR] = 3,
            [VQUIT] = 28,
            [VERASE] = 127,
            [VKILL] = 21,
            [VEOF] = 4,
            [VMIN] = 1,
            [VSUSP] = 26,
            [VWERASE] = 23}},
    .window = {24, 80, 0, 0},
};
int tty_foreground;

/* ---------------------------------------------------------------- echo */

static void flush_echo(void)
{
    if (tty.echo_length)
        polder_console_write(tty.echo, tty.echo_length);
    tty.echo_length = 0;
}

static void echo_raw(const char *text, uint32_t length)
{
    if (tty.echo_length + length > sizeof tty.echo)
        flush_echo();
    memcpy(tty.echo + tty.echo_length, text, length);
    tty.echo_length += length;
}

static void echo(uint8_t c)
{
    if (!(tty.termios.lflag & ECHO))
        return;
    if (c < 32 && c != '\n' && c != '\t' && (tty.termios.lflag & ECHOCTL))
        echo_raw((char[]){'^', (char)(c + 64)}, 2);
    else
        echo_raw((char *)&c, 1);
}

/* ---------------------------------------------------------------- input */

static void enqueue(uint16_t c)
{
    tty.in[(tty.head + tty.count++) % SIZE] = c;
    tty.lines += c == '\n' || c == END_OF_FILE;
}

static void commit_line(void)
{
    for (uint32_t i = 0; i < tty.length; i++)
        enqueue((uint8_t)tty.line[i]);
    tty.length = 0;
}

static void erase(void)
{
    bool wide = (uint8_t)tty.line[--tty.length] < 32 && (tty.termios.lflag & ECHOCTL);
    if (tty.termios.lflag & ECHO)
        echo_raw("\b \b\b \b", wide ? 6 : 3);
}

static bool erase_key(uint8_t c)
{
    const uint8_t *cc = tty.termios.cc;
    if (c == cc[VERASE] || c == '\b') {
        if (tty.length)
            erase();
    } else if (c == cc[VKILL]) {
        while (tty.length)
            erase();
    } else if (c == cc[VWERASE]) {
        while (tty.length && tty.line[tty.length - 1] == ' ')
            erase();
        while (tty.length && tty.line[tty.length - 1] != ' ')
            erase();
    } else {
        return false;
    }
    return true;
}

static bool signal_key(uint8_t c)
{
    const uint8_t *cc = tty.termios.cc;
    int signal = c == cc[VINTR] ? SIGINT : c == cc[VQUIT] ? SIGQUIT : c == cc[VSUSP] ? SIGTSTP : 0;
    if (!signal || !c)
        return false;
    tty.head = tty.count = tty.lines = tty.length = 0;
    echo(c);
    if (tty.termios.lflag & ECHO)
        echo_raw("\n", 1);
    signal_group(tty_foreground, signal, (struct signal_info){.code = SI_KERNEL});
    return true;
}

static void take(uint8_t c)
{
    if (c == '\r' && (tty.termios.iflag & ICRNL))
        c = '\n';
    if ((tty.termios.lflag & ISIG) && signal_key(c))
        return;
    if (!(tty.termios.lflag & ICANON)) {
        echo(c);
        enqueue(c);
        return;
    }
    if (erase_key(c))
        return;
    if (c == tty.termios.cc[VEOF]) {
        commit_line();
        enqueue(END_OF_FILE);
        return;
    }
    if (c != '\n' && tty.length == SIZE - CHUNK - 2) /* a longer line loses its end */
        return;
    echo(c);
    tty.line[tty.length++] = (char)c;
    if (c == '\n')
        commit_line();
}

bool tty_wants_input(void)
{
    return !tty.end && tty.count + tty.length + CHUNK + 2 < SIZE;
}

void tty_poll(void)
{
    static char buf[CHUNK];
    ssize_t n = polder_console_read(buf, sizeof buf);
    if (n < 0)
        return;
    for (ssize_t i = 0; i < n; i++)
        take((uint8_t)buf[i]);
    if (n == 0) {
        tty.end = true;
        commit_line();
    }
    flush_echo();
    queue_wake(&tty.readers);
}

/* ---------------------------------------------------------------- the file */

static bool readable(void)
{
    return tty.end || (tty.termios.lflag & ICANON ? tty.lines != 0 : tty.count != 0);
}

/* The next line, or what there is: bytes put into buf. */
static size_t dequeue(char *buf, size_t count)
{
    size_t n = 0;
    while (n < count && tty.count) {
        uint16_t c = tty.in[tty.head];
        if (c == END_OF_FILE && n && !(tty.termios.lflag & ICANON))
            break;
        tty.head = (tty.head + 1) % SIZE;
        tty.count--;
        tty.lines -= c == '\n' || c == END_OF_FILE;
        if (c == END_OF_FILE)
            break;
        buf[n++] = (char)c;
        if (c == '\n' && (tty.termios.lflag & ICANON))
            break;
    }
    return n;
}

static int64_t tty_read(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    char buf[SIZE];
    (void)offset;
    if (p->group != tty_foreground && p->session == init_process->session && tty_foreground) {
        if (signal_ignored(p, SIGTTIN) || (p->blocked & signal_bit(SIGTTIN)))
            return -EIO;
        signal_group(p->group, SIGTTIN, (struct signal_info){.code = SI_KERNEL});
        return wait_on(p, NULL, 0);
    }
    if (!readable() && tty_wants_input())
        tty_poll();
    if (!readable()) {
        if (!(tty.termios.lflag & ICANON) && !tty.termios.cc[VMIN])
            return 0;
        return f->flags & O_NONBLOCK ? -EAGAIN : wait_on(p, &tty.readers, 0);
    }
    size_t n = dequeue(buf, min_u64(count, sizeof buf));
    int error = n ? copy_out(p, at, buf, n) : 0;
    return error ? error : (int64_t)n;
}

static int64_t tty_write(struct process *p, struct file *f, uint64_t at, size_t count, uint64_t *offset)
{
    static char buf[PAGE] __attribute__((aligned(4096))); /* within one page: one exit */
    (void)f, (void)offset;
    if (!count)
        return 0;
    ssize_t n = polder_read(p->space->fd, buf, min_u64(count, sizeof buf), at);
    if (n <= 0)
        return n ? -errno : -EFAULT;
    return polder_console_write(buf, (size_t)n) < 0 ? -EIO : n;
}

static unsigned tty_poll_events(struct process *p, struct file *f)
{
    (void)p, (void)f;
    if (!readable() && tty_wants_input())
        tty_poll();
    return POLLOUT | (readable() ? POLLIN : 0);
}

static int set_termios(struct process *p, uint64_t at, bool flush)
{
    struct termios new;
    int error = copy_in(p, &new, at, sizeof new);
    if (error)
        return error;
    if (flush)
        tty.head = tty.count = tty.lines = tty.length = 0;
    if (!(new.lflag &ICANON)) /* what was being edited can be read now */
        commit_line();
    tty.termios = new;
    queue_wake(&tty.readers);
    return 0;
}

static int64_t tty_ioctl(struct process *p, struct file *f, unsigned request, uint64_t argument)
{
    int32_t number = request == TIOCGPGRP ? tty_foreground : init_process->session;
    (void)f;
    switch (request) {
    case TCGETS:
        return copy_out(p, argument, &tty.termios, sizeof tty.termios);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return set_termios(p, argument, request == TCSETSF);
    case TIOCGWINSZ:
        return copy_out(p, argument, &tty.window, sizeof tty.window);
    case TIOCSWINSZ:
        return copy_in(p, &tty.window, argument, sizeof tty.window);
    case TIOCGPGRP:
    case TIOCGSID:
        return copy_out(p, argument, &number, sizeof number);
    case TIOCSPGRP: {
        int error = copy_in(p, &number, argument, sizeof number);
        if (!error)
            tty_foreground = number;
        return error;
    }
    case FIONREAD:
        number = (int32_t)tty.count;
        return copy_out(p, argument, &number, sizeof number);
    case TCFLSH:
        tty.head = tty.count = tty.lines = tty.length = 0;
        return 0;
    case TIOCSCTTY:
    case TIOCNOTTY:
        return 0;
    default:
        return -ENOTTY;
    }
}

static const struct file_ops tty_ops = {
    .read = tty_read, .write = tty_write, .poll = tty_poll_events, .ioctl = tty_ioctl};

int tty_init(void)
{
    int error = device_add("tty", TTY_DEVICE & ~1u, &tty_ops);
    return error ? error : device_add("console", TTY_DEVICE, &tty_ops);
}
