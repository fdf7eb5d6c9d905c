/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/resolv.h"

#include <string.h>

#include "protocols/dns/text.h"

#define TIMEOUT_S     5
#define TIMEOUT_MAX_S 30
#define ATTEMPTS      2
#define ATTEMPTS_MAX  5
#define NDOTS_MAX     15
#define DNS_PORT      53

/* A text, line by line and word by word. */
struct lines {
    const char *at, *end; /* what is left of the line */
    const char *next, *last;
    uint32_t number;
};

static bool next_line(struct lines *lines)
{
    if (lines->next == lines->last) {
        return false;
    }
    lines->at = lines->next;
    const char *end = memchr(lines->at, '\n', (size_t)(lines->last - lines->at));
    lines->end = end != NULL ? end : lines->last;
    lines->next = end != NULL ? end + 1 : lines->last;
    lines->number++;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The next word of the line; its bytes, 0 at the line's end. */
static size_t next_word(struct lines *lines, const char **word)
{
    while (lines->at < lines->end && is_blank(*lines->at)) {
        lines->at++;
    }
    *word = lines->at;
    while (lines->at < lines->end && !is_blank(*lines->at)) {
        lines->at++;
    }
    return (size_t)(lines->at - *word);
}

static bool word_is(const char *word, size_t bytes, const char *what)
{
    return bytes == strlen(what) && memcmp(word, what, bytes) == 0;
}

int gy_dns_address_parse(struct gy_dns_address *address, const char *text, size_t bytes)
{
    struct gy_dns_address read = {0};
    const char *percent = bytes > 0 ? memchr(text, '%', bytes) : NULL;
    size_t host = percent != NULL ? (size_t)(percent - text) : bytes;
    size_t scope = percent != NULL ? bytes - host - 1 : 0;
    if (text_ipv4(text, host, read.bytes) == 0 && percent == NULL) {
        read.length = 4;
    } else if (text_ipv6(text, host, read.bytes) == 0 && scope < sizeof read.scope &&
               (percent == NULL || scope > 0)) {
        read.length = 16;
        if (scope > 0) {
            memcpy(read.scope, percent + 1, scope);
        }
    } else {
        return GY_EINVAL;
    }
    *address = read;
    return 0;
}

/* ---- resolv.conf ---- */

struct reading {
    struct lines lines;
    struct gy_dns_resolv *resolv;
    gy_dns_resolv_report *report;
    void *context;
};

static void tell(const struct reading *reading, const char *why)
{
    if (reading->report != NULL) {
        reading->report(reading->context, reading->lines.number, why);
    }
}

static void read_server(struct reading *reading)
{
    struct gy_dns_resolv *resolv = reading->resolv;
    const char *word;
    size_t bytes = next_word(&reading->lines, &word);
    struct gy_dns_address address;
    if (gy_dns_address_parse(&address, word, bytes) != 0) {
        tell(reading, "the nameserver is no IPv4 or IPv6 address");
    } else if (resolv->server_count == GY_DNS_SERVERS_MAX) {
        tell(reading, "there are too many nameservers; this one is left out");
    } else {
        address.port = DNS_PORT;
        resolv->servers[resolv->server_count++] = address;
    }
}

/* The last `domain` or `search` is what counts. */
static void read_search(struct reading *reading, uint32_t max)
{
    struct gy_dns_resolv *resolv = reading->resolv;
    const char *word, *why = NULL;
    size_t bytes;
    resolv->search_count = 0;
    resolv->search_given = true;
    while ((bytes = next_word(&reading->lines, &word)) > 0) {
        if (resolv->search_count == max) {
            tell(reading, "there are too many domains; the rest is left out");
            return;
        }
        uint8_t *name = resolv->search[resolv->search_count];
        if (gy_dns_name_from_text(word, bytes, NULL, name, &why) < 0) {
            tell(reading, "a domain is not a name");
        } else if (name[0] != 0) { /* the root: the name as it is, which is asked for anyway */
            resolv->search_count++;
        }
    }
}

/* NAME:NUMBER, cut to its bound as the C library does. */
static bool read_number(const char *word, size_t bytes, const char *name, uint32_t min,
                        uint32_t max, uint32_t *number)
{
    size_t length = strlen(name);
    uint64_t value;
    if (bytes <= length || memcmp(word, name, length) != 0 ||
        text_number(word + length, bytes - length, UINT32_MAX, &value) != 0) {
        return false;
    }
    *number = value < min ? min : value > max ? max : (uint32_t)value;
    return true;
}

static bool read_option(struct gy_dns_resolv *resolv, const char *word, size_t bytes)
{
    const struct {
        const char *name;
        bool *set;
    } flags[] = {
        {"rotate", &resolv->rotate},
        {"edns0", &resolv->edns},
        {"use-vc", &resolv->tcp},
        {"trust-ad", &resolv->trust_ad},
        {"no-tld-query", &resolv->no_tld_query},
        {"no-aaaa", &resolv->no_aaaa},
    };
    /* About the C library's own workings, or about what is never done here. */
    static const char *const known[] = {
        "debug",     "inet6",          "ip6-bytestring",        "ip6-dotint",   "no-ip6-dotint",
        "no-reload", "single-request", "single-request-reopen", "strict-error", "no-check-names"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (word_is(word, bytes, flags[i].name)) {
            *flags[i].set = true;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (word_is(word, bytes, known[i])) {
            return true;
        }
    }
    return read_number(word, bytes, "ndots:", 0, NDOTS_MAX, &resolv->ndots) ||
           read_number(word, bytes, "timeout:", 1, TIMEOUT_MAX_S, &resolv->timeout_s) ||
           read_number(word, bytes, "attempts:", 1, ATTEMPTS_MAX, &resolv->attempts);
}

static void read_line(struct reading *reading)
{
    const char *word;
    size_t bytes = next_word(&reading->lines, &word);
    if (bytes == 0 || word[0] == '#' || word[0] == ';') {
        return;
    }
    if (word_is(word, bytes, "nameserver")) {
        read_server(reading);
    } else if (word_is(word, bytes, "domain")) {
        read_search(reading, 1);
    } else if (word_is(word, bytes, "search")) {
        read_search(reading, GY_DNS_SEARCH_MAX);
    } else if (word_is(word, bytes, "options")) {
        while ((bytes = next_word(&reading->lines, &word)) > 0 && word[0] != '#' &&
               word[0] != ';') {
            if (!read_option(reading->resolv, word, bytes)) {
                tell(reading, "an option is not known, or its number is none");
            }
        }
    } else {
        tell(reading, "the line begins with none of nameserver, domain, search and options");
    }
}

void gy_dns_resolv_parse(struct gy_dns_resolv *resolv, const char *text, size_t bytes,
                         const char *host, gy_dns_resolv_report *report, void *context)
{
    struct reading reading = {
        .lines = {.next = text, .last = bytes > 0 ? text + bytes : text},
        .resolv = resolv,
        .report = report,
        .context = context,
    };
    memset(resolv, 0, sizeof *resolv);
    resolv->ndots = 1;
    resolv->timeout_s = TIMEOUT_S;
    resolv->attempts = ATTEMPTS;
    while (next_line(&reading.lines)) {
        read_line(&reading);
    }
    if (resolv->server_count == 0) {
        resolv->servers[resolv->server_count++] =
            (struct gy_dns_address){.bytes = {127, 0, 0, 1}, .length = 4, .port = DNS_PORT};
    }
    const char *dot = host != NULL ? strchr(host, '.') : NULL;
    if (!resolv->search_given && dot != NULL && dot[1] != '\0' &&
        gy_dns_name_from_text(dot + 1, strlen(dot + 1), NULL, resolv->search[0], NULL) > 1) {
        resolv->search_count = 1;
    }
}

/* ---- hosts ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same_host(const char *word, size_t bytes, const char *name, size_t name_bytes)
{
    if (bytes != name_bytes || lower(word[0]) != lower(name[0])) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (lower(word[i]) != lower(name[i])) {
            return false;
        }
    }
    return true;
}

/* The part of the line in front of a comment. */
static void cut_comment(struct lines *lines)
{
    const char *hash = memchr(lines->at, '#', (size_t)(lines->end - lines->at));
    lines->end = hash != NULL ? hash : lines->end;
}

static bool has_name(struct lines *lines, const char *name, size_t name_bytes)
{
    const char *word;
    size_t bytes;
    while ((bytes = next_word(lines, &word)) > 0) {
        if (same_host(word, bytes, name, name_bytes)) {
            return true;
        }
    }
    return false;
}

static bool is_among(const struct gy_dns_address *address, const struct gy_dns_address *addresses,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (addresses[i].length == address->length &&
            memcmp(addresses[i].bytes, address->bytes, address->length) == 0) {
            return true;
        }
    }
    return false;
}

uint32_t gy_dns_hosts_find(const char *text, size_t bytes, const char *name,
                           struct gy_dns_address *addresses, uint32_t max)
{
    struct lines lines = {.next = text, .last = bytes > 0 ? text + bytes : text};
    size_t name_bytes = strlen(name);
    uint32_t count = 0;
    name_bytes -= name_bytes > 1 && name[name_bytes - 1] == '.';
    if (name_bytes == 0) {
        return 0;
    }
    while (count < max && next_line(&lines)) {
        const char *word;
        cut_comment(&lines);
        size_t word_bytes = next_word(&lines, &word);
        if (word_bytes > 0 && has_name(&lines, name, name_bytes) &&
            gy_dns_address_parse(&addresses[count], word, word_bytes) == 0 &&
            !is_among(&addresses[count], addresses, count)) {
            count++;
        }
    }
    return count;
}

void gy_dns_hosts_check(const char *text, size_t bytes, gy_dns_resolv_report *report, void *context)
{
    struct lines lines = {.next = text, .last = bytes > 0 ? text + bytes : text};
    while (next_line(&lines)) {
        const char *word;
        struct gy_dns_address address;
        cut_comment(&lines);
        size_t word_bytes = next_word(&lines, &word);
        if (word_bytes == 0) {
            continue;
        }
        if (gy_dns_address_parse(&address, word, word_bytes) != 0) {
            report(context, lines.number, "the line does not begin with an address");
        } else if (next_word(&lines, &word) == 0) {
            report(context, lines.number, "no name follows the address");
        }
    }
}

/* ---- the search list ---- */

static uint32_t dots_in(const char *name)
{
    uint32_t dots = 0;
    for (; *name != '\0'; name++) {
        dots += *name == '.';
    }
    return dots;
}

int gy_dns_resolv_candidate(const struct gy_dns_resolv *resolv, const char *name, uint32_t number,
                            uint8_t candidate[GY_DNS_NAME_MAX])
{
    size_t bytes = strlen(name);
    uint32_t dots = dots_in(name);
    bool absolute = bytes > 0 && name[bytes - 1] == '.';
    uint32_t domains = absolute ? 0 : resolv->search_count;
    bool itself = absolute || dots > 0 || !resolv->no_tld_query || domains == 0;
    bool first = itself && (absolute || dots >= resolv->ndots);
    if (number >= domains + itself) {
        return 0;
    }
    const uint8_t *origin = NULL;
    if (first ? number > 0 : number < domains) {
        origin = resolv->search[first ? number - 1 : number];
    }
    return gy_dns_name_from_text(name, bytes, origin, candidate, NULL) > 1 ? 1 : GY_EINVAL;
}
