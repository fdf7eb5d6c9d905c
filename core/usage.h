/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_CORE_USAGE_H
#define GY_CORE_USAGE_H

/*
 * What a command says about a word of its command line that it does not know: the nearest that it
 * does, as configuration files have it for keys (config.h). There is no list of flags to keep:
 * those are taken that stand in the command's own help.
 */

#include <stddef.h>
#include <stdio.h>

#define GY_USAGE_HINT_BYTES 64

/* Fills `hint` with "; did you mean --listen?" for `word` ("--lisen", "--lisen=:80"), or with
 * nothing where `word` is no long flag or none in the page that `help` prints is like it. Returns
 * `hint`. */
const char *gy_usage_hint(char hint[GY_USAGE_HINT_BYTES], const char *word,
                          void (*help)(FILE *out));

/* The same for the name of a command: "; did you mean `http`?". */
const char *gy_usage_command(char hint[GY_USAGE_HINT_BYTES], const char *word,
                             const char *const *names, size_t count);

/* As gy_usage_hint, with the page's text. */
const char *gy_usage_hint_in(char hint[GY_USAGE_HINT_BYTES], const char *word, const char *page);

#endif
