/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_FORWARD_COMMAND_H
#define GY_CLIENTS_RUDP_FORWARD_COMMAND_H

/* `gyre rudp forward`: main's exit status. */
int gy_rudp_forward_main(int argc, char **argv);

#endif
