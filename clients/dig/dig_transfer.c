/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Zone transfers (RFC 5936, RFC 1995): many messages, records without sections. */

#include <string.h>

#include "clients/dig/dig.h"

struct gy_dig_transfer {
    const struct gy_dig_query *query;
    uint64_t records, messages, bytes;
    uint32_t serial;   /* of the first SOA, the zone's newest */
    uint32_t seen;     /* SOA records with it */
    bool incremental;  /* the second record is a SOA: differences follow */
    const char *wrong; /* why it is no transfer */
};

/* The serial of a SOA: behind two names. */
static bool serial_of(const struct gy_dns_message *message, const struct gy_dns_record *record,
                      uint32_t *serial)
{
    uint8_t soa[2 * GY_DNS_NAME_MAX + 5 * 4];
    int bytes = gy_dns_rdata_read(message, record, soa, sizeof soa);
    if (bytes < 5 * 4 + 2) {
        return false;
    }
    const uint8_t *at = soa + bytes - (size_t)5 * 4;
    *serial = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return true;
}

/* Takes one record; true: it is the last. Differences end with the third SOA of the newest serial
 * (RFC 1995 §4), a whole zone with the second. */
static bool take(struct gy_dig_transfer *transfer, const struct gy_dns_message *message,
                 const struct gy_dns_record *record)
{
    uint32_t serial = 0;
    bool soa = record->type == GY_DNS_TYPE_SOA;
    if (soa && !serial_of(message, record, &serial)) {
        transfer->wrong = "a SOA record that is none";
        return true;
    }
    if (transfer->records == 0) {
        if (!soa) {
            transfer->wrong = "it does not begin with a SOA record";
            return true;
        }
        transfer->serial = serial;
    } else if (transfer->records == 1) {
        transfer->incremental =
            transfer->query->type == GY_DNS_TYPE_IXFR && soa && serial != transfer->serial;
    }
    transfer->records++;
    transfer->seen += soa && serial == transfer->serial;
    bool last = transfer->seen == (transfer->incremental ? 3u : 2u);
    if (!last || !transfer->query->options.one_soa) {
        dig_print_record(message, record, &transfer->query->options);
        if (transfer->query->options.brief) {
            putchar('\n');
        }
    }
    return last;
}

/* A server that has nothing newer sends its SOA alone (RFC 1995 §2). */
static bool is_current(const struct gy_dig_transfer *transfer)
{
    return transfer->query->type == GY_DNS_TYPE_IXFR && transfer->records == 1 &&
           (int32_t)(transfer->serial - transfer->query->serial) <= 0;
}

static bool on_message(struct gy_dig *dig, const uint8_t *bytes, size_t length)
{
    struct gy_dig_transfer *transfer = dig->transfer;
    struct gy_dns_message message;
    struct gy_dns_record record;
    bool last = false;
    int more = gy_dns_message_open(&message, bytes, length);
    transfer->messages++;
    transfer->bytes += length;
    if (more == 0 && GY_DNS_RCODE_OF(message.header.flags) != 0) {
        return true; /* it is told from the reply */
    }
    while (!last && more == 0 && (more = gy_dns_message_next(&message, &record)) > 0) {
        last = record.section == GY_DNS_ANSWER && take(transfer, &message, &record);
        more = 0;
    }
    if (more < 0) {
        transfer->wrong = "a message that cannot be read";
    } else if (transfer->records == 0 && transfer->wrong == NULL) {
        transfer->wrong = "the first message has no record";
    }
    return last || transfer->wrong != NULL || is_current(transfer);
}

int dig_transfer(struct gy_dig *dig, const struct gy_dig_query *query,
                 const struct gy_address *server, const char *name)
{
    struct gy_dig_transfer transfer = {.query = query};
    char word[GY_DNS_MNEMONIC_BYTES];
    dig->transferred = on_message;
    dig->transfer = &transfer;
    struct gy_dig_query once = *query;
    once.options.tries = 1; /* what was printed is not printed again */
    transfer.query = &once;
    bool answered = dig_ask(dig, &once, server, name);
    dig->transferred = NULL;
    dig->transfer = NULL;
    if (!answered) {
        if (transfer.records > 0) {
            printf("; Transfer failed.\n");
        }
        return transfer.records > 0 ? DIG_INTERNAL : DIG_NO_REPLY;
    }
    uint16_t rcode = (uint16_t)(dig->reply[3] & 15u);
    if (rcode != 0 || transfer.wrong != NULL) {
        printf("; Transfer failed: %s.\n",
               rcode != 0 ? gy_dns_rcode_text(rcode, word) : transfer.wrong);
    }
    if (query->options.show_stats && transfer.records > 0) {
        dig_print_stats(dig, query);
        printf(";; XFR size: %llu records (messages %llu, bytes %llu)\n\n",
               (unsigned long long)transfer.records, (unsigned long long)transfer.messages,
               (unsigned long long)transfer.bytes);
    }
    return transfer.wrong != NULL ? DIG_INTERNAL : DIG_ANSWERED;
}
