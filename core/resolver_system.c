/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/resolver_system.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker.h"

enum question_state {
    QUESTION_FREE,
    QUESTION_ASKED,    /* waits for the helper, or is with it */
    QUESTION_ANSWERED, /* its message is under way */
};

struct question {
    char name[GY_NAME_BYTES + 1];
    struct gy_address addresses[GY_QUERY_ADDRESSES];
    uint32_t count;
    struct gy_error error;
    struct gy_query *query; /* the worker's alone; NULL when nobody waits any more */
    enum question_state state;
};

/*
 * Shared by the worker and the helper. The lock guards `state`, the order, `closed` and `users`; a
 * question's other members belong to the helper while it is with it. Not on the data path.
 */
struct system {
    struct gy_resolver resolver; /* first */
    struct gy_worker *worker;
    struct gy_inlet inlet;
    struct gy_message messages[GY_RESOLVER_QUESTIONS];
    struct question questions[GY_RESOLVER_QUESTIONS];
    uint32_t order[GY_RESOLVER_QUESTIONS]; /* asked and not begun, oldest at `first` */
    uint32_t first;
    uint32_t waiting;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started;
    bool closed;
    uint32_t users; /* the worker and the helper; the last one frees */
};

static void leave(struct system *system)
{
    pthread_mutex_lock(&system->lock);
    gy_assert(system->users > 0);
    bool last = --system->users == 0;
    pthread_mutex_unlock(&system->lock);
    if (last) {
        pthread_cond_destroy(&system->changed);
        pthread_mutex_destroy(&system->lock);
        free(system);
    }
}

/* ---- the helper's thread ---- */

/* "localhost" is the loopback address, whatever the system makes of it (RFC 6761 §6.3): hosts
 * without /etc/hosts know no such name. */
static bool is_localhost(struct question *question)
{
    if (strcasecmp(question->name, "localhost") != 0) {
        return false;
    }
    question->count = 0;
    gy_address_parse(&question->addresses[question->count++], "[::1]:0", NULL);
    gy_address_parse(&question->addresses[question->count++], "127.0.0.1:0", NULL);
    return true;
}

static void look_up(struct question *question)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(question->name, NULL, &hints, &found);
    /* A host without any outward address has none "configured", yet knows itself. */
    if (result == EAI_NONAME || result == EAI_ADDRFAMILY || result == EAI_NODATA) {
        hints.ai_flags = 0;
        result = getaddrinfo(question->name, NULL, &hints, &found);
    }
    question->count = 0;
    question->error.code = 0;
    if (result != 0 && is_localhost(question)) {
        return;
    }
    if (result != 0) {
        int code = result == EAI_MEMORY ? GY_ENOMEM : GY_EREFUSED;
        gy_error_set(&question->error, code, "the name could not be resolved: %s",
                     result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
        return;
    }
    for (struct addrinfo *at = found; at != NULL && question->count < GY_QUERY_ADDRESSES;
         at = at->ai_next) {
        if (gy_address_from_sockaddr(&question->addresses[question->count], at->ai_addr,
                                     at->ai_addrlen) == 0) {
            question->count++;
        }
    }
    freeaddrinfo(found);
    if (question->count == 0) {
        gy_error_set(&question->error, GY_EREFUSED, "the name has no IPv4 or IPv6 address");
    }
}

static void *help(void *argument)
{
    struct system *system = argument;
    pthread_mutex_lock(&system->lock);
    while (!system->closed) {
        if (system->waiting == 0) {
            pthread_cond_wait(&system->changed, &system->lock);
            continue;
        }
        uint32_t index = system->order[system->first];
        system->first = (system->first + 1) % GY_RESOLVER_QUESTIONS;
        system->waiting--;
        pthread_mutex_unlock(&system->lock);
        look_up(&system->questions[index]);
        pthread_mutex_lock(&system->lock);
        system->questions[index].state = QUESTION_ANSWERED;
        if (!system->closed) { /* else the worker may be gone */
            struct gy_message message = {.kind = GY_MESSAGE_USER, .numbers = {index}};
            int code = gy_worker_post_inlet(system->worker, &system->inlet, &message);
            gy_assert(code == 0); /* as many messages fit as there are questions */
        }
    }
    pthread_mutex_unlock(&system->lock);
    leave(system);
    return NULL;
}

/* ---- the worker's thread ---- */

static struct system *system_of(struct gy_resolver *resolver)
{
    return (struct system *)resolver;
}

static void on_answer(struct gy_inlet *inlet, const struct gy_message *message)
{
    struct system *system = (struct system *)((char *)inlet - offsetof(struct system, inlet));
    gy_assert(message->numbers[0] < GY_RESOLVER_QUESTIONS);
    struct question *question = &system->questions[message->numbers[0]];
    struct gy_query *query = question->query;
    if (query != NULL) {
        memcpy(query->addresses, question->addresses,
               sizeof question->addresses[0] * question->count);
        query->count = question->count;
        query->error = question->error;
        query->handle = NULL;
    }
    pthread_mutex_lock(&system->lock);
    gy_assert(question->state == QUESTION_ANSWERED);
    question->state = QUESTION_FREE;
    question->query = NULL;
    pthread_mutex_unlock(&system->lock);
    if (query != NULL) {
        query->answered(query);
    }
}

/* Signals are for the threads that expect them. */
static int start(struct system *system)
{
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int result = pthread_create(&thread, &attributes, help, system);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int ask(struct gy_resolver *resolver, struct gy_query *query)
{
    struct system *system = system_of(resolver);
    gy_assert(query->handle == NULL && query->answered != NULL);
    pthread_mutex_lock(&system->lock);
    int code = 0;
    if (!system->started) {
        system->users++;
        if (start(system) == 0) {
            system->started = true;
        } else {
            system->users--;
            code = GY_ENOMEM;
        }
    }
    uint32_t index = 0;
    while (index < GY_RESOLVER_QUESTIONS && system->questions[index].state != QUESTION_FREE) {
        index++;
    }
    if (code == 0 && index == GY_RESOLVER_QUESTIONS) {
        code = GY_ELIMIT;
    }
    if (code == 0) {
        struct question *question = &system->questions[index];
        memcpy(question->name, query->name, sizeof question->name);
        question->query = query;
        question->state = QUESTION_ASKED;
        query->handle = question;
        system->order[(system->first + system->waiting) % GY_RESOLVER_QUESTIONS] = index;
        system->waiting++;
        pthread_cond_signal(&system->changed);
    }
    pthread_mutex_unlock(&system->lock);
    return code;
}

static void cancel(struct gy_resolver *resolver, struct gy_query *query)
{
    (void)resolver;
    struct question *question = query->handle;
    if (question != NULL) {
        gy_assert(question->query == query);
        question->query = NULL;
        query->handle = NULL;
    }
}

int gy_resolver_system_open(struct gy_resolver **resolver, struct gy_worker *worker,
                            struct gy_error *error)
{
    size_t bytes = (sizeof(struct system) + GY_CACHE_LINE_BYTES - 1) / GY_CACHE_LINE_BYTES *
                   GY_CACHE_LINE_BYTES;
    struct system *system = aligned_alloc(GY_CACHE_LINE_BYTES, bytes);
    if (system == NULL) {
        return gy_error_set(error, GY_ENOMEM, "preparing to resolve names: out of memory");
    }
    memset(system, 0, sizeof *system);
    system->resolver = (struct gy_resolver){.ask = ask, .cancel = cancel};
    system->worker = worker;
    system->users = 1;
    pthread_mutex_init(&system->lock, NULL);
    pthread_cond_init(&system->changed, NULL);
    system->inlet.on_message = on_answer;
    gy_mailbox_init(&system->inlet.mailbox, system->messages, GY_RESOLVER_QUESTIONS);
    gy_worker_add_inlet(worker, &system->inlet);
    *resolver = &system->resolver;
    return 0;
}

void gy_resolver_system_close(struct gy_resolver *resolver)
{
    struct system *system = system_of(resolver);
    gy_worker_remove_inlet(system->worker, &system->inlet);
    pthread_mutex_lock(&system->lock);
    system->closed = true;
    pthread_cond_signal(&system->changed);
    pthread_mutex_unlock(&system->lock);
    leave(system);
}
