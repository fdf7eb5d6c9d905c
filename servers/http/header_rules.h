/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_HEADER_RULES_H
#define GY_SERVERS_HTTP_HEADER_RULES_H

/*
 * Header fields that the configuration puts into responses:
 *
 *     header NAME VALUE [always]     one field of that name, with that value
 *     header +NAME VALUE [always]    one more
 *     header -NAME                   none
 *
 * Rules are carried out in their order. Those that set or add do so where the status is below 400,
 * or always. What frames a message is the transport's, and what says which representation was
 * chosen is the handler's: names of those are refused when the rule is read.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/error.h"
#include "../../protocols/http/http.h"

/* In one list, all that it inherits included. */
#define GY_HEADER_RULES_MAX 32

/* Bytes of all names and values of one list. */
#define GY_HEADER_RULES_BYTES_MAX 8192

/* Fields of a response that rules are applied to, before and after. */
#define GY_HEADER_FIELDS_MAX (GY_HEADER_RULES_MAX + 32)

enum gy_header_action { GY_HEADER_SET, GY_HEADER_ADD, GY_HEADER_REMOVE };

struct gy_header_rule {
    struct gy_http_header header; /* texts outlive the list */
    uint8_t action;               /* enum gy_header_action */
    bool always;
};

struct gy_header_rules {
    uint32_t count;
    uint32_t bytes;
    struct gy_header_rule list[GY_HEADER_RULES_MAX];
};

/* Reads the values of one `header` directive (1 to 3 of them) and adds them to the list. 0, or
 * GY_EINVAL or GY_ELIMIT with a sentence. The texts are kept. */
int gy_header_rules_add(struct gy_header_rules *rules, const char *const *values, uint32_t count,
                        struct gy_error *error);

/* Adds all of `from`. 0, or GY_ELIMIT with a sentence. */
int gy_header_rules_join(struct gy_header_rules *rules, const struct gy_header_rules *from,
                         struct gy_error *error);

/* Writes the fields of a response with the rules carried out, and returns how many they are.
 * `count` is at most GY_HEADER_FIELDS_MAX - GY_HEADER_RULES_MAX. */
uint32_t gy_header_rules_apply(const struct gy_header_rules *rules, uint16_t status,
                               const struct gy_http_header *headers, uint32_t count,
                               struct gy_http_header to[GY_HEADER_FIELDS_MAX]);

#endif
