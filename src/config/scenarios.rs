//! Drafts become scenarios here: defaults fill what the file leaves out, flags override every scenario alike.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::Overrides;
use super::file_v1::{
    FileV1, GateDraft, MAX_CONNECTIONS, MAX_THREADS, ProfileDraft, SHORTEST_DURATION, ScenarioDraft,
    ScriptDraft, add_fail_on,
};
use super::limits::Limits;
use super::problem::{Located, Problem, Problems};
use super::value::nearest;
use super::{profiles, requests, scripts};
use crate::baseline::format_v1::{MAX_RECORDS, MAX_ROUNDS};
use crate::request::{Method, Request, Requests, ScriptPlan};
use crate::scenario::{Gate, LoadProfile, Protocol, Quantile, Scenario, ScenarioName};
use crate::secret::SecretPlan;
use crate::verdict::FailOn;

/// The scenario that stands in where none is configured.
const ROOT: &str = "root";

const DEFAULT_MAX_REGRESSION: f64 = 0.10;
const DEFAULT_MAX_ERROR_RATE: f64 = 0.01;

/// Long enough for a noisy neighbour to finish what it does, short enough for a CI job.
const DEFAULT_CONFIRM_AFTER: Duration = Duration::from_secs(20);

/// Makes every scenario that the file and the flags ask for.
pub(super) fn resolve(
    file: &FileV1,
    overrides: &Overrides,
    root: &Path,
    limits: Limits,
    notes: &mut Vec<String>,
) -> Result<Vec<Scenario>, Problems> {
    let mut problems = Problems::default();
    let flags = Flags::read(overrides, &mut problems);
    check_filter(&overrides.scenarios, &names(file), &mut problems);
    let mut resolver = Resolver {
        overrides,
        flags,
        root,
        limits,
        script: &file.script,
        secrets: &file.secrets,
        gate: &file.gate,
        problems,
        notes,
    };
    let mut scenarios = match &file.scenarios {
        Some(drafts) => drafts.iter().filter_map(|draft| resolver.scenario(draft)).collect(),
        None => resolver.only_root(),
    };
    if !overrides.scenarios.is_empty() {
        scenarios.retain(|scenario| overrides.scenarios.iter().any(|name| name == scenario.name.as_str()));
    }
    check_storable(&scenarios, &mut resolver.problems);
    resolver.problems.or_ok(scenarios)
}

fn names(file: &FileV1) -> Vec<&str> {
    match &file.scenarios {
        Some(drafts) => {
            drafts.iter().filter_map(|d| d.name.as_ref()).map(|name| name.value.as_str()).collect()
        }
        None => vec![ROOT],
    }
}

/// Refuses before the load what could not be stored after it: one file holds the measurements of all scenarios.
fn check_storable(scenarios: &[Scenario], problems: &mut Problems) {
    let rounds: usize = scenarios.iter().map(|scenario| scenario.profile.rounds.get() as usize).sum();
    if scenarios.len() > MAX_RECORDS || rounds > MAX_ROUNDS {
        problems.push(Problem::nowhere(
            format!("{} scenarios of {rounds} rounds together are too many for one run", scenarios.len()),
            format!(
                "at most {MAX_RECORDS} scenarios and {MAX_ROUNDS} rounds; lower `rounds`, or pick some with --scenario"
            ),
        ));
    }
}

fn check_filter(wanted: &[String], names: &[&str], problems: &mut Problems) {
    for name in wanted.iter().filter(|name| !names.contains(&name.as_str())) {
        let help = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the scenarios are {}", names.join(", ")),
        };
        problems.push(Problem::nowhere(format!("there is no scenario named {name:?}"), help));
    }
}

/// The flags that need parsing, parsed once for all scenarios.
struct Flags {
    headers: Vec<(String, String)>,
    fail_on: Option<FailOn>,
}

impl Flags {
    fn read(overrides: &Overrides, problems: &mut Problems) -> Self {
        let mut headers = Vec::new();
        for header in &overrides.headers {
            // The value may be a token: only the name is ever shown.
            match header.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value)) => {
                    match Request::get("/").and_then(|request| request.with_header(name, value)) {
                        Ok(_) => headers.push((name.to_owned(), value.to_owned())),
                        Err(error) => problems.push(Problem::nowhere(
                            format!("--header: {error}"),
                            "write --header 'Name: value' with a header of your own service",
                        )),
                    }
                }
                None => {
                    problems.push(Problem::nowhere("a --header has no ':'", "write --header 'Name: value'"));
                }
            }
        }
        let mut fail_on = FailOn::default();
        for word in &overrides.fail_on {
            match add_fail_on(fail_on, word) {
                Ok(more) => fail_on = more,
                Err(help) => {
                    problems.push(Problem::nowhere(format!("--fail-on: unknown verdict {word:?}"), help));
                }
            }
        }
        check_ranges(overrides, problems);
        Self { headers, fail_on: (!overrides.fail_on.is_empty()).then_some(fail_on) }
    }
}

/// Checks the numbers that the types of the flags leave open.
fn check_ranges(overrides: &Overrides, problems: &mut Problems) {
    let mut refuse = |is_wrong: bool, message: &str, help: String| {
        if is_wrong {
            problems.push(Problem::nowhere(message, help));
        }
    };
    refuse(
        overrides.local == Some(0),
        "--local is 0",
        "name the port that your service listens on".to_owned(),
    );
    let is_short = overrides.duration.is_some_and(|duration| duration < SHORTEST_DURATION);
    refuse(is_short, "--duration is too short", format!("use at least {SHORTEST_DURATION:?}"));
    let is_zero = overrides.timeout.is_some_and(|timeout| timeout.is_zero());
    refuse(is_zero, "--timeout is zero", "use a time such as 2s".to_owned());
    let is_crowd = overrides.connections.is_some_and(|count| count.get() > MAX_CONNECTIONS);
    refuse(is_crowd, "--connections is too large", format!("use at most {MAX_CONNECTIONS}"));
    let are_many = overrides.threads.is_some_and(|count| count.get() > MAX_THREADS as usize);
    refuse(are_many, "--threads is too large", format!("use at most {MAX_THREADS}"));
}

struct Resolver<'a> {
    overrides: &'a Overrides,
    flags: Flags,
    root: &'a Path,
    limits: Limits,
    script: &'a ScriptDraft,
    secrets: &'a [Located<SecretPlan>],
    gate: &'a GateDraft,
    problems: Problems,
    notes: &'a mut Vec<String>,
}

impl Resolver<'_> {
    /// A file without scenarios, or no file at all, means the simplest one.
    fn only_root(&mut self) -> Vec<Scenario> {
        self.notes.push(format!("no scenario is configured: loads GET / as `{ROOT}`"));
        let request = Request::new(Method::Get, "/".to_owned(), self.flags.headers.clone(), Vec::new());
        let (Ok(name), Ok(request)) = (ScenarioName::parse(ROOT), request) else {
            return Vec::new();
        };
        let requests: Requests = request.into();
        let script = self.script(None, &requests);
        let profile = self.profile(&name, &ProfileDraft::default());
        let gate = self.gate(&GateDraft::default());
        vec![Scenario { name, requests, script, protocol: Protocol::default(), profile, gate }]
    }

    fn scenario(&mut self, draft: &ScenarioDraft) -> Option<Scenario> {
        let requests =
            requests::resolve(draft, &self.flags.headers, self.root, self.secrets, &mut self.problems);
        let name = &draft.name.as_ref()?.value;
        let requests = requests?;
        let script = self.script(draft.script.as_ref(), &requests);
        let protocol = draft.protocol;
        if protocol != Protocol::Http1 {
            self.problems.append(unsayable(draft));
        }
        Some(Scenario {
            name: name.clone(),
            requests,
            script,
            protocol,
            profile: self.profile(name, &draft.profile),
            gate: self.gate(&draft.gate),
        })
    }

    fn script(&mut self, script: Option<&Located<String>>, requests: &Requests) -> Option<Arc<ScriptPlan>> {
        match scripts::plan(script, requests, self.script, self.overrides, self.root) {
            Ok(plan) => plan,
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn profile(&mut self, name: &ScenarioName, draft: &ProfileDraft) -> LoadProfile {
        let (profile, notes) =
            profiles::profile(name, draft, self.overrides, self.limits, &mut self.problems);
        self.notes.extend(notes);
        profile
    }

    /// A key in a scenario's own gate replaces the same key of `[gate]`.
    fn gate(&self, own: &GateDraft) -> Gate {
        let shared = self.gate;
        let metrics = own.metrics.clone().or_else(|| shared.metrics.clone());
        let fail_on = self.flags.fail_on.or(own.fail_on).or(shared.fail_on);
        Gate {
            metrics: metrics.unwrap_or_else(|| vec![Quantile::P50.into(), Quantile::P99.into()]),
            max_regression: own.max_regression.or(shared.max_regression).unwrap_or(DEFAULT_MAX_REGRESSION),
            max_error_rate: own.max_error_rate.or(shared.max_error_rate).unwrap_or(DEFAULT_MAX_ERROR_RATE),
            budgets: own.budgets.clone().or_else(|| shared.budgets.clone()).unwrap_or_default(),
            fail_on: fail_on.unwrap_or_default(),
            confirm_after: own.confirm_after.or(shared.confirm_after).unwrap_or(DEFAULT_CONFIRM_AFTER),
            breaker: own.breaker.or(shared.breaker).unwrap_or_default(),
        }
    }
}

/// Finds the paths that HTTP/2 cannot carry: its library takes a few characters less than HTTP/1.1 does.
fn unsayable(draft: &ScenarioDraft) -> Problems {
    let paths = draft.requests.iter().filter_map(|request| request.path.as_ref());
    let wrong = paths.filter(|path| PathAndQuery::try_from(path.value.as_str()).is_err());
    let help = "percent-encode what is no letter, digit or usual mark";
    let found = wrong.map(|path| Problem::at(&path.place, "HTTP/2 cannot carry this path", help));
    Problems(found.collect())
}
