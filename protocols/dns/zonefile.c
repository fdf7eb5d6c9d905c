/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "protocols/dns/zonefile.h"

#include <stdio.h>
#include <string.h>

#include "protocols/dns/rdata_internal.h"
#include "protocols/dns/zonefile_internal.h"

void gy_dns_zonefile_init(struct gy_dns_zonefile *file,
                          const struct gy_dns_zonefile_settings *settings, const char *name,
                          const uint8_t *origin)
{
    memset(file, 0, sizeof *file);
    file->settings = settings;
    file->name = name;
    file->line = 1;
    file->ttl = settings->ttl;
    file->ttl_set = settings->ttl_set;
    memcpy(file->origin, origin, gy_dns_name_bytes(origin));
}

int gy_dns_zonefile_include(struct gy_dns_zonefile *file, const struct gy_dns_zonefile *parent,
                            const char *name, const uint8_t *origin, struct gy_error *error)
{
    if (parent->depth + 1 >= GY_DNS_INCLUDE_DEPTH_MAX) {
        return gy_dns_zonefile_error(parent, error, GY_ELIMIT,
                                     "files include each other more than %d deep; does one "
                                     "include itself?",
                                     GY_DNS_INCLUDE_DEPTH_MAX);
    }
    gy_dns_zonefile_init(file, parent->settings, name, origin);
    file->depth = parent->depth + 1;
    file->ttl = parent->ttl;
    file->ttl_set = parent->ttl_set;
    file->last_ttl = parent->last_ttl;
    file->last_ttl_set = parent->last_ttl_set;
    file->class = parent->class;
    return 0;
}

int gy_dns_zonefile_error(const struct gy_dns_zonefile *file, struct gy_error *error, int code,
                          const char *format, ...)
{
    char sentence[GY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return gy_error_set(error, code, "%s:%u: %s", file->name, file->error_line, sentence);
}

int zonefile_fail(struct zonefile_entry *entry, const char *why)
{
    struct gy_dns_zonefile *file = entry->file;
    const struct scanner *scanner = entry->in.scanner;
    if (file->generating) { /* the text is made up: only the directive's line means something */
        return gy_error_set(entry->error, GY_EINVAL, "%s:%u: a record of $GENERATE, \"%.100s\": %s",
                            file->name, file->line, entry->start, why);
    }
    size_t column = (size_t)(scanner->text - scanner->text_line_start) + 1;
    char word[48];
    size_t length = scanner->bytes < sizeof word - 1 ? scanner->bytes : sizeof word - 1;
    for (size_t i = 0; i < length; i++) {
        word[i] = scanner->text[i] < ' ' || scanner->text[i] > '~' ? '?' : scanner->text[i];
    }
    word[length] = 0;
    return gy_error_set(entry->error, GY_EINVAL,
                        length > 0 ? "%s:%u:%zu: \"%s\": %s" : "%s:%u:%zu: %s%s", file->name,
                        scanner->text_line, column, word, why);
}

/* What rdata_word() and its kind return: 0 or more is passed on; more text, or a sentence. */
int zonefile_result(struct zonefile_entry *entry, int code)
{
    return code == GY_EINVAL ? zonefile_fail(entry, entry->in.why) : code;
}

/* TTL and class in either order, both may be missing, then the type, which is returned. */
static int read_ttl_class_type(struct zonefile_entry *entry, struct gy_dns_record *record)
{
    struct gy_dns_zonefile *file = entry->file;
    const struct scanner *scanner = entry->in.scanner;
    bool has_ttl = false, has_class = false;
    for (;;) {
        int code = rdata_word(&entry->in);
        if (code != 0) {
            return code == GY_EINVAL
                       ? zonefile_fail(entry, "the record ends before its type; write OWNER TTL "
                                              "CLASS TYPE DATA")
                       : code;
        }
        char first = scanner->bytes > 0 ? scanner->text[0] : 0;
        if (!has_ttl && first >= '0' && first <= '9') {
            if (text_period(scanner->text, scanner->bytes, &record->ttl) != 0 ||
                record->ttl > INT32_MAX) {
                return zonefile_fail(entry, "this is not a TTL; write seconds up to 2147483647, "
                                            "or 1h30m");
            }
            has_ttl = true;
            continue;
        }
        bool internet =
            scanner->bytes == 2 && (first | 32) == 'i' && (scanner->text[1] | 32) == 'n';
        int type = internet ? GY_EINVAL : gy_dns_type_from_text(scanner->text, scanner->bytes);
        if (type >= 0) {
            record->type = (uint16_t)type;
            break;
        }
        int class =
            internet ? GY_DNS_CLASS_IN : gy_dns_class_from_text(scanner->text, scanner->bytes);
        if (class <= 0 || class == GY_DNS_CLASS_NONE || class == GY_DNS_CLASS_ANY || has_class) {
            return zonefile_fail(entry, "this is no TTL, class or record type; an owner stands "
                                        "at the very start of its line");
        }
        record->class = (uint16_t) class;
        has_class = true;
    }
    if (!has_class) {
        record->class = file->class != 0 ? file->class : GY_DNS_CLASS_IN;
    } else if (file->class != 0 && file->class != record->class) {
        return zonefile_fail(entry, "the class is not that of the records before");
    }
    if (!has_ttl) {
        record->ttl = file->ttl_set ? file->ttl : file->last_ttl;
        entry->ttl_missing = !file->ttl_set && !file->last_ttl_set;
    }
    return 0;
}

/* Type and data, given to the caller. */
static int read_record(struct zonefile_entry *entry)
{
    struct gy_dns_zonefile *file = entry->file;
    struct gy_dns_record record = {.line = entry->in.scanner->line};
    int code = read_ttl_class_type(entry, &record);
    if (code != 0) {
        return code;
    }
    if (gy_dns_type_is_meta(record.type)) {
        return zonefile_fail(entry, "records of this type do not belong into a zone");
    }
    struct scanner at_type = *entry->in.scanner; /* where what is wrong with all of it is told */
    entry->in.out = gy_writer_on(entry->rdata, sizeof entry->rdata);
    code = zonefile_result(entry, rdata_parse(&entry->in, record.type));
    if (code != 0) {
        return code;
    }
    if (entry->in.out.failed) {
        *entry->in.scanner = at_type;
        return zonefile_fail(entry, "the data of the record is longer than 65535 bytes");
    }
    record.rdata = entry->rdata;
    record.rdata_bytes = (uint32_t)gy_writer_length(&entry->in.out);
    if (entry->ttl_missing) {
        if (record.type != GY_DNS_TYPE_SOA) {
            *entry->in.scanner = at_type;
            return zonefile_fail(entry, "the record has no TTL, and none came before; add a line "
                                        "\"$TTL 1h\" at the top");
        }
        /* As BIND has it: an SOA without one takes its minimum. */
        struct gy_reader minimum = gy_reader_on(record.rdata + record.rdata_bytes - 4, 4);
        record.ttl = gy_reader_u32(&minimum) & INT32_MAX;
    }
    record.owner = file->owner;
    record.owner_bytes = file->owner_bytes;
    file->last_ttl = record.ttl;
    file->last_ttl_set = true;
    file->class = record.class;
    file->records++;
    file->error_line = file->generating ? file->line : record.line;
    return file->settings->record(file->settings->context, file, &record, entry->error);
}

static int read_origin(struct zonefile_entry *entry)
{
    struct gy_dns_zonefile *file = entry->file;
    uint8_t name[GY_DNS_NAME_MAX];
    const char *why = "";
    int code = zonefile_result(entry, rdata_word(&entry->in));
    if (code != 0) {
        return code;
    }
    int bytes = gy_dns_name_from_text(entry->in.scanner->text, entry->in.scanner->bytes,
                                      file->origin, name, &why);
    if (bytes < 0) {
        return zonefile_fail(entry, why);
    }
    code = zonefile_end(entry);
    if (code == 0) {
        memcpy(file->origin, name, (size_t)bytes);
    }
    return code;
}

static int read_ttl(struct zonefile_entry *entry)
{
    struct gy_dns_zonefile *file = entry->file;
    uint32_t ttl;
    int code = zonefile_result(entry, rdata_word(&entry->in));
    if (code != 0) {
        return code;
    }
    if (text_period(entry->in.scanner->text, entry->in.scanner->bytes, &ttl) != 0 ||
        ttl > INT32_MAX) {
        return zonefile_fail(entry, "this is not a TTL; write seconds up to 2147483647, or 1h30m");
    }
    code = zonefile_end(entry);
    if (code == 0) {
        file->ttl = ttl;
        file->ttl_set = true;
    }
    return code;
}

static int read_include(struct zonefile_entry *entry)
{
    struct gy_dns_zonefile *file = entry->file;
    struct scanner *scanner = entry->in.scanner;
    uint8_t origin[GY_DNS_NAME_MAX];
    const char *why = "";
    int code = zonefile_result(entry, rdata_word(&entry->in));
    if (code != 0) {
        return code;
    }
    const char *name = scanner->text;
    size_t name_bytes = scanner->bytes;
    memcpy(origin, file->origin, gy_dns_name_bytes(file->origin));
    int more = zonefile_result(entry, rdata_word_or_end(&entry->in));
    if (more > 0) {
        if (gy_dns_name_from_text(scanner->text, scanner->bytes, file->origin, origin, &why) < 0) {
            return zonefile_fail(entry, why);
        }
        more = zonefile_end(entry);
    }
    if (more < 0) {
        return more;
    }
    file->error_line = file->line;
    if (file->settings->include == NULL) {
        return gy_dns_zonefile_error(file, entry->error, GY_EINVAL,
                                     "$INCLUDE is not allowed here; put the records into this "
                                     "file");
    }
    return file->settings->include(file->settings->context, file, name, name_bytes, origin,
                                   entry->error);
}

int zonefile_end(struct zonefile_entry *entry)
{
    int more = zonefile_result(entry, rdata_word_or_end(&entry->in));
    return more > 0 ? zonefile_fail(entry, "nothing more belongs on this line") : more;
}

static bool is_word(const struct scanner *scanner, const char *word)
{
    return scanner->bytes == strlen(word) && strncasecmp(scanner->text, word, scanner->bytes) == 0;
}

static int read_directive(struct zonefile_entry *entry)
{
    const struct scanner *scanner = entry->in.scanner;
    if (is_word(scanner, "$ORIGIN")) {
        return read_origin(entry);
    }
    if (is_word(scanner, "$TTL")) {
        return read_ttl(entry);
    }
    if (is_word(scanner, "$INCLUDE")) {
        return read_include(entry);
    }
    if (is_word(scanner, "$GENERATE") && !entry->file->generating) {
        return zonefile_generate(entry);
    }
    return zonefile_fail(entry, "this directive is not known; there are $ORIGIN, $TTL, $INCLUDE "
                                "and $GENERATE");
}

/* One entry. 0; 1: it was empty; GY_EAGAIN; an error. */
int zonefile_read_entry(struct zonefile_entry *entry)
{
    struct gy_dns_zonefile *file = entry->file;
    struct scanner *scanner = entry->in.scanner;
    char first = *scanner->at;
    bool same_owner = first == ' ' || first == '\t';
    struct scanner before = *scanner;
    int more = zonefile_result(entry, rdata_word_or_end(&entry->in));
    if (more <= 0) {
        return more;
    }
    if (same_owner || first == '(') {
        /* Blanks before a parenthesis, or a parenthesis at the start: the former owner, if blank.
         */
        if (first != '(') {
            if (file->owner_bytes == 0) {
                return zonefile_fail(entry, "the first record has no owner; write @ for the zone "
                                            "itself at the start of the line");
            }
            *scanner = before;
            return read_record(entry);
        }
    }
    if (scanner->text[0] == '$' && !scanner->quoted) {
        return read_directive(entry);
    }
    uint8_t name[GY_DNS_NAME_MAX];
    const char *why = "";
    int bytes = gy_dns_name_from_text(scanner->text, scanner->bytes, file->origin, name, &why);
    if (bytes < 0) {
        return zonefile_fail(entry, why);
    }
    entry->owner_kept = file->owner_bytes;
    memcpy(entry->owner, file->owner, file->owner_bytes);
    memcpy(file->owner, name, (size_t)bytes);
    file->owner_bytes = (uint8_t)bytes;
    int code = read_record(entry);
    if (code == GY_EAGAIN) { /* it will be read again */
        memcpy(file->owner, entry->owner, entry->owner_kept);
        file->owner_bytes = (uint8_t)entry->owner_kept;
    }
    return code;
}

int gy_dns_zonefile_feed(struct gy_dns_zonefile *file, const char *text, size_t bytes, bool last,
                         size_t *used, struct gy_error *error)
{
    struct scanner scanner = {
        .at = text, .end = text + bytes, .line_start = text, .line = file->line, .last = last};
    const uint64_t before = file->bytes;
    *used = 0;
    if (!file->begun) {
        if (bytes < 3 && !last) {
            return 0;
        }
        if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
            scanner.at += 3;
            scanner.line_start = scanner.at;
        }
        file->begun = true;
    }
    struct zonefile_entry entry = {
        .file = file, .in = {.scanner = &scanner, .origin = file->origin}, .error = error};
    while (scanner.at < scanner.end) {
        entry.start = scanner.at;
        entry.ttl_missing = false;
        entry.in.why = "";
        file->line = scanner.line;
        file->bytes = before + (uint64_t)(entry.start - text);
        int code = zonefile_read_entry(&entry);
        if (code == GY_EAGAIN) {
            gy_assert(!last);
            *used = (size_t)(entry.start - text); /* file->bytes counts them already */
            return bytes - *used <= GY_DNS_ENTRY_MAX
                       ? 0
                       : gy_error_set(error, GY_ELIMIT,
                                      "%s:%u: an entry is longer than %u bytes; is a parenthesis "
                                      "or a quote not closed?",
                                      file->name, file->line, GY_DNS_ENTRY_MAX);
        }
        if (code != 0) {
            return code;
        }
    }
    file->line = scanner.line;
    file->bytes = before + bytes;
    *used = bytes;
    return 0;
}
