/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Names dialled and raced, on the fake ring: a resolver that says what it is told to, and a clock
 * that stands still. */

#include <errno.h>
#include <sys/socket.h>

#include "tests/core/dial_rig.h"

#define NAME     "www.example.org"
#define DELAY_MS DIAL_RIG_DELAY_MS
#define WHOLE_MS DIAL_RIG_WHOLE_MS

/* ---- the scene ---- */

struct scene {
    struct dial_rig rig;
    struct gy_resolver resolver;
    struct gy_query *asked; /* the last one not answered */
    uint32_t questions, cancels;
    int refuses;
    struct gy_dial dial;
    uint32_t done;
    struct gy_stream *stream; /* what `done` got */
};

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

static int set_up(void **state)
{
    deadline("connector", 30);
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->resolver = (struct gy_resolver){.ask = ask, .cancel = cancel};
    scene->dial.context = scene;
    dial_rig_open(&scene->rig, &scene->resolver);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    gy_dial_cancel(&scene->dial);
    dial_rig_end(&scene->rig);
    dial_rig_close(&scene->rig);
    free(scene);
    return 0;
}

static void begin(struct scene *scene, const char *host)
{
    gy_dial_begin(&scene->dial, &scene->rig.connector, host, 80, on_done);
    stage_turns(scene->rig.stage, 2);
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
    stage_turns(scene->rig.stage, 2);
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
    stage_turns(scene->rig.stage, 2);
}

static struct fake_operation *connect_of(struct scene *scene, struct gy_stream *stream)
{
    assert_non_null(stream);
    struct fake_operation *operation =
        fake_of(scene->rig.stage->worker.ring, FAKE_CONNECT, stream->descriptor);
    assert_non_null(operation);
    return operation;
}

/* The n-th attempt of the scene's dial ends: 0 or a negative errno. */
static void complete(struct scene *scene, uint32_t attempt, int result)
{
    struct gy_stream *stream = scene->dial.attempts[attempt].stream;
    fake_complete(scene->rig.stage->worker.ring, connect_of(scene, stream), result, 0);
}

static void attempt_ends(struct scene *scene, uint32_t attempt, int result)
{
    complete(scene, attempt, result);
    stage_turns(scene->rig.stage, 4);
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
    assert_int_equal(scene->rig.opened, 1);
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
    dial_rig_pass(&scene->rig, WHOLE_MS);
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
    dial_rig_pass(&scene->rig, DELAY_MS - 1);
    assert_int_equal(scene->dial.begun, 1);
    dial_rig_pass(&scene->rig, 1);
    assert_int_equal(scene->dial.begun, 2);
    dial_rig_pass(&scene->rig, DELAY_MS);
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
    dial_rig_pass(&scene->rig, DELAY_MS);
    dial_rig_pass(&scene->rig, DELAY_MS);
    assert_int_equal(scene->rig.connector.endpoint.connections, 3);
    struct gy_stream *second = scene->dial.attempts[1].stream;
    attempt_ends(scene, 1, 0);
    assert_ptr_equal(scene->stream, second);
    assert_int_equal(scene->rig.connector.endpoint.connections, 1);
    assert_int_equal(scene->rig.opened, 1);
    assert_int_equal(scene->rig.closed, 0);
    dial_rig_pass(&scene->rig, WHOLE_MS);
    assert_int_equal(scene->done, 1);
}

static void two_that_connect_at_once_leave_one(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    resolve(scene, four_addresses);
    dial_rig_pass(&scene->rig, DELAY_MS);
    complete(scene, 0, 0);
    complete(scene, 1, 0);
    stage_turns(scene->rig.stage, 4);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->rig.opened, 1);
    assert_int_equal(scene->rig.connector.endpoint.connections, 1);
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
    assert_int_equal(scene->rig.closed, 0);
}

static void an_attempt_has_its_own_deadline(void **state)
{
    struct scene *scene = *state;
    begin(scene, "127.0.0.1");
    dial_rig_pass(&scene->rig, 1999);
    assert_int_equal(scene->done, 0);
    dial_rig_pass(&scene->rig, 1);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->dial.error.code, gy_error_from_errno(ETIMEDOUT));
    assert_said(scene, "127.0.0.1:80: no answer in time");
}

static void all_together_have_a_deadline(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    dial_rig_pass(&scene->rig, WHOLE_MS - 100);
    resolve(scene, four_addresses);
    dial_rig_pass(&scene->rig, 100);
    assert_int_equal(scene->done, 1);
    assert_int_equal(scene->dial.error.code, GY_ETIMEOUT);
    assert_said(scene, "out of time; 127.0.0.1:80: no answer yet");
    assert_int_equal(scene->rig.connector.endpoint.connections, 0);
}

static void a_resolver_that_does_not_answer_is_given_up(void **state)
{
    struct scene *scene = *state;
    begin(scene, NAME);
    dial_rig_pass(&scene->rig, WHOLE_MS);
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
    dial_rig_pass(&scene->rig, 1);
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
    dial_rig_pass(&scene->rig, DELAY_MS);
    gy_dial_cancel(&scene->dial);
    dial_rig_pass(&scene->rig, WHOLE_MS);
    assert_int_equal(scene->done, 0);
    assert_int_equal(scene->rig.connector.endpoint.connections, 0);
}

static void above_the_bound_of_connections_dialling_fails(void **state)
{
    struct scene *scene = *state;
    gy_connector_close(&scene->rig.connector);
    dial_rig_connector(&scene->rig, 1, NULL);
    begin(scene, "127.0.0.1");
    attempt_ends(scene, 0, 0);
    assert_non_null(scene->stream);
    begin(scene, "127.0.0.1");
    assert_int_equal(scene->done, 2);
    assert_null(scene->stream);
    begin(scene, NAME);
    assert_int_equal(scene->dial.error.code, GY_ENOTSUP);
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
    };
    return cmocka_run_group_tests_name("connector", tests, NULL, NULL);
}
