//! The last words of a panic pass the redactor like all others: its message may hold anything.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use crate::redact::{Redactor, harmless};

/// Makes every panic from here on speak through the redactor.
#[expect(clippy::print_stderr, reason = "a panic may have come from the console itself")]
pub(super) fn redact(redactor: &Redactor) {
    let redactor = redactor.clone();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{}", last_words(info, &Backtrace::capture(), &redactor));
    }));
}

fn last_words(info: &PanicHookInfo<'_>, backtrace: &Backtrace, redactor: &Redactor) -> String {
    let thread = std::thread::current();
    let mut words = format!("thread {} panicked", thread.name().unwrap_or("without a name"));
    if let Some(place) = info.location() {
        words.push_str(&format!(" at {place}"));
    }
    words.push_str(":\n");
    words.push_str(info.payload_as_str().unwrap_or("without a message"));
    if backtrace.status() == BacktraceStatus::Captured {
        words.push_str(&format!("\n{backtrace}"));
    }
    harmless(&redactor.redact(&words))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_panic_tells_no_secret() {
        let redactor = Redactor::new(vec![Secret::new("correct-horse".into())]);
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = Arc::clone(&said);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Other tests may panic meanwhile.
            let words = last_words(info, &Backtrace::disabled(), &redactor);
            if words.contains("cannot send") {
                *heard.lock().unwrap() = words;
            }
        }));

        let caught = std::panic::catch_unwind(|| panic!("cannot send correct-horse\u{1b}[2J"));
        std::panic::set_hook(before);

        assert!(caught.is_err());
        let said = said.lock().unwrap().clone();
        assert!(said.ends_with("cannot send ***\\x1b[2J") && said.contains("panic.rs"), "{said}");
    }
}
