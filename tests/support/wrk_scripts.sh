#!/bin/sh
# Fetches the nine scripts of wrk's own repository into a folder of scratch, at a commit that does not change.
# They are never part of this repository. Ends with 3 where they cannot be had, as without a network.
#
#   tests/support/wrk_scripts.sh FOLDER
set -eu

folder=${1:?say where to put the scripts}
repository=https://github.com/wg/wrk
commit=a211dd5a7050b1f9e8a9870b95513060e72ac4a0

if [ -f "$folder/counter.lua" ]; then
    exit 0
fi
command -v git >/dev/null || { echo "skipped: git is not here" >&2; exit 3; }
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git -C "$clone" init --quiet
# Nothing may ask for a password, or wait for ever.
if ! GIT_TERMINAL_PROMPT=0 timeout 60 git -C "$clone" fetch --quiet --depth 1 "$repository" "$commit"; then
    echo "skipped: $repository cannot be reached" >&2
    exit 3
fi
git -C "$clone" checkout --quiet FETCH_HEAD -- scripts
mkdir -p "$folder"
cp "$clone"/scripts/*.lua "$folder"
