/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/transfer_in.h"

#include <string.h>

#include "core/cursor.h"

#define SOA_NUMBERS 20

/* Of IXFR: the version that is there, in the authority section (RFC 1995 §3). Only its serial is
 * looked at. */
static void add_version(const struct gy_dns_transfer_in *in, struct gy_dns_builder *builder)
{
    uint8_t soa[2 + SOA_NUMBERS] = {0};
    struct gy_writer writer = gy_writer_on(soa + 2, 4);
    gy_writer_u32(&writer, in->have);
    int code = gy_dns_builder_record(builder, GY_DNS_AUTHORITY, in->apex, GY_DNS_TYPE_SOA,
                                     GY_DNS_CLASS_IN, 0, soa, sizeof soa);
    gy_assert(code == 0);
}

size_t gy_dns_transfer_in_begin(struct gy_dns_transfer_in *in, const uint8_t *apex, uint16_t type,
                                uint16_t id, const struct gy_dns_key *key,
                                const struct gy_dns_hmac *hmac, uint8_t *message, uint64_t now)
{
    struct gy_dns_builder builder;
    bool transfer = type == GY_DNS_TYPE_AXFR || type == GY_DNS_TYPE_IXFR;
    gy_assert(type == GY_DNS_TYPE_SOA || (transfer && in->record != NULL));
    in->apex = apex;
    in->id = id;
    in->type = type;
    in->is_signed = key != NULL;
    in->checked = in->begun = in->ended = false;
    in->incremental = in->current = false;
    in->undecided = type == GY_DNS_TYPE_IXFR;
    in->change = GY_DNS_WHOLE;
    in->at = in->have;
    in->records = in->messages = 0;
    in->serial = 0;
    in->tsig.adding = false;
    gy_dns_builder_open(&builder, message, GY_DNS_TRANSFER_REQUEST_BYTES, id, 0);
    int code = gy_dns_builder_question(&builder, apex, type, GY_DNS_CLASS_IN);
    gy_assert(code == 0);
    if (type == GY_DNS_TYPE_IXFR) {
        add_version(in, &builder);
    }
    size_t bytes = gy_dns_builder_close(&builder);
    if (key != NULL) {
        code = gy_dns_tsig_sign_request(&in->tsig, hmac, key, message, bytes,
                                        GY_DNS_TRANSFER_REQUEST_BYTES, now);
        gy_assert(code > 0);
        bytes = (size_t)code;
    }
    return bytes;
}

void gy_dns_transfer_in_close(struct gy_dns_transfer_in *in)
{
    gy_dns_tsig_close(&in->tsig);
}

/* ---- one message ---- */

static int check_signature(struct gy_dns_transfer_in *in, const uint8_t *message, size_t bytes,
                           uint64_t now, struct gy_error *error)
{
    char text[GY_DNS_MNEMONIC_BYTES];
    int code = gy_dns_tsig_check_answer(&in->tsig, message, bytes, now);
    in->checked = code == 1;
    uint16_t refusal = in->tsig.error;
    if (code == GY_ETIMEOUT || (code == 1 && refusal == GY_DNS_RCODE_BADTIME)) {
        return gy_error_set(error, GY_ETIMEOUT,
                            "its clock differs from ours by more than is allowed; set both by NTP");
    }
    if (code == GY_EREFUSED && refusal != 0) {
        gy_dns_rcode_text(refusal, text);
        return gy_error_set(error, code,
                            "it does not take our key (%s); is it the same on both sides?",
                            refusal == GY_DNS_RCODE_BADSIG ? "BADSIG" : text);
    }
    if (code == GY_EREFUSED && (message[3] & 15) == 0) {
        return gy_error_set(error, code,
                            "its answer is not signed by our key; is it the same on both sides?");
    }
    /* Of an error without signature the code is what there is to tell. */
    return code == GY_EPROTO
               ? gy_error_set(error, code, "its answer, or the signature of it, is malformed")
               : 0;
}

static int check_head(const struct gy_dns_transfer_in *in, const struct gy_dns_message *message,
                      struct gy_error *error)
{
    const struct gy_dns_header *header = &message->header;
    char text[GY_DNS_MNEMONIC_BYTES];
    unsigned rcode = GY_DNS_RCODE_OF(header->flags);
    if (header->id != in->id || (header->flags & GY_DNS_FLAG_QR) == 0 ||
        GY_DNS_OPCODE_OF(header->flags) != GY_DNS_OPCODE_QUERY) {
        return gy_error_set(error, GY_EPROTO, "what it sent is no answer to the question");
    }
    if (rcode != GY_DNS_RCODE_NOERROR) {
        return gy_error_set(error, GY_EREFUSED, "it answers %s",
                            gy_dns_rcode_text((uint16_t)rcode, text));
    }
    if ((header->flags & GY_DNS_FLAG_TC) != 0) {
        return gy_error_set(error, GY_EPROTO, "its answer is cut short");
    }
    return 0;
}

static int malformed(struct gy_error *error)
{
    return gy_error_set(error, GY_EPROTO, "its answer is malformed");
}

static uint32_t serial_of(const struct gy_dns_record *soa)
{
    gy_assert(soa->rdata_bytes >= SOA_NUMBERS);
    struct gy_reader reader =
        gy_reader_on(soa->rdata + soa->rdata_bytes - SOA_NUMBERS, SOA_NUMBERS);
    return gy_reader_u32(&reader);
}

static int hand_over(struct gy_dns_transfer_in *in, const struct gy_dns_record *record,
                     struct gy_error *error)
{
    return in->record != NULL
               ? in->record(in->context, (enum gy_dns_change)in->change, record, error)
               : 0;
}

/* The SOA that comes first. Of IXFR it is kept until it is known what follows. */
static int take_first(struct gy_dns_transfer_in *in, const struct gy_dns_record *record,
                      struct gy_error *error)
{
    gy_assert(record->rdata_bytes <= sizeof in->soa);
    in->serial = serial_of(record);
    in->soa_ttl = record->ttl;
    in->soa_bytes = (uint16_t)record->rdata_bytes;
    memcpy(in->soa, record->rdata, record->rdata_bytes);
    in->begun = true;
    in->ended = in->type == GY_DNS_TYPE_SOA;
    return in->undecided ? 0 : hand_over(in, record, error);
}

/* The second record of an answer to IXFR: another version's SOA means differences. */
static int decide(struct gy_dns_transfer_in *in, const struct gy_dns_record *record,
                  struct gy_error *error)
{
    in->undecided = false;
    if (record->type == GY_DNS_TYPE_SOA && serial_of(record) != in->serial) {
        in->incremental = true;
        in->change = GY_DNS_ADDED; /* nothing, of what came before */
        return 0;
    }
    struct gy_dns_record first = {.owner = in->apex,
                                  .owner_bytes = (uint8_t)gy_dns_name_bytes(in->apex),
                                  .rdata = in->soa,
                                  .rdata_bytes = in->soa_bytes,
                                  .ttl = in->soa_ttl,
                                  .type = GY_DNS_TYPE_SOA,
                                  .class = GY_DNS_CLASS_IN,
                                  .section = GY_DNS_ANSWER};
    return hand_over(in, &first, error);
}

/* An SOA between differences: from removing to adding, or to the next one, or the end. */
static int turn(struct gy_dns_transfer_in *in, const struct gy_dns_record *record,
                struct gy_error *error)
{
    uint32_t serial = serial_of(record);
    if (in->change == GY_DNS_REMOVED) {
        in->change = GY_DNS_ADDED;
        in->at = serial;
        return hand_over(in, record, error);
    }
    if (serial != in->at) {
        return gy_error_set(error, GY_EPROTO,
                            "its differences do not follow each other: serial %u behind %u", serial,
                            in->at);
    }
    in->ended = serial == in->serial;
    in->change = GY_DNS_REMOVED;
    return in->ended ? 0 : hand_over(in, record, error);
}

/* An SOA at the apex. */
static int take_soa(struct gy_dns_transfer_in *in, const struct gy_dns_record *record,
                    struct gy_error *error)
{
    if (!in->begun) {
        return take_first(in, record, error);
    }
    if (in->incremental) {
        return turn(in, record, error);
    }
    if (record->rdata_bytes != in->soa_bytes ||
        memcmp(record->rdata, in->soa, in->soa_bytes) != 0) {
        return gy_error_set(error, GY_EPROTO,
                            "the zone changed while it was sent: two SOA records differ");
    }
    in->ended = true;
    return 0;
}

static int take_record(struct gy_dns_transfer_in *in, const struct gy_dns_message *message,
                       struct gy_dns_record *record, struct gy_error *error)
{
    bool apex = gy_dns_name_equal(record->owner, in->apex);
    bool soa = record->type == GY_DNS_TYPE_SOA;
    if (in->ended) { /* of SOA alone other records may come */
        return in->type == GY_DNS_TYPE_SOA
                   ? 0
                   : gy_error_set(error, GY_EPROTO, "records follow the zone's end");
    }
    if (gy_dns_type_is_meta(record->type) || record->class != GY_DNS_CLASS_IN ||
        (!in->begun && !(soa && apex)) || (soa && !apex)) {
        return gy_error_set(error, GY_EPROTO,
                            in->begun ? "a record that belongs into no zone is in it"
                                      : "its answer does not begin with the zone's SOA record");
    }
    int bytes = gy_dns_rdata_read(message, record, in->rdata, sizeof in->rdata);
    if (bytes < 0) {
        return malformed(error);
    }
    record->rdata = in->rdata;
    record->rdata_bytes = (uint32_t)bytes;
    int code = in->begun && in->undecided ? decide(in, record, error) : 0;
    in->records++;
    if (code != 0) {
        return code;
    }
    return soa ? take_soa(in, record, error) : hand_over(in, record, error);
}

static int check_question(const struct gy_dns_transfer_in *in, const struct gy_dns_record *record)
{
    return record->type == in->type && record->class == GY_DNS_CLASS_IN &&
                   gy_dns_name_equal(record->owner, in->apex)
               ? 0
               : GY_EPROTO;
}

static int take_message(struct gy_dns_transfer_in *in, const uint8_t *bytes, size_t length,
                        uint64_t now, struct gy_error *error)
{
    struct gy_dns_message message;
    struct gy_dns_record record;
    int code = gy_dns_message_open(&message, bytes, length);
    if (code != 0) {
        return malformed(error);
    }
    code = in->is_signed ? check_signature(in, bytes, length, now, error) : 0;
    code = code == 0 ? check_head(in, &message, error) : code;
    if (code != 0) {
        return code;
    }
    while ((code = gy_dns_message_next(&message, &record)) > 0) {
        if (record.section == GY_DNS_QUESTION && check_question(in, &record) != 0) {
            return gy_error_set(error, GY_EPROTO, "it answers another question");
        }
        if (record.section == GY_DNS_ANSWER) {
            code = take_record(in, &message, &record, error);
            if (code != 0) {
                return code;
            }
        }
    }
    if (code < 0) {
        return malformed(error);
    }
    /* Alone in the first message, and not newer: so there is nothing to send (RFC 1995 §2). */
    if (in->undecided && in->begun && !gy_dns_serial_newer(in->serial, in->have)) {
        in->ended = in->current = true;
    }
    if (!in->begun || message.header.count[GY_DNS_ANSWER] == 0) {
        return gy_error_set(error, GY_EPROTO, "its answer has no record");
    }
    return 0;
}

int gy_dns_transfer_in_take(struct gy_dns_transfer_in *in, const uint8_t *message, size_t bytes,
                            uint64_t now, struct gy_error *error)
{
    gy_assert(!in->ended);
    in->messages++;
    int code = take_message(in, message, bytes, now, error);
    if (code != 0 || !in->ended) {
        return code;
    }
    if (in->is_signed && !in->checked) {
        return gy_error_set(error, GY_EREFUSED, "its last message is not signed");
    }
    return 1;
}
