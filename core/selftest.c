/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/selftest.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/descriptor.h"
#include "core/log.h"
#include "core/pool.h"
#include "core/slab.h"
#include "core/slice.h"

#define CONNECTIONS 4
#define BUFFERS     16
#define LINKS       64
#define GROUP       1
#define DEADLINE_NS UINT64_C(1000000000) /* without a completion that was due */
#define LONGEST_NS  (30 * DEADLINE_NS)   /* altogether */

struct connection {
    int receiver; /* read by the ring; -1: closed */
    int sender;   /* written by plain calls */
    uint32_t number;
    struct gy_chain in;
    uint64_t sent;     /* bytes */
    uint64_t received; /* bytes, all of them compared */
    bool armed;
    bool starved; /* the last receive ended with ENOBUFS */
    bool ending;  /* the sender was shut down or closed */
    bool ended;   /* end of stream or reset */
};

struct selftest {
    enum gy_receive_mode mode;
    struct gy_ring *ring;
    struct gy_pool *pool;
    struct gy_slab links;
    uint64_t deadline_ns, longest_ns;
    bool holding; /* keep slices instead of dropping them */
    struct gy_error *error;
    struct connection connections[CONNECTIONS];
    _Alignas(GY_SLAB_ALIGN) uint8_t link_memory[LINKS * 64];
};

/* What connection `number` carries at `offset`: a period that no buffer size divides, so that a
 * byte from the wrong place, buffer or connection shows. */
static uint8_t pattern(uint32_t number, uint64_t offset)
{
    return (uint8_t)(offset % 251 + offset / 251 * 7 + number * 61);
}

static int failed(struct selftest *test, const char *what)
{
    return gy_error_set(test->error, GY_EIO, "self-test of %s receives: %s",
                        gy_receive_mode_name(test->mode), what);
}

static int failed_system(struct selftest *test, const char *doing)
{
    int cause = errno;
    return gy_error_set(test->error, gy_error_from_errno(cause), "self-test of %s receives: %s: %s",
                        gy_receive_mode_name(test->mode), doing, strerror(cause));
}

/* ---- connections ---- */

/* Both ends of a TCP connection over loopback; where there is no loopback, a pair of local sockets
 * tests the buffers all the same. */
static int connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ends[0] = ends[1] = -1;
    if (listener >= 0 && bind(listener, (struct sockaddr *)&address, bytes) == 0 &&
        listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&address, &bytes) == 0) {
        ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* Small writes must not wait for the acknowledgement of the one before. */
        setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (ends[1] >= 0 && connect(ends[1], (struct sockaddr *)&address, bytes) == 0) {
            ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        }
    }
    gy_descriptor_close(listener);
    if (ends[0] >= 0) {
        return 0;
    }
    gy_descriptor_close(ends[1]);
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static void connection_close(struct connection *connection)
{
    gy_chain_clear(&connection->in);
    gy_descriptor_close(connection->receiver);
    gy_descriptor_close(connection->sender);
    connection->receiver = connection->sender = -1;
}

static int connection_open(struct selftest *test, struct connection *connection)
{
    int ends[2];
    if (connect_pair(ends) != 0) {
        return failed_system(test, "connecting over loopback");
    }
    connection->receiver = ends[0];
    connection->sender = ends[1];
    connection->sent = connection->received = 0;
    connection->starved = connection->ending = connection->ended = false;
    return 0;
}

/* A fresh connection in the place of one whose stream has ended. */
static int connection_reopen(struct selftest *test, struct connection *connection)
{
    gy_assert(connection->ended && !connection->armed);
    connection_close(connection);
    return connection_open(test, connection);
}

static int write_pattern(struct selftest *test, struct connection *connection, uint32_t bytes)
{
    uint8_t data[1024];
    while (bytes > 0) {
        uint32_t piece = bytes < sizeof data ? bytes : (uint32_t)sizeof data;
        for (uint32_t i = 0; i < piece; i++) {
            data[i] = pattern(connection->number, connection->sent + i);
        }
        ssize_t sent = send(connection->sender, data, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0) {
            return failed_system(test, "sending the pattern");
        }
        connection->sent += (uint64_t)sent;
        bytes -= (uint32_t)sent;
    }
    return 0;
}

static void end_stream(struct connection *connection, bool reset)
{
    connection->ending = true;
    if (reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(connection->sender, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close(connection->sender);
        connection->sender = -1;
    } else {
        shutdown(connection->sender, SHUT_WR);
    }
}

/* ---- a turn ---- */

/* Compares the bytes that have arrived since the last time, and drops them unless they are to be
 * held. */
static int compare(struct selftest *test, struct connection *connection, uint32_t fresh)
{
    const struct gy_chain *in = &connection->in;
    uint32_t skip = in->length - fresh;
    uint64_t offset = connection->received;
    for (const struct gy_link *link = in->head; link != NULL; link = link->next) {
        const uint8_t *data = gy_slice_data(link->slice);
        uint32_t start = skip < link->slice.length ? skip : link->slice.length;
        skip -= start;
        for (uint32_t i = start; i < link->slice.length; i++, offset++) {
            if (data[i] != pattern(connection->number, offset)) {
                return failed(test, "a byte arrived that was not sent there; this kernel's buffers "
                                    "cannot be trusted in this mode");
            }
        }
    }
    connection->received = offset;
    if (connection->received > connection->sent) {
        return failed(test, "more arrived than was sent");
    }
    if (!test->holding) {
        gy_chain_clear(&connection->in);
    }
    return 0;
}

static int completed(struct selftest *test, const struct gy_completion *completion)
{
    struct connection *connection = &test->connections[gy_token_slot(completion->token)];
    if (!connection->armed) {
        return failed(test, "a completion came for a receive that was over");
    }
    int taken = gy_pool_take(test->pool, completion, &connection->in);
    connection->armed = completion->flags & GY_COMPLETION_MORE;
    if (taken < 0) {
        return failed(test, "the kernel named a buffer that it should not have had");
    }
    if (completion->result == 0 || completion->result == -ECONNRESET) {
        connection->ended = true;
        if (!connection->ending || connection->received < connection->sent) {
            return failed(test, "a stream ended before its last byte had arrived");
        }
        return connection->armed ? failed(test, "a receive went on after the end of stream") : 0;
    }
    if (completion->result == -ENOBUFS) {
        gy_pool_starved(test->pool);
        connection->starved = true;
        return connection->armed ? failed(test, "a receive went on without buffers") : 0;
    }
    if (completion->result < 0) {
        errno = -completion->result;
        return failed_system(test, "receiving");
    }
    return compare(test, connection, (uint32_t)taken);
}

static int arm(struct selftest *test)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = &test->connections[i];
        if (connection->armed || connection->ended || connection->starved) {
            continue;
        }
        int code = gy_ring_receive(test->ring, gy_token(GY_OPERATION_RECEIVE, i, 1),
                                   connection->receiver, GROUP, test->mode, false);
        if (code != 0) {
            return failed(test, "the submission queue was full");
        }
        connection->armed = true;
    }
    return 0;
}

static int turn(struct selftest *test)
{
    struct gy_completion completions[32];
    int code = arm(test);
    uint64_t now = gy_clock_ns();
    uint64_t left_ns = now < test->deadline_ns ? test->deadline_ns - now : 1;
    if (code == 0 && gy_ring_wait(test->ring, left_ns) != 0) {
        code = failed(test, "the ring broke");
    }
    now = gy_clock_ns();
    uint32_t count = 1, seen = 0;
    while (code == 0 && count > 0) {
        count = gy_ring_reap(test->ring, completions, 32);
        for (uint32_t i = 0; i < count && code == 0; i++) {
            code = completed(test, &completions[i]);
        }
        seen += count;
    }
    gy_pool_refill(test->pool);
    /* The ring was looked at after that time: a host that stops us for a second is no fault of it.
     */
    if (code == 0 && seen == 0 && now >= test->deadline_ns) {
        return failed(test, "bytes that were sent did not arrive within a second");
    }
    if (code == 0 && now >= test->longest_ns) {
        return failed(test, "completions came, but not all bytes within half a minute");
    }
    if (seen > 0) {
        test->deadline_ns = gy_clock_ns() + DEADLINE_NS;
    }
    return code;
}

static bool caught_up(const struct selftest *test)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        if (test->connections[i].received < test->connections[i].sent) {
            return false;
        }
    }
    return true;
}

/* Turns until everything sent has arrived. Receives that starved are armed again as soon as there
 * are buffers. */
static int catch_up(struct selftest *test)
{
    int code = 0;
    while (code == 0 && !caught_up(test)) {
        for (uint32_t i = 0; i < CONNECTIONS && gy_pool_ready(test->pool); i++) {
            test->connections[i].starved = false;
        }
        code = turn(test);
    }
    return code;
}

static int await_end(struct selftest *test, const struct connection *connection)
{
    int code = 0;
    while (code == 0 && !connection->ended) {
        code = turn(test);
    }
    return code;
}

/* ---- the cases ---- */

/* Connections share buffers: writes of odd sizes, some of which fill a buffer to the byte or
 * straddle two, on all connections before any is read. */
static int case_sharing(struct selftest *test)
{
    uint32_t whole = gy_pool_options(test->pool)->buffer_bytes;
    const uint32_t sizes[] = {1,         7, whole - 1, whole, whole + 1, 2 * whole - 9,
                              2 * whole, 3, 61,        113,   5,         whole - 61};
    int code = 0;
    for (uint32_t round = 0; round < sizeof sizes / sizeof sizes[0] && code == 0; round++) {
        for (uint32_t i = 0; i < CONNECTIONS && code == 0; i++) {
            code = write_pattern(test, &test->connections[i],
                                 sizes[(round + i * 5) % (sizeof sizes / sizeof sizes[0])]);
        }
        code = code != 0 ? code : catch_up(test);
    }
    return code;
}

/* Exactly what is posted, to the byte: the kernel uses its last buffer up and may end the receive
 * without saying why. */
static int case_filling(struct selftest *test)
{
    const struct gy_pool_options *options = gy_pool_options(test->pool);
    for (int round = 0; round < 3; round++) {
        int code =
            write_pattern(test, &test->connections[1], options->buffer_bytes * options->posted);
        code = code != 0 ? code : catch_up(test);
        code = code != 0 ? code : write_pattern(test, &test->connections[2], 1);
        code = code != 0 ? code : catch_up(test);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* Whether the kernel has nothing more to give: everything has arrived, or every receive that has
 * bytes waiting was refused a buffer. */
static bool stuck(const struct selftest *test)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        const struct connection *connection = &test->connections[i];
        if (connection->received < connection->sent && !connection->starved) {
            return false;
        }
    }
    return true;
}

/* Slices are held until no buffer is left; then they are dropped, and what waited goes on in order.
 */
static int case_exhaustion(struct selftest *test)
{
    const struct gy_pool_options *options = gy_pool_options(test->pool);
    uint32_t bytes = options->buffer_bytes * options->buffers;
    uint64_t before = gy_pool_counters(test->pool)->starved;
    test->holding = true;
    int code = write_pattern(test, &test->connections[0], bytes);
    code = code != 0 ? code : write_pattern(test, &test->connections[3], bytes);
    while (code == 0 && !stuck(test)) {
        code = turn(test);
    }
    test->holding = false;
    if (code != 0) {
        return code;
    }
    if (gy_pool_counters(test->pool)->starved == before) {
        return failed(test, "more arrived than the buffers can hold");
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        gy_chain_clear(&test->connections[i].in);
    }
    gy_pool_refill(test->pool);
    return catch_up(test);
}

/* Streams end, by a shut-down or a reset, in the middle of a shared buffer, and others go on in it.
 */
static int case_ends(struct selftest *test)
{
    int code = 0;
    for (uint32_t round = 0; round < 12 && code == 0; round++) {
        struct connection *ending = &test->connections[round % CONNECTIONS];
        struct connection *next = &test->connections[(round + 1) % CONNECTIONS];
        code = write_pattern(test, ending, 17 + round);
        if (round % 3 != 1) {
            code = code != 0 ? code : catch_up(test); /* else data and end arrive together */
        }
        if (code == 0) {
            end_stream(ending, round % 3 == 2);
        }
        code = code != 0 ? code : write_pattern(test, next, 29);
        code = code != 0 ? code : await_end(test, ending);
        code = code != 0 ? code : catch_up(test);
        code = code != 0 ? code : connection_reopen(test, ending);
    }
    return code;
}

/* All streams end; afterwards every buffer must be back. */
static int case_returned(struct selftest *test)
{
    int code = 0;
    for (uint32_t i = 0; i < CONNECTIONS && code == 0; i++) {
        end_stream(&test->connections[i], false);
        code = await_end(test, &test->connections[i]);
    }
    if (code == 0 && gy_pool_free(test->pool) != gy_pool_options(test->pool)->buffers) {
        return failed(test, "buffers did not come back");
    }
    return code;
}

static int run_cases(struct selftest *test)
{
    static int (*const cases[])(struct selftest *) = {
        case_sharing, case_filling, case_exhaustion, case_ends, case_sharing, case_returned,
    };
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        int code = connection_open(test, &test->connections[i]);
        if (code != 0) {
            return code;
        }
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = cases[i](test);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* ---- one mode ---- */

static const uint32_t mode_needs[GY_RECEIVE_MODE_COUNT] = {
    [GY_RECEIVE_ONE_SHOT] = GY_RING_BUFFER_RING,
    [GY_RECEIVE_MULTISHOT] = GY_RING_BUFFER_RING | GY_RING_MULTISHOT_RECEIVE,
    [GY_RECEIVE_INCREMENTAL] =
        GY_RING_BUFFER_RING | GY_RING_MULTISHOT_RECEIVE | GY_RING_BUFFER_INCREMENTAL,
    [GY_RECEIVE_BUNDLE] = GY_RING_BUFFER_RING | GY_RING_MULTISHOT_RECEIVE | GY_RING_RECEIVE_BUNDLE,
};

static int open_all(struct selftest *test, uint32_t without)
{
    struct gy_ring_options ring = {.entries = 16, .completion_entries = 64, .without = without};
    int code = gy_ring_open(&test->ring, &ring, test->error);
    if (code != 0) {
        return code;
    }
    if (mode_needs[test->mode] & ~gy_ring_features(test->ring)) {
        return gy_error_set(test->error, GY_ENOTSUP, "the ring here does not offer %s receives",
                            gy_receive_mode_name(test->mode));
    }
    struct gy_pool_options pool = {
        .group = GROUP,
        .buffer_bytes = test->mode == GY_RECEIVE_INCREMENTAL ? 1024 : 256,
        .buffers = BUFFERS,
        .posted = BUFFERS / 4,
        .mode = test->mode,
    };
    return gy_pool_open(&test->pool, test->ring, &pool, test->error);
}

/* A failed case may leave receives armed: without their group of buffers they write nowhere, and
 * closing the ring ends them. */
static void close_all(struct selftest *test)
{
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        connection_close(&test->connections[i]);
    }
    gy_pool_close(test->pool);
    gy_ring_close(test->ring);
}

int gy_selftest_receive(enum gy_receive_mode mode, uint32_t without, struct gy_error *error)
{
    gy_assert(mode >= 0 && mode < GY_RECEIVE_MODE_COUNT);
    struct selftest *test = aligned_alloc(GY_SLAB_ALIGN, sizeof *test);
    if (test == NULL) {
        return gy_error_set(error, GY_ENOMEM, "self-test of receives: out of memory");
    }
    memset(test, 0, sizeof *test);
    test->mode = mode;
    test->error = error;
    gy_slab_init(&test->links, test->link_memory, sizeof test->link_memory, sizeof(struct gy_link));
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        test->connections[i].receiver = test->connections[i].sender = -1;
        test->connections[i].number = i;
        gy_chain_init(&test->connections[i].in, &test->links);
    }
    int code = open_all(test, without);
    if (code == 0) {
        test->deadline_ns = gy_clock_ns() + DEADLINE_NS;
        test->longest_ns = gy_clock_ns() + LONGEST_NS;
        code = run_cases(test);
    }
    close_all(test);
    free(test);
    return code;
}

/* ---- which mode ---- */

/* Releases in which a mode is wrong in ways that depend on load, first and last bad one. */
static const struct {
    enum gy_receive_mode mode;
    uint32_t first;
    uint32_t last;
    const char *why;
} known_bad[] = {
    {GY_RECEIVE_BUNDLE, 0x060d0b, 0x060e08,
     "Linux 6.13.11 to 6.14.8 can complete bundles in the wrong order"},
};

static uint32_t release_number(const char *release)
{
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2) {
        return 0;
    }
    return (major > 255 ? 255 : major) << 16 | (minor > 255 ? 255 : minor) << 8 |
           (patch > 255 ? 255 : patch);
}

const char *gy_selftest_known_bad_in(enum gy_receive_mode mode, const char *release)
{
    uint32_t number = release_number(release);
    for (size_t i = 0; i < sizeof known_bad / sizeof known_bad[0]; i++) {
        if (known_bad[i].mode == mode && number >= known_bad[i].first &&
            number <= known_bad[i].last) {
            return known_bad[i].why;
        }
    }
    return NULL;
}

const char *gy_selftest_known_bad(enum gy_receive_mode mode)
{
    struct utsname name;
    return uname(&name) == 0 ? gy_selftest_known_bad_in(mode, name.release) : NULL;
}

static void log_step_down(enum gy_receive_mode mode, enum gy_log_level level, const char *why)
{
    gy_log_with(level, "selftest", gy_fields(gy_text("mode", gy_receive_mode_name(mode))),
                "this receive mode is passed over: %s", why);
}

int gy_selftest_choose(uint32_t without, enum gy_receive_mode *mode, struct gy_error *error)
{
    static const enum gy_receive_mode order[] = {GY_RECEIVE_INCREMENTAL, GY_RECEIVE_MULTISHOT,
                                                 GY_RECEIVE_ONE_SHOT};
    struct gy_error own = {0};
    struct gy_error *told = error != NULL ? error : &own;
    int code = GY_ENOTSUP;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const char *bad = gy_selftest_known_bad(order[i]);
        if (bad != NULL) {
            code = gy_error_set(told, GY_ENOTSUP, "%s", bad);
            log_step_down(order[i], GY_LOG_INFO, bad);
            continue;
        }
        code = gy_selftest_receive(order[i], without, told);
        if (code == 0) {
            *mode = order[i];
            return 0;
        }
        if (code != GY_ENOTSUP && code != GY_EIO) {
            return code; /* no ring, memory or descriptors: another mode would not get them either
                          */
        }
        log_step_down(order[i], code == GY_ENOTSUP ? GY_LOG_INFO : GY_LOG_WARN, told->message);
    }
    return code;
}
