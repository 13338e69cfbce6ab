-- A worker stops after fifty answers, and a check counts the answers that are not what they should be.
local answers = 0

function response(status, headers, body)
    wrk.check("has a body", #body > 0)
    answers = answers + 1
    if answers == 50 then
        wrk.thread:stop()
    end
end
