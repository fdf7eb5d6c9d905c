/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Names dialled and raced, and the pool of connections, on the fake ring: a resolver that says what
 * it is told to, and a clock that stands still. */

#include <errno.h>
#include <sys/socket.h>

#include "core/connections.h"
#include "tests/core/core_harness.h"
#include "tests/core/fake_ring.h"

#define NAME     "www.example.org"
#define LEASES   16
#define DELAY_MS 250
#define WHOLE_MS 5000
#define IDLE_MS  1000
#define RETRY_MS 100

/* ---- the scene ---- */

struct scene {
    struct stage *stage;
    struct gy_resolver resolver;
    struct gy_query *asked; /* the last one not answered */
    uint32_t questions, cancels;
    int refuses;
    struct gy_connector connector;
    struct gy_connections pool;
    bool pooled;
    struct gy_dial dial;
    uint32_t done;
    struct gy_stream *stream; /* what `done` got */
    uint32_t opened, closed;
    struct gy_lease leases[LEASES];
    struct gy_stream *leased[LEASES];
    bool used[LEASES];
    uint32_t failed[LEASES];
    struct gy_error error;
};

static struct scene *scene_of(struct gy_stream *stream)
{
    return stream->endpoint->context;
}

static uint32_t on_open(struct gy_stream *stream)
{
    assert_int_equal(*(uint64_t *)stream->session, 0);
    scene_of(stream)->opened++;
    return GY_WANT_READ;
}

static uint32_t on_turn(struct gy_stream *stream)
{
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t on_drain(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)reason;
    scene_of(stream)->closed++;
}

static const struct gy_stream_ops ops = {on_open, on_turn, on_turn, on_drain, on_closed};

static struct scene *scene_with(struct gy_resolver *resolver)
{
    return (struct scene *)((char *)resolver - offsetof(struct scene, resolver));
}

static int ask(struct gy_resolver *resolver, struct gy_query *query)
{
    struct scene *scene = scene_with(resolver);
    scene->questions++;
    if (scene->refuses != 0) {
        return scene->refuses;
    }
    scene->asked = query;
    query->handle = scene;
    return 0;
}

static void cancel(struct gy_resolver *resolver, struct gy_query *query)
{
    struct scene *scene = scene_with(resolver);
    assert_ptr_equal(scene->asked, query);
    query->handle = NULL;
    scene->asked = NULL;
    scene->cancels++;
}

static void on_done(struct gy_dial *dial, struct gy_stream *stream)
{
    struct scene *scene = dial->context;
    scene->done++;
    scene->stream = stream;
}

static void open_connector(struct scene *scene, uint32_t connections_max, bool resolves)
{
    struct gy_connector_options options = {
        .name = "test",
        .ops = &ops,
        .context = scene,
        .session_bytes = 24,
        .connections_max = connections_max,
        .resolver = resolves ? &scene->resolver : NULL,
        .attempt_delay_ms = DELAY_MS,
        .attempt_timeout_ms = 2000,
        .timeout_ms = WHOLE_MS,
    };
    assert_int_equal(gy_connector_open(&scene->connector, &scene->stage->worker, &options, NULL),
                     0);
}

static int set_up(void **state)
{
    deadline("connector", 30);
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->stage = stage_open(NULL);
    scene->resolver = (struct gy_resolver){.ask = ask, .cancel = cancel};
    scene->dial.context = scene;
    fake_cancel_by_itself(scene->stage->worker.ring);
    open_connector(scene, 0, true);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    struct gy_worker *worker = &scene->stage->worker;
    if (scene->pooled) {
        gy_connections_stop(&scene->pool);
    }
    gy_dial_cancel(&scene->dial);
    for (uint32_t slot = 0; slot < worker->streams.fresh; slot++) {
        if (worker->generations[slot] & 1) {
            gy_stream_abort(gy_slab_at(&worker->streams, slot), GY_CLOSE_DRAIN);
        }
    }
    stage_turns(scene->stage, 6);
    assert_int_equal(scene->connector.endpoint.connections, 0);
    assert_int_equal(scene->opened, scene->closed);
    if (scene->pooled) {
        gy_connections_close(&scene->pool);
    }
    gy_connector_close(&scene->connector);
    stage_close(scene->stage);
    free(scene);
    return 0;
}

static void begin(struct scene *scene, const char *host)
{
    gy_dial_begin(&scene->dial, &scene->connector, host, 80, on_done);
    stage_turns(scene->stage, 2);
}

/* Answers with addresses, a NULL behind the last. */
static void resolve(struct scene *scene, const char *const *addresses)
{
    struct gy_query *query = scene->asked;
    assert_non_null(query);
    for (query->count = 0; addresses[query->count] != NULL; query->count++) {
        assert_int_equal(
            gy_address_parse(&query->addresses[query->count], addresses[query->count], NULL), 0);
    }
    query->handle = NULL;
    scene->asked = NULL;
    query->answered(query);
    stage_turns(scene->stage, 2);
}

/* Answers with some addresses, and says whether more may come. */
static void resolve_some(struct scene *scene, const char *const *addresses, bool more)
{
    struct gy_query *query = scene->asked;
    assert_non_null(query);
    for (; *addresses != NULL; addresses++) {
        assert_int_equal(gy_address_parse(&query->addresses[query->count++], *addresses, NULL), 0);
    }
    query->more = more;
    if (!more) {
        query->handle = NULL;
        scene->asked = NULL;
    }
    query->answered(query);
    stage_turns(scene->stage, 2);
}

static void pass(struct scene *scene, uint64_t ms)
{
    fake_clock_advance(ms);
    stage_turns(scene->stage, 3);
}

static struct fake_operation *connect_of(struct scene *scene, struct gy_stream *stream)
{
    assert_non_null(stream);
    struct fake_operation *operation =
        fake_of(scene->stage->worker.ring, FAKE_CONNECT, stream->descriptor);
    assert_non_null(operation);
    return operation;
}

/* The n-th attempt of the scene's dial ends: 0 or a negative errno. */
static void complete(struct scene *scene, uint32_t attempt, int result)
{
    struct gy_stream *stream = scene->dial.attempts[attempt].stream;
    fake_complete(scene->stage->worker.ring, connect_of(scene, stream), result, 0);
}

static void attempt_ends(struct scene *scene, uint32_t attempt, int result)
{
    complete(scene, attempt, result);
    stage_turns(scene->stage, 4);
}

static const char *const four_addresses[] = {"127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0",
                                             "127.0.0.4:0", NULL};

static void assert_said(struct scene *scene, const char *text)
{
    if (strstr(scene->dial.error.message, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, scene->dial.error.message);
    }
}

/* ---- dialling ---- */

static void an_address_is_dialled_without_asking(void **state)
{
    struct scene *scene = *state;
    begin(scene, "127.0.0.1");
    assert_int_equal(scene->questions, 0);
    assert_int_equal(scene->dial.begun, 1);
    attempt_ends(scene, 0, 0);
    assert_int_equal(scene->done, 1);
    assert_non_null(scene->stream);
    assert_int_equal(scene->opened, 1);
    assert_int_equal(gy_address_port(&gy_connection_of(scene->stream)->peer), 80);
}

static void a_name_is_asked_for_and_dialled(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    assert_string_equal(scene->asked->name, NAME);
    assert_int_equal(scene->dial.begun, 0);
    resolve(scene, four_addresses);
    assert_int_equal(scene->dial.begun, 1);
    attempt_ends(scene, 0, 0);
    assert_non_null(scene->stream);
    pass(scene, WHOLE_MS);
    assert_int_equal(scene->done, 1);
}

static void families_take_turns(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene,
            (const char *[]){"[::1]:0", "[::2]:0", "[::3]:0", "127.0.0.1:0", "127.0.0.2:0", NULL});
    static const char *const expected[] = {"[::1]", "127.0.0.1", "[::2]", "127.0.0.2", "[::3]"};
    for (uint32_t i = 0; i < 5; i++) {
        char text[GY_ADDRESS_TEXT_BYTES];
        gy_address_format(&scene->dial.query.addresses[i], text, sizeof text);
        assert_memory_equal(text, expected[i], strlen(expected[i]));
    }
}

static void the_next_attempt_starts_after_the_delay(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene, four_addresses);
    pass(scene, DELAY_MS - 1);
    assert_int_equal(scene->dial.begun, 1);
    pass(scene, 1);
    assert_int_equal(scene->dial.begun, 2);
    pass(scene, DELAY_MS);
    assert_int_equal(scene->dial.begun, 3);
}

static void a_failure_starts_the_next_attempt_at_once(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene, four_addresses);
    attempt_ends(scene, 0, -ECONNREFUSED);
    assert_int_equal(scene->dial.begun, 2);
    attempt_ends(scene, 1, 0);
    assert_int_equal(scene->done, 1);
    assert_non_null(scene->stream);
}

static void the_first_to_connect_wins_and_the_others_are_given_up(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene, four_addresses);
    pass(scene, DELAY_MS);
    pass(scene, DELAY_MS);
    assert_int_equal(scene->connector.endpoint.connections, 3);
    struct gy_stream *second = scene->dial.attempts[1].stream;
    attempt_ends(scene, 1, 0);
    assert_ptr_equal(scene->stream, second);
    assert_int_equal(scene->connector.endpoint.connections, 1);
    assert_int_equal(scene->opened, 1);
    assert_int_equal(scene->closed, 0);
    pass(scene, WHOLE_MS);
    assert_int_equal(scene->done, 1);
}

static void two_that_connect_at_once_leave_one(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene, four_addresses);
    pass(scene, DELAY_MS);
    complete(scene, 0, 0);
    complete(scene, 1, 0);
    stage_turns(scene->stage, 4);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->opened, 1);
    assert_int_equal(scene->connector.endpoint.connections, 1);
}

static void when_all_fail_each_address_is_named(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene, (const char *[]){"127.0.0.1:0", "127.0.0.2:0", NULL});
    attempt_ends(scene, 0, -ECONNREFUSED);
    assert_int_equal(scene->done, 0);
    attempt_ends(scene, 1, -ENETUNREACH);
    assert_int_equal(scene->done, 1);
    assert_null(scene->stream);
    assert_said(scene, "connecting to " NAME " port 80: ");
    assert_said(scene, "127.0.0.1:80: Connection refused; ");
    assert_said(scene, "127.0.0.2:80: Network is unreachable");
    assert_int_equal(scene->closed, 0);
}

static void an_attempt_has_its_own_deadline(void **state)
{
    struct scene *scene = *state;
    begin(scene, "127.0.0.1");
    pass(scene, 1999);
    assert_int_equal(scene->done, 0);
    pass(scene, 1);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->dial.error.code, gy_error_from_errno(ETIMEDOUT));
    assert_said(scene, "127.0.0.1:80: no answer in time");
}

static void all_together_have_a_deadline(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    pass(scene, WHOLE_MS - 100);
    resolve(scene, four_addresses);
    pass(scene, 100);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->dial.error.code, GY_ETIMEOUT);
    assert_said(scene, "out of time; 127.0.0.1:80: no answer yet");
    assert_int_equal(scene->connector.endpoint.connections, 0);
}

static void a_resolver_that_does_not_answer_is_given_up(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    pass(scene, WHOLE_MS);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->cancels, 1);
    assert_said(scene, "the name was not resolved in time");
}

/* RFC 8305 §3: who has one address does not wait for the others. */
static void the_race_begins_with_what_is_known_and_others_join(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve_some(scene, (const char *const[]){"[::1]:0", "[::2]:0", NULL}, true);
    assert_int_equal(scene->dial.begun, 1);
    resolve_some(scene, (const char *const[]){"127.0.0.1:0", NULL}, false);
    attempt_ends(scene, 0, -ECONNREFUSED);
    assert_int_equal(scene->dial.begun, 2);
    assert_int_equal(scene->dial.query.addresses[1].any.sa_family, AF_INET);
    attempt_ends(scene, 1, 0);
    assert_int_equal(scene->done, 1);
    assert_non_null(scene->stream);
}

static void who_has_failed_with_all_that_is_known_waits_for_more(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve_some(scene, (const char *const[]){"[::1]:0", NULL}, true);
    attempt_ends(scene, 0, -ENETUNREACH);
    assert_int_equal(scene->done, 0);
    resolve_some(scene, (const char *const[]){NULL}, false);
    pass(scene, 1);
    assert_int_equal(scene->done, 1);
    assert_null(scene->stream);
    assert_said(scene, "[::1]:80: Network is unreachable");
}

static void a_connection_ends_the_question_for_more(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve_some(scene, (const char *const[]){"[::1]:0", NULL}, true);
    attempt_ends(scene, 0, 0);
    assert_non_null(scene->stream);
    assert_int_equal(scene->cancels, 1);
}

static void a_name_without_an_address_is_an_error(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    gy_error_set(&scene->asked->error, GY_EREFUSED, "there is no such name");
    resolve(scene, (const char *[]){NULL});
    assert_int_equal(scene->done, 1);
    assert_said(scene, "connecting to " NAME " port 80: there is no such name");
}

static void what_cannot_be_asked_is_an_error(void **state)
{
    struct scene *scene = *state;
    scene->refuses = GY_ELIMIT;
    begin(scene, NAME);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->dial.error.code, GY_ELIMIT);
    begin(scene, "");
    assert_int_equal(scene->dial.error.code, GY_EINVAL);
    char name[GY_NAME_BYTES + 2];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    begin(scene, name);
    assert_int_equal(scene->dial.error.code, GY_EINVAL);
    assert_int_equal(scene->done, 3);
}

static void a_dial_that_is_cancelled_says_nothing(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    gy_dial_cancel(&scene->dial);
    assert_int_equal(scene->cancels, 1);
    begin(scene, NAME);
    resolve(scene, four_addresses);
    pass(scene, DELAY_MS);
    gy_dial_cancel(&scene->dial);
    pass(scene, WHOLE_MS);
    assert_int_equal(scene->done, 0);
    assert_int_equal(scene->connector.endpoint.connections, 0);
}

static void above_the_bound_of_connections_dialling_fails(void **state)
{
    struct scene *scene = *state;
    gy_connector_close(&scene->connector);
    open_connector(scene, 1, false);
    begin(scene, "127.0.0.1");
    attempt_ends(scene, 0, 0);
    assert_non_null(scene->stream);
    begin(scene, "127.0.0.1");
    assert_int_equal(scene->done, 2);
    assert_null(scene->stream);
    begin(scene, NAME);
    assert_int_equal(scene->dial.error.code, GY_ENOTSUP);
}

/* ---- the pool ---- */

static struct scene *scene_of_lease(struct gy_lease *lease, uint32_t *number)
{
    struct scene *scene = lease->context;
    *number = (uint32_t)(lease - scene->leases);
    return scene;
}

static void on_ready(struct gy_lease *lease, struct gy_stream *stream, bool used)
{
    uint32_t number;
    struct scene *scene = scene_of_lease(lease, &number);
    assert_null(scene->leased[number]);
    scene->leased[number] = stream;
    scene->used[number] = used;
}

static void on_failed(struct gy_lease *lease, const struct gy_error *error)
{
    uint32_t number;
    struct scene *scene = scene_of_lease(lease, &number);
    scene->failed[number]++;
    scene->error = *error;
}

static void open_pool(struct scene *scene, uint32_t per_origin)
{
    struct gy_connections_options options = {
        .origins_max = 2,
        .per_origin = per_origin,
        .waiting_max = 4,
        .idle_ms = IDLE_MS,
        .uses_max = 3,
        .retry_base_ms = RETRY_MS,
        .retry_max_ms = 4 * RETRY_MS,
        .seed = 7,
    };
    assert_int_equal(gy_connections_open(&scene->pool, &scene->connector, &options, NULL), 0);
    scene->pooled = true;
}

static int lease(struct scene *scene, uint32_t number, const char *host)
{
    scene->leases[number].ready = on_ready;
    scene->leases[number].failed = on_failed;
    scene->leases[number].context = scene;
    scene->leased[number] = NULL;
    int code = gy_connections_lease(&scene->pool, &scene->leases[number], host, 80, &scene->error);
    stage_turns(scene->stage, 3);
    return code;
}

/* The oldest connect in flight ends. */
static bool connect_ends(struct scene *scene, int result)
{
    struct gy_ring *ring = scene->stage->worker.ring;
    struct fake_operation *operation = fake_first(ring, FAKE_CONNECT);
    if (operation == NULL) {
        return false;
    }
    fake_complete(ring, operation, result, 0);
    stage_turns(scene->stage, 6);
    return true;
}

static void give_back(struct scene *scene, uint32_t number, bool reusable)
{
    gy_connections_return(scene->leased[number], reusable);
    scene->leased[number] = NULL;
    stage_turns(scene->stage, 5);
}

static uint32_t idle(struct scene *scene)
{
    uint32_t count;
    gy_connections_count(&scene->pool, "127.0.0.1", 80, &count);
    return count;
}

static uint32_t open_count(struct scene *scene)
{
    return gy_connections_count(&scene->pool, "127.0.0.1", 80, NULL);
}

static void a_connection_is_used_again(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 2);
    assert_int_equal(lease(scene, 0, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    struct gy_stream *first = scene->leased[0];
    assert_non_null(first);
    assert_false(scene->used[0]);
    give_back(scene, 0, true);
    assert_int_equal(idle(scene), 1);
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_ptr_equal(scene->leased[1], first);
    assert_true(scene->used[1]);
    assert_int_equal(idle(scene), 0);
    assert_int_equal(stage_counter(scene->stage, connections_dialled), 1);
}

static void connections_of_an_origin_are_bounded_and_leases_wait_in_order(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(lease(scene, i, "127.0.0.1"), 0);
    }
    assert_true(connect_ends(scene, 0));
    assert_false(connect_ends(scene, 0));
    assert_non_null(scene->leased[0]);
    assert_null(scene->leased[1]);
    give_back(scene, 0, true);
    assert_non_null(scene->leased[1]);
    assert_null(scene->leased[2]);
    give_back(scene, 1, false);
    assert_null(scene->leased[2]);
    assert_true(connect_ends(scene, 0));
    assert_non_null(scene->leased[2]);
    assert_false(scene->used[2]);
    give_back(scene, 2, true);
}

static void leases_and_origins_are_bounded(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(lease(scene, i, i < 2 ? "127.0.0.1" : "127.0.0.2"), 0);
    }
    assert_int_equal(lease(scene, 4, "127.0.0.1"), GY_ELIMIT);
    assert_non_null(strstr(scene->error.message, "4 wait for connections"));
    gy_connections_cancel(&scene->leases[0]);
    assert_int_equal(lease(scene, 4, "127.0.0.3"), GY_ELIMIT);
    assert_non_null(strstr(scene->error.message, "connections to 2 places"));
    assert_int_equal(lease(scene, 4, ""), GY_EINVAL);
    assert_int_equal(scene->pool.counters.refused, 2);
}

static void an_idle_connection_ends_in_time(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    connect_ends(scene, 0);
    give_back(scene, 0, true);
    pass(scene, IDLE_MS - 1);
    assert_int_equal(idle(scene), 1);
    pass(scene, 1);
    stage_turns(scene->stage, 4);
    assert_int_equal(open_count(scene), 0);
    assert_int_equal(scene->pool.counters.idle_ended, 1);
    assert_int_equal(scene->closed, 1);
}

static void a_leased_connection_does_not_idle(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    connect_ends(scene, 0);
    pass(scene, 10 * IDLE_MS);
    assert_int_equal(open_count(scene), 1);
    give_back(scene, 0, true);
}

static void a_connection_is_shared_with_those_who_wait(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    assert_int_equal(lease(scene, 0, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    struct gy_stream *stream = scene->leased[0];
    assert_null(gy_connections_share(stream));
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_int_equal(lease(scene, 2, "127.0.0.1"), 0);
    assert_ptr_equal(gy_connections_share(stream), &scene->leases[1]);
    assert_null(scene->leases[1].origin);
    assert_int_equal(scene->pool.waiting, 1);
    assert_int_equal(scene->pool.counters.leased_shared, 1);
    /* Who waits on waits until it is returned; it is as used as it was shared. */
    assert_null(scene->leased[2]);
    give_back(scene, 0, true);
    assert_ptr_equal(scene->leased[2], stream);
    give_back(scene, 2, true);
    assert_int_equal(scene->pool.counters.worn, 1);
}

static void a_worn_connection_is_not_kept(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(idle(scene), i > 0);
        lease(scene, i, "127.0.0.1");
        if (i == 0) {
            connect_ends(scene, 0);
        }
        give_back(scene, i, true);
    }
    assert_int_equal(open_count(scene), 0);
    assert_int_equal(scene->pool.counters.worn, 1);
}

static void a_connection_that_the_peer_ended_is_not_handed_out(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    connect_ends(scene, 0);
    struct gy_stream *first = scene->leased[0];
    give_back(scene, 0, true);
    stage_data(scene->stage, first, "", 0, 0);
    stage_turns(scene->stage, 4);
    assert_int_equal(open_count(scene), 0);
    assert_int_equal(scene->pool.counters.broken, 1);
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    assert_false(scene->used[1]);
    give_back(scene, 1, true);
}

static void a_lease_is_told_when_its_tries_are_used_up(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    scene->leases[1].tries = 2;
    lease(scene, 0, "127.0.0.1");
    lease(scene, 1, "127.0.0.1");
    assert_true(connect_ends(scene, -ECONNREFUSED));
    assert_int_equal(scene->failed[0], 1);
    assert_int_equal(scene->failed[1], 0);
    assert_non_null(strstr(scene->error.message, "Connection refused"));
    assert_false(connect_ends(scene, 0)); /* not at once */
    pass(scene, RETRY_MS);
    assert_true(connect_ends(scene, -ECONNREFUSED));
    assert_int_equal(scene->failed[1], 1);
    assert_int_equal(scene->pool.counters.dials_failed, 2);
}

static void waits_grow_with_each_failure_and_end_with_success(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    scene->leases[0].tries = 6;
    lease(scene, 0, "127.0.0.1");
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(connect_ends(scene, -ECONNREFUSED));
        uint32_t whole = i < 2 ? RETRY_MS << i : 4 * RETRY_MS;
        pass(scene, whole / 2 - 1);
        assert_null(fake_first(scene->stage->worker.ring, FAKE_CONNECT));
        pass(scene, whole / 2 + 1);
    }
    assert_true(connect_ends(scene, 0));
    assert_non_null(scene->leased[0]);
    give_back(scene, 0, false);
    assert_int_equal(lease(scene, 1, "127.0.0.1"), 0);
    assert_true(connect_ends(scene, 0));
    give_back(scene, 1, true);
}

static void a_connection_that_nobody_waits_for_any_more_idles(void **state)
{
    struct scene *scene = *state;
    open_pool(scene, 1);
    lease(scene, 0, "127.0.0.1");
    gy_connections_cancel(&scene->leases[0]);
    gy_connections_cancel(&scene->leases[0]);
    assert_true(connect_ends(scene, 0));
    assert_null(scene->leased[0]);
    assert_int_equal(idle(scene), 1);
    lease(scene, 1, "127.0.0.1");
    assert_non_null(scene->leased[1]);
    assert_false(scene->used[1]);
    give_back(scene, 1, true);
}

/* ---- waiting ---- */

static void a_wait_is_between_a_half_and_the_whole(void **state)
{
    (void)state;
    struct gy_backoff backoff;
    uint32_t different = 0;
    for (uint64_t seed = 1; seed < 200; seed++) {
        gy_backoff_init(&backoff, 100, 1000, seed);
        uint32_t first = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint32_t whole = i < 4 ? 100u << i : 1000;
            uint32_t wait = gy_backoff_failed(&backoff);
            assert_uint_in_range(wait, whole / 2, whole);
            different += i == 9 && wait != first;
            first = i == 8 ? wait : first;
        }
        gy_backoff_worked(&backoff);
        assert_uint_in_range(gy_backoff_failed(&backoff), 50, 100);
    }
    assert_true(different > 150);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(an_address_is_dialled_without_asking),
        CASE(a_name_is_asked_for_and_dialled),
        CASE(families_take_turns),
        CASE(the_next_attempt_starts_after_the_delay),
        CASE(a_failure_starts_the_next_attempt_at_once),
        CASE(the_first_to_connect_wins_and_the_others_are_given_up),
        CASE(two_that_connect_at_once_leave_one),
        CASE(when_all_fail_each_address_is_named),
        CASE(an_attempt_has_its_own_deadline),
        CASE(all_together_have_a_deadline),
        CASE(a_resolver_that_does_not_answer_is_given_up),
        CASE(the_race_begins_with_what_is_known_and_others_join),
        CASE(who_has_failed_with_all_that_is_known_waits_for_more),
        CASE(a_connection_ends_the_question_for_more),
        CASE(a_name_without_an_address_is_an_error),
        CASE(what_cannot_be_asked_is_an_error),
        CASE(a_dial_that_is_cancelled_says_nothing),
        CASE(above_the_bound_of_connections_dialling_fails),
        CASE(a_connection_is_used_again),
        CASE(connections_of_an_origin_are_bounded_and_leases_wait_in_order),
        CASE(leases_and_origins_are_bounded),
        CASE(an_idle_connection_ends_in_time),
        CASE(a_leased_connection_does_not_idle),
        CASE(a_connection_is_shared_with_those_who_wait),
        CASE(a_worn_connection_is_not_kept),
        CASE(a_connection_that_the_peer_ended_is_not_handed_out),
        CASE(a_lease_is_told_when_its_tries_are_used_up),
        CASE(waits_grow_with_each_failure_and_end_with_success),
        CASE(a_connection_that_nobody_waits_for_any_more_idles),
        cmocka_unit_test(a_wait_is_between_a_half_and_the_whole),
    };
    return cmocka_run_group_tests_name("connector", tests, NULL, NULL);
}
