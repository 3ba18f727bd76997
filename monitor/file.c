/* SPDX-License-Identifier: MIT */
#include "file.h"
#include "highfd.h"
#include "hostmem.h"
#include "physmem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
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
    bool sealable; /* ... or may come to be: no file system but one has seals, and most files there can get no more */
    int fd;        /* our own duplicate */
    uint32_t references;
    uint32_t chunk_shift;
    uint32_t chunk_count, chunk_capacity;
    struct file_chunk *chunks; /* what is mapped of it: open addressing, for files can be huge and full of holes */
    struct file *next;
};

struct file_chunk {
    uint64_t key; /* its number plus 1; 0: free */
    char *base;
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
    int seals = fcntl(fd, F_GET_SEALS);
    file->sealable = seals >= 0 && seals != F_SEAL_SEAL;
    while (file->chunk_shift < CHUNK_MIN_SHIFT + CHUNK_CLASSES - 1 && (uint64_t)st->st_size > 1ull << file->chunk_shift)
        file->chunk_shift++;
    struct file **head = &files.by_identity[hash(st->st_dev, st->st_ino)];
    file->next = *head;
    *head = file;
    return file;
}

/* Whether and how it can be mapped is the file system's to say. One of huge pages unmaps whole ones only. */
static int probe(int fd, bool writable, const struct stat *st)
{
    uint64_t size = max_u64(PAGE_SIZE, (uint64_t)st->st_blksize);
    void *page = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    munmap(page, size);
    return 0;
}

bool file_is_zero_device(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5);
}

/* Asked at every mapping: the file may have been mapped before it was sealed. */
bool file_is_sealed(const struct file *file, int fd)
{
    if (!file->sealable)
        return false;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
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
    *writable = (flags & O_ACCMODE) == O_RDWR;
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return -ENODEV;
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
    int error = probe(own, *writable, &st);
    bool sealed = *writable && error == -EPERM;
    if (sealed) {
        *writable = false;
        error = probe(own, false, &st);
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
    for (uint32_t i = 0; i < file->chunk_capacity; i++) {
        char *base = file->chunks[i].base;
        if (!file->chunks[i].key)
            continue;
        hostmem_reserve(base, 1ull << file->chunk_shift);
        space_give(base, file->chunk_shift);
    }
    record_free(file->chunks, file->chunk_capacity * sizeof *file->chunks);
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

static struct file_chunk *chunk_slot(const struct file *file, uint64_t number)
{
    uint64_t i = (number + 1) * 0x9e3779b97f4a7c15ull >> 32;
    while (file->chunks[i & (file->chunk_capacity - 1)].key &&
           file->chunks[i & (file->chunk_capacity - 1)].key != number + 1)
        i++;
    return &file->chunks[i & (file->chunk_capacity - 1)];
}

static bool grow_chunks(struct file *file)
{
    if ((file->chunk_count + 1) * 4 <= file->chunk_capacity * 3)
        return true;
    struct file grown = {.chunk_capacity = file->chunk_capacity ? file->chunk_capacity * 2 : 2};
    grown.chunks = record_alloc(grown.chunk_capacity * sizeof *grown.chunks);
    if (!grown.chunks)
        return false;
    for (uint32_t i = 0; i < file->chunk_capacity; i++) {
        if (file->chunks[i].key)
            *chunk_slot(&grown, file->chunks[i].key - 1) = file->chunks[i];
    }
    record_free(file->chunks, file->chunk_capacity * sizeof *file->chunks);
    file->chunks = grown.chunks;
    file->chunk_capacity = grown.chunk_capacity;
    return true;
}

static int map_chunk(struct file *file, uint64_t number, char **result)
{
    if (!grow_chunks(file))
        return -ENOMEM;
    struct file_chunk *chunk = chunk_slot(file, number);
    if (!chunk->key) {
        char *base = space_take(file->chunk_shift);
        if (!base)
            return -ENOMEM;
        uint64_t at = number << file->chunk_shift;
        uint64_t size = min_u64(1ull << file->chunk_shift, (INT64_MAX & PAGE_MASK) - at); /* no file is longer */
        gpa_t gpa;
        int error = physmem_gpa(base, &gpa);
        if (!error && mmap(base, size, PROT_READ | (file->writable ? PROT_WRITE : 0),
                          MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd, (off_t)at) == MAP_FAILED)
            error = -errno;
        if (error) {
            hostmem_reserve(base, 1ull << file->chunk_shift);
            space_give(base, file->chunk_shift);
            return error;
        }
        madvise(base, 1ull << file->chunk_shift, MADV_DONTFORK);
        *chunk = (struct file_chunk){number + 1, base};
        file->chunk_count++;
    }
    *result = chunk->base;
    return 0;
}

int file_hva(struct file *file, uint64_t offset, uint64_t *length, char **hva)
{
    uint64_t number = offset >> file->chunk_shift, within = offset & ((1ull << file->chunk_shift) - 1);
    *length = min_u64(*length, (1ull << file->chunk_shift) - within);
    pthread_mutex_lock(&locks.files);
    int error = map_chunk(file, number, hva);
    pthread_mutex_unlock(&locks.files);
    if (!error)
        *hva += within;
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

/* As ring 3 does it, but an error instead of a SIGBUS where there is no memory behind the window. */
static ssize_t through_window(struct file *file, void *buf, size_t count, uint64_t offset, bool write)
{
    char *hva;
    uint64_t length = count;
    int error = file_hva(file, offset, &length, &hva);
    if (error)
        return error;
    struct iovec local = {buf, length}, remote = {hva, length};
    ssize_t n = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                      : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    return n < 0 ? -errno : n;
}

ssize_t file_read(struct file *file, void *buf, size_t count, uint64_t offset)
{
    size_t done = 0;
    for (ssize_t n = 1; done < count && n != 0; done += n > 0 ? (size_t)n : 0) {
        n = pread(file->fd, (char *)buf + done, count - done, (off_t)(offset + done));
        if (n < 0 && errno == EINVAL) /* a descriptor with O_DIRECT does not read just anything */
            n = through_window(file, (char *)buf + done, count - done, offset + done, false);
        else if (n < 0 && errno != EINTR) /* which a file system in a process gives */
            n = -errno;
        else if (n < 0)
            continue;
        if (n < 0)
            return n;
    }
    return (ssize_t)done;
}

/* Not pwrite: it appends where the descriptor has O_APPEND, is refused where a seal allows only mappings to be written,
 * and makes a file longer. */
ssize_t file_write(struct file *file, const void *buf, size_t count, uint64_t offset)
{
    return through_window(file, (void *)buf, count, offset, true);
}

void files_forget(void)
{
    for (unsigned i = 0; i < HASH; i++) {
        while (files.by_identity[i])
            destroy(files.by_identity[i]);
    }
}
