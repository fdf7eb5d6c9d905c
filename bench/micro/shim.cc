/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/micro/shim.h"

#include <benchmark/benchmark.h>

static benchmark::State &of(micro_state *state)
{
    return *reinterpret_cast<benchmark::State *>(state);
}

extern "C" {

void micro_register(const char *name, void (*body)(micro_state *, const void *),
                    const void *context)
{
    benchmark::RegisterBenchmark(name, [=](benchmark::State &state) {
        body(reinterpret_cast<micro_state *>(&state), context);
    });
}

int micro_run(int argc, char **argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    return benchmark::RunSpecifiedBenchmarks() == 0 ? 1 : 0;
}

bool micro_next(micro_state *state)
{
    return of(state).KeepRunning();
}

bool micro_next_batch(micro_state *state, uint64_t count)
{
    return of(state).KeepRunningBatch(static_cast<benchmark::IterationCount>(count));
}

uint64_t micro_iterations(micro_state *state)
{
    return static_cast<uint64_t>(of(state).iterations());
}

void micro_pause(micro_state *state)
{
    of(state).PauseTiming();
}

void micro_resume(micro_state *state)
{
    of(state).ResumeTiming();
}

void micro_items(micro_state *state, uint64_t items)
{
    of(state).SetItemsProcessed(static_cast<int64_t>(items));
}

void micro_bytes(micro_state *state, uint64_t bytes)
{
    of(state).SetBytesProcessed(static_cast<int64_t>(bytes));
}

void micro_figure(micro_state *state, const char *name, double value)
{
    of(state).counters[name] = value;
}

void micro_label(micro_state *state, const char *text)
{
    of(state).SetLabel(text);
}

void micro_skip(micro_state *state, const char *why)
{
    of(state).SkipWithError(why);
}

void micro_use(const void *value)
{
    benchmark::DoNotOptimize(value);
    benchmark::ClobberMemory();
}
}
