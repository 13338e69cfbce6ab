//! The host is what a state of Lua may ask for: output, files, addresses, threads. Nothing here opens anything: all of
//! it was read or resolved before.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::draft::Draft;
use super::feed::Feeds;
use super::limits::{MAX_NAMES, MAX_OUTPUT_BYTES, MAX_OUTPUT_LINES, MAX_SINK_BYTES};
use super::plain::Plains;
use super::veil::Wanted;
use super::watchdog::Watch;
use crate::request::{Headers, RawRules, Request, ScriptPlan, Seat, Tokens};
use crate::target::Origin;

/// What all states of a script share and never change.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) plan: Arc<ScriptPlan>,
    pub(super) origin: Origin,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) rules: RawRules,
    /// What `wrk.method`, `wrk.path`, `wrk.headers` and `wrk.body` begin as.
    pub(super) request: Request,
    pub(super) feeds: Feeds,
}

/// What `setup` and `done` know about one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Thread {
    /// What `thread:set` gave it.
    pub(super) assigned: Plains,
    /// The address that it was told to use.
    pub(super) address: Option<SocketAddr>,
    pub(super) is_stopped: bool,
    /// Its globals at the end.
    pub(super) globals: Option<Plains>,
}

/// What one state has said so far.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) watch: Arc<Watch>,
    /// The worker that it belongs to; none for the main state.
    pub(super) seat: Option<Seat>,
    pub(super) output: RefCell<Vec<u8>>,
    lines: Cell<usize>,
    /// Bytes and lines that the present call has printed.
    printed: Cell<(usize, usize)>,
    /// Lines that were not kept.
    dropped: Cell<usize>,
    pub(super) sinks: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(super) headers: RefCell<Headers>,
    /// Headers that the script looks at; their values come along with each answer.
    pub(super) wanted: RefCell<Vec<Wanted>>,
    /// The value of the one that was found last, as the script sees it.
    pub(super) found: RefCell<Vec<u8>>,
    /// The request that `wrk.format` made last.
    pub(super) draft: RefCell<Draft>,
    /// What is to be raised as an error of the script.
    pub(super) fault: RefCell<String>,
    /// The secrets that answers brought.
    pub(super) tokens: RefCell<Tokens>,
    pub(super) endpoints: RefCell<Vec<String>>,
    /// The endpoint that the current callback named.
    pub(super) endpoint: Cell<Option<u16>>,
    /// Met and failed checks by name.
    pub(super) checks: RefCell<BTreeMap<String, Tally>>,
    pub(super) has_failed: Cell<bool>,
    pub(super) is_stopped: Cell<bool>,
    pub(super) aborted: RefCell<Option<String>>,
    /// The workers as `setup` and `done` see them; empty in a worker's own state.
    pub(super) threads: RefCell<Vec<Thread>>,
    /// The globals of the script's text, which every worker begins with.
    pub(super) first_globals: RefCell<Plains>,
}

/// How often a check was met and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Answers that it held for.
    pub met: u64,
    /// Answers that it did not hold for.
    pub failed: u64,
}

/// The name of what no `wrk.tag` named.
pub(super) const UNTAGGED: &str = "untagged";

impl Host {
    pub(super) fn new(surroundings: Arc<Surroundings>, watch: Arc<Watch>, seat: Option<Seat>) -> Rc<Self> {
        Rc::new(Self {
            surroundings,
            watch,
            seat,
            output: RefCell::default(),
            lines: Cell::default(),
            printed: Cell::default(),
            dropped: Cell::default(),
            sinks: RefCell::default(),
            headers: RefCell::default(),
            wanted: RefCell::default(),
            found: RefCell::default(),
            draft: RefCell::default(),
            fault: RefCell::default(),
            tokens: RefCell::new(Tokens::of_worker(seat.map_or(u32::MAX, |seat| seat.worker))),
            endpoints: RefCell::new(vec![UNTAGGED.to_owned()]),
            endpoint: Cell::default(),
            checks: RefCell::default(),
            has_failed: Cell::default(),
            is_stopped: Cell::default(),
            aborted: RefCell::default(),
            threads: RefCell::default(),
            first_globals: RefCell::default(),
        })
    }

    pub(super) fn plan(&self) -> &ScriptPlan {
        &self.surroundings.plan
    }

    /// Begins a call: what it may print is counted anew.
    pub(super) fn begin_call(&self) {
        self.printed.set((0, 0));
    }

    /// Takes output. A call that floods is an error; what many calls print together is kept up to the same size.
    pub(super) fn emit(&self, text: &[u8]) -> Result<(), String> {
        let text = &*self.unveiled(text);
        let new_lines = text.iter().filter(|byte| **byte == b'\n').count();
        let (bytes, lines) = self.printed.get();
        let (bytes, lines) = (bytes + text.len(), lines + new_lines);
        if bytes > MAX_OUTPUT_BYTES || lines > MAX_OUTPUT_LINES {
            return Err(format!(
                "the script prints too much (more than {} KiB or {MAX_OUTPUT_LINES} lines in one call); count instead, and print in done()",
                MAX_OUTPUT_BYTES / 1024
            ));
        }
        self.printed.set((bytes, lines));
        let mut output = self.output.borrow_mut();
        if output.len() + text.len() > MAX_OUTPUT_BYTES || self.lines.get() + new_lines > MAX_OUTPUT_LINES {
            self.dropped.set(self.dropped.get() + new_lines.max(1));
            return Ok(());
        }
        self.lines.set(self.lines.get() + new_lines);
        output.extend_from_slice(text);
        Ok(())
    }

    /// Takes what was printed, and says where that is not all.
    pub(super) fn take_output(&self) -> Vec<u8> {
        let mut output = self.output.take();
        let dropped = self.dropped.take();
        if dropped > 0 {
            output.extend_from_slice(format!("(and {dropped} more lines, which are not kept)\n").as_bytes());
        }
        output
    }

    /// Returns a declared file's text.
    pub(super) fn file(&self, name: &str) -> Result<Arc<[u8]>, String> {
        let plan = self.plan();
        match declared(name, plan.files.keys()) {
            Some(found) => Ok(Arc::clone(&plan.files[found])),
            None => Err(format!(
                "cannot open {name:?}, which is not declared: name it in `data` of [script], so that it is read before the run"
            )),
        }
    }

    /// Opens a declared sink and returns its name.
    pub(super) fn open_sink(&self, name: &str, appends: bool) -> Result<String, String> {
        let Some(found) = declared(name, self.plan().sinks.iter()) else {
            return Err(format!(
                "cannot write {name:?}, which is not declared: name it in `sink` of [script]; it is stored with the reports"
            ));
        };
        let mut sinks = self.sinks.borrow_mut();
        let sink = sinks.entry(found.clone()).or_default();
        if !appends {
            sink.clear();
        }
        Ok(found.clone())
    }

    /// Writes to an open sink.
    pub(super) fn write_sink(&self, name: &str, text: &[u8]) -> Result<(), String> {
        let text = &*self.unveiled(text);
        let mut sinks = self.sinks.borrow_mut();
        let written: usize = sinks.values().map(Vec::len).sum();
        if written + text.len() > MAX_SINK_BYTES {
            return Err(format!("the script writes more than {} MiB", MAX_SINK_BYTES / 1024 / 1024));
        }
        sinks.entry(name.to_owned()).or_default().extend_from_slice(text);
        Ok(())
    }

    /// Returns a declared variable.
    pub(super) fn variable(&self, name: &str) -> Result<Option<&str>, String> {
        match self.plan().environment.get(name) {
            Some(value) => Ok(value.as_deref()),
            None => Err(format!(
                // No colon behind the name: what follows one behind a word such as TOKEN is masked.
                "cannot read the variable {name:?}, which is not declared: name it in `env` of [script], or as a [[secret]] and use wrk.secret"
            )),
        }
    }

    /// Returns the pinned addresses of the target, whose name is the only one that has any.
    pub(super) fn lookup(&self, name: &str, service: Option<&str>) -> Result<Vec<String>, String> {
        let Surroundings { origin, addresses, .. } = &*self.surroundings;
        let port = origin.port.to_string();
        let scheme = origin.scheme.to_string();
        let is_port = service.is_none_or(|service| service == port || service == scheme);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if !bare.eq_ignore_ascii_case(&origin.host) || !is_port {
            return Err(format!(
                "wrk.lookup answers for the cleared target {origin} only; no other name is resolved"
            ));
        }
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    /// Returns whether a script that sets `wrk.scheme`, `wrk.host` or `wrk.port` only says what is so anyway.
    pub(super) fn is_target(&self, part: &str, value: &str) -> bool {
        let Surroundings { origin, rules, .. } = &*self.surroundings;
        match part {
            "scheme" => value == origin.scheme.to_string(),
            "host" => {
                value.eq_ignore_ascii_case(&origin.host)
                    || rules.synonyms.iter().any(|known| known.eq_ignore_ascii_case(value))
            }
            "port" => value == origin.port.to_string(),
            _ => false,
        }
    }

    /// Returns the path of a URL that names the cleared target itself.
    pub(super) fn own_path<'u>(&self, url: &'u str) -> Option<&'u str> {
        let Surroundings { origin, rules, .. } = &*self.surroundings;
        let rest = url.strip_prefix(&format!("{}://", origin.scheme))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = format!(":{}", origin.port);
        let is_own = |known: &str| known.eq_ignore_ascii_case(authority);
        let is_synonym = rules.synonyms.iter().any(|known| known.ends_with(&port) && is_own(known));
        let is_path = path.is_empty() || (path.starts_with('/') && !path.starts_with("//"));
        ((is_own(&rules.authority) || is_synonym) && is_path).then_some(if path.is_empty() {
            "/"
        } else {
            path
        })
    }

    /// Returns a pinned address; any other is refused.
    pub(super) fn pinned(&self, text: &str) -> Result<SocketAddr, String> {
        let addresses = &self.surroundings.addresses;
        let found = addresses.iter().find(|address| address.to_string() == text);
        found.copied().ok_or_else(|| {
            format!("{text:?} is no address of the cleared target; wrk.lookup gives those that may be used")
        })
    }

    /// Returns the address that a worker uses.
    pub(super) fn address_of(&self, worker: usize) -> Option<SocketAddr> {
        let threads = self.threads.borrow();
        threads.get(worker).and_then(|t| t.address).or_else(|| self.surroundings.addresses.first().copied())
    }

    /// Names the endpoint of the current request or answer.
    pub(super) fn tag(&self, name: &str) -> Result<(), String> {
        let mut endpoints = self.endpoints.borrow_mut();
        let number = match endpoints.iter().position(|known| known == name) {
            Some(number) => number,
            None if endpoints.len() > MAX_NAMES => {
                return Err(format!("more than {MAX_NAMES} endpoints; name routes, not single addresses"));
            }
            None if name.len() > 64 || name.chars().any(char::is_control) || self.tells_secret(name) => {
                return Err(
                    "an endpoint's name has at most 64 bytes, no control characters and no secret".into()
                );
            }
            None => {
                endpoints.push(name.to_owned());
                endpoints.len() - 1
            }
        };
        self.endpoint.set(u16::try_from(number).ok());
        Ok(())
    }

    /// Counts a check of the current answer.
    pub(super) fn check(&self, name: &str, is_met: bool) -> Result<(), String> {
        let mut checks = self.checks.borrow_mut();
        if !checks.contains_key(name) {
            let is_name = name.len() <= 64 && !name.chars().any(char::is_control) && !self.tells_secret(name);
            if checks.len() >= MAX_NAMES || !is_name {
                return Err(format!(
                    "at most {MAX_NAMES} checks, each with a name of at most 64 printable bytes and without a secret"
                ));
            }
            checks.insert(name.to_owned(), Tally::default());
        }
        let tally = checks.entry(name.to_owned()).or_default();
        if is_met {
            tally.met += 1;
        } else {
            tally.failed += 1;
            self.has_failed.set(true);
        }
        Ok(())
    }

    /// Ends the run: nothing of the script goes on after it, not even where it catches errors.
    pub(super) fn abort(&self, why: &str) {
        let why = self.unveiled(why.as_bytes());
        let why = String::from_utf8_lossy(&why);
        self.aborted.borrow_mut().get_or_insert_with(|| why.chars().take(200).collect());
        self.watch.stop();
    }
}

/// Finds the declaration that a script's spelling of a path means: the same path, or the one with the same file name.
fn declared<'d>(name: &str, declared: impl Iterator<Item = &'d String>) -> Option<&'d String> {
    let plain = |path: &str| path.trim_start_matches("./").to_owned();
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let all: Vec<&String> = declared.collect();
    if let Some(same) = all.iter().find(|known| plain(known) == plain(name)) {
        return Some(same);
    }
    let mut alike = all.into_iter().filter(|known| file_name(known) == file_name(name));
    alike.next().filter(|_| alike.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_its_declaration_or_the_only_one_of_its_name() {
        let known = ["load/users.csv".to_owned(), "a/x.txt".to_owned(), "b/x.txt".to_owned()];
        let find = |name| declared(name, known.iter()).map(String::as_str);

        assert_eq!(find("./load/users.csv"), Some("load/users.csv"));
        assert_eq!(find("/tmp/users.csv"), Some("load/users.csv"));
        assert_eq!((find("b/x.txt"), find("x.txt"), find("../../etc/passwd")), (Some("b/x.txt"), None, None));
    }
}
