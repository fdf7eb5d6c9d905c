/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_HTTP_H1_PARSE_H
#define GY_PROTOCOLS_HTTP_H1_PARSE_H

/*
 * Parsing a request's head, or a trailer section, from contiguous bytes (RFC 9112 §2 to §5).
 *
 * The parser goes through the bytes in order and stops at the first that breaks a rule. What it
 * says of a prefix therefore never changes when more bytes follow: where a head is cut does not
 * decide how it is refused. Internal to protocols/http.
 *
 * There is one source (h1_parse_impl.h), compiled once per instruction set; all of them give equal
 * results.
 */

#include "protocols/http/h1.h"
#include "protocols/http/h1_client.h"

/* What gy_h1_parser.head and .trailers return beside a refusal (> 0). */
#define GY_H1_PARSED     0
#define GY_H1_INCOMPLETE (-1) /* well-formed so far, not at its end */

enum gy_h1_head_flag {
    GY_H1_HEAD_CLOSE = 1 << 0,             /* Connection: close */
    GY_H1_HEAD_KEEP_ALIVE = 1 << 1,        /* Connection: keep-alive */
    GY_H1_HEAD_UPGRADE = 1 << 2,           /* Connection: upgrade */
    GY_H1_HEAD_HOST = 1 << 3,              /* a Host field was seen */
    GY_H1_HEAD_LENGTH = 1 << 4,            /* a Content-Length was seen */
    GY_H1_HEAD_CODING = 1 << 5,            /* a Transfer-Encoding was seen */
    GY_H1_HEAD_CHUNKED = 1 << 6,           /* its last coding so far is chunked */
    GY_H1_HEAD_OTHER_CODING = 1 << 7,      /* one that is not known was applied */
    GY_H1_HEAD_CHUNKED_EARLY = 1 << 8,     /* chunked was followed by another coding */
    GY_H1_HEAD_EXPECT = 1 << 9,            /* Expect: 100-continue */
    GY_H1_HEAD_EXPECT_OTHER = 1 << 10,     /* any other expectation */
    GY_H1_HEAD_TARGET_AUTHORITY = 1 << 11, /* the target named the authority: Host does not count */
};

struct gy_h1_head {
    uint32_t bytes;              /* of the head, its empty line included; valid when parsed */
    uint16_t flags;              /* enum gy_h1_head_flag */
    uint8_t minor;               /* HTTP/1.minor, 0 or 1 */
    struct gy_http_span upgrade; /* the value of the Upgrade field */
};

/* Where trailer fields go. */
struct gy_h1_trailers {
    struct gy_http_field *fields;
    uint32_t room; /* fields */
    uint32_t count;
    struct gy_slice section; /* what their spans point into; see gy_h1_trailers_read() */
};

/* A response's head. */
struct gy_h1_answer {
    struct gy_h1_head head;
    uint64_t content_length; /* GY_HTTP_UNKNOWN without Content-Length */
    uint16_t status;
    uint16_t field_count;
    struct gy_http_span phrase;
    struct gy_http_field *fields; /* room for limits->fields */
};

struct gy_h1_parser {
    const char *name;

    /* Parses a head at `data` (its first byte is not CR or LF) into `exchange` (method, target,
     * authority, protocol, fields, content_length, secure unchanged) and `head`. GY_H1_PARSED,
     * GY_H1_INCOMPLETE, or a refusal. */
    int (*head)(const struct gy_h1_limits *limits, const uint8_t *data, uint32_t length,
                struct gy_http_exchange *exchange, struct gy_h1_head *head);

    /* Parses the field lines of a trailer section up to and with its empty line; forbidden ones
     * are dropped. */
    int (*trailers)(const struct gy_h1_limits *limits, const uint8_t *data, uint32_t length,
                    struct gy_h1_trailers *trailers);

    /* The same as `head` for the head of a response (RFC 9112 §4): status, minor, fields, framing.
     * Its refusals besides the request's are enum gy_h1_breach. */
    int (*response)(const struct gy_h1_limits *limits, const uint8_t *data, uint32_t length,
                    struct gy_h1_answer *answer);

    /* How many bytes from `data` on are neither control characters (HTAB is none) nor DEL. */
    uint32_t (*plain)(const uint8_t *data, uint32_t length);

    /* Writes field lines to `at`, which has room for them, and returns their end; NULL when a name
     * is no token or a value has a control character. */
    uint8_t *(*put_headers)(uint8_t *at, const struct gy_http_header *headers, uint32_t count);
};

extern const struct gy_h1_parser gy_h1_parser_portable;
#if defined(__x86_64__)
extern const struct gy_h1_parser gy_h1_parser_sse42;
extern const struct gy_h1_parser gy_h1_parser_avx2;
#endif

/* The parsers that this processor can run, fastest first; NULL behind the last. */
const struct gy_h1_parser *gy_h1_parser_nth(uint32_t index);

/* The search for the end of a head or trailer section that has not arrived whole. It looks at each
 * byte once, whatever the pieces. */
enum gy_h1_scan_state {
    GY_H1_SCAN_LINE,     /* within a line */
    GY_H1_SCAN_CR,       /* behind a CR within a line */
    GY_H1_SCAN_START,    /* at the start of a line */
    GY_H1_SCAN_START_CR, /* behind a CR at the start of a line */
    GY_H1_SCAN_STATE = 3,
    GY_H1_SCAN_LATER = 4, /* flag: the first line is over */
};

enum gy_h1_scan_result {
    GY_H1_SCAN_MORE, /* neither an end nor anything that cannot be right */
    GY_H1_SCAN_LOOK, /* parse up to `scanned` to know which */
};

/* Goes on from `scanned` bytes into the chain. `line_end` (may be NULL) gets the position behind
 * the last whole line that ended in this call, or 0. */
enum gy_h1_scan_result gy_h1_scan(const struct gy_h1_parser *parser, const struct gy_chain *chain,
                                  uint32_t *scanned, uint8_t *state, uint32_t *line_end);

/* ---- shared by the variants ------------------------------------------------------------------ */

/* The request target: its form, and with it authority and target (RFC 9112 §3.2). `line` is the
 * target as sent. 0 or a refusal. */
int gy_h1_target(const uint8_t *data, struct gy_http_span line, struct gy_http_exchange *exchange,
                 struct gy_h1_head *head);

/* The Host field. `plain_bytes` of the value, from its start, are GY_HTTP_CLASS_HOST. 0 or a
 * refusal. */
int gy_h1_host(const uint8_t *data, struct gy_http_span value, size_t plain_bytes,
               struct gy_http_exchange *exchange, struct gy_h1_head *head);

/* Any other field that frames or routes, recognised by its name. `content_length` is set where it
 * is one of those. 0 or a refusal. */
int gy_h1_special(const uint8_t *data, const struct gy_http_field *field, uint64_t *content_length,
                  struct gy_h1_head *head);

/* What can only be said of a whole head: Host, the body's framing (RFC 9112 §6.3). 0 or a refusal.
 */
int gy_h1_head_check(struct gy_http_exchange *exchange, struct gy_h1_head *head);

/* Whether names of this length may be special: Host, and those of gy_h1_special(): 4, 6, 7, 10,
 * 14, 17. */
#define GY_H1_SPECIAL_LENGTHS (1u << 4 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 14 | 1u << 17)

#endif
