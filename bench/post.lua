-- wrk -s post.lua URL -- BODY_FILE: POSTs one body again and again; prints one line of JSON, times in microseconds.
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local body = file:read("*a")
  file:close()
  request_text = wrk.format("POST", nil, { ["Content-Type"] = "application/json", ["Content-Length"] = #body }, body)
end

function request()
  return request_text
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
