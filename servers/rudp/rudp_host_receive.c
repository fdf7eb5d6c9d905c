/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Datagrams in: to which connection, or to the door, or to another worker. */

#include <linux/filter.h>

#include "core/log.h"
#include "servers/rudp/rudp_host_internal.h"

/* ---- connection ids ---- */

#define PLACE_BITS  20
#define RANDOM_BITS 28

static uint64_t cid_make(struct gy_rudp_host *host, uint32_t place)
{
    uint64_t worker = host->options.hosts != NULL ? host->worker->options.number : 0;
    uint64_t random = gy_rudp_host_random(host) & ((UINT64_C(1) << RANDOM_BITS) - 1);
    gy_assert(worker < GY_RUDP_WORKERS_MAX && place < 1u << PLACE_BITS);
    /* Never 0, which stands for none. */
    return worker << 54 | (uint64_t)(host->options.process & 63) << 48 |
           (uint64_t)place << RANDOM_BITS | random | 1;
}

static void cid_write(uint64_t number, struct gy_rudp_cid *cid)
{
    struct gy_writer writer = gy_writer_on(cid->bytes, sizeof cid->bytes);
    gy_writer_u64(&writer, number);
    cid->length = GY_RUDP_CID_BYTES;
}

static uint64_t cid_read(const uint8_t *bytes)
{
    struct gy_reader reader = gy_reader_on(bytes, GY_RUDP_CID_BYTES);
    return gy_reader_u64(&reader);
}

/* The kernel's share: for short packets the ten bits behind byte 0, for all others no number that a
 * socket has, so that the addresses decide. */
void gy_rudp_host_steer(int descriptor)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80, 3, 0), /* to the last one */
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 1),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 6),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    if (gy_datagram_steer(descriptor, code, sizeof code / sizeof code[0]) != 0) {
        gy_log(GY_LOG_INFO, "rudp",
               "the kernel does not steer by connection id; datagrams of peers that moved are "
               "forwarded");
    }
}

/* ---- the door ---- */

static void answer(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                   const struct gy_datagram_path *path, const uint8_t *data, size_t bytes)
{
    struct gy_datagram_path back = *path;
    struct gy_bump *bump = &host->worker->bump;
    uint8_t *room = gy_bump_reserve(bump, (uint32_t)bytes);
    if (room != NULL) {
        memcpy(room, data, bytes);
        back.ecn = GY_RUDP_NOT_ECT;
        gy_datagram_send(socket, &back, gy_bump_slice(bump, (uint32_t)bytes));
    }
}

/* A flood of handshakes is not to keep the worker from everything else. */
static bool may_begin(struct gy_rudp_host *host)
{
    if (host->options.sealer == NULL) {
        return true;
    }
    if (host->turn_ns != host->worker->now_ns) {
        host->turn_ns = host->worker->now_ns;
        host->turn_handshakes = 0;
    }
    return host->turn_handshakes++ < GY_RUDP_TURN_HANDSHAKES;
}

static void admit(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                  const struct gy_datagram_path *path, const struct gy_rudp_long *hello,
                  uint8_t *data, size_t bytes)
{
    struct gy_rudp_counts *counts = host->options.counts;
    struct gy_rudp_config config;
    struct gy_rudp_cid cid;
    uint8_t token[GY_RUDP_TOKEN_BYTES];
    void *memory;
    bool turn = may_begin(host);
    struct gy_rudp_session *session =
        turn ? gy_rudp_session_new(host, socket, &config, &memory) : NULL;
    if (session == NULL) {
        gy_count(&counts->refused, 1);
        return;
    }
    uint32_t place = gy_slab_index(&host->sessions, session);
    uint64_t number = cid_make(host, place);
    cid_write(number, &cid);
    gy_rudp_gate_token(&host->gate, &cid, token);
    uint8_t address[GY_RUDP_PEER_BYTES];
    config.has_address_token = true;
    gy_rudp_gate_address_token(&host->gate, address, gy_rudp_address_bytes(&path->peer, address),
                               (uint32_t)gy_rudp_host_random(host), host->worker->now_ns,
                               config.address_token);
    struct gy_rudp_env env = gy_rudp_session_env(session, false);
    if (gy_rudp_accept(&session->conn, &config, memory, &env, &cid, hello, token,
                       host->worker->now_ns | 1) != 0) {
        gy_rudp_session_drop(session);
        gy_count(&counts->refused, 1);
        return;
    }
    session->path = *path;
    session->path.ecn = 0;
    memcpy(session->cookie, hello->cookie, sizeof session->cookie);
    host->cids[place] = number;
    struct gy_rudp_session **at = gy_rudp_host_by_cookie(host, session->cookie);
    gy_assert(*at == NULL);
    *at = session;
    TAILQ_INSERT_TAIL(&host->all, session, all_entry);
    gy_count(&counts->open, 1);
    gy_count(&counts->accepted, 1);
    if (hello->early_bytes > 0) {
        gy_rudp_receive(&session->conn, data, bytes, host->worker->now_ns | 1);
    }
    gy_rudp_session_touch(session);
}

static void door(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                 const struct gy_datagram_path *path, uint8_t *data, size_t bytes)
{
    struct gy_rudp_counts *counts = host->options.counts;
    uint8_t address[GY_RUDP_PEER_BYTES];
    uint8_t out[GY_RUDP_ANSWER_MAX];
    size_t out_bytes;
    struct gy_rudp_long hello;
    struct gy_rudp_gate *gate = &host->gate;
    uint64_t retries = gate->retries, resets = gate->resets;
    size_t address_bytes = gy_rudp_address_bytes(&path->peer, address);
    uint64_t tokens = gate->tokens, refused = gate->tokens_refused;
    enum gy_rudp_verdict verdict = gy_rudp_gate_take(gate, address, address_bytes, data, bytes,
                                                     host->worker->now_ns, &hello, out, &out_bytes);
    gy_count(&counts->tokens, gate->tokens - tokens);
    gy_count(&counts->tokens_refused, gate->tokens_refused - refused);
    switch (verdict) {
    case GY_RUDP_ADMIT:
        admit(host, socket, path, &hello, data, bytes);
        break;
    case GY_RUDP_ANSWER:
        gy_count(gate->retries != retries ? &counts->retries
                 : gate->resets != resets ? &counts->resets
                                          : &counts->versions,
                 1);
        answer(host, socket, path, out, out_bytes);
        break;
    case GY_RUDP_DROP:
        gy_count(&counts->dropped_gate, 1);
        break;
    }
}

/* ---- other workers ---- */

static void take(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                 const struct gy_datagram_path *path, uint8_t *data, size_t bytes, bool forwarded);

/* On the worker that it is for. */
static void arrived(struct gy_worker *worker, void *argument)
{
    struct gy_rudp_forward *forward = argument;
    struct gy_rudp_host *host = forward->to;
    gy_assert(host->worker == worker);
    if (host->socket != NULL) {
        take(host, host->socket, &forward->path, forward->data, forward->bytes, true);
        gy_rudp_host_flush(host);
    }
    atomic_store_explicit(&forward->busy, false, memory_order_release);
}

static void forward(struct gy_rudp_host *host, uint32_t worker, const struct gy_datagram_path *path,
                    const uint8_t *data, size_t bytes)
{
    struct gy_rudp_counts *counts = host->options.counts;
    struct gy_rudp_forward *at = &host->forwards[host->forward_next];
    struct gy_rudp_host *to =
        atomic_load_explicit(&host->options.hosts[worker], memory_order_acquire);
    if (to == NULL || bytes > sizeof at->data ||
        atomic_load_explicit(&at->busy, memory_order_acquire)) {
        gy_count(&counts->dropped_forward, 1);
        return;
    }
    atomic_store_explicit(&at->busy, true, memory_order_relaxed);
    at->to = to;
    at->path = *path;
    at->bytes = (uint32_t)bytes;
    memcpy(at->data, data, bytes);
    if (gy_worker_call(host->worker, to->worker, arrived, at) != 0) {
        atomic_store_explicit(&at->busy, false, memory_order_relaxed);
        gy_count(&counts->dropped_forward, 1);
        return;
    }
    host->forward_next = (host->forward_next + 1) % GY_RUDP_FORWARDS;
    gy_count(&counts->forwarded, 1);
}

/* ---- which connection ---- */

static void give(struct gy_rudp_host *host, struct gy_rudp_session *session,
                 const struct gy_datagram_path *path, uint8_t *data, size_t bytes)
{
    uint64_t now_ns = host->worker->now_ns;
    if (gy_address_equal(&path->peer, &session->path.peer)) {
        gy_rudp_receive_marked(&session->conn, data, bytes, path->ecn, now_ns);
    } else {
        uint8_t address[GY_RUDP_PEER_BYTES];
        size_t address_bytes = gy_rudp_address_bytes(&path->peer, address);
        uint64_t where = gy_siphash(&host->secret, address, address_bytes) | 1;
        if (gy_rudp_receive_elsewhere(&session->conn, data, bytes, path->ecn, where, now_ns)) {
            session->elsewhere = *path;
            session->elsewhere.ecn = 0;
        }
    }
    gy_rudp_session_touch(session);
}

static void take_short(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                       const struct gy_datagram_path *path, uint8_t *data, size_t bytes,
                       bool forwarded)
{
    uint64_t number = cid_read(data + 1);
    uint32_t worker = (uint32_t)(number >> 54);
    uint32_t place = (uint32_t)(number >> RANDOM_BITS) & ((1u << PLACE_BITS) - 1);
    if (number != 0 && place < host->sessions.capacity && host->cids[place] == number) {
        give(host, gy_slab_at(&host->sessions, place), path, data, bytes);
    } else if (host->options.hosts != NULL && worker != host->worker->options.number &&
               worker < host->worker->options.workers && !forwarded) {
        forward(host, worker, path, data, bytes);
    } else {
        door(host, socket, path, data, bytes);
    }
}

static void take_long(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                      const struct gy_datagram_path *path, uint8_t *data, size_t bytes)
{
    struct gy_rudp_long packet;
    if (gy_rudp_long_read(data, bytes, &packet) == 0 && packet.type == GY_RUDP_PACKET_HELLO &&
        packet.cookie_bytes == GY_RUDP_COOKIE_BYTES) {
        struct gy_rudp_session *session = *gy_rudp_host_by_cookie(host, packet.cookie);
        if (session != NULL) {
            give(host, session, path, data, bytes);
            return;
        }
    }
    door(host, socket, path, data, bytes);
}

static void take(struct gy_rudp_host *host, struct gy_datagram_socket *socket,
                 const struct gy_datagram_path *path, uint8_t *data, size_t bytes, bool forwarded)
{
    if (bytes > GY_RUDP_CID_BYTES && (data[0] & 0x80) == 0) {
        take_short(host, socket, path, data, bytes, forwarded);
    } else {
        take_long(host, socket, path, data, bytes);
    }
}

/* The buffer is this endpoint's, and nobody else has a slice of these bytes: a packet is opened in
 * place. */
static uint8_t *bytes_of(struct gy_slice slice)
{
    return slice.buffer->data + slice.offset;
}

void gy_rudp_host_receive(struct gy_datagram_socket *socket, const struct gy_datagram *datagrams,
                          uint32_t count)
{
    struct gy_rudp_host *host = gy_rudp_host_of(socket);
    struct gy_rudp_session *session = socket->dialled ? socket->context : NULL;
    if (!socket->dialled) {
        host->socket = socket;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct gy_datagram *datagram = &datagrams[i];
        uint8_t *data = bytes_of(datagram->slice);
        uint32_t bytes = datagram->slice.length;
        if (datagram->truncated || bytes == 0) {
            gy_count(&host->options.counts->dropped_gate, 1);
        } else if (!socket->dialled) {
            take(host, socket, datagram->path, data, bytes, false);
        } else if (session != NULL) {
            gy_rudp_receive_marked(&session->conn, data, bytes, datagram->path->ecn,
                                   host->worker->now_ns);
            gy_rudp_session_touch(session);
        }
    }
    gy_rudp_host_flush(host);
}
