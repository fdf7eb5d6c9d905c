/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams on the fake ring: what goes out. */

#include "core/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/datagram_stage.h"

#define MORE GY_COMPLETION_MORE

static int set_up_with(void **state, const struct gy_datagram_options *options, const char *address,
                       uint32_t without)
{
    deadline("datagram_send", 20);
    *state = dstage_open(options, address, without);
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL, NULL, 0);
}

static int set_up_wide(void **state)
{
    return set_up_with(state, NULL, "0.0.0.0:0", 0);
}

static int set_up_wide6(void **state)
{
    return set_up_with(state, NULL, ":0", 0);
}

static int set_up_few(void **state)
{
    static const struct gy_datagram_options options = {.sends_max = 4};
    return set_up_with(state, &options, NULL, 0);
}

static int set_up_marked(void **state)
{
    static const struct gy_datagram_options options = {.gso = true, .ecn_usual = 2};
    return set_up_with(state, &options, NULL, 0);
}

static int tear_down(void **state)
{
    dstage_close(*state);
    deadline(NULL, 0);
    return 0;
}

/* ---- queueing ---- */

static void nothing_leaves_before_the_end_of_the_turn_and_then_all_at_once(void **state)
{
    struct dstage *stage = *state;
    for (uint16_t i = 0; i < 5; i++) {
        assert_int_equal(dstage_put(stage, (uint16_t)(4001 + i), 'a', 10), 0);
    }
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 0);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 5);
    assert_int_equal(dstage_port_of(dstage_first_send(stage)), 4001);
    assert_int_equal(dstage_first_send(stage)->bytes, 10);
    for (int i = 0; i < 5; i++) {
        dstage_sent(stage, 0);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 5);
    assert_int_equal(dstage_counter(stage, datagram_sends), 5);
    assert_int_equal(dstage_counter(stage, sent_bytes), 50);
}

static void an_echo_sends_the_very_bytes_that_came_and_copies_none(void **state)
{
    struct dstage *stage = *state;
    stage->echo = true;
    dstage_datagram(stage, 4007, "hello", 5, MORE);
    dstage_turns(stage, 2);
    assert_int_equal(dstage_port_of(dstage_first_send(stage)), 4007);
    assert_memory_equal(dstage_first_send(stage)->content, "hello", 5);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_counter(stage, copied_bytes), 0);
}

static void an_empty_datagram_can_be_sent(void **state)
{
    struct dstage *stage = *state;
    assert_int_equal(dstage_put(stage, 4001, 0, 0), 0);
    dstage_turns(stage, 2);
    assert_int_equal(dstage_first_send(stage)->bytes, 0);
    dstage_sent(stage, 0);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 1);
}

static void a_datagram_can_have_several_pieces(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    struct gy_buffer one, two;
    struct gy_chain chain;
    gy_buffer_wrap_constant(&one, "head ", 5);
    gy_buffer_wrap_constant(&two, "body", 4);
    gy_chain_init(&chain, &stage->worker.links);
    gy_chain_append(&chain, gy_slice_of(&one, 0, 5));
    gy_chain_append(&chain, gy_slice_of(&two, 0, 4));
    assert_int_equal(gy_datagram_send_chain(dstage_server(stage), &path, &chain), 0);
    assert_true(gy_chain_empty(&chain));
    dstage_turns(stage, 2);
    assert_int_equal(dstage_first_send(stage)->vector_count, 2);
    assert_memory_equal(dstage_first_send(stage)->content, "head body", 9);
    dstage_sent(stage, 0);
    assert_int_equal(one.refs, 1);
    assert_int_equal(two.refs, 1);
}

static void a_full_queue_refuses_the_newest_counts_it_and_takes_again_later(void **state)
{
    struct dstage *stage = *state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(dstage_put(stage, 4001, 'a', 10), 0);
    }
    assert_int_equal(dstage_put(stage, 4001, 'b', 10), GY_ENOBUFS);
    assert_int_equal(dstage_counter(stage, unsent_queue), 1);
    dstage_turns(stage, 2);
    assert_int_equal(dstage_put(stage, 4001, 'b', 10), GY_ENOBUFS); /* they are with the kernel */
    dstage_sent(stage, 0);
    assert_int_equal(dstage_put(stage, 4001, 'c', 10), 0);
    dstage_turn(stage);
    for (int i = 0; i < 4; i++) {
        dstage_sent(stage, 0);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 5);
}

static void without_links_a_datagram_is_refused_and_its_slice_given_back(void **state)
{
    struct dstage *stage = *state;
    static void *links[16384];
    uint32_t taken = 0;
    while (taken < 16384 && (links[taken] = gy_slab_take(&stage->worker.links)) != NULL) {
        taken++;
    }
    assert_int_equal(dstage_put(stage, 4001, 'a', 10), GY_ENOBUFS);
    while (taken > 0) {
        gy_slab_give(&stage->worker.links, links[--taken]);
    }
    assert_int_equal(stage->worker.bump.block->buffer.refs, 1);
    dstage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 0);
}

static void a_closing_socket_takes_no_more(void **state)
{
    struct dstage *stage = *state;
    gy_datagram_close(dstage_server(stage));
    assert_int_equal(dstage_put(stage, 4001, 'a', 10), GY_ECLOSED);
    assert_int_equal(dstage_counter(stage, unsent_closed), 1);
}

static void longer_than_a_datagram_can_be_is_refused(void **state)
{
    struct dstage *stage = *state;
    static uint8_t data[GY_DATAGRAM_BYTES_MAX + 1];
    struct gy_buffer buffer;
    struct gy_datagram_path path = dstage_path(4001);
    gy_buffer_wrap_constant(&buffer, data, sizeof data);
    assert_int_equal(
        gy_datagram_send(dstage_server(stage), &path, gy_slice_of(&buffer, 0, sizeof data)),
        GY_EINVAL);
    assert_int_equal(buffer.refs, 1);
    assert_int_equal(dstage_counter(stage, unsent_too_long), 1);
}

static void a_full_ring_delays_sends_and_loses_none(void **state)
{
    struct dstage *stage = *state;
    fake_limit_room(ring_of(stage), 2);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(dstage_put(stage, 4001, 'a', 10), 0);
    }
    dstage_turn(stage);
    assert_true(fake_total(ring_of(stage), FAKE_SEND) <= 2);
    dstage_turns(stage, 6);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 5);
    for (int i = 0; i < 5; i++) {
        dstage_sent(stage, 0);
    }
}

/* ---- what goes along ---- */

static void an_answer_leaves_from_the_address_that_was_asked(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    inet_pton(AF_INET6, "::ffff:127.0.0.2", &path.local);
    path.interface = 3; /* does not bind the answer to it */
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    const struct cmsghdr *control =
        dstage_sent_control(dstage_first_send(stage), IPPROTO_IP, IP_PKTINFO);
    assert_non_null(control);
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    assert_int_equal(ntohl(info.ipi_spec_dst.s_addr), 0x7f000002);
    assert_int_equal(info.ipi_ifindex, 0);
    dstage_sent(stage, 0);
}

static void a_socket_of_both_families_names_ipv4_addresses_mapped(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.ecn = 1};
    assert_int_equal(gy_address_parse(&path.peer, "[::ffff:127.0.0.1]:4001", NULL), 0);
    inet_pton(AF_INET6, "::ffff:127.0.0.2", &path.local);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    const struct cmsghdr *control =
        dstage_sent_control(dstage_first_send(stage), IPPROTO_IPV6, IPV6_PKTINFO);
    assert_non_null(control);
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    assert_memory_equal(&info.ipi6_addr, &path.local, 16);
    assert_non_null(dstage_sent_control(dstage_first_send(stage), IPPROTO_IP, IP_TOS));
    dstage_sent(stage, 0);
}

static void a_link_local_answer_names_its_interface(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.interface = 5, .ecn = 2};
    assert_int_equal(gy_address_parse(&path.peer, "[2001:db8::1]:4001", NULL), 0);
    inet_pton(AF_INET6, "fe80::1", &path.local);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    const struct cmsghdr *control =
        dstage_sent_control(dstage_first_send(stage), IPPROTO_IPV6, IPV6_PKTINFO);
    assert_non_null(control);
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    assert_int_equal(info.ipi6_ifindex, 5);
    assert_non_null(dstage_sent_control(dstage_first_send(stage), IPPROTO_IPV6, IPV6_TCLASS));
    dstage_sent(stage, 0);
}

static void a_socket_bound_to_one_address_needs_no_control_messages(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &path.local);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    assert_int_equal(dstage_first_send(stage)->message.msg_controllen, 0);
    dstage_sent(stage, 0);
}

static void the_usual_mark_needs_no_control_message_and_another_does(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    path.ecn = 2;
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    assert_null(dstage_sent_control(dstage_first_send(stage), IPPROTO_IP, IP_TOS));
    dstage_sent(stage, 0);
    path.ecn = 0;
    dstage_send(stage, dstage_server(stage), &path, 'b', 10);
    path.ecn = 3; /* does not travel with the one before */
    dstage_send(stage, dstage_server(stage), &path, 'c', 10);
    dstage_turns(stage, 2);
    for (int expected = 0; expected <= 3; expected += 3) {
        const struct cmsghdr *control =
            dstage_sent_control(dstage_first_send(stage), IPPROTO_IP, IP_TOS);
        assert_non_null(control);
        int value;
        memcpy(&value, CMSG_DATA(control), sizeof value);
        assert_int_equal(value, expected);
        dstage_sent(stage, 0);
    }
}

static void a_dialled_socket_sends_with_the_mark_of_a_path(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.ecn = 3};
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    assert_int_equal(dstage_send(stage, client, &path, 'a', 10), 0);
    dstage_turns(stage, 2);
    assert_null(dstage_first_send(stage)->message.msg_name);
    assert_non_null(dstage_sent_control(dstage_first_send(stage), IPPROTO_IP, IP_TOS));
    dstage_sent(stage, 0);
}

static void a_dialled_socket_sends_without_an_address(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    assert_int_equal(dstage_send(stage, client, NULL, 'a', 10), 0);
    dstage_turns(stage, 2);
    assert_null(dstage_first_send(stage)->message.msg_name);
    assert_int_equal(dstage_first_send(stage)->descriptor, client->descriptor);
    dstage_sent(stage, 0);
}

/* ---- errors ---- */

static void every_error_is_counted_by_name_and_ends_nothing(void **state)
{
    struct dstage *stage = *state;
    static const struct {
        int error;
        size_t counter;
    } errors[] = {
        {EMSGSIZE, offsetof(struct gy_counters, unsent_too_long)},
        {ENOBUFS, offsetof(struct gy_counters, unsent_no_buffers)},
        {ENOMEM, offsetof(struct gy_counters, unsent_no_buffers)},
        {EAGAIN, offsetof(struct gy_counters, unsent_again)},
        {EPERM, offsetof(struct gy_counters, unsent_forbidden)},
        {EACCES, offsetof(struct gy_counters, unsent_forbidden)},
        {ECONNREFUSED, offsetof(struct gy_counters, unsent_refused)},
        {EHOSTUNREACH, offsetof(struct gy_counters, unsent_unreachable)},
        {ENETUNREACH, offsetof(struct gy_counters, unsent_unreachable)},
        {EINVAL, offsetof(struct gy_counters, unsent_error)},
    };
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        _Atomic uint64_t *counter =
            (_Atomic uint64_t *)(void *)((char *)&stage->worker.counters + errors[i].counter);
        uint64_t before = gy_counter_read(counter);
        dstage_put(stage, 4001, 'a', 10);
        dstage_turns(stage, 2);
        dstage_sent(stage, -errors[i].error);
        assert_int_equal(gy_counter_read(counter), before + 1);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 0);
    assert_int_equal(dstage_server(stage)->state, GY_DATAGRAM_OPEN);
    assert_int_equal(stage->failures, 0);
}

static void a_dialled_socket_is_told_of_a_send_that_failed(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    dstage_send(stage, client, NULL, 'a', 10);
    dstage_turns(stage, 2);
    dstage_sent(stage, -ECONNREFUSED);
    dstage_turn(stage);
    assert_int_equal(stage->failures, 1);
    assert_int_equal(stage->failure, ECONNREFUSED);
}

/* ---- ending ---- */

static void a_socket_that_closes_sends_what_is_queued_first(void **state)
{
    struct dstage *stage = *state;
    dstage_put(stage, 4001, 'a', 10);
    gy_datagram_close(dstage_server(stage));
    fake_cancel_by_itself(ring_of(stage));
    dstage_turn(stage);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 1);
    dstage_turns(stage, 3);
    assert_int_equal(stage->closed, 0);
    dstage_sent(stage, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
}

static void a_socket_that_is_aborted_cancels_its_sends_and_awaits_them(void **state)
{
    struct dstage *stage = *state;
    dstage_put(stage, 4001, 'a', 10);
    dstage_turns(stage, 2);
    dstage_put(stage, 4001, 'b', 10);
    gy_datagram_abort(dstage_server(stage));
    dstage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 1); /* the second was dropped */
    assert_int_equal(dstage_counter(stage, unsent_closed), 1);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_CANCEL_TOKEN), 2);
    fake_cancel_by_itself(ring_of(stage));
    dstage_turns(stage, 4);
    assert_int_equal(stage->closed, 1);
    assert_int_equal(dstage_counter(stage, unsent_closed), 2);
}

static void a_completion_for_an_earlier_use_of_a_send_is_stale(void **state)
{
    struct dstage *stage = *state;
    dstage_put(stage, 4001, 'a', 10);
    dstage_turns(stage, 2);
    uint64_t token = dstage_first_send(stage)->token;
    dstage_sent(stage, 0);
    uint64_t stale = dstage_counter(stage, completions_stale);
    fake_post(ring_of(stage), (struct gy_completion){token, 10, 0});
    dstage_turn(stage);
    dstage_put(stage, 4001, 'b', 10);
    dstage_turns(stage, 2);
    assert_int_not_equal(dstage_first_send(stage)->token, token);
    fake_post(ring_of(stage), (struct gy_completion){token, 10, 0});
    dstage_turn(stage);
    assert_int_equal(dstage_counter(stage, completions_stale), stale + 2);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 1);
    dstage_sent(stage, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define WITH(setting, function)                                                                    \
    cmocka_unit_test_setup_teardown(function, set_up_##setting, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_leaves_before_the_end_of_the_turn_and_then_all_at_once),
        TEST(an_echo_sends_the_very_bytes_that_came_and_copies_none),
        TEST(an_empty_datagram_can_be_sent),
        TEST(a_datagram_can_have_several_pieces),
        WITH(few, a_full_queue_refuses_the_newest_counts_it_and_takes_again_later),
        TEST(without_links_a_datagram_is_refused_and_its_slice_given_back),
        TEST(a_closing_socket_takes_no_more),
        TEST(longer_than_a_datagram_can_be_is_refused),
        TEST(a_full_ring_delays_sends_and_loses_none),
        WITH(wide, an_answer_leaves_from_the_address_that_was_asked),
        WITH(wide6, a_socket_of_both_families_names_ipv4_addresses_mapped),
        WITH(wide6, a_link_local_answer_names_its_interface),
        TEST(a_socket_bound_to_one_address_needs_no_control_messages),
        WITH(marked, the_usual_mark_needs_no_control_message_and_another_does),
        TEST(a_dialled_socket_sends_with_the_mark_of_a_path),
        TEST(a_dialled_socket_sends_without_an_address),
        TEST(every_error_is_counted_by_name_and_ends_nothing),
        TEST(a_dialled_socket_is_told_of_a_send_that_failed),
        TEST(a_socket_that_closes_sends_what_is_queued_first),
        TEST(a_socket_that_is_aborted_cancels_its_sends_and_awaits_them),
        TEST(a_completion_for_an_earlier_use_of_a_send_is_stale),
    };
    return cmocka_run_group_tests_name("datagram_send", tests, NULL, NULL);
}
