/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_SITE_FILES_H
#define GY_SERVERS_HTTP_SITE_FILES_H

/*
 * The static parts of the built-in site, in the program itself: embed.py makes the table from the
 * files beside this header when Gyre is built.
 */

#include <stdint.h>

struct gy_site_file {
    const char *path; /* "/site.css"; "" for the page of addresses that do not exist */
    const char *type; /* Content-Type */
    const char *etag; /* with its quotes */
    const uint8_t *data;
    uint32_t bytes;
};

#define GY_SITE_FILES 5

extern const struct gy_site_file gy_site_files[GY_SITE_FILES];

#endif
