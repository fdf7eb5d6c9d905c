/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_HTTP_COMMAND_H
#define GY_SERVERS_HTTP_HTTP_COMMAND_H

/* `gyre http` and `gyre start`. argv[0] is the subcommand. Return main's exit status: 0 done, 1
 * failed, 2 misused. */
int gy_http_main(int argc, char **argv);
int gy_start_main(int argc, char **argv);
int gy_serve_main(int argc, char **argv);

#endif
