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

# patch_of NAME: the file of a fault, or of a design
patch_of() {
    if [[ -f targets/kernel/faults/$1.patch ]]; then
        printf '%s\n' "targets/kernel/faults/$1.patch"
    else
        printf '%s\n' "targets/kernel/designs/$1.patch"
    fi
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort --numeric-sort | awk '
        { value[NR] = $1 }
        END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}
