/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_SERVERS_HTTP_FILES_H
#define GY_SERVERS_HTTP_FILES_H

/*
 * Static files: an HTTP handler that serves what lies below one directory.
 *
 *     static struct gy_files files;
 *     gy_files_open(&files, &options, &error);
 *     gy_files_serve(&files, &http);         http is then served as any other
 *
 * GET and HEAD of regular files, index.html for a directory, a listing where there is none; ranges
 * (RFC 9110 §14), preconditions (§13), files that lie there compressed as well (name.br, name.zst,
 * name.gz, for those who accept them). Other files worth it are compressed as they are asked for
 * (compress.h): short ones once, into a cache; long ones for each answer, by a helper thread, as
 * fast as the peer takes them. A range is one of the file as it is, never of such a coding. Names
 * that begin with a dot are not there, but /.well-known/; nothing leads out of the directory, and
 * what is neither a file nor a directory is refused. No request waits for a disk while others could
 * be answered.
 *
 * Each worker keeps what is asked for often in memory (file_cache.h); large files it sends from the
 * kernel's cache where it can (core/file_range.h). A changed file shows within a second. A file
 * that gets shorter while it is sent ends its connection, so that the client can tell.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../../core/error.h"
#include "../../protocols/http/http.h"
#include "compress.h"
#include "http_server.h"

/* A page that is sent, with the status that led to it, instead of the built-in one. */
struct gy_files_error_page {
    uint16_t status; /* 400 to 599 */
    const char *key; /* below the directory, as gy_file_path_read() makes it; outlives the files */
    uint32_t key_length;
};

#define GY_FILES_ERROR_PAGES_MAX 32

struct gy_files_options {
    const char *directory;
    bool no_listing;       /* 404 for a directory without index.html */
    bool no_precompressed; /* do not look for name.br, name.zst, name.gz */
    bool no_sendfile;      /* read what is sent of large files into memory first */
    uint64_t cache_bytes;  /* per worker, for contents; 0: 64 MiB */
    uint64_t window_bytes; /* per worker, for what is read ahead of the peers; 0: 128 MiB */
    uint32_t entries;      /* per worker, paths remembered; a power of two; 0: 65536 */
    /* Pages that are not there, or cannot be read, are replaced by the built-in ones. */
    struct gy_files_error_page error_pages[GY_FILES_ERROR_PAGES_MAX];
    uint32_t error_page_count;
    struct gy_compress_options compress;
};

struct gy_files_worker;

struct gy_files {
    struct gy_files_options options;
    int root;
    uint64_t boundary; /* what multipart bodies are told apart by */
    struct gy_files_worker *workers[GY_HTTP_WORKERS_MAX];
};

/* Opens the directory. 0, or an error whose sentence says what is wrong with it. */
int gy_files_open(struct gy_files *files, const struct gy_files_options *options,
                  struct gy_error *error);
void gy_files_close(struct gy_files *files);

/* What serves the files; and that of `http` alone. */
struct gy_http_service gy_files_service(struct gy_files *files);
void gy_files_serve(struct gy_files *files, struct gy_http_server *http);

#endif
