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

#include "core/error.h"

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

/* Where nothing lies at `path` yet: may something be made there? */
static int check_folder(const char *path, struct gy_error *error)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (slash != NULL && length < sizeof folder) {
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    if (access(folder, W_OK | X_OK) == 0) {
        return 0;
    }
    int why = errno;
    return gy_error_set(error, gy_error_from_errno(why),
                        "opening the store %s: its folder %s: %s; make the folder, for the "
                        "server's user to write",
                        path, folder, strerror(why));
}

int gy_chat_store_check(const char *path, struct gy_error *error)
{
    static const char magic[16] = "SQLite format 3"; /* and its NUL, in every database's header */
    char head[sizeof magic];
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int why = errno;
        return why == ENOENT ? check_folder(path, error)
                             : gy_error_set(error, gy_error_from_errno(why),
                                            "opening the store %s: %s; is it a file that the "
                                            "server's user may read and write?",
                                            path, strerror(why));
    }
    bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    ssize_t got = regular ? pread(fd, head, sizeof head, 0) : -1;
    close(fd);
    if (!regular) {
        return gy_error_set(error, GY_EINVAL,
                            "opening the store %s: it is no regular file; name another", path);
    }
    if (got != 0 && (got != (ssize_t)sizeof head || memcmp(head, magic, sizeof head) != 0)) {
        return gy_error_set(error, GY_EINVAL,
                            "opening the store %s: it is no database of SQLite's; something else "
                            "is in it: name another file",
                            path);
    }
    return 0;
}
