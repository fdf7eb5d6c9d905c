/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "servers/systemd.h"

static int manager = -1;

/* A service manager that listens on an abstract name, or on a path. */
static void listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static const char *heard(void)
{
    static char text[256];
    ssize_t length = recv(manager, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static int forget(void **state)
{
    (void)state;
    if (manager >= 0) {
        close(manager);
    }
    manager = -1;
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

static void states_are_told_to_an_abstract_name(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "@gyre-test-%d", (int)getpid());
    listen_as(name);
    gy_notify_ready();
    assert_string_equal(heard(), "READY=1\n");
    gy_notify_stopping();
    assert_string_equal(heard(), "STOPPING=1\n");
}

static void states_are_told_to_a_path(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/gyre-notify-%d", (int)getpid());
    listen_as(path);
    assert_int_equal(gy_notify("STATUS=well\n"), 0);
    unlink(path);
    assert_string_equal(heard(), "STATUS=well\n");
}

static void a_reload_says_when_it_began(void **state)
{
    (void)state;
    struct timespec now;
    unsigned long long us = 0;
    listen_as("@gyre-test-reload");
    gy_notify_reloading();
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long long now_us =
        (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
    assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &us), 1);
    assert_true(us <= now_us && us + 10000000 > now_us);
}

static void without_a_manager_nothing_is_told(void **state)
{
    (void)state;
    assert_int_equal(gy_notify("READY=1\n"), GY_ESTATE);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_int_equal(gy_notify("READY=1\n"), GY_EINVAL);
    setenv("NOTIFY_SOCKET", "@gyre-test-nobody-there", 1);
    assert_true(gy_notify("READY=1\n") < 0);
}

/* ---- sockets; in a child, whose descriptors 3 and 4 are ours to choose ---- */

static struct gy_inherited inherited;

static void hand_over(int count, int pid)
{
    char text[16];
    snprintf(text, sizeof text, "%d", count);
    setenv("LISTEN_FDS", text, 1);
    snprintf(text, sizeof text, "%d", pid);
    setenv("LISTEN_PID", text, 1);
}

static void put_listener_at(int fd)
{
    struct gy_address address;
    int listener;
    assert_int_equal(gy_address_parse(&address, "127.0.0.1:0", NULL), 0);
    assert_int_equal(gy_address_listen(&address, 1, &listener, NULL, NULL), 0);
    if (listener != fd) {
        dup2(listener, fd);
        close(listener);
    }
}

static void take_two(void *unused)
{
    (void)unused;
    int fds[3];
    struct gy_error error = {0};
    put_listener_at(3);
    put_listener_at(4);
    hand_over(2, (int)getpid());
    gy_assert(gy_inherited_take(&inherited, &error) == 0 && inherited.count == 2);
    gy_assert(getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL);
    gy_assert(fcntl(3, F_GETFD) == FD_CLOEXEC);
    struct gy_address second = inherited.sockets[1].address;
    gy_assert(gy_inherited_listen(&inherited, &second, false, 3, fds, &error) == 1);
    gy_assert(inherited.sockets[1].used && !inherited.sockets[0].used);
    struct gy_address shared;
    gy_assert(gy_address_of_socket(&shared, fds[2]) == 0 && gy_address_equal(&shared, &second));
    gy_address_set_port(&second, 1);
    gy_assert(gy_inherited_listen(&inherited, &second, false, 3, fds, &error) == 0);
    gy_inherited_close(&inherited);
}

static void take_a_stranger(void *unused)
{
    (void)unused;
    put_listener_at(3);
    hand_over(1, (int)getpid() + 1);
    gy_assert(gy_inherited_take(&inherited, NULL) == 0 && inherited.count == 0);
}

static void take_what_does_not_listen(void *unused)
{
    (void)unused;
    struct gy_error error = {0};
    int fd = open("/dev/null", O_RDONLY);
    dup2(fd, 3);
    hand_over(1, (int)getpid());
    gy_assert(gy_inherited_take(&inherited, &error) == GY_EINVAL);
    gy_assert(strstr(error.message, "ListenStream=") != NULL);
}

static void runs(void (*function)(void *))
{
    char output[4096];
    int status = run_in_child(function, NULL, output, sizeof output);
    if (status != 0) {
        fail_msg("%s", output);
    }
}

static void sockets_are_taken_by_their_address(void **state)
{
    (void)state;
    runs(take_two);
}

static void sockets_for_another_process_are_left_alone(void **state)
{
    (void)state;
    runs(take_a_stranger);
}

static void what_does_not_listen_is_refused(void **state)
{
    (void)state;
    runs(take_what_does_not_listen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(states_are_told_to_an_abstract_name, forget),
        cmocka_unit_test_teardown(states_are_told_to_a_path, forget),
        cmocka_unit_test_teardown(a_reload_says_when_it_began, forget),
        cmocka_unit_test_teardown(without_a_manager_nothing_is_told, forget),
        cmocka_unit_test(sockets_are_taken_by_their_address),
        cmocka_unit_test(sockets_for_another_process_are_left_alone),
        cmocka_unit_test(what_does_not_listen_is_refused),
    };
    return cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
}
