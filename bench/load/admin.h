/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef GY_BENCH_LOAD_ADMIN_H
#define GY_BENCH_LOAD_ADMIN_H

/*
 * What a server says of itself at its admin listener (`gyre … --admin`): CPU time and counters from
 * /metrics, added up over their labels. So the server may be another host's.
 */

#include "../../core/address.h"
#include "../../core/error.h"

/* name, the metric; `copied` is of every metric whose name ends in it. */
#define GY_LOAD_COUNTERS(X)                                                                        \
    X(turns, "gyre_turns_total")                                                                   \
    X(enters, "gyre_enters_total")                                                                 \
    X(submissions, "gyre_submissions_total")                                                       \
    X(completions, "gyre_completions_total")                                                       \
    X(received_bytes, "gyre_received_bytes_total")                                                 \
    X(sent_bytes, "gyre_sent_bytes_total")                                                         \
    X(copied_bytes, "_copied_bytes_total")

struct gy_load_counters {
    bool known;
    double generation; /* of the serving process: with a new one counters begin at 0 */
    double cpu_s;      /* of the serving process, user and system */
#define GY_LOAD_COUNTER_FIELD(name, metric) double name;
    GY_LOAD_COUNTERS(GY_LOAD_COUNTER_FIELD)
#undef GY_LOAD_COUNTER_FIELD
};

/* One GET of /metrics, within two seconds. 0; otherwise a code with a sentence. */
int gy_load_admin_read(const struct gy_address *address, struct gy_load_counters *counters,
                       struct gy_error *error);

/* Adds up the text of an answer to GET /metrics. 0, or GY_EINVAL
 * when it is not one of gyre. */
int gy_load_admin_parse(const char *text, struct gy_load_counters *counters);

/* What was counted between two readings; not known when one of them is not, or when the serving
 * process is another one. */
struct gy_load_counters gy_load_counters_between(const struct gy_load_counters *from,
                                                 const struct gy_load_counters *until);

#endif
