/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/helper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/file.h"
#include "core/worker.h"

struct gy_helper {
    pthread_mutex_t lock; /* of the lists and `ending`; never on a data path */
    pthread_cond_t wanted;
    struct gy_helper_job *waiting_head, *waiting_tail;
    struct gy_helper_job *finished_head, *finished_tail;
    bool ending;

    /* The worker's. */
    struct gy_worker *worker;
    pthread_t thread;
    int event;
    struct gy_buffer buffer; /* of `count` */
    uint64_t count;
    uint32_t jobs, jobs_max;
    bool armed;
};

static void append(struct gy_helper_job **head, struct gy_helper_job **tail,
                   struct gy_helper_job *job)
{
    job->next = NULL;
    if (*head == NULL) {
        *head = job;
    } else {
        (*tail)->next = job;
    }
    *tail = job;
}

static void *help(void *context)
{
    struct gy_helper *helper = context;
    pthread_mutex_lock(&helper->lock);
    for (;;) {
        while (helper->waiting_head == NULL && !helper->ending) {
            pthread_cond_wait(&helper->wanted, &helper->lock);
        }
        struct gy_helper_job *job = helper->waiting_head;
        if (job == NULL) {
            break;
        }
        helper->waiting_head = job->next;
        pthread_mutex_unlock(&helper->lock);
        job->run(job);
        pthread_mutex_lock(&helper->lock);
        append(&helper->finished_head, &helper->finished_tail, job);
        uint64_t one = 1;
        ssize_t written = write(helper->event, &one, sizeof one);
        gy_assert(written == (ssize_t)sizeof one);
    }
    pthread_mutex_unlock(&helper->lock);
    return NULL;
}

int gy_helper_open(struct gy_helper **out, struct gy_worker *worker, uint32_t jobs_max,
                   struct gy_error *error)
{
    gy_assert(jobs_max > 0);
    struct gy_helper *helper = calloc(1, sizeof *helper);
    if (helper == NULL) {
        return gy_error_set(error, GY_ENOMEM, "starting a helper thread: out of memory");
    }
    helper->worker = worker;
    helper->jobs_max = jobs_max;
    helper->event = eventfd(0, EFD_CLOEXEC);
    if (helper->event < 0) {
        int code = gy_error_set(error, gy_error_from_errno(errno), "starting a helper thread: %s",
                                strerror(errno));
        free(helper);
        return code;
    }
    helper->buffer = (struct gy_buffer){
        .data = (uint8_t *)&helper->count, .capacity = sizeof helper->count, .refs = 1};
    pthread_mutex_init(&helper->lock, NULL);
    pthread_cond_init(&helper->wanted, NULL);
    /* Signals are for the thread that waits for them. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&helper->thread, NULL, help, helper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        close(helper->event);
        free(helper);
        return gy_error_set(error, GY_EREFUSED, "starting a helper thread: %s", strerror(failed));
    }
    *out = helper;
    return 0;
}

static void rung(void *owner, int64_t result);

static bool arm(struct gy_helper *helper)
{
    if (!helper->armed) {
        helper->armed = gy_file_read(helper->worker, helper->event, &helper->buffer, 0,
                                     sizeof helper->count, 0, rung, helper) != NULL;
    }
    return helper->armed;
}

static void rung(void *owner, int64_t result)
{
    struct gy_helper *helper = owner;
    (void)result;
    helper->armed = false;
    pthread_mutex_lock(&helper->lock);
    struct gy_helper_job *job = helper->finished_head;
    helper->finished_head = NULL;
    pthread_mutex_unlock(&helper->lock);
    while (job != NULL) {
        struct gy_helper_job *next = job->next;
        gy_assert(helper->jobs > 0);
        helper->jobs--;
        job->done(job);
        job = next;
    }
    if (helper->jobs > 0) {
        /* One operation has just ended, and the ring was flushed: there is room. */
        gy_assert(arm(helper));
    }
}

int gy_helper_submit(struct gy_helper *helper, struct gy_helper_job *job)
{
    gy_assert(job->run != NULL && job->done != NULL);
    if (helper->jobs == helper->jobs_max || !arm(helper)) {
        return GY_ENOBUFS;
    }
    helper->jobs++;
    pthread_mutex_lock(&helper->lock);
    append(&helper->waiting_head, &helper->waiting_tail, job);
    pthread_cond_signal(&helper->wanted);
    pthread_mutex_unlock(&helper->lock);
    return 0;
}

void gy_helper_close(struct gy_helper *helper)
{
    if (helper == NULL) {
        return;
    }
    gy_assert(helper->jobs == 0 && !helper->armed);
    pthread_mutex_lock(&helper->lock);
    helper->ending = true;
    pthread_cond_signal(&helper->wanted);
    pthread_mutex_unlock(&helper->lock);
    pthread_join(helper->thread, NULL);
    pthread_mutex_destroy(&helper->lock);
    pthread_cond_destroy(&helper->wanted);
    close(helper->event);
    free(helper);
}
