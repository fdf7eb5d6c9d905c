/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/chat/screen.h"

#include <curses.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/chat/screen_internal.h"

/* ---- rooms ---- */

static struct gy_screen_room *find_room(const struct gy_screen *screen, const char *name)
{
    for (uint32_t i = 0; i < screen->room_count; i++) {
        if (strcmp(screen->rooms[i]->name, name) == 0) {
            return screen->rooms[i];
        }
    }
    return NULL;
}

static struct gy_screen_room *current_room(const struct gy_screen *screen)
{
    return screen->room_count > 0 ? screen->rooms[screen->current] : NULL;
}

int gy_screen_add_room(struct gy_screen *screen, const char *room)
{
    if (find_room(screen, room) != NULL) {
        return 0;
    }
    if (screen->room_count == GY_SCREEN_ROOMS_MAX) {
        return GY_ELIMIT;
    }
    struct gy_screen_room *added = calloc(1, sizeof *added);
    if (added == NULL) {
        return GY_ENOMEM;
    }
    snprintf(added->name, sizeof added->name, "%s", room);
    TAILQ_INIT(&added->items);
    screen->rooms[screen->room_count++] = added;
    screen->dirty = true;
    return 0;
}

static void free_item(struct gy_screen_item *item)
{
    free(item->from);
    free(item->text);
    free(item);
}

static void free_room(struct gy_screen_room *room)
{
    struct gy_screen_item *next;
    for (struct gy_screen_item *item = TAILQ_FIRST(&room->items); item != NULL; item = next) {
        next = TAILQ_NEXT(item, entry);
        free_item(item);
    }
    free(room->members);
    free(room);
}

void gy_screen_remove_room(struct gy_screen *screen, const char *room)
{
    for (uint32_t i = 0; i < screen->room_count; i++) {
        if (strcmp(screen->rooms[i]->name, room) != 0) {
            continue;
        }
        free_room(screen->rooms[i]);
        screen->room_count--;
        memmove(screen->rooms + i, screen->rooms + i + 1,
                (screen->room_count - i) * sizeof screen->rooms[0]);
        screen->current -= screen->current > 0 && screen->current >= i;
        screen->dirty = true;
        return;
    }
}

const char *gy_screen_room(const struct gy_screen *screen)
{
    return screen->room_count > 0 ? current_room(screen)->name : NULL;
}

void gy_screen_show_room(struct gy_screen *screen, const char *room)
{
    for (uint32_t i = 0; i < screen->room_count; i++) {
        if (strcmp(screen->rooms[i]->name, room) == 0) {
            screen->current = i;
            screen->rooms[i]->unread = 0;
            screen->dirty = true;
        }
    }
}

void gy_screen_set_topic(struct gy_screen *screen, const char *room, const char *topic)
{
    struct gy_screen_room *of = find_room(screen, room);
    if (of != NULL) {
        snprintf(of->topic, sizeof of->topic, "%s", topic);
        screen->dirty = true;
    }
}

/* ---- messages ---- */

static struct gy_screen_item *make_item(const struct gy_screen_message *message)
{
    struct gy_screen_item *item = calloc(1, sizeof *item);
    if (item == NULL) {
        return NULL;
    }
    item->id = message->id;
    item->time_ms = message->time_ms;
    item->kind = message->kind;
    item->from = gy_screen_clean(message->from);
    item->text = gy_screen_clean(message->text);
    if (item->from == NULL || item->text == NULL) {
        free_item(item);
        return NULL;
    }
    return item;
}

void gy_screen_add(struct gy_screen *screen, const char *room,
                   const struct gy_screen_message *message, bool earlier)
{
    struct gy_screen_room *of = find_room(screen, room);
    struct gy_screen_item *item = of != NULL ? make_item(message) : NULL;
    if (item == NULL) {
        return;
    }
    if (earlier && of->count == GY_SCREEN_LINES_MAX) {
        free_item(item); /* no room before the first */
        return;
    }
    if (earlier) {
        TAILQ_INSERT_HEAD(&of->items, item, entry);
    } else {
        TAILQ_INSERT_TAIL(&of->items, item, entry);
        of->unread += of != current_room(screen) && message->kind == GY_SCREEN_SAID;
    }
    of->count++;
    if (of->count > GY_SCREEN_LINES_MAX) {
        struct gy_screen_item *first = TAILQ_FIRST(&of->items);
        TAILQ_REMOVE(&of->items, first, entry);
        of->count--;
        free_item(first);
    }
    screen->dirty = true;
}

void gy_screen_change(struct gy_screen *screen, const char *room, uint64_t id, const char *text)
{
    struct gy_screen_room *of = find_room(screen, room);
    struct gy_screen_item *item = NULL;
    if (of != NULL && id != 0) {
        TAILQ_FOREACH_REVERSE(item, &of->items, gy_screen_items, entry)
        {
            if (item->id == id) {
                break;
            }
        }
    }
    wchar_t *clean = item != NULL ? gy_screen_clean(text != NULL ? text : "was deleted") : NULL;
    if (clean != NULL) {
        free(item->text);
        item->text = clean;
        item->gone = text == NULL;
        item->columns = 0;
        screen->dirty = true;
    }
}

uint64_t gy_screen_first_id(const struct gy_screen *screen, const char *room)
{
    const struct gy_screen_room *of = find_room(screen, room);
    const struct gy_screen_item *item = NULL;
    if (of != NULL) {
        TAILQ_FOREACH(item, &of->items, entry)
        {
            if (item->id != 0) {
                return item->id;
            }
        }
    }
    return 0;
}

/* ---- members ---- */

/* Where it is, or is to be put. */
static uint32_t place_of(const struct gy_screen_room *room, const char *nick, bool *found)
{
    uint32_t low = 0, high = room->member_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strcmp(room->members[middle].nick, nick);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = false;
    return low;
}

void gy_screen_set_member(struct gy_screen *screen, const char *room, const char *nick, char mark)
{
    struct gy_screen_room *of = find_room(screen, room);
    bool found = false;
    if (of == NULL) {
        return;
    }
    if (of->members == NULL) {
        of->members = calloc(GY_SCREEN_MEMBERS_MAX, sizeof of->members[0]);
        if (of->members == NULL) {
            return;
        }
    }
    uint32_t at = place_of(of, nick, &found);
    screen->dirty = true;
    if (!found && of->member_count == GY_SCREEN_MEMBERS_MAX) {
        of->hidden_members++;
        return;
    }
    if (!found) {
        memmove(of->members + at + 1, of->members + at,
                (of->member_count - at) * sizeof of->members[0]);
        of->member_count++;
        snprintf(of->members[at].nick, sizeof of->members[at].nick, "%s", nick);
    }
    of->members[at].mark = mark;
}

void gy_screen_remove_member(struct gy_screen *screen, const char *room, const char *nick)
{
    struct gy_screen_room *of = find_room(screen, room);
    bool found = false;
    if (of == NULL) {
        return;
    }
    uint32_t at = place_of(of, nick, &found);
    if (found) {
        of->member_count--;
        memmove(of->members + at, of->members + at + 1,
                (of->member_count - at) * sizeof of->members[0]);
    } else {
        of->hidden_members -= of->hidden_members > 0;
    }
    screen->dirty = true;
}

void gy_screen_clear_members(struct gy_screen *screen, const char *room)
{
    struct gy_screen_room *of = find_room(screen, room);
    if (of != NULL) {
        of->member_count = of->hidden_members = 0;
        screen->dirty = true;
    }
}

/* ---- what is said of itself ---- */

void gy_screen_set_status(struct gy_screen *screen, const char *nick, const char *words)
{
    snprintf(screen->nick, sizeof screen->nick, "%s", nick);
    snprintf(screen->status, sizeof screen->status, "%s", words);
    screen->dirty = true;
}

void gy_screen_hint(struct gy_screen *screen, const char *words)
{
    snprintf(screen->hint, sizeof screen->hint, "%s", words);
    screen->dirty = true;
}

/* ---- keys ---- */

static enum gy_screen_event next_room(struct gy_screen *screen, uint32_t step)
{
    if (screen->room_count < 2) {
        return GY_SCREEN_NOTHING;
    }
    screen->current = (screen->current + step) % screen->room_count;
    current_room(screen)->unread = 0;
    return GY_SCREEN_ROOM;
}

static enum gy_screen_event scroll_by(struct gy_screen *screen, int rows)
{
    struct gy_screen_room *room = current_room(screen);
    if (room == NULL) {
        return GY_SCREEN_NOTHING;
    }
    room->scrolled += rows;
    if (room->scrolled < 0) {
        room->scrolled = 0;
    }
    return rows > 0 && gy_screen_at_top(screen) ? GY_SCREEN_EARLIER : GY_SCREEN_NOTHING;
}

static enum gy_screen_event take_key(struct gy_screen *screen, int key, bool function)
{
    if (function) {
        switch (key) {
        case KEY_RESIZE:
            return GY_SCREEN_NOTHING;
        case KEY_PPAGE:
            return scroll_by(screen, LINES / 2);
        case KEY_NPAGE:
            return scroll_by(screen, -(LINES / 2));
        case KEY_F(2):
            screen->hide_members = !screen->hide_members;
            return GY_SCREEN_NOTHING;
        default:
            break;
        }
    } else if (key == '\t') {
        return next_room(screen, 1);
    } else if (key == ('P' - '@')) {
        return next_room(screen, screen->room_count - 1);
    } else if (key == ('L' - '@')) {
        clearok(curscr, TRUE);
        return GY_SCREEN_NOTHING;
    }
    return gy_screen_edit(&screen->input, key, function);
}

enum gy_screen_event gy_screen_key(struct gy_screen *screen, bool *more)
{
    wint_t key = 0;
    int kind = get_wch(&key);
    *more = kind != ERR;
    if (kind == ERR) {
        return GY_SCREEN_NOTHING;
    }
    screen->hint[0] = '\0';
    screen->dirty = true;
    return take_key(screen, (int)key, kind == KEY_CODE_YES);
}

/* ---- begin and end ---- */

int gy_screen_open(struct gy_screen **screen, struct gy_error *error)
{
    *screen = NULL;
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX < 4) {
        setlocale(LC_CTYPE,
                  "C.UTF-8"); /* what is said is UTF-8, whatever the terminal's user set */
    }
    struct gy_screen *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return gy_error_set(error, GY_ENOMEM, "opening the screen: out of memory");
    }
    if (newterm(NULL, stdout, stdin) == NULL) {
        const char *name = getenv("TERM");
        free(opened);
        return gy_error_set(error, GY_EREFUSED,
                            "opening the screen: nothing is known of a terminal `%s`; set TERM, or "
                            "use --plain",
                            name != NULL ? name : "");
    }
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    gy_screen_begin_colours();
    opened->dirty = true;
    *screen = opened;
    return 0;
}

void gy_screen_close(struct gy_screen *screen)
{
    if (screen == NULL) {
        return;
    }
    endwin();
    while (screen->room_count > 0) {
        free_room(screen->rooms[--screen->room_count]);
    }
    for (int i = 0; i < screen->input.history_count; i++) {
        free(screen->input.history[i]);
    }
    free(screen);
}
