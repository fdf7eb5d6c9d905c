/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The connection of `gyre rudp send` and `recv`, and what is due. */

#include "clients/rudp/transfer_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"

#define MS           1000000ull
#define NAP_NS       (50 * MS) /* how soon `stop` is seen */
#define BACKOFF_MIN  (100 * MS)
#define BACKOFF_MAX  (2000 * MS)
#define MEMORY       ((size_t)64 << 20)
#define WINDOW       ((uint64_t)4 << 20)
#define HELPER_JOBS  64
#define SILENCE_MIN  (3 * GY_DROP_WORKING_MS * MS) /* that WORKING has not broken */
#define MOVED_BYTES  1200 /* more than what keeps a connection alive in that time */
#define CODE_MESSAGE (GY_RUDP_CLOSE_APPLICATION + 1)

/* ---- the connection ---- */

static void opened(struct gy_rudp_session *session)
{
    struct transfers *transfers = session->host->options.context;
    transfers->open = transfers->ever_open = true;
    transfers->backoff_ns = BACKOFF_MIN;
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct transfers *transfers = session->host->options.context;
    struct gy_drop_message message;
    (void)guarantee;
    if (channel != GY_DROP_CHANNEL || gy_drop_decode(&message, data, length) != 0 ||
        message.type == GY_DROP_OFFER ||
        message.type == GY_DROP_FETCH) { /* which only clients say: an echo */
        gy_rudp_host_end(session, CODE_MESSAGE, "a message that cannot be read");
        transfers->code =
            gy_error_set(transfers->error, GY_EPROTO,
                         "%s does not talk of files: is it served with --drop or --share?",
                         transfers->options->target->text);
        return true;
    }
    transfers->talks = true;
    transfers->heard_ns = gy_clock_ns();
    for (uint32_t i = 0; i < transfers->options->count; i++) {
        struct job *job = &transfers->jobs[i];
        if (job->state == JOB_UNDER_WAY && job->transfer == message.transfer) {
            return gy_rudp_job_message(job, &message, length);
        }
    }
    return true;
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    (void)session;
    gy_drop_give_finished(message);
}

/* Whether it may go better another time. */
static bool is_passing(const struct transfers *transfers, const struct gy_rudp_session *session)
{
    switch (session->conn.close_code) {
    case GY_RUDP_CLOSE_CRYPTO:
    case GY_RUDP_CLOSE_MODE:
    case GY_RUDP_CLOSE_VERSION:
    case GY_RUDP_CLOSE_PROTOCOL:
    case CODE_MESSAGE:
        return false;
    default:
        return transfers->ever_open;
    }
}

static void closed(struct gy_rudp_session *session)
{
    struct transfers *transfers = session->host->options.context;
    bool by_us = session->conn.close_code == 0 && !session->conn.closed_by_peer;
    uint64_t now_ns = gy_clock_ns();
    if (transfers->session != session) {
        return;
    }
    transfers->session = NULL;
    for (uint32_t i = 0; i < transfers->options->count; i++) {
        if (transfers->jobs[i].state == JOB_UNDER_WAY) {
            gy_rudp_job_leave(&transfers->jobs[i]);
        }
    }
    bool was_open = transfers->open;
    transfers->open = false;
    if (by_us || transfers->code != 0) {
        return;
    }
    if (!is_passing(transfers, session) ||
        now_ns - transfers->progress_ns >= transfers->options->patience_ns) {
        transfers->code =
            gy_rudp_client_explain(&transfers->client, session, was_open, transfers->error);
        return;
    }
    transfers->dial_ns = now_ns + transfers->backoff_ns;
    transfers->backoff_ns =
        2 * transfers->backoff_ns < BACKOFF_MAX ? 2 * transfers->backoff_ns : BACKOFF_MAX;
}

static const struct gy_rudp_host_ops ops = {
    .opened = opened, .received = received, .finished = finished, .closed = closed};

/* ---- what is due ---- */

static void note_progress(struct transfers *transfers, uint64_t now_ns)
{
    uint64_t there = 0, size = 0;
    for (uint32_t i = 0; i < transfers->options->count; i++) {
        there += gy_rudp_job_bytes(&transfers->jobs[i], &size);
    }
    if (there != transfers->progressed) {
        transfers->progressed = there;
        transfers->progress_ns = now_ns;
    }
}

static void begin_due(struct transfers *transfers, uint64_t now_ns)
{
    for (uint32_t i = 0; i < transfers->options->count && transfers->open; i++) {
        struct job *job = &transfers->jobs[i];
        if (transfers->under_way == GY_RUDP_TRANSFER_AT_ONCE) {
            return;
        }
        if (job->state != JOB_WAITING || job->due_ns > now_ns) {
            continue;
        }
        if (job->due_ns != 0 &&
            now_ns - transfers->progress_ns >= transfers->options->patience_ns) {
            gy_rudp_job_fail(job, "somebody else is sending a file of that name, still");
        } else {
            gy_rudp_job_begin(job);
        }
    }
}

/* A connection that lives, and says nothing that helps, is not waited for without end. */
static void note_silence(struct transfers *transfers, uint64_t now_ns)
{
    const struct gy_rudp_transfer_options *options = transfers->options;
    const struct job *waits = NULL;
    const struct gy_rudp_session *session = transfers->open ? transfers->session : NULL;
    for (uint32_t i = 0; i < options->count && waits == NULL && session != NULL; i++) {
        waits = gy_rudp_job_waits(&transfers->jobs[i]) ? &transfers->jobs[i] : NULL;
    }
    uint64_t bytes = 0;
    if (waits != NULL) {
        const struct gy_rudp_conn *conn = &session->conn;
        bytes = conn->stats.bytes_received + conn->stats.bytes_sent - conn->in_flight;
    }
    if (waits == NULL || bytes - transfers->heard_bytes >= MOVED_BYTES) {
        transfers->heard_ns = now_ns;
        transfers->heard_bytes = bytes;
    }
    uint64_t timeout_ns =
        options->target->timeout_ns > SILENCE_MIN ? options->target->timeout_ns : SILENCE_MIN;
    if (now_ns - transfers->heard_ns < timeout_ns || transfers->code != 0) {
        return;
    }
    const char *verb = options->receive ? "receiving" : "sending";
    const char *file = options->receive ? waits->file->name : waits->file->path;
    transfers->code =
        transfers->talks
            ? gy_error_set(transfers->error, GY_ETIMEOUT,
                           "%s %.200s: %s has said nothing of it for %.1f s; its disk may hang; "
                           "the same command goes on where this one ended, --timeout waits longer",
                           verb, file, options->target->text, (double)timeout_ns / 1e9)
            : gy_error_set(transfers->error, GY_ETIMEOUT,
                           "%s %.200s: %s takes messages, but has answered nothing for %.1f s: it "
                           "does not seem to talk of files; is it served with --%s?",
                           verb, file, options->target->text, (double)timeout_ns / 1e9,
                           options->receive ? "share" : "drop");
}

static void step(struct transfers *transfers)
{
    uint64_t now_ns = gy_clock_ns();
    note_progress(transfers, now_ns);
    if (transfers->session == NULL && now_ns >= transfers->dial_ns) {
        transfers->session = gy_rudp_client_dial(&transfers->client, transfers, transfers->error);
        if (transfers->session == NULL) {
            transfers->code = transfers->error->code;
        }
    }
    if (transfers->open) {
        begin_due(transfers, now_ns);
    }
    note_silence(transfers, now_ns);
    gy_rudp_transfer_draw(transfers);
}

static int run(struct transfers *transfers)
{
    const atomic_bool *stop = transfers->options->stop;
    while (transfers->unfinished > 0 && transfers->code == 0 &&
           !atomic_load_explicit(stop, memory_order_relaxed)) {
        step(transfers);
        int code = transfers->code == 0
                       ? gy_rudp_client_turn(&transfers->client, NAP_NS, transfers->error)
                       : 0;
        transfers->code = code != 0 ? code : transfers->code; /* which the turn may have set */
    }
    if (transfers->code == 0 && transfers->unfinished > 0) {
        transfers->code = gy_error_set(transfers->error, GY_ECLOSED,
                                       "stopped; the same command goes on where this one ended");
    }
    if (transfers->session != NULL) {
        /* The last RESULT first, then the end; a server that does not hear it finds out. */
        struct gy_error ignored = {0};
        gy_rudp_client_turn(&transfers->client, 0, &ignored);
        if (transfers->session != NULL) {
            gy_rudp_host_end(transfers->session, 0, "done");
            gy_rudp_client_turn(&transfers->client, MS, &ignored);
        }
    }
    return transfers->code;
}

static int open_all(struct transfers *transfers)
{
    const struct gy_rudp_client_options options = {
        .ops = &ops,
        .context = transfers,
        .memory_bytes = MEMORY,
        .window_bytes = WINDOW,
        .streams_max = 16,
    };
    int code = gy_rudp_client_open(&transfers->client, transfers->options->target, &options,
                                   transfers->error);
    if (code == 0 && transfers->options->receive) {
        code = gy_helper_open(&transfers->helper, &transfers->client.worker, HELPER_JOBS,
                              transfers->error);
    }
    return code;
}

static void close_all(struct transfers *transfers)
{
    gy_rudp_client_finish(&transfers->client);
    gy_helper_close(transfers->helper);
    gy_rudp_client_close(&transfers->client);
    for (uint32_t i = 0; i < transfers->options->count; i++) {
        struct job *job = &transfers->jobs[i];
        gy_descriptor_close(job->directory);
        if (job->output > STDOUT_FILENO) {
            close(job->output);
        }
    }
    free(transfers->jobs);
    free(transfers);
}

int gy_rudp_transfer(const struct gy_rudp_transfer_options *options, struct gy_error *error)
{
    size_t bytes = (sizeof(struct transfers) + 63) & ~(size_t)63;
    struct transfers *transfers = aligned_alloc(64, bytes);
    struct job *jobs = calloc(options->count, sizeof *jobs);
    if (transfers == NULL || jobs == NULL) {
        free(transfers);
        free(jobs);
        return gy_error_set(error, GY_ENOMEM, "out of memory");
    }
    memset(transfers, 0, bytes);
    transfers->options = options;
    transfers->jobs = jobs;
    transfers->error = error;
    transfers->unfinished = options->count;
    transfers->backoff_ns = BACKOFF_MIN;
    transfers->began_ns = transfers->progress_ns = gy_clock_ns();
    for (uint32_t i = 0; i < options->count; i++) {
        jobs[i] = (struct job){
            .transfers = transfers, .file = &options->files[i], .output = -1, .directory = -1};
    }
    int code = open_all(transfers);
    code = code == 0 ? run(transfers) : code;
    gy_rudp_transfer_wipe();
    int result = code != 0 ? code : (int)transfers->failed;
    close_all(transfers);
    return result;
}
