/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/core/datagram_stage.h"

#include <arpa/inet.h>
#include <errno.h>

#include "core/datagram_internal.h"

/* ---- the protocol ---- */

static struct dstage *stage_of(const struct gy_datagram_socket *socket)
{
    return socket->endpoint->context;
}

static void remember(struct dstage *stage, const struct gy_datagram *datagram)
{
    assert_true(stage->got_count < DSTAGE_GOT);
    struct got *got = &stage->got[stage->got_count++];
    got->bytes = datagram->slice.length;
    uint32_t copied = got->bytes < sizeof got->data ? got->bytes : (uint32_t)sizeof got->data;
    if (copied > 0) {
        memcpy(got->data, gy_slice_data(datagram->slice), copied);
    }
    got->path = *datagram->path;
    got->truncated = datagram->truncated;
}

static struct gy_slice hold(const struct gy_datagram *datagram)
{
    return gy_slice_of(datagram->slice.buffer, datagram->slice.offset, datagram->slice.length);
}

static void receive(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                    uint32_t count)
{
    struct dstage *stage = stage_of(socket);
    assert_true(count > 0 && count <= GY_DATAGRAM_BATCH);
    stage->batches++;
    for (uint32_t i = 0; i < count; i++) {
        remember(stage, &datagrams[i]);
        if (stage->keep) {
            stage->kept[stage->kept_count++] = hold(&datagrams[i]);
        }
        if (stage->echo) {
            stage->sent_code = gy_datagram_send(socket, datagrams[i].path, hold(&datagrams[i]));
        }
    }
    if (stage->close) {
        gy_datagram_close(socket);
    }
}

static void failed(struct gy_datagram_socket *socket, int errno_value)
{
    stage_of(socket)->failures++;
    stage_of(socket)->failure = errno_value;
}

static void expire(struct gy_datagram_socket *socket)
{
    stage_of(socket)->expired++;
}

static void drain(struct gy_datagram_socket *socket)
{
    stage_of(socket)->drained++;
    gy_datagram_close(socket);
}

static void closed(struct gy_datagram_socket *socket)
{
    struct dstage *stage = stage_of(socket);
    stage->closed++;
    /* What a careless protocol may do: */
    gy_datagram_close(socket);
    gy_datagram_set_deadline(socket, socket->worker->now_ms + 1);
}

static const struct gy_datagram_ops ops = {
    .receive = receive, .failed = failed, .expire = expire, .drain = drain, .closed = closed};

/* ---- the stage ---- */

static int worker_opened(struct gy_worker *worker, const struct gy_server *server, void **state,
                         struct gy_error *error)
{
    (void)worker;
    (void)error;
    *state = server->context;
    return 0;
}

struct dstage *dstage_open(const struct gy_datagram_options *options, const char *address,
                           uint32_t without)
{
    struct dstage *stage = aligned_alloc(64, (sizeof *stage + 63) & ~(size_t)63);
    assert_non_null(stage);
    memset(stage, 0, sizeof *stage);
    struct gy_worker_options worker = {
        .workers = 1,
        .processor = -1,
        .streams_max = 16,
        .blocks_max = 64,
        .mailbox_messages = 16,
        .datagrams_max = 8,
        .ring.without = without,
        .pool = {.group = 0,
                 .buffer_bytes = 4096,
                 .buffers = 8,
                 .posted = 8,
                 .mode = without & GY_RING_MULTISHOT_RECEIVE ? GY_RECEIVE_ONE_SHOT
                                                             : GY_RECEIVE_MULTISHOT},
    };
    struct gy_listen_options listen = {.datagrams = true};
    struct gy_error error = {0};
    stage->peers[0] = &stage->worker;
    assert_int_equal(
        gy_address_parse(&stage->address, address != NULL ? address : "127.0.0.1:0", &error), 0);
    assert_int_equal(gy_address_listen(&stage->address, 1, &stage->bound, &listen, &error), 0);
    assert_int_equal(gy_address_of_socket(&stage->address, stage->bound), 0);
    assert_int_equal(gy_worker_open(&stage->worker, &worker, stage->peers, &error), 0);
    if (options != NULL) {
        stage->options = *options;
    }
    stage->options.ops = &ops;
    stage->server = (struct gy_server){.name = "stage",
                                       .context = stage,
                                       .descriptors = &stage->bound,
                                       .worker_open = worker_opened,
                                       .datagrams = &stage->options};
    assert_int_equal(gy_worker_serve(&stage->worker, &stage->server, &error), 0);
    dstage_turns(stage, 2);
    return stage;
}

void dstage_drop_kept(struct dstage *stage)
{
    while (stage->kept_count > 0) {
        gy_slice_drop(stage->kept[--stage->kept_count]);
    }
}

void dstage_close(struct dstage *stage)
{
    struct gy_worker *worker = &stage->worker;
    dstage_drop_kept(stage);
    fake_limit_room(worker->ring, UINT32_MAX);
    fake_hold_back(worker->ring, false);
    fake_cancel_by_itself(worker->ring);
    gy_worker_finish(worker);
    assert_int_equal(gy_datagrams_open(worker), 0);
    assert_int_equal(worker->links.used, 0);
    assert_int_equal(worker->wheel.armed, 0);
    assert_int_equal(fake_in_flight(worker->ring, FAKE_RECEIVE_MESSAGE), 0);
    assert_int_equal(fake_in_flight(worker->ring, FAKE_POLL), 0);
    assert_int_equal(fake_in_flight(worker->ring, FAKE_SEND), 0);
    if (stage->client_open) {
        gy_datagram_endpoint_close(&stage->client);
    }
    gy_worker_close(worker);
    free(stage);
}

void dstage_turn(struct dstage *stage)
{
    assert_int_equal(gy_worker_turn(&stage->worker, GY_RING_FOREVER), 0);
}

void dstage_turns(struct dstage *stage, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        dstage_turn(stage);
    }
}

struct gy_datagram_socket *dstage_server(struct dstage *stage)
{
    return stage->worker.datagrams->services->socket;
}

struct fake_operation *dstage_receive(struct dstage *stage)
{
    return fake_of(stage->worker.ring, FAKE_RECEIVE_MESSAGE, stage->bound);
}

struct gy_datagram_path dstage_path(uint16_t port)
{
    struct gy_datagram_path path = {.local = in6addr_any};
    char text[32];
    snprintf(text, sizeof text, "192.0.2.1:%u", port);
    assert_int_equal(gy_address_parse(&path.peer, text, NULL), 0);
    return path;
}

uint8_t *dstage_control(uint8_t *at, int level, int type, const void *data, size_t bytes)
{
    struct cmsghdr head = {.cmsg_len = CMSG_LEN(bytes), .cmsg_level = level, .cmsg_type = type};
    memset(at, 0, CMSG_SPACE(bytes));
    memcpy(at, &head, sizeof head);
    memcpy(at + CMSG_LEN(0), data, bytes);
    return at + CMSG_SPACE(bytes);
}

static void put(struct dstage *stage, uint16_t port, const void *control, uint32_t control_length,
                const void *data, uint32_t bytes, uint32_t flags)
{
    struct gy_datagram_path path = dstage_path(port);
    fake_receive_message(stage->worker.ring, dstage_receive(stage), &path.peer.any,
                         path.peer.length, control, control_length, data, bytes, flags);
}

void dstage_datagram(struct dstage *stage, uint16_t port, const void *data, uint32_t bytes,
                     uint32_t flags)
{
    put(stage, port, NULL, 0, data, bytes, flags);
}

void dstage_controlled(struct dstage *stage, uint16_t port, const void *control,
                       uint32_t control_length, const void *data, uint32_t bytes)
{
    put(stage, port, control, control_length, data, bytes, GY_COMPLETION_MORE);
}

int dstage_send(struct dstage *stage, struct gy_datagram_socket *socket,
                const struct gy_datagram_path *path, uint8_t fill, uint32_t bytes)
{
    struct gy_bump *bump = &stage->worker.bump;
    uint8_t *room = gy_bump_reserve(bump, bytes);
    assert_non_null(room);
    memset(room, fill, bytes);
    return gy_datagram_send(socket, path, gy_bump_slice(bump, bytes));
}

int dstage_put(struct dstage *stage, uint16_t port, uint8_t fill, uint32_t bytes)
{
    struct gy_datagram_path path = dstage_path(port);
    return dstage_send(stage, dstage_server(stage), &path, fill, bytes);
}

struct fake_operation *dstage_first_send(struct dstage *stage)
{
    return fake_first(ring_of(stage), FAKE_SEND);
}

uint16_t dstage_port_of(const struct fake_operation *send)
{
    const struct sockaddr_in *name = send->message.msg_name;
    return name != NULL ? ntohs(name->sin_port) : 0;
}

void dstage_sent(struct dstage *stage, int32_t result)
{
    struct fake_operation *send = dstage_first_send(stage);
    fake_complete(ring_of(stage), send, result == 0 ? (int32_t)send->bytes : result, 0);
    dstage_turn(stage);
}

struct gy_datagram_socket *dstage_dial(struct dstage *stage, const struct gy_address *to)
{
    struct gy_error error = {0};
    if (!stage->client_open) {
        struct gy_datagram_options options = stage->options;
        options.name = "client";
        options.context = stage;
        assert_int_equal(
            gy_datagram_endpoint_open(&stage->client, &stage->worker, &options, &error), 0);
        stage->client_open = true;
    }
    return gy_datagram_dial(&stage->client, to != NULL ? to : &stage->address, NULL, NULL, &error);
}

const struct cmsghdr *dstage_sent_control(const struct fake_operation *operation, int level,
                                          int type)
{
    union {
        const struct msghdr *in;
        struct msghdr *out;
    } message = {.in = &operation->message};
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message.out); at != NULL;
         at = CMSG_NXTHDR(message.out, at)) {
        if (at->cmsg_level == level && at->cmsg_type == type) {
            return at;
        }
    }
    return NULL;
}
