/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "core/log.h"
#include "servers/http/access_log.h"

/* A request as a transport leaves it: spans of one text. */
static struct gy_http_exchange exchange;
static char head[8192];
static size_t head_bytes;

static struct gy_http_span span(const char *text, size_t length)
{
    struct gy_http_span made = {(uint16_t)head_bytes, (uint16_t)length};
    assert_true(head_bytes + length <= sizeof head);
    memcpy(head + head_bytes, text, length);
    head_bytes += length;
    return made;
}

static void field(const char *name, const char *value)
{
    struct gy_http_field *made = &exchange.fields[exchange.field_count++];
    made->name = span(name, strlen(name));
    made->value = span(value, strlen(value));
}

static void request(const char *method, const char *target)
{
    memset(&exchange, 0, sizeof exchange);
    head_bytes = 0;
    exchange.head_data = (const uint8_t *)head;
    exchange.method_name = span(method, strlen(method));
    exchange.target = span(target, strlen(target));
}

static struct gy_access_peer peer;
static char line[GY_ACCESS_LINE_BYTES + 1];

static struct gy_access_entry entry_of(uint16_t status, uint64_t bytes)
{
    peer = (struct gy_access_peer){.family = AF_INET, .known = true, .address = {192, 0, 2, 1}};
    return (struct gy_access_entry){.peer = &peer,
                                    .exchange = &exchange,
                                    .status = status,
                                    .minor = 1,
                                    .body_bytes = bytes,
                                    .duration_ns = 1234567};
}

/* 784111777: Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 §5.6.7. */
static const char *format(enum gy_access_format how, const struct gy_access_entry *entry)
{
    char time[GY_ACCESS_TIME_BYTES];
    gy_access_time(how, 784111777, time);
    line[gy_access_format_line(line, how, time, entry)] = '\0';
    return line;
}

static void the_combined_format_is_as_others_read_it(void **state)
{
    (void)state;
    request("GET", "/index.html?a=b");
    field("User-Agent", "curl/7.88.1");
    field("Referer", "http://example.com/");
    struct gy_access_entry entry = entry_of(200, 612);
    assert_string_equal(format(GY_ACCESS_COMBINED, &entry),
                        "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /index.html?a=b "
                        "HTTP/1.1\" 200 612 \"http://example.com/\" \"curl/7.88.1\"\n");
}

static void what_is_missing_is_a_dash_or_null(void **state)
{
    (void)state;
    struct gy_access_entry entry = entry_of(400, 0);
    entry.exchange = NULL;
    peer.family = 0;
    assert_string_equal(format(GY_ACCESS_COMBINED, &entry),
                        "- - - [06/Nov/1994:08:49:37 +0000] \"-\" 400 0 \"-\" \"-\"\n");
    assert_string_equal(format(GY_ACCESS_JSON, &entry),
                        "{\"time\":\"1994-11-06T08:49:37Z\",\"peer\":\"-\",\"method\":null,"
                        "\"target\":null,\"host\":null,\"protocol\":\"HTTP/1.1\",\"status\":400,"
                        "\"bytes\":0,\"duration_us\":1234,\"referer\":null,\"user_agent\":null,"
                        "\"cut\":false}\n");
}

static void the_json_format_has_all_members(void **state)
{
    (void)state;
    request("POST", "/x");
    exchange.authority = span("example.com:8080", 16);
    field("User-Agent", "a\tb");
    struct gy_access_entry entry = entry_of(201, 5);
    entry.cut = true;
    entry.minor = 0;
    peer.family = AF_INET6;
    inet_pton(AF_INET6, "2001:db8::1", peer.address);
    assert_string_equal(format(GY_ACCESS_JSON, &entry),
                        "{\"time\":\"1994-11-06T08:49:37Z\",\"peer\":\"2001:db8::1\",\"method\":"
                        "\"POST\",\"target\":\"/x\",\"host\":\"example.com:8080\",\"protocol\":"
                        "\"HTTP/1.0\",\"status\":201,\"bytes\":5,\"duration_us\":1234,\"referer\":"
                        "null,\"user_agent\":\"a\\u0009b\",\"cut\":true}\n");
}

static void nothing_a_client_sends_ends_a_line_or_a_field(void **state)
{
    (void)state;
    char agent[256];
    for (int i = 0; i < 255; i++) {
        agent[i] = (char)(i + 1);
    }
    agent[255] = '\0';
    request("GET", "/\"\\ \x1b[2J\x80");
    field("User-Agent", agent);
    field("Referer", "\" 200 1 \"x\nforged");
    struct gy_access_entry entry = entry_of(200, 1);
    for (int json = 0; json <= 1; json++) {
        const char *text = format(json ? GY_ACCESS_JSON : GY_ACCESS_COMBINED, &entry);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        for (const char *at = text; at[1] != '\0'; at++) {
            assert_true(*at >= 0x20 && *at < 0x7f);
        }
    }
    format(GY_ACCESS_COMBINED, &entry);
    assert_non_null(strstr(line, "\"GET /\\x22\\x5c \\x1b[2J\\x80 HTTP/1.1\" 200 1 "
                                 "\"\\x22 200 1 \\x22x\\x0aforged\" \""));
    format(GY_ACCESS_JSON, &entry);
    assert_non_null(strstr(line, "\"target\":\"/\\u0022\\u005c \\u001b[2J\\u0080\""));
}

static void long_texts_are_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    static char text[3000];
    memset(text, '"', sizeof text - 1);
    request("GET", text);
    field("User-Agent", text + 1000);
    field("Referer", text + 1000);
    struct gy_access_entry entry = entry_of(414, 0);
    for (int json = 0; json <= 1; json++) {
        const char *cut = format(json ? GY_ACCESS_JSON : GY_ACCESS_COMBINED, &entry);
        assert_true(strlen(cut) > 1024 && strlen(cut) < GY_ACCESS_LINE_BYTES);
        assert_string_equal(cut + strlen(cut) - 2, json ? "}\n" : "\"\n");
    }
}

/* ---- queue and writer ---- */

static struct gy_access_log *access_log;
static char path[64];
static int diary = -1; /* what the process's log says */

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/gyre-access-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    diary = memfd_create("log", MFD_CLOEXEC);
    struct gy_log_settings settings = {.fd = diary, .level = GY_LOG_INFO};
    request("GET", "/");
    return fd < 0 || gy_log_configure(&settings, NULL) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (access_log != NULL) {
        gy_access_log_stop(access_log);
        gy_access_log_close(access_log);
        access_log = NULL;
    }
    close(diary);
    unlink(path);
    return 0;
}

static bool said(const char *text)
{
    static char all[16384];
    ssize_t length = pread(diary, all, sizeof all - 1, 0);
    all[length > 0 ? length : 0] = '\0';
    return strstr(all, text) != NULL;
}

static void open_log(const char *where, uint32_t workers, uint32_t queue_bytes)
{
    struct gy_access_options options = {
        .path = where, .workers = workers, .queue_bytes = queue_bytes};
    struct gy_error error = {0};
    assert_int_equal(gy_access_log_open(&access_log, &options, &error), 0);
}

static int put(uint32_t worker, uint64_t number)
{
    struct gy_access_entry entry = entry_of(200, number);
    return gy_access_queue_write(gy_access_log_queue(access_log, worker), &entry, 1);
}

static uint32_t lines_in(const char *where)
{
    uint32_t lines = 0;
    FILE *file = fopen(where, "r");
    assert_non_null(file);
    for (int c; (c = fgetc(file)) != EOF;) {
        lines += c == '\n';
    }
    fclose(file);
    return lines;
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

#define AWAIT(condition)                                                                           \
    for (int tries = 0; !(condition); tries++) {                                                   \
        if (tries == 1000) {                                                                       \
            fail_msg("waited in vain for: %s", #condition);                                        \
        }                                                                                          \
        pause_ms(10);                                                                              \
    }

static void every_line_of_every_worker_is_written_whole(void **state)
{
    (void)state;
    open_log(path, 3, 0);
    assert_int_equal(gy_access_log_start(access_log, NULL), 0);
    for (uint32_t i = 0; i < 3000; i++) {
        while (put(i % 3, i) != 0) {
            pause_ms(1);
        }
    }
    gy_access_log_stop(access_log);
    uint64_t sum = 0;
    uint32_t lines = 0;
    char text[512];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(text, sizeof text, file) != NULL) {
        unsigned number;
        const char *at = strstr(text, "\" 200 ");
        assert_int_equal(strncmp(text, "192.0.2.1 - - [", 15), 0);
        assert_non_null(at);
        assert_int_equal(sscanf(at, "\" 200 %u \"-\" \"-\"", &number), 1);
        sum += number;
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, 3000);
    assert_int_equal(sum, 2999 * 1500);
}

static void a_full_queue_drops_lines_and_counts_them(void **state)
{
    (void)state;
    open_log(path, 1, 4096);
    int taken = 0;
    while (put(0, 1) == 0) {
        taken++;
    }
    assert_true(taken >= 20 && taken <= 80);
    assert_int_equal(put(0, 1), GY_ENOBUFS);
    assert_int_equal(gy_access_log_dropped(access_log), 2);
    assert_int_equal(gy_access_log_start(access_log, NULL), 0);
    AWAIT(said("2 lines were dropped"));
    AWAIT(lines_in(path) == (uint32_t)taken);
    assert_int_equal(put(0, 1), 0);
    AWAIT(lines_in(path) == (uint32_t)taken + 1);
}

/* /dev/full refuses every write as a full disk does; then the file gets room. */
static void a_full_disk_is_said_once_and_recovers(void **state)
{
    (void)state;
    open_log("/dev/full", 1, 0);
    assert_int_equal(gy_access_log_start(access_log, NULL), 0);
    assert_int_equal(put(0, 1), 0);
    AWAIT(said("/dev/full cannot be written: No space left on device"));
    pause_ms(1200);
    char all[4096] = "";
    assert_true(pread(diary, all, sizeof all - 1, 0) > 0);
    assert_null(strstr(strstr(all, "cannot be written") + 1, "cannot be written"));
    for (int fd = 3; fd < 64; fd++) { /* the log's descriptor becomes another file */
        char name[64], target[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strcmp(target, "/dev/full") == 0) {
            int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
            dup2(file, fd);
            close(file);
        }
    }
    AWAIT(said("can be written again; 0 lines were dropped"));
    assert_int_equal(lines_in(path), 1);
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct gy_access_options options = {.path = "/nonexistent/log", .workers = 1};
    struct gy_error error = {0};
    assert_true(gy_access_log_open(&access_log, &options, &error) < 0);
    assert_non_null(strstr(error.message, "/nonexistent/log: No such file or directory"));
    access_log = NULL;
}

int main(void)
{
#define log_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_combined_format_is_as_others_read_it),
        cmocka_unit_test(what_is_missing_is_a_dash_or_null),
        cmocka_unit_test(the_json_format_has_all_members),
        cmocka_unit_test(nothing_a_client_sends_ends_a_line_or_a_field),
        cmocka_unit_test(long_texts_are_cut_and_the_line_stays_whole),
        log_test(every_line_of_every_worker_is_written_whole),
        log_test(a_full_queue_drops_lines_and_counts_them),
        log_test(a_full_disk_is_said_once_and_recovers),
        log_test(a_file_that_cannot_be_opened_is_named),
    };
    return cmocka_run_group_tests_name("access_log", tests, NULL, NULL);
}
