//! Room `stats`: mathematics over numbers; no domain words.
