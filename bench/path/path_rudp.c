/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reliable UDP over a path, see path.h. */

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/path/path.h"
#include "servers/rudp/rudp_host.h"

#define NAP_NS  UINT64_C(20000000)
#define WAITING 4096 /* messages of a flood that are not acknowledged */
#define MS      1000000ull

struct end {
    struct path_flags flags;
    struct path_report report;
    struct gy_worker *worker;
    struct gy_datagram_endpoint endpoint;
    struct gy_rudp_host host;
    struct gy_rudp_counts counts;
    struct gy_rudp_session *session;
    struct gy_error error;
    uint64_t sent, finished, begun_ns;
    bool open, over;
};

static void opened(struct gy_rudp_session *session)
{
    struct end *end = session->host->options.context;
    end->open = true;
    end->begun_ns = path_now_ns();
}

/* A message of its own memory; `data` NULL: the client's next. */
static bool send_bytes(struct end *end, struct gy_rudp_session *session, uint8_t channel,
                       const uint8_t *data, size_t bytes)
{
    struct gy_rudp_message *message =
        gy_rudp_memory_take(&end->host.memory, sizeof *message + bytes);
    if (message == NULL) {
        return false;
    }
    uint8_t *copy = (uint8_t *)(message + 1);
    if (data != NULL) {
        memcpy(copy, data, bytes);
    } else {
        memset(copy, 'x', bytes);
        path_message_fill(copy, end->sent);
    }
    *message = (struct gy_rudp_message){.data = copy,
                                        .length = (uint32_t)bytes,
                                        .channel = channel,
                                        .guarantee = end->flags.unordered ? GY_RUDP_UNORDERED
                                                                          : GY_RUDP_ORDERED};
    if (gy_rudp_host_send(session, message) != 0) {
        gy_rudp_memory_give(&end->host.memory, message);
        return false;
    }
    return true;
}

static bool send_next(struct end *end)
{
    uint8_t channel = (uint8_t)(end->sent % end->flags.channels);
    if (!send_bytes(end, end->session, channel, NULL, end->flags.bytes)) {
        return false;
    }
    end->sent++;
    return true;
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct end *end = session->host->options.context;
    (void)guarantee;
    path_received(&end->report, data, length);
    return !end->flags.serve || !end->flags.ping || send_bytes(end, session, channel, data, length);
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    struct end *end = session->host->options.context;
    end->finished++;
    gy_rudp_memory_give(&session->host->memory, message);
}

static void closed(struct gy_rudp_session *session)
{
    struct end *end = session->host->options.context;
    end->over = true;
    end->session = NULL;
}

static const struct gy_rudp_host_ops ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

/* Sends what is due: how long to sleep. */
static uint64_t step(struct end *end)
{
    uint64_t now_ns = path_now_ns();
    if (!end->open || end->session == NULL || end->flags.serve) {
        return NAP_NS;
    }
    double passed = (double)(now_ns - end->begun_ns) / 1e9;
    if (passed >= end->flags.seconds) {
        if (end->finished == end->sent || passed > end->flags.seconds + 3) {
            gy_rudp_host_end(end->session, 0, "done");
        }
        return NAP_NS / 10;
    }
    uint64_t waiting = end->sent - end->finished;
    uint64_t room = waiting < WAITING ? WAITING - waiting : 0;
    uint64_t due = path_due(&end->flags, &end->report, end->sent, passed, room);
    while (end->sent < due && send_next(end)) {
    }
    if (end->flags.ping || end->flags.rate == 0) {
        return NAP_NS / 10;
    }
    double next = (double)(end->sent + 1) / end->flags.rate - passed;
    return next > 0 ? (uint64_t)(next * 1e9) + 1 : 1;
}

static int open_host(struct end *end)
{
    struct gy_rudp_host_options options = {
        .ops = &ops,
        .context = end,
        .config = gy_rudp_host_config(),
        .connections_max = 4,
        .memory_bytes = 64u << 20,
        .key = {{1, 2}},
        .counts = &end->counts,
    };
    options.config.congestion =
        strcmp(end->flags.congestion, "cubic") == 0 ? GY_RUDP_CUBIC : GY_RUDP_BBR;
    options.config.fec_packets = end->flags.fec;
    options.config.fec_all = true;
    options.config.packets = 4096;
    options.config.window_bytes = options.config.channel_window_bytes = 16u << 20;
    int code = gy_rudp_host_open(&end->host, end->worker, &options, &end->error);
    if (code == 0) {
        code = gy_datagram_endpoint_open(&end->endpoint, end->worker, &gy_rudp_host_datagrams,
                                         &end->error);
    }
    if (code != 0) {
        return code;
    }
    end->endpoint.state = &end->host;
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons(end->flags.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct gy_datagram_socket *socket_made = NULL;
    if (end->flags.serve) {
        int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&where, sizeof where) != 0) {
            return gy_error_set(&end->error, GY_EIO, "binding port %u", end->flags.port);
        }
        socket_made = gy_datagram_take(&end->endpoint, descriptor, NULL, &end->error);
        return socket_made != NULL ? 0 : end->error.code;
    }
    struct gy_address address;
    code = gy_address_from_sockaddr(&address, (struct sockaddr *)&where, sizeof where);
    gy_assert(code == 0);
    socket_made = gy_datagram_dial(&end->endpoint, &address, NULL, NULL, &end->error);
    end->session = socket_made != NULL ? gy_rudp_host_dial(&end->host, socket_made, end) : NULL;
    return socket_made != NULL ? 0 : end->error.code;
}

static int open_worker(struct end *end)
{
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 16,
        .datagrams_max = 4,
        .pool = gy_pool_defaults(GY_RECEIVE_MULTISHOT, 0),
    };
    end->worker = aligned_alloc(GY_CACHE_LINE_BYTES, sizeof *end->worker);
    gy_assert(end->worker != NULL);
    return gy_worker_open(end->worker, &options, &end->worker, &end->error);
}

int main(int argc, char **argv)
{
    struct end *end = aligned_alloc(64, (sizeof *end + 63) & ~(size_t)63);
    gy_assert(end != NULL);
    memset(end, 0, sizeof *end);
    path_flags_read(&end->flags, argc, argv, "Gyre");
    end->report.delays_ns = malloc(PATH_DELAYS_MAX * sizeof(uint64_t));
    gy_assert(end->report.delays_ns != NULL);
    int code = open_worker(end);
    code = code == 0 ? open_host(end) : code;
    uint64_t limit_ns = path_now_ns() + (uint64_t)((end->flags.seconds + 30) * 1e9);
    while (code == 0 && !end->over && path_now_ns() < limit_ns) {
        uint64_t sleep_ns = step(end);
        gy_rudp_host_flush(&end->host);
        gy_datagrams_flush(end->worker);
        code = gy_worker_turn(end->worker, sleep_ns);
    }
    if (code != 0) {
        fprintf(stderr, "path-rudp: %s\n", end->error.message);
        return 1;
    }
    if (end->flags.serve) {
        path_report_print(&end->report);
    } else {
        path_sent_print(end->sent, &end->report);
    }
    return end->over ? 0 : 1;
}
