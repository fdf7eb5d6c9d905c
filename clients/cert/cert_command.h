/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CERT_COMMAND_H
#define GY_CLIENTS_CERT_COMMAND_H

/* `gyre cert`: a development authority, and certificates that it signs. Returns the exit status. */
int gy_cert_main(int argc, char **argv);

#endif
