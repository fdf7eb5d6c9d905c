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
#include "core/file_check.h"

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

static bool is_usual(const char *path)
{
    char usual[PATH_MAX];
    return gy_chat_store_place(usual, sizeof usual) == 0 && strcmp(usual, path) == 0;
}

/* Of one folder; what is there stays whose it is. 0 or an errno value. */
static int make_folder(const char *folder, const struct gy_identity *owner)
{
    if (mkdir(folder, S_IRWXU) != 0) {
        return errno == EEXIST ? 0 : errno;
    }
    return owner->given && chown(folder, owner->uid, owner->gid) != 0 ? errno : 0;
}

int gy_chat_store_folders(const char *path, const struct gy_identity *owner, struct gy_error *error)
{
    char folder[PATH_MAX], text[GY_FILE_WHY_BYTES];
    size_t length = strlen(path);
    if (!is_usual(path) || length >= sizeof folder) {
        return 0;
    }
    memcpy(folder, path, length + 1);
    for (char *at = strchr(folder + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        int why = make_folder(folder, owner);
        if (why != 0) {
            return gy_error_set(error, gy_error_from_errno(why),
                                "opening the store %.200s: making its folder %.200s: %s", path,
                                folder, gy_file_why(text, folder, W_OK, why));
        }
        *at = '/';
    }
    return 0;
}

/* The folder that `path` is in; without any, ".". */
static void folder_of(char folder[PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
    snprintf(folder, PATH_MAX, "%s", slash == NULL ? "." : path);
    if (length < PATH_MAX) {
        folder[length] = '\0';
    }
}

/* Where nothing lies at `path` yet: may something be made there? */
static int check_folder(const char *path, struct gy_error *error)
{
    char folder[PATH_MAX], above[PATH_MAX];
    bool made = false;
    folder_of(folder, path);
    while (is_usual(path) && access(folder, F_OK) != 0 && errno == ENOENT &&
           strcmp(folder, "/") != 0) {
        folder_of(above, folder);
        memcpy(folder, above, sizeof folder);
        made = true;
    }
    if (access(folder, W_OK | X_OK) == 0) {
        return 0;
    }
    int cause = errno;
    char why[GY_FILE_WHY_BYTES];
    gy_file_why(why, folder, W_OK | X_OK, cause);
    return made
               ? gy_error_set(error, gy_error_from_errno(cause),
                              "opening the store %.200s: its folder is not there, and cannot be "
                              "made in %.200s: %s; or keep nothing: memory",
                              path, folder, why)
               : gy_error_set(error, gy_error_from_errno(cause),
                              "opening the store %.200s: its folder %.200s: %s", path, folder, why);
}

int gy_chat_store_check(const char *path, struct gy_error *error)
{
    static const char magic[16] = "SQLite format 3"; /* and its NUL, in every database's header */
    char head[sizeof magic];
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int cause = errno;
        char why[GY_FILE_WHY_BYTES];
        return cause == ENOENT
                   ? check_folder(path, error)
                   : gy_error_set(error, gy_error_from_errno(cause), "opening the store %.200s: %s",
                                  path, gy_file_why(why, path, R_OK | W_OK, cause));
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
