/* Records what a process does to the files below a directory, in the order in which it does it: LD_PRELOAD.
 *
 * RDSCSI_RECORD_DIR names the directory, RDSCSI_RECORD_TO the record. An entry is a line of text, `op inode offset
 * length path`, then `length` bytes of data. Operations: C created, W written, T truncated (offset: the size), S synced,
 * D directory synced, R renamed (data: the new path), U unlinked. What is mapped into memory is not seen; SQLite maps
 * its -shm only, which no crash leaves of any use. `power_model.py` reads the record.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[FDS];
static int record = -1;
static const char *directory;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void put(const void *data, size_t length) {
    const char *at = data;
    while (length > 0) {
        ssize_t done = syscall(SYS_write, record, at, length);
        if (done <= 0) abort();
        at += done;
        length -= (size_t)done;
    }
}

static void entry(char op, unsigned long inode, long long offset, const char *path, const void *data, size_t length) {
    char line[PATH_MAX + 128];
    int size = snprintf(line, sizeof line, "%c %lu %lld %zu %s\n", op, inode, offset, length, path);
    put(line, (size_t)size);
    if (length) put(data, length);
}

static int watched(const char *path) {
    if (record < 0) {
        const char *to = getenv("RDSCSI_RECORD_TO");
        directory = getenv("RDSCSI_RECORD_DIR");
        if (!to || !directory) return 0;
        record = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (record < 0) abort();
    }
    return path && strncmp(path, directory, strlen(directory)) == 0;
}

static const char *of(int fd) { return fd >= 0 && fd < FDS ? paths[fd] : NULL; }

static unsigned long inode(int fd) {
    struct stat seen;
    if (fstat(fd, &seen)) abort();
    return (unsigned long)seen.st_ino;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    int known = !watched(path) || faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    int error = errno;
    if (fd >= 0 && fd < FDS && watched(path)) {
        free(paths[fd]);
        paths[fd] = strdup(path);
        if (!known) entry('C', inode(fd), 0, path, NULL, 0);
        if (flags & O_TRUNC) entry('T', inode(fd), 0, path, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(name, ...) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
    return opened(__VA_ARGS__, flags, mode);

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, path) }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, path) }
int openat(int at, const char *path, int flags, ...) { OPEN(openat, at, path) }
int openat64(int at, const char *path, int flags, ...) { OPEN(openat64, at, path) }

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (of(fd)) { free(paths[fd]); paths[fd] = NULL; }
    int result = (int)syscall(SYS_close, fd);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static ssize_t written(int fd, const void *data, size_t length, off_t offset, int positioned) {
    if (!of(fd)) return positioned ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    if (!positioned) offset = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t done = positioned ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
    int error = errno;
    if (done > 0 && of(fd)) entry('W', inode(fd), offset, of(fd), data, (size_t)done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return written(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return written(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return written(fd, data, length, offset, 1); }

static int after(char op, int fd, long long offset, int result) {
    int error = errno;
    if (result == 0 && of(fd)) {
        struct stat seen;
        if (fstat(fd, &seen)) abort();
        entry(op == 'S' && S_ISDIR(seen.st_mode) ? 'D' : op, (unsigned long)seen.st_ino, offset, of(fd), NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t size) { pthread_mutex_lock(&lock); return after('T', fd, size, (int)syscall(SYS_ftruncate, fd, size)); }
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fsync(int fd) { pthread_mutex_lock(&lock); return after('S', fd, 0, (int)syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { pthread_mutex_lock(&lock); return after('S', fd, 0, (int)syscall(SYS_fdatasync, fd)); }

int rename(const char *from, const char *to) {
    static int (*call)(const char *, const char *);
    if (!call) call = (int (*)(const char *, const char *))real("rename");
    pthread_mutex_lock(&lock);
    int result = call(from, to);
    int error = errno;
    if (result == 0 && watched(from)) entry('R', 0, 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *path) {
    static int (*call)(const char *);
    if (!call) call = (int (*)(const char *))real("unlink");
    pthread_mutex_lock(&lock);
    int result = call(path);
    int error = errno;
    if (result == 0 && watched(path)) entry('U', 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}
