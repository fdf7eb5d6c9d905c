/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The stage of core_harness.h: a worker on the fake ring. */

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/asan.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

/* ---- the sessions ---- */

static uint32_t answer(struct act *act)
{
    uint32_t wants = act->wants_once != 0 ? act->wants_once : act->wants;
    act->wants_once = 0;
    return wants;
}

static uint32_t act_open(struct gy_stream *stream)
{
    struct stage *stage = stream->endpoint->context;
    struct act *act = stream->session;
    *act = stage->act;
    act->stage = stage;
    stage->opened = stream;
    return answer(act);
}

static void eat(struct stage *stage, struct gy_stream *stream, struct act *act)
{
    uint32_t bytes = act->eat_bytes < stream->in.length ? act->eat_bytes : stream->in.length;
    if (stage->received_bytes + bytes <= STAGE_RECEIVED) {
        gy_chain_copy(&stream->in, 0, bytes, stage->received + stage->received_bytes);
        stage->received_bytes += bytes;
    }
    if (act->echo) {
        assert_int_equal(gy_chain_move(&stream->in, &stream->out, bytes), 0);
    } else {
        gy_chain_consume(&stream->in, bytes);
    }
}

static uint32_t act_turn(struct gy_stream *stream)
{
    struct stage *stage = stream->endpoint->context;
    struct act *act = stream->session;
    act->turns++;
    act->saw_eof = stream->eof;
    act->saw_bytes = stream->in.length;
    act->saw_least = act->saw_bytes < act->saw_least ? act->saw_bytes : act->saw_least;
    act->saw_next = gy_worker_next_ready(stream);
    fake_clock_advance(act->burn_ms);
    stage->turn_order[stage->turn_count++ % 256] = stream->slot;
    eat(stage, stream, act);
    if (act->wake_itself) {
        gy_stream_wake(stream);
    }
    if (act->abort_reason != 0) {
        gy_stream_abort(stream, (enum gy_close_reason)(act->abort_reason - 1));
    }
    return answer(act);
}

static uint32_t act_expire(struct gy_stream *stream)
{
    act_of(stream)->expired++;
    if (act_of(stream)->eat_on_expire) {
        gy_chain_clear(&stream->in);
    }
    return answer(act_of(stream));
}

static uint32_t act_drain(struct gy_stream *stream)
{
    act_of(stream)->drained++;
    return answer(act_of(stream));
}

static void act_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct stage *stage = stream->endpoint->context;
    stage->closed_count++;
    stage->closed_reason = reason;
    stage->closed_error = stream->error;
    /* What a careless session may do: */
    gy_stream_set_deadline(stream, stream->worker->now_ms + 1);
    gy_stream_wake(stream);
    gy_stream_abort(stream, GY_CLOSE_ERROR);
}

static const struct gy_stream_ops act_ops = {act_open, act_turn, act_expire, act_drain, act_closed};

/* ---- the stage ---- */

static int listen_on_loopback(void)
{
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(listening >= 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 16), 0);
    return listening;
}

static struct gy_pool_options stage_pool(const struct stage_options *options)
{
    return (struct gy_pool_options){
        .group = 1,
        .buffer_bytes = options->buffer_bytes != 0 ? options->buffer_bytes : 4096,
        .buffers = options->buffers != 0 ? options->buffers : 16,
        .posted = options->posted != 0 ? options->posted : 8,
        .mode = options->mode_given ? options->mode : GY_RECEIVE_MULTISHOT,
    };
}

struct stage *stage_open(const struct stage_options *options)
{
    static const struct stage_options none;
    options = options != NULL ? options : &none;
    struct stage *stage = aligned_alloc(64, sizeof *stage);
    assert_non_null(stage);
    memset(stage, 0, sizeof *stage);
    stage->act =
        (struct act){.wants = GY_WANT_READ, .eat_bytes = UINT32_MAX, .saw_least = UINT32_MAX};
    struct gy_worker_options worker = {
        .workers = options->workers != 0 ? options->workers : 1,
        .processor = -1,
        .streams_max = options->streams_max != 0 ? options->streams_max : 64,
        .blocks_max = 64,
        .mailbox_messages = options->mailbox_messages != 0 ? options->mailbox_messages : 16,
        .ring.without = options->without,
        .pool = stage_pool(options),
    };
    struct gy_error error = {0};
    stage->peers[0] = &stage->worker;
    assert_int_equal(gy_worker_open(&stage->worker, &worker, stage->peers, &error), 0);
    for (uint32_t i = 0; i < STAGE_SERVERS; i++) {
        stage->listening[i] = listen_on_loopback();
        stage->servers[i] = (struct gy_server){
            .name = "stage",
            .ops = &act_ops,
            .context = stage,
            .session_bytes = sizeof(struct act),
            .limits = options->limits,
            .quota_bytes = options->quota_bytes,
            .connections_max = i == 0 ? options->connections_max : 0,
            .layer = i == 0 ? options->layer : NULL,
            .layer_context = options->layer_context,
            .descriptors = &stage->listening[i],
        };
        assert_int_equal(gy_worker_serve(&stage->worker, &stage->servers[i], &error), 0);
    }
    stage_turn(stage);
    return stage;
}

void stage_close(struct stage *stage)
{
    struct gy_worker *worker = &stage->worker;
    struct gy_ring *ring = worker->ring;
    struct gy_message stop = {.kind = GY_MESSAGE_DRAIN, .numbers = {1000}};
    fake_limit_room(ring, UINT32_MAX);
    fake_hold_back(ring, false);
    assert_int_equal(gy_worker_post(NULL, worker, &stop), 0);
    fake_cancel_by_itself(ring);
    for (int i = 0; i < 8 || (!TAILQ_EMPTY(&worker->closing) && i < 200); i++) {
        stage_turn(stage);
        for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
            if (worker->generations[slot] & 1) {
                gy_stream_abort(gy_slab_at(&worker->streams, slot), GY_CLOSE_DRAIN);
            }
        }
    }
    assert_int_equal(worker->streams_open, 0);
    assert_int_equal(worker->streams.used, 0);
    assert_int_equal(worker->links.used, 0);
    assert_int_equal(worker->keeps.used, 0);
    assert_int_equal(worker->wheel.armed, 0);
    for (uint32_t i = 0; i < worker->listener_count; i++) {
        assert_true(worker->listeners[i].closed);
        assert_int_equal(worker->listeners[i].endpoint.quota.used_bytes, 0);
        assert_int_equal(worker->listeners[i].endpoint.sessions.used, 0);
    }
    assert_int_equal(gy_pool_free(worker->pool), gy_pool_options(worker->pool)->buffers);
    assert_int_equal(fake_in_flight(ring, FAKE_RECEIVE), 0);
    assert_int_equal(fake_in_flight(ring, FAKE_SEND), 0);
    gy_worker_close(worker);
    free(stage);
}

void stage_turn(struct stage *stage)
{
    assert_int_equal(gy_worker_turn(&stage->worker, GY_RING_FOREVER), 0);
}

void stage_turns(struct stage *stage, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        stage_turn(stage);
    }
}

struct gy_stream *stage_connect(struct stage *stage, uint32_t number, int *client)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *client = ends[1];
    stage->opened = NULL;
    struct gy_ring *ring = stage->worker.ring;
    fake_complete(ring, fake_of(ring, FAKE_ACCEPT, stage->listening[number]), ends[0],
                  GY_COMPLETION_MORE);
    stage_turns(stage, 2); /* accepted and armed; submitted */
    return stage->opened;
}

void stage_data(struct stage *stage, struct gy_stream *stream, const void *data, uint32_t bytes,
                uint32_t flags)
{
    fake_receive(stage->worker.ring, stage_receive_of(stage, stream), data, bytes, flags);
    stage_turn(stage);
}

void stage_sent(struct stage *stage, struct gy_stream *stream, int32_t result)
{
    fake_complete(stage->worker.ring, stage_send_of(stage, stream), result, 0);
    stage_turn(stage);
}

struct fake_operation *stage_accept_of(struct stage *stage, uint32_t number)
{
    return fake_of(stage->worker.ring, FAKE_ACCEPT, stage->listening[number]);
}

struct fake_operation *stage_receive_of(struct stage *stage, struct gy_stream *stream)
{
    return fake_of(stage->worker.ring, FAKE_RECEIVE, stream->descriptor);
}

struct fake_operation *stage_send_of(struct stage *stage, struct gy_stream *stream)
{
    return fake_of(stage->worker.ring, FAKE_SEND, stream->descriptor);
}

struct fake_operation *stage_cancel_of(struct stage *stage, struct gy_stream *stream)
{
    uint64_t token = gy_token(GY_OPERATION_CANCEL, stream->slot, stream->generation);
    struct gy_ring *ring = stage->worker.ring;
    struct fake_operation *operation = fake_first(ring, FAKE_CANCEL_TOKEN);
    while (operation != NULL &&
           (operation->kind != FAKE_CANCEL_TOKEN || operation->token != token)) {
        operation = operation->next;
    }
    return operation != NULL ? operation
                             : fake_of(ring, FAKE_CANCEL_DESCRIPTOR, stream->descriptor);
}

/* ---- output ---- */

struct put {
    struct gy_buffer buffer;
    uint8_t data[];
};

static void put_release(struct gy_buffer *buffer)
{
    free(buffer);
}

void stage_put(struct stage *stage, struct gy_stream *stream, const void *data, uint32_t bytes)
{
    (void)stage;
    struct put *put = malloc(sizeof *put + bytes);
    assert_non_null(put);
    put->buffer =
        (struct gy_buffer){.data = put->data, .capacity = bytes, .refs = 1, .release = put_release};
    memcpy(put->data, data, bytes);
    assert_int_equal(gy_chain_append(&stream->out, (struct gy_slice){&put->buffer, 0, bytes}), 0);
}

int stage_client(struct stage *stage, uint32_t number)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    assert_int_equal(getsockname(stage->listening[number], (struct sockaddr *)&address, &bytes), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, bytes), 0);
    return client;
}

bool client_sees_end(int client)
{
    char byte;
    struct pollfd polled = {.fd = client, .events = POLLIN};
    return poll(&polled, 1, 0) == 1 && recv(client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}
