/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"

/* Processes at a time: one that serves, and old ones that still drain, or one that starts. A SIGHUP
 * that would need one more waits until one of them has gone. */
#define SLOTS 4

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

enum slot_state {
    SLOT_FREE,
    SLOT_STARTING, /* forked, not ready yet */
    SLOT_SERVING,
    SLOT_DRAINING, /* replaced, or the service ends */
};

struct slot {
    enum slot_state state;
    pid_t pid;
    int control_fd; /* -1 when the child has closed its end */
    uint32_t generation;
    uint64_t ready_at;
    uint64_t deadline; /* then it is killed; 0: no deadline */
    bool killed;
};

enum phase { PHASE_RUNNING, PHASE_DRAINING, PHASE_STOPPING };

struct supervisor {
    struct gy_supervisor_options options; /* defaults filled in */
    int (*serve)(void *context, struct gy_child *child);
    void *context;
    enum phase phase;
    struct slot slots[SLOTS];
    uint64_t start_at; /* when the next child is due; 0: none is */
    bool replace;      /* a SIGHUP waits to be acted on */
    bool ever_ready;
    bool finished;
    int status;
    uint32_t generation, restarts, replacements;
    uint32_t failures; /* in a row */
    int signal_fd;
    sigset_t former_mask;
    struct sigaction former_pipe, former_child;
    bool terminal;       /* there is a controlling terminal to lose */
    bool ignores_hangup; /* started by nohup(1) */
};

uint32_t gy_supervisor_backoff_ms(const struct gy_supervisor_options *options, uint32_t failure,
                                  uint32_t random)
{
    uint64_t first = options->backoff_first_ms != 0 ? options->backoff_first_ms : 50;
    uint64_t limit = options->backoff_limit_ms != 0 ? options->backoff_limit_ms : 10000;
    if (failure <= 1)
        return 0;
    uint32_t doublings = failure - 2 < 31 ? failure - 2 : 31;
    uint64_t step = first << doublings;
    step = step < limit ? step : limit;
    uint64_t spread = step - step / 2;
    return (uint32_t)(step / 2 + random % (spread + 1));
}

static struct slot *find_slot(struct supervisor *self, enum slot_state state)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (self->slots[i].state == state)
            return &self->slots[i];
    }
    return NULL;
}

static void set_deadline(const struct supervisor *self, struct slot *slot)
{
    const struct gy_supervisor_options *options = &self->options;
    uint64_t ms = 0;
    if (self->phase == PHASE_STOPPING)
        ms = options->kill_margin_ms;
    else if (self->phase == PHASE_DRAINING || slot->state == SLOT_DRAINING)
        ms = (uint64_t)options->drain_timeout_ms + options->kill_margin_ms;
    else if (slot->state == SLOT_STARTING)
        ms = options->ready_timeout_ms;
    slot->deadline = ms != 0 ? gy_clock_ms() + ms : 0;
}

/* A child that does not hear it has died or hangs; its deadline deals with both. */
static void tell(struct slot *slot, char message)
{
    if (slot->control_fd >= 0)
        send(slot->control_fd, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int tell_service(struct supervisor *self, enum gy_supervisor_event event)
{
    return self->options.event != NULL ? self->options.event(self->context, event) : 0;
}

static void close_listeners(struct supervisor *self)
{
    for (uint32_t i = 0; i < self->options.listen_fd_count; i++)
        close_if_open(&self->options.listen_fds[i]);
}

/* Runs in the new process, and ends it. */
static _Noreturn void child_main(struct supervisor *self, int control_fd)
{
    close(self->signal_fd);
    for (unsigned i = 0; i < SLOTS; i++)
        close_if_open(&self->slots[i].control_fd);
    struct gy_child child = {
        .generation = self->generation,
        .restarts = self->restarts,
        .replacements = self->replacements,
        .drain_timeout_ms = self->options.drain_timeout_ms,
        .kill_margin_ms = self->options.kill_margin_ms,
        .supervised = true,
        .control_fd = control_fd,
    };
    sigset_t mask, blocked; /* blocked throughout: a signal in between must not end the child */
    gy_child_signals(&blocked);
    sigorset(&mask, &self->former_mask, &blocked);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    int result = gy_child_open(&child);
    if (result < 0) {
        gy_log(GY_LOG_ERROR, "supervisor", "the serving process cannot take signals: %s",
               strerror(-result));
        exit(1);
    }
    exit(self->serve(self->context, &child) & 0xff);
}

/* Forks the next generation into a free slot. Returns 0 or a negative errno value. */
static int start_child(struct supervisor *self)
{
    struct slot *slot = find_slot(self, SLOT_FREE);
    gy_assert(slot != NULL);
    gy_assert(find_slot(self, SLOT_STARTING) == NULL);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    self->start_at = 0;
    self->generation++;
    fflush(NULL); /* else both processes would write what is buffered */
    pid_t pid = fork();
    if (pid < 0) {
        int cause = errno;
        self->generation--;
        close(pair[0]);
        close(pair[1]);
        return -cause;
    }
    if (pid == 0) {
        close(pair[0]);
        child_main(self, pair[1]);
    }
    close(pair[1]);
    *slot = (struct slot){
        .state = SLOT_STARTING, .pid = pid, .control_fd = pair[0], .generation = self->generation};
    set_deadline(self, slot);
    self->replace = false; /* whatever asked for it, this one reads its configuration afresh */
    return 0;
}

/* Nothing serves and nothing starts: when is the next attempt? */
static void schedule_start(struct supervisor *self)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = (uint32_t)gy_clock_ms() * 2654435761u;
    self->failures++;
    uint32_t wait = gy_supervisor_backoff_ms(&self->options, self->failures, random);
    if (wait > 0)
        gy_log(GY_LOG_WARN, "supervisor", "death %u in a row: the next start is in %u ms",
               self->failures, wait);
    self->start_at = gy_clock_ms() + wait;
}

static void start_if_due(struct supervisor *self)
{
    if (self->finished || self->phase != PHASE_RUNNING || find_slot(self, SLOT_STARTING) != NULL)
        return;
    bool serving = find_slot(self, SLOT_SERVING) != NULL;
    bool replacing = serving && self->replace;
    bool due = !serving && self->start_at != 0 && gy_clock_ms() >= self->start_at;
    if ((!replacing && !due) || find_slot(self, SLOT_FREE) == NULL)
        return;
    if (self->replace && tell_service(self, GY_SUPERVISOR_REPLACING) < 0) {
        self->replace = false;
        if (!due)
            return; /* without one that serves, one starts as the last did */
    }
    self->replacements += replacing;
    int result = start_child(self);
    if (result == 0)
        return;
    self->replacements -= replacing;
    self->replace = false;
    tell_service(self, GY_SUPERVISOR_FAILED);
    gy_log(GY_LOG_ERROR, "supervisor", "cannot fork a serving process: %s", strerror(-result));
    if (!serving)
        schedule_start(self);
}

/* The first request to end drains, the second stops. */
static void end_service(struct supervisor *self)
{
    if (self->phase == PHASE_STOPPING)
        return;
    self->phase = self->phase == PHASE_RUNNING ? PHASE_DRAINING : PHASE_STOPPING;
    bool stop = self->phase == PHASE_STOPPING;
    gy_log(GY_LOG_INFO, "supervisor", "%s",
           stop ? "stopping at once" : "draining; a second signal stops at once");
    if (!stop) {
        close_listeners(self);
        tell_service(self, GY_SUPERVISOR_ENDING);
    }
    self->start_at = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &self->slots[i];
        if (slot->state == SLOT_FREE || (slot->state == SLOT_DRAINING && !stop))
            continue;
        tell(slot, stop ? GY_CHILD_MESSAGE_STOP : GY_CHILD_MESSAGE_DRAIN);
        slot->state = SLOT_DRAINING;
        if (!slot->killed)
            set_deadline(self, slot);
    }
}

/* "exit status 3" or "SIGSEGV, core dumped". */
static const char *describe(int status, char out[48])
{
    if (WIFEXITED(status)) {
        snprintf(out, 48, "exit status %d", WEXITSTATUS(status));
    } else {
        const char *name = sigabbrev_np(WTERMSIG(status));
        snprintf(out, 48, "SIG%s%s", name != NULL ? name : "?",
                 WCOREDUMP(status) ? ", core dumped" : "");
    }
    return out;
}

/* The exit status that a child's death gives the whole service. */
static int status_of(const struct slot *slot, int status)
{
    return slot->killed || !WIFEXITED(status) ? 1 : WEXITSTATUS(status);
}

static void child_died(struct supervisor *self, struct slot *slot, int status)
{
    struct slot dead = *slot;
    char how[48];
    close_if_open(&slot->control_fd);
    *slot = (struct slot){.control_fd = -1};
    bool serving = find_slot(self, SLOT_SERVING) != NULL;
    describe(status, how);
    if (self->phase != PHASE_RUNNING || dead.state == SLOT_DRAINING) {
        bool clean = status_of(&dead, status) == 0;
        gy_log(clean ? GY_LOG_INFO : GY_LOG_WARN, "supervisor", "process %d (generation %u) %s: %s",
               (int)dead.pid, dead.generation, clean ? "has drained" : "did not drain", how);
        if (self->phase != PHASE_RUNNING && self->status == 0)
            self->status = status_of(&dead, status);
        return;
    }
    if (dead.state == SLOT_STARTING && !self->ever_ready) {
        if (status_of(&dead, status) != 0)
            gy_log(GY_LOG_ERROR, "supervisor", "the service could not start: %s", how);
        self->status = status_of(&dead, status);
        self->finished = true;
        return;
    }
    if (dead.state == SLOT_STARTING)
        tell_service(self, GY_SUPERVISOR_FAILED);
    if (dead.state == SLOT_STARTING && serving) {
        gy_log(GY_LOG_ERROR, "supervisor",
               "the replacement, process %d, gave up before it was ready: %s. Generation %u goes "
               "on serving",
               (int)dead.pid, how, find_slot(self, SLOT_SERVING)->generation);
        return;
    }
    self->restarts++;
    gy_log(GY_LOG_ERROR, "supervisor", "process %d (generation %u) died: %s", (int)dead.pid,
           dead.generation, how);
    if (dead.state == SLOT_SERVING &&
        gy_clock_ms() - dead.ready_at >= self->options.stable_after_ms)
        self->failures = 0;
    if (find_slot(self, SLOT_STARTING) == NULL)
        schedule_start(self);
}

static void child_ready(struct supervisor *self, struct slot *slot)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *old = &self->slots[i];
        if (old->state == SLOT_SERVING) {
            tell(old, GY_CHILD_MESSAGE_REPLACED);
            old->state = SLOT_DRAINING;
            set_deadline(self, old);
        }
    }
    slot->state = SLOT_SERVING;
    slot->ready_at = gy_clock_ms();
    slot->deadline = 0;
    self->ever_ready = true;
    gy_log(GY_LOG_INFO, "supervisor", "process %d (generation %u) serves", (int)slot->pid,
           slot->generation);
    tell_service(self, GY_SUPERVISOR_READY);
}

static void read_child(struct supervisor *self, struct slot *slot)
{
    while (slot->control_fd >= 0) {
        char message;
        ssize_t got = recv(slot->control_fd, &message, 1, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            close_if_open(&slot->control_fd);
        else if (message == GY_CHILD_MESSAGE_READY && slot->state == SLOT_STARTING && !slot->killed)
            child_ready(self, slot);
    }
}

static void look_after(struct supervisor *self, struct slot *slot)
{
    int status;
    if (slot->state == SLOT_FREE)
        return;
    read_child(self, slot);
    if (waitpid(slot->pid, &status, WNOHANG) == slot->pid) {
        read_child(self, slot); /* it may have become ready in between */
        child_died(self, slot, status);
    } else if (slot->deadline != 0 && gy_clock_ms() >= slot->deadline) {
        gy_log(GY_LOG_WARN, "supervisor", "process %d (generation %u) %s in time: killing it",
               (int)slot->pid, slot->generation,
               slot->state == SLOT_STARTING ? "was not ready" : "did not finish");
        slot->killed = true;
        slot->deadline = 0;
        kill(slot->pid, SIGKILL);
    }
}

#define HANG_UP_LOOKS    10
#define HANG_UP_PAUSE_US 5000

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Whether a hang-up is that of the terminal. The kernel signals first and takes the terminal away a
 * moment later. */
static bool terminal_went(const struct supervisor *self)
{
    for (int i = 0; self->terminal && i < HANG_UP_LOOKS; i++) {
        if (!has_terminal())
            return true;
        usleep(HANG_UP_PAUSE_US);
    }
    return false;
}

static void hang_up(struct supervisor *self)
{
    if (self->phase != PHASE_RUNNING)
        return;
    if (terminal_went(self)) { /* nobody asked for a replacement: the window closed */
        self->terminal = false;
        if (!self->ignores_hangup)
            end_service(self);
        return;
    }
    self->replace = true;
    if (self->start_at != 0)
        self->start_at = gy_clock_ms();
    if (find_slot(self, SLOT_FREE) == NULL)
        gy_log(GY_LOG_WARN, "supervisor",
               "%u processes are up already: the replacement waits until one has drained", SLOTS);
}

static void read_parent_signals(struct supervisor *self)
{
    struct signalfd_siginfo info;
    while (read(self->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            end_service(self);
        } else if (info.ssi_signo == SIGHUP) {
            hang_up(self);
        } else if (info.ssi_signo == SIGCONT) { /* while stopped, nobody could keep a deadline */
            for (unsigned i = 0; i < SLOTS; i++) {
                if (self->slots[i].deadline != 0)
                    set_deadline(self, &self->slots[i]);
            }
        } else {
            gy_assert(info.ssi_signo == SIGCHLD); /* look_after asks about each child */
        }
    }
}

static void wait_for_anything(struct supervisor *self)
{
    struct pollfd polled[SLOTS + 1] = {{.fd = self->signal_fd, .events = POLLIN}};
    uint64_t next = self->start_at != 0 ? self->start_at : UINT64_MAX;
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *slot = &self->slots[i];
        polled[i + 1] = (struct pollfd){.fd = slot->control_fd, .events = POLLIN};
        if (slot->state != SLOT_FREE && slot->deadline != 0 && slot->deadline < next)
            next = slot->deadline;
    }
    uint64_t now = gy_clock_ms();
    int timeout = -1;
    if (next != UINT64_MAX)
        timeout = next <= now ? 0 : next - now < INT_MAX ? (int)(next - now) : INT_MAX;
    int found = poll(polled, SLOTS + 1, timeout);
    gy_assert(found >= 0 || errno == EINTR || errno == ENOMEM);
}

static bool all_free(const struct supervisor *self)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (self->slots[i].state != SLOT_FREE)
            return false;
    }
    return true;
}

static int fill_options(struct gy_supervisor_options *options, struct gy_error *error)
{
    struct {
        uint32_t *value, fallback;
    } defaults[] = {
        {&options->ready_timeout_ms, 30000}, {&options->drain_timeout_ms, 10000},
        {&options->kill_margin_ms, 5000},    {&options->backoff_first_ms, 50},
        {&options->backoff_limit_ms, 10000}, {&options->stable_after_ms, 10000},
    };
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        if (*defaults[i].value == 0)
            *defaults[i].value = defaults[i].fallback;
    }
    if (options->backoff_first_ms > options->backoff_limit_ms)
        return gy_error_set(error, GY_EINVAL,
                            "the first restart delay (%u ms) is above its limit (%u ms)",
                            options->backoff_first_ms, options->backoff_limit_ms);
    gy_assert(options->listen_fd_count == 0 || options->listen_fds != NULL);
    return 0;
}

static int take_signals(struct supervisor *self)
{
    sigset_t set;
    struct sigaction action;
    gy_child_signals(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGCONT);
    self->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self->signal_fd < 0)
        return -errno;
    self->terminal = has_terminal();
    self->ignores_hangup = sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
    sigprocmask(SIG_BLOCK, &set, &self->former_mask);
    action = (struct sigaction){.sa_handler = SIG_IGN}; /* a closed log is no reason to die */
    sigaction(SIGPIPE, &action, &self->former_pipe);
    action = (struct sigaction){.sa_handler = SIG_DFL}; /* ignored, it would reap behind our back */
    sigaction(SIGCHLD, &action, &self->former_child);
    return 0;
}

static void release_signals(struct supervisor *self)
{
    struct signalfd_siginfo info;
    while (read(self->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        /* one signal too many must not end us by its default action, with the wrong status */
    }
    close(self->signal_fd);
    sigaction(SIGPIPE, &self->former_pipe, NULL);
    sigaction(SIGCHLD, &self->former_child, NULL);
    sigprocmask(SIG_SETMASK, &self->former_mask, NULL);
}

int gy_supervisor_run(const struct gy_supervisor_options *options,
                      int (*serve)(void *context, struct gy_child *child), void *context,
                      struct gy_error *error)
{
    gy_assert(options != NULL);
    gy_assert(serve != NULL);
    struct supervisor self = {.options = *options, .serve = serve, .context = context};
    int result = fill_options(&self.options, error);
    if (result != 0)
        return result;
    for (unsigned i = 0; i < SLOTS; i++)
        self.slots[i].control_fd = -1;
    result = take_signals(&self);
    if (result == 0) {
        result = start_child(&self);
        if (result != 0)
            release_signals(&self);
    }
    if (result != 0)
        return gy_error_set(error, gy_error_from_errno(-result),
                            "cannot start the serving process: %s. Check the limits of processes "
                            "and open files (ulimit -u, ulimit -n)",
                            strerror(-result));
    while (!self.finished) {
        wait_for_anything(&self);
        read_parent_signals(&self);
        for (unsigned i = 0; i < SLOTS; i++)
            look_after(&self, &self.slots[i]);
        start_if_due(&self);
        if (self.phase != PHASE_RUNNING && all_free(&self))
            self.finished = true;
    }
    gy_assert(all_free(&self));
    close_listeners(&self);
    release_signals(&self);
    return self.status;
}
