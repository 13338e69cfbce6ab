//! Names are host names and their labels as DNS can carry them, in lower case.

/// The longest host name that DNS can carry.
pub(super) const MAX_HOST_CHARS: usize = 253;

/// The longest label that DNS can carry.
pub(super) const MAX_LABEL_CHARS: usize = 63;

/// Returns what keeps a lower-case text from being a host name, or `None` where it is one.
pub(super) fn flaw_of_host(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        return Some("it is empty");
    }
    if host.contains('*') {
        return Some("wildcards are not understood");
    }
    if host.contains('/') || host.contains(':') {
        return Some("scheme, port and path do not belong here");
    }
    if host.len() > MAX_HOST_CHARS {
        return Some("it is longer than 253 characters");
    }
    if let Some(flaw) = host.split('.').find_map(flaw_of_label) {
        return Some(flaw);
    }
    ends_like_an_address(host).then_some("it is an address, not a name")
}

/// Returns what keeps a text from being one label of a host name, or `None` where it is one.
pub(super) fn flaw_of_label(label: &str) -> Option<&'static str> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if label.is_empty() {
        return Some("a label is empty");
    }
    if label.len() > MAX_LABEL_CHARS {
        return Some("a label is longer than 63 characters");
    }
    if !label.bytes().all(is_plain) {
        return Some("labels hold only a-z, 0-9 and '-'; write other scripts in their xn-- form");
    }
    (label.starts_with('-') || label.ends_with('-')).then_some("a label begins or ends with '-'")
}

/// Returns whether a URL parser would take the host for an IPv4 address because of its last label.
pub(super) fn ends_like_an_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    is_hex || last.bytes().all(|b| b.is_ascii_digit())
}

/// Cuts a text that goes into a message.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
