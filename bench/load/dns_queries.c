/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/dns_queries.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench/load/load.h"
#include "core/file_check.h"
#include "protocols/dns/edns.h"

#define BLANKS     " \t\r\n"
#define EDNS_USUAL 1232

/* Where a query was read: for messages. On the command line it is misuse (GY_EINVAL); a file of
 * bad queries is a file that cannot be used (GY_EIO). */
struct origin {
    const char *file; /* NULL: the URL */
    unsigned long line;
};

static int bad_query(struct gy_error *error, const struct gy_load_options *options,
                     const struct origin *origin, const char *format, const char *what,
                     const char *why)
{
    char text[128];
    snprintf(text, sizeof text, format, what, why);
    if (origin->file == NULL) {
        return gy_error_set(error, GY_EINVAL, "%s: %s", options->url, text);
    }
    return gy_error_set(error, GY_EIO, "%s:%lu: %s", origin->file, origin->line, text);
}

/* Twice the room, or the first of it. NULL: out of memory. */
static void *grown(void *memory, uint64_t *room, uint64_t first, size_t item_bytes)
{
    uint64_t wanted = *room == 0 ? first : *room * 2;
    void *more = realloc(memory, wanted * item_bytes);
    if (more != NULL) {
        *room = wanted;
    }
    return more;
}

static int make_room(struct gy_load_queries *queries, struct gy_error *error)
{
    enum { QUERY_MAX = 2 + GY_DNS_HEADER_BYTES + GY_DNS_NAME_MAX + 4 + GY_DNS_OPT_BYTES };
    if (queries->count == GY_LOAD_QUERIES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "--queries: more than %u queries",
                            GY_LOAD_QUERIES_MAX);
    }
    if (queries->bytes_room - queries->used < QUERY_MAX) {
        uint8_t *bytes = grown(queries->bytes, &queries->bytes_room, 65536, 1);
        if (bytes == NULL) {
            return gy_error_set(error, GY_ENOMEM, "--queries: out of memory");
        }
        queries->bytes = bytes;
    }
    if (queries->count == queries->queries_room) {
        uint64_t room = queries->queries_room;
        struct gy_load_query *more = grown(queries->queries, &room, 1024, sizeof *queries->queries);
        if (more == NULL) {
            return gy_error_set(error, GY_ENOMEM, "--queries: out of memory");
        }
        queries->queries = more;
        queries->queries_room = (uint32_t)room;
    }
    return 0;
}

static void add(struct gy_load_queries *queries, const struct gy_load_options *options,
                const uint8_t *name, uint32_t name_bytes, uint16_t type)
{
    uint8_t *start = queries->bytes + queries->used + 2;
    bool edns = options->edns_bytes != 0 || options->dnssec;
    struct gy_dns_header header = {.flags = GY_DNS_FLAG_RD}; /* as dnsperf, and every stub */
    header.count[GY_DNS_QUESTION] = 1;
    header.count[GY_DNS_ADDITIONAL] = edns;
    gy_dns_header_write(&header, start);
    uint8_t *at = start + GY_DNS_HEADER_BYTES;
    memcpy(at, name, name_bytes);
    at += name_bytes;
    const uint8_t tail[4] = {(uint8_t)(type >> 8), (uint8_t)type, 0, GY_DNS_CLASS_IN};
    memcpy(at, tail, sizeof tail);
    at += sizeof tail;
    if (edns) {
        struct gy_dns_opt opt;
        uint32_t udp_bytes = options->edns_bytes != 0 ? options->edns_bytes : EDNS_USUAL;
        gy_dns_opt_open(&opt, at, GY_DNS_OPT_BYTES, (uint16_t)udp_bytes, 0,
                        options->dnssec ? GY_DNS_EDNS_DO : 0);
        at += gy_dns_opt_close(&opt);
    }
    uint32_t bytes = (uint32_t)(at - start);
    start[-2] = (uint8_t)(bytes >> 8);
    start[-1] = (uint8_t)bytes;
    queries->queries[queries->count++] = (struct gy_load_query){
        .at = queries->used,
        .message_bytes = (uint16_t)bytes,
        .question_bytes = (uint16_t)(name_bytes + sizeof tail),
    };
    queries->used += 2 + bytes;
}

/* One query of a name and a type, as texts. */
static int take(struct gy_load_queries *queries, const struct gy_load_options *options,
                const struct origin *origin, const char *name_text, const char *type_text,
                struct gy_error *error)
{
    uint8_t name[GY_DNS_NAME_MAX];
    const char *why = NULL;
    int bytes = gy_dns_name_from_text(name_text, strlen(name_text), NULL, name, &why);
    if (bytes < 0) {
        return bad_query(error, options, origin, "%.60s is no name: %s", name_text, why);
    }
    int type = gy_dns_type_from_text(type_text, strlen(type_text));
    if (type < 0) {
        return bad_query(error, options, origin,
                         "%.20s is no type; write A, MX, … or TYPE with a number%s", type_text, "");
    }
    if (type == GY_DNS_TYPE_AXFR || type == GY_DNS_TYPE_IXFR || type == GY_DNS_TYPE_OPT ||
        type == GY_DNS_TYPE_TSIG || type == 0) {
        return bad_query(error, options, origin, "%.20s is not asked for in a query%s", type_text,
                         " that has one answer");
    }
    int code = make_room(queries, error);
    if (code == 0) {
        add(queries, options, name, (uint32_t)bytes, (uint16_t)type);
    }
    return code;
}

/* ---- a file ---- */

static int take_line(struct gy_load_queries *queries, const struct gy_load_options *options,
                     const struct origin *origin, char *line, size_t bytes, struct gy_error *error)
{
    char *rest = line;
    if (strlen(line) != bytes) {
        return bad_query(error, options, origin, "a zero byte: this is no text%s%s", "", "");
    }
    char *name = strtok_r(line, BLANKS, &rest);
    if (name == NULL || name[0] == ';' || name[0] == '#') {
        return 0;
    }
    char *type = strtok_r(NULL, BLANKS, &rest);
    if (type == NULL) {
        return bad_query(error, options, origin,
                         "%.60s without a type; a line is a name and a type%s", name, "");
    }
    char *more = strtok_r(NULL, BLANKS, &rest);
    if (more != NULL) {
        return bad_query(error, options, origin,
                         "%.60s behind the type; a line is a name and a type%s", more, "");
    }
    return take(queries, options, origin, name, type, error);
}

static int read_file(struct gy_load_queries *queries, const struct gy_load_options *options,
                     struct gy_error *error)
{
    bool standard = strcmp(options->queries_file, "-") == 0;
    struct origin origin = {.file = standard ? "standard input" : options->queries_file};
    FILE *file = standard ? stdin : fopen(options->queries_file, "re");
    char why[GY_FILE_WHY_BYTES];
    if (file == NULL) {
        return gy_error_set(error, GY_EIO, "--queries %.200s: cannot be read: %s",
                            options->queries_file,
                            gy_file_why(why, options->queries_file, R_OK, errno));
    }
    char *line = NULL;
    size_t room = 0;
    int code = 0;
    ssize_t bytes;
    while (code == 0 && (bytes = getline(&line, &room, file)) >= 0) {
        origin.line++;
        code = take_line(queries, options, &origin, line, (size_t)bytes, error);
    }
    if (code == 0 && ferror(file)) {
        code = gy_error_set(error, GY_EIO, "--queries %.200s: cannot be read: %s",
                            options->queries_file,
                            gy_file_why(why, options->queries_file, R_OK, errno));
    } else if (code == 0 && queries->count == 0) {
        code = gy_error_set(error, GY_EIO,
                            "--queries %s: there is no query in it; a line is a name and a type",
                            options->queries_file);
    }
    free(line);
    if (!standard) {
        fclose(file);
    }
    return code;
}

/* ---- the URL (RFC 4501): /NAME?type=TYPE;class=IN ---- */

/* %XX, in place. False: one that is none, or a zero. */
static bool decode(char *text)
{
    char *out = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            *out++ = *at;
            continue;
        }
        char digits[3] = {at[1], at[1] != '\0' ? at[2] : '\0', '\0'};
        if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1])) {
            return false;
        }
        *out = (char)strtoul(digits, NULL, 16);
        if (*out++ == '\0') {
            return false;
        }
        at += 2;
    }
    *out = '\0';
    return true;
}

static int read_url(struct gy_load_queries *queries, const struct gy_load_options *options,
                    struct gy_error *error)
{
    const struct origin origin = {NULL, 0};
    char text[sizeof options->path];
    snprintf(text, sizeof text, "%s", options->path + 1);
    char *type = NULL, *rest = NULL;
    char *query = strchr(text, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    for (char *part = query != NULL ? strtok_r(query, ";&", &rest) : NULL; part != NULL;
         part = strtok_r(NULL, ";&", &rest)) {
        if (strncasecmp(part, "type=", 5) == 0) {
            type = part + 5;
        } else if (strcasecmp(part, "class=IN") != 0) {
            return bad_query(error, options, &origin,
                             "%.60s is not understood; type=TYPE and class=IN are%s", part, "");
        }
    }
    if (!decode(text)) {
        return bad_query(error, options, &origin, "%.60s: a %% wants two hexadecimal digits%s",
                         text, "");
    }
    return take(queries, options, &origin, text, type != NULL ? type : "A", error);
}

/* ---- order ---- */

static int by_length(const void *a, const void *b)
{
    const struct gy_load_query *one = a, *other = b;
    if (one->message_bytes != other->message_bytes) {
        return one->message_bytes < other->message_bytes ? -1 : 1;
    }
    return one->at < other->at ? -1 : one->at > other->at;
}

static void sort_for_trains(struct gy_load_queries *queries)
{
    for (uint32_t at = 0; at < queries->count; at += GY_LOAD_SORTED) {
        uint32_t left = queries->count - at;
        qsort(queries->queries + at, left < GY_LOAD_SORTED ? left : GY_LOAD_SORTED,
              sizeof *queries->queries, by_length);
    }
}

int gy_load_queries_open(struct gy_load_queries *queries, const struct gy_load_options *options,
                         struct gy_error *error)
{
    *queries = (struct gy_load_queries){0};
    int code = options->queries_file != NULL ? read_file(queries, options, error)
                                             : read_url(queries, options, error);
    if (code != 0) {
        gy_load_queries_close(queries);
        return code;
    }
    gy_assert(queries->count >= 1);
    if (options->trains) {
        sort_for_trains(queries);
    }
    return 0;
}

void gy_load_queries_close(struct gy_load_queries *queries)
{
    free(queries->queries);
    free(queries->bytes);
    *queries = (struct gy_load_queries){0};
}
