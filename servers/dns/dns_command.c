/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/dns/dns_command.h"

#include <stdio.h>
#include <string.h>

#include "core/address.h"
#include "protocols/dns/name.h"
#include "servers/dns/dns_kind.h"
#include "servers/plan_command.h"

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
static int own_flag(void *own, int argc, char **argv, int *index, struct gy_error *error)
{
    struct gy_dns_flags *flags = own;
    static const char *const names[] = {"--zone", "--tls", "--listen-tls"};
    if (strcmp(argv[*index], "--trains") == 0) {
        flags->trains = true;
        return 1;
    }
    const char *value = NULL;
    size_t which = 0;
    while (which < 3 && (value = gy_plan_command_value(names[which], argc, argv, index)) == NULL) {
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

/* What does not go together. -1: go on; otherwise the exit status. */
static int check_flags(const struct gy_plan_flags *flags)
{
    const struct gy_dns_flags *dns = flags->dns;
    if (dns->tls_address_count > 0 && dns->tls == NULL) {
        return gy_plan_command_misused(
            "dns", "--listen-tls %s: there is no TLS without a certificate: --tls FILE",
            dns->tls_addresses[0]);
    }
    if (dns->zone_count == 0 && flags->config == NULL) {
        return gy_plan_command_misused("dns", "--zone NAME=FILE is needed");
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
    const struct gy_plan_command command = {"dns", help, own_flag, &dns};
    int status = gy_plan_command_read(&command, &flags, argc, argv);
    status = status < 0 ? check_flags(&flags) : status;
    return status >= 0 ? status : gy_plan_command_serve(&flags, listening);
}
