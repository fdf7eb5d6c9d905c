/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The service of files, and a client that lies to it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/file.h"
#include "core/helper.h"
#include "servers/rudp/drop_give.h"
#include "servers/rudp/drop_hash.h"
#include "servers/rudp/drop_service.h"
#include "tests/rudp/service_rig.h"

#define COPIES 32768 /* that answers may hold */

struct drop {
    struct rig *rig;
    struct gy_drop_service service;
    char folder[40];
    struct gy_drop_message last;
    char text[GY_DROP_TEXT_BYTES + 1]; /* of the last RESULT */
};

static void heard(struct rig *rig, const uint8_t *data, size_t length)
{
    struct drop *drop = rig->test;
    assert_int_equal(gy_drop_decode(&drop->last, data, length), 0);
    if (drop->last.type == GY_DROP_RESULT) {
        memcpy(drop->text, drop->last.data, drop->last.length);
        drop->text[drop->last.length] = '\0';
    }
    rig->answers += drop->last.type != GY_DROP_WORKING; /* else HAVE, RESULT, FROM, DATA, END */
}

static int set_up(void **state)
{
    struct drop *drop = calloc(1, sizeof *drop);
    struct gy_error error = {0};
    assert_non_null(drop);
    drop->rig = rig_worker();
    drop->rig->heard = heard;
    drop->rig->test = drop;
    strcpy(drop->folder, "/tmp/gyre-drop-test-XXXXXX");
    assert_non_null(mkdtemp(drop->folder));
    drop->service = (struct gy_drop_service){.max_bytes = 100000};
    drop->service.drop = gy_file_open_directory(drop->folder, &error);
    drop->service.share = gy_file_open_directory(drop->folder, &error);
    assert_true(drop->service.drop >= 0 && drop->service.share >= 0);
    assert_int_equal(gy_drop_service_open(&drop->service, &drop->rig->worker, &error), 0);
    rig_connect(drop->rig, &gy_drop_service_ops, &drop->service, COPIES);
    *state = drop;
    return 0;
}

static int tear_down(void **state)
{
    struct drop *drop = *state;
    char command[64];
    rig_disconnect(drop->rig);
    gy_drop_service_close(&drop->service, &drop->rig->worker);
    gy_worker_close(&drop->rig->worker);
    close(drop->service.drop);
    close(drop->service.share);
    snprintf(command, sizeof command, "rm -rf %s", drop->folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
    free(drop->rig);
    free(drop);
    return 0;
}

/* ---- what a client says ---- */

static void offer(struct drop *drop, uint32_t transfer, const char *name, uint64_t size)
{
    gy_drop_say(drop->rig->session, &(struct gy_drop_message){.type = GY_DROP_OFFER,
                                                              .transfer = transfer,
                                                              .size = size,
                                                              .data = (const uint8_t *)name,
                                                              .length = (uint32_t)strlen(name)});
}

static void fetch(struct drop *drop, const char *name, uint64_t offset)
{
    gy_drop_say(drop->rig->session, &(struct gy_drop_message){.type = GY_DROP_FETCH,
                                                              .transfer = 3,
                                                              .offset = offset,
                                                              .hash = {1, 2, 3},
                                                              .data = (const uint8_t *)name,
                                                              .length = (uint32_t)strlen(name)});
}

static void from(struct drop *drop, uint64_t offset, uint64_t size)
{
    gy_drop_say(drop->rig->session,
                &(struct gy_drop_message){
                    .type = GY_DROP_FROM, .transfer = 1, .offset = offset, .size = size});
}

static void data(struct drop *drop, uint64_t offset, const char *text)
{
    uint8_t out[64];
    size_t length = strlen(text);
    gy_drop_encode_data(1, offset, out);
    memcpy(out + GY_DROP_DATA_HEAD, text, length);
    assert_int_equal(gy_rudp_host_send_copy(drop->rig->session, 0, GY_RUDP_ORDERED, out,
                                            GY_DROP_DATA_HEAD + length),
                     0);
}

static void say_end(struct drop *drop, uint64_t size, const char *text)
{
    struct gy_drop_message message = {.type = GY_DROP_END, .transfer = 1, .size = size};
    struct gy_drop_hash hash;
    gy_drop_hash_begin(&hash);
    gy_drop_hash_add(&hash, text, strlen(text));
    gy_drop_hash_read(&hash, message.hash);
    gy_drop_say(drop->rig->session, &message);
}

static void expect_result(struct drop *drop, uint32_t answers, unsigned result)
{
    rig_await(drop->rig, answers);
    assert_false(drop->rig->closed);
    assert_int_equal(drop->last.type, GY_DROP_RESULT);
    assert_int_equal(drop->last.result, result);
}

/* An OFFER that is answered by HAVE. */
static void begin(struct drop *drop, uint64_t size)
{
    offer(drop, 1, "file", size);
    rig_await(drop->rig, 1);
    assert_int_equal(drop->last.type, GY_DROP_HAVE);
    assert_int_equal(drop->last.offset, 0);
}

static bool is_there(const struct drop *drop, const char *name)
{
    struct stat found;
    return fstatat(drop->service.drop, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- tests ---- */

static void an_honest_client_gets_its_file_named(void **state)
{
    struct drop *drop = *state;
    begin(drop, 10);
    from(drop, 0, 10);
    data(drop, 0, "hello ");
    data(drop, 6, "you!");
    say_end(drop, 10, "hello you!");
    expect_result(drop, 2, GY_DROP_DONE);
    assert_true(is_there(drop, "file"));
    assert_false(is_there(drop, ".file.part"));
}

static void more_data_than_announced_are_refused(void **state)
{
    struct drop *drop = *state;
    begin(drop, 5);
    from(drop, 0, 5);
    data(drop, 0, "hello ");
    expect_result(drop, 2, GY_DROP_PROTOCOL);
    assert_false(is_there(drop, "file"));
}

static void a_gap_between_data_is_refused(void **state)
{
    struct drop *drop = *state;
    begin(drop, 50);
    from(drop, 0, 50);
    data(drop, 0, "hello ");
    data(drop, 7, "you");
    expect_result(drop, 2, GY_DROP_PROTOCOL);
    assert_false(is_there(drop, "file"));
}

static void a_wrong_hash_is_told_and_nothing_stays(void **state)
{
    struct drop *drop = *state;
    begin(drop, 5);
    from(drop, 0, 5);
    data(drop, 0, "hello");
    say_end(drop, 5, "other");
    expect_result(drop, 2, GY_DROP_CORRUPT);
    assert_false(is_there(drop, "file"));
    assert_false(is_there(drop, ".file.part"));
}

static void an_end_before_all_has_come_is_told_and_nothing_stays(void **state)
{
    struct drop *drop = *state;
    begin(drop, 9);
    from(drop, 0, 9);
    data(drop, 0, "hello");
    say_end(drop, 5, "hello");
    expect_result(drop, 2, GY_DROP_CORRUPT);
    assert_false(is_there(drop, "file"));
    assert_false(is_there(drop, ".file.part"));
}

static void an_offset_that_was_not_said_is_refused(void **state)
{
    struct drop *drop = *state;
    begin(drop, 9);
    from(drop, 5, 9);
    expect_result(drop, 2, GY_DROP_PROTOCOL);
}

static void another_size_than_offered_is_refused(void **state)
{
    struct drop *drop = *state;
    begin(drop, 9);
    from(drop, 0, 10);
    expect_result(drop, 2, GY_DROP_PROTOCOL);
}

static void data_without_from_are_ignored_and_an_end_is_refused(void **state)
{
    struct drop *drop = *state;
    begin(drop, 5);
    data(drop, 0, "hello");
    say_end(drop, 5, "hello");
    expect_result(drop, 2, GY_DROP_PROTOCOL);
    assert_false(is_there(drop, "file"));
}

static void names_and_sizes_are_the_servers_to_refuse(void **state)
{
    struct drop *drop = *state;
    static const char *const names[] = {"..", "../file", "/file", ".file.part", "a/b", ""};
    uint32_t answers = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        offer(drop, 2, names[i], 1);
        expect_result(drop, ++answers, GY_DROP_NAME);
    }
    offer(drop, 2, "file", 100001);
    expect_result(drop, ++answers, GY_DROP_TOO_LARGE);
    char longest[GY_DROP_COMPONENT_BYTES + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    offer(drop, 2, longest, 1);
    expect_result(drop, ++answers, GY_DROP_NAME);
    static const uint8_t nul[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 'a', '\0', 'b'};
    rig_say(drop->rig, 0, nul, sizeof nul);
    expect_result(drop, ++answers, GY_DROP_NAME);
    int share = drop->service.share;
    drop->service.share = -1;
    fetch(drop, "file", 0);
    expect_result(drop, ++answers, GY_DROP_NOT_HERE);
    drop->service.share = share;
}

static void transfers_of_one_connection_have_a_bound(void **state)
{
    struct drop *drop = *state;
    char name[8];
    for (uint32_t i = 0; i < GY_DROP_TRANSFERS; i++) {
        snprintf(name, sizeof name, "f%u", i);
        offer(drop, 10 + i, name, 5);
        rig_await(drop->rig, i + 1);
        assert_int_equal(drop->last.type, GY_DROP_HAVE);
    }
    offer(drop, 50, "more", 5);
    expect_result(drop, GY_DROP_TRANSFERS + 1, GY_DROP_LIMIT);
    /* The connection goes, and so do parts with nothing in them. */
    gy_rudp_host_end(drop->rig->session, 0, "gone");
    for (int i = 0; i < 300 && is_there(drop, ".f0.part"); i++) {
        rig_turn(drop->rig);
    }
    assert_false(is_there(drop, ".f0.part"));
}

static void what_cannot_be_read_closes_the_connection(void **state)
{
    struct drop *drop = *state;
    assert_int_equal(
        gy_rudp_host_send_copy(drop->rig->session, 0, GY_RUDP_ORDERED, "\x09nonsense", 9), 0);
    rig_await(drop->rig, 1);
    assert_true(drop->rig->closed);
    assert_int_equal(drop->rig->close_code, 0x101);
}

static void put(const struct drop *drop, const char *name, const char *content)
{
    int file = openat(drop->service.drop, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    assert_true(file >= 0);
    assert_int_equal(write(file, content, strlen(content)), strlen(content));
    close(file);
}

static void what_is_no_file_of_the_directory_is_not_given(void **state)
{
    struct drop *drop = *state;
    static const char *const names[] = {"pipe", "out", "folder", "loop", "folder/none"};
    assert_int_equal(mkfifoat(drop->service.drop, "pipe", 0666), 0);
    assert_int_equal(mkdirat(drop->service.drop, "folder", 0777), 0);
    assert_int_equal(symlinkat("/etc/passwd", drop->service.drop, "out"), 0);
    assert_int_equal(symlinkat("loop", drop->service.drop, "loop"), 0);
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fetch(drop, names[i], 0);
        expect_result(drop, i + 1, GY_DROP_NOT_FOUND);
    }
}

static void what_is_no_file_is_neither_written_to_nor_replaced(void **state)
{
    struct drop *drop = *state;
    static const struct {
        const char *name;
        unsigned result;
    } offers[] = {{"pipe", GY_DROP_EXISTS}, {"folder", GY_DROP_EXISTS}, {"out", GY_DROP_EXISTS},
                  {"a", GY_DROP_IO},        {"b", GY_DROP_IO},          {"c", GY_DROP_IO}};
    put(drop, "innocent", "mine");
    assert_int_equal(mkfifoat(drop->service.drop, "pipe", 0666), 0);
    assert_int_equal(mkdirat(drop->service.drop, "folder", 0777), 0);
    assert_int_equal(symlinkat("innocent", drop->service.drop, "out"), 0);
    assert_int_equal(mkfifoat(drop->service.drop, ".a.part", 0666), 0);
    assert_int_equal(symlinkat("innocent", drop->service.drop, ".b.part"), 0);
    assert_int_equal(linkat(drop->service.drop, "innocent", drop->service.drop, ".c.part", 0), 0);
    for (uint32_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        offer(drop, 2, offers[i].name, 4);
        expect_result(drop, i + 1, offers[i].result);
    }
}

static void who_lies_about_what_it_has_gets_all_of_the_file(void **state)
{
    struct drop *drop = *state;
    static const uint64_t offsets[] = {3, 5, 6, GY_DROP_SIZE_MAX};
    put(drop, "file", "hello");
    for (uint32_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        fetch(drop, "file", offsets[i]);
        rig_await(drop->rig, 3 * i + 1);
        assert_int_equal(drop->last.type, GY_DROP_FROM);
        assert_int_equal(drop->last.offset, 0);
        assert_int_equal(drop->last.size, 5);
        rig_await(drop->rig, 3 * i + 3); /* DATA, END */
        gy_drop_say(drop->rig->session,
                    &(struct gy_drop_message){.type = GY_DROP_RESULT, .transfer = 3});
    }
}

static uint32_t descriptors(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* Sixteen are under way at most, and those that the peer has ended are not. */
static void a_transfer_that_was_ended_holds_nothing_though_there_is_no_credit(void **state)
{
    struct drop *drop = *state;
    static char large[300000];
    memset(large, 'x', sizeof large - 1);
    put(drop, "file", large);
    drop->rig->hoards = true;
    uint32_t before = descriptors();
    for (uint32_t i = 0; i < 30; i++) {
        fetch(drop, "file", 0);
        for (int turn = 0; turn < 6; turn++) {
            rig_turn_for(drop->rig, 1000000);
        }
        gy_drop_say(drop->rig->session,
                    &(struct gy_drop_message){.type = GY_DROP_RESULT, .transfer = 3});
        rig_turn_for(drop->rig, 1000000);
    }
    for (int turn = 0; turn < 100 && descriptors() > before + 2; turn++) {
        rig_turn_for(drop->rig, 1000000);
    }
    assert_true(descriptors() <= before + 2);
    assert_true(drop->rig->server.memory.used < 2000000);
    assert_false(drop->rig->closed);
}

static void messages_of_no_transfer_are_counted_and_nothing_else(void **state)
{
    struct drop *drop = *state;
    data(drop, 0, "hello");
    from(drop, 0, 5);
    say_end(drop, 5, "hello");
    rig_say(drop->rig, 3, "on another channel", 18);
    begin(drop, 5); /* which is answered all the same */
    assert_int_equal(drop->rig->counts[0].ignored, 4);
}

static void who_asks_and_takes_no_answers_is_cut_off(void **state)
{
    struct drop *drop = *state;
    for (uint32_t i = 0; i < 400; i++) {
        fetch(drop, "..", 0);
    }
    rig_deafen(drop->rig);
    struct gy_rudp_session *served = TAILQ_FIRST(&drop->rig->server.all);
    for (int i = 0; i < 100 && served->conn.state <= GY_RUDP_OPEN; i++) {
        assert_true(drop->rig->server.memory.used < 4 * COPIES);
        rig_turn(drop->rig);
    }
    assert_int_equal(served->conn.close_code, GY_RUDP_HOST_NO_MEMORY);
}

/* ---- full disks ---- */

static bool renaming_fails;

/* In the place of the C library's. */
int renameat2(int from_directory, const char *from_name, int to_directory, const char *to_name,
              unsigned flags)
{
    if (renaming_fails) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_directory, from_name, to_directory, to_name, flags);
}

/* What the service has open for that name becomes another file. */
static void exchange(const struct drop *drop, const char *name, int other)
{
    struct stat wanted, found;
    unsigned exchanged = 0;
    assert_int_equal(fstatat(drop->service.drop, name, &wanted, AT_SYMLINK_NOFOLLOW), 0);
    for (int descriptor = 3; descriptor < 256; descriptor++) {
        if (fstat(descriptor, &found) == 0 && found.st_ino == wanted.st_ino &&
            found.st_dev == wanted.st_dev) {
            assert_int_equal(dup2(other, descriptor), descriptor);
            exchanged++;
        }
    }
    assert_int_equal(exchanged, 1);
    close(other);
}

/* It was told in words, nothing is left, and the same file is taken now. */
static void expect_recovery(struct drop *drop, uint32_t answers, unsigned result, const char *text)
{
    expect_result(drop, answers, result);
    assert_string_equal(drop->text, text);
    assert_false(is_there(drop, "file"));
    assert_false(is_there(drop, ".file.part"));
    offer(drop, 1, "file", 5);
    rig_await(drop->rig, answers + 1);
    assert_int_equal(drop->last.type, GY_DROP_HAVE);
    from(drop, 0, 5);
    data(drop, 0, "hello");
    say_end(drop, 5, "hello");
    expect_result(drop, answers + 2, GY_DROP_DONE);
    assert_true(is_there(drop, "file"));
}

static void a_disk_that_is_full_before_all_is_written_is_told(void **state)
{
    struct drop *drop = *state;
    begin(drop, 5);
    exchange(drop, ".file.part", open("/dev/full", O_WRONLY | O_CLOEXEC));
    from(drop, 0, 5);
    data(drop, 0, "hel");
    expect_recovery(drop, 2, GY_DROP_NO_SPACE, "writing the file: No space left on device");
}

static void a_file_that_cannot_be_synced_is_told_and_not_kept(void **state)
{
    struct drop *drop = *state;
    begin(drop, 5);
    exchange(drop, ".file.part", open("/dev/null", O_WRONLY | O_CLOEXEC));
    from(drop, 0, 5);
    data(drop, 0, "hello");
    say_end(drop, 5, "hello");
    expect_recovery(drop, 2, GY_DROP_IO, "syncing the file: Invalid argument");
}

static void a_name_that_finds_no_space_is_told(void **state)
{
    struct drop *drop = *state;
    begin(drop, 5);
    from(drop, 0, 5);
    data(drop, 0, "hello");
    renaming_fails = true;
    say_end(drop, 5, "hello");
    rig_await(drop->rig, 2);
    renaming_fails = false;
    expect_recovery(drop, 2, GY_DROP_NO_SPACE, "giving it its name: No space left on device");
}

static void a_disk_with_less_than_is_to_stay_free_takes_nothing(void **state)
{
    struct drop *drop = *state;
    drop->service.keep_free = UINT64_MAX / 2;
    offer(drop, 1, "file", 5);
    rig_await(drop->rig, 1);
    drop->service.keep_free = 0;
    expect_recovery(drop, 1, GY_DROP_NO_SPACE,
                    "there is not enough space for it beside what is to stay free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_honest_client_gets_its_file_named),
        TEST(more_data_than_announced_are_refused),
        TEST(a_gap_between_data_is_refused),
        TEST(a_wrong_hash_is_told_and_nothing_stays),
        TEST(an_end_before_all_has_come_is_told_and_nothing_stays),
        TEST(an_offset_that_was_not_said_is_refused),
        TEST(another_size_than_offered_is_refused),
        TEST(data_without_from_are_ignored_and_an_end_is_refused),
        TEST(names_and_sizes_are_the_servers_to_refuse),
        TEST(transfers_of_one_connection_have_a_bound),
        TEST(what_cannot_be_read_closes_the_connection),
        TEST(what_is_no_file_of_the_directory_is_not_given),
        TEST(a_transfer_that_was_ended_holds_nothing_though_there_is_no_credit),
        TEST(what_is_no_file_is_neither_written_to_nor_replaced),
        TEST(who_lies_about_what_it_has_gets_all_of_the_file),
        TEST(messages_of_no_transfer_are_counted_and_nothing_else),
        TEST(who_asks_and_takes_no_answers_is_cut_off),
        TEST(a_disk_that_is_full_before_all_is_written_is_told),
        TEST(a_file_that_cannot_be_synced_is_told_and_not_kept),
        TEST(a_name_that_finds_no_space_is_told),
        TEST(a_disk_with_less_than_is_to_stay_free_takes_nothing),
    };
    return cmocka_run_group_tests_name("drop_service", tests, NULL, NULL);
}
