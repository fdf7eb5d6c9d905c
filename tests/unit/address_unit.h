/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_UNIT_ADDRESS_UNIT_H
#define GY_TESTS_UNIT_ADDRESS_UNIT_H

#include "core/address.h"
#include "tests/unit/unit.h"

/* An address that is one. */
static inline struct gy_address parsed(const char *text)
{
    struct gy_address address;
    struct gy_error error = {0};
    int result = gy_address_parse(&address, text, &error);
    if (result != 0) {
        fail_msg("'%s': %s", text, error.message);
    }
    return address;
}

#endif
