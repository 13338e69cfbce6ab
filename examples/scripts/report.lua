-- Prints the distribution as CSV, in microseconds. `seen` is the sum over all workers.
seen = 0

function response(status)
    seen = seen + 1
end

function done(summary, latency, requests)
    print("quantile,us")
    for _, percent in ipairs({ 50, 90, 99 }) do
        print(("%g,%d"):format(percent, latency:percentile(percent)))
    end
    print(("seen %d, errors of status %d"):format(seen, summary.errors.status))
end
