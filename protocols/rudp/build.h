/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_RUDP_BUILD_H
#define GY_PROTOCOLS_RUDP_BUILD_H

/* One packet in the making: output.c decides when there is one and of which level, and seals it;
 * build.c fills it. */

#include "internal.h"

struct build {
    enum gy_rudp_level level;
    struct gy_writer writer;
    struct gy_rudp_piece *pieces, **tail; /* in their order */
    bool ack, eliciting, credit, done, full, probing;
    bool fec, trial;   /* carries what a REPAIR is to cover; is as long as may be possible */
    bool elsewhere;    /* goes to another address, without a mark */
    bool blocked;      /* says that there is no credit */
    uint8_t grants[8]; /* channels whose credit it says */
    uint8_t grant_count;
    /* The message written last, if nothing follows it: to be written again without its length. */
    struct gy_rudp_piece *last;
    struct gy_writer before_last;
};

/* false: it does not fit. */
bool gy_rudp_put(struct build *build, const struct gy_rudp_frame *frame);

/* What a piece is on the wire; points into the message, or what TLS says. */
void gy_rudp_frame_of(const struct gy_rudp_conn *conn, const struct gy_rudp_piece *piece,
                      struct gy_rudp_frame *frame);

/* These set build->full where something had to be left for the next packet. */

/* Pieces of that list, which is of what was lost: the connection's, or one of TLS's streams'. */
void gy_rudp_put_repeats(struct gy_rudp_conn *conn, struct build *build,
                         struct gy_rudp_link *repeat);
/* What TLS says and was not sent yet. */
void gy_rudp_put_crypto(struct gy_rudp_conn *conn, struct build *build, enum crypto_stream stream);
/* Messages of all channels, by their priorities. */
void gy_rudp_put_messages(struct gy_rudp_conn *conn, struct build *build);
/* Of one channel what may be taken twice, whole, as long as nothing else is before it. */
void gy_rudp_put_early(struct gy_rudp_conn *conn, struct build *build,
                       struct gy_rudp_channel *channel);

/* Credit of channels, of as many as fit; that there is none, where messages wait for it. */
void gy_rudp_put_grants(struct gy_rudp_conn *conn, struct build *build);
void gy_rudp_put_blocked(struct gy_rudp_conn *conn, struct build *build);

/* false: it does not fit. */
bool gy_rudp_put_ack(struct gy_rudp_conn *conn, struct build *build, uint64_t now_ns);
/* In front of the acknowledgement, so that the sender knows in time what it is worth. */
void gy_rudp_put_recovered(struct gy_rudp_conn *conn, struct build *build);

#endif
