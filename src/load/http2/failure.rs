//! What went wrong on a stream or a connection, in the words of the load path.

use h2::Reason;

use crate::load::connection::Failure;

/// Returns what a failed exchange counts as.
///
/// A server that resets a stream or says goodbye is like one that closes the connection: the answer could not be
/// read. What the library found wrong with the server's bytes is a breach of protocol.
pub(super) fn failure_of(error: &h2::Error) -> Failure {
    if error.is_io() || error.is_remote() {
        return Failure::Read;
    }
    if error.is_library() || error.reason().is_some() {
        return Failure::Protocol;
    }
    // Only the library's own "cannot be sent" is left.
    Failure::Write
}

/// Returns whether the server has said goodbye before it looked at the request, so that it may be sent again (RFC
/// 9113, section 8.7). A graceful server does so after a number of requests, as it closes an HTTP/1.1 connection.
pub(super) fn was_never_looked_at(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}
