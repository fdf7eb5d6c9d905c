/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_command.h"

#include <stdio.h>
#include <string.h>

#include "core/address.h"
#include "core/usage.h"
#include "protocols/dns/name.h"
#include "servers/dns/dns_kind.h"
#include "servers/plan.h"
#include "servers/serve.h"

static void help(FILE *out)
{
    fprintf(
        out,
        "Usage: gyre dns --zone NAME=FILE [FLAGS]\n"
        "An authoritative name server, over UDP, TCP and TLS, for zones in zone files.\n\n"
        "  gyre dns --zone example.com=example.com.zone     on 127.0.0.1:5300\n"
        "  gyre dns --listen :53 --user nobody --zone example.com=example.com.zone\n"
        "  gyre dns --check --zone example.com=example.com.zone\n\n"
        "  --zone NAME=FILE        answer for NAME, from FILE; may be repeated\n"
        "  --tls FILE[,KEY]        DNS over TLS with this certificate (see `gyre cert`)\n"
        "  --listen-tls ADDRESS    where; may be repeated (default: " GY_DNS_TLS_ADDRESS ")\n"
        "  --trains                for clients that send many datagrams at a time (UDP GRO and\n"
        "                          GSO)\n"
        "%s%s%s"
        "\nSIGHUP reads the zones that have changed and loses no query; a zone that is wrong is "
        "said\n"
        "to be, and stays as it was. Keys, transfers and secondary zones: in a file, --config "
        "FILE.\n",
        gy_plan_flags_help, gy_serve_flags_help, gy_serve_admin_help);
}

/* The value of a flag, if that is what argv[*index] is: "--name=VALUE" or "--name VALUE". NULL: it
 * is not; "": the value is missing. */
static const char *value_of(const char *name, int argc, char **argv, int *index)
{
    const char *argument = argv[*index];
    size_t length = strlen(name);
    gy_assert(argument != NULL);
    if (strncmp(argument, name, length) != 0 ||
        (argument[length] != '=' && argument[length] != '\0')) {
        return NULL;
    }
    if (argument[length] == '=') {
        return argument + length + 1;
    }
    return *index + 1 < argc ? argv[++*index] : "";
}

static int take_tls_address(struct gy_dns_flags *flags, const char *value, struct gy_error *error)
{
    struct gy_address address;
    struct gy_error why = {0};
    if (gy_address_parse(&address, value, &why) != 0) {
        return gy_error_set(error, GY_EINVAL, "--listen-tls %s: %s", value, why.message);
    }
    if (flags->tls_address_count == GY_DNS_FLAG_TLS_MAX) {
        return gy_error_set(error, GY_EINVAL, "--listen-tls %s: more than %d", value,
                            GY_DNS_FLAG_TLS_MAX);
    }
    flags->tls_addresses[flags->tls_address_count++] = value;
    return 1;
}

static int take_zone(struct gy_dns_flags *flags, const char *value, struct gy_error *error)
{
    uint8_t name[GY_DNS_NAME_MAX];
    const char *why = NULL;
    const char *equals = strchr(value, '=');
    if (flags->zone_count == GY_DNS_FLAG_ZONES_MAX) {
        return gy_error_set(error, GY_EINVAL, "--zone %s: more than %d; a file has room for more",
                            value, GY_DNS_FLAG_ZONES_MAX);
    }
    if (equals == NULL || equals == value || equals[1] == '\0') {
        return gy_error_set(error, GY_EINVAL,
                            "--zone %s: write the zone's name, =, and its file: "
                            "--zone example.com=example.com.zone",
                            value);
    }
    if (gy_dns_name_from_text(value, (size_t)(equals - value), NULL, name, &why) < 0) {
        return gy_error_set(error, GY_EINVAL, "--zone %s: %.*s is no name of a zone: %s", value,
                            (int)(equals - value), value, why);
    }
    flags->zones[flags->zone_count++] = value;
    return 1;
}

/* 1: taken; 0: not one of these; negative: GY_EINVAL. */
static int own_flag(struct gy_dns_flags *flags, int argc, char **argv, int *index,
                    struct gy_error *error)
{
    static const char *const names[] = {"--zone", "--tls", "--listen-tls"};
    if (strcmp(argv[*index], "--trains") == 0) {
        flags->trains = true;
        return 1;
    }
    const char *value = NULL;
    size_t which = 0;
    while (which < 3 && (value = value_of(names[which], argc, argv, index)) == NULL) {
        which++;
    }
    if (value == NULL) {
        return 0;
    }
    if (value[0] == '\0') {
        return gy_error_set(error, GY_EINVAL, "%s needs a value", names[which]);
    }
    if (which == 1) {
        flags->tls = value;
        return 1;
    }
    if (which == 2) {
        return take_tls_address(flags, value, error);
    }
    return take_zone(flags, value, error);
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
            char hint[GY_USAGE_HINT_BYTES];
            fprintf(stderr, "gyre dns: %s%s%s\nTry `gyre dns --help`.\n",
                    taken < 0 ? error.message : "unknown flag or argument ",
                    taken < 0 ? "" : argument,
                    taken < 0 ? "" : gy_usage_hint(hint, argument, help));
            return 2;
        }
    }
    if (dns->tls_address_count > 0 && dns->tls == NULL) {
        fprintf(stderr,
                "gyre dns: --listen-tls %s: there is no TLS without a certificate: --tls "
                "FILE\nTry `gyre dns --help`.\n",
                dns->tls_addresses[0]);
        return 2;
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
               places[i].datagrams ? "UDP"
               : places[i].secure  ? "TLS"
                                   : "TCP",
               places[i].address, workers, workers == 1 ? "" : "s");
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
