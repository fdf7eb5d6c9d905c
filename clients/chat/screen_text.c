/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Text on a screen: cleaned, wrapped, and the line that is being written. */

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "clients/chat/screen_internal.h"
#include "core/utf8.h"

#define CONTROL(letter) ((letter) - '@')

/* What would move the cursor, change its colours, or turn the direction of the text around is not.
 */
static bool is_shown(uint32_t code)
{
    return code >= 0x20 && code != 0x7f && !gy_utf8_misleads(code);
}

wchar_t *gy_screen_clean(const char *text)
{
    size_t bytes = strlen(text);
    wchar_t *clean = malloc((bytes + 1) * sizeof *clean);
    size_t count = 0;
    for (size_t at = 0; clean != NULL && at < bytes;) {
        uint32_t code = 0;
        size_t length = gy_utf8_decode(text + at, bytes - at, &code);
        if (length == 0) {
            code = 0xfffd;
            length = 1;
        }
        at += length;
        if (code == '\n' || is_shown(code)) {
            clean[count++] = (wchar_t)code;
        } else {
            clean[count++] = code == '\t' ? L' ' : 0xfffd;
        }
    }
    if (clean != NULL) {
        clean[count] = L'\0';
    }
    return clean;
}

void gy_screen_clean_row(const char *text, wchar_t *clean, size_t room)
{
    size_t bytes = strlen(text), count = 0;
    for (size_t at = 0; at < bytes && count + 1 < room;) {
        uint32_t code = 0xfffd;
        size_t length = gy_utf8_decode(text + at, bytes - at, &code);
        at += length > 0 ? length : 1;
        clean[count++] = code == '\n' || code == '\t'   ? L' '
                         : length > 0 && is_shown(code) ? (wchar_t)code
                                                        : 0xfffd;
    }
    clean[count] = L'\0';
}

static int width_of(wchar_t character)
{
    int width = wcwidth(character);
    return width < 0 ? 1 : width;
}

/* How much of the text goes into a row: up to a blank, where there is one. */
static int row_length(const wchar_t *text, int columns, int *skip)
{
    int used = 0, blank = -1, at = 0;
    for (; text[at] != L'\0' && text[at] != L'\n'; at++) {
        used += width_of(text[at]);
        if (used > columns && at > 0) {
            break;
        }
        if (text[at] == L' ') {
            blank = at;
        }
    }
    if (text[at] == L'\0' || text[at] == L'\n') {
        *skip = text[at] == L'\n';
        return at;
    }
    if (blank > 0 && text[at] != L' ') {
        *skip = 1;
        return blank;
    }
    *skip = text[at] == L' ';
    return at;
}

int gy_screen_wrap(const wchar_t *text, int columns,
                   void (*row)(void *context, int number, const wchar_t *text, int length),
                   void *context)
{
    int rows = 0;
    do {
        int skip;
        int length = row_length(text, columns > 0 ? columns : 1, &skip);
        if (row != NULL) {
            row(context, rows, text, length);
        }
        rows++;
        text += length + skip;
        if (skip == 0 && length == 0) {
            break;
        }
    } while (*text != L'\0');
    return rows;
}

/* ---- the line ---- */

static void set_line(struct gy_screen_input *input, const wchar_t *text)
{
    size_t length = text != NULL ? wcslen(text) : 0;
    length = length > GY_SCREEN_INPUT_MAX ? GY_SCREEN_INPUT_MAX : length;
    if (length > 0) {
        wmemcpy(input->text, text, length);
    }
    input->length = input->cursor = (int)length;
    input->text[length] = L'\0';
}

static void recall(struct gy_screen_input *input, int step)
{
    int at = input->history_at + step;
    if (at < 0 || at > input->history_count) {
        return;
    }
    input->history_at = at;
    set_line(input, at < input->history_count ? input->history[at] : NULL);
}

static void cut(struct gy_screen_input *input, int from, int to)
{
    wmemmove(input->text + from, input->text + to, (size_t)(input->length - to) + 1);
    input->length -= to - from;
    input->cursor = from;
}

static int word_before(const struct gy_screen_input *input)
{
    int at = input->cursor;
    while (at > 0 && iswspace((wint_t)input->text[at - 1])) {
        at--;
    }
    while (at > 0 && !iswspace((wint_t)input->text[at - 1])) {
        at--;
    }
    return at;
}

static enum gy_screen_event insert_character(struct gy_screen_input *input, wchar_t character)
{
    if (!is_shown((uint32_t)character) || input->length == GY_SCREEN_INPUT_MAX) {
        return GY_SCREEN_NOTHING;
    }
    wmemmove(input->text + input->cursor + 1, input->text + input->cursor,
             (size_t)(input->length - input->cursor) + 1);
    input->text[input->cursor++] = character;
    input->length++;
    return GY_SCREEN_TYPED;
}

static enum gy_screen_event move_cursor(struct gy_screen_input *input, int key)
{
    switch (key) {
    case KEY_LEFT:
        input->cursor -= input->cursor > 0;
        break;
    case KEY_RIGHT:
        input->cursor += input->cursor < input->length;
        break;
    case KEY_HOME:
        input->cursor = 0;
        break;
    case KEY_END:
        input->cursor = input->length;
        break;
    case KEY_UP:
        recall(input, -1);
        break;
    case KEY_DOWN:
        recall(input, 1);
        break;
    case KEY_DC:
        if (input->cursor < input->length) {
            cut(input, input->cursor, input->cursor + 1);
        }
        break;
    default:
        break;
    }
    return GY_SCREEN_NOTHING;
}

enum gy_screen_event gy_screen_edit(struct gy_screen_input *input, int key, bool function)
{
    if (function) { /* their numbers are letters' as well */
        key = key == KEY_BACKSPACE ? CONTROL('H') : key == KEY_ENTER ? '\n' : -key;
    }
    if (key < 0) {
        return move_cursor(input, -key);
    }
    switch (key) {
    case '\r':
    case '\n':
        return input->length > 0 ? GY_SCREEN_LINE : GY_SCREEN_NOTHING;
    case 0x7f:
    case CONTROL('H'):
        if (input->cursor > 0) {
            cut(input, input->cursor - 1, input->cursor);
        }
        return GY_SCREEN_TYPED;
    case CONTROL('W'):
        cut(input, word_before(input), input->cursor);
        return GY_SCREEN_TYPED;
    case CONTROL('U'):
        cut(input, 0, input->cursor);
        return GY_SCREEN_TYPED;
    case CONTROL('K'):
        cut(input, input->cursor, input->length);
        return GY_SCREEN_TYPED;
    case CONTROL('A'):
        return move_cursor(input, KEY_HOME);
    case CONTROL('E'):
        return move_cursor(input, KEY_END);
    case CONTROL('D'):
        return input->length == 0 ? GY_SCREEN_QUIT : move_cursor(input, KEY_DC);
    case CONTROL('C'):
        return GY_SCREEN_QUIT;
    default:
        return insert_character(input, (wchar_t)key);
    }
}

static void remember(struct gy_screen_input *input)
{
    if (input->history_count == GY_SCREEN_HISTORY_MAX) {
        free(input->history[0]);
        memmove(input->history, input->history + 1,
                (GY_SCREEN_HISTORY_MAX - 1) * sizeof input->history[0]);
        input->history_count--;
    }
    wchar_t *line = wcsdup(input->text);
    if (line != NULL) {
        input->history[input->history_count++] = line;
    }
    input->history_at = input->history_count;
}

static size_t put(uint32_t code, char *to)
{
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0}; /* RFC 3629 §3 */
    for (size_t i = bytes; i-- > 1; code >>= 6) {
        to[i] = (char)(0x80 | (code & 0x3f));
    }
    to[0] = (char)(first[bytes] | code);
    return bytes;
}

const char *gy_screen_take(struct gy_screen *screen)
{
    struct gy_screen_input *input = &screen->input;
    size_t at = 0;
    for (int i = 0; i < input->length; i++) {
        at += put((uint32_t)input->text[i], input->taken + at);
    }
    input->taken[at] = '\0';
    remember(input);
    set_line(input, NULL);
    screen->dirty = true;
    return input->taken;
}
