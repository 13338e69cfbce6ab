#!/usr/bin/env bash
# Builds the image of the Dockerfile without a container engine's daemon and without a registry of images, and uses it.
#
#   tests/support/image.sh build CONTEXT         builds CONTEXT/Dockerfile
#   tests/support/image.sh inspect               prints what the built image says of itself, as JSON
#   tests/support/image.sh run COMMAND...        runs a command in the built image, as the image's own user
#
# The two base images are stand-ins of the same name, made once: Debian by debootstrap, Rust from the toolchain that is
# here. Like the real bookworm-slim, the stand-in has no certificates: what the image needs the Dockerfile must install.
# `chroot` isolation shares this machine's network and is no sandbox: only for files of our own.
set -euo pipefail

cache=${LOADGATE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cargo-loadgate-tests}/image
image=localhost/cargo-loadgate-test
debian=localhost/debian:bookworm-slim
rust=localhost/rust:1-slim-bookworm
system_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mkdir -p "$cache/tmp"
# Cache mounts and half-made layers are kept under it too.
export TMPDIR=$cache/tmp

exec 9>"$cache/lock"
flock 9

engine() {
    # The lock must not outlive this script in a process that a container leaves behind.
    buildah --root "$cache/storage" --runroot "$cache/run" --storage-driver vfs "$@" 9>&-
}

is_made() {
    engine inspect --type image "$1" >/dev/null 2>&1
}

# Runs a function with a working container, which is removed whatever happens.
with_container() {
    local from=$1
    shift
    container=$(engine from --pull-never "$from")
    trap 'engine rm "$container" >/dev/null' EXIT
    "$@" "$container"
    trap - EXIT
    engine rm "$container" >/dev/null
}

fill_debian() {
    local root
    root=$(engine mount "$1")
    debootstrap --variant=minbase bookworm "$root" >&2
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
    engine umount "$1" >/dev/null
    engine config --cmd bash --env "PATH=$system_path" "$1"
    engine commit -q "$1" "$debian" >&2
}

fill_rust() {
    local root
    engine run --isolation chroot "$1" -- sh -c \
        'apt-get update -q && apt-get install -y -q --no-install-recommends gcc libc6-dev ca-certificates' >&2
    root=$(engine mount "$1")
    tar -C "$(rustc --print sysroot)" --exclude=share/doc --exclude=lib/rustlib/src -cf - . | tar -C "$root/usr/local" -xf -
    # The way out of this machine may have a certificate authority of its own.
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    engine umount "$1" >/dev/null
    engine config --env CARGO_HOME=/usr/local/cargo --env "PATH=/usr/local/cargo/bin:$system_path" "$1"
    engine commit -q "$1" "$rust" >&2
}

build() {
    is_made "$debian" || with_container scratch fill_debian
    is_made "$rust" || with_container "$debian" fill_rust
    # A build that fails leaves its containers behind.
    trap 'engine rm --all >/dev/null' EXIT
    engine build --isolation chroot --pull-never -f "$1/Dockerfile" -t "$image" "$1" >&2
    # The image that had the name before is not used again.
    engine rmi --prune >/dev/null 2>&1 || true
}

run_in() {
    # The container stands last, behind the command.
    engine run --isolation chroot "${!#}" -- "${@:1:$#-1}"
}

case ${1:-} in
    build) build "$2" ;;
    inspect) engine inspect --type image "$image" ;;
    run) with_container "$image" run_in "${@:2}" ;;
    *)
        echo "usage: $0 build CONTEXT | inspect | run COMMAND..." >&2
        exit 2
        ;;
esac
