/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/header_rules.h"

#include "protocols/http/syntax.h"

/* Names that no rule may have, and what to say. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"Connection", "it frames the message, and is written by the server"},
    {"Content-Length", "it frames the message, and is written by the server"},
    {"Keep-Alive", "it frames the message, and is written by the server"},
    {"Proxy-Connection", "it frames the message, and is written by the server"},
    {"TE", "it frames the message, and is written by the server"},
    {"Trailer", "it frames the message, and is written by the server"},
    {"Transfer-Encoding", "it frames the message, and is written by the server"},
    {"Upgrade", "it frames the message, and is written by the server"},
    {"Content-Encoding", "it says how this very body is encoded; see precompressed"},
    {"Content-Range", "it says which part of the file this very body is"},
    {"Date", "it is the time of each response, and is written by the server"},
    {"Location", "write a redirect instead"},
};

/* Fields without which a response says something else than was meant; a rule may set, not remove
 * them. */
static const char *const kept[] = {"Content-Type", "Allow", "Retry-After", "Accept-Ranges"};

static int check_name(struct gy_http_text name, bool removes, struct gy_error *error)
{
    if (name.length == 0 || !gy_http_all(name, GY_HTTP_CLASS_TOKEN)) {
        return gy_error_set(error, GY_EINVAL,
                            "%.64s is no name of a header field; write one like Cache-Control",
                            name.length == 0 ? "an empty text" : name.data);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (gy_http_text_equal_nocase(name, gy_http_text_of(refused[i].name))) {
            return gy_error_set(error, GY_EINVAL, "%s cannot be changed: %s", refused[i].name,
                                refused[i].why);
        }
    }
    for (size_t i = 0; removes && i < sizeof kept / sizeof kept[0]; i++) {
        if (gy_http_text_equal_nocase(name, gy_http_text_of(kept[i]))) {
            return gy_error_set(error, GY_EINVAL,
                                "%s cannot be removed, as responses need it; set another value",
                                kept[i]);
        }
    }
    return 0;
}

static int push(struct gy_header_rules *rules, const struct gy_header_rule *rule,
                struct gy_error *error)
{
    size_t bytes = rule->header.name.length + rule->header.value.length + 4;
    if (rules->count == GY_HEADER_RULES_MAX || bytes > GY_HEADER_RULES_BYTES_MAX - rules->bytes) {
        return gy_error_set(error, GY_ELIMIT,
                            "there can be %d rules for header fields in one place, inherited ones "
                            "included, and %d bytes of them",
                            GY_HEADER_RULES_MAX, GY_HEADER_RULES_BYTES_MAX);
    }
    rules->bytes += (uint32_t)bytes;
    rules->list[rules->count++] = *rule;
    return 0;
}

int gy_header_rules_add(struct gy_header_rules *rules, const char *const *values, uint32_t count,
                        struct gy_error *error)
{
    gy_assert(count >= 1 && count <= 3);
    const char *name = values[0];
    struct gy_header_rule rule = {.action = name[0] == '+'   ? GY_HEADER_ADD
                                            : name[0] == '-' ? GY_HEADER_REMOVE
                                                             : GY_HEADER_SET};
    name += rule.action != GY_HEADER_SET;
    rule.header.name = gy_http_text_of(name);
    bool removes = rule.action == GY_HEADER_REMOVE;
    int code = check_name(rule.header.name, removes, error);
    if (code != 0) {
        return code;
    }
    if (removes != (count == 1)) {
        return gy_error_set(error, GY_EINVAL,
                            removes ? "-%s removes the field; leave the value away"
                                    : "%s has no value; write one, or -%s to remove the field",
                            name, name);
    }
    if (count == 3 && strcmp(values[2], "always") != 0) {
        return gy_error_set(error, GY_EINVAL,
                            "%.64s stands behind the value; only always can (are quotes around the "
                            "value missing?)",
                            values[2]);
    }
    if (!removes) {
        rule.header.value = gy_http_text_of(values[1]);
        struct gy_http_text value = rule.header.value;
        if (!gy_http_all(value, GY_HTTP_CLASS_VALUE) ||
            (value.length > 0 &&
             (value.data[0] == ' ' || value.data[0] == '\t' ||
              value.data[value.length - 1] == ' ' || value.data[value.length - 1] == '\t'))) {
            return gy_error_set(error, GY_EINVAL,
                                "the value of %s cannot be sent: it is one line, without control "
                                "characters, and no blanks around it",
                                name);
        }
        rule.always = count == 3;
    }
    return push(rules, &rule, error);
}

int gy_header_rules_join(struct gy_header_rules *rules, const struct gy_header_rules *from,
                         struct gy_error *error)
{
    for (uint32_t i = 0; i < from->count; i++) {
        int code = push(rules, &from->list[i], error);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

static bool is_multipart(struct gy_http_text type)
{
    struct gy_http_text begin = {type.data, 10};
    return type.length > 10 && gy_http_text_equal_nocase(begin, GY_HTTP_TEXT("multipart/"));
}

/* Takes the fields of this name out; but a type that has the boundary of its body in it stays, and
 * then false is returned. */
static bool take_out(struct gy_http_header *fields, uint32_t *count, struct gy_http_text name)
{
    uint32_t kept_count = 0;
    bool stays = false;
    for (uint32_t i = 0; i < *count; i++) {
        bool same = gy_http_text_equal_nocase(fields[i].name, name);
        bool stay = same && name.length == 12 && is_multipart(fields[i].value);
        stays = stays || stay;
        if (!same || stay) {
            fields[kept_count++] = fields[i];
        }
    }
    *count = kept_count;
    return !stays;
}

uint32_t gy_header_rules_apply(const struct gy_header_rules *rules, uint16_t status,
                               const struct gy_http_header *headers, uint32_t count,
                               struct gy_http_header to[GY_HEADER_FIELDS_MAX])
{
    gy_assert(count <= GY_HEADER_FIELDS_MAX - GY_HEADER_RULES_MAX);
    gy_assert(rules->count <= GY_HEADER_RULES_MAX);
    if (count > 0) {
        memcpy(to, headers, count * sizeof *headers);
    }
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct gy_header_rule *rule = &rules->list[i];
        if (rule->action != GY_HEADER_REMOVE && !rule->always && status >= 400) {
            continue;
        }
        bool puts = rule->action != GY_HEADER_REMOVE;
        if (rule->action != GY_HEADER_ADD && !take_out(to, &count, rule->header.name)) {
            puts = false;
        }
        if (puts) {
            to[count++] = rule->header;
        }
    }
    return count;
}
