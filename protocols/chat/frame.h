/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_CHAT_FRAME_H
#define GY_PROTOCOLS_CHAT_FRAME_H

/*
 * Frames of the chat protocol (protocols/chat/README.md): bytes to structs and back. No state, no
 * memory: what is decoded points into the bytes, what is encoded is written where the caller says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../core/error.h"

#define GY_CHAT_HEAD_BYTES    8
#define GY_CHAT_FRAME_MAX     65536 /* the length field's largest value */
#define GY_CHAT_FRAME_MIN_MAX 1024  /* the least that may be agreed on */
#define GY_CHAT_NICK_MAX      64
#define GY_CHAT_ROOM_MAX      64
#define GY_CHAT_CONTENTS_MAX  16000
#define GY_CHAT_TOPIC_MAX     1024
#define GY_CHAT_PASSWORD_MAX  1024
#define GY_CHAT_TOKEN_MAX     1024
#define GY_CHAT_SENTENCE_MAX  511

/* The length field of the longest frame that a server makes: a MESSAGE with all its texts at their
 * bounds. Such a frame fits into one block of output memory (core/bump.h), with the head of a
 * WebSocket frame before it. */
#define GY_CHAT_FRAME_SENT_MAX                                                                     \
    (GY_CHAT_HEAD_BYTES - 4 + 4 + 8 + 8 + 1 + 8 + 1 + 255 + 2 + GY_CHAT_CONTENTS_MAX)
#define GY_CHAT_NONE UINT64_MAX /* `since` of who has nothing */

/* Flags of a frame. */
#define GY_CHAT_MUST 0x01
#define GY_CHAT_MORE 0x02
#define GY_CHAT_PAST 0x04

/* Not terminated; points into the frame. */
struct gy_chat_text {
    const char *bytes;
    uint32_t length;
};

/*
 * Every type, once: X(number, NAME, member, fields). A field is F(kind, name), kinds U8, U16, U32,
 * U64, TEXT8, TEXT16. From this come the enum, the structs, the union, the codec and its tests.
 */
#define GY_CHAT_FIELDS_HELLO(F)                                                                    \
    F(U8, version_min) F(U8, version_max) F(U32, features) F(U32, frame_max) F(TEXT8, agent)
#define GY_CHAT_FIELDS_REGISTER(F) F(TEXT8, nick) F(TEXT16, password)
#define GY_CHAT_FIELDS_LOGIN(F)    F(TEXT8, nick) F(U8, method) F(TEXT16, secret)
#define GY_CHAT_FIELDS_NICK(F)     F(TEXT8, nick)
#define GY_CHAT_FIELDS_JOIN(F)     F(TEXT8, room) F(U8, policy) F(U64, since) F(U16, history)
#define GY_CHAT_FIELDS_LEAVE(F)    F(U32, room)
#define GY_CHAT_FIELDS_ROOMS(F)    F(TEXT8, prefix) F(TEXT8, after) F(U16, max)
#define GY_CHAT_FIELDS_TOPIC(F)    F(U32, room) F(U64, client_id) F(TEXT16, topic)
#define GY_CHAT_FIELDS_MEMBERS(F)  F(U32, room) F(TEXT8, after) F(U16, max)
#define GY_CHAT_FIELDS_SEND(F)     F(U32, room) F(U64, client_id) F(TEXT16, contents)
#define GY_CHAT_FIELDS_TELL(F)     F(TEXT8, nick) F(U64, client_id) F(TEXT16, contents)
#define GY_CHAT_FIELDS_EDIT(F)     F(U32, room) F(U64, client_id) F(U64, target) F(TEXT16, contents)
#define GY_CHAT_FIELDS_DELETE(F)   F(U32, room) F(U64, client_id) F(U64, target)
#define GY_CHAT_FIELDS_HISTORY(F)  F(U32, room) F(U8, by) F(U64, point) F(U16, max)
#define GY_CHAT_FIELDS_TYPING(F)   F(U32, room) F(U8, on)
#define GY_CHAT_FIELDS_PRESENCE(F) F(U8, status) F(TEXT8, note)
#define GY_CHAT_FIELDS_MODERATE(F)                                                                 \
    F(U32, room) F(U64, client_id) F(U8, action) F(TEXT8, nick) F(U32, seconds) F(TEXT8, reason)
#define GY_CHAT_FIELDS_PING(F)   F(TEXT8, any)
#define GY_CHAT_FIELDS_QUIT(F)   F(TEXT8, reason)
#define GY_CHAT_FIELDS_CHANGE(F) F(TEXT16, old) F(TEXT16, password)
#define GY_CHAT_FIELDS_REVOKE(F)
#define GY_CHAT_FIELDS_ADMIN(F)                                                                    \
    F(U8, action) F(U32, seconds) F(U64, after) F(TEXT8, subject) F(TEXT16, text)
#define GY_CHAT_FIELDS_WELCOME(F)                                                                  \
    F(U8, version) F(U32, features) F(U32, frame_max) F(U32, ping_ms) F(U64, now) F(TEXT8, server)
#define GY_CHAT_FIELDS_OK(F)
#define GY_CHAT_FIELDS_IDENTITY(F) F(U64, user) F(U8, kind) F(TEXT8, nick) F(TEXT16, token)
#define GY_CHAT_FIELDS_JOINED(F)                                                                   \
    F(U32, room)                                                                                   \
    F(U64, first) F(U64, last) F(U8, role) F(U32, slow_ms) F(TEXT8, name) F(TEXT16, topic)
#define GY_CHAT_FIELDS_ROOM(F) F(U32, members) F(TEXT8, name) F(TEXT16, topic)
#define GY_CHAT_FIELDS_MEMBER(F)                                                                   \
    F(U32, room) F(U8, role) F(U8, status) F(TEXT8, nick) F(TEXT8, note)
#define GY_CHAT_FIELDS_ACK(F) F(U32, room) F(U64, client_id) F(U64, id) F(U64, time)
#define GY_CHAT_FIELDS_MESSAGE(F)                                                                  \
    F(U32, room)                                                                                   \
    F(U64, id) F(U64, time) F(U8, kind) F(U64, target) F(TEXT8, from) F(TEXT16, contents)
#define GY_CHAT_FIELDS_GAP(F)    F(U32, room) F(U64, first) F(U64, last) F(U8, why)
#define GY_CHAT_FIELDS_END(F)    F(U8, more)
#define GY_CHAT_FIELDS_CAME(F)   F(U32, room) F(U8, what) F(U8, role) F(TEXT8, nick) F(TEXT8, other)
#define GY_CHAT_FIELDS_TYPES(F)  F(U32, room) F(U8, on) F(TEXT8, nick)
#define GY_CHAT_FIELDS_STATUS(F) F(U8, status) F(TEXT8, nick) F(TEXT8, note)
#define GY_CHAT_FIELDS_MOVE(F)   F(U32, in_ms) F(TEXT8, address)
#define GY_CHAT_FIELDS_ERROR(F)  F(U16, code) F(U8, fatal) F(U32, retry_ms) F(TEXT16, sentence)
#define GY_CHAT_FIELDS_PONG(F)   F(TEXT8, any)
#define GY_CHAT_FIELDS_PROBE(F)  F(TEXT8, any)
#define GY_CHAT_FIELDS_REPORT(F)                                                                   \
    F(U8, what)                                                                                    \
    F(U8, flags)                                                                                   \
    F(U64, number) F(U64, time) F(U64, until) F(TEXT8, name) F(TEXT8, other) F(TEXT16, text)
#define GY_CHAT_FIELDS_NOTICE(F) F(U64, time) F(TEXT8, from) F(TEXT16, contents)

#define GY_CHAT_TYPES(X)                                                                           \
    X(0x01, HELLO, hello)                                                                          \
    X(0x02, REGISTER, registration)                                                                \
    X(0x03, LOGIN, login)                                                                          \
    X(0x04, NICK, nick)                                                                            \
    X(0x05, JOIN, join)                                                                            \
    X(0x06, LEAVE, leave)                                                                          \
    X(0x07, ROOMS, rooms)                                                                          \
    X(0x08, TOPIC, topic)                                                                          \
    X(0x09, MEMBERS, members)                                                                      \
    X(0x0a, SEND, send)                                                                            \
    X(0x0b, TELL, tell)                                                                            \
    X(0x0c, EDIT, edit)                                                                            \
    X(0x0d, DELETE, deletion)                                                                      \
    X(0x0e, HISTORY, history)                                                                      \
    X(0x0f, TYPING, typing)                                                                        \
    X(0x10, PRESENCE, presence)                                                                    \
    X(0x11, MODERATE, moderate)                                                                    \
    X(0x12, PING, ping)                                                                            \
    X(0x13, QUIT, quit)                                                                            \
    X(0x14, CHANGE, change)                                                                        \
    X(0x15, REVOKE, revoke)                                                                        \
    X(0x16, ADMIN, admin)                                                                          \
    X(0x41, WELCOME, welcome)                                                                      \
    X(0x42, OK, ok)                                                                                \
    X(0x43, IDENTITY, identity)                                                                    \
    X(0x44, JOINED, joined)                                                                        \
    X(0x45, ROOM, room)                                                                            \
    X(0x46, MEMBER, member)                                                                        \
    X(0x47, ACK, ack)                                                                              \
    X(0x48, MESSAGE, message)                                                                      \
    X(0x49, GAP, gap)                                                                              \
    X(0x4a, END, end)                                                                              \
    X(0x4b, CAME, came)                                                                            \
    X(0x4c, TYPES, types)                                                                          \
    X(0x4d, STATUS, status)                                                                        \
    X(0x4e, MOVE, move)                                                                            \
    X(0x4f, ERROR, error)                                                                          \
    X(0x50, PONG, pong)                                                                            \
    X(0x51, PROBE, probe) /* PING of the server */                                                 \
    X(0x52, REPORT, report)                                                                        \
    X(0x53, NOTICE, notice)

enum gy_chat_type {
#define GY_CHAT_ENUM(number, NAME, member) GY_CHAT_##NAME = number,
    GY_CHAT_TYPES(GY_CHAT_ENUM)
#undef GY_CHAT_ENUM
};

#define GY_CHAT_C_U8(name)          uint8_t name;
#define GY_CHAT_C_U16(name)         uint16_t name;
#define GY_CHAT_C_U32(name)         uint32_t name;
#define GY_CHAT_C_U64(name)         uint64_t name;
#define GY_CHAT_C_TEXT8(name)       struct gy_chat_text name;
#define GY_CHAT_C_TEXT16(name)      struct gy_chat_text name;
#define GY_CHAT_C_FIELD(kind, name) GY_CHAT_C_##kind(name)

/* One struct for each type, as the table says; of those without a field, `nothing`. */
union gy_chat_body {
    uint8_t nothing;
#define GY_CHAT_MEMBER_STRUCT(number, NAME, member)                                                \
    struct {                                                                                       \
        GY_CHAT_FIELDS_##NAME(GY_CHAT_C_FIELD) uint8_t end_of_##member;                            \
    } member;
    GY_CHAT_TYPES(GY_CHAT_MEMBER_STRUCT)
#undef GY_CHAT_MEMBER_STRUCT
};

struct gy_chat_frame {
    uint8_t type; /* may be one that is not known */
    uint8_t flags;
    uint16_t tag;
    uint32_t bytes; /* of the whole frame */
    union gy_chat_body body;
};

enum gy_chat_code {
    GY_CHAT_MALFORMED = 1,
    GY_CHAT_VERSION,
    GY_CHAT_ORDER,
    GY_CHAT_UNSUPPORTED,
    GY_CHAT_TOO_BIG,
    GY_CHAT_NAME,
    GY_CHAT_TAKEN,
    GY_CHAT_REFUSED,
    GY_CHAT_ABSENT,
    GY_CHAT_FORBIDDEN,
    GY_CHAT_TOO_FAST,
    GY_CHAT_FULL,
    GY_CHAT_BUSY,
    GY_CHAT_STORAGE,
    GY_CHAT_TOO_SLOW,
    GY_CHAT_IDLE,
    GY_CHAT_DRAIN,
};

enum gy_chat_policy {
    GY_CHAT_DISCONNECT,
    GY_CHAT_DROP_OLDEST,
    GY_CHAT_LATEST_ONLY,
    GY_CHAT_SPILL,
};

enum gy_chat_role {
    GY_CHAT_ROLE_MEMBER,
    GY_CHAT_ROLE_OPERATOR,
    GY_CHAT_ROLE_OWNER,
    GY_CHAT_ROLE_MUTED,
};

/* Kinds of MESSAGE. */
enum gy_chat_kind {
    GY_CHAT_SAID,
    GY_CHAT_EDITED,
    GY_CHAT_DELETED,
    GY_CHAT_TOPIC_SET,
    GY_CHAT_MODERATED,
};

/* Values of HELLO's features. */
#define GY_CHAT_FEATURE_TYPING   0x00000001
#define GY_CHAT_FEATURE_PRESENCE 0x00000002
#define GY_CHAT_FEATURE_ACCOUNT  0x00000004 /* CHANGE and REVOKE */
#define GY_CHAT_FEATURE_ADMIN    0x00000008 /* ADMIN */

#define GY_CHAT_VERSION_NOW 1

enum gy_chat_method {
    GY_CHAT_GUEST,
    GY_CHAT_PASSWORD,
    GY_CHAT_CERTIFICATE,
    GY_CHAT_TOKEN,
};

/* Kinds of IDENTITY. */
enum gy_chat_identity {
    GY_CHAT_IS_GUEST,
    GY_CHAT_IS_ACCOUNT,
};

enum gy_chat_by {
    GY_CHAT_AFTER_ID,
    GY_CHAT_FROM_TIME,
    GY_CHAT_BEFORE_ID,
};

enum gy_chat_status {
    GY_CHAT_HERE,
    GY_CHAT_AWAY,
    GY_CHAT_STATUS_BUSY,
    GY_CHAT_OFFLINE, /* of events alone: its last connection has gone */
};

enum gy_chat_action {
    GY_CHAT_KICK = 1,
    GY_CHAT_BAN,
    GY_CHAT_UNBAN,
    GY_CHAT_MUTE,
    GY_CHAT_UNMUTE,
    GY_CHAT_MAKE_OPERATOR,
    GY_CHAT_MAKE_MEMBER,
    GY_CHAT_SLOW_MODE,
    GY_CHAT_MAKE_OWNER,
};

/* ADMIN's `action`. */
enum gy_chat_admin {
    GY_CHAT_ADMIN_ANNOUNCE = 1,
    GY_CHAT_ADMIN_CONNECTIONS,
    GY_CHAT_ADMIN_ACCOUNTS,
    GY_CHAT_ADMIN_BANS,
    GY_CHAT_ADMIN_END,
    GY_CHAT_ADMIN_BAN,
    GY_CHAT_ADMIN_UNBAN,
    GY_CHAT_ADMIN_REVOKE,
    GY_CHAT_ADMIN_PASSWORD,
    GY_CHAT_ADMIN_OPERATOR,
    GY_CHAT_ADMIN_NO_OPERATOR,
    GY_CHAT_ADMIN_KEEP_ROOM,
    GY_CHAT_ADMIN_DROP_ROOM,
};

/* REPORT's `what`. */
enum gy_chat_report {
    GY_CHAT_IS_CONNECTION = 1,
    GY_CHAT_IS_AN_ACCOUNT,
    GY_CHAT_IS_BAN,
};

/* REPORT's `flags`. */
#define GY_CHAT_REPORT_ACCOUNT  0x01 /* of a connection: not a guest */
#define GY_CHAT_REPORT_OPERATOR 0x02 /* of the server */

/* CAME's `what`. */
enum gy_chat_came {
    GY_CHAT_HAS_JOINED = 1,
    GY_CHAT_HAS_LEFT,
    GY_CHAT_WAS_KICKED,
    GY_CHAT_HAS_NICK,
    GY_CHAT_HAS_ROLE,
};

/* GAP's `why`. */
enum gy_chat_gap {
    GY_CHAT_GAP_SLOW = 1,
    GY_CHAT_GAP_RETENTION,
};

/* How long the frame at `data` is, head included, from its first `bytes` bytes. 0: more bytes are
 * needed (4 decide); GY_EINVAL: its length field is out of bounds (`frame_max` is what was agreed).
 */
int64_t gy_chat_frame_bytes(const uint8_t *data, uint32_t bytes, uint32_t frame_max);

/* Decodes one whole frame (`bytes` is what gy_chat_frame_bytes() said). 0; GY_ENOTFOUND for an
 * unknown type, whose head is decoded; GY_EINVAL when the body is too short or text is not UTF-8:
 * `*field` (which may be NULL) names the field, a constant. */
int gy_chat_decode(const uint8_t *data, uint32_t bytes, struct gy_chat_frame *frame,
                   const char **field);

/* Whether bytes may be text of this protocol: UTF-8 (RFC 3629) without a NUL. */
bool gy_chat_is_text(const void *data, size_t bytes);

/* Text of a C string, which outlives it. */
static inline struct gy_chat_text gy_chat_text_of(const char *string)
{
    return (struct gy_chat_text){string, (uint32_t)strlen(string)};
}

static inline bool gy_chat_text_equal(struct gy_chat_text a, struct gy_chat_text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

/* Bytes that the frame takes encoded. Its type is known; texts are within their bounds (255,
 * 65,535). */
uint32_t gy_chat_encoded_bytes(const struct gy_chat_frame *frame);

/* Writes it to `out`, which has that room, and returns how many bytes. `frame->bytes` is not looked
 * at. */
uint32_t gy_chat_encode(const struct gy_chat_frame *frame, uint8_t *out);

/* "SEND", "malformed"; NULL for what is not known. The server's PING (0x51) is "PROBE" here. */
const char *gy_chat_type_name(uint8_t type);
const char *gy_chat_code_name(uint16_t code);

#endif
