/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The opening handshake (RFC 6455 §4), over HTTP/1.1. */

#include "protocols/websocket/handshake.h"
#include "tests/http/probe.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha.h>

static struct rig rig;
static struct probe probe;
static struct gy_ws_rules rules;
static struct gy_ws_agreed agreed;

static void sha1(const void *data, size_t bytes, uint8_t digest[20])
{
    wc_Sha sha;
    assert_int_equal(wc_InitSha(&sha), 0);
    assert_int_equal(wc_ShaUpdate(&sha, data, (word32)bytes), 0);
    assert_int_equal(wc_ShaFinal(&sha, digest), 0);
    wc_ShaFree(&sha);
}

static void upgrade(struct gy_http_exchange *exchange, struct probe *p)
{
    p->number = (uint64_t)gy_ws_upgrade(exchange, &rules, NULL, &agreed);
}

/* The tunnel, which is not of interest here, sends nothing. */
static int wait(struct gy_http_exchange *exchange, struct probe *p, struct gy_chain *out,
                uint32_t budget)
{
    (void)exchange, (void)p, (void)out, (void)budget;
    return GY_HTTP_WAIT;
}

static int set_up(void **state)
{
    (void)state;
    probe_open(&probe, &rig);
    probe.request = upgrade;
    probe.pull = wait;
    rules = (struct gy_ws_rules){.sha1 = sha1};
    agreed = (struct gy_ws_agreed){.subprotocol = -2};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define ASK     "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"

static void expect(const char *request, int status)
{
    rig_say(&rig, request);
    assert_int_equal((int)probe.number, status);
    char start[32];
    snprintf(start, sizeof start, "HTTP/1.1 %d ", status != 0 ? status : 101);
    assert_memory_equal(rig.sent, start, strlen(start));
}

/* §1.3 and §4.2.2 give the key and what must come back. */
static void the_example_of_the_rfc(void **state)
{
    (void)state;
    char accept[GY_WS_ACCEPT_BYTES];
    gy_ws_key_accept(sha1, "dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof accept);
    expect(ASK UPGRADE KEY VERSION "Origin: http://server.example.com\r\n\r\n", 0);
    assert_non_null(strstr(rig.sent, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_int_equal(agreed.subprotocol, -1);
}

static void a_key_is_base64(void **state)
{
    (void)state;
    char key[GY_WS_KEY_BYTES];
    gy_ws_key_make((const uint8_t *)"the sample nonce", key);
    assert_memory_equal(key, "dGhlIHNhbXBsZSBub25jZQ==", sizeof key);
}

static void a_subprotocol_of_ours_is_chosen(void **state)
{
    (void)state;
    static const char *const ours[] = {"superchat", "chat"};
    rules.subprotocols = ours;
    rules.subprotocol_count = 2;
    expect(ASK UPGRADE KEY VERSION "Sec-WebSocket-Protocol: chat, other\r\n"
                                   "Sec-WebSocket-Protocol: superchat\r\n\r\n",
           0);
    assert_int_equal(agreed.subprotocol, 0);
    assert_non_null(strstr(rig.sent, "\r\nSec-WebSocket-Protocol: superchat\r\n"));
}

static void none_of_ours_was_offered(void **state)
{
    (void)state;
    static const char *const ours[] = {"chat"};
    rules.subprotocols = ours;
    rules.subprotocol_count = 1;
    expect(ASK UPGRADE KEY VERSION "Sec-WebSocket-Protocol: other\r\n\r\n", 0);
    assert_null(strstr(rig.sent, "Sec-WebSocket-Protocol"));
}

static void another_version_is_told_ours(void **state)
{
    (void)state;
    expect(ASK UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426);
    assert_non_null(strstr(rig.sent, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(rig.sent, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(rig.sent, "\r\nConnection: upgrade\r\n"));
}

static void no_version(void **state)
{
    (void)state;
    expect(ASK UPGRADE KEY "\r\n", 426);
}

static void a_plain_request_is_told_what_this_is(void **state)
{
    (void)state;
    expect(ASK "\r\n", 426);
    rig_forget(&rig);
    /* The connection goes on. */
    expect(ASK UPGRADE KEY VERSION "\r\n", 0);
}

static void another_method(void **state)
{
    (void)state;
    expect("POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" UPGRADE KEY VERSION "\r\n",
           405);
}

static void keys_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "Sec-WebSocket-Key: \r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char request[512];
        snprintf(request, sizeof request, ASK UPGRADE VERSION "%s\r\n", bad[i]);
        rig_forget(&rig);
        expect(request, 400);
    }
}

static void pages_of_other_hosts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"http://evil.example", "null",
                                      "http://server.example.com.evil",
                                      "http://server.example.com:81", "server.example.com"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char request[512];
        snprintf(request, sizeof request, ASK UPGRADE KEY VERSION "Origin: %s\r\n\r\n", bad[i]);
        rig_forget(&rig);
        expect(request, 403);
    }
    rig_forget(&rig);
    expect(ASK UPGRADE KEY VERSION "Origin: HTTPS://Server.example.com\r\n\r\n", 0);
}

static void origins_of_a_list(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://app.example", "http://localhost:3000"};
    rules.origins = origins;
    rules.origin_count = 2;
    expect(ASK UPGRADE KEY VERSION "Origin: http://server.example.com\r\n\r\n", 403);
    rig_forget(&rig);
    expect(ASK UPGRADE KEY VERSION "Origin: http://localhost:3000\r\n\r\n", 0);
}

static void any_origin(void **state)
{
    (void)state;
    rules.any_origin = true;
    expect(ASK UPGRADE KEY VERSION "Origin: null\r\n\r\n", 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_example_of_the_rfc),
        CASE(a_key_is_base64),
        CASE(a_subprotocol_of_ours_is_chosen),
        CASE(none_of_ours_was_offered),
        CASE(another_version_is_told_ours),
        CASE(no_version),
        CASE(a_plain_request_is_told_what_this_is),
        CASE(another_method),
        CASE(keys_that_are_none),
        CASE(pages_of_other_hosts_are_refused),
        CASE(origins_of_a_list),
        CASE(any_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
