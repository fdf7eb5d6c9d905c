/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The runtime in a process of its own: ready, signals, drains, all workers. */

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "core/address.h"
#include "core/child.h"
#include "core/log.h"
#include "core/runtime.h"
#include "tests/core/core_harness.h"

#define WORKERS_MAX 4

/* ---- the server: answers each byte with its worker's number, '=' with how often a worker was
 * rung;
 * '!' rings the next worker ---- */

static _Atomic uint8_t rung;

static void ring(struct gy_worker *worker, void *argument)
{
    (void)worker;
    (void)argument;
    atomic_fetch_add(&rung, 1);
}

static uint32_t open_session(struct gy_stream *stream)
{
    *(uint8_t *)stream->session = 0;
    return GY_WANT_READ;
}

static uint32_t turn_session(struct gy_stream *stream)
{
    uint8_t *draining = stream->session;
    while (stream->in.length > 0) {
        uint8_t text = (uint8_t)('0' + stream->worker->options.number);
        uint8_t first;
        gy_chain_copy(&stream->in, 0, 1, &first);
        struct gy_worker *worker = stream->worker;
        if (first == '!') {
            uint32_t next = (worker->options.number + 1) % worker->options.workers;
            gy_assert(gy_worker_call(worker, worker->peers[next], ring, NULL) == 0);
        } else if (first == '=') {
            text = (uint8_t)('0' + atomic_load(&rung));
        }
        if (gy_bump_copy(&stream->worker->bump, &stream->out, &text, 1) != 0) {
            return GY_WANT_READ | GY_WANT_RETRY;
        }
        gy_chain_consume(&stream->in, 1);
        if (*draining) {
            return GY_WANT_CLOSE | GY_WANT_LINGER;
        }
    }
    return stream->eof ? GY_WANT_CLOSE : GY_WANT_READ;
}

static uint32_t expire_session(struct gy_stream *stream)
{
    (void)stream;
    return GY_WANT_CLOSE;
}

/* Answers one more byte, if the client sends it. */
static uint32_t drain_session(struct gy_stream *stream)
{
    *(uint8_t *)stream->session = 1;
    return GY_WANT_READ;
}

static void close_session(struct gy_stream *stream, enum gy_close_reason reason)
{
    (void)stream;
    (void)reason;
}

static const struct gy_stream_ops ops = {open_session, turn_session, expire_session, drain_session,
                                         close_session};

/* ---- the process ---- */

struct process {
    pid_t pid;
    struct gy_address address;
};

static rlim_t files_limit; /* of the process; 0: as it is */

static uint32_t open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t count = 0;
    gy_assert(folder != NULL);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static int serve(const int *descriptors, struct gy_runtime_options options, uint32_t drain_ms)
{
    struct gy_server server = {
        .name = "number", .ops = &ops, .session_bytes = 1, .descriptors = descriptors};
    struct gy_child child;
    struct gy_error error = {0};
    struct gy_log_settings quiet = {.fd = STDERR_FILENO, .level = GY_LOG_ERROR};
    gy_log_configure(&quiet, NULL);
    options.servers = &server;
    options.server_count = 1;
    options.connections_max = 256;
    struct rlimit limit = {files_limit, files_limit};
    if ((files_limit != 0 && setrlimit(RLIMIT_NOFILE, &limit) != 0) ||
        gy_child_init_alone(&child, drain_ms, &error) != 0) {
        return 20;
    }
    uint32_t before = open_descriptors();
    int code = gy_runtime_run(&options, &child, &error);
    if (code != 0) {
        return error.code == code && error.message[0] != '\0' ? 30 - code : 21;
    }
    if (open_descriptors() != before - options.workers) {
        return 23; /* the listening sockets are closed, and nothing is left open */
    }
    bool ready = child.ready;
    gy_child_close(&child);
    return ready ? 0 : 22;
}

static struct process process_start(const char *test, struct gy_runtime_options options,
                                    uint32_t drain_ms)
{
    deadline(test, 25);
    struct process process;
    int descriptors[WORKERS_MAX];
    struct gy_error error = {0};
    assert_int_equal(gy_address_parse(&process.address, "127.0.0.1:0", &error), 0);
    assert_int_equal(
        gy_address_listen(&process.address, options.workers, descriptors, NULL, &error), 0);
    assert_int_equal(gy_address_of_socket(&process.address, descriptors[0]), 0);
    fflush(NULL);
    process.pid = fork();
    assert_true(process.pid >= 0);
    if (process.pid == 0) {
        alarm(80);
        signal(SIGALRM, SIG_DFL);
        _exit(serve(descriptors, options, drain_ms));
    }
    for (uint32_t i = 0; i < options.workers; i++) {
        close(descriptors[i]);
    }
    return process;
}

/* Its exit status; -1 for a death by signal. */
static int process_end(const struct process *process)
{
    int status;
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int try_connect(const struct process *process)
{
    struct timeval patience = {.tv_sec = 10};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(client, &process->address.any, process->address.length) != 0) {
        close(client);
        return -1;
    }
    return client;
}

static int say(int client, const char *what)
{
    char text = 0;
    assert_int_equal(send(client, what, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(receive_on(client, &text, 1), 1);
    return text - '0';
}

static int ask(int client)
{
    return say(client, "?");
}

static struct gy_runtime_options some_workers(uint32_t workers)
{
    return (struct gy_runtime_options){
        .workers = workers, .unpinned = true, .receive_mode = GY_RECEIVE_MULTISHOT};
}

static void drains_at_sigterm(const char *test, struct gy_runtime_options options)
{
    struct process process = process_start(test, options, 60000);
    int client = try_connect(&process);
    ask(client);
    uint64_t began = now_ms();
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    /* Nobody new is let in, who is in is served once more. */
    int late;
    while ((late = try_connect(&process)) >= 0) {
        close(late);
        assert_true(now_ms() < began + 300000);
        usleep(1000);
    }
    ask(client);
    char byte;
    assert_int_equal(receive_on(client, &byte, 1), 0);
    close(client);
    assert_int_equal(process_end(&process), 0);
    assert_true(now_ms() < began + 300000);
}

static void a_served_process_drains_at_sigterm_and_ends_well(void **state)
{
    (void)state;
    drains_at_sigterm(__func__, some_workers(2));
}

static struct gy_runtime_options apart(uint32_t workers)
{
    struct gy_runtime_options options = some_workers(workers);
    options.tables = GY_TABLES_EACH;
    return options;
}

/* A listening socket of which another table had a copy would let clients in whom nobody serves. */
static void with_tables_of_their_own_workers_let_nobody_in_while_they_drain(void **state)
{
    (void)state;
    drains_at_sigterm(__func__, apart(3));
}

static void workers_with_tables_of_their_own_wake_each_other(void **state)
{
    static const uint32_t without[] = {0, GY_RING_MESSAGE_RING};
    (void)state;
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        struct gy_runtime_options options = apart(3);
        options.without = without[i];
        struct process process = process_start(__func__, options, 1000);
        int clients[16];
        for (int n = 0; n < 16; n++) {
            clients[n] = try_connect(&process);
            say(clients[n], "!");
        }
        uint64_t began = now_ms();
        while (say(clients[0], "=") < 16) {
            assert_true(now_ms() < began + 300000);
            usleep(1000);
        }
        for (int n = 0; n < 16; n++) {
            close(clients[n]);
        }
        assert_int_equal(kill(process.pid, SIGTERM), 0);
        assert_int_equal(process_end(&process), 0);
    }
}

static void more_connections_than_one_table_holds_are_served_from_several(void **state)
{
    enum { FILES = 256, CLIENTS = 300 };
    (void)state;
    /* 256 a worker are asked for: more than a table of 256 has room for, so each has its own. */
    files_limit = FILES;
    struct process process = process_start(__func__, some_workers(3), 10000);
    files_limit = 0;
    static int clients[CLIENTS];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = try_connect(&process);
            assert_true(clients[i] >= 0);
        }
        for (int i = 0; i < CLIENTS; i++) {
            ask(clients[i]);
        }
        for (int i = 0; i < CLIENTS; i++) {
            close(clients[i]);
        }
    }
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(process_end(&process), 0);
}

static void a_drain_without_connections_ends_at_once(void **state)
{
    (void)state;
    struct process process = process_start(__func__, some_workers(3), 60000);
    int client = try_connect(&process);
    ask(client);
    close(client);
    uint64_t began = now_ms();
    assert_int_equal(kill(process.pid, SIGINT), 0);
    assert_int_equal(process_end(&process), 0);
    assert_true(now_ms() < began + 30000);
}

static void a_drain_ends_at_its_deadline(void **state)
{
    (void)state;
    struct process process = process_start(__func__, some_workers(2), 300);
    int client = try_connect(&process);
    ask(client);
    uint64_t began = now_ms();
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    char byte;
    assert_true(receive_on(client, &byte, 1) <= 0);
    assert_int_equal(process_end(&process), 0);
    assert_true(now_ms() >= began + 290 && now_ms() < began + 30000);
    close(client);
}

static void a_second_signal_stops_at_once(void **state)
{
    (void)state;
    /* Three workers, one connection: two have drained, and are gone, when the second one comes. */
    struct process process = process_start(__func__, some_workers(3), 60000);
    int client = try_connect(&process);
    ask(client);
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    usleep(200000);
    int status;
    assert_int_equal(waitpid(process.pid, &status, WNOHANG), 0); /* it waits for the client */
    uint64_t began = now_ms();
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(process_end(&process), 0);
    assert_true(now_ms() < began + 30000);
    char byte;
    assert_true(receive_on(client, &byte, 1) <= 0);
    close(client);
}

static void all_workers_get_connections(void **state)
{
    (void)state;
    struct process process = process_start(__func__, some_workers(WORKERS_MAX), 1000);
    uint32_t served[WORKERS_MAX] = {0};
    int clients[128];
    for (int i = 0; i < 128; i++) {
        clients[i] = try_connect(&process);
        assert_true(clients[i] >= 0);
    }
    for (int i = 0; i < 128; i++) {
        int number = ask(clients[i]);
        assert_true(number >= 0 && number < WORKERS_MAX);
        served[number]++;
        close(clients[i]);
    }
    for (int i = 0; i < WORKERS_MAX; i++) {
        assert_true(served[i] > 0);
    }
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(process_end(&process), 0);
}

static void connections_that_wait_as_the_drain_begins_are_served(void **state)
{
    (void)state;
    struct process process = process_start(__func__, some_workers(1), 10000);
    int first = try_connect(&process);
    ask(first);
    assert_int_equal(kill(process.pid, SIGSTOP), 0);
    int waiting = try_connect(&process);
    assert_true(waiting >= 0);
    assert_int_equal(send(waiting, "?", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(kill(process.pid, SIGCONT), 0);
    char text;
    assert_int_equal(receive_on(waiting, &text, 1), 1);
    close(first);
    close(waiting);
    assert_int_equal(process_end(&process), 0);
}

static void a_worker_that_cannot_start_ends_the_start_with_its_reason(void **state)
{
    (void)state;
    struct gy_runtime_options options = some_workers(3);
    options.without = GY_RING_BUFFER_RING;
    struct process process = process_start(__func__, options, 1000);
    assert_int_equal(process_end(&process), 30 - GY_ENOTSUP);
}

static void the_mode_is_chosen_by_the_self_test_if_none_is_forced(void **state)
{
    (void)state;
    struct gy_runtime_options options = some_workers(1);
    options.receive_mode = GY_RECEIVE_CHOOSE;
    struct process process = process_start(__func__, options, 1000);
    int client = try_connect(&process);
    assert_int_equal(ask(client), 0);
    close(client);
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(process_end(&process), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_served_process_drains_at_sigterm_and_ends_well),
        cmocka_unit_test(with_tables_of_their_own_workers_let_nobody_in_while_they_drain),
        cmocka_unit_test(workers_with_tables_of_their_own_wake_each_other),
        cmocka_unit_test(more_connections_than_one_table_holds_are_served_from_several),
        cmocka_unit_test(a_drain_without_connections_ends_at_once),
        cmocka_unit_test(a_drain_ends_at_its_deadline),
        cmocka_unit_test(a_second_signal_stops_at_once),
        cmocka_unit_test(all_workers_get_connections),
        cmocka_unit_test(connections_that_wait_as_the_drain_begins_are_served),
        cmocka_unit_test(a_worker_that_cannot_start_ends_the_start_with_its_reason),
        cmocka_unit_test(the_mode_is_chosen_by_the_self_test_if_none_is_forced),
    };
    return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
