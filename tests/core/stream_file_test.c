/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Ranges of files in a stream's output (core/file_range.h): sent by a real call through a real
 * socket, while the ring, of which only waiting is asked, is played by the test. */

#include "core/file_range.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define FILE_BYTES (3u << 20)

static uint8_t content[FILE_BYTES];
static uint8_t got[2 * FILE_BYTES];
static int file;
static uint32_t released, failed;

static int set_up(void **state)
{
    char name[] = "/tmp/gyre-stream-file-XXXXXX";
    deadline("stream_file", 30);
    released = failed = 0;
    pattern_fill(content, sizeof content, 1, 0);
    file = mkostemp(name, O_CLOEXEC);
    assert_true(file >= 0);
    unlink(name);
    assert_int_equal(write(file, content, sizeof content), sizeof content);
    struct stage_options options = {.limits = {.write_timeout_ms = 3000, .linger_timeout_ms = 500}};
    *state = stage_open(&options);
    return 0;
}

static int tear_down(void **state)
{
    stage_close(*state);
    close(file);
    return 0;
}

static void on_release(struct gy_buffer *buffer)
{
    (void)buffer;
    released++;
}

static void on_failed(struct gy_file_range *range)
{
    (void)range;
    failed++;
}

/* The range's only slice goes to the stream. */
static void put_range(struct gy_stream *stream, struct gy_file_range *range, uint64_t position,
                      uint32_t bytes)
{
    if (!gy_file_is_sendable(file)) {
        print_message("# the file system of /tmp does not say what is in the page cache\n");
        skip();
    }
    gy_file_range_init(range, file, position, bytes, on_release);
    range->failed = on_failed;
    struct gy_slice slice = {&range->buffer, 0, bytes};
    assert_int_equal(gy_chain_append(&stream->out, slice), 0);
    gy_stream_wake(stream);
}

/* Reads what the peer has been sent by now. */
static uint32_t read_all(int client, uint32_t have)
{
    ssize_t more;
    while ((more = recv(client, got + have, sizeof got - have, MSG_DONTWAIT)) > 0) {
        have += (uint32_t)more;
    }
    return have;
}

/* The operation of the kind on the stream (NULL: on the file), once it has been submitted. */
static struct fake_operation *submitted(struct stage *stage, const struct gy_stream *stream,
                                        enum fake_kind kind)
{
    int descriptor = stream != NULL ? stream->descriptor : file;
    struct fake_operation *operation = fake_of(ring_of(stage), kind, descriptor);
    return operation != NULL && operation->submitted ? operation : NULL;
}

/* Plays the kernel: the peer reads, and what the stream waits for comes. Until its output is sent,
 * or it ends. Returns bytes read. */
static uint32_t play(struct stage *stage, struct gy_stream *stream, int client, uint32_t have)
{
    for (int round = 0; stream->out.length > 0; round++) {
        assert_true(round < 1000);
        have = read_all(client, have);
        struct fake_operation *poll = submitted(stage, stream, FAKE_POLL);
        struct fake_operation *send = submitted(stage, stream, FAKE_SEND);
        if (poll != NULL) {
            assert_int_equal(poll->events, POLLOUT);
            assert_false(poll->multishot);
            assert_null(send);
            fake_complete(ring_of(stage), poll, POLLOUT, 0);
        } else if (send != NULL) {
            assert_int_equal(write(stream->descriptor, send->content, send->bytes), send->bytes);
            fake_complete(ring_of(stage), send, (int32_t)send->bytes, 0);
        }
        stage_turn(stage);
    }
    return read_all(client, have);
}

static void a_range_is_sent_as_it_lies_in_the_file(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_range(stream, &range, 12345, 2000000);
    assert_int_equal(play(stage, stream, client, 0), 2000000);
    assert_memory_equal(got, content + 12345, 2000000);
    assert_int_equal(released, 1);
    assert_int_equal(failed, 0);
    assert_int_equal(stage_counter(stage, sent_bytes), 2000000);
    assert_int_equal(stage_counter(stage, file_sent_bytes), 2000000);
    assert_true(stage_counter(stage, file_sends) > 1);
    assert_int_equal(stage_counter(stage, file_cold_reads), 0);
    assert_int_equal(stage_counter(stage, copied_bytes), 0);
    close(client);
}

static void what_stands_before_between_and_behind_ranges_keeps_its_place(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range ranges[3];
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, "head", 4);
    put_range(stream, &ranges[0], 0, 300000);
    put_range(stream, &ranges[1], 1000000, 1);
    stage_put(stage, stream, "be", 2);
    stage_put(stage, stream, "tween", 5);
    put_range(stream, &ranges[2], FILE_BYTES - 100000, 100000);
    stage_put(stage, stream, "tail", 4);
    assert_int_equal(play(stage, stream, client, 0), 400016);
    assert_memory_equal(got, "head", 4);
    assert_memory_equal(got + 4, content, 300000);
    assert_memory_equal(got + 300004, content + 1000000, 1);
    assert_memory_equal(got + 300005, "between", 7);
    assert_memory_equal(got + 300012, content + FILE_BYTES - 100000, 100000);
    assert_memory_equal(got + 400012, "tail", 4);
    assert_int_equal(released, 3);
    close(client);
}

static void a_head_leaves_in_the_same_turn_as_its_file(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, "head", 4);
    put_range(stream, &range, 0, 50000);
    stage_turn(stage);
    assert_int_equal(stream->out.length, 0);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), 0);
    assert_int_equal(read_all(client, 0), 50004);
    close(client);
}

static void a_long_piece_before_a_range_is_sent_by_the_ring(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, content, 20000);
    put_range(stream, &range, 20000, 30000);
    stage_turns(stage, 2);
    assert_int_equal(stage_send_of(stage, stream)->bytes, 20000);
    assert_int_equal(play(stage, stream, client, 0), 50000);
    assert_memory_equal(got, content, 50000);
    close(client);
}

static void nothing_of_a_range_is_sent_while_a_send_is_in_flight(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    stage_put(stage, stream, "first", 5);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
    put_range(stream, &range, 0, 1000);
    stage_turns(stage, 5);
    assert_int_equal(read_all(client, 0), 0);
    stage_sent(stage, stream, 5); /* the fake one sends nothing */
    stage_turn(stage);
    assert_int_equal(read_all(client, 0), 1000);
    close(client);
}

static void a_full_socket_is_waited_for_and_the_wait_has_the_write_deadline(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_range(stream, &range, 0, FILE_BYTES);
    stage_turns(stage, 10);
    assert_int_equal(fake_total(ring_of(stage), FAKE_POLL), 1); /* it does not spin */
    assert_int_equal(stage_counter(stage, file_waits), 1);
    assert_int_equal(fake_last_wait_ns(ring_of(stage)) > 1000000, true);
    fake_clock_advance(2990);
    stage_turn(stage);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    fake_clock_advance(10);
    stage_turns(stage, 2);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stream->reason, GY_CLOSE_TIMEOUT);
    assert_int_equal(stage_counter(stage, timeouts_write), 1);
    fake_complete(ring_of(stage), fake_of(ring_of(stage), FAKE_POLL, stream->descriptor),
                  -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 1, 0);
    stage_turns(stage, 3);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(released, 1);
    close(client);
}

/* For so long; what the ring's polls say, asked for or not, is that the peer has shut its side. */
static void play_a_peer_that_has_shut(struct stage *stage, const struct gy_stream *stream,
                                      uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        struct fake_operation *poll = submitted(stage, stream, FAKE_POLL);
        if (poll != NULL) {
            fake_complete(ring_of(stage), poll, POLLRDHUP, 0);
        }
        stage_turns(stage, 2);
        fake_clock_advance(1);
    }
}

static void a_full_socket_of_a_peer_that_has_shut_its_side_is_waited_for_by_time(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_range(stream, &range, 0, FILE_BYTES);
    stage_turns(stage, 2);
    fake_complete(ring_of(stage), submitted(stage, stream, FAKE_POLL), POLLRDHUP, 0);
    stage_turns(stage, 10);
    assert_int_equal(fake_total(ring_of(stage), FAKE_POLL), 1); /* it does not spin */
    play_a_peer_that_has_shut(stage, stream, 2900);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    assert_int_equal(fake_total(ring_of(stage), FAKE_POLL), 1);
    play_a_peer_that_has_shut(stage, stream, 110); /* its looks do not put the end off */
    assert_int_equal(stage_counter(stage, timeouts_write), 1);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stream->reason, GY_CLOSE_TIMEOUT);
    close(client);
}

/* A whole file, to a peer that reads. Returns how much of it came before the end of `out`. */
static uint32_t send_to_a_peer_that_has_shut(struct stage *stage, struct gy_stream *stream,
                                             int client)
{
    static struct gy_file_range range;
    uint32_t have = 0;
    put_range(stream, &range, 0, FILE_BYTES);
    for (int i = 0; stream->out.length > 0; i++) {
        assert_true(i < 1000);
        play_a_peer_that_has_shut(stage, stream, 2);
        have = read_all(client, have);
    }
    return have;
}

static void a_peer_that_has_shut_its_side_gets_all_of_a_file(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    uint32_t have = send_to_a_peer_that_has_shut(stage, stream, client);
    assert_int_equal(read_all(client, have), FILE_BYTES);
    assert_memory_equal(got, content, FILE_BYTES);
    close(client);
}

/* The last of the file went without the ring: nobody is waited for any more. */
static void the_deadline_of_a_wait_by_time_ends_with_the_wait(void **state)
{
    struct stage *stage = *state;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    send_to_a_peer_that_has_shut(stage, stream, client);
    assert_true(fake_total(ring_of(stage), FAKE_POLL) > 0);
    fake_clock_advance(4000);
    stage_turns(stage, 2);
    assert_int_equal(stage_counter(stage, timeouts_write), 0);
    assert_int_equal(stream->state, GY_STREAM_OPEN);
    close(client);
}

static void a_send_behind_a_file_that_the_ring_gives_up_is_tried_again_by_time(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_range(stream, &range, 0, 1000);
    stage_turns(stage, 2);
    stage_put(stage, stream, "next", 4);
    gy_stream_wake(stream);
    stage_turns(stage, 2);
    uint64_t sends = fake_total(ring_of(stage), FAKE_SEND);
    while (send(stream->descriptor, content, 4096, MSG_DONTWAIT) > 0) {
        /* until it is full */
    }
    fake_complete(ring_of(stage), submitted(stage, stream, FAKE_SEND), -EAGAIN, 0);
    stage_turns(stage, 10);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), sends);
    read_all(client, 0);
    fake_clock_advance(2);
    stage_turns(stage, 2);
    assert_int_equal(fake_total(ring_of(stage), FAKE_SEND), sends + 1);
    stage_sent(stage, stream, 4);
    stage_turns(stage, 2);
    assert_int_equal(stream->out.length, 0);
    close(client);
}

static void a_peer_that_is_gone_ends_the_stream_without_a_signal(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    put_range(stream, &range, 0, 1000);
    close(client);
    stage_turns(stage, 2);
    assert_int_equal(stream->state, GY_STREAM_CLOSING);
    assert_int_equal(stream->reason, GY_CLOSE_RESET);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 1, 0);
    stage_turns(stage, 3);
    assert_int_equal(released, 1);
    assert_int_equal(failed, 0);
}

static void a_file_that_got_shorter_ends_the_stream_behind_what_there_was(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    assert_int_equal(ftruncate(file, 10000), 0);
    stage_put(stage, stream, "head", 4);
    put_range(stream, &range, 0, 50000);
    stage_put(stage, stream, "next answer", 11);
    for (int i = 0; i < 10 && !failed; i++) {
        struct fake_operation *poll = submitted(stage, stream, FAKE_POLL);
        struct fake_operation *send = submitted(stage, stream, FAKE_SEND);
        struct fake_operation *read = submitted(stage, NULL, FAKE_READ);
        if (poll != NULL) {
            fake_complete(ring_of(stage), poll, POLLOUT, 0);
        } else if (send != NULL) { /* of the head alone: it is not known what follows */
            assert_int_equal(write(stream->descriptor, send->content, 4), 4);
            fake_complete(ring_of(stage), send, 4, 0);
        } else if (read != NULL) {
            fake_complete(ring_of(stage), read, stream->out.length < 50011 ? 0 : 10000, 0);
        }
        stage_turn(stage);
    }
    assert_int_equal(failed, 1);
    assert_int_equal(released, 1);
    assert_int_equal(read_all(client, 0), 10004);
    assert_memory_equal(got + 4, content, 10000);
    assert_true(client_sees_end(client));
    assert_int_equal(stream->reason, GY_CLOSE_ERROR);
    assert_int_equal(stage_counter(stage, file_failures), 1);
    close(client);
}

/* Drops the file from the page cache, where that can be done. */
static void make_cold(void)
{
    assert_int_equal(fsync(file), 0);
    for (int i = 0; i < 100 && gy_file_is_resident(file, 0, FILE_BYTES); i++) {
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    }
    if (gy_file_is_resident(file, 0, 4096)) {
        print_message("# /tmp keeps its files in memory\n");
        skip();
    }
}

static void what_is_not_in_the_page_cache_is_read_by_the_ring_first(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    make_cold();
    put_range(stream, &range, 5000, 300000);
    stage_turns(stage, 2);
    assert_int_equal(read_all(client, 0), 0);
    struct fake_operation *read = fake_first(ring_of(stage), FAKE_READ);
    assert_non_null(read);
    assert_int_equal(read->bytes, GY_FILE_RANGE_READ_BYTES);
    assert_int_equal(stage_counter(stage, file_cold_reads), 1);
    assert_true(pread(file, got, 100000, 5000) == 100000); /* what the ring does */
    fake_complete(ring_of(stage), read, 100000, 0);
    stage_turn(stage);
    assert_true(read_all(client, 0) >= 100000);
    assert_memory_equal(got, content + 5000, 100000);
    assert_int_equal(released, 0);
    close(client);
}

/* As a user whom the kernel does not tell of whole ranges of this file: 1 resident, 0 not. */
static int resident_for_nobody(uint32_t bytes)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(setresuid(65534, 65534, 65534) != 0 ? 2 : gy_file_is_resident(descriptor, 0, bytes));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(descriptor);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_file_of_another_user_is_asked_in_steps_whether_it_is_there(void **state)
{
    (void)state;
    if (geteuid() != 0 || !gy_file_is_sendable(file)) {
        print_message("# it takes root to be another user, and a file system that can be asked\n");
        skip();
    }
    assert_int_equal(resident_for_nobody(FILE_BYTES), 1);
    assert_int_equal(resident_for_nobody(1), 1);
    make_cold();
    assert_int_equal(resident_for_nobody(FILE_BYTES), 0);
}

static void a_file_that_cannot_be_read_ends_the_stream(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    make_cold();
    put_range(stream, &range, 0, 300000);
    stage_turns(stage, 2);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_READ), -EIO, 0);
    stage_turns(stage, 2);
    assert_int_equal(failed, 1);
    assert_int_equal(stream->reason, GY_CLOSE_ERROR);
    assert_int_equal(released, 1);
    close(client);
}

static void an_end_while_pages_are_read_waits_for_the_read(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    make_cold();
    put_range(stream, &range, 0, 300000);
    stage_turns(stage, 2);
    gy_stream_abort(stream, GY_CLOSE_LOCAL);
    stage_turns(stage, 2);
    assert_int_equal(released, 0);
    fake_complete(ring_of(stage), stage_receive_of(stage, stream), -ECANCELED, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 1, 0);
    stage_turns(stage, 3);
    assert_int_equal(stage->closed_count, 0);
    fake_complete(ring_of(stage), fake_first(ring_of(stage), FAKE_READ), 4096, 0);
    fake_complete(ring_of(stage), stage_cancel_of(stage, stream), 0, 0); /* it came too late */
    stage_turns(stage, 3);
    assert_int_equal(stage->closed_count, 1);
    assert_int_equal(released, 1);
    close(client);
}

static void a_turn_sends_no_more_of_files_than_its_bound(void **state)
{
    struct stage *stage = *state;
    enum { STREAMS = 8 };
    static struct gy_file_range ranges[STREAMS];
    struct gy_stream *streams[STREAMS];
    int clients[STREAMS];
    int most = 1 << 20;
    for (int i = 0; i < STREAMS; i++) {
        streams[i] = stage_connect(stage, 0, &clients[i]);
        setsockopt(streams[i]->descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof most);
    }
    for (int i = 0; i < STREAMS; i++) {
        put_range(streams[i], &ranges[i], 0, GY_SEND_LONG_BYTES);
    }
    stage->worker.short_until_ms = stage->worker.now_ms + 1; /* it was asked for something before */
    uint64_t before = stage_counter(stage, file_sent_bytes);
    stage_turn(stage);
    uint64_t sent = stage_counter(stage, file_sent_bytes) - before;
    assert_true(sent > 0 && sent <= GY_TURN_LONG_BYTES);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(play(stage, streams[i], clients[i], 0), GY_SEND_LONG_BYTES);
        assert_memory_equal(got, content, GY_SEND_LONG_BYTES);
        close(clients[i]);
    }
    assert_int_equal(released, STREAMS);
}

static void room_is_announced_as_for_what_is_in_memory(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_READ | GY_WANT_ROOM;
    put_range(stream, &range, 0, 1000);
    stage_turn(stage);
    act_of(stream)->wants = GY_WANT_READ;
    uint32_t turns = act_of(stream)->turns;
    stage_turn(stage);
    assert_int_equal(act_of(stream)->turns, turns + 1);
    close(client);
}

static void a_stream_that_is_closed_by_its_session_sends_the_range_first(void **state)
{
    struct stage *stage = *state;
    static struct gy_file_range range;
    int client;
    struct gy_stream *stream = stage_connect(stage, 0, &client);
    act_of(stream)->wants = GY_WANT_CLOSE | GY_WANT_LINGER;
    put_range(stream, &range, 0, 1000000);
    assert_int_equal(play(stage, stream, client, 0), 1000000);
    stage_turns(stage, 2);
    assert_int_equal(stream->state, GY_STREAM_LINGERING);
    assert_true(client_sees_end(client));
    close(client);
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FILE_TEST(a_range_is_sent_as_it_lies_in_the_file),
        FILE_TEST(what_stands_before_between_and_behind_ranges_keeps_its_place),
        FILE_TEST(a_head_leaves_in_the_same_turn_as_its_file),
        FILE_TEST(a_long_piece_before_a_range_is_sent_by_the_ring),
        FILE_TEST(nothing_of_a_range_is_sent_while_a_send_is_in_flight),
        FILE_TEST(a_full_socket_is_waited_for_and_the_wait_has_the_write_deadline),
        FILE_TEST(a_full_socket_of_a_peer_that_has_shut_its_side_is_waited_for_by_time),
        FILE_TEST(a_peer_that_has_shut_its_side_gets_all_of_a_file),
        FILE_TEST(the_deadline_of_a_wait_by_time_ends_with_the_wait),
        FILE_TEST(a_send_behind_a_file_that_the_ring_gives_up_is_tried_again_by_time),
        FILE_TEST(a_peer_that_is_gone_ends_the_stream_without_a_signal),
        FILE_TEST(a_file_that_got_shorter_ends_the_stream_behind_what_there_was),
        FILE_TEST(what_is_not_in_the_page_cache_is_read_by_the_ring_first),
        FILE_TEST(a_file_of_another_user_is_asked_in_steps_whether_it_is_there),
        FILE_TEST(a_file_that_cannot_be_read_ends_the_stream),
        FILE_TEST(an_end_while_pages_are_read_waits_for_the_read),
        FILE_TEST(a_turn_sends_no_more_of_files_than_its_bound),
        FILE_TEST(room_is_announced_as_for_what_is_in_memory),
        FILE_TEST(a_stream_that_is_closed_by_its_session_sends_the_range_first),
    };
    return cmocka_run_group_tests_name("stream_file", tests, NULL, NULL);
}
