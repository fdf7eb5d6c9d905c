/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/sim/rudp_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define MS        UINT64_C(1000000)
#define SECOND    (1000 * MS)
#define BACKLOG   256 /* messages of a flood that wait to be sent */
#define STEPS_MAX 60000000u

struct path;

struct flow {
    struct path *path;
    const struct path_flow_options *options;
    struct path_flow_result *result;
    struct gy_rudp_conn sender, receiver;
    void *memory[2];
    struct tcp_model tcp;
    struct sim_link back;
    uint32_t number;
    bool accepted;
    uint64_t next_ns, end_ns; /* of what it sends */
    uint64_t numbered;        /* messages so far */
    uint32_t waiting;         /* given to the connection, not finished */
    size_t delays_room;
    uint8_t *spare[BACKLOG + 4096]; /* memory of messages */
    uint32_t spares;
};

struct path {
    const struct path_options *options;
    struct path_result *result;
    struct gy_rudp_config config;
    struct gy_rudp_gate gate;
    struct sim_network network;
    struct sim_link forward;
    struct flow flows[PATH_FLOWS_MAX];
    uint64_t now_ns, trace_ns;
};

struct gy_rudp_config path_config(void)
{
    return (struct gy_rudp_config){
        .datagram_bytes = 1200,
        .channels = 16,
        .packets = 4096,
        .pieces = 8192,
        .assemblies = 8192,
        .window_bytes = 16u << 20,
        .message_max = 1u << 20,
        .idle_timeout_ns = 60 * SECOND,
        .seal = &gy_rudp_seal_none,
    };
}

static void bad(struct path *path, const char *what)
{
    if (path->result->failure[0] == '\0') {
        snprintf(path->result->failure, sizeof path->result->failure, "%s at %llu ms", what,
                 (unsigned long long)(path->now_ns / MS));
    }
}

/* ---- the receiving application ---- */

static void count(struct flow *flow, size_t bytes)
{
    uint64_t now_ns = flow->path->now_ns;
    if (now_ns <= flow->end_ns && now_ns >= SECOND + flow->path->options->measure_ns) {
        flow->result->delivered_bytes += bytes;
    }
}

static bool received(struct gy_rudp_conn *conn, uint8_t channel, enum gy_rudp_guarantee guarantee,
                     const uint8_t *data, size_t length)
{
    struct flow *flow = conn->env.owner;
    struct path_flow_result *result = flow->result;
    struct gy_reader reader = gy_reader_on(data, length);
    uint64_t number = gy_reader_u64(&reader);
    uint64_t sent_ns = gy_reader_u64(&reader);
    (void)channel, (void)guarantee;
    if (reader.failed || number >= flow->numbered || length != flow->options->message_bytes) {
        bad(flow->path, "a message that nobody sent");
        return true;
    }
    uint64_t delay_ns = flow->path->now_ns - sent_ns;
    count(flow, length);
    uint64_t way_ns = sim_link_longest_ns(&flow->path->forward);
    if (flow->options->lifetime_ns != 0 && delay_ns > flow->options->lifetime_ns + way_ns) {
        result->late++;
    }
    if (result->delays_ns != NULL && result->delivered < flow->delays_room) {
        result->delays_ns[result->delivered] = delay_ns;
    }
    result->delivered++;
    return true;
}

static void *take(void *owner, size_t bytes)
{
    (void)owner;
    return malloc(bytes);
}

static void give(void *owner, void *memory, size_t bytes)
{
    (void)owner, (void)bytes;
    free(memory);
}

/* ---- the sending application ---- */

static void send_one(struct flow *flow)
{
    uint32_t bytes = flow->options->message_bytes;
    size_t room = sizeof(struct gy_rudp_message) + bytes;
    uint8_t *memory = flow->spares > 0 ? flow->spare[--flow->spares] : malloc(room);
    gy_assert(memory != NULL);
    uint8_t *data = memory + sizeof(struct gy_rudp_message);
    struct gy_rudp_message *message = (struct gy_rudp_message *)(void *)memory;
    memset(memory, 0, room);
    struct gy_writer writer = gy_writer_on(data, bytes);
    gy_writer_u64(&writer, flow->numbered);
    gy_writer_u64(&writer, flow->path->now_ns);
    message->data = data;
    message->length = bytes;
    message->guarantee = flow->options->guarantee;
    message->channel =
        (uint8_t)(flow->options->channels > 1 ? flow->numbered % flow->options->channels : 0);
    message->deadline_ns =
        flow->options->lifetime_ns == 0 ? 0 : flow->path->now_ns + flow->options->lifetime_ns;
    if (gy_rudp_send(&flow->sender, message) != 0) {
        bad(flow->path, "a message was refused");
        free(memory);
        return;
    }
    flow->numbered++;
    flow->waiting++;
    flow->result->sent++;
}

static void application(struct flow *flow)
{
    uint64_t now_ns = flow->path->now_ns;
    if (flow->options->interval_ns == 0) {
        while (now_ns >= flow->next_ns && now_ns < flow->end_ns && flow->waiting < 4096 &&
               flow->sender.state == GY_RUDP_OPEN &&
               flow->sender.in_flight + (uint64_t)BACKLOG * flow->options->message_bytes >
                   (uint64_t)flow->waiting * flow->options->message_bytes) {
            send_one(flow);
        }
        return;
    }
    while (flow->next_ns <= now_ns && flow->next_ns < flow->end_ns) {
        send_one(flow);
        flow->next_ns += flow->options->interval_ns;
    }
}

static void finished(struct flow *flow)
{
    struct gy_rudp_message *message;
    while ((message = gy_rudp_finished(&flow->sender)) != NULL) {
        flow->waiting--;
        flow->result->expired += message->result == GY_RUDP_EXPIRED;
        flow->result->lost += message->result == GY_RUDP_LOST;
        if (flow->spares < sizeof flow->spare / sizeof flow->spare[0]) {
            flow->spare[flow->spares++] = (uint8_t *)message;
        } else {
            free(message);
        }
    }
}

/* ---- the run ---- */

static void begin(struct path *path, uint32_t number)
{
    struct flow *flow = &path->flows[number];
    struct gy_rudp_config config = path->config;
    struct gy_rudp_env env = {.received = received, .take = take, .give = give, .owner = flow};
    struct gy_rudp_cid self = {.bytes = {(uint8_t)number}, .length = 1};
    flow->path = path;
    flow->options = &path->options->flows[number];
    flow->result = &path->result->flows[number];
    flow->number = number;
    flow->back = path->options->back;
    flow->next_ns = path->now_ns + flow->options->start_ns;
    flow->end_ns = flow->next_ns + path->options->duration_ns;
    if (flow->options->tcp) {
        tcp_model_init(&flow->tcp);
        return;
    }
    gy_assert(flow->options->message_bytes >= 16);
    if (flow->options->interval_ns != 0) {
        flow->delays_room = (size_t)(path->options->duration_ns / flow->options->interval_ns) + 2;
        flow->result->delays_ns = calloc(flow->delays_room, sizeof(uint64_t));
        gy_assert(flow->result->delays_ns != NULL);
    }
    config.congestion = flow->options->congestion;
    config.fec_packets = flow->options->fec_packets;
    config.ecn |= flow->options->ecn;
    config.seed = path->options->seed * 31 + number;
    for (unsigned i = 0; i < 2; i++) {
        flow->memory[i] = aligned_alloc(16, (gy_rudp_memory_bytes(&config) + 15) / 16 * 16);
        gy_assert(flow->memory[i] != NULL);
    }
    int code = gy_rudp_connect(&flow->sender, &config, flow->memory[0], &env, &self, path->now_ns);
    gy_assert(code == 0);
    for (uint32_t i = 0; i < config.channels && config.fec_packets != 0; i++) {
        gy_rudp_channel_fec(&flow->sender, (uint8_t)i, true);
    }
}

/* A datagram of a client's that has no connection yet. */
static void stranger(struct flow *flow, const uint8_t *data, size_t bytes)
{
    struct path *path = flow->path;
    struct gy_rudp_long hello;
    uint8_t answer[GY_RUDP_ANSWER_MAX], token[GY_RUDP_TOKEN_BYTES];
    size_t answer_bytes;
    enum gy_rudp_verdict verdict =
        gy_rudp_gate_take(&path->gate, &flow->number, sizeof flow->number, data, bytes,
                          path->now_ns, &hello, answer, &answer_bytes);
    if (verdict == GY_RUDP_ANSWER) {
        sim_network_send(&path->network, &flow->back, 2 * flow->number + 1, 2 * flow->number,
                         answer, answer_bytes, path->now_ns);
    } else if (verdict == GY_RUDP_ADMIT) {
        struct gy_rudp_config config = path->config;
        struct gy_rudp_env env = {.received = received, .take = take, .give = give, .owner = flow};
        struct gy_rudp_cid self = {.bytes = {1, 2, 3, 4, 5, 6, 7, 8}, .length = 8};
        config.congestion = flow->options->congestion;
        config.ecn |= flow->options->ecn;
        config.seed = path->options->seed * 37 + flow->number;
        gy_rudp_gate_token(&path->gate, &self, token);
        flow->accepted = gy_rudp_accept(&flow->receiver, &config, flow->memory[1], &env, &self,
                                        &hello, token, path->now_ns) == 0;
        gy_assert(flow->accepted);
    }
}

static void tcp_acknowledge(struct flow *flow)
{
    struct path *path = flow->path;
    uint8_t out[TCP_MODEL_ACK];
    size_t bytes = tcp_model_ack(&flow->tcp, out);
    sim_network_send(&path->network, &flow->back, 2 * flow->number + 1, 2 * flow->number, out,
                     bytes, path->now_ns);
}

static void deliver(struct path *path, struct sim_datagram *datagram)
{
    struct flow *flow = &path->flows[datagram->to / 2];
    bool forward = (datagram->to & 1) != 0;
    if (flow->options->tcp && forward) {
        count(flow, datagram->bytes);
        if (tcp_model_receive(&flow->tcp, datagram->data, datagram->bytes, path->now_ns)) {
            tcp_acknowledge(flow);
        }
    } else if (flow->options->tcp) {
        tcp_model_acked(&flow->tcp, datagram->data, datagram->bytes, path->now_ns);
    } else if (!forward) {
        gy_rudp_receive_marked(&flow->sender, datagram->data, datagram->bytes, datagram->ecn,
                               path->now_ns);
    } else if (flow->accepted) {
        gy_rudp_receive_marked(&flow->receiver, datagram->data, datagram->bytes, datagram->ecn,
                               path->now_ns);
    } else {
        stranger(flow, datagram->data, datagram->bytes);
    }
}

static void drain(struct flow *flow, struct gy_rudp_conn *conn, struct sim_link *link,
                  uint32_t from, uint32_t to)
{
    struct path *path = flow->path;
    uint8_t out[SIM_DATAGRAM_MAX];
    size_t bytes;
    while ((bytes = gy_rudp_output(conn, out, sizeof out, path->now_ns)) > 0) {
        sim_network_send_marked(&path->network, link, from, to, out, bytes, gy_rudp_ecn(conn),
                                path->now_ns);
    }
}

static void tcp_turn(struct flow *flow)
{
    struct path *path = flow->path;
    uint8_t out[TCP_MODEL_SEGMENT];
    size_t bytes;
    if (tcp_model_expire(&flow->tcp, path->now_ns)) {
        tcp_acknowledge(flow);
    }
    while (path->now_ns >= flow->next_ns && path->now_ns < flow->end_ns &&
           (bytes = tcp_model_send(&flow->tcp, out, path->now_ns)) > 0) {
        sim_network_send(&path->network, &path->forward, 2 * flow->number, 2 * flow->number + 1,
                         out, bytes, path->now_ns);
    }
}

static void turn(struct flow *flow)
{
    struct path *path = flow->path;
    if (flow->options->tcp) {
        tcp_turn(flow);
        return;
    }
    gy_rudp_expire(&flow->sender, path->now_ns);
    finished(flow);
    application(flow);
    drain(flow, &flow->sender, &path->forward, 2 * flow->number, 2 * flow->number + 1);
    finished(flow);
    if (flow->accepted) {
        gy_rudp_expire(&flow->receiver, path->now_ns);
        drain(flow, &flow->receiver, &flow->back, 2 * flow->number + 1, 2 * flow->number);
    }
}

static uint64_t flow_next(const struct flow *flow)
{
    uint64_t at_ns = flow->next_ns < flow->end_ns && flow->next_ns > flow->path->now_ns
                         ? flow->next_ns
                         : UINT64_MAX;
    if (flow->options->tcp) {
        uint64_t tcp_ns = tcp_model_timeout(&flow->tcp);
        return tcp_ns < at_ns ? tcp_ns : at_ns;
    }
    uint64_t sender_ns = gy_rudp_timeout(&flow->sender);
    uint64_t receiver_ns = flow->accepted ? gy_rudp_timeout(&flow->receiver) : UINT64_MAX;
    at_ns = sender_ns < at_ns ? sender_ns : at_ns;
    return receiver_ns < at_ns ? receiver_ns : at_ns;
}

static void trace(struct path *path)
{
    const struct flow *flow = &path->flows[0];
    struct path_result *result = path->result;
    if (path->options->trace_ns == 0 || path->now_ns < path->trace_ns ||
        result->trace_count == PATH_TRACE_MAX || flow->options->tcp) {
        return;
    }
    path->trace_ns = path->now_ns + path->options->trace_ns;
    result->trace[result->trace_count++] = (struct path_sample){
        .at_ns = path->now_ns - SECOND,
        .window_bytes = flow->sender.congestion.window_bytes,
        .in_flight = flow->sender.in_flight,
        .srtt_ns = flow->sender.srtt_ns,
        .rate = flow->sender.congestion.rate,
        .delivered_bytes = flow->result->delivered_bytes,
        .lost = flow->sender.stats.lost,
    };
}

static void run(struct path *path)
{
    uint64_t end_ns = path->now_ns + path->options->duration_ns + 2 * SECOND;
    uint32_t steps = 0;
    for (uint32_t i = 0; i < path->options->flow_count; i++) {
        uint64_t flow_end_ns = path->flows[i].end_ns + 2 * SECOND;
        end_ns = flow_end_ns > end_ns ? flow_end_ns : end_ns;
    }
    while (path->result->failure[0] == '\0') {
        struct sim_datagram *datagram;
        for (uint32_t i = 0; i < path->options->flow_count; i++) {
            turn(&path->flows[i]);
        }
        trace(path);
        uint64_t next_ns = sim_network_next_ns(&path->network);
        for (uint32_t i = 0; i < path->options->flow_count; i++) {
            uint64_t at_ns = flow_next(&path->flows[i]);
            next_ns = at_ns < next_ns ? at_ns : next_ns;
        }
        if (next_ns > end_ns) {
            return;
        }
        if (++steps > STEPS_MAX) {
            bad(path, "no end");
        }
        path->now_ns = next_ns > path->now_ns ? next_ns : path->now_ns;
        while ((datagram = sim_network_take(&path->network, path->now_ns)) != NULL) {
            deliver(path, datagram);
        }
    }
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static void flow_end(struct flow *flow)
{
    struct path_flow_result *result = flow->result;
    if (flow->options->tcp) {
        return;
    }
    result->stats = flow->sender.stats;
    if (flow->accepted) {
        result->received = flow->receiver.stats;
        gy_rudp_free(&flow->receiver);
    }
    gy_rudp_free(&flow->sender);
    finished(flow);
    while (flow->spares > 0) {
        free(flow->spare[--flow->spares]);
    }
    free(flow->memory[0]);
    free(flow->memory[1]);
    if (result->delays_ns != NULL) {
        size_t count =
            result->delivered < flow->delays_room ? result->delivered : flow->delays_room;
        qsort(result->delays_ns, count, sizeof(uint64_t), compare);
    }
}

int path_run(const struct path_options *options, struct path_result *result)
{
    struct path *path = calloc(1, sizeof *path);
    gy_assert(path != NULL && options->flow_count >= 1 && options->flow_count <= PATH_FLOWS_MAX);
    memset(result, 0, sizeof *result);
    path->options = options;
    path->result = result;
    path->config = options->config != NULL ? *options->config : path_config();
    path->now_ns = SECOND;
    path->forward = options->forward;
    path->gate = (struct gy_rudp_gate){.key = {{options->seed, 7}},
                                       .cookie_ns = 10 * SECOND,
                                       .cid_bytes = 8,
                                       .version = GY_RUDP_VERSION_PLAIN};
    sim_network_init(&path->network, options->seed);
    for (uint32_t i = 0; i < options->flow_count; i++) {
        begin(path, i);
    }
    run(path);
    for (uint32_t i = 0; i < options->flow_count; i++) {
        flow_end(&path->flows[i]);
    }
    result->network = path->network.counts;
    sim_network_free(&path->network);
    free(path);
    return result->failure[0] == '\0' ? 0 : -1;
}

void path_free(struct path_result *result)
{
    for (uint32_t i = 0; i < PATH_FLOWS_MAX; i++) {
        free(result->flows[i].delays_ns);
        result->flows[i].delays_ns = NULL;
    }
}

uint64_t path_quantile(const struct path_flow_result *flow, double quantile)
{
    return flow->delays_ns == NULL || flow->delivered == 0
               ? 0
               : flow->delays_ns[(size_t)(quantile * (double)(flow->delivered - 1) + 0.5)];
}
