/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Streams dialled with TLS in them: whom they believe, and what is said of those whom they do not.
 * The peer is wolfSSL on a plain socket, in a thread. */

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "core/connector.h"
#include "tests/certificates.h"

static struct gy_cert_pair authority;
static struct gy_cert_pair stranger; /* an authority that nobody trusts */
static struct gy_cert_pair good;     /* for localhost */
static struct gy_cert_pair label;    /* for a name of one label */
static struct gy_cert_pair numeric;  /* for 127.0.0.1 */
static struct gy_cert_pair expired;  /* for localhost */
static struct gy_cert_pair early;    /* for localhost */
static struct gy_cert_pair forged;   /* for localhost, by the stranger */
static struct gy_cert_pair customer; /* a client's */

static int make_certificates(void **state)
{
    (void)state;
    assert_int_equal(gy_tls_init(NULL), 0);
    certificate_make(&authority, "A test authority", 0, false, NULL);
    certificate_make(&stranger, "A stranger", 0, false, NULL);
    certificate_make(&good, "localhost", 0, false, &authority);
    certificate_make(&label, "intranet", 0, false, &authority);
    certificate_make(&numeric, "127.0.0.1", 0, false, &authority);
    certificate_make(&expired, "localhost", -60, false, &authority);
    certificate_make(&early, "localhost", 7, false, &authority);
    certificate_make(&forged, "localhost", 0, false, &stranger);
    certificate_make(&customer, "a customer", 0, true, &authority);
    return 0;
}

/* ---- the server ---- */

struct peer {
    WOLFSSL_METHOD *method;
    const struct gy_cert_pair *certificate;
    bool asks;     /* for a certificate, and wants one of our authority */
    bool cuts;     /* leaves without TLS's end */
    uint32_t left; /* connections to serve */
    int listening;
    uint16_t port;
    pthread_t thread;
};

static void answer_one(const struct peer *peer, WOLFSSL_CTX *context, int socket)
{
    struct timeval patience = {.tv_sec = 10};
    char request[4];
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    WOLFSSL *ssl = wolfSSL_new(context);
    wolfSSL_set_fd(ssl, socket);
    if (wolfSSL_accept(ssl) == WOLFSSL_SUCCESS && wolfSSL_read(ssl, request, sizeof request) == 4) {
        wolfSSL_write(ssl, "pong", 4);
        if (!peer->cuts) {
            wolfSSL_shutdown(ssl);
        }
    }
    wolfSSL_free(ssl);
}

static void *serve(void *context)
{
    struct peer *peer = context;
    WOLFSSL_CTX *tls = wolfSSL_CTX_new(peer->method);
    const struct gy_cert_pair *pair = peer->certificate;
    wolfSSL_CTX_use_certificate_chain_buffer(tls, (const unsigned char *)pair->certificate,
                                             (long)strlen(pair->certificate));
    wolfSSL_CTX_use_PrivateKey_buffer(tls, (const unsigned char *)pair->key,
                                      (long)strlen(pair->key), WOLFSSL_FILETYPE_PEM);
    if (peer->asks) {
        wolfSSL_CTX_load_verify_buffer(tls, (const unsigned char *)authority.certificate,
                                       (long)strlen(authority.certificate), WOLFSSL_FILETYPE_PEM);
        wolfSSL_CTX_set_verify(tls, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                               NULL);
    }
    for (; peer->left > 0; peer->left--) {
        int socket = accept(peer->listening, NULL, NULL);
        answer_one(peer, tls, socket);
        close(socket);
    }
    wolfSSL_CTX_free(tls);
    return NULL;
}

static void peer_open(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    peer->left = peer->left == 0 ? 1 : peer->left;
    peer->method = peer->method == NULL ? wolfTLS_server_method() : peer->method;
    peer->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listening, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(peer->listening, 8), 0);
    assert_int_equal(getsockname(peer->listening, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

static void peer_close(struct peer *peer)
{
    pthread_join(peer->thread, NULL);
    close(peer->listening);
}

/* ---- the client ---- */

struct scene {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    struct gy_resolver resolver; /* every name is 127.0.0.1 */
    struct gy_query *asked;
    struct gy_tls_config *config;
    struct gy_connector connector;
    struct gy_dial dial;
    struct gy_tls_facts facts;
    char received[8];
    uint32_t received_bytes;
    bool connected, failed, closed, eof, truncated;
    char sentence[256]; /* of a failure after it was open */
};

static uint32_t on_open(struct gy_stream *stream)
{
    struct scene *scene = stream->endpoint->context;
    gy_tls_facts_of(stream, &scene->facts);
    scene->facts.version = strcmp(scene->facts.version, "TLSv1.2") == 0 ? "TLSv1.2" : "TLSv1.3";
    assert_int_equal(gy_bump_copy(&stream->worker->bump, &stream->out, "ping", 4), 0);
    return GY_WANT_READ;
}

static uint32_t on_turn(struct gy_stream *stream)
{
    struct scene *scene = stream->endpoint->context;
    uint32_t bytes = stream->in.length;
    assert_true(scene->received_bytes + bytes < sizeof scene->received);
    gy_chain_copy(&stream->in, 0, bytes, scene->received + scene->received_bytes);
    gy_chain_consume(&stream->in, bytes);
    scene->received_bytes += bytes;
    scene->eof = stream->eof;
    scene->truncated = stream->truncated;
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t on_event(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

static void on_closed(struct gy_stream *stream, enum gy_close_reason reason)
{
    struct scene *scene = stream->endpoint->context;
    (void)reason;
    gy_tls_failure(stream, scene->sentence, sizeof scene->sentence);
    scene->closed = true;
}

static const struct gy_stream_ops ops = {on_open, on_turn, on_event, on_event, on_closed};

static int ask(struct gy_resolver *resolver, struct gy_query *query)
{
    struct scene *scene = (struct scene *)((char *)resolver - offsetof(struct scene, resolver));
    scene->asked = query;
    return 0;
}

static void cancel(struct gy_resolver *resolver, struct gy_query *query)
{
    (void)query;
    ((struct scene *)((char *)resolver - offsetof(struct scene, resolver)))->asked = NULL;
}

static struct scene *scene_open(struct gy_tls_options options)
{
    struct gy_error error = {0};
    struct scene *scene = aligned_alloc(64, (sizeof *scene + 63) & ~(size_t)63);
    assert_non_null(scene);
    memset(scene, 0, sizeof *scene);
    deadline("tls_dial", 60);
    scene->peers[0] = &scene->worker;
    scene->resolver = (struct gy_resolver){.ask = ask, .cancel = cancel};
    struct gy_worker_options worker = {.workers = 1,
                                       .processor = -1,
                                       .streams_max = 16,
                                       .blocks_max = 64,
                                       .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0)};
    if (gy_worker_open(&scene->worker, &worker, scene->peers, &error) != 0) {
        fail_msg("%s", error.message);
    }
    options.authorities = authority.certificate;
    options.authorities_bytes = strlen(authority.certificate);
    if (gy_tls_config_open(&scene->config, &options, &error) != 0) {
        fail_msg("%s", error.message);
    }
    struct gy_connector_options connector = {.name = "test",
                                             .ops = &ops,
                                             .context = scene,
                                             .session_bytes = 8,
                                             .resolver = &scene->resolver,
                                             .layer = &gy_tls_layer,
                                             .layer_context = scene->config};
    assert_int_equal(gy_connector_open(&scene->connector, &scene->worker, &connector, NULL), 0);
    return scene;
}

static void scene_close(struct scene *scene)
{
    gy_worker_finish(&scene->worker);
    gy_connector_close(&scene->connector);
    gy_worker_close(&scene->worker);
    gy_tls_config_close(scene->config);
    free(scene);
}

static void on_done(struct gy_dial *dial, struct gy_stream *stream)
{
    struct scene *scene = dial->context;
    scene->connected = stream != NULL;
    scene->failed = stream == NULL;
}

/* Until it failed, or was answered and closed. */
static void dial(struct scene *scene, const char *host, uint16_t port)
{
    scene->connected = scene->failed = scene->closed = scene->eof = false;
    scene->received_bytes = 0;
    memset(scene->received, 0, sizeof scene->received);
    scene->dial.context = scene;
    gy_dial_begin(&scene->dial, &scene->connector, host, port, on_done);
    while (!scene->failed && !scene->closed) {
        if (scene->asked != NULL) {
            struct gy_query *query = scene->asked;
            scene->asked = NULL;
            query->count = 1;
            assert_int_equal(gy_address_parse(&query->addresses[0], "127.0.0.1:0", NULL), 0);
            query->answered(query);
        }
        assert_int_equal(gy_worker_turn(&scene->worker, GY_RING_FOREVER), 0);
    }
}

/* ---- tests ---- */

static const struct gy_tls_options verifying = {.verify = GY_TLS_VERIFY_REQUIRED};

static void believed(struct peer peer, const char *host, const char *version)
{
    struct scene *scene = scene_open(verifying);
    peer_open(&peer);
    dial(scene, host, peer.port);
    peer_close(&peer);
    if (!scene->connected) {
        fail_msg("%s", scene->dial.error.message);
    }
    assert_string_equal(scene->received, "pong");
    assert_true(scene->eof && !scene->truncated);
    assert_true(scene->facts.peer_verified);
    assert_string_equal(scene->facts.version, version);
    scene_close(scene);
}

static void refused(struct peer peer, const char *host, const char *const *words)
{
    struct scene *scene = scene_open(verifying);
    peer_open(&peer);
    dial(scene, host, peer.port);
    peer_close(&peer);
    assert_true(scene->failed);
    assert_int_equal(scene->dial.error.code, GY_EPROTO);
    for (; *words != NULL; words++) {
        if (strstr(scene->dial.error.message, *words) == NULL) {
            fail_msg("`%s` is not in: %s", *words, scene->dial.error.message);
        }
    }
    scene_close(scene);
}

static void a_server_is_believed_by_its_name(void **state)
{
    (void)state;
    believed((struct peer){.certificate = &good}, "localhost", "TLSv1.3");
    believed((struct peer){.certificate = &good}, "LocalHost", "TLSv1.3");
    believed((struct peer){.certificate = &good}, "localhost.", "TLSv1.3");
}

static void a_name_of_one_label_is_a_name(void **state)
{
    (void)state;
    believed((struct peer){.certificate = &label}, "intranet", "TLSv1.3");
    refused((struct peer){.certificate = &label}, "extranet",
            (const char *const[]){"`intranet`", "not for `extranet`", NULL});
}

static void a_server_is_believed_by_its_address(void **state)
{
    (void)state;
    believed((struct peer){.certificate = &numeric}, "127.0.0.1", "TLSv1.3");
}

static void a_server_of_tls_1_2_is_believed(void **state)
{
    (void)state;
    believed((struct peer){.certificate = &good, .method = wolfTLSv1_2_server_method()},
             "localhost", "TLSv1.2");
}

static void another_name_is_refused_and_both_are_named(void **state)
{
    (void)state;
    refused((struct peer){.certificate = &good}, "elsewhere.example",
            (const char *const[]){"`localhost`", "not for `elsewhere.example`", NULL});
}

static void another_address_is_refused_and_the_certificate_named(void **state)
{
    (void)state;
    refused((struct peer){.certificate = &good}, "127.0.0.1",
            (const char *const[]){"`localhost`", "not for `127.0.0.1`", NULL});
}

static void an_unknown_authority_is_refused(void **state)
{
    (void)state;
    refused((struct peer){.certificate = &forged}, "localhost",
            (const char *const[]){"`localhost`", "nobody whom we trust", NULL});
}

static void what_has_expired_is_refused_with_its_date(void **state)
{
    (void)state;
    char year[8];
    time_t then = time(NULL) - (time_t)30 * 86400;
    strftime(year, sizeof year, "%Y", gmtime(&then));
    refused((struct peer){.certificate = &expired}, "localhost",
            (const char *const[]){"`localhost`", "expired on", year, "clock", NULL});
}

static void what_is_not_valid_yet_is_refused_with_its_date(void **state)
{
    (void)state;
    refused((struct peer){.certificate = &early}, "localhost",
            (const char *const[]){"`localhost`", "valid only from", "20", NULL});
}

static void a_client_that_does_not_ask_takes_anybody(void **state)
{
    (void)state;
    struct scene *scene = scene_open((struct gy_tls_options){.verify = GY_TLS_VERIFY_NONE});
    struct peer peer = {.certificate = &forged};
    peer_open(&peer);
    dial(scene, "elsewhere.example", peer.port);
    peer_close(&peer);
    assert_true(scene->connected);
    assert_string_equal(scene->received, "pong");
    assert_false(scene->facts.peer_verified);
    scene_close(scene);
}

static void an_end_without_tls_s_own_is_told_apart(void **state)
{
    (void)state;
    struct scene *scene = scene_open(verifying);
    struct peer peer = {.certificate = &good, .cuts = true};
    peer_open(&peer);
    dial(scene, "localhost", peer.port);
    peer_close(&peer);
    assert_string_equal(scene->received, "pong");
    assert_true(scene->eof && scene->truncated);
    scene_close(scene);
}

static void a_certificate_is_shown_to_a_server_that_asks(void **state)
{
    (void)state;
    struct gy_tls_certificate shown = certificate_of(&customer, "customer.pem");
    struct scene *scene = scene_open((struct gy_tls_options){
        .verify = GY_TLS_VERIFY_REQUIRED, .certificates = &shown, .certificate_count = 1});
    struct peer peer = {.certificate = &good, .asks = true};
    peer_open(&peer);
    dial(scene, "localhost", peer.port);
    peer_close(&peer);
    assert_string_equal(scene->received, "pong");
    scene_close(scene);
}

static void a_client_that_comes_back_resumes_with_the_same_host_alone(void **state)
{
    (void)state;
    struct gy_tls_options options = verifying;
    options.resume = true;
    struct scene *scene = scene_open(options);
    struct peer peer = {.certificate = &good, .left = 3};
    peer_open(&peer);
    dial(scene, "localhost", peer.port);
    assert_false(scene->facts.resumed);
    dial(scene, "localhost", peer.port);
    assert_true(scene->facts.resumed && scene->facts.peer_verified);
    assert_string_equal(scene->received, "pong");
    /* Its certificate is looked at again, although the server would resume. */
    dial(scene, "elsewhere.example", peer.port);
    assert_true(scene->failed);
    peer_close(&peer);
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_believed_by_its_name),
        cmocka_unit_test(a_name_of_one_label_is_a_name),
        cmocka_unit_test(a_server_is_believed_by_its_address),
        cmocka_unit_test(a_server_of_tls_1_2_is_believed),
        cmocka_unit_test(another_name_is_refused_and_both_are_named),
        cmocka_unit_test(another_address_is_refused_and_the_certificate_named),
        cmocka_unit_test(an_unknown_authority_is_refused),
        cmocka_unit_test(what_has_expired_is_refused_with_its_date),
        cmocka_unit_test(what_is_not_valid_yet_is_refused_with_its_date),
        cmocka_unit_test(a_client_that_does_not_ask_takes_anybody),
        cmocka_unit_test(an_end_without_tls_s_own_is_told_apart),
        cmocka_unit_test(a_certificate_is_shown_to_a_server_that_asks),
        cmocka_unit_test(a_client_that_comes_back_resumes_with_the_same_host_alone),
    };
    signal(SIGPIPE, SIG_IGN); /* the peer's wolfSSL writes to sockets that a refusal has closed */
    return cmocka_run_group_tests_name("tls_dial", tests, make_certificates, NULL);
}
