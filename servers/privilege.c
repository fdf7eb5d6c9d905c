/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/number.h"

static bool is_number(const char *text, unsigned *number)
{
    uint64_t parsed = 0;
    bool read = gy_number_read(text, 0, UINT32_MAX - 1, &parsed);
    *number = (unsigned)parsed;
    return read;
}

int gy_identity_find(struct gy_identity *identity, const char *text, struct gy_error *error)
{
    unsigned number;
    struct gy_identity found = {.given = true};
    const char *colon = strchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    if (length == 0 || length >= sizeof found.name) {
        return gy_error_set(error, GY_EINVAL, "user %.64s: write USER or USER:GROUP", text);
    }
    memcpy(found.name, text, length);
    const struct passwd *user =
        is_number(found.name, &number) ? getpwuid(number) : getpwnam(found.name);
    if (user == NULL) {
        return gy_error_set(error, GY_EINVAL, "user %s: there is no such user on this host",
                            found.name);
    }
    found.uid = user->pw_uid;
    found.gid = user->pw_gid;
    snprintf(found.name, sizeof found.name, "%s", user->pw_name);
    if (colon != NULL) {
        const struct group *group =
            is_number(colon + 1, &number) ? getgrgid(number) : getgrnam(colon + 1);
        if (group == NULL) {
            return gy_error_set(error, GY_EINVAL, "user %.64s: there is no group %.64s", text,
                                colon + 1);
        }
        found.gid = group->gr_gid;
    }
    bool same = geteuid() == found.uid && getegid() == found.gid;
    if (geteuid() != 0 && !same) {
        return gy_error_set(
            error, GY_EREFUSED,
            "user %.64s: only root can become another user; start as root, or leave "
            "the user out",
            text);
    }
    *identity = found;
    return 0;
}

int gy_identity_assume(const struct gy_identity *identity, struct gy_error *error)
{
    gy_assert(identity->given);
    const char *step = NULL;
    if (geteuid() == 0) {
        if (initgroups(identity->name, identity->gid) != 0) {
            step = "taking its groups";
        } else if (setresgid(identity->gid, identity->gid, identity->gid) != 0) {
            step = "taking its group";
        } else if (setresuid(identity->uid, identity->uid, identity->uid) != 0) {
            step = "taking its name";
        }
    }
    if (step == NULL && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        step = "renouncing new rights";
    }
    if (step != NULL) {
        return gy_error_set(error, gy_error_from_errno(errno), "becoming user %s: %s: %s",
                            identity->name, step, strerror(errno));
    }
    if (identity->uid != 0 && (setuid(0) == 0 || geteuid() == 0)) {
        return gy_error_set(error, GY_EREFUSED, "becoming user %s: the way back stayed open",
                            identity->name);
    }
    return 0;
}
