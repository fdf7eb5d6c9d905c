/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_DIG_DIG_COMMAND_H
#define GY_CLIENTS_DIG_DIG_COMMAND_H

/* `gyre dig`: asks name servers, with dig's habits. The exit status. */
int gy_dig_main(int argc, char **argv);

#endif
