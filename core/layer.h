/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_LAYER_H
#define GY_CORE_LAYER_H

/*
 * A layer: what lies between the bytes on the wire and the bytes that a session sees; TLS is one
 * (core/tls.h). Streams of an endpoint with a layer receive into layer->in and send from
 * layer->out; the layer turns the one into stream->in and stream->out into the other. A session
 * does not notice, except that it is opened once the layer's handshake is done.
 *
 * Input is taken before the session runs. Output is made at the turn's end, for everything that
 * the session wrote in it, and only when no send is in flight: so it becomes few large records, and
 * what waits is bounded by stream->out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

struct gy_endpoint;
struct gy_stream;

/* One connection's, at the head of what the layer itself keeps for it. */
struct gy_layer {
    const struct gy_layer_ops *ops;
    struct gy_chain in;   /* received, and not yet taken by the layer */
    struct gy_chain out;  /* made by the layer, and not yet sent */
    uint64_t deadline_ms; /* of the handshake; core's */
    bool established;     /* the handshake is done, or so far that there is input for a session */
    bool unproven;        /* it is not done yet: the input may be a copy of what somebody else sent
                             before (RFC 8446 §8), and must change nothing */
    bool eof;             /* the peer has shut its side: what is in `in` is the last */
    bool more;   /* more input than stream->in had room for: to be asked again when it has */
    bool shut;   /* `shutdown` was called */
    bool failed; /* nothing more is read; what is in `out` (an alert) is sent, then it ends */
};

/* Constant. Calls come from the owning worker's thread. */
struct gy_layer_ops {
    /* What an endpoint's streams share on this worker: endpoint->layer_state. `context` is that of
     * the endpoint's options. 0, or a GY_E… code with a sentence. */
    int (*attach)(struct gy_endpoint *endpoint, const void *context, struct gy_error *error);
    void (*detach)(struct gy_endpoint *endpoint);

    /* Begins on a connection, accepted or dialled: sets stream->layer, zeroed but for ops and
     * the chains (on worker->links). 0, or GY_ELIMIT or GY_ENOMEM at a bound. */
    int (*open)(struct gy_stream *stream, bool dialled);

    /* Dialled, before the handshake: the host that is meant, a name or an address, which the peer
     * has to prove to be. 0, or a GY_E… code. May be NULL, for a layer without such proofs. */
    int (*expect)(struct gy_stream *stream, const char *host);

    /* Why it failed, as a sentence, into `text`; "" when it did not. */
    const char *(*explain)(struct gy_stream *stream, char *text, size_t text_bytes);

    /* Takes from layer->in what it can, appends to stream->in as long as that is below the
     * stream's receive_high_bytes (otherwise it sets `more`), goes on with the handshake, and sets
     * stream->eof when the peer has ended its side in the layer's terms. Sets `failed` when the
     * peer broke the layer's protocol, or could not be trusted. GY_ENOBUFS when memory was short
     * and it is to be asked again; else 0. */
    int (*input)(struct gy_stream *stream);

    /* Takes from the front of stream->out and appends to layer->out, about bytes_max. GY_ENOBUFS
     * when memory was short and it is to be asked again; else 0. */
    int (*output)(struct gy_stream *stream, uint32_t bytes_max);

    /* All of stream->out was taken, and no more will come: tells the peer so. */
    void (*shutdown)(struct gy_stream *stream);

    /* Gives back what the connection held, stream->layer with it. Its chains are empty. */
    void (*close)(struct gy_stream *stream);
};

#endif
