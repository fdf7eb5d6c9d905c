/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/ping.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "servers/rudp/rudp_host.h"
#include "servers/rudp/rudp_tls.h"

#define NAP_NS UINT64_C(50000000) /* how soon `stop` is seen */

/* One message under way; its data lie behind it: its number, when it was sent, and letters. */
struct probe {
    struct gy_rudp_message message;
    uint8_t data[];
};

struct ping {
    const struct gy_rudp_ping_options *options;
    struct gy_rudp_ping_result *results;
    struct gy_worker *worker;
    struct gy_datagram_endpoint endpoint;
    struct gy_rudp_host host;
    struct gy_rudp_counts counts;
    struct gy_rudp_session *session; /* NULL once it has ended */
    struct gy_error *error;
    uint32_t next;    /* number of the next round */
    uint32_t waiting; /* messages of the last round that are not back */
    uint64_t round_ns;
    bool open;
    bool visited; /* with early: there is a ticket */
    int code;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void opened(struct gy_rudp_session *session)
{
    struct ping *ping = session->host->options.context;
    ping->open = true;
    if (ping->visited) {
        *ping->options->early_taken = session->seal.handshake->early_taken(session->seal.keys);
    }
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct ping *ping = session->host->options.context;
    struct gy_rudp_ping_result *result = &ping->results[guarantee];
    struct gy_reader reader = gy_reader_on(data, length);
    uint64_t number = gy_reader_u64(&reader);
    uint64_t sent_ns = gy_reader_u64(&reader);
    uint64_t now = now_ns();
    (void)channel;
    if (reader.failed || sent_ns > now || number >= ping->next ||
        result->received >= result->sent) {
        return true; /* none of ours */
    }
    result->rtt_ns[result->received++] = now - sent_ns;
    if (number + 1 == ping->next && ping->waiting > 0) {
        ping->waiting--;
    }
    return true;
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    gy_rudp_memory_give(&session->host->memory, message);
}

static const char *remedy(const struct ping *ping, uint64_t code)
{
    switch (code) {
    case GY_RUDP_CLOSE_HANDSHAKE:
        return "; is `gyre rudp serve` running there?";
    case GY_RUDP_CLOSE_MODE:
        return ping->options->tls != NULL
                   ? "; --plaintext, if nobody else is on the way, or --tls for the server"
                   : "; leave --plaintext out";
    default:
        return "";
    }
}

static void closed(struct gy_rudp_session *session)
{
    struct ping *ping = session->host->options.context;
    char peer[GY_ADDRESS_TEXT_BYTES];
    ping->session = NULL;
    if (session->conn.close_code == 0 && !session->conn.closed_by_peer) {
        return; /* by us */
    }
    gy_address_format(&ping->options->address, peer, sizeof peer);
    ping->code =
        gy_error_set(ping->error, ping->open ? GY_ECLOSED : GY_ETIMEOUT,
                     "%s %s by reliable UDP: %s%s", ping->open ? "talking to" : "reaching for",
                     peer, session->conn.close_reason, remedy(ping, session->conn.close_code));
}

static const struct gy_rudp_host_ops ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

static int send_one(struct ping *ping, enum gy_rudp_guarantee guarantee)
{
    uint32_t bytes = ping->options->bytes;
    struct probe *probe = gy_rudp_memory_take(&ping->host.memory, sizeof *probe + bytes);
    if (probe == NULL) {
        return GY_ENOMEM;
    }
    probe->message = (struct gy_rudp_message){.data = probe->data,
                                              .length = bytes,
                                              .channel = (uint8_t)guarantee,
                                              .guarantee = guarantee,
                                              .replayable = ping->visited && ping->next == 1};
    struct gy_writer writer = gy_writer_on(probe->data, bytes);
    gy_writer_u64(&writer, ping->next - 1);
    gy_writer_u64(&writer, now_ns());
    for (uint32_t i = GY_RUDP_PING_BYTES_MIN; i < bytes; i++) {
        gy_writer_u8(&writer, (uint8_t)('a' + i % 26));
    }
    int code = gy_rudp_host_send(ping->session, &probe->message);
    if (code != 0) {
        gy_rudp_memory_give(&ping->host.memory, probe);
        return code;
    }
    ping->results[guarantee].sent++;
    ping->waiting++;
    return 0;
}

static void send_round(struct ping *ping, uint64_t now)
{
    ping->next++;
    ping->waiting = 0;
    ping->round_ns = now;
    for (int i = 0; i < GY_RUDP_GUARANTEES && ping->code == 0; i++) {
        if (ping->options->guarantees[i]) {
            int code = send_one(ping, (enum gy_rudp_guarantee)i);
            if (code != 0) {
                ping->code = gy_error_set(ping->error, code, "sending a message of %u bytes: %s",
                                          ping->options->bytes, gy_error_text(code));
            }
        }
    }
}

/* Sends what is due. How long to sleep, or 0: it is over. */
static uint64_t step(struct ping *ping)
{
    const struct gy_rudp_ping_options *options = ping->options;
    uint64_t now = now_ns();
    if (!ping->open && !(ping->visited && ping->next == 0)) {
        return NAP_NS;
    }
    uint64_t due_ns = ping->round_ns + options->interval_ns;
    bool answered = ping->waiting == 0;
    if (ping->next == options->count) {
        uint64_t end_ns = ping->round_ns + options->timeout_ns;
        return answered || now >= end_ns ? 0 : end_ns - now;
    }
    if (ping->next == 0 || (options->interval_ns == 0 && answered) ||
        (options->interval_ns != 0 && now >= due_ns) ||
        now >= ping->round_ns + options->timeout_ns) {
        send_round(ping, now);
        due_ns = now + options->interval_ns;
    }
    uint64_t sleep_ns = options->interval_ns == 0 ? NAP_NS : due_ns - now;
    return sleep_ns < NAP_NS ? sleep_ns + 1 : NAP_NS;
}

static int open_worker(struct ping *ping)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 16,
        .datagrams_max = 4,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    ping->worker = aligned_alloc(GY_CACHE_LINE_BYTES, sizeof *ping->worker);
    if (ping->worker == NULL) {
        return gy_error_set(ping->error, GY_ENOMEM, "out of memory");
    }
    int code = gy_worker_open(ping->worker, &options, &ping->worker, ping->error);
    if (code != 0) { /* a kernel without multishot receives */
        options.pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0);
        code = gy_worker_open(ping->worker, &options, &ping->worker, ping->error);
    }
    if (code != 0) {
        free(ping->worker);
        ping->worker = NULL;
    }
    return code;
}

/* A connection, along a socket of its own. */
static int dial(struct ping *ping)
{
    struct gy_datagram_socket *socket =
        gy_datagram_dial(&ping->endpoint, &ping->options->address, NULL, NULL, ping->error);
    if (socket == NULL) {
        return ping->error->code;
    }
    ping->session = gy_rudp_host_dial(&ping->host, socket, ping);
    return ping->session != NULL
               ? 0
               : gy_error_set(ping->error, GY_ENOMEM, "connecting: out of memory");
}

static int connect_host(struct ping *ping)
{
    const struct gy_rudp_ping_options *options = ping->options;
    struct gy_rudp_host_options host = {
        .ops = &ops,
        .context = ping,
        .config = gy_rudp_host_config(),
        .connections_max = 1,
        .memory_bytes = 16u << 20,
        .counts = &ping->counts,
    };
    if (options->tls != NULL) {
        host.sealer = &gy_rudp_tls;
        host.sealer_context = options->tls;
        host.peer = options->host;
    }
    host.config.datagram_bytes = options->datagram_bytes;
    host.config.congestion = options->congestion;
    host.config.fec_packets = options->fec_packets;
    host.config.fec_all = true;
    host.qlog = options->qlog;
    host.config.handshake_timeout_ns = options->timeout_ns;
    int code = gy_rudp_host_open(&ping->host, ping->worker, &host, ping->error);
    if (code != 0) {
        return code;
    }
    code = gy_datagram_endpoint_open(&ping->endpoint, ping->worker, &gy_rudp_host_datagrams,
                                     ping->error);
    if (code != 0) {
        gy_rudp_host_close(&ping->host);
        return code;
    }
    ping->endpoint.state = &ping->host;
    return dial(ping);
}

static bool is_stopped(const struct ping *ping)
{
    return ping->code != 0 || atomic_load_explicit(ping->options->stop, memory_order_relaxed);
}

static int turn(struct ping *ping, uint64_t sleep_ns)
{
    gy_rudp_host_flush(&ping->host);
    gy_datagrams_flush(ping->worker);
    int code = gy_worker_turn(ping->worker, sleep_ns);
    return code == 0 ? 0
                     : gy_error_set(ping->error, code, "the ring broke: %s", gy_error_text(code));
}

/* A first connection, for its ticket, which TLS says once the handshake is done. */
static int visit(struct ping *ping)
{
    uint64_t end_ns = now_ns() + ping->options->timeout_ns;
    bool told = false;
    int code = 0;
    while (ping->session != NULL && !is_stopped(ping) && code == 0) {
        if (!told && ping->session->conn.confirmed && ping->session->conn.crypto[1].taken > 0) {
            gy_rudp_host_end(ping->session, 0, "done");
            told = true;
        } else if (now_ns() > end_ns) {
            return gy_error_set(ping->error, GY_ETIMEOUT,
                                "waiting for a ticket to come back with: the server gave none; "
                                "--early is for servers with session tickets");
        }
        code = turn(ping, NAP_NS / 10);
    }
    if (code != 0 || is_stopped(ping)) {
        return code != 0 ? code : ping->code;
    }
    ping->visited = true;
    ping->open = false;
    return dial(ping);
}

static int run(struct ping *ping)
{
    uint64_t sleep_ns;
    while (ping->session != NULL && !is_stopped(ping) && (sleep_ns = step(ping)) > 0) {
        int code = turn(ping, sleep_ns);
        if (code != 0) {
            return code;
        }
    }
    if (ping->session !=
        NULL) { /* said once; a server that does not hear it asks, and is told no more */
        gy_rudp_host_end(ping->session, 0, "done");
        gy_rudp_host_flush(&ping->host);
        gy_datagrams_flush(ping->worker);
        gy_worker_turn(ping->worker, 1000000);
    }
    return ping->code;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

int gy_rudp_ping(const struct gy_rudp_ping_options *options,
                 struct gy_rudp_ping_result results[GY_RUDP_GUARANTEES], struct gy_error *error)
{
    gy_assert(options->count >= 1 && options->count <= GY_RUDP_PING_COUNT_MAX);
    struct ping *ping = aligned_alloc(64, (sizeof *ping + 63) & ~(size_t)63);
    if (ping == NULL) {
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    memset(ping, 0, sizeof *ping);
    ping->options = options;
    ping->results = results;
    ping->error = error;
    int code = 0;
    for (int i = 0; i < GY_RUDP_GUARANTEES && code == 0; i++) {
        results[i] = (struct gy_rudp_ping_result){0};
        results[i].rtt_ns =
            options->guarantees[i] ? calloc(options->count, sizeof *results[i].rtt_ns) : NULL;
        if (options->guarantees[i] && results[i].rtt_ns == NULL) {
            code = gy_error_set(error, GY_ENOMEM, "counting %u messages: out of memory",
                                options->count);
        }
    }
    code = code == 0 ? open_worker(ping) : code;
    code = code == 0 ? connect_host(ping) : code;
    code = code == 0 && options->early ? visit(ping) : code;
    code = code == 0 ? run(ping) : code;
    if (ping->worker != NULL) {
        gy_datagrams_abort(ping->worker);
        gy_worker_finish(ping->worker);
        if (ping->endpoint.pool != NULL) {
            gy_datagram_endpoint_close(&ping->endpoint);
        }
        if (ping->host.mapped != NULL) {
            gy_rudp_host_close(&ping->host);
        }
        gy_worker_close(ping->worker);
        free(ping->worker);
    }
    free(ping);
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        if (results[i].rtt_ns != NULL) {
            qsort(results[i].rtt_ns, results[i].received, sizeof(uint64_t), compare);
        }
    }
    return code;
}

void gy_rudp_ping_free(struct gy_rudp_ping_result results[GY_RUDP_GUARANTEES])
{
    for (int i = 0; i < GY_RUDP_GUARANTEES; i++) {
        free(results[i].rtt_ns);
        results[i].rtt_ns = NULL;
    }
}
