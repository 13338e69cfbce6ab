//! The binary: hands argv, the environment and the terminal to the library, and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_loadgate::cli::main()
}
