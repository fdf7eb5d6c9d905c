/* SPDX-License-Identifier: GPL-3.0-or-later */

/* An answer as one line of JSON: the members of RFC 8427, and where it came from. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/dig/dig.h"
#include "core/json.h"

/* What a byte of a message becomes at most: a record of 12 bytes may have two names of 255, by
 * pointers, of which each byte is written as four characters and the backslash among them as six.
 */
#define JSON_PER_BYTE 512u
#define JSON_AROUND   8192u

static char text[GY_DNS_RDATA_TEXT_BYTES];
static uint8_t rdata[GY_DNS_RDATA_MAX];

static void put_type(struct gy_writer *writer, const char *prefix, uint16_t type, uint16_t class)
{
    char word[GY_DNS_MNEMONIC_BYTES], name[32];
    snprintf(name, sizeof name, "%sTYPE", prefix);
    gy_json_number(writer, name, type);
    snprintf(name, sizeof name, "%sTYPEname", prefix);
    gy_json_text(writer, name, gy_dns_type_text(type, word));
    snprintf(name, sizeof name, "%sCLASS", prefix);
    gy_json_number(writer, name, class);
    snprintf(name, sizeof name, "%sCLASSname", prefix);
    gy_json_text(writer, name, gy_dns_class_text(class, word));
}

static void put_record(struct gy_writer *writer, const struct gy_dns_message *message,
                       const struct gy_dns_record *record)
{
    char owner[GY_DNS_NAME_TEXT_BYTES], word[GY_DNS_MNEMONIC_BYTES], name[32];
    gy_json_next(writer);
    gy_writer_u8(writer, '{');
    gy_dns_name_to_text(record->owner, owner);
    gy_json_text(writer, "NAME", owner);
    put_type(writer, "", record->type, record->class);
    gy_json_number(writer, "TTL", record->ttl);
    int bytes = gy_dns_rdata_read(message, record, rdata, sizeof rdata);
    gy_json_number(writer, "RDLENGTH", record->rdata_bytes);
    if (bytes >= 0 && record->type != GY_DNS_TYPE_OPT) {
        gy_dns_rdata_to_text(record->type, rdata, (size_t)bytes, text, sizeof text);
        snprintf(name, sizeof name, "rdata%s", gy_dns_type_text(record->type, word));
        gy_json_text(writer, name, text);
    } else {
        for (uint32_t i = 0; i < record->rdata_bytes; i++) {
            snprintf(text + (size_t)2 * i, 3, "%02X", record->rdata[i]);
        }
        text[(size_t)2 * record->rdata_bytes] = '\0';
        gy_json_text(writer, "RDATAHEX", text);
    }
    gy_writer_u8(writer, '}');
}

static void put_header(struct gy_writer *writer, const struct gy_dns_header *header)
{
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {
        {GY_DNS_FLAG_QR, "QR"}, {GY_DNS_FLAG_AA, "AA"}, {GY_DNS_FLAG_TC, "TC"},
        {GY_DNS_FLAG_RD, "RD"}, {GY_DNS_FLAG_RA, "RA"}, {GY_DNS_FLAG_AD, "AD"},
        {GY_DNS_FLAG_CD, "CD"},
    };
    static const char *const counts[] = {"QDCOUNT", "ANCOUNT", "NSCOUNT", "ARCOUNT"};
    gy_json_number(writer, "ID", header->id);
    gy_json_number(writer, "Opcode", GY_DNS_OPCODE_OF(header->flags));
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        gy_json_number(writer, flags[i].name, (header->flags & flags[i].flag) != 0);
    }
    gy_json_number(writer, "RCODE", GY_DNS_RCODE_OF(header->flags));
    for (unsigned i = 0; i < GY_DNS_SECTIONS; i++) {
        gy_json_number(writer, counts[i], header->count[i]);
    }
}

static void put_message(struct gy_writer *writer, const uint8_t *bytes, size_t length)
{
    static const char *const sections[] = {"", "answerRRs", "authorityRRs", "additionalRRs"};
    struct gy_dns_message message;
    struct gy_dns_record record;
    char owner[GY_DNS_NAME_TEXT_BYTES];
    unsigned open = 0;
    int more = gy_dns_message_open(&message, bytes, length);
    if (more != 0) {
        return;
    }
    put_header(writer, &message.header);
    while ((more = gy_dns_message_next(&message, &record)) > 0) {
        if (record.section == GY_DNS_QUESTION) {
            gy_dns_name_to_text(record.owner, owner);
            gy_json_text(writer, "QNAME", owner);
            put_type(writer, "Q", record.type, record.class);
            continue;
        }
        if (open != record.section) {
            if (open != 0) {
                gy_writer_u8(writer, ']');
            }
            open = record.section;
            gy_json_member(writer, sections[open]);
            gy_writer_u8(writer, '[');
        }
        put_record(writer, &message, &record);
    }
    if (open != 0) {
        gy_writer_u8(writer, ']');
    }
    if (more < 0) {
        gy_json_text(writer, "commentMalformed", "the message ends within a record, or behind one");
    }
}

void dig_print_json(const struct gy_dig *dig, const struct gy_dig_query *query, const char *error)
{
    char server[GY_ADDRESS_TEXT_BYTES], owner[GY_DNS_NAME_TEXT_BYTES];
    size_t bytes = JSON_AROUND + dig->reply_bytes * JSON_PER_BYTE;
    uint8_t *room = malloc(bytes);
    if (room == NULL) {
        fprintf(stderr, "gyre dig: out of memory\n");
        return;
    }
    struct gy_writer writer = gy_writer_on(room, bytes);
    gy_writer_u8(&writer, '{');
    gy_json_text(&writer, "server", dig_server_text(&dig->server, server));
    gy_json_text(&writer, "serverName", dig->server_name);
    gy_json_text(&writer, "transport",
                 dig->by_datagram     ? "UDP"
                 : query->options.tls ? "TLS"
                                      : "TCP");
    gy_json_number(&writer, "dateSeconds", (uint64_t)time(NULL));
    if (error != NULL) {
        gy_dns_name_to_text(query->name, owner);
        gy_json_text(&writer, "QNAME", owner);
        put_type(&writer, "Q", query->type, query->class);
        gy_json_text(&writer, "error", error);
    } else {
        gy_json_number(&writer, "timeMicroseconds", dig->took_ns / 1000);
        gy_json_number(&writer, "messageBytes", dig->reply_bytes);
        gy_json_member(&writer, "responseMessage");
        gy_writer_u8(&writer, '{');
        put_message(&writer, dig->reply, dig->reply_bytes);
        gy_writer_u8(&writer, '}');
    }
    gy_writer_text(&writer, "}\n");
    if (writer.failed) {
        fprintf(stderr, "gyre dig: the answer is too long for JSON\n");
    } else {
        fwrite(room, 1, gy_writer_length(&writer), stdout);
    }
    free(room);
}
