/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Patched zones beside zones that are laid out anew: random changes, one after the other, and then
 * anything asked of both. Failures print the seed.
 */

#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "protocols/dns/difference.h"
#include "protocols/dns/patch.h"
#include "servers/dns/dns_changes.h"
#include "tests/dns/probe.h"

#define RECORDS_MAX 700
#define SEEDS       40
#define ROUNDS      40
#define QUESTIONS   40
#define TEXT_ROOM   ((size_t)1 << 20)
#define FLIPS_MAX   16
#define TTL         60
#define SIGNED      " 5 2 60 20260509183619 20260409183619 38519 example. AAAA"

/* ---- all the records that there can be ---- */

struct one {
    struct gy_dns_record record;
    bool there;
    uint8_t owner[GY_DNS_NAME_PADDED];
    uint8_t rdata[512];
};

static struct one universe[RECORDS_MAX];
static uint32_t universe_count;
static uint32_t chance_state;
static struct rig rig, other;

static uint32_t chance(uint32_t below)
{
    chance_state = chance_state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)chance_state * below >> 32);
}

static void fill(struct one *one, const char *owner, uint16_t type, const char *data)
{
    char name[GY_DNS_NAME_TEXT_BYTES];
    snprintf(name, sizeof name, "%s%sexample.", owner, owner[0] != '\0' ? "." : "");
    int bytes = gy_dns_rdata_from_text(type, data, strlen(data), rig_name("example."), one->rdata,
                                       sizeof one->rdata, NULL);
    if (bytes <= 0) {
        fail_msg("%s %u %s", owner, type, data);
    }
    const uint8_t *wire = rig_name(name);
    memcpy(one->owner, wire, gy_dns_name_bytes(wire));
    one->record = (struct gy_dns_record){.owner = one->owner,
                                         .owner_bytes = (uint8_t)gy_dns_name_bytes(wire),
                                         .type = type,
                                         .class = GY_DNS_CLASS_IN,
                                         .ttl = TTL,
                                         .rdata = one->rdata,
                                         .rdata_bytes = (uint32_t)bytes};
}

static void put(const char *owner, uint16_t type, const char *data)
{
    assert_true(universe_count < RECORDS_MAX);
    fill(&universe[universe_count++], owner, type, data);
}

static const char *const owners[] = {
    "a",     "b",    "c",  "d.c",  "e.d.c",   "*.c",    "ns.cut",  "cut",
    "x.cut", "mail", "*",  "w",    "*.w",     "y.w",    "z.y.w",   "deep.down.below",
    "dn",    "t.dn", "ns", "ns.b", "under.a", "f1",     "f2",      "f3",
    "f4",    "f5",   "f6", "f7",   "f8",      "sub.ns", "q.x.cut", "below",
};

/* Hashes of some of these names by RFC 5155 with salt aabbccdd and 1 iteration would do too: any
 * stand in the same order. */
static const char *const hashes[] = {
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom", "2t7b4g4vsa5smi47k61mv5bv1a22bojr",
    "2vptu5timamqttgl4luu9kg21e0aor3s", "35mthgpgcu1qg68fab165klnsnk3dpvl",
    "b4um86eghhds6nea196smvmlo4ors995", "gjeqe526plbf1g8mklp59enfd789njgi",
    "ji6neoaepv8b5o6k4ev33abha8ht9fgc", "k8udemvp1j2f7eg6jebps17vp3n8i58h",
    "kohar7mbb8dc2ce8a9qvl8hon4k53uhi", "q04jkcevqvmu85r014c7dkba38o0ji5r",
    "r53bq7cc2uvmubfu5ocmm6pers9tk9en", "t644ebqk9bibcna874givr6joj62mlhv",
};

static void fill_universe(void)
{
    static const uint16_t signed_types[] = {GY_DNS_TYPE_A, GY_DNS_TYPE_NSEC, GY_DNS_TYPE_TXT};
    static const char *const signed_words[] = {"A" SIGNED, "NSEC" SIGNED, "TXT" SIGNED};
    char text[256];
    for (uint32_t i = 0; i < COUNT(owners); i++) {
        put(owners[i], GY_DNS_TYPE_A, "192.0.2.1");
        put(owners[i], GY_DNS_TYPE_A, "192.0.2.2");
        put(owners[i], GY_DNS_TYPE_AAAA, "2001:db8::1");
        put(owners[i], GY_DNS_TYPE_TXT, "x");
        put(owners[i], GY_DNS_TYPE_NSEC, "b A RRSIG");
        for (uint32_t n = 0; n < COUNT(signed_types); n++) {
            put(owners[i], GY_DNS_TYPE_RRSIG, signed_words[n]);
        }
        snprintf(text, sizeof text, "10 %s", owners[chance(COUNT(owners))]);
        put(owners[i], GY_DNS_TYPE_MX, text);
        put(owners[i], GY_DNS_TYPE_CNAME, owners[chance(COUNT(owners))]);
        put(owners[i], GY_DNS_TYPE_SRV, "0 0 53 Mail");
    }
    for (uint32_t i = 0; i < 3; i++) { /* cuts, and what is no cut any more */
        static const char *const cuts[] = {"cut", "b", "y.w"};
        put(cuts[i], GY_DNS_TYPE_NS, "ns.cut");
        put(cuts[i], GY_DNS_TYPE_NS, "ns.b");
        put(cuts[i], GY_DNS_TYPE_NS, "elsewhere.test.");
        put(cuts[i], GY_DNS_TYPE_DS, "1 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B");
    }
    put("dn", GY_DNS_TYPE_DNAME, "c");
    put("w", GY_DNS_TYPE_DNAME, "elsewhere.test.");
    put("", GY_DNS_TYPE_MX, "5 mail");
    put("", GY_DNS_TYPE_TXT, "apex");
    put("", GY_DNS_TYPE_NSEC, "a NS SOA");
    put("", GY_DNS_TYPE_NS, "ns.b");
    put("", GY_DNS_TYPE_NSEC3PARAM, "1 0 1 aabbccdd");
    for (uint32_t i = 0; i < COUNT(hashes); i++) {
        snprintf(text, sizeof text, "1 0 1 aabbccdd %s A RRSIG", hashes[(i + 1) % COUNT(hashes)]);
        put(hashes[i], GY_DNS_TYPE_NSEC3, text);
    }
}

/* ---- zones ---- */

static const struct gy_dns_record *soa(uint32_t serial)
{
    static struct one list[2];
    char text[128];
    snprintf(text, sizeof text, "ns.example. h.example. %u 60 60 60 30", serial);
    fill(&list[serial & 1], "", GY_DNS_TYPE_SOA, text);
    return &list[serial & 1].record;
}

static void add(struct gy_dns_zone_maker *maker, const struct gy_dns_record *record)
{
    struct gy_error error = {0};
    assert_int_equal(gy_dns_zone_add(gy_dns_zone_maker_builder(maker), record, &error), 0);
}

/* What is there now, from nothing. NULL: it is no zone. */
static const struct gy_dns_zone *make(uint32_t serial)
{
    static struct one ns;
    struct gy_dns_zone_maker *maker =
        gy_dns_zone_maker_open(rig_name("example."), rig.zones.seed, 0);
    const struct gy_dns_zone *zone = NULL;
    struct gy_error error = {0};
    fill(&ns, "", GY_DNS_TYPE_NS, "ns");
    add(maker, soa(serial));
    add(maker, &ns.record);
    for (uint32_t i = 0; i < universe_count; i++) {
        if (universe[i].there) {
            add(maker, &universe[i].record);
        }
    }
    int code = gy_dns_zone_maker_finish(maker, &zone, &error);
    assert_true(code == 0 || code == GY_EINVAL);
    gy_dns_zone_maker_close(maker);
    return zone;
}

static int apply(const struct gy_dns_changes *changes, const struct gy_dns_zone *zone,
                 const struct gy_dns_zone **made)
{
    struct gy_dns_zone_maker *maker =
        gy_dns_zone_maker_open(rig_name("example."), rig.zones.seed, 0);
    struct gy_error error = {0};
    int code = gy_dns_changes_apply(changes, zone, maker, &error);
    code = code == 0 ? gy_dns_zone_maker_finish(maker, made, &error) : code;
    gy_dns_zone_maker_close(maker);
    return code;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a text in order, behind the first one; in the text itself. */
static void sort_lines(char *text)
{
    static char *lines[TEXT_ROOM / 16];
    static char copy[TEXT_ROOM];
    size_t count = 0;
    size_t at = strcspn(text, "\n") + 1;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *line = strtok(copy + at, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, TEXT_ROOM - at, "%s\n", lines[i]);
    }
}

static char *print(const struct gy_dns_zone *zone)
{
    static struct gy_dns_zone_walk walk;
    char *all = calloc(1, TEXT_ROOM);
    struct gy_dns_record record;
    size_t at = 1;
    assert_non_null(all);
    all[0] = '\n';
    gy_dns_zone_walk(&walk, zone);
    while (gy_dns_zone_walk_next(&walk, &record)) {
        int length =
            gy_dns_record_to_text(record.owner, record.type, record.class, record.ttl, record.rdata,
                                  record.rdata_bytes, all + at, TEXT_ROOM - at - 1);
        assert_true(length > 0);
        at += (size_t)length;
        all[at++] = '\n';
    }
    sort_lines(all);
    return all;
}

static void assert_same_content(const struct gy_dns_zone *a, const struct gy_dns_zone *b)
{
    struct gy_dns_zone_facts one;
    struct gy_dns_zone_facts two;
    char *first = print(a);
    char *second = print(b);
    assert_string_equal(first, second);
    free(first);
    free(second);
    gy_dns_zone_facts(a, &one);
    gy_dns_zone_facts(b, &two);
    assert_int_equal(one.records, two.records);
    assert_int_equal(one.rrsets, two.rrsets);
    assert_int_equal(one.names, two.names);
    assert_int_equal(one.serial, two.serial);
    assert_int_equal(one.minimum, two.minimum);
    assert_int_equal(one.has_nsec, two.has_nsec);
    assert_int_equal(one.has_nsec3, two.has_nsec3);
}

/* ---- changes ---- */

static int take(void *context, enum gy_dns_change change, const struct gy_dns_record *record)
{
    return gy_dns_changes_take(context, change, record);
}

static void undo(const uint32_t *flipped, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        universe[flipped[i]].there = !universe[flipped[i]].there;
    }
}

/* Some records come and others go. `flipped` has which. */
static uint32_t change(struct gy_dns_changes *changes, uint32_t serial, uint32_t *flipped)
{
    uint32_t count = 0;
    uint32_t some = chance(6);
    uint32_t near = chance(universe_count);
    for (uint32_t i = 0; some == 0 && i < universe_count; i++) { /* a name goes */
        if (universe[i].there && count < FLIPS_MAX &&
            gy_dns_name_equal(universe[i].owner, universe[near].owner)) {
            flipped[count++] = i;
        }
    }
    for (; count < some; count++) { /* one of three is about the same name */
        flipped[count] =
            chance(3) != 0 ? chance(universe_count) : (near + chance(11)) % universe_count;
    }
    undo(flipped, count);
    for (int added = 0; added < 2; added++) {
        enum gy_dns_change what = added != 0 ? GY_DNS_ADDED : GY_DNS_REMOVED;
        assert_int_equal(take(changes, what, soa(serial + (uint32_t)added)), 0);
        for (uint32_t i = 0; i < count; i++) {
            bool last = true; /* flipped twice: as it was */
            uint32_t times = 0;
            for (uint32_t n = 0; n < count; n++) {
                times += flipped[n] == flipped[i];
                last = last && (n <= i || flipped[n] != flipped[i]);
            }
            if (last && (times & 1) != 0 && universe[flipped[i]].there == (added != 0)) {
                assert_int_equal(take(changes, what, &universe[flipped[i]].record), 0);
            }
        }
    }
    return count;
}

/* ---- questions ---- */

static void random_name(char *name, size_t room)
{
    static const char *const before[] = {"", "", "", "", "n.", "*.", "0.", "zz.zz.", "a.", "ns."};
    const char *owner = chance(24) == 0 ? "" : owners[chance(COUNT(owners))];
    owner = chance(30) == 0 ? hashes[chance(COUNT(hashes))] : owner;
    snprintf(name, room, "%s%s%sexample.", before[chance(COUNT(before))], owner,
             owner[0] != '\0' ? "." : "");
}

static void serve(struct rig *served, const struct gy_dns_zone *zone)
{
    uint64_t seed = served->zones.seed;
    gy_dns_zones_init(&served->zones, served->slots, 1, seed);
    assert_int_equal(gy_dns_zones_add(&served->zones, zone), 0);
}

static void ask_both(const struct gy_dns_zone *a, const struct gy_dns_zone *b, uint32_t count,
                     bool ordered)
{
    static const uint16_t types[] = {GY_DNS_TYPE_A,   GY_DNS_TYPE_A,     GY_DNS_TYPE_AAAA,
                                     GY_DNS_TYPE_MX,  GY_DNS_TYPE_NS,    GY_DNS_TYPE_DS,
                                     GY_DNS_TYPE_TXT, GY_DNS_TYPE_NSEC,  GY_DNS_TYPE_SRV,
                                     GY_DNS_TYPE_SOA, GY_DNS_TYPE_CNAME, GY_DNS_TYPE_RRSIG,
                                     GY_DNS_TYPE_ANY, GY_DNS_TYPE_DNAME, GY_DNS_TYPE_NSEC3PARAM};
    static char first[TEXT_ROOM];
    static char second[TEXT_ROOM];
    serve(&rig, a);
    serve(&other, b);
    for (uint32_t i = 0; i < count; i++) {
        char name[GY_DNS_NAME_TEXT_BYTES];
        random_name(name, sizeof name);
        uint16_t type = types[chance(COUNT(types))];
        unsigned flags = (chance(2) != 0 ? RIG_DO : 0) | (chance(3) != 0 ? RIG_TCP : 0);
        if (!ordered) {
            flags |= RIG_TCP;
            type = type == GY_DNS_TYPE_ANY ? GY_DNS_TYPE_A : type;
        }
        rig_ask(&rig, name, type, flags);
        rig_ask(&other, name, type, flags);
        if (ordered && rig.query.answer_bytes == other.query.answer_bytes &&
            memcmp(rig.answer, other.answer, rig.query.answer_bytes) == 0) {
            continue;
        }
        snprintf(first, sizeof first, "%s", rig_text(rig.answer, rig.query.answer_bytes));
        snprintf(second, sizeof second, "%s", rig_text(other.answer, other.query.answer_bytes));
        if (!ordered) {
            sort_lines(first);
            sort_lines(second);
        }
        if (ordered || strcmp(first, second) != 0) {
            fail_msg("%s %u %u:\n%s---\n%s", name, type, flags, first, second);
        }
    }
}

/* ---- what holds ---- */

static uint32_t current_seed; /* 0: all is well */
static uint32_t patched_count, anew_count, wrong_count;

/* One change of both: the zone that is patched, and the one that is always laid out anew. */
static void step(const struct gy_dns_zone **patched, const struct gy_dns_zone **plain,
                 uint32_t *serial)
{
    struct gy_dns_changes changes = {0};
    struct gy_error error = {0};
    uint32_t flipped[FLIPS_MAX];
    const struct gy_dns_zone *next = NULL;
    const struct gy_dns_zone *made = NULL;
    uint32_t count = change(&changes, *serial, flipped);
    int expected = apply(&changes, *plain, &made);
    int code = gy_dns_changes_patch(&changes, *patched, &next, &error);
    gy_dns_changes_close(&changes);
    if (expected != 0) {
        assert_int_equal(expected, GY_EINVAL);
        assert_int_equal(code, GY_EINVAL);
        undo(flipped, count);
        wrong_count++;
        return;
    }
    assert_true(code == 0 || code == GY_ENOTSUP);
    patched_count += code == 0;
    anew_count += code != 0;
    gy_dns_zone_free(*plain);
    gy_dns_zone_free(*patched);
    *plain = made;
    *patched = code == 0 ? next : gy_dns_zone_keep(made);
    ++*serial;
}

static void rig_open(void)
{
    rig_init(&rig, 1);
    rig_init(&other, 1);
}

static void rig_shut(void)
{
    rig_free(&rig);
    rig_free(&other);
}

static void a_patched_zone_answers_as_one_that_is_laid_out_anew(void **state)
{
    (void)state;
    rig_open();
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        const struct gy_dns_zone *plain = NULL;
        uint32_t serial = 1;
        uint32_t share = 1 + seed % 4 * 2;
        chance_state = seed;
        universe_count = 0;
        fill_universe();
        current_seed = seed;
        while (plain == NULL) { /* with chance's help, it is one */
            for (uint32_t i = 0; i < universe_count; i++) {
                universe[i].there =
                    chance(16) < share && universe[i].record.type != GY_DNS_TYPE_CNAME;
            }
            plain = make(serial);
        }
        const struct gy_dns_zone *patched = gy_dns_zone_keep(plain);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            step(&patched, &plain, &serial);
            ask_both(patched, plain, QUESTIONS, true);
        }
        assert_same_content(patched, plain);
        const struct gy_dns_zone *fresh = make(serial);
        assert_non_null(fresh);
        assert_same_content(patched, fresh);
        ask_both(patched, fresh, 4 * QUESTIONS, false);
        gy_dns_zone_free(fresh);
        gy_dns_zone_free(patched);
        gy_dns_zone_free(plain);
    }
    current_seed = 0;
    print_message("# %u patched, %u laid out anew, %u refused\n", patched_count, anew_count,
                  wrong_count);
    assert_true(patched_count > 10 * anew_count && wrong_count > 0 && anew_count > 0);
    rig_shut();
}

static int tell_seed(void **state)
{
    (void)state;
    if (current_seed != 0) {
        print_message("# seed %u\n", current_seed);
    }
    return 0;
}

int main(void)
{
    gy_log_set_level(GY_LOG_ERROR); /* warnings about zones by chance are many */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_patched_zone_answers_as_one_that_is_laid_out_anew, tell_seed),
    };
    return cmocka_run_group_tests_name("dns_patch", tests, NULL, NULL);
}
