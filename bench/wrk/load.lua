-- SPDX-License-Identifier: GPL-3.0-or-later
-- WRK_DEPTH=16 WRK_CONNECTIONS=64 wrk -c64 … -s load.lua: 16 requests in one write, then all their answers. Ends with one
-- line of figures for bench/compare to read. (By environment: wrk gives a script's arguments to its threads, not to
-- the state in which done() runs.)

local depth = tonumber(os.getenv("WRK_DEPTH")) or 1
local connections = tonumber(os.getenv("WRK_CONNECTIONS"))

init = function()
    if depth > 1 then
        local requests = {}
        for i = 1, depth do
            requests[i] = wrk.format()
        end
        local batch = table.concat(requests)
        request = function()
            return batch
        end
    end
end

-- wrk "corrects" its latencies for coordinated omission before it reports them: a sample of more than twice the mean
-- time between a connection's requests gets company, one invented sample for each such time that fits below it. For
-- pipelined requests that time is the one between requests, not between writes, and the result means nothing (its
-- percentiles print as 0.00us). The company is known from the samples above, so walking down from the largest takes it
-- out again exactly.
local function measured(latency, interval)
    local values, counts = {}, {}
    for i = 1, #latency do
        local value, count = latency(i)
        values[i], counts[i] = value, count
    end
    local invented, total = {}, 0
    for i = #values, 1, -1 do
        local value = values[i]
        counts[i] = counts[i] - (invented[value] or 0)
        total = total + counts[i]
        local below = value - interval
        while counts[i] > 0 and value >= 2 * interval and below > interval do
            invented[below] = (invented[below] or 0) + counts[i]
            below = below - interval
        end
    end
    return values, counts, total
end

local function mean(values, counts, total)
    local sum = 0
    for i = 1, #values do
        sum = sum + values[i] * counts[i]
    end
    return total > 0 and sum / total or 0
end

local function percentile(values, counts, total, percent)
    local seen = 0
    for i = 1, #values do
        seen = seen + counts[i]
        if seen >= total * percent / 100 then
            return values[i]
        end
    end
    return 0
end

done = function(summary, latency, requests)
    local errors = 0
    for _, count in pairs(summary.errors) do
        errors = errors + count
    end
    local each = math.floor(summary.requests / connections)
    local interval = each > 0 and math.floor(summary.duration / each) or summary.duration
    local values, counts, total = measured(latency, interval)
    print(string.format("figures requests=%d duration_us=%d errors=%d samples=%d mean_us=%d p50_us=%d p99_us=%d",
                        summary.requests, summary.duration, errors, total, mean(values, counts, total),
                        percentile(values, counts, total, 50), percentile(values, counts, total, 99)))
end
