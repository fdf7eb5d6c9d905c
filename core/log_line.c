/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/log_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

/* Kept free for what closes a line that is cut. */
#define TAIL_BYTES 32

enum style {
    PLAIN,  /* the message, for people */
    QUOTED, /* a value in quotes, for people */
    JSON,
};

struct line {
    char *text;
    size_t fill;
    bool cut; /* something did not fit; nothing more is added but the tail */
};

/* All of it or nothing. */
static void add(struct line *line, const char *text, size_t bytes)
{
    if (line->cut || line->fill + bytes > GY_LOG_LINE_BYTES - TAIL_BYTES) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->fill, text, bytes);
    line->fill += bytes;
}

static void add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void add_format(struct line *line, const char *format,
                                                             ...)
{
    char text[96];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    gy_assert(length >= 0 && (size_t)length < sizeof text);
    add(line, text, (size_t)length);
}

static void add_tail(struct line *line, const char *text)
{
    size_t bytes = strlen(text);
    gy_assert(bytes <= GY_LOG_LINE_BYTES - line->fill);
    memcpy(line->text + line->fill, text, bytes);
    line->fill += bytes;
}

static void add_code(struct line *line, uint32_t code, enum style style)
{
    switch (code) {
    case '\n':
        add_text(line, "\\n");
        break;
    case '\r':
        add_text(line, "\\r");
        break;
    case '\t':
        add_text(line, "\\t");
        break;
    default:
        add_format(line, code < 0x80 && style != JSON ? "\\x%02" PRIx32 : "\\u%04" PRIx32, code);
        break;
    }
}

static void add_escaped(struct line *line, const char *text, size_t bytes, enum style style)
{
    while (bytes > 0 && !line->cut) {
        uint32_t code = 0;
        size_t length = gy_utf8_decode(text, bytes, &code);
        if (length == 0) {
            length = 1;
            add_format(line, style == JSON ? "\\ufffd" : "\\x%02x", (uint8_t)text[0]);
        } else if (gy_utf8_misleads(code)) {
            add_code(line, code, style);
        } else if (code == '\\' || (code == '"' && style != PLAIN)) {
            add_format(line, "\\%c", (char)code);
        } else {
            add(line, text, length);
        }
        text += length;
        bytes -= length;
    }
}

/* Without a character at the end of which only some bytes are there. */
static size_t whole_characters(const char *text, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        uint8_t byte = (uint8_t)text[bytes - back];
        if ((byte & 0xc0) != 0x80) {
            return gy_utf8_bytes(byte) > back ? bytes - back : bytes;
        }
    }
    return bytes;
}

/* RFC 3339, UTC. By our own arithmetic: gmtime_r takes a lock in the C library. */
static void add_time(struct line *line, uint64_t time_ms)
{
    uint64_t seconds = time_ms / 1000;
    uint64_t days = seconds / 86400;
    /* Years are counted from March, so that the leap day is a year's last; 719468 days lie between
     * 0000-03-01 and 1970-01-01, and 146097 in 400 years. */
    uint64_t since_march_0 = days + 719468;
    uint64_t era = since_march_0 / 146097;
    uint64_t day_of_era = since_march_0 % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month_from_march = (5 * day_of_year + 2) / 153;
    uint64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    uint64_t year = era * 400 + year_of_era + (month <= 2);
    add_format(line,
               "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64
               ".%03" PRIu64 "Z",
               year, month, day, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60,
               time_ms % 1000);
}

/* A value that reads as one word needs no quotes. */
static bool is_word(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || *at == '"' || *at == '=' || *at == '\\') {
            return false;
        }
    }
    return text[0] != '\0';
}

static void render_people(struct line *line, const struct gy_log_line *parts, bool colour)
{
    static const char *const labels[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
    static const char *const colours[] = {"\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m"};
    bool quoted = false;
    add_time(line, parts->time_ms);
    add_format(line, " %s%s%s ", colour ? colours[parts->level] : "", labels[parts->level],
               colour ? "\x1b[0m" : "");
    add_text(line, parts->component);
    add_text(line, ": ");
    size_t bytes = strlen(parts->message);
    add_escaped(line, parts->message, parts->cut ? whole_characters(parts->message, bytes) : bytes,
                PLAIN);
    if (parts->cut) {
        add_text(line, "…");
    }
    for (size_t i = 0; i < parts->fields.count && !line->cut; i++) {
        const struct gy_log_field *field = &parts->fields.items[i];
        add_text(line, " ");
        add_text(line, field->key);
        add_text(line, "=");
        if (field->text == NULL) {
            add_format(line, "%" PRId64, field->number);
        } else if (is_word(field->text)) {
            add_text(line, field->text);
        } else {
            add_text(line, "\"");
            quoted = !line->cut;
            add_escaped(line, field->text, strlen(field->text), QUOTED);
            add_text(line, "\"");
        }
        quoted = quoted && line->cut;
    }
    if (line->cut) {
        add_tail(line, quoted ? "…\"" : "…");
    }
    add_tail(line, "\n");
}

/* A string's contents and its closing quote, which comes in any case. */
static void add_json_string(struct line *line, const char *text, bool cut)
{
    size_t bytes = strlen(text);
    add_escaped(line, text, cut ? whole_characters(text, bytes) : bytes, JSON);
    if (line->cut || cut) {
        add_tail(line, "…");
    }
    add_tail(line, "\"");
}

static void render_json(struct line *line, const struct gy_log_line *parts)
{
    add_text(line, "{\"time\":\"");
    add_time(line, parts->time_ms);
    add_text(line, "\",\"level\":\"");
    add_text(line, gy_log_level_name(parts->level));
    add_text(line, "\",\"component\":\"");
    add_text(line, parts->component);
    add_text(line, "\",\"message\":\"");
    add_json_string(line, parts->message, parts->cut);
    for (size_t i = 0; i < parts->fields.count && !line->cut; i++) {
        const struct gy_log_field *field = &parts->fields.items[i];
        if (field->text == NULL) {
            add_format(line, ",\"%s\":%" PRId64, field->key, field->number);
            continue;
        }
        add_format(line, ",\"%s\":\"", field->key);
        if (!line->cut) {
            add_json_string(line, field->text, false);
        }
    }
    add_tail(line, line->cut || parts->cut ? ",\"cut\":true}\n" : "}\n");
}

size_t gy_log_line_render(const struct gy_log_line *line, bool json, bool colour, char *text)
{
    gy_assert(line->level <= GY_LOG_DEBUG);
    gy_assert(line->component != NULL && strlen(line->component) <= GY_LOG_NOUN_BYTES);
    gy_assert(line->message != NULL);
    for (size_t i = 0; i < line->fields.count; i++) {
        gy_assert(strlen(line->fields.items[i].key) <= GY_LOG_NOUN_BYTES);
    }
    struct line out = {.text = text};
    if (json) {
        render_json(&out, line);
    } else {
        render_people(&out, line, colour);
    }
    gy_assert(out.fill > 0 && out.fill <= GY_LOG_LINE_BYTES);
    gy_assert(text[out.fill - 1] == '\n');
    return out.fill;
}
