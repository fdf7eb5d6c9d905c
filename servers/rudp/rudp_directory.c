/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

int gy_rudp_directory_check(const char *what, const char *path, bool write, struct gy_error *error)
{
    if (path == NULL) {
        return 0;
    }
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int cause = descriptor < 0 ? errno : 0;
    if (cause == 0 && write && faccessat(descriptor, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        cause = errno;
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    switch (cause) {
    case 0:
        return 0;
    case ENOENT:
        return gy_error_set(error, GY_EINVAL,
                            "%s %.512s: there is no such directory; create it, or name another",
                            what, path);
    case ENOTDIR:
        return gy_error_set(error, GY_EINVAL, "%s %.512s: it is not a directory; name another",
                            what, path);
    case EACCES:
        return gy_error_set(error, GY_EREFUSED,
                            "%s %.512s: it may not be %s by this user (uid %u); chmod it, or run "
                            "as another user",
                            what, path, write ? "written to" : "read", (unsigned)geteuid());
    default:
        return gy_error_set(error, gy_error_from_errno(cause), "%s %.512s: %s", what, path,
                            strerror(cause));
    }
}
