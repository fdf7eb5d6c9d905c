/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/number.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* ---- telling ---- */

int gy_notify(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || path[0] == '\0') {
        return GY_ESTATE;
    }
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path) {
        return GY_EINVAL;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
                                 (path[0] == '/')); /* an abstract name has no end */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return gy_error_from_errno(errno);
    }
    ssize_t sent = sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                          (struct sockaddr *)&address, size);
    int code = sent < 0 ? gy_error_from_errno(errno) : 0;
    close(fd);
    return code;
}

static bool has_status;

void gy_notify_ready(void)
{
    gy_notify(has_status ? "READY=1\nSTATUS=\n" : "READY=1\n");
    has_status = false;
}

void gy_notify_kept(const char *why)
{
    char lines[GY_ERROR_MESSAGE_BYTES + 64];
    snprintf(lines, sizeof lines, "READY=1\nSTATUS=not reloaded, what is in use stays: %.*s\n",
             GY_ERROR_MESSAGE_BYTES, why);
    gy_notify(lines);
    has_status = true;
}

void gy_notify_reloading(void)
{
    struct timespec now;
    char lines[64];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    gy_notify(lines);
}

void gy_notify_stopping(void)
{
    gy_notify("STOPPING=1\n");
}

/* ---- being handed sockets ---- */

/* A small number from the environment; 0 for anything else. */
static long number_of(const char *name)
{
    uint64_t number;
    return gy_number_read(getenv(name), 0, INT64_MAX, &number) ? (long)number : 0;
}

static int type_of(int fd)
{
    int type = 0;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 ? type : 0;
}

static bool listens(int fd)
{
    int accepting = 0;
    bool stream = type_of(fd) == SOCK_STREAM;
    socklen_t length = sizeof accepting;
    return stream && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length) == 0 &&
           accepting != 0;
}

int gy_inherited_take(struct gy_inherited *inherited, struct gy_error *error)
{
    inherited->count = 0;
    long count = number_of("LISTEN_PID") == (long)getpid() ? number_of("LISTEN_FDS") : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (count > GY_INHERITED_MAX) {
        return gy_error_set(error, GY_ELIMIT,
                            "the service manager handed over %ld sockets; at most %d can be taken",
                            count, GY_INHERITED_MAX);
    }
    for (int i = 0; i < (int)count; i++) {
        int fd = FIRST_FD + i;
        int on = 1;
        struct gy_address *address = &inherited->sockets[i].address;
        bool datagrams = type_of(fd) == SOCK_DGRAM;
        if ((!datagrams && !listens(fd)) || gy_address_of_socket(address, fd) != 0) {
            return gy_error_set(error, GY_EINVAL,
                                "descriptor %d from the service manager is no TCP socket that "
                                "listens and no UDP socket; correct the ListenStream= and "
                                "ListenDatagram= lines of its socket unit",
                                fd);
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        /* One queue of several workers: looking into it must never wait for what another took. */
        if (!datagrams) {
            int unsent = GY_ADDRESS_UNSENT_BYTES;
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
        }
        inherited->sockets[i].datagrams = datagrams;
        inherited->sockets[i].fd = fd;
        inherited->sockets[i].used = false;
        inherited->count++;
    }
    return 0;
}

int gy_inherited_listen(struct gy_inherited *inherited, const struct gy_address *address,
                        bool datagrams, unsigned count, int fds[], struct gy_error *error)
{
    for (uint32_t i = 0; i < inherited->count; i++) {
        if (inherited->sockets[i].datagrams != datagrams ||
            !gy_address_equal(&inherited->sockets[i].address, address)) {
            continue;
        }
        for (unsigned made = 0; made < count; made++) {
            fds[made] = fcntl(inherited->sockets[i].fd, F_DUPFD_CLOEXEC, FIRST_FD);
            if (fds[made] < 0) {
                int cause = errno;
                while (made > 0) {
                    close(fds[--made]);
                }
                return gy_error_set(error, gy_error_from_errno(cause),
                                    "sharing the socket of the service manager: %s",
                                    strerror(cause));
            }
        }
        inherited->sockets[i].used = true;
        return 1;
    }
    return 0;
}

void gy_inherited_close(struct gy_inherited *inherited)
{
    for (uint32_t i = 0; i < inherited->count; i++) {
        close(inherited->sockets[i].fd);
    }
    inherited->count = 0;
}
