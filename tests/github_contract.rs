//! The GitHub room against a stateful emulator, behind a proxy that checks every call against GitHub's own API
//! description.
//!
//! The emulator listens on all interfaces, so everything runs in a network namespace of its own, in which there is
//! nothing but loopback: the outer test installs and enters it, the inner one (idle on its own) does the work.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise, in its helpers too")]

#[path = "end_to_end/parts.rs"]
#[expect(clippy::disallowed_methods, reason = "a test looks at its surroundings")]
mod parts;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cargo_loadgate::context::{CommitSha, PullRequestNumber, Repository};
use cargo_loadgate::github::{Client, CommentChange, DeploymentFilter, GithubError};
use cargo_loadgate::secret::Secret;
use serde_json::{Value, json};

const EMULATOR: &str = "http://127.0.0.1:4001";
const CHECKING_PROXY: &str = "http://127.0.0.1:4010";
const DOCUMENTED_ANSWERS: &str = "http://127.0.0.1:4012";
const API_DESCRIPTION: &str = "node_modules/@octokit/openapi/generated/api.github.com.json";

/// Tells the inner test where the programs are; without it the inner test must not run.
const INSIDE: &str = "LOADGATE_TEST_GITHUB_DOUBLE";

/// The programs read a description of 13 MB before they answer.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn one_comment_is_created_and_edited_on_a_github_that_checks_every_call() {
    let (Some(node), Some(_)) = (parts::require("node"), parts::require("ip")) else { return };
    let Some(namespace) = working_unshare() else {
        return skip("a network namespace (root, or user namespaces)");
    };
    let path = format!("{}:{}", node.display(), environment("PATH").unwrap_or_default());
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-double");
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github/setup.sh");
    let installed = Command::new("sh").arg(setup).arg(&programs).env("PATH", &path).status().unwrap();
    if !installed.success() {
        return skip("npm to install the emulator");
    }

    let inside = Command::new("unshare")
        .args(namespace)
        // The program finds out through /proc who listens, so that the processes in it must be those of the namespace.
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside_the_namespace", "--nocapture"])
        .env(INSIDE, &programs)
        .env("PATH", &path)
        .status()
        .unwrap();

    assert!(inside.success(), "the inner test failed; its output stands above");
}

fn skip(reason: &str) {
    parts::skip(&format!("the contract with GitHub's API needs {reason}"));
}

#[test]
fn inside_the_namespace() {
    // Only the outer test may start this one: it opens ports on all interfaces.
    let Some(programs) = environment(INSIDE).map(PathBuf::from) else { return };
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    runtime.block_on(async {
        let double = Double::start(&programs).await;
        let number = double.open_issue_with_comments(130).await;

        create_then_edit(&double, number).await;
        ask_for_pull_requests().await;
        ask_for_what_the_emulator_does_not_know().await;
        read_what_github_documents().await;
        gate_a_service_twice(&double).await;

        assert_eq!(double.request_violations(), Vec::<String>::new());
        double.prove_that_violations_are_seen(number).await;
    });
}

async fn create_then_edit(double: &Double, number: PullRequestNumber) {
    let client = Client::new(CHECKING_PROXY, &Secret::new("token_of_the_tool".into())).unwrap();
    let repository = Repository::parse("octocat/shop").unwrap();

    let created = client.upsert_comment(&repository, number, "api", "first | body").await.unwrap();
    let updated = client.upsert_comment(&repository, number, "api", "second `body` \u{1f534}").await.unwrap();
    let other_id = client.upsert_comment(&repository, number, "web", "another comment").await.unwrap();

    assert_eq!((created.change, updated.change), (CommentChange::Created, CommentChange::Updated));
    assert_eq!(created.url, updated.url);
    assert_eq!(other_id.change, CommentChange::Created);
    let bodies = double.bodies_by("loadgate", number).await;
    assert_eq!(
        bodies,
        [
            "<!-- loadgate:v1 id=api -->\nsecond `body` \u{1f534}",
            "<!-- loadgate:v1 id=web -->\nanother comment"
        ]
    );
    assert_eq!(double.bodies_by("octocat", number).await.len(), 131);
}

/// The emulator does not know this call, but the proxy knows how it must look.
async fn ask_for_pull_requests() {
    let client = Client::new(CHECKING_PROXY, &Secret::new("token_of_the_tool".into())).unwrap();
    let repository = Repository::parse("octocat/shop").unwrap();
    let commit = CommitSha::parse("0123456789abcdef0123456789abcdef01234567").unwrap();

    let found = client.pull_requests_with_head(&repository, &commit).await;

    assert!(matches!(found, Err(GithubError::NotFound { .. })), "{found:?}");
}

/// Deployments and files are not in the emulator, but the proxy knows how the calls must look.
async fn ask_for_what_the_emulator_does_not_know() {
    let client = Client::new(CHECKING_PROXY, &Secret::new("token_of_the_tool".into())).unwrap();
    let repository = Repository::parse("octocat/shop").unwrap();
    let commit = CommitSha::parse("0123456789abcdef0123456789abcdef01234567").unwrap();
    let desk = client.deployment_desk(&repository).unwrap();

    for filter in [
        DeploymentFilter::Commit(&commit),
        DeploymentFilter::Environment("shop (Production) & more"),
        DeploymentFilter::Newest,
    ] {
        let found = desk.deployments(filter).await;
        assert!(matches!(found, Err(GithubError::NotFound { .. })), "{filter:?}: {:?}", found.err());
    }
    // The description knows paths of one part only.
    assert_eq!(client.file_at(&repository, "load gate.toml", commit.as_str()).await, Ok(None));
    assert!(client.tip_of(&repository, "feat/a+b").await.is_err());
}

/// The examples in GitHub's own description, served as they are: what we read must be what GitHub writes.
async fn read_what_github_documents() {
    let client = Client::new(DOCUMENTED_ANSWERS, &Secret::new("token_of_the_tool".into())).unwrap();
    let repository = Repository::parse("octocat/example").unwrap();
    let desk = client.deployment_desk(&repository).unwrap();

    let pull_request = desk.pull_request(PullRequestNumber::parse("1347").unwrap()).await.unwrap();
    assert!(pull_request.is_open && CommitSha::parse(&pull_request.head_sha).is_ok(), "{pull_request:?}");
    let deployments = desk.deployments(DeploymentFilter::Newest).await.unwrap();
    let deployment = desk.with_statuses(deployments[0].clone()).await.unwrap();
    assert_eq!(deployment.environments, ["production", "staging"]);
    assert_eq!((deployment.production_environment, deployment.state.as_str()), (Some(true), "success"));
    assert!(deployment.creators.contains(&"octocat".to_owned()), "{deployment:?}");
    assert!(!deployment.urls.is_empty() && !deployment.reporters.is_empty(), "{deployment:?}");
    assert!(client.tip_of(&repository, "main").await.is_ok());
}

/// Runs the whole program in the job of a pull request: recorded six times, then slowed.
async fn gate_a_service_twice(double: &Double) {
    let number = double.open_issue_with_comments(2).await;
    let project = tempfile::tempdir().unwrap();
    write_service_project(project.path(), number);
    let read = |name: &str| {
        let written = project.path().join("target/loadgate").join(name);
        std::fs::read_to_string(written).unwrap()
    };
    let comment = || format!("<!-- loadgate:v1 id=loadgate -->\n{}", read("comment.md"));

    gate_in_job(project.path(), "0%", &["--save-baseline"]);
    assert_eq!(double.bodies_by("loadgate", number).await, [comment()]);
    for _ in 1..6 {
        gate_in_job(project.path(), "0%", &["--save-baseline", "--no-comment"]);
    }
    assert_eq!(double.bodies_by("loadgate", number).await.len(), 1);
    let code = gate_in_job(project.path(), "30%", &[]);

    assert_eq!(double.bodies_by("loadgate", number).await, [comment()], "there is one comment, edited");
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    let verdict = report["verdict"].as_str().unwrap();
    assert!(comment().contains(verdict), "{verdict}: {}", comment());
    // A noisy machine may not see the slowdown; the comment then says so, and never that it got faster.
    let expected = match verdict {
        "regressed" => 100,
        "invalid" => 101,
        _ => 0,
    };
    assert!(code == Some(expected) && verdict != "improved", "{code:?} {report}");
}

fn write_service_project(directory: &Path, number: PullRequestNumber) {
    let configuration = format!(
        "[service]\nrun = [\"{}\", \"demo-service\"]\nready = \"/healthz\"\n\
         [[scenario]]\nname = \"products\"\npath = \"/products\"\n\
         profile = {{ connections = 8, duration = \"2s\", warm-up = \"300ms\", rounds = 4 }}\n\
         [gate]\nmetrics = [\"p50\"]\nconfirm-after = \"100ms\"\n",
        env!("CARGO_BIN_EXE_cargo-loadgate")
    );
    std::fs::write(directory.join("loadgate.toml"), configuration).unwrap();
    let end = |branch: &str, sha: &str| json!({ "ref": branch, "sha": sha, "repo": { "full_name": "octocat/shop" } });
    let payload = json!({
        "action": "synchronize",
        "pull_request": {
            "number": number.value(), "state": "open",
            "head": end("faster", "0123456789abcdef0123456789abcdef01234567"), "base": end("main", &"f".repeat(40)),
        },
        "repository": { "full_name": "octocat/shop" },
    });
    std::fs::write(directory.join("event.json"), payload.to_string()).unwrap();
}

fn gate_in_job(directory: &Path, slower: &str, more: &[&str]) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-loadgate"));
    command.arg("run").args(more).current_dir(directory).env_clear();
    for (name, value) in [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_EVENT_PATH", "event.json"),
        ("GITHUB_REPOSITORY", "octocat/shop"),
        ("GITHUB_API_URL", CHECKING_PROXY),
        ("GITHUB_TOKEN", "token_of_the_tool"),
        ("DEMO_SLOWER", slower),
    ] {
        command.env(name, value);
    }
    command.status().unwrap().code()
}

/// The emulator and the proxy, for as long as the test runs.
struct Double {
    programs: PathBuf,
    children: Vec<Child>,
    http: reqwest::Client,
}

impl Double {
    async fn start(programs: &Path) -> Self {
        let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github/seed.yaml");
        let start = |log: &str, program: &str, arguments: &[&str]| {
            let log = std::fs::File::create(programs.join(log)).unwrap();
            let mut command = Command::new(format!("node_modules/.bin/{program}"));
            command.args(arguments).current_dir(programs).stdin(Stdio::null());
            command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
        };
        let children = vec![
            start(
                "emulator.log",
                "emulate",
                &["start", "--service", "github", "--port", "4001", "--seed", seed.to_str().unwrap()],
            ),
            start(
                "proxy.log",
                "prism",
                &["proxy", "-h", "127.0.0.1", "-p", "4010", API_DESCRIPTION, EMULATOR],
            ),
            start("mock.log", "prism", &["mock", "-h", "127.0.0.1", "-p", "4012", API_DESCRIPTION]),
        ];
        // The emulator closes idle connections while a gate runs.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let double = Self { programs: programs.to_owned(), children, http };
        for url in [EMULATOR, CHECKING_PROXY, DOCUMENTED_ANSWERS] {
            double.wait_for_answer(url).await;
        }
        double
    }

    async fn wait_for_answer(&self, url: &str) {
        let deadline = deadline();
        while self.http.get(url).send().await.is_err() {
            assert!(is_before(deadline), "{url} does not answer: see the logs in {:?}", self.programs);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Opens an issue, which is what a pull request is for comments, with comments of somebody else.
    async fn open_issue_with_comments(&self, comments: usize) -> PullRequestNumber {
        let issue = self.post("/repos/octocat/shop/issues", &json!({ "title": "faster" })).await;
        let path = format!("/repos/octocat/shop/issues/{}/comments", issue["number"]);
        for index in 0..comments {
            self.post(&path, &json!({ "body": format!("comment {index}") })).await;
        }
        self.post(&path, &json!({ "body": "<!-- loadgate:v1 id=api -->\nplanted" })).await;
        PullRequestNumber::from_u64(issue["number"].as_u64().unwrap()).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{EMULATOR}{path}")).bearer_auth("token_of_a_person");
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn bodies_by(&self, login: &str, number: PullRequestNumber) -> Vec<String> {
        let mut bodies = Vec::new();
        for page in 1..=3 {
            let url =
                format!("{EMULATOR}/repos/octocat/shop/issues/{number}/comments?per_page=100&page={page}");
            let request = self.http.get(url).bearer_auth("token_of_a_person");
            let text = request.send().await.unwrap().text().await.unwrap();
            let comments: Vec<Value> = serde_json::from_str(&text).unwrap();
            let theirs = comments.iter().filter(|comment| comment["user"]["login"] == login);
            bodies.extend(theirs.map(|comment| comment["body"].as_str().unwrap().to_owned()));
        }
        bodies
    }

    /// Returns what the proxy found wrong in our calls; what it finds wrong in the emulator's answers is not ours.
    fn request_violations(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.programs.join("proxy.log")).unwrap();
        log.lines().filter(|line| line.contains("Violation: request")).map(str::to_owned).collect()
    }

    /// Sends a wrong call and waits until the proxy says so: otherwise an empty list would prove nothing.
    async fn prove_that_violations_are_seen(&self, number: PullRequestNumber) {
        let url = format!("{CHECKING_PROXY}/repos/octocat/shop/issues/{number}/comments");
        let request = self.http.post(url).bearer_auth("token_of_the_tool");
        request.header("content-type", "application/json").body("{\"bod\":1}").send().await.unwrap();
        let deadline = deadline();
        while self.request_violations().is_empty() {
            assert!(is_before(deadline), "the proxy does not report a call without a body");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn deadline() -> Instant {
    cargo_loadgate::clock::monotonic() + PATIENCE
}

fn is_before(deadline: Instant) -> bool {
    cargo_loadgate::clock::monotonic() < deadline
}

/// Returns the arguments with which this user may enter a new network namespace.
fn working_unshare() -> Option<&'static [&'static str]> {
    let variants: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    variants.into_iter().find(|arguments| {
        let mut command = Command::new("unshare");
        command.args(*arguments).args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

#[expect(clippy::disallowed_methods, reason = "a test has no cli that could hand the environment down")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
