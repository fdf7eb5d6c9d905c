/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_HOST_NAMES_H
#define GY_SERVERS_HTTP_HOST_NAMES_H

/*
 * Which host a request is for, by the authority of its target (RFC 9110 §7.2): names that stand for
 * themselves, and *.example.org for every name below example.org, however deep. The exact name goes
 * before any pattern, and the longer pattern before the shorter. Letters' case, a port, and one dot
 * at the end make no difference. Names beyond ASCII are compared as their A-labels (RFC 5890),
 * which is how clients send them.
 *
 * The table is made once, and then only read: by any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/error.h"
#include "../../protocols/http/http.h"

/* Names of one table. */
#define GY_HOST_NAMES_MAX 4096

#define GY_HOST_NAME_BYTES 254

#define GY_HOST_NONE UINT32_MAX

struct gy_host_name {
    struct gy_host_name *next; /* of the same hash */
    uint32_t hash;
    uint32_t host;
    bool pattern;                  /* "*." stood before it */
    uint8_t length;                /* of the text */
    char text[GY_HOST_NAME_BYTES]; /* lower case, without the "*." */
};

struct gy_host_names {
    struct gy_host_name **buckets; /* NULL while it is empty */
    uint32_t bucket_count;
    uint32_t count;
    uint32_t patterns;
};

/* Checks a name, as a person writes it into the configuration. 0, or GY_EINVAL with a sentence. */
int gy_host_name_check(const char *name, struct gy_error *error);

/* Adds a name that was checked. 0; GY_ESTATE: it is there, *other is whose; GY_ELIMIT; GY_ENOMEM.
 */
int gy_host_names_add(struct gy_host_names *names, const char *name, uint32_t host,
                      uint32_t *other);

/* The host of "name", "name:port", "[address]:port"; GY_HOST_NONE when it is none of them, or
 * empty. */
uint32_t gy_host_names_find(const struct gy_host_names *names, struct gy_http_text authority);

/* What is left of an authority without its port and the dot at its end. */
struct gy_http_text gy_host_name_of(struct gy_http_text authority);

void gy_host_names_free(struct gy_host_names *names);

#endif
