/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_DNS_PROBE_H
#define GY_TESTS_DNS_PROBE_H

/* What the tests of DNS include. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"
#include "tests/dns/rig.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* A copy whose end is the end of its memory, so that reading on is seen. */
static inline uint8_t *exact(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    return copy;
}

#endif
