/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A storm: streams that echo, on a kernel that does anything a kernel may do, in any order, while
 * their sessions do anything a session may do. After each storm everything must come to rest: every
 * byte echoed once and in order, every stream either gone or reading, nothing leaked, and a worker
 * that sleeps.
 */

#include <errno.h>
#include <sys/socket.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define SLOTS 24
#define STEPS 3000

struct peer {
    uint32_t generation;
    uint32_t number; /* of its pattern */
    uint64_t fed;    /* bytes that the kernel has received for it */
    uint64_t echoed; /* bytes that the kernel has sent for it */
    int client;
    bool ended; /* it sent its end */
};

struct storm {
    struct stage *stage;
    uint64_t seed;
    uint64_t random;
    uint32_t next_number;
    struct peer peers[SLOTS];
};

static uint64_t pick(struct storm *storm, uint64_t below)
{
    return random_next(&storm->random) % below;
}

static struct peer *peer_of(struct storm *storm, const struct fake_operation *operation)
{
    struct peer *peer = &storm->peers[gy_token_slot(operation->token)];
    assert_int_equal(peer->generation, gy_token_generation(operation->token));
    return peer;
}

/* ---- what the kernel does ---- */

static void connect_one(struct storm *storm)
{
    if (storm->stage->worker.streams_open == SLOTS ||
        fake_of(ring_of(storm->stage), FAKE_ACCEPT, storm->stage->listening[0]) == NULL) {
        return;
    }
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    storm->stage->opened = NULL;
    struct fake_operation *accept =
        fake_of(ring_of(storm->stage), FAKE_ACCEPT, storm->stage->listening[0]);
    if (!accept->submitted) {
        close(ends[0]);
        close(ends[1]);
        return;
    }
    fake_complete(ring_of(storm->stage), accept, ends[0],
                  pick(storm, 4) == 0 ? 0 : GY_COMPLETION_MORE);
    stage_turn(storm->stage);
    struct gy_stream *stream = storm->stage->opened;
    assert_non_null(stream);
    struct peer *peer = &storm->peers[stream->slot];
    if (peer->generation != 0) {
        close(peer->client);
    }
    *peer = (struct peer){
        .generation = stream->generation, .number = storm->next_number++, .client = ends[1]};
}

static void complete_receive(struct storm *storm, struct fake_operation *receive)
{
    struct peer *peer = peer_of(storm, receive);
    uint32_t dice = (uint32_t)pick(storm, 100);
    uint32_t more = receive->mode == GY_RECEIVE_ONE_SHOT || pick(storm, 4) == 0
                        ? 0
                        : GY_COMPLETION_MORE | (pick(storm, 2) == 0 ? GY_COMPLETION_NONEMPTY : 0);
    if (dice < 2) {
        fake_complete(ring_of(storm->stage), receive, -ECONNRESET, 0);
    } else if (dice < 6 || peer->ended) {
        peer->ended = true;
        fake_complete(ring_of(storm->stage), receive, 0, 0);
    } else if (fake_buffers(ring_of(storm->stage)) == 0) {
        fake_complete(ring_of(storm->stage), receive, -ENOBUFS, 0);
    } else {
        uint8_t data[4096];
        uint32_t room = fake_front_room(ring_of(storm->stage));
        room =
            receive->mode == GY_RECEIVE_BUNDLE ? room * fake_buffers(ring_of(storm->stage)) : room;
        uint32_t bytes = 1 + (uint32_t)pick(storm, room < sizeof data ? room : sizeof data);
        bytes = pick(storm, 3) == 0 ? 1 : bytes;
        pattern_fill(data, bytes, peer->number, peer->fed);
        peer->fed += bytes;
        fake_receive(ring_of(storm->stage), receive, data, bytes, more);
    }
}

static void complete_send(struct storm *storm, struct fake_operation *send)
{
    struct peer *peer = peer_of(storm, send);
    uint32_t dice = (uint32_t)pick(storm, 100);
    if (dice < 2) {
        fake_complete(ring_of(storm->stage), send, -EPIPE, 0);
    } else if (dice < 5) {
        fake_complete(ring_of(storm->stage), send, -EAGAIN, 0);
    } else {
        uint32_t sent = dice < 40 ? 1 + (uint32_t)pick(storm, send->bytes) : send->bytes;
        if (!pattern_matches(send->content, send->bytes, peer->number, peer->echoed)) {
            fail_msg("seed %llu: the echo of stream %u differs after %llu bytes",
                     (unsigned long long)storm->seed, peer->number,
                     (unsigned long long)peer->echoed);
        }
        peer->echoed += sent;
        fake_complete(ring_of(storm->stage), send, (int32_t)sent, 0);
    }
}

/* A cancel may come back before or after what it names, or find nothing; what it names may have
 * been quicker. */
static void complete_cancel(struct storm *storm, struct fake_operation *cancel)
{
    struct gy_ring *ring = ring_of(storm->stage);
    bool early = pick(storm, 2) == 0;
    struct fake_operation *target;
    struct gy_completion completion = {cancel->token, 1, 0};
    uint64_t named = cancel->target;
    int descriptor = cancel->descriptor;
    bool by_token = cancel->kind == FAKE_CANCEL_TOKEN;
    if (early) {
        fake_complete(ring, cancel, 1, 0);
    }
    static const enum fake_kind kinds[] = {FAKE_RECEIVE, FAKE_SEND};
    for (size_t i = 0; i < 2; i++) {
        target = by_token ? fake_first(ring, kinds[i]) : fake_of(ring, kinds[i], descriptor);
        while (by_token && target != NULL && (target->kind != kinds[i] || target->token != named)) {
            target = target->next;
        }
        if (target == NULL || !target->submitted) {
            continue;
        }
        if (kinds[i] == FAKE_SEND && pick(storm, 2) == 0) {
            complete_send(storm, target);
        } else {
            fake_complete(ring, target, -ECANCELED, 0);
        }
    }
    if (!early) {
        fake_complete(ring, cancel, completion.result, 0);
    }
}

/* One operation, any of those in flight. */
static void kernel_step(struct storm *storm)
{
    static const enum fake_kind kinds[] = {FAKE_RECEIVE, FAKE_SEND, FAKE_CANCEL_TOKEN,
                                           FAKE_CANCEL_DESCRIPTOR};
    enum fake_kind kind = kinds[pick(storm, 4)];
    uint32_t count = fake_in_flight(ring_of(storm->stage), kind);
    if (count == 0) {
        return;
    }
    uint64_t which = pick(storm, count);
    struct fake_operation *operation = fake_first(ring_of(storm->stage), kind);
    while (which > 0) {
        operation = operation->next;
        which -= operation->kind == kind;
    }
    if (!operation->submitted) {
        return;
    }
    if (kind == FAKE_RECEIVE) {
        complete_receive(storm, operation);
    } else if (kind == FAKE_SEND) {
        complete_send(storm, operation);
    } else {
        complete_cancel(storm, operation);
    }
}

/* ---- what sessions do ---- */

static struct gy_stream *any_stream(struct storm *storm)
{
    struct gy_worker *worker = &storm->stage->worker;
    uint32_t slot = (uint32_t)pick(storm, SLOTS);
    return slot < worker->streams.fresh && (worker->generations[slot] & 1)
               ? gy_slab_at(&worker->streams, slot)
               : NULL;
}

static void session_step(struct storm *storm)
{
    static const uint32_t wants[] = {
        GY_WANT_READ,
        GY_WANT_READ,
        GY_WANT_READ | GY_WANT_ROOM,
        GY_WANT_ROOM,
        GY_WANT_READ | GY_WANT_RETRY,
        GY_WANT_READ | GY_WANT_RETRY | GY_WANT_ROOM,
    };
    static const uint32_t appetites[] = {0, 1, 100, 5000, UINT32_MAX, UINT32_MAX};
    struct gy_stream *stream = any_stream(storm);
    if (stream == NULL) {
        return;
    }
    struct act *act = act_of(stream);
    uint32_t dice = (uint32_t)pick(storm, 100);
    act->wants = wants[pick(storm, 6)];
    act->eat_bytes = appetites[pick(storm, 6)];
    if (dice < 4) {
        act->wants = GY_WANT_CLOSE | (dice < 2 ? GY_WANT_LINGER : 0);
    } else if (dice < 6) {
        gy_stream_abort(stream, GY_CLOSE_LIMIT);
    } else if (dice < 20) {
        gy_stream_set_deadline(stream, storm->stage->worker.now_ms + pick(storm, 50));
    } else if (dice < 60) {
        gy_stream_wake(stream);
    }
}

static void step(struct storm *storm)
{
    uint32_t dice = (uint32_t)pick(storm, 100);
    if (dice < 8) {
        connect_one(storm);
    } else if (dice < 70) {
        kernel_step(storm);
    } else if (dice < 85) {
        session_step(storm);
    } else if (dice < 88) {
        fake_clock_advance(pick(storm, 30));
    } else if (dice < 91) {
        fake_limit_room(ring_of(storm->stage),
                        pick(storm, 2) == 0 ? (uint32_t)pick(storm, 4) : UINT32_MAX);
    } else {
        stage_turn(storm->stage);
    }
    if (pick(storm, 3) == 0) {
        stage_turn(storm->stage);
    }
}

/* ---- the calm after it ---- */

static void complete_all(struct storm *storm)
{
    struct fake_operation *operation;
    while ((operation = fake_first(ring_of(storm->stage), FAKE_SEND)) != NULL &&
           operation->submitted) {
        struct peer *peer = peer_of(storm, operation);
        assert_true(
            pattern_matches(operation->content, operation->bytes, peer->number, peer->echoed));
        peer->echoed += operation->bytes;
        fake_complete(ring_of(storm->stage), operation, (int32_t)operation->bytes, 0);
    }
    fake_cancel_by_itself(ring_of(storm->stage));
}

static void settle(struct storm *storm)
{
    struct gy_worker *worker = &storm->stage->worker;
    fake_limit_room(ring_of(storm->stage), UINT32_MAX);
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            struct gy_stream *stream = gy_slab_at(&worker->streams, slot);
            act_of(stream)->wants = GY_WANT_READ;
            act_of(stream)->eat_bytes = UINT32_MAX;
            gy_stream_wake(stream);
        }
    }
    for (int i = 0; i < 60; i++) {
        complete_all(storm);
        stage_turn(storm->stage);
    }
    if (fake_last_wait_ns(ring_of(storm->stage)) == 0) {
        fail_msg("seed %llu: the worker does not come to rest", (unsigned long long)storm->seed);
    }
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (!(worker->generations[slot] & 1)) {
            continue;
        }
        struct gy_stream *stream = gy_slab_at(&worker->streams, slot);
        struct peer *peer = &storm->peers[slot];
        if (stream->state == GY_STREAM_OPEN &&
            (peer->echoed != peer->fed || stream->out.length > 0 ||
             (stage_receive_of(storm->stage, stream) == NULL && !stream->eof))) {
            fail_msg("seed %llu: stream %u was fed %llu bytes and echoed %llu, and %s",
                     (unsigned long long)storm->seed, peer->number, (unsigned long long)peer->fed,
                     (unsigned long long)peer->echoed,
                     stream->receiving ? "reads" : "does not read");
        }
        assert_true(stream->state == GY_STREAM_OPEN || stream->state == GY_STREAM_LINGERING);
    }
}

static void storm_with(struct stage_options options, uint64_t seed)
{
    struct storm storm = {.seed = seed, .random = seed};
    options.streams_max = SLOTS;
    options.limits = (struct gy_stream_limits){.receive_high_bytes = 3000,
                                               .receive_low_bytes = 1000,
                                               .send_high_bytes = 2000,
                                               .write_timeout_ms = 300,
                                               .linger_timeout_ms = 100,
                                               .linger_bytes = 3000};
    options.quota_bytes = 6000;
    storm.stage = stage_open(&options);
    storm.stage->act.echo = true;
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&storm);
    }
    settle(&storm);
    stage_close(storm.stage);
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (storm.peers[i].generation != 0) {
            close(storm.peers[i].client);
        }
    }
}

static void storms(const char *test, enum gy_receive_mode mode, uint64_t fixed)
{
    deadline(test, 40);
    uint64_t seed = random_seed(fixed);
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < 12; i++) {
        storm_with((struct stage_options){.mode = mode,
                                          .mode_given = true,
                                          .buffer_bytes = 512u << i % 3,
                                          .buffers = 4u << i % 4,
                                          .posted = 2u << i % 2},
                   seed + i);
    }
}

static void everything_comes_to_rest_in_one_shot_mode(void **state)
{
    (void)state;
    storms(__func__, GY_RECEIVE_ONE_SHOT, 0x5701);
}

static void everything_comes_to_rest_in_multishot_mode(void **state)
{
    (void)state;
    storms(__func__, GY_RECEIVE_MULTISHOT, 0x5702);
}

static void everything_comes_to_rest_in_incremental_mode(void **state)
{
    (void)state;
    storms(__func__, GY_RECEIVE_INCREMENTAL, 0x5703);
}

static void everything_comes_to_rest_in_bundle_mode(void **state)
{
    (void)state;
    storms(__func__, GY_RECEIVE_BUNDLE, 0x5704);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_to_rest_in_one_shot_mode),
        cmocka_unit_test(everything_comes_to_rest_in_multishot_mode),
        cmocka_unit_test(everything_comes_to_rest_in_incremental_mode),
        cmocka_unit_test(everything_comes_to_rest_in_bundle_mode),
    };
    return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
