-- SPDX-License-Identifier: GPL-3.0-or-later
-- WRK_PATHS=FILE wrk … -s paths.lua: asks for the paths in FILE, one a line, in order, from a start of its own in each
-- run. Figures as load.lua prints them.

local paths = {}
local at = 0

init = function()
    for line in io.lines(os.getenv("WRK_PATHS")) do
        paths[#paths + 1] = wrk.format("GET", line)
    end
    math.randomseed(os.time())
    at = math.random(#paths)
end

request = function()
    at = at % #paths + 1
    return paths[at]
end

done = function(summary, latency)
    local errors = 0
    for _, count in pairs(summary.errors) do
        errors = errors + count
    end
    print(string.format("figures requests=%d duration_us=%d errors=%d samples=%d p50_us=%d p99_us=%d",
                        summary.requests, summary.duration, errors, #latency, latency:percentile(50),
                        latency:percentile(99)))
end
