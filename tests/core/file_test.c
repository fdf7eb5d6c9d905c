/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Files on the real ring: opening beneath a directory, reading, owners that go away; and helper
 * threads. The worker is turned by the test itself. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/directory.h"
#include "core/helper.h"
#include "tests/core/core_harness.h"

struct fixture {
    struct gy_worker worker;
    struct gy_worker *peers[1];
    char folder[32];
    int root;
    uint32_t descriptors;
    uint32_t calls;
    int64_t result;
};

static void write_file(const struct fixture *fixture, const char *name, uint32_t bytes)
{
    char *data = malloc(bytes + 1);
    assert_non_null(data);
    pattern_fill((uint8_t *)data, bytes, 1, 0);
    int descriptor = openat(fixture->root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, data, bytes), bytes);
    close(descriptor);
    free(data);
}

static int set_up(void **state)
{
    deadline("a test of files", 30);
    struct fixture *fixture = aligned_alloc(64, (sizeof *fixture + 63) & ~(size_t)63);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof *fixture);
    fixture->descriptors = descriptors_open();
    strcpy(fixture->folder, "/tmp/gyre-file-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    struct gy_error error = {0};
    fixture->root = gy_file_open_directory(fixture->folder, &error);
    assert_true(fixture->root >= 0);
    fixture->peers[0] = &fixture->worker;
    struct gy_worker_options options = {.workers = 1,
                                        .processor = -1,
                                        .streams_max = 4,
                                        .blocks_max = 4,
                                        .pool = gy_pool_defaults(GY_RECEIVE_ONE_SHOT, 0)};
    int code = gy_worker_open(&fixture->worker, &options, fixture->peers, &error);
    if (code != 0) {
        print_message("%s\n", error.message);
    }
    assert_int_equal(code, 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    gy_worker_finish(&fixture->worker);
    assert_int_equal(fixture->worker.files.operations.used, 0);
    gy_worker_close(&fixture->worker);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", fixture->folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a folder of our own */
    close(fixture->root);
    assert_int_equal(descriptors_open(), fixture->descriptors);
    free(fixture);
    deadline(NULL, 0);
    return 0;
}

static void done(void *owner, int64_t result)
{
    struct fixture *fixture = owner;
    fixture->calls++;
    fixture->result = result;
}

/* Turns until `done` was called once more; its result. */
static int64_t await(struct fixture *fixture)
{
    uint32_t calls = fixture->calls;
    while (fixture->calls == calls) {
        assert_int_equal(gy_worker_turn(&fixture->worker, 100000000), 0);
    }
    return fixture->result;
}

static int64_t open_path(struct fixture *fixture, const char *path)
{
    assert_non_null(gy_file_open(&fixture->worker, fixture->root, path, done, fixture));
    return await(fixture);
}

static void a_file_is_opened_beneath_a_directory_and_read(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t memory[100000];
    struct gy_buffer buffer = {.data = memory, .capacity = sizeof memory, .refs = 1};
    struct gy_file_status status;
    write_file(fixture, "a", 70000);
    int descriptor = (int)open_path(fixture, "a");
    assert_true(descriptor >= 0);
    assert_int_equal(gy_file_status(descriptor, &status), 0);
    assert_int_equal(status.bytes, 70000);
    assert_int_equal(fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
    assert_non_null(
        gy_file_read(&fixture->worker, descriptor, &buffer, 5, 50000, 1000, done, fixture));
    assert_int_equal(buffer.refs, 2);
    assert_int_equal(await(fixture), 50000);
    assert_int_equal(buffer.refs, 1);
    assert_true(pattern_matches(memory + 5, 50000, 1, 1000));
    /* Past the end there is less. */
    assert_non_null(
        gy_file_read(&fixture->worker, descriptor, &buffer, 0, 50000, 69990, done, fixture));
    assert_int_equal(await(fixture), 10);
    assert_non_null(
        gy_file_read(&fixture->worker, descriptor, &buffer, 0, 1, 70000, done, fixture));
    assert_int_equal(await(fixture), 0);
    gy_file_close(&fixture->worker, descriptor);
}

static void what_was_written_is_synced_and_read_again(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t memory[100000], back[60000];
    struct gy_buffer buffer = {.data = memory, .capacity = sizeof memory, .refs = 1};
    pattern_fill(memory, sizeof memory, 1, 0);
    int descriptor = openat(fixture->root, "w", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_non_null(
        gy_file_write(&fixture->worker, descriptor, &buffer, 10, 60000, 5, done, fixture));
    assert_int_equal(buffer.refs, 2);
    assert_int_equal(await(fixture), 60000);
    assert_int_equal(buffer.refs, 1);
    assert_non_null(gy_file_sync(&fixture->worker, descriptor, done, fixture));
    assert_int_equal(await(fixture), 0);
    assert_int_equal(pread(descriptor, back, sizeof back, 5), 60000);
    assert_memory_equal(back, memory + 10, 60000);
    /* Where the descriptor stands: at its beginning. */
    assert_non_null(
        gy_file_write(&fixture->worker, descriptor, &buffer, 0, 7, GY_FILE_HERE, done, fixture));
    assert_int_equal(await(fixture), 7);
    assert_int_equal(lseek(descriptor, 0, SEEK_CUR), 7);
    gy_file_close(&fixture->worker, descriptor);
}

static void a_full_disk_and_a_file_that_is_not_for_writing_are_told(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t memory[4096];
    struct gy_buffer buffer = {.data = memory, .capacity = sizeof memory, .refs = 1};
    int descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_non_null(
        gy_file_write(&fixture->worker, descriptor, &buffer, 0, 4096, 0, done, fixture));
    assert_int_equal(await(fixture), -ENOSPC);
    assert_non_null(gy_file_sync(&fixture->worker, descriptor, done, fixture));
    assert_int_equal(await(fixture), -EINVAL);
    gy_file_close(&fixture->worker, descriptor);
    write_file(fixture, "r", 10);
    descriptor = (int)open_path(fixture, "r");
    assert_non_null(gy_file_write(&fixture->worker, descriptor, &buffer, 0, 1, 0, done, fixture));
    assert_int_equal(await(fixture), -EBADF);
    gy_file_close(&fixture->worker, descriptor);
}

static void what_leads_out_of_the_directory_is_refused(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "a", 1);
    assert_int_equal(symlinkat("/etc/passwd", fixture->root, "absolute"), 0);
    assert_int_equal(symlinkat("../..", fixture->root, "up"), 0);
    assert_int_equal(symlinkat("a", fixture->root, "within"), 0);
    assert_int_equal(symlinkat("/proc/self/root", fixture->root, "magic"), 0);
    assert_int_equal(open_path(fixture, "absolute"), -EXDEV);
    assert_int_equal(open_path(fixture, "up"), -EXDEV);
    assert_int_equal(open_path(fixture, "magic/etc/passwd"), -EXDEV);
    assert_int_equal(open_path(fixture, ".."), -EXDEV);
    assert_int_equal(open_path(fixture, "/etc/passwd"), -EXDEV);
    assert_int_equal(open_path(fixture, "none"), -ENOENT);
    assert_int_equal(open_path(fixture, "a/b"), -ENOTDIR);
    static const char *const good[] = {"within", "", "a"};
    for (size_t i = 0; i < 3; i++) {
        int descriptor = (int)open_path(fixture, good[i]);
        assert_true(descriptor >= 0);
        gy_file_close(&fixture->worker, descriptor);
    }
}

static void a_fifo_that_nobody_writes_does_not_block(void **state)
{
    struct fixture *fixture = *state;
    struct gy_file_status status;
    assert_int_equal(mkfifoat(fixture->root, "fifo", 0600), 0);
    int descriptor = (int)open_path(fixture, "fifo");
    assert_true(descriptor >= 0);
    assert_int_equal(gy_file_status(descriptor, &status), 0);
    assert_true(S_ISFIFO(status.mode));
    gy_file_close(&fixture->worker, descriptor);
}

static void an_owner_that_went_away_is_not_called_and_nothing_stays_open(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t memory[1000];
    struct gy_buffer buffer = {.data = memory, .capacity = sizeof memory, .refs = 1};
    write_file(fixture, "a", 1000);
    int descriptor = (int)open_path(fixture, "a");
    fixture->calls = 0;
    gy_file_forget(gy_file_open(&fixture->worker, fixture->root, "a", done, fixture));
    gy_file_forget(gy_file_read(&fixture->worker, descriptor, &buffer, 0, 1000, 0, done, fixture));
    gy_file_close(&fixture->worker, descriptor);
    while (fixture->worker.files.operations.used > 0) {
        assert_int_equal(gy_worker_turn(&fixture->worker, 100000000), 0);
    }
    assert_int_equal(buffer.refs, 1);
    assert_int_equal(fixture->calls, 0);
}

static void operations_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    uint32_t begun = 0;
    while (gy_file_open(&fixture->worker, fixture->root, "none", done, fixture) != NULL) {
        begun++;
        assert_true(begun <= GY_FILE_OPERATIONS);
    }
    assert_true(begun > 0);
    while (fixture->worker.files.operations.used > 0) {
        assert_int_equal(gy_worker_turn(&fixture->worker, 100000000), 0);
    }
    assert_int_equal(fixture->calls, begun);
    assert_int_equal(open_path(fixture, "none"), -ENOENT);
}

static void a_completion_of_an_operation_that_is_over_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(open_path(fixture, "none"), -ENOENT);
    uint64_t stale = gy_counter_read(&fixture->worker.counters.completions_stale);
    struct gy_completion completion = {gy_token(GY_OPERATION_FILE, 0, 1), 0, 0};
    gy_worker_dispatch(&fixture->worker, &completion);
    completion.token = gy_token(GY_OPERATION_FILE, GY_FILE_OPERATIONS + 7, 1);
    gy_worker_dispatch(&fixture->worker, &completion);
    assert_int_equal(gy_counter_read(&fixture->worker.counters.completions_stale), stale + 2);
    assert_int_equal(fixture->calls, 1);
}

static void a_directory_that_cannot_be_served_is_explained(void **state)
{
    struct fixture *fixture = *state;
    struct gy_error error = {0};
    char path[64];
    write_file(fixture, "a", 1);
    snprintf(path, sizeof path, "%s/a", fixture->folder);
    assert_int_equal(gy_file_open_directory(path, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "not a directory"));
    snprintf(path, sizeof path, "%s/none", fixture->folder);
    assert_int_equal(gy_file_open_directory(path, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "no such directory"));
}

static void a_directory_shows_files_and_directories_within(void **state)
{
    struct fixture *fixture = *state;
    struct gy_directory directory;
    write_file(fixture, "a", 12);
    write_file(fixture, ".hidden", 1);
    assert_int_equal(mkdirat(fixture->root, "d", 0755), 0);
    assert_int_equal(mkfifoat(fixture->root, "fifo", 0600), 0);
    assert_int_equal(symlinkat("/etc/passwd", fixture->root, "out"), 0);
    assert_int_equal(symlinkat("../a", fixture->root, "d/up"), 0);
    assert_int_equal(gy_directory_read(&directory, fixture->root, "", 100), 0);
    assert_int_equal(directory.count, 2);
    bool first = strcmp(directory.names[0].name, "a") == 0;
    assert_string_equal(directory.names[first ? 0 : 1].name, "a");
    assert_int_equal(directory.names[first ? 0 : 1].bytes, 12);
    assert_true(directory.names[first ? 1 : 0].is_directory);
    gy_directory_free(&directory);
    assert_int_equal(gy_directory_read(&directory, fixture->root, "d", 100), 0);
    assert_int_equal(directory.count, 1);
    gy_directory_free(&directory);
    assert_int_equal(gy_directory_read(&directory, fixture->root, "", 1), 0);
    assert_true(directory.cut);
    gy_directory_free(&directory);
    assert_int_equal(gy_directory_read(&directory, fixture->root, "../", 1), -EXDEV);
    assert_int_equal(gy_directory_read(&directory, fixture->root, "a", 1), -ENOTDIR);
}

struct sum {
    struct gy_helper_job job;
    uint32_t number;
    uint32_t square;
    uint32_t *total;
};

static void square(struct gy_helper_job *job)
{
    struct sum *sum = (struct sum *)job;
    sum->square = sum->number * sum->number;
}

static void add_up(struct gy_helper_job *job)
{
    struct sum *sum = (struct sum *)job;
    *sum->total += sum->square;
}

static void jobs_come_back_to_the_worker_and_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    struct gy_helper *helper;
    struct gy_error error = {0};
    struct sum sums[5];
    uint32_t total = 0;
    assert_int_equal(gy_helper_open(&helper, &fixture->worker, 4, &error), 0);
    for (uint32_t round = 0; round < 200; round++) {
        total = 0;
        for (uint32_t i = 0; i < 5; i++) {
            sums[i] =
                (struct sum){.job = {.run = square, .done = add_up}, .number = i, .total = &total};
            assert_int_equal(gy_helper_submit(helper, &sums[i].job), i < 4 ? 0 : GY_ENOBUFS);
        }
        while (total < 0 + 1 + 4 + 9) {
            assert_int_equal(gy_worker_turn(&fixture->worker, 100000000), 0);
        }
        assert_int_equal(total, 14);
    }
    /* The last job of 0 may still be on its way back. */
    while (fixture->worker.files.operations.used > 0) {
        assert_int_equal(gy_worker_turn(&fixture->worker, 100000000), 0);
    }
    gy_helper_close(helper);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_opened_beneath_a_directory_and_read),
        TEST(what_was_written_is_synced_and_read_again),
        TEST(a_full_disk_and_a_file_that_is_not_for_writing_are_told),
        TEST(what_leads_out_of_the_directory_is_refused),
        TEST(a_fifo_that_nobody_writes_does_not_block),
        TEST(an_owner_that_went_away_is_not_called_and_nothing_stays_open),
        TEST(operations_have_a_bound),
        TEST(a_completion_of_an_operation_that_is_over_is_dropped),
        TEST(a_directory_that_cannot_be_served_is_explained),
        TEST(a_directory_shows_files_and_directories_within),
        TEST(jobs_come_back_to_the_worker_and_have_a_bound),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
