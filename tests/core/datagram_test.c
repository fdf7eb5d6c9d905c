/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams on the fake ring: what comes in, and how a socket lives and ends. */

#include "core/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/datagram_stage.h"

#define MORE GY_COMPLETION_MORE

static uint8_t block[70000];

static int set_up_with(void **state, const struct gy_datagram_options *options, const char *address,
                       uint32_t without)
{
    deadline("datagram", 20);
    *state = dstage_open(options, address, without);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL, NULL, 0);
}

static int set_up_wide(void **state)
{
    static const struct gy_datagram_options options = {.ecn = true};
    return set_up_with(state, &options, "0.0.0.0:0", 0);
}

static int set_up_few(void **state)
{
    static const struct gy_datagram_options options = {
        .buffers = 4, .posted = 4, .message_bytes = 100};
    return set_up_with(state, &options, NULL, 0);
}

static int tear_down(void **state)
{
    dstage_close(*state);
    deadline(NULL, 0);
    return 0;
}

/* ---- receiving ---- */

static void what_arrives_in_a_turn_is_handed_over_as_one_batch(void **state)
{
    struct dstage *stage = *state;
    dstage_datagram(stage, 4001, "one", 3, MORE);
    dstage_datagram(stage, 4002, "four", 4, MORE);
    dstage_datagram(stage, 4001, "", 0, MORE);
    dstage_turn(stage);
    assert_int_equal(stage->batches, 1);
    assert_int_equal(stage->got_count, 3);
    assert_int_equal(stage->got[0].bytes, 3);
    assert_memory_equal(stage->got[0].data, "one", 3);
    assert_int_equal(gy_address_port(&stage->got[0].path.peer), 4001);
    assert_memory_equal(stage->got[1].data, "four", 4);
    assert_int_equal(gy_address_port(&stage->got[1].path.peer), 4002);
    assert_int_equal(stage->got[2].bytes, 0);
    assert_int_equal(dstage_counter(stage, datagrams_received), 3);
    assert_int_equal(dstage_counter(stage, received_bytes), 7);
    assert_int_equal(dstage_counter(stage, copied_bytes), 0);
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE_MESSAGE), 1);
}

static void a_path_has_the_address_that_the_socket_is_bound_to(void **state)
{
    struct dstage *stage = *state;
    dstage_datagram(stage, 4001, "x", 1, MORE);
    dstage_turn(stage);
    struct in6_addr loopback;
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &loopback);
    assert_memory_equal(&stage->got[0].path.local, &loopback, 16);
}

static void the_path_tells_which_of_our_addresses_was_asked_and_the_ecn(void **state)
{
    struct dstage *stage = *state;
    uint8_t control[128];
    struct in_pktinfo info = {.ipi_ifindex = 3};
    inet_pton(AF_INET, "198.51.100.7", &info.ipi_spec_dst);
    inet_pton(AF_INET, "198.51.100.255", &info.ipi_addr); /* a broadcast: not to send from */
    uint8_t tos = 0x2d;                                   /* a DSCP, and ECT(1) */
    uint8_t *at = dstage_control(control, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    at = dstage_control(at, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    dstage_controlled(stage, 4001, control, (uint32_t)(at - control), "x", 1);
    dstage_turn(stage);
    struct in6_addr asked;
    inet_pton(AF_INET6, "::ffff:198.51.100.7", &asked);
    assert_memory_equal(&stage->got[0].path.local, &asked, 16);
    assert_int_equal(stage->got[0].path.interface, 3);
    assert_int_equal(stage->got[0].path.ecn, 1);
}

static void ipv6_paths_do_not_answer_from_a_group(void **state)
{
    struct dstage *stage = *state;
    uint8_t control[128];
    struct in6_pktinfo info = {.ipi6_ifindex = 2};
    inet_pton(AF_INET6, "ff02::1", &info.ipi6_addr);
    int class = 3;
    uint8_t *at = dstage_control(control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    at = dstage_control(at, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
    dstage_controlled(stage, 4001, control, (uint32_t)(at - control), "x", 1);
    inet_pton(AF_INET6, "2001:db8::5", &info.ipi6_addr);
    at = dstage_control(control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    dstage_controlled(stage, 4001, control, (uint32_t)(at - control), "x", 1);
    dstage_turn(stage);
    assert_true(IN6_IS_ADDR_UNSPECIFIED(&stage->got[0].path.local));
    assert_int_equal(stage->got[0].path.ecn, 3);
    assert_memory_equal(&stage->got[1].path.local, &info.ipi6_addr, 16);
}

static void a_datagram_that_is_too_long_is_cut_marked_and_counted(void **state)
{
    struct dstage *stage = *state;
    pattern_fill(block, 4000, 1, 0);
    dstage_datagram(stage, 4001, block, 4000, MORE);
    dstage_datagram(stage, 4001, block, 90, MORE);
    dstage_turn(stage);
    assert_true(stage->got[0].truncated);
    assert_true(stage->got[0].bytes >= 100 && stage->got[0].bytes < 200);
    assert_true(pattern_matches(stage->got[0].data, 64, 1, 0));
    assert_false(stage->got[1].truncated);
    assert_int_equal(dstage_counter(stage, datagrams_truncated), 1);
}

static void an_account_that_makes_no_sense_is_dropped_and_counted(void **state)
{
    struct dstage *stage = *state;
    struct sockaddr_un_like {
        uint16_t family;
        char path[14];
    } odd = {.family = AF_UNIX};
    struct gy_datagram_path path = dstage_path(4001);
    uint8_t control[128] = {0};
    struct cmsghdr cut = {.cmsg_len = 4, .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    struct cmsghdr beyond = {.cmsg_len = 4096, .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    struct gy_ring *ring = ring_of(stage);
    /* a name of no family that we speak, one cut short, one longer than its room */
    fake_receive_message(ring, dstage_receive(stage), (const struct sockaddr *)(const void *)&odd,
                         sizeof odd, NULL, 0, "x", 1, MORE);
    fake_receive_message(ring, dstage_receive(stage), &path.peer.any, 7, NULL, 0, "x", 1, MORE);
    fake_receive_message(ring, dstage_receive(stage), &path.peer.any, 110, NULL, 0, "x", 1, MORE);
    fake_receive_message(ring, dstage_receive(stage), NULL, 0, NULL, 0, "x", 1, MORE);
    memcpy(control, &cut, sizeof cut);
    dstage_controlled(stage, 4001, control, 32, "x", 1);
    memcpy(control, &beyond, sizeof beyond);
    dstage_controlled(stage, 4001, control, 32, "x", 1);
    dstage_controlled(stage, 4001, NULL, 4000, "x", 1);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 0);
    assert_int_equal(dstage_counter(stage, datagrams_malformed), 7);
    dstage_datagram(stage, 4001, "y", 1, MORE);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 1);
}

static void a_control_message_shorter_than_its_kind_is_passed_over(void **state)
{
    struct dstage *stage = *state;
    uint8_t control[128];
    uint16_t two = 3;
    uint8_t *at = dstage_control(control, IPPROTO_IP, IP_PKTINFO, &two, sizeof two);
    at = dstage_control(at, IPPROTO_IPV6, IPV6_TCLASS, &two, sizeof two);
    dstage_controlled(stage, 4001, control, (uint32_t)(at - control), "x", 1);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 1);
    assert_int_equal(stage->got[0].path.ecn, 0);
}

/* ---- buffers ---- */

static void keep_all(struct dstage *stage)
{
    stage->keep = true;
    for (int i = 0; i < 4; i++) {
        dstage_datagram(stage, 4001, "x", 1, MORE);
        dstage_turn(stage);
    }
}

static void starve(struct dstage *stage)
{
    keep_all(stage);
    fake_complete(ring_of(stage), dstage_receive(stage), -ENOBUFS, 0);
    dstage_turns(stage, 2);
}

static void without_a_buffer_it_neither_arms_nor_spins(void **state)
{
    struct dstage *stage = *state;
    starve(stage);
    assert_null(dstage_receive(stage));
    assert_int_equal(dstage_counter(stage, enobufs), 1);
    uint32_t armed = fake_total(ring_of(stage), FAKE_RECEIVE_MESSAGE);
    for (int i = 0; i < 5; i++) {
        dstage_turn(stage);
        assert_int_equal(fake_last_wait_ns(ring_of(stage)), GY_RING_FOREVER);
    }
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE_MESSAGE), armed);
}

static void it_receives_again_when_a_buffer_comes_back(void **state)
{
    struct dstage *stage = *state;
    starve(stage);
    gy_slice_drop(stage->kept[--stage->kept_count]);
    dstage_turns(stage, 2);
    assert_non_null(dstage_receive(stage));
    dstage_datagram(stage, 4001, "x", 1, MORE);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 5);
}

static void a_flood_on_one_endpoint_leaves_the_buffers_of_others(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    starve(stage);
    struct fake_operation *receive =
        fake_of(ring_of(stage), FAKE_RECEIVE_MESSAGE, client->descriptor);
    assert_non_null(receive);
    assert_int_equal(fake_buffers_of(ring_of(stage), receive->group), 4);
}

static void a_socket_that_starves_can_end(void **state)
{
    struct dstage *stage = *state;
    starve(stage);
    gy_datagrams_abort(&stage->worker);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
    assert_int_equal(gy_datagrams_open(&stage->worker), 0);
}

/* Its receive was under way still, and found no buffer. */
static void a_socket_that_starves_as_it_ends_has_ended(void **state)
{
    struct dstage *stage = *state;
    keep_all(stage);
    gy_datagram_close(dstage_server(stage));
    dstage_turns(stage, 2);
    fake_complete(ring_of(stage), dstage_receive(stage), -ENOBUFS, 0);
    dstage_turns(stage, 2);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_CANCEL_TOKEN), -ENOENT, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
    assert_int_equal(gy_datagrams_open(&stage->worker), 0);
}

static void a_receive_that_ends_is_armed_again(void **state)
{
    struct dstage *stage = *state;
    dstage_datagram(stage, 4001, "x", 1, 0); /* a datagram, and the last of this receive */
    dstage_turns(stage, 2);
    assert_int_equal(stage->got_count, 1);
    assert_non_null(dstage_receive(stage));
    assert_int_equal(fake_total(ring_of(stage), FAKE_RECEIVE_MESSAGE), 2);
}

static void an_error_of_a_server_socket_is_counted_and_it_goes_on(void **state)
{
    struct dstage *stage = *state;
    static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ENOMEM, EPROTO};
    for (size_t i = 0; i < 4; i++) {
        fake_complete(ring_of(stage), dstage_receive(stage), -errors[i], 0);
        dstage_turns(stage, 2);
        assert_non_null(dstage_receive(stage));
    }
    assert_int_equal(dstage_counter(stage, datagram_receive_errors), 4);
    assert_int_equal(stage->failures, 0);
}

static void a_full_ring_delays_arming_and_forgets_nothing(void **state)
{
    struct dstage *stage = *state;
    fake_limit_room(ring_of(stage), 0);
    dstage_datagram(stage, 4001, "x", 1, 0);
    dstage_turns(stage, 3);
    assert_null(dstage_receive(stage));
    assert_int_equal(fake_last_wait_ns(ring_of(stage)), 0);
    fake_limit_room(ring_of(stage), UINT32_MAX);
    dstage_turns(stage, 3);
    assert_non_null(dstage_receive(stage));
}

static void without_links_a_datagram_is_lost_counted_and_its_buffer_is_not(void **state)
{
    struct dstage *stage = *state;
    void *links[16384];
    uint32_t taken = 0;
    while (taken < 16384 && (links[taken] = gy_slab_take(&stage->worker.links)) != NULL) {
        taken++;
    }
    dstage_datagram(stage, 4001, "x", 1, MORE);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 0);
    assert_int_equal(dstage_counter(stage, datagrams_lost), 1);
    while (taken > 0) {
        gy_slab_give(&stage->worker.links, links[--taken]);
    }
    dstage_turn(stage);
    assert_int_equal(fake_buffers_of(ring_of(stage), dstage_receive(stage)->group), 4);
}

/* ---- dialled sockets ---- */

static void a_dialled_socket_is_told_that_its_peer_is_not_there_and_goes_on(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    dstage_turns(stage, 2);
    struct fake_operation *receive =
        fake_of(ring_of(stage), FAKE_RECEIVE_MESSAGE, client->descriptor);
    fake_complete(ring_of(stage), receive, -ECONNREFUSED, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->failures, 1);
    assert_int_equal(stage->failure, ECONNREFUSED);
    assert_non_null(fake_of(ring_of(stage), FAKE_RECEIVE_MESSAGE, client->descriptor));
}

static void dialled_sockets_have_ports_of_their_own_and_know_both_ends(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *one = dstage_dial(stage, NULL);
    struct gy_datagram_socket *two = dstage_dial(stage, NULL);
    assert_int_not_equal(gy_address_port(&one->local), 0);
    assert_int_not_equal(gy_address_port(&one->local), gy_address_port(&two->local));
    assert_true(gy_address_equal(&one->peer, &stage->address));
    assert_false(one->wide);
}

static void sockets_are_bounded(void **state)
{
    struct dstage *stage = *state;
    for (int i = 0; i < 7; i++) {
        assert_non_null(dstage_dial(stage, NULL));
    }
    uint32_t descriptors = descriptors_open();
    assert_null(dstage_dial(stage, NULL));
    assert_int_equal(descriptors_open(), descriptors);
}

static void a_descriptor_that_is_no_udp_socket_stays_with_the_caller(void **state)
{
    struct dstage *stage = *state;
    struct gy_error error = {0};
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_null(gy_datagram_take(client->endpoint, ends[0], NULL, &error));
    assert_int_equal(error.code, GY_EINVAL);
    assert_int_equal(close(ends[0]), 0);
    close(ends[1]);
}

static void a_deadline_is_told_once_and_can_be_moved(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    gy_datagram_set_deadline(client, stage->worker.now_ms + 10);
    gy_datagram_set_deadline(client, stage->worker.now_ms + 50);
    fake_clock_advance(20);
    dstage_turn(stage);
    assert_int_equal(stage->expired, 0);
    fake_clock_advance(40);
    dstage_turns(stage, 2);
    assert_int_equal(stage->expired, 1);
    gy_datagram_set_deadline(client, stage->worker.now_ms + 50);
    gy_datagram_set_deadline(client, 0);
    fake_clock_advance(100);
    dstage_turns(stage, 2);
    assert_int_equal(stage->expired, 1);
}

/* ---- ending ---- */

static void a_socket_that_closes_cancels_its_receive_by_token_and_waits_for_it(void **state)
{
    struct dstage *stage = *state;
    gy_datagram_close(dstage_server(stage));
    dstage_turn(stage);
    dstage_turn(stage);
    struct fake_operation *cancel = fake_first(ring_of(stage), FAKE_CANCEL_TOKEN);
    assert_non_null(cancel);
    assert_int_equal(cancel->target, dstage_receive(stage)->token);
    fake_complete(ring_of(stage), cancel, 1, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 0); /* the receive is not over yet */
    fake_complete(ring_of(stage), dstage_receive(stage), -ECANCELED, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
    assert_int_equal(gy_datagrams_open(&stage->worker), 0);
}

static void a_cancel_that_found_nothing_is_asked_for_again(void **state)
{
    struct dstage *stage = *state;
    gy_datagram_close(dstage_server(stage));
    dstage_turns(stage, 2);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_CANCEL_TOKEN), -ENOENT, 0);
    dstage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_CANCEL_TOKEN), 2);
}

static void what_arrives_while_it_closes_gives_its_buffer_back(void **state)
{
    struct dstage *stage = *state;
    gy_datagram_close(dstage_server(stage));
    dstage_turns(stage, 2);
    dstage_datagram(stage, 4001, "late", 4, MORE);
    dstage_turn(stage);
    assert_int_equal(stage->got_count, 0);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_CANCEL_TOKEN), 1, 0);
    fake_complete(ring_of(stage), dstage_receive(stage), -ECANCELED, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
}

static void a_socket_may_be_closed_as_it_receives(void **state)
{
    struct dstage *stage = *state;
    stage->close = true;
    for (int i = 0; i < 3; i++) {
        dstage_datagram(stage, 4001, "x", 1, MORE);
    }
    dstage_turn(stage);
    assert_int_equal(stage->batches, 1);
    dstage_turn(stage);
    assert_non_null(fake_first(ring_of(stage), FAKE_CANCEL_TOKEN));
}

static void a_completion_of_a_socket_that_is_gone_is_dropped_and_counted(void **state)
{
    struct dstage *stage = *state;
    uint64_t token = dstage_receive(stage)->token;
    uint32_t slot = gy_token_slot(token);
    uint32_t generation = gy_token_generation(token);
    static const enum gy_operation kinds[] = {
        GY_OPERATION_DATAGRAM_RECEIVE, GY_OPERATION_DATAGRAM_SEND, GY_OPERATION_DATAGRAM_WRITABLE,
        GY_OPERATION_DATAGRAM_CANCEL};
    uint64_t before = dstage_counter(stage, completions_stale);
    for (size_t i = 0; i < 4; i++) {
        fake_post(ring_of(stage),
                  (struct gy_completion){gy_token(kinds[i], slot, generation + 2), 0, 0});
        fake_post(ring_of(stage),
                  (struct gy_completion){gy_token(kinds[i], slot + 100, generation), 0, 0});
        fake_post(ring_of(stage), (struct gy_completion){gy_token(kinds[i], slot, 0), 0, 0});
    }
    /* of the right generation, and nothing of the kind is in flight */
    fake_post(
        ring_of(stage),
        (struct gy_completion){gy_token(GY_OPERATION_DATAGRAM_WRITABLE, slot, generation), 0, 0});
    fake_post(ring_of(stage), (struct gy_completion){
                                  gy_token(GY_OPERATION_DATAGRAM_CANCEL, slot, generation), 0, 0});
    dstage_turn(stage);
    assert_int_equal(dstage_counter(stage, completions_stale) - before, 14);
}

static void begin_drain(struct dstage *stage, uint64_t take_waiting)
{
    struct gy_message drain = {.kind = GY_MESSAGE_DRAIN, .numbers = {5000, take_waiting}};
    assert_int_equal(gy_worker_post(NULL, &stage->worker, &drain), 0);
}

static void a_replaced_process_leaves_what_waits_to_the_next(void **state)
{
    struct dstage *stage = *state;
    fake_cancel_by_itself(ring_of(stage));
    int client = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(sendto(client, "x", 1, 0, &stage->address.any, stage->address.length), 1);
    begin_drain(stage, 0);
    dstage_turns(stage, 6);
    assert_int_equal(stage->closed, 1);
    assert_int_equal(stage->got_count, 0);
    assert_int_equal(stage->worker.phase, GY_WORKER_STOPPED);
    close(client);
}

static void what_a_replaced_process_has_received_it_answers(void **state)
{
    struct dstage *stage = *state;
    stage->echo = true;
    begin_drain(stage, 0);
    dstage_datagram(stage, 4001, "in the turn of the drain", 24, MORE);
    dstage_turns(stage, 2);
    assert_int_equal(stage->got_count, 1);
    dstage_datagram(stage, 4002, "before the cancel is done", 25, MORE);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_CANCEL_TOKEN), 1, 0);
    fake_complete(ring_of(stage), dstage_receive(stage), -ECANCELED, 0);
    dstage_turns(stage, 3);
    assert_int_equal(stage->got_count, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 2);
    assert_int_equal(stage->closed, 0);
    for (int i = 0; i < 2; i++) {
        struct fake_operation *send = fake_first(ring_of(stage), FAKE_SEND);
        fake_complete(ring_of(stage), send, (int32_t)send->bytes, 0);
    }
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
}

static void a_service_that_ends_takes_what_waits_first(void **state)
{
    struct dstage *stage = *state;
    fake_cancel_by_itself(ring_of(stage));
    int client = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sendto(client, "x", 1, 0, &stage->address.any, stage->address.length), 1);
    }
    begin_drain(stage, 1);
    for (int i = 0; i < 200 && stage->closed == 0; i++) {
        dstage_turn(stage);
    }
    assert_int_equal(stage->closed, 1);
    assert_int_equal(stage->got_count, 100);
    dstage_turn(stage);
    assert_int_equal(stage->worker.phase, GY_WORKER_STOPPED);
    close(client);
}

static void dialled_sockets_are_asked_to_end(void **state)
{
    struct dstage *stage = *state;
    fake_cancel_by_itself(ring_of(stage));
    dstage_dial(stage, NULL);
    begin_drain(stage, 0);
    dstage_turns(stage, 6);
    assert_int_equal(stage->drained, 1);
    assert_int_equal(stage->closed, 2);
    assert_int_equal(stage->worker.phase, GY_WORKER_STOPPED);
}

static void a_drain_that_takes_too_long_cuts_what_is_left(void **state)
{
    struct dstage *stage = *state;
    begin_drain(stage, 0);
    dstage_turns(stage, 2); /* nobody completes the receive */
    assert_int_equal(stage->worker.phase, GY_WORKER_DRAINING);
    fake_clock_advance(6000);
    dstage_turns(stage, 2);
    assert_int_equal(stage->worker.phase, GY_WORKER_STOPPED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define WITH(setting, function)                                                                    \
    cmocka_unit_test_setup_teardown(function, set_up_##setting, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_arrives_in_a_turn_is_handed_over_as_one_batch),
        TEST(a_path_has_the_address_that_the_socket_is_bound_to),
        WITH(wide, the_path_tells_which_of_our_addresses_was_asked_and_the_ecn),
        WITH(wide, ipv6_paths_do_not_answer_from_a_group),
        WITH(few, a_datagram_that_is_too_long_is_cut_marked_and_counted),
        TEST(an_account_that_makes_no_sense_is_dropped_and_counted),
        TEST(a_control_message_shorter_than_its_kind_is_passed_over),
        WITH(few, without_a_buffer_it_neither_arms_nor_spins),
        WITH(few, it_receives_again_when_a_buffer_comes_back),
        WITH(few, a_socket_that_starves_as_it_ends_has_ended),
        WITH(few, a_flood_on_one_endpoint_leaves_the_buffers_of_others),
        WITH(few, a_socket_that_starves_can_end),
        TEST(a_receive_that_ends_is_armed_again),
        TEST(an_error_of_a_server_socket_is_counted_and_it_goes_on),
        TEST(a_full_ring_delays_arming_and_forgets_nothing),
        WITH(few, without_links_a_datagram_is_lost_counted_and_its_buffer_is_not),
        TEST(a_dialled_socket_is_told_that_its_peer_is_not_there_and_goes_on),
        TEST(dialled_sockets_have_ports_of_their_own_and_know_both_ends),
        TEST(sockets_are_bounded),
        TEST(a_descriptor_that_is_no_udp_socket_stays_with_the_caller),
        TEST(a_deadline_is_told_once_and_can_be_moved),
        TEST(a_socket_that_closes_cancels_its_receive_by_token_and_waits_for_it),
        TEST(a_cancel_that_found_nothing_is_asked_for_again),
        WITH(few, what_arrives_while_it_closes_gives_its_buffer_back),
        TEST(a_socket_may_be_closed_as_it_receives),
        TEST(a_completion_of_a_socket_that_is_gone_is_dropped_and_counted),
        TEST(a_replaced_process_leaves_what_waits_to_the_next),
        TEST(what_a_replaced_process_has_received_it_answers),
        TEST(a_service_that_ends_takes_what_waits_first),
        TEST(dialled_sockets_are_asked_to_end),
        TEST(a_drain_that_takes_too_long_cuts_what_is_left),
    };
    return cmocka_run_group_tests_name("datagram", tests, NULL, NULL);
}
