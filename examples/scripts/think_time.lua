-- A visitor pauses 10 to 30 milliseconds before each request; the pause is part of no latency.
function delay()
    return math.random(10, 30)
end
