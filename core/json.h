/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_JSON_H
#define GY_CORE_JSON_H

/*
 * JSON (RFC 8259) into a writer. Commas come by themselves: between members and values that are
 * begun by what is here. Objects and lists are opened and closed by gy_writer_u8.
 */

#include <stdio.h>

#include "cursor.h"

/* A comma, unless this is the first in its object or list. */
void gy_json_next(struct gy_writer *writer);

/* A string; whatever is not printable ASCII is escaped, byte by byte. */
void gy_json_string(struct gy_writer *writer, const char *text, size_t length);

/* The name of a member; its value follows. */
void gy_json_key(struct gy_writer *writer, const char *name, size_t length);
void gy_json_member(struct gy_writer *writer, const char *name);

void gy_json_text(struct gy_writer *writer, const char *name, const char *text);
void gy_json_number(struct gy_writer *writer, const char *name, uint64_t value);

/* A string into a file, without a comma: UTF-8 stays as it is. */
void gy_json_print(FILE *out, const char *text);

#endif
