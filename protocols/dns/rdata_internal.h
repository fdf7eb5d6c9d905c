/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_RDATA_INTERNAL_H
#define GY_PROTOCOLS_DNS_RDATA_INTERNAL_H

/* Between the files that make and print record data. */

#include "protocols/dns/rdata.h"
#include "protocols/dns/text.h"

/* Data being read from presentation format. */
struct rdata_in {
    struct scanner *scanner;
    const uint8_t *origin;
    struct gy_writer out;
    const char *why; /* of a failure: what is wrong, and what to write */
};

/* Fails with a reason. */
static inline int rdata_fail(struct rdata_in *in, const char *why)
{
    in->why = why;
    return GY_EINVAL;
}

/* The next word of the entry; GY_EINVAL at its end, GY_EAGAIN when more text is needed. */
int rdata_word(struct rdata_in *in);

/* The same; 0 at the end of the entry, 1 for a word. */
int rdata_word_or_end(struct rdata_in *in);

/* What is left of an entry's data, of `type`; ends behind the entry. 0; GY_EAGAIN: more text is
 * needed; GY_EINVAL: `why`, and the scanner's word says where. */
int rdata_parse(struct rdata_in *in, uint16_t type);

int rdata_parse_location(struct rdata_in *in);
int rdata_parse_prefixes(struct rdata_in *in);
int rdata_parse_parameters(struct rdata_in *in);

/* The fields' bytes, or GY_EPROTO. */
int rdata_check_prefixes(const uint8_t *data, size_t bytes);
int rdata_check_parameters(const uint8_t *data, size_t bytes);

/* SvcParams that are well-formed, but do not agree with each other (RFC 9460 §2.4.3, §8): why, or
 * NULL. A zone file should not have them; who gets such a record in a message passes it on. */
const char *rdata_parameters_contradict(const uint8_t *data, size_t bytes);

void rdata_print_location(struct gy_writer *out, const uint8_t *data);
void rdata_print_prefixes(struct gy_writer *out, const uint8_t *data, size_t bytes);
void rdata_print_parameters(struct gy_writer *out, const uint8_t *data, size_t bytes);

#endif
