/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_HOLDER_H
#define GY_SERVERS_CHAT_HOLDER_H

/*
 * Which process has a store open, and waiting for it to end. The kernel's list of locks says so
 * (/proc/locks): nothing is opened to find out, as closing a file again would let go of all locks
 * that this process has on it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../core/error.h"

/* How long a process that is none of the supervisor's may take to end. */
#define GY_CHAT_HOLDER_WAIT_MS 10000
/* Between two looks at a file that another process has. */
#define GY_CHAT_HOLDER_LOOK_MS 20

struct gy_chat_holder {
    pid_t pid;
    bool own;          /* this very process */
    bool supervised;   /* to be set: this process has a supervisor */
    bool sibling;      /* one of that supervisor; who shares a shell or service manager is none */
    char name[32];     /* of its program; "" where that may not be known */
    uint64_t began_ms; /* since when gy_chat_holder_await waits; 0: it has not */
};

/* False: nobody has it, or one who cannot be seen (in another container, on another host). */
bool gy_chat_holder_find(struct gy_chat_holder *holder, const char *path);

/*
 * What to do about a store that another process has, after so long. `holder` is zeroed before the
 * first call, but for `supervised`, and becomes who has it; a change of it is logged. Of the
 * processes of one supervisor the old one gives the file up by itself. Another one may be about to
 * end, as a server that is being restarted is; but it may as well serve for years, and then nobody
 * is to be told that there is a chat here.
 *
 * 0: try again in a moment. GY_EAGAIN: wait, however long, it is one's own, or cannot be known.
 * With the sentence: GY_EREFUSED, a stranger has it, and has had his time; GY_EINVAL, this process
 * has it already.
 */
int gy_chat_holder_judge(struct gy_chat_holder *holder, const char *path, uint64_t waited_ms,
                         struct gy_error *error);

/*
 * Opens the store by `open`, as often as that says GY_EAGAIN (another process has it) and
 * gy_chat_holder_judge that it will not be long. The time a stranger has counts from the first call
 * on: who calls again after it was in vain does not begin anew. Returns what `open` did, or the
 * judgement.
 */
int gy_chat_holder_await(struct gy_chat_holder *holder, const char *path,
                         int (*open)(void *context, struct gy_error *error), void *context,
                         struct gy_error *error);

#endif
