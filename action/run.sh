#!/usr/bin/env bash
# Turns the action's inputs into arguments, one array element each, and runs the gate once. The tool itself writes the
# comment, the summary, the annotations and the step's outputs, and its exit code is the step's.
set -euo pipefail

bad_usage() {
    echo "::error title=cargo loadgate::$1"
    exit 2
}

is_true() {
    case $2 in
        true) return 0 ;;
        false | "") return 1 ;;
        *) bad_usage "input '$1' must be true or false" ;;
    esac
}

# Every value stands behind its flag's "=": whatever it begins with, it cannot be taken for another flag.
arguments=(run "--out=${LOADGATE_INPUT_OUT:-target/loadgate}" "--id=${LOADGATE_INPUT_ID:-loadgate}")
if [[ -n ${LOADGATE_INPUT_PACKAGE:-} ]]; then
    arguments+=("--package=$LOADGATE_INPUT_PACKAGE")
fi
while IFS= read -r scenario; do
    if [[ -n $scenario ]]; then
        arguments+=("--scenario=$scenario")
    fi
done <<<"${LOADGATE_INPUT_SCENARIO:-}"
if [[ -n ${LOADGATE_INPUT_FAIL_ON:-} ]]; then
    arguments+=("--fail-on=$LOADGATE_INPUT_FAIL_ON")
fi
if is_true save-baseline "${LOADGATE_INPUT_SAVE_BASELINE:-}"; then
    arguments+=(--save-baseline)
fi
if ! is_true comment "${LOADGATE_INPUT_COMMENT:-true}"; then
    arguments+=(--no-comment)
fi

binary=${LOADGATE_BINARY:-cargo-loadgate}
CDPATH='' cd -- "${LOADGATE_INPUT_WORKING_DIRECTORY:-.}" || bad_usage "input 'working-directory' names no directory"
exec "$binary" "${arguments[@]}"
