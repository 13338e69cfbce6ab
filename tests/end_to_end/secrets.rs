//! The canary: a secret that a server repeats in every place and spelling it can, and that nothing of a run may hold.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use crate::command::{Ended, Loadgate, json};

/// A server that repeats what it is told, in every place that an answer has.
struct Parrot {
    port: u16,
    requests: Arc<AtomicUsize>,
    /// The credentials that came.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Parrot {
    /// Starts one that repeats, beside what it is told, what it knows already.
    fn start(known: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, heard): (Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>) = Default::default();
        let (count, credentials, known) = (Arc::clone(&requests), Arc::clone(&heard), known.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (count, credentials, known) =
                    (Arc::clone(&count), Arc::clone(&credentials), known.clone());
                std::thread::spawn(move || serve(stream, &count, &credentials, &known));
            }
        });
        Self { port, requests, heard }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, count: &AtomicUsize, heard: &Mutex<Vec<String>>, known: &str) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut credentials) = (String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            // The guard asks as well, under another name.
            if line.starts_with("user-agent: loadgate/") {
                count.fetch_add(1, Ordering::SeqCst);
            }
            if let Some(value) =
                line.strip_prefix("authorization: ").or_else(|| line.strip_prefix("Authorization: "))
            {
                credentials = value.trim_end().to_owned();
            }
        }
        let secret = credentials.strip_prefix("Bearer ").unwrap_or("no-credentials").to_owned();
        let mut heard = heard.lock().unwrap();
        if !credentials.is_empty() && !heard.contains(&credentials) {
            heard.push(credentials);
        }
        drop(heard);
        let number = count.load(Ordering::SeqCst);
        if writer.write_all(&answer(&secret, known, number)).is_err() {
            return;
        }
    }
}

/// An answer with the secret in its reason phrase, headers, cookie, redirect, body, chunk extension and trailer, behind an
/// interim one with it.
fn answer(secret: &str, known: &str, number: usize) -> Vec<u8> {
    let status = [200, 200, 302, 500][number % 4];
    let mut head = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: </{secret}>\r\n\r\n\
         HTTP/1.1 {status} {secret}\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n"
    );
    head.push_str(&format!("location: /login?next={secret}&token={secret}\r\n"));
    head.push_str(&format!(
        "server-timing: {secret};dur=5, db;dur=2\r\nset-cookie: session={secret}; Path=/\r\n"
    ));
    head.push_str("x-command: ::error::pwned ##[error]x \t\r\n");
    let mut body = String::from("::add-mask::x\n##vso[task.complete]\n\x1b[2J\x1b]8;;http://x\x07link\r\n");
    for (number, form) in forms(secret).iter().enumerate() {
        head.push_str(&format!("x-echo-{number}: {form}\r\n"));
        body.push_str(&format!("{number} {form}\n"));
    }
    for (number, form) in forms(known).iter().enumerate() {
        head.push_str(&format!("x-job-{number}: {form}\r\n"));
        body.push_str(&format!("{number} {form}\n"));
    }
    let chunk = format!("{:x};x={secret}\r\n{body}\r\n0\r\nx-trailer: {secret}\r\n\r\n", body.len());
    format!("{head}\r\n{chunk}").into_bytes()
}

/// The secret in many spellings, none of them taken from the program.
fn forms(secret: &str) -> Vec<String> {
    let bytes = |format: fn(u8) -> String| -> String { secret.bytes().map(format).collect() };
    let percent = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    let json = serde_json::to_string(secret).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let own_digits = |offset: usize| {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{secret}", "x".repeat(offset)));
        encoded[(offset * 8).div_ceil(6)..(offset + secret.len()) * 8 / 6].to_owned()
    };
    vec![
        secret.to_owned(),
        secret.to_ascii_uppercase(),
        bytes(percent),
        bytes(percent).to_ascii_lowercase(),
        bytes(|byte| format!("%{byte:02x}")),
        json.replace('\\', "\\\\").replace('"', "\\\""),
        json,
        html.replace('\'', "&#39;"),
        html.replace('\'', "&#x27;"),
        bytes(|byte| format!("&#{byte};")),
        bytes(|byte| format!("\\u{byte:04x}")),
        bytes(|byte| format!("{byte:02x}")),
        bytes(|byte| format!("{byte:02X}")),
        bytes(|byte| format!("\\x{byte:02x}")),
        STANDARD.encode(secret).trim_end_matches('=').to_owned(),
        URL_SAFE.encode(secret).trim_end_matches('=').to_owned(),
        own_digits(1),
        own_digits(2),
        secret.chars().rev().collect(),
        format!("{secret:?}").trim_matches('"').to_owned(),
        secret.replace('\'', "'\\''"),
    ]
}

/// A secret of this run with everything in it that encodings change.
fn canary() -> String {
    let noise = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 1);
    format!("canary/+\"&<>'=%~{noise:016x}")
}

const CONFIGURATION: &str = r#"
[[secret]]
name = "CANARY"
env = "CANARY_TOKEN"
headers = ["authorization"]

[script]
sink = ["seen.txt"]

[[scenario]]
name = "plain"
headers = { authorization = "Bearer {secret.CANARY}" }
profile = { connections = 2, duration = "400ms", warm-up = "0s", rounds = 2, timeout = "2s" }

[[scenario]]
name = "scripted"
script = "load/loud.lua"
profile = { connections = 2, duration = "400ms", warm-up = "0s", rounds = 2, timeout = "2s" }

[[scenario]]
name = "failing"
script = "load/failing.lua"
profile = { connections = 1, duration = "2s", warm-up = "0s", rounds = 2, timeout = "2s" }
"#;

/// Says everything it knows, wherever it can.
const LOUD: &str = r#"
local token = wrk.secret("CANARY")
wrk.headers["Authorization"] = "Bearer " .. token
print("token", token, wrk.basic("user", token))
local seen, session = 0, nil

function request()
    if session then
        wrk.headers["Cookie"] = session
    end
    return wrk.format()
end

function response(status, headers, body)
    seen = seen + 1
    session = headers["Set-Cookie"]:match("^[^;]+")
    if seen > 2 then
        return
    end
    pcall(wrk.tag, headers["x-echo-0"]:sub(1, 60))
    pcall(wrk.check, headers["x-echo-1"]:sub(1, 60), true)
    pcall(wrk.tag, headers["x-job-" .. seen])
    pcall(wrk.check, headers["x-job-" .. seen], true)
    for name, value in pairs(headers) do
        print(name, value)
    end
    print(body)
    io.write("body ", body:sub(1, 100), "\n", body:reverse(), "\n")
    io.stderr:write(headers["location"], "\n")
    local file = io.open("seen.txt", "a")
    file:write(token, "\n", session, "\n", body, "\n")
    file:close()
end

function done()
    print("done with", token)
end
"#;

const FAILING: &str = r#"
wrk.headers["Authorization"] = "Bearer " .. wrk.secret("CANARY")
function response(status, headers, body)
    error(headers["x-job-2"] .. headers["x-job-14"] .. wrk.secret("CANARY") .. body)
end
"#;

fn project(configuration: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("load")).unwrap();
    for (name, text) in
        [("loadgate.toml", configuration), ("load/loud.lua", LOUD), ("load/failing.lua", FAILING)]
    {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn run(project: &Path, port: u16, secret: &str) -> Loadgate {
    let port = port.to_string();
    Loadgate::new(project).arguments(["run", "--local", &port, "-v"]).variable("CANARY_TOKEN", secret)
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[track_caller]
fn assert_holds_no(secret: &str, what: &str, bytes: &[u8]) {
    let folded = bytes.to_ascii_lowercase();
    for form in forms(secret) {
        let form = form.to_ascii_lowercase();
        let at = memchr::memmem::find(&folded, form.as_bytes());
        let shown =
            at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(60)..at + form.len()]).into_owned());
        assert!(at.is_none(), "{what} holds {form:?}: {shown:?}");
    }
}

/// Searches every byte that a run left, and sees that every file is its owner's alone.
fn assert_clean(ended: &Ended, project: &Path, secret: &str) -> usize {
    assert_holds_no(secret, "stdout", ended.stdout.as_bytes());
    assert_holds_no(secret, "stderr", ended.stderr.as_bytes());
    let files = [files_below(&project.join("target")), files_below(&project.join("baselines"))].concat();
    for file in &files {
        let mut bytes = Vec::new();
        std::fs::File::open(file).unwrap().read_to_end(&mut bytes).unwrap();
        assert_holds_no(secret, &file.display().to_string(), &bytes);
        assert_holds_no(secret, "a file's name", file.display().to_string().as_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
    }
    files.len()
}

#[test]
fn a_secret_that_a_server_repeats_everywhere_is_in_nothing_that_a_run_leaves() {
    // What nobody declared is not looked for in answers: the script sees it, and the redactor alone stands before the world.
    let (secret, token_of_the_job) = (canary(), canary());
    let parrot = Parrot::start(&token_of_the_job);
    let project = project(CONFIGURATION);
    let (summary, outputs) =
        (project.path().join("target/summary.md"), project.path().join("target/outputs"));
    std::fs::create_dir(project.path().join("target")).unwrap();
    for file in [&summary, &outputs] {
        std::fs::write(file, "").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    let ended = run(project.path(), parrot.port, &secret)
        .variable("GITHUB_STEP_SUMMARY", &summary)
        .variable("GITHUB_OUTPUT", &outputs)
        .variable("GITHUB_TOKEN", &token_of_the_job)
        .run();

    let everything = format!("{}\n{}", ended.stdout, ended.stderr);
    assert!(parrot.heard.lock().unwrap().contains(&format!("Bearer {secret}")), "{everything}");
    // The script printed, wrote and failed, and what it said is there without the secret.
    assert!(ended.stdout.contains("done with") && ended.stdout.contains("x-echo-0\t***"), "{everything}");
    let report = json(&project.path().join("target/loadgate/report.json"));
    assert!(report["scenarios"][2]["ended"].to_string().contains("load/failing.lua:4"), "{report}");
    assert!(assert_clean(&ended, project.path(), &secret) >= 8, "{everything}");
    assert_clean(&ended, project.path(), &token_of_the_job);
    for line in everything.lines() {
        assert!(
            !line.trim_start().starts_with("::") && !line.contains("##[") && !line.contains("##vso["),
            "{line}"
        );
        assert!(!line.contains("\x1b[2J") && !line.contains('\x07'), "{line}");
    }

    // That the server repeats it is told in every report, and decides nothing.
    let findings = &report["scenarios"][0]["findings"];
    let places: Vec<&str> =
        findings.as_array().unwrap().iter().map(|one| one["place"].as_str().unwrap()).collect();
    let told = [
        "the body",
        "the header location",
        "the reason phrase",
        "an interim answer",
        "a chunk's extension",
        "a trailer",
    ];
    assert!(told.iter().all(|place| places.contains(place)), "{findings}");
    assert_eq!((&findings[0]["kind"], &findings[0]["name"]), (&"secret-echo".into(), &"CANARY".into()));
    for file in ["report.html", "comment.md"] {
        let text = std::fs::read_to_string(project.path().join("target/loadgate").join(file)).unwrap();
        assert!(text.contains("Security:") && text.contains("CANARY"), "{file}");
    }
    assert!(ended.stdout.contains("security: the server sends secret CANARY back"), "{}", ended.stdout);
}

#[test]
fn the_runner_is_told_to_mask_a_secret_before_anything_else_is_said() {
    let (parrot, secret) = (Parrot::start("nothing-else"), canary());
    let project = project(CONFIGURATION);

    let ended = run(project.path(), parrot.port, &secret)
        .arguments(["--scenario", "plain"])
        .variable("GITHUB_ACTIONS", "true")
        .variable("GITHUB_EVENT_NAME", "push")
        .variable("GITHUB_REPOSITORY", "acme/shop")
        .run();

    let (commands, rest): (Vec<&str>, Vec<&str>) =
        ended.stderr.lines().partition(|line| line.starts_with("::add-mask::"));
    let mask = format!("::add-mask::{}", secret.replace('%', "%25"));
    assert!(commands.contains(&mask.as_str()), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.starts_with("::add-mask::"), "{}", ended.stderr);
    let rest = Ended { code: ended.code, stdout: ended.stdout.clone(), stderr: rest.join("\n") };
    assert_clean(&rest, project.path(), &secret);
}

/// A scenario, a script in its place, and how the run must end with which words.
struct Misuse {
    scenario: &'static str,
    script: &'static str,
    code: i32,
    why: &'static str,
}

const SCRIPTED: &str = "[[scenario]]\nname = \"a\"\nscript = \"load/loud.lua\"\n";

const MISUSES: [Misuse; 7] = [
    Misuse {
        scenario: "[[scenario]]\nname = \"a\"\nheaders = { x-other = \"{secret.CANARY}\" }\n",
        script: "",
        code: 2,
        why: "which its `headers` do not name",
    },
    Misuse {
        scenario: "[[scenario]]\nname = \"a\"\npath = \"/{secret.CANARY}\"\n",
        script: "",
        code: 2,
        why: "a secret may stand in a header's value only",
    },
    Misuse {
        scenario: "[[scenario]]\nname = \"a\"\nheaders = { authorization = \"{secret.CANRY}\" }\n",
        script: "",
        code: 2,
        why: "the secrets are CANARY",
    },
    Misuse {
        scenario: "hosts = [\"*.preview.example.com\"]\n[[scenario]]\nname = \"a\"\n\
                   headers = { authorization = \"{secret.CANARY}\" }\n",
        script: "",
        code: 101,
        why: "its `hosts` do not name it",
    },
    Misuse {
        scenario: SCRIPTED,
        script: "wrk.path = '/' .. wrk.secret('CANARY')",
        code: 101,
        why: "a secret stands in the request line",
    },
    Misuse {
        scenario: SCRIPTED,
        script: "wrk.headers['User-Agent'] = wrk.secret('CANARY')",
        code: 101,
        why: "\"User-Agent\"",
    },
    Misuse {
        scenario: "[script]\nenv = [\"CANARY_TOKEN\"]\n[[scenario]]\nname = \"a\"\nscript = \"load/loud.lua\"\n",
        script: "",
        code: 2,
        why: "holds the secret `CANARY`",
    },
];

#[test]
fn a_secret_where_it_was_not_declared_is_refused_and_nothing_is_sent() {
    let (parrot, secret) = (Parrot::start("nothing-else"), canary());
    let declared = &CONFIGURATION[..CONFIGURATION.find("[script]").unwrap()];
    let profile = "profile = { connections = 1, duration = \"300ms\", warm-up = \"0s\" }";
    for Misuse { scenario, script, code, why } in MISUSES {
        let project = project(&format!("{declared}{scenario}{profile}"));
        if !script.is_empty() {
            std::fs::write(project.path().join("load/loud.lua"), script).unwrap();
        }

        let ended = run(project.path(), parrot.port, &secret).run().expect(code);

        assert!(ended.stderr.contains(why) && ended.stderr.contains("help:"), "{why}: {}", ended.stderr);
        assert_clean(&ended, project.path(), &secret);
    }
    assert!(parrot.requests() == 0 && parrot.heard.lock().unwrap().is_empty());
}

#[test]
fn secrets_that_cannot_be_read_are_all_told_with_their_lines() {
    let (parrot, secret) = (Parrot::start("nothing-else"), canary());
    let second = "[[secret]]\nname = \"FILE\"\nfile = \"token\"\nheaders = [\"x-key\"]\n";
    let project = project(&format!("{second}{CONFIGURATION}"));
    std::fs::write(project.path().join("token"), &secret).unwrap();

    let ended =
        Loadgate::new(project.path()).arguments(["run", "--local", &parrot.port.to_string()]).run().expect(2);

    assert!(ended.stderr.contains("cannot use secret `FILE`: others may read"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("chmod 600") && ended.stderr.contains("loadgate.toml:1:1"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("the variable CANARY_TOKEN is not set"), "{}", ended.stderr);
    assert_eq!(parrot.requests(), 0);
    assert_clean(&ended, project.path(), &secret);
}

#[test]
fn what_a_build_prints_passes_the_redactor_and_commands_nobody() {
    let secret = canary();
    let service = "[service]\nbuild = ['sh', '-c', 'echo building $CANARY_TOKEN; echo ::error::pwned >&2; exit 7']\nrun = ['true']\n";
    let inherits = project(&format!("{service}{CONFIGURATION}"));
    let bound = CONFIGURATION.replace(
        "headers = [\"authorization\"]",
        "headers = [\"authorization\"]\nhosts = [\"*.preview.example.com\"]",
    );
    let withheld = project(&format!("{service}{bound}"));
    let build = |project: &tempfile::TempDir| {
        let run = Loadgate::new(project.path()).arguments(["run", "--scenario", "plain"]);
        run.variable("CANARY_TOKEN", &secret).run().expect(101)
    };

    let (seen, unseen) = (build(&inherits), build(&withheld));

    assert!(seen.stderr.contains("building ***"), "{}", seen.stderr);
    assert!(seen.stderr.contains("\\x3a:error::pwned"), "{}", seen.stderr);
    assert_holds_no(&secret, "stderr", seen.stderr.as_bytes());
    // A secret that may not go to this machine is kept from what runs on it.
    assert!(unseen.stderr.contains("\nbuilding\n"), "{}", unseen.stderr);
}
