/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_GET_GET_COMMAND_H
#define GY_CLIENTS_GET_GET_COMMAND_H

/* `gyre get URL…`: returns main's exit status. 0: all was fetched; 1: something was not; 2: misuse;
 * 130: interrupted. */
int gy_get_main(int argc, char **argv);

#endif
