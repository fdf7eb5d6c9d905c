/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_RDATA_H
#define GY_PROTOCOLS_DNS_RDATA_H

/*
 * Record data: checked, decompressed, and between wire and presentation format. What a type's data
 * consists of is the table GY_DNS_TYPES in dns.h; types that are not in it, and those without
 * fields there, are bytes (RFC 3597).
 */

#include "../../core/error.h"
#include "message.h"

/* Bytes of presentation format that any record data fits into, a zero included: every byte as \DDD,
 * with quotes around each byte's string. */
#define GY_DNS_RDATA_TEXT_BYTES ((size_t)GY_DNS_RDATA_MAX * 7 + 64)

/* Bytes of the field with letter `kind` at `data`, of which `left` bytes are there. Names are
 * uncompressed. GY_EPROTO when it is cut short or not well-formed. */
int gy_dns_field_bytes(char kind, const uint8_t *data, size_t left);

/* Is this well-formed, uncompressed data of the type? 0 or GY_EPROTO. */
int gy_dns_rdata_check(uint16_t type, const uint8_t *rdata, size_t bytes);

/*
 * The data of a record of a message, with its names uncompressed, checked. Names that RFC 3597 §4
 * lets a receiver decompress are; others must be whole. Bytes, GY_EPROTO, or GY_ELIMIT when `room`
 * is too small (GY_DNS_RDATA_MAX always suffices).
 */
int gy_dns_rdata_read(const struct gy_dns_message *message, const struct gy_dns_record *record,
                      uint8_t *rdata, size_t room);

/* Canonical form, in place (RFC 4034 §6.2, RFC 6840 §5.1). `rdata` is well-formed. */
void gy_dns_rdata_canonical(uint16_t type, uint8_t *rdata, size_t bytes);

/*
 * Presentation format to wire: `text` is what stands behind the type in a zone file, also "\# …".
 * `origin` completes relative names (NULL: they are absolute). Bytes, or GY_EINVAL, GY_ELIMIT with
 * a sentence in `error` (may be NULL).
 */
int gy_dns_rdata_from_text(uint16_t type, const char *text, size_t text_bytes,
                           const uint8_t *origin, uint8_t *rdata, size_t room,
                           struct gy_error *error);

/*
 * Wire to presentation format, on one line, ended by a zero. Data that is not what its type wants
 * comes out in the generic form. Returns the text's length, or GY_ELIMIT.
 */
int gy_dns_rdata_to_text(uint16_t type, const uint8_t *rdata, size_t bytes, char *text,
                         size_t room);

/*
 * A whole record as a line of a zone file, without a line end: owner, TTL, class, type, data,
 * separated by tabs. `rdata` is uncompressed. Length, or GY_ELIMIT.
 */
int gy_dns_record_to_text(const uint8_t *owner, uint16_t type, uint16_t class, uint32_t ttl,
                          const uint8_t *rdata, size_t bytes, char *text, size_t room);

#endif
