/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_MICRO_SHIM_H
#define GY_BENCH_MICRO_SHIM_H

/*
 * Google benchmark for C: it exists in C++ only, and shim.cc is all the C++ there is here.
 *
 *     static void sum(struct micro_state *state, const void *context)
 *     {
 *         while (micro_next_batch(state, 64)) {
 *             … 64 times what is measured …
 *         }
 *         micro_items(state, micro_iterations(state));
 *     }
 *     micro_register("sum", sum, &context);
 *     return micro_run(argc, argv);
 */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct micro_state;

/* `name` and `context` are kept. `body` is called several times, with more iterations each time,
 * until the time it took is worth telling. */
void micro_register(const char *name, void (*body)(struct micro_state *state, const void *context),
                    const void *context);

/* Reads the options of google benchmark (--benchmark_filter=REGEX, --benchmark_format=json …) and
 * runs what was registered. An exit status: 2 for an unknown option, 1 when the filter leaves
 * nothing to run. */
int micro_run(int argc, char **argv);

/* Go on, with one more iteration, or `count` more? */
bool micro_next(struct micro_state *state);
bool micro_next_batch(struct micro_state *state, uint64_t count);

/* Done so far; all of them once micro_next…() has said false. */
uint64_t micro_iterations(struct micro_state *state);

/* Stops and starts the clock, for what is not to be measured. Dear: some hundred ns. */
void micro_pause(struct micro_state *state);
void micro_resume(struct micro_state *state);

/* Behind the loop: how many items and bytes all iterations handled, for items/s and bytes/s; a
 * figure of one's own; a remark. */
void micro_items(struct micro_state *state, uint64_t items);
void micro_bytes(struct micro_state *state, uint64_t bytes);
void micro_figure(struct micro_state *state, const char *name, double value);
void micro_label(struct micro_state *state, const char *text);

/* Before the loop: this cannot be measured here, and why. */
void micro_skip(struct micro_state *state, const char *why);

/* The compiler must believe that `value` is used and all memory read. */
void micro_use(const void *value);

#ifdef __cplusplus
}
#endif

#endif
