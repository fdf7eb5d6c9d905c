/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_WS_WS_COMMAND_H
#define GY_CLIENTS_WS_WS_COMMAND_H

/* `gyre ws URL`: returns main's exit status. 0: the conversation was closed as it should be; 1: it
 * was not, or there was none; 2: misuse; 130: interrupted. */
int gy_ws_main(int argc, char **argv);

#endif
