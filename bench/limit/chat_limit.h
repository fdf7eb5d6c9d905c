/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the limit programs for chat share. They know what gyre-load says: a greeting of HELLO, LOGIN
 * and JOIN that comes whole, then SEND frames, perhaps cut. Each SEND becomes a MESSAGE with the
 * next number, everybody but the sender gets it, and the sender an ACK. Nothing else is understood,
 * stored or checked, and there is one room.
 */
#ifndef GYRE_BENCH_LIMIT_CHAT_LIMIT_H
#define GYRE_BENCH_LIMIT_CHAT_LIMIT_H

#include "bench/limit/echo_limit.h"

enum {
    CHAT_SEND_HEAD = 22,    /* with the length of the contents */
    CHAT_MESSAGE_HEAD = 37, /* up to and without the name of who sent it */
    CHAT_ACK = 36,
    CHAT_OUT = 256 * 1024, /* bytes of one turn's messages */
    CHAT_PART = 32 * 1024
};

/* Of one turn: what everybody gets, and what the sender gets. */
struct chat_turn {
    size_t messages, acks;
    char message[CHAT_OUT];
    char ack[CHAT_OUT];
};

/* A frame that was cut: one sender at a time. */
struct chat_sender {
    int fd;
    size_t have;
    char part[CHAT_PART];
    uint64_t id;
};

static const char chat_name[] = "limit";

static void chat_put(char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (char)(value >> (8 * (bytes - 1 - i)));
}

static size_t chat_head(char *at, int type, int tag, size_t length)
{
    chat_put(at, length - 4, 4);
    at[4] = (char)type;
    at[5] = 0;
    chat_put(at + 6, (uint64_t)tag, 2);
    return length;
}

static int chat_is_greeting(const char *bytes, size_t len)
{
    return len > 8 && bytes[4] == 1;
}

/* JOINED and END, with the tag of gyre-load's JOIN. Returns their length. */
static size_t chat_welcome(char at[64], uint64_t last)
{
    memset(at, 0, 64);
    size_t joined = chat_head(at, 0x44, 3, 8 + 4 + 8 + 8 + 1 + 4 + 1 + 2);
    chat_put(at + 8, 1, 4);
    chat_put(at + 20, last, 8);
    return joined + chat_head(at + joined, 0x4a, 3, 9);
}

/* One whole frame of `length` bytes. */
static void chat_take(struct chat_turn *turn, struct chat_sender *sender, const char *frame,
                      size_t length)
{
    size_t name = sizeof chat_name - 1;
    size_t contents = length - CHAT_SEND_HEAD;
    char *at = turn->message + turn->messages;
    char *ack = turn->ack + turn->acks;
    size_t bytes = CHAT_MESSAGE_HEAD + 1 + name + 2 + contents;

    if (turn->messages + bytes > CHAT_OUT || turn->acks + CHAT_ACK > CHAT_OUT)
        return;
    sender->id++;
    turn->messages += chat_head(at, 0x48, 0, bytes);
    memcpy(at + 8, frame + 8, 4);
    chat_put(at + 12, sender->id, 8);
    memset(at + 20, 0, 17);
    at[CHAT_MESSAGE_HEAD] = (char)name;
    memcpy(at + CHAT_MESSAGE_HEAD + 1, chat_name, name);
    memcpy(at + CHAT_MESSAGE_HEAD + 1 + name, frame + CHAT_SEND_HEAD - 2, 2 + contents);
    turn->acks += chat_head(ack, 0x47, 9, CHAT_ACK);
    memcpy(ack + 8, frame + 8, 12);
    chat_put(ack + 20, sender->id, 8);
    chat_put(ack + 28, 0, 8);
}

static size_t chat_frame_length(const char *bytes, size_t len)
{
    if (len < 4)
        return 0;
    size_t length = 4 + ((size_t)(unsigned char)bytes[1] << 16 |
                         (size_t)(unsigned char)bytes[2] << 8 | (unsigned char)bytes[3]);
    return length <= len ? length : 0;
}

/* What came from the sender, cut anywhere. */
static void chat_receive(struct chat_turn *turn, struct chat_sender *sender, const char *bytes,
                         size_t len)
{
    size_t length;

    if (sender->have > 0) {
        size_t room = CHAT_PART - sender->have;
        size_t now = len < room ? len : room;
        memcpy(sender->part + sender->have, bytes, now);
        size_t whole = sender->have + now, at = 0;
        while ((length = chat_frame_length(sender->part + at, whole - at)) > 0) {
            chat_take(turn, sender, sender->part + at, length);
            at += length;
        }
        sender->have = whole - at;
        memmove(sender->part, sender->part + at, sender->have);
        return;
    }
    while ((length = chat_frame_length(bytes, len)) > 0) {
        chat_take(turn, sender, bytes, length);
        bytes += length;
        len -= length;
    }
    if (len <= CHAT_PART) {
        memcpy(sender->part, bytes, len);
        sender->have = len;
    }
}

#endif
