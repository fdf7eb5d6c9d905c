/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_PATH_PATH_TRAIN_H
#define GY_BENCH_PATH_PATH_TRAIN_H

/* Datagrams of one length, sent and received by one call (UDP_SEGMENT, UDP_GRO), for path.h's
 * rivals. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define PATH_TRAIN_BYTES 65535
#define PATH_TRAIN_MAX   44 /* datagrams: of 1,452 bytes they are less than 64 KiB */
#define PATH_RECEIVE     (8 << 20)

/* A bound socket that does not block, -1: errno says why not. */
static inline int path_train_socket(const struct sockaddr_in *here)
{
    int on = 1, bytes = PATH_RECEIVE;
    int made = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made >= 0 && (bind(made, (const struct sockaddr *)here, sizeof *here) != 0 ||
                      setsockopt(made, SOL_UDP, UDP_GRO, &on, sizeof on) != 0)) {
        close(made);
        return -1;
    }
    if (made >= 0) {
        setsockopt(made, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    return made;
}

/* To where the socket is connected; what the kernel does not take is lost, as datagrams are. */
static inline void path_train_send(int descriptor, const uint8_t *data, size_t bytes, size_t length)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    struct iovec vector = {(void *)(uintptr_t)data, bytes};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (bytes > length) {
        uint16_t segment = (uint16_t)length;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.header.cmsg_level = SOL_UDP;
        control.header.cmsg_type = UDP_SEGMENT;
        control.header.cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(&control.header), &segment, sizeof segment);
    }
    while (sendmsg(descriptor, &message, 0) < 0 && errno == EAGAIN) {
        struct pollfd writable = {.fd = descriptor, .events = POLLOUT};
        if (poll(&writable, 1, 10) <= 0) {
            break;
        }
    }
}

/* Bytes of a train of datagrams of `length`, the last perhaps less; 0 or less: there is none. */
static inline ssize_t path_train_receive(int descriptor, uint8_t data[PATH_TRAIN_BYTES],
                                         size_t *length, struct sockaddr_in *from)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {data, PATH_TRAIN_BYTES};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_name = from,
                             .msg_namelen = from != NULL ? sizeof *from : 0,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t bytes = recvmsg(descriptor, &message, 0);
    *length = bytes > 0 ? (size_t)bytes : 0;
    for (struct cmsghdr *each = bytes > 0 ? CMSG_FIRSTHDR(&message) : NULL; each != NULL;
         each = CMSG_NXTHDR(&message, each)) {
        int segment;
        if (each->cmsg_level == SOL_UDP && each->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(each), sizeof segment);
            *length = segment > 0 ? (size_t)segment : *length;
        }
    }
    return bytes;
}

#endif
