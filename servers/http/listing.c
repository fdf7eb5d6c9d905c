/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/utf8.h"

/* ---- the query ---- */

static bool is(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

struct gy_listing_order gy_listing_order_of(struct gy_http_text query)
{
    struct gy_listing_order order = {GY_LISTING_NAME, false};
    size_t at = query.length > 0; /* behind the '?' */
    while (at < query.length) {
        const char *word = query.data + at;
        const char *end = memchr(word, '&', query.length - at);
        size_t length = end != NULL ? (size_t)(end - word) : query.length - at;
        if (is(word, length, "sort=size")) {
            order.sort = GY_LISTING_SIZE;
        } else if (is(word, length, "sort=time")) {
            order.sort = GY_LISTING_TIME;
        } else if (is(word, length, "sort=name")) {
            order.sort = GY_LISTING_NAME;
        } else if (is(word, length, "order=desc")) {
            order.descending = true;
        } else if (is(word, length, "order=asc")) {
            order.descending = false;
        }
        at += length + 1;
    }
    return order;
}

/* ---- the order ---- */

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare(const void *left, const void *right, void *context)
{
    const struct gy_directory_name *a = left;
    const struct gy_directory_name *b = right;
    const struct gy_listing_order *order = context;
    if (a->is_directory != b->is_directory) {
        return a->is_directory ? -1 : 1;
    }
    int result = 0;
    if (order->sort == GY_LISTING_SIZE && !a->is_directory) {
        result = a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
    } else if (order->sort == GY_LISTING_TIME) {
        result = compare_numbers(a->modified_s, b->modified_s);
    }
    if (result == 0) {
        result = strverscmp(a->name, b->name); /* part9 before part10 */
    }
    return order->descending ? -result : result;
}

/* ---- the page ---- */

static void put_text(FILE *out, const char *text)
{
    size_t bytes;
    for (size_t left = strlen(text); left > 0; text += bytes, left -= bytes) {
        uint32_t code;
        bytes = gy_utf8_decode(text, left, &code);
        if (bytes == 0 || gy_utf8_misleads(code)) {
            /* It has no place in HTML, or could hide what a name is. */
            fputs("\xef\xbf\xbd", out);
            bytes = bytes == 0 ? 1 : bytes;
            continue;
        }
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fwrite(text, 1, bytes, out);
        }
    }
}

/* One segment of a relative reference. Everything but the unreserved is escaped, so that "a:b" is
 * no scheme and "?" no query. */
static void put_segment(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            fputc(c, out);
        } else {
            fprintf(out, "%%%02X", (unsigned)(unsigned char)c);
        }
    }
}

static void put_size(FILE *out, uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    if (bytes < 1000) {
        fprintf(out, "%llu B", (unsigned long long)bytes);
        return;
    }
    double value = (double)bytes / 1024;
    uint32_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units - 1) {
        value /= 1024;
        unit++;
    }
    fprintf(out, value < 9.95 ? "%.1f %ciB" : "%.0f %ciB", value, units[unit]);
}

static void put_name(FILE *out, const struct gy_directory_name *name)
{
    const char *slash = name->is_directory ? "/" : "";
    fputs("<tr><td><a href=\"", out);
    put_segment(out, name->name, strlen(name->name));
    fprintf(out, "%s\">", slash);
    put_text(out, name->name);
    fprintf(out, "%s</a><td>", slash);
    if (!name->is_directory) {
        put_size(out, name->bytes);
    }
    char text[32] = "";
    struct tm broken;
    time_t time = (time_t)name->modified_s;
    if (gmtime_r(&time, &broken) != NULL) {
        strftime(text, sizeof text, "%Y-%m-%d %H:%M", &broken);
    }
    fprintf(out, "<td>%s\n", text);
}

/* A column's heading: a link that sorts by it, and turns the order round when it is sorted so. */
static void put_heading(FILE *out, struct gy_listing_order order, enum gy_listing_sort sort,
                        const char *word, const char *title)
{
    bool chosen = order.sort == sort;
    const char *next = chosen && !order.descending ? "desc" : "asc";
    const char *aria = !chosen            ? ""
                       : order.descending ? " aria-sort=\"descending\""
                                          : " aria-sort=\"ascending\"";
    const char *arrow = !chosen ? "" : order.descending ? " ↓" : " ↑";
    fprintf(out, "<th scope=\"col\"%s><a href=\"?sort=%s&amp;order=%s\">%s%s</a>", aria, word, next,
            title, arrow);
}

static const char style[] =
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "body{max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.25rem;overflow-wrap:anywhere}"
    "table{width:100%;border-collapse:collapse}"
    "th,td{padding:.3rem .6rem;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid light-dark(#ddd,#444)}"
    "th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere}"
    "td{font-variant-numeric:tabular-nums}"
    "tr:hover td{background:light-dark(#f3f6fb,#1c2430)}"
    "a{color:light-dark(#0b57d0,#8ab4f8);text-decoration:none}a:hover{text-decoration:underline}"
    "p{color:light-dark(#666,#aaa)}"
    "@media(max-width:32rem){th:last-child,td:last-child{display:none}}";

/* "/ a / b", each of them a link. */
static void put_heading_path(FILE *out, const char *key)
{
    uint32_t depth = 0;
    for (const char *c = key; *c != '\0'; c++) {
        depth += *c == '/';
    }
    depth += key[0] != '\0';
    fputs("<h1><a href=\"", out);
    for (uint32_t i = 0; i < depth; i++) {
        fputs("../", out);
    }
    fputs(depth == 0 ? "./\">/</a>" : "\">/</a>", out);
    while (depth-- > 0) {
        size_t length = strcspn(key, "/");
        char *segment = strndup(key, length);
        fputs(" <a href=\"./", out);
        for (uint32_t i = 0; i < depth; i++) {
            fputs("../", out);
        }
        fputs("\">", out);
        put_text(out, segment != NULL ? segment : "");
        fputs("/</a>", out);
        free(segment);
        key += length + (key[length] == '/');
    }
    fputs("</h1>\n", out);
}

int gy_listing_render(struct gy_directory *directory, const char *key,
                      struct gy_listing_order order, char **page, size_t *bytes)
{
    if (directory->count > 0) {
        qsort_r(directory->names, directory->count, sizeof *directory->names, compare, &order);
    }
    *page = NULL;
    FILE *out = open_memstream(page, bytes);
    if (out == NULL) {
        return GY_ENOMEM;
    }
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width\"><title>/",
          out);
    put_text(out, key);
    fprintf(out, "</title>\n<style>%s</style></head>\n<body><main>", style);
    put_heading_path(out, key);
    fputs("<table aria-label=\"Names\"><thead><tr>", out);
    put_heading(out, order, GY_LISTING_NAME, "name", "Name");
    put_heading(out, order, GY_LISTING_SIZE, "size", "Size");
    put_heading(out, order, GY_LISTING_TIME, "time", "Changed (UTC)");
    fputs("</thead><tbody>\n", out);
    if (key[0] != '\0') {
        fputs("<tr><td><a href=\"../\">../</a><td><td>\n", out);
    }
    for (uint32_t i = 0; i < directory->count; i++) {
        put_name(out, &directory->names[i]);
    }
    fputs("</tbody></table>\n", out);
    if (directory->cut) {
        fprintf(out, "<p>Only %u of the names that are here are shown.</p>\n", directory->count);
    } else if (directory->count == 0) {
        fputs("<p>Nothing here.</p>\n", out);
    }
    fputs("</main></body></html>\n", out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(*page);
        *page = NULL;
        return GY_ENOMEM;
    }
    return 0;
}
