/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The stub resolver's names: those that are known, and those that are asked for. */

#include <string.h>

#include "protocols/dns/stub_internal.h"

/* What can be a host: no blanks, no escapes, nothing that is not ASCII (names in other scripts are
 * asked for in their xn-- form). */
static bool is_host(const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c <= ' ' || c >= 0x7f || strchr("\\\"@$();/:", c) != NULL) {
            return false;
        }
    }
    return bytes > 0;
}

/* Whether the name is `zone` or in it. */
static bool is_in(const char *name, size_t bytes, const char *zone)
{
    size_t length = strlen(zone);
    bytes -= bytes > 0 && name[bytes - 1] == '.';
    if (bytes < length || (bytes > length && name[bytes - length - 1] != '.')) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if ((name[bytes - length + i] | 0x20) != zone[i]) {
            return false;
        }
    }
    return true;
}

enum gy_dns_stub_result stub_known(const struct gy_dns_stub *stub, const char *name,
                                   struct gy_dns_lookup *lookup)
{
    size_t bytes = strlen(name);
    uint8_t wire[GY_DNS_NAME_MAX];
    if (bytes >= GY_DNS_NAME_MAX || !is_host(name, bytes) ||
        gy_dns_name_from_text(name, bytes, NULL, wire, NULL) < 2) {
        return GY_DNS_STUB_BAD_NAME;
    }
    lookup->count = gy_dns_hosts_find(stub->options.hosts, stub->options.hosts_bytes, name,
                                      lookup->addresses, GY_DNS_STUB_ADDRESSES);
    if (lookup->count > 0) {
        return GY_DNS_STUB_FOUND;
    }
    if (is_in(name, bytes, "localhost")) {
        lookup->addresses[0] = (struct gy_dns_address){.bytes = {[15] = 1}, .length = 16};
        lookup->addresses[1] = (struct gy_dns_address){.bytes = {127, 0, 0, 1}, .length = 4};
        lookup->count = 2;
        return GY_DNS_STUB_FOUND;
    }
    return is_in(name, bytes, "invalid") || is_in(name, bytes, "onion") ? GY_DNS_STUB_NO_NAME
                                                                        : GY_DNS_STUB_PENDING;
}

const char *gy_dns_stub_reason(enum gy_dns_stub_result result)
{
    switch (result) {
    case GY_DNS_STUB_NO_NAME:
        return "there is no such name";
    case GY_DNS_STUB_NO_ADDRESS:
        return "the name has no IPv4 or IPv6 address";
    case GY_DNS_STUB_FAILED:
        return "the name servers could not say";
    case GY_DNS_STUB_SILENT:
        return "no name server answered; see /etc/resolv.conf";
    case GY_DNS_STUB_BAD_NAME:
        return "not the name of a host";
    case GY_DNS_STUB_PENDING:
    case GY_DNS_STUB_FOUND:
        break;
    }
    return "";
}
