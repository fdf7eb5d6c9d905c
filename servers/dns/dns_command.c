/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_command.h"

#include <stdio.h>
#include <string.h>

#include "servers/dns/dns_kind.h"
#include "servers/plan.h"
#include "servers/serve.h"

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre dns --zone NAME=FILE [FLAGS]\n"
        "An authoritative name server, over UDP and TCP, for zones in zone files.\n\n"
        "  gyre dns --zone example.com=example.com.zone     on 127.0.0.1:5300\n"
        "  gyre dns --listen :53 --user nobody --zone example.com=example.com.zone\n"
        "  gyre dns --check --zone example.com=example.com.zone\n\n"
        "  --zone NAME=FILE        answer for NAME, from FILE; may be repeated\n"
        "  --trains                for clients that send many datagrams at a time (UDP GRO and\n"
        "                          GSO)\n"
        "%s%s"
        "\nSIGHUP reads the zones that have changed and loses no query; a zone that is wrong is "
        "said\n"
        "to be, and stays as it was. Keys, transfers and secondary zones: in a file, --config "
        "FILE.\n",
        gy_plan_flags_help, gy_serve_flags_help);
}

/* 1: taken; 0: not one of these; negative: GY_EINVAL. */
static int own_flag(struct gy_dns_flags *flags, int argc, char **argv, int *index,
                    struct gy_error *error)
{
    const char *argument = argv[*index];
    const char *value = NULL;
    if (strcmp(argument, "--trains") == 0) {
        flags->trains = true;
        return 1;
    }
    if (strncmp(argument, "--zone=", 7) == 0) {
        value = argument + 7;
    } else if (strcmp(argument, "--zone") != 0) {
        return 0;
    } else if (*index + 1 < argc) {
        value = argv[++*index];
    } else {
        return gy_error_set(error, GY_EINVAL, "--zone needs a value");
    }
    if (flags->zone_count == GY_DNS_FLAG_ZONES_MAX) {
        return gy_error_set(error, GY_EINVAL, "--zone %s: more than %d; a file has room for more",
                            value, GY_DNS_FLAG_ZONES_MAX);
    }
    flags->zones[flags->zone_count++] = value;
    return 1;
}

/* -1: go on; otherwise the exit status. */
static int read_flags(struct gy_plan_flags *flags, struct gy_dns_flags *dns, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct gy_error error = {0};
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            help(stdout);
            return 0;
        }
        int taken = own_flag(dns, argc, argv, &i, &error);
        if (taken == 0) {
            taken = gy_plan_flag(flags, argc, argv, &i, &error);
        }
        if (taken <= 0) {
            fprintf(stderr, "gyre dns: %s%s\nTry `gyre dns --help`.\n",
                    taken < 0 ? error.message : "unknown flag or argument ",
                    taken < 0 ? "" : argument);
            return 2;
        }
    }
    if (dns->zone_count == 0 && flags->config == NULL) {
        fprintf(stderr, "gyre dns: --zone NAME=FILE is needed\nTry `gyre dns --help`.\n");
        return 2;
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

int gy_dns_main(int argc, char **argv)
{
    static struct gy_dns_flags dns; /* SIGHUP reads them again */
    struct gy_plan_flags flags = {.dns = &dns};
    int status = read_flags(&flags, &dns, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (flags.check) {
        return gy_plan_check(&flags);
    }
    struct gy_serve_hooks hooks = {
        .listening = listening, .make = gy_plan_make, .make_context = &flags};
    return gy_serve(&hooks);
}
