/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_CHAT_COMMAND_H
#define GY_CLIENTS_CHAT_CHAT_COMMAND_H

/* `gyre chat HOST`: returns main's exit status. 0: all that was said is on the server's disk; 1: it
 * is not, or there was no server; 2: misuse; 130: interrupted. */
int gy_chat_line_main(int argc, char **argv);

#endif
