/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_RUDP_SIM_COMMAND_H
#define GY_CLIENTS_RUDP_SIM_COMMAND_H

/* `gyre rudp sim`. Returns the exit status. */
int gy_rudp_sim_main(int argc, char **argv);

#endif
