/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_DNS_DNS_COMMAND_H
#define GY_SERVERS_DNS_DNS_COMMAND_H

/* `gyre dns`: returns main's exit status. */
int gy_dns_main(int argc, char **argv);

#endif
