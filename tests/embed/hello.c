/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The smallest program that embeds Gyre. Built from what is installed:
 *
 *     cc -o hello hello.c $(pkg-config --static --cflags --libs gyre)
 *     ./hello 127.0.0.1:8081
 */

#include <gyre/servers/http/http_server.h>

static void hello(struct gy_http_exchange *exchange)
{
    gy_http_answer(exchange, 200, "text/plain", "Hello, world!\n", 14);
}

int main(int argc, char **argv)
{
    static const struct gy_http_handler handler = {.request = hello};
    return gy_http_serve(&handler, NULL, argc > 1 ? argv[1] : "127.0.0.1:8081");
}
