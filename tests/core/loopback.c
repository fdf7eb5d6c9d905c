/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/core/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

uint8_t loopback_pattern[PATTERN_PERIOD + 131072];

/* ---- sessions ---- */

struct talk {
    uint8_t kind;
    bool asked;
    bool answered;
    uint64_t wanted; /* of a source */
    uint64_t done;
};

static struct loopback *loopback_of(struct gy_stream *stream)
{
    return stream->endpoint->context;
}

static void raise_to(_Atomic uint64_t *mark, uint64_t value)
{
    if (value > atomic_load(mark)) {
        atomic_store(mark, value);
    }
}

static uint32_t talk_open(struct gy_stream *stream)
{
    *(struct talk *)stream->session = (struct talk){0};
    raise_to(&loopback_of(stream)->slot_max, stream->slot);
    return GY_WANT_READ;
}

static uint32_t echo(struct gy_stream *stream)
{
    uint32_t high = stream->endpoint->limits.send_high_bytes;
    if (stream->out.length < high &&
        gy_chain_move(&stream->in, &stream->out, stream->in.length) != 0) {
        return GY_WANT_RETRY;
    }
    if (stream->in.length > 0) {
        return GY_WANT_READ | GY_WANT_ROOM;
    }
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static int put(struct gy_stream *stream, const void *data, uint32_t bytes)
{
    return gy_bump_copy(&stream->worker->bump, &stream->out, data, bytes);
}

static uint32_t sink(struct gy_stream *stream, struct talk *talk)
{
    struct loopback *loopback = loopback_of(stream);
    uint32_t length;
    const uint8_t *data;
    while ((data = gy_chain_front(&stream->in, &length)) != NULL) {
        length = length < 65536 ? length : 65536;
        if (memcmp(data, loopback_pattern + talk->done % PATTERN_PERIOD, length) != 0) {
            atomic_fetch_add(&loopback->wrong, 1);
        }
        talk->done += length;
        atomic_fetch_add(&loopback->sunk, length);
        gy_chain_consume(&stream->in, length);
    }
    if (!stream->eof) {
        return GY_WANT_READ;
    }
    return talk->kind == LOOPBACK_SINK && put(stream, &talk->done, 8) != 0 ? GY_WANT_RETRY
                                                                           : GY_WANT_CLOSE;
}

static uint32_t source(struct gy_stream *stream, struct talk *talk)
{
    struct loopback *loopback = loopback_of(stream);
    if (!talk->asked) {
        if (stream->in.length < 8) {
            return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
        }
        gy_chain_copy(&stream->in, 0, 8, &talk->wanted);
        gy_chain_consume(&stream->in, 8);
        talk->asked = true;
    }
    while (talk->done < talk->wanted) {
        if (stream->out.length >= stream->endpoint->limits.send_high_bytes) {
            raise_to(&loopback->out_max, stream->out.length);
            return GY_WANT_READ | GY_WANT_ROOM;
        }
        uint64_t left = talk->wanted - talk->done;
        uint32_t bytes = left < 10007 ? (uint32_t)left : 10007;
        if (put(stream, loopback_pattern + talk->done % PATTERN_PERIOD, bytes) != 0) {
            return GY_WANT_READ | GY_WANT_RETRY;
        }
        talk->done += bytes;
        atomic_fetch_add(&loopback->made, bytes);
    }
    return GY_WANT_CLOSE | GY_WANT_LINGER;
}

static uint32_t answer(struct gy_stream *stream)
{
    while (stream->in.length > 0) {
        if (put(stream, "!", 1) != 0) {
            return GY_WANT_READ | GY_WANT_RETRY;
        }
        gy_chain_consume(&stream->in, 1);
    }
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t half(struct gy_stream *stream, struct talk *talk)
{
    if (!talk->answered) {
        if (put(stream, "half", 4) != 0) {
            return GY_WANT_READ | GY_WANT_RETRY;
        }
        talk->answered = true;
    }
    return sink(stream, talk) | GY_WANT_SHUTDOWN;
}

static uint32_t talk_turn(struct gy_stream *stream)
{
    struct talk *talk = stream->session;
    raise_to(&loopback_of(stream)->in_max, stream->in.length);
    if (talk->kind == 0) {
        if (stream->in.length == 0) {
            return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
        }
        gy_chain_copy(&stream->in, 0, 1, &talk->kind);
        gy_chain_consume(&stream->in, 1);
    }
    switch (talk->kind) {
    case LOOPBACK_ECHO:
        return echo(stream);
    case LOOPBACK_SINK:
        return sink(stream, talk);
    case LOOPBACK_SOURCE:
        return source(stream, talk);
    case LOOPBACK_ANSWER:
        return answer(stream);
    case LOOPBACK_HALF:
        return half(stream, talk);
    case LOOPBACK_LINGER:
        return put(stream, "bye", 3) != 0 ? GY_WANT_RETRY : GY_WANT_CLOSE | GY_WANT_LINGER;
    case LOOPBACK_IGNORE:
        return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
    case LOOPBACK_STALL:
        atomic_store(&loopback_of(stream)->stalls, true);
        while (!atomic_load(&loopback_of(stream)->go_on)) {
            usleep(1000);
        }
        return GY_WANT_CLOSE;
    default:
        return GY_WANT_CLOSE;
    }
}

static uint32_t talk_expire(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void talk_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops talk_ops = {talk_open, talk_turn, talk_expire, talk_expire,
                                              talk_closed};

/* ---- the worker ---- */

static void *run(void *argument)
{
    struct loopback *loopback = argument;
    struct gy_worker *worker = &loopback->worker;
    loopback->code = gy_worker_open(worker, &loopback->options, loopback->peers, &loopback->error);
    bool open = loopback->code == 0;
    if (open) {
        loopback->code = gy_worker_serve(worker, &loopback->server, &loopback->error);
    }
    int code = loopback->code;
    sem_post(&loopback->opened);
    if (code == 0) {
        code = gy_worker_run(worker);
    }
    if (open) {
        gy_worker_finish(worker);
        sem_wait(&loopback->close);
        gy_worker_close(worker);
    }
    return code == 0 ? loopback : NULL;
}

static int listen_on(struct loopback *loopback)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int one = 1;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listening >= 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    assert_int_equal(listen(listening, 512), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &bytes), 0);
    loopback->port = ntohs(address.sin_port);
    return listening;
}

struct loopback *loopback_open(const struct loopback_options *options)
{
    struct loopback *loopback = aligned_alloc(64, (sizeof *loopback + 63) & ~(size_t)63);
    assert_non_null(loopback);
    memset(loopback, 0, sizeof *loopback);
    pattern_fill(loopback_pattern, PATTERN_PERIOD, 7, 0);
    memcpy(loopback_pattern + PATTERN_PERIOD, loopback_pattern, 65521);
    memcpy(loopback_pattern + 2 * PATTERN_PERIOD, loopback_pattern, 131072 - 65521);
    loopback->descriptors = descriptors_open();
    loopback->listening = listen_on(loopback);
    loopback->peers[0] = &loopback->worker;
    loopback->server = (struct gy_server){
        .name = "talk",
        .ops = &talk_ops,
        .context = loopback,
        .session_bytes = sizeof(struct talk),
        .limits = options->limits,
        .descriptors = &loopback->listening,
        .layer = options->layer,
        .layer_context = options->layer_context,
    };
    loopback->options = (struct gy_worker_options){
        .workers = 1,
        .processor = -1,
        .streams_max = options->streams_max != 0 ? options->streams_max : 4096,
        .blocks_max = options->blocks_max != 0 ? options->blocks_max : 64,
        .ring = options->ring,
        .pool = options->pool.buffers != 0 ? options->pool : gy_pool_defaults(options->mode, 0),
    };
    loopback->options.ring.without = options->without;
    loopback->options.pool.mode = options->mode;
    sem_init(&loopback->opened, 0, 0);
    sem_init(&loopback->close, 0, 0);
    assert_int_equal(pthread_create(&loopback->thread, NULL, run, loopback), 0);
    sem_wait(&loopback->opened);
    if (loopback->code != 0) {
        sem_post(&loopback->close);
    }
    if (loopback->code == GY_ENOTSUP) {
        pthread_join(loopback->thread, NULL);
        close(loopback->listening);
        free(loopback);
        skip();
        return NULL;
    }
    if (loopback->code != 0) {
        fail_msg("%s", loopback->error.message);
    }
    return loopback;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void loopback_await_open(struct loopback *loopback, uint64_t count)
{
    uint64_t until = now_ms() + 20000;
    while (loopback_counter(loopback, connections_open) != count) {
        if (now_ms() > until) {
            fail_msg("%llu connections are open, not %llu",
                     (unsigned long long)loopback_counter(loopback, connections_open),
                     (unsigned long long)count);
        }
        usleep(500);
    }
}

void loopback_close(struct loopback *loopback)
{
    loopback_close_with_clients(loopback, 0);
}

void loopback_close_with_clients(struct loopback *loopback, uint32_t clients)
{
    struct gy_message stop = {.kind = GY_MESSAGE_STOP};
    assert_int_equal(gy_worker_post(NULL, &loopback->worker, &stop), 0);
    sem_post(&loopback->close);
    void *result;
    assert_int_equal(pthread_join(loopback->thread, &result), 0);
    assert_ptr_equal(result, loopback);
    assert_int_equal(loopback->worker.streams_open, 0);
    assert_null(loopback->worker.ring); /* it closed in good order */
    assert_int_equal(atomic_load(&loopback->wrong), 0);
    /* The kernel lets go of a ring's files a moment after the ring is closed. */
    uint32_t expected = loopback->descriptors + clients;
    for (int i = 0; i < 20000 && descriptors_open() != expected; i++) {
        usleep(1000);
    }
    assert_int_equal(descriptors_open(), expected);
    sem_destroy(&loopback->opened);
    sem_destroy(&loopback->close);
    free(loopback);
}

/* ---- clients ---- */

int client_connect(const struct loopback *loopback)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(loopback->port)};
    struct timeval patience = {.tv_sec = 10};
    int one = 1;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

void client_send(int client, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        ssize_t sent = send(client, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            fail_msg("sending: %s", strerror(errno));
        }
        at += sent;
        bytes -= (size_t)sent;
    }
}

ssize_t client_read(int client, void *data, size_t bytes)
{
    size_t got = 0;
    while (got < bytes) {
        ssize_t now = receive_on(client, (uint8_t *)data + got, bytes - got);
        if (now < 0 && (errno == ECONNRESET || errno == EPIPE)) {
            return -1;
        }
        if (now < 0) {
            fail_msg("reading after %zu of %zu bytes: %s", got, bytes, strerror(errno));
        }
        if (now == 0) {
            break;
        }
        got += (size_t)now;
    }
    return (ssize_t)got;
}

void client_reset(int client)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(client);
}
