//! Room `github`: speaks to the GitHub API.
