/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_COMMAND_H
#define GY_SERVERS_RUDP_RUDP_COMMAND_H

/* `gyre rudp serve` and `gyre rudp ping` (clients/rudp). Returns the exit status. */
int gy_rudp_main(int argc, char **argv);

#endif
