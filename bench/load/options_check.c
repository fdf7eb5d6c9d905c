/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What of a command line goes together, and what it means where it says nothing. */

#include <string.h>

#include "bench/load/options.h"
#include "bench/load/place.h"

#define SECOND_NS UINT64_C(1000000000)

/* RFC 9110 §5.6.2: what a token is made of, letters and digits besides. */
#define TOKEN_MARKS "!#$%&'*+-.^_`|~"
#define ALNUM       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
/* No method that is registered is half as long. */
#define METHOD_MAX 32

bool gy_load_is_http(const struct gy_load_protocol *protocol)
{
    return protocol == &gy_load_http || protocol == &gy_load_https;
}

bool gy_load_is_dns(const struct gy_load_protocol *protocol)
{
    return protocol == &gy_load_dns || protocol == &gy_load_dns_tcp || protocol == &gy_load_dns_tls;
}

static int check_dns(const struct gy_load_options *options, struct gy_error *error)
{
    bool named = options->path[0] != '\0' && options->path[1] != '\0';
    if (!gy_load_is_dns(options->protocol)) {
        return options->queries_file == NULL && options->edns_bytes == 0 && !options->dnssec
                   ? 0
                   : gy_error_set(error, GY_EINVAL,
                                  "--queries, --edns and --dnssec are for dns://, dns+tcp:// and "
                                  "dns+tls://");
    }
    if (options->queries_file != NULL && named) {
        return gy_error_set(error, GY_EINVAL,
                            "%s: what is asked is in --queries; without a name here", options->url);
    }
    if (options->queries_file == NULL && !named) {
        return gy_error_set(error, GY_EINVAL,
                            "%s: what is to be asked? Write %s://HOST/NAME?type=A, or --queries "
                            "FILE",
                            options->url, options->protocol->scheme);
    }
    return 0;
}

/* What a request over HTTP is. */
static int check_http(const struct gy_load_options *options, struct gy_error *error)
{
    const char *method = options->method;
    if (!gy_load_is_http(options->protocol)) {
        return method == NULL && options->body_file == NULL
                   ? 0
                   : gy_error_set(error, GY_EINVAL,
                                  "--method and --body are for http:// and https://");
    }
    if (method == NULL) {
        return 0;
    }
    size_t length = strlen(method);
    if (length == 0 || length > METHOD_MAX || strspn(method, ALNUM TOKEN_MARKS) != length) {
        return gy_error_set(error, GY_EINVAL,
                            "--method %.40s: no method of HTTP; write a word such as POST", method);
    }
    if (strcmp(method, "CONNECT") == 0) {
        return gy_error_set(error, GY_EINVAL,
                            "--method CONNECT: what follows is no HTTP any more, so that there "
                            "are no answers to count");
    }
    if (strcmp(method, "TRACE") == 0 && options->body_file != NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "--method TRACE: must not have a --body (RFC 9110 §9.3.8)");
    }
    return 0;
}

/* Who sends, where everybody hears. */
static int check_broadcast(const struct gy_load_options *options, struct gy_error *error)
{
    const struct gy_load_protocol *protocol = options->protocol;
    if (!options->broadcast) {
        return options->publishers > 1
                   ? gy_error_set(error, GY_EINVAL, "--publishers is for --broadcast")
               : protocol->appoint != NULL
                   ? gy_error_set(
                         error, GY_EINVAL,
                         "%s: what is sent there comes to everybody; write --broadcast: one "
                         "connection sends, or --publishers N of them, and all must get it",
                         options->url)
                   : 0;
    }
    if (options->threads > 1) {
        return gy_error_set(error, GY_EINVAL,
                            "--broadcast has one thread that sees who got what: without --threads");
    }
    if (protocol->refusal == NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "--broadcast is for ws://, wss://, chat://, nats:// and redis://");
    }
    if (options->publishers > 1 && protocol->appoint == NULL) {
        return gy_error_set(error, GY_EINVAL, "--publishers is for chat://, nats:// and redis://");
    }
    if (options->publishers > options->connections) {
        return gy_error_set(error, GY_EINVAL, "--publishers %u: of %u connections",
                            options->publishers, options->connections);
    }
    return 0;
}

/* What does not go together in how much is asked, and when. */
static int check_pace(const struct gy_load_options *options, const struct gy_load_given *given,
                      struct gy_error *error)
{
    if (given->slo && !options->find_max) {
        return gy_error_set(error, GY_EINVAL, "--slo is for --find-max");
    }
    if (options->find_max && (options->rate > 0 || options->requests > 0)) {
        return gy_error_set(error, GY_EINVAL,
                            "--find-max chooses the rate: without --rate and --requests");
    }
    if (options->poisson && options->rate == 0 && !options->find_max) {
        return gy_error_set(error, GY_EINVAL, "--poisson is for --rate and --find-max");
    }
    if (options->threads > options->connections) {
        return gy_error_set(error, GY_EINVAL,
                            "%u threads for %u connections: each thread needs one",
                            options->threads, options->connections);
    }
    if (options->outstanding > 0 && (options->rate > 0 || options->find_max)) {
        return gy_error_set(error, GY_EINVAL,
                            "--outstanding is for a closed loop: without --rate and --find-max");
    }
    if (options->outstanding > 0 && options->outstanding < options->threads) {
        return gy_error_set(error, GY_EINVAL, "--outstanding %u: %u threads need one each",
                            options->outstanding, options->threads);
    }
    if (options->requests > 0 && given->warmup && options->warmup_ns > 0) {
        return gy_error_set(error, GY_EINVAL, "--warmup and --requests exclude each other");
    }
    return 0;
}

/* What would be of no effect with the URL's protocol. */
static int check_effect(const struct gy_load_options *options, const struct gy_load_given *given,
                        struct gy_error *error)
{
    const struct gy_load_protocol *protocol = options->protocol;
    bool http = gy_load_is_http(protocol);
    if (options->header_count > 0 && !http && protocol != &gy_load_ws && protocol != &gy_load_wss) {
        return gy_error_set(error, GY_EINVAL,
                            "--header is for http://, https://, ws:// and wss://");
    }
    if (given->size && (http || gy_load_is_dns(protocol))) {
        return gy_error_set(error, GY_EINVAL, "--size is of messages, which %s:// has not%s",
                            protocol->scheme, http ? "; --body FILE is what a request has" : "");
    }
    if (given->udp_mode && !protocol->datagrams) {
        return gy_error_set(error, GY_EINVAL, "--udp-mode is for udp://, dns:// and rudp://");
    }
    return 0;
}

/* What is for other protocols than the URL's. */
static int check_protocol(const struct gy_load_options *options, struct gy_error *error)
{
    bool reliable = options->protocol->reliable;
    bool secure = options->protocol->secure && !options->plaintext;
    if (options->trains && (!options->protocol->datagrams || reliable)) {
        return gy_error_set(error, GY_EINVAL, "--trains is for udp:// and dns://");
    }
    if (options->plaintext && !reliable) {
        return gy_error_set(error, GY_EINVAL, "--plaintext is for rudp://");
    }
    if (!reliable && (options->acked || options->datagram_bytes != 0)) {
        return gy_error_set(error, GY_EINVAL, "--acked and --datagram are for rudp://");
    }
    if (!secure && (options->insecure || options->tls.authorities != NULL)) {
        return gy_error_set(error, GY_EINVAL,
                            "--ca and --insecure are for https://, wss://, dns+tls://, and rudp:// "
                            "without --plaintext");
    }
    if (options->handshakes != GY_LOAD_HANDSHAKES_KEPT && options->protocol != &gy_load_https) {
        return gy_error_set(error, GY_EINVAL, "--handshakes is for https://");
    }
    if (options->handshakes != GY_LOAD_HANDSHAKES_KEPT && options->pipeline > 1) {
        return gy_error_set(error, GY_EINVAL,
                            "--handshakes makes a connection for each request: without --pipeline");
    }
    if ((uint64_t)options->size_bytes * options->pipeline * options->publishers > 1u << 28) {
        return gy_error_set(error, GY_EINVAL,
                            "--size times --pipeline (times --publishers): at most 256 MiB");
    }
    return 0;
}

/* The defaults that depend on other flags. */
static void set_defaults(struct gy_load_options *options, const struct gy_load_given *given)
{
    bool bounded = options->requests > 0;
    if (!given->duration) {
        options->duration_ns = (bounded ? 0 : options->find_max ? 3 : 10) * SECOND_NS;
    }
    if (!given->warmup) {
        options->warmup_ns = bounded ? 0 : SECOND_NS;
    }
    if (options->method == NULL && gy_load_is_http(options->protocol)) {
        options->method = options->body_file != NULL ? "POST" : "GET";
    }
    options->arrivals = options->rate == 0 ? GY_LOAD_CLOSED_LOOP
                        : options->poisson ? GY_LOAD_POISSON
                                           : GY_LOAD_CONSTANT;
}

int gy_load_options_complete(struct gy_load_options *options, const struct gy_load_given *given,
                             struct gy_error *error)
{
    if (options->url == NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "no URL; for example gyre-load http://127.0.0.1:8080/ -c 64 -d 10s");
    }
    gy_assert(options->protocol != NULL); /* since there is a URL */
    int code = check_pace(options, given, error);
    code = code != 0 ? code : check_http(options, error);
    code = code != 0 ? code : check_dns(options, error);
    code = code != 0 ? code : check_effect(options, given, error);
    code = code != 0 ? code : check_protocol(options, error);
    code = code != 0 ? code : check_broadcast(options, error);
    code = code != 0 ? code : gy_load_source_check(options, error);
    set_defaults(options, given);
    return code;
}
