/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/json.h"

#include <string.h>

void gy_json_next(struct gy_writer *writer)
{
    if (writer->at > writer->start && writer->at[-1] != '{' && writer->at[-1] != '[') {
        gy_writer_u8(writer, ',');
    }
}

void gy_json_string(struct gy_writer *writer, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    gy_writer_u8(writer, '"');
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte >= 0x7f) {
            gy_writer_text(writer, "\\u00");
            gy_writer_u8(writer, (uint8_t)digits[byte >> 4]);
            gy_writer_u8(writer, (uint8_t)digits[byte & 15]);
        } else {
            gy_writer_u8(writer, byte);
        }
    }
    gy_writer_u8(writer, '"');
}

void gy_json_key(struct gy_writer *writer, const char *name, size_t length)
{
    gy_json_next(writer);
    gy_json_string(writer, name, length);
    gy_writer_u8(writer, ':');
}

void gy_json_member(struct gy_writer *writer, const char *name)
{
    gy_json_key(writer, name, strlen(name));
}

void gy_json_text(struct gy_writer *writer, const char *name, const char *text)
{
    gy_json_member(writer, name);
    gy_json_string(writer, text, strlen(text));
}

void gy_json_number(struct gy_writer *writer, const char *name, uint64_t value)
{
    gy_json_member(writer, name);
    gy_writer_decimal(writer, value);
}

void gy_json_print(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            fprintf(out, "\\%c", byte);
        } else if (byte < 0x20) {
            fprintf(out, "\\u%04x", byte);
        } else {
            fputc(byte, out);
        }
    }
    fputc('"', out);
}
