/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Sockets that listen on an address: how many share it, their options, and who else has the port.
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/unit/address_unit.h"

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void close_all(const int fds[], unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* Listens where it must work; returns what was bound. */
static struct gy_address listening(const char *text, unsigned count, int fds[],
                                   const struct gy_listen_options *options)
{
    struct gy_address address = parsed(text), bound;
    struct gy_error error = {0};
    if (gy_address_listen(&address, count, fds, options, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(gy_address_of_socket(&bound, fds[0]), 0);
    assert_int_not_equal(gy_address_port(&bound), 0);
    return bound;
}

/* Connects to `host` on the port of `bound`; -1 when refused. */
static int connected(const char *host, const struct gy_address *bound)
{
    char text[64];
    snprintf(text, sizeof(text), "%s:%u", host, gy_address_port(bound));
    struct gy_address to = parsed(text);
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, &to.any, to.length) == 0)
        return fd;
    close(fd);
    return -1;
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t length = sizeof(value);
    assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
    return value;
}

static void need_ipv6(void)
{
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&loopback, sizeof(loopback));
    if (fd >= 0)
        close(fd);
    if (bound != 0) {
        print_message("# this host has no IPv6 loopback\n");
        skip();
    }
}

/* Runs `body` in a process of its own; what it returns is what this returns. */
static int in_child(int (*body)(void *), void *context)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body(context));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- listening ---- */

static void all_sockets_share_the_port_that_stands_for_zero(void **state)
{
    (void)state;
    int fds[4];
    struct gy_address first = listening("127.0.0.1:0", 4, fds, NULL);
    for (unsigned i = 0; i < 4; i++) {
        struct gy_address bound;
        assert_int_equal(gy_address_of_socket(&bound, fds[i]), 0);
        assert_true(gy_address_equal(&first, &bound));
        assert_int_equal(option_of(fds[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
        assert_int_equal(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fds[i], F_GETFL) & O_NONBLOCK, 0);
    }
    close_all(fds, 4);
}

static void every_listener_gets_its_share(void **state)
{
    (void)state;
    enum { LISTENERS = 4, CONNECTIONS = 200 };
    int fds[LISTENERS], clients[CONNECTIONS];
    unsigned taken[LISTENERS] = {0}, total = 0;
    struct gy_address bound =
        listening("127.0.0.1:0", LISTENERS, fds, &(struct gy_listen_options){.nonblocking = true});
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        clients[i] = connected("127.0.0.1", &bound);
        assert_true(clients[i] >= 0);
    }
    for (unsigned i = 0; i < LISTENERS; i++) {
        int fd;
        while ((fd = accept4(fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
            taken[i]++;
            close(fd);
        }
        total += taken[i];
        /* 50 expected; below 10 of 200 by chance is less likely than one in 10^14 */
        assert_true(taken[i] >= 10);
    }
    assert_int_equal(total, CONNECTIONS);
    close_all(clients, CONNECTIONS);
    close_all(fds, LISTENERS);
}

static void accepted_sockets_inherit_what_bounds_delay_and_memory(void **state)
{
    (void)state;
    int fd;
    struct gy_address bound = listening("127.0.0.1:0", 1, &fd, NULL);
    int client = connected("127.0.0.1", &bound);
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_NOTSENT_LOWAT), GY_ADDRESS_UNSENT_BYTES);
    close(accepted);
    close(client);
    close(fd);
}

/* For a listening socket the kernel reports its backlog as tcpi_sacked. */
static unsigned backlog_of(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_sacked;
}

static void options_reach_every_socket(void **state)
{
    (void)state;
    int fds[3];
    struct gy_listen_options options = {.backlog = 17, .defer_accept_s = 3, .nonblocking = true};
    listening("127.0.0.1:0", 3, fds, &options);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(backlog_of(fds[i]), 17);
        assert_true(option_of(fds[i], IPPROTO_TCP, TCP_DEFER_ACCEPT) >= 3);
        assert_int_equal(fcntl(fds[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
    close_all(fds, 3);
}

static void the_default_backlog_is_the_kernels_limit(void **state)
{
    (void)state;
    unsigned limit = 0;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &limit), 1);
    fclose(file);
    int fd;
    listening("127.0.0.1:0", 1, &fd, NULL);
    assert_int_equal(backlog_of(fd), limit);
    close(fd);
}

static void every_address_takes_ipv4_and_ipv6(void **state)
{
    (void)state;
    need_ipv6();
    int fds[2];
    struct gy_address bound = listening(":0", 2, fds, NULL);
    assert_true(bound.every);
    int v4 = connected("127.0.0.1", &bound), v6 = connected("[::1]", &bound);
    assert_true(v4 >= 0);
    assert_true(v6 >= 0);
    close(v4);
    close(v6);
    close_all(fds, 2);
}

static void an_ipv6_address_takes_ipv6_alone(void **state)
{
    (void)state;
    need_ipv6();
    int fd;
    struct gy_address bound = listening("[::]:0", 1, &fd, NULL);
    assert_false(bound.every);
    assert_int_equal(option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    int v6 = connected("[::1]", &bound);
    assert_true(v6 >= 0);
    close(v6);
    close(fd);
}

static void a_restart_does_not_trip_over_closing_connections(void **state)
{
    (void)state;
    int fds[2];
    struct gy_address bound = listening("127.0.0.1:0", 1, fds, NULL);
    int client = connected("127.0.0.1", &bound);
    int accepted = accept4(fds[0], NULL, NULL, SOCK_CLOEXEC);
    close(accepted); /* this side first: TIME_WAIT stays on the listener's port */
    char byte;
    assert_int_equal(read(client, &byte, 1), 0);
    close(client);
    close(fds[0]);
    struct gy_error error = {0};
    assert_int_equal(gy_address_listen(&bound, 2, fds, NULL, &error), 0);
    close_all(fds, 2);
}

/* ---- refusals ---- */

static void assert_taken(const struct gy_address *address, unsigned count, const char *holder)
{
    int fds[4] = {-7, -7, -7, -7};
    struct gy_error error = {0};
    unsigned before = open_descriptors();
    assert_int_equal(gy_address_listen(address, count, fds, NULL, &error), GY_EADDRINUSE);
    if (strstr(error.message, holder) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, holder);
    assert_int_equal(fds[0], -7);
    assert_int_equal(open_descriptors(), before);
}

static void a_second_server_on_the_port_is_refused_and_told_who_has_it(void **state)
{
    (void)state;
    int ready[2], fds[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t holder = fork();
    assert_true(holder >= 0);
    if (holder == 0) {
        struct gy_address address = parsed("127.0.0.1:0");
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail and leave it alone */
        if (gy_address_listen(&address, 2, fds, NULL, NULL) != 0 ||
            gy_address_of_socket(&address, fds[0]) != 0 ||
            write(ready[1], &address, sizeof(address)) != sizeof(address))
            _exit(1);
        pause();
        _exit(0);
    }
    struct gy_address bound;
    assert_int_equal(read(ready[0], &bound, sizeof(bound)), sizeof(bound));
    char process[64];
    snprintf(process, sizeof(process), "(process %d)", (int)holder);
    assert_taken(&bound, 1, process);
    assert_taken(&bound, 4, process);
    struct gy_address every = parsed(":0");
    gy_address_set_port(&every, gy_address_port(&bound));
    assert_taken(&every, 2, process);
    kill(holder, SIGKILL);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    close(ready[0]);
    close(ready[1]);
}

static void two_listeners_of_one_process_may_not_overlap(void **state)
{
    (void)state;
    int fds[2];
    struct gy_address bound = listening("127.0.0.1:0", 2, fds, NULL);
    assert_taken(&bound, 2, "this very process");
    close_all(fds, 2);
}

static void a_stranger_that_would_share_its_port_is_not_joined(void **state)
{
    (void)state;
    struct gy_address address = parsed("127.0.0.1:0");
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, &address.any, address.length), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(gy_address_of_socket(&address, fd), 0);
    assert_taken(&address, 1, "this very process");
    assert_taken(&address, 3, "this very process");
    close(fd);
}

struct race {
    struct gy_address address;
    int start[2], done[2], release[2];
};

static int race_runner(void *context)
{
    struct race *race = context;
    int fds[4];
    char byte, won;
    close(race->start[1]);
    close(race->release[1]);
    if (read(race->start[0], &byte, 1) != 0) /* the end of the file lets both go at once */
        return 1;
    won = gy_address_listen(&race->address, 4, fds, NULL, NULL) == 0;
    if (write(race->done[1], &won, 1) != 1 || read(race->release[0], &byte, 1) != 0)
        return 1;
    return 0;
}

static void of_two_that_start_at_once_exactly_one_gets_the_port(void **state)
{
    (void)state;
    int fd;
    struct race race = {.address = listening("127.0.0.1:0", 1, &fd, NULL)};
    close(fd);
    for (unsigned round = 0; round < 60; round++) {
        assert_int_equal(pipe2(race.start, O_CLOEXEC), 0);
        assert_int_equal(pipe2(race.done, O_CLOEXEC), 0);
        assert_int_equal(pipe2(race.release, O_CLOEXEC), 0);
        pid_t pids[2];
        for (unsigned i = 0; i < 2; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0)
                _exit(race_runner(&race));
        }
        close(race.start[1]);
        unsigned winners = 0;
        for (unsigned i = 0; i < 2; i++) {
            char won;
            assert_int_equal(read(race.done[0], &won, 1), 1);
            winners += won != 0;
        }
        close(race.release[1]);
        for (unsigned i = 0; i < 2; i++) {
            int status;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        close(race.start[0]);
        close(race.done[0]);
        close(race.done[1]);
        close(race.release[0]);
        assert_int_equal(winners, 1);
    }
}

static void assert_listen_fails(const char *text, int code, const char *hint)
{
    struct gy_address address = parsed(text);
    struct gy_error error = {0};
    int fd = -7;
    assert_int_equal(gy_address_listen(&address, 1, &fd, NULL, &error), code);
    assert_int_equal(error.code, code);
    assert_int_equal(fd, -7);
    if (strstr(error.message, hint) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, hint);
}

static void an_address_that_the_host_lacks_is_named(void **state)
{
    (void)state;
    assert_listen_fails("192.0.2.1:0", GY_EINVAL, "192.0.2.1:0: this host has no such address");
}

static void a_link_local_address_needs_its_interface(void **state)
{
    (void)state;
    need_ipv6();
    assert_listen_fails("[fe80::1]:0", GY_EINVAL, "%eth0");
    assert_listen_fails("[fe80::1%987654]:0", GY_EINVAL, "no such interface");
}

static int listen_on_port_one(void *context)
{
    (void)context;
    struct gy_address address;
    struct gy_error error = {0};
    int fd;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 1;
    if (gy_address_parse(&address, "127.0.0.1:1", NULL) != 0)
        return 2;
    if (gy_address_listen(&address, 1, &fd, NULL, &error) != GY_EREFUSED)
        return 3;
    return strstr(error.message, "a port below") != NULL &&
                   strstr(error.message, "cap_net_bind_service") != NULL
               ? 0
               : 4;
}

static void a_privileged_port_says_which_privilege(void **state)
{
    (void)state;
    int first = 1024;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (file != NULL) {
        assert_int_equal(fscanf(file, "%d", &first), 1);
        fclose(file);
    }
    if (first <= 1) {
        print_message("# this host has no privileged ports\n");
        skip();
    }
    assert_int_equal(in_child(listen_on_port_one, NULL), 0);
}

static int listen_without_descriptors(void *context)
{
    (void)context;
    int fds[8], probe = dup(0);
    close(probe);
    struct rlimit limit = {.rlim_cur = (rlim_t)probe + 5, .rlim_max = (rlim_t)probe + 5};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    struct gy_address address;
    struct gy_error error = {0};
    if (gy_address_parse(&address, "127.0.0.1:0", NULL) != 0)
        return 2;
    if (gy_address_listen(&address, 8, fds, NULL, &error) != GY_ENOFILE)
        return 3;
    int after = dup(0);
    if (after != probe) /* the ones that could be opened are closed again */
        return 4;
    return strstr(error.message, "ulimit -n") != NULL ? 0 : 5;
}

static void running_out_of_descriptors_leaves_none_open(void **state)
{
    (void)state;
    assert_int_equal(in_child(listen_without_descriptors, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sockets_share_the_port_that_stands_for_zero),
        cmocka_unit_test(every_listener_gets_its_share),
        cmocka_unit_test(accepted_sockets_inherit_what_bounds_delay_and_memory),
        cmocka_unit_test(options_reach_every_socket),
        cmocka_unit_test(the_default_backlog_is_the_kernels_limit),
        cmocka_unit_test(every_address_takes_ipv4_and_ipv6),
        cmocka_unit_test(an_ipv6_address_takes_ipv6_alone),
        cmocka_unit_test(a_restart_does_not_trip_over_closing_connections),
        cmocka_unit_test(a_second_server_on_the_port_is_refused_and_told_who_has_it),
        cmocka_unit_test(two_listeners_of_one_process_may_not_overlap),
        cmocka_unit_test(a_stranger_that_would_share_its_port_is_not_joined),
        cmocka_unit_test(of_two_that_start_at_once_exactly_one_gets_the_port),
        cmocka_unit_test(an_address_that_the_host_lacks_is_named),
        cmocka_unit_test(a_link_local_address_needs_its_interface),
        cmocka_unit_test(a_privileged_port_says_which_privilege),
        cmocka_unit_test(running_out_of_descriptors_leaves_none_open),
    };
    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
