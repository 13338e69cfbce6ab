-- setup() names each worker before the load, done() asks it afterwards.
local workers = {}

function setup(thread)
    workers[#workers + 1] = thread
    thread:set("name", "worker " .. #workers)
end

function init()
    sent = 0
end

function request()
    sent = sent + 1
    return wrk.request()
end

function done()
    for _, worker in ipairs(workers) do
        print(worker:get("name") .. " sent " .. worker:get("sent"))
    end
end
