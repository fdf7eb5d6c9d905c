/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/conditional.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct gy_http_text trimmed(struct gy_http_text text)
{
    while (text.length > 0 && is_space(text.data[0])) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && is_space(text.data[text.length - 1])) {
        text.length--;
    }
    return text;
}

/* ---- entity tags ---- */

/* Tags may have commas within their quotes, so the list is not cut at commas. */
bool gy_etag_list_has(struct gy_http_text list, struct gy_http_text etag, bool weak)
{
    if (gy_http_text_equal(trimmed(list), GY_HTTP_TEXT("*"))) {
        return true;
    }
    const char *at = list.data;
    const char *end = list.data + list.length;
    while (at < end) {
        if (is_space(*at) || *at == ',') {
            at++;
            continue;
        }
        bool is_weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
        const char *start = is_weak ? at + 2 : at;
        if (start == end || *start != '"') {
            return false; /* not a list of tags */
        }
        const char *close = memchr(start + 1, '"', (size_t)(end - start - 1));
        if (close == NULL) {
            return false;
        }
        struct gy_http_text tag = {start, (size_t)(close - start) + 1};
        const char *behind = close + 1;
        while (behind < end && is_space(*behind)) {
            behind++;
        }
        if (behind < end && *behind != ',') {
            return false;
        }
        if ((weak || !is_weak) && gy_http_text_equal(tag, etag)) {
            return true;
        }
        at = behind;
    }
    return false;
}

/* A field may come in several lines. -1: there is none; 0: none matches; 1. */
static int match_field(const struct gy_http_exchange *exchange, const char *name,
                       struct gy_http_text etag, bool weak)
{
    uint32_t from = 0;
    int found = -1;
    for (;;) {
        struct gy_http_text list = gy_http_field_find(exchange, name, &from);
        if (list.data == NULL) {
            return found;
        }
        found = 0;
        if (gy_etag_list_has(list, etag, weak)) {
            return 1;
        }
    }
}

static bool date_field(const struct gy_http_exchange *exchange, const char *name, int64_t *seconds)
{
    uint32_t from = 0;
    struct gy_http_text value = gy_http_field_find(exchange, name, &from);
    return value.data != NULL && gy_date_parse(value, seconds) &&
           gy_http_field_find(exchange, name, &from).data == NULL;
}

enum gy_precondition gy_precondition_of(const struct gy_http_exchange *exchange,
                                        struct gy_validators validators)
{
    int64_t date;
    bool dated = validators.modified_s != GY_DATE_NONE;
    int match = match_field(exchange, "If-Match", validators.etag, false);
    if (match == 0) {
        return GY_PRECONDITION_FAILED;
    }
    if (match < 0 && dated && date_field(exchange, "If-Unmodified-Since", &date) &&
        validators.modified_s > date) {
        return GY_PRECONDITION_FAILED;
    }
    match = match_field(exchange, "If-None-Match", validators.etag, true);
    if (match == 1) {
        return GY_PRECONDITION_NOT_MODIFIED;
    }
    if (match < 0 && dated && date_field(exchange, "If-Modified-Since", &date) &&
        validators.modified_s <= date) {
        return GY_PRECONDITION_NOT_MODIFIED;
    }
    return GY_PRECONDITION_GO_ON;
}

/* ---- dates ---- */

/* Exactly `count` digits; -1 otherwise. A blank stands for a leading zero where `blank`. */
static int number_at(const char *text, uint32_t count, bool blank)
{
    int value = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (blank && i == 0 && text[0] == ' ') {
            continue;
        }
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static int month_at(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (memcmp(text, months + (size_t)i * 3, 3) == 0) {
            return i;
        }
    }
    return -1;
}

struct parts {
    int year, month, day, hour, minute, second;
};

static bool time_at(const char *text, struct parts *parts)
{
    parts->hour = number_at(text, 2, false);
    parts->minute = number_at(text + 3, 2, false);
    parts->second = number_at(text + 6, 2, false);
    return text[2] == ':' && text[5] == ':';
}

/* Days since 1970 of a date in the Gregorian calendar, by years that begin in March. */
static int64_t days_of(const struct parts *parts)
{
    int64_t year = parts->year - (parts->month < 2);
    int64_t month = (parts->month + 10) % 12; /* 0 is March */
    int64_t of_year = (153 * month + 2) / 5 + parts->day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719468;
}

static bool seconds_of(const struct parts *parts, int64_t *seconds)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (parts->year < 1 || parts->month < 0 || parts->day < 1 || parts->day > days[parts->month] ||
        parts->hour < 0 || parts->hour > 23 || parts->minute < 0 || parts->minute > 59 ||
        parts->second < 0 || parts->second > 60) {
        return false;
    }
    *seconds = days_of(parts) * 86400 + parts->hour * 3600 + parts->minute * 60 + parts->second;
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool fixdate(struct gy_http_text text, struct parts *parts)
{
    const char *t = text.data;
    if (text.length != 29 || memcmp(t + 3, ", ", 2) != 0 || t[7] != ' ' || t[11] != ' ' ||
        t[16] != ' ' || memcmp(t + 25, " GMT", 4) != 0) {
        return false;
    }
    parts->day = number_at(t + 5, 2, false);
    parts->month = month_at(t + 8);
    parts->year = number_at(t + 12, 4, false);
    return time_at(t + 17, parts);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool asctime_date(struct gy_http_text text, struct parts *parts)
{
    const char *t = text.data;
    if (text.length != 24 || t[3] != ' ' || t[7] != ' ' || t[10] != ' ' || t[19] != ' ') {
        return false;
    }
    parts->month = month_at(t + 4);
    parts->day = number_at(t + 8, 2, true);
    parts->year = number_at(t + 20, 4, false);
    return time_at(t + 11, parts);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT". Two digits of a year: those from 70 on are the last century's;
 * nothing that such a client has was modified more than fifty years ahead. */
static bool rfc850_date(struct gy_http_text text, struct parts *parts)
{
    const char *comma = memchr(text.data, ',', text.length);
    if (comma == NULL || text.length - (size_t)(comma - text.data) != 24) {
        return false;
    }
    const char *t = comma;
    if (t[1] != ' ' || t[4] != '-' || t[8] != '-' || t[11] != ' ' ||
        memcmp(t + 20, " GMT", 4) != 0) {
        return false;
    }
    parts->day = number_at(t + 2, 2, false);
    parts->month = month_at(t + 5);
    int year = number_at(t + 9, 2, false);
    parts->year = year < 0 ? -1 : year + (year >= 70 ? 1900 : 2000);
    return time_at(t + 12, parts);
}

bool gy_date_parse(struct gy_http_text text, int64_t *seconds)
{
    struct parts parts;
    text = trimmed(text);
    return (fixdate(text, &parts) || asctime_date(text, &parts) || rfc850_date(text, &parts)) &&
           seconds_of(&parts, seconds);
}

/* ---- ranges ---- */

/* Digits up to something else; saturates. False when there are none. */
static bool number_of(struct gy_http_text *rest, uint64_t *number)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < rest->length && rest->data[digits] >= '0' && rest->data[digits] <= '9') {
        uint64_t digit = (uint64_t)(rest->data[digits] - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
        digits++;
    }
    rest->data += digits;
    rest->length -= digits;
    *number = value;
    return digits > 0;
}

/* One range-spec. 1: satisfiable; 0: not; -1: not valid. */
static int read_spec(struct gy_http_text spec, uint64_t size, struct gy_range *range)
{
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    bool has_first = number_of(&spec, &first);
    if (spec.length == 0 || spec.data[0] != '-') {
        return -1;
    }
    spec.data++;
    spec.length--;
    bool has_last = number_of(&spec, &last);
    if (spec.length > 0 || (!has_first && !has_last)) {
        return -1;
    }
    if (!has_first) { /* a suffix of `last` bytes */
        range->bytes = last < size ? last : size;
        range->first = size - range->bytes;
        return range->bytes > 0;
    }
    if (has_last && last < first) {
        return -1;
    }
    if (first >= size) {
        return 0;
    }
    uint64_t left = size - first;
    range->first = first;
    range->bytes = has_last && last - first < left ? last - first + 1 : left;
    return 1;
}

enum gy_range_verdict gy_ranges_parse(struct gy_http_text value, uint64_t size,
                                      struct gy_ranges *ranges)
{
    ranges->count = 0;
    struct gy_http_text unit = {value.data, value.length < 6 ? value.length : 6};
    if (!gy_http_text_equal_nocase(unit, GY_HTTP_TEXT("bytes="))) {
        return GY_RANGE_NONE;
    }
    const char *at = value.data + 6;
    const char *end = value.data + value.length;
    uint64_t total = 0;
    uint32_t specs = 0;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        struct gy_http_text spec = trimmed((struct gy_http_text){at, (size_t)(stop - at)});
        at = comma != NULL ? comma + 1 : end;
        if (spec.length == 0) {
            continue;
        }
        struct gy_range range;
        int said = read_spec(spec, size, &range);
        if (said < 0 || ++specs > GY_RANGES_MAX) {
            return GY_RANGE_NONE;
        }
        if (said == 1) {
            ranges->list[ranges->count++] = range;
            total += range.bytes;
        }
    }
    if (specs == 0 || total > size) {
        return GY_RANGE_NONE;
    }
    return ranges->count > 0 ? GY_RANGE_SOME : GY_RANGE_UNSATISFIABLE;
}

/* §13.1.5: a tag must be strong and equal, a date exactly the one we give. */
static bool range_is_current(struct gy_http_text value, struct gy_validators validators)
{
    int64_t date;
    if (value.length > 0 && (value.data[0] == '"' || value.data[0] == 'W')) {
        struct gy_http_text tag = trimmed(value);
        if (tag.data[0] == '"') {
            return gy_http_text_equal(tag, validators.etag);
        }
        if (tag.length > 1 && tag.data[1] == '/') {
            return false;
        }
    }
    return gy_date_parse(value, &date) && date == validators.modified_s;
}

enum gy_range_verdict gy_ranges_of(const struct gy_http_exchange *exchange, uint64_t size,
                                   struct gy_validators validators, struct gy_ranges *ranges)
{
    ranges->count = 0;
    uint32_t from = 0;
    struct gy_http_text value = gy_http_field_find(exchange, "Range", &from);
    if (value.data == NULL || gy_http_field_find(exchange, "Range", &from).data != NULL) {
        return GY_RANGE_NONE;
    }
    struct gy_http_text condition = gy_http_field_find(exchange, "If-Range", NULL);
    if (condition.data != NULL && !range_is_current(condition, validators)) {
        return GY_RANGE_NONE;
    }
    return gy_ranges_parse(value, size, ranges);
}

/* ---- codings ---- */

/* Weight of ";q=0.123" in thousandths; 1000 without one, 0 for one that is not valid. */
static uint16_t weight_of(struct gy_http_text parameters)
{
    parameters = trimmed(parameters);
    if (parameters.length == 0) {
        return 1000;
    }
    if (parameters.length < 3 || (parameters.data[0] | 0x20) != 'q' || parameters.data[1] != '=' ||
        parameters.length > 7 || (parameters.data[2] != '0' && parameters.data[2] != '1') ||
        (parameters.length > 3 && parameters.data[3] != '.')) {
        return 0;
    }
    uint32_t weight = parameters.data[2] == '1' ? 1000 : 0;
    uint32_t unit = 100;
    for (size_t i = 4; i < parameters.length; i++) {
        char digit = parameters.data[i];
        if (digit < '0' || digit > '9') {
            return 0;
        }
        weight += (uint32_t)(digit - '0') * unit;
        unit /= 10;
    }
    return (uint16_t)(weight <= 1000 ? weight : 0);
}

void gy_codings_parse(struct gy_http_text value, struct gy_codings *codings)
{
    static const struct {
        struct gy_http_text name;
        enum gy_coding coding;
    } known[] = {
        {{"br", 2}, GY_CODING_BR},
        {{"zstd", 4}, GY_CODING_ZSTD},
        {{"gzip", 4}, GY_CODING_GZIP},
        {{"x-gzip", 6}, GY_CODING_GZIP},
        {{"identity", 8}, GY_CODING_IDENTITY},
    };
    bool named[GY_CODING_COUNT] = {false};
    int others = -1;
    while (value.length > 0) {
        const char *comma = memchr(value.data, ',', value.length);
        size_t length = comma != NULL ? (size_t)(comma - value.data) : value.length;
        struct gy_http_text element = {value.data, length};
        size_t passed = length + (comma != NULL);
        value = (struct gy_http_text){value.data + passed, value.length - passed};
        const char *mark = memchr(element.data, ';', element.length);
        struct gy_http_text parameters = {"", 0};
        if (mark != NULL) {
            size_t name_length = (size_t)(mark - element.data);
            parameters = (struct gy_http_text){mark + 1, element.length - name_length - 1};
            element.length = name_length;
        }
        element = trimmed(element);
        if (gy_http_text_equal(element, GY_HTTP_TEXT("*"))) {
            others = weight_of(parameters);
        }
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (gy_http_text_equal_nocase(element, known[i].name)) {
                codings->weight[known[i].coding] = weight_of(parameters);
                named[known[i].coding] = true;
            }
        }
    }
    for (uint32_t i = 0; i < GY_CODING_COUNT; i++) {
        if (!named[i] && others >= 0) {
            codings->weight[i] = (uint16_t)others;
        }
    }
}

struct gy_codings gy_codings_of(const struct gy_http_exchange *exchange)
{
    struct gy_codings codings = {.weight[GY_CODING_IDENTITY] = 1};
    struct gy_http_text value = gy_http_field_find(exchange, "Accept-Encoding", NULL);
    if (value.data != NULL) {
        gy_codings_parse(value, &codings);
    }
    return codings;
}
