/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_CHAT_SCREEN_H
#define GY_CLIENTS_CHAT_SCREEN_H

/*
 * A terminal with rooms on the left, messages in the middle, members on the right and a line to
 * write in below: what `gyre chat` shows on a terminal. It knows nothing of the network; rooms are
 * known by name. By ncurses; one screen a process.
 *
 * Text of others is shown without its control characters, so that nobody can send a terminal's
 * commands.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define GY_SCREEN_ROOMS_MAX   64
#define GY_SCREEN_LINES_MAX   2000 /* messages kept of a room; the oldest are forgotten */
#define GY_SCREEN_MEMBERS_MAX 500  /* shown of a room */
#define GY_SCREEN_INPUT_MAX   4000 /* characters of what is being written */
#define GY_SCREEN_HISTORY_MAX 100  /* of what was written, for the arrow keys */

struct gy_screen;

enum gy_screen_kind {
    GY_SCREEN_SAID,
    GY_SCREEN_MINE,
    GY_SCREEN_NOTE, /* of the program, or of what happened in the room */
};

/* A message. `id` 0: has none (yet). Texts are UTF-8 and copied. */
struct gy_screen_message {
    uint64_t id;
    uint64_t time_ms;
    enum gy_screen_kind kind;
    const char *from;
    const char *text;
};

/* What a key came to. */
enum gy_screen_event {
    GY_SCREEN_NOTHING,
    GY_SCREEN_LINE,    /* Enter: gy_screen_take() has what was written */
    GY_SCREEN_ROOM,    /* another room is shown now */
    GY_SCREEN_EARLIER, /* scrolled to the first message: those before it may be added */
    GY_SCREEN_TYPED,   /* something was written or taken back */
    GY_SCREEN_QUIT,    /* ^C, or ^D in an empty line */
};

/* Takes the terminal over. GY_EREFUSED when it is none that can be drawn on, GY_ENOMEM. */
int gy_screen_open(struct gy_screen **screen, struct gy_error *error);

/* Gives the terminal back as it was. NULL is allowed. */
void gy_screen_close(struct gy_screen *screen);

/* Adds a room, or finds it. GY_ELIMIT past GY_SCREEN_ROOMS_MAX. */
int gy_screen_add_room(struct gy_screen *screen, const char *room);
void gy_screen_remove_room(struct gy_screen *screen, const char *room);

/* The room that is shown; NULL without one. */
const char *gy_screen_room(const struct gy_screen *screen);
void gy_screen_show_room(struct gy_screen *screen, const char *room);

void gy_screen_set_topic(struct gy_screen *screen, const char *room, const char *topic);

/* At the end, or, `earlier`, before the first. Without memory it is left out. */
void gy_screen_add(struct gy_screen *screen, const char *room,
                   const struct gy_screen_message *message, bool earlier);

/* New contents of a message; NULL: it was deleted. */
void gy_screen_change(struct gy_screen *screen, const char *room, uint64_t id, const char *text);

/* Id of the first message that has one; 0: none has. */
uint64_t gy_screen_first_id(const struct gy_screen *screen, const char *room);

/* Members come and go by name. `mark`: a character before the name (an operator's '@'), or ' '. */
void gy_screen_set_member(struct gy_screen *screen, const char *room, const char *nick, char mark);
void gy_screen_remove_member(struct gy_screen *screen, const char *room, const char *nick);
void gy_screen_clear_members(struct gy_screen *screen, const char *room);

/* Who one is, and how it stands ("connected"). */
void gy_screen_set_status(struct gy_screen *screen, const char *nick, const char *words);

/* What is said once, below the messages; empty: nothing. */
void gy_screen_hint(struct gy_screen *screen, const char *words);

/* The terminal has input: handles one key, and says what it came to; NOTHING with *more false when
 * there is none left. */
enum gy_screen_event gy_screen_key(struct gy_screen *screen, bool *more);

/* What was written, UTF-8; valid until the next call. The line is empty then. */
const char *gy_screen_take(struct gy_screen *screen);

/* Draws what has changed. */
void gy_screen_draw(struct gy_screen *screen);

#endif
