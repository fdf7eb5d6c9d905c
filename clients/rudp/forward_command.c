/* SPDX-License-Identifier: GPL-3.0-or-later */

/* TCP connections that are accepted here go, over one connection of reliable UDP, to a server that
 * relays them (servers/rudp/forward_service.h). */

#include "clients/rudp/forward_command.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/rudp/client.h"
#include "core/usage.h"
#include "servers/rudp/forward_link.h"

#define MS          1000000ull
#define NAP_NS      (50 * MS) /* how soon `stop` is seen */
#define BACKOFF_MIN (100 * MS)
#define BACKOFF_MAX (2000 * MS)
#define MEMORY      ((size_t)64 << 20)
#define WINDOW      ((uint64_t)4 << 20)
#define STREAMS     (4 * GY_FORWARD_FLOWS)
#define WRITE_MS    86400000 /* a reader may be slow: its far end is told by credit */

static atomic_bool stop;

struct forwarder {
    struct gy_rudp_client client; /* first: aligned */
    struct gy_rudp_target target;
    struct gy_server server;
    struct gy_forward_link link;
    struct gy_rudp_session *session; /* NULL: none */
    struct gy_error *error;
    const char *listen;
    struct gy_address address;
    int descriptor;
    uint64_t dial_ns, backoff_ns, said_ns;
    bool open, listening;
    bool answered; /* an opening, by whatever server it was */
    int code;
};

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre rudp forward LISTEN HOST:PORT [FLAGS]\n"
        "Carries TCP connections over reliable UDP to `gyre rudp serve --relay`, which connects "
        "them\nto its target.\n\n"
        "  gyre rudp serve --relay 127.0.0.1:80 --tls localhost.pem --listen :7117    there\n"
        "  gyre rudp forward 127.0.0.1:8080 example.org:7117 --ca authority.pem       here\n"
        "  curl http://127.0.0.1:8080/\n\n"
        "  LISTEN                  an address and a port here, for TCP\n%s\n"
        "When the connection to the server is lost, the TCP connections over it are reset, and "
        "it is\nmade again. Ends with SIGINT or SIGTERM: exit status 0; 1 something failed, 2 "
        "misuse.\n",
        gy_rudp_target_help);
}

/* How long an OPEN waits for its answer: a relay gives its target 10 seconds. */
static uint64_t open_ms(const struct forwarder *forwarder)
{
    return forwarder->target.timeout_ns / MS * 3 / 2;
}

static void say(struct forwarder *forwarder, const char *what, const char *why)
{
    uint64_t now_ns = forwarder->client.worker.now_ns;
    if (now_ns - forwarder->said_ns > 1000 * MS) { /* not a line for each of many */
        fprintf(stderr, "%s: %s: %s\n", forwarder->target.command, what, why);
        forwarder->said_ns = now_ns;
    }
}

/* ---- streams ---- */

static uint32_t accepted(struct gy_stream *stream)
{
    struct forwarder *forwarder = stream->endpoint->context;
    struct gy_forward_flow *flow = stream->session;
    *flow = (struct gy_forward_flow){0};
    if (!forwarder->open || !gy_forward_link_has_room(&forwarder->link)) {
        gy_forward_abort(stream);
        return GY_WANT_CLOSE;
    }
    gy_forward_flow_join(flow, &forwarder->link, stream, ++forwarder->link.next);
    gy_stream_set_deadline(stream, stream->worker->now_ms + open_ms(forwarder));
    gy_forward_flow_open(flow);
    return 0;
}

/* Nothing came of its OPEN. */
static uint32_t unanswered(struct gy_stream *stream)
{
    struct forwarder *forwarder = stream->endpoint->context;
    struct gy_forward_flow *flow = stream->session;
    if (flow->link == NULL) {
        return 0; /* it is being ended */
    }
    if (forwarder->answered) {
        say(forwarder, "opening a connection", "the far end does not answer");
    } else {
        forwarder->code = gy_error_set(
            forwarder->error, GY_ETIMEOUT,
            "opening a connection: %s takes messages, but has answered nothing for %.1f s: it does "
            "not seem to relay; is it served with --relay?",
            forwarder->target.text, (double)open_ms(forwarder) / 1e3);
    }
    gy_forward_flow_give_up(flow, "no answer came");
    return GY_WANT_CLOSE;
}

static const struct gy_stream_ops stream_ops = {
    .open = accepted,
    .turn = gy_forward_flow_turn,
    .expire = unanswered,
    .drain = gy_forward_flow_stop,
    .closed = gy_forward_flow_closed,
};

/* ---- the connection ---- */

static void was_reset(struct gy_forward_link *link, const char *text)
{
    struct forwarder *forwarder = link->user;
    say(forwarder, "the far end ended a connection", text);
}

static void opened(struct gy_rudp_session *session)
{
    struct forwarder *forwarder = session->host->options.context;
    forwarder->open = true;
    forwarder->backoff_ns = BACKOFF_MIN;
    gy_forward_link_init(&forwarder->link, session);
    forwarder->link.reset = was_reset;
    forwarder->link.user = forwarder;
    if (forwarder->listening) {
        fprintf(stderr, "%s: connected to %s again\n", forwarder->target.command,
                forwarder->target.text);
    }
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct forwarder *forwarder = session->host->options.context;
    (void)channel, (void)guarantee;
    forwarder->answered = true;
    return !forwarder->open || gy_forward_link_received(&forwarder->link, data, length);
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    struct forwarder *forwarder = session->host->options.context;
    gy_forward_link_finished(forwarder->open ? &forwarder->link : NULL, session, message);
}

static void closed(struct gy_rudp_session *session)
{
    struct forwarder *forwarder = session->host->options.context;
    bool was_open = forwarder->open;
    bool by_us = session->conn.close_code == 0 && !session->conn.closed_by_peer;
    if (forwarder->open) {
        gy_forward_link_lose(&forwarder->link);
    }
    forwarder->session = NULL;
    forwarder->open = false;
    if (by_us) {
        return;
    }
    gy_rudp_client_explain(&forwarder->client, session, was_open, forwarder->error);
    if (!forwarder->listening) {
        forwarder->code = forwarder->error->code;
        return;
    }
    if (was_open) {
        fprintf(stderr, "%s: %s; what went over it is reset; connecting again\n",
                forwarder->target.command, forwarder->error->message);
    }
    forwarder->dial_ns = forwarder->client.worker.now_ns + forwarder->backoff_ns;
    forwarder->backoff_ns =
        2 * forwarder->backoff_ns < BACKOFF_MAX ? 2 * forwarder->backoff_ns : BACKOFF_MAX;
}

static const struct gy_rudp_host_ops ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

/* ---- running ---- */

/* Accepts from now on. */
static int begin_to_listen(struct forwarder *forwarder)
{
    char address[GY_ADDRESS_TEXT_BYTES];
    struct gy_address bound = forwarder->address;
    forwarder->server = (struct gy_server){
        .name = "forward",
        .ops = &stream_ops,
        .context = forwarder,
        .session_bytes = sizeof(struct gy_forward_flow),
        .limits = {.send_high_bytes = GY_FORWARD_WINDOW / 2, .write_timeout_ms = WRITE_MS},
        .descriptors = &forwarder->descriptor,
    };
    gy_address_of_socket(&bound, forwarder->descriptor);
    int code = gy_worker_serve(&forwarder->client.worker, &forwarder->server, forwarder->error);
    if (code != 0) {
        return code;
    }
    forwarder->listening = true;
    gy_address_format(&bound, address, sizeof address);
    printf("%s: listening on %s, forwarding to %s\n", forwarder->target.command, address,
           forwarder->target.text);
    fflush(stdout);
    return 0;
}

static int run(struct forwarder *forwarder)
{
    while (forwarder->code == 0 && !atomic_load_explicit(&stop, memory_order_relaxed)) {
        if (forwarder->session == NULL && forwarder->client.worker.now_ns >= forwarder->dial_ns) {
            forwarder->session =
                gy_rudp_client_dial(&forwarder->client, forwarder, forwarder->error);
            forwarder->code = forwarder->session == NULL ? forwarder->error->code : 0;
        }
        if (forwarder->open && !forwarder->listening) {
            forwarder->code = begin_to_listen(forwarder);
        }
        int code = forwarder->code == 0
                       ? gy_rudp_client_turn(&forwarder->client, NAP_NS, forwarder->error)
                       : 0;
        forwarder->code = code != 0 ? code : forwarder->code; /* which the turn may have set */
    }
    if (forwarder->session != NULL) {
        struct gy_error ignored = {0};
        gy_rudp_host_end(forwarder->session, 0, "done");
        gy_rudp_client_turn(&forwarder->client, MS, &ignored);
    }
    return forwarder->code;
}

static int forward(struct forwarder *forwarder, struct gy_error *error)
{
    const struct gy_rudp_client_options options = {
        .ops = &ops,
        .context = forwarder,
        .memory_bytes = MEMORY,
        .window_bytes = WINDOW,
        .streams_max = STREAMS,
    };
    forwarder->error = error;
    forwarder->backoff_ns = BACKOFF_MIN;
    int code = gy_address_parse(&forwarder->address, forwarder->listen, error);
    code = code == 0 ? gy_rudp_target_open(&forwarder->target, error) : code;
    code = code == 0
               ? gy_address_listen(&forwarder->address, 1, &forwarder->descriptor, NULL, error)
               : code;
    if (code != 0) {
        return code;
    }
    code = gy_rudp_client_open(&forwarder->client, &forwarder->target, &options, error);
    code = code == 0 ? run(forwarder) : code;
    bool listened = forwarder->listening;
    gy_rudp_client_close(&forwarder->client);
    if (!listened) {
        close(forwarder->descriptor);
    }
    return code;
}

/* -1: go on; otherwise the exit status. */
static int read_arguments(struct forwarder *forwarder, int argc, char **argv)
{
    struct gy_error error = {0};
    int code = 0;
    for (int i = 1; i < argc && code >= 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(stdout);
            return 0;
        }
        code = gy_rudp_target_flag(&forwarder->target, argc, argv, &i, &error);
        if (code == 0 && argv[i][0] != '-' && forwarder->listen == NULL) {
            forwarder->listen = argv[i];
        } else if (code == 0 && argv[i][0] != '-' && forwarder->target.text == NULL) {
            forwarder->target.text = argv[i];
        } else if (code == 0) {
            char hint[GY_USAGE_HINT_BYTES];
            code = gy_error_set(&error, GY_EINVAL, "unknown flag or argument %s%s", argv[i],
                                gy_usage_hint(hint, argv[i], help));
        }
    }
    if (code >= 0) {
        code = gy_rudp_target_check(&forwarder->target, &error);
    }
    if (code >= 0) {
        code = gy_address_parse(&forwarder->address, forwarder->listen, &error);
    }
    if (code < 0) {
        fprintf(stderr, "gyre rudp forward: %s\nTry `gyre rudp forward --help`.\n", error.message);
        return 2;
    }
    return -1;
}

static void on_signal(int number)
{
    (void)number;
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

int gy_rudp_forward_main(int argc, char **argv)
{
    size_t bytes = (sizeof(struct forwarder) + 63) & ~(size_t)63;
    struct forwarder *forwarder = aligned_alloc(64, bytes);
    struct gy_error error = {0};
    if (forwarder == NULL) {
        fprintf(stderr, "gyre rudp forward: out of memory\n");
        return 1;
    }
    memset(forwarder, 0, bytes);
    gy_rudp_target_init(&forwarder->target, "gyre rudp forward");
    int status = read_arguments(forwarder, argc, argv);
    if (status < 0) {
        struct sigaction action = {.sa_handler = on_signal};
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        status = forward(forwarder, &error) == 0 ? 0 : 1;
        if (status != 0) {
            fprintf(stderr, "gyre rudp forward: %s\n", error.message);
        }
    }
    gy_rudp_target_close(&forwarder->target);
    free(forwarder);
    return status;
}
