/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/file_check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"

#define SHOWN 200 /* bytes of a path within a phrase */

static bool may(const char *path, int rights)
{
    return faccessat(AT_FDCWD, path, rights, AT_EACCESS) == 0;
}

/* The directory of the path that may not be entered, in `folder`. False: none. */
static bool find_barrier(char folder[PATH_MAX], const char *path)
{
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= PATH_MAX) {
            return false;
        }
        memcpy(folder, path, length);
        folder[length] = '\0';
        if (!may(folder, X_OK)) {
            return true;
        }
    }
    return false;
}

/* The directory that `path` lies in. */
static void folder_of(char folder[PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    snprintf(folder, PATH_MAX, "%.*s", (int)length, slash == NULL ? "." : path);
}

static const char *verb(int rights, bool directory)
{
    return rights & W_OK   ? directory ? "written in" : "written"
           : rights & R_OK ? "read"
                           : "entered";
}

/* "file: it may not be read by this user (uid 5, it is of uid 0, mode 0600); …" */
static const char *lacks(char *text, const char *subject, const char *path, int rights)
{
    struct stat status = {0};
    char whose[64] = "";
    bool known = stat(path, &status) == 0;
    bool directory = known && S_ISDIR(status.st_mode);
    if (known) {
        snprintf(whose, sizeof whose, "; it belongs to uid %u, mode %04o", (unsigned)status.st_uid,
                 (unsigned)status.st_mode & 07777);
    }
    snprintf(text, GY_FILE_WHY_BYTES,
             "%s may not be %s by this user (uid %u%s); chown or chmod it, or run as another user",
             subject, verb(rights, directory), (unsigned)geteuid(), whose);
    return text;
}

static const char *why_refused(char *text, const char *path, int rights)
{
    char folder[PATH_MAX], subject[SHOWN + 32];
    struct stat status;
    if (find_barrier(folder, path)) {
        snprintf(subject, sizeof subject, "its folder %.*s", SHOWN, folder);
        return lacks(text, subject, folder, X_OK);
    }
    if (rights & W_OK && stat(path, &status) != 0 && errno == ENOENT) {
        folder_of(folder, path);
        snprintf(subject, sizeof subject, "its folder %.*s", SHOWN, folder);
        return lacks(text, subject, folder, W_OK);
    }
    int missing = rights & R_OK && !may(path, R_OK)   ? R_OK
                  : rights & W_OK && !may(path, W_OK) ? W_OK
                  : rights & X_OK && !may(path, X_OK) ? X_OK
                                                      : rights;
    return lacks(text, "it", path, missing);
}

const char *gy_file_why(char text[GY_FILE_WHY_BYTES], const char *path, int rights, int errno_value)
{
    switch (errno_value) {
    case EACCES:
        return why_refused(text, path, rights);
    case ENOENT:
        snprintf(text, GY_FILE_WHY_BYTES, "%s%s", strerror(errno_value),
                 rights & W_OK ? "; create the folder, or name another" : "");
        break;
    case EISDIR:
        snprintf(text, GY_FILE_WHY_BYTES, "it is a directory; name a file");
        break;
    case EROFS:
        snprintf(text, GY_FILE_WHY_BYTES,
                 "the file system is mounted for reading only; name another place");
        break;
    default:
        snprintf(text, GY_FILE_WHY_BYTES, "%s", strerror(errno_value));
        break;
    }
    return text;
}

int gy_file_check_directory(const char *what, const char *path, int rights, struct gy_error *error)
{
    struct stat status;
    char why[GY_FILE_WHY_BYTES];
    if (path == NULL) {
        return 0;
    }
    int cause = stat(path, &status) != 0   ? errno
                : !S_ISDIR(status.st_mode) ? ENOTDIR
                : may(path, rights)        ? 0
                                           : errno;
    switch (cause) {
    case 0:
        return 0;
    case ENOENT:
        return gy_error_set(error, GY_EINVAL,
                            "%s %.512s: there is no such directory; create it, or name another",
                            what, path);
    case ENOTDIR:
        return gy_error_set(error, GY_EINVAL,
                            "%s %.512s: it is not a directory; name the directory", what, path);
    case EACCES:
        return gy_error_set(error, GY_EREFUSED, "%s %.256s: %s", what, path,
                            gy_file_why(why, path, rights, cause));
    default:
        return gy_error_set(error, gy_error_from_errno(cause), "%s %.512s: %s", what, path,
                            gy_file_why(why, path, rights, cause));
    }
}
