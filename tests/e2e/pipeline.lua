-- SPDX-License-Identifier: GPL-3.0-or-later
-- For wrk: sixteen requests at a time on each connection.
init = function(args)
  local requests = {}
  for i = 1, 16 do requests[i] = wrk.format("GET", wrk.path) end
  pipelined = table.concat(requests)
end

request = function()
  return pipelined
end
