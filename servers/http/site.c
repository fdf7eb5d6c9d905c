/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/site.h"

static void site_request(struct gy_http_exchange *exchange)
{
    static const char page[] = "<!doctype html><title>Gyre</title><h1>Gyre</h1>";
    gy_http_answer(exchange, 200, "text/html; charset=utf-8", page, sizeof page - 1);
}

const struct gy_http_handler gy_site_handler = {.request = site_request};
