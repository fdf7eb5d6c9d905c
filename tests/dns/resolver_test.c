/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The resolver on the real ring, handed to a connector: files, name servers on the loopback
 * interface, and names that are dialled. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients/dns/resolver.h"
#include "core/connector.h"
#include "core/worker.h"
#include "protocols/dns/message.h"
#include "tests/dns/probe.h"

#define DIALS 16

struct scene {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver *resolver;
    struct gy_connector connector;
    struct gy_dial dials[DIALS];
    uint32_t done;
    struct gy_stream *stream;
    char conf[64], hosts[64]; /* files */
    int listening;            /* who is dialled */
    uint16_t port;
    int udp, tcp, accepted; /* the name server */
    uint16_t dns_port;
    bool cuts; /* answers by UDP */
    uint32_t questions, tcp_questions;
    uint32_t reports;
};

static uint32_t on_event(struct gy_stream *stream)
{
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops ops = {on_event, on_event, on_event, on_event, on_closed};

static void write_file(char *path, const char *text)
{
    memcpy(path, "/tmp/gyre-resolver-test-XXXXXX", sizeof "/tmp/gyre-resolver-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int bound(int type, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    if (type == SOCK_STREAM) {
        assert_int_equal(listen(fd, 64), 0);
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void report(void *context, const char *file, uint32_t line, const char *why)
{
    struct scene *scene = context;
    (void)file;
    (void)line;
    (void)why;
    scene->reports++;
}

static int set_up(void **state)
{
    size_t bytes = (sizeof(struct scene) + 63) / 64 * 64;
    struct scene *scene = aligned_alloc(64, bytes);
    assert_non_null(scene);
    memset(scene, 0, bytes);
    scene->peers[0] = &scene->worker;
    scene->accepted = -1;
    struct gy_worker_options options = {
        .workers = 1,
        .processor = -1,
        .streams_max = 64,
        .blocks_max = 64,
        .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0),
    };
    struct gy_error error = {0};
    if (gy_worker_open(&scene->worker, &options, scene->peers, &error) != 0) {
        fail_msg("%s", error.message);
    }
    scene->listening = bound(SOCK_STREAM, &scene->port);
    scene->udp = bound(SOCK_DGRAM, &scene->dns_port);
    scene->tcp = -1;
    *state = scene;
    return 0;
}

/* Opens resolver and connector; texts of NULL are files that are not there. */
static void open_all(struct scene *scene, const char *conf, const char *hosts)
{
    struct gy_error error = {0};
    struct gy_dns_resolver_options options = {
        .resolv_conf = "/nonexistent/resolv.conf",
        .hosts = "/nonexistent/hosts",
        .port = scene->dns_port,
        .report = report,
        .context = scene,
    };
    if (conf != NULL) {
        write_file(scene->conf, conf);
        options.resolv_conf = scene->conf;
    }
    if (hosts != NULL) {
        write_file(scene->hosts, hosts);
        options.hosts = scene->hosts;
    }
    assert_int_equal(gy_dns_resolver_open(&scene->resolver, &scene->worker, &options, &error), 0);
    struct gy_connector_options connector = {
        .name = "test",
        .ops = &ops,
        .session_bytes = 8,
        .resolver = scene->resolver,
        .timeout_ms = 20000,
    };
    assert_int_equal(gy_connector_open(&scene->connector, &scene->worker, &connector, NULL), 0);
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    for (uint32_t i = 0; i < DIALS; i++) {
        gy_dial_cancel(&scene->dials[i]);
    }
    gy_worker_finish(&scene->worker);
    if (scene->resolver != NULL) {
        gy_connector_close(&scene->connector);
        gy_dns_resolver_close(scene->resolver);
    }
    gy_worker_close(&scene->worker);
    const int fds[] = {scene->listening, scene->udp, scene->tcp, scene->accepted};
    for (size_t i = 0; i < COUNT(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    unlink(scene->conf);
    unlink(scene->hosts);
    free(scene);
    return 0;
}

/* ---- the name server ---- */

/* www.example has 127.0.0.1, and no IPv6; nothing else exists. */
static size_t answer_to(const struct scene *scene, const uint8_t *query, size_t bytes,
                        uint8_t *answer, bool by_datagram)
{
    static const uint8_t www[] = "\3www\7example";
    static const uint8_t loopback[] = {127, 0, 0, 1};
    struct gy_dns_message message;
    struct gy_dns_record record;
    struct gy_dns_builder builder;
    assert_int_equal(gy_dns_message_open(&message, query, bytes), 0);
    assert_int_equal(gy_dns_message_next(&message, &record), 1);
    bool exists = gy_dns_name_equal(record.owner, www);
    bool cut = by_datagram && scene->cuts;
    gy_dns_builder_open(&builder, answer, 512, message.header.id,
                        GY_DNS_FLAG_QR | GY_DNS_FLAG_RD | GY_DNS_FLAG_RA |
                            (exists ? 0 : GY_DNS_RCODE_NXDOMAIN) | (cut ? GY_DNS_FLAG_TC : 0));
    gy_dns_builder_question(&builder, record.owner, record.type, record.class);
    if (exists && !cut && record.type == GY_DNS_TYPE_A) {
        gy_dns_builder_record(&builder, GY_DNS_ANSWER, www, GY_DNS_TYPE_A, GY_DNS_CLASS_IN, 60,
                              loopback, 4);
    }
    return gy_dns_builder_close(&builder);
}

static void serve_datagrams(struct scene *scene)
{
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    uint8_t query[512], answer[512];
    ssize_t got;
    while ((got = recvfrom(scene->udp, query, sizeof query, 0, (struct sockaddr *)&from, &length)) >
           0) {
        size_t bytes = answer_to(scene, query, (size_t)got, answer, true);
        scene->questions++;
        assert_int_equal(sendto(scene->udp, answer, bytes, 0, (struct sockaddr *)&from, length),
                         bytes);
    }
}

static void serve_streams(struct scene *scene)
{
    uint8_t query[2 + 512], answer[2 + 512];
    if (scene->tcp < 0) {
        return;
    }
    if (scene->accepted < 0) {
        scene->accepted = accept4(scene->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    ssize_t got = scene->accepted >= 0 ? recv(scene->accepted, query, sizeof query, 0) : -1;
    if (got > 2) {
        size_t bytes = answer_to(scene, query + 2, (size_t)got - 2, answer + 2, false);
        answer[0] = (uint8_t)(bytes >> 8);
        answer[1] = (uint8_t)bytes;
        scene->tcp_questions++;
        /* In two pieces, so that it has to be put together. */
        assert_int_equal(send(scene->accepted, answer, 5, MSG_NOSIGNAL), 5);
        usleep(1000);
        assert_int_equal(send(scene->accepted, answer + 5, bytes - 3, MSG_NOSIGNAL), bytes - 3);
    }
    if (got >= 0) { /* answered, or left: the next one */
        close(scene->accepted);
        scene->accepted = -1;
    }
}

static void on_done(struct gy_dial *dial, struct gy_stream *stream)
{
    struct scene *scene = dial->context;
    scene->done++;
    scene->stream = stream;
}

static void begin(struct scene *scene, uint32_t number, const char *host)
{
    scene->dials[number].context = scene;
    gy_dial_begin(&scene->dials[number], &scene->connector, host, scene->port, on_done);
}

static void await_done(struct scene *scene, uint32_t count)
{
    while (scene->done < count) {
        assert_int_equal(gy_worker_turn(&scene->worker, 2000000), 0);
        serve_datagrams(scene);
        serve_streams(scene);
    }
}

static void assert_connected(const struct scene *scene, uint32_t number)
{
    if (scene->stream == NULL) {
        fail_msg("%s", scene->dials[number].error.message);
    }
    assert_int_equal(gy_address_port(&gy_connection_of(scene->stream)->peer), scene->port);
}

/* ---- the tests ---- */

static void a_bare_host_knows_localhost(void **state)
{
    struct scene *scene = *state;
    open_all(scene, NULL, NULL);
    begin(scene, 0, "localhost");
    await_done(scene, 1);
    assert_connected(scene, 0);
    assert_int_equal(scene->questions, 0);
}

static void many_names_are_resolved_at_a_time(void **state)
{
    struct scene *scene = *state;
    open_all(scene, NULL, NULL);
    for (uint32_t i = 0; i < DIALS; i++) {
        begin(scene, i, "localhost");
    }
    await_done(scene, DIALS);
    assert_int_equal(scene->connector.endpoint.connections, DIALS);
}

static void names_of_the_hosts_file_are_dialled(void **state)
{
    struct scene *scene = *state;
    open_all(scene, "nonsense\n", "127.0.0.1 here.example\nbad line\n");
    begin(scene, 0, "here.example");
    await_done(scene, 1);
    assert_connected(scene, 0);
    assert_int_equal(scene->questions, 0);
    assert_int_equal(scene->reports, 2);
}

/* RFC 6724 §2.1: IPv4 before unique local IPv6, after other IPv6. */
static void addresses_are_tried_by_their_precedence(void **state)
{
    struct scene *scene = *state;
    open_all(scene, NULL,
             "fd00::1 many\n127.0.0.1 many\n2002::1 many\n::1 many\n2001:db8::1 many\n");
    begin(scene, 0, "many");
    while (scene->dials[0].query.count == 0) {
        assert_int_equal(gy_worker_turn(&scene->worker, 2000000), 0);
    }
    /* In the race families take turns: the first of each is as it was sorted. */
    static const char *const wanted[] = {"[::1]", "127.0.0.1", "[2001:db8::1]", "[2002::1]",
                                         "[fd00::1]"};
    for (size_t i = 0; i < COUNT(wanted); i++) {
        char text[GY_ADDRESS_TEXT_BYTES];
        gy_address_format(&scene->dials[0].query.addresses[i], text, sizeof text);
        assert_memory_equal(text, wanted[i], strlen(wanted[i]));
    }
}

static void files_that_have_changed_are_read_again(void **state)
{
    struct scene *scene = *state;
    open_all(scene, "nameserver 127.0.0.1\n", "192.0.2.1 nobody\n");
    FILE *file = fopen(scene->hosts, "w");
    assert_non_null(file);
    fputs("192.0.2.1 nobody\n127.0.0.1 new.example\n", file);
    fclose(file);
    uint64_t until_ms = scene->worker.now_ms + 1010; /* looked for once a second */
    while (scene->worker.now_ms < until_ms) {
        assert_int_equal(gy_worker_turn(&scene->worker, 50000000), 0);
    }
    begin(scene, 0, "new.example");
    await_done(scene, 1);
    assert_connected(scene, 0);
    assert_int_equal(scene->questions, 0);
}

static void a_name_server_is_asked_and_its_answer_kept(void **state)
{
    struct scene *scene = *state;
    open_all(scene, "nameserver 127.0.0.1\n", "");
    begin(scene, 0, "www.example");
    await_done(scene, 1);
    assert_connected(scene, 0);
    assert_int_equal(scene->questions, 2); /* A and AAAA */
    begin(scene, 1, "www.example");
    await_done(scene, 2);
    assert_connected(scene, 1);
    assert_int_equal(gy_dns_resolver_counts(scene->resolver)->hits, 1); /* no SOA for AAAA */
}

static void without_resolv_conf_this_host_is_asked(void **state)
{
    struct scene *scene = *state;
    open_all(scene, NULL, NULL);
    begin(scene, 0, "www.example");
    await_done(scene, 1);
    assert_connected(scene, 0);
}

static void a_cut_answer_comes_by_tcp(void **state)
{
    struct scene *scene = *state;
    scene->cuts = true;
    scene->tcp = bound(SOCK_STREAM, &scene->dns_port);
    open_all(scene, "nameserver 127.0.0.1\n", "");
    begin(scene, 0, "www.example");
    await_done(scene, 1);
    assert_connected(scene, 0);
    assert_true(scene->tcp_questions >= 1);
}

static void a_name_that_does_not_exist_is_an_error(void **state)
{
    struct scene *scene = *state;
    open_all(scene, "nameserver 127.0.0.1\nsearch invalid.example\n", "");
    begin(scene, 0, "no-such-host");
    await_done(scene, 1);
    assert_null(scene->stream);
    const char *message = scene->dials[0].error.message;
    assert_non_null(strstr(message, "no-such-host"));
    assert_non_null(strstr(message, "could not be resolved"));
    assert_non_null(strstr(message, "there is no such name"));
    assert_int_equal(scene->questions, 4);
}

static void a_port_where_nobody_listens_is_told_at_once(void **state)
{
    struct scene *scene = *state;
    close(scene->udp);
    scene->udp = -1;
    open_all(scene, "nameserver 127.0.0.1\n", "");
    uint64_t before_ms = scene->worker.now_ms;
    begin(scene, 0, "www.example");
    while (scene->done < 1) {
        assert_int_equal(gy_worker_turn(&scene->worker, 2000000), 0);
    }
    assert_null(scene->stream);
    assert_non_null(strstr(scene->dials[0].error.message, "no name server answered"));
    assert_true(scene->worker.now_ms - before_ms < 4000);
}

static void a_question_that_is_cancelled_is_not_answered(void **state)
{
    struct scene *scene = *state;
    open_all(scene, "nameserver 127.0.0.1\n", "");
    begin(scene, 0, "www.example");
    gy_dial_cancel(&scene->dials[0]);
    begin(scene, 1, "www.example");
    await_done(scene, 1);
    assert_false(scene->dials[0].active);
    assert_int_equal(scene->connector.endpoint.connections, 1);
}

int main(void)
{
    alarm(60);
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_bare_host_knows_localhost),
        CASE(many_names_are_resolved_at_a_time),
        CASE(names_of_the_hosts_file_are_dialled),
        CASE(addresses_are_tried_by_their_precedence),
        CASE(files_that_have_changed_are_read_again),
        CASE(a_name_server_is_asked_and_its_answer_kept),
        CASE(without_resolv_conf_this_host_is_asked),
        CASE(a_cut_answer_comes_by_tcp),
        CASE(a_name_that_does_not_exist_is_an_error),
        CASE(a_port_where_nobody_listens_is_told_at_once),
        CASE(a_question_that_is_cancelled_is_not_answered),
    };
    return cmocka_run_group_tests_name("dns resolver on loopback", tests, NULL, NULL);
}
