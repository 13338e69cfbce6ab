-- Every request is another one. Each worker counts for itself.
local number = 0

function request()
    number = number + 1
    wrk.headers["X-Number"] = number
    return wrk.format("GET", "/items/" .. number)
end
