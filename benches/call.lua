-- wrk script: one POST over and over. Arguments after `--`: BODY HEADERS [SESSION…], HEADERS as a JSON object of plain strings. With
-- sessions, each request belongs to the next of them and has an id of its own in place of 1000: two open requests of one session must
-- not share one. The answers are not looked into here (that would cost wrk more than the call costs the gateway); load.py compares
-- their total length with the length of a right answer.

local requests, turn = {}, 0

function init(args)
  wrk.method = "POST"
  wrk.body = args[1]
  for key, value in args[2]:gmatch('"([^"]+)": "([^"]*)"') do wrk.headers[key] = value end
  if #args < 3 then return end
  for index = 0, 4095 do
    wrk.headers["Mcp-Session-Id"] = args[3 + index % (#args - 2)]
    requests[index] = wrk.format(nil, nil, nil, (wrk.body:gsub('"id":1000', '"id":' .. 1000 + index)))
  end
  request = function()
    turn = (turn + 1) % 4096
    return requests[turn]
  end
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"bytes":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
