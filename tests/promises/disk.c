/* A disk that fails when told to: loaded before the C library, it counts what a process does to files below one folder and
   makes the N-th of these operations fail, or ends the process there as a power cut would. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long at, seen;
static int number, from_then_on;

/* Operations below `folder` are counted from here on; the n-th fails with this error, and all after it if `sticky`;
   with error 0 the process is killed there. n = 0: none fails. */
void disk_arm(const char *folder, long n, int error, int sticky) {
    seen = 0, at = n, number = error, from_then_on = sticky;
    strncpy(root, folder, sizeof root - 1);
}

long disk_seen(void) { return seen; }

static int fails(const char *path) {
    if (!root[0] || !path || strncmp(path, root, strlen(root))) return 0;
    long now = __sync_add_and_fetch(&seen, 1);
    if (!at || now < at || (now > at && !from_then_on)) return 0;
    if (!number) raise(SIGKILL);
    errno = number;
    return 1;
}

static int fails_at(int fd) {
    char link[64], path[PATH_MAX];
    if (!root[0]) return 0;
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (size < 0) return 0;
    path[size] = 0;
    return fails(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ON_FD(type, name, params, args) \
    type name params { return fails_at(fd) ? -1 : NEXT(name) args; }
#define ON_PATH(type, name, params, path, args) \
    type name params { return fails(path) ? -1 : NEXT(name) args; }
#define OPENS(name, params, path, args)                           \
    int name params {                                             \
        va_list more;                                             \
        va_start(more, flags);                                    \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                             \
        if (flags & O_CREAT && fails(path)) return -1;            \
        return NEXT(name) args;                                   \
    }

ON_FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t place), (fd, data, size, place))
ON_FD(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t place), (fd, data, size, place))
ON_FD(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_FD(ssize_t, copy_file_range, (int from, off64_t *a, int fd, off64_t *b, size_t size, unsigned flags), (from, a, fd, b, size, flags))
ON_FD(int, fsync, (int fd), (fd))
ON_FD(int, fdatasync, (int fd), (fd))
ON_FD(int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_PATH(int, mkdir, (const char *path, mode_t mode), path, (path, mode))
ON_PATH(int, rename, (const char *from, const char *to), to, (from, to))
ON_PATH(int, renameat, (int a, const char *from, int b, const char *to), to, (a, from, b, to))
ON_PATH(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), to, (a, from, b, to, flags))
OPENS(open, (const char *path, int flags, ...), path, (path, flags, mode))
OPENS(open64, (const char *path, int flags, ...), path, (path, flags, mode))
OPENS(openat, (int folder, const char *path, int flags, ...), path, (folder, path, flags, mode))
OPENS(openat64, (int folder, const char *path, int flags, ...), path, (folder, path, flags, mode))
