/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Who may transfer, as configurations say it; and zones that are kept in files. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config.h"
#include "servers/dns/dns_keys.h"
#include "servers/dns/dns_zone.h"
#include "tests/dns/probe.h"

static char folder[] = "/tmp/gyre-policy-XXXXXX";
static char path[256];

static int take_key(void *context, const struct gy_config_directive *directive,
                    struct gy_error *error)
{
    return gy_dns_keys_take(context, directive, error);
}

static int take_policy(void *context, const struct gy_config_directive *directive,
                       struct gy_error *error)
{
    return gy_dns_policy_take(context, directive, error);
}

/* Reads lines into a policy, after its keys; the sentence of the error, or "". */
static const char *read_policy(struct gy_dns_policy *policy, struct gy_dns_keys *keys,
                               const char *lines)
{
    static struct gy_error error;
    static const struct gy_config_key words[] = {
        {"allow-transfer", 1, GY_CONFIG_VALUES_MAX, GY_CONFIG_PLAIN, false, take_policy, ""},
        {"notify", 1, 3, GY_CONFIG_PLAIN, false, take_policy, ""},
        {"primary", 1, 3, GY_CONFIG_PLAIN, false, take_policy, ""},
    };
    struct gy_config *config;
    memset(policy, 0, sizeof *policy);
    memset(&error, 0, sizeof error);
    assert_int_equal(gy_config_parse(&config, "test", lines, strlen(lines), &error), 0);
    int code = gy_config_apply(gy_config_first(config), words, COUNT(words), policy, &error);
    code = code == 0 ? gy_dns_policy_settle(policy, keys, &error) : code;
    assert_int_equal(code != 0, error.message[0] != '\0');
    /* Names of keys point into the text; what is asked below is the keys that were found. */
    gy_config_free(config);
    return error.message;
}

static const char *read_keys(struct gy_dns_keys *keys, const char *secret)
{
    static struct gy_error error;
    static const struct gy_config_key words[] = {
        {"key", 3, 3, GY_CONFIG_PLAIN, false, take_key, ""}};
    char text[1024];
    struct gy_config *config;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(secret, file);
    fclose(file);
    memset(&error, 0, sizeof error);
    memset(keys, 0, sizeof *keys);
    snprintf(text, sizeof text, "key One HMAC-SHA512 %s;\nkey two hmac-sha1 %s;\n", path, path);
    assert_int_equal(gy_config_parse(&config, "test", text, strlen(text), &error), 0);
    gy_config_apply(gy_config_first(config), words, 1, keys, &error);
    gy_config_free(config);
    return error.message;
}

static bool allows(const struct gy_dns_policy *policy, const char *address,
                   const struct gy_dns_key *key)
{
    struct gy_address parsed;
    assert_int_equal(gy_address_parse(&parsed, address, NULL), 0);
    bool v4 = parsed.any.sa_family == AF_INET;
    return gy_dns_policy_allows(
        policy, v4 ? (const uint8_t *)&parsed.v4.sin_addr : (const uint8_t *)&parsed.v6.sin6_addr,
        v4 ? 4 : 16, key);
}

static void secrets_are_read_and_never_told(void **state)
{
    struct gy_dns_keys keys;
    (void)state;
    assert_string_equal(read_keys(&keys, "  c2VjcmV0\n\n"), "");
    assert_int_equal(keys.count, 2);
    assert_int_equal(keys.list[0]->secret_bytes, 6);
    assert_memory_equal(keys.list[0]->secret, "secret", 6);
    assert_int_equal(keys.list[0]->algorithm, GY_DNS_TSIG_SHA512);
    assert_ptr_equal(gy_dns_keys_find(&keys, rig_name("TWO.")), keys.list[1]);
    assert_null(gy_dns_keys_find(&keys, rig_name("three.")));
    gy_dns_keys_free(&keys);
    static const char *const bad[] = {"", "\n", "not-base64!", "c2VjcmV0 c2VjcmV0 !"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *message = read_keys(&keys, bad[i]);
        assert_non_null(strstr(message, "the secret alone"));
        assert_true(i < 2 || strstr(message, bad[i]) == NULL);
        gy_dns_keys_free(&keys);
    }
}

static void an_address_and_a_key_must_both_fit(void **state)
{
    static struct gy_dns_policy policy;
    struct gy_dns_keys keys;
    (void)state;
    read_keys(&keys, "c2VjcmV0");
    const struct gy_dns_key *one = keys.list[0], *two = keys.list[1];
    assert_string_equal(read_policy(&policy, &keys,
                                    "allow-transfer 192.0.2.0/25 2001:db8::/32 key one;\n"
                                    "allow-transfer 198.51.100.7;\nallow-transfer key two;"),
                        "");
    assert_true(allows(&policy, "192.0.2.127:1", one));
    assert_true(allows(&policy, "[2001:db8:7::1]:1", one));
    assert_true(allows(&policy, "[::ffff:192.0.2.1]:1", one));
    assert_false(allows(&policy, "192.0.2.128:1", one));
    assert_false(allows(&policy, "192.0.2.1:1", NULL));
    assert_true(allows(&policy, "192.0.2.1:1", two));
    assert_true(allows(&policy, "198.51.100.7:1", NULL));
    assert_true(allows(&policy, "198.51.100.7:1", one));
    assert_false(allows(&policy, "198.51.100.8:1", one));
    assert_string_equal(read_policy(&policy, &keys, "allow-transfer none;"), "");
    assert_false(allows(&policy, "192.0.2.1:1", one));
    assert_string_equal(read_policy(&policy, &keys, "allow-transfer any;"), "");
    assert_true(allows(&policy, "192.0.2.1:1", NULL));
    gy_dns_keys_free(&keys);
}

static void addresses_of_servers_have_port_53_where_none_is_given(void **state)
{
    static struct gy_dns_policy policy;
    struct gy_dns_keys keys = {.count = 0};
    (void)state;
    assert_string_equal(read_policy(&policy, &keys,
                                    "primary 192.0.2.1; primary 192.0.2.1:5300; primary ::1; "
                                    "primary [::1]; primary [::1]:5300;"),
                        "");
    static const uint16_t ports[] = {53, 5300, 53, 53, 5300};
    for (uint32_t i = 0; i < COUNT(ports); i++) {
        assert_int_equal(gy_address_port(&policy.primaries[i].address), ports[i]);
    }
    static const uint8_t near[4] = {192, 0, 2, 1}, far[4] = {192, 0, 2, 2};
    assert_true(gy_dns_policy_is_primary(&policy, near, 4, NULL));
    assert_false(gy_dns_policy_is_primary(&policy, far, 4, NULL));
    static const char *const bad[] = {"primary name.example;", "primary :53;",
                                      "primary 5300;",         "notify 192.0.2.1 192.0.2.2;",
                                      "notify none none;",     "primary 192.0.2.1 key none;",
                                      "allow-transfer key;",   "allow-transfer any none;",
                                      "primary 192.0.2.1:0;"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_string_not_equal(read_policy(&policy, &keys, bad[i]), "");
    }
}

static const char odd[] = "$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 192.0.2.1\n"
                          "sp\\ ace\\.dot\\010 TXT \"q\\\"uote\" \"b\\\\s\\000\"\n"
                          "u TYPE65280 \\# 2 abcd\nh HTTPS 1 . alpn=h2\n* 7 MX 1 a\n"
                          "a RRSIG A 8 2 60 20300101000000 20200101000000 7 example. AAAA\n";

static void a_zone_that_was_kept_is_the_same(void **state)
{
    struct gy_error error = {0};
    const struct gy_dns_zone *first, *second;
    static struct gy_dns_zone_walk walks[2];
    struct gy_dns_record records[2];
    uint32_t count = 0;
    FILE *file = fopen(path, "w");
    (void)state;
    assert_non_null(file);
    fputs(odd, file);
    fclose(file);
    assert_int_equal(gy_dns_zone_load(&first, rig_name("example."), path, 1, &error), 0);
    assert_int_equal(gy_dns_zone_save(first, path, &error), 0);
    assert_int_equal(gy_dns_zone_load(&second, rig_name("example."), path, 1, &error), 0);
    gy_dns_zone_walk(&walks[0], first);
    gy_dns_zone_walk(&walks[1], second);
    while (gy_dns_zone_walk_next(&walks[0], &records[0])) {
        assert_true(gy_dns_zone_walk_next(&walks[1], &records[1]));
        assert_int_equal(records[0].type, records[1].type);
        assert_int_equal(records[0].ttl, records[1].ttl);
        assert_int_equal(records[0].rdata_bytes, records[1].rdata_bytes);
        assert_memory_equal(records[0].rdata, records[1].rdata, records[0].rdata_bytes);
        assert_true(gy_dns_name_equal(records[0].owner, records[1].owner));
        count++;
    }
    assert_false(gy_dns_zone_walk_next(&walks[1], &records[1]));
    assert_int_equal(count, 8);
    gy_dns_zone_free(first);
    gy_dns_zone_free(second);
    /* Where nothing can be written, it is said. */
    assert_true(gy_dns_zone_load(&first, rig_name("example."), "/proc/none", 1, &error) < 0);
}

/* Entries over several lines, of odd lengths, in a file of many pieces; one entry alone is longer
 * than two of those. */
static void a_zone_file_is_read_in_pieces(void **state)
{
    struct gy_error error = {0};
    struct gy_dns_zone_facts facts;
    const struct gy_dns_zone *zone;
    FILE *file = fopen(path, "w");
    (void)state;
    assert_non_null(file);
    fputs("$TTL 60\n@ SOA a b ( 1 2\n3 4 5 )\n@ NS a\na A 192.0.2.1\n", file);
    for (uint32_t i = 0; i < 40000; i++) {
        fprintf(file, "n%u ( A ; %.*s\n192.0.2.%u\n)\n", i, (int)(i % 31),
                "a comment (of odd length) \"is no", i & 255);
        if (i == 20000) {
            fprintf(file, "long TXT ( x ;%0600000d\n y )\n", 0);
        }
    }
    fputs("last A 192.0.2.2", file);
    fclose(file);
    assert_int_equal(gy_dns_zone_load(&zone, rig_name("example."), path, 1, &error), 0);
    gy_dns_zone_facts(zone, &facts);
    assert_int_equal(facts.records, 40005);
    assert_int_equal(facts.names, 40004);
    gy_dns_zone_free(zone);
    file = fopen(path, "a");
    assert_non_null(file);
    fputs("\nwrong A 192.0.2.256\n", file);
    fclose(file);
    assert_int_equal(gy_dns_zone_load(&zone, rig_name("example."), path, 1, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, ":120009:")); /* 5, 120,000, 2 and the last */
}

/* Though its records wait for those that come behind them. */
static void the_line_of_a_record_too_many_is_told(void **state)
{
    struct gy_error error = {0};
    const struct gy_dns_zone *zone;
    FILE *file = fopen(path, "w");
    (void)state;
    assert_non_null(file);
    fputs("$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 192.0.2.1\n", file);
    for (uint32_t i = 0; i < GY_DNS_RRSET_MAX + 20; i++) {
        fprintf(file, "x A 10.0.%u.%u\nn%u A 192.0.2.1\n", i >> 8, i & 255, i);
    }
    fclose(file);
    assert_int_equal(gy_dns_zone_load(&zone, rig_name("example."), path, 1, &error), GY_ELIMIT);
    assert_non_null(strstr(error.message, "file:8197: an rrset has more than 4096 records"));
}

static void load_says(const char *text, const char *what)
{
    struct gy_error error = {0};
    const struct gy_dns_zone *zone;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(gy_dns_zone_load(&zone, rig_name("example."), path, 1, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, what));
}

static void the_line_is_told_of_what_is_wrong_with_a_zone_as_a_whole(void **state)
{
    (void)state;
    load_says("$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 192.0.2.1\n\nEXAMPLE. SOA a b 2 2 3 4 5\n",
              "file:6: the zone example.: example. SOA: a zone has exactly one");
    load_says(
        "$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS a\na A 192.0.2.1\nx CNAME a\nx TXT y\nz A 192.0.2.1\n",
        "file:6: the zone example.: x.example. TXT: the name has a CNAME");
    load_says("$TTL 60\n@ NS a\na A 192.0.2.1\n",
              "file: the zone example.: example. SOA: the zone has no");
}

/* Past what is taken piece by piece, where memory is mapped. */
static void what_is_collected_of_a_zone_is_bounded(void **state)
{
    struct gy_error error = {0};
    struct gy_dns_zone_maker *maker = gy_dns_zone_maker_open(rig_name("example."), 1, 8u << 20);
    int code = 0;
    uint32_t count = 0;
    (void)state;
    assert_non_null(maker);
    while (code == 0 && count < 1000000) {
        char name[32];
        snprintf(name, sizeof name, "n%u.example.", count);
        const uint8_t *owner = rig_name(name);
        const struct gy_dns_record record = {.owner = owner,
                                             .owner_bytes = (uint8_t)gy_dns_name_bytes(owner),
                                             .rdata = (const uint8_t *)"\300\0\2\1",
                                             .rdata_bytes = 4,
                                             .type = GY_DNS_TYPE_A,
                                             .class = GY_DNS_CLASS_IN};
        code = gy_dns_zone_add(gy_dns_zone_maker_builder(maker), &record, &error);
        count += code == 0;
    }
    assert_int_equal(code, GY_ENOMEM);
    assert_uint_in_range(count, 10000, 60000);
    gy_dns_zone_maker_close(maker);
}

static void a_file_that_was_touched_has_changed(void **state)
{
    struct gy_error error = {0};
    const struct gy_dns_zone *zone;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    FILE *file = fopen(path, "w");
    (void)state;
    assert_non_null(file);
    fputs(odd, file);
    fclose(file);
    /* Just written: more may come within the same tick of its times. */
    assert_int_equal(gy_dns_zone_load(&zone, rig_name("example."), path, 1, &error), 0);
    assert_false(gy_dns_zone_unchanged(zone));
    gy_dns_zone_free(zone);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(gy_dns_zone_load(&zone, rig_name("example."), path, 1, &error), 0);
    assert_true(gy_dns_zone_unchanged(zone));
    assert_ptr_equal(gy_dns_zone_keep(zone), zone);
    gy_dns_zone_free(zone);
    assert_true(gy_dns_zone_unchanged(zone));
    assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
    assert_false(gy_dns_zone_unchanged(zone));
    gy_dns_zone_free(zone);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_read_and_never_told),
        cmocka_unit_test(an_address_and_a_key_must_both_fit),
        cmocka_unit_test(addresses_of_servers_have_port_53_where_none_is_given),
        cmocka_unit_test(a_zone_that_was_kept_is_the_same),
        cmocka_unit_test(a_zone_file_is_read_in_pieces),
        cmocka_unit_test(the_line_of_a_record_too_many_is_told),
        cmocka_unit_test(the_line_is_told_of_what_is_wrong_with_a_zone_as_a_whole),
        cmocka_unit_test(what_is_collected_of_a_zone_is_bounded),
        cmocka_unit_test(a_file_that_was_touched_has_changed),
    };
    return cmocka_run_group_tests_name("dns_policy", tests, set_up, tear_down);
}
