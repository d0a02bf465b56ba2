/* Preloaded (LD_PRELOAD), it counts the file operations below a folder: open for writing, write,
   fsync, rename, mkdir, remove. At the operation that was asked for, the process is killed, or the
   operation fails. Of a write, the first half is done before. faults.py builds and steers it. */
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

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char below[PATH_MAX], done[1 << 20];
static size_t length, used;
static int armed, count, at, error;

/* Count from now on what happens below `folder`; at operation `n` (0: none) fail with the error
   `code`, or die where it is 0. */
void fault_arm(const char *folder, int n, int code) {
  length = strlen(strcpy(below, folder));
  count = 0, at = n, error = code, armed = 1;
}

/* What was counted: an operation and its path on each line. */
const char *fault_log(void) { return done; }

static const char *resolved(int folder, const char *path, char *into) {
  char link[64];
  if (path && (path[0] == '/' || folder == AT_FDCWD)) return path;
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  ssize_t n = readlink(link, into, PATH_MAX - 1);
  if (n < 0) return "";
  into[n] = 0;
  if (path && n + strlen(path) < 2 * PATH_MAX - 2) strcat(strcat(into, "/"), path);
  return into;
}

/* 0 to go on, an error to fail with, -1 to die. A full disk stays full, but lets go of files. */
static int trip(const char *what, int folder, const char *path) {
  char into[2 * PATH_MAX];
  if (!armed) return 0;
  path = resolved(folder, path, into);
  if (strncmp(path, below, length) || (path[length] != '/' && path[length])) return 0;
  int n = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  if (used + strlen(what) + strlen(path) + 3 < sizeof done)
    used += sprintf(done + used, "%s %s\n", what, path);
  if (error == ENOSPC) {
    if (!at || n < at || !strcmp(what, "rename") || !strcmp(what, "remove")) return 0;
  } else if (n != at) {
    return 0;
  }
  return error ? error : -1;
}

static int stopped(int how) {
  if (how < 0) kill(getpid(), SIGKILL);
  errno = how;
  return -1;
}

#define GUARD(what, folder, path)                            \
  do {                                                       \
    int how = trip(what, folder, path);                      \
    if (how) return stopped(how);                            \
  } while (0)

#define OPENS(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))
#define MODE(flags)                                          \
  mode_t mode = 0;                                           \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                     \
    va_list more;                                            \
    va_start(more, flags);                                   \
    mode = va_arg(more, mode_t);                             \
    va_end(more);                                            \
  }
#define OPEN(name)                                           \
  int name(const char *path, int flags, ...) {               \
    MODE(flags)                                              \
    if (OPENS(flags)) GUARD("open", AT_FDCWD, path);         \
    return REAL(name)(path, flags, mode);                    \
  }
#define OPENAT(name)                                         \
  int name(int folder, const char *path, int flags, ...) {   \
    MODE(flags)                                              \
    if (OPENS(flags)) GUARD("open", folder, path);           \
    return REAL(name)(folder, path, flags, mode);            \
  }
#define FOPEN(name)                                          \
  FILE *name(const char *path, const char *mode) {           \
    int how = strpbrk(mode, "wa+") ? trip("open", AT_FDCWD, path) : 0; \
    if (how) return stopped(how), NULL;                      \
    return REAL(name)(path, mode);                           \
  }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int file, const void *data, size_t size) {
  int how = trip("write", file, NULL);
  if (!how) return REAL(write)(file, data, size);
  REAL(write)(file, data, size / 2);
  return stopped(how);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t place) {
  int how = trip("write", file, NULL);
  if (!how) return REAL(pwrite)(file, data, size, place);
  REAL(pwrite)(file, data, size / 2, place);
  return stopped(how);
}

ssize_t writev(int file, const struct iovec *parts, int n) {
  int how = trip("write", file, NULL);
  if (!how) return REAL(writev)(file, parts, n);
  REAL(write)(file, parts[0].iov_base, parts[0].iov_len / 2);
  return stopped(how);
}

#define SIMPLE(name, what, folder, path, types, arguments)   \
  int name types {                                           \
    GUARD(what, folder, path);                               \
    return REAL(name) arguments;                             \
  }

SIMPLE(fsync, "fsync", file, NULL, (int file), (file))
SIMPLE(fdatasync, "fsync", file, NULL, (int file), (file))
SIMPLE(ftruncate, "write", file, NULL, (int file, off_t size), (file, size))
SIMPLE(ftruncate64, "write", file, NULL, (int file, off64_t size), (file, size))
SIMPLE(truncate, "write", AT_FDCWD, path, (const char *path, off_t size), (path, size))
SIMPLE(truncate64, "write", AT_FDCWD, path, (const char *path, off64_t size), (path, size))
SIMPLE(mkdir, "mkdir", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
SIMPLE(mkdirat, "mkdir", folder, path, (int folder, const char *path, mode_t mode), (folder, path, mode))
SIMPLE(rmdir, "remove", AT_FDCWD, path, (const char *path), (path))
SIMPLE(unlink, "remove", AT_FDCWD, path, (const char *path), (path))
SIMPLE(unlinkat, "remove", folder, path, (int folder, const char *path, int flags), (folder, path, flags))
SIMPLE(rename, "rename", AT_FDCWD, to, (const char *from, const char *to), (from, to))
SIMPLE(renameat, "rename", b, to, (int a, const char *from, int b, const char *to), (a, from, b, to))
