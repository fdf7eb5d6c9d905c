/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Reading: files, includes, directives. What keys mean is in config_apply.c. */

#include "core/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/file_check.h"

/* Texts and directives lie in blocks that are freed together. */
struct memory {
    struct memory *next;
    char data[];
};

struct gy_config {
    struct memory *memory;
    struct gy_config_directive *first;
    int folder;              /* of the first file while reading; -1: nothing can be included */
    const char *folder_path; /* "", or it ends with a slash */
    uint32_t files;
    uint32_t directives;
    uint64_t bytes;
};

/* One file while it is read. */
struct source {
    struct gy_config *config;
    const char *name;
    const char *at, *end;
    uint32_t line;
    uint32_t depth; /* of includes */
    struct gy_error *error;
};

static void *allocate(struct gy_config *config, size_t bytes)
{
    struct memory *memory = calloc(1, sizeof *memory + bytes);
    if (memory == NULL) {
        return NULL;
    }
    memory->next = config->memory;
    config->memory = memory;
    return memory->data;
}

/* A copy that stays with the configuration; NULL when there is no memory. */
static char *keep(struct gy_config *config, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = allocate(config, bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

static int out_of_memory(const struct source *source)
{
    return gy_error_set(source->error, GY_ENOMEM, "%s:%u: out of memory", source->name,
                        source->line);
}

/* ---- words ---- */

static void skip_blanks(struct source *source)
{
    while (source->at < source->end) {
        char c = *source->at;
        if (c == '#') {
            while (source->at < source->end && *source->at != '\n') {
                source->at++;
            }
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            source->line += c == '\n';
            source->at++;
        } else {
            return;
        }
    }
}

static int read_quoted(struct source *source, char *out, size_t *length)
{
    uint32_t line = source->line;
    char quote = *source->at++;
    *length = 0;
    while (source->at < source->end && *source->at != quote) {
        char c = *source->at++;
        source->line += c == '\n';
        if (c == '\\' && quote == '"') {
            char escaped = source->at < source->end ? *source->at++ : '\0';
            c = escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
            if (escaped != 'n' && escaped != 't' && escaped != '"' && escaped != '\\') {
                return gy_error_set(source->error, GY_EINVAL,
                                    "%s:%u: in double quotes a backslash stands before \", \\, n "
                                    "or t; for text as it is use single quotes",
                                    source->name, source->line);
            }
        }
        if (c == '\0') {
            return gy_error_set(source->error, GY_EINVAL, "%s:%u: there is a NUL in the text",
                                source->name, source->line);
        }
        out[(*length)++] = c;
    }
    if (source->at == source->end) {
        return gy_error_set(source->error, GY_EINVAL, "%s:%u: the quote %c is never closed",
                            source->name, line, quote);
    }
    source->at++;
    return 0;
}

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '{' || c == '}' ||
           c == '#' || c == '"' || c == '\'';
}

/* A word or quoted text, zero-terminated, in the configuration's memory. Something is there. */
static int read_word(struct source *source, const char **word)
{
    const char *start = source->at;
    size_t room = 1;
    bool quoted = *start == '"' || *start == '\'';
    if (quoted) {
        const char *close = start + 1;
        while (close < source->end && *close != *start) {
            close += *start == '"' && *close == '\\' ? 2 : 1;
        }
        room += close < source->end ? (size_t)(close - start) : (size_t)(source->end - start);
    } else {
        while (start + room - 1 < source->end && !ends_word(start[room - 1])) {
            room++;
        }
    }
    char *text = allocate(source->config, room);
    if (text == NULL) {
        return out_of_memory(source);
    }
    *word = text;
    if (quoted) {
        size_t length;
        return read_quoted(source, text, &length);
    }
    memcpy(text, start, room - 1);
    source->at += room - 1;
    for (size_t i = 0; i + 1 < room; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return gy_error_set(source->error, GY_EINVAL,
                                "%s:%u: there is a control character in the text", source->name,
                                source->line);
        }
    }
    return 0;
}

/* ---- files ---- */

static int read_directives(struct source *source, uint32_t depth,
                           struct gy_config_directive ***tail,
                           const struct gy_config_directive *block);

static int read_bytes(struct gy_config *config, int fd, const char *name, char **text,
                      size_t *bytes, struct gy_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return gy_error_set(error, GY_EINVAL, "%s: it is not a regular file", name);
    }
    if (++config->files > GY_CONFIG_FILES_MAX) {
        return gy_error_set(error, GY_ELIMIT, "%s: there are more than %d files", name,
                            GY_CONFIG_FILES_MAX);
    }
    if (status.st_size > (off_t)(GY_CONFIG_BYTES_MAX - config->bytes)) {
        return gy_error_set(error, GY_ELIMIT, "%s: the files are larger than %u bytes together",
                            name, GY_CONFIG_BYTES_MAX);
    }
    size_t size = (size_t)status.st_size;
    *text = allocate(config, size + 1);
    if (*text == NULL) {
        return gy_error_set(error, GY_ENOMEM, "%s: out of memory", name);
    }
    *bytes = 0;
    while (*bytes < size) {
        ssize_t got = read(fd, *text + *bytes, size - *bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return gy_error_set(error, gy_error_from_errno(errno), "%s: reading: %s", name,
                                strerror(errno));
        }
        if (got == 0) {
            break; /* it was cut meanwhile */
        }
        *bytes += (size_t)got;
    }
    config->bytes += *bytes;
    return 0;
}

static int open_beneath(int folder, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

/* An error of the directive that includes. */
static int include_failed(const struct source *source, const struct gy_config_directive *directive,
                          const char *path, int cause)
{
    struct gy_error *error = source->error;
    char full[PATH_MAX], why[GY_FILE_WHY_BYTES];
    if (cause == EXDEV || path[0] == '/') {
        return gy_config_error(directive, error,
                               "%s lies outside of the configuration's folder; only what is below "
                               "it can be included",
                               path);
    }
    snprintf(full, sizeof full, "%s%s", source->config->folder_path, path);
    return gy_config_error(directive, error, "%.200s: %s", path,
                           gy_file_why(why, full, R_OK, cause));
}

static int include_file(struct source *source, const struct gy_config_directive *directive,
                        const char *path, struct gy_config_directive ***tail)
{
    struct gy_config *config = source->config;
    int fd = open_beneath(config->folder, path, 0);
    if (fd < 0) {
        return include_failed(source, directive, path, errno);
    }
    struct source inner = {.config = config, .line = 1, .depth = source->depth + 1};
    char *text = NULL;
    size_t bytes = 0;
    char *name = keep(config, path);
    int code = name == NULL ? out_of_memory(source)
                            : read_bytes(config, fd, path, &text, &bytes, source->error);
    close(fd);
    if (code != 0) {
        return code;
    }
    inner.name = name;
    inner.at = text;
    inner.end = text + bytes;
    inner.error = source->error;
    return read_directives(&inner, 0, tail, NULL);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Paths of the files that the pattern's last part matches, in order. */
static int match(struct source *source, const struct gy_config_directive *directive,
                 const char *pattern, char **paths, uint32_t *count)
{
    const char *slash = strrchr(pattern, '/');
    size_t folder_length = slash != NULL ? (size_t)(slash - pattern) + 1 : 0;
    char folder[1024] = ".";
    if (folder_length >= sizeof folder) {
        return gy_config_error(directive, source->error, "the path is too long");
    }
    if (folder_length > 0) {
        memcpy(folder, pattern, folder_length);
        folder[folder_length] = '\0';
    }
    int fd = open_beneath(source->config->folder, folder, O_DIRECTORY);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    if (listing == NULL) {
        int cause = errno;
        gy_descriptor_close(fd);
        return include_failed(source, directive, folder, cause);
    }
    int code = 0;
    for (const struct dirent *entry; code == 0 && (entry = readdir(listing)) != NULL;) {
        if (fnmatch(pattern + folder_length, entry->d_name, FNM_PERIOD) != 0) {
            continue;
        }
        size_t length = strlen(entry->d_name);
        if (*count == GY_CONFIG_FILES_MAX) {
            code = gy_config_error(directive, source->error, "it matches more than %d files",
                                   GY_CONFIG_FILES_MAX);
        } else if ((paths[*count] = allocate(source->config, folder_length + length + 1)) == NULL) {
            code = out_of_memory(source);
        } else {
            memcpy(paths[*count], pattern, folder_length);
            memcpy(paths[(*count)++] + folder_length, entry->d_name, length + 1);
        }
    }
    closedir(listing);
    qsort(paths, *count, sizeof *paths, compare);
    return code;
}

static int include(struct source *source, const struct gy_config_directive *directive,
                   struct gy_config_directive ***tail)
{
    if (directive->value_count != 1 || directive->has_block) {
        return gy_config_error(directive, source->error, "it takes one path");
    }
    if (source->config->folder < 0 || source->depth == GY_CONFIG_DEPTH_MAX) {
        return gy_config_error(directive, source->error,
                               source->config->folder < 0
                                   ? "nothing can be included here"
                                   : "files include each other, or are nested too deeply");
    }
    const char *path = directive->values[0];
    const char *last = strrchr(path, '/');
    if (strpbrk(last != NULL ? last : path, "*?[") == NULL) {
        return include_file(source, directive, path, tail);
    }
    char *paths[GY_CONFIG_FILES_MAX];
    uint32_t count = 0;
    int code = match(source, directive, path, paths, &count);
    for (uint32_t i = 0; code == 0 && i < count; i++) {
        code = include_file(source, directive, paths[i], tail);
    }
    return code;
}

/* ---- directives ---- */

static int read_values(struct source *source, struct gy_config_directive *directive)
{
    for (;;) {
        skip_blanks(source);
        if (source->at == source->end) {
            return gy_config_error(directive, source->error,
                                   "it does not end; write ; or a block in { } behind it");
        }
        if (*source->at == ';' || *source->at == '{') {
            directive->has_block = *source->at++ == '{';
            return 0;
        }
        if (*source->at == '}') {
            return gy_config_error(directive, source->error, "it does not end; write ; before }");
        }
        if (directive->value_count == GY_CONFIG_VALUES_MAX) {
            return gy_config_error(directive, source->error,
                                   "it has more than %d values; is a ; missing?",
                                   GY_CONFIG_VALUES_MAX);
        }
        int code = read_word(source, &directive->values[directive->value_count]);
        if (code != 0) {
            return code;
        }
        directive->value_count++;
    }
}

static int read_directive(struct source *source, uint32_t depth, struct gy_config_directive ***tail)
{
    struct gy_config *config = source->config;
    struct gy_config_directive *directive = allocate(config, sizeof *directive);
    if (directive == NULL) {
        return out_of_memory(source);
    }
    directive->file = source->name;
    directive->line = source->line;
    if (++config->directives > GY_CONFIG_DIRECTIVES_MAX) {
        return gy_error_set(source->error, GY_ELIMIT, "%s:%u: there are more than %d directives",
                            source->name, source->line, GY_CONFIG_DIRECTIVES_MAX);
    }
    int code = read_word(source, &directive->key);
    if (code == 0) {
        code = read_values(source, directive);
    }
    if (code != 0) {
        return code;
    }
    if (strcmp(directive->key, "include") == 0) {
        return include(source, directive, tail);
    }
    **tail = directive;
    *tail = &directive->next;
    if (!directive->has_block) {
        return 0;
    }
    if (depth + 1 == GY_CONFIG_DEPTH_MAX) {
        return gy_config_error(directive, source->error, "blocks are nested more than %d deep",
                               GY_CONFIG_DEPTH_MAX);
    }
    struct gy_config_directive **inner = &directive->block;
    return read_directives(source, depth + 1, &inner, directive);
}

/* Until the end of the file, or of the block that `block` began. */
static int read_directives(struct source *source, uint32_t depth,
                           struct gy_config_directive ***tail,
                           const struct gy_config_directive *block)
{
    for (;;) {
        skip_blanks(source);
        if (source->at == source->end) {
            return block == NULL ? 0
                                 : gy_config_error(block, source->error,
                                                   "its block is never closed; a } is missing");
        }
        if (*source->at == '}') {
            source->at++;
            if (block != NULL) {
                return 0;
            }
            return gy_error_set(source->error, GY_EINVAL, "%s:%u: } closes nothing", source->name,
                                source->line);
        }
        if (*source->at == ';' || *source->at == '{') {
            return gy_error_set(source->error, GY_EINVAL, "%s:%u: there is no key before %c",
                                source->name, source->line, *source->at);
        }
        int code = read_directive(source, depth, tail);
        if (code != 0) {
            return code;
        }
    }
}

/* ---- what users call ---- */

int gy_config_parse(struct gy_config **parsed, const char *name, const char *text, size_t bytes,
                    struct gy_error *error)
{
    struct gy_config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return gy_error_set(error, GY_ENOMEM, "%s: out of memory", name);
    }
    config->folder = -1;
    config->folder_path = "";
    char *kept = keep(config, name);
    struct source source = {.config = config, .name = kept, .line = 1, .error = error};
    source.at = text;
    source.end = text + bytes;
    struct gy_config_directive **tail = &config->first;
    int code = 0;
    if (kept == NULL) {
        code = gy_error_set(error, GY_ENOMEM, "%s: out of memory", name);
    } else {
        code = read_directives(&source, 0, &tail, NULL);
    }
    if (code != 0) {
        gy_config_free(config);
        return code;
    }
    *parsed = config;
    return 0;
}

/* The folder that the first file lies in; it need not be there. 0 or GY_ENOMEM. */
static int open_folder(struct gy_config *config, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    char *folder = allocate(config, length + 1);
    if (folder == NULL) {
        return GY_ENOMEM;
    }
    memcpy(folder, path, length);
    config->folder_path = folder;
    config->folder = open(length > 0 ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int read_first(struct gy_config *config, const char *path, struct gy_error *error)
{
    struct source source = {.config = config, .line = 1, .error = error};
    struct gy_config_directive **tail = &config->first;
    char *text = NULL;
    size_t bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int cause = errno;
        char why[GY_FILE_WHY_BYTES];
        return gy_error_set(error, gy_error_from_errno(cause),
                            "reading the configuration %.200s: %s%s", path,
                            gy_file_why(why, path, R_OK, cause),
                            cause == ENOENT ? "; name a file that is there" : "");
    }
    int code = read_bytes(config, fd, path, &text, &bytes, error);
    close(fd);
    char *name = code == 0 ? keep(config, path) : NULL;
    if (name == NULL) {
        return code != 0 ? code : gy_error_set(error, GY_ENOMEM, "%s: out of memory", path);
    }
    source.name = name;
    source.at = text;
    source.end = text + bytes;
    return read_directives(&source, 0, &tail, NULL);
}

int gy_config_read(struct gy_config **read, const char *path, struct gy_error *error)
{
    struct gy_config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return gy_error_set(error, GY_ENOMEM, "%s: out of memory", path);
    }
    config->folder = -1;
    int code = open_folder(config, path) == 0
                   ? read_first(config, path, error)
                   : gy_error_set(error, GY_ENOMEM, "%s: out of memory", path);
    gy_descriptor_drop(&config->folder);
    if (code != 0) {
        gy_config_free(config);
        return code;
    }
    *read = config;
    return 0;
}

const struct gy_config_directive *gy_config_first(const struct gy_config *config)
{
    return config->first;
}

void gy_config_free(struct gy_config *config)
{
    if (config == NULL) {
        return;
    }
    while (config->memory != NULL) {
        struct memory *next = config->memory->next;
        free(config->memory);
        config->memory = next;
    }
    free(config);
}
