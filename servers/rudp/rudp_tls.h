/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_RUDP_RUDP_TLS_H
#define GY_SERVERS_RUDP_RUDP_TLS_H

/*
 * Encryption of reliable UDP by TLS 1.3 (core/tls_quic.h), for the option `sealer` of a host; its
 * context is a gy_tls_config with GY_RUDP_ALPN as the only application protocol.
 */

#include "rudp_host.h"

#define GY_RUDP_ALPN "gyre-rudp/1"

extern const struct gy_rudp_sealer gy_rudp_tls;

#endif
