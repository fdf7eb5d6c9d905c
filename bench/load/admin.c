/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/load/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (1u << 20) /* some dozen kibibytes a server of one worker */
#define PATIENCE_S       2

static bool ends_with(const char *name, size_t length, const char *end)
{
    size_t tail = strlen(end);
    return length >= tail && memcmp(name + length - tail, end, tail) == 0;
}

static bool is_metric(const char *name, size_t length, const char *metric)
{
    return metric[0] == '_' ? ends_with(name, length, metric)
                            : length == strlen(metric) && memcmp(name, metric, length) == 0;
}

static void add_metric(struct gy_load_counters *counters, const char *name, size_t length,
                       double value)
{
    if (is_metric(name, length, "gyre_generation")) {
        counters->generation = value;
        counters->known = true;
    } else if (is_metric(name, length, "process_cpu_seconds_total")) {
        counters->cpu_s += value;
    }
#define GY_LOAD_COUNTER_ADD(field, metric)                                                         \
    if (is_metric(name, length, metric)) {                                                         \
        counters->field += value;                                                                  \
    }
    GY_LOAD_COUNTERS(GY_LOAD_COUNTER_ADD)
#undef GY_LOAD_COUNTER_ADD
}

/* Prometheus' text: `name value` and `name{label="…"} value`, a line each; our labels hold neither
 * spaces nor braces. */
int gy_load_admin_parse(const char *text, struct gy_load_counters *counters)
{
    *counters = (struct gy_load_counters){0};
    for (const char *line = text; *line != '\0';) {
        size_t bytes = strcspn(line, "\n");
        size_t name = strcspn(line, "{ \n");
        const char *space = memchr(line, ' ', bytes);
        if (line[0] != '#' && space != NULL) {
            add_metric(counters, line, name, strtod(space + 1, NULL));
        }
        line += bytes + (line[bytes] == '\n');
    }
    return counters->known ? 0 : GY_EINVAL;
}

static int connect_to(const struct gy_address *address)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    /* SO_SNDTIMEO holds for connecting, too (socket(7)). */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, &address->any, address->length) != 0) {
        int error = errno;
        close(fd);
        errno = error == EINPROGRESS ? ETIMEDOUT : error;
        return -1;
    }
    return fd;
}

/* The whole answer, zero-terminated, to be freed; NULL with errno. */
static char *fetch(int fd)
{
    static const char request[] =
        "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    char *answer = malloc(ANSWER_BYTES_MAX);
    size_t fill = 0;
    if (answer == NULL || send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) {
        free(answer);
        return NULL;
    }
    while (fill < ANSWER_BYTES_MAX - 1) {
        ssize_t got = recv(fd, answer + fill, ANSWER_BYTES_MAX - 1 - fill, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int error = errno;
            free(answer);
            errno = error == EAGAIN ? ETIMEDOUT : error;
            return NULL;
        }
        if (got == 0) {
            break;
        }
        fill += (size_t)got;
    }
    answer[fill] = '\0';
    return answer;
}

int gy_load_admin_read(const struct gy_address *address, struct gy_load_counters *counters,
                       struct gy_error *error)
{
    char name[GY_ADDRESS_TEXT_BYTES];
    gy_address_format(address, name, sizeof name);
    *counters = (struct gy_load_counters){0};
    int fd = connect_to(address);
    if (fd < 0) {
        return gy_error_set(
            error, gy_error_from_errno(errno),
            "--server-admin %s: connecting: %s; was the server started with --admin "
            "%s, and may this host reach it?",
            name, strerror(errno), name);
    }
    char *answer = fetch(fd);
    int failed = errno;
    close(fd);
    if (answer == NULL) {
        return gy_error_set(error, gy_error_from_errno(failed),
                            "--server-admin %s: reading /metrics: %s", name, strerror(failed));
    }
    const char *body = strstr(answer, "\r\n\r\n");
    int code = strncmp(answer, "HTTP/1.1 200 ", 13) == 0 && body != NULL
                   ? gy_load_admin_parse(body + 4, counters)
                   : GY_EINVAL;
    free(answer);
    return code == 0
               ? 0
               : gy_error_set(error, code,
                              "--server-admin %s: what answers there is not an admin listener "
                              "of gyre",
                              name);
}

struct gy_load_counters gy_load_counters_between(const struct gy_load_counters *from,
                                                 const struct gy_load_counters *until)
{
    struct gy_load_counters found = {0};
    if (!from->known || !until->known || from->generation != until->generation) {
        return found;
    }
    found.known = true;
    found.generation = until->generation;
    found.cpu_s = until->cpu_s - from->cpu_s;
#define GY_LOAD_COUNTER_LESS(name, metric) found.name = until->name - from->name;
    GY_LOAD_COUNTERS(GY_LOAD_COUNTER_LESS)
#undef GY_LOAD_COUNTER_LESS
    return found;
}
