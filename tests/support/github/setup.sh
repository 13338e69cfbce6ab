#!/bin/sh
# Installs the emulated GitHub and the proxy that checks calls, in the directory given as $1.
# Nothing is installed twice: the lock file says whether the directory is current.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
there=$1
mkdir -p "$there"
# Two test runs may share the directory.
if command -v flock >/dev/null; then
  exec 9>"$there/lock"
  flock 9
fi
if [ -f "$there/installed" ] && cmp -s "$here/package-lock.json" "$there/installed"; then
  exit 0
fi
cp "$here/package.json" "$here/package-lock.json" "$there/"
cd "$there"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp package-lock.json installed
