/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "bench/load/place.h"

#define URL "http://127.0.0.1:8080/"

/* Reads the words of `line`, which must outlive the options. */
static int read_line(struct gy_load_options *options, char *line, struct gy_error *error)
{
    char *words[32] = {NULL};
    int count = 1;
    static char program[] = "gyre-load";
    words[0] = program;
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    return gy_load_options_read(options, count, words, error);
}

static char line[512];

static struct gy_load_options taken(const char *text)
{
    struct gy_load_options options;
    struct gy_error error = {0};
    snprintf(line, sizeof line, "%s", text);
    if (read_line(&options, line, &error) != 0) {
        fail_msg("%s: %s", text, error.message);
    }
    return options;
}

static void refused(const char *text, const char *hint)
{
    struct gy_load_options options;
    struct gy_error error = {0};
    snprintf(line, sizeof line, "%s", text);
    assert_true(read_line(&options, line, &error) < 0);
    if (strstr(error.message, hint) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, error.message, hint);
    }
}

static void a_url_alone_is_enough(void **state)
{
    (void)state;
    struct gy_load_options options = taken(URL);
    assert_ptr_equal(options.protocol, &gy_load_http);
    assert_string_equal(options.host, "127.0.0.1");
    assert_string_equal(options.path, "/");
    assert_int_equal(options.port, 8080);
    assert_int_equal(options.connections, 64);
    assert_int_equal(options.arrivals, GY_LOAD_CLOSED_LOOP);
    assert_true(options.duration_ns == UINT64_C(10000000000));
    assert_true(options.warmup_ns == UINT64_C(1000000000));
}

static void connections_come_from_the_addresses_that_are_given(void **state)
{
    (void)state;
    struct gy_load_options options = taken(URL " --source 127.0.0.2 --source ::1 --source [::1]");
    char text[GY_ADDRESS_TEXT_BYTES];
    assert_int_equal(options.source_count, 3);
    gy_address_format(gy_load_source(&options, 0, 0), text, sizeof text);
    assert_string_equal(text, "127.0.0.2:0");
    gy_address_format(gy_load_source(&options, 0, 1), text, sizeof text);
    assert_string_equal(text, "[::1]:0");
    assert_ptr_equal(gy_load_source(&options, 0, 3), gy_load_source(&options, 0, 0));
    assert_ptr_equal(gy_load_source(&options, 1, 2), gy_load_source(&options, 0, 0));
    options = taken(URL);
    assert_null(gy_load_source(&options, 0, 0));
    refused(URL " --source 127.0.0.2:80", "without a port");
    refused(URL " --source somewhere", "without a port");
    refused("udp://127.0.0.1:1 --source 127.0.0.2", "over TCP");
}

static void https_has_its_own_flags(void **state)
{
    (void)state;
    struct gy_load_options options =
        taken("https://localhost:8443/ --handshakes resumed --ca authority.pem");
    assert_ptr_equal(options.protocol, &gy_load_https);
    assert_int_equal(options.handshakes, GY_LOAD_HANDSHAKES_RESUMED);
    assert_string_equal(options.tls.authorities, "authority.pem");
    gy_tls_files_close(&options.tls);
    assert_int_equal(taken("https://localhost/ --handshakes full").handshakes,
                     GY_LOAD_HANDSHAKES_FULL);
    assert_true(taken("https://localhost/ --insecure").insecure);
    refused("https://localhost/ --handshakes quick", "full or resumed");
    refused("https://localhost/ --handshakes full --pipeline 2", "without --pipeline");
    refused(URL " --handshakes full", "https://");
    refused(URL " --insecure", "https://");
}

static void dns_has_its_own_flags(void **state)
{
    (void)state;
    struct gy_load_options options =
        taken("dns://[::1]:5300 --queries q.txt --edns 4096 --dnssec --trains --outstanding 100");
    assert_ptr_equal(options.protocol, &gy_load_dns);
    assert_string_equal(options.queries_file, "q.txt");
    assert_int_equal(options.edns_bytes, 4096);
    assert_true(options.dnssec && options.trains);
    assert_int_equal(options.outstanding, 100);
    assert_ptr_equal(taken("dns+tls://localhost/example.com?type=MX --insecure").protocol,
                     &gy_load_dns_tls);
    refused("dns://localhost", "what is to be asked");
    refused("dns://localhost/a --queries q.txt", "without a name here");
    refused(URL " --dnssec", "dns://");
    refused("dns+tcp://localhost/a --trains", "--trains is for");
    refused("dns+tls://localhost/a --handshakes full", "--handshakes is for https://");
    refused("dns://localhost/a --outstanding 5 --rate 1", "closed loop");
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    struct gy_load_options options = taken("http://[::1]:81/a/b?c=d#part");
    assert_string_equal(options.host, "::1");
    assert_int_equal(options.port, 81);
    assert_string_equal(options.path, "/a/b?c=d");
    options = taken("http://example.org?q");
    assert_string_equal(options.host, "example.org");
    assert_int_equal(options.port, 0);
    assert_string_equal(options.path, "/?q");
    options = taken("tcp://127.0.0.1:7");
    assert_ptr_equal(options.protocol, &gy_load_tcp);
}

static void urls_that_cannot_be_are_refused_with_a_reason(void **state)
{
    (void)state;
    refused("", "no URL");
    refused("ftp://127.0.0.1:1/", "there are http://, https://, tcp://");
    refused("127.0.0.1:8080", "there are http://, https://, tcp://");
    refused("tcp://127.0.0.1", "tcp://127.0.0.1:PORT");
    refused("http://:80/", "no host");
    refused("http://a:0/", "port");
    refused("http://a:99999/", "port");
    refused("http://a:8x/", "port");
    refused("http://[::1/", "`[` without `]`");
    refused("http://a/\x01", "byte that a URL must not have");
    refused(URL " " URL, "one URL at a time");
}

static void flags_are_taken_in_every_spelling(void **state)
{
    (void)state;
    struct gy_load_options options =
        taken("-c 8 " URL " -d250ms --threads=2 --timeout 2s --pipeline 16 --check -n 500");
    assert_int_equal(options.connections, 8);
    assert_int_equal(options.threads, 2);
    assert_int_equal(options.pipeline, 16);
    assert_true(options.check);
    assert_true(options.duration_ns == 250000000);
    assert_true(options.timeout_ns == UINT64_C(2000000000));
    assert_true(options.requests == 500 && options.warmup_ns == 0);
}

static void a_rate_makes_an_open_loop(void **state)
{
    (void)state;
    struct gy_load_options options = taken(URL " --rate 20k");
    assert_int_equal(options.arrivals, GY_LOAD_CONSTANT);
    assert_true(options.rate == 20000);
    assert_true(taken(URL " --rate 1.5M").rate == 1500000);
    options = taken(URL " --rate 0.5 --poisson --seed 9");
    assert_int_equal(options.arrivals, GY_LOAD_POISSON);
    assert_true(options.rate == 0.5 && options.seed == 9);
}

static void an_slo_is_a_percentile_and_a_time(void **state)
{
    (void)state;
    struct gy_load_options options = taken(URL " --find-max --slo p99.9=20ms");
    assert_true(options.find_max && options.slo_percentile == 99.9);
    assert_true(options.slo_ns == 20000000);
    static const char *const bad[] = {"99=5ms", "p=5ms",   "p101=5ms", "p99",
                                      "p99=",   "p99=5xs", "p0=1s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, URL " --find-max --slo %s", bad[i]);
        refused(text, "--slo");
    }
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    refused(URL " -c 0", "--connections 0: must be a number from 1");
    refused(URL " -c 4x", "--connections");
    refused(URL " -t 257", "--threads");
    refused(URL " -d 0", "--duration 0: must be a time");
    refused(URL " -d -1s", "--duration");
    refused(URL " -d 5parsecs", "--duration");
    refused(URL " --rate 0", "--rate");
    refused(URL " --rate nan", "--rate");
    refused(URL " --receive-mode fast", "one-shot, multishot");
    refused(URL " --timeout", "needs a value");
    refused(URL " --nonsense", "unknown flag --nonsense");
}

static void what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    refused(URL " --find-max --rate 5", "without --rate");
    refused(URL " --slo p99=1ms", "--find-max");
    refused(URL " --poisson", "--rate");
    refused(URL " -c 2 -t 4", "4 threads for 2 connections");
    refused(URL " -n 5 --warmup 1s", "exclude each other");
}

/* Encodes the requests of `options` and returns them as text (the caller frees it). */
static char *requests_of(struct gy_load_options *options)
{
    struct gy_error error = {0};
    void *plan = NULL;
    if (options->protocol->prepare(options, &plan, &error) != 0) {
        fail_msg("%s", error.message);
    }
    uint32_t bytes;
    const char *data = options->protocol->requests(plan, &bytes);
    size_t length = (size_t)bytes * options->pipeline;
    char *text = calloc(1, length + 1);
    assert_non_null(text);
    memcpy(text, data, length); /* the requests end in no zero */
    options->protocol->finish(plan);
    return text;
}

static void a_request_is_encoded_once_for_each_place_in_the_pipeline(void **state)
{
    (void)state;
    struct gy_load_options options = taken("http://[::1]:81/x --pipeline 2");
    char *text = requests_of(&options);
    assert_string_equal(text, "GET /x HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"
                              "GET /x HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
    free(text);
}

/* A file with this text, named in `path`. */
static void write_file(char path[64], const void *text, size_t bytes)
{
    snprintf(path, 64, "/tmp/gyre-load-body-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, bytes) == (ssize_t)bytes);
    close(file);
}

/* What `line` with --body `path` is encoded as; freed by the caller. */
static char *request_with(const char *words, const char *path)
{
    char text[256];
    snprintf(text, sizeof text, "%s --body %s", words, path);
    struct gy_load_options options = taken(text);
    return requests_of(&options);
}

static void a_body_is_sent_with_its_length(void **state)
{
    (void)state;
    char path[64];
    write_file(path, "a=1\r\n", 5);
    char *text = request_with("http://a/x --pipeline 2", path);
    assert_string_equal(text, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na=1\r\n"
                              "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na=1\r\n");
    free(text);
    text = request_with("http://a/x --method PUT --header X-Y:z", path);
    assert_string_equal(text,
                        "PUT /x HTTP/1.1\r\nHost: a\r\nX-Y:z\r\nContent-Length: 5\r\n\r\na=1\r\n");
    free(text);
    unlink(path);
}

static void a_method_without_a_body_is_sent_as_it_is(void **state)
{
    (void)state;
    static const char *const wanted[][2] = {
        {"http://a/ --method HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"http://a/ --method=DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"http://a/ --method M-SEARCH", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n"},
        /* RFC 9110 §8.6: whoever means to send a body says that it is empty */
        {"http://a/ --method POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct gy_load_options options = taken(wanted[i][0]);
        char *text = requests_of(&options);
        assert_string_equal(text, wanted[i][1]);
        free(text);
    }
}

/* `words` are taken, and then the request cannot be encoded: `code`, and why. */
static void not_encoded(const char *words, int code, const char *hint)
{
    struct gy_load_options options = taken(words);
    struct gy_error error = {0};
    void *plan = NULL;
    assert_int_equal(options.protocol->prepare(&options, &plan, &error), code);
    assert_null(plan);
    if (strstr(error.message, hint) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", words, error.message, hint);
    }
}

static void a_body_has_a_bound_and_a_length_of_its_own(void **state)
{
    (void)state;
    char path[64], words[256];
    write_file(path, "", 0);
    assert_int_equal(truncate(path, (64l << 20) + 1), 0); /* a hole */
    snprintf(words, sizeof words, "http://a/ --body %s", path);
    not_encoded(words, GY_EIO, "longer than 64 MiB");
    assert_int_equal(truncate(path, 1 << 20), 0);
    snprintf(words, sizeof words, "http://a/ --pipeline 256 --body %s", path);
    not_encoded(words, GY_EINVAL, "--body times --pipeline: at most 256 MiB");
    unlink(path);
    not_encoded(words, GY_EIO, "cannot be read: No such file");
    not_encoded("http://a/ --body /", GY_EIO, "cannot be read: it is a directory; name a file");
    not_encoded("http://a/ --header Content-Length:5", GY_EINVAL, "are those of --body");
    not_encoded("http://a/ --header transfer-encoding:chunked", GY_EINVAL, "are those of --body");
}

static void what_can_be_no_request_is_refused(void **state)
{
    (void)state;
    refused(URL " --method=", "write a word such as POST");
    refused(URL " --method G(T", "write a word such as POST");
    refused(URL " --method GET\r\nX:y", "write a word such as POST");
    refused(URL " --method AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "write a word such as POST");
    refused(URL " --method CONNECT", "no HTTP any more");
    refused(URL " --method TRACE --body x", "must not have a --body");
    refused("tcp://127.0.0.1:7 --method POST", "are for http://");
    refused("ws://127.0.0.1:7 --body x", "are for http://");
}

static void flags_without_an_effect_are_refused(void **state)
{
    (void)state;
    refused(URL " --size 5", "--body FILE");
    refused("dns://127.0.0.1/a --size 5", "--size is of messages");
    refused("tcp://127.0.0.1:7 --header A:b", "--header is for");
    refused(URL " --udp-mode ring", "--udp-mode is for");
    refused("rudp://127.0.0.1 --trains", "--trains is for");
    assert_int_equal(taken("ws://127.0.0.1:7 --header A:b").header_count, 1);
}

static void a_size_that_no_message_can_have_is_misuse(void **state)
{
    (void)state;
    not_encoded("udp://127.0.0.1:7 --size 7", GY_EINVAL, "from 8 to");
    not_encoded("udp://127.0.0.1:7 --size 65508", GY_EINVAL, "from 8 to");
    not_encoded("rudp://127.0.0.1 --size 600000", GY_EINVAL, "from 1 to 524288");
    not_encoded("chat://127.0.0.1 --broadcast --size 16001", GY_EINVAL, "at most 16,000");
    not_encoded("dns://127.0.0.1/a?type=AXFR", GY_EINVAL, "AXFR is not asked for");
    not_encoded("redis://127.0.0.1/a%20b --broadcast", GY_EINVAL, "names a channel");
}

static void headers_are_added_and_a_host_replaces_ours(void **state)
{
    (void)state;
    struct gy_load_options options = taken("http://a/ -H Accept:x --header HOST:other -q");
    char *text = requests_of(&options);
    assert_string_equal(text, "GET / HTTP/1.1\r\nAccept:x\r\nHOST:other\r\n\r\n");
    free(text);
}

static void a_header_cannot_smuggle_a_request(void **state)
{
    (void)state;
    struct gy_load_options options = taken("http://a/");
    static const char *const bad[] = {"X: y\r\n\r\nGET / HTTP/1.1", "nocolon", ": x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct gy_error error = {0};
        void *plan = NULL;
        options.headers[0] = bad[i];
        options.header_count = 1;
        assert_int_equal(options.protocol->prepare(&options, &plan, &error), GY_EINVAL);
        assert_non_null(strstr(error.message, "--header"));
    }
}

static void names_are_resolved_and_unknown_ones_named(void **state)
{
    (void)state;
    struct gy_error error = {0};
    struct gy_load_options options = taken("http://127.0.0.1/");
    assert_int_equal(gy_load_resolve(&options, &error), 0);
    assert_int_equal(gy_address_port(&options.address), 80);
    options = taken("http://no-such-host.invalid/");
    assert_int_equal(gy_load_resolve(&options, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "no-such-host.invalid"));
}

static void what_is_for_reliable_udp_alone_is_refused_elsewhere(void **state)
{
    (void)state;
    struct gy_load_options options =
        taken("rudp://127.0.0.1 --insecure --acked --datagram 1452 --size 1000");
    assert_true(options.acked && options.insecure && options.protocol->reliable);
    assert_int_equal(options.datagram_bytes, 1452);
    assert_int_equal(options.protocol->port, 7117);
    refused("udp://127.0.0.1:7 --acked", "rudp://");
    options = taken("rudp://127.0.0.1 --plaintext");
    assert_true(options.plaintext);
    refused("rudp://127.0.0.1 --plaintext --insecure", "--plaintext");
    refused(URL " --plaintext", "rudp://");
    refused(URL " --datagram 1452", "rudp://");
    refused("rudp://127.0.0.1 --datagram 1199", "1200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_for_reliable_udp_alone_is_refused_elsewhere),
        cmocka_unit_test(a_url_alone_is_enough),
        cmocka_unit_test(connections_come_from_the_addresses_that_are_given),
        cmocka_unit_test(https_has_its_own_flags),
        cmocka_unit_test(dns_has_its_own_flags),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(urls_that_cannot_be_are_refused_with_a_reason),
        cmocka_unit_test(flags_are_taken_in_every_spelling),
        cmocka_unit_test(a_rate_makes_an_open_loop),
        cmocka_unit_test(an_slo_is_a_percentile_and_a_time),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(a_request_is_encoded_once_for_each_place_in_the_pipeline),
        cmocka_unit_test(a_body_is_sent_with_its_length),
        cmocka_unit_test(a_method_without_a_body_is_sent_as_it_is),
        cmocka_unit_test(a_body_has_a_bound_and_a_length_of_its_own),
        cmocka_unit_test(what_can_be_no_request_is_refused),
        cmocka_unit_test(flags_without_an_effect_are_refused),
        cmocka_unit_test(a_size_that_no_message_can_have_is_misuse),
        cmocka_unit_test(headers_are_added_and_a_host_replaces_ours),
        cmocka_unit_test(a_header_cannot_smuggle_a_request),
        cmocka_unit_test(names_are_resolved_and_unknown_ones_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
