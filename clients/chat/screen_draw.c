/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Drawing: the whole screen anew when something has changed; ncurses sends what differs. */

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/chat/screen_internal.h"

enum {
    ROOMS_WIDTH = 16,
    MEMBERS_WIDTH = 18,
    NARROW = 60, /* columns, below which only the messages are shown */
    TIME_WIDTH = 6,
    NAME_WIDTH = 14,
    COLOURS = 6 /* of names */
};

/* Pairs. */
enum { PLAIN_PAIR, BAR_PAIR, QUIET_PAIR, FIRST_NAME_PAIR };

struct area {
    int top, left, rows, columns;
};

static const short name_colours[COLOURS] = {COLOR_CYAN,    COLOR_GREEN, COLOR_YELLOW,
                                            COLOR_MAGENTA, COLOR_BLUE,  COLOR_RED};

void gy_screen_begin_colours(void)
{
    if (!has_colors()) {
        return;
    }
    start_color();
    use_default_colors();
    init_pair(BAR_PAIR, COLOR_WHITE, COLOR_BLUE);
    init_pair(QUIET_PAIR, COLORS >= 16 ? 8 : COLOR_CYAN, -1);
    for (int i = 0; i < COLOURS; i++) {
        init_pair((short)(FIRST_NAME_PAIR + i), name_colours[i], -1);
    }
}

static attr_t colour_of(const wchar_t *name)
{
    uint32_t hash = 2166136261u;
    for (; *name != L'\0'; name++) {
        hash = (hash ^ (uint32_t)*name) * 16777619u;
    }
    return COLOR_PAIR(FIRST_NAME_PAIR + hash % COLOURS);
}

/* Text in one row, cut to its columns; the rest of them stays blank. */
static void put(int row, int column, int columns, attr_t attributes, const char *text)
{
    wchar_t wide[512];
    gy_screen_clean_row(text, wide, sizeof wide / sizeof wide[0]);
    size_t count = wcslen(wide);
    if (columns <= 0) {
        return;
    }
    while (count > 0 && wcswidth(wide, count) > columns) {
        wide[--count] = L'\0';
    }
    attrset(attributes);
    mvaddnwstr(row, column, wide, (int)count);
    attrset(A_NORMAL);
}

static void put_bar(int row, const char *text)
{
    attrset(has_colors() ? COLOR_PAIR(BAR_PAIR) : A_REVERSE);
    mvhline(row, 0, ' ', COLS);
    put(row, 1, COLS - 2, has_colors() ? COLOR_PAIR(BAR_PAIR) | A_BOLD : A_REVERSE, text);
}

/* ---- messages ---- */

static int indent_of(const struct area *area, const struct gy_screen_item *item)
{
    return item->kind == GY_SCREEN_NOTE ? TIME_WIDTH
           : area->columns < NARROW     ? TIME_WIDTH
                                        : TIME_WIDTH + NAME_WIDTH + 2;
}

/* In a narrow place the name has a row of its own. */
static int rows_above(const struct area *area, const struct gy_screen_item *item)
{
    return item->kind != GY_SCREEN_NOTE && area->columns < NARROW ? 1 : 0;
}

static int rows_of(const struct area *area, struct gy_screen_item *item)
{
    if (item->columns != area->columns) {
        item->columns = area->columns;
        item->rows = rows_above(area, item) +
                     gy_screen_wrap(item->text, area->columns - indent_of(area, item), NULL, NULL);
    }
    return item->rows;
}

struct drawing {
    const struct area *area;
    int row; /* of the item's first; may be above the area */
    int column;
    attr_t attributes;
};

static void draw_row(void *context, int number, const wchar_t *text, int length)
{
    const struct drawing *drawing = context;
    int row = drawing->row + number;
    if (row >= drawing->area->top && row < drawing->area->top + drawing->area->rows) {
        attrset(drawing->attributes);
        mvaddnwstr(row, drawing->column, text, length);
        attrset(A_NORMAL);
    }
}

static void draw_head(const struct area *area, const struct gy_screen_item *item, int row)
{
    char text[16];
    struct tm local;
    time_t seconds = (time_t)(item->time_ms / 1000);
    if (row < area->top || row >= area->top + area->rows || localtime_r(&seconds, &local) == NULL) {
        return;
    }
    strftime(text, sizeof text, "%H:%M", &local);
    put(row, area->left, TIME_WIDTH, COLOR_PAIR(QUIET_PAIR), text);
    if (item->kind == GY_SCREEN_NOTE) {
        return;
    }
    int length = (int)wcslen(item->from);
    while (length > 0 && wcswidth(item->from, (size_t)length) > NAME_WIDTH) {
        length--;
    }
    attrset(colour_of(item->from) | (item->kind == GY_SCREEN_MINE ? A_BOLD : 0));
    mvaddnwstr(row, area->left + TIME_WIDTH, item->from, length);
    attrset(A_NORMAL);
}

static void draw_item(const struct area *area, struct gy_screen_item *item, int row)
{
    draw_head(area, item, row);
    struct drawing drawing = {.area = area,
                              .row = row + rows_above(area, item),
                              .column = area->left + indent_of(area, item),
                              .attributes = item->gone || item->kind == GY_SCREEN_NOTE
                                                ? COLOR_PAIR(QUIET_PAIR)
                                                : A_NORMAL};
    gy_screen_wrap(item->text, area->columns - indent_of(area, item), draw_row, &drawing);
}

static int rows_in_all(const struct area *area, struct gy_screen_room *room)
{
    struct gy_screen_item *item = NULL;
    int rows = 0;
    TAILQ_FOREACH(item, &room->items, entry)
    {
        rows += rows_of(area, item);
    }
    return rows;
}

static void draw_messages(const struct area *area, struct gy_screen_room *room)
{
    struct gy_screen_item *item = NULL;
    int all = rows_in_all(area, room);
    int most = all > area->rows ? all - area->rows : 0;
    if (room->scrolled > most) {
        room->scrolled = most;
    }
    int row = area->top + area->rows + room->scrolled;
    TAILQ_FOREACH_REVERSE(item, &room->items, gy_screen_items, entry)
    {
        row -= rows_of(area, item);
        if (row < area->top + area->rows) {
            draw_item(area, item, row);
        }
        if (row <= area->top) {
            break;
        }
    }
}

static struct area messages_area(const struct gy_screen *screen)
{
    int left = COLS >= NARROW ? ROOMS_WIDTH + 1 : 0;
    int right = COLS >= NARROW + MEMBERS_WIDTH && !screen->hide_members ? MEMBERS_WIDTH + 1 : 0;
    return (struct area){1, left, LINES - 4, COLS - left - right};
}

bool gy_screen_at_top(const struct gy_screen *screen)
{
    struct area area = messages_area(screen);
    struct gy_screen_room *room = screen->rooms[screen->current];
    return room->scrolled + area.rows >= rows_in_all(&area, room);
}

/* ---- the rest ---- */

static void draw_rooms(const struct gy_screen *screen, int rows)
{
    for (uint32_t i = 0; i < screen->room_count && (int)i < rows; i++) {
        const struct gy_screen_room *room = screen->rooms[i];
        char text[96];
        bool inbox = strcmp(room->name, "@") == 0;
        if (room->unread > 0) {
            snprintf(text, sizeof text, "%s%s (%u)", inbox ? "" : "#",
                     inbox ? "for me" : room->name, room->unread);
        } else {
            snprintf(text, sizeof text, "%s%s", inbox ? "" : "#", inbox ? "for me" : room->name);
        }
        put(1 + (int)i, 0, ROOMS_WIDTH,
            i == screen->current ? A_REVERSE
            : room->unread > 0   ? A_BOLD
                                 : A_NORMAL,
            text);
    }
    mvvline(1, ROOMS_WIDTH, ACS_VLINE, rows);
}

static void draw_members(const struct gy_screen_room *room, int left, int rows)
{
    uint32_t shown = 0;
    mvvline(1, left, ACS_VLINE, rows);
    for (; shown < room->member_count && (int)shown < rows - 1; shown++) {
        char text[80];
        const struct gy_screen_member *member = &room->members[shown];
        snprintf(text, sizeof text, "%c%s", member->mark, member->nick);
        put(1 + (int)shown, left + 1, MEMBERS_WIDTH, A_NORMAL, text);
    }
    uint32_t more = room->member_count - shown + room->hidden_members;
    if (more > 0) {
        char text[32];
        snprintf(text, sizeof text, " and %u more", more);
        put(1 + (int)shown, left + 1, MEMBERS_WIDTH, COLOR_PAIR(QUIET_PAIR), text);
    }
}

/* The part of the line around the cursor that fits. */
static void draw_input(const struct gy_screen *screen)
{
    const struct gy_screen_input *input = &screen->input;
    int columns = COLS - 3;
    int from = input->cursor;
    int used = 0;
    while (from > 0 && used + wcwidth(input->text[from - 1]) <= columns) {
        used += wcwidth(input->text[--from]);
    }
    int to = input->cursor;
    int width = used;
    while (to < input->length && width + wcwidth(input->text[to]) <= columns) {
        width += wcwidth(input->text[to++]);
    }
    mvaddstr(LINES - 1, 0, "> ");
    mvaddnwstr(LINES - 1, 2, input->text + from, to - from);
    move(LINES - 1, 2 + used);
}

void gy_screen_draw(struct gy_screen *screen)
{
    char text[1200];
    if (!screen->dirty) {
        return;
    }
    screen->dirty = false;
    erase();
    struct gy_screen_room *room = screen->room_count > 0 ? screen->rooms[screen->current] : NULL;
    struct area area = messages_area(screen);
    snprintf(text, sizeof text, "%s%s%s", room != NULL ? room->name : "Gyre chat",
             room != NULL && room->topic[0] != '\0' ? "  " : "", room != NULL ? room->topic : "");
    put_bar(0, text);
    if (room != NULL && area.rows > 0) {
        draw_messages(&area, room);
        if (area.left > 0) {
            draw_rooms(screen, area.rows);
        }
        if (area.left + area.columns < COLS) {
            draw_members(room, area.left + area.columns, area.rows);
        }
    }
    put(LINES - 3, 0, COLS, A_BOLD, screen->hint);
    snprintf(text, sizeof text, "%s  %s%s", screen->nick, screen->status,
             room != NULL && room->scrolled > 0 ? "  (scrolled up: Page Down goes on)" : "");
    put_bar(LINES - 2, text);
    draw_input(screen);
    refresh();
}
