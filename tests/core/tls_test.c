/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Streams with TLS on the real ring, over loopback; the peer is wolfSSL on a plain socket. */

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include <sys/socket.h>
#include <sys/time.h>

#include "tests/certificates.h"
#include "tests/core/loopback.h"

/* What all tests share: made once, as making keys takes time. */
static struct gy_cert_pair authority;
static struct gy_cert_pair first;    /* for localhost */
static struct gy_cert_pair second;   /* for *.example.org */
static struct gy_cert_pair expired;  /* for localhost */
static struct gy_cert_pair customer; /* a client's */
static struct gy_cert_pair stranger; /* an authority that nobody trusts */

static int make_certificates(void **state)
{
    (void)state;
    assert_int_equal(gy_tls_init(NULL), 0);
    certificate_make(&authority, "A test authority", 0, false, NULL);
    certificate_make(&stranger, "A stranger", 0, false, NULL);
    certificate_make(&first, "localhost", 0, false, &authority);
    certificate_make(&second, "*.example.org", 0, false, &authority);
    certificate_make(&expired, "localhost", -60, false, &authority);
    certificate_make(&customer, "a customer", 0, true, &authority);
    return 0;
}

/* ---- the server ---- */

static struct gy_tls_config *open_config(struct gy_tls_options options)
{
    struct gy_tls_certificate certificates[] = {certificate_of(&first, "first"),
                                                certificate_of(&second, "second")};
    struct gy_tls_config *config = NULL;
    struct gy_error error = {0};
    options.server = true;
    if (options.certificates == NULL) {
        options.certificates = certificates;
        options.certificate_count = 2;
    }
    if (gy_tls_config_open(&config, &options, &error) != 0) {
        fail_msg("%s", error.message);
    }
    return config;
}

static struct loopback *serve(const char *test, struct gy_tls_config *config,
                              struct loopback_options options)
{
    deadline(test, 30);
    options.mode = GY_RECEIVE_MULTISHOT;
    options.layer = &gy_tls_layer;
    options.layer_context = config;
    return loopback_open(&options);
}

/* ---- the client ---- */

struct peer {
    WOLFSSL_CTX *context;
    WOLFSSL *ssl;
    int socket;
};

static void peer_open_with(struct peer *peer, const struct loopback *loopback, const char *host,
                           WOLFSSL_METHOD *method)
{
    struct timeval patience = {.tv_sec = 10};
    peer->context = wolfSSL_CTX_new(method);
    assert_non_null(peer->context);
    assert_int_equal(
        wolfSSL_CTX_load_verify_buffer(peer->context, (const unsigned char *)authority.certificate,
                                       (long)strlen(authority.certificate), WOLFSSL_FILETYPE_PEM),
        WOLFSSL_SUCCESS);
    peer->ssl = wolfSSL_new(peer->context);
    assert_non_null(peer->ssl);
    peer->socket = client_connect(loopback);
    setsockopt(peer->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(wolfSSL_set_fd(peer->ssl, peer->socket), WOLFSSL_SUCCESS);
    if (host != NULL) {
        wolfSSL_UseSNI(peer->ssl, WOLFSSL_SNI_HOST_NAME, host, (unsigned short)strlen(host));
        wolfSSL_check_domain_name(peer->ssl, host);
    }
}

static void peer_open(struct peer *peer, const struct loopback *loopback, const char *host)
{
    peer_open_with(peer, loopback, host, wolfTLS_client_method());
}

static void peer_close(struct peer *peer)
{
    wolfSSL_free(peer->ssl);
    wolfSSL_CTX_free(peer->context);
    close(peer->socket);
}

static void peer_connect(struct peer *peer)
{
    int result = wolfSSL_connect(peer->ssl);
    if (result != WOLFSSL_SUCCESS) {
        char text[WOLFSSL_MAX_ERROR_SZ];
        wolfSSL_ERR_error_string_n((unsigned long)-wolfSSL_get_error(peer->ssl, result), text,
                                   sizeof text);
        fail_msg("handshake: %s", text);
    }
}

static void peer_write(struct peer *peer, const void *data, int bytes)
{
    assert_int_equal(wolfSSL_write(peer->ssl, data, bytes), bytes);
}

static void peer_read_all(struct peer *peer, void *data, int bytes)
{
    for (int done = 0; done < bytes;) {
        int got = wolfSSL_read(peer->ssl, (uint8_t *)data + done, bytes - done);
        assert_true(got > 0);
        done += got;
    }
}

static void assert_echoed(struct peer *peer, const char *text)
{
    char back[64] = {0};
    peer_write(peer, text, (int)strlen(text));
    peer_read_all(peer, back, (int)strlen(text));
    assert_string_equal(back, text);
}

/* ---- tests ---- */

static void echo_with(WOLFSSL_METHOD *method, const char *expected)
{
    struct gy_tls_config *config = open_config((struct gy_tls_options){0});
    struct loopback *loopback = serve("tls echo", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    struct peer peer;
    peer_open_with(&peer, loopback, "localhost", method);
    peer_connect(&peer);
    assert_string_equal(wolfSSL_get_version(peer.ssl), expected);
    peer_write(&peer, "E", 1);
    assert_echoed(&peer, "through TLS and back");
    assert_echoed(&peer, "and again");
    wolfSSL_shutdown(peer.ssl);
    char byte;
    assert_int_equal(wolfSSL_read(peer.ssl, &byte, 1), 0);
    assert_int_equal(wolfSSL_get_error(peer.ssl, 0), WOLFSSL_ERROR_ZERO_RETURN);
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, tls_full), 1);
    assert_int_equal(loopback_counter(loopback, tls_failures), 0);
    loopback_close_with_clients(loopback, 1);
    peer_close(&peer);
    gy_tls_config_close(config);
}

static void an_echo_over_tls_1_3(void **state)
{
    (void)state;
    echo_with(wolfTLS_client_method(), "TLSv1.3");
}

static void an_echo_over_tls_1_2(void **state)
{
    (void)state;
    echo_with(wolfTLSv1_2_client_method(), "TLSv1.2");
}

static void megabytes_arrive_whole_in_both_directions(void **state)
{
    (void)state;
    struct gy_tls_config *config = open_config((struct gy_tls_options){0});
    struct loopback *loopback = serve("tls bulk", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    uint64_t total = 4 << 20;
    struct peer source;
    peer_open(&source, loopback, NULL);
    peer_connect(&source);
    peer_write(&source, "G", 1);
    peer_write(&source, &total, 8);
    uint8_t piece[30011];
    for (uint64_t done = 0; done < total;) {
        int got = wolfSSL_read(source.ssl, piece, sizeof piece);
        assert_true(got > 0);
        for (int i = 0; i < got; i++) {
            assert_int_equal(piece[i], loopback_pattern[(done + (uint64_t)i) % PATTERN_PERIOD]);
        }
        done += (uint64_t)got;
    }
    assert_int_equal(wolfSSL_read(source.ssl, piece, 1), 0);
    struct peer sink;
    peer_open(&sink, loopback, NULL);
    peer_connect(&sink);
    peer_write(&sink, "S", 1);
    for (uint64_t done = 0; done < total;) {
        uint64_t bytes = 1 + done * 7 % 40009;
        bytes = bytes < total - done ? bytes : total - done;
        peer_write(&sink, loopback_pattern + done % PATTERN_PERIOD, (int)bytes);
        done += bytes;
    }
    wolfSSL_shutdown(sink.ssl);
    uint64_t answer = 0;
    peer_read_all(&sink, &answer, 8);
    assert_int_equal(answer, total);
    assert_int_equal(atomic_load(&loopback->wrong), 0);
    peer_close(&source);
    peer_close(&sink);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void the_certificate_is_chosen_by_name(void **state)
{
    (void)state;
    struct gy_tls_config *config = open_config((struct gy_tls_options){0});
    struct loopback *loopback = serve("tls sni", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    static const char *const hosts[] = {"localhost", "WWW.Example.Org"};
    for (int i = 0; i < 2; i++) {
        struct peer peer;
        peer_open(&peer, loopback, hosts[i]); /* which verifies the name */
        peer_connect(&peer);
        peer_close(&peer);
    }
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void a_protocol_that_both_speak_is_chosen_and_none_refused(void **state)
{
    (void)state;
    struct gy_tls_config *config =
        open_config((struct gy_tls_options){.protocols = {"h2", "http/1.1"}, .protocol_count = 2});
    struct loopback *loopback = serve("tls alpn", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    struct peer peer;
    char offer[] = "http/1.1,h2";
    peer_open(&peer, loopback, NULL);
    wolfSSL_UseALPN(peer.ssl, offer, sizeof offer - 1, WOLFSSL_ALPN_FAILED_ON_MISMATCH);
    peer_connect(&peer);
    char *chosen = NULL;
    unsigned short length = 0;
    assert_int_equal(wolfSSL_ALPN_GetProtocol(peer.ssl, &chosen, &length), WOLFSSL_SUCCESS);
    assert_int_equal(length, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    peer_close(&peer);
    char other[] = "gopher";
    peer_open(&peer, loopback, NULL);
    wolfSSL_UseALPN(peer.ssl, other, sizeof other - 1, WOLFSSL_ALPN_CONTINUE_ON_MISMATCH);
    assert_int_not_equal(wolfSSL_connect(peer.ssl), WOLFSSL_SUCCESS);
    WOLFSSL_ALERT_HISTORY alerts;
    wolfSSL_get_alert_history(peer.ssl, &alerts);
    assert_int_equal(alerts.last_rx.code, no_application_protocol);
    peer_close(&peer);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

/* Connects, exchanges a byte so that tickets arrive, and leaves the session. */
static bool resumed_with(const struct loopback *loopback, WOLFSSL_SESSION **session)
{
    struct peer peer;
    peer_open(&peer, loopback, "localhost");
    wolfSSL_UseSessionTicket(peer.ssl);
    if (*session != NULL) {
        assert_int_equal(wolfSSL_set_session(peer.ssl, *session), WOLFSSL_SUCCESS);
    }
    peer_connect(&peer);
    peer_write(&peer, "E", 1);
    assert_echoed(&peer, "x");
    bool resumed = wolfSSL_session_reused(peer.ssl);
    wolfSSL_SESSION_free(*session);
    *session = wolfSSL_get1_session(peer.ssl);
    peer_close(&peer);
    return resumed;
}

static void sessions_are_resumed_by_whoever_has_the_secret(void **state)
{
    (void)state;
    struct gy_tls_secret secret;
    assert_int_equal(gy_tls_secret_make(&secret, NULL), 0);
    struct gy_tls_options options[] = {
        {.ticket_secret = &secret}, {.ticket_secret = &secret}, {.ticket_secret = NULL}};
    WOLFSSL_SESSION *session = NULL;
    static const bool expected[] = {false, true, false};
    for (int i = 0; i < 3; i++) {
        struct gy_tls_config *config = open_config(options[i]);
        struct loopback *loopback = serve("tls resume", config, (struct loopback_options){0});
        if (loopback == NULL) {
            return;
        }
        assert_int_equal(resumed_with(loopback, &session), expected[i]);
        loopback_await_open(loopback, 0);
        assert_int_equal(loopback_counter(loopback, tls_resumed), expected[i]);
        loopback_close(loopback);
        gy_tls_config_close(config);
    }
    wolfSSL_SESSION_free(session);
}

static void what_is_no_hello_gets_an_alert(void **state)
{
    (void)state;
    struct gy_tls_config *config = open_config((struct gy_tls_options){0});
    struct loopback *loopback = serve("tls garbage", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    int client = client_connect(loopback);
    client_send(client, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
    uint8_t alert[8] = {0};
    assert_int_equal(client_read(client, alert, sizeof alert), 7); /* and the end */
    assert_int_equal(alert[0], 21);                                /* RFC 8446 §5.1: alert */
    assert_int_equal(alert[5], 2);                                 /* fatal */
    close(client);
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, tls_failures), 1);
    assert_int_equal(loopback_counter(loopback, closed_protocol), 1);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void half_a_hello_is_given_up_in_time(void **state)
{
    (void)state;
    struct gy_tls_config *config = open_config((struct gy_tls_options){0});
    struct loopback *loopback =
        serve("tls half", config, (struct loopback_options){.limits.handshake_timeout_ms = 100});
    if (loopback == NULL) {
        return;
    }
    int client = client_connect(loopback);
    uint8_t byte;
    client_send(client, "\x16\x03\x01\x02\x00\x01", 6);
    assert_true(client_read(client, &byte, 1) <= 0);
    close(client);
    loopback_await_open(loopback, 0);
    assert_int_equal(loopback_counter(loopback, timeouts_handshake), 1);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void a_client_must_show_a_certificate_where_one_is_required(void **state)
{
    (void)state;
    struct gy_tls_config *config =
        open_config((struct gy_tls_options){.verify = GY_TLS_VERIFY_REQUIRED,
                                            .authorities = authority.certificate,
                                            .authorities_bytes = strlen(authority.certificate)});
    struct loopback *loopback = serve("tls mutual", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    struct peer peer;
    peer_open(&peer, loopback, NULL);
    wolfSSL_use_certificate_buffer(peer.ssl, (const unsigned char *)customer.certificate,
                                   (long)strlen(customer.certificate), WOLFSSL_FILETYPE_PEM);
    wolfSSL_use_PrivateKey_buffer(peer.ssl, (const unsigned char *)customer.key,
                                  (long)strlen(customer.key), WOLFSSL_FILETYPE_PEM);
    peer_connect(&peer);
    peer_write(&peer, "E", 1);
    assert_echoed(&peer, "known");
    peer_close(&peer);
    peer_open(&peer, loopback, NULL);
    char byte;
    bool refused =
        wolfSSL_connect(peer.ssl) != WOLFSSL_SUCCESS || wolfSSL_read(peer.ssl, &byte, 1) <= 0;
    assert_true(refused);
    WOLFSSL_ALERT_HISTORY alerts;
    wolfSSL_get_alert_history(peer.ssl, &alerts);
    assert_int_equal(alerts.last_rx.level, alert_fatal);
    peer_close(&peer);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void a_peer_that_leaves_without_a_word_is_noticed(void **state)
{
    (void)state;
    struct gy_tls_config *config = open_config((struct gy_tls_options){0});
    struct loopback *loopback = serve("tls truncated", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    struct peer peer;
    peer_open(&peer, loopback, NULL);
    peer_connect(&peer);
    peer_write(&peer, "S", 1);
    peer_write(&peer, loopback_pattern, 100);
    shutdown(peer.socket, SHUT_WR);
    uint64_t answer = 0;
    peer_read_all(&peer, &answer, 8);
    assert_int_equal(answer, 100);
    peer_close(&peer);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct gy_tls_config *config = open_config((struct gy_tls_options){.memory_bytes = 250 * 1024});
    struct loopback *loopback = serve("tls memory", config, (struct loopback_options){0});
    if (loopback == NULL) {
        return;
    }
    struct peer peers[64];
    uint32_t refused = 0;
    for (int i = 0; i < 64; i++) {
        peer_open(&peers[i], loopback, NULL);
        refused += wolfSSL_connect(peers[i].ssl) != WOLFSSL_SUCCESS;
    }
    assert_true(refused > 0 && refused < 64);
    for (int i = 0; i < 64; i++) {
        peer_close(&peers[i]);
    }
    loopback_await_open(loopback, 0);
    struct peer after;
    peer_open(&after, loopback, NULL);
    peer_connect(&after);
    peer_close(&after);
    loopback_close(loopback);
    gy_tls_config_close(config);
}

static void a_key_of_another_certificate_is_refused_with_its_name(void **state)
{
    (void)state;
    struct gy_tls_certificate mixed = certificate_of(&first, "site.pem");
    mixed.key = second.key;
    mixed.key_bytes = strlen(second.key);
    struct gy_tls_options options = {
        .server = true, .certificates = &mixed, .certificate_count = 1};
    struct gy_tls_config *config = NULL;
    struct gy_error error = {0};
    assert_int_equal(gy_tls_config_open(&config, &options, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "site.pem"));
    assert_null(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_over_tls_1_3),
        cmocka_unit_test(an_echo_over_tls_1_2),
        cmocka_unit_test(megabytes_arrive_whole_in_both_directions),
        cmocka_unit_test(the_certificate_is_chosen_by_name),
        cmocka_unit_test(a_protocol_that_both_speak_is_chosen_and_none_refused),
        cmocka_unit_test(sessions_are_resumed_by_whoever_has_the_secret),
        cmocka_unit_test(what_is_no_hello_gets_an_alert),
        cmocka_unit_test(half_a_hello_is_given_up_in_time),
        cmocka_unit_test(a_client_must_show_a_certificate_where_one_is_required),
        cmocka_unit_test(a_peer_that_leaves_without_a_word_is_noticed),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(a_key_of_another_certificate_is_refused_with_its_name),
    };
    return cmocka_run_group_tests_name("tls", tests, make_certificates, NULL);
}
