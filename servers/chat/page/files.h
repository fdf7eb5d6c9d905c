/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_CHAT_PAGE_FILES_H
#define GY_SERVERS_CHAT_PAGE_FILES_H

/*
 * The chat's page, in the program itself: embed.py makes the table from the files beside this
 * header when Gyre is built.
 */

#include <stdint.h>

struct gy_chat_page_file {
    const char *path; /* "/chat.css" */
    const char *type; /* Content-Type */
    const char *etag; /* with its quotes */
    const uint8_t *data;
    uint32_t bytes;
};

#define GY_CHAT_PAGE_FILES_MAX 16

extern const struct gy_chat_page_file gy_chat_page_files[];
extern const uint32_t gy_chat_page_file_count; /* at most GY_CHAT_PAGE_FILES_MAX */

#endif
