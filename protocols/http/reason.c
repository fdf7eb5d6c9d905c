/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/http/syntax.h"

/* RFC 9110 §15 and the IANA registry of status codes. */
#define FIRST 100
#define R(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct gy_http_text reasons[] = {
    [100 - FIRST] = R("Continue"),
    [101 - FIRST] = R("Switching Protocols"),
    [102 - FIRST] = R("Processing"),
    [103 - FIRST] = R("Early Hints"),
    [200 - FIRST] = R("OK"),
    [201 - FIRST] = R("Created"),
    [202 - FIRST] = R("Accepted"),
    [203 - FIRST] = R("Non-Authoritative Information"),
    [204 - FIRST] = R("No Content"),
    [205 - FIRST] = R("Reset Content"),
    [206 - FIRST] = R("Partial Content"),
    [207 - FIRST] = R("Multi-Status"),
    [208 - FIRST] = R("Already Reported"),
    [226 - FIRST] = R("IM Used"),
    [300 - FIRST] = R("Multiple Choices"),
    [301 - FIRST] = R("Moved Permanently"),
    [302 - FIRST] = R("Found"),
    [303 - FIRST] = R("See Other"),
    [304 - FIRST] = R("Not Modified"),
    [305 - FIRST] = R("Use Proxy"),
    [307 - FIRST] = R("Temporary Redirect"),
    [308 - FIRST] = R("Permanent Redirect"),
    [400 - FIRST] = R("Bad Request"),
    [401 - FIRST] = R("Unauthorized"),
    [402 - FIRST] = R("Payment Required"),
    [403 - FIRST] = R("Forbidden"),
    [404 - FIRST] = R("Not Found"),
    [405 - FIRST] = R("Method Not Allowed"),
    [406 - FIRST] = R("Not Acceptable"),
    [407 - FIRST] = R("Proxy Authentication Required"),
    [408 - FIRST] = R("Request Timeout"),
    [409 - FIRST] = R("Conflict"),
    [410 - FIRST] = R("Gone"),
    [411 - FIRST] = R("Length Required"),
    [412 - FIRST] = R("Precondition Failed"),
    [413 - FIRST] = R("Content Too Large"),
    [414 - FIRST] = R("URI Too Long"),
    [415 - FIRST] = R("Unsupported Media Type"),
    [416 - FIRST] = R("Range Not Satisfiable"),
    [417 - FIRST] = R("Expectation Failed"),
    [421 - FIRST] = R("Misdirected Request"),
    [422 - FIRST] = R("Unprocessable Content"),
    [423 - FIRST] = R("Locked"),
    [424 - FIRST] = R("Failed Dependency"),
    [425 - FIRST] = R("Too Early"),
    [426 - FIRST] = R("Upgrade Required"),
    [428 - FIRST] = R("Precondition Required"),
    [429 - FIRST] = R("Too Many Requests"),
    [431 - FIRST] = R("Request Header Fields Too Large"),
    [451 - FIRST] = R("Unavailable For Legal Reasons"),
    [500 - FIRST] = R("Internal Server Error"),
    [501 - FIRST] = R("Not Implemented"),
    [502 - FIRST] = R("Bad Gateway"),
    [503 - FIRST] = R("Service Unavailable"),
    [504 - FIRST] = R("Gateway Timeout"),
    [505 - FIRST] = R("HTTP Version Not Supported"),
    [506 - FIRST] = R("Variant Also Negotiates"),
    [507 - FIRST] = R("Insufficient Storage"),
    [508 - FIRST] = R("Loop Detected"),
    [511 - FIRST] = R("Network Authentication Required"),
};

struct gy_http_text gy_http_reason_text(uint16_t status)
{
    if (status < FIRST || status - FIRST >= (int)(sizeof reasons / sizeof reasons[0]) ||
        reasons[status - FIRST].data == NULL) {
        return (struct gy_http_text){"", 0};
    }
    return reasons[status - FIRST];
}

const char *gy_http_reason(uint16_t status)
{
    return gy_http_reason_text(status).data;
}
