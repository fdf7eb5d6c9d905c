/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Refusals: what each is called, and how it is answered. */

#include "protocols/http/h1_internal.h"

static const struct {
    const char *name;
    struct gy_http_text text;
    uint16_t status;
} refusals[GY_H1_REFUSAL_COUNT] = {[GY_H1_REFUSED_NOT] = {"NOT", {"", 0}, 0},
#define REFUSAL_ROW(name, status, connection, sentence)                                            \
    [GY_H1_REFUSED_##name] = {#name, {sentence, sizeof(sentence) - 1}, status},
                                   GY_H1_REFUSALS(REFUSAL_ROW)
#undef REFUSAL_ROW
};

const char *gy_h1_refusal_name(enum gy_h1_refusal refusal)
{
    gy_assert(refusal < GY_H1_REFUSAL_COUNT);
    return refusals[refusal].name;
}

uint16_t gy_h1_refusal_status(enum gy_h1_refusal refusal)
{
    gy_assert(refusal < GY_H1_REFUSAL_COUNT);
    return refusals[refusal].status;
}

const char *gy_h1_refusal_text(enum gy_h1_refusal refusal)
{
    gy_assert(refusal < GY_H1_REFUSAL_COUNT);
    return refusals[refusal].text.data;
}

static int reason_of(const struct gy_h1_exchange *exchange, enum gy_h1_refusal refusal)
{
    switch (refusal) {
    case GY_H1_REFUSED_TIMEOUT:
        return GY_ETIMEOUT;
    case GY_H1_REFUSED_BODY_LIMIT:
    case GY_H1_REFUSED_TRAILER_LIMIT:
        return GY_ELIMIT;
    case GY_H1_REFUSED_INCOMPLETE:
        return GY_ECLOSED;
    case GY_H1_REFUSED_BUSY:
        return GY_ENOBUFS;
    case GY_H1_REFUSED_HANDLER:
        return exchange->reason;
    default:
        return GY_EPROTO;
    }
}

void gy_h1_refuse(struct gy_h1 *connection, enum gy_h1_refusal refusal)
{
    gy_assert(refusal > GY_H1_REFUSED_NOT && refusal < GY_H1_REFUSAL_COUNT);
    gy_assert(connection->phase == GY_H1_PHASE_HEAD || connection->phase == GY_H1_PHASE_EXCHANGE);
    struct gy_h1_exchange *exchange = connection->exchange;
    bool active = gy_h1_active(connection);
    connection->env->counters.refused[refusal]++;
    if (!active || exchange->answer_state == GY_H1_ANSWER_NONE) {
        /* A HEAD request's answer has no body, where it is known to be one. */
        bool head_only = active && exchange->base.method == GY_HTTP_HEAD;
        gy_h1_answer_plain(connection, refusals[refusal].status, refusals[refusal].text, true,
                           head_only);
    }
    if (!active && connection->env->over != NULL) {
        struct gy_h1_record record = {
            .connection = connection,
            .begun_ns = connection->since_ns,
            .status = refusals[refusal].status,
            .minor = 1,
            .reason = GY_EPROTO,
        };
        connection->env->over(connection->env, &record);
    }
    if (active) {
        if (exchange->answer_state == GY_H1_ANSWER_NONE) {
            exchange->status = refusals[refusal].status;
        }
        exchange->answer_state = GY_H1_ANSWER_DONE;
        gy_h1_tell_closed(exchange, reason_of(exchange, refusal));
    }
    gy_h1_close_soon(connection, true);
}
