/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The command line, and the lines of a batch: names, types and classes in any order. */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clients/dig/dig.h"
#include "core/number.h"

#define TIME_MS   5000u
#define TRIES     3u
#define UDP_BYTES 1232u

void dig_defaults(struct gy_dig_options *options)
{
    *options = (struct gy_dig_options){
        .udp_bytes = UDP_BYTES,
        .time_ms = TIME_MS,
        .tries = TRIES,
        .recurse = true,
        .ad = true,
        .edns = true,
        .cookie = true,
        .show_command = true,
        .show_comments = true,
        .show_stats = true,
        .show_question = true,
        .show_answer = true,
        .show_authority = true,
        .show_additional = true,
        .show_ttl = true,
        .show_class = true,
    };
}

int dig_misuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "gyre dig: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nTry `gyre dig -h`.\n");
    va_end(arguments);
    return DIG_USAGE;
}

/* ---- + ---- */

/* What stands behind a +, in full; a beginning that is one's alone will do. */
enum plus {
    PLUS_FLAG,  /* sets or, with "no", clears */
    PLUS_SHORT, /* only what the answer says */
    PLUS_ALL,
    PLUS_DNSSEC,
    PLUS_TLS,
    PLUS_TLS_CA,
    PLUS_TLS_HOST,
    PLUS_TRACE,
    PLUS_TIME,
    PLUS_TRIES,
    PLUS_RETRY,
    PLUS_BUFSIZE,
    PLUS_EDNS,
    PLUS_COOKIE,
    PLUS_PADDING,
    PLUS_SUBNET,
};

#define FLAG(member) offsetof(struct gy_dig_options, member)

static const struct plus_name {
    const char *name;
    enum plus plus;
    size_t flag;
} plus_names[] = {
    {"aaflag", PLUS_FLAG, FLAG(aa)},
    {"aaonly", PLUS_FLAG, FLAG(aa)},
    {"additional", PLUS_FLAG, FLAG(show_additional)},
    {"adflag", PLUS_FLAG, FLAG(ad)},
    {"all", PLUS_ALL, 0},
    {"answer", PLUS_FLAG, FLAG(show_answer)},
    {"authority", PLUS_FLAG, FLAG(show_authority)},
    {"bufsize", PLUS_BUFSIZE, 0},
    {"cdflag", PLUS_FLAG, FLAG(cd)},
    {"class", PLUS_FLAG, FLAG(show_class)},
    {"cmd", PLUS_FLAG, FLAG(show_command)},
    {"comments", PLUS_FLAG, FLAG(show_comments)},
    {"cookie", PLUS_COOKIE, FLAG(cookie)},
    {"dnssec", PLUS_DNSSEC, 0},
    {"do", PLUS_DNSSEC, 0},
    {"edns", PLUS_EDNS, 0},
    {"expire", PLUS_FLAG, FLAG(expire)},
    {"identify", PLUS_FLAG, FLAG(identify)},
    {"ignore", PLUS_FLAG, FLAG(ignore_cut)},
    {"json", PLUS_FLAG, FLAG(json)},
    {"keepalive", PLUS_FLAG, FLAG(keepalive)},
    {"multiline", PLUS_FLAG, FLAG(multiline)},
    {"nsid", PLUS_FLAG, FLAG(nsid)},
    {"onesoa", PLUS_FLAG, FLAG(one_soa)},
    {"padding", PLUS_PADDING, 0},
    {"qr", PLUS_FLAG, FLAG(sent)},
    {"question", PLUS_FLAG, FLAG(show_question)},
    {"recurse", PLUS_FLAG, FLAG(recurse)},
    {"rdflag", PLUS_FLAG, FLAG(recurse)},
    {"retry", PLUS_RETRY, 0},
    {"search", PLUS_FLAG, FLAG(search)},
    {"short", PLUS_SHORT, 0},
    {"stats", PLUS_FLAG, FLAG(show_stats)},
    {"subnet", PLUS_SUBNET, 0},
    {"tcp", PLUS_FLAG, FLAG(tcp)},
    {"time", PLUS_TIME, 0},
    {"timeout", PLUS_TIME, 0},
    {"tls", PLUS_TLS, 0},
    {"tls-ca", PLUS_TLS_CA, 0},
    {"tls-hostname", PLUS_TLS_HOST, 0},
    {"trace", PLUS_TRACE, 0},
    {"tries", PLUS_TRIES, 0},
    {"ttlid", PLUS_FLAG, FLAG(show_ttl)},
    {"ttlunits", PLUS_FLAG, FLAG(ttl_units)},
    {"vc", PLUS_FLAG, FLAG(tcp)},
};

#define PLUS_NAMES (sizeof plus_names / sizeof plus_names[0])

/* The name of which `text` is the whole, or a beginning that no other has. */
static const struct plus_name *find_plus(const char *text, size_t bytes)
{
    const struct plus_name *found = NULL;
    for (size_t i = 0; i < PLUS_NAMES; i++) {
        if (strncmp(plus_names[i].name, text, bytes) != 0) {
            continue;
        }
        if (plus_names[i].name[bytes] == '\0') {
            return &plus_names[i];
        }
        if (found != NULL &&
            (found->plus != plus_names[i].plus || found->flag != plus_names[i].flag)) {
            return NULL;
        }
        found = &plus_names[i];
    }
    return bytes > 0 ? found : NULL;
}

static int number_of(const char *word, const char *value, uint32_t min, uint32_t max,
                     uint32_t *number)
{
    uint64_t parsed;
    if (!gy_number_read(value, min, max, &parsed)) {
        return dig_misuse("%s: needs a number from %u to %u", word, min, max);
    }
    *number = (uint32_t)parsed;
    return 0;
}

static void show_all(struct gy_dig_options *options, bool on)
{
    options->show_comments = options->show_stats = options->show_question = on;
    options->show_answer = options->show_authority = options->show_additional = on;
    options->show_command = on;
}

static void set_short(struct gy_dig_options *options, bool on)
{
    options->brief = on;
    if (on) {
        show_all(options, false);
        options->show_answer = true;
    }
}

static int set_numbers(struct gy_dig_options *options, const struct plus_name *plus,
                       const char *word, const char *value, bool on)
{
    uint32_t number = 0;
    int status;
    switch (plus->plus) {
    case PLUS_TIME:
        status = number_of(word, value, 0, 3600, &number);
        options->time_ms = number > 0 ? number * 1000 : 1000;
        return status;
    case PLUS_TRIES:
    case PLUS_RETRY:
        status = number_of(word, value, 0, 100, &number);
        number += plus->plus == PLUS_RETRY;
        options->tries = number > 0 ? number : 1;
        return status;
    case PLUS_BUFSIZE:
        status = on && value != NULL ? number_of(word, value, 0, 65535, &number) : 0;
        options->udp_bytes = on && value != NULL ? (uint16_t)number : UDP_BYTES;
        options->edns = true;
        return status;
    case PLUS_EDNS:
        status = on && value != NULL ? number_of(word, value, 0, 255, &number) : 0;
        options->edns_version = (uint8_t)number;
        options->edns = on;
        return status;
    default:
        status = on ? number_of(word, value, 0, 1024, &number) : 0;
        options->padding = number;
        return status;
    }
}

static int set_tls(struct gy_dig_command *command, struct gy_dig_options *options,
                   const struct plus_name *plus, const char *value, bool on)
{
    options->tls = on;
    command->tls_used = command->tls_used || on;
    if (plus->plus == PLUS_TLS_CA) {
        command->tls_verified = on;
        free(command->tls.authorities);
        command->tls.authorities = on && value != NULL ? strdup(value) : NULL;
    } else if (plus->plus == PLUS_TLS_HOST) {
        if (on && value == NULL) {
            return dig_misuse("+tls-hostname=NAME: the name is missing");
        }
        command->tls_verified = on;
        command->tls_host = on ? value : NULL;
    }
    return 0;
}

static int read_plus(struct gy_dig_command *command, struct gy_dig_options *options,
                     const char *word)
{
    const char *text = word + 1;
    size_t bytes = strcspn(text, "=");
    const char *value = text[bytes] == '=' ? text + bytes + 1 : NULL;
    const struct plus_name *plus = find_plus(text, bytes);
    bool on = true;
    if (plus == NULL && strncmp(text, "no", 2) == 0) {
        plus = find_plus(text + 2, bytes - 2);
        on = false;
    }
    if (plus == NULL) {
        return dig_misuse("%s: unknown, or short for several", word);
    }
    switch (plus->plus) {
    case PLUS_FLAG:
        *((bool *)((char *)options + plus->flag)) = on;
        return value == NULL ? 0 : dig_misuse("%s: takes no value", word);
    case PLUS_SHORT:
        set_short(options, on);
        return 0;
    case PLUS_ALL:
        show_all(options, on);
        return 0;
    case PLUS_DNSSEC:
        options->dnssec = on;
        options->edns = options->edns || on;
        return 0;
    case PLUS_TRACE:
        options->trace = on;
        options->dnssec = options->dnssec || on;
        return 0;
    case PLUS_COOKIE:
        options->cookie = on;
        options->cookie_text = on ? value : NULL;
        return 0;
    case PLUS_SUBNET:
        options->subnet = on ? value : NULL;
        return !on || value != NULL ? 0 : dig_misuse("+subnet=ADDRESS/BITS: it is missing");
    case PLUS_TLS:
    case PLUS_TLS_CA:
    case PLUS_TLS_HOST:
        return set_tls(command, options, plus, value, on);
    default:
        return set_numbers(options, plus, word, value, on);
    }
}

/* ---- names, types, classes ---- */

static struct gy_dig_query *new_query(struct gy_dig_command *command)
{
    if (command->count == command->room) {
        return NULL;
    }
    struct gy_dig_query *query = &command->queries[command->count++];
    *query = (struct gy_dig_query){
        .options = command->defaults, .type = GY_DNS_TYPE_A, .class = GY_DNS_CLASS_IN};
    return query;
}

/* The query that is being described; a new one when there is none, or when that has one of those
 * already. */
static struct gy_dig_query *query_for(struct gy_dig_command *command, bool named, bool typed)
{
    struct gy_dig_query *last =
        command->count > 0 ? &command->queries[command->count - 1] : new_query(command);
    if (last != NULL && ((named && last->named) || (typed && last->typed && last->named))) {
        last = new_query(command);
    }
    return last;
}

static int set_name(struct gy_dig_command *command, const char *text)
{
    struct gy_dig_query *query = query_for(command, true, false);
    const char *why = "";
    if (query == NULL) {
        return dig_misuse("%s: too many queries", text);
    }
    if (gy_dns_name_from_text(text, strlen(text), NULL, query->name, &why) < 0) {
        return dig_misuse("'%s' is not a legal name (%s)", text, why);
    }
    query->named = true;
    query->text = text;
    return 0;
}

/* The type of a word; IXFR=SERIAL too. */
static int type_of(const char *text, uint32_t *serial)
{
    uint64_t value = 0;
    if (strncasecmp(text, "ixfr=", 5) == 0) {
        bool good = gy_number_read(text + 5, 0, UINT32_MAX, &value);
        *serial = (uint32_t)value;
        return good ? GY_DNS_TYPE_IXFR : GY_EINVAL;
    }
    return gy_dns_type_from_text(text, strlen(text));
}

static int set_type(struct gy_dig_command *command, uint16_t type, uint32_t serial)
{
    struct gy_dig_query *query = query_for(command, false, true);
    if (query == NULL) {
        return dig_misuse("too many queries");
    }
    query->typed = true;
    query->type = type;
    query->serial = serial;
    return 0;
}

static int set_class(struct gy_dig_command *command, uint16_t class)
{
    struct gy_dig_query *query = query_for(command, false, false);
    if (query == NULL) {
        return dig_misuse("too many queries");
    }
    query->classed = true;
    query->class = class;
    return 0;
}

/* 192.0.2.1 is 1.2.0.192.in-addr.arpa; an IPv6 address its digits backwards below ip6.arpa. */
static int set_reverse(struct gy_dig_command *command, const char *text)
{
    struct gy_dns_address address;
    char name[160];
    size_t fill = 0;
    if (gy_dns_address_parse(&address, text, strlen(text)) != 0) {
        return dig_misuse("-x %s: not an IPv4 or IPv6 address", text);
    }
    for (uint32_t i = address.length; i > 0; i--) {
        uint8_t byte = address.bytes[i - 1];
        fill +=
            (size_t)(address.length == 4 ? snprintf(name + fill, sizeof name - fill, "%u.", byte)
                                         : snprintf(name + fill, sizeof name - fill, "%x.%x.",
                                                    byte & 15u, byte >> 4));
    }
    snprintf(name + fill, sizeof name - fill, "%s",
             address.length == 4 ? "in-addr.arpa." : "ip6.arpa.");
    int status = set_name(command, name);
    struct gy_dig_query *query = &command->queries[command->count - 1];
    query->text = NULL;
    if (status == 0 && !query->typed) {
        query->type = GY_DNS_TYPE_PTR;
        query->typed = true;
    }
    return status;
}

static int read_bare(struct gy_dig_command *command, const char *word)
{
    uint32_t serial = 0;
    int type = type_of(word, &serial);
    int class = gy_dns_class_from_text(word, strlen(word));
    if (type >= 0) {
        return set_type(command, (uint16_t)type, serial);
    }
    return class >= 0 ? set_class(command, (uint16_t) class) : set_name(command, word);
}

/* ---- - ---- */

/* ADDRESS or ADDRESS#PORT: where queries leave from. What family it is of, the servers are of too.
 */
static int set_local(struct gy_dig_command *command, struct gy_dig_options *options,
                     const char *text)
{
    struct gy_dns_address address;
    uint32_t port = 0;
    size_t bytes = strcspn(text, "#");
    int status = text[bytes] == '#' ? number_of("-b", text + bytes + 1, 0, 65535, &port) : 0;
    if (status != 0) {
        return status;
    }
    if (command->local_count == DIG_LOCALS_MAX) {
        return dig_misuse("-b %s: there can be %d of them", text, DIG_LOCALS_MAX);
    }
    struct gy_address *local = &command->locals[command->local_count];
    if (gy_dns_address_parse(&address, text, bytes) != 0 ||
        gy_dns_address_to_core(&address, local) != 0) {
        return dig_misuse("-b %s: not ADDRESS or ADDRESS#PORT", text);
    }
    gy_address_set_port(local, (uint16_t)port);
    command->local_count++;
    options->local = local;
    options->family = address.length == 4 ? 4 : 6;
    return 0;
}

static int read_valued(struct gy_dig_command *command, struct gy_dig_options *options, char letter,
                       const char *value)
{
    uint32_t number = 0;
    uint32_t serial = 0;
    int code;
    switch (letter) {
    case 'p':
        code = number_of("-p", value, 1, 65535, &number);
        options->port = (uint16_t)number;
        return code;
    case 'x':
        return set_reverse(command, value);
    case 'q':
        return set_name(command, value);
    case 't':
        code = type_of(value, &serial);
        return code >= 0 ? set_type(command, (uint16_t)code, serial)
                         : dig_misuse("-t %s: not a type", value);
    case 'c':
        code = gy_dns_class_from_text(value, strlen(value));
        return code >= 0 ? set_class(command, (uint16_t)code)
                         : dig_misuse("-c %s: not a class", value);
    case 'b':
        return set_local(command, options, value);
    case 'y':
        return dig_read_key(command, value);
    case 'k':
        return dig_read_key_file(command, value);
    default:
        command->batch = value;
        return 0;
    }
}

/* What options are for: the query that is being described, or, before the first, all of them. */
static struct gy_dig_options *options_now(struct gy_dig_command *command, bool defaults_too)
{
    bool before = command->count == 0 || !command->queries[command->count - 1].named;
    return before && defaults_too && command->count == 0
               ? &command->defaults
               : (command->count > 0 ? &command->queries[command->count - 1].options : NULL);
}

static int read_dash(struct gy_dig_command *command, struct gy_dig_options *options, int count,
                     char **words, int *at)
{
    const char *word = words[*at];
    char letter = word[1];
    if (letter == '4' || letter == '6') {
        options->family = (uint8_t)(letter - '0');
        return word[2] == '\0' ? 0 : dig_misuse("%s: unknown", word);
    }
    if (letter == 'r' && word[2] == '\0') { /* there is no .digrc to leave alone */
        return 0;
    }
    if (letter == '\0' || strchr("bpxqtcfyk", letter) == NULL) {
        return dig_misuse("%s: unknown", word);
    }
    const char *value = word[2] != '\0' ? word + 2 : NULL;
    if (value == NULL && *at + 1 < count) {
        value = words[++*at];
    }
    return value != NULL ? read_valued(command, options, letter, value)
                         : dig_misuse("%s: needs a value", word);
}

int dig_read_words(struct gy_dig_command *command, int count, char **words, bool defaults_too)
{
    for (int i = 0; i < count; i++) {
        struct gy_dig_options *options = options_now(command, defaults_too);
        if (options == NULL) {
            struct gy_dig_query *query = new_query(command);
            if (query == NULL) {
                return dig_misuse("too many queries");
            }
            options = &query->options;
        }
        int status;
        if (words[i][0] == '@') {
            options->server = words[i] + 1;
            status = words[i][1] != '\0' ? 0 : dig_misuse("@: the server is missing");
        } else if (words[i][0] == '+') {
            status = read_plus(command, options, words[i]);
        } else if (words[i][0] == '-') {
            status = read_dash(command, options, count, words, &i);
        } else {
            status = read_bare(command, words[i]);
        }
        if (status != 0) {
            return status;
        }
    }
    return 0;
}
