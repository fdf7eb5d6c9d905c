/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fuzzing an HTTP/1.1 connection.
 *
 * The input is what the peer sends; whether it then shuts its side, and where the input is cut,
 * follow from a hash of it. A request's target chooses what the handler does with it (see enum
 * behaviour): all of that depends on the request alone, never on when its pieces arrive.
 *
 * So the same input is given to connections in different pieces, to different parsers, and all that
 * the peer and the handler saw must be equal. Then it runs once more with little memory and a peer
 * that reads slowly, where only the invariants count: the rig's (everything is given back), the
 * connection's assertions, and the sanitizers.
 */

#include <stdio.h>
#include <stdlib.h>

#include "protocols/http/h1_parse.h"
#include "tests/http/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first letter of the target's path. Any other: READ. */
enum behaviour {
    READ = '/',       /* read the body, then answer with its digest */
    AT_ONCE = 'a',    /* answer without reading the body */
    CHUNKED = 'c',    /* read the body, then a pulled response of unknown length with trailers */
    LENGTH = 'k',     /* the same, of known length */
    SHORT = 's',      /* the same, ending short of it */
    DEFERRED = 'd',   /* want the body only later */
    HINTS = 'h',      /* 103 first */
    LATER = 'w',      /* answer outside the turn */
    CANCEL = 'x',     /* give up */
    BAD_HEADER = 'b', /* a response that would be split */
    TUNNEL = 't',     /* accept an upgrade, echo */
    KEEP_BODY = 'm',  /* move the body out of the chain, give credit later */
};

/* One connection, and what happened on it. */
struct run {
    struct rig rig;
    struct gy_http_exchange *exchange; /* the active one */
    struct gy_chain kept;
    uint64_t digest; /* of the active request */
    uint64_t owed;   /* credit to give outside the turn */
    uint32_t pulled;
    bool answers_later;
    bool ended;
    char *log; /* what the handler saw, in words */
    size_t log_bytes;
};

static struct run *run_of(struct gy_http_exchange *exchange)
{
    return gy_http_context(exchange);
}

static uint64_t hash(uint64_t seed, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++) {
        seed = (seed ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return seed;
}

static uint64_t hash_text(uint64_t seed, struct gy_http_text text)
{
    return hash(hash(seed, text.data, text.length), "", 1);
}

static void write_log(struct run *run, const char *word, uint64_t number)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%s %llx\n", word, (unsigned long long)number);
    run->log = realloc(run->log, run->log_bytes + (size_t)length + 1);
    gy_assert(run->log != NULL);
    memcpy(run->log + run->log_bytes, line, (size_t)length + 1);
    run->log_bytes += (size_t)length;
}

static enum behaviour behaviour_of(const struct gy_http_exchange *exchange)
{
    struct gy_http_text target = gy_http_target(exchange);
    return target.length >= 2 ? (enum behaviour)target.data[1] : READ;
}

static void answer(struct gy_http_exchange *exchange)
{
    struct run *run = run_of(exchange);
    char text[32];
    struct gy_http_response response = {.status = 200, .kind = GY_HTTP_BODY_PULL};
    switch (behaviour_of(exchange)) {
    case CHUNKED:
        response.body.length = GY_HTTP_UNKNOWN;
        gy_http_respond(exchange, &response);
        break;
    case LENGTH:
    case SHORT:
        response.body.length = 30;
        gy_http_respond(exchange, &response);
        break;
    case BAD_HEADER: {
        struct gy_http_header header = GY_HTTP_HEADER("X", "a\r\nb");
        response.kind = GY_HTTP_BODY_NONE;
        response.headers = &header;
        response.header_count = 1;
        gy_http_respond(exchange, &response);
        break;
    }
    case CANCEL:
        gy_http_cancel(exchange, GY_EIO);
        break;
    default:
        snprintf(text, sizeof text, "%016llx", (unsigned long long)run->digest);
        gy_http_answer(exchange, 200, "text/plain", text, 16);
    }
}

static void whole(struct gy_http_exchange *exchange)
{
    struct run *run = run_of(exchange);
    run->ended = true;
    if (behaviour_of(exchange) == LATER) {
        run->answers_later = true;
    } else if (behaviour_of(exchange) != AT_ONCE) {
        answer(exchange);
    }
}

static void on_request(struct gy_http_exchange *exchange)
{
    struct run *run = run_of(exchange);
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    digest = hash_text(digest, gy_http_method_name(exchange));
    digest = hash_text(digest, gy_http_authority(exchange));
    digest = hash_text(digest, gy_http_target(exchange));
    digest = hash_text(digest, gy_http_protocol(exchange));
    for (uint32_t i = 0; i < gy_http_field_count(exchange); i++) {
        digest = hash_text(digest, gy_http_field_name(exchange, i));
        digest = hash_text(digest, gy_http_field_value(exchange, i));
    }
    gy_assert(run->exchange == NULL);
    gy_assert(gy_http_target(exchange).length > 0 || exchange->method == GY_HTTP_CONNECT);
    run->exchange = exchange;
    run->digest = digest;
    run->pulled = 0;
    run->ended = false;
    write_log(run, "request", digest);
    switch (behaviour_of(exchange)) {
    case AT_ONCE:
        answer(exchange);
        break;
    case DEFERRED:
        gy_http_defer_body(exchange);
        run->owed = exchange->has_body ? 100 : 0;
        break;
    case HINTS:
        gy_http_inform(exchange, 103, NULL, 0);
        break;
    case TUNNEL:
        if (gy_http_tunnel(exchange, gy_http_protocol(exchange), NULL, 0) == 0) {
            return;
        }
        break;
    default:
        break;
    }
    if (!exchange->has_body) {
        whole(exchange);
    }
}

static void on_body(struct gy_http_exchange *exchange, struct gy_chain *bytes, bool end)
{
    struct run *run = run_of(exchange);
    for (const struct gy_link *link = bytes->head; link != NULL; link = link->next) {
        run->digest = hash(run->digest, gy_slice_data(link->slice), link->slice.length);
    }
    if (behaviour_of(exchange) == TUNNEL || behaviour_of(exchange) == KEEP_BODY) {
        run->owed += bytes->length;
        if (gy_chain_move(bytes, &run->kept, bytes->length) != 0) {
            gy_http_cancel(exchange, GY_ENOBUFS);
        }
        run->ended = run->ended || end;
        gy_http_wake(exchange);
    }
    if (end && (exchange->has_body || behaviour_of(exchange) != TUNNEL)) {
        whole(exchange);
    }
}

static void on_trailers(struct gy_http_exchange *exchange)
{
    struct run *run = run_of(exchange);
    for (uint32_t i = 0; i < gy_http_trailer_count(exchange); i++) {
        run->digest = hash_text(run->digest, gy_http_trailer_name(exchange, i));
        run->digest = hash_text(run->digest, gy_http_trailer_value(exchange, i));
    }
}

static int on_pull(struct gy_http_exchange *exchange, struct gy_chain *out, uint32_t budget)
{
    struct run *run = run_of(exchange);
    gy_assert(budget > 0);
    if (behaviour_of(exchange) == TUNNEL) {
        uint32_t length = run->kept.length < budget ? run->kept.length : budget;
        if (gy_chain_move(&run->kept, out, length) != 0) {
            return GY_ENOBUFS;
        }
        return run->kept.length > 0 ? GY_HTTP_MORE : run->ended ? GY_HTTP_END : GY_HTTP_WAIT;
    }
    uint32_t all = behaviour_of(exchange) == SHORT ? 20 : 30;
    uint32_t length = budget < 10 ? budget : 10;
    if (length > all - run->pulled) {
        length = all - run->pulled;
    }
    struct gy_slice slice = rig_slice(&run->rig, "0123456789", length);
    if (gy_chain_append(out, slice) != 0) {
        gy_slice_drop(slice);
        return GY_ENOBUFS;
    }
    run->pulled += length;
    if (run->pulled == all && behaviour_of(exchange) == CHUNKED) {
        struct gy_http_header trailer = GY_HTTP_HEADER("Digest", "0");
        gy_http_trailers(exchange, &trailer, 1);
    }
    return run->pulled == all ? GY_HTTP_END : GY_HTTP_MORE;
}

static void on_closed(struct gy_http_exchange *exchange, int reason)
{
    struct run *run = run_of(exchange);
    gy_assert(run->exchange == exchange);
    write_log(run, "body", run->digest);
    write_log(run, "closed", (uint64_t)-reason);
    gy_chain_clear(&run->kept);
    run->exchange = NULL;
    run->answers_later = false;
    run->owed = 0;
}

static const struct gy_http_handler handler = {
    .request = on_request,
    .body = on_body,
    .trailers = on_trailers,
    .pull = on_pull,
    .closed = on_closed,
    .takes = GY_HTTP_TAKES_CONNECT | GY_HTTP_TAKES_SERVER_OPTIONS,
};

/* What the handler does between turns. */
static bool between_turns(struct run *run)
{
    if (run->exchange == NULL) {
        return false;
    }
    if (run->answers_later) {
        run->answers_later = false;
        answer(run->exchange);
        return true;
    }
    if (run->owed > 0) {
        uint64_t owed = run->owed;
        run->owed = 0;
        if (behaviour_of(run->exchange) == KEEP_BODY) {
            gy_chain_clear(&run->kept);
        }
        gy_http_consume(run->exchange, (uint32_t)owed);
        return true;
    }
    return false;
}

static void turn(struct run *run)
{
    rig_turn(&run->rig);
    while (between_turns(run)) {
        rig_turn(&run->rig);
    }
}

/* ---- one input, several times
 * --------------------------------------------------------------------- */

struct way {
    const struct gy_h1_parser *parser;
    uint64_t cuts; /* seed of the pieces' lengths; 0: one piece */
    uint32_t most; /* bytes of a piece */
    bool together; /* pieces may share a turn */
};

static uint32_t piece_length(uint64_t *cuts, uint32_t most)
{
    *cuts ^= *cuts << 13;
    *cuts ^= *cuts >> 7;
    *cuts ^= *cuts << 17;
    return (uint32_t)(*cuts >> 33) % most + 1;
}

static void run_open(struct run *run, const struct way *way, struct rig_size size)
{
    *run = (struct run){.log = calloc(1, 1)};
    gy_assert(run->log != NULL);
    rig_open_sized(&run->rig, &handler, run, size);
    run->rig.env.parser = way->parser;
    run->rig.env.limits.output_high = 1 << 30;
    gy_chain_init(&run->kept, &run->rig.links);
}

static void run_feed(struct run *run, const struct way *way, const uint8_t *data, size_t size,
                     bool ends)
{
    uint64_t cuts = way->cuts;
    while (size > 0) {
        uint32_t length = way->cuts == 0 ? (uint32_t)size : piece_length(&cuts, way->most);
        length = length < size ? length : (uint32_t)size;
        if (run->rig.links.capacity - run->rig.links.used > 16) {
            rig_append(&run->rig, data, length);
        }
        if (!way->together || (cuts & 1) != 0) {
            turn(run);
        }
        data += length;
        size -= length;
    }
    turn(run);
    run->rig.eof = ends;
    turn(run);
}

static void run_close(struct run *run)
{
    gy_h1_close(&run->rig.h1, GY_ECLOSED);
    gy_assert(run->exchange == NULL);
    gy_chain_clear(&run->kept);
    rig_close(&run->rig);
    free(run->log);
}

static void must_equal(const struct run *one, const struct run *other, const struct way *way)
{
    uint32_t told = GY_H1_CLOSE | GY_H1_IDLE | GY_H1_SHUTDOWN;
    bool equal = one->rig.sent_bytes == other->rig.sent_bytes &&
                 memcmp(one->rig.sent, other->rig.sent, one->rig.sent_bytes) == 0 &&
                 strcmp(one->log, other->log) == 0 &&
                 (one->rig.wants & told) == (other->rig.wants & told);
    if (!equal) {
        fprintf(stderr,
                "in one piece, wants %x:\n%s\n%s\nin pieces (%s, seed %llx, most %u), wants "
                "%x:\n%s\n%s\n",
                one->rig.wants, one->rig.sent, one->log, way->parser->name,
                (unsigned long long)way->cuts, way->most, other->rig.wants, other->rig.sent,
                other->log);
        abort();
    }
}

/* Little memory, low limits, and a peer that reads now and then. */
static void run_tight(const uint8_t *data, size_t size, bool ends, uint64_t cuts)
{
    struct run run;
    struct way way = {gy_h1_parser_nth(0), cuts, 200, true};
    run_open(&run, &way, (struct rig_size){1, 3, 48});
    run.rig.env.limits.output_high = 300;
    run.rig.env.limits.body_window = 64;
    run.rig.env.limits.drain_bytes = 100;
    run.rig.env.limits.pipeline_bytes = 100;
    while (size > 0 && (gy_h1_wants(&run.rig.h1, &run.rig.in) & GY_H1_CLOSE) == 0) {
        uint32_t length = piece_length(&cuts, way.most);
        length = length < size ? length : (uint32_t)size;
        if ((gy_h1_wants(&run.rig.h1, &run.rig.in) & GY_H1_READ) != 0 &&
            run.rig.links.capacity - run.rig.links.used > 8) {
            rig_append(&run.rig, data, length);
            data += length;
            size -= length;
        } else {
            size -= 1; /* a bound for a connection that waits for ever */
        }
        run.rig.holds_output = cuts % 3 != 0;
        turn(&run);
        run.rig.now_ns += cuts % 5 * RIG_SECOND;
        if (gy_h1_deadline(&run.rig.h1) <= run.rig.now_ns) {
            gy_h1_expire(&run.rig.h1, run.rig.now_ns);
        }
        if (cuts % 61 == 0) {
            gy_h1_drain(&run.rig.h1, run.rig.now_ns, 1);
        }
    }
    run.rig.holds_output = false;
    run.rig.eof = ends;
    turn(&run);
    run_close(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t seed = hash(UINT64_C(0xcbf29ce484222325), data, size) | 1;
    bool ends = (seed >> 40 & 1) != 0;
    struct rig_size ample = {1, 4, (uint32_t)(size < 2000 ? size : 2000) + 64};
    struct run one;
    struct way whole_way = {gy_h1_parser_nth(0), 0, 0, false};
    run_open(&one, &whole_way, ample);
    run_feed(&one, &whole_way, data, size, ends);

    uint32_t most = size <= 600 ? 1 : (uint32_t)size / 150;
    const struct way ways[] = {
        {&gy_h1_parser_portable, seed, most, false},
        {gy_h1_parser_nth((uint32_t)(seed >> 50 & 1)), seed, 40 + most, true},
        {gy_h1_parser_nth(0), seed >> 7 | 1, 4 * most, true},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct run other;
        struct way way = ways[i];
        way.parser = way.parser != NULL ? way.parser : &gy_h1_parser_portable;
        run_open(&other, &way, ample);
        run_feed(&other, &way, data, size, ends);
        must_equal(&one, &other, &way);
        run_close(&other);
    }
    run_close(&one);
    run_tight(data, size, ends, seed);
    return 0;
}
