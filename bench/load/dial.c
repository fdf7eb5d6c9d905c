/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/connection.h"
#include "bench/load/place.h"
#include "bench/load/rudp.h"
#include "bench/load/udp.h"
#include "core/tls.h"

#define DIALS_PER_TURN 256
#define REDIAL_NS      UINT64_C(100000000)
#define GONE_AFTER_NS  UINT64_C(1000000000)
#define STALL_NS       UINT64_C(1000000000)
#define TURN_NS        UINT64_C(10000000)

static int dial_stream(struct gy_load_engine *engine)
{
    const struct gy_load_options *options = engine->options;
    struct gy_stream *stream =
        gy_stream_dial_from(&engine->endpoint, &options->address,
                            gy_load_source(options, engine->number, engine->dials++),
                            (uint32_t)(options->timeout_ns / 1000000 + 1), &engine->error);
    if (stream == NULL) {
        return engine->error.code;
    }
    struct gy_load_connection *connection = stream->session;
    engine->refusal[0] = '\0';
    *connection = (struct gy_load_connection){.stream = stream};
    void *behind = &connection->stamps[options->pipeline];
    if (engine->protocol->make != NULL) {
        connection->window = behind;
        gy_load_window_open(connection->window, options->pipeline);
    } else {
        connection->session = behind;
        engine->protocol->session_open(connection->session);
    }
    engine->missing--;
    if (engine->protocol->secure && gy_tls_expect(stream, options->host) != 0) {
        gy_stream_abort(stream, GY_CLOSE_ERROR);
    }
    return 0;
}

/* ---- how many at a time ---- */

/* Of all threads' flight, this one's part. */
static uint32_t part_of(const struct gy_load_engine *engine, uint32_t flight)
{
    uint32_t part = flight / engine->options->threads;
    return part > 0 ? part : 1;
}

/* How many more may be dialled. */
static uint32_t room_in_flight(const struct gy_load_engine *engine)
{
    uint32_t dialled = engine->connections - engine->missing - engine->connected;
    if (engine->running || (engine->protocol->datagrams && !engine->protocol->reliable)) {
        return DIALS_PER_TURN;
    }
    return dialled < engine->flight ? engine->flight - dialled : 0;
}

int gy_load_dial_missing(struct gy_load_engine *engine, uint64_t now_ns)
{
    uint32_t room = room_in_flight(engine);
    for (uint32_t i = 0; i < room && engine->missing > 0 && now_ns >= engine->redial_ns; i++) {
        bool datagrams = engine->protocol->datagrams;
        if (!datagrams && !gy_endpoint_has_room(&engine->endpoint)) {
            return 0; /* those that are closing have not gone yet */
        }
        int code = engine->protocol->reliable ? gy_load_rudp_dial(engine)
                   : datagrams                ? gy_load_udp_dial(engine)
                                              : dial_stream(engine);
        if (code != 0) {
            engine->gave_up = true;
            return code;
        }
    }
    return 0;
}

void gy_load_dial_worked(struct gy_load_engine *engine)
{
    engine->connected++;
    engine->connects++;
    engine->last_connected_ns = engine->worker->now_ns;
    if (engine->flight < part_of(engine, GY_LOAD_FLIGHT_MAX)) {
        engine->flight++;
    }
}

/* ---- failures ---- */

/* Every port of every address that connections come from is taken: trying again is of no use. */
static void out_of_ports(struct gy_load_engine *engine)
{
    const struct gy_load_options *options = engine->options;
    gy_load_give_up(engine, GY_ELIMIT,
                    "no port of %s is left for another: an address has %u for one server "
                    "(net.ipv4.ip_local_port_range); come from more of them with --source, "
                    "repeated%s",
                    options->source_count > 1 ? "these addresses" : "this address",
                    gy_load_local_ports(), gy_load_source_example(options));
}

static enum gy_load_dial_error kind_of(int errno_value)
{
    switch (errno_value) {
    case ECONNREFUSED:
        return GY_LOAD_DIAL_ERROR_REFUSED;
    case ETIMEDOUT:
        return GY_LOAD_DIAL_ERROR_TIMEOUT;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
        return GY_LOAD_DIAL_ERROR_RESET;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
        return GY_LOAD_DIAL_ERROR_UNREACHABLE;
    case EADDRNOTAVAIL:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return GY_LOAD_DIAL_ERROR_LOCAL;
    default:
        return GY_LOAD_DIAL_ERROR_OTHER;
    }
}

/* Of a stream that ended before it was ready. */
static enum gy_load_dial_error dial_error_of(const struct gy_stream *stream,
                                             enum gy_close_reason reason, bool tls_failed)
{
    if (tls_failed) {
        return GY_LOAD_DIAL_ERROR_TLS;
    }
    if (stream->error != 0) {
        return kind_of(stream->error);
    }
    if (((const struct gy_load_connection *)stream->session)->rejected) {
        return GY_LOAD_DIAL_ERROR_REJECTED; /* whoever closed it then */
    }
    switch (reason) {
    case GY_CLOSE_TIMEOUT:
        return GY_LOAD_DIAL_ERROR_TIMEOUT;
    case GY_CLOSE_RESET:
        return GY_LOAD_DIAL_ERROR_RESET;
    case GY_CLOSE_PEER:
        return GY_LOAD_DIAL_ERROR_CLOSED;
    default:
        return GY_LOAD_DIAL_ERROR_OTHER;
    }
}

void gy_load_dial_failed(struct gy_load_engine *engine, struct gy_stream *stream,
                         enum gy_close_reason reason_closed)
{
    char peer[GY_ADDRESS_TEXT_BYTES];
    char insecure[256];
    uint64_t now_ns = engine->worker->now_ns;
    const char *reason = gy_tls_failure(stream, insecure, sizeof insecure);
    engine->dial_errors[dial_error_of(stream, reason_closed, reason[0] != '\0')]++;
    if (reason[0] == '\0' && engine->refusal[0] != '\0') {
        reason = engine->refusal;
    } else if (reason[0] == '\0') {
        reason = stream->error != 0 ? strerror(stream->error)
                 : engine->protocol->secure
                     ? "the server closed the connection in the handshake; does it speak TLS at "
                       "this port?"
                     : "the server closed the connection in the handshake";
    }
    snprintf(engine->failure, sizeof engine->failure, "%s", reason);
    engine->errors[GY_LOAD_ERROR_CONNECT]++;
    engine->redial_ns = now_ns + REDIAL_NS;
    uint32_t least = part_of(engine, GY_LOAD_FLIGHT_MIN);
    engine->flight = engine->flight / 2 > least ? engine->flight / 2 : least;
    gy_address_format(&engine->options->address, peer, sizeof peer);
    if (!engine->running && stream->error == EADDRNOTAVAIL && engine->connects > 0) {
        out_of_ports(engine);
    } else if (engine->connects == 0) {
        gy_load_give_up(engine, GY_EREFUSED, "connecting to %s: %s%s", peer, reason,
                        stream->error == ECONNREFUSED ? "; is the server running?" : "");
    } else if (engine->connected == 0 && engine->running &&
               now_ns - engine->last_connected_ns > GONE_AFTER_NS) {
        gy_load_give_up(engine, GY_ECLOSED,
                        "the server at %s went away, %.1f s after the start: connecting again: %s",
                        peer, (double)(engine->last_answer_ns - engine->start_ns) / 1e9, reason);
    }
}

/* ---- before the start ---- */

/* No more of them have come for so long. */
static void stalled(struct gy_load_engine *engine, uint64_t stall_ns)
{
    uint64_t failed = engine->errors[GY_LOAD_ERROR_CONNECT];
    char what[64] = "none of the others was answered";
    if (failed > 0) {
        snprintf(what, sizeof what, "%llu dial%s failed, the last one with",
                 (unsigned long long)failed, failed == 1 ? "" : "s");
    }
    if (engine->connects == 0 && failed == 0) {
        char peer[GY_ADDRESS_TEXT_BYTES];
        gy_address_format(&engine->options->address, peer, sizeof peer);
        gy_load_give_up(
            engine, GY_ETIMEOUT,
            "connecting to %s: nothing answered in %.1f s; does a server speak %s there? A "
            "slow one needs a longer --timeout",
            peer, (double)stall_ns / 1e9, engine->protocol->scheme);
        return;
    }
    gy_load_give_up(engine, GY_ETIMEOUT,
                    "no more were made in %.1f s: %s%s%s; does the server allow so many "
                    "connections and open files? A slower one needs a longer --timeout",
                    (double)stall_ns / 1e9, what, failed > 0 ? ": " : "", engine->failure);
}

static void publish(struct gy_load_engine *engine)
{
    gy_gauge_set(&engine->live.connected, engine->connected);
    gy_gauge_set(&engine->live.failed_dials, engine->errors[GY_LOAD_ERROR_CONNECT]);
}

int gy_load_dial_all(struct gy_load_engine *engine)
{
    uint64_t timeout_ns = engine->options->timeout_ns;
    uint64_t stall_ns = timeout_ns + STALL_NS; /* a dial has failed by then */
    uint64_t since_ns = gy_load_now_ns();
    uint32_t best = 0; /* connections that come and go are none */
    engine->missing = engine->connections;
    engine->flight = part_of(engine, GY_LOAD_FLIGHT_FIRST);
    while (engine->connected < engine->connections && !engine->gave_up &&
           !atomic_load_explicit(engine->stop, memory_order_relaxed)) {
        uint64_t now_ns = gy_load_now_ns();
        int code = gy_load_dial_missing(engine, now_ns);
        if (code != 0) {
            return code;
        }
        if (engine->connected > best) {
            best = engine->connected;
            since_ns = now_ns;
        } else if (now_ns - since_ns > stall_ns) {
            stalled(engine, stall_ns);
            break;
        }
        code = gy_worker_turn(engine->worker, TURN_NS);
        if (code != 0) {
            return gy_error_set(&engine->error, code, "thread %u: its ring broke", engine->number);
        }
        publish(engine);
    }
    publish(engine);
    return engine->gave_up ? engine->error.code : 0;
}
