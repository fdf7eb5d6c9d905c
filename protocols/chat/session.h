/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_SESSION_H
#define GY_PROTOCOLS_CHAT_SESSION_H

/*
 * The server's side of one chat connection (protocols/chat/README.md): from bytes to requests, from
 * answers and events to bytes. What the requests do is the hub's (hub.h).
 *
 * The owner
 *
 *     gives received bytes to gy_chat_session_read(), takes the requests, until it returns no more
 *     answers each by gy_chat_session_write() or gy_chat_session_write_error(), now or later
 *     sends what is in `out`: always whole frames
 *     calls gy_chat_session_expire() when gy_chat_session_deadline() has passed
 *     ends the connection when gy_chat_session_is_over() and `out` is sent
 *
 * The session itself speaks HELLO, WELCOME, PING and PONG, sees to the order of things, to limits
 * and rates, skips frames that it need not know, and refuses what breaks the rules; what reaches
 * the owner is of a known type, complete, within its bounds, and allowed at this point. The names
 * in it (nicks, rooms) are text, but not checked against the rules of name.h.
 *
 * Both levels (section 1) end up the same: a client of the book is turned into a guest who sends
 * LOGIN, JOIN and SEND, and what is written for it becomes the book's message, or nothing.
 *
 * LOGIN, REGISTER and NICK hold the session: nothing more is read until their answer was written
 * (IDENTITY, or ERROR, with their tag). So a client that sends everything at once is served in
 * order.
 *
 * Memory: the session is below 200 bytes and keeps no bytes of its own. Requests point into `in`,
 * or, where the frame was received in pieces, into the worker's one scratch buffer.
 *
 * Everything belongs to one worker. Nothing here allocates, blocks, or asks for the time.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../core/bump.h"
#include "../../core/error.h"
#include "../../core/slice.h"
#include "frame.h"

#define GY_CHAT_NO_DEADLINE UINT64_MAX

/* The most that is in front of contents in the book's broadcast: `from` as the server sets it. */
#define GY_CHAT_BOOK_HEAD_MAX (1 + 2 + 255 + 2)

struct gy_chat_limits {
    uint32_t frame_max;      /* length field of a client's frame; GY_CHAT_FRAME_MIN_MAX or more */
    uint32_t contents_max;   /* bytes of contents; at most GY_CHAT_CONTENTS_MAX */
    uint32_t output_high;    /* bytes in `out` above which nothing more is read */
    uint32_t output_max;     /* above which gy_chat_session_write() and _share() refuse */
    uint32_t requests_per_s; /* of one connection, in the long run; 0: any number */
    uint32_t requests_burst; /* at once, after a rest */
    uint32_t bytes_per_s;    /* received; 0: any number */
    uint32_t bytes_burst;    /* counted as one frame of frame_max at least */
    uint32_t refusals_max;   /* ERRORs too-fast in a row, after which the connection ends */
    uint32_t login_ms;       /* from the connection's beginning until it has an identity */
    uint32_t frame_ms;       /* for a frame that has begun to be whole; 0: any time */
    uint32_t ping_ms;        /* of silence until a PING is sent; 0: never */
    uint32_t pong_ms;        /* of further silence until the peer is given up */
};

/* Frames and contents of the largest size, 64 KiB and 256 KiB of output, 20 requests and 32 KiB a
 * second with 60 and 128 KiB at once, 100 refusals, 30 s to log in, 30 s for a frame, PING after
 * 60 s and 20 s to answer it. */
extern const struct gy_chat_limits gy_chat_limits_default;

struct gy_chat_counters {
    uint64_t sessions, book_sessions;
    uint64_t frames_in, frames_out; /* the book's messages included */
    uint64_t copied_bytes;          /* of received frames that came in pieces */
    uint64_t skipped;               /* optional frames of unknown types */
    uint64_t unsupported;           /* required ones, and unknown values */
    uint64_t malformed, too_big, order, version;
    uint64_t too_fast; /* requests that were refused, or put off, for their rate */
    uint64_t floods;   /* connections ended for it */
    uint64_t late;     /* connections ended: no login, or half a frame, in time */
    uint64_t idle;     /* connections ended: a PING was not answered */
    uint64_t pings_out;
    uint64_t output_full; /* writes refused at output_max */
};

struct gy_chat_session;

/* What the sessions of one worker share. */
struct gy_chat_env {
    struct gy_bump *bump;
    struct gy_slab *links; /* of every chain */
    struct gy_chat_limits limits;
    struct gy_chat_counters counters;
    uint64_t wall_ms;          /* Unix time: the owner sets it once a turn */
    uint32_t features;         /* that the server has; both by default */
    struct gy_chat_text name;  /* the server's, in WELCOME; at most 255 bytes */
    struct gy_chat_text lobby; /* the room of the book's clients */
    uint8_t book_policy;       /* their enum gy_chat_policy; GY_CHAT_DROP_OLDEST by default */

    /* What sessions share: takes one request, which is no HELLO, from the rates of whoever is
     * behind this one. 0; or
     * how long until it may be (ns), and then takes nothing. NULL: there are none. */
    uint64_t (*take)(void *context, struct gy_chat_session *session, uint64_t now_ns);
    void *take_context;
    uint8_t scratch[GY_CHAT_FRAME_MAX + 4];
};

/* With default limits, all features, the name "gyre" and the lobby "lobby"; set others afterwards.
 */
void gy_chat_env_init(struct gy_chat_env *env, struct gy_bump *bump, struct gy_slab *links);

enum gy_chat_level {
    GY_CHAT_LEVEL_UNKNOWN, /* nothing was read yet */
    GY_CHAT_LEVEL_FRAMES,
    GY_CHAT_LEVEL_BOOK,
};

/* One connection. Embed it in the owner's; its members are private but for those of the functions
 * below. */
struct gy_chat_session {
    struct gy_chat_env *env;
    struct gy_chain *out;
    uint64_t opened_ns;
    uint64_t heard_ns;    /* when the last frame was whole */
    uint64_t probe_ns;    /* when the PING was sent that is not answered; 0: none */
    uint64_t frame_ns;    /* when the frame began that is not whole; 0: none */
    uint64_t resume_ns;   /* the book: not read before; 0: is read */
    uint64_t requests_ns; /* until when the rates are used up, as the cell rate algorithm counts */
    uint64_t bytes_ns;
    uint32_t taken; /* bytes of `in` that the last request lies in */
    uint32_t features;
    uint32_t room;     /* the book's */
    uint32_t refusals; /* in a row */
    uint16_t held_tag;
    uint16_t flags;
    uint8_t state;
    uint8_t level;
};

/* `out` has the links of the env. `in_websocket`: what is read is the payload of binary messages,
 * and each frame that is sent is a binary message, its head (gy_chat_ws_head()) before it: so `out`
 * is the chain of the WebSocket (websocket.h), whose own frames may lie between. There is no book
 * there. */
void gy_chat_session_init(struct gy_chat_session *session, struct gy_chat_env *env,
                          struct gy_chain *out, bool in_websocket, uint64_t now_ns);

/*
 * Reads from `in` up to the next request.
 *
 * 1: `request` is one (its types are 0x02 to 0x16 but PING; after QUIT the session is over). It is
 * valid until the next call with any session of the env or until `in` is touched; it is dropped
 * from `in` by the next call with this session.
 * 0: more bytes are needed, or the session is over (then whatever comes is dropped unread).
 * GY_EAGAIN: nothing is read for now, as `out` has more than output_high, or the session is held,
 * or a client of the book is too fast; call again when `out` was sent, when the answer was written,
 * when the deadline has passed. GY_ENOBUFS: there is no memory now; call again when some sends have
 * completed.
 */
int gy_chat_session_read(struct gy_chat_session *session, struct gy_chain *in, uint64_t now_ns,
                         struct gy_chat_frame *request);

/* Says that a WebSocket message ends here, which is where a frame ends too (section 1): otherwise
 * the session is ended with ERROR malformed. Call it when gy_chat_session_read() returned 0. */
void gy_chat_session_end_message(struct gy_chat_session *session, const struct gy_chain *in);

/*
 * Sends an answer or an event; for a client of the book what is a message to it, everything else is
 * dropped. IDENTITY is what logs in; ERROR with `fatal` ends the session. Call
 * gy_chat_session_read() afterwards when gy_chat_session_is_held() turned false.
 * 0; GY_ESTATE when the session is over; GY_ELIMIT when `out` has more than output_max, which is
 * counted: what to do is the owner's choice (the room's policy); GY_ENOBUFS. After an error nothing
 * was sent and nothing has changed. ERROR and IDENTITY are not bound by output_max.
 */
int gy_chat_session_write(struct gy_chat_session *session, const struct gy_chat_frame *frame);

/* Sends what was encoded once for many, in the session's level and carriage: whole frames, binary
 * messages of them with their heads, or the book's messages. The slice is held once more. Errors as
 * gy_chat_session_write(). */
int gy_chat_session_share(struct gy_chat_session *session, struct gy_slice slice);

/* Refuses the request with that tag, with a sentence that says what was refused, why, and what to
 * try; one that is too long is cut. The book's client whose LOGIN or JOIN is refused is ended.
 * Returns as gy_chat_session_write(). */
int gy_chat_session_write_error(struct gy_chat_session *session, uint16_t tag,
                                enum gy_chat_code code, uint32_t retry_ms, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Ends the session: a fatal ERROR, as far as there is memory for it, and nothing after it. */
void gy_chat_session_end(struct gy_chat_session *session, enum gy_chat_code code, uint32_t retry_ms,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Likewise, also where nothing was read yet, which cannot be a client of the book that goes on: it
 * is told in frames. */
void gy_chat_session_refuse(struct gy_chat_session *session, enum gy_chat_code code,
                            uint32_t retry_ms, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Holds the session until it is let go, beside the holds of its own: for an owner that answers one
 * request after the other. */
void gy_chat_session_hold(struct gy_chat_session *session);
void gy_chat_session_let_go(struct gy_chat_session *session);

/* When gy_chat_session_expire() is to be called (ns), or GY_CHAT_NO_DEADLINE. Changes with every
 * call; calling it too early does nothing. */
uint64_t gy_chat_session_deadline(const struct gy_chat_session *session);

/* Sends the PING that is due, or ends a session that was silent, or slow, too long. True: call
 * gy_chat_session_read() again. */
bool gy_chat_session_expire(struct gy_chat_session *session, uint64_t now_ns);

static inline enum gy_chat_level gy_chat_session_level(const struct gy_chat_session *session)
{
    return (enum gy_chat_level)session->level;
}

/* Whether it agreed on a feature (GY_CHAT_FEATURE_…): only then it gets TYPES, or STATUS. */
static inline bool gy_chat_session_has(const struct gy_chat_session *session, uint32_t feature)
{
    return (session->features & feature) != 0;
}

/* Nothing more is read or written: send `out`, then end the connection. */
bool gy_chat_session_is_over(const struct gy_chat_session *session);

/* Whether IDENTITY was written. */
bool gy_chat_session_is_in(const struct gy_chat_session *session);

bool gy_chat_session_is_held(const struct gy_chat_session *session);

/* The head of a binary WebSocket message of so many bytes (below 65,536) from a server (RFC 6455
 * §5.2); returns its bytes. One message may hold several frames. */
#define GY_CHAT_WS_HEAD_MAX 4
uint32_t gy_chat_ws_head(uint32_t bytes, uint8_t *head);

/* The book's broadcast of a message, for gy_chat_session_share(): its bytes (at most
 * GY_CHAT_BOOK_HEAD_MAX and the contents), and writing it to `out`, which has that room. Only a
 * MESSAGE of kind GY_CHAT_SAID without GY_CHAT_PAST is for the book. */
uint32_t gy_chat_book_bytes(struct gy_chat_text from, struct gy_chat_text contents);
uint32_t gy_chat_book_encode(struct gy_chat_text from, struct gy_chat_text contents, uint8_t *out);

#endif
