/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/chat/place.h"

#include <errno.h>
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
