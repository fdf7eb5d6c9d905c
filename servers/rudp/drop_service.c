/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/drop_service.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "servers/rudp/drop_give.h"
#include "servers/rudp/drop_take.h"

/* Of CLOSE: what came cannot be read. */
#define CODE_MESSAGE (GY_RUDP_CLOSE_APPLICATION + 1)
#define COMPONENTS   16 /* of the path of a file that is asked for */

enum slot_state {
    SLOT_FREE,
    SLOT_OPENING, /* the file that is asked for */
    SLOT_GIVING,
    SLOT_TAKING,
};

/* One transfer of a connection. */
struct gy_drop_slot {
    struct gy_drop_client *client;
    enum slot_state state;
    uint32_t transfer;
    struct gy_file_operation *operation; /* SLOT_OPENING */
    struct gy_drop_give *give;
    struct gy_drop_take *take;
    uint64_t offset; /* SLOT_OPENING: what the client has */
    uint8_t hash[GY_DROP_HASH_BYTES];
    char name[GY_DROP_COMPONENT_BYTES + 1]; /* its end, for the log */
};

/* A connection. */
struct gy_drop_client {
    struct gy_rudp_session *session;
    struct gy_drop_slot slots[GY_DROP_TRANSFERS];
};

static struct gy_drop_service *service_of(const struct gy_rudp_session *session)
{
    return session->host->options.context;
}

static void refuse(struct gy_rudp_session *session, uint32_t transfer, unsigned result)
{
    gy_count(&session->host->options.counts->files_failed, 1);
    gy_drop_say_result(session, transfer, result, gy_drop_result_text(result));
}

static void count(struct gy_drop_slot *slot, unsigned result, const char *text, uint64_t bytes)
{
    struct gy_rudp_counts *counts = slot->client->session->host->options.counts;
    bool taking = slot->state == SLOT_TAKING;
    if (result == GY_DROP_DONE) {
        gy_count(taking ? &counts->files_taken : &counts->files_given, 1);
        gy_log(GY_LOG_INFO, "rudp", "%s `%s`: %llu bytes", taking ? "took" : "gave", slot->name,
               (unsigned long long)bytes);
    } else {
        /* What a peer says is not put into the log. */
        gy_count(&counts->files_failed, 1);
        if (result == GY_DROP_BUSY) { /* who waits for the other one asks twice a second */
            gy_log_limited(GY_LOG_INFO, "rudp", "did not take `%s`: %s", slot->name, text);
            return;
        }
        gy_log(GY_LOG_INFO, "rudp", "did not %s `%s`: %s", taking ? "take" : "give", slot->name,
               taking ? text : gy_drop_result_text(result));
    }
}

static void given(struct gy_drop_give *give, unsigned result, const char *text)
{
    struct gy_drop_slot *slot = give->user;
    count(slot, result, text, give->size);
    slot->state = SLOT_FREE;
}

static void taken(struct gy_drop_take *take, unsigned result, const char *text)
{
    struct gy_drop_slot *slot = take->user;
    count(slot, result, text, take->at);
    slot->state = SLOT_FREE;
}

static void known(struct gy_drop_take *take)
{
    struct gy_drop_message message = {.type = GY_DROP_HAVE,
                                      .transfer = take->transfer,
                                      .whole = take->disk.whole,
                                      .offset = take->have};
    memcpy(message.hash, take->have_hash, sizeof message.hash);
    gy_drop_say(take->session, &message);
}

static struct gy_drop_slot *find(struct gy_drop_client *client, uint32_t transfer)
{
    for (unsigned i = 0; i < GY_DROP_TRANSFERS; i++) {
        struct gy_drop_slot *slot = &client->slots[i];
        if (slot->state != SLOT_FREE && slot->transfer == transfer) {
            return slot;
        }
    }
    return NULL;
}

/* A slot for a new transfer; NULL, and it is refused, where there is none. */
static struct gy_drop_slot *begin(struct gy_drop_client *client,
                                  const struct gy_drop_message *message)
{
    for (unsigned i = 0; i < GY_DROP_TRANSFERS; i++) {
        struct gy_drop_slot *slot = &client->slots[i];
        if (slot->state == SLOT_FREE) {
            *slot = (struct gy_drop_slot){.client = client, .transfer = message->transfer};
            size_t skip =
                message->length < sizeof slot->name ? 0 : message->length + 1 - sizeof slot->name;
            memcpy(slot->name, message->data + skip, message->length - skip);
            return slot;
        }
    }
    refuse(client->session, message->transfer, GY_DROP_LIMIT);
    return NULL;
}

static void offered(struct gy_drop_client *client, const struct gy_drop_message *message)
{
    struct gy_rudp_session *session = client->session;
    struct gy_drop_service *service = service_of(session);
    bool sized = message->size != GY_DROP_UNKNOWN;
    unsigned result = service->drop < 0 || (message->replace && !service->replace)
                          ? GY_DROP_NOT_HERE
                      : !gy_drop_name_is_good(message->data, message->length, 1) ? GY_DROP_NAME
                      : sized && message->size > service->max_bytes              ? GY_DROP_TOO_LARGE
                                                                                 : GY_DROP_DONE;
    if (result != GY_DROP_DONE) {
        refuse(session, message->transfer, result);
        return;
    }
    struct gy_drop_slot *slot = begin(client, message);
    if (slot == NULL) {
        return;
    }
    struct gy_drop_target target = {.directory = service->drop,
                                    .name = slot->name,
                                    .size = message->size,
                                    .keep_free = service->keep_free,
                                    .replace = message->replace};
    slot->take = gy_drop_take_new(session, service->helpers[session->host->worker->options.number],
                                  message->transfer, &target, service->max_bytes);
    if (slot->take == NULL) {
        refuse(session, message->transfer, GY_DROP_LIMIT);
        return;
    }
    slot->take->ready = known;
    slot->take->ended = taken;
    slot->take->user = slot;
    slot->state = SLOT_TAKING;
}

static void opened_now(struct gy_drop_slot *slot, int64_t result)
{
    struct gy_rudp_session *session = slot->client->session;
    slot->operation = NULL;
    slot->state = SLOT_FREE;
    if (result < 0) {
        refuse(session, slot->transfer,
               result == -EMFILE || result == -ENFILE ? GY_DROP_LIMIT : GY_DROP_NOT_FOUND);
        return;
    }
    slot->give = gy_drop_give_new(session, slot->transfer, (int)result, false, false);
    if (slot->give == NULL) {
        gy_file_close(session->host->worker, (int)result);
        refuse(session, slot->transfer, GY_DROP_NOT_FOUND);
        return;
    }
    slot->state = SLOT_GIVING;
    slot->give->ended = given;
    slot->give->user = slot;
    gy_drop_give_begin(slot->give, slot->offset, false, slot->hash);
}

static void opened(void *owner, int64_t result)
{
    struct gy_drop_slot *slot = owner;
    struct gy_rudp_host *host = slot->client->session->host;
    opened_now(slot, result);
    gy_rudp_host_flush(host);
}

static void asked(struct gy_drop_client *client, const struct gy_drop_message *message)
{
    struct gy_rudp_session *session = client->session;
    struct gy_drop_service *service = service_of(session);
    char path[GY_DROP_NAME_BYTES + 1];
    bool good = gy_drop_name_is_good(message->data, message->length, COMPONENTS);
    if (service->share < 0 || !good) {
        refuse(session, message->transfer, service->share < 0 ? GY_DROP_NOT_HERE : GY_DROP_NAME);
        return;
    }
    struct gy_drop_slot *slot = begin(client, message);
    if (slot == NULL) {
        return;
    }
    memcpy(path, message->data, message->length);
    path[message->length] = '\0';
    slot->offset = message->offset;
    memcpy(slot->hash, message->hash, sizeof slot->hash);
    slot->operation = gy_file_open(session->host->worker, service->share, path, opened, slot);
    if (slot->operation == NULL) {
        refuse(session, message->transfer, GY_DROP_LIMIT);
        return;
    }
    slot->state = SLOT_OPENING;
}

static void end(struct gy_drop_slot *slot, const struct gy_drop_message *message)
{
    char text[GY_DROP_TEXT_BYTES + 1];
    memcpy(text, message->data, message->length);
    text[message->length] = '\0';
    if (slot->state == SLOT_GIVING) {
        gy_drop_give_result(slot->give, message->result, text);
    } else if (slot->state == SLOT_TAKING) {
        gy_drop_take_result(slot->take, message->result, "the sender gave up");
    } else {
        gy_file_forget(slot->operation);
        slot->state = SLOT_FREE;
    }
}

static struct gy_drop_client *client_of(struct gy_rudp_session *session)
{
    struct gy_drop_client *client = session->context;
    if (client == NULL) {
        client = gy_rudp_memory_take(&session->host->memory, sizeof *client);
        if (client == NULL) {
            gy_rudp_host_end(session, GY_RUDP_HOST_NO_MEMORY, "no memory for the connection");
            return NULL;
        }
        memset(client, 0, sizeof *client);
        client->session = session;
        session->context = client;
    }
    return client;
}

/* Of a transfer under way. False: the message's bytes will be consumed. */
static bool go_on(struct gy_drop_slot *slot, const struct gy_drop_message *message, size_t length)
{
    bool taking = slot->state == SLOT_TAKING;
    switch (message->type) {
    case GY_DROP_DATA:
        return !taking || gy_drop_take_data(slot->take, message, length);
    case GY_DROP_FROM:
        if (taking) {
            gy_drop_take_from(slot->take, message->offset, message->size);
        }
        break;
    case GY_DROP_END:
        if (taking) {
            gy_drop_take_end(slot->take, message);
        }
        break;
    case GY_DROP_RESULT:
        end(slot, message);
        break;
    case GY_DROP_OFFER:
    case GY_DROP_FETCH: /* its number is another transfer's */
        refuse(slot->client->session, message->transfer, GY_DROP_PROTOCOL);
        break;
    case GY_DROP_HAVE: /* clients do not say that */
    case GY_DROP_WORKING:
        break;
    }
    return true;
}

static bool received(struct gy_rudp_session *session, uint8_t channel,
                     enum gy_rudp_guarantee guarantee, const uint8_t *data, size_t length)
{
    struct gy_drop_message message;
    if (session->conn.receiving_early || guarantee != GY_RUDP_ORDERED ||
        channel != GY_DROP_CHANNEL) {
        gy_count(&session->host->options.counts->ignored, 1);
        return true; /* clients do not do that */
    }
    struct gy_drop_client *client = client_of(session);
    if (client == NULL) {
        return true;
    }
    if (gy_drop_decode(&message, data, length) != 0) {
        gy_rudp_host_end(session, CODE_MESSAGE, "a message that cannot be read");
        return true;
    }
    struct gy_drop_slot *slot = find(client, message.transfer);
    if (slot != NULL) {
        return go_on(slot, &message, length);
    }
    if (message.type == GY_DROP_OFFER) {
        offered(client, &message);
    } else if (message.type == GY_DROP_FETCH) {
        asked(client, &message);
    } else {
        gy_count(&session->host->options.counts->ignored, 1);
    }
    return true;
}

static void closed(struct gy_rudp_session *session)
{
    struct gy_drop_client *client = session->context;
    for (unsigned i = 0; client != NULL && i < GY_DROP_TRANSFERS; i++) {
        struct gy_drop_slot *slot = &client->slots[i];
        if (slot->state == SLOT_OPENING) {
            gy_file_forget(slot->operation);
        } else if (slot->state == SLOT_GIVING) {
            gy_drop_give_leave(slot->give);
        } else if (slot->state == SLOT_TAKING) {
            gy_drop_take_leave(slot->take);
        }
    }
    if (client != NULL) {
        gy_rudp_memory_give(&session->host->memory, client);
        session->context = NULL;
    }
}

static void finished(struct gy_rudp_session *session, struct gy_rudp_message *message)
{
    (void)session;
    gy_drop_give_finished(message);
}

const struct gy_rudp_host_ops gy_drop_service_ops = {
    .received = received, .finished = finished, .closed = closed};

int gy_drop_service_open(struct gy_drop_service *service, struct gy_worker *worker,
                         struct gy_error *error)
{
    return gy_helper_open(&service->helpers[worker->options.number], worker, GY_DROP_JOBS, error);
}

void gy_drop_service_close(struct gy_drop_service *service, struct gy_worker *worker)
{
    gy_helper_close(service->helpers[worker->options.number]);
    service->helpers[worker->options.number] = NULL;
}
