/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A query's message: header bits, question, and what EDNS carries. */

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "clients/dig/dig.h"
#include "core/number.h"
#include "servers/dns/dns_hmac.h"

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A random client cookie, or the one of the command line: 8 bytes, or with a server's 16 to 40. */
static int make_cookie(struct gy_dig *dig, const struct gy_dig_options *options)
{
    const char *text = options->cookie_text;
    if (text == NULL) {
        if (dig->cookie_bytes == 0) {
            ssize_t got = getrandom(dig->cookie, DIG_COOKIE_BYTES, 0);
            gy_assert(got == DIG_COOKIE_BYTES);
            dig->cookie_bytes = DIG_COOKIE_BYTES;
        }
        return 0;
    }
    size_t bytes = strlen(text) / 2;
    if (strlen(text) % 2 != 0 || bytes < DIG_COOKIE_BYTES ||
        (bytes > DIG_COOKIE_BYTES && bytes < 16) || bytes > GY_DNS_COOKIE_MAX) {
        return dig_misuse("+cookie=%s: needs 8, or 16 to 40, bytes in hexadecimal", text);
    }
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_of(text[2 * i]), low = hex_of(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return dig_misuse("+cookie=%s: not hexadecimal", text);
        }
        dig->cookie[i] = (uint8_t)(high << 4 | low);
    }
    dig->cookie_bytes = bytes;
    return 0;
}

/* RFC 7871 §6: family, bits, 0, and as many bytes of the address as the bits need. */
static int add_subnet(struct gy_dns_opt *opt, const char *text)
{
    struct gy_dns_address address;
    size_t host = strcspn(text, "/");
    bool given = text[host] == '/';
    uint64_t bits = 0;
    if (strcmp(text, "0") == 0) {
        address = (struct gy_dns_address){.length = 4};
    } else if (gy_dns_address_parse(&address, text, host) != 0 || address.scope[0] != '\0' ||
               (given && !gy_number_read(text + host + 1, 0, UINT8_MAX, &bits))) {
        return dig_misuse("+subnet=%s: not ADDRESS or ADDRESS/BITS", text);
    } else if (!given) {
        bits = address.length * 8u;
    }
    if (bits > address.length * 8u) {
        return dig_misuse("+subnet=%s: more bits than the address has", text);
    }
    uint8_t data[4 + 16] = {0, address.length == 4 ? 1 : 2, (uint8_t)bits, 0};
    size_t bytes = (bits + 7) / 8;
    memcpy(data + 4, address.bytes, bytes);
    if (bits % 8 != 0) {
        data[4 + bytes - 1] &= (uint8_t)(0xff00u >> bits % 8);
    }
    gy_dns_opt_add(opt, GY_DNS_OPTION_SUBNET, data, 4 + bytes);
    return 0;
}

static int add_edns(struct gy_dig *dig, const struct gy_dig_options *options)
{
    struct gy_dns_opt opt;
    int status = 0;
    gy_dns_opt_open(&opt, dig->sent + dig->sent_bytes, sizeof dig->sent - dig->sent_bytes,
                    options->udp_bytes, 0, options->dnssec ? GY_DNS_EDNS_DO : 0);
    opt.start[6] = options->edns_version; /* behind root, type, class and the upper code */
    if (options->nsid) {
        gy_dns_opt_add(&opt, GY_DNS_OPTION_NSID, NULL, 0);
    }
    if (options->cookie) {
        status = make_cookie(dig, options);
        gy_dns_opt_add(&opt, GY_DNS_OPTION_COOKIE, dig->cookie, dig->cookie_bytes);
    }
    if (status == 0 && options->subnet != NULL) {
        status = add_subnet(&opt, options->subnet);
    }
    if (options->expire) {
        gy_dns_opt_add(&opt, GY_DNS_OPTION_EXPIRE, NULL, 0);
    }
    if (options->keepalive) {
        gy_dns_opt_add(&opt, GY_DNS_OPTION_KEEPALIVE, NULL, 0);
    }
    if (options->padding > 0) {
        gy_dns_opt_pad(&opt, dig->sent_bytes, options->padding);
    }
    dig->sent_bytes += gy_dns_opt_close(&opt);
    dig->sent[11] = 1;
    return status;
}

int dig_make_query(struct gy_dig *dig, const struct gy_dig_query *query)
{
    const struct gy_dig_options *options = &query->options;
    struct gy_dns_builder builder;
    uint16_t flags = (options->recurse ? GY_DNS_FLAG_RD : 0) | (options->ad ? GY_DNS_FLAG_AD : 0) |
                     (options->cd ? GY_DNS_FLAG_CD : 0) | (options->aa ? GY_DNS_FLAG_AA : 0);
    ssize_t got = getrandom(&dig->id, sizeof dig->id, 0);
    gy_assert(got == sizeof dig->id);
    gy_dns_builder_open(&builder, dig->sent, sizeof dig->sent, dig->id, flags);
    int code = gy_dns_builder_question(&builder, query->name, query->type, query->class);
    if (code == 0 && query->type == GY_DNS_TYPE_IXFR) {
        uint8_t soa[22] = {0, 0}; /* of nobody, but for the serial (RFC 1995 §3) */
        soa[2] = (uint8_t)(query->serial >> 24);
        soa[3] = (uint8_t)(query->serial >> 16);
        soa[4] = (uint8_t)(query->serial >> 8);
        soa[5] = (uint8_t)query->serial;
        code = gy_dns_builder_record(&builder, GY_DNS_AUTHORITY, query->name, GY_DNS_TYPE_SOA,
                                     query->class, 0, soa, sizeof soa);
    }
    gy_assert(code == 0);
    dig->sent_bytes = gy_dns_builder_close(&builder);
    int status = options->edns ? add_edns(dig, options) : 0;
    gy_dns_tsig_close(&dig->tsig);
    if (status == 0 && dig->command->keyed) {
        int bytes = gy_dns_tsig_sign_request(&dig->tsig, &gy_dns_hmac_wolfcrypt, &dig->command->key,
                                             dig->sent, dig->sent_bytes, sizeof dig->sent,
                                             (uint64_t)time(NULL));
        if (bytes < 0) {
            return dig_misuse("the query has no room for a signature");
        }
        dig->sent_bytes = (size_t)bytes;
    }
    return status;
}
