/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "servers/http/mime.h"

#include <string.h>

#define ENDING_BYTES 12

#define GY_TYPE(literal)                                                                           \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* Sorted by ending. */
static const struct {
    char ending[ENDING_BYTES];
    struct gy_mime mime;
} types[] = {
    {"7z", {GY_TYPE("application/x-7z-compressed"), false}},
    {"aac", {GY_TYPE("audio/aac"), false}},
    {"apk", {GY_TYPE("application/vnd.android.package-archive"), false}},
    {"apng", {GY_TYPE("image/apng"), false}},
    {"asc", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"atom", {GY_TYPE("application/atom+xml"), true}},
    {"avi", {GY_TYPE("video/x-msvideo"), false}},
    {"avif", {GY_TYPE("image/avif"), false}},
    {"bin", {GY_TYPE("application/octet-stream"), false}},
    {"bmp", {GY_TYPE("image/bmp"), true}},
    {"br", {GY_TYPE("application/octet-stream"), false}},
    {"bz2", {GY_TYPE("application/x-bzip2"), false}},
    {"c", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"cer", {GY_TYPE("application/pkix-cert"), false}},
    {"cfg", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"conf", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"cpp", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"crt", {GY_TYPE("application/x-x509-ca-cert"), false}},
    {"css", {GY_TYPE("text/css; charset=utf-8"), true}},
    {"csv", {GY_TYPE("text/csv; charset=utf-8"), true}},
    {"deb", {GY_TYPE("application/vnd.debian.binary-package"), false}},
    {"diff", {GY_TYPE("text/x-diff; charset=utf-8"), true}},
    {"dmg", {GY_TYPE("application/x-apple-diskimage"), false}},
    {"doc", {GY_TYPE("application/msword"), false}},
    {"docx",
     {GY_TYPE("application/vnd.openxmlformats-officedocument.wordprocessingml.document"), false}},
    {"dtd", {GY_TYPE("application/xml-dtd"), true}},
    {"eot", {GY_TYPE("application/vnd.ms-fontobject"), true}},
    {"eps", {GY_TYPE("application/postscript"), true}},
    {"epub", {GY_TYPE("application/epub+zip"), false}},
    {"exe", {GY_TYPE("application/octet-stream"), false}},
    {"flac", {GY_TYPE("audio/flac"), false}},
    {"flv", {GY_TYPE("video/x-flv"), false}},
    {"geojson", {GY_TYPE("application/geo+json"), true}},
    {"gif", {GY_TYPE("image/gif"), false}},
    {"gz", {GY_TYPE("application/gzip"), false}},
    {"h", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"heic", {GY_TYPE("image/heic"), false}},
    {"heif", {GY_TYPE("image/heif"), false}},
    {"hpp", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"htm", {GY_TYPE("text/html; charset=utf-8"), true}},
    {"html", {GY_TYPE("text/html; charset=utf-8"), true}},
    {"ico", {GY_TYPE("image/x-icon"), true}},
    {"ics", {GY_TYPE("text/calendar; charset=utf-8"), true}},
    {"img", {GY_TYPE("application/octet-stream"), false}},
    {"ini", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"iso", {GY_TYPE("application/x-iso9660-image"), false}},
    {"jar", {GY_TYPE("application/java-archive"), false}},
    {"jpeg", {GY_TYPE("image/jpeg"), false}},
    {"jpg", {GY_TYPE("image/jpeg"), false}},
    {"js", {GY_TYPE("text/javascript; charset=utf-8"), true}},
    {"json", {GY_TYPE("application/json"), true}},
    {"jsonld", {GY_TYPE("application/ld+json"), true}},
    {"jxl", {GY_TYPE("image/jxl"), false}},
    {"log", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"m3u8", {GY_TYPE("application/vnd.apple.mpegurl"), false}},
    {"m4a", {GY_TYPE("audio/mp4"), false}},
    {"m4v", {GY_TYPE("video/mp4"), false}},
    {"map", {GY_TYPE("application/json"), true}},
    {"markdown", {GY_TYPE("text/markdown; charset=utf-8"), true}},
    {"md", {GY_TYPE("text/markdown; charset=utf-8"), true}},
    {"mid", {GY_TYPE("audio/midi"), false}},
    {"midi", {GY_TYPE("audio/midi"), false}},
    {"mjs", {GY_TYPE("text/javascript; charset=utf-8"), true}},
    {"mkv", {GY_TYPE("video/x-matroska"), false}},
    {"mov", {GY_TYPE("video/quicktime"), false}},
    {"mp3", {GY_TYPE("audio/mpeg"), false}},
    {"mp4", {GY_TYPE("video/mp4"), false}},
    {"mpeg", {GY_TYPE("video/mpeg"), false}},
    {"mpg", {GY_TYPE("video/mpeg"), false}},
    {"msi", {GY_TYPE("application/octet-stream"), false}},
    {"odp", {GY_TYPE("application/vnd.oasis.opendocument.presentation"), false}},
    {"ods", {GY_TYPE("application/vnd.oasis.opendocument.spreadsheet"), false}},
    {"odt", {GY_TYPE("application/vnd.oasis.opendocument.text"), false}},
    {"oga", {GY_TYPE("audio/ogg"), false}},
    {"ogg", {GY_TYPE("audio/ogg"), false}},
    {"ogv", {GY_TYPE("video/ogg"), false}},
    {"opus", {GY_TYPE("audio/opus"), false}},
    {"otf", {GY_TYPE("font/otf"), true}},
    {"patch", {GY_TYPE("text/x-diff; charset=utf-8"), true}},
    {"pdf", {GY_TYPE("application/pdf"), false}},
    {"pem", {GY_TYPE("application/x-pem-file"), false}},
    {"png", {GY_TYPE("image/png"), false}},
    {"ppt", {GY_TYPE("application/vnd.ms-powerpoint"), false}},
    {"pptx",
     {GY_TYPE("application/vnd.openxmlformats-officedocument.presentationml.presentation"), false}},
    {"ps", {GY_TYPE("application/postscript"), true}},
    {"py", {GY_TYPE("text/x-python; charset=utf-8"), true}},
    {"rar", {GY_TYPE("application/vnd.rar"), false}},
    {"rpm", {GY_TYPE("application/x-rpm"), false}},
    {"rs", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"rss", {GY_TYPE("application/rss+xml"), true}},
    {"rst", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"rtf", {GY_TYPE("application/rtf"), true}},
    {"sh", {GY_TYPE("text/x-shellscript; charset=utf-8"), true}},
    {"sig", {GY_TYPE("application/pgp-signature"), false}},
    {"sql", {GY_TYPE("application/sql"), true}},
    {"srt", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"svg", {GY_TYPE("image/svg+xml"), true}},
    {"svgz", {GY_TYPE("image/svg+xml"), false}},
    {"tar", {GY_TYPE("application/x-tar"), false}},
    {"tgz", {GY_TYPE("application/gzip"), false}},
    {"tif", {GY_TYPE("image/tiff"), false}},
    {"tiff", {GY_TYPE("image/tiff"), false}},
    {"toml", {GY_TYPE("application/toml"), true}},
    {"ts", {GY_TYPE("video/mp2t"), false}},
    {"tsv", {GY_TYPE("text/tab-separated-values; charset=utf-8"), true}},
    {"ttc", {GY_TYPE("font/collection"), false}},
    {"ttf", {GY_TYPE("font/ttf"), true}},
    {"txt", {GY_TYPE("text/plain; charset=utf-8"), true}},
    {"vtt", {GY_TYPE("text/vtt; charset=utf-8"), true}},
    {"wasm", {GY_TYPE("application/wasm"), true}},
    {"wav", {GY_TYPE("audio/wav"), false}},
    {"weba", {GY_TYPE("audio/webm"), false}},
    {"webm", {GY_TYPE("video/webm"), false}},
    {"webmanifest", {GY_TYPE("application/manifest+json"), true}},
    {"webp", {GY_TYPE("image/webp"), false}},
    {"woff", {GY_TYPE("font/woff"), false}},
    {"woff2", {GY_TYPE("font/woff2"), false}},
    {"xhtml", {GY_TYPE("application/xhtml+xml"), true}},
    {"xls", {GY_TYPE("application/vnd.ms-excel"), false}},
    {"xlsx", {GY_TYPE("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), false}},
    {"xml", {GY_TYPE("text/xml; charset=utf-8"), true}},
    {"xsl", {GY_TYPE("text/xml; charset=utf-8"), true}},
    {"xz", {GY_TYPE("application/x-xz"), false}},
    {"yaml", {GY_TYPE("application/yaml"), true}},
    {"yml", {GY_TYPE("application/yaml"), true}},
    {"zip", {GY_TYPE("application/zip"), false}},
    {"zst", {GY_TYPE("application/zstd"), false}},
};

#define TYPES (sizeof types / sizeof types[0])

struct gy_mime gy_mime_of(const char *path, size_t length)
{
    static const struct gy_mime unknown = {GY_TYPE("application/octet-stream"), false};
    char ending[ENDING_BYTES] = "";
    size_t at = length;
    while (at > 0 && path[at - 1] != '.' && path[at - 1] != '/') {
        at--;
    }
    if (at == 0 || path[at - 1] == '/' || length - at >= sizeof ending) {
        return unknown;
    }
    for (size_t i = at; i < length; i++) {
        ending[i - at] = (char)(path[i] >= 'A' && path[i] <= 'Z' ? path[i] | 0x20 : path[i]);
    }
    size_t low = 0;
    size_t high = TYPES;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(ending, types[middle].ending);
        if (order == 0) {
            return types[middle].mime;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return unknown;
}
