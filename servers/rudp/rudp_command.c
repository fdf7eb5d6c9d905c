/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/rudp/rudp_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/rudp/forward_command.h"
#include "clients/rudp/ping_command.h"
#include "clients/rudp/sim_command.h"
#include "clients/rudp/transfer_command.h"
#include "core/number.h"
#include "core/usage.h"
#include "protocols/drop/drop.h"
#include "protocols/rudp/rudp.h"
#include "servers/plan_command.h"
#include "servers/rudp/rudp_kind.h"

static void help(FILE *out)
{
    fprintf(out, "Usage: gyre rudp COMMAND\n"
                 "Reliable UDP: messages whose guarantees are chosen one by one.\n\n"
                 "  gyre cert                            a certificate for development\n"
                 "  gyre rudp serve --echo --tls localhost.pem    on 127.0.0.1:7117\n"
                 "  gyre rudp ping localhost:7117 --ca authority.pem\n\n"
                 "Commands:\n"
                 "  serve     a server: for files, or that sends messages back, or takes them all\n"
                 "  send      files to such a server\n"
                 "  recv      files from such a server\n"
                 "  forward   TCP connections to such a server, which connects them to its target\n"
                 "  ping      how long messages take to such a server and back, by guarantee\n"
                 "  sim       what it makes of a path of given delay, loss and rate, as a plot\n\n"
                 "`gyre rudp COMMAND --help` tells more.\n");
}

static void serve_help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre rudp serve --echo | --sink | --drop DIR | --share DIR | --relay HOST:PORT "
        "[FLAGS]\n"
        "A reliable-UDP server: for files, and for what `gyre rudp ping` and gyre-load measure.\n\n"
        "  gyre rudp serve --drop incoming --tls localhost.pem    on 127.0.0.1:7117\n"
        "  gyre rudp serve --echo --tls localhost.pem\n"
        "  gyre rudp serve --sink --plaintext --listen :7117 --workers 2\n\n"
        "  --echo                  send every message back, with its guarantee\n"
        "  --sink                  take them all\n"
        "  --drop DIR              put what `gyre rudp send` sends into that directory\n"
        "  --share DIR             give what `gyre rudp recv` asks for of that one\n"
        "  --relay HOST:PORT       connect what `gyre rudp forward` carries to that, by TCP\n"
        "  --max-file BYTES        take no longer files (default: 1t); 10k, 5m, 2g\n"
        "  --keep-free BYTES       leave so many free on the disk (default: 64m)\n"
        "  --replace               let clients replace files\n"
        "  --tls FILE[,KEY]        encrypted, with this certificate (see `gyre cert`)\n"
        "  --plaintext             without encryption: whoever sees the packets can read and\n"
        "                          forge them. For benchmarks, on a network of your own\n"
        "  --datagram BYTES        of the longest datagram sent at first (default: 1200)\n"
        "  --congestion NAME       cubic or bbr (default: cubic)\n"
        "  --fec PACKETS           one repair for so many: 2 to 16 (default: none)\n"
        "  --qlog DIR              a qlog file there for each connection\n"
        "%s%s%s",
        gy_plan_flags_help, gy_serve_flags_help, gy_serve_admin_help);
}

static int read_datagram(struct gy_rudp_flags *rudp, const char *text, struct gy_error *error)
{
    uint64_t bytes;
    if (!gy_number_read(text, GY_RUDP_DATAGRAM_MIN, GY_RUDP_DATAGRAM_MAX, &bytes)) {
        return gy_error_set(error, GY_EINVAL, "--datagram %s: not a number from %d to %d",
                            text != NULL ? text : "", GY_RUDP_DATAGRAM_MIN, GY_RUDP_DATAGRAM_MAX);
    }
    rudp->datagram_bytes = (uint32_t)bytes;
    return 1;
}

/* The flags of congestion control, repairs and qlog. As own_flag(). */
static int path_flag(struct gy_rudp_flags *rudp, int argc, char **argv, int *index,
                     struct gy_error *error)
{
    const char *name = argv[*index], *value = *index + 1 < argc ? argv[*index + 1] : NULL;
    if (strcmp(name, "--qlog") != 0 && strcmp(name, "--congestion") != 0 &&
        strcmp(name, "--fec") != 0) {
        return 0;
    }
    if (value == NULL) {
        return gy_error_set(error, GY_EINVAL, "%s needs a value", name);
    }
    if (strcmp(name, "--qlog") == 0) {
        rudp->qlog = value;
    } else if (strcmp(name, "--congestion") == 0) {
        if (strcmp(value, "bbr") != 0 && strcmp(value, "cubic") != 0) {
            return gy_error_set(error, GY_EINVAL, "--congestion %.64s: not bbr or cubic", value);
        }
        rudp->congestion = value;
    } else {
        uint64_t packets;
        if (!gy_number_read(value, 2, GY_RUDP_FEC_PACKETS_MAX, &packets)) {
            return gy_error_set(error, GY_EINVAL, "--fec %.64s: not a number from 2 to %d", value,
                                GY_RUDP_FEC_PACKETS_MAX);
        }
        rudp->fec_packets = (uint32_t)packets;
    }
    ++*index;
    return 1;
}

/* "512", "16k", "10g": bytes. */
static int read_bytes(const char *flag, const char *text, uint64_t *bytes, struct gy_error *error)
{
    static const char units[] = "kmgt";
    char *end = NULL;
    unsigned long long number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    const char *unit = number > 0 && *end != '\0' ? strchr(units, *end) : NULL;
    unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
    bool good = number > 0 && (unit != NULL ? end[1] == '\0' : *end == '\0') &&
                number <= GY_DROP_SIZE_MAX >> shift;
    if (!good) {
        return gy_error_set(error, GY_EINVAL, "%s %.64s: no size; write it as 512, 16k, 5m or 2g",
                            flag, text);
    }
    *bytes = number << shift;
    return 1;
}

/* The flags of files. As own_flag(). */
static int files_flag(struct gy_rudp_flags *rudp, int argc, char **argv, int *index,
                      struct gy_error *error)
{
    const char *name = argv[*index], *value = *index + 1 < argc ? argv[*index + 1] : NULL;
    bool drop = strcmp(name, "--drop") == 0, share = strcmp(name, "--share") == 0;
    bool relay = strcmp(name, "--relay") == 0;
    bool max = strcmp(name, "--max-file") == 0, free = strcmp(name, "--keep-free") == 0;
    if (strcmp(name, "--replace") == 0) {
        rudp->replace = true;
        return 1;
    }
    if (!drop && !share && !relay && !max && !free) {
        return path_flag(rudp, argc, argv, index, error);
    }
    if (value == NULL || value[0] == '\0') {
        return gy_error_set(error, GY_EINVAL, "%s needs a value", name);
    }
    ++*index;
    if (drop || share || relay) {
        *(drop ? &rudp->drop : share ? &rudp->share : &rudp->relay) = value;
        return 1;
    }
    return read_bytes(name, value, max ? &rudp->max_file : &rudp->keep_free, error);
}

/* 1: taken; 0: not one of these; negative: GY_EINVAL. */
static int own_flag(void *own, int argc, char **argv, int *index, struct gy_error *error)
{
    struct gy_rudp_flags *rudp = own;
    const char *argument = argv[*index];
    if (strcmp(argument, "--echo") == 0) {
        rudp->echo = true;
    } else if (strcmp(argument, "--sink") == 0) {
        rudp->sink = true;
    } else if (strcmp(argument, "--plaintext") == 0) {
        rudp->plaintext = true;
    } else if (strcmp(argument, "--tls") == 0) {
        if (*index + 1 == argc) {
            return gy_error_set(error, GY_EINVAL, "--tls needs a value: FILE or FILE,KEY");
        }
        rudp->tls = argv[++*index];
    } else if (strcmp(argument, "--datagram") == 0) {
        return read_datagram(rudp, *index + 1 < argc ? argv[++*index] : NULL, error);
    } else {
        return files_flag(rudp, argc, argv, index, error);
    }
    return 1;
}

/* What does not go together. -1: go on; otherwise the exit status. */
static int check_flags(const struct gy_plan_flags *flags)
{
    const struct gy_rudp_flags *rudp = flags->rudp;
    bool files = rudp->drop != NULL || rudp->share != NULL;
    if (flags->config == NULL && rudp->echo + rudp->sink + files + (rudp->relay != NULL) != 1) {
        return gy_plan_command_misused(
            "rudp serve", "one of --echo, --sink, --relay and --drop or --share is needed");
    }
    return -1;
}

static void listening(void *context, const struct gy_serve_place *places, uint32_t count,
                      uint32_t workers)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++) {
        printf("gyre %s (%s): listening on %s with %u worker%s\n", places[i].server,
               places[i].datagrams ? "UDP" : "TCP", places[i].address, workers,
               workers == 1 ? "" : "s");
    }
    fflush(stdout);
}

static int serve_main(int argc, char **argv)
{
    static struct gy_rudp_flags rudp; /* SIGHUP reads them again */
    struct gy_plan_flags flags = {.rudp = &rudp};
    const struct gy_plan_command command = {"rudp serve", serve_help, own_flag, &rudp};
    int status = gy_plan_command_read(&command, &flags, argc, argv);
    status = status < 0 ? check_flags(&flags) : status;
    return status >= 0 ? status : gy_plan_command_serve(&flags, listening);
}

/* "--name=value" is two words to all commands below. What it makes is kept until the program ends,
 * as arguments are. Returns how many words there are, or -1. */
static int split_flags(int argc, char **argv, char ***split)
{
    static char **words;
    words = calloc(2 * (size_t)argc + 1, sizeof *words);
    int count = 0;
    bool flags = true;
    for (int i = 0; words != NULL && i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        flags = flags && strcmp(argv[i], "--") != 0;
        if (!flags || strncmp(argv[i], "--", 2) != 0 || equals == NULL) {
            words[count++] = argv[i];
            continue;
        }
        words[count] = strndup(argv[i], (size_t)(equals - argv[i]));
        if (words[count] == NULL) {
            return -1;
        }
        words[count + 1] = argv[i] + (equals - argv[i]) + 1;
        count += 2;
    }
    *split = words;
    return words != NULL ? count : -1;
}

int gy_rudp_main(int argc, char **argv)
{
    argc = split_flags(argc, argv, &argv);
    if (argc < 0) {
        fprintf(stderr, "gyre rudp: out of memory\n");
        return 1;
    }
    if (argc >= 2 && strcmp(argv[1], "serve") == 0) {
        return serve_main(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "ping") == 0) {
        return gy_rudp_ping_main(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "send") == 0) {
        return gy_rudp_send_main(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "recv") == 0) {
        return gy_rudp_recv_main(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "forward") == 0) {
        return gy_rudp_forward_main(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "sim") == 0) {
        return gy_rudp_sim_main(argc - 1, argv + 1);
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        help(stdout);
        return 0;
    }
    if (argc >= 2) {
        static const char *const names[] = {"serve", "send", "recv", "forward", "ping", "sim"};
        char hint[GY_USAGE_HINT_BYTES];
        fprintf(stderr, "gyre rudp: there is no command `%s`%s\nTry `gyre rudp --help`.\n", argv[1],
                gy_usage_command(hint, argv[1], names, sizeof names / sizeof names[0]));
        return 2;
    }
    help(stderr);
    return 2;
}
