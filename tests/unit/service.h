/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_SERVICE_H
#define GY_TESTS_UNIT_SERVICE_H

/*
 * A supervised service of real processes: the test forks a parent, which runs the supervisor, which
 * forks children that serve a listener with a plain accept loop. All of them write what they see
 * into shared memory. A client gets the generation of the process that serves it.
 */

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "core/supervisor.h"

#define GENERATIONS   64
#define PATIENCE_MS   10000 /* for what must come; a loaded machine is no failure */
#define LEAK_STATUS   90    /* the parent did not leave things as it found them */
#define REFUSED_START 91

enum behaviour {
    SERVES,              /* until it is asked to end */
    FAILS_TO_START,      /* exit status 3 */
    DIES_STARTING,       /* killed by a signal before it is ready */
    NEVER_READY,         /* hangs */
    READY_LATE,          /* after 400 ms */
    DIES_WHEN_READY,     /* killed by a signal at once */
    DIES_A_LITTLE_LATER, /* 400 ms after it was ready */
    DRAINS_SLOWLY,       /* refuses for 300 ms, then ends */
    DRAINS_WITH_7,       /* exit status 7 */
    DRAINS_FOREVER,      /* until it is stopped */
    STOPS_FOR_NOTHING,   /* but SIGKILL */
};

struct seen {
    _Atomic pid_t pid;
    _Atomic uint64_t started_ms;
    _Atomic uint32_t restarts, replacements;
    _Atomic bool ready;
    _Atomic unsigned events; /* a bit for each gy_child_event */
};

struct shared {
    enum behaviour behaviour[GENERATIONS];
    struct seen seen[GENERATIONS];
    _Atomic uint32_t generation; /* of the latest child */
    _Atomic unsigned told[4];    /* the parent's hook, by gy_supervisor_event */
    _Atomic bool refuses;        /* the hook calls replacements off */
};

struct service {
    struct shared *shared;
    struct gy_supervisor_options options;
    int listener; /* the parent's and the children's; closed in the test process */
    struct sockaddr_in address;
    int log; /* what the processes wrote to stderr */
    pid_t parent;
    bool ended;
    int terminal; /* the master of the service's terminal; -1: it has none */
    bool ignores_hangup;
};

/* ---- helpers ---- */

static inline uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void pause_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&pause, &pause) != 0) {
    }
}

#define await(condition)                                                                           \
    do {                                                                                           \
        uint64_t await_until = now_ms() + PATIENCE_MS;                                             \
        while (!(condition)) {                                                                     \
            if (now_ms() > await_until)                                                            \
                fail_msg("waited in vain for: %s", #condition);                                    \
            pause_ms(2);                                                                           \
        }                                                                                          \
    } while (0)

static inline unsigned descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* ---- the serving process ---- */

static inline void serve_one(int listener, uint32_t generation)
{
    int fd = listener >= 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
    if (fd < 0)
        return;
    send(fd, &generation, sizeof generation, MSG_NOSIGNAL);
    close(fd);
}

static inline int drain(struct service *service, struct gy_child *child, enum behaviour behaviour)
{
    if (child->asked != GY_CHILD_REPLACED) {
        struct pollfd waiting = {.fd = service->listener, .events = POLLIN};
        while (poll(&waiting, 1, 0) == 1)
            serve_one(service->listener, child->generation);
    }
    close(service->listener);
    service->listener = -1;
    if (behaviour == DRAINS_SLOWLY)
        gy_child_wait(child, 300);
    return behaviour == DRAINS_WITH_7 ? 7 : 0;
}

static inline void before_ready(enum behaviour behaviour)
{
    if (behaviour == FAILS_TO_START)
        exit(3);
    if (behaviour == DIES_STARTING)
        raise(SIGKILL);
    if (behaviour == READY_LATE)
        pause_ms(400);
    if (behaviour == NEVER_READY) {
        for (;;) {
            pause();
        }
    }
}

static inline int serve(void *context, struct gy_child *child)
{
    struct service *service = context;
    uint32_t index = child->generation < GENERATIONS ? child->generation : GENERATIONS - 1;
    struct seen *seen = &service->shared->seen[index];
    enum behaviour behaviour = service->shared->behaviour[index];
    seen->started_ms = now_ms();
    seen->restarts = child->restarts;
    seen->replacements = child->replacements;
    seen->pid = getpid();
    service->shared->generation = child->generation;
    before_ready(behaviour);
    gy_child_ready(child);
    seen->ready = true;
    uint64_t dies_at = behaviour == DIES_WHEN_READY       ? 1
                       : behaviour == DIES_A_LITTLE_LATER ? now_ms() + 400
                                                          : UINT64_MAX;
    for (;;) {
        enum gy_child_event event = gy_child_wait(child, 2);
        seen->events |= 1u << event;
        bool stays = behaviour == STOPS_FOR_NOTHING ||
                     (behaviour == DRAINS_FOREVER && event != GY_CHILD_STOP);
        if (event != GY_CHILD_NONE && !stays)
            return drain(service, child, behaviour);
        if (now_ms() >= dies_at)
            raise(SIGKILL);
        serve_one(service->listener, child->generation);
    }
}

/* ---- the parent ---- */

static inline int told(void *context, enum gy_supervisor_event event)
{
    struct shared *shared = ((struct service *)context)->shared;
    shared->told[event]++;
    return event == GY_SUPERVISOR_REPLACING && shared->refuses ? GY_EINVAL : 0;
}

static inline int parent_main(struct service *service)
{
    sigset_t before, after;
    struct gy_error error = {0};
    dup2(service->log, STDERR_FILENO);
    sigprocmask(SIG_SETMASK, NULL, &before);
    unsigned open_before = descriptors(getpid());
    service->options.listen_fds = &service->listener;
    service->options.listen_fd_count = 1;
    service->options.event = told;
    int status = gy_supervisor_run(&service->options, serve, service, &error);
    if (status < 0) {
        dprintf(STDERR_FILENO, "%s\n", error.message);
        return REFUSED_START;
    }
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < SIGRTMIN; number++) {
        if (sigismember(&before, number) != sigismember(&after, number))
            return LEAK_STATUS;
    }
    bool no_zombies = waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
    bool none_open = descriptors(getpid()) == open_before - 1 && service->listener == -1;
    return no_zombies && none_open ? status : LEAK_STATUS;
}

/* A process group of its own, and with a terminal a session of its own. */
static inline void enter_session(struct service *service)
{
    if (service->ignores_hangup)
        signal(SIGHUP, SIG_IGN);
    if (service->terminal < 0) {
        setpgid(0, 0);
        return;
    }
    setsid();
    int slave = open(ptsname(service->terminal), O_RDWR); /* becomes the controlling terminal */
    close(service->terminal);
    if (slave < 0)
        _exit(LEAK_STATUS);
}

static inline void start(struct service *service)
{
    socklen_t length = sizeof service->address;
    service->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    service->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(service->listener, (struct sockaddr *)&service->address, length), 0);
    assert_int_equal(listen(service->listener, 512), 0);
    getsockname(service->listener, (struct sockaddr *)&service->address, &length);
    fflush(NULL);
    service->parent = fork();
    assert_true(service->parent >= 0);
    if (service->parent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test die; then the children see it */
        enter_session(service);
        _exit(parent_main(service));
    }
    service->ended = false;
    if (service->terminal < 0)
        setpgid(service->parent, service->parent);
    close(service->listener);
}

/* Starts it and waits for the first child. */
static inline void start_ready(struct service *service)
{
    start(service);
    await(service->shared->seen[1].ready);
}

/* Waits until the service has ended; the parent's exit status, or 128 + the signal. */
static inline int ended(struct service *service)
{
    int status = 0;
    await(waitpid(service->parent, &status, WNOHANG) == service->parent);
    service->ended = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void signal_parent(const struct service *service, int number)
{
    assert_int_equal(kill(service->parent, number), 0);
}

static inline bool is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

static inline bool logged(const struct service *service, const char *text)
{
    char log[16384];
    ssize_t length = pread(service->log, log, sizeof log - 1, 0);
    log[length < 0 ? 0 : length] = '\0';
    return strstr(log, text) != NULL;
}

/* A connection; -1 when refused. */
static inline int dial(const struct service *service)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&service->address, sizeof service->address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The generation that answers on `fd`; 0 if nobody does. */
static inline uint32_t answer(int fd)
{
    uint32_t generation = 0;
    if (recv(fd, &generation, sizeof generation, MSG_WAITALL) != sizeof generation)
        generation = 0;
    close(fd);
    return generation;
}

/* The generation that serves a new connection; 0 if it is refused, reset or not answered. */
static inline uint32_t ask(const struct service *service)
{
    int fd = dial(service);
    return fd < 0 ? 0 : answer(fd);
}

static inline bool was_asked(const struct service *service, uint32_t generation,
                             enum gy_child_event event)
{
    return (service->shared->seen[generation].events & 1u << event) != 0;
}

static inline int set_up(void **state)
{
    struct service *service = calloc(1, sizeof *service);
    assert_non_null(service);
    service->shared = mmap(NULL, sizeof *service->shared, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(service->shared != MAP_FAILED);
    service->log = memfd_create("log", MFD_CLOEXEC);
    service->options = (struct gy_supervisor_options){.ready_timeout_ms = PATIENCE_MS,
                                                      .drain_timeout_ms = PATIENCE_MS,
                                                      .kill_margin_ms = PATIENCE_MS};
    service->ended = true;
    service->terminal = -1;
    *state = service;
    return 0;
}

static inline int tear_down(void **state)
{
    struct service *service = *state;
    if (service->parent != 0 && !service->ended) {
        kill(service->parent, SIGKILL);
        waitpid(service->parent, NULL, 0);
    }
    for (unsigned i = 0; i < GENERATIONS; i++) {
        pid_t pid = service->shared->seen[i].pid;
        if (pid != 0 && waitpid(pid, NULL, WNOHANG) == 0) { /* an orphan, so it is ours now */
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }
    munmap(service->shared, sizeof *service->shared);
    if (service->terminal >= 0)
        close(service->terminal);
    close(service->log);
    free(service);
    return 0;
}

#define service_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
