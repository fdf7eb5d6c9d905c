/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_TESTS_CHAT_CLIENT_TOOLS_H
#define GY_TESTS_CHAT_CLIENT_TOOLS_H

/* For client_test.c and client_outbox_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/chat/client_rig.h"

#define MS UINT64_C(1000000)

static struct client_rig rig;

static inline int say(const char *contents)
{
    int error = gy_chat_client_say(&rig.client, 0, gy_chat_text_of(contents), &rig.client_id);
    gy_chat_client_flush(&rig.client, rig.now_ns);
    return error;
}

#endif
