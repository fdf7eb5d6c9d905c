/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/http/http.h"

#include "protocols/http/syntax.h"

static uint8_t lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : (uint8_t)byte;
}

bool gy_http_text_equal(struct gy_http_text a, struct gy_http_text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool gy_http_text_equal_nocase(struct gy_http_text a, struct gy_http_text b)
{
    if (a.length != b.length) {
        return false;
    }
    for (size_t i = 0; i < a.length; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the request ----------------------------------------------------------------------------- */

struct gy_http_text gy_http_field_name(const struct gy_http_exchange *exchange, uint32_t index)
{
    gy_assert(index < exchange->field_count);
    return gy_http_span_text(exchange->head_data, exchange->fields[index].name);
}

struct gy_http_text gy_http_field_value(const struct gy_http_exchange *exchange, uint32_t index)
{
    gy_assert(index < exchange->field_count);
    return gy_http_span_text(exchange->head_data, exchange->fields[index].value);
}

struct gy_http_text gy_http_field_find(const struct gy_http_exchange *exchange, const char *name,
                                       uint32_t *from)
{
    struct gy_http_text wanted = gy_http_text_of(name);
    for (uint32_t i = from == NULL ? 0 : *from; i < exchange->field_count; i++) {
        if (gy_http_text_equal_nocase(gy_http_field_name(exchange, i), wanted)) {
            if (from != NULL) {
                *from = i + 1;
            }
            return gy_http_field_value(exchange, i);
        }
    }
    if (from != NULL) {
        *from = exchange->field_count;
    }
    return (struct gy_http_text){NULL, 0};
}

struct gy_http_text gy_http_trailer_name(const struct gy_http_exchange *exchange, uint32_t index)
{
    gy_assert(index < exchange->trailer_count);
    index += exchange->field_count;
    gy_assert(index < GY_HTTP_FIELDS_MAX);
    return gy_http_span_text(exchange->trailer_data, exchange->fields[index].name);
}

struct gy_http_text gy_http_trailer_value(const struct gy_http_exchange *exchange, uint32_t index)
{
    gy_assert(index < exchange->trailer_count);
    index += exchange->field_count;
    gy_assert(index < GY_HTTP_FIELDS_MAX);
    return gy_http_span_text(exchange->trailer_data, exchange->fields[index].value);
}

static bool within(struct gy_http_text text, const struct gy_buffer *buffer)
{
    uintptr_t start = (uintptr_t)buffer->data;
    uintptr_t at = (uintptr_t)text.data;
    return at >= start && at - start <= buffer->capacity &&
           text.length <= buffer->capacity - (at - start);
}

struct gy_slice gy_http_text_slice(const struct gy_http_exchange *exchange,
                                   struct gy_http_text text)
{
    struct gy_buffer *buffer = exchange->head_buffer;
    if (exchange->trailer_buffer != NULL && within(text, exchange->trailer_buffer)) {
        buffer = exchange->trailer_buffer;
    }
    gy_assert(within(text, buffer));
    return gy_slice_of(buffer, (uint32_t)((const uint8_t *)text.data - buffer->data),
                       (uint32_t)text.length);
}

bool gy_http_list_has(struct gy_http_text list, const char *token)
{
    struct gy_http_text wanted = gy_http_text_of(token);
    struct gy_http_text element;
    while (gy_http_list_next(&list, &element)) {
        size_t end = 0;
        while (end < element.length && element.data[end] != ';') {
            end++;
        }
        while (end > 0 && gy_http_is_space((uint8_t)element.data[end - 1])) {
            end--;
        }
        if (gy_http_text_equal_nocase((struct gy_http_text){element.data, end}, wanted)) {
            return true;
        }
    }
    return false;
}

/* ---- the response ---------------------------------------------------------------------------- */

int gy_http_respond(struct gy_http_exchange *exchange, const struct gy_http_response *response)
{
    return exchange->transport->respond(exchange, response);
}

int gy_http_answer(struct gy_http_exchange *exchange, uint16_t status, const char *content_type,
                   const void *body, size_t body_bytes)
{
    struct gy_http_header header = {GY_HTTP_TEXT("Content-Type"), {NULL, 0}};
    struct gy_http_response response = {
        .status = status,
        .kind = body_bytes > 0 ? GY_HTTP_BODY_TEXT : GY_HTTP_BODY_NONE,
        .headers = &header,
        .body.text = {body, body_bytes},
    };
    if (content_type != NULL) {
        header.value = gy_http_text_of(content_type);
        response.header_count = 1;
    }
    return exchange->transport->respond(exchange, &response);
}

int gy_http_inform(struct gy_http_exchange *exchange, uint16_t status,
                   const struct gy_http_header *headers, uint32_t header_count)
{
    return exchange->transport->inform(exchange, status, headers, header_count);
}

int gy_http_trailers(struct gy_http_exchange *exchange, const struct gy_http_header *headers,
                     uint32_t header_count)
{
    return exchange->transport->trailers(exchange, headers, header_count);
}

void gy_http_wake(struct gy_http_exchange *exchange)
{
    exchange->transport->wake(exchange);
}

void gy_http_consume(struct gy_http_exchange *exchange, uint32_t bytes)
{
    exchange->transport->consume(exchange, bytes);
}

void gy_http_defer_body(struct gy_http_exchange *exchange)
{
    exchange->transport->defer_body(exchange);
}

int gy_http_tunnel(struct gy_http_exchange *exchange, struct gy_http_text protocol,
                   const struct gy_http_header *headers, uint32_t header_count)
{
    return exchange->transport->tunnel(exchange, protocol, headers, header_count);
}

void gy_http_cancel(struct gy_http_exchange *exchange, int reason)
{
    gy_assert(reason < 0);
    exchange->transport->cancel(exchange, reason);
}

/* ---- dates ----------------------------------------------------------------------------------- */

static void put(char *at, uint32_t digits, uint32_t value)
{
    while (digits-- > 0) {
        at[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Days are counted from 1 March of year 0, so that the leap day is a year's last: then the month
 * follows from the day of the year by one division (153 days are five months), and the 400-year
 * cycle has 146,097 days. 1 January 1970 is day 719,468. */
void gy_http_date(uint64_t unix_seconds, char date[GY_HTTP_DATE_BYTES])
{
    static const char weekdays[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    gy_assert(unix_seconds < UINT64_C(253402300800));
    uint64_t days = unix_seconds / 86400;
    uint32_t second = (uint32_t)(unix_seconds % 86400);
    uint64_t shifted = days + 719468;
    uint32_t era = (uint32_t)(shifted / 146097);
    uint32_t of_era = (uint32_t)(shifted % 146097);
    uint32_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month = (5 * of_year + 2) / 153; /* 0 is March */
    uint32_t day = of_year - (153 * month + 2) / 5 + 1;
    uint32_t year = era * 400 + year_of_era + (month >= 10);
    gy_assert(month < 12 && day >= 1 && day <= 31);
    /* "Thu, 01 Jan 1970 00:00:00 GMT" */
    memset(date, ' ', GY_HTTP_DATE_BYTES);
    memcpy(date, weekdays + days % 7 * 3, 3);
    date[3] = ',';
    put(date + 5, 2, day);
    memcpy(date + 8, months + (size_t)month * 3, 3);
    put(date + 12, 4, year);
    put(date + 17, 2, second / 3600);
    date[19] = ':';
    put(date + 20, 2, second / 60 % 60);
    date[22] = ':';
    put(date + 23, 2, second % 60);
    date[26] = 'G';
    date[27] = 'M';
    date[28] = 'T';
}
