/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_HTTP_RESPONSE_H
#define GY_BENCH_LOAD_HTTP_RESPONSE_H

/*
 * Where an HTTP/1.1 response ends and whether it is the expected one, as cheaply as can be told.
 *
 * The first response is kept. One that follows and is the same bytes, except for the value of its
 * Date field, has the same status, the same framing and the same body: that takes two memcmp. Any
 * other, and one that arrives in pieces, goes through a small incremental parser: status line,
 * Content-Length, chunked, Connection, until-close bodies (RFC 9112 §6.3); bodies are compared with
 * the first one's.
 *
 * This is a generator's parser, for answers to one request again and again: it is not a client. It
 * checks framing strictly and looks at no other field.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/error.h"
#include "../../protocols/http/stranger.h"

/* A body that is compared, and a whole response that is kept, at most. */
#define GY_LOAD_BODY_MAX  (64u << 20)
#define GY_LOAD_WHOLE_MAX 16384u

/* Statuses of whole responses: from 200 on, as interim ones are none. */
#define GY_LOAD_STATUS_FIRST 200
#define GY_LOAD_STATUSES     400

/* Of what is said of a response that is none. */
#define GY_LOAD_BROKEN_BYTES 96

/* What the first response was, and how many came of each kind. One for each worker. */
struct gy_load_expected {
    uint64_t statuses[GY_LOAD_STATUSES]; /* whole responses by status, without those that are */
    uint64_t alike;                      /* the same as `whole` */
    uint32_t status;                     /* of the last one that the parser read; an index */
    uint32_t whole_status;               /* of `whole`; an index */
    uint8_t *whole; /* the last one that the parser read in one piece and that was right */
    uint32_t whole_bytes;
    uint32_t date_at; /* offset of the Date value in `whole`, and its bytes; 0: none */
    uint32_t date_bytes;
    uint8_t *body; /* of the first response; NULL before it, or when bodies are not compared */
    uint64_t body_bytes;
    uint64_t body_room;
    bool body_known;
    bool answered;                         /* there was a whole response */
    bool check;                            /* bodies are compared */
    bool head;                             /* no response has a body: all answer HEAD */
    char broken[GY_LOAD_BROKEN_BYTES];     /* of the first BROKEN one, what and where; printable */
    char stranger[GY_HTTP_STRANGER_BYTES]; /* the first answer was none of HTTP/1.1: what it was */
};

enum gy_load_response_state {
    GY_LOAD_RESPONSE_STATUS,
    GY_LOAD_RESPONSE_FIELDS,
    GY_LOAD_RESPONSE_LENGTH, /* `left` bytes of body */
    GY_LOAD_RESPONSE_CHUNK_SIZE,
    GY_LOAD_RESPONSE_CHUNK,
    GY_LOAD_RESPONSE_CHUNK_END,
    GY_LOAD_RESPONSE_TRAILER,
    GY_LOAD_RESPONSE_CLOSE, /* until the connection ends */
};

#define GY_LOAD_LINE_BYTES 160

struct gy_load_response {
    enum gy_load_response_state state;
    uint16_t status;
    uint16_t line_bytes; /* of the line being read, up to GY_LOAD_LINE_BYTES */
    uint8_t last;        /* byte before this one, within the line */
    bool begun;          /* a byte of this response is there */
    bool chunked;
    bool has_length;
    bool close;
    bool differs; /* from the expected body */
    uint32_t head_bytes;
    uint64_t left;
    uint64_t body_bytes; /* so far */
    uint8_t line[GY_LOAD_LINE_BYTES];
};

enum gy_load_verdict {
    GY_LOAD_VERDICT_MORE,
    GY_LOAD_VERDICT_RIGHT,
    GY_LOAD_VERDICT_STATUS, /* whole, and not 2xx or 3xx */
    GY_LOAD_VERDICT_BODY,   /* whole, and another body than the first's */
    GY_LOAD_VERDICT_BROKEN, /* not HTTP/1.1, or its framing is not valid */
};

/* `head`: what answers HEAD (RFC 9112 §6.3, the first of its rules). */
void gy_load_expected_open(struct gy_load_expected *expected, bool check, bool head);
void gy_load_expected_close(struct gy_load_expected *expected);

/* Whole responses so far, by status: GY_LOAD_STATUSES of them. */
const uint64_t *gy_load_expected_statuses(struct gy_load_expected *expected);

void gy_load_response_begin(struct gy_load_response *response);

/* Reads up to the end of one response; `used` bytes (all, for MORE). After any other verdict the
 * response has begun anew, but `close` tells of the one that ended. */
enum gy_load_verdict gy_load_response_read(struct gy_load_response *response,
                                           struct gy_load_expected *expected, const uint8_t *data,
                                           uint32_t bytes, uint32_t *used);

/* The connection ended: RIGHT, STATUS or BODY when that ended a response, MORE when it cut one
 * short, BROKEN when there was none. */
enum gy_load_verdict gy_load_response_end(struct gy_load_response *response,
                                          struct gy_load_expected *expected);

#endif
