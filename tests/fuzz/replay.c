/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Runs a fuzz target over saved inputs, without a fuzzer: for regressions, with any compiler.
 *
 *   replay PATH...          files, or folders of files; cases of tests/http/malformed/ (.http) are
 *                           taken for the bytes they describe
 *   replay --seeds TO FROM  writes the bytes of every case in the folder FROM into the folder TO
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/http/corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned ran;

static int run_raw(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    size_t room = 1 << 22;
    uint8_t *bytes = malloc(room);
    if (bytes == NULL) {
        abort();
    }
    size_t length = fread(bytes, 1, room, file);
    fclose(file);
    /* Exactly as long as it is, so that the sanitizer sees its end. */
    uint8_t *exact = realloc(bytes, length > 0 ? length : 1);
    LLVMFuzzerTestOneInput(exact, length);
    ran++;
    free(exact);
    return 0;
}

static bool is_case(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".http") == 0;
}

static int run_file(const char *path)
{
    struct corpus_case one;
    if (!is_case(path)) {
        return run_raw(path);
    }
    if (corpus_read(path, &one) != 0) {
        return -1;
    }
    LLVMFuzzerTestOneInput(one.bytes, one.length);
    ran++;
    free(one.bytes);
    return 0;
}

static int run_path(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(about.st_mode)) {
        return run_file(path);
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    int error = count < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        char inner[1024];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && stat(inner, &about) == 0 && S_ISREG(about.st_mode) &&
            strstr(inner, ".md") == NULL && run_file(inner) != 0) {
            error = -1;
        }
        free(entries[i]);
    }
    free(entries);
    return error;
}

static int write_seeds(const char *to, const char *from)
{
    struct corpus_case *cases;
    int count = corpus_read_all(from, &cases);
    int error = count < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", to, cases[i].name);
        FILE *file = cases[i].length <= 40000 ? fopen(path, "wb") : NULL;
        if (file != NULL) {
            fwrite(cases[i].bytes, 1, cases[i].length, file);
            error = fclose(file) != 0 ? -1 : error;
        }
    }
    if (count >= 0) {
        corpus_free(cases, count);
    }
    return error;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        return write_seeds(argv[2], argv[3]) == 0 ? 0 : 1;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: replay PATH... | replay --seeds TO FROM\n");
        return 2;
    }
    int error = 0;
    for (int i = 1; i < argc; i++) {
        error = run_path(argv[i]) != 0 ? 1 : error;
    }
    printf("%u inputs, none failed\n", ran);
    return error;
}
