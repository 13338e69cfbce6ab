-- Two requests that belong together leave in one write. Needs `pipeline = 2` in [script].
local batch

function init()
    batch = wrk.format("GET", "/styles.css") .. wrk.format("GET", "/logo.svg")
end

function request()
    return batch
end
