//! Room `service`: builds and starts an ephemeral preview on loopback.
