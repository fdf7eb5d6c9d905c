/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/address.h"

/* Rings, eventfds and files of a thread. */
#define DESCRIPTORS_APART 16

int gy_load_source_add(struct gy_load_options *options, const char *value, struct gy_error *error)
{
    char text[GY_ADDRESS_TEXT_BYTES];
    bool bare = strchr(value, ':') != NULL && value[0] != '[';
    int length = snprintf(text, sizeof text, bare ? "[%s]:0" : "%s:0", value);
    if (options->source_count == GY_LOAD_SOURCES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "--source %s: at most %d addresses", value,
                            GY_LOAD_SOURCES_MAX);
    }
    struct gy_address *source = &options->sources[options->source_count];
    if (length < 0 || (size_t)length >= sizeof text || gy_address_parse(source, text, NULL) != 0 ||
        source->every) {
        return gy_error_set(error, GY_EINVAL,
                            "--source %s: not an address of this host without a port, such as "
                            "127.0.0.2",
                            value);
    }
    options->source_count++;
    return 0;
}

int gy_load_source_check(const struct gy_load_options *options, struct gy_error *error)
{
    if (options->source_count > 0 && options->protocol != NULL && options->protocol->datagrams) {
        return gy_error_set(error, GY_EINVAL, "--source is for connections over TCP");
    }
    return 0;
}

const struct gy_address *gy_load_source(const struct gy_load_options *options, uint32_t thread,
                                        uint64_t number)
{
    return options->source_count == 0
               ? NULL
               : &options->sources[(thread + number) % options->source_count];
}

uint32_t gy_load_local_ports(void)
{
    unsigned from, to;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    bool read = file != NULL && fscanf(file, "%u %u", &from, &to) == 2 && to >= from;
    if (file != NULL) {
        fclose(file);
    }
    return read ? to - from + 1 : 0;
}

const char *gy_load_source_example(const struct gy_load_options *options)
{
    const struct gy_address *address = &options->address;
    bool loopback = address->any.sa_family == AF_INET &&
                    ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return loopback ? ", such as --source 127.0.0.2 --source 127.0.0.3" : "";
}

int gy_load_check_ports(const struct gy_load_options *options, struct gy_error *error)
{
    uint64_t ports = gy_load_local_ports();
    uint32_t sources = options->source_count > 0 ? options->source_count : 1;
    if (options->protocol->datagrams || ports == 0 || options->connections <= ports * sources) {
        return 0;
    }
    return gy_error_set(error, GY_ELIMIT,
                        "making %u connections: an address has %llu ports for one server "
                        "(net.ipv4.ip_local_port_range), and %u would be needed; come from more of "
                        "them with --source, repeated%s",
                        options->connections, (unsigned long long)ports,
                        (unsigned)((options->connections + ports - 1) / ports),
                        gy_load_source_example(options));
}

int gy_load_make_room(const struct gy_load_options *options, uint32_t connections,
                      struct gy_error *error)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return 0;
    }
    unsigned long long files = limit.rlim_cur;
    if ((uint64_t)connections + DESCRIPTORS_APART > files) {
        return gy_error_set(error, GY_ENOFILE,
                            "making %u connections in %u thread%s: a thread may open %llu files "
                            "here; raise `ulimit -n`%s",
                            options->connections, options->threads, options->threads > 1 ? "s" : "",
                            files, options->broadcast ? "" : ", or use more --threads");
    }
    if ((uint64_t)options->connections + (uint64_t)DESCRIPTORS_APART * options->threads <= files) {
        return 0;
    }
    if (unshare(CLONE_FILES) != 0) {
        return gy_error_set(error, GY_ENOFILE,
                            "making %u connections: %llu files may be open, and the kernel gave "
                            "a thread no table of its own: %s; raise `ulimit -n`",
                            options->connections, files, strerror(errno));
    }
    return 0;
}
