/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DROP_DROP_H
#define GY_PROTOCOLS_DROP_DROP_H

/*
 * Files over reliable UDP: the messages of `gyre rudp send`, `recv` and `serve --drop`. README.md
 * has the protocol. This is its codec: bytes in, a message out, and back; no state, no memory of
 * its own.
 *
 * Every message is one reliable ordered message of protocols/rudp. What is decoded points into the
 * bytes that it was decoded from.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GY_DROP_CHANNEL    0
#define GY_DROP_HASH_BYTES 32 /* SHA-256 */
#define GY_DROP_DATA_BYTES 65536
#define GY_DROP_DATA_HEAD  13 /* bytes of a DATA message before its data */
#define GY_DROP_NAME_BYTES 1024
/* Of one component of a name: with ".", "" and ".part" around it, file systems take it. */
#define GY_DROP_COMPONENT_BYTES 240
#define GY_DROP_TEXT_BYTES      200
#define GY_DROP_WORKING_MS      500        /* WORKING, each */
#define GY_DROP_UNKNOWN         UINT64_MAX /* a size that the sender does not know */
#define GY_DROP_SIZE_MAX        ((uint64_t)INT64_MAX)
/* The longest message but for DATA. */
#define GY_DROP_MESSAGE_BYTES 1200

enum gy_drop_type {
    GY_DROP_OFFER = 1,
    GY_DROP_FETCH = 2,
    GY_DROP_HAVE = 3,
    GY_DROP_FROM = 4,
    GY_DROP_DATA = 5,
    GY_DROP_END = 6,
    GY_DROP_RESULT = 7,
    GY_DROP_WORKING = 8,
};

/* How a transfer ended: X(name, number, words). */
#define GY_DROP_RESULTS(X)                                                                         \
    X(DONE, 0, "done")                                                                             \
    X(NAME, 1, "the name is not taken")                                                            \
    X(EXISTS, 2, "there is another file of that name")                                             \
    X(BUSY, 3, "somebody else is sending a file of that name")                                     \
    X(TOO_LARGE, 4, "the file is larger than is taken")                                            \
    X(NO_SPACE, 5, "no space is left on the device")                                               \
    X(NOT_FOUND, 6, "there is no such file")                                                       \
    X(IO, 7, "reading or writing failed")                                                          \
    X(CORRUPT, 8, "what arrived is not what was sent")                                             \
    X(CHANGED, 9, "the file changed while it was sent")                                            \
    X(PROTOCOL, 10, "a message that makes no sense")                                               \
    X(LIMIT, 11, "too many transfers at once")                                                     \
    X(NOT_HERE, 12, "that is not done here")                                                       \
    X(STOPPED, 13, "the other end gave up")

enum gy_drop_result {
#define GY_DROP_RESULT_ENUM(name, number, words) GY_DROP_##name = (number),
    GY_DROP_RESULTS(GY_DROP_RESULT_ENUM)
#undef GY_DROP_RESULT_ENUM
};

struct gy_drop_message {
    enum gy_drop_type type;
    uint32_t transfer;
    bool replace;                     /* OFFER */
    bool whole;                       /* HAVE */
    uint64_t offset;                  /* FETCH, HAVE, FROM, DATA, WORKING */
    uint64_t size;                    /* OFFER, FROM, END */
    uint8_t hash[GY_DROP_HASH_BYTES]; /* FETCH, HAVE, END */
    const uint8_t *data;              /* OFFER, FETCH: the name; DATA; RESULT: the text */
    uint32_t length;                  /* of it */
    uint8_t result;                   /* RESULT: enum gy_drop_result, or one of a later version */
};

/* 0, or GY_EPROTO: not such a message, or out of its bounds. */
int gy_drop_decode(struct gy_drop_message *message, const void *data, size_t length);

/* Writes any message but DATA; how many bytes: at most GY_DROP_MESSAGE_BYTES. Asserts the bounds
 * that gy_drop_decode() checks. */
size_t gy_drop_encode(const struct gy_drop_message *message, uint8_t out[GY_DROP_MESSAGE_BYTES]);

/* The head of a DATA message, whose data lie behind it. */
void gy_drop_encode_data(uint32_t transfer, uint64_t offset, uint8_t out[GY_DROP_DATA_HEAD]);

/* Whether a name may be offered (`components` 1) or fetched: relative, of so many components
 * between slashes at most, none of them empty, longer than GY_DROP_COMPONENT_BYTES, or beginning
 * with a dot; no control characters. */
bool gy_drop_name_is_good(const void *name, size_t length, unsigned components);

/* "there is no such file"; of a number that is none: "unknown result". */
const char *gy_drop_result_text(unsigned result);

#endif
