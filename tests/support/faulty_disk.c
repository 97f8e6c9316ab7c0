/* Preloaded into a process, makes the disk under a library full, slow or failing, while it is told so.
 *
 * Two kinds of file are told apart: those of the store (SQLite's *.db*, PostgreSQL's pg_wal and base)
 * and the spool of payments whose outcome is unknown (*.spool). The switches lie in a file that the
 * variable FAULTY_DISK names, mapped by whoever turns them and by every process they concern; the
 * counters beside them say how often each took effect. See faulty_disk.py.
 *
 * - flush_errno: fsync, fdatasync and writes to a file opened with O_DSYNC fail with it. What was
 *   written stays in the page cache, as Linux leaves it: it may still reach the disk.
 * - full: whatever would make a file longer fails with ENOSPC; what is written in place does not.
 * - delay_ms: each flush takes so much longer.
 * - page_ms: a page of a database (*.db) takes so long when it is read for the first time since `cold`
 *   was changed, as if it had been thrown out of the kernel's memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct switches {
    uint32_t flush_errno, full, delay_ms;
    uint32_t flushes_failed, writes_refused, flushes_delayed;
    uint32_t page_ms, cold, pages_delayed;
};

static struct switches *disk; /* [0]: the store, [1]: the spool */

__attribute__((constructor)) static void map_switches(void)
{
    const char *path = getenv("FAULTY_DISK");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, 2 * sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED)
        disk = mapped;
    close(fd);
}

/* The switches of the file behind `fd`; NULL when none is on or the file is neither kind. */
static struct switches *concerning(int fd)
{
    char link[32], path[4096];
    if (!disk)
        return NULL;
    for (int kind = 0;; kind++) {
        if (kind == 2)
            return NULL;
        if (disk[kind].flush_errno || disk[kind].full || disk[kind].delay_ms ||
            disk[kind].page_ms)
            break;
    }
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return NULL;
    path[length] = 0;
    if (strstr(path, ".spool"))
        return &disk[1];
    if (strstr(path, ".db") || strstr(path, "/pg_wal/") || strstr(path, "/base/"))
        return &disk[0];
    return NULL;
}

static int count(uint32_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
    return 1;
}

/* Whether a flush fails; it has taken its time then. */
static int flush_fails(struct switches *on)
{
    if (on && on->delay_ms && count(&on->flushes_delayed)) {
        struct timespec time = {on->delay_ms / 1000, on->delay_ms % 1000 * 1000000L};
        nanosleep(&time, NULL);
    }
    if (!on || !on->flush_errno)
        return 0;
    count(&on->flushes_failed);
    errno = (int)on->flush_errno;
    return 1;
}

/* Whether there is no room for the file to reach `end`. */
static int too_long(struct switches *on, int fd, off_t end)
{
    struct stat now;
    if (!on || !on->full || fstat(fd, &now) || !S_ISREG(now.st_mode) || end <= now.st_size)
        return 0;
    count(&on->writes_refused);
    errno = ENOSPC;
    return 1;
}

static int written_through(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DSYNC);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define FLUSH(name)                                  \
    int name(int fd)                                 \
    {                                                \
        static int (*real)(int);                     \
        if (!real)                                   \
            real = REAL(name);                       \
        return flush_fails(concerning(fd)) ? -1 : real(fd); \
    }
FLUSH(fsync)
FLUSH(fdatasync)

#define WRITE(name, end, parameters, arguments)                        \
    ssize_t name parameters                                            \
    {                                                                  \
        static ssize_t(*real) parameters;                              \
        if (!real)                                                     \
            real = REAL(name);                                         \
        struct switches *on = concerning(fd);                          \
        if (on && too_long(on, fd, (end)))                             \
            return -1;                                                 \
        ssize_t done = real arguments;                                 \
        return on && written_through(fd) && flush_fails(on) ? -1 : done; \
    }

static off_t total(const struct iovec *part, int number)
{
    off_t sum = 0;
    for (int i = 0; i < number; i++)
        sum += (off_t)part[i].iov_len;
    return sum;
}

WRITE(write, lseek(fd, 0, SEEK_CUR) + (off_t)size, (int fd, const void *data, size_t size),
      (fd, data, size))
WRITE(pwrite, at + (off_t)size, (int fd, const void *data, size_t size, off_t at),
      (fd, data, size, at))
WRITE(pwrite64, at + (off_t)size, (int fd, const void *data, size_t size, off64_t at),
      (fd, data, size, at))
WRITE(pwritev, at + total(part, number), (int fd, const struct iovec *part, int number, off_t at),
      (fd, part, number, at))
WRITE(pwritev64, at + total(part, number),
      (int fd, const struct iovec *part, int number, off64_t at), (fd, part, number, at))

#define PAGE 4096
#define PAGES_MAX 65536

static uint32_t warm[PAGES_MAX]; /* The last value of `cold` under which each page was read. */

/* Wait for the page at `at`, if it is one of a database and cold. */
static void fetch(struct switches *on, int fd, off_t at)
{
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 3 || memcmp(path + length - 3, ".db", 3) || at / PAGE >= PAGES_MAX)
        return;
    if (__atomic_exchange_n(&warm[at / PAGE], on->cold, __ATOMIC_RELAXED) == on->cold)
        return;
    struct timespec time = {on->page_ms / 1000, on->page_ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
    count(&on->pages_delayed);
}

#define READ(name, offset)                                             \
    ssize_t name(int fd, void *data, size_t size, offset at)           \
    {                                                                  \
        static ssize_t (*real)(int, void *, size_t, offset);           \
        if (!real)                                                     \
            real = REAL(name);                                         \
        struct switches *on = concerning(fd);                          \
        if (on && on->page_ms)                                         \
            fetch(on, fd, at);                                         \
        return real(fd, data, size, at);                               \
    }
READ(pread, off_t)
READ(pread64, off64_t)

#define LENGTHEN(name, end, failure, parameters, arguments) \
    int name parameters                                     \
    {                                                       \
        static int (*real) parameters;                      \
        if (!real)                                          \
            real = REAL(name);                              \
        return too_long(concerning(fd), fd, (end)) ? (failure) : real arguments; \
    }
LENGTHEN(ftruncate, end, -1, (int fd, off_t end), (fd, end))
LENGTHEN(ftruncate64, end, -1, (int fd, off64_t end), (fd, end))
LENGTHEN(fallocate, at + size, -1, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
LENGTHEN(fallocate64, at + size, -1, (int fd, int mode, off64_t at, off64_t size),
         (fd, mode, at, size))
LENGTHEN(posix_fallocate, at + size, ENOSPC, (int fd, off_t at, off_t size), (fd, at, size))
LENGTHEN(posix_fallocate64, at + size, ENOSPC, (int fd, off64_t at, off64_t size), (fd, at, size))
