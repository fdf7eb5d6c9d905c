/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/config.h"
#include "core/usage.h"

static struct gy_config *config;
static struct gy_error error;
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    config = NULL;
    error = (struct gy_error){0};
    strcpy(folder, "/tmp/gyre-config-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    gy_config_free(config);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command); /* NOLINT(cert-env33-c): a folder of our own */
}

static int parse(const char *text)
{
    gy_config_free(config);
    config = NULL;
    return gy_config_parse(&config, "test.conf", text, strlen(text), &error);
}

static const struct gy_config_directive *first(void)
{
    return gy_config_first(config);
}

/* The text cannot be read, and the message is this one. */
static void refused(const char *text, const char *message)
{
    assert_true(parse(text) < 0);
    assert_null(config);
    assert_string_equal(error.message, message);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int read_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return gy_config_read(&config, path, &error);
}

static void directives_have_keys_values_lines_and_blocks(void **state)
{
    (void)state;
    assert_int_equal(parse("a 1 two;\n# not; this\nb { c x; # nor { this\n  d {\n} }\n e;"), 0);
    const struct gy_config_directive *a = first();
    assert_string_equal(a->key, "a");
    assert_int_equal(a->value_count, 2);
    assert_string_equal(a->values[1], "two");
    assert_string_equal(a->file, "test.conf");
    const struct gy_config_directive *b = a->next;
    assert_true(b->has_block);
    assert_int_equal(b->line, 3);
    assert_string_equal(b->block->key, "c");
    assert_string_equal(b->block->next->key, "d");
    assert_int_equal(b->block->next->line, 4);
    assert_null(b->block->next->block);
    assert_string_equal(b->next->key, "e");
    assert_int_equal(b->next->line, 6);
    assert_null(b->next->next);
}

static void quotes_keep_what_would_end_a_word(void **state)
{
    (void)state;
    assert_int_equal(parse("k \"a;b {c} # \\\"d\\\\\\n\\t\" '\\n\"' \"\";"), 0);
    assert_string_equal(first()->values[0], "a;b {c} # \"d\\\n\t");
    assert_string_equal(first()->values[1], "\\n\"");
    assert_string_equal(first()->values[2], "");
    assert_int_equal(first()->value_count, 3);
}

static void lines_go_on_behind_quotes_that_span_them(void **state)
{
    (void)state;
    assert_int_equal(parse("k 'a\nb\n';\nl;"), 0);
    assert_int_equal(first()->next->line, 4);
}

static void an_empty_text_is_an_empty_configuration(void **state)
{
    (void)state;
    assert_int_equal(parse("  # nothing\n\n"), 0);
    assert_null(first());
}

static void errors_of_syntax_name_file_and_line(void **state)
{
    (void)state;
    refused("a 1;\nb 2", "test.conf:2: b: it does not end; write ; or a block in { } behind it");
    refused("a {\n b 2 }", "test.conf:2: b: it does not end; write ; before }");
    refused("\n\na {\n b; ", "test.conf:3: a: its block is never closed; a } is missing");
    refused("a;\n}", "test.conf:2: } closes nothing");
    refused("a;;", "test.conf:1: there is no key before ;");
    refused("a;\n{ b; }", "test.conf:2: there is no key before {");
    refused("\na \"b;\n", "test.conf:2: the quote \" is never closed");
    refused("a \"\\x\";", "test.conf:1: in double quotes a backslash stands before \", \\, n or t; "
                          "for text as it is use single quotes");
    refused("a b\x01;", "test.conf:1: there is a control character in the text");
    refused("a 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17;",
            "test.conf:1: a: it has more than 16 values; is a ; missing?");
}

static void blocks_cannot_be_nested_for_ever(void **state)
{
    (void)state;
    char text[64] = "";
    for (size_t i = 0; i < 40; i += 2) {
        memcpy(text + i, "a{", 2);
    }
    refused(text, "test.conf:1: a: blocks are nested more than 16 deep");
}

static void text_alone_can_include_nothing(void **state)
{
    (void)state;
    refused("include x;", "test.conf:1: include: nothing can be included here");
}

static void included_files_stand_where_they_are_included(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/sites", folder);
    mkdir(path, 0700);
    write_file("main.conf", "a;\ninclude sites/*.conf;\nz;\n");
    write_file("sites/2.conf", "two;\n");
    write_file("sites/1.conf", "one {\n include sites/in;\n}\n");
    write_file("sites/in", "inner;");
    write_file("sites/.hidden.conf", "hidden;");
    assert_int_equal(read_file("main.conf"), 0);
    const struct gy_config_directive *one = first()->next;
    assert_string_equal(one->key, "one");
    assert_string_equal(one->file, "sites/1.conf");
    assert_string_equal(one->block->key, "inner");
    assert_string_equal(one->next->key, "two");
    assert_string_equal(one->next->next->key, "z");
    assert_int_equal(one->next->next->line, 3);
}

static void a_pattern_may_match_nothing_but_a_name_may_not(void **state)
{
    (void)state;
    write_file("main.conf", "include *.none;\n");
    assert_int_equal(read_file("main.conf"), 0);
    assert_null(first());
    write_file("main.conf", "\ninclude none;\n");
    assert_true(read_file("main.conf") < 0);
    assert_non_null(strstr(error.message, "main.conf:2: include: none: No such file"));
}

static void includes_cannot_leave_the_folder(void **state)
{
    (void)state;
    char path[128], target[] = "/etc/hostname";
    snprintf(path, sizeof path, "%s/link", folder);
    assert_int_equal(symlink(target, path), 0);
    static const char *const ways[] = {"/etc/hostname", "../x", "link", "/etc/*", "../*"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "include %s;\n", ways[i]);
        write_file("main.conf", text);
        assert_true(read_file("main.conf") < 0);
        assert_non_null(strstr(error.message, "lies outside of the configuration's folder"));
    }
}

static void files_that_include_each_other_are_refused(void **state)
{
    (void)state;
    write_file("main.conf", "include main.conf;\n");
    assert_true(read_file("main.conf") < 0);
    assert_non_null(strstr(error.message, "include each other"));
}

static void a_file_that_is_not_there_and_one_that_is_no_file_are_said(void **state)
{
    (void)state;
    assert_int_equal(gy_config_read(&config, "/nonexistent/x.conf", &error), GY_EIO);
    assert_string_equal(error.message,
                        "reading the configuration /nonexistent/x.conf: No such file or directory; "
                        "name a file that is there");
    assert_int_equal(gy_config_read(&config, folder, &error), GY_EINVAL);
    assert_non_null(strstr(error.message, "it is not a regular file"));
}

/* ---- keys ---- */

struct taken {
    uint64_t number, ms;
    bool on;
    int blocks;
};

static int take(void *context, const struct gy_config_directive *directive, struct gy_error *why)
{
    struct taken *taken = context;
    switch (directive->key[0]) {
    case 'w':
        return gy_config_number(directive, 0, 1, 64, &taken->number, why);
    case 'u':
        return gy_config_switch(directive, 0, &taken->on, why);
    case 't':
        return gy_config_time(directive, 0, 3600000, &taken->ms, why);
    case 's':
        return gy_config_bytes(directive, 0, 100, UINT64_C(2) << 30, &taken->number, why);
    default:
        taken->blocks++;
        return 0;
    }
}

static const struct gy_config_key keys[] = {
    {"workers", 1, 1, GY_CONFIG_PLAIN, true, take, "N"},
    {"unpinned", 1, 1, GY_CONFIG_PLAIN, true, take, "on"},
    {"timeout", 1, 1, GY_CONFIG_PLAIN, false, take, "10s"},
    {"size", 1, 1, GY_CONFIG_PLAIN, false, take, "1m"},
    {"http", 0, 1, GY_CONFIG_BLOCK, false, take, "[NAME]"},
    {"quiet", 0, 0, GY_CONFIG_PLAIN, false, take, ""},
};

static struct taken taken;

static int apply(const char *text)
{
    taken = (struct taken){0};
    assert_int_equal(parse(text), 0);
    return gy_config_apply(first(), keys, sizeof keys / sizeof keys[0], &taken, &error);
}

static void wrong(const char *text, const char *message)
{
    assert_int_equal(apply(text), GY_EINVAL);
    assert_string_equal(error.message, message);
}

static void keys_take_their_values(void **state)
{
    (void)state;
    assert_int_equal(apply("workers 4; unpinned on; http { } http b { anything; }"), 0);
    assert_int_equal(taken.number, 4);
    assert_true(taken.on);
    assert_int_equal(taken.blocks, 2);
}

static void times_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } times[] = {{"timeout 500ms;", 500},
                 {"timeout 10;", 10000},
                 {"timeout 10s;", 10000},
                 {"timeout 5m;", 300000},
                 {"timeout 1h;", 3600000}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_int_equal(apply(times[i].text), 0);
        assert_int_equal(taken.ms, times[i].ms);
    }
    wrong("timeout 2h;", "test.conf:1: timeout: 2h is not a time of at most 3600 s; write it as "
                         "500ms, 10s, 5m or 2h");
    wrong("timeout 99999999999999999999;",
          "test.conf:1: timeout: 99999999999999999999 is not a time of at most 3600 s; write it as "
          "500ms, 10s, 5m or 2h");
}

static void sizes_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"size 512;", 512},
                 {"size 16k;", 16384},
                 {"size 3m;", 3 << 20},
                 {"size 2g;", UINT64_C(2) << 30}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(apply(sizes[i].text), 0);
        assert_int_equal(taken.number, sizes[i].bytes);
    }
    static const char *const wrong_ones[] = {
        "99", "3g", "-1", "1M", "1kb", "k", "99999999999999999999", "18014398509481985k"};
    for (size_t i = 0; i < sizeof wrong_ones / sizeof wrong_ones[0]; i++) {
        char text[64], message[160];
        snprintf(text, sizeof text, "size %s;", wrong_ones[i]);
        snprintf(message, sizeof message,
                 "test.conf:1: size: %s is not a size from 100 to 2147483648 bytes; write it as "
                 "512, 16k, 1m or 2g",
                 wrong_ones[i]);
        wrong(text, message);
    }
}

static void errors_of_keys_name_file_line_and_key(void **state)
{
    (void)state;
    wrong("\nworkers 65;", "test.conf:2: workers: 65 is not a number from 1 to 64");
    wrong("workers -1;", "test.conf:1: workers: -1 is not a number from 1 to 64");
    wrong("workers 4x;", "test.conf:1: workers: 4x is not a number from 1 to 64");
    wrong("unpinned yes;", "test.conf:1: unpinned: yes is neither on nor off");
    wrong("workers;", "test.conf:1: workers: it needs a value; write workers N;");
    wrong("workers 1 2;",
          "test.conf:1: workers: it has too many values (is a ; missing?, or quotes around text "
          "with blanks?); write workers N;");
    wrong("quiet 1;", "test.conf:1: quiet: it takes no value, but 1 stands there");
    wrong("workers 1 { }", "test.conf:1: workers: it takes no block; write workers N;");
    wrong("http;", "test.conf:1: http: it needs a block: http { }");
    wrong("workers 1;\n\nworkers 2;",
          "test.conf:3: workers: it is there already, at test.conf:1; leave one out");
}

static void unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    wrong("wrokers 1;", "test.conf:1: wrokers: there is no such key here; did you mean workers?");
    wrong("worker 1;", "test.conf:1: worker: there is no such key here; did you mean workers?");
    wrong("timout 1;", "test.conf:1: timout: there is no such key here; did you mean timeout?");
    wrong("frobnicate 1;", "test.conf:1: frobnicate: there is no such key here; those that are: "
                           "workers, unpinned, timeout, size, http, quiet");
}

static void help_page(FILE *out)
{
    fputs("Usage: gyre http [DIR]\n\n  -c, --connections N  at most\n  --listen ADDR:PORT   where; "
          "--no-listing\n",
          out);
}

static void unknown_flags_name_the_nearest_of_the_help(void **state)
{
    (void)state;
    char hint[GY_USAGE_HINT_BYTES];
    assert_string_equal(gy_usage_hint(hint, "--lisen", help_page), "; did you mean --listen?");
    assert_string_equal(gy_usage_hint(hint, "--lisetn=:80", help_page), "; did you mean --listen?");
    assert_string_equal(gy_usage_hint(hint, "--conections", help_page),
                        "; did you mean --connections?");
    assert_string_equal(gy_usage_hint(hint, "--frobnicate", help_page), "");
    assert_string_equal(gy_usage_hint(hint, "lisen", help_page), "");
    assert_string_equal(gy_usage_hint(hint, "--", help_page), "");
    assert_string_equal(gy_usage_hint(hint, "--listen", help_page), ""); /* it lacks its value */
    static const char *const names[] = {"http", "doctor"};
    assert_string_equal(gy_usage_command(hint, "htpp", names, 2), "; did you mean `http`?");
    assert_string_equal(gy_usage_command(hint, "frobnicate", names, 2), "");
}

static void flags_take_times_as_keys_do(void **state)
{
    (void)state;
    uint64_t ms = 0;
    assert_true(gy_config_read_time("1500ms", 2000, &ms));
    assert_int_equal(ms, 1500);
    assert_true(gy_config_read_time("2", 2000, &ms));
    assert_int_equal(ms, 2000);
    assert_false(gy_config_read_time("3s", 2000, &ms));
    assert_false(gy_config_read_time("-1s", 2000, &ms));
    assert_false(gy_config_read_time("1d", 2000, &ms));
    assert_false(gy_config_read_time("", 2000, &ms));
}

int main(void)
{
#define config_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        config_test(directives_have_keys_values_lines_and_blocks),
        config_test(quotes_keep_what_would_end_a_word),
        config_test(lines_go_on_behind_quotes_that_span_them),
        config_test(an_empty_text_is_an_empty_configuration),
        config_test(errors_of_syntax_name_file_and_line),
        config_test(blocks_cannot_be_nested_for_ever),
        config_test(text_alone_can_include_nothing),
        config_test(included_files_stand_where_they_are_included),
        config_test(a_pattern_may_match_nothing_but_a_name_may_not),
        config_test(includes_cannot_leave_the_folder),
        config_test(files_that_include_each_other_are_refused),
        config_test(a_file_that_is_not_there_and_one_that_is_no_file_are_said),
        config_test(keys_take_their_values),
        config_test(times_have_units),
        config_test(sizes_have_units),
        config_test(errors_of_keys_name_file_line_and_key),
        config_test(unknown_keys_name_the_nearest),
        config_test(unknown_flags_name_the_nearest_of_the_help),
        config_test(flags_take_times_as_keys_do),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
