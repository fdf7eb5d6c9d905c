/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * SRT over a path, see path.h, reliable and in order, with buffers and a window that hold no load
 * back, in that of its modes which is better: live mode, not giving up what is late and not
 * waiting with what is early; file mode for what does not fit a packet and for `--ping`, where
 * live mode is slower still: a message is handed over with an acknowledgement, which the library
 * sends every 10 ms or 64 packets. It has threads of its own; what they use counts.
 */

#include <netinet/in.h>
#include <srt/srt.h>

#include "bench/path/path.h"

#define WINDOW_PACKETS 65536
#define BUFFER         (64 << 20)
#define MESSAGE_MAX    65536
#define LIVE_MAX       1456 /* bytes of a message in live mode: one packet */

static void must(int result, const char *doing)
{
    if (result == SRT_ERROR) {
        fprintf(stderr, "path-srt: %s: %s\n", doing, srt_getlasterror_str());
        exit(1);
    }
}

static SRTSOCKET open_socket(const struct path_flags *flags)
{
    SRTSOCKET made = srt_create_socket();
    bool file = flags->ping || flags->bytes > LIVE_MAX;
    const struct linger linger = {0}; /* of closing: drain() has waited */
    int type = file ? SRTT_FILE : SRTT_LIVE, on = 1, off = 0, live_max = LIVE_MAX;
    int packets = WINDOW_PACKETS, bytes = BUFFER, of_udp = BUFFER / 8;
    int wait_ms = (int)(flags->seconds * 1000) + (flags->serve ? 30000 : 3000);
    const struct {
        SRT_SOCKOPT option;
        const int *value;
    } both[] = {{SRTO_TRANSTYPE, &type},  {SRTO_FC, &packets},        {SRTO_SNDBUF, &bytes},
                {SRTO_RCVBUF, &bytes},    {SRTO_UDP_SNDBUF, &of_udp}, {SRTO_UDP_RCVBUF, &of_udp},
                {SRTO_RCVTIMEO, &wait_ms}},
      own[2][3] = {{{SRTO_TSBPDMODE, &off}, {SRTO_TLPKTDROP, &off}, {SRTO_PAYLOADSIZE, &live_max}},
                   {{SRTO_MESSAGEAPI, &on}, {SRTO_TSBPDMODE, &off}, {SRTO_TLPKTDROP, &off}}};
    must(made, "making a socket");
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        must(srt_setsockflag(made, both[i].option, both[i].value, sizeof(int)),
             "setting an option");
    }
    for (size_t i = 0; i < sizeof own[0] / sizeof own[0][0]; i++) {
        must(srt_setsockflag(made, own[file][i].option, own[file][i].value, sizeof(int)),
             "setting an option of the mode");
    }
    must(srt_setsockflag(made, SRTO_LINGER, &linger, sizeof linger), "setting the linger time");
    return made;
}

static void serve(const struct path_flags *flags, const struct sockaddr_in *where,
                  struct path_report *report)
{
    static char data[MESSAGE_MAX];
    SRTSOCKET listener = open_socket(flags);
    must(srt_bind(listener, (const struct sockaddr *)where, sizeof *where), "binding the port");
    must(srt_listen(listener, 1), "listening");
    SRTSOCKET from = srt_accept(listener, NULL, NULL);
    must(from, "accepting");
    for (;;) {
        int bytes = srt_recvmsg(from, data, sizeof data);
        if (bytes <= 0) {
            break; /* the client has gone, or nothing came */
        }
        path_received(report, (const uint8_t *)data, (size_t)bytes);
        if (flags->ping && srt_sendmsg(from, data, bytes, -1, 1) == SRT_ERROR) {
            break;
        }
    }
    path_report_print(report);
    srt_close(from);
    srt_close(listener);
}

static void wait_for(const struct path_flags *flags, uint64_t begun_ns, uint64_t number)
{
    uint64_t due_ns = begun_ns + (uint64_t)((double)number / flags->rate * 1e9);
    struct timespec until = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/*
 * Until all is acknowledged, for 5 s at most; and then a moment, since the other end forgets what
 * it has not handed over yet when the connection ends.
 */
static void drain(SRTSOCKET to)
{
    const struct timespec nap = {0, 2000000}, moment = {0, 300000000};
    size_t blocks = 1;
    for (int i = 0; i < 2500 && srt_getsndbuffer(to, &blocks, NULL) != SRT_ERROR && blocks > 0;
         i++) {
        nanosleep(&nap, NULL);
    }
    nanosleep(&moment, NULL);
}

static void client(const struct path_flags *flags, const struct sockaddr_in *where,
                   struct path_report *report)
{
    static char data[MESSAGE_MAX];
    SRTSOCKET to = open_socket(flags);
    must(srt_connect(to, (const struct sockaddr *)where, sizeof *where), "connecting");
    uint64_t sent = 0, begun_ns = path_now_ns();
    uint64_t end_ns = begun_ns + (uint64_t)(flags->seconds * 1e9);
    while (path_now_ns() < end_ns) {
        if (!flags->ping && flags->rate > 0) {
            wait_for(flags, begun_ns, sent + 1);
        }
        path_message_fill((uint8_t *)data, sent);
        must(srt_sendmsg(to, data, (int)flags->bytes, -1, 1), "sending");
        sent++;
        if (flags->ping) {
            int bytes = srt_recvmsg(to, data, sizeof data);
            must(bytes, "waiting for an echo");
            path_received(report, (const uint8_t *)data, (size_t)bytes);
        }
    }
    drain(to);
    path_sent_print(sent, report);
    srt_close(to);
}

int main(int argc, char **argv)
{
    struct path_flags flags;
    struct path_report report = {.delays_ns = malloc(PATH_DELAYS_MAX * sizeof(uint64_t))};
    char version[32];
    uint32_t linked = srt_getversion();
    snprintf(version, sizeof version, "SRT %u.%u.%u", linked >> 16, linked >> 8 & 255,
             linked & 255);
    path_flags_read(&flags, argc, argv, version);
    srt_setloglevel(2); /* critical: it warns of its own state */
    if (report.delays_ns == NULL || srt_startup() == SRT_ERROR) {
        fprintf(stderr, "path-srt: the library does not start\n");
        free(report.delays_ns);
        return 1;
    }
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons(flags.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (flags.serve) {
        serve(&flags, &where, &report);
    } else {
        client(&flags, &where, &report);
    }
    srt_cleanup();
    free(report.delays_ns);
    return 0;
}
