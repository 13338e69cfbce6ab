//! A heavy run from a desk is confirmed by a person who types the name of the host, after a plain word on what will be
//! sent. There is no flag that says yes, and without a terminal the answer is no.

use std::io::{BufRead, IsTerminal, Read};
use std::sync::mpsc;
use std::time::Duration;

use super::failure::Failure;
use super::session::Session;
use crate::config::Forecast;
use crate::verdict::Exit;

/// How often the wait for an answer looks for a cancellation.
const ANSWER_STEP: Duration = Duration::from_millis(50);

/// A host name is shorter; whoever pipes a novel in is not read to its end.
const MAX_ANSWER_BYTES: u64 = 512;

/// Says what will be sent and lets the person type the host; anything else is a refusal.
pub(super) fn confirm(session: &Session, host: &str, forecast: &Forecast) -> Result<(), Failure> {
    session.console.warning(&format!("this will send {forecast}, to {host}"));
    session.console.help("that is more than anybody may send without saying so twice");
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused("a run this heavy must be confirmed at a terminal, and there is none"));
    }
    session.console.question(&format!("type {host} to go on"));
    let answer = read_answer(session)?;
    if is_confirmed(&answer, host) {
        return Ok(());
    }
    Err(refused("the name that was typed is not the name of the host, so nothing was sent"))
}

/// Only the line's end may differ from the host: a yes out of habit is no confirmation.
fn is_confirmed(answer: &str, host: &str) -> bool {
    answer.trim_end_matches(['\r', '\n']) == host
}

/// Reads on a thread of its own, because Ctrl-C must end the wait and reading can't be interrupted.
fn read_answer(session: &Session) -> Result<String, Failure> {
    let (send, receive) = mpsc::channel();
    let reader = move || {
        let mut answer = String::new();
        let read = std::io::stdin().lock().take(MAX_ANSWER_BYTES).read_line(&mut answer);
        let _ = send.send(read.map(|_| answer));
    };
    std::thread::Builder::new()
        .name("answer".into())
        .spawn(reader)
        .map_err(|_| refused("the answer cannot be read"))?;
    loop {
        match receive.recv_timeout(ANSWER_STEP) {
            Ok(answer) => return answer.map_err(|_| refused("the answer cannot be read")),
            Err(mpsc::RecvTimeoutError::Timeout) if !session.cancel.is_cancelled() => {}
            Err(_) => return Err(Failure::incomplete("interrupted before anything was sent", None)),
        }
    }
}

fn refused(why: &str) -> Failure {
    let help = "run it at a terminal and type the host, or ask for less: a shorter `duration`";
    Failure::new(Exit::Refused, why, Some(help.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_host_is_a_confirmation() {
        assert!(is_confirmed("127.0.0.1:8080\n", "127.0.0.1:8080"));
        assert!(is_confirmed("127.0.0.1:8080\r\n", "127.0.0.1:8080"));
        for other in ["", "\n", "y\n", "yes\n", "127.0.0.1\n", "127.0.0.1:80801\n", " 127.0.0.1:8080\n"] {
            assert!(!is_confirmed(other, "127.0.0.1:8080"), "{other:?}");
        }
    }
}
