/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_PRIVILEGE_H
#define GY_SERVERS_PRIVILEGE_H

/*
 * Who serves. A process that listens below port 1024 is started by root; the one that reads what
 * strangers send need not be root. So the parent keeps its rights (to open sockets and logs when it
 * reloads), and each serving process gives them up, for good, before its first connection.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "../core/error.h"

struct gy_identity {
    bool given;
    uid_t uid;
    gid_t gid;
    char name[64];
};

/* Looks up "USER" or "USER:GROUP" (names, or numbers that have a name). 0, GY_EINVAL when there is
 * none, GY_EREFUSED when this process may not become that user. */
int gy_identity_find(struct gy_identity *identity, const char *text, struct gy_error *error);

/* Becomes that user, with that user's groups, and without a way back: none of set-user-id, nor of
 * file capabilities (PR_SET_NO_NEW_PRIVS). Call it while the process has one thread. */
int gy_identity_assume(const struct gy_identity *identity, struct gy_error *error);

#endif
