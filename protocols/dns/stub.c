/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/stub.h"

#include <string.h>

#include "protocols/dns/stub_internal.h"

#define DOWN_MS       30000u
#define STRANGE_MAX   16
#define ALIASES_ASKED 8

enum { QUESTION_AAAA, QUESTION_A };

static void begin_candidate(struct gy_dns_stub *stub, struct gy_dns_work *work, uint64_t now_ms);

/* ---- those who ask ---- */

static void make_ready(struct gy_dns_stub *stub, struct gy_dns_lookup *lookup)
{
    if (!lookup->ready) {
        lookup->ready = true;
        TAILQ_INSERT_TAIL(&stub->ready, lookup, ready_entry);
    }
}

static void detach(struct gy_dns_lookup *lookup)
{
    TAILQ_REMOVE(&lookup->work->lookups, lookup, work_entry);
    lookup->work = NULL;
}

/* Addresses behind those that the lookup has. */
static void add(struct gy_dns_lookup *lookup, const struct gy_dns_stub_question *question)
{
    for (uint32_t i = 0; i < question->count && lookup->count < GY_DNS_STUB_ADDRESSES; i++) {
        lookup->addresses[lookup->count++] = question->addresses[i];
    }
}

/* Copies what is known to one lookup: first what has been told, so that what came later is behind
 * it. Half of the room is IPv4's where there is so much. */
static void fill(struct gy_dns_lookup *lookup, struct gy_dns_work *work)
{
    struct gy_dns_stub_question *six = &work->questions[QUESTION_AAAA];
    struct gy_dns_stub_question *four = &work->questions[QUESTION_A];
    if (lookup->count == 0) {
        add(lookup, six);
    }
    uint32_t had = lookup->count;
    if (had == 0 || (had > 0 && lookup->addresses[0].length == 16)) {
        uint32_t half = GY_DNS_STUB_ADDRESSES / 2;
        uint32_t wanted = four->count < half ? four->count : half;
        if (!work->told && had > GY_DNS_STUB_ADDRESSES - wanted) {
            lookup->count = GY_DNS_STUB_ADDRESSES - wanted;
        }
        add(lookup, four);
    } else {
        add(lookup, six);
    }
}

static bool is_over(const struct gy_dns_work *work)
{
    return work->questions[0].outcome != GY_DNS_STUB_PENDING &&
           work->questions[1].outcome != GY_DNS_STUB_PENDING;
}

/* Tells all that wait what there is; at the end of the work they are let go. */
static void tell(struct gy_dns_stub *stub, struct gy_dns_work *work, enum gy_dns_stub_result result,
                 bool more)
{
    struct gy_dns_lookup *lookup, *next;
    work->due_ms = 0;
    for (lookup = TAILQ_FIRST(&work->lookups); lookup != NULL; lookup = next) {
        next = TAILQ_NEXT(lookup, work_entry);
        lookup->result = result;
        lookup->more = more;
        if (result == GY_DNS_STUB_FOUND) {
            fill(lookup, work);
        }
        make_ready(stub, lookup);
        if (!more) {
            detach(lookup);
        }
    }
    work->told = true;
}

/* ---- exchanges ---- */

static void act(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                enum gy_dns_stub_action action)
{
    stub->actions += (question->action == GY_DNS_STUB_NOTHING && action != GY_DNS_STUB_NOTHING);
    stub->actions -= (question->action != GY_DNS_STUB_NOTHING && action == GY_DNS_STUB_NOTHING);
    question->action = (uint8_t)action;
}

static void release(struct gy_dns_stub *stub, struct gy_dns_work *work)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (work->questions[i].outcome == GY_DNS_STUB_PENDING && work->questions[i].asked) {
            act(stub, &work->questions[i], GY_DNS_STUB_CLOSE);
        }
    }
    gy_assert(TAILQ_EMPTY(&work->lookups));
    work->bytes = 0;
    work->due_ms = 0;
}

static void send(struct gy_dns_stub *stub, struct gy_dns_stub_question *question, uint64_t now_ms)
{
    question->asked = true;
    question->strange = 0;
    question->due_ms = now_ms + (uint64_t)stub->resolv.timeout_s * 1000;
    act(stub, question, question->tcp ? GY_DNS_STUB_TCP : GY_DNS_STUB_UDP);
}

/* In which order servers are asked: those that are thought to be down last. */
static void order_servers(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                          uint32_t first, uint64_t now_ms)
{
    uint32_t servers = stub->resolv.server_count;
    uint32_t count = 0;
    for (uint32_t down = 0; down < 2; down++) {
        for (uint32_t i = 0; i < servers; i++) {
            uint32_t server = (first + i) % servers;
            if ((stub->down_until_ms[server] > now_ms) == (down == 1)) {
                question->order[count++] = (uint8_t)server;
            }
        }
    }
    gy_assert(count == servers);
}

static uint32_t server_of(const struct gy_dns_stub *stub,
                          const struct gy_dns_stub_question *question)
{
    return question->order[question->tries % stub->resolv.server_count];
}

/* ---- a candidate's end ---- */

static enum gy_dns_stub_result final_result(const struct gy_dns_work *work)
{
    return work->saw_failure ? GY_DNS_STUB_FAILED
           : work->saw_name  ? GY_DNS_STUB_NO_ADDRESS
                             : GY_DNS_STUB_NO_NAME;
}

/* Looks at what both questions have come to. */
static void settle(struct gy_dns_stub *stub, struct gy_dns_work *work, uint64_t now_ms)
{
    const struct gy_dns_stub_question *six = &work->questions[QUESTION_AAAA];
    const struct gy_dns_stub_question *four = &work->questions[QUESTION_A];
    if (!is_over(work)) {
        if (six->count > 0 && !work->told) {
            tell(stub, work, GY_DNS_STUB_FOUND, true);
        } else if (four->count > 0 && !work->told && work->due_ms == 0) {
            work->due_ms = now_ms + GY_DNS_STUB_WAIT_MS;
        }
        return;
    }
    if (six->count + four->count > 0) {
        tell(stub, work, GY_DNS_STUB_FOUND, false);
        release(stub, work);
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t outcome = work->questions[i].outcome;
        if (outcome == GY_DNS_STUB_SILENT) { /* further names would fare no better */
            tell(stub, work, GY_DNS_STUB_SILENT, false);
            release(stub, work);
            return;
        }
        work->saw_failure = work->saw_failure || outcome == GY_DNS_STUB_FAILED;
        work->saw_name = work->saw_name || outcome == GY_DNS_STUB_NO_ADDRESS;
    }
    work->candidate++;
    begin_candidate(stub, work, now_ms);
}

static void end_question(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                         enum gy_dns_stub_result outcome)
{
    question->outcome = (uint8_t)outcome;
    if (question->asked) {
        act(stub, question, GY_DNS_STUB_CLOSE);
    }
}

/* ---- questions ---- */

/* Looks in the cache; otherwise it is sent. */
static void begin_question(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                           const uint8_t *name, uint16_t type, uint32_t first, uint64_t now_ms)
{
    uint8_t action = question->action; /* an exchange that is to be closed still is */
    memset(question, 0, sizeof *question);
    question->action = action;
    question->type = type;
    question->ttl = UINT32_MAX;
    question->tcp = stub->resolv.tcp;
    memcpy(question->name, name, gy_dns_name_bytes(name));
    if (type == GY_DNS_TYPE_AAAA && stub->resolv.no_aaaa) {
        question->outcome = GY_DNS_STUB_NO_NAME; /* so that it is A that decides */
        return;
    }
    const struct gy_dns_cached *cached = stub_cache_find(stub, name, type, now_ms);
    if (cached != NULL) {
        question->outcome = cached->outcome;
        question->count = cached->outcome == GY_DNS_STUB_FOUND ? cached->count : 0;
        for (uint32_t i = 0; i < question->count; i++) {
            question->addresses[i].length = type == GY_DNS_TYPE_A ? 4 : 16;
            memcpy(question->addresses[i].bytes, cached->addresses[i], 16);
        }
        return;
    }
    order_servers(stub, question, first, now_ms);
    send(stub, question, now_ms);
}

static void begin_candidate(struct gy_dns_stub *stub, struct gy_dns_work *work, uint64_t now_ms)
{
    uint8_t name[GY_DNS_NAME_PADDED];
    int code;
    while ((code = gy_dns_resolv_candidate(&stub->resolv, work->name, work->candidate, name)) < 0) {
        work->candidate++; /* too long with this domain */
    }
    if (code == 0) {
        tell(stub, work, final_result(work), false);
        release(stub, work);
        return;
    }
    uint32_t first = stub->resolv.rotate ? stub->turn++ % stub->resolv.server_count : 0;
    begin_question(stub, &work->questions[QUESTION_AAAA], name, GY_DNS_TYPE_AAAA, first, now_ms);
    begin_question(stub, &work->questions[QUESTION_A], name, GY_DNS_TYPE_A, first, now_ms);
    settle(stub, work, now_ms);
}

/* It comes to nothing, which is remembered: nobody is to be asked for it again and again. */
static void fail_question(struct gy_dns_stub *stub, struct gy_dns_work *work,
                          struct gy_dns_stub_question *question, uint64_t now_ms)
{
    enum gy_dns_stub_result outcome = question->refused ? GY_DNS_STUB_FAILED : GY_DNS_STUB_SILENT;
    uint8_t name[GY_DNS_NAME_PADDED];
    if (gy_dns_resolv_candidate(&stub->resolv, work->name, work->candidate, name) == 1) {
        stub_cache_fail(stub, name, question->type, outcome, now_ms);
    }
    end_question(stub, question, outcome);
    settle(stub, work, now_ms);
}

/* The try under way is lost: another server, or the same once more. */
static void next_try(struct gy_dns_stub *stub, struct gy_dns_work *work,
                     struct gy_dns_stub_question *question, uint64_t now_ms)
{
    question->tries++;
    question->tcp = stub->resolv.tcp;
    if (question->tries < stub->resolv.server_count * stub->resolv.attempts) {
        send(stub, question, now_ms);
        return;
    }
    stub->counts.failures++;
    fail_question(stub, work, question, now_ms);
}

/* The same server once more, by TCP. */
static void by_tcp(struct gy_dns_stub *stub, struct gy_dns_stub_question *question, uint64_t now_ms)
{
    question->tcp = true;
    stub->counts.tcp++;
    send(stub, question, now_ms);
}

static void strange(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                    const struct stub_answer *answer, uint64_t now_ms)
{
    ++*answer->strange;
    if (!question->tcp && (answer->wrong_case || ++question->strange >= STRANGE_MAX)) {
        by_tcp(stub, question, now_ms);
    }
}

/* Where the aliases led is asked for; the answer is kept under the name that was asked for first.
 */
static bool ask_alias(struct gy_dns_stub *stub, struct gy_dns_stub_question *question,
                      const struct stub_answer *answer, uint64_t now_ms)
{
    if (question->aliases == ALIASES_ASKED) {
        return false;
    }
    question->aliases++;
    question->ttl = answer->ttl < question->ttl ? answer->ttl : question->ttl;
    memcpy(question->name, answer->target, gy_dns_name_bytes(answer->target));
    send(stub, question, now_ms);
    return true;
}

static void answered(struct gy_dns_stub *stub, struct gy_dns_work *work,
                     struct gy_dns_stub_question *question, const struct stub_answer *answer,
                     uint64_t now_ms)
{
    enum gy_dns_stub_result outcome = answer->kind == STUB_ADDRESSES ? GY_DNS_STUB_FOUND
                                      : answer->kind == STUB_NO_NAME ? GY_DNS_STUB_NO_NAME
                                                                     : GY_DNS_STUB_NO_ADDRESS;
    uint32_t ttl = answer->ttl < question->ttl ? answer->ttl : question->ttl;
    uint8_t name[GY_DNS_NAME_PADDED];
    stub->counts.answers++;
    if (outcome == GY_DNS_STUB_FOUND) {
        question->count = answer->count;
        memcpy(question->addresses, answer->addresses, answer->count * sizeof answer->addresses[0]);
    }
    /* What an alias led to does not exist; the name that was asked for does, and may have other
     * types (RFC 2308 §2.1: a denial is of the chain's end). */
    if (gy_dns_resolv_candidate(&stub->resolv, work->name, work->candidate, name) == 1) {
        bool aliased = !gy_dns_name_equal(name, answer->target);
        stub_cache_put(stub, name, question->type,
                       aliased && outcome == GY_DNS_STUB_NO_NAME ? GY_DNS_STUB_NO_ADDRESS : outcome,
                       question->addresses, question->count, ttl, now_ms);
    }
    end_question(stub, question, outcome);
    settle(stub, work, now_ms);
}

static bool same_address(const struct gy_dns_address *a, const struct gy_dns_address *b)
{
    return a->length == b->length && a->port == b->port &&
           memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* The exchange's question while an answer to it is awaited; else NULL. */
static struct gy_dns_stub_question *awaiting(struct gy_dns_stub *stub, uint32_t exchange)
{
    gy_assert(exchange < GY_DNS_STUB_EXCHANGES);
    struct gy_dns_work *work = &stub->works[exchange / 2];
    struct gy_dns_stub_question *question = &work->questions[exchange % 2];
    return work->bytes > 0 && question->asked && question->outcome == GY_DNS_STUB_PENDING &&
                   question->action == GY_DNS_STUB_NOTHING
               ? question
               : NULL;
}

void gy_dns_stub_receive(struct gy_dns_stub *stub, uint32_t exchange,
                         const struct gy_dns_address *from, const uint8_t *bytes, size_t length,
                         uint64_t now_ms)
{
    struct stub_answer answer;
    struct gy_dns_stub_question *question = awaiting(stub, exchange);
    struct gy_dns_work *work = &stub->works[exchange / 2];
    if (question == NULL) {
        return;
    }
    uint32_t server = server_of(stub, question);
    if (!same_address(from, &stub->resolv.servers[server])) {
        stub->counts.strangers++;
        return;
    }
    stub_read(&stub->counts, question, bytes, length, &answer);
    if (answer.kind != STUB_NOT_OURS) {
        stub->down_until_ms[server] = 0;
    }
    switch (answer.kind) {
    case STUB_NOT_OURS:
        strange(stub, question, &answer, now_ms);
        break;
    case STUB_CUT:
        by_tcp(stub, question, now_ms);
        break;
    case STUB_NO_EDNS:
        if (stub->resolv.edns && !question->plain) {
            question->plain = true;
            send(stub, question, now_ms);
            break;
        }
        /* fallthrough */
    case STUB_FAILURE:
        question->refused = true;
        next_try(stub, work, question, now_ms);
        break;
    case STUB_ALIAS:
        if (!ask_alias(stub, question, &answer, now_ms)) {
            question->refused = true;
            fail_question(stub, work, question, now_ms);
        }
        break;
    case STUB_ADDRESSES:
    case STUB_NO_NAME:
    case STUB_NO_DATA:
        answered(stub, work, question, &answer, now_ms);
        break;
    }
}

void gy_dns_stub_failed(struct gy_dns_stub *stub, uint32_t exchange, uint64_t now_ms)
{
    struct gy_dns_stub_question *question = awaiting(stub, exchange);
    if (question != NULL) {
        stub->down_until_ms[server_of(stub, question)] = now_ms + DOWN_MS;
        next_try(stub, &stub->works[exchange / 2], question, now_ms);
    }
}

/* ---- time ---- */

uint64_t gy_dns_stub_deadline(const struct gy_dns_stub *stub)
{
    uint64_t due_ms = UINT64_MAX;
    for (uint32_t i = 0; i < GY_DNS_STUB_NAMES; i++) {
        const struct gy_dns_work *work = &stub->works[i];
        if (work->bytes == 0) {
            continue;
        }
        if (work->due_ms != 0 && work->due_ms < due_ms) {
            due_ms = work->due_ms;
        }
        for (uint32_t j = 0; j < 2; j++) {
            const struct gy_dns_stub_question *question = &work->questions[j];
            if (question->outcome == GY_DNS_STUB_PENDING && question->due_ms < due_ms) {
                due_ms = question->due_ms;
            }
        }
    }
    return due_ms;
}

void gy_dns_stub_expire(struct gy_dns_stub *stub, uint64_t now_ms)
{
    for (uint32_t i = 0; i < GY_DNS_STUB_NAMES; i++) {
        struct gy_dns_work *work = &stub->works[i];
        if (work->bytes > 0 && work->due_ms != 0 && work->due_ms <= now_ms) {
            tell(stub, work, GY_DNS_STUB_FOUND, true);
        }
        for (uint32_t j = 0; j < 2; j++) {
            struct gy_dns_stub_question *question = &work->questions[j];
            if (work->bytes == 0 || question->outcome != GY_DNS_STUB_PENDING ||
                question->due_ms > now_ms) {
                continue;
            }
            stub->counts.timeouts++;
            stub->down_until_ms[server_of(stub, question)] = now_ms + DOWN_MS;
            next_try(stub, work, question, now_ms);
        }
    }
}

/* ---- asking ---- */

static struct gy_dns_work *work_for(struct gy_dns_stub *stub, const char *name, uint32_t bytes)
{
    struct gy_dns_work *spare = NULL;
    for (uint32_t i = 0; i < GY_DNS_STUB_NAMES; i++) {
        struct gy_dns_work *work = &stub->works[i];
        if (work->bytes == bytes && memcmp(work->name, name, bytes) == 0) {
            return work;
        }
        spare = spare == NULL && work->bytes == 0 ? work : spare;
    }
    return spare;
}

int gy_dns_stub_ask(struct gy_dns_stub *stub, struct gy_dns_lookup *lookup, const char *name,
                    uint64_t now_ms)
{
    lookup->count = 0;
    lookup->more = lookup->ready = false;
    lookup->work = NULL;
    lookup->result = stub_known(stub, name, lookup);
    if (lookup->result != GY_DNS_STUB_PENDING) {
        make_ready(stub, lookup);
        return 0;
    }
    uint32_t bytes = (uint32_t)strlen(name);
    struct gy_dns_work *work = work_for(stub, name, bytes);
    if (work == NULL) {
        return GY_ELIMIT;
    }
    bool begun = work->bytes > 0;
    if (!begun) {
        TAILQ_INIT(&work->lookups);
        memcpy(work->name, name, bytes + 1);
        work->bytes = bytes;
        work->candidate = 0;
        work->due_ms = 0;
        work->told = work->saw_failure = work->saw_name = false;
    }
    lookup->work = work;
    TAILQ_INSERT_TAIL(&work->lookups, lookup, work_entry);
    if (!begun) {
        begin_candidate(stub, work, now_ms);
    } else if (work->told) {
        lookup->result = GY_DNS_STUB_FOUND;
        lookup->more = true;
        fill(lookup, work);
        make_ready(stub, lookup);
    }
    return 0;
}

void gy_dns_stub_cancel(struct gy_dns_stub *stub, struct gy_dns_lookup *lookup)
{
    struct gy_dns_work *work = lookup->work;
    if (lookup->ready) {
        TAILQ_REMOVE(&stub->ready, lookup, ready_entry);
        lookup->ready = false;
    }
    if (work != NULL) {
        detach(lookup);
        if (TAILQ_EMPTY(&work->lookups)) {
            release(stub, work);
        }
    }
}

struct gy_dns_lookup *gy_dns_stub_next(struct gy_dns_stub *stub)
{
    struct gy_dns_lookup *lookup = TAILQ_FIRST(&stub->ready);
    if (lookup != NULL) {
        TAILQ_REMOVE(&stub->ready, lookup, ready_entry);
        lookup->ready = false;
    }
    return lookup;
}

bool gy_dns_stub_output(struct gy_dns_stub *stub, struct gy_dns_stub_output *output,
                        uint8_t room[GY_DNS_STUB_QUERY_BYTES])
{
    if (stub->actions == 0) {
        return false;
    }
    struct gy_dns_stub_question *question;
    do {
        stub->outputs = (stub->outputs + 1) % GY_DNS_STUB_EXCHANGES;
        question = &stub->works[stub->outputs / 2].questions[stub->outputs % 2];
    } while (question->action == GY_DNS_STUB_NOTHING);
    *output = (struct gy_dns_stub_output){
        .action = (enum gy_dns_stub_action)question->action,
        .exchange = stub->outputs,
    };
    if (output->action != GY_DNS_STUB_CLOSE) {
        output->server = &stub->resolv.servers[server_of(stub, question)];
        output->bytes = stub_query(stub, question, room);
        stub->counts.queries++;
    }
    act(stub, question, GY_DNS_STUB_NOTHING);
    return true;
}

/* ---- the whole ---- */

static void set(struct gy_dns_stub *stub, const struct gy_dns_stub_options *options)
{
    gy_assert(options->resolv->server_count > 0 && options->random != NULL);
    stub->resolv = *options->resolv;
    stub->options = *options;
    stub->options.resolv = NULL;
}

void gy_dns_stub_init(struct gy_dns_stub *stub, const struct gy_dns_stub_options *options)
{
    memset(stub, 0, sizeof *stub);
    TAILQ_INIT(&stub->ready);
    set(stub, options);
    options->random(options->context, &stub->seed, sizeof stub->seed);
    options->random(options->context, &stub->turn, sizeof stub->turn);
}

void gy_dns_stub_configure(struct gy_dns_stub *stub, const struct gy_dns_stub_options *options,
                           uint64_t now_ms)
{
    set(stub, options);
    memset(stub->cache, 0, sizeof stub->cache);
    memset(stub->down_until_ms, 0, sizeof stub->down_until_ms);
    for (uint32_t i = 0; i < GY_DNS_STUB_NAMES; i++) {
        struct gy_dns_work *work = &stub->works[i];
        if (work->bytes > 0) {
            for (uint32_t j = 0; j < 2; j++) {
                end_question(stub, &work->questions[j], GY_DNS_STUB_FAILED);
            }
            if (work->told) { /* what is out is all there is */
                tell(stub, work, GY_DNS_STUB_FOUND, false);
                release(stub, work);
                continue;
            }
            work->candidate = 0;
            work->saw_failure = work->saw_name = false;
            begin_candidate(stub, work, now_ms);
        }
    }
}
