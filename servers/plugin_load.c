/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/plugin_load.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file_check.h"

#define SYMBOL       "gy_plugin"
#define TEXT_MAX     128 /* bytes of a name that is not ours to bound */
#define LATENCY_TAIL "_seconds"

/* ---- the file ---- */

static bool is_name(const char *text)
{
    if (text == NULL || text[0] < 'a' || text[0] > 'z') {
        return false;
    }
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0' && strlen(text) < 24;
}

/* What dlopen would say in words of its own, or not at all. */
static int look(const char *path, struct gy_error *error)
{
    Elf64_Ehdr header;
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        int errno_value = errno;
        char why[GY_FILE_WHY_BYTES];
        return gy_error_set(error, gy_error_from_errno(errno_value), "loading %.200s: %s%s", path,
                            gy_file_why(why, path, R_OK, errno_value),
                            errno_value == ENOENT ? "; build it, or write the path where it lies"
                                                  : "");
    }
    bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    ssize_t got = regular ? read(descriptor, &header, sizeof header) : 0;
    close(descriptor);
    if (!regular) {
        return gy_error_set(error, GY_EINVAL, "loading %s: it is no file; name the shared object",
                            path);
    }
    if (got < (ssize_t)sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_type != ET_DYN) {
        return gy_error_set(error, GY_EINVAL,
                            "loading %s: it is no shared object; build it with cc -shared -fPIC",
                            path);
    }
    return 0;
}

static int open_error(const char *path, struct gy_error *error)
{
    static const char undefined[] = "undefined symbol: ";
    const char *text = dlerror();
    const char *symbol = text != NULL ? strstr(text, undefined) : NULL;
    if (symbol == NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "loading %s: %s; build it on this machine, for this machine", path,
                            text != NULL ? text : "it cannot be used");
    }
    symbol += sizeof undefined - 1;
    return gy_error_set(error, GY_ENOTSUP,
                        "loading %s: it needs %.*s, which neither this gyre (%s) nor what it is "
                        "linked to has; build it with the headers of this release, and link it to "
                        "the libraries that it uses",
                        path, (int)strcspn(symbol, ", \n"), symbol, GY_PLUGIN_RELEASE);
}

/* ---- what is in it ---- */

/* "echo" allows echo_bytes; "my-echo" allows my_echo_bytes. */
static bool is_metric_of(const struct gy_server_kind *kind, const char *name)
{
    size_t length = strlen(kind->name);
    if (name == NULL || strlen(name) >= TEXT_MAX || strlen(name) < length + 2 ||
        name[length] != '_' ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (name[i] != (kind->name[i] == '-' ? '_' : kind->name[i])) {
            return false;
        }
    }
    return true;
}

static bool is_one_line(const char *text)
{
    return text != NULL && text[strcspn(text, "\n\\")] == '\0';
}

/* Rows of one name have to lie next to each other: else the name would be described twice. */
static bool is_repeated(const struct gy_metric_description *rows, size_t i)
{
    bool apart = false;
    for (size_t j = i; j-- > 0;) {
        bool same = strcmp(rows[j].name, rows[i].name) == 0;
        if (same && (apart || strcmp(rows[j].label, rows[i].label) == 0)) {
            return true;
        }
        apart = apart || !same;
    }
    return false;
}

/* NULL, or what is wrong. */
static const char *metrics_fault(const struct gy_server_kind *kind)
{
    const struct gy_server_metrics *metrics = kind->metrics;
    if (metrics->rows == NULL || metrics->row_count == 0 ||
        metrics->row_count > GY_SERVER_ROWS_MAX) {
        return "the number of its rows";
    }
    if (metrics->counts_bytes == 0 || metrics->counts_bytes % 64 != 0 ||
        metrics->counts_bytes > GY_SERVER_COUNTS_MAX) {
        return "counts_bytes, which has to be a multiple of 64 (GY_COUNTS)";
    }
    for (size_t i = 0; i < metrics->row_count; i++) {
        const struct gy_metric_description *row = &metrics->rows[i];
        if (!is_metric_of(kind, row->name)) {
            return "a row's name, which has to begin with the kind's and an underscore";
        }
        if (!is_one_line(row->help) || row->label == NULL ||
            (row->label[0] != '\0' && strchr(row->label, '"') == strrchr(row->label, '"')) ||
            is_repeated(metrics->rows, i)) {
            return "a row's label or help";
        }
        if (row->kind > GY_METRIC_GAUGE_MIN || row->offset % sizeof(uint64_t) != 0 ||
            row->offset > metrics->counts_bytes - sizeof(uint64_t)) {
            return "a row's kind or offset";
        }
    }
    if (metrics->latency_name == NULL) {
        return NULL;
    }
    size_t length = strlen(metrics->latency_name);
    size_t tail = sizeof LATENCY_TAIL - 1;
    if (!is_metric_of(kind, metrics->latency_name) || length < tail ||
        strcmp(metrics->latency_name + length - tail, LATENCY_TAIL) != 0 ||
        !is_one_line(metrics->latency_help)) {
        return "latency_name, which has to end in " LATENCY_TAIL ", or latency_help";
    }
    if (metrics->latency_offset % sizeof(uint64_t) != 0 ||
        metrics->counts_bytes < sizeof(struct gy_histogram) ||
        metrics->latency_offset > metrics->counts_bytes - sizeof(struct gy_histogram)) {
        return "latency_offset";
    }
    return NULL;
}

/* NULL, or what is wrong. */
static const char *kind_fault(const struct gy_server_kind *kind)
{
    const struct gy_stream_ops *ops = kind->ops;
    if (ops == NULL || ops->open == NULL || ops->turn == NULL || ops->expire == NULL ||
        ops->drain == NULL || ops->closed == NULL) {
        return "ops, none of which may be NULL";
    }
    if (kind->server_bytes == 0 || kind->session_bytes == 0) {
        return "server_bytes or session_bytes, which may not be 0";
    }
    if (kind->datagrams != NULL || kind->prepare != NULL) {
        return "datagrams or prepare, which are for kinds of the program";
    }
    if (kind->key_count >= GY_CONFIG_KEYS_MAX || (kind->key_count > 0 && kind->keys == NULL)) {
        return "the number of its keys";
    }
    for (uint32_t i = 0; i < kind->key_count; i++) {
        const struct gy_config_key *key = &kind->keys[i];
        if (!is_name(key->name) || key->take == NULL || key->values == NULL ||
            key->values_min > key->values_max || key->values_max > GY_CONFIG_VALUES_MAX) {
            return "a key";
        }
        if (strcmp(key->name, "listen") == 0) {
            return "the key listen, which is the host's";
        }
    }
    return kind->metrics != NULL ? metrics_fault(kind) : NULL;
}

int gy_plugin_check(const struct gy_plugin *plugin, const char *path, struct gy_error *error)
{
    bool readable = plugin->abi == GY_PLUGIN_ABI && plugin->bytes == sizeof *plugin;
    if (!readable || plugin->kind_bytes != sizeof(struct gy_server_kind) ||
        plugin->layout != GY_PLUGIN_LAYOUT) {
        const char *release = plugin->release != NULL ? plugin->release : "?";
        return gy_error_set(
            error, GY_ENOTSUP,
            "loading %s: it was built with the headers of gyre %.32s (plug-in ABI %u%s), and this "
            "is gyre %s (ABI %u); build it again with the headers of this one",
            path, release, plugin->abi,
            plugin->abi == GY_PLUGIN_ABI ? ", other sizes of structures" : "", GY_PLUGIN_RELEASE,
            GY_PLUGIN_ABI);
    }
    if (plugin->kind_count == 0 || plugin->kind_count > GY_PLUGIN_KINDS_MAX) {
        return gy_error_set(error, GY_EINVAL,
                            "loading %s: it has %u kinds of servers; 1 to %d can be in one file",
                            path, plugin->kind_count, GY_PLUGIN_KINDS_MAX);
    }
    for (uint32_t i = 0; i < plugin->kind_count; i++) {
        const struct gy_server_kind *kind = plugin->kinds[i];
        if (kind == NULL || !is_name(kind->name)) {
            return gy_error_set(error, GY_EINVAL,
                                "loading %s: kind %u has no name of a to z, 0 to 9 and hyphens; "
                                "mend its .name",
                                path, i + 1);
        }
        const char *fault = kind_fault(kind);
        if (fault != NULL) {
            return gy_error_set(error, GY_EINVAL,
                                "loading %s: the kind %s cannot be used; mend %s "
                                "(gyre/servers/kind.h)",
                                path, kind->name, fault);
        }
    }
    return 0;
}

int gy_plugin_load(const struct gy_plugin **plugin, const char *path, struct gy_error *error)
{
    int code = look(path, error);
    if (code != 0) {
        return code;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        return open_error(path, error);
    }
    const struct gy_plugin *found = dlsym(handle, SYMBOL);
    if (found == NULL) {
        return gy_error_set(error, GY_EINVAL,
                            "loading %s: there is no " SYMBOL " in it, so it is no plug-in of "
                            "Gyre; write GY_PLUGIN(&…); into it (gyre/servers/plugin.h)",
                            path);
    }
    *plugin = found;
    return gy_plugin_check(found, path, error);
}
