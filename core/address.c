/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A host between the brackets: 45 characters of IPv6 at most, and %INTERFACE. */
#define HOST_BYTES (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)

/* ---- reading ---- */

static bool only_digits(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
    }
    return length > 0;
}

/* -1 unless `text` is a decimal number from 0 to 65535. */
static int read_port(const char *text)
{
    size_t length = strlen(text);
    if (!only_digits(text, length) || length > 5)
        return -1;
    int port = atoi(text);
    return port <= UINT16_MAX ? port : -1;
}

static void set_every(struct gy_address *address)
{
    *address = (struct gy_address){.length = sizeof(struct sockaddr_in6), .every = true};
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_addr = in6addr_any;
}

static void set_v4(struct gy_address *address, struct in_addr host)
{
    *address = (struct gy_address){.length = sizeof(struct sockaddr_in)};
    address->v4.sin_family = AF_INET;
    address->v4.sin_addr = host;
}

/* `host` is what stood between the brackets, zero-terminated. Writes into it. */
static int read_v6(struct gy_address *address, char *host)
{
    uint32_t scope = 0;
    char *percent = strchr(host, '%');
    if (percent != NULL) {
        *percent = '\0';
        const char *zone = percent + 1;
        size_t length = strlen(zone);
        scope = only_digits(zone, length) && length < 10 ? (uint32_t)strtoul(zone, NULL, 10)
                                                         : if_nametoindex(zone);
        if (scope == 0)
            return GY_EINVAL;
    }
    struct in6_addr v6;
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return GY_EINVAL;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) { /* a socket for IPv6 alone could not be bound to it */
        struct in_addr v4;
        memcpy(&v4, &v6.s6_addr[12], sizeof(v4));
        set_v4(address, v4);
        return 0;
    }
    *address = (struct gy_address){.length = sizeof(struct sockaddr_in6)};
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_addr = v6;
    address->v6.sin6_scope_id = scope;
    return 0;
}

/* Reads what stands before the port's colon. */
static int read_host(struct gy_address *address, const char *text, size_t length,
                     struct gy_error *error)
{
    char host[HOST_BYTES];
    if (length == 0) {
        set_every(address);
        return 0;
    }
    bool bracketed = text[0] == '[' && length >= 2 && text[length - 1] == ']';
    if (!bracketed && memchr(text, ':', length) != NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "'%.100s' is not an address: write IPv6 in brackets, as in [::1]:8080",
                            text);
    }
    if (bracketed) {
        text++;
        length -= 2;
    }
    int result = GY_EINVAL;
    if (length < sizeof(host)) {
        memcpy(host, text, length);
        host[length] = '\0';
        struct in_addr v4;
        if (bracketed) {
            result = read_v6(address, host);
        } else if (inet_pton(AF_INET, host, &v4) == 1) {
            set_v4(address, v4);
            result = 0;
        }
    }
    if (result == 0)
        return 0;
    return gy_error_set(
        error, GY_EINVAL,
        "'%.*s' is not a numeric %s, and names are not looked up: write an address "
        "of this host, as in 127.0.0.1:8080 or [::1]:8080, or :8080 for all of them",
        (int)(length < 100 ? length : 100), text, bracketed ? "IPv6 address" : "IPv4 address");
}

int gy_address_parse(struct gy_address *address, const char *text, struct gy_error *error)
{
    gy_assert(address != NULL);
    gy_assert(text != NULL);
    struct gy_address read = {0};
    size_t length = strlen(text);
    const char *colon = strrchr(text, ':');
    const char *port_text = colon != NULL ? colon + 1 : text;
    size_t host_length = colon != NULL ? (size_t)(colon - text) : 0;
    if (length == 0)
        return gy_error_set(error, GY_EINVAL,
                            "the address is empty: write ADDRESS:PORT, [IPv6]:PORT, or :PORT for "
                            "every address of this host");
    if (text[length - 1] == ']' || (colon == NULL && !only_digits(text, length)))
        return gy_error_set(error, GY_EINVAL,
                            "'%.100s' has no port: write ADDRESS:PORT, as in 127.0.0.1:8080", text);
    int result = read_host(&read, text, host_length, error);
    if (result != 0)
        return result;
    int port = read_port(port_text);
    if (port < 0)
        return gy_error_set(error, GY_EINVAL,
                            "'%.100s' does not end in a port: write a number from 1 to 65535, or 0 "
                            "for any free one",
                            text);
    gy_address_set_port(&read, (uint16_t)port);
    *address = read;
    return 0;
}

/* ---- values ---- */

int gy_address_from_sockaddr(struct gy_address *address, const struct sockaddr *from,
                             socklen_t length)
{
    gy_assert(address != NULL);
    gy_assert(from != NULL);
    if (length < (socklen_t)sizeof(from->sa_family))
        return GY_EINVAL;
    socklen_t needed;
    if (from->sa_family == AF_INET)
        needed = sizeof(struct sockaddr_in);
    else if (from->sa_family == AF_INET6)
        needed = sizeof(struct sockaddr_in6);
    else
        return GY_ENOTSUP;
    if (length < needed)
        return GY_EINVAL;
    *address = (struct gy_address){.length = needed};
    memcpy(&address->any, from, needed);
    return 0;
}

int gy_address_of_socket(struct gy_address *address, int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t length = sizeof(storage);
    if (getsockname(fd, (struct sockaddr *)&storage, &length) != 0)
        return gy_error_from_errno(errno);
    int result = gy_address_from_sockaddr(address, (struct sockaddr *)&storage, length);
    if (result != 0)
        return result;
    if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr)) {
        int only = 1;
        length = sizeof(only);
        if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) == 0)
            address->every = only == 0;
    }
    return 0;
}

static bool is_v6(const struct gy_address *address)
{
    gy_assert(address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6);
    return address->any.sa_family == AF_INET6;
}

uint16_t gy_address_port(const struct gy_address *address)
{
    return ntohs(is_v6(address) ? address->v6.sin6_port : address->v4.sin_port);
}

void gy_address_set_port(struct gy_address *address, uint16_t port)
{
    if (is_v6(address))
        address->v6.sin6_port = htons(port);
    else
        address->v4.sin_port = htons(port);
}

bool gy_address_equal(const struct gy_address *a, const struct gy_address *b)
{
    if (is_v6(a) != is_v6(b) || gy_address_port(a) != gy_address_port(b) || a->every != b->every)
        return false;
    if (!is_v6(a))
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0 &&
           a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

/* Every address of its family. */
static bool is_any(const struct gy_address *address)
{
    return is_v6(address) ? IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr)
                          : address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool gy_address_overlap(const struct gy_address *a, const struct gy_address *b)
{
    if (gy_address_port(a) == 0 || gy_address_port(a) != gy_address_port(b))
        return false;
    if (a->every || b->every || gy_address_equal(a, b))
        return true;
    return is_v6(a) == is_v6(b) && (is_any(a) || is_any(b));
}

char *gy_address_format(const struct gy_address *address, char *out, size_t capacity)
{
    gy_assert(capacity >= GY_ADDRESS_TEXT_BYTES);
    char host[INET6_ADDRSTRLEN] = "";
    char zone[IF_NAMESIZE + 1] = "";
    unsigned port = gy_address_port(address);
    if (address->every) {
        snprintf(out, capacity, ":%u", port);
        return out;
    }
    if (!is_v6(address)) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
        snprintf(out, capacity, "%s:%u", host, port);
        return out;
    }
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(v6)) {
        inet_ntop(AF_INET, &v6->s6_addr[12], host, sizeof(host));
        snprintf(out, capacity, "%s:%u", host, port);
        return out;
    }
    inet_ntop(AF_INET6, v6, host, sizeof(host));
    uint32_t scope = address->v6.sin6_scope_id;
    if (scope != 0) {
        zone[0] = '%';
        if (if_indextoname(scope, zone + 1) == NULL)
            snprintf(zone + 1, sizeof(zone) - 1, "%u", scope);
    }
    snprintf(out, capacity, "[%s%s]:%u", host, zone, port);
    return out;
}

/* ---- who has the port: only to make a message better, so every failure here is silent ---- */

#define HOLDER_BYTES 96

/* The inode of a socket that listens on `port`, from one of the kernel's tables; 0 if none. Lines
 * read: sl, local host:port, remote host:port, state, queues, timer, retransmits, uid, timeout,
 * inode; a listener's state is 0A, that of a UDP socket without a peer 07. */
static unsigned long listener_inode(const char *table, uint16_t port, unsigned listening)
{
    FILE *file = fopen(table, "re");
    if (file == NULL)
        return 0;
    char line[512];
    unsigned long found = 0;
    while (found == 0 && fgets(line, sizeof(line), file) != NULL) {
        unsigned local, state;
        unsigned long inode;
        if (sscanf(line, "%*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu",
                   &local, &state, &inode) == 3 &&
            local == port && state == listening)
            found = inode;
    }
    fclose(file);
    return found;
}

static bool process_holds(const char *pid, const char *link)
{
    char path[64 + NAME_MAX], target[64];
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *directory = opendir(path);
    if (directory == NULL) /* another user's, or just gone */
        return false;
    bool held = false;
    struct dirent *entry;
    while (!held && (entry = readdir(directory)) != NULL) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        if (length > 0) {
            target[length] = '\0';
            held = strcmp(target, link) == 0;
        }
    }
    closedir(directory);
    return held;
}

/* Writes " by NAME (process PID)", or nothing. */
static void find_holder(uint16_t port, bool datagrams, char out[HOLDER_BYTES])
{
    out[0] = '\0';
    unsigned state = datagrams ? 0x07 : 0x0a;
    unsigned long inode =
        listener_inode(datagrams ? "/proc/net/udp" : "/proc/net/tcp", port, state);
    if (inode == 0)
        inode = listener_inode(datagrams ? "/proc/net/udp6" : "/proc/net/tcp6", port, state);
    DIR *processes = inode != 0 ? opendir("/proc") : NULL;
    if (processes == NULL)
        return;
    char link[64], path[64 + NAME_MAX], name[32] = "";
    snprintf(link, sizeof(link), "socket:[%lu]", inode);
    struct dirent *entry;
    while ((entry = readdir(processes)) != NULL) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !process_holds(entry->d_name, link))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            if (fgets(name, sizeof(name), file) != NULL)
                name[strcspn(name, "\n")] = '\0';
            fclose(file);
        }
        if (atoi(entry->d_name) == getpid())
            snprintf(out, HOLDER_BYTES, " by another listener of this very process");
        else
            snprintf(out, HOLDER_BYTES, " by %s (process %.10s)", name, entry->d_name);
        break;
    }
    closedir(processes);
}

/* The first port that needs no privilege. */
static int unprivileged_port(void)
{
    int port = 1024;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &port) != 1)
            port = 1024;
        fclose(file);
    }
    return port;
}

/* How often, and after what pause, joining one's own port is tried again. */
#define JOIN_TRIES    100
#define JOIN_PAUSE_US 1000

/* The same for the first socket; the pause is random, up to this. */
#define CLAIM_TRIES    6
#define CLAIM_PAUSE_US 8000

/* ---- listening ---- */

static int explain(const struct gy_address *address, int cause, bool datagrams,
                   struct gy_error *error)
{
    char text[GY_ADDRESS_TEXT_BYTES], holder[HOLDER_BYTES];
    uint16_t port = gy_address_port(address);
    gy_address_format(address, text, sizeof(text));
    switch (cause) {
    case EADDRINUSE:
        if (port == 0)
            return gy_error_set(error, GY_EADDRINUSE,
                                "cannot listen on %s: no port is free. Name one, or widen "
                                "net.ipv4.ip_local_port_range",
                                text);
        find_holder(port, datagrams, holder);
        return gy_error_set(error, GY_EADDRINUSE,
                            "cannot listen on %s: the port is taken%s. Stop what listens there, or "
                            "choose another port",
                            text, holder);
    case EACCES:
    case EPERM:
        if (port != 0 && port < unprivileged_port())
            return gy_error_set(error, GY_EREFUSED,
                                "cannot listen on %s: a port below %d needs a privilege. Use a "
                                "higher one, or give it with: setcap cap_net_bind_service=+ep "
                                "PROGRAM, or with: sysctl net.ipv4.ip_unprivileged_port_start=%u",
                                text, unprivileged_port(), port);
        return gy_error_set(error, GY_EREFUSED,
                            "cannot listen on %s: the system refused it (%s). A security policy "
                            "(seccomp, SELinux, AppArmor) stands in the way",
                            text, strerror(cause));
    case EADDRNOTAVAIL:
        return gy_error_set(error, GY_EINVAL,
                            "cannot listen on %s: this host has no such address. Use one that `ip "
                            "address` shows, or :%u for all of them",
                            text, port);
    case EINVAL:
        if (is_v6(address) && IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr) &&
            address->v6.sin6_scope_id == 0)
            return gy_error_set(error, GY_EINVAL,
                                "cannot listen on %s: a link-local address needs its interface, as "
                                "in [fe80::1%%eth0]:%u",
                                text, port);
        break;
    case ENODEV:
        return gy_error_set(
            error, GY_EINVAL,
            "cannot listen on %s: there is no such interface. `ip link` shows those "
            "of this host",
            text);
    case EAFNOSUPPORT:
        return gy_error_set(
            error, GY_ENOTSUP,
            "cannot listen on %s: this host has no IPv6. Use an IPv4 address, or :%u", text, port);
    case EMFILE:
    case ENFILE:
        return gy_error_set(error, GY_ENOFILE,
                            "cannot listen on %s: out of file descriptors. Raise the limit: ulimit "
                            "-n, or LimitNOFILE= of the service%s",
                            text, cause == ENFILE ? "; fs.file-max for the whole system" : "");
    default:
        break;
    }
    return gy_error_set(error, gy_error_from_errno(cause), "cannot listen on %s: %s", text,
                        strerror(cause));
}

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool set_listening(int fd, const struct gy_listen_options *options)
{
    int backlog =
        options->backlog == 0 || options->backlog > INT_MAX ? INT_MAX : (int)options->backlog;
    int defer = options->defer_accept_s > INT_MAX ? INT_MAX : (int)options->defer_accept_s;
    return (defer <= 0 || set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, defer)) &&
           set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) && listen(fd, backlog) == 0;
}

/*
 * Opens one socket. The first one of an address binds and listens without SO_REUSEPORT: the kernel
 * grants that to nobody while another socket listens there, whatever options that one has, and
 * checks again in listen(2), so of two processes in a race just one gets through. Only then
 * it is opened to the others of its kind, which join its group. For UDP, bind(2) alone decides, and
 * SO_REUSEADDR would let strangers in.
 * Returns the descriptor, or a negative errno value.
 */
static int open_one(const struct gy_address *address, const struct gy_listen_options *options,
                    bool first, bool shared)
{
    bool stream = !options->datagrams;
    int kind = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC;
    int fd = socket(address->any.sa_family, kind | (options->nonblocking ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -errno;
    if ((is_v6(address) && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !address->every)) ||
        (stream && (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
                    !set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, GY_ADDRESS_UNSENT_BYTES))) ||
        (!first && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
        bind(fd, &address->any, address->length) != 0 || (stream && !set_listening(fd, options)) ||
        (first && shared && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1))) {
        int cause = errno;
        close(fd);
        return -cause;
    }
    return fd;
}

/*
 * Opens the first socket, again if need be. Of two that listen at the very same moment the kernel
 * may refuse both, each for the sake of the other: after pauses of different lengths one of them
 * gets the port. Where a server listens already this only delays the bad news by some milliseconds.
 */
static int claim(const struct gy_address *address, const struct gy_listen_options *options,
                 bool shared)
{
    int fd = open_one(address, options, true, shared);
    for (int i = 0; fd == -EADDRINUSE && gy_address_port(address) != 0 && i < CLAIM_TRIES; i++) {
        uint16_t random = 0;
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
            random = (uint16_t)getpid();
        usleep(random % CLAIM_PAUSE_US);
        fd = open_one(address, options, true, shared);
    }
    return fd;
}

/* The first socket; IPv4 alone where ":PORT" finds no IPv6. `address` becomes what was bound. */
static int open_first(struct gy_address *address, const struct gy_listen_options *options,
                      bool shared)
{
    int fd = claim(address, options, shared);
    if (address->every && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
        uint16_t port = gy_address_port(address);
        set_v4(address, (struct in_addr){.s_addr = htonl(INADDR_ANY)});
        gy_address_set_port(address, port);
        fd = claim(address, options, shared);
    }
    if (fd >= 0 && gy_address_port(address) == 0) {
        struct gy_address bound = {0};
        int result = gy_address_of_socket(&bound, fd);
        gy_assert(result == 0);
        gy_address_set_port(address, gy_address_port(&bound));
        gy_assert(gy_address_port(address) != 0);
    }
    return fd;
}

/* One more socket beside the first. A second server that starts at this very moment has bound the
 * port without being able to listen; it goes away by itself, so it is waited for, briefly. */
static int open_next(const struct gy_address *address, const struct gy_listen_options *options)
{
    int fd = open_one(address, options, false, true);
    for (int i = 0; fd == -EADDRINUSE && i < JOIN_TRIES; i++) {
        usleep(JOIN_PAUSE_US);
        fd = open_one(address, options, false, true);
    }
    return fd;
}

int gy_address_listen(const struct gy_address *address, unsigned count, int fds[],
                      const struct gy_listen_options *options, struct gy_error *error)
{
    static const struct gy_listen_options defaults;
    gy_assert(address != NULL);
    gy_assert(fds != NULL);
    gy_assert(count >= 1 && count <= GY_ADDRESS_LISTEN_LIMIT);
    if (options == NULL)
        options = &defaults;
    int opened[GY_ADDRESS_LISTEN_LIMIT] = {-1};
    struct gy_address bound = *address;
    unsigned done;
    for (done = 0; done < count; done++) {
        int fd = done == 0 ? open_first(&bound, options, count > 1) : open_next(&bound, options);
        if (fd < 0) {
            while (done > 0)
                close(opened[--done]);
            return explain(address, -fd, options->datagrams, error);
        }
        opened[done] = fd;
    }
    memcpy(fds, opened, count * sizeof(*fds));
    return 0;
}
