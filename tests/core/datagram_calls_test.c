/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams without the ring's own operations for them: recvmmsg and sendmmsg on real sockets, the
 * polls that tell when played by the test. */

#include "core/datagram.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/datagram_stage.h"

#define MORE GY_COMPLETION_MORE

static int set_up_with(void **state, const struct gy_datagram_options *options, const char *address,
                       uint32_t without)
{
    deadline("datagram_calls", 20);
    *state = dstage_open(options, address, without);
    return 0;
}

static int set_up_receiving(void **state)
{
    static const struct gy_datagram_options options = {.buffers = 4, .posted = 4};
    return set_up_with(state, &options, NULL, GY_RING_MULTISHOT_RECEIVE);
}

static int set_up_sending(void **state)
{
    static const struct gy_datagram_options options = {
        .send_mode = GY_DATAGRAM_CALLS, .receive_mode = GY_DATAGRAM_CALLS, .gso = true};
    return set_up_with(state, &options, NULL, 0);
}

static int tear_down(void **state)
{
    dstage_close(*state);
    deadline(NULL, 0);
    return 0;
}

static void begin_drain(struct dstage *stage, uint64_t take_waiting)
{
    struct gy_message drain = {.kind = GY_MESSAGE_DRAIN, .numbers = {5000, take_waiting}};
    assert_int_equal(gy_worker_post(NULL, &stage->worker, &drain), 0);
}

/* ---- receiving ---- */

static struct fake_operation *poll_of(struct dstage *stage)
{
    return fake_of(ring_of(stage), FAKE_POLL, stage->bound);
}

static int peer_socket(struct dstage *stage, uint32_t datagrams)
{
    int client = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(client, &stage->address.any, stage->address.length), 0);
    for (uint32_t i = 0; i < datagrams; i++) {
        uint8_t data[8] = {(uint8_t)i};
        assert_int_equal(send(client, data, sizeof data, 0), sizeof data);
    }
    return client;
}

static void without_multishot_a_poll_tells_when_to_read(void **state)
{
    struct dstage *stage = *state;
    assert_null(dstage_receive(stage));
    assert_true(poll_of(stage)->multishot);
    assert_int_equal(poll_of(stage)->events, POLLIN);
    int client = peer_socket(stage, 10); /* with four buffers */
    fake_complete(ring_of(stage), poll_of(stage), POLLIN, MORE);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(stage->got[i].bytes, 8);
        assert_int_equal(stage->got[i].data[0], i);
    }
    dstage_turn(stage);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    close(client);
}

static void a_poll_that_ends_is_armed_again_once_all_was_read(void **state)
{
    struct dstage *stage = *state;
    int client = peer_socket(stage, 1);
    fake_complete(ring_of(stage), poll_of(stage), POLLIN, 0);
    dstage_turns(stage, 3);
    assert_int_equal(stage->got_count, 1);
    assert_non_null(poll_of(stage));
    close(client);
}

static void a_flood_is_read_in_shares_between_which_others_have_their_turn(void **state)
{
    struct dstage *stage = *state;
    int client = peer_socket(stage, 300);
    fake_complete(ring_of(stage), poll_of(stage), POLLIN, MORE);
    dstage_turn(stage);
    uint32_t first = stage->got_count;
    assert_true(first >= 200 && first < 300);
    dstage_turn(stage); /* though no completion says so */
    assert_int_equal(stage->got_count, 300);
    close(client);
}

static void without_buffers_reading_waits_and_goes_on(void **state)
{
    struct dstage *stage = *state;
    stage->keep = true;
    int client = peer_socket(stage, 6);
    fake_complete(ring_of(stage), poll_of(stage), POLLIN, MORE);
    dstage_turns(stage, 3);
    assert_int_equal(stage->got_count, 4);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    dstage_drop_kept(stage);
    dstage_turns(stage, 3);
    assert_int_equal(stage->got_count, 6);
    close(client);
}

static void a_poll_for_nothing_does_no_harm(void **state)
{
    struct dstage *stage = *state;
    fake_complete(ring_of(stage), poll_of(stage), POLLIN, MORE);
    dstage_turns(stage, 2);
    assert_int_equal(stage->got_count, 0);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    fake_complete(ring_of(stage), poll_of(stage), -EINTR, 0);
    dstage_turns(stage, 2);
    assert_non_null(poll_of(stage));
}

static void a_dialled_socket_reads_its_errors_too(void **state)
{
    struct dstage *stage = *state;
    struct gy_address nobody;
    assert_int_equal(gy_address_parse(&nobody, "127.0.0.1:9", NULL), 0);
    struct gy_datagram_socket *client = dstage_dial(stage, &nobody);
    dstage_turns(stage, 2);
    assert_int_equal(dstage_send(stage, client, NULL, 'x', 4), 0);
    dstage_turn(stage);
    struct pollfd polled = {.fd = client->descriptor};
    assert_int_equal(poll(&polled, 1, 5000), 1); /* loopback answers with ICMP */
    fake_complete(ring_of(stage), fake_of(ring_of(stage), FAKE_POLL, client->descriptor), POLLERR,
                  MORE);
    dstage_turns(stage, 2);
    assert_int_equal(stage->failures, 1);
    assert_int_equal(stage->failure, ECONNREFUSED);
    assert_int_equal(client->state, GY_DATAGRAM_OPEN);
}

static void a_socket_that_polls_can_end(void **state)
{
    struct dstage *stage = *state;
    fake_cancel_by_itself(ring_of(stage));
    begin_drain(stage, 1);
    dstage_turns(stage, 8);
    assert_int_equal(stage->closed, 1);
}

static void a_mode_that_the_kernel_lacks_is_refused_with_the_reason(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_options options = stage->options;
    struct gy_datagram_endpoint endpoint;
    struct gy_error error = {0};
    options.name = "other";
    options.receive_mode = GY_DATAGRAM_RING;
    assert_int_equal(gy_datagram_endpoint_open(&endpoint, &stage->worker, &options, &error),
                     GY_ENOTSUP);
    assert_non_null(strstr(error.message, "recvmsg"));
}

static void modes_have_names(void **state)
{
    (void)state;
    enum gy_datagram_mode mode;
    for (int i = 0; i < GY_DATAGRAM_MODE_COUNT; i++) {
        assert_int_equal(
            gy_datagram_mode_parse(gy_datagram_mode_name((enum gy_datagram_mode)i), &mode), 0);
        assert_int_equal((int)mode, i);
    }
    assert_int_equal(gy_datagram_mode_parse("epoll", &mode), GY_EINVAL);
}

/* ---- sending, to a real socket ---- */

static int listener_at(struct gy_address *address)
{
    struct gy_listen_options options = {.datagrams = true};
    int fd;
    assert_int_equal(gy_address_parse(address, "127.0.0.1:0", NULL), 0);
    assert_int_equal(gy_address_listen(address, 1, &fd, &options, NULL), 0);
    assert_int_equal(gy_address_of_socket(address, fd), 0);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void calls_send_all_of_a_turn(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.local = in6addr_any};
    int peer = listener_at(&path.peer);
    uint8_t data[64];
    for (uint8_t i = 0; i < 100; i++) {
        dstage_send(stage, dstage_server(stage), &path, i, 1u + i % 7);
    }
    dstage_turn(stage);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(receive_on(peer, data, sizeof data), 1 + i % 7);
        assert_int_equal(data[0], i);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 100);
    close(peer);
}

static void calls_wait_for_room_and_go_on(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *server = dstage_server(stage);
    int small = 2048;
    struct gy_datagram_path path = {.local = in6addr_any};
    /* A peer that answers to no one fills nothing over loopback, so the kernel's EAGAIN is played:
     * by a send buffer too small for one datagram of this size. */
    int peer = listener_at(&path.peer);
    setsockopt(server->descriptor, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (int i = 0; i < 3; i++) {
        dstage_send(stage, server, &path, 'a', 16000);
    }
    dstage_turns(stage, 2);
    struct fake_operation *room = fake_of(ring_of(stage), FAKE_POLL, server->descriptor);
    while (room != NULL && room->events != POLLOUT) {
        room = room->next;
    }
    if (room == NULL || room->kind != FAKE_POLL) {
        /* this kernel takes it all the same, or refuses it for good */
        assert_int_equal(dstage_counter(stage, datagrams_sent) +
                             dstage_counter(stage, unsent_too_long) +
                             dstage_counter(stage, unsent_no_buffers),
                         3);
        close(peer);
        return;
    }
    int large = 1 << 20;
    setsockopt(server->descriptor, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    fake_complete(ring_of(stage), room, POLLOUT, 0);
    dstage_turns(stage, 3);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 3);
    close(peer);
}

static void calls_lose_only_the_datagram_that_the_kernel_refuses(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.local = in6addr_any};
    struct gy_datagram_path broadcast = {.local = in6addr_any};
    int peer = listener_at(&path.peer);
    uint8_t data[64];
    assert_int_equal(gy_address_parse(&broadcast.peer, "255.255.255.255:9", NULL), 0);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_send(stage, dstage_server(stage), &broadcast, 'b', 10);
    dstage_send(stage, dstage_server(stage), &path, 'c', 11);
    dstage_turn(stage);
    assert_int_equal(receive_on(peer, data, sizeof data), 10);
    assert_int_equal(receive_on(peer, data, sizeof data), 11);
    assert_int_equal(data[0], 'c');
    assert_int_equal(dstage_counter(stage, datagrams_sent), 2);
    assert_int_equal(
        dstage_counter(stage, unsent_forbidden) + dstage_counter(stage, unsent_unreachable), 1);
    close(peer);
}

static void calls_send_trains_too(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.local = in6addr_any};
    int peer = listener_at(&path.peer);
    uint8_t data[2048];
    for (uint8_t i = 0; i < 10; i++) {
        dstage_send(stage, dstage_server(stage), &path, i, 1000);
    }
    dstage_turn(stage);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(receive_on(peer, data, sizeof data), 1000);
        assert_int_equal(data[999], i);
    }
    assert_int_equal(dstage_counter(stage, datagram_sends), 1);
    close(peer);
}

#define WITH(setting, function)                                                                    \
    cmocka_unit_test_setup_teardown(function, set_up_##setting, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(receiving, without_multishot_a_poll_tells_when_to_read),
        WITH(receiving, a_poll_that_ends_is_armed_again_once_all_was_read),
        WITH(receiving, a_flood_is_read_in_shares_between_which_others_have_their_turn),
        WITH(receiving, without_buffers_reading_waits_and_goes_on),
        WITH(receiving, a_poll_for_nothing_does_no_harm),
        WITH(receiving, a_dialled_socket_reads_its_errors_too),
        WITH(receiving, a_socket_that_polls_can_end),
        WITH(receiving, a_mode_that_the_kernel_lacks_is_refused_with_the_reason),
        cmocka_unit_test(modes_have_names),
        WITH(sending, calls_send_all_of_a_turn),
        WITH(sending, calls_wait_for_room_and_go_on),
        WITH(sending, calls_lose_only_the_datagram_that_the_kernel_refuses),
        WITH(sending, calls_send_trains_too),
    };
    return cmocka_run_group_tests_name("datagram_calls", tests, NULL, NULL);
}
