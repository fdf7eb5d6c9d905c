/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_PING_COMMAND_H
#define GY_CLIENTS_RUDP_PING_COMMAND_H

/* `gyre rudp ping`. Returns the exit status. */
int gy_rudp_ping_main(int argc, char **argv);

#endif
