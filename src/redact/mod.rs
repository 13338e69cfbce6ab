//! Room `redact`: the one writer that everything printed or stored passes through.
