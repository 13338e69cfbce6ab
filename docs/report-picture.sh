#!/usr/bin/env bash
# Makes docs/report.png, the picture in the README, from the demo's report of the slowed version.
# Needs chromium. `bash docs/report-picture.sh`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo run --release --quiet -- demo --quiet
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$profile" \
    --window-size=1000,940 --screenshot=docs/report.png "file://$PWD/target/loadgate/demo/report.html" 2>/dev/null
