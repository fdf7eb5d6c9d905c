/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_RDATA_WORDS_H
#define GY_PROTOCOLS_DNS_RDATA_WORDS_H

#include <stdint.h>

/* Words that stand for numbers in presentation formats. */
struct rdata_number_word {
    const char *word;
    uint16_t number;
};

/* RFC 4034 appendix A.1, RFC 5155, 5702, 6605, 8080, 5933 */
static const struct rdata_number_word rdata_algorithms[] = {
    {"RSAMD5", 1},
    {"DH", 2},
    {"DSA", 3},
    {"RSASHA1", 5},
    {"DSA-NSEC3-SHA1", 6},
    {"RSASHA1-NSEC3-SHA1", 7},
    {"RSASHA256", 8},
    {"RSASHA512", 10},
    {"ECC-GOST", 12},
    {"ECDSAP256SHA256", 13},
    {"ECDSAP384SHA384", 14},
    {"ED25519", 15},
    {"ED448", 16},
    {"INDIRECT", 252},
    {"PRIVATEDNS", 253},
    {"PRIVATEOID", 254},
};

/* RFC 4398 §2.1 */
static const struct rdata_number_word rdata_certificates[] = {
    {"PKIX", 1}, {"SPKI", 2},   {"PGP", 3},     {"IPKIX", 4}, {"ISPKI", 5},
    {"IPGP", 6}, {"ACPKIX", 7}, {"IACPKIX", 8}, {"URI", 253}, {"OID", 254},
};

#endif
