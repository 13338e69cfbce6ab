//! Room `guard`: decides whether a candidate may be loaded.
