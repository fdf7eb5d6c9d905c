/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams on the fake ring: what goes out. */

#include "core/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/core/datagram_stage.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

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

static int set_up_trains(void **state)
{
    static const struct gy_datagram_options options = {.gso = true};
    return set_up_with(state, &options, NULL, 0);
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

static struct gy_ring *ring_of(struct dstage *stage)
{
    return stage->worker.ring;
}

static struct fake_operation *first_send(struct dstage *stage)
{
    return fake_first(ring_of(stage), FAKE_SEND);
}

static int put(struct dstage *stage, uint16_t port, uint8_t fill, uint32_t bytes)
{
    struct gy_datagram_path path = dstage_path(port);
    return dstage_send(stage, dstage_server(stage), &path, fill, bytes);
}

static uint16_t port_of(const struct fake_operation *operation)
{
    const struct sockaddr_in *name = operation->message.msg_name;
    return name != NULL ? ntohs(name->sin_port) : 0;
}

/* Completes the oldest send. */
static void sent(struct dstage *stage, int32_t result)
{
    struct fake_operation *send = first_send(stage);
    fake_complete(ring_of(stage), send, result == 0 ? (int32_t)send->bytes : result, 0);
    dstage_turn(stage);
}

/* ---- queueing ---- */

static void nothing_leaves_before_the_end_of_the_turn_and_then_all_at_once(void **state)
{
    struct dstage *stage = *state;
    for (uint16_t i = 0; i < 5; i++) {
        assert_int_equal(put(stage, (uint16_t)(4001 + i), 'a', 10), 0);
    }
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 0);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 5);
    assert_int_equal(port_of(first_send(stage)), 4001);
    assert_int_equal(first_send(stage)->bytes, 10);
    for (int i = 0; i < 5; i++) {
        sent(stage, 0);
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
    assert_int_equal(port_of(first_send(stage)), 4007);
    assert_memory_equal(first_send(stage)->content, "hello", 5);
    sent(stage, 0);
    assert_int_equal(dstage_counter(stage, copied_bytes), 0);
}

static void an_empty_datagram_can_be_sent(void **state)
{
    struct dstage *stage = *state;
    assert_int_equal(put(stage, 4001, 0, 0), 0);
    dstage_turns(stage, 2);
    assert_int_equal(first_send(stage)->bytes, 0);
    sent(stage, 0);
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
    assert_int_equal(first_send(stage)->vector_count, 2);
    assert_memory_equal(first_send(stage)->content, "head body", 9);
    sent(stage, 0);
    assert_int_equal(one.refs, 1);
    assert_int_equal(two.refs, 1);
}

static void a_full_queue_refuses_the_newest_counts_it_and_takes_again_later(void **state)
{
    struct dstage *stage = *state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(put(stage, 4001, 'a', 10), 0);
    }
    assert_int_equal(put(stage, 4001, 'b', 10), GY_ENOBUFS);
    assert_int_equal(dstage_counter(stage, unsent_queue), 1);
    dstage_turns(stage, 2);
    assert_int_equal(put(stage, 4001, 'b', 10), GY_ENOBUFS); /* they are with the kernel */
    sent(stage, 0);
    assert_int_equal(put(stage, 4001, 'c', 10), 0);
    dstage_turn(stage);
    for (int i = 0; i < 4; i++) {
        sent(stage, 0);
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
    assert_int_equal(put(stage, 4001, 'a', 10), GY_ENOBUFS);
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
    assert_int_equal(put(stage, 4001, 'a', 10), GY_ECLOSED);
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
        assert_int_equal(put(stage, 4001, 'a', 10), 0);
    }
    dstage_turn(stage);
    assert_true(fake_total(ring_of(stage), FAKE_SEND) <= 2);
    dstage_turns(stage, 6);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 5);
    for (int i = 0; i < 5; i++) {
        sent(stage, 0);
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
    const struct cmsghdr *control = dstage_sent_control(first_send(stage), IPPROTO_IP, IP_PKTINFO);
    assert_non_null(control);
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    assert_int_equal(ntohl(info.ipi_spec_dst.s_addr), 0x7f000002);
    assert_int_equal(info.ipi_ifindex, 0);
    sent(stage, 0);
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
        dstage_sent_control(first_send(stage), IPPROTO_IPV6, IPV6_PKTINFO);
    assert_non_null(control);
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    assert_memory_equal(&info.ipi6_addr, &path.local, 16);
    assert_non_null(dstage_sent_control(first_send(stage), IPPROTO_IP, IP_TOS));
    sent(stage, 0);
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
        dstage_sent_control(first_send(stage), IPPROTO_IPV6, IPV6_PKTINFO);
    assert_non_null(control);
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    assert_int_equal(info.ipi6_ifindex, 5);
    assert_non_null(dstage_sent_control(first_send(stage), IPPROTO_IPV6, IPV6_TCLASS));
    sent(stage, 0);
}

static void a_socket_bound_to_one_address_needs_no_control_messages(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &path.local);
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    assert_int_equal(first_send(stage)->message.msg_controllen, 0);
    sent(stage, 0);
}

static void the_usual_mark_needs_no_control_message_and_another_does(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = dstage_path(4001);
    path.ecn = 2;
    dstage_send(stage, dstage_server(stage), &path, 'a', 10);
    dstage_turns(stage, 2);
    assert_null(dstage_sent_control(first_send(stage), IPPROTO_IP, IP_TOS));
    sent(stage, 0);
    path.ecn = 0;
    dstage_send(stage, dstage_server(stage), &path, 'b', 10);
    path.ecn = 3; /* does not travel with the one before */
    dstage_send(stage, dstage_server(stage), &path, 'c', 10);
    dstage_turns(stage, 2);
    for (int expected = 0; expected <= 3; expected += 3) {
        const struct cmsghdr *control = dstage_sent_control(first_send(stage), IPPROTO_IP, IP_TOS);
        assert_non_null(control);
        int value;
        memcpy(&value, CMSG_DATA(control), sizeof value);
        assert_int_equal(value, expected);
        sent(stage, 0);
    }
}

static void a_dialled_socket_sends_with_the_mark_of_a_path(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_path path = {.ecn = 3};
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    assert_int_equal(dstage_send(stage, client, &path, 'a', 10), 0);
    dstage_turns(stage, 2);
    assert_null(first_send(stage)->message.msg_name);
    assert_non_null(dstage_sent_control(first_send(stage), IPPROTO_IP, IP_TOS));
    sent(stage, 0);
}

static void a_dialled_socket_sends_without_an_address(void **state)
{
    struct dstage *stage = *state;
    struct gy_datagram_socket *client = dstage_dial(stage, NULL);
    assert_int_equal(dstage_send(stage, client, NULL, 'a', 10), 0);
    dstage_turns(stage, 2);
    assert_null(first_send(stage)->message.msg_name);
    assert_int_equal(first_send(stage)->descriptor, client->descriptor);
    sent(stage, 0);
}

/* ---- trains ---- */

static void train_of(struct dstage *stage, uint16_t port, uint32_t count, uint32_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(put(stage, port, (uint8_t)('a' + i), bytes), 0);
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
    assert_int_equal(first_send(stage)->bytes, 400);
    assert_int_equal(segment_of(first_send(stage)), 100);
    assert_int_equal(port_of(first_send(stage)), 4001);
    sent(stage, 0);
    assert_int_equal(first_send(stage)->bytes, 200);
    sent(stage, 0);
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
    assert_int_equal(first_send(stage)->bytes, 260);
    sent(stage, 0);
    assert_int_equal(first_send(stage)->bytes, 60);
    assert_int_equal(segment_of(first_send(stage)), 0); /* one alone is no train */
    sent(stage, 0);
    assert_int_equal(first_send(stage)->bytes, 100);
    sent(stage, 0);
}

static void an_empty_one_travels_alone(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 1, 100);
    train_of(stage, 4001, 2, 0);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 3);
    for (int i = 0; i < 3; i++) {
        sent(stage, 0);
    }
}

static void a_train_has_at_most_64_datagrams_and_65000_bytes(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 65, 10);
    train_of(stage, 4002, 7, 10000);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 4);
    assert_int_equal(first_send(stage)->bytes, 640);
    sent(stage, 0);
    assert_int_equal(first_send(stage)->bytes, 10);
    sent(stage, 0);
    assert_int_equal(first_send(stage)->bytes, 60000);
    sent(stage, 0);
    sent(stage, 0);
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
    sent(stage, 0);
    sent(stage, 0);
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
        sent(stage, 0);
    }
}

static void a_path_that_takes_no_trains_gets_them_one_by_one_in_order(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 3, 100);
    put(stage, 4001, 'd', 30);
    dstage_turns(stage, 2);
    sent(stage, -EIO); /* the device offloads no checksums */
    for (int i = 0; i < 4; i++) {
        dstage_turn(stage);
        assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 1);
        assert_int_equal(first_send(stage)->bytes, i < 3 ? 100 : 30);
        assert_int_equal(first_send(stage)->content[0], 'a' + i);
        assert_int_equal(segment_of(first_send(stage)), 0);
        sent(stage, 0);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 4);
    assert_int_equal(dstage_counter(stage, datagram_trains_split), 1);
    train_of(stage, 4001, 2, 10); /* not tried again */
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 2);
    sent(stage, 0);
    sent(stage, 0);
}

static void a_train_longer_than_the_path_takes_teaches_the_length(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 2, 1480);
    dstage_turns(stage, 2);
    sent(stage, -EINVAL);
    dstage_turn(stage);
    sent(stage, 0);
    dstage_turn(stage);
    sent(stage, 0);
    train_of(stage, 4001, 2, 1480);
    train_of(stage, 4002, 2, 1472);
    dstage_turns(stage, 2);
    assert_int_equal(fake_in_flight(ring_of(stage), FAKE_SEND), 3);
    for (int i = 0; i < 3; i++) {
        sent(stage, 0);
    }
    assert_int_equal(dstage_counter(stage, datagrams_sent), 6);
}

static void a_split_train_loses_only_the_datagram_that_fails(void **state)
{
    struct dstage *stage = *state;
    train_of(stage, 4001, 3, 100);
    dstage_turns(stage, 2);
    sent(stage, -EMSGSIZE);
    dstage_turn(stage);
    sent(stage, 0);
    dstage_turn(stage);
    sent(stage, -EPERM);
    dstage_turn(stage);
    assert_int_equal(first_send(stage)->content[0], 'c');
    sent(stage, 0);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 2);
    assert_int_equal(dstage_counter(stage, unsent_forbidden), 1);
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
        put(stage, 4001, 'a', 10);
        dstage_turns(stage, 2);
        sent(stage, -errors[i].error);
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
    sent(stage, -ECONNREFUSED);
    dstage_turn(stage);
    assert_int_equal(stage->failures, 1);
    assert_int_equal(stage->failure, ECONNREFUSED);
}

/* ---- ending ---- */

static void a_socket_that_closes_sends_what_is_queued_first(void **state)
{
    struct dstage *stage = *state;
    put(stage, 4001, 'a', 10);
    gy_datagram_close(dstage_server(stage));
    fake_cancel_by_itself(ring_of(stage));
    dstage_turn(stage);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 1);
    dstage_turns(stage, 3);
    assert_int_equal(stage->closed, 0);
    sent(stage, 0);
    dstage_turns(stage, 2);
    assert_int_equal(stage->closed, 1);
}

static void a_socket_that_is_aborted_cancels_its_sends_and_awaits_them(void **state)
{
    struct dstage *stage = *state;
    put(stage, 4001, 'a', 10);
    dstage_turns(stage, 2);
    put(stage, 4001, 'b', 10);
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
    put(stage, 4001, 'a', 10);
    dstage_turns(stage, 2);
    uint64_t token = first_send(stage)->token;
    sent(stage, 0);
    uint64_t stale = dstage_counter(stage, completions_stale);
    fake_post(ring_of(stage), (struct gy_completion){token, 10, 0});
    dstage_turn(stage);
    put(stage, 4001, 'b', 10);
    dstage_turns(stage, 2);
    assert_int_not_equal(first_send(stage)->token, token);
    fake_post(ring_of(stage), (struct gy_completion){token, 10, 0});
    dstage_turn(stage);
    assert_int_equal(dstage_counter(stage, completions_stale), stale + 2);
    assert_int_equal(dstage_counter(stage, datagrams_sent), 1);
    sent(stage, 0);
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
        WITH(trains, answers_of_one_size_to_one_peer_leave_as_one_send),
        WITH(trains, a_shorter_one_ends_a_train_and_a_longer_one_begins_another),
        WITH(trains, an_empty_one_travels_alone),
        WITH(trains, a_train_has_at_most_64_datagrams_and_65000_bytes),
        WITH(trains, trains_do_not_grow_across_turns),
        WITH(trains, answers_from_different_addresses_of_ours_do_not_join),
        WITH(trains, a_path_that_takes_no_trains_gets_them_one_by_one_in_order),
        WITH(trains, a_train_longer_than_the_path_takes_teaches_the_length),
        WITH(trains, a_split_train_loses_only_the_datagram_that_fails),
        TEST(every_error_is_counted_by_name_and_ends_nothing),
        TEST(a_dialled_socket_is_told_of_a_send_that_failed),
        TEST(a_socket_that_closes_sends_what_is_queued_first),
        TEST(a_socket_that_is_aborted_cancels_its_sends_and_awaits_them),
        TEST(a_completion_for_an_earlier_use_of_a_send_is_stale),
    };
    return cmocka_run_group_tests_name("datagram_send", tests, NULL, NULL);
}
