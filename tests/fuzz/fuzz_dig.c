/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What `gyre dig` prints of a server's messages: any bytes, in each of its forms. The first byte
 * says which; nothing but text that a terminal can be shown comes out.
 */

#include <stdlib.h>
#include <string.h>

#include "clients/dig/dig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Printable ASCII, tabs and line ends: no server reaches the terminal itself. */
static void check(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        gy_assert((text[i] >= ' ' && text[i] < 0x7f) || text[i] == '\n' || text[i] == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct gy_dig dig;
    static struct gy_dig_query query;
    static struct gy_dig_command command = {.words = ""};
    char *printed = NULL;
    size_t length = 0;
    if (bytes < 2 || bytes > 2048) {
        return 0;
    }
    dig_defaults(&query.options);
    query.options.brief = (data[0] & 1) != 0;
    query.options.json = (data[0] & 2) != 0;
    query.options.identify = (data[0] & 4) != 0;
    query.options.show_ttl = (data[0] & 8) != 0;
    query.options.show_class = (data[0] & 16) != 0;
    query.options.show_comments = (data[0] & 32) == 0;
    query.options.multiline = (data[0] & 64) != 0;
    query.options.ttl_units = (data[0] & 128) != 0;
    dig.command = &command;
    dig.cookie_bytes = DIG_COOKIE_BYTES;
    gy_address_parse(&dig.server, "[::1]:53", NULL);
    dig.reply_bytes = bytes - 1;
    memcpy(dig.reply, data + 1, bytes - 1);
    FILE *before = stdout;
    stdout = open_memstream(&printed, &length);
    gy_assert(stdout != NULL);
    if (query.options.json) {
        dig_print_json(&dig, &query, NULL);
    } else {
        dig_print_reply(&dig, &query);
    }
    fclose(stdout);
    stdout = before;
    check(printed, length);
    free(printed);
    return 0;
}
