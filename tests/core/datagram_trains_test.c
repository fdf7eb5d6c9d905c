/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Trains on the fake ring: datagrams of one size that the kernel takes (GSO) or hands over (GRO) at
 * once. */

#include "core/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "tests/core/datagram_stage.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static uint8_t block[70000];

static int set_up_with(void **state, const struct gy_datagram_options *options)
{
    deadline("datagram_trains", 20);
    *state = dstage_open(options, NULL, 0);
    return 0;
}

static int set_up_received(void **state)
{
    static const struct gy_datagram_options options = {.gro = true};
    return set_up_with(state, &options);
}

static int set_up_sent(void **state)
{
    static const struct gy_datagram_options options = {.gso = true};
    return set_up_with(state, &options);
}

static int tear_down(void **state)
{
    dstage_close(*state);
    deadline(NULL, 0);
    return 0;
}

/* ---- sent ---- */

static void train_of(struct dstage *stage, uint16_t port, uint32_t count, uint32_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(dstage_put(stage, port, (uint8_t)('a' + i), bytes), 0);
    }
}

static uint16_t segment_of(const struct fake_operation *operation)
{
    const struct cmsghdr *control = dstage_sent_control(operation, IPPROTO_UDP, UDP_SEGMENT);
    uint16_t bytes = 0;
    if (control != NULL) {
        memcpy(&bytes, CMSG_DATA(control), sizeof bytes);
    }
    return bytes;
}

static void answers_of_one_size_to_one_peer_leave_as_one_send(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 3, 100);
    train_of(stage, 4002, 2, 100);
    train_of(stage, 4001, 1, 100); /* between them came another's */
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 2);
    assert_int_equal(dstage_first_send(stage)->bytes, 400);
    assert_int_equal(segment_of(dstage_first_send(stage)), 100);
    assert_int_equal(dstage_port_of(dstage_first_send(stage)), 4001);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_first_send(stage)->bytes, 200);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 6);
    assert_int_equal(dstage_counter(stage, datagram_sends), 2);
}

static void a_shorter_one_ends_a_train_and_a_longer_one_begins_another(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 2, 100);
    train_of(stage, 4001, 1, 60);
    train_of(stage, 4001, 1, 60);
    train_of(stage, 4001, 1, 100);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 3);
    assert_int_equal(dstage_first_send(stage)->bytes, 260);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_first_send(stage)->bytes, 60);
    assert_int_equal(segment_of(dstage_first_send(stage)), 0); /* one alone is no train */
    dstage_sent(stage, 0);
    assert_int_equal(dstage_first_send(stage)->bytes, 100);
    dstage_sent(stage, 0);
}

static void an_empty_one_travels_alone(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 1, 100);
    train_of(stage, 4001, 2, 0);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 3);
    for (int i = 0; i < 3; i++) {
        dstage_sent(stage, 0);
    }
}

static void a_train_has_at_most_64_datagrams_and_65000_bytes(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 65, 10);
    train_of(stage, 4002, 7, 10000);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 4);
    assert_int_equal(dstage_first_send(stage)->bytes, 640);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_first_send(stage)->bytes, 10);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_first_send(stage)->bytes, 60000);
    dstage_sent(stage, 0);
    dstage_sent(stage, 0);
}

static void trains_do_not_grow_across_turns(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 2, 100);
    fake_limit_room(ring_of(stage), 0); /* it stays queued */
    dstage_turn(stage);
    train_of(stage, 4001, 2, 100);
    fake_limit_room(ring_of(stage), UINT32_MAX);
    dstage_turns(stage, 3);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 2);
    dstage_sent(stage, 0);
    dstage_sent(stage, 0);
}

static void answers_from_different_addresses_of_ours_do_not_join(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    inet_pton(AF_INET6, "::ffff:127.0.0.2", &path.local);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    inet_pton(AF_INET6, "::ffff:127.0.0.3", &path.local);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    path.ecn = 1;
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 3);
    for (int i = 0; i < 3; i++) {
        dstage_sent(stage, 0);
    }
}

static void a_path_that_takes_no_trains_gets_them_one_by_one_in_order(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 3, 100);
    dstage_put(stage, 4001, 'd', 30);
    dstage_turns(stage, 2);
    dstage_sent(stage, -EIO); /* the device offloads no checksums */
    for (int i = 0; i < 4; i++) {
        dstage_turn(stage);
        assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 1);
        assert_int_equal(dstage_first_send(stage)->bytes, i < 3 ? 100 : 30);
        assert_int_equal(dstage_first_send(stage)->content[0], 'a' + i);
        assert_int_equal(segment_of(dstage_first_send(stage)), 0);
        dstage_sent(stage, 0);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 4);
    assert_int_equal(dstage_counter(stage, datagram_trains_split), 1);
    train_of(stage, 4001, 2, 10); /* not tried again */
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 2);
    dstage_sent(stage, 0);
    dstage_sent(stage, 0);
}

static void a_train_longer_than_the_path_takes_teaches_the_length(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 2, 1480);
    dstage_turns(stage, 2);
    dstage_sent(stage, -EINVAL);
    dstage_turn(stage);
    dstage_sent(stage, 0);
    dstage_turn(stage);
    dstage_sent(stage, 0);
    train_of(stage, 4001, 2, 1480);
    train_of(stage, 4002, 2, 1472);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 3);
    for (int i = 0; i < 3; i++) {
        dstage_sent(stage, 0);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 6);
}

static void a_split_train_loses_only_the_datagram_that_fails(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 3, 100);
    dstage_turns(stage, 2);
    dstage_sent(stage, -EMSGSIZE);
    dstage_turn(stage);
    dstage_sent(stage, 0);
    dstage_turn(stage);
    dstage_sent(stage, -EPERM);
    dstage_turn(stage);
    assert_int_equal(dstage_first_send(stage)->content[0], 'c');
    dstage_sent(stage, 0);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 2);
    assert_int_equal(dstage_counter(stage, unsent_forbidden), 1);
}

/* ---- received ---- */

static void train(struct dstage *stage, uint32_t bytes, int segment)
{
    uint8_t control[64];
    uint8_t *at = dstage_control(control, IPPROTO_UDP, UDP_GRO, &segment, sizeof segment);
    dstage_controlled(stage, 4001, control, (uint32_t)(at - control), block, bytes);
}

static void a_train_is_taken_apart_and_its_last_may_be_shorter(void **state)
{
    struct dstage *stage = *state;
    pattern_fill(block, 1000, 1, 0);
    train(stage, 1000, 300);
    dstage_turn(stage);
    assert_int_equal(stage->batches, 1);
    assert_int_equal(stage->got_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(stage->got[i].bytes, i < 3 ? 300 : 100);
        assert_true(pattern_matches(stage->got[i].data, 64, 1, i * 300));
        assert_int_equal(gy_address_port(&stage->got[i].path.peer), 4001);
    }
    assert_int_equal(dstage_counter(stage, datagrams_received), 4);
    assert_int_equal(dstage_counter(stage, datagram_receives), 1);
}

static void a_train_of_one_and_a_segment_of_no_length_are_one_datagram(void **state)
{
    struct dstage *stage = *state;
    train(stage, 200, 200);
    train(stage, 200, 65000);
    train(stage, 200, 0);
    train(stage, 200, -1);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(stage->got[i].bytes, 200);
    }
}

static void a_train_that_is_longer_than_a_batch_goes_on_in_the_next(void **state)
{
    struct dstage *stage = *state;
    stage->keep = true; /* segments of one buffer are held one by one */
    train(stage, 300, 1);
    dstage_turn(stage);
    assert_int_equal(stage->batches, 2);
    assert_int_equal(stage->got_count, 300);
    assert_int_equal(stage->kept_count, 300);
    assert_int_equal(gy_address_port(&stage->got[299].path.peer), 4001);
}

static void the_longest_train_fits_a_buffer(void **state)
{
    struct dstage *stage = *state;
    train(stage, GY_DATAGRAM_BYTES_MAX, 1024);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 64);
    assert_int_equal(dstage_counter(stage, datagrams_truncated), 0);
}

#define SENT(function)     cmocka_unit_test_setup_teardown(function, set_up_sent, tear_down)
#define RECEIVED(function) cmocka_unit_test_setup_teardown(function, set_up_received, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SENT(answers_of_one_size_to_one_peer_leave_as_one_send),
        SENT(a_shorter_one_ends_a_train_and_a_longer_one_begins_another),
        SENT(an_empty_one_travels_alone),
        SENT(a_train_has_at_most_64_datagrams_and_65000_bytes),
        SENT(trains_do_not_grow_across_turns),
        SENT(answers_from_different_addresses_of_ours_do_not_join),
        SENT(a_path_that_takes_no_trains_gets_them_one_by_one_in_order),
        SENT(a_train_longer_than_the_path_takes_teaches_the_length),
        SENT(a_split_train_loses_only_the_datagram_that_fails),
        RECEIVED(a_train_is_taken_apart_and_its_last_may_be_shorter),
        RECEIVED(a_train_of_one_and_a_segment_of_no_length_are_one_datagram),
        RECEIVED(a_train_that_is_longer_than_a_batch_goes_on_in_the_next),
        RECEIVED(the_longest_train_fits_a_buffer),
    };
    return cmocka_run_group_tests_name("datagram_trains", tests, NULL, NULL);
}
