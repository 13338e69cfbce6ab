-- Each worker uses one of the addresses that the guard pinned. No other name is resolved, no other address taken.
local addresses

function setup(thread)
    addresses = addresses or wrk.lookup(wrk.host, wrk.port)
    thread.addr = addresses[math.random(#addresses)]
end

function init()
    print("uses " .. tostring(wrk.thread.addr))
end
