/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ring's operations against the running kernel: cancel, close, accept, send, wake. */
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "tests/unit/ring_unit.h"

#define TEST(name) cmocka_unit_test(name)

/* ---- cancelling and closing ---- */

static uint64_t receive_token(uint32_t slot)
{
    return gy_token(GY_OPERATION_RECEIVE, slot, 1);
}

/* Reads of an eventfd that nobody writes: they stay until they are cancelled. */
static void cancelling_by_token_ends_that_operation_alone(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int event = eventfd(0, EFD_CLOEXEC);
    uint64_t values[2] = {0, 0};
    gy_ring_read_event(ring, receive_token(1), event, &values[0]);
    gy_ring_read_event(ring, receive_token(2), event, &values[1]);
    assert_int_equal(gy_ring_submit(ring), 0);
    gy_ring_cancel_token(ring, 99, receive_token(1));
    struct gy_completion completions[2];
    await_completions(ring, completions, 2);
    const struct gy_completion *own = &completions[completions[0].token == 99 ? 0 : 1];
    const struct gy_completion *read = &completions[completions[0].token == 99 ? 1 : 0];
    assert_int_equal(own->result, 1);
    assert_int_equal(read->token, receive_token(1));
    assert_int_equal(read->result, -ECANCELED);
    uint64_t one = 1;
    assert_int_equal(write(event, &one, sizeof one), sizeof one);
    struct gy_completion other = await_one(ring);
    assert_int_equal(other.token, receive_token(2));
    assert_int_equal(other.result, 8);
    assert_int_equal(values[1], 1);
    close(event);
    gy_ring_close(ring);
}

static void cancelling_a_descriptor_ends_all_its_operations_and_no_other(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int event = eventfd(0, EFD_CLOEXEC);
    int other = eventfd(0, EFD_CLOEXEC);
    uint64_t values[4];
    for (uint32_t i = 0; i < 3; i++) {
        gy_ring_read_event(ring, receive_token(i), event, &values[i]);
    }
    gy_ring_read_event(ring, receive_token(3), other, &values[3]);
    gy_ring_cancel_descriptor(ring, 99, event);
    struct gy_completion completions[4];
    await_completions(ring, completions, 4);
    uint32_t cancelled = 0;
    for (int i = 0; i < 4; i++) {
        if (completions[i].token == 99) {
            assert_int_equal(completions[i].result, 3);
        } else {
            assert_true(gy_token_slot(completions[i].token) < 3);
            assert_int_equal(completions[i].result, -ECANCELED);
            cancelled++;
        }
    }
    assert_int_equal(cancelled, 3);
    expect_quiet(ring);
    close(event);
    close(other);
    gy_ring_close(ring);
}

static void cancelling_a_descriptor_without_operations_finds_none(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int event = eventfd(0, EFD_CLOEXEC);
    gy_ring_cancel_descriptor(ring, 99, event);
    struct gy_completion completion = await_one(ring);
    assert_int_equal(completion.token, 99);
    assert_true(completion.result == 0 || completion.result == -ENOENT);
    close(event);
    gy_ring_close(ring);
}

static void closing_a_descriptor_tells_the_peer(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int ends[2];
    char byte;
    connect_pair(ends);
    gy_ring_close_descriptor(ring, 5, ends[0]);
    struct gy_completion completion = await_one(ring);
    assert_int_equal(completion.token, 5);
    assert_int_equal(completion.result, 0);
    assert_int_equal(recv(ends[1], &byte, 1, 0), 0);
    close(ends[1]);
    gy_ring_close(ring);
}

/* ---- accepting, sending ---- */

static int listen_anywhere(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)address, bytes), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)address, &bytes), 0);
    return listener;
}

static int dial(const struct sockaddr_in *address)
{
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (const struct sockaddr *)address, sizeof *address), 0);
    return client;
}

static void one_accept_yields_connection_after_connection(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    if (!(gy_ring_features(ring) & GY_RING_MULTISHOT_ACCEPT)) {
        gy_ring_close(ring);
        print_message("# the kernel lacks this operation\n");
        skip();
    }
    struct sockaddr_in address;
    int listener = listen_anywhere(&address);
    gy_ring_accept(ring, 4, listener, true);
    for (int i = 0; i < 5; i++) {
        int client = dial(&address);
        struct gy_completion completion = await_one(ring);
        assert_int_equal(completion.token, 4);
        assert_true(completion.flags & GY_COMPLETION_MORE);
        assert_true(completion.result >= 0);
        close(completion.result);
        close(client);
    }
    close(listener);
    gy_ring_close(ring);
}

static void one_connection_is_accepted(struct gy_ring *ring, bool multishot)
{
    struct sockaddr_in address;
    int listener = listen_anywhere(&address);
    int clients[2] = {dial(&address), dial(&address)};
    gy_ring_accept(ring, 4, listener, multishot);
    struct gy_completion completion = await_one(ring);
    assert_false(completion.flags & GY_COMPLETION_MORE);
    assert_true(completion.result >= 0);
    close(completion.result);
    expect_quiet(ring);
    close(clients[0]);
    close(clients[1]);
    close(listener);
    gy_ring_close(ring);
}

static void an_accept_without_multishot_yields_one_connection(void **state)
{
    (void)state;
    one_connection_is_accepted(
        ring_open(&(struct gy_ring_options){.entries = 8, .without = GY_RING_MULTISHOT_ACCEPT}),
        true);
}

static void an_accept_of_one_yields_one_connection(void **state)
{
    (void)state;
    one_connection_is_accepted(small_ring(), false);
}

static void a_send_that_waits_for_room_sends_all_of_it(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    const uint32_t bytes = 8u << 20; /* more than the sockets' buffers take */
    uint8_t *data = malloc(bytes);
    int ends[2];
    connect_pair(ends);
    for (uint32_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)(i % 251);
    }
    gy_ring_send(ring, 3, ends[0], data, bytes);
    uint64_t read_bytes = 0;
    uint8_t piece[65536];
    struct gy_completion completion = {0};
    while (read_bytes < bytes) {
        assert_int_equal(gy_ring_wait(ring, 0), 0);
        ssize_t got = recv(ends[1], piece, sizeof piece, MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++) {
            assert_int_equal(piece[i], (uint8_t)((read_bytes + (uint64_t)i) % 251));
        }
        read_bytes += got > 0 ? (uint64_t)got : 0;
    }
    completion = await_one(ring);
    assert_int_equal(completion.token, 3);
    assert_int_equal(completion.result, bytes);
    free(data);
    close(ends[0]);
    close(ends[1]);
    gy_ring_close(ring);
}

/* What ring.h promises: header and vectors are the caller's again once nothing is queued. */
static void a_gathered_send_does_not_need_its_vectors_after_the_submission(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    const uint32_t bytes = 4u << 20;
    uint8_t *data = malloc(2 * (size_t)bytes);
    memset(data, 'a', bytes);
    memset(data + bytes, 'b', bytes);
    struct iovec vectors[2] = {{data, bytes}, {data + bytes, bytes}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    int ends[2];
    connect_pair(ends);
    gy_ring_send_message(ring, 3, ends[0], &message);
    assert_int_equal(gy_ring_wait(ring, 0), 0);
    assert_int_equal(gy_ring_queued(ring), 0);
    memset(vectors, 0xff, sizeof vectors);
    memset(&message, 0xff, sizeof message);
    uint64_t counts[2] = {0, 0};
    uint8_t piece[65536];
    while (counts[0] + counts[1] < 2 * (uint64_t)bytes) {
        assert_int_equal(gy_ring_wait(ring, 0), 0);
        ssize_t got = recv(ends[1], piece, sizeof piece, MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++) {
            assert_true(piece[i] == 'a' || piece[i] == 'b');
            counts[piece[i] - 'a']++;
        }
    }
    assert_int_equal(counts[0], bytes);
    assert_int_equal(await_one(ring).result, 2 * bytes);
    free(data);
    close(ends[0]);
    close(ends[1]);
    gy_ring_close(ring);
}

static void a_send_to_a_peer_that_is_gone_is_a_result_and_no_signal(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int ends[2];
    connect_pair(ends);
    shutdown(ends[0], SHUT_WR);
    gy_ring_send(ring, 3, ends[0], "x", 1);
    assert_int_equal(await_one(ring).result, -EPIPE);
    close(ends[0]);
    close(ends[1]);
    gy_ring_close(ring);
}

static void send_nothing(void *ring)
{
    gy_ring_send(ring, 1, 0, "", 0);
}

static void a_send_of_nothing_is_asserted(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    expect_assertion(send_nothing, ring, "bytes > 0");
    gy_ring_close(ring);
}

/* ---- other rings ---- */

static void a_message_completes_on_the_other_ring(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    struct gy_ring *other = small_ring();
    if (!(gy_ring_features(ring) & GY_RING_MESSAGE_RING)) {
        print_message("# the kernel lacks this operation\n");
        skip();
    }
    uint64_t remote = gy_token(GY_OPERATION_MESSAGE, 3, 0);
    gy_ring_message(ring, 8, gy_ring_descriptor(other), remote, 42);
    assert_int_equal(gy_ring_submit(ring), 0);
    struct gy_completion theirs = await_one(other);
    assert_int_equal(theirs.token, remote);
    assert_int_equal(theirs.result, 42);
    struct gy_completion own = await_one(ring);
    assert_int_equal(own.token, 8);
    assert_int_equal(own.result, 0);
    gy_ring_close(other);
    gy_ring_close(ring);
}

struct sleeper {
    int descriptor_pipe[2];
    uint32_t without;
    struct gy_completion completion;
};

static void *sleep_until_a_message(void *argument)
{
    struct sleeper *sleeper = argument;
    struct gy_ring *ring;
    const struct gy_ring_options options = {.entries = 8, .without = sleeper->without};
    if (gy_ring_open(&ring, &options, NULL) != 0) {
        return NULL;
    }
    int descriptor = gy_ring_descriptor(ring);
    if (write(sleeper->descriptor_pipe[1], &descriptor, sizeof descriptor) > 0) {
        while (gy_ring_reap(ring, &sleeper->completion, 1) == 0) {
            gy_ring_wait(ring, GY_RING_FOREVER);
        }
    }
    gy_ring_close(ring);
    return NULL;
}

static void wake_a_sleeper(uint32_t without)
{
    struct gy_ring *ring = small_ring();
    struct sleeper sleeper = {.without = without};
    pthread_t thread;
    int descriptor = -1;
    assert_int_equal(pipe(sleeper.descriptor_pipe), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleep_until_a_message, &sleeper), 0);
    assert_int_equal(read(sleeper.descriptor_pipe[0], &descriptor, sizeof descriptor),
                     sizeof descriptor);
    usleep(20000); /* until it sleeps; if it does not yet, that is a case too */
    gy_ring_message(ring, 8, descriptor, gy_token(GY_OPERATION_MESSAGE, 1, 0), 7);
    assert_int_equal(await_one(ring).result, 0);
    pthread_join(thread, NULL);
    assert_int_equal(gy_token_operation(sleeper.completion.token), GY_OPERATION_MESSAGE);
    assert_int_equal(sleeper.completion.result, 7);
    close(sleeper.descriptor_pipe[0]);
    close(sleeper.descriptor_pipe[1]);
    gy_ring_close(ring);
}

static void a_message_wakes_a_ring_that_sleeps_in_another_thread(void **state)
{
    (void)state;
    wake_a_sleeper(0);
}

static void a_message_wakes_a_ring_without_deferred_task_work(void **state)
{
    (void)state;
    wake_a_sleeper(GY_RING_DEFER_TASKRUN);
}

/* Each message arrives there, or its own completion says EOVERFLOW: none is lost in silence. */
static void a_message_to_a_full_ring_arrives_or_is_reported(void **state)
{
    (void)state;
    const uint32_t kinds[] = {0, GY_RING_DEFER_TASKRUN};
    for (int kind = 0; kind < 2; kind++) {
        struct gy_ring *ring = ring_open(&(struct gy_ring_options){.entries = 64});
        struct gy_ring *other = ring_open(&(struct gy_ring_options){
            .entries = 8, .completion_entries = 8, .without = kinds[kind]});
        struct gy_completion completions[64];
        for (uint32_t i = 0; i < 64; i++) {
            gy_ring_message(ring, i, gy_ring_descriptor(other), 1000 + i, i);
        }
        await_completions(ring, completions, 64);
        uint32_t delivered = 0;
        for (int i = 0; i < 64; i++) {
            assert_true(completions[i].result == 0 || completions[i].result == -EOVERFLOW);
            delivered += completions[i].result == 0;
        }
        assert_true(delivered >= 8);
        await_completions(other, completions, delivered);
        expect_quiet(other);
        gy_ring_close(other);
        gy_ring_close(ring);
    }
}

static void a_message_to_what_is_no_ring_is_a_result(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int event = eventfd(0, EFD_CLOEXEC);
    gy_ring_message(ring, 8, event, 1, 1);
    assert_true(await_one(ring).result < 0);
    close(event);
    gy_ring_close(ring);
}

static void an_event_wakes_the_ring_and_leaves_its_value(void **state)
{
    (void)state;
    struct gy_ring *ring = small_ring();
    int event = eventfd(0, EFD_CLOEXEC);
    uint64_t value = 0;
    uint64_t three = 3;
    gy_ring_read_event(ring, 6, event, &value);
    assert_int_equal(gy_ring_submit(ring), 0);
    assert_int_equal(write(event, &three, sizeof three), sizeof three);
    struct gy_completion completion = await_one(ring);
    assert_int_equal(completion.token, 6);
    assert_int_equal(completion.result, 8);
    assert_int_equal(value, 3);
    close(event);
    gy_ring_close(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cancelling_by_token_ends_that_operation_alone),
        TEST(cancelling_a_descriptor_ends_all_its_operations_and_no_other),
        TEST(cancelling_a_descriptor_without_operations_finds_none),
        TEST(closing_a_descriptor_tells_the_peer),
        TEST(one_accept_yields_connection_after_connection),
        TEST(an_accept_without_multishot_yields_one_connection),
        TEST(an_accept_of_one_yields_one_connection),
        TEST(a_send_that_waits_for_room_sends_all_of_it),
        TEST(a_gathered_send_does_not_need_its_vectors_after_the_submission),
        TEST(a_send_to_a_peer_that_is_gone_is_a_result_and_no_signal),
        TEST(a_send_of_nothing_is_asserted),
        TEST(a_message_completes_on_the_other_ring),
        TEST(a_message_wakes_a_ring_that_sleeps_in_another_thread),
        TEST(a_message_wakes_a_ring_without_deferred_task_work),
        TEST(a_message_to_a_full_ring_arrives_or_is_reported),
        TEST(a_message_to_what_is_no_ring_is_a_result),
        TEST(an_event_wakes_the_ring_and_leaves_its_value),
    };
    return cmocka_run_group_tests_name("ring operations", tests, NULL, NULL);
}
