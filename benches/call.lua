-- wrk script: one 2026-07-28 request over and over. Arguments after `--`: METHOD NAME BODY. The answers are not looked into here (that
-- would cost wrk more than the call costs the gateway); run.py compares their total length with the length of a right answer.

function init(args)
  wrk.method = "POST"
  wrk.body = args[3]
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Accept"] = "application/json, text/event-stream"
  wrk.headers["MCP-Protocol-Version"] = "2026-07-28"
  wrk.headers["Mcp-Method"] = args[1]
  if args[2] ~= "" then wrk.headers["Mcp-Name"] = args[2] end
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"bytes":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
