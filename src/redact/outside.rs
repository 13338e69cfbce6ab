//! Outside text was written by a server, a file or another person.
//!
//! It stays readable here but loses every power: over a terminal, over a CI system that reads commands from logs,
//! and over a comment that other people see under this tool's name.

/// Returns text that can be printed: control characters, terminal escapes and invisible characters become visible,
/// and no line is a command for a CI system.
///
/// Line feeds and tabs stay. Printed after a prefix of our own or alone, the text acts on nothing.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            shown.push('\n');
        }
        shown.push_str(&inert_line(line));
    }
    shown
}

/// Returns outside text for use inside a line of GitHub's Markdown: no markup, HTML, link, mention or reference.
///
/// Line breaks become spaces.
#[must_use]
pub fn markdown_text(text: &str) -> String {
    let line = one_line(text);
    let mut shown = String::with_capacity(line.len() + 16);
    let mut rest = line.as_str();
    if let Some(marker) = list_marker(rest) {
        shown.push_str(&rest[..marker]);
        shown.push('\\');
        rest = &rest[marker..];
    }
    let mut before = String::new();
    for (at, c) in rest.char_indices() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '|' | '$' | '!' => {
                shown.push('\\');
                shown.push(c);
            }
            // GitHub looks for mentions and references after Markdown is read, so escaping them is not enough.
            '@' => shown.push_str("@&#8203;"),
            '#' => shown.push_str("\\#&#8203;"),
            ':' if rest[at..].starts_with("://") => shown.push_str(":&#8203;"),
            '.' if before.ends_with("www") => shown.push_str("&#8203;."),
            '-' if before.ends_with("gh") => shown.push_str("-&#8203;"),
            _ => shown.push(c),
        }
        before.push(c.to_ascii_lowercase());
    }
    shown
}

/// Returns outside text as a code span that may stand in a table.
#[must_use]
pub fn markdown_code(text: &str) -> String {
    let line = one_line(text);
    let longest_run = line.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest_run + 1);
    // Only a table reads the backslash, and every code span of the reports stands in text that may be one.
    let cell = line.replace('|', "\\|");
    if longest_run > 0 || line.is_empty() {
        format!("{fence} {cell} {fence}")
    } else {
        format!("{fence}{cell}{fence}")
    }
}

fn one_line(text: &str) -> String {
    harmless(&text.replace(['\n', '\r', '\t'], " ")).trim().to_owned()
}

/// Returns where the character stands that would make a line a list, a heading or a rule.
fn list_marker(line: &str) -> Option<usize> {
    if line.starts_with(['+', '-', '=']) {
        return Some(0);
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && line[digits..].starts_with('.')).then_some(digits)
}

fn inert_line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let command = line.trim_start();
    if command.starts_with("::") {
        // The runner reads a command from the first `::` of a line, whatever white space stands before it.
        let indent = line.len() - command.len();
        push_visible(&mut shown, &line[..indent]);
        shown.push_str("\\x3a");
        push_visible(&mut shown, &command[1..]);
        return inert_log_marks(&shown);
    }
    push_visible(&mut shown, line);
    inert_log_marks(&shown)
}

/// Breaks `##[command]`, `##vso[…]` and `##teamcity[…]`, which some systems read anywhere in a line.
fn inert_log_marks(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("##") {
        let after = &rest[at + 2..];
        let word = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        shown.push_str(&rest[..=at]);
        shown.push_str(if after[word..].starts_with('[') { "\\x23" } else { "#" });
        rest = after;
        // A longer run of `#` may hide the mark behind its first pair.
        while let Some(shorter) = rest.strip_prefix('#') {
            let word = shorter.bytes().take_while(u8::is_ascii_alphabetic).count();
            shown.push_str(if shorter[word..].starts_with('[') { "\\x23" } else { "#" });
            rest = shorter;
        }
    }
    shown.push_str(rest);
    shown
}

fn push_visible(shown: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => shown.push('\t'),
            '\r' => shown.push_str("\\r"),
            _ if c.is_control() && u32::from(c) < 0x100 => {
                shown.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            _ if is_deceptive(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            _ => shown.push(c),
        }
    }
}

/// Returns whether a character changes how its neighbours read without being seen.
fn is_deceptive(c: char) -> bool {
    matches!(u32::from(c),
        0x00ad | 0x061c | 0x180e                 // soft hyphen, Arabic letter mark, Mongolian vowel separator
        | 0x200b..=0x200f | 0x2028..=0x202e      // zero width, marks of direction, separators, overrides
        | 0x2060..=0x206f | 0xfeff               // joiners, isolates, byte order mark
        | 0xfff9..=0xfffb | 0xe0000..=0xe0fff    // interlinear marks, tags
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        for plain in ["GET /products \u{2192} 200", "a\n\tb", "50 % :: half", "## heading", "a: b", "#1"] {
            assert_eq!(harmless(plain), plain);
        }
    }

    #[test]
    fn terminal_escapes_become_visible() {
        assert_eq!(harmless("\x1b[2J\x07\x08ok\r\0"), "\\x1b[2J\\x07\\x08ok\\r\\x00");
        assert_eq!(harmless("\u{9b}31m"), "\\x9b31m");
    }

    #[test]
    fn text_that_reads_backwards_becomes_visible() {
        assert_eq!(harmless("a\u{202e}b\u{2066}c\u{200b}d"), "a\\u{202e}b\\u{2066}c\\u{200b}d");
    }

    #[test]
    fn no_line_is_a_workflow_command() {
        assert_eq!(harmless("::error title=x::y"), "\\x3a:error title=x::y");
        assert_eq!(harmless("ok\n \t::add-mask::x"), "ok\n \t\\x3a:add-mask::x");
        assert_eq!(harmless("\u{a0}::stop-commands::t"), "\u{a0}\\x3a:stop-commands::t");
        assert_eq!(harmless("a ##[error]x"), "a #\\x23[error]x");
        assert_eq!(harmless("###[group]x"), "##\\x23[group]x");
        assert_eq!(harmless("##vso[task.setvariable]x"), "#\\x23vso[task.setvariable]x");
    }

    #[test]
    fn markdown_text_has_no_markup() {
        assert_eq!(
            markdown_text("**a** `b` <img src=x> | c"),
            "\\*\\*a\\*\\* \\`b\\` &lt;img src=x&gt; \\| c"
        );
        assert_eq!(markdown_text("[x](y) ~~z~~ &lt;"), "\\[x\\](y) \\~\\~z\\~\\~ &amp;lt;");
        assert_eq!(markdown_text("- a\n# b"), "\\- a \\#&#8203; b");
        assert_eq!(markdown_text("1. a"), "1\\. a");
        assert_eq!(markdown_text("10 % slower."), "10 % slower.");
    }

    #[test]
    fn markdown_text_notifies_nobody_and_links_nowhere() {
        assert_eq!(markdown_text("@octocat"), "@&#8203;octocat");
        assert_eq!(markdown_text("acme/shop#12 GH-7"), "acme/shop\\#&#8203;12 GH-&#8203;7");
        assert_eq!(
            markdown_text("https://x.example www.x.example"),
            "https:&#8203;//x.example www&#8203;.x.example"
        );
    }

    #[test]
    fn a_code_span_cannot_be_left() {
        assert_eq!(markdown_code("GET /a"), "`GET /a`");
        assert_eq!(markdown_code("a`b``c"), "``` a`b``c ```");
        assert_eq!(markdown_code("a|b\n@x"), "`a\\|b @x`");
        assert_eq!(markdown_code(""), "`  `");
    }
}
