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

#include "../../core/error.h"

#define GY_CHAT_STORE_NAME      "chat.db"
#define GY_CHAT_OPERATOR_SUFFIX ".operator" /* of the file that has the server's token */

/* 0; GY_EINVAL: it does not fit. */
int gy_chat_store_place(char *path, size_t bytes);

/* Makes the folders of a path that are not there, for their owner alone. 0 or a GY_E… code. */
int gy_chat_store_folders(const char *path);

/*
 * Can a store be at `path`, as far as looking tells: its folder is there, and what is there by that
 * name is a file that is empty or one of SQLite's. Opens no database, so a server may be using it.
 * 0; GY_EINVAL, or what looking reported, with a sentence.
 */
int gy_chat_store_check(const char *path, struct gy_error *error);

#endif
