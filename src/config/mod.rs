//! Configuration: flags, file and metadata become validated `Settings`, or a list of everything that is wrong.
//!
//! It decides what the user wants, not what is allowed: `guard` judges targets, [`check_limits`] the amount of load.
//! `find` finds the file, `file_v1` knows its keys, `scenarios` fills in defaults and flags, `cargo` asks cargo.

mod base;
mod cargo;
mod feed;
mod file_v1;
mod find;
mod forecast;
mod limits;
mod policy;
mod problem;
mod production;
mod profiles;
mod requests;
mod scenarios;
mod scripts;
mod section;
mod settings;
mod value;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;
use crate::secret::{SecretPlan, SecretSource};
use crate::target::ServicePlan;

pub use base::{BaseError, ReadBase, ReviewedPolicy, read_base};
pub use cargo::NoService;
pub use file_v1::{MAX_CONNECTIONS, MAX_THREADS, PlatformTable, ProductionFile, TargetTable};
pub use find::{ConfigSource, FILE_NAME};
pub use forecast::Forecast;
pub use limits::{Limits, check_limits, check_time};
pub use problem::{Located, Place, Problem, Problems};
pub use production::production_hosts;
pub use settings::{BaselineSettings, Overrides, ServiceChoice, Settings};
pub use value::{parse_bytes, parse_duration, parse_rate};

use base::Sections;
use file_v1::{FileV1, ServiceDraft};
use find::Found;

/// One thread sends more than the default limits allow a hundred times over.
pub const DEFAULT_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Where a run leaves its files, relative to the root.
const DEFAULT_OUT: &str = "target/loadgate";

/// Where baselines are kept, relative to the root.
const DEFAULT_BASELINES: &str = "baselines";

/// Finds, reads and checks the configuration that holds in `current_dir`, an absolute path.
///
/// # Errors
/// Every problem of the configuration and of the flags, together.
pub fn load(current_dir: &Path, overrides: &Overrides) -> Result<Settings, Problems> {
    let start = start_dir(current_dir, overrides)?;
    let (found, metadata) = find_for_package(&start, overrides)?;
    let (file, sections, mut problems) = read_file(current_dir, &found)?;
    let limits = Limits::from_draft(&file.limits);
    let out = match (&overrides.out, &file.out) {
        (Some(flag), _) => current_dir.join(flag),
        (None, Some(out)) => found.root.join(out),
        (None, None) => found.root.join(DEFAULT_OUT),
    };
    let mut notes = Vec::new();
    if found.source == ConfigSource::Defaults {
        notes.push(format!("no {FILE_NAME} found: uses defaults"));
    }
    let scenarios = match scenarios::resolve(&file, overrides, &found.root, limits, &mut notes) {
        Ok(scenarios) => scenarios,
        Err(more) => {
            problems.append(more);
            Vec::new()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let service = choose_service(&found, file.service, overrides, metadata, &out, &mut notes);
    let threads = file.threads.and_then(|count| NonZeroUsize::new(count as usize));
    Ok(Settings {
        source: found.source,
        target: resolve_roots(file.target, &found.root),
        service,
        local: overrides.local,
        limits,
        secrets: located_files(file.secrets, &found.root),
        scenarios,
        baseline: BaselineSettings {
            dir: found.root.join(file.baseline_dir.unwrap_or_else(|| DEFAULT_BASELINES.into())),
            save: overrides.save_baseline,
        },
        out,
        threads: overrides.threads.or(threads).unwrap_or(DEFAULT_THREADS),
        notes,
        sections,
        root: found.root,
    })
}

/// Reads a configuration that this program itself carries, as the demo does.
///
/// # Errors
/// Every problem of the text, as for a file.
pub fn built_in(text: &str) -> Result<Vec<Scenario>, Problems> {
    let path = Path::new("built-in configuration");
    let document = file_v1::parse_toml(path, text)?;
    let (file, mut problems) = file_v1::read(path, text, document.as_table());
    let limits = Limits::from_draft(&file.limits);
    match scenarios::resolve(&file, &Overrides::default(), path, limits, &mut Vec::new()) {
        Ok(scenarios) => problems.or_ok(scenarios),
        Err(more) => {
            problems.append(more);
            Err(problems)
        }
    }
}

fn start_dir(current_dir: &Path, overrides: &Overrides) -> Result<PathBuf, Problem> {
    let Some(manifest) = &overrides.manifest_path else {
        return Ok(current_dir.to_owned());
    };
    let unusable = |why: String| {
        Problem::nowhere(
            format!("--manifest-path {}: {why}", manifest.display()),
            "name an existing Cargo.toml",
        )
    };
    let path = current_dir.join(manifest).canonicalize().map_err(|error| unusable(error.to_string()))?;
    match path.parent() {
        Some(dir) if path.is_file() => Ok(dir.to_owned()),
        _ => Err(unusable("it is not a file".to_owned())),
    }
}

/// Finds the configuration; `-p` needs cargo's help, and cargo's answer is kept for later.
fn find_for_package(
    start: &Path,
    overrides: &Overrides,
) -> Result<(Found, Option<cargo_metadata::Metadata>), Problems> {
    let found = find::find(start, None);
    let Some(name) = &overrides.package else {
        return found.map(|found| (found, None));
    };
    let help = "run in a cargo workspace, or leave out -p";
    let manifest = found.ok().and_then(|found| found.manifest).unwrap_or_else(|| start.join("Cargo.toml"));
    let metadata = cargo::metadata(&manifest).map_err(|why| Problem::nowhere(why, help))?;
    let selected = cargo::package(&metadata, name)?.manifest_path.clone().into_std_path_buf();
    Ok((find::find(start, Some(&selected))?, Some(metadata)))
}

fn config_table<'t>(
    top: &'t toml_edit::Table,
    source: &ConfigSource,
) -> Option<&'t dyn toml_edit::TableLike> {
    match source.tables() {
        [] => Some(top),
        path => find::table_at(top, path)?.as_table_like(),
    }
}

fn read_file(current_dir: &Path, found: &Found) -> Result<(FileV1, Sections, Problems), Problems> {
    let Some(path) = found.source.path() else {
        return Ok((FileV1::default(), Sections::default(), Problems::default()));
    };
    let shown = path.strip_prefix(current_dir).unwrap_or(path);
    let document = file_v1::parse_toml(shown, &found.text)?;
    match config_table(document.as_table(), &found.source) {
        Some(table) => {
            let (file, problems) = file_v1::read(shown, &found.text, table);
            Ok((file, base::sections_of(table), problems))
        }
        None => Err(Problem::nowhere(format!("{} is not a table", found.source), "make it a table").into()),
    }
}

fn choose_service(
    found: &Found,
    declared: Option<ServiceDraft>,
    overrides: &Overrides,
    metadata: Option<cargo_metadata::Metadata>,
    out: &Path,
    notes: &mut Vec<String>,
) -> ServiceChoice {
    let log = out.join("service.log");
    if let Some(draft) = declared {
        return ServiceChoice::Declared(declared_plan(draft, &found.root, log));
    }
    let help = format!(
        "add a [service] with `run` to {FILE_NAME}, or start the service yourself and pass --local PORT"
    );
    if overrides.local.is_some() {
        return ServiceChoice::None(NoService {
            why: "--local names a service that already runs".to_owned(),
            help,
        });
    }
    let Some(manifest) = &found.manifest else {
        return ServiceChoice::None(NoService {
            why: "there is no [service] and no Cargo.toml".to_owned(),
            help,
        });
    };
    let metadata = match metadata.map_or_else(|| cargo::metadata(manifest), Ok) {
        Ok(metadata) => metadata,
        Err(why) => return ServiceChoice::None(NoService { why, help }),
    };
    let selection =
        cargo::Selection { manifest, package: overrides.package.as_deref(), workspace: overrides.workspace };
    match cargo::discover(&metadata, selection, log) {
        Ok(plan) => {
            notes.push(format!(
                "no [service] is configured: builds it with `{}`",
                plan.build.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
            ));
            notes.push(format!("runs `{}` and waits until / answers", plan.run.join(" ")));
            ServiceChoice::Discovered(plan)
        }
        Err(reason) => ServiceChoice::None(reason),
    }
}

fn declared_plan(draft: ServiceDraft, root: &Path, log: PathBuf) -> ServicePlan {
    ServicePlan {
        build: draft.build,
        run: draft.run,
        ready: draft.ready,
        ready_timeout: draft.ready_timeout.unwrap_or(cargo::DEFAULT_READY_TIMEOUT),
        env: draft.env,
        dir: draft.dir.map_or_else(|| root.to_owned(), |dir| root.join(dir)),
        log,
    }
}

/// Gives the files of secrets their whole paths.
fn located_files(mut secrets: Vec<Located<SecretPlan>>, root: &Path) -> Vec<Located<SecretPlan>> {
    for secret in &mut secrets {
        if let SecretSource::File(path) = &mut secret.value.source {
            *path = root.join(&*path);
        }
    }
    secrets
}

fn resolve_roots(mut target: TargetTable, root: &Path) -> TargetTable {
    let files = target.roots.iter_mut().chain(&mut target.client_certificate).chain(&mut target.client_key);
    for path in files {
        path.value = root.join(&path.value);
    }
    for file in &mut target.production_files {
        file.value.from = root.join(&file.value.from);
    }
    target
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Pacing, Quantile, Rate};

    /// A repository with one `loadgate.toml`.
    fn project(config: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(FILE_NAME), config).unwrap();
        dir
    }

    fn load_with(config: &str, overrides: &Overrides) -> Result<Settings, Problems> {
        load(project(config).path(), overrides)
    }

    fn rate(requests: f64) -> Rate {
        Rate::per_second(requests).unwrap()
    }

    #[test]
    fn an_empty_file_gives_the_documented_defaults() {
        let settings = load_with("", &Overrides::default()).unwrap();

        let [scenario] = settings.scenarios.as_slice() else { panic!("one scenario") };
        let profile = &scenario.profile;
        assert_eq!((scenario.name.as_str(), scenario.requests.summary().as_str()), ("root", "GET /"));
        assert_eq!((&profile.pacing, profile.connections.get()), (&Pacing::CLOSED, 10));
        assert_eq!((profile.ramp.as_secs(), profile.lead_in().as_secs()), (2, 5));
        assert_eq!((profile.duration.as_secs(), profile.warm_up.as_secs(), profile.rounds.get()), (30, 5, 5));
        assert!(scenario.gate.metrics == [Quantile::P50, Quantile::P99]);
        assert_eq!((scenario.gate.max_regression, scenario.gate.max_error_rate), (0.10, 0.01));
        assert_eq!((settings.limits.rate, settings.limits.connections.get()), (rate(200.0), 32));
        assert_eq!(settings.limits.duration, Duration::from_secs(300));
        assert_eq!(settings.notes, ["no scenario is configured: loads GET / as `root`"]);
    }

    #[test]
    fn a_directory_without_any_configuration_can_load_a_local_port() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        let overrides =
            Overrides { local: Some(8080), connections: NonZeroU32::new(3), ..Overrides::default() };

        let settings = load(dir.path(), &overrides).unwrap();

        assert_eq!((settings.source, settings.local), (ConfigSource::Defaults, Some(8080)));
        assert_eq!(settings.scenarios[0].profile.connections.get(), 3);
        assert!(matches!(settings.service, ServiceChoice::None(_)));
    }

    #[test]
    fn without_service_and_without_cargo_the_reason_is_told() {
        let settings = load_with("", &Overrides::default()).unwrap();

        assert_eq!(settings.service.plan().unwrap_err().why, "there is no [service] and no Cargo.toml");
    }

    #[test]
    fn a_rate_means_open_loop_and_its_connections_come_from_the_limits() {
        let config = "[limits]\nconnections = 7\n[[scenario]]\nname = \"a\"\nprofile = { rate = 50 }\n\
                      [[scenario]]\nname = \"b\"\nprofile = { connections = 4 }\n";

        let settings = load_with(config, &Overrides::default()).unwrap();

        let profiles: Vec<_> =
            settings.scenarios.iter().map(|s| (&s.profile.pacing, s.profile.connections.get())).collect();
        assert_eq!(profiles, [(&Pacing::open(rate(50.0)), 7), (&Pacing::CLOSED, 4)]);
    }

    #[test]
    fn every_kind_of_profile_can_be_written() {
        let written = [
            "stages = [{ rate = 40, over = \"0s\" }, { rate = 80, over = \"6s\" }], max-in-flight = 9, connections = 3",
            "steps = [{ rate = 5, for = \"2s\" }, { rate = 0.5, for = \"4s\" }], warm-up = \"0s\", timeout = \"1s\"",
            "rate = 5, arrivals = \"poisson\", seed = 7, warm-up = { until = \"steady\", at-most = \"20s\" }",
            "stages = [{ connections = 8, over = \"6s\" }], think-time = \"250ms\", reconnect-every = 1",
        ];
        let config: String = (0..)
            .zip(written)
            .map(|(number, profile)| {
                format!("[[scenario]]\nname = \"s{number}\"\nprofile = {{ {profile} }}\n")
            })
            .collect();

        let settings = load_with(&config, &Overrides::default()).unwrap();

        let words: Vec<String> = settings.scenarios.iter().map(|s| s.profile.to_string()).collect();
        assert_eq!(
            words,
            [
                "at once 40/s, then to 80/s over 6s over at most 3 connections for 6s in 5 rounds, after a warm-up of \
                 2s; at most 9 in flight",
                "at once 5/s, then 5/s for 2s, then at once 0.5/s, then 0.5/s for 4s over at most 32 connections for \
                 6s in 5 rounds, after an unmeasured ramp of 500ms",
                "5/s with Poisson arrivals (seed 7) over at most 32 connections for 30s in 5 rounds, after a warm-up \
                 until latency is steady, of at most 20s",
                "to 8 connections over 6s in a closed loop for 6s in 5 rounds, after no warm-up; 250ms of think time; \
                 a new connection for each request",
            ]
        );
        assert_eq!(settings.scenarios[3].profile.connections.get(), 8);
    }

    #[test]
    fn a_flag_that_contradicts_a_profile_is_refused_with_its_scenario() {
        let staged = "[[scenario]]\nname = \"a\"\nprofile = { stages = [{ rate = 5, over = \"9s\" }] }\n";
        let crowd = staged.replace("rate", "connections");
        let people = "[[scenario]]\nname = \"a\"\nprofile = { think-time = \"1s\" }\n";
        let with_rate = Overrides { rate: Some(rate(5.0)), ..Overrides::default() };
        let with_duration = Overrides { duration: Some(Duration::from_secs(9)), ..Overrides::default() };
        let with_connections = Overrides { connections: NonZeroU32::new(2), ..Overrides::default() };

        for (config, flags, flag) in [
            (staged, &with_rate, "--rate"),
            (people, &with_rate, "--rate"),
            (staged, &with_duration, "--duration"),
            (&crowd, &with_connections, "--connections"),
        ] {
            let said = load_with(config, flags).unwrap_err().to_string();
            assert!(said.starts_with(&format!("error: {flag} contradicts scenario `a`: ")), "{said}");
            assert!(said.contains("  help: "), "{said}");
        }
        assert!(load_with(staged, &with_connections).is_ok());
        assert!(load_with(people, &with_duration).is_ok());
    }

    #[test]
    fn flags_hold_for_every_scenario() {
        let config = "[[scenario]]\nname = \"a\"\nheaders = { Accept = \"text/html\", x-a = \"1\" }\n[[scenario]]\nname = \"b\"\n";
        let overrides = Overrides {
            rate: Some(rate(20.0)),
            duration: Some(Duration::from_secs(6)),
            headers: vec!["accept: text/plain".to_owned()],
            fail_on: vec!["inconclusive".to_owned()],
            ..Overrides::default()
        };

        let settings = load_with(config, &overrides).unwrap();

        for scenario in &settings.scenarios {
            assert_eq!(scenario.profile.pacing, Pacing::open(rate(20.0)));
            assert_eq!((scenario.profile.duration.as_secs(), scenario.profile.warm_up.as_secs()), (6, 2));
            assert!(scenario.gate.fail_on.inconclusive);
        }
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            settings.scenarios[0].requests.entries()[0].headers(),
            [header("x-a", "1"), header("accept", "text/plain")]
        );
        assert_eq!(settings.notes[0], "warm-up of `a` shortened to 2.0s, a third of its duration");
    }

    #[test]
    fn a_scenarios_own_gate_replaces_key_by_key() {
        let config = "[gate]\nmax-regression = \"5%\"\nmetrics = [\"p90\"]\n[[scenario]]\nname = \"a\"\ngate = { max-regression = \"20%\" }\n";

        let settings = load_with(config, &Overrides::default()).unwrap();

        let gate = &settings.scenarios[0].gate;
        assert!(gate.max_regression == 0.2 && gate.metrics == [Quantile::P90]);
    }

    #[test]
    fn only_the_named_scenarios_run() {
        let config = "[[scenario]]\nname = \"browse\"\n[[scenario]]\nname = \"buy\"\n";
        let only = |name: &str| Overrides { scenarios: vec![name.to_owned()], ..Overrides::default() };

        let settings = load_with(config, &only("buy")).unwrap();
        let problems = load_with(config, &only("brwose")).unwrap_err();

        assert_eq!(settings.scenarios.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["buy"]);
        assert_eq!(
            problems.to_string(),
            "error: there is no scenario named \"brwose\"\n  help: did you mean `browse`?"
        );
    }

    #[test]
    fn problems_of_file_and_flags_are_told_together_and_no_header_value_is_shown() {
        let config = "[limits]\nrate = 0\n[[scenario]]\nname = \"a\"\npath = \"//www.example.com\"\nheaders = { Host = \"canary\" }\n";
        let overrides = Overrides {
            headers: vec!["canary".to_owned(), "Host: canary".to_owned()],
            ..Overrides::default()
        };

        let problems = load_with(config, &overrides).unwrap_err();

        let said = problems.to_string();
        assert_eq!(problems.0.len(), 4, "{said}");
        assert!(said.contains("--> loadgate.toml:5:8") && said.contains("a --header has no ':'"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }

    #[test]
    fn impossible_flags_are_refused() {
        let flags = Overrides {
            local: Some(0),
            duration: Some(Duration::ZERO),
            timeout: Some(Duration::ZERO),
            connections: NonZeroU32::new(u32::MAX),
            threads: Some(NonZeroUsize::MAX),
            fail_on: vec!["everything".to_owned()],
            ..Overrides::default()
        };

        let problems = load_with("", &flags).unwrap_err();

        let flags: Vec<&str> = problems.0.iter().filter_map(|p| p.message.split([' ', ':']).next()).collect();
        assert_eq!(flags, ["--fail-on", "--local", "--duration", "--timeout", "--connections", "--threads"]);
    }

    #[test]
    fn a_header_of_the_file_that_cannot_be_sent_is_placed() {
        let said = load_with(
            "[[scenario]]\nname = \"a\"\n[scenario.headers]\nHost = \"x\"\n",
            &Overrides::default(),
        );

        assert!(said.unwrap_err().to_string().contains("--> loadgate.toml:4:8"));
    }

    #[test]
    fn a_body_is_read_from_the_project_and_nowhere_else() {
        let config =
            |path: &str| format!("[[scenario]]\nname = \"a\"\nmethod = \"POST\"\nbody-file = {path:?}\n");
        let dir = project(&config("body.bin"));
        std::fs::write(dir.path().join("body.bin"), b"\xff\x00body").unwrap();

        let settings = load(dir.path(), &Overrides::default()).unwrap();

        assert_eq!(settings.scenarios[0].requests.entries()[0].body(), b"\xff\x00body");
        for (hostile, expected) in [
            ("/etc/hostname", "outside the project"),
            ("../..", "outside the project"),
            ("none", "cannot read"),
            (".git", "is a directory"),
        ] {
            std::fs::write(dir.path().join(FILE_NAME), config(hostile)).unwrap();
            let said = load(dir.path(), &Overrides::default()).unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains("--> loadgate.toml:4:13"), "{said}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_file_and_those_of_flags_to_the_current_directory() {
        let dir = project(
            "[service]\nrun = [\"./serve\"]\ndir = \"app\"\n[target]\nroots = [\"ca.pem\"]\n[baseline]\nstore = \"dir:kept\"\n",
        );
        let below = dir.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let overrides = Overrides { out: Some("results".into()), ..Overrides::default() };

        let settings = load(&below, &overrides).unwrap();

        assert_eq!(settings.out, below.join("results"));
        assert_eq!(settings.baseline.dir, dir.path().join("kept"));
        assert_eq!(settings.target.roots[0].value, dir.path().join("ca.pem"));
        let plan = settings.service.plan().unwrap();
        assert_eq!((&plan.dir, &plan.log), (&dir.path().join("app"), &below.join("results/service.log")));
    }

    #[test]
    fn metadata_of_a_manifest_is_read_with_its_places() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        let manifest = "[workspace]\n\n[workspace.metadata.loadgate.limits]\nrate = 0\n";
        std::fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();

        let said = load(dir.path(), &Overrides::default()).unwrap_err().to_string();

        assert!(said.contains("--> Cargo.toml:4:8"), "{said}");
    }

    #[test]
    fn a_manifest_path_moves_the_search() {
        let dir = project("[limits]\nrate = 5\n");
        std::fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let at = |path: PathBuf| Overrides { manifest_path: Some(path), ..Overrides::default() };

        let settings = load(elsewhere.path(), &at(dir.path().join("Cargo.toml"))).unwrap();
        let problems = load(elsewhere.path(), &at("none/Cargo.toml".into())).unwrap_err();

        assert_eq!(settings.limits.rate, rate(5.0));
        assert!(problems.to_string().starts_with("error: --manifest-path none/Cargo.toml: "));
    }
}
