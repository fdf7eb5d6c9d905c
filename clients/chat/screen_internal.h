/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_SCREEN_INTERNAL_H
#define GY_CLIENTS_CHAT_SCREEN_INTERNAL_H

#include <sys/queue.h>
#include <wchar.h>

#include "clients/chat/screen.h"

struct gy_screen_item {
    TAILQ_ENTRY(gy_screen_item) entry;
    uint64_t id;
    uint64_t time_ms;
    enum gy_screen_kind kind;
    bool gone;
    wchar_t *from;
    wchar_t *text;
    int rows;    /* that it takes at `columns` */
    int columns; /* 0: not known */
};

TAILQ_HEAD(gy_screen_items, gy_screen_item);

struct gy_screen_member {
    char nick[65];
    char mark;
};

struct gy_screen_room {
    char name[65];
    char topic[1025];
    struct gy_screen_items items;
    uint32_t count;
    uint32_t unread;
    int scrolled;                     /* rows above the end; 0: at the end */
    struct gy_screen_member *members; /* sorted */
    uint32_t member_count;
    uint32_t hidden_members; /* past GY_SCREEN_MEMBERS_MAX */
};

/* The line that is being written. */
struct gy_screen_input {
    wchar_t text[GY_SCREEN_INPUT_MAX + 1];
    int length, cursor;
    wchar_t *history[GY_SCREEN_HISTORY_MAX];
    int history_count, history_at;
    char taken[GY_SCREEN_INPUT_MAX * 4 + 1];
};

struct gy_screen {
    struct gy_screen_room *rooms[GY_SCREEN_ROOMS_MAX];
    uint32_t room_count;
    uint32_t current;
    struct gy_screen_input input;
    char nick[65];
    char status[80];
    char hint[512];
    bool dirty;
    bool hide_members;
};

/* UTF-8 as it may be shown: without control characters. malloc'ed; NULL without memory. */
wchar_t *gy_screen_clean(const char *text);

/* Likewise, on one line, and no more than there is room for. */
void gy_screen_clean_row(const char *text, wchar_t *clean, size_t room);

/* A key for the line. */
enum gy_screen_event gy_screen_edit(struct gy_screen_input *input, int key, bool function);

/* How many rows a text takes behind `indent` columns; calls `row` (which may be NULL) for each. */
int gy_screen_wrap(const wchar_t *text, int columns,
                   void (*row)(void *context, int number, const wchar_t *text, int length),
                   void *context);

/* Whether the first message of the room that is shown can be seen. There is one. */
bool gy_screen_at_top(const struct gy_screen *screen);

void gy_screen_begin_colours(void);

#endif
