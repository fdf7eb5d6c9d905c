/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/transfer_in.h"

#include <string.h>

#include "core/cursor.h"

#define SOA_NUMBERS 20

size_t gy_dns_transfer_in_begin(struct gy_dns_transfer_in *in, const uint8_t *apex, uint16_t type,
                                uint16_t id, const struct gy_dns_key *key,
                                const struct gy_dns_hmac *hmac, uint8_t *message, uint64_t now)
{
    struct gy_dns_builder builder;
    gy_assert(type == GY_DNS_TYPE_SOA || (type == GY_DNS_TYPE_AXFR && in->record != NULL));
    in->apex = apex;
    in->id = id;
    in->type = type;
    in->is_signed = key != NULL;
    in->checked = in->begun = in->ended = false;
    in->records = in->messages = 0;
    in->serial = 0;
    in->tsig.adding = false;
    gy_dns_builder_open(&builder, message, GY_DNS_TRANSFER_REQUEST_BYTES, id, 0);
    int code = gy_dns_builder_question(&builder, apex, type, GY_DNS_CLASS_IN);
    gy_assert(code == 0);
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

/* An SOA at the apex: the first, or the one that ends a transfer. */
static int take_soa(struct gy_dns_transfer_in *in, const struct gy_dns_record *record,
                    struct gy_error *error)
{
    if (in->begun) {
        if (record->rdata_bytes != in->soa_bytes ||
            memcmp(record->rdata, in->soa, in->soa_bytes) != 0) {
            return gy_error_set(error, GY_EPROTO,
                                "the zone changed while it was sent: two SOA records differ");
        }
        in->ended = true;
        return 0;
    }
    gy_assert(record->rdata_bytes <= sizeof in->soa && record->rdata_bytes >= SOA_NUMBERS);
    struct gy_reader reader =
        gy_reader_on(record->rdata + record->rdata_bytes - SOA_NUMBERS, SOA_NUMBERS);
    in->serial = gy_reader_u32(&reader);
    in->soa_bytes = (uint16_t)record->rdata_bytes;
    memcpy(in->soa, record->rdata, record->rdata_bytes);
    in->begun = true;
    in->ended = in->type == GY_DNS_TYPE_SOA;
    return in->record != NULL ? in->record(in->context, record, error) : 0;
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
    in->records++;
    return soa ? take_soa(in, record, error) : in->record(in->context, record, error);
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
