/* SPDX-License-Identifier: GPL-3.0-or-later */

/* One file of `gyre rudp send` or `recv`. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/rudp/transfer_internal.h"
#include "core/file_check.h"

#define MS       1000000ull
#define AGAIN_NS (500 * MS) /* somebody else is sending that file */

static bool is_standard(const struct job *job)
{
    return strcmp(job->file->path, "-") == 0;
}

static void over(struct job *job, enum job_state state)
{
    struct transfers *transfers = job->transfers;
    gy_assert(job->state != JOB_DONE && job->state != JOB_FAILED);
    if (job->state == JOB_UNDER_WAY) {
        transfers->under_way--;
    }
    job->state = state;
    if (state == JOB_DONE || state == JOB_FAILED) {
        transfers->unfinished--;
        transfers->failed += state == JOB_FAILED;
        transfers->progress_ns = gy_clock_ns();
    }
}

void gy_rudp_job_fail(struct job *job, const char *why)
{
    const struct gy_rudp_transfer_options *options = job->transfers->options;
    gy_rudp_transfer_wipe();
    fprintf(stderr, "%s: %s %s: %s\n", options->target->command,
            options->receive ? "receiving" : "sending",
            options->receive ? job->file->name : job->file->path, why);
    over(job, JOB_FAILED);
}

/* What helps, where something does. */
static const char *remedy(const struct job *job, unsigned result)
{
    bool receive = job->transfers->options->receive;
    switch (result) {
    case GY_DROP_EXISTS:
        return receive ? "; --replace, or -o another one" : "; --replace, or --name another one";
    case GY_DROP_NOT_HERE:
        return receive ? " (the server has no --share)"
                       : " (the server has no --drop, or no --replace)";
    case GY_DROP_NAME:
        return receive ? "" : "; --name another one";
    case GY_DROP_TOO_LARGE:
        return receive ? "" : " (the server's --max-file)";
    default:
        return "";
    }
}

static void ended(struct job *job, unsigned result, const char *text)
{
    char why[512];
    job->give = NULL;
    job->take = NULL;
    if (result == GY_DROP_DONE) {
        over(job, JOB_DONE);
        return;
    }
    if (result == GY_DROP_BUSY && !job->spent) {
        over(job, JOB_WAITING);
        job->due_ns = gy_clock_ns() + AGAIN_NS;
        if (!job->told && !job->transfers->options->quiet) {
            job->told = true;
            gy_rudp_transfer_wipe();
            fprintf(stderr,
                    "gyre rudp %s: %s: another transfer of a file of that name is under way, or "
                    "broke off less than half a minute ago; waiting\n",
                    job->transfers->options->receive ? "recv" : "send", job->file->path);
        }
        return;
    }
    /* What the peer says goes to a terminal: printable characters alone. */
    char shown[GY_DROP_TEXT_BYTES + 1];
    size_t length = strnlen(text, GY_DROP_TEXT_BYTES);
    for (size_t i = 0; i < length; i++) {
        shown[i] = text[i] >= ' ' && text[i] < 0x7f ? text[i] : '?';
    }
    shown[length] = '\0';
    snprintf(why, sizeof why, "%s%s", length > 0 ? shown : gy_drop_result_text(result),
             remedy(job, result));
    gy_rudp_job_fail(job, why);
}

/* ---- sending ---- */

static void given(struct gy_drop_give *give, unsigned result, const char *text)
{
    struct job *job = give->user;
    job->bytes = result == GY_DROP_DONE ? (give->sending ? give->at : 0) : 0;
    ended(job, result, text);
}

static int open_source(struct job *job, bool *stream)
{
    struct stat found;
    char why[GY_FILE_WHY_BYTES + 16], cause[GY_FILE_WHY_BYTES];
    int descriptor =
        is_standard(job) ? STDIN_FILENO : open(job->file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0 || fstat(descriptor, &found) != 0) {
        snprintf(why, sizeof why, "opening it: %s",
                 gy_file_why(cause, job->file->path, R_OK, errno));
        gy_rudp_job_fail(job, why);
        return -1;
    }
    if (S_ISDIR(found.st_mode)) {
        close(descriptor);
        gy_rudp_job_fail(job, "it is a directory; send its files, or what tar makes of it (-)");
        return -1;
    }
    *stream = is_standard(job) || !S_ISREG(found.st_mode);
    return descriptor;
}

static void begin_send(struct job *job)
{
    struct transfers *transfers = job->transfers;
    bool stream = false;
    int descriptor = open_source(job, &stream);
    if (descriptor < 0) {
        return;
    }
    job->give =
        gy_drop_give_new(transfers->session, job->transfer, descriptor, is_standard(job), stream);
    if (job->give == NULL) {
        if (!is_standard(job)) {
            close(descriptor);
        }
        gy_rudp_job_fail(job, "there is no memory for it, or it is too large");
        return;
    }
    job->spent = stream;
    job->give->user = job;
    job->give->ended = given;
    job->state = JOB_UNDER_WAY;
    transfers->under_way++;
    gy_drop_say(transfers->session,
                &(struct gy_drop_message){.type = GY_DROP_OFFER,
                                          .transfer = job->transfer,
                                          .replace = transfers->options->replace,
                                          .size = job->give->size,
                                          .data = (const uint8_t *)job->file->name,
                                          .length = (uint32_t)strlen(job->file->name)});
}

/* ---- receiving ---- */

static void taken(struct gy_drop_take *take, unsigned result, const char *text)
{
    struct job *job = take->user;
    job->bytes = take->at;
    ended(job, result, text);
}

static void known(struct gy_drop_take *take)
{
    const struct job *job = take->user;
    struct gy_drop_message message = {.type = GY_DROP_FETCH,
                                      .transfer = take->transfer,
                                      .offset = take->have,
                                      .data = (const uint8_t *)job->file->name,
                                      .length = (uint32_t)strlen(job->file->name)};
    memcpy(message.hash, take->have_hash, sizeof message.hash);
    gy_drop_say(take->session, &message);
}

/* Where something that is no file lies under the path: that, open for writing; -1 where a file is
 * to be made; -2: an error, which was said. */
static int open_output(struct job *job)
{
    struct stat found;
    char why[GY_FILE_WHY_BYTES + 160], cause[GY_FILE_WHY_BYTES];
    if (is_standard(job)) {
        return STDOUT_FILENO;
    }
    if (stat(job->file->path, &found) != 0 || S_ISREG(found.st_mode)) {
        return -1;
    }
    if (S_ISDIR(found.st_mode)) {
        gy_rudp_job_fail(job, "-o is a directory; write the file's name behind it");
        return -2;
    }
    int descriptor = open(job->file->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0) {
        snprintf(why, sizeof why, "opening %.128s: %s", job->file->path,
                 gy_file_why(cause, job->file->path, W_OK, errno));
        gy_rudp_job_fail(job, why);
        return -2;
    }
    return descriptor;
}

/* The directory of the path, open, and the name in it. False: an error, which was said. */
static bool open_directory(struct job *job, const char **name)
{
    const char *slash = strrchr(job->file->path, '/');
    char folder[4096], why[GY_FILE_WHY_BYTES + 160], cause[GY_FILE_WHY_BYTES];
    *name = slash != NULL ? slash + 1 : job->file->path;
    int length = slash == NULL ? 0 : slash == job->file->path ? 1 : (int)(slash - job->file->path);
    size_t name_bytes = strlen(*name);
    if (name_bytes == 0 || name_bytes > GY_DROP_COMPONENT_BYTES || length >= (int)sizeof folder) {
        gy_rudp_job_fail(job, "no file can have that name here; -o another one");
        return false;
    }
    snprintf(folder, sizeof folder, "%.*s", length > 0 ? length : 1,
             length > 0 ? job->file->path : ".");
    if (job->directory < 0) { /* it stays open: what is being given up may still need it */
        job->directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (job->directory < 0) {
        snprintf(why, sizeof why, "opening the directory %.128s: %s", folder,
                 gy_file_why(cause, folder, R_OK | W_OK | X_OK, errno));
        gy_rudp_job_fail(job, why);
        return false;
    }
    return true;
}

static void begin_receive(struct job *job)
{
    struct transfers *transfers = job->transfers;
    struct gy_drop_target target = {.size = GY_DROP_UNKNOWN,
                                    .replace = transfers->options->replace};
    job->output = open_output(job);
    if (job->output == -2 || (job->output == -1 && !open_directory(job, &target.name))) {
        return;
    }
    if (job->output >= 0) {
        job->spent = true;
        job->take = gy_drop_take_raw(transfers->session, job->transfer, job->output);
    } else {
        target.directory = job->directory;
        job->take = gy_drop_take_new(transfers->session, transfers->helper, job->transfer, &target,
                                     GY_DROP_SIZE_MAX);
    }
    if (job->take == NULL) {
        gy_rudp_job_fail(job, "there is no memory for it");
        return;
    }
    job->take->user = job;
    job->take->ready = known;
    job->take->ended = taken;
    job->state = JOB_UNDER_WAY;
    transfers->under_way++;
    if (job->output >= 0) {
        known(job->take);
    }
}

/* ---- either ---- */

void gy_rudp_job_begin(struct job *job)
{
    job->transfer = ++job->transfers->next_transfer;
    if (job->transfers->options->receive) {
        begin_receive(job);
    } else {
        begin_send(job);
    }
}

static void take_result(struct job *job, const struct gy_drop_message *message)
{
    char text[GY_DROP_TEXT_BYTES + 1];
    memcpy(text, message->data, message->length);
    text[message->length] = '\0';
    if (job->give != NULL) {
        gy_drop_give_result(job->give, message->result, text);
    } else if (message->result != GY_DROP_DONE) {
        gy_drop_take_result(job->take, message->result, text);
    }
}

bool gy_rudp_job_message(struct job *job, const struct gy_drop_message *message, size_t length)
{
    switch (message->type) {
    case GY_DROP_HAVE:
        if (job->give != NULL) {
            job->transfers->resumed += message->whole ? 0 : message->offset;
            gy_drop_give_begin(job->give, message->offset, message->whole, message->hash);
        }
        break;
    case GY_DROP_FROM:
        if (job->take != NULL) {
            job->transfers->resumed += message->offset;
            gy_drop_take_from(job->take, message->offset, message->size);
        }
        break;
    case GY_DROP_DATA:
        return job->take == NULL || gy_drop_take_data(job->take, message, length);
    case GY_DROP_END:
        if (job->take != NULL) {
            gy_drop_take_end(job->take, message);
        }
        break;
    case GY_DROP_RESULT:
        take_result(job, message);
        break;
    case GY_DROP_WORKING: /* which has been heard */
    case GY_DROP_OFFER:
    case GY_DROP_FETCH: /* servers do not say that */
        break;
    }
    return true;
}

void gy_rudp_job_leave(struct job *job)
{
    bool begun = job->give != NULL ? job->give->sending
                                   : job->take != NULL && job->take->state != GY_DROP_TAKE_READY;
    if (job->give != NULL) {
        gy_drop_give_leave(job->give);
    } else if (job->take != NULL) {
        gy_drop_take_leave(job->take);
    }
    job->give = NULL;
    job->take = NULL;
    if (job->spent && begun) {
        gy_rudp_job_fail(job, "the connection broke, and what comes by a pipe cannot be resumed");
    } else {
        over(job, JOB_WAITING);
    }
}

bool gy_rudp_job_waits(const struct job *job)
{
    const struct gy_drop_give *give = job->give;
    const struct gy_drop_take *take = job->take;
    if (job->state != JOB_UNDER_WAY) {
        return false;
    }
    if (give != NULL) {
        return (!give->sending && !give->verifying) || give->end_said ||
               (give->sending && give->pieces > give->reading);
    }
    return (take->state == GY_DROP_TAKE_READY || take->state == GY_DROP_TAKE_TAKING) &&
           take->busy == NULL && !take->job;
}

uint64_t gy_rudp_job_bytes(const struct job *job, uint64_t *size)
{
    *size = job->give != NULL ? job->give->size : job->take != NULL ? job->take->size : job->bytes;
    if (job->state == JOB_DONE) {
        return job->bytes;
    }
    return job->give != NULL   ? job->give->begin + job->give->acked
           : job->take != NULL ? job->take->at
                               : 0;
}
