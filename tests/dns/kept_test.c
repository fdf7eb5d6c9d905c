/* SPDX-License-Identifier: GPL-3.0-or-later */

/* A secondary zone on disk: its file, and the differences beside it. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "protocols/dns/difference.h"
#include "servers/dns/dns_kept.h"
#include "tests/dns/probe.h"

#define SEED 7
#define KEEP ((uint64_t)1 << 20)

static char folder[] = "/tmp/gyre-kept-XXXXXX";
static char path[64], beside[80];
static const uint8_t apex[] = "\7example";

/* ---- versions ---- */

static void put_record(struct gy_dns_changes *changes, enum gy_dns_change change, const char *name,
                       uint16_t type, const char *data)
{
    uint8_t rdata[600];
    const uint8_t *owner = rig_name(name);
    int bytes = gy_dns_rdata_from_text(type, data, strlen(data), apex, rdata, sizeof rdata, NULL);
    assert_true(bytes > 0);
    const struct gy_dns_record record = {.owner = owner,
                                         .owner_bytes = (uint8_t)gy_dns_name_bytes(owner),
                                         .type = type,
                                         .class = GY_DNS_CLASS_IN,
                                         .ttl = 60,
                                         .rdata = rdata,
                                         .rdata_bytes = (uint32_t)bytes};
    assert_int_equal(gy_dns_changes_take(changes, change, &record), 0);
}

/* From one serial to the next: odd.example. gets another text, of all bytes. */
static void put_step(struct gy_dns_changes *changes, uint32_t from)
{
    for (uint32_t i = 0; i < 2; i++) {
        char soa[64];
        char text[64];
        enum gy_dns_change change = i == 0 ? GY_DNS_REMOVED : GY_DNS_ADDED;
        snprintf(soa, sizeof soa, "ns h %u 1 1 100000 1", from + i);
        snprintf(text, sizeof text, "\"%u\\010;differences \\\"\\000\"", from + i);
        put_record(changes, change, "example.", GY_DNS_TYPE_SOA, soa);
        put_record(changes, change, "o\\010dd\\;.example.", GY_DNS_TYPE_TXT, text);
    }
}

static void write_zone(uint32_t serial)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "$TTL 60\n@ SOA ns h %u 1 1 100000 1\n@ NS ns\nns A 192.0.2.1\n", serial);
    fprintf(file, "o\\010dd\\; TXT \"%u\\010;differences \\\"\\000\"\n", serial);
    fclose(file);
}

static void append_step(uint32_t from)
{
    struct gy_dns_changes changes = {.bytes_max = 0};
    struct gy_error error = {0};
    uint64_t bytes = 0;
    struct stat status;
    put_step(&changes, from);
    assert_int_equal(gy_dns_kept_append(&changes, path, &bytes, &error), 0);
    assert_int_equal(stat(beside, &status), 0);
    assert_int_equal(bytes, status.st_size);
    gy_dns_changes_close(&changes);
}

/* What is served after a start; how many differences it hands on. */
static uint32_t serial_kept(uint32_t *differences)
{
    const struct gy_dns_zone *zone = NULL;
    struct gy_dns_zone_facts facts;
    struct gy_error error = {0};
    if (gy_dns_kept_load(&zone, apex, path, SEED, KEEP, &error) != 0) {
        fail_msg("%s", error.message);
    }
    assert_non_null(zone);
    gy_dns_zone_facts(zone, &facts);
    assert_int_equal(facts.records, 4);
    if (differences != NULL) {
        *differences = gy_dns_journal_of(zone)->count;
    }
    gy_dns_zone_free(zone);
    return facts.serial;
}

static void cut_to(off_t bytes)
{
    assert_int_equal(truncate(beside, bytes), 0);
}

static off_t size_of(const char *name)
{
    struct stat status;
    return stat(name, &status) == 0 ? status.st_size : -1;
}

/* ---- what holds ---- */

static void a_start_serves_the_zone_and_the_differences_beside_it(void **state)
{
    uint32_t differences = 0;
    (void)state;
    write_zone(1);
    assert_int_equal(serial_kept(&differences), 1);
    assert_int_equal(differences, 0);
    append_step(1);
    append_step(2);
    append_step(3);
    assert_int_equal(serial_kept(&differences), 4);
    assert_int_equal(differences, 3);
}

static void differences_that_were_cut_are_left_out_and_those_behind_them_read(void **state)
{
    (void)state;
    unlink(beside);
    write_zone(1);
    append_step(1);
    off_t first = size_of(beside);
    append_step(2);
    off_t second = size_of(beside);
    for (off_t bytes = second; bytes-- > 0;) {
        cut_to(bytes);
        assert_int_equal(serial_kept(NULL), bytes >= first ? 2 : 1);
        if (bytes == first + 5 || bytes == second - 1) { /* a crash, and then they came again */
            append_step(2);
            assert_int_equal(serial_kept(NULL), 3);
        }
    }
}

static void a_byte_that_is_wrong_makes_them_none(void **state)
{
    (void)state;
    unlink(beside);
    write_zone(1);
    append_step(1);
    off_t bytes = size_of(beside);
    int file = open(beside, O_RDWR);
    assert_true(file >= 0);
    for (off_t at = 0; at < bytes; at++) {
        char byte = 0;
        assert_int_equal(pread(file, &byte, 1, at), 1);
        char other = (char)(byte ^ 1);
        assert_int_equal(pwrite(file, &other, 1, at), 1);
        uint32_t serial = serial_kept(NULL);
        assert_true(serial == 1 || (serial == 2 && byte == ' ')); /* which only fills the line */
        assert_int_equal(pwrite(file, &byte, 1, at), 1);
    }
    close(file);
    assert_int_equal(serial_kept(NULL), 2);
}

static void differences_lead_on_from_the_zone_only(void **state)
{
    (void)state;
    unlink(beside);
    write_zone(3); /* written as a whole; then it crashed before they were removed */
    append_step(1);
    append_step(2);
    assert_int_equal(serial_kept(NULL), 3);
    append_step(3);
    append_step(3); /* by another process */
    append_step(4);
    append_step(9);
    assert_int_equal(serial_kept(NULL), 5);
}

static void a_zone_that_is_saved_has_no_differences_beside_it(void **state)
{
    const struct gy_dns_zone *zone = NULL;
    struct gy_error error = {0};
    (void)state;
    unlink(beside);
    write_zone(1);
    append_step(1);
    assert_int_equal(gy_dns_kept_load(&zone, apex, path, SEED, KEEP, &error), 0);
    assert_int_equal(gy_dns_kept_save(zone, path, &error), 0);
    gy_dns_zone_free(zone);
    assert_int_equal(size_of(beside), -1);
    assert_int_equal(serial_kept(NULL), 2);
}

static void what_cannot_be_kept_is_said(void **state)
{
    struct gy_dns_changes changes = {.bytes_max = 0};
    struct gy_error error = {0};
    uint64_t bytes = 0;
    (void)state;
    put_step(&changes, 1);
    assert_true(gy_dns_kept_append(&changes, "/proc/none/zone", &bytes, &error) < 0);
    assert_non_null(strstr(error.message, "/proc/none/zone.changes"));
    gy_dns_changes_close(&changes);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/zone", folder);
    snprintf(beside, sizeof beside, "%s%s", path, GY_DNS_KEPT_SUFFIX);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(beside);
    return rmdir(folder);
}

int main(void)
{
    gy_log_set_level(GY_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_serves_the_zone_and_the_differences_beside_it),
        cmocka_unit_test(differences_that_were_cut_are_left_out_and_those_behind_them_read),
        cmocka_unit_test(a_byte_that_is_wrong_makes_them_none),
        cmocka_unit_test(differences_lead_on_from_the_zone_only),
        cmocka_unit_test(a_zone_that_is_saved_has_no_differences_beside_it),
        cmocka_unit_test(what_cannot_be_kept_is_said),
    };
    return cmocka_run_group_tests_name("dns_kept", tests, make_folder, remove_folder);
}
