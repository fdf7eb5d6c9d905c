/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/sim/tcp_model.h"

#include <string.h>

#include "core/cursor.h"
#include "core/error.h"

#define MS           UINT64_C(1000000)
#define DELAYED_NS   (40 * MS)
#define RTO_NS       (200 * MS)
#define REORDERING   3
#define ACK_SEGMENTS 6 /* that one acknowledgement names */
#define INITIAL      10

void tcp_model_init(struct tcp_model *tcp)
{
    memset(tcp, 0, sizeof *tcp);
    tcp->window = INITIAL;
    tcp->threshold = 1e9;
}

size_t tcp_model_send(struct tcp_model *tcp, uint8_t *out, uint64_t now_ns)
{
    if (tcp->in_flight + 1 > tcp->window || tcp->next - tcp->oldest >= TCP_MODEL_WINDOW) {
        return 0;
    }
    uint64_t number = tcp->next++;
    tcp->state[number % TCP_MODEL_WINDOW] = 1;
    tcp->sent_ns[number % TCP_MODEL_WINDOW] = now_ns;
    tcp->in_flight++;
    tcp->last_ns = now_ns;
    memset(out, 0, TCP_MODEL_SEGMENT);
    struct gy_writer writer = gy_writer_on(out, 8);
    gy_writer_u64(&writer, number);
    return TCP_MODEL_SEGMENT;
}

/* By Newton: the program that has this needs no libm. */
static double cube_root(double value)
{
    double x = value > 1 ? value / 3 + 1 : 1;
    for (int i = 0; i < 60 && value > 0; i++) {
        x = (2 * x + value / (x * x)) / 3;
    }
    return value > 0 ? x : 0;
}

static void reduce(struct tcp_model *tcp)
{
    tcp->w_max = tcp->window < tcp->w_max ? tcp->window * 0.85 : tcp->window;
    tcp->window = tcp->window * 0.7 > 2 ? tcp->window * 0.7 : 2;
    tcp->threshold = tcp->window;
    tcp->epoch_ns = 0;
    tcp->recovery_until = tcp->next;
}

static void grow(struct tcp_model *tcp, uint64_t now_ns)
{
    if (tcp->window < tcp->threshold) {
        tcp->window += 1;
        return;
    }
    if (tcp->epoch_ns == 0) {
        tcp->epoch_ns = now_ns;
        tcp->w_max = tcp->w_max > tcp->window ? tcp->w_max : tcp->window;
        tcp->k = cube_root((tcp->w_max - tcp->window) / 0.4);
    }
    double t = (double)(now_ns - tcp->epoch_ns + tcp->srtt_ns) / 1e9;
    double cubic = tcp->w_max + 0.4 * (t - tcp->k) * (t - tcp->k) * (t - tcp->k);
    double reno = tcp->threshold + 0.53 * (t / ((double)tcp->srtt_ns / 1e9));
    double target = cubic > reno ? cubic : reno;
    target = target > 1.5 * tcp->window ? 1.5 * tcp->window : target;
    if (target > tcp->window) {
        tcp->window += (target - tcp->window) / tcp->window;
    }
}

static void land(struct tcp_model *tcp, uint64_t number)
{
    tcp->state[number % TCP_MODEL_WINDOW] = 0;
    gy_assert(tcp->in_flight > 0);
    tcp->in_flight--;
}

void tcp_model_acked(struct tcp_model *tcp, const uint8_t *data, size_t bytes, uint64_t now_ns)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    uint8_t count = gy_reader_u8(&reader);
    for (uint8_t i = 0; i < count; i++) {
        uint64_t number = gy_reader_u64(&reader);
        gy_assert(!reader.failed && number < tcp->next);
        if (number < tcp->oldest || tcp->state[number % TCP_MODEL_WINDOW] != 1) {
            continue;
        }
        uint64_t rtt_ns = now_ns - tcp->sent_ns[number % TCP_MODEL_WINDOW];
        tcp->srtt_ns = tcp->srtt_ns == 0 ? rtt_ns : (7 * tcp->srtt_ns + rtt_ns) / 8;
        tcp->highest = number > tcp->highest ? number : tcp->highest;
        bool full = tcp->in_flight + 1 > tcp->window / 2;
        land(tcp, number);
        if (number >= tcp->recovery_until && full) {
            grow(tcp, now_ns);
        }
    }
    bool lost = false;
    for (; tcp->oldest < tcp->next; tcp->oldest++) {
        if (tcp->state[tcp->oldest % TCP_MODEL_WINDOW] == 1) {
            if (tcp->oldest + REORDERING > tcp->highest) {
                break;
            }
            land(tcp, tcp->oldest);
            lost |= tcp->oldest >= tcp->recovery_until;
        }
    }
    if (lost) {
        reduce(tcp);
    }
}

bool tcp_model_receive(struct tcp_model *tcp, const uint8_t *data, size_t bytes, uint64_t now_ns)
{
    struct gy_reader reader = gy_reader_on(data, bytes);
    uint64_t number = gy_reader_u64(&reader);
    gy_assert(!reader.failed && tcp->unacknowledged_count < ACK_SEGMENTS);
    tcp->received += bytes;
    tcp->unacknowledged[tcp->unacknowledged_count++] = number;
    tcp->ack_ns = tcp->ack_ns == 0 ? now_ns + DELAYED_NS : tcp->ack_ns;
    return tcp->unacknowledged_count >= 2;
}

size_t tcp_model_ack(struct tcp_model *tcp, uint8_t *out)
{
    memset(out, 0, TCP_MODEL_ACK);
    struct gy_writer writer = gy_writer_on(out, TCP_MODEL_ACK);
    gy_writer_u8(&writer, (uint8_t)tcp->unacknowledged_count);
    for (uint32_t i = 0; i < tcp->unacknowledged_count; i++) {
        gy_writer_u64(&writer, tcp->unacknowledged[i]);
    }
    tcp->unacknowledged_count = 0;
    tcp->ack_ns = 0;
    return TCP_MODEL_ACK;
}

uint64_t tcp_model_timeout(const struct tcp_model *tcp)
{
    uint64_t at_ns = tcp->ack_ns == 0 ? UINT64_MAX : tcp->ack_ns;
    if (tcp->in_flight > 0 && tcp->last_ns + RTO_NS + 2 * tcp->srtt_ns < at_ns) {
        at_ns = tcp->last_ns + RTO_NS + 2 * tcp->srtt_ns;
    }
    return at_ns;
}

bool tcp_model_expire(struct tcp_model *tcp, uint64_t now_ns)
{
    if (tcp->in_flight > 0 && now_ns >= tcp->last_ns + RTO_NS + 2 * tcp->srtt_ns) {
        reduce(tcp);
        tcp->window = 1;
        while (tcp->oldest < tcp->next) {
            if (tcp->state[tcp->oldest % TCP_MODEL_WINDOW] == 1) {
                land(tcp, tcp->oldest);
            }
            tcp->oldest++;
        }
    }
    return tcp->ack_ns != 0 && now_ns >= tcp->ack_ns;
}
