/* SPDX-License-Identifier: MIT */
#include "file.h"
#include "highfd.h"
#include "hostmem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Linux 6.10: "are these two descriptors of one open file description?", in one call. */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif

#define CHUNK_MIN_SHIFT 21 /* a window's grain: 2 MiB to 64 MiB, by the size of the file */
#define CHUNK_CLASSES 6
#define HASH 256
#define HINTS 64

struct file {
    dev_t device;
    ino_t inode;
    bool writable; /* the window is */
    bool sealed;   /* it is not although the descriptor is: F_SEAL_WRITE */
    int fd;        /* our own duplicate */
    uint32_t references;
    uint32_t chunk_shift;
    uint64_t chunk_count;
    char **chunks; /* host addresses by number; NULL: not mapped yet */
    struct file *next;
};

static PRIVATE_STATE struct {
    struct file *by_identity[HASH];
    struct file *hints[HINTS];               /* by descriptor number: a guess, checked at every use */
    bool no_query;                           /* F_DUPFD_QUERY is not known here */
    uint64_t used;                           /* of hostmem.files */
    struct free_space *nodes[CHUNK_CLASSES]; /* address space given back */
} PRIVATE_TYPE files;

/* Address space that was given back. */
struct free_space {
    char *base;
    struct free_space *next;
};

static unsigned hash(dev_t device, ino_t inode)
{
    return (unsigned)((device * 31 + inode) * 0x9e3779b97f4a7c15ull >> 56) % HASH;
}

static char *space_take(uint32_t shift)
{
    unsigned class = shift - CHUNK_MIN_SHIFT;
    struct free_space *node = files.nodes[class];
    if (node) {
        char *base = node->base;
        files.nodes[class] = node->next;
        record_free(node, sizeof *node);
        return base;
    }
    uint64_t size = 1ull << shift, at = (files.used + size - 1) & ~(size - 1);
    if (at + size > hostmem.files.size)
        return NULL;
    files.used = at + size;
    return hostmem.files.base + at;
}

static void space_give(char *base, uint32_t shift)
{
    /* Without memory for the note, the address space is lost, no more. */
    struct free_space *node = record_alloc(sizeof *node);
    if (!node)
        return;
    unsigned class = shift - CHUNK_MIN_SHIFT;
    *node = (struct free_space){base, files.nodes[class]};
    files.nodes[class] = node;
}

static struct file *new_file(int fd, bool writable, const struct stat *st)
{
    struct file *file = record_alloc(sizeof *file);
    if (!file)
        return NULL;
    *file = (struct file){.device = st->st_dev,
        .inode = st->st_ino,
        .writable = writable,
        .fd = fd,
        .references = 1,
        .chunk_shift = CHUNK_MIN_SHIFT};
    while (file->chunk_shift < CHUNK_MIN_SHIFT + CHUNK_CLASSES - 1 && (uint64_t)st->st_size > 1ull << file->chunk_shift)
        file->chunk_shift++;
    struct file **head = &files.by_identity[hash(st->st_dev, st->st_ino)];
    file->next = *head;
    *head = file;
    return file;
}

/* Whether and how it can be mapped is the file system's to say. */
static int probe(int fd, bool writable)
{
    void *page = mmap(NULL, PAGE_SIZE, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    munmap(page, PAGE_SIZE);
    return 0;
}

bool file_is_zero_device(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5);
}

bool file_is_sealed(const struct file *file)
{
    return file->sealed;
}

static int get_slowly(int fd, struct file **result, bool *writable)
{
    struct stat st;
    if (syscall(SYS_fstat, fd, &st)) /* glibc's goes through newfstatat, much dearer */
        return -errno;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (flags & O_PATH)
        return -EBADF;
    if ((flags & O_ACCMODE) == O_WRONLY)
        return -EACCES;
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return -ENODEV;
    *writable = (flags & O_ACCMODE) == O_RDWR;
    for (struct file *f = files.by_identity[hash(st.st_dev, st.st_ino)]; f; f = f->next) {
        if (f->device == st.st_dev && f->inode == st.st_ino && (f->writable || f->sealed) == *writable) {
            f->references++;
            *result = f;
            *writable = f->writable;
            return 0;
        }
    }
    int own = highfd_duplicate(fd);
    if (own < 0)
        return -errno;
    int error = probe(own, *writable);
    bool sealed = *writable && error == -EPERM;
    if (sealed) {
        *writable = false;
        error = probe(own, false);
    }
    struct file *file = error ? NULL : new_file(own, *writable, &st);
    if (!file) {
        close(own);
        return error ? error : -ENOMEM;
    }
    file->sealed = sealed;
    *result = file;
    return 0;
}

int file_get(int fd, struct file **result, bool *writable)
{
    if (fd < 0)
        return -EBADF;
    int error = 0;
    pthread_mutex_lock(&locks.files);
    struct file *hint = files.no_query ? NULL : files.hints[fd % HINTS];
    int same = hint ? fcntl(fd, F_DUPFD_QUERY, hint->fd) : 0;
    if (same < 0 && errno == EINVAL)
        files.no_query = true; /* an older kernel */
    if (same == 1) {
        hint->references++;
        *result = hint;
        *writable = hint->writable;
    } else {
        error = get_slowly(fd, result, writable);
        if (!error)
            files.hints[fd % HINTS] = *result;
    }
    pthread_mutex_unlock(&locks.files);
    return error;
}

int file_new_anonymous(uint64_t size, struct file **result)
{
    int fd = memfd_create("polder", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int own = highfd_duplicate(fd);
    close(fd);
    if (own < 0)
        return -errno;
    struct stat st;
    if (ftruncate(own, (off_t)size) || fstat(own, &st)) {
        int error = -errno;
        close(own);
        return error;
    }
    pthread_mutex_lock(&locks.files);
    struct file *file = new_file(own, true, &st);
    pthread_mutex_unlock(&locks.files);
    if (!file) {
        close(own);
        return -ENOMEM;
    }
    *result = file;
    return 0;
}

void file_hold(struct file *file)
{
    __atomic_add_fetch(&file->references, 1, __ATOMIC_RELAXED);
}

static void destroy(struct file *file)
{
    struct file **at = &files.by_identity[hash(file->device, file->inode)];
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    for (unsigned i = 0; i < HINTS; i++) {
        if (files.hints[i] == file)
            files.hints[i] = NULL;
    }
    for (uint64_t i = 0; i < file->chunk_count; i++) {
        if (!file->chunks[i])
            continue;
        mmap(file->chunks[i], 1ull << file->chunk_shift, PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        space_give(file->chunks[i], file->chunk_shift);
    }
    record_free(file->chunks, file->chunk_count * sizeof *file->chunks);
    close(file->fd);
    record_free(file, sizeof *file);
}

void file_drop(struct file *file)
{
    /* The last reference goes under the lock: file_get may be about to take another. */
    uint32_t references = __atomic_load_n(&file->references, __ATOMIC_RELAXED);
    while (references > 1) {
        if (__atomic_compare_exchange_n(
                &file->references, &references, references - 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return;
    }
    pthread_mutex_lock(&locks.files);
    if (__atomic_sub_fetch(&file->references, 1, __ATOMIC_ACQ_REL) == 0)
        destroy(file);
    pthread_mutex_unlock(&locks.files);
}

static int map_chunk(struct file *file, uint64_t number)
{
    if (number >= file->chunk_count) {
        uint64_t count = number + 1 > 2 * file->chunk_count ? number + 1 : 2 * file->chunk_count;
        char **chunks = record_alloc(count * sizeof *chunks);
        if (!chunks)
            return -ENOMEM;
        if (file->chunks)
            memcpy(chunks, file->chunks, file->chunk_count * sizeof *chunks);
        record_free(file->chunks, file->chunk_count * sizeof *chunks);
        file->chunks = chunks;
        file->chunk_count = count;
    }
    if (file->chunks[number])
        return 0;
    char *base = space_take(file->chunk_shift);
    if (!base)
        return -ENOMEM;
    if (mmap(base, 1ull << file->chunk_shift, PROT_READ | (file->writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED,
            file->fd, (off_t)(number << file->chunk_shift)) == MAP_FAILED) {
        int error = -errno;
        space_give(base, file->chunk_shift);
        return error;
    }
    madvise(base, 1ull << file->chunk_shift, MADV_DONTFORK);
    file->chunks[number] = base;
    return 0;
}

int file_hva(struct file *file, uint64_t offset, uint64_t *length, char **hva)
{
    uint64_t number = offset >> file->chunk_shift, within = offset & ((1ull << file->chunk_shift) - 1);
    *length = min_u64(*length, (1ull << file->chunk_shift) - within);
    pthread_mutex_lock(&locks.files);
    int error = number > (1ull << 40) ? -EOVERFLOW : map_chunk(file, number);
    if (!error)
        *hva = file->chunks[number] + within;
    pthread_mutex_unlock(&locks.files);
    return error;
}

uint64_t file_size(const struct file *file)
{
    struct stat st;
    if (fstat(file->fd, &st))
        return 0;
    if (S_ISBLK(st.st_mode))
        return UINT64_MAX / 2;
    return (uint64_t)st.st_size;
}

ssize_t file_read(const struct file *file, void *buf, size_t count, uint64_t offset)
{
    return pread(file->fd, buf, count, (off_t)offset);
}

ssize_t file_write(const struct file *file, const void *buf, size_t count, uint64_t offset)
{
    return pwrite(file->fd, buf, count, (off_t)offset);
}

void files_forget(void)
{
    for (unsigned i = 0; i < HASH; i++) {
        while (files.by_identity[i])
            destroy(files.by_identity[i]);
    }
}
