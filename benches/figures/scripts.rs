//! What a script costs: the same Lua in ours and in wrk, a static script beside none, and the making of a worker's state.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use cargo_loadgate::clock;
use cargo_loadgate::request::{Request, RequestSources, ScriptPlan, Seat};
use cargo_loadgate::script::{Script, ScriptLimits, ScriptOrders};
use cargo_loadgate::target::{Origin, Scheme};

use crate::clients::{Peer, run_ours};
use crate::cost::{SECONDS, cost};
use crate::process::{Processor, pinned, spend};
use crate::site::{self, Nginx, Site};
use crate::table::{Line, certain, in_turns, median, micros, ratios, spread};
use crate::{Failure, Options, Outcome};

/// A path and a header that change with every request.
const COUNTER: &str = include_str!("../../examples/scripts/numbered.lua");

/// A request that is built, and an answer that is looked at whole.
const RESPONSE: &str = r#"
local sent, good, bytes = 0, 0, 0
function request()
    sent = sent + 1
    return wrk.format("GET", "/?page=" .. sent)
end
function response(status, headers, body)
    if status == 200 and headers["Content-Type"] then
        good = good + 1
    end
    bytes = bytes + #body
end
"#;

/// What changes nothing: its request is that of a scenario without a script.
const STATIC: &str = "wrk.method = 'GET'\n";

/// States that are made to know what one costs.
const STATES: u32 = 200;

/// A counter in path and header, beside wrk with the same script.
pub(crate) fn counter(options: &Options) -> Outcome<Vec<Line>> {
    beside_wrk("script: a counter in path and header", COUNTER, "≤ 0.85", options)
}

/// `request` and `response` with everything, beside wrk with the same script.
pub(crate) fn response(options: &Options) -> Outcome<Vec<Line>> {
    beside_wrk("script: request() and response(status, headers, body)", RESPONSE, "≤ 0.9", options)
}

/// A static script beside no script.
pub(crate) fn fixed(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::plain()? else { return site::missing("nginx") };
    write(&nginx.site, STATIC)?;
    let results = in_turns(
        options.short_turns,
        vec![Box::new(|| our_cost_us(&nginx, true)), Box::new(|| our_cost_us(&nginx, false))],
    )?;
    Ok(vec![Line {
        work: "script: a static one, beside none".to_owned(),
        ours: micros(&results[0]),
        theirs: format!("without a script {}", micros(&results[1])),
        result: certain(&ratios(&results[0], &results[1])),
        goal: "≤ 1.02",
    }])
}

/// The making of a worker's state: libraries, sandbox, the script's own text.
pub(crate) fn set_up(_options: &Options) -> Outcome<Vec<Line>> {
    let script = Script::load(&ScriptOrders {
        plan: &Arc::new(ScriptPlan::bare("counter.lua", COUNTER.as_bytes())),
        request: &Request::get("/").map_err(|error| Failure::Client(error.to_string()))?,
        origin: &Origin { scheme: Scheme::Http, host: "127.0.0.1".to_owned(), port: 8080 },
        addresses: &[([127, 0, 0, 1], 8080).into()],
        workers: 1,
        limits: ScriptLimits::default(),
        last_resort: Arc::new(|_| {}),
    })
    .map_err(|error| Failure::Client(error.to_string()))?;
    let sources = script.sources();
    let seat = Seat { worker: 0, workers: 1, lines: 1 };
    let mut milliseconds = Vec::new();
    for _ in 0..STATES {
        let began = clock::monotonic();
        let source = sources.for_worker(seat).map_err(|error| Failure::Client(error.to_string()))?;
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        drop(black_box(source));
    }
    Ok(vec![Line {
        work: format!("script: a worker's state, {STATES} times"),
        ours: format!("{:.2} ms", median(&milliseconds)),
        theirs: String::new(),
        result: spread(&milliseconds, |one| format!("{one:.2} ms")),
        goal: "< 1 ms",
    }])
}

fn beside_wrk(work: &str, script: &str, goal: &'static str, options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::plain()? else { return site::missing("nginx") };
    if Peer::Wrk.if_installed().is_none() {
        return site::missing("wrk");
    }
    write(&nginx.site, script)?;
    let results = in_turns(
        options.short_turns,
        vec![Box::new(|| our_cost_us(&nginx, true)), Box::new(|| wrk_cost_us(&nginx))],
    )?;
    Ok(vec![Line {
        work: work.to_owned(),
        ours: micros(&results[0]),
        theirs: format!("wrk {}", micros(&results[1])),
        result: certain(&ratios(&results[0], &results[1])),
        goal,
    }])
}

/// The script's name in the project of a site.
const NAME: &str = "script.lua";

fn write(site: &Site, script: &str) -> Outcome<()> {
    Ok(fs::write(site.project.path().join(NAME), script)?)
}

fn our_cost_us(nginx: &Nginx, has_script: bool) -> Outcome<f64> {
    let script = if has_script { format!("script = '{NAME}'\n") } else { String::new() };
    let keys = format!("{script}profile = {{ connections = 50, duration = '{SECONDS}s', warm-up = '0s' }}");
    Ok(cost(nginx, || Ok(run_ours(&nginx.site, &keys)?.processor_seconds))?.us)
}

fn wrk_cost_us(nginx: &Nginx) -> Outcome<f64> {
    let site = &nginx.site;
    let mut command = pinned(Processor::Clients, site.inside.as_deref(), Peer::Wrk.program());
    command.args(["-t1", "-c50", &format!("-d{SECONDS}s"), "-s"]).arg(site.project.path().join(NAME));
    command.arg(&site.url);
    Ok(cost(nginx, || Ok(spend(&mut command)?.processor_seconds))?.us)
}
