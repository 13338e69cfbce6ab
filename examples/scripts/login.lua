-- The first answer brings a token; later requests carry it.
local path = "/login"

function request()
    return wrk.format("GET", path)
end

function response(status, headers)
    local token = headers["X-Token"]
    if token and path == "/login" then
        wrk.headers["X-Token"] = token
        path = "/account"
    end
end
