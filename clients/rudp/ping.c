/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "clients/rudp/ping.h"

#include <stdlib.h>
#include <string.h>

#include "clients/rudp/client.h"
#include "core/clock.h"
#include "core/cursor.h"

#define NAP_NS UINT64_C(50000000) /* how soon `stop` is seen */

/* One message under way; its data lie behind it: its number, when it was sent, and letters. */
struct probe {
    struct gy_rudp_message message;
    uint8_t data[];
};

struct ping {
    struct gy_rudp_client client; /* first: aligned */
    const struct gy_rudp_ping_options *options;
    struct gy_rudp_ping_result *results;
    struct gy_rudp_session *session; /* NULL once it has ended */
    struct gy_error *error;
    uint32_t next;    /* number of the next round */
    uint32_t waiting; /* messages of the last round that are not back */
    uint64_t round_ns;
    bool open;
    bool visited; /* with early: there is a ticket */
    int code;
};

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
    uint64_t now = gy_clock_ns();
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

static void closed(struct gy_rudp_session *session)
{
    struct ping *ping = session->host->options.context;
    ping->session = NULL;
    if (session->conn.close_code == 0 && !session->conn.closed_by_peer) {
        return; /* by us */
    }
    ping->code = gy_rudp_client_explain(&ping->client, session, ping->open, ping->error);
}

static const struct gy_rudp_host_ops ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

static int send_one(struct ping *ping, enum gy_rudp_guarantee guarantee)
{
    uint32_t bytes = ping->options->bytes;
    struct probe *probe = gy_rudp_memory_take(&ping->client.host.memory, sizeof *probe + bytes);
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
    gy_writer_u64(&writer, gy_clock_ns());
    for (uint32_t i = GY_RUDP_PING_BYTES_MIN; i < bytes; i++) {
        gy_writer_u8(&writer, (uint8_t)('a' + i % 26));
    }
    int code = gy_rudp_host_send(ping->session, &probe->message);
    if (code != 0) {
        gy_rudp_memory_give(&ping->client.host.memory, probe);
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

/* Whether nothing more is to come: of what may be lost, or be left out, the last round's is waited
 * for, of the rest all. */
static bool all_back(const struct ping *ping)
{
    const struct gy_rudp_ping_result *ordered = &ping->results[GY_RUDP_ORDERED];
    const struct gy_rudp_ping_result *unordered = &ping->results[GY_RUDP_UNORDERED];
    return ping->waiting == 0 && ordered->received == ordered->sent &&
           unordered->received == unordered->sent;
}

/* Sends what is due. How long to sleep, or 0: it is over. */
static uint64_t step(struct ping *ping)
{
    const struct gy_rudp_ping_options *options = ping->options;
    uint64_t now = gy_clock_ns();
    if (!ping->open && !(ping->visited && ping->next == 0)) {
        return NAP_NS;
    }
    uint64_t due_ns = ping->round_ns + options->interval_ns;
    bool answered = ping->waiting == 0;
    if (ping->next == options->count) {
        uint64_t end_ns = ping->round_ns + options->target->timeout_ns;
        return all_back(ping) || now >= end_ns ? 0 : end_ns - now;
    }
    if (ping->next == 0 || (options->interval_ns == 0 && answered) ||
        (options->interval_ns != 0 && now >= due_ns) ||
        now >= ping->round_ns + options->target->timeout_ns) {
        send_round(ping, now);
        due_ns = now + options->interval_ns;
    }
    uint64_t sleep_ns = options->interval_ns == 0 ? NAP_NS : due_ns - now;
    return sleep_ns < NAP_NS ? sleep_ns + 1 : NAP_NS;
}

static int connect_host(struct ping *ping)
{
    const struct gy_rudp_client_options options = {
        .ops = &ops,
        .context = ping,
        .memory_bytes = 16u << 20,
        .window_bytes = 1u << 20,
        .streams_max = 16,
    };
    int code = gy_rudp_client_open(&ping->client, ping->options->target, &options, ping->error);
    if (code == 0) {
        ping->session = gy_rudp_client_dial(&ping->client, ping, ping->error);
        code = ping->session != NULL ? 0 : ping->error->code;
    }
    return code;
}

static bool is_stopped(const struct ping *ping)
{
    return ping->code != 0 || atomic_load_explicit(ping->options->stop, memory_order_relaxed);
}

/* A first connection, for its ticket, which TLS says once the handshake is done. */
static int visit(struct ping *ping)
{
    uint64_t end_ns = gy_clock_ns() + ping->options->target->timeout_ns;
    bool told = false;
    int code = 0;
    while (ping->session != NULL && !is_stopped(ping) && code == 0) {
        if (!told && ping->session->conn.confirmed && ping->session->conn.crypto[1].taken > 0) {
            gy_rudp_host_end(ping->session, 0, "done");
            told = true;
        } else if (gy_clock_ns() > end_ns) {
            return gy_error_set(ping->error, GY_ETIMEOUT,
                                "waiting for a ticket to come back with: the server gave none; "
                                "--early is for servers with session tickets");
        }
        code = gy_rudp_client_turn(&ping->client, NAP_NS / 10, ping->error);
    }
    if (code != 0 || is_stopped(ping)) {
        return code != 0 ? code : ping->code;
    }
    ping->visited = true;
    ping->open = false;
    ping->session = gy_rudp_client_dial(&ping->client, ping, ping->error);
    return ping->session != NULL ? 0 : ping->error->code;
}

static int run(struct ping *ping)
{
    uint64_t sleep_ns;
    while (ping->session != NULL && !is_stopped(ping) && (sleep_ns = step(ping)) > 0) {
        int code = gy_rudp_client_turn(&ping->client, sleep_ns, ping->error);
        if (code != 0) {
            return code;
        }
    }
    if (ping->session !=
        NULL) { /* said once; a server that does not hear it asks, and is told no more */
        gy_rudp_host_end(ping->session, 0, "done");
        struct gy_error ignored = {0};
        gy_rudp_client_turn(&ping->client, 1000000, &ignored);
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
    code = code == 0 ? connect_host(ping) : code;
    code = code == 0 && options->early ? visit(ping) : code;
    code = code == 0 ? run(ping) : code;
    gy_rudp_client_close(&ping->client);
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
