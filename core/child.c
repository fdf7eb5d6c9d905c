/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/child.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/descriptor.h"

void gy_child_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

int gy_child_open(struct gy_child *child)
{
    sigset_t set;
    gy_child_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &child->former_mask);
    child->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    child->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (child->signal_fd >= 0 && child->wake_fd >= 0)
        return 0;
    int cause = errno;
    gy_descriptor_drop(&child->signal_fd);
    gy_descriptor_drop(&child->wake_fd);
    sigprocmask(SIG_SETMASK, &child->former_mask, NULL);
    return -cause;
}

int gy_child_init_alone(struct gy_child *child, uint32_t drain_timeout_ms, struct gy_error *error)
{
    gy_assert(child != NULL);
    *child =
        (struct gy_child){.generation = 1, .drain_timeout_ms = drain_timeout_ms, .control_fd = -1};
    int result = gy_child_open(child);
    if (result < 0)
        return gy_error_set(error, gy_error_from_errno(-result),
                            "cannot take signals: %s. Check the limit of open files (ulimit -n)",
                            strerror(-result));
    return 0;
}

void gy_child_close(struct gy_child *child)
{
    gy_assert(!child->supervised);
    gy_descriptor_drop(&child->signal_fd);
    gy_descriptor_drop(&child->wake_fd);
    sigprocmask(SIG_SETMASK, &child->former_mask, NULL);
}

void gy_child_ready(struct gy_child *child)
{
    char message = GY_CHILD_MESSAGE_READY;
    if (!child->ready && child->control_fd >= 0)
        send(child->control_fd, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (!child->ready && child->on_ready != NULL)
        child->on_ready(child->ready_context);
    child->ready = true;
}

void gy_child_wake(struct gy_child *child)
{
    uint64_t one = 1;
    int saved = errno;
    ssize_t written = write(child->wake_fd, &one, sizeof(one)); /* full: it is awake anyway */
    gy_assert(written == sizeof(one) || errno == EAGAIN);
    errno = saved;
}

/* Nobody is left to kill a child that hangs in its drain, so it sets an alarm for itself. */
static void set_last_alarm(const struct gy_child *child)
{
    uint64_t ms = (uint64_t)child->drain_timeout_ms + child->kill_margin_ms + 1;
    struct itimerval timer = {
        .it_value = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)}};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigaction(SIGALRM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* What the parent says; the most urgent of what is queued. */
static enum gy_child_event read_control(struct gy_child *child)
{
    enum gy_child_event event = GY_CHILD_NONE;
    while (child->control_fd >= 0) {
        char message;
        ssize_t got = recv(child->control_fd, &message, 1, MSG_DONTWAIT);
        enum gy_child_event heard = GY_CHILD_NONE;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0) {
            gy_descriptor_drop(&child->control_fd);
            set_last_alarm(child);
            heard = GY_CHILD_PARENT_GONE;
        } else if (message == GY_CHILD_MESSAGE_REPLACED) {
            heard = GY_CHILD_REPLACED;
        } else if (message == GY_CHILD_MESSAGE_DRAIN) {
            heard = GY_CHILD_DRAIN;
        } else {
            gy_assert(message == GY_CHILD_MESSAGE_STOP);
            heard = GY_CHILD_STOP;
        }
        event = heard > event ? heard : event;
    }
    return event;
}

/* Dropped while there is a parent: a terminal's Ctrl-C and a service manager's round reach both. */
static enum gy_child_event read_signals(struct gy_child *child)
{
    enum gy_child_event event = GY_CHILD_NONE;
    struct signalfd_siginfo info;
    while (read(child->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (child->control_fd >= 0)
            continue;
        bool draining = child->asked >= GY_CHILD_DRAIN || event == GY_CHILD_DRAIN;
        /* The terminal's hang-up comes in several copies: only those that a person sends count. */
        if (!draining)
            event = GY_CHILD_DRAIN;
        else if (info.ssi_signo != SIGHUP)
            event = GY_CHILD_STOP;
    }
    return event;
}

enum gy_child_event gy_child_wait(struct gy_child *child, int timeout_ms)
{
    gy_assert(child->signal_fd >= 0);
    gy_assert(timeout_ms >= -1);
    uint64_t deadline = timeout_ms > 0 ? gy_clock_ms() + (uint64_t)timeout_ms : 0;
    for (;;) {
        struct pollfd polled[] = {
            {.fd = child->control_fd, .events = POLLIN},
            {.fd = child->signal_fd, .events = POLLIN},
            {.fd = child->wake_fd, .events = POLLIN},
        };
        uint64_t now = timeout_ms > 0 ? gy_clock_ms() : 0;
        int left = timeout_ms <= 0 ? timeout_ms : now < deadline ? (int)(deadline - now) : 0;
        int found = poll(polled, 3, left);
        gy_assert(found >= 0 || errno == EINTR || errno == ENOMEM);
        enum gy_child_event control = read_control(child);
        enum gy_child_event event = read_signals(child);
        event = control > event ? control : event;
        if (event > child->asked) {
            child->asked = event;
            return event;
        }
        uint64_t woken;
        if (read(child->wake_fd, &woken, sizeof(woken)) == sizeof(woken))
            return GY_CHILD_NONE;
        if (found == 0 && left >= 0)
            return GY_CHILD_NONE;
    }
}
