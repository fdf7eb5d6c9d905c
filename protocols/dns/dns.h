/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_PROTOCOLS_DNS_DNS_H
#define GY_PROTOCOLS_DNS_DNS_H

/*
 * The Domain Name System: its numbers, and the words they are written as.
 *
 *   name.h      domain names: reading, writing, comparing, hashing
 *   message.h   messages: header, sections, EDNS, a builder with compression
 *   edns.h      EDNS options: cookies, padding, extended errors and the rest
 *   rdata.h     record data of every type, between wire and presentation format
 *   zonefile.h  zone files (RFC 1035 §5)
 *   zone.h      a zone, laid out to be answered from
 *   answer.h    answers, for a batch of queries at once
 *   tsig.h      signatures under a shared key (RFC 8945)
 *   transfer_out.h, transfer_in.h   zones sent to secondaries, and fetched from primaries
 *   resolv.h    the texts of resolv.conf and hosts
 *   stub.h      a stub resolver: addresses of hosts' names
 *
 * All of it is bytes in and bytes out: memory comes from the caller, nothing is kept between calls
 * but what the caller holds, and no input makes a function read or write outside of what it was
 * given. Words follow RFC 9499: owner name, rrset, zone cut, closest encloser.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a message at most, of one in a UDP datagram without EDNS, of a header. */
#define GY_DNS_MESSAGE_MAX  65535
#define GY_DNS_UDP_MIN      512
#define GY_DNS_HEADER_BYTES 12
#define GY_DNS_RDATA_MAX    65535

/*
 * Record types: mnemonic, number, and the fields of the record data, one letter each, in the order
 * in which they stand both in the message and in a zone file:
 *
 *   n  name, may be compressed (RFC 3597 §4)  N  name, never compressed, lower case in canonical
 * form M  name, never compressed, case kept      1 2 4  number of so many bytes t  a span of time,
 * 4 bytes                T  a point in time, 4 bytes a A  IPv4 and IPv6 address                s
 * character-string   S  one or more of them i  tag: a character-string, not quoted    q  text up to
 * the end, quoted h b  hexadecimal, base64 up to the end    x B  the same with a length byte: hex,
 * base32hex y  record type                            g  algorithm of DNSSEC c  type of certificate
 * m  bitmap of record types e E  EUI-48, EUI-64                       X  8 bytes in four groups L P
 * v  LOC, APL, SvcParams: forms of their own
 *
 * A type without fields has only the generic form of RFC 3597.
 */
#define GY_DNS_TYPES(X)                                                                            \
    X(A, 1, "a")                                                                                   \
    X(NS, 2, "n")                                                                                  \
    X(MD, 3, "n")                                                                                  \
    X(MF, 4, "n")                                                                                  \
    X(CNAME, 5, "n")                                                                               \
    X(SOA, 6, "nn4tttt")                                                                           \
    X(MB, 7, "n")                                                                                  \
    X(MG, 8, "n")                                                                                  \
    X(MR, 9, "n")                                                                                  \
    X(NULL, 10, "")                                                                                \
    X(WKS, 11, "")                                                                                 \
    X(PTR, 12, "n")                                                                                \
    X(HINFO, 13, "ss")                                                                             \
    X(MINFO, 14, "nn")                                                                             \
    X(MX, 15, "2n")                                                                                \
    X(TXT, 16, "S")                                                                                \
    X(RP, 17, "NN")                                                                                \
    X(AFSDB, 18, "2N")                                                                             \
    X(X25, 19, "s")                                                                                \
    X(RT, 21, "2N")                                                                                \
    X(SIG, 24, "yg1tTT2Nb")                                                                        \
    X(KEY, 25, "21gb")                                                                             \
    X(PX, 26, "2NN")                                                                               \
    X(AAAA, 28, "A")                                                                               \
    X(LOC, 29, "L")                                                                                \
    X(SRV, 33, "222N")                                                                             \
    X(NAPTR, 35, "22sssN")                                                                         \
    X(KX, 36, "2N")                                                                                \
    X(CERT, 37, "c2gb")                                                                            \
    X(DNAME, 39, "N")                                                                              \
    X(OPT, 41, "")                                                                                 \
    X(APL, 42, "P")                                                                                \
    X(DS, 43, "2g1h")                                                                              \
    X(SSHFP, 44, "11h")                                                                            \
    X(IPSECKEY, 45, "")                                                                            \
    X(RRSIG, 46, "yg1tTT2Nb")                                                                      \
    X(NSEC, 47, "Mm")                                                                              \
    X(DNSKEY, 48, "21gb")                                                                          \
    X(DHCID, 49, "b")                                                                              \
    X(NSEC3, 50, "112xBm")                                                                         \
    X(NSEC3PARAM, 51, "112x")                                                                      \
    X(TLSA, 52, "111h")                                                                            \
    X(SMIMEA, 53, "111h")                                                                          \
    X(HIP, 55, "")                                                                                 \
    X(CDS, 59, "2g1h")                                                                             \
    X(CDNSKEY, 60, "21gb")                                                                         \
    X(OPENPGPKEY, 61, "b")                                                                         \
    X(CSYNC, 62, "42m")                                                                            \
    X(ZONEMD, 63, "411h")                                                                          \
    X(SVCB, 64, "2Mv")                                                                             \
    X(HTTPS, 65, "2Mv")                                                                            \
    X(SPF, 99, "S")                                                                                \
    X(NID, 104, "2X")                                                                              \
    X(L32, 105, "2a")                                                                              \
    X(L64, 106, "2X")                                                                              \
    X(LP, 107, "2N")                                                                               \
    X(EUI48, 108, "e")                                                                             \
    X(EUI64, 109, "E")                                                                             \
    X(TKEY, 249, "")                                                                               \
    X(TSIG, 250, "")                                                                               \
    X(IXFR, 251, "")                                                                               \
    X(AXFR, 252, "")                                                                               \
    X(MAILB, 253, "")                                                                              \
    X(MAILA, 254, "")                                                                              \
    X(ANY, 255, "")                                                                                \
    X(URI, 256, "22q")                                                                             \
    X(CAA, 257, "1iq")                                                                             \
    X(AVC, 258, "S")                                                                               \
    X(TA, 32768, "2g1h")                                                                           \
    X(DLV, 32769, "2g1h")

enum gy_dns_type {
#define GY_DNS_TYPE_ENUM(name, number, fields) GY_DNS_TYPE_##name = number,
    GY_DNS_TYPES(GY_DNS_TYPE_ENUM)
#undef GY_DNS_TYPE_ENUM
};

enum gy_dns_class {
    GY_DNS_CLASS_IN = 1,
    GY_DNS_CLASS_CH = 3,
    GY_DNS_CLASS_HS = 4,
    GY_DNS_CLASS_NONE = 254,
    GY_DNS_CLASS_ANY = 255,
};

/* RFC 1035 §4.1.1 and the registry. */
enum gy_dns_opcode {
    GY_DNS_OPCODE_QUERY = 0,
    GY_DNS_OPCODE_IQUERY = 1,
    GY_DNS_OPCODE_STATUS = 2,
    GY_DNS_OPCODE_NOTIFY = 4,
    GY_DNS_OPCODE_UPDATE = 5,
    GY_DNS_OPCODE_DSO = 6,
};

/* Those above 15 need EDNS: their upper eight bits are in the OPT record (RFC 6891 §6.1.3). */
#define GY_DNS_RCODES(X)                                                                           \
    X(NOERROR, 0)                                                                                  \
    X(FORMERR, 1)                                                                                  \
    X(SERVFAIL, 2)                                                                                 \
    X(NXDOMAIN, 3)                                                                                 \
    X(NOTIMP, 4)                                                                                   \
    X(REFUSED, 5)                                                                                  \
    X(YXDOMAIN, 6)                                                                                 \
    X(YXRRSET, 7)                                                                                  \
    X(NXRRSET, 8)                                                                                  \
    X(NOTAUTH, 9)                                                                                  \
    X(NOTZONE, 10)                                                                                 \
    X(BADVERS, 16)                                                                                 \
    X(BADKEY, 17)                                                                                  \
    X(BADTIME, 18)                                                                                 \
    X(BADMODE, 19)                                                                                 \
    X(BADNAME, 20)                                                                                 \
    X(BADALG, 21)                                                                                  \
    X(BADTRUNC, 22)                                                                                \
    X(BADCOOKIE, 23)

enum gy_dns_rcode {
#define GY_DNS_RCODE_ENUM(name, number) GY_DNS_RCODE_##name = number,
    GY_DNS_RCODES(GY_DNS_RCODE_ENUM)
#undef GY_DNS_RCODE_ENUM
};

/* Bits of the header's second 16-bit word. */
#define GY_DNS_FLAG_QR        0x8000u
#define GY_DNS_FLAG_AA        0x0400u
#define GY_DNS_FLAG_TC        0x0200u
#define GY_DNS_FLAG_RD        0x0100u
#define GY_DNS_FLAG_RA        0x0080u
#define GY_DNS_FLAG_AD        0x0020u
#define GY_DNS_FLAG_CD        0x0010u
#define GY_DNS_OPCODE_OF(w)   (((unsigned)(w) >> 11) & 15u)
#define GY_DNS_RCODE_OF(w)    ((unsigned)(w)&15u)
#define GY_DNS_OPCODE_WORD(o) ((unsigned)(o) << 11)

/* A pointer of name compression (RFC 1035 §4.1.4) reaches so far. */
#define GY_DNS_POINTER_MAX 0x3fffu

/* Room for any mnemonic, its final zero included ("TYPE65535", "CLASS65535", "RCODE4095"). */
#define GY_DNS_MNEMONIC_BYTES 16

/*
 * A type's mnemonic, or TYPEn for one without (RFC 3597 §5); a class's, or CLASSn; a response
 * code's, or RCODEn. Written into `text`, which is returned.
 */
const char *gy_dns_type_text(uint16_t type, char text[GY_DNS_MNEMONIC_BYTES]);
const char *gy_dns_class_text(uint16_t class, char text[GY_DNS_MNEMONIC_BYTES]);
const char *gy_dns_rcode_text(uint16_t rcode, char text[GY_DNS_MNEMONIC_BYTES]);

/* The number of a mnemonic, in any case, or of TYPEn or CLASSn. GY_EINVAL when it is neither. */
int gy_dns_type_from_text(const char *text, size_t bytes);
int gy_dns_class_from_text(const char *text, size_t bytes);

/* The fields of a type's data, as above; "" for a type with the generic form only. */
const char *gy_dns_type_fields(uint16_t type);

/* A type that only a question may ask for, or that only a message may carry (OPT, TSIG, AXFR, ANY
 * …): never in a zone (RFC 6895 §3.1). */
static inline bool gy_dns_type_is_meta(uint16_t type)
{
    return type == GY_DNS_TYPE_OPT || (type >= 128 && type <= 255) || type == 0;
}

#endif
