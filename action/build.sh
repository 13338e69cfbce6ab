#!/usr/bin/env bash
# Builds cargo-loadgate from the action's own checkout, so that what runs is exactly the commit that `uses:` pins.
# A tool cache of the runner is used where there is one. Writes the binary's path to the step's outputs.
set -euo pipefail

source_directory=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target_directory=${CARGO_TARGET_DIR:-${RUNNER_TOOL_CACHE:-$source_directory/target}/cargo-loadgate}

if ! command -v cargo >/dev/null; then
    echo "::error title=cargo loadgate::cargo is missing: add a step that installs Rust before this action"
    exit 101
fi

# cargo reads `.cargo/config.toml` of the caller's directory, not ours, so what that sets is said here.
CARGO_TARGET_DIR=$target_directory LUAU_CXXFLAGS=${LUAU_CXXFLAGS:--DNDEBUG} \
    cargo build --release --locked --manifest-path "$source_directory/Cargo.toml" --bin cargo-loadgate

binary=$target_directory/release/cargo-loadgate
"$binary" --version
printf 'binary=%s\n' "$binary" >>"$GITHUB_OUTPUT"
