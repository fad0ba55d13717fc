-- Loaded into wrk by bench/tcp/wrk.ts: what a run came to, as one line of JSON. Latencies are in microseconds.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"requests":%d,"bytes":%d,"p50":%d,"p99":%d,"p999":%d,"failed":%d}\n',
    summary.duration / 1e6, summary.requests, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
