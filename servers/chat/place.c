/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int gy_chat_store_place(char *path, size_t bytes)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (geteuid() == 0) {
        length = snprintf(path, bytes, "/var/lib/gyre/" GY_CHAT_STORE_NAME);
    } else if (state != NULL && state[0] == '/') {
        length = snprintf(path, bytes, "%s/gyre/" GY_CHAT_STORE_NAME, state);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(path, bytes, "%s/.local/state/gyre/" GY_CHAT_STORE_NAME, home);
    } else {
        length = snprintf(path, bytes, GY_CHAT_STORE_NAME);
    }
    return length > 0 && (size_t)length < bytes ? 0 : GY_EINVAL;
}

int gy_chat_store_folders(const char *path)
{
    char folder[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof folder) {
        return GY_EINVAL;
    }
    memcpy(folder, path, length + 1);
    for (char *at = strchr(folder + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST) {
            return gy_error_from_errno(errno);
        }
        *at = '/';
    }
    return 0;
}

static int wrong_store(const char *path, const char *why, int code, struct gy_error *error)
{
    return gy_error_set(error, code, "the store %s: %s", path, why);
}

/* The folder that a new file would be in. */
static int check_folder(const char *path, struct gy_error *error)
{
    char folder[PATH_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (length >= sizeof folder) {
        return wrong_store(path, "the path is too long", GY_EINVAL, error);
    }
    memcpy(folder, slash == NULL ? "." : path, length);
    folder[length] = '\0';
    if (stat(folder, &status) != 0) {
        return gy_error_set(error, gy_error_from_errno(errno),
                            "the store %s: its folder: %s; make it, or name another file", path,
                            strerror(errno));
    }
    return S_ISDIR(status.st_mode)
               ? 0
               : wrong_store(path, "what should be its folder is none", GY_EINVAL, error);
}

int gy_chat_store_check(const char *path, struct gy_error *error)
{
    static const char expected[] = "SQLite format 3"; /* and a NUL: sqlite.org, file format §1.3 */
    char begins[sizeof expected];
    struct stat status;
    if (stat(path, &status) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? check_folder(path, error)
                   : wrong_store(path, strerror(errno), gy_error_from_errno(errno), error);
    }
    if (!S_ISREG(status.st_mode)) {
        return wrong_store(path, "it is no file; name another one", GY_EINVAL, error);
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0) {
        return wrong_store(path, strerror(errno), gy_error_from_errno(errno), error);
    }
    ssize_t got = read(descriptor, begins, sizeof begins);
    close(descriptor);
    if (got != 0 &&
        (got != (ssize_t)sizeof begins || memcmp(begins, expected, sizeof begins) != 0)) {
        return wrong_store(path, "something else is in it; name another file", GY_EINVAL, error);
    }
    return 0;
}
