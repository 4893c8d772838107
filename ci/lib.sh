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

# series_list: every kernel series that Pinfold knows, the newest first, one a line. The program has to be built.
series_list() {
    "$TARGET_DIR/release/pinfold" series
}

# newest_series, long_term_series, oldest_series: one of these each: the newest, the newest of those that kernel.org keeps up
# for years, the oldest
newest_series() {
    series_list | sed -n 1p
}

long_term_series() {
    "$TARGET_DIR/release/pinfold" series --long-term | sed -n 1p
}

oldest_series() {
    series_list | sed -n '$p'
}

# header FILE FIELD: what the header of a patch says; nothing if it does not
header() {
    sed -n "/^---/q; s/^$2: //p" "$1"
}

# is_in SERIES RANGE: whether a kernel series is in `6.1..6.12`, in `7.2..` (7.2 and newer), or is the one in `6.1`
is_in() {
    local oldest=${2%%..*} newest=${2##*..}
    printf '%s\n' "$oldest" "$1" ${newest:+"$newest"} | sort --version-sort --check=quiet
}

# patch_of SLUG SERIES: the file of a mutant, design or trial for that kernel series; status 1 where there is none
patch_of() {
    local file
    for file in targets/kernel/{mutants,designs,trials}/{"$1","$1@"*}.patch; do
        if [[ -f $file ]] && is_in "$2" "$(header "$file" Series)"; then
            printf '%s\n' "$file"
            return
        fi
    done
    return 1
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort --numeric-sort | awk '
        { value[NR] = $1 }
        END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}
