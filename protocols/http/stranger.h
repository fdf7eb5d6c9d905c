/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_STRANGER_H
#define GY_PROTOCOLS_HTTP_STRANGER_H

/*
 * For clients: what a server said that does not speak HTTP/1.1, in words for the person who gave
 * its address, and what to try. It goes by the first bytes alone.
 */

#include <stddef.h>
#include <stdint.h>

#define GY_HTTP_STRANGER_BYTES 256

/* Of what is shown of such an answer; more of it need not be kept. */
#define GY_HTTP_STRANGER_SHOWN 48

/* Fills `text` with a sentence, or with "" where the bytes may begin a response (RFC 9112 §4), or
 * there are none. Returns it. */
const char *gy_http_stranger(char text[GY_HTTP_STRANGER_BYTES], const uint8_t *data, size_t bytes);

#endif
