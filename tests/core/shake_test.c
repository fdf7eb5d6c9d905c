/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Handshakes of layers take turns: a few steps in each, in the order in which they came (DESIGN
 * rule 20), on the staged worker. */

#include <sys/socket.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define STREAMS 16

/* A layer whose handshake takes two steps, one for each byte; then bytes are plaintext. */
struct counted {
    struct gy_layer layer;
    uint32_t steps;
};

static struct {
    uint32_t order[64]; /* slots, as steps were made */
    uint32_t count;
    struct gy_stream *begun; /* the last one */
} made;

static int attach(struct gy_endpoint *endpoint, const void *context, struct gy_error *error)
{
    (void)endpoint;
    (void)context;
    (void)error;
    return 0;
}

static void detach(struct gy_endpoint *endpoint)
{
    (void)endpoint;
}

static const struct gy_layer_ops counting;

static int begin(struct gy_stream *stream, bool dialled)
{
    (void)dialled;
    struct counted *counted = calloc(1, sizeof *counted);
    assert_non_null(counted);
    counted->layer.ops = &counting;
    gy_chain_init(&counted->layer.in, &stream->worker->links);
    gy_chain_init(&counted->layer.out, &stream->worker->links);
    stream->layer = &counted->layer;
    made.begun = stream;
    return 0;
}

static int input(struct gy_stream *stream)
{
    struct counted *counted = (struct counted *)stream->layer;
    struct gy_chain *in = &counted->layer.in;
    if (counted->layer.established) {
        return gy_chain_move(in, &stream->in, in->length);
    }
    assert_true(made.count < 64);
    made.order[made.count++] = stream->slot;
    if (in->length > 0) {
        gy_chain_consume(in, 1);
        counted->layer.established = ++counted->steps == 2;
    }
    if (in->length > 0 && !counted->layer.established) {
        gy_stream_wake(stream);
    }
    return 0;
}

static int output(struct gy_stream *stream, uint32_t bytes_max)
{
    (void)bytes_max;
    return gy_chain_move(&stream->out, &stream->layer->out, stream->out.length);
}

static void over(struct gy_stream *stream)
{
    (void)stream;
}

static const char *explain(struct gy_stream *stream, char *text, size_t text_bytes)
{
    (void)stream;
    gy_assert(text_bytes > 0);
    text[0] = '\0';
    return text;
}

static void end(struct gy_stream *stream)
{
    free(stream->layer);
    stream->layer = NULL;
}

static const struct gy_layer_ops counting = {.attach = attach,
                                             .detach = detach,
                                             .open = begin,
                                             .explain = explain,
                                             .input = input,
                                             .output = output,
                                             .shutdown = over,
                                             .close = end};

struct crowd {
    struct stage *stage;
    struct gy_stream *streams[STREAMS];
    int clients[STREAMS];
    uint32_t count;
};

static struct gy_stream *connect_one(struct stage *stage, int *client)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    made.begun = NULL;
    fake_complete(stage->worker.ring, fake_of(stage->worker.ring, FAKE_ACCEPT, stage->listening[0]),
                  ends[0], GY_COMPLETION_MORE);
    stage_turns(stage, 2); /* accepted and armed; submitted */
    assert_non_null(made.begun);
    *client = ends[1];
    return made.begun;
}

static void crowd_open(struct crowd *crowd, const char *test, uint32_t count)
{
    deadline(test, 20);
    const struct stage_options options = {.layer = &counting, .buffers = 64, .posted = 32};
    *crowd = (struct crowd){.stage = stage_open(&options), .count = count};
    crowd->stage->act = (struct act){.wants = GY_WANT_READ, .eat_bytes = 64};
    for (uint32_t i = 0; i < count; i++) {
        crowd->streams[i] = connect_one(crowd->stage, &crowd->clients[i]);
    }
    made.count = 0;
}

static void crowd_close(struct crowd *crowd)
{
    stage_close(crowd->stage);
    for (uint32_t i = 0; i < crowd->count; i++) {
        close(crowd->clients[i]);
    }
}

/* It comes with the next turn's completions. */
static void hear(struct crowd *crowd, uint32_t number, const char *data)
{
    fake_receive(crowd->stage->worker.ring, stage_receive_of(crowd->stage, crowd->streams[number]),
                 data, (uint32_t)strlen(data), GY_COMPLETION_MORE);
}

static void steps_are_made_in_the_order_of_coming(void **state)
{
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, __func__, 9);
    for (uint32_t i = 0; i < 8; i++) {
        hear(&crowd, i, "a");
    }
    for (uint32_t turn = 0; turn < 4; turn++) {
        stage_turn(crowd.stage);
        assert_int_equal(made.count, (turn + 1) * GY_HANDSHAKES_PER_TURN);
        if (turn == 1) {
            hear(&crowd, 8, "a"); /* behind those that wait */
        }
    }
    stage_turn(crowd.stage);
    assert_int_equal(made.count, 9);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(made.order[i], crowd.streams[i]->slot);
    }
    stage_turns(crowd.stage, 3);
    assert_int_equal(made.count, 9);
    crowd_close(&crowd);
}

static void who_has_another_step_to_make_waits_again(void **state)
{
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, __func__, 6);
    for (uint32_t i = 0; i < 6; i++) {
        hear(&crowd, i, "ab");
    }
    stage_turns(crowd.stage, 6);
    assert_int_equal(made.count, 12);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(made.order[i], crowd.streams[i]->slot);
        assert_int_equal(made.order[6 + i], crowd.streams[i]->slot);
        assert_true(crowd.streams[i]->layer->established);
    }
    crowd_close(&crowd);
}

static void established_ones_do_not_wait_for_handshakes(void **state)
{
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, __func__, 12);
    hear(&crowd, 0, "ab");
    stage_turns(crowd.stage, 3);
    assert_true(crowd.streams[0]->layer->established);
    for (uint32_t i = 1; i < 12; i++) {
        hear(&crowd, i, "a");
    }
    stage_turn(crowd.stage);
    hear(&crowd, 0, "hello");
    uint32_t before = crowd.stage->received_bytes;
    stage_turn(crowd.stage);
    assert_int_equal(crowd.stage->received_bytes, before + 5);
    crowd_close(&crowd);
}

static void who_ends_while_waiting_takes_no_step(void **state)
{
    (void)state;
    struct crowd crowd;
    crowd_open(&crowd, __func__, 8);
    for (uint32_t i = 0; i < 8; i++) {
        hear(&crowd, i, "a");
    }
    stage_turn(crowd.stage);
    for (uint32_t i = 2; i < 6; i++) {
        gy_stream_abort(crowd.streams[i], GY_CLOSE_LOCAL);
    }
    gy_stream_abort(crowd.streams[1], GY_CLOSE_LOCAL); /* had one */
    stage_turn(crowd.stage);
    assert_int_equal(made.count, 4);
    assert_int_equal(made.order[2], crowd.streams[6]->slot);
    assert_int_equal(made.order[3], crowd.streams[7]->slot);
    assert_int_equal(crowd.stage->worker.handshakes_due, 0);
    crowd_close(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_made_in_the_order_of_coming),
        cmocka_unit_test(who_has_another_step_to_make_waits_again),
        cmocka_unit_test(established_ones_do_not_wait_for_handshakes),
        cmocka_unit_test(who_ends_while_waiting_takes_no_step),
    };
    return cmocka_run_group_tests_name("shake", tests, NULL, NULL);
}
