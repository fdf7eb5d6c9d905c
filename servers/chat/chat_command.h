/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_CHAT_COMMAND_H
#define GY_SERVERS_CHAT_CHAT_COMMAND_H

/* `gyre chat`. Returns the exit status. */
int gy_chat_main(int argc, char **argv);

#endif
