/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_TRANSFER_COMMAND_H
#define GY_CLIENTS_RUDP_TRANSFER_COMMAND_H

/* `gyre rudp send` and `gyre rudp recv`: main's exit status. */
int gy_rudp_send_main(int argc, char **argv);
int gy_rudp_recv_main(int argc, char **argv);

#endif
