# shellcheck shell=bash
# What the scripts of this folder share. Source it first: it enters the root of the repository.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 3

# Fresh machines have rustup's programs here and not yet on the search path.
if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
export RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-stable}

# shellcheck disable=SC2034 # the scripts that source this use it
TARGET_DIR=${CARGO_TARGET_DIR:-target}

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "error: $*"
    exit 3
}
