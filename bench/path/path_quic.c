/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * QUIC over a path, see path.h: ngtcp2 with GnuTLS, one stream each way, on which a message is its
 * length (4 bytes) and its bytes. Packets of a burst leave as trains (UDP_SEGMENT) and are taken as
 * such, as for ours. The server's certificate is made as it starts, and not checked.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <poll.h>

#include "bench/path/path.h"
#include "bench/path/path_train.h"

#define RING_BYTES    (8u << 20) /* of what was not acknowledged yet */
#define WINDOW_BYTES  (16u << 20)
#define WAITING       4096 /* messages of a flood that are not acknowledged */
#define MESSAGE_MAX   65536
#define HEAD_BYTES    4
#define CONNECTION_ID 8
#define SECOND_NS     UINT64_C(1000000000)
#define PRIORITY                                                                                   \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519:"             \
    "+GROUP-SECP256R1:%DISABLE_TLS13_COMPAT_MODE"

struct end {
    struct path_flags flags;
    struct path_report report;
    ngtcp2_conn *conn;
    ngtcp2_crypto_conn_ref reference;
    gnutls_session_t tls;
    gnutls_certificate_credentials_t credentials;
    struct sockaddr_in local, remote;
    ngtcp2_path path;
    int descriptor;
    int64_t stream; /* -1: none yet */
    uint8_t *ring;
    uint64_t written, taken, acknowledged; /* bytes of the stream that goes out */
    uint8_t *message;                      /* that is coming in, with its head */
    size_t message_bytes;
    uint64_t sent, begun_ns;
    bool open, over;
};

static _Noreturn void give_up(const char *doing, const char *why)
{
    fprintf(stderr, "path-quic: %s: %s\n", doing, why);
    exit(1);
}

static void must(int code, const char *doing)
{
    if (code != 0) {
        give_up(doing, ngtcp2_strerror(code));
    }
}

static void must_tls(int code, const char *doing)
{
    if (code < 0) {
        give_up(doing, gnutls_strerror(code));
    }
}

/* ---- messages on the stream -------------------------------------------------------------------
 */

static void put(struct end *end, const void *data, size_t bytes)
{
    size_t at = end->written % RING_BYTES;
    size_t first = bytes < RING_BYTES - at ? bytes : RING_BYTES - at;
    memcpy(end->ring + at, data, first);
    memcpy(end->ring, (const uint8_t *)data + first, bytes - first);
    end->written += bytes;
}

static bool put_message(struct end *end, const uint8_t *data, size_t bytes)
{
    uint32_t head = (uint32_t)bytes;
    if (end->written - end->acknowledged + sizeof head + bytes > RING_BYTES) {
        return false;
    }
    put(end, &head, sizeof head);
    put(end, data, bytes);
    return true;
}

static void took_message(struct end *end)
{
    const uint8_t *data = end->message + HEAD_BYTES;
    size_t bytes = end->message_bytes - HEAD_BYTES;
    path_received(&end->report, data, bytes);
    if (end->flags.serve && end->flags.ping) {
        put_message(end, data, bytes);
    }
    end->message_bytes = 0;
}

static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                   const uint8_t *data, size_t bytes, void *context, void *of_stream)
{
    struct end *end = context;
    (void)flags, (void)offset, (void)of_stream;
    end->stream = stream;
    for (size_t at = 0; at < bytes;) {
        uint32_t length = 0;
        size_t wanted = HEAD_BYTES;
        if (end->message_bytes >= HEAD_BYTES) {
            memcpy(&length, end->message, sizeof length);
            wanted = HEAD_BYTES + (size_t)length;
        }
        if (length > MESSAGE_MAX) {
            return NGTCP2_ERR_CALLBACK_FAILURE;
        }
        size_t some = wanted - end->message_bytes;
        some = some < bytes - at ? some : bytes - at;
        memcpy(end->message + end->message_bytes, data + at, some);
        end->message_bytes += some;
        at += some;
        if (length > 0 && end->message_bytes == wanted) {
            took_message(end);
        }
    }
    ngtcp2_conn_extend_max_stream_offset(conn, stream, bytes);
    ngtcp2_conn_extend_max_offset(conn, bytes);
    return 0;
}

static int on_acknowledged(ngtcp2_conn *conn, int64_t stream, uint64_t offset, uint64_t bytes,
                           void *context, void *of_stream)
{
    struct end *end = context;
    (void)conn, (void)stream, (void)of_stream;
    end->acknowledged = offset + bytes;
    return 0;
}

/* ---- the connection ---------------------------------------------------------------------------
 */

static void some_random(uint8_t *to, size_t bytes, const ngtcp2_rand_ctx *unused)
{
    (void)unused;
    must_tls(gnutls_rnd(GNUTLS_RND_RANDOM, to, bytes), "random bytes");
}

static int on_new_id(ngtcp2_conn *conn, ngtcp2_cid *id, uint8_t *token, size_t bytes, void *context)
{
    (void)conn, (void)context;
    some_random(id->data, bytes, NULL);
    id->datalen = bytes;
    some_random(token, NGTCP2_STATELESS_RESET_TOKENLEN, NULL);
    return 0;
}

static int on_handshake(ngtcp2_conn *conn, void *context)
{
    struct end *end = context;
    end->open = true;
    end->begun_ns = path_now_ns();
    return end->flags.serve ? 0 : ngtcp2_conn_open_bidi_stream(conn, &end->stream, NULL);
}

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *reference)
{
    return ((struct end *)reference->user_data)->conn;
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
    .handshake_completed = on_handshake,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = ngtcp2_crypto_decrypt_cb,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_stream_data = on_data,
    .acked_stream_data_offset = on_acknowledged,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .rand = some_random,
    .get_new_connection_id = on_new_id,
    .update_key = ngtcp2_crypto_update_key_cb,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

static void make_certificate(gnutls_certificate_credentials_t credentials)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    time_t now = time(NULL);
    must_tls(gnutls_x509_privkey_init(&key), "making a key");
    must_tls(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                          GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
             "making a key");
    must_tls(gnutls_x509_crt_init(&certificate), "making a certificate");
    gnutls_x509_crt_set_version(certificate, 3);
    gnutls_x509_crt_set_serial(certificate, "\1", 1);
    gnutls_x509_crt_set_activation_time(certificate, now - 60);
    gnutls_x509_crt_set_expiration_time(certificate, now + 86400);
    must_tls(gnutls_x509_crt_set_dn(certificate, "CN=localhost", NULL), "naming a certificate");
    must_tls(gnutls_x509_crt_set_key(certificate, key), "a certificate's key");
    must_tls(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0),
             "signing a certificate");
    must_tls(gnutls_certificate_set_x509_key(credentials, &certificate, 1, key),
             "handing over the certificate");
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}

static void open_tls(struct end *end)
{
    static const gnutls_datum_t protocol = {(unsigned char *)"path", 4};
    bool serve = end->flags.serve;
    must_tls(gnutls_certificate_allocate_credentials(&end->credentials), "credentials");
    if (serve) {
        make_certificate(end->credentials);
    }
    must_tls(gnutls_init(&end->tls, serve ? GNUTLS_SERVER : GNUTLS_CLIENT), "TLS");
    must_tls(gnutls_priority_set_direct(end->tls, PRIORITY, NULL), "choosing ciphers");
    must_tls(serve ? ngtcp2_crypto_gnutls_configure_server_session(end->tls)
                   : ngtcp2_crypto_gnutls_configure_client_session(end->tls),
             "TLS for QUIC");
    must_tls(gnutls_credentials_set(end->tls, GNUTLS_CRD_CERTIFICATE, end->credentials),
             "credentials");
    must_tls(gnutls_alpn_set_protocols(end->tls, &protocol, 1, GNUTLS_ALPN_MANDATORY), "ALPN");
    end->reference = (ngtcp2_crypto_conn_ref){.get_conn = conn_of, .user_data = end};
    gnutls_session_set_ptr(end->tls, &end->reference);
    if (!serve) {
        must_tls(gnutls_server_name_set(end->tls, GNUTLS_NAME_DNS, "localhost", 9), "naming it");
    }
}

static void read_settings(const struct end *end, ngtcp2_settings *settings,
                          ngtcp2_transport_params *params)
{
    ngtcp2_settings_default(settings);
    settings->initial_ts = path_now_ns();
    settings->cc_algo =
        strcmp(end->flags.congestion, "cubic") == 0 ? NGTCP2_CC_ALGO_CUBIC : NGTCP2_CC_ALGO_BBR;
    settings->max_tx_udp_payload_size = 1452;
    ngtcp2_transport_params_default(params);
    params->initial_max_stream_data_bidi_local = WINDOW_BYTES;
    params->initial_max_stream_data_bidi_remote = WINDOW_BYTES;
    params->initial_max_data = WINDOW_BYTES;
    params->initial_max_streams_bidi = 1;
    params->max_idle_timeout = 30 * SECOND_NS;
}

static void new_id(ngtcp2_cid *id)
{
    uint8_t bytes[CONNECTION_ID];
    some_random(bytes, sizeof bytes, NULL);
    ngtcp2_cid_init(id, bytes, sizeof bytes);
}

static void make_connection(struct end *end, const ngtcp2_pkt_hd *first)
{
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_cid ours, theirs;
    read_settings(end, &settings, &params);
    new_id(&ours);
    end->path = (ngtcp2_path){
        .local = {.addr = (ngtcp2_sockaddr *)&end->local, .addrlen = sizeof end->local},
        .remote = {.addr = (ngtcp2_sockaddr *)&end->remote, .addrlen = sizeof end->remote}};
    open_tls(end);
    if (first != NULL) {
        params.original_dcid = first->dcid;
        must(ngtcp2_conn_server_new(&end->conn, &first->scid, &ours, &end->path, first->version,
                                    &callbacks, &settings, &params, NULL, end),
             "making a connection");
    } else {
        new_id(&theirs);
        must(ngtcp2_conn_client_new(&end->conn, &theirs, &ours, &end->path, NGTCP2_PROTO_VER_V1,
                                    &callbacks, &settings, &params, NULL, end),
             "making a connection");
    }
    ngtcp2_conn_set_tls_native_handle(end->conn, end->tls);
}

/* ---- packets ----------------------------------------------------------------------------------
 */

/* What the stream has for the next packet, in up to two pieces. */
static size_t next_pieces(const struct end *end, ngtcp2_vec pieces[2])
{
    uint64_t bytes = end->written - end->taken;
    size_t at = end->taken % RING_BYTES;
    size_t first = bytes < RING_BYTES - at ? bytes : RING_BYTES - at;
    pieces[0] = (ngtcp2_vec){.base = end->ring + at, .len = first};
    pieces[1] = (ngtcp2_vec){.base = end->ring, .len = bytes - first};
    return bytes == 0 ? 0 : bytes > first ? 2 : 1;
}

/* One packet: its length, 0 where there is none to send now. */
static size_t write_packet(struct end *end, uint8_t *to, size_t room, uint64_t now_ns)
{
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    ngtcp2_vec pieces[2];
    ngtcp2_ssize taken = -1;
    size_t count = end->open && end->stream >= 0 ? next_pieces(end, pieces) : 0;
    ngtcp2_path_storage_zero(&path);
    ngtcp2_ssize bytes = ngtcp2_conn_writev_stream(
        end->conn, &path.path, &info, to, room, &taken, NGTCP2_WRITE_STREAM_FLAG_NONE,
        count > 0 ? end->stream : -1, pieces, count, now_ns);
    if (bytes == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
        bytes = ngtcp2_conn_writev_stream(end->conn, &path.path, &info, to, room, &taken,
                                          NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, now_ns);
    }
    if (bytes < 0) {
        give_up("writing a packet", ngtcp2_strerror((int)bytes));
    }
    end->taken += taken > 0 ? (uint64_t)taken : 0;
    return (size_t)bytes;
}

/* A burst: as much as may go without a pause, packets of one length together. */
static void write_packets(struct end *end)
{
    static uint8_t train[PATH_TRAIN_BYTES];
    size_t most = ngtcp2_conn_get_max_tx_udp_payload_size(end->conn);
    size_t quantum = ngtcp2_conn_get_send_quantum(end->conn), used = 0, length = 0, sent = 0;
    uint64_t now_ns = path_now_ns();
    quantum = quantum < most ? most : quantum;
    while (sent < quantum) {
        size_t bytes = write_packet(end, train + used, most, now_ns);
        if (bytes == 0) {
            break;
        }
        sent += bytes;
        if (used > 0 && bytes > length) { /* a probe of a larger size: by itself */
            path_train_send(end->descriptor, train, used, length);
            memmove(train, train + used, bytes);
            used = 0;
        }
        length = used == 0 ? bytes : length;
        used += bytes;
        if (bytes < length || used + most > PATH_TRAIN_BYTES || used / length >= PATH_TRAIN_MAX) {
            path_train_send(end->descriptor, train, used, length);
            used = 0;
        }
    }
    if (used > 0) {
        path_train_send(end->descriptor, train, used, length);
    }
    ngtcp2_conn_update_pkt_tx_time(end->conn, now_ns);
}

static void accept_client(struct end *end, const uint8_t *data, size_t bytes)
{
    ngtcp2_pkt_hd first;
    if (ngtcp2_accept(&first, data, bytes) != 0) {
        return;
    }
    if (connect(end->descriptor, (struct sockaddr *)&end->remote, sizeof end->remote) != 0) {
        give_up("connecting to the client", strerror(errno));
    }
    make_connection(end, &first);
}

static void take_packet(struct end *end, const uint8_t *data, size_t bytes)
{
    const ngtcp2_pkt_info info = {0};
    if (end->conn == NULL) {
        accept_client(end, data, bytes);
    }
    int code = end->conn != NULL
                   ? ngtcp2_conn_read_pkt(end->conn, &end->path, &info, data, bytes, path_now_ns())
                   : 0;
    if (code == NGTCP2_ERR_DRAINING) {
        end->over = true;
    } else if (code != 0 && code != NGTCP2_ERR_DROP_CONN) {
        give_up("reading a packet", ngtcp2_strerror(code));
    }
}

static void read_packets(struct end *end)
{
    static uint8_t train[PATH_TRAIN_BYTES];
    for (int i = 0; i < 16 && !end->over; i++) {
        size_t length;
        ssize_t bytes = path_train_receive(end->descriptor, train, &length,
                                           end->conn == NULL ? &end->remote : NULL);
        if (bytes <= 0) {
            return;
        }
        for (size_t at = 0; at < (size_t)bytes && !end->over; at += length) {
            size_t rest = (size_t)bytes - at;
            take_packet(end, train + at, rest < length ? rest : length);
        }
    }
}

static void say_goodbye(struct end *end)
{
    uint8_t packet[1500];
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    ngtcp2_connection_close_error why;
    ngtcp2_path_storage_zero(&path);
    ngtcp2_connection_close_error_default(&why);
    ngtcp2_ssize bytes = ngtcp2_conn_write_connection_close(end->conn, &path.path, &info, packet,
                                                            sizeof packet, &why, path_now_ns());
    for (int i = 0; i < 3 && bytes > 0; i++) { /* it may be lost, and nobody waits for it */
        path_train_send(end->descriptor, packet, (size_t)bytes, (size_t)bytes);
    }
    end->over = true;
}

/* ---- a run ------------------------------------------------------------------------------------
 */

/* The client sends what is due: when it is to be asked again. */
static uint64_t step(struct end *end)
{
    static uint8_t data[MESSAGE_MAX];
    uint64_t now_ns = path_now_ns(), bytes = HEAD_BYTES + end->flags.bytes;
    if (end->flags.serve || !end->open) {
        return UINT64_MAX;
    }
    double passed = (double)(now_ns - end->begun_ns) / 1e9;
    if (passed >= end->flags.seconds) {
        if (end->acknowledged == end->written || passed > end->flags.seconds + 5) {
            say_goodbye(end);
        }
        return now_ns + SECOND_NS / 500;
    }
    uint64_t waiting = (end->written - end->acknowledged + bytes - 1) / bytes;
    uint64_t due = path_due(&end->flags, &end->report, end->sent, passed,
                            waiting < WAITING ? WAITING - waiting : 0);
    for (; end->sent < due; end->sent++) {
        path_message_fill(data, end->sent);
        if (!put_message(end, data, end->flags.bytes)) {
            break;
        }
    }
    if (end->flags.ping || end->flags.rate == 0) {
        return now_ns + SECOND_NS / 500;
    }
    return end->begun_ns + (uint64_t)((double)(end->sent + 1) / end->flags.rate * 1e9);
}

static void turn(struct end *end)
{
    uint64_t until_ns = step(end);
    if (end->conn != NULL && !end->over) {
        write_packets(end);
        uint64_t expiry_ns = ngtcp2_conn_get_expiry(end->conn);
        until_ns = expiry_ns < until_ns ? expiry_ns : until_ns;
    }
    uint64_t now_ns = path_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    wait_ns = wait_ns < SECOND_NS / 10 ? wait_ns : SECOND_NS / 10;
    struct pollfd readable = {.fd = end->descriptor, .events = POLLIN};
    const struct timespec wait = {0, (long)wait_ns};
    if (!end->over && ppoll(&readable, 1, &wait, NULL) > 0) {
        read_packets(end);
    }
    if (end->conn == NULL || end->over) {
        return;
    }
    int code = ngtcp2_conn_get_expiry(end->conn) <= path_now_ns()
                   ? ngtcp2_conn_handle_expiry(end->conn, path_now_ns())
                   : 0;
    if (code == NGTCP2_ERR_IDLE_CLOSE) {
        end->over = true;
    } else {
        must(code, "a timer");
    }
}

static void open_end(struct end *end)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof end->local;
    end->stream = -1;
    end->ring = malloc(RING_BYTES);
    end->message = malloc(HEAD_BYTES + MESSAGE_MAX);
    end->report.delays_ns = malloc(PATH_DELAYS_MAX * sizeof(uint64_t));
    if (end->ring == NULL || end->message == NULL || end->report.delays_ns == NULL) {
        give_up("starting", "out of memory");
    }
    here.sin_port = htons(end->flags.serve ? end->flags.port : 0);
    end->descriptor = path_train_socket(&here);
    if (end->descriptor < 0) {
        give_up("opening a socket", strerror(errno));
    }
    if (getsockname(end->descriptor, (struct sockaddr *)&end->local, &bytes) != 0) {
        give_up("reading the socket's address", strerror(errno));
    }
    if (!end->flags.serve) {
        end->remote = here;
        end->remote.sin_port = htons(end->flags.port);
        if (connect(end->descriptor, (struct sockaddr *)&end->remote, sizeof end->remote) != 0) {
            give_up("connecting", strerror(errno));
        }
        make_connection(end, NULL);
    }
}

int main(int argc, char **argv)
{
    static struct end end;
    char version[64];
    snprintf(version, sizeof version, "ngtcp2 %s, GnuTLS %s", ngtcp2_version(0)->version_str,
             gnutls_check_version(NULL));
    path_flags_read(&end.flags, argc, argv, version);
    open_end(&end);
    uint64_t limit_ns = path_now_ns() + (uint64_t)((end.flags.seconds + 30) * 1e9);
    while (!end.over && path_now_ns() < limit_ns) {
        turn(&end);
    }
    if (end.flags.serve) {
        path_report_print(&end.report);
    } else {
        path_sent_print(end.sent, &end.report);
    }
    if (end.conn != NULL) {
        ngtcp2_conn_del(end.conn);
        gnutls_deinit(end.tls);
        gnutls_certificate_free_credentials(end.credentials);
    }
    free(end.ring);
    free(end.message);
    free(end.report.delays_ns);
    return end.over ? 0 : 1;
}
