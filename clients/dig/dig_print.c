/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What dig prints, laid out as its users and their scripts know it. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/dig/dig.h"

/* Owners have so many columns; TTL, class and type a tab's each. */
#define OWNER_COLUMNS 24u
#define TAB           8u

const char *dig_server_text(const struct gy_address *server, char text[GY_ADDRESS_TEXT_BYTES])
{
    gy_address_format(server, text, GY_ADDRESS_TEXT_BYTES);
    char *colon = strrchr(text, ':');
    gy_assert(colon != NULL);
    if (text[0] == '[') { /* [::1]:53 becomes ::1#53 */
        memmove(text, text + 1, strlen(text));
        colon -= 2;
        memmove(colon, colon + 1, strlen(colon));
    }
    *colon = '#';
    return text;
}

static char rdata_text[GY_DNS_RDATA_TEXT_BYTES];
static uint8_t rdata[GY_DNS_RDATA_MAX];

/* Tabs up to a column; one blank at least. */
static void indent(size_t *column, size_t to)
{
    to = to > *column ? to : *column + 1;
    for (size_t tabs = to / TAB - *column / TAB; tabs > 0; tabs--) {
        putchar('\t');
        *column = (*column / TAB + 1) * TAB;
    }
    for (; *column < to; ++*column) {
        putchar(' ');
    }
}

static void put(size_t *column, const char *text)
{
    fputs(text, stdout);
    *column += strlen(text);
}

/* How many columns it takes. */
static int put_ttl(uint32_t ttl, const struct gy_dig_options *options)
{
    return options->ttl_units ? dig_print_time(ttl, false) : printf("%u", ttl);
}

static void print_short(uint16_t type)
{
    char mnemonic[GY_DNS_MNEMONIC_BYTES];
    if (type == GY_DNS_TYPE_RRSIG) {
        printf("%s ", gy_dns_type_text(type, mnemonic));
    }
    printf("%s", rdata_text);
}

void dig_print_record(const struct gy_dns_message *message, const struct gy_dns_record *record,
                      const struct gy_dig_options *options)
{
    char owner[GY_DNS_NAME_TEXT_BYTES], word[GY_DNS_MNEMONIC_BYTES];
    size_t column = 0, next = OWNER_COLUMNS;
    size_t tab = options->multiline ? 0 : TAB; /* then TTL, class and type follow each other */
    int bytes = gy_dns_rdata_read(message, record, rdata, sizeof rdata);
    if (bytes < 0) {
        printf(";; a record of type %s has data that is none\n",
               gy_dns_type_text(record->type, word));
        return;
    }
    gy_dns_rdata_to_text(record->type, rdata, (size_t)bytes, rdata_text, sizeof rdata_text);
    if (options->brief) {
        print_short(record->type);
        return;
    }
    gy_dns_name_to_text(record->owner, owner);
    put(&column, owner);
    if (options->show_ttl) {
        indent(&column, next);
        column += (size_t)put_ttl(record->ttl, options);
        next += tab;
    }
    if (options->show_class) {
        indent(&column, next);
        put(&column, gy_dns_class_text(record->class, word));
        next += tab;
    }
    indent(&column, next);
    put(&column, gy_dns_type_text(record->type, word));
    indent(&column, next + TAB);
    if (options->multiline) {
        dig_print_multiline(record->type, rdata_text, rdata, (size_t)bytes);
        putchar('\n');
    } else {
        printf("%s\n", rdata_text);
    }
}

/* Its class and type stand above those of the records. */
static void print_question(const struct gy_dns_record *record, const struct gy_dig_options *options)
{
    char owner[GY_DNS_NAME_TEXT_BYTES], word[GY_DNS_MNEMONIC_BYTES];
    size_t column = 0;
    size_t tab = options->multiline ? 0 : TAB;
    size_t class = OWNER_COLUMNS + (options->show_ttl && options->show_class ? tab : 0);
    size_t type = class + (options->show_ttl || options->show_class ? tab : 0);
    gy_dns_name_to_text(record->owner, owner);
    putchar(';');
    put(&column, owner);
    indent(&column, class);
    put(&column, gy_dns_class_text(record->class, word));
    indent(&column, type);
    printf("%s\n", gy_dns_type_text(record->type, word));
}

/* ---- EDNS ---- */

static void print_hex(const uint8_t *data, size_t bytes, const char *between)
{
    for (size_t i = 0; i < bytes; i++) {
        printf("%s%02x", i > 0 ? between : "", data[i]);
    }
}

/* As text between quotes, what cannot be printed as dots. */
static void print_printable(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        putchar(data[i] >= ' ' && data[i] < 0x7f ? data[i] : '.');
    }
}

static const char *error_name(uint16_t code)
{
    /* RFC 8914 §4 and the registry after it, by number. */
    static const char *const names[] = {
        "Other",
        "Unsupported DNSKEY Algorithm",
        "Unsupported DS Digest Type",
        "Stale Answer",
        "Forged Answer",
        "DNSSEC Indeterminate",
        "DNSSEC Bogus",
        "Signature Expired",
        "Signature Not Yet Valid",
        "DNSKEY Missing",
        "RRSIGs Missing",
        "No Zone Key Bit Set",
        "NSEC Missing",
        "Cached Error",
        "Not Ready",
        "Blocked",
        "Censored",
        "Filtered",
        "Prohibited",
        "Stale NXDOMAIN Answer",
        "Not Authoritative",
        "Not Supported",
        "No Reachable Authority",
        "Network Error",
        "Invalid Data",
    };
    return code < sizeof names / sizeof names[0] ? names[code] : "Unknown";
}

/* What the server made of our cookie (RFC 7873 §5.3). */
static const char *cookie_verdict(const struct gy_dig *dig, const uint8_t *data, size_t bytes)
{
    if (dig->cookie_bytes < DIG_COOKIE_BYTES || bytes < DIG_COOKIE_BYTES ||
        memcmp(dig->cookie, data, DIG_COOKIE_BYTES) != 0) {
        return " (bad)";
    }
    return bytes == DIG_COOKIE_BYTES ? " (echoed)" : " (good)";
}

static void print_subnet(const uint8_t *data, size_t bytes)
{
    struct gy_dns_address subnet = {.length = data[1] == 1 ? 4 : 16};
    struct gy_address address;
    char text[GY_ADDRESS_TEXT_BYTES];
    size_t room = bytes - 4 < subnet.length ? bytes - 4 : subnet.length;
    memcpy(subnet.bytes, data + 4, room);
    if (gy_dns_address_to_core(&subnet, &address) == 0) {
        dig_server_text(&address, text);
        text[strcspn(text, "#")] = '\0';
        printf("; CLIENT-SUBNET: %s/%u/%u\n", text, data[2], data[3]);
    }
}

static void print_option(const struct gy_dig *dig, const struct gy_dig_query *query, uint16_t code,
                         const uint8_t *data, size_t bytes)
{
    bool answer = query != NULL;
    if (code == GY_DNS_OPTION_COOKIE) {
        printf("; COOKIE: ");
        print_hex(data, bytes, "");
        printf("%s\n", answer ? cookie_verdict(dig, data, bytes) : "");
    } else if (code == GY_DNS_OPTION_NSID) {
        printf("; NSID:%s", bytes > 0 ? " " : "");
        print_hex(data, bytes, " ");
        if (bytes > 0) {
            printf(" (\"");
            print_printable(data, bytes);
            printf("\")");
        }
        putchar('\n');
    } else if (code == GY_DNS_OPTION_ERROR && bytes >= 2) {
        uint16_t number = (uint16_t)(data[0] << 8 | data[1]);
        printf("; EDE: %u (%s)", number, error_name(number));
        if (bytes > 2) {
            printf(": (");
            print_printable(data + 2, bytes - 2);
            putchar(')');
        }
        putchar('\n');
    } else if (bytes == 0 && (code == GY_DNS_OPTION_KEEPALIVE || code == GY_DNS_OPTION_EXPIRE)) {
        printf(code == GY_DNS_OPTION_EXPIRE ? "; EXPIRE:\n" : "; TCP KEEPALIVE:\n");
    } else if (code == GY_DNS_OPTION_KEEPALIVE && bytes == 2) {
        unsigned tenths = (unsigned)data[0] << 8 | data[1];
        printf("; TCP KEEPALIVE: %u.%u secs\n", tenths / 10, tenths % 10);
    } else if (code == GY_DNS_OPTION_EXPIRE && bytes == 4) {
        printf("; EXPIRE: %u\n", (unsigned)data[0] << 24 | (unsigned)data[1] << 16 |
                                     (unsigned)data[2] << 8 | data[3]);
    } else if (code == GY_DNS_OPTION_PADDING) {
        printf("; PAD: (%zu bytes)\n", bytes);
    } else if (code == GY_DNS_OPTION_SUBNET && bytes >= 4) {
        print_subnet(data, bytes);
    } else {
        printf("; OPT=%u: ", code);
        print_hex(data, bytes, " ");
        printf(" (\"");
        print_printable(data, bytes);
        printf("\")\n");
    }
}

static void print_opt(const struct gy_dig *dig, const struct gy_dig_query *query,
                      const struct gy_dns_record *opt)
{
    size_t at = 0;
    uint16_t code, bytes;
    const uint8_t *data;
    printf(";; OPT PSEUDOSECTION:\n; EDNS: version: %u, flags:%s; udp: %u\n", opt->ttl >> 16 & 255u,
           (opt->ttl & GY_DNS_EDNS_DO) != 0 ? " do" : "", opt->class);
    while (gy_dns_option_next(opt, &at, &code, &data, &bytes) > 0) {
        print_option(dig, query, code, data, bytes);
    }
}

/* ---- messages ---- */

static const char *opcode_name(unsigned opcode)
{
    static const char *const names[] = {"QUERY",  "IQUERY", "STATUS", "RESERVED3",
                                        "NOTIFY", "UPDATE", "DSO"};
    return opcode < sizeof names / sizeof names[0] ? names[opcode] : "RESERVED";
}

/* The message's OPT record; false: it has none. */
static bool find_opt(const uint8_t *bytes, size_t length, struct gy_dns_message *message,
                     struct gy_dns_record *opt)
{
    int more = gy_dns_message_open(message, bytes, length);
    while (more == 0 && gy_dns_message_next(message, opt) > 0) {
        if (opt->section == GY_DNS_ADDITIONAL && opt->type == GY_DNS_TYPE_OPT) {
            return true;
        }
    }
    return false;
}

static void print_header(const struct gy_dns_header *header, uint16_t rcode)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {
        {GY_DNS_FLAG_QR, "qr"}, {GY_DNS_FLAG_AA, "aa"}, {GY_DNS_FLAG_TC, "tc"},
        {GY_DNS_FLAG_RD, "rd"}, {GY_DNS_FLAG_RA, "ra"}, {GY_DNS_FLAG_AD, "ad"},
        {GY_DNS_FLAG_CD, "cd"},
    };
    char word[GY_DNS_MNEMONIC_BYTES];
    printf(";; ->>HEADER<<- opcode: %s, status: %s, id: %u\n;; flags:",
           opcode_name(GY_DNS_OPCODE_OF(header->flags)), gy_dns_rcode_text(rcode, word),
           header->id);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if ((header->flags & flags[i].flag) != 0) {
            printf(" %s", flags[i].name);
        }
    }
    printf("; QUERY: %u, ANSWER: %u, AUTHORITY: %u, ADDITIONAL: %u\n", header->count[0],
           header->count[1], header->count[2], header->count[3]);
    if ((header->flags & (GY_DNS_FLAG_QR | GY_DNS_FLAG_RD | GY_DNS_FLAG_RA)) ==
        (GY_DNS_FLAG_QR | GY_DNS_FLAG_RD)) {
        printf(";; WARNING: recursion requested but not available\n");
    }
    putchar('\n');
}

static bool shown(const struct gy_dig_options *options, uint8_t section)
{
    return section == GY_DNS_QUESTION    ? options->show_question
           : section == GY_DNS_ANSWER    ? options->show_answer
           : section == GY_DNS_AUTHORITY ? options->show_authority
                                         : options->show_additional;
}

static void print_brief(const struct gy_dig *dig, const struct gy_dns_message *message,
                        const struct gy_dns_record *record, const struct gy_dig_options *options)
{
    char text[GY_ADDRESS_TEXT_BYTES];
    dig_print_record(message, record, options);
    if (options->identify) {
        dig_server_text(&dig->server, text);
        text[strcspn(text, "#")] = '\0';
        printf(" from server %s in %llu ms.", text, (unsigned long long)(dig->took_ns / 1000000));
    }
    putchar('\n');
}

static void print_sections(const struct gy_dig *dig, const struct gy_dig_options *options,
                           const uint8_t *bytes, size_t length)
{
    static const char *const titles[] = {"QUESTION", "ANSWER", "AUTHORITY", "ADDITIONAL"};
    struct gy_dns_message message;
    struct gy_dns_record record;
    int more = gy_dns_message_open(&message, bytes, length);
    struct gy_dns_record signature = {0};
    uint8_t signer[GY_DNS_NAME_PADDED]; /* what follows, whole or not, is read over its owner */
    int section = -1;
    while (more == 0 && (more = gy_dns_message_next(&message, &record)) > 0) {
        more = 0;
        if (!shown(options, record.section) || record.type == GY_DNS_TYPE_OPT ||
            record.type == GY_DNS_TYPE_TSIG) {
            if (record.type == GY_DNS_TYPE_TSIG) {
                signature = record;
                signature.owner = memcpy(signer, record.owner, gy_dns_name_bytes(record.owner));
            }
            continue;
        }
        if (options->brief) {
            print_brief(dig, &message, &record, options);
            continue;
        }
        if (section != record.section) {
            if (section >= 0 && options->show_comments) {
                putchar('\n');
            }
            section = record.section;
            if (options->show_comments) {
                printf(";; %s SECTION:\n", titles[section]);
            }
        }
        if (record.section == GY_DNS_QUESTION) {
            print_question(&record, options);
        } else {
            dig_print_record(&message, &record, options);
        }
    }
    if (section >= 0 && options->show_comments) {
        putchar('\n');
    }
    if (signature.type != 0 && options->show_comments) {
        dig_print_signature(&signature);
    }
    if (more < 0 && options->show_comments) {
        printf(";; WARNING: Message parser reports malformed message packet.\n\n");
    }
}

void dig_print_message(const struct gy_dig *dig, const struct gy_dig_query *query,
                       const uint8_t *bytes, size_t length)
{
    const struct gy_dig_options *options = &query->options;
    struct gy_dns_message message;
    struct gy_dns_record opt;
    if (gy_dns_message_open(&message, bytes, length) != 0) {
        return;
    }
    struct gy_dns_header header = message.header;
    bool answer = (header.flags & GY_DNS_FLAG_QR) != 0;
    bool has_opt = find_opt(bytes, length, &message, &opt);
    if (options->show_comments) {
        uint16_t rcode = (uint16_t)GY_DNS_RCODE_OF(header.flags);
        rcode |= (uint16_t)(has_opt ? (opt.ttl >> 24) << 4 : 0);
        print_header(&header, rcode);
        if (has_opt) {
            print_opt(dig, answer ? query : NULL, &opt);
        }
    }
    print_sections(dig, options, bytes, length);
}

/* ---- around it ---- */

void dig_print_banner(const struct gy_dig *dig, const struct gy_dig_query *query, uint32_t servers)
{
    printf("\n; <<>> gyre dig " GY_VERSION " <<>>%s\n", dig->command->words);
    if (query->options.server != NULL && query->options.show_comments) {
        printf("; (%u server%s found)\n", servers, servers == 1 ? "" : "s");
    }
    printf(";; global options: +cmd\n");
}

void dig_print_stats(const struct gy_dig *dig, const struct gy_dig_query *query)
{
    char server[GY_ADDRESS_TEXT_BYTES], when[64] = "";
    time_t now = time(NULL);
    struct tm local;
    const char *transport = dig->by_datagram ? "UDP" : query->options.tls ? "TLS" : "TCP";
    if (localtime_r(&now, &local) != NULL) {
        strftime(when, sizeof when, "%a %b %d %H:%M:%S %Z %Y", &local);
    }
    printf(";; Query time: %llu msec\n;; SERVER: %s(%s) (%s)\n;; WHEN: %s\n",
           (unsigned long long)(dig->took_ns / 1000000), dig_server_text(&dig->server, server),
           dig->server_name, transport, when);
}

void dig_print_reply(const struct gy_dig *dig, const struct gy_dig_query *query)
{
    const struct gy_dig_options *options = &query->options;
    if (options->show_comments) {
        printf(";; Got answer:\n");
    }
    dig_print_message(dig, query, dig->reply, dig->reply_bytes);
    if (options->show_stats) {
        dig_print_stats(dig, query);
        printf(";; MSG SIZE  rcvd: %zu\n\n", dig->reply_bytes);
    }
}
