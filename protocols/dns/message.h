/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_MESSAGE_H
#define GY_PROTOCOLS_DNS_MESSAGE_H

/*
 * Messages (RFC 1035 §4): reading them record by record, and making them within a budget.
 *
 * Reading:
 *
 *     struct gy_dns_message message;
 *     struct gy_dns_record record;
 *     int error = gy_dns_message_open(&message, bytes, length);
 *     while (error == 0 && (error = gy_dns_message_next(&message, &record)) > 0) { … }
 *
 * Writing:
 *
 *     struct gy_dns_builder builder;
 *     gy_dns_builder_open(&builder, room, 512, id, GY_DNS_FLAG_RD);
 *     gy_dns_builder_question(&builder, name, GY_DNS_TYPE_A, GY_DNS_CLASS_IN);
 *     size_t length = gy_dns_builder_close(&builder);
 */

#include "name.h"

enum gy_dns_section {
    GY_DNS_QUESTION,
    GY_DNS_ANSWER,
    GY_DNS_AUTHORITY,
    GY_DNS_ADDITIONAL,
    GY_DNS_SECTIONS,
};

struct gy_dns_header {
    uint16_t id;
    uint16_t flags; /* the word with QR, opcode, the bits and the rcode */
    uint16_t count[GY_DNS_SECTIONS];
};

/* A record, of a message or of a zone file. Pointers are valid until what they were read from, or
 * the struct gy_dns_message, is used again. */
struct gy_dns_record {
    const uint8_t *owner; /* uncompressed */
    const uint8_t *rdata; /* of a message: as it stands there, names may be compressed */
    uint32_t rdata_bytes;
    uint32_t ttl;
    uint16_t type;
    uint16_t class;
    uint8_t owner_bytes;
    uint8_t section;   /* enum gy_dns_section */
    uint32_t at;       /* where the record begins in the message */
    uint32_t rdata_at; /* and its data */
    uint32_t line;     /* in the zone file */
};

struct gy_dns_message {
    const uint8_t *bytes;
    size_t length;
    struct gy_dns_header header;
    size_t at;     /* the next record */
    uint32_t done; /* records read of `section` */
    uint8_t section;
    uint8_t owner[GY_DNS_NAME_PADDED];
};

/* Begins to read a message, which is not copied. 0, or GY_EPROTO when there is no whole header. */
int gy_dns_message_open(struct gy_dns_message *message, const uint8_t *bytes, size_t length);

/*
 * The next record of any section; a question is one without TTL and data. 1; 0 behind the last,
 * when nothing follows it; GY_EPROTO: cut short, a bad name, counts that promise more than there
 * is, or bytes behind the last record.
 */
int gy_dns_message_next(struct gy_dns_message *message, struct gy_dns_record *record);

/* ---- writing ---- */

#define GY_DNS_COMPRESS_SLOTS 256

/*
 * A message being made. Names are compressed against those already there (RFC 1035 §4.1.4, case
 * kept: a pointer is used where the case is equal too, so that a name comes back as it was put in).
 * At most 3/4 GY_DNS_COMPRESS_SLOTS suffixes are remembered; later ones are written out.
 */
struct gy_dns_builder {
    uint8_t *bytes;
    size_t at;       /* bytes so far */
    size_t limit;    /* never more than this */
    size_t reserved; /* of it, kept for what close() adds */
    struct gy_dns_header header;
    uint8_t section; /* records may only be added to this one or a later one */
    bool truncated;
    uint32_t suffixes;
    uint16_t slots[GY_DNS_COMPRESS_SLOTS]; /* offsets; 0: free */
};

/* Begins a message of at most `limit` bytes (12 … 65,535) at `bytes`, where so much room is.
 * `flags` is the header's word. */
void gy_dns_builder_open(struct gy_dns_builder *builder, uint8_t *bytes, size_t limit, uint16_t id,
                         uint16_t flags);

/* Keeps `bytes` free at the end, for an OPT or a TSIG record. 0, or GY_ELIMIT. */
int gy_dns_builder_reserve(struct gy_dns_builder *builder, size_t bytes);

/* 0, or GY_ELIMIT when it does not fit: then nothing was added. */
int gy_dns_builder_question(struct gy_dns_builder *builder, const uint8_t *name, uint16_t type,
                            uint16_t class);

/*
 * Adds a record with uncompressed data, of which the names that may be are compressed. 0; GY_ELIMIT
 * when it does not fit: then nothing was added, and a caller that wants a truncated message says so
 * with gy_dns_builder_truncate; GY_EPROTO when `rdata` is not what its type wants.
 */
int gy_dns_builder_record(struct gy_dns_builder *builder, enum gy_dns_section section,
                          const uint8_t *owner, uint16_t type, uint16_t class, uint32_t ttl,
                          const void *rdata, size_t rdata_bytes);

/* Takes back everything from `mark` (an earlier builder->at) on: a whole rrset, as RFC 2181 §9
 * wants it. `count` is the number of records of `section` from there on. */
void gy_dns_builder_rewind(struct gy_dns_builder *builder, size_t mark, enum gy_dns_section section,
                           uint16_t count);

/* Sets TC. */
void gy_dns_builder_truncate(struct gy_dns_builder *builder);

/* Writes the header and returns the message's bytes. */
size_t gy_dns_builder_close(struct gy_dns_builder *builder);

/* Writes a header at `bytes`, where 12 are. */
void gy_dns_header_write(const struct gy_dns_header *header, uint8_t *bytes);

#endif
