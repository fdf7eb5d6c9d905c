/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_REDIRECTS_H
#define GY_SERVERS_HTTP_REDIRECTS_H

/*
 * Redirects of one host:
 *
 *     redirect /old.html /new.html         that path
 *     redirect /docs/ /manual/ 308         all paths that begin so; what follows is kept
 *     redirect /app/ /gone.html            all paths that begin so, to one place
 *     redirect / https://example.org/      the whole host
 *     redirect =/docs/ /manual/            that path alone, though it ends in a slash
 *
 * FROM is a path, written as it is decoded. A query is kept, unless TO has one. A path alone goes
 * before any prefix, and the longer prefix before the shorter, in whatever order they are written.
 *
 * A path is compared as it was sent, decoded; and then, where that finds nothing, as the file
 * server would read it (without empty and dot segments), so that no spelling leads past a redirect.
 * What is kept of a path was sent as it is by the client, or is escaped anew; nothing in it can end
 * a header line, and it never begins with a second slash, which would name another host.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/error.h"
#include "../../protocols/http/http.h"

#define GY_REDIRECTS_MAX         4096 /* of one host */
#define GY_REDIRECT_PREFIXES_MAX 256  /* of them; each is compared */
#define GY_REDIRECT_FROM_MAX     1024
#define GY_REDIRECT_TO_MAX       2048
#define GY_REDIRECT_DEFAULT      301

/* Bytes of the longest Location. */
#define GY_REDIRECT_LOCATION_BYTES 8192

/* A chain of this many is taken for a circle when the configuration is checked; clients give up
 * after 20 or so. */
#define GY_REDIRECT_HOPS_MAX 8

struct gy_redirect {
    const char *from; /* without '='; both outlive the table */
    const char *to;
    const void *at; /* the caller's: where it is written */
    uint32_t from_length;
    uint32_t to_length;
    uint16_t status;
    bool prefix;    /* `from` ends in '/', and stands for all below it */
    bool keeps;     /* what follows the prefix is put behind `to` */
    bool has_query; /* `to` has one */
};

struct gy_redirects {
    struct gy_redirect *list; /* first the paths alone, in order; then prefixes, longest first */
    uint32_t count;
    uint32_t prefixes;
    uint32_t room;
    bool sorted;
};

/* Reads the values of a `redirect` directive: 2 or 3. 0, or GY_EINVAL, GY_ELIMIT, GY_ENOMEM with a
 * sentence. */
int gy_redirects_add(struct gy_redirects *redirects, const char *const *values, uint32_t count,
                     const void *at, struct gy_error *error);

/* To be called when all are there. NULL, or one that has the same FROM as another (*other). */
const struct gy_redirect *gy_redirects_sort(struct gy_redirects *redirects,
                                            const struct gy_redirect **other);

enum gy_redirect_verdict {
    GY_REDIRECT_NONE,
    GY_REDIRECT_FOUND,
    GY_REDIRECT_LONG, /* there is one, but the Location would be too long: 414 */
};

struct gy_redirect_location {
    char text[GY_REDIRECT_LOCATION_BYTES];
    uint32_t length;
    uint16_t status;
};

/* Where a request target leads. `location` is filled for FOUND. */
enum gy_redirect_verdict gy_redirects_find(const struct gy_redirects *redirects,
                                           struct gy_http_text target,
                                           struct gy_redirect_location *location);

/*
 * One that leads back to itself by way of others, or by a chain that does not end within
 * GY_REDIRECT_HOPS_MAX; NULL: none does. `chain` gets the way, for people. `follow` says where an
 * absolute TO leads: to the redirects of a host that is served here, *path being its path there; or
 * NULL, elsewhere.
 */
struct gy_redirect_map {
    const struct gy_redirects *(*follow)(void *context, const char *to, const char **path);
    void *context;
};

const struct gy_redirect *gy_redirects_circle(const struct gy_redirects *redirects,
                                              const struct gy_redirect_map *map, char *chain,
                                              size_t chain_bytes);

void gy_redirects_free(struct gy_redirects *redirects);

#endif
