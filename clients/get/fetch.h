/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_GET_FETCH_H
#define GY_CLIENTS_GET_FETCH_H

/*
 * Fetching: URLs over connections that are kept and shared, redirects followed, cut transfers taken
 * up again where they broke off.
 */

#include "clients/get/save.h"
#include "clients/get/url.h"
#include "core/connections.h"
#include "core/tls_files.h"
#include "core/worker.h"
#include "protocols/http/h1_client.h"

#define GY_GET_HEADERS_MAX 32

/* What the command line asks for. */
struct gy_get_options {
    bool head;          /* only the response's head, to stdout */
    bool include;       /* the head before the body */
    bool resume;        /* go on with parts of earlier runs */
    bool any_status;    /* statuses of 400 and above are no failure */
    bool no_follow;     /* redirects are results */
    bool quiet;         /* no progress */
    uint32_t redirects; /* followed at most */
    uint32_t retries;   /* of each URL, after failures of the connection */
    uint32_t parallel;
    uint32_t pipeline; /* requests of files on one connection before the first is answered */
    uint32_t connect_timeout_ms, timeout_ms; /* of one URL, all told; 0: none */
    struct gy_tls_files tls;                 /* --ca, --cert, --insecure */
    const char *range;                       /* "0-99", "100-", "-5"; or NULL */
    struct gy_http_header headers[GY_GET_HEADERS_MAX];
    uint32_t header_count;
};

struct gy_get;

/* Where connections come from: of http, and of https. */
struct gy_get_origins {
    struct gy_connector connector;
    struct gy_connections connections;
    bool open;
};

/* One URL. */
struct gy_fetch {
    struct gy_get *get;
    const char *given; /* as on the command line */
    const char *file;  /* to save to; NULL: stdout */
    char *own_file;    /* the name made from the URL, freed here */
    struct gy_url url; /* where it is now */
    struct gy_save save;
    struct gy_lease lease;
    struct gy_h1_call call;
    struct gy_timer timer; /* the whole's deadline, or the wait before trying again */
    struct gy_backoff backoff;
    uint64_t until_ms;   /* 0: none */
    uint64_t resumed_at; /* where the response under way is asked to begin */
    uint64_t length;     /* of the whole file; GY_HTTP_UNKNOWN */
    uint32_t redirects, retries;
    struct gy_error error; /* why the call under way is of no use */
    char location[GY_URL_BYTES];
    char validator[GY_SAVE_VALIDATOR_BYTES]; /* of what was saved so far */
    bool redirected, reused, discards, waits;
    bool piped; /* the request went out behind others, or had others behind it */
    bool started, done;
    int status; /* 0 or GY_E…, once done */
};

struct gy_get {
    const struct gy_get_options *options;
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver *resolver;
    struct gy_get_origins plain;
    struct gy_get_origins secure; /* opened when it is needed */
    struct gy_tls_config *tls;
    struct gy_h1_client_env env;
    struct gy_fetch *fetches;
    uint32_t count;
    uint32_t next; /* to start */
    uint32_t active, done, failed;
    bool pipelines; /* no connection has ended with requests in its pipeline */
    uint64_t received_bytes;
};

/* Opens a worker for fetches, which are zeros but for given, file and own_file. 0 or a GY_E… with a
 * sentence. The struct must not move. */
int gy_get_open(struct gy_get *get, const struct gy_get_options *options, struct gy_fetch *fetches,
                uint32_t count, struct gy_error *error);

/* Starts what may be started, then does one turn of at most timeout_ms. True while fetches are
 * left. */
bool gy_get_turn(struct gy_get *get, uint32_t timeout_ms);

/* Gives up what is under way, and gives all back. */
void gy_get_close(struct gy_get *get);

#endif
