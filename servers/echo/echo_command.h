/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_ECHO_ECHO_COMMAND_H
#define GY_SERVERS_ECHO_ECHO_COMMAND_H

/* `gyre echo`: the exit status for main. */
int gy_echo_main(int argc, char **argv);

#endif
