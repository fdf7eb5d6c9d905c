/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_FRAMING_H
#define GY_PROTOCOLS_HTTP_H1_FRAMING_H

/*
 * What the server's and the client's side of a connection do alike with what arrives: finding the
 * head in a chain, taking chunks apart (RFC 9112 §7.1), reading trailers. Internal to
 * protocols/http.
 */

#include "protocols/http/h1_parse.h"

enum gy_h1_body_state {
    GY_H1_BODY_DONE,
    GY_H1_BODY_LENGTH,       /* Content-Length bytes */
    GY_H1_BODY_CLOSE,        /* a response's: until the connection ends */
    GY_H1_BODY_SIZE,         /* a chunk's size: digits */
    GY_H1_BODY_SIZE_SPACE,   /* bad white space behind it, which only ';' may follow */
    GY_H1_BODY_EXTENSION,    /* behind ';': a name must follow */
    GY_H1_BODY_EXTENSION_ON, /* within extensions */
    GY_H1_BODY_QUOTED,       /* within a quoted string of an extension */
    GY_H1_BODY_QUOTED_PAIR,  /* behind a backslash in it */
    GY_H1_BODY_SIZE_LF,      /* the LF of the size line */
    GY_H1_BODY_DATA,         /* a chunk's data */
    GY_H1_BODY_DATA_CR,      /* the CR LF behind it */
    GY_H1_BODY_DATA_LF,
    GY_H1_BODY_TRAILERS, /* the trailer section, empty or not */
};

/* A body in chunks begins. */
static inline void gy_h1_body_chunked(struct gy_h1_body *body, uint64_t max, uint32_t extension_max)
{
    *body =
        (struct gy_h1_body){.max = max, .extension_max = extension_max, .state = GY_H1_BODY_SIZE};
}

/* Goes through what frames chunks, up to data (state DATA), the trailers (state TRAILERS) or the
 * end of the first slice, and consumes it; `passed` is how many bytes. 0 or a refusal. */
int gy_h1_body_frame(struct gy_h1_body *body, struct gy_chain *in, uint32_t *passed);

/* What reading a section of a chain needs. */
struct gy_h1_reading {
    const struct gy_h1_parser *parser;
    const struct gy_h1_limits *limits;
    struct gy_bump *bump;
};

/* Reads and consumes the trailer section; `scan` is {0, GY_H1_SCAN_START} at first. GY_H1_PARSED
 * (trailers->section is held when there is one), GY_H1_INCOMPLETE, GY_ENOBUFS (no memory now; ask
 * again), or a refusal. */
int gy_h1_trailers_read(const struct gy_h1_reading *reading, struct gy_chain *in,
                        struct gy_h1_scan *scan, struct gy_h1_trailers *trailers);

/* A head to be found: `parse` is handed contiguous bytes and says as gy_h1_parser.head does, with
 * the head's length in `bytes`. */
struct gy_h1_found {
    int (*parse)(const struct gy_h1_reading *reading, const uint8_t *data, uint32_t length,
                 struct gy_h1_found *found);
    void *target; /* what `parse` writes to */
    uint32_t bytes;
    struct gy_slice slice; /* of the head, once it is parsed: held */
    bool joined;           /* it straddled slices and was copied; else it lies where received */
};

/* Finds, parses and consumes a head at the front of `in`, which is not empty. As above. */
int gy_h1_head_read(const struct gy_h1_reading *reading, struct gy_chain *in,
                    struct gy_h1_scan *scan, struct gy_h1_found *found);

/* The size line of a chunk, the CR LF before it included, or the last chunk's. */
#define GY_H1_CHUNK_BYTES 24

struct gy_h1_piece {
    bool chunked;              /* as a chunk; or as it is */
    bool end;                  /* the body ends with it */
    struct gy_chain *trailers; /* lines to send behind the last chunk; NULL: none */
};

/* Appends a piece of a body to `out` and empties it. 0 or GY_ENOBUFS: then some of it may have been
 * appended, and the message cannot be saved. */
int gy_h1_piece_write(struct gy_bump *bump, struct gy_chain *out, struct gy_chain *piece,
                      struct gy_h1_piece how);

#endif
