/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/serve.h"

#include <string.h>

#include "core/address.h"
#include "core/config.h"
#include "core/log.h"
#include "core/number.h"
#include "servers/http/access_log.h"
#include "servers/serve_flags.h"

#define WORKERS_MAX 1024

const char gy_serve_flags_help[] =
    "  --listen ADDR:PORT      where to listen; may be repeated (:PORT is every address)\n"
    "  --workers N             worker threads (default: one per processor)\n"
    "  --connections N         per worker (default: as open files allow); --descriptor-tables "
    "per-worker\n"
    "  --drain-timeout TIME    how long a drain may take: 500ms, 10s, 5m (default: 10s)\n"
    "  --log-level LEVEL       error, warn, info or debug (default: info); --log-json: JSON lines\n"
    "  --no-supervisor         one process, not restarted when it dies (for debuggers)\n"
    "  --user USER[:GROUP]     who serves, when started by root\n"
    "  --unpinned              leave it to the kernel which processor a worker runs on\n"
    "  --receive-mode MODE     one-shot, multishot, incremental or bundle (default: the best that "
    "works)\n"
    "  --without FEATURE,...   do without ring features, as `gyre doctor` names them\n";

const char gy_serve_admin_help[] =
    "  --admin ADDR:PORT       metrics, health and status for operators\n"
    "  --access-log FILE       a line for each HTTP request (-: standard output)\n"
    "  --access-format FORMAT  combined or json (default: combined)\n";

struct gy_serve_options gy_serve_defaults(void)
{
    return (struct gy_serve_options){
        .receive_mode = GY_RECEIVE_CHOOSE,
        .drain_timeout_ms = 10000,
        .log_level = GY_LOG_INFO,
    };
}

/* ---- flags ---- */

static int read_number(const char *name, const char *value, uint32_t max, uint32_t *number,
                       struct gy_error *error)
{
    uint64_t parsed;
    if (!gy_number_read(value, 0, max, &parsed)) {
        return gy_error_set(error, GY_EINVAL, "--%s %s: not a number from 0 to %u", name, value,
                            max);
    }
    *number = (uint32_t)parsed;
    return 1;
}

static int read_without(const char *value, uint32_t *without, struct gy_error *error)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } features[] = {
#define SERVE_FEATURE(name, bit, since, instead) {#name, GY_RING_##name},
        GY_RING_FEATURES(SERVE_FEATURE)
#undef SERVE_FEATURE
    };
    while (*value != '\0') {
        size_t length = strcspn(value, ",");
        size_t i = 0;
        while (i < sizeof features / sizeof features[0] &&
               (strlen(features[i].name) != length ||
                strncasecmp(features[i].name, value, length) != 0)) {
            i++;
        }
        if (i == sizeof features / sizeof features[0]) {
            return gy_error_set(error, GY_EINVAL,
                                "--without %.*s: no such feature; `gyre doctor` lists them",
                                (int)length, value);
        }
        *without |= features[i].bit;
        value += length + (value[length] == ',');
    }
    return 1;
}

/* One of a few words. */
static int read_word(struct gy_serve_options *options, const char *name, const char *value,
                     struct gy_error *error)
{
    if (strcmp(name, "descriptor-tables") == 0) {
        return gy_tables_parse(value, &options->tables) == 0
                   ? 1
                   : gy_error_set(error, GY_EINVAL,
                                  "--descriptor-tables %s: not one of one, per-worker, auto",
                                  value);
    }
    if (strcmp(name, "receive-mode") == 0) {
        enum gy_receive_mode mode;
        if (gy_receive_mode_parse(value, &mode) != 0) {
            return gy_error_set(
                error, GY_EINVAL,
                "--receive-mode %s: not one of one-shot, multishot, incremental, bundle", value);
        }
        options->receive_mode = (int)mode;
        return 1;
    }
    if (strcmp(name, "access-format") == 0) {
        enum gy_access_format format;
        if (gy_access_format_parse(value, &format) != 0) {
            return gy_error_set(error, GY_EINVAL, "--access-format %s: not combined or json",
                                value);
        }
        options->access_format = (int)format;
        return 1;
    }
    enum gy_log_level level;
    if (gy_log_level_parse(value, &level) != 0) {
        return gy_error_set(error, GY_EINVAL, "--log-level %s: not one of error, warn, info, debug",
                            value);
    }
    options->log_level = (int)level;
    return 1;
}

static int read_valued(struct gy_serve_options *options, const char *name, const char *value,
                       struct gy_error *error)
{
    if (strcmp(name, "listen") == 0) {
        struct gy_address address;
        if (options->address_count == GY_SERVE_ADDRESSES_MAX) {
            return gy_error_set(error, GY_EINVAL, "--listen %s: at most %d addresses", value,
                                GY_SERVE_ADDRESSES_MAX);
        }
        options->addresses[options->address_count++] = value;
        int code = gy_address_parse(&address, value, error);
        return code == 0 ? 1 : code;
    }
    if (strcmp(name, "workers") == 0) {
        return read_number(name, value, WORKERS_MAX, &options->workers, error);
    }
    if (strcmp(name, "connections") == 0) {
        return read_number(name, value, 1u << 20, &options->connections_max, error);
    }
    if (strcmp(name, "drain-timeout") == 0) {
        uint64_t ms = 0;
        if (!gy_config_read_time(value, 86400000, &ms)) {
            return gy_error_set(error, GY_EINVAL,
                                "--drain-timeout %s: not a time of at most a day; write it as "
                                "500ms, 10s, 5m or 2h",
                                value);
        }
        if (ms == 0) {
            return gy_error_set(error, GY_EINVAL,
                                "--drain-timeout 0: there must be some; a second signal stops at "
                                "once");
        }
        options->drain_timeout_ms = (uint32_t)ms;
        return 1;
    }
    if (strcmp(name, "without") == 0) {
        return read_without(value, &options->without, error);
    }
    if (strcmp(name, "admin") == 0) {
        struct gy_address address;
        options->admin = value;
        int code = gy_address_parse(&address, value, error);
        return code == 0 ? 1 : code;
    }
    if (strcmp(name, "access-log") == 0) {
        options->access_log = value;
        return 1;
    }
    if (strcmp(name, "user") == 0) {
        options->user = value;
        return 1;
    }
    return read_word(options, name, value, error);
}

int gy_serve_flag(struct gy_serve_options *options, const char *name, const char *value,
                  struct gy_error *error)
{
#define SERVE_NAME(name) name,
    static const char *const valued[] = {GY_SERVE_VALUED(SERVE_NAME)};
#undef SERVE_NAME
    for (size_t i = 0; i < sizeof valued / sizeof valued[0]; i++) {
        if (strcmp(name, valued[i]) == 0) {
            if (value == NULL) {
                return gy_error_set(error, GY_EINVAL, "--%s needs a value", name);
            }
            return read_valued(options, name, value, error);
        }
    }
#define SERVE_SWITCH(text, member)                                                                 \
    if (strcmp(name, text) == 0) {                                                                 \
        options->member = true;                                                                    \
        return 2;                                                                                  \
    }
    GY_SERVE_SWITCHES(SERVE_SWITCH)
#undef SERVE_SWITCH
    return 0;
}
