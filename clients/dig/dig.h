/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CLIENTS_DIG_DIG_H
#define GY_CLIENTS_DIG_DIG_H

/*
 * `gyre dig`: what is shared by its parts: the command line, the asking, and what is printed.
 */

#include <stdio.h>

#include "clients/dns/exchange.h"
#include "clients/dns/resolver.h"
#include "core/tls_files.h"
#include "core/worker.h"
#include "protocols/dns/edns.h"
#include "protocols/dns/rdata.h"
#include "protocols/dns/tsig.h"

/* Exit statuses, as dig has them. */
enum {
    DIG_ANSWERED = 0,
    DIG_USAGE = 1,
    DIG_NO_FILE = 8,
    DIG_NO_REPLY = 9,
    DIG_INTERNAL = 10,
};

#define DIG_COOKIE_BYTES 8
#define DIG_LOCALS_MAX   8

/* The +flags and what goes with them; of one query. */
struct gy_dig_options {
    const char *server;             /* behind the @; NULL: of resolv.conf */
    uint16_t port;                  /* 0: 53, or 853 with TLS */
    uint8_t family;                 /* 4 or 6; 0: both */
    const struct gy_address *local; /* -b; NULL: the kernel chooses */
    uint8_t edns_version;
    uint16_t udp_bytes;
    uint32_t time_ms;
    uint32_t tries;
    uint32_t padding;
    const char *cookie_text; /* hexadecimal; NULL: a random one */
    const char *subnet;      /* ADDRESS/BITS of a client (RFC 7871) */
    bool tcp, tls, ignore_cut, trace;
    bool search; /* names are completed by resolv.conf's domains */
    bool recurse, ad, cd, aa, dnssec, edns, nsid, cookie, expire, keepalive;
    bool brief, json, identify, one_soa, sent; /* `sent`: the query is printed too */
    bool show_command, show_comments, show_stats, show_question, show_answer, show_authority;
    bool show_additional, show_ttl, show_class;
    bool multiline, ttl_units;
};

struct gy_dig_query {
    struct gy_dig_options options;
    bool named, typed, classed;
    const char *text; /* of the name, as it was written; NULL: of an address */
    uint8_t name[GY_DNS_NAME_PADDED];
    uint16_t type, class;
    uint32_t serial; /* of IXFR=SERIAL */
};

/* Of the whole command line. */
struct gy_dig_command {
    struct gy_dig_options defaults; /* what stood before the first name */
    struct gy_dig_query *queries;
    uint32_t count, room;
    const char *batch;
    struct gy_tls_files tls;
    const char *tls_host;
    bool tls_used, tls_verified, keyed;
    struct gy_address locals[DIG_LOCALS_MAX]; /* of -b */
    uint32_t local_count;
    struct gy_dns_key key;
    const char *words; /* the arguments, for the first line of the output */
};

enum gy_dig_state {
    DIG_WAITS,
    DIG_HAS_REPLY,
    DIG_FAILED, /* `why` */
    DIG_LATE,
};

struct gy_dig {
    struct gy_dig_command *command;
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_tls_config *tls;
    struct gy_resolver *resolver;
    struct gy_dns_transports transports;
    struct gy_dns_exchange exchange;

    /* The exchange under way. */
    const struct gy_dig_query *query;
    enum gy_dig_state state;
    char why[320];
    uint16_t id;
    bool by_datagram;
    uint8_t sent[GY_DNS_EXCHANGE_QUERY_BYTES];
    size_t sent_bytes;
    uint8_t cookie[GY_DNS_COOKIE_MAX];
    size_t cookie_bytes;
    struct gy_address server;
    char server_name[256]; /* as it was given, or an NS record has it */
    uint64_t began_ns, took_ns;
    struct gy_dns_tsig tsig;
    int signature; /* as gy_dns_tsig_check_answer says it, of the last message */
    uint8_t reply[GY_DNS_MESSAGE_MAX];
    size_t reply_bytes;

    /* A zone transfer's messages; true: that was the last. */
    bool (*transferred)(struct gy_dig *dig, const uint8_t *message, size_t bytes);
    struct gy_dig_transfer *transfer;
};

/* ---- arguments ---- */

/* Reads words into queries; 0, or an exit status after a message. `defaults_too`: what stands
 * before the first name is for all that follow. */
int dig_read_words(struct gy_dig_command *command, int count, char **words, bool defaults_too);
void dig_defaults(struct gy_dig_options *options);
int dig_read_key(struct gy_dig_command *command, const char *text);
int dig_read_key_file(struct gy_dig_command *command, const char *path);
int dig_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- the query's message ---- */

/* Makes it in dig->sent. 0, or an exit status after a message. */
int dig_make_query(struct gy_dig *dig, const struct gy_dig_query *query);

/* ---- asking ---- */

int dig_open(struct gy_dig *dig, struct gy_dig_command *command, struct gy_error *error);
void dig_close(struct gy_dig *dig);

/* Looks up one query and prints what comes. An exit status. */
int dig_look_up(struct gy_dig *dig, const struct gy_dig_query *query);

/* Whom to ask: the server of the command line, or those of resolv.conf; otherwise as below. */
uint32_t dig_servers(struct gy_dig *dig, const struct gy_dig_options *options,
                     struct gy_address *servers);

/* The addresses of a name server's name, or of an address, with the query's port and family;
 * `addresses` has room for GY_QUERY_ADDRESSES. How many; 0 after a message. */
uint32_t dig_resolve(struct gy_dig *dig, const char *name, const struct gy_dig_options *options,
                     struct gy_address *addresses);

/* Asks one server, with all tries, TCP when the answer is cut. True with dig->reply; else it was
 * told that there is none. */
bool dig_ask(struct gy_dig *dig, const struct gy_dig_query *query, const struct gy_address *server,
             const char *name);

/* From the root down. An exit status. */
int dig_trace(struct gy_dig *dig, const struct gy_dig_query *query);

/* AXFR and IXFR. An exit status. */
int dig_transfer(struct gy_dig *dig, const struct gy_dig_query *query,
                 const struct gy_address *server, const char *name);

/* ---- printing ---- */

void dig_print_banner(const struct gy_dig *dig, const struct gy_dig_query *query, uint32_t servers);
void dig_print_reply(const struct gy_dig *dig, const struct gy_dig_query *query);
void dig_print_message(const struct gy_dig *dig, const struct gy_dig_query *query,
                       const uint8_t *bytes, size_t length);
void dig_print_stats(const struct gy_dig *dig, const struct gy_dig_query *query);
void dig_print_record(const struct gy_dns_message *message, const struct gy_dns_record *record,
                      const struct gy_dig_options *options);

/* What a record says, as text and as bytes, over several lines where it is long. */
void dig_print_multiline(uint16_t type, const char *text, const uint8_t *rdata, size_t bytes);

/* 1h30m, or in words: 1 hour 30 minutes. How many columns it takes. */
int dig_print_time(uint32_t seconds, bool words);
void dig_print_signature(const struct gy_dns_record *record);
void dig_print_json(const struct gy_dig *dig, const struct gy_dig_query *query, const char *error);

/* "192.0.2.1#53" */
const char *dig_server_text(const struct gy_address *server, char text[GY_ADDRESS_TEXT_BYTES]);

#endif
