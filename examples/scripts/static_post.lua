-- A form is posted, always the same: Lua runs once and never during the load.
wrk.method = "POST"
wrk.path = "/form"
wrk.body = "city=Lisbon&nights=3"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
