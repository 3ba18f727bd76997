/* SPDX-License-Identifier: MIT */
/*
 * The requests of ioctl that programs make of terminals, files, pipes, sockets, disks and the like, with what their
 * argument is. The size that a number carries is not trusted: some lie (FS_IOC_GETFLAGS says 8 and takes 4) and the
 * oldest carry none.
 */
#include "calls.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <linux/fs.h>
#include <linux/hdreg.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/kd.h>
#include <linux/loop.h>
#include <linux/nsfs.h>
#include <linux/random.h>
#include <linux/rtc.h>
#include <linux/sockios.h>
#include <linux/vt.h>

enum { TAKES = ARG_IN, GIVES = ARG_OUT, BOTH = ARG_IN | ARG_OUT };

struct request {
    uint32_t number;
    uint8_t kind;
    uint8_t memory;
    uint8_t flags;
    uint16_t size;
    const char *name;
};

#define NONE(r)                                                                                                        \
    {                                                                                                                  \
        r, ARG_END, MEM_NONE, 0, 0, #r                                                                                 \
    }
#define VALUE(r)                                                                                                       \
    {                                                                                                                  \
        r, ARG_HEX, MEM_NONE, 0, 0, #r                                                                                 \
    }
#define STRUCT(r, what, bytes, how)                                                                                    \
    {                                                                                                                  \
        r, ARG_##what, MEM_FIXED, how, bytes, #r                                                                       \
    }
/* Not by way of STRUCT: the name would be expanded before it becomes text. */
#define INT_(r, how)                                                                                                   \
    {                                                                                                                  \
        r, ARG_INT_PTR, MEM_FIXED, how, 4, #r                                                                          \
    }
#define IFREQ(r)                                                                                                       \
    {                                                                                                                  \
        r, ARG_OPAQUE, MEM_FIXED, BOTH, sizeof(struct ifreq), #r                                                       \
    }

static const struct request requests[] = {
    /* Terminals. */
    STRUCT(TCGETS, TERMIOS, sizeof(struct termios), GIVES),
    STRUCT(TCSETS, TERMIOS, sizeof(struct termios), TAKES),
    STRUCT(TCSETSW, TERMIOS, sizeof(struct termios), TAKES),
    STRUCT(TCSETSF, TERMIOS, sizeof(struct termios), TAKES),
    STRUCT(TCGETS2, TERMIOS, sizeof(struct termios2), GIVES),
    STRUCT(TCSETS2, TERMIOS, sizeof(struct termios2), TAKES),
    STRUCT(TCSETSW2, TERMIOS, sizeof(struct termios2), TAKES),
    STRUCT(TCSETSF2, TERMIOS, sizeof(struct termios2), TAKES),
    STRUCT(TCGETA, OPAQUE, 18, GIVES),
    STRUCT(TCSETA, OPAQUE, 18, TAKES),
    STRUCT(TCSETAW, OPAQUE, 18, TAKES),
    STRUCT(TCSETAF, OPAQUE, 18, TAKES),
    VALUE(TCSBRK),
    VALUE(TCSBRKP),
    VALUE(TCXONC),
    VALUE(TCFLSH),
    NONE(TIOCSBRK),
    NONE(TIOCCBRK),
    NONE(TIOCEXCL),
    NONE(TIOCNXCL),
    INT_(TIOCGEXCL, GIVES),
    VALUE(TIOCSCTTY),
    NONE(TIOCNOTTY),
    NONE(TIOCVHANGUP),
    INT_(TIOCGPGRP, GIVES),
    INT_(TIOCSPGRP, TAKES),
    INT_(TIOCGSID, GIVES),
    INT_(TIOCOUTQ, GIVES),
    STRUCT(TIOCSTI, OPAQUE, 1, TAKES),
    STRUCT(TIOCGWINSZ, WINSIZE, 8, GIVES),
    STRUCT(TIOCSWINSZ, WINSIZE, 8, TAKES),
    INT_(TIOCMGET, GIVES),
    INT_(TIOCMSET, TAKES),
    INT_(TIOCMBIS, TAKES),
    INT_(TIOCMBIC, TAKES),
    INT_(TIOCGSOFTCAR, GIVES),
    INT_(TIOCSSOFTCAR, TAKES),
    INT_(TIOCPKT, TAKES),
    INT_(TIOCGPKT, GIVES),
    INT_(TIOCSPTLCK, TAKES),
    INT_(TIOCGPTLCK, GIVES),
    INT_(TIOCGPTN, GIVES),
    VALUE(TIOCGPTPEER),
    INT_(TIOCGETD, GIVES),
    INT_(TIOCSETD, TAKES),
    INT_(TIOCGDEV, GIVES),
    /* Any descriptor. FIONREAD is TIOCINQ and SIOCINQ. */
    INT_(FIONREAD, GIVES),
    INT_(FIONBIO, TAKES),
    INT_(FIOASYNC, TAKES),
    NONE(FIOCLEX),
    NONE(FIONCLEX),
    STRUCT(FIOQSIZE, LONG_PTR, 8, GIVES),
    /* Files. */
    VALUE(FICLONE),
    STRUCT(FICLONERANGE, OPAQUE, 32, TAKES),
    INT_(FIBMAP, BOTH),
    INT_(FIGETBSZ, GIVES),
    VALUE(FIFREEZE),
    VALUE(FITHAW),
    STRUCT(FITRIM, OPAQUE, 24, BOTH),
    INT_(FS_IOC_GETFLAGS, GIVES),
    INT_(FS_IOC_SETFLAGS, TAKES),
    INT_(FS_IOC_GETVERSION, GIVES),
    STRUCT(FS_IOC_FSGETXATTR, OPAQUE, sizeof(struct fsxattr), GIVES),
    STRUCT(FS_IOC_FSSETXATTR, OPAQUE, sizeof(struct fsxattr), TAKES),
    STRUCT(FS_IOC_GETFSLABEL, OPAQUE, 256, GIVES),
    STRUCT(FS_IOC_SETFSLABEL, OPAQUE, 256, TAKES),
    /* Disks. */
    INT_(BLKROSET, TAKES),
    INT_(BLKROGET, GIVES),
    NONE(BLKRRPART),
    STRUCT(BLKGETSIZE, LONG_PTR, 8, GIVES),
    STRUCT(BLKGETSIZE64, LONG_PTR, 8, GIVES),
    VALUE(BLKFLSBUF),
    VALUE(BLKRASET),
    STRUCT(BLKRAGET, LONG_PTR, 8, GIVES),
    INT_(BLKSSZGET, GIVES),
    INT_(BLKBSZGET, GIVES),
    INT_(BLKBSZSET, TAKES),
    INT_(BLKPBSZGET, GIVES),
    INT_(BLKIOMIN, GIVES),
    INT_(BLKIOOPT, GIVES),
    INT_(BLKALIGNOFF, GIVES),
    INT_(BLKDISCARDZEROES, GIVES),
    STRUCT(BLKROTATIONAL, OPAQUE, 2, GIVES),
    STRUCT(BLKDISCARD, OPAQUE, 16, TAKES),
    STRUCT(BLKSECDISCARD, OPAQUE, 16, TAKES),
    STRUCT(BLKZEROOUT, OPAQUE, 16, TAKES),
    STRUCT(HDIO_GETGEO, OPAQUE, sizeof(struct hd_geometry), GIVES),
    VALUE(LOOP_SET_FD),
    NONE(LOOP_CLR_FD),
    VALUE(LOOP_CHANGE_FD),
    NONE(LOOP_SET_CAPACITY),
    VALUE(LOOP_SET_DIRECT_IO),
    VALUE(LOOP_SET_BLOCK_SIZE),
    STRUCT(LOOP_SET_STATUS64, OPAQUE, sizeof(struct loop_info64), TAKES),
    STRUCT(LOOP_GET_STATUS64, OPAQUE, sizeof(struct loop_info64), GIVES),
    STRUCT(LOOP_CONFIGURE, OPAQUE, sizeof(struct loop_config), TAKES),
    VALUE(LOOP_CTL_ADD),
    VALUE(LOOP_CTL_REMOVE),
    NONE(LOOP_CTL_GET_FREE),
    /* Sockets. SIOCETHTOOL, SIOCDEVPRIVATE and their like carry pointers and are not here. */
    INT_(SIOCATMARK, GIVES),
    INT_(SIOCGPGRP, GIVES),
    INT_(SIOCSPGRP, TAKES),
    INT_(FIOSETOWN, TAKES),
    INT_(FIOGETOWN, GIVES),
    {SIOCGIFCONF, ARG_OPAQUE, MEM_IFCONF, BOTH, sizeof(struct ifconf), "SIOCGIFCONF"},
    IFREQ(SIOCGIFNAME),
    IFREQ(SIOCGIFFLAGS),
    IFREQ(SIOCSIFFLAGS),
    IFREQ(SIOCGIFADDR),
    IFREQ(SIOCSIFADDR),
    IFREQ(SIOCGIFDSTADDR),
    IFREQ(SIOCSIFDSTADDR),
    IFREQ(SIOCGIFBRDADDR),
    IFREQ(SIOCSIFBRDADDR),
    IFREQ(SIOCGIFNETMASK),
    IFREQ(SIOCSIFNETMASK),
    IFREQ(SIOCGIFMETRIC),
    IFREQ(SIOCSIFMETRIC),
    IFREQ(SIOCGIFMTU),
    IFREQ(SIOCSIFMTU),
    IFREQ(SIOCGIFHWADDR),
    IFREQ(SIOCSIFHWADDR),
    IFREQ(SIOCGIFINDEX),
    IFREQ(SIOCGIFTXQLEN),
    IFREQ(SIOCSIFTXQLEN),
    IFREQ(SIOCGIFMAP),
    IFREQ(SIOCSIFNAME),
    IFREQ(TUNSETIFF),
    IFREQ(TUNGETIFF),
    VALUE(TUNSETPERSIST),
    VALUE(TUNSETOWNER),
    VALUE(TUNSETGROUP),
    /* Consoles, clocks, randomness, namespaces. */
    STRUCT(KDGKBTYPE, OPAQUE, 1, GIVES),
    STRUCT(KDGKBMODE, INT_PTR, 4, GIVES),
    VALUE(KDSKBMODE),
    STRUCT(KDGETMODE, INT_PTR, 4, GIVES),
    VALUE(KDSETMODE),
    STRUCT(KDGETLED, OPAQUE, 1, GIVES),
    VALUE(KDSETLED),
    VALUE(KIOCSOUND),
    VALUE(KDMKTONE),
    STRUCT(VT_GETSTATE, OPAQUE, 6, GIVES),
    STRUCT(VT_GETMODE, OPAQUE, 8, GIVES),
    INT_(VT_OPENQRY, GIVES),
    VALUE(VT_ACTIVATE),
    VALUE(VT_WAITACTIVE),
    STRUCT(RTC_RD_TIME, OPAQUE, sizeof(struct rtc_time), GIVES),
    STRUCT(RTC_SET_TIME, OPAQUE, sizeof(struct rtc_time), TAKES),
    INT_(RNDGETENTCNT, GIVES),
    VALUE(NS_GET_USERNS),
    VALUE(NS_GET_PARENT),
    VALUE(NS_GET_NSTYPE),
    INT_(NS_GET_OWNER_UID, GIVES),
};

static const struct request *find(uint32_t number)
{
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (requests[i].number == number) {
            return &requests[i];
        }
    }
    return NULL;
}

long ioctl_argument(uint32_t number, struct arg *out)
{
    const struct request *request = find(number);
    if (!request) {
        return -ENOTTY;
    }
    *out =
        (struct arg){.kind = request->kind, .memory = request->memory, .flags = request->flags, .size = request->size};
    return 0;
}

const char *ioctl_name(uint32_t number)
{
    const struct request *request = find(number);
    return request ? request->name : NULL;
}
