/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The parser's source, included once per instruction set by h1_parse_*.c. The includer defines
 *
 *   PARSER  the name of the struct gy_h1_parser to define, NAME its name as a string
 *   TARGET  the function attribute for the instruction set, or nothing
 *
 * and, TARGET applied, functions that return the first byte in [at, end) which is not of the class,
 * or end:
 *
 *   skip_token, skip_target, skip_value, skip_host    GY_HTTP_CLASS_…
 *
 * and functions that copy a text, and return 0 when all its bytes are of the class:
 *
 *   copy_token, copy_value
 */

struct cursor {
    const uint8_t *start; /* spans count from here */
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct gy_http_span span_of(const struct cursor *in, const uint8_t *from,
                                          const uint8_t *to)
{
    return (struct gy_http_span){(uint16_t)(from - in->start), (uint16_t)(to - from)};
}

/* in->at is at a CR or LF that should be a line's end: passes it. */
static inline int line_end(struct cursor *in)
{
    if (*in->at == '\n') {
        return GY_H1_REFUSED_BARE_LF;
    }
    if (in->end - in->at < 2) {
        return GY_H1_INCOMPLETE;
    }
    if (in->at[1] != '\n') {
        return GY_H1_REFUSED_BARE_CR;
    }
    in->at += 2;
    return GY_H1_PARSED;
}

/* "HTTP/1.1" CR LF byte by byte: for all that is not exactly that. */
static int version_slow(struct cursor *in, struct gy_h1_head *head)
{
    static const char pattern[] = "HTTP/d.d";
    const uint8_t *version = in->at;
    for (uint32_t i = 0; i < sizeof pattern - 1; i++, in->at++) {
        if (in->at == in->end) {
            return GY_H1_INCOMPLETE;
        }
        bool fits = pattern[i] == 'd' ? gy_http_is(*in->at, GY_HTTP_CLASS_DIGIT)
                                      : *in->at == (uint8_t)pattern[i];
        if (!fits) {
            return GY_H1_REFUSED_REQUEST_LINE;
        }
    }
    if (version[5] != '1' || version[7] > '1') {
        return GY_H1_REFUSED_VERSION;
    }
    head->minor = version[7] - '0';
    if (in->at == in->end) {
        return GY_H1_INCOMPLETE;
    }
    if (*in->at != '\r' && *in->at != '\n') {
        return GY_H1_REFUSED_REQUEST_LINE;
    }
    return line_end(in);
}

static inline TARGET int version(struct cursor *in, struct gy_h1_head *head)
{
    if (__builtin_expect(in->end - in->at >= 10 && memcmp(in->at, "HTTP/1.1\r\n", 10) == 0, 1)) {
        head->minor = 1;
        in->at += 10;
        return GY_H1_PARSED;
    }
    return version_slow(in, head);
}

static inline TARGET int method(struct cursor *in, struct gy_http_exchange *exchange)
{
    const uint8_t *name = in->at;
    if (__builtin_expect(in->end - name >= 4 && memcmp(name, "GET ", 4) == 0, 1)) {
        exchange->method = GY_HTTP_GET;
        exchange->method_name = (struct gy_http_span){0, 3};
        in->at += 4;
        return GY_H1_PARSED;
    }
    const uint8_t *end = skip_token(name, in->end);
    if (end == in->end) {
        return GY_H1_INCOMPLETE;
    }
    in->at = end;
    if (end > name && (*end == '\r' || *end == '\n')) {
        int result = line_end(in);
        return result == GY_H1_PARSED ? GY_H1_REFUSED_REQUEST_LINE : result;
    }
    if (end == name || *end != ' ') {
        return GY_H1_REFUSED_METHOD;
    }
    exchange->method_name = span_of(in, name, end);
    exchange->method =
        (uint8_t)gy_http_method_of((struct gy_http_text){(const char *)name, (size_t)(end - name)});
    in->at++;
    return GY_H1_PARSED;
}

static inline TARGET int request_line(struct cursor *in, struct gy_http_exchange *exchange,
                                      struct gy_h1_head *head)
{
    int result = method(in, exchange);
    if (result != GY_H1_PARSED) {
        return result;
    }
    const uint8_t *target = in->at;
    in->at = skip_target(target, in->end);
    if (in->at == in->end) {
        return GY_H1_INCOMPLETE;
    }
    if (*in->at == '\r' || *in->at == '\n') {
        /* No version: HTTP/0.9, or nonsense. */
        bool has_target = in->at > target;
        result = line_end(in);
        if (result != GY_H1_PARSED) {
            return result;
        }
        return has_target ? GY_H1_REFUSED_VERSION : GY_H1_REFUSED_REQUEST_LINE;
    }
    if (*in->at != ' ') {
        return GY_H1_REFUSED_TARGET;
    }
    if (in->at == target) {
        return GY_H1_REFUSED_REQUEST_LINE;
    }
    struct gy_http_span line = span_of(in, target, in->at);
    in->at++;
    result = version(in, head);
    if (result != GY_H1_PARSED) {
        return result;
    }
    if (__builtin_expect(*target == '/' && exchange->method != GY_HTTP_CONNECT, 1)) {
        exchange->target = line;
        return GY_H1_PARSED;
    }
    return gy_h1_target(in->start, line, exchange, head);
}

/* A byte that ends a field name and is no colon. */
static int name_refused(struct cursor *in, bool empty)
{
    uint8_t byte = *in->at;
    if (byte == '\r' || byte == '\n') {
        int result = line_end(in);
        return result == GY_H1_PARSED ? GY_H1_REFUSED_FIELD_NAME : result;
    }
    return !empty && gy_http_is_space(byte) ? GY_H1_REFUSED_FIELD_SPACE : GY_H1_REFUSED_FIELD_NAME;
}

/* One field line, its CR LF passed. The first byte is there and is neither CR nor LF. */
static inline TARGET int field_line(struct cursor *in, struct gy_http_field *field)
{
    const uint8_t *name = in->at;
    if (gy_http_is_space(*name)) {
        return GY_H1_REFUSED_FIELD_FOLD;
    }
    in->at = skip_token(name, in->end);
    if (in->at == in->end) {
        return GY_H1_INCOMPLETE;
    }
    if (__builtin_expect(*in->at != ':' || in->at == name, 0)) {
        return name_refused(in, in->at == name);
    }
    field->name = span_of(in, name, in->at);
    const uint8_t *value = in->at + 1;
    while (value < in->end && gy_http_is_space(*value)) {
        value++;
    }
    in->at = skip_value(value, in->end);
    if (in->at == in->end) {
        return GY_H1_INCOMPLETE;
    }
    const uint8_t *value_end = in->at;
    if (__builtin_expect(*in->at != '\r', 0)) {
        return *in->at == '\n' ? GY_H1_REFUSED_BARE_LF : GY_H1_REFUSED_FIELD_VALUE;
    }
    while (value_end > value && gy_http_is_space(value_end[-1])) {
        value_end--;
    }
    field->value = span_of(in, value, value_end);
    return line_end(in);
}

/* A field whose name has four letters. */
static inline TARGET int host(struct cursor *in, const struct gy_http_field *field,
                              struct gy_http_exchange *exchange, struct gy_h1_head *head)
{
    if (!gy_http_token_is(in->start + field->name.offset, "host", 4)) {
        return GY_H1_PARSED;
    }
    /* The line's CR is no part of a host, so that the search ends within the value. */
    const uint8_t *value = in->start + field->value.offset;
    size_t plain_bytes = (size_t)(skip_host(value, in->at) - value);
    gy_assert(plain_bytes <= field->value.length);
    return gy_h1_host(in->start, field->value, plain_bytes, exchange, head);
}

static TARGET int parse_head(const struct gy_h1_limits *limits, const uint8_t *data,
                             uint32_t length, struct gy_http_exchange *exchange,
                             struct gy_h1_head *head)
{
    uint32_t line_max = length < limits->line_bytes ? length : limits->line_bytes;
    struct cursor in = {data, data, data + line_max};
    struct gy_http_field *field = exchange->fields;
    uint32_t field_left = limits->fields;
    head->flags = 0;
    head->upgrade = (struct gy_http_span){0, 0};
    exchange->method = GY_HTTP_OTHER;
    exchange->authority = exchange->protocol = (struct gy_http_span){0, 0};
    exchange->field_count = 0;
    exchange->content_length = 0;

    int result = request_line(&in, exchange, head);
    if (result != GY_H1_PARSED) {
        return result == GY_H1_INCOMPLETE && length >= limits->line_bytes ? GY_H1_REFUSED_LINE_LIMIT
                                                                          : result;
    }
    uint32_t head_max = length < limits->head_bytes ? length : limits->head_bytes;
    in.end = data + head_max;
    for (;;) {
        if (in.at >= in.end) {
            result = GY_H1_INCOMPLETE;
            break;
        }
        if (*in.at == '\r' || *in.at == '\n') {
            result = line_end(&in);
            break;
        }
        struct gy_http_field line;
        result = field_line(&in, &line);
        if (result != GY_H1_PARSED) {
            break;
        }
        if (field_left-- == 0) {
            return GY_H1_REFUSED_FIELD_LIMIT;
        }
        *field = line;
        if (line.name.length <= 17 && (GY_H1_SPECIAL_LENGTHS >> line.name.length & 1) != 0) {
            if (line.name.length == 4) {
                result = host(&in, &line, exchange, head);
            } else {
                result = gy_h1_special(data, field, &exchange->content_length, head);
            }
            if (result != GY_H1_PARSED) {
                return result;
            }
        }
        field++;
    }
    if (result != GY_H1_PARSED) {
        return result == GY_H1_INCOMPLETE && length >= limits->head_bytes ? GY_H1_REFUSED_HEAD_LIMIT
                                                                          : result;
    }
    exchange->field_count = (uint16_t)(field - exchange->fields);
    head->bytes = (uint32_t)(in.at - data);
    return gy_h1_head_check(exchange, head);
}

static TARGET int parse_trailers(const struct gy_h1_limits *limits, const uint8_t *data,
                                 uint32_t length, struct gy_h1_trailers *trailers)
{
    uint32_t max = length < limits->trailer_bytes ? length : limits->trailer_bytes;
    struct cursor in = {data, data, data + max};
    trailers->count = 0;
    for (;;) {
        int result = GY_H1_INCOMPLETE;
        struct gy_http_field line;
        if (in.at < in.end) {
            if (*in.at == '\r' || *in.at == '\n') {
                result = line_end(&in);
                if (result == GY_H1_PARSED) {
                    return result;
                }
            } else {
                result = field_line(&in, &line);
            }
        }
        if (result != GY_H1_PARSED) {
            return result == GY_H1_INCOMPLETE && length >= limits->trailer_bytes
                       ? GY_H1_REFUSED_TRAILER_LIMIT
                       : result;
        }
        if (gy_http_trailer_forbidden(gy_http_span_text(data, line.name))) {
            continue;
        }
        if (trailers->count >= trailers->room) {
            return GY_H1_REFUSED_TRAILER_LIMIT;
        }
        trailers->fields[trailers->count++] = line;
    }
}

/* HTTP-version SP 3DIGIT SP [ reason-phrase ] CRLF (RFC 9112 §4). The blank before a phrase that is
 * not there is left out by servers in use; without it there can be no doubt either. */
static TARGET int status_line(struct cursor *in, struct gy_h1_answer *answer)
{
    static const char pattern[] = "HTTP/d.d ddd";
    const uint8_t *line = in->at;
    for (uint32_t i = 0; i < sizeof pattern - 1; i++, in->at++) {
        if (in->at == in->end) {
            return GY_H1_INCOMPLETE;
        }
        bool fits = pattern[i] == 'd' ? gy_http_is(*in->at, GY_HTTP_CLASS_DIGIT)
                                      : *in->at == (uint8_t)pattern[i];
        if (!fits) {
            return GY_H1_BREACH_STATUS_LINE;
        }
    }
    if (line[5] != '1' || line[7] > '1') {
        return GY_H1_REFUSED_VERSION;
    }
    answer->head.minor = line[7] - '0';
    answer->status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
    if (answer->status < 100 || answer->status > 599) {
        return GY_H1_BREACH_STATUS;
    }
    if (in->at < in->end && *in->at == ' ') {
        in->at++;
    } else if (in->at < in->end && *in->at != '\r' && *in->at != '\n') {
        return GY_H1_BREACH_STATUS_LINE;
    }
    const uint8_t *phrase = in->at;
    in->at = skip_value(phrase, in->end);
    if (in->at == in->end) {
        return GY_H1_INCOMPLETE;
    }
    answer->phrase = span_of(in, phrase, in->at);
    if (*in->at != '\r' && *in->at != '\n') {
        return GY_H1_BREACH_STATUS_LINE;
    }
    return line_end(in);
}

static TARGET int response_field(struct cursor *in, struct gy_h1_answer *answer,
                                 uint32_t fields_max)
{
    struct gy_http_field line;
    int result = field_line(in, &line);
    if (result != GY_H1_PARSED) {
        return result;
    }
    if (answer->field_count == fields_max) {
        return GY_H1_REFUSED_FIELD_LIMIT;
    }
    answer->fields[answer->field_count++] = line;
    if (line.name.length <= 17 && (GY_H1_SPECIAL_LENGTHS >> line.name.length & 1) != 0) {
        return gy_h1_special(in->start, &line, &answer->content_length, &answer->head);
    }
    return GY_H1_PARSED;
}

static TARGET int parse_response(const struct gy_h1_limits *limits, const uint8_t *data,
                                 uint32_t length, struct gy_h1_answer *answer)
{
    uint32_t line_max = length < limits->line_bytes ? length : limits->line_bytes;
    struct cursor in = {data, data, data + line_max};
    answer->head = (struct gy_h1_head){0};
    answer->content_length = GY_HTTP_UNKNOWN;
    answer->field_count = 0;
    int result = status_line(&in, answer);
    if (result != GY_H1_PARSED) {
        return result == GY_H1_INCOMPLETE && length >= limits->line_bytes
                   ? GY_H1_BREACH_STATUS_LINE_LIMIT
                   : result;
    }
    in.end = data + (length < limits->head_bytes ? length : limits->head_bytes);
    for (;;) {
        if (in.at >= in.end) {
            result = GY_H1_INCOMPLETE;
            break;
        }
        bool last = *in.at == '\r' || *in.at == '\n';
        result = last ? line_end(&in) : response_field(&in, answer, limits->fields);
        if (last || result != GY_H1_PARSED) {
            break;
        }
    }
    if (result == GY_H1_INCOMPLETE && length >= limits->head_bytes) {
        return GY_H1_REFUSED_HEAD_LIMIT;
    }
    answer->head.bytes = (uint32_t)(in.at - data);
    return result;
}

static TARGET uint8_t *put_headers(uint8_t *at, const struct gy_http_header *headers,
                                   uint32_t count)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        bad |= copy_token(at, headers[i].name);
        bad |= headers[i].name.length == 0;
        at += headers[i].name.length;
        *at++ = ':';
        *at++ = ' ';
        bad |= copy_value(at, headers[i].value);
        at += headers[i].value.length;
        *at++ = '\r';
        *at++ = '\n';
    }
    return bad == 0 ? at : NULL;
}

static TARGET uint32_t plain(const uint8_t *data, uint32_t length)
{
    return (uint32_t)(skip_value(data, data + length) - data);
}

const struct gy_h1_parser PARSER = {
    .name = NAME,
    .head = parse_head,
    .trailers = parse_trailers,
    .response = parse_response,
    .plain = plain,
    .put_headers = put_headers,
};
