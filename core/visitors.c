/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/visitors.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/number.h"

/* `held` of an entry that is being given to another address. */
#define CLAIMED UINT32_MAX

/* Looks at a set that others keep changing; each of them got what it wanted by that. */
#define ATTEMPTS 64

_Static_assert(sizeof(struct gy_visitors_entry) == 24, "a set is three lines of the cache");

/* ---- ranges ---- */

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool within(const uint8_t address[16], const struct gy_visitors_range *range)
{
    uint32_t whole = range->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> range->bits % 8);
    return memcmp(address, range->address, whole) == 0 &&
           (range->bits % 8 == 0 || ((address[whole] ^ range->address[whole]) & mask) == 0);
}

static void keep_bits(uint8_t address[16], uint32_t bits)
{
    for (uint32_t i = bits / 8; i < 16; i++) {
        address[i] &= i == bits / 8 ? (uint8_t)(0xff00 >> bits % 8) : 0;
    }
}

int gy_visitors_range_parse(struct gy_visitors_range *range, const char *text,
                            struct gy_error *error)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct gy_visitors_range made = {.bits = 128};
    bool v4 = memchr(text, ':', length) == NULL;
    if (length < sizeof address) {
        memcpy(address, text, length);
        address[length] = '\0';
    }
    if (v4) {
        memcpy(made.address, v4_prefix, sizeof v4_prefix);
    }
    if (length >= sizeof address ||
        inet_pton(v4 ? AF_INET : AF_INET6, address, made.address + (v4 ? 12 : 0)) != 1) {
        return gy_error_set(error, GY_EINVAL,
                            "%.64s is no range of addresses; write 192.0.2.0/24 or 2001:db8::/32",
                            text);
    }
    if (slash != NULL) {
        uint64_t bits;
        unsigned most = v4 ? 32 : 128;
        if (!gy_number_read(slash + 1, 0, most, &bits)) {
            return gy_error_set(error, GY_EINVAL,
                                "%.64s: what is behind / is a number from 0 to %u", text, most);
        }
        made.bits = (uint8_t)(bits + (v4 ? 96 : 0));
    }
    struct gy_visitors_range first = made;
    keep_bits(first.address, first.bits);
    if (memcmp(first.address, made.address, 16) != 0) {
        char name[INET6_ADDRSTRLEN] = "";
        inet_ntop(v4 ? AF_INET : AF_INET6, first.address + (v4 ? 12 : 0), name, sizeof name);
        return gy_error_set(error, GY_EINVAL, "%.64s is not where that range begins; write %s%s",
                            text, name, slash);
    }
    *range = made;
    return 0;
}

/* ---- set-up ---- */

size_t gy_visitors_bytes(uint32_t entries)
{
    return (size_t)entries * sizeof(struct gy_visitors_entry);
}

void gy_visitors_init(struct gy_visitors *visitors, const struct gy_visitors_options *options,
                      void *memory)
{
    gy_assert(options->entries >= GY_VISITORS_ENTRIES_MIN &&
              options->entries <= GY_VISITORS_ENTRIES_MAX &&
              (options->entries & (options->entries - 1)) == 0);
    gy_assert(options->v4_bits <= 32 && options->v6_bits <= 128);
    gy_assert(options->interval_ns == 0 || options->burst > 0);
    gy_assert(options->exempt_count <= GY_VISITORS_EXEMPT_MAX && memory != NULL);
    *visitors = (struct gy_visitors){.options = *options, .entries = memory};
}

/* ---- entries ---- */

/* The address as the table knows it. False: it is never limited. */
static bool read_address(const struct gy_visitors *visitors, int family, const void *address,
                         uint8_t key[16])
{
    const struct gy_visitors_options *options = &visitors->options;
    if (family == AF_INET) {
        memcpy(key, v4_prefix, sizeof v4_prefix);
        memcpy(key + 12, address, 4);
    } else if (family == AF_INET6) {
        memcpy(key, address, 16);
    } else {
        return false;
    }
    for (uint32_t i = 0; i < options->exempt_count; i++) {
        if (within(key, &options->exempt[i])) {
            return false;
        }
    }
    bool v4 = memcmp(key, v4_prefix, sizeof v4_prefix) == 0;
    keep_bits(key, v4 ? 96u + options->v4_bits : options->v6_bits);
    return true;
}

static struct gy_visitors_entry *find(struct gy_visitors_entry *set, uint64_t tag)
{
    for (uint32_t i = 0; i < GY_VISITORS_WAYS; i++) {
        if (atomic_load_explicit(&set[i].tag, memory_order_acquire) == tag) {
            return &set[i];
        }
    }
    return NULL;
}

/* 0, GY_ELIMIT, or GY_EAGAIN: the entry is another address's now. */
static int hold(struct gy_visitors_entry *entry, uint64_t tag, uint32_t most)
{
    uint32_t held = atomic_load_explicit(&entry->held, memory_order_relaxed);
    do {
        if (held == CLAIMED) {
            return GY_EAGAIN;
        }
        if (most != 0 && held >= most) {
            bool same = atomic_load_explicit(&entry->tag, memory_order_acquire) == tag;
            return same ? GY_ELIMIT : GY_EAGAIN;
        }
    } while (!atomic_compare_exchange_weak_explicit(&entry->held, &held, held + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (atomic_load_explicit(&entry->tag, memory_order_acquire) == tag) {
        return 0; /* and stays, as it is held */
    }
    atomic_fetch_sub_explicit(&entry->held, 1, memory_order_release);
    return GY_EAGAIN;
}

/* Of the entries that nobody holds, the one that says least. All workers choose the same, so that
 * two who want to put the same address in meet there. */
static struct gy_visitors_entry *choose(struct gy_visitors_entry *set)
{
    struct gy_visitors_entry *chosen = NULL;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < GY_VISITORS_WAYS; i++) {
        uint64_t due = atomic_load_explicit(&set[i].due_ns, memory_order_relaxed);
        if (atomic_load_explicit(&set[i].tag, memory_order_relaxed) == 0) {
            due = 0;
        }
        if (due < least && atomic_load_explicit(&set[i].held, memory_order_relaxed) == 0) {
            least = due;
            chosen = &set[i];
        }
    }
    return chosen;
}

/* Puts the address in, held once. 0, GY_EAGAIN: something changed meanwhile; GY_ENOBUFS. */
static int claim(struct gy_visitors_entry *set, uint64_t tag, struct gy_visitors_entry **claimed)
{
    struct gy_visitors_entry *entry = choose(set);
    if (entry == NULL) {
        return GY_ENOBUFS;
    }
    uint32_t held = 0;
    if (!atomic_compare_exchange_strong_explicit(&entry->held, &held, CLAIMED, memory_order_acq_rel,
                                                 memory_order_relaxed)) {
        return GY_EAGAIN;
    }
    if (find(set, tag) != NULL) { /* another worker was faster */
        atomic_store_explicit(&entry->held, 0, memory_order_release);
        return GY_EAGAIN;
    }
    /* In this order: who still has the old tag in hand charges a number that is about to go. */
    atomic_store_explicit(&entry->due_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->tag, tag, memory_order_release);
    atomic_store_explicit(&entry->held, 1, memory_order_release);
    *claimed = entry;
    return 0;
}

int gy_visitors_enter(struct gy_visitors *visitors, int family, const void *address,
                      uint32_t *visitor)
{
    uint8_t key[16];
    *visitor = GY_VISITOR_NONE;
    if (!read_address(visitors, family, address, key)) {
        return 0;
    }
    uint64_t hash = gy_siphash(&visitors->options.key, key, sizeof key);
    uint64_t tag = hash != 0 ? hash : 1;
    uint32_t sets = visitors->options.entries / GY_VISITORS_WAYS;
    struct gy_visitors_entry *set =
        visitors->entries + (size_t)(hash >> 32 & (sets - 1)) * GY_VISITORS_WAYS;
    for (uint32_t i = 0; i < ATTEMPTS; i++) {
        struct gy_visitors_entry *entry = find(set, tag);
        int code = entry != NULL ? hold(entry, tag, visitors->options.connections_max)
                                 : claim(set, tag, &entry);
        if (code == 0) {
            *visitor = (uint32_t)(entry - visitors->entries) + 1;
            return 0;
        }
        if (code != GY_EAGAIN) {
            return code;
        }
    }
    return GY_ENOBUFS;
}

void gy_visitors_leave(struct gy_visitors *visitors, uint32_t visitor)
{
    if (visitor == GY_VISITOR_NONE) {
        return;
    }
    gy_assert(visitor <= visitors->options.entries);
    uint32_t before =
        atomic_fetch_sub_explicit(&visitors->entries[visitor - 1].held, 1, memory_order_release);
    gy_assert(before > 0 && before != CLAIMED);
}

uint64_t gy_visitors_charge(struct gy_visitors *visitors, uint32_t visitor, uint64_t now_ns)
{
    const struct gy_visitors_options *options = &visitors->options;
    if (visitor == GY_VISITOR_NONE || options->interval_ns == 0) {
        return 0;
    }
    gy_assert(visitor <= options->entries);
    _Atomic uint64_t *due_ns = &visitors->entries[visitor - 1].due_ns;
    uint64_t due = atomic_load_explicit(due_ns, memory_order_relaxed);
    uint64_t next;
    do {
        uint64_t begin = due > now_ns ? due : now_ns;
        next = begin + options->interval_ns;
        uint64_t latest = now_ns + options->interval_ns * options->burst;
        if (next > latest) {
            return next - latest;
        }
    } while (!atomic_compare_exchange_weak_explicit(due_ns, &due, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}
