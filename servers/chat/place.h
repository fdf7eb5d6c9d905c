/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_PLACE_H
#define GY_SERVERS_CHAT_PLACE_H

/*
 * Where a chat server's store is when nobody says: for the server, which makes it there, and for
 * `gyre chat admin`, which finds the server's token beside it.
 *
 *     root                   /var/lib/gyre/chat.db
 *     XDG_STATE_HOME is set  $XDG_STATE_HOME/gyre/chat.db
 *     HOME is set            $HOME/.local/state/gyre/chat.db
 *     neither                chat.db, in the current folder
 */

#include <stdbool.h>
#include <stddef.h>

#include "../privilege.h"

#define GY_CHAT_STORE_NAME      "chat.db"
#define GY_CHAT_OPERATOR_SUFFIX ".operator" /* of the file that has the server's token */

/* 0; GY_EINVAL: it does not fit. */
int gy_chat_store_place(char *path, size_t bytes);

/* Makes the folders of a path that are not there, if that is the place of above, for the user who
 * serves alone (`owner`, where that is `given`). Of any other path they have to be there: one that
 * was mistyped is told. 0, or a GY_E… code with the sentence. */
int gy_chat_store_folders(const char *path, const struct gy_identity *owner,
                          struct gy_error *error);

/* Whether `path` could be a store, as far as can be told without opening the database: a file of
 * SQLite's or an empty one that may be read and written, or a name in a folder where one may be
 * made (or the place of above, whose folders may be made). For --check, and before anything
 * listens. Changes nothing. 0, or GY_EREFUSED, GY_EINVAL or what open(2) failed with, with the
 * sentence. Not for the process that has the store open: closing a file lets go of all locks that a
 * process has on it. */
int gy_chat_store_check(const char *path, struct gy_error *error);

#endif
