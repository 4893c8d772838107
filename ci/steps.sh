# shellcheck shell=bash
# What scripts share that run one step after the other and tell at the end what became of each. Source ci/lib.sh first.
# shellcheck disable=SC2034 # the scripts that source this use it

# Every cargo-fuzz target; a test compares this list with the code.
FUZZ_TARGETS=(
    minimize_keeps_what_is_wrong model_agrees rxe_agrees text_roundtrip wire_hostile
)

# How these are built. Code about sequences is safe Rust that runs eight times slower with a sanitizer; the wire is read
# by libraries that are not. Comparisons are not traced: the mutator knows sequences.
FUZZ_SEQUENCES=(--sanitizer none --no-trace-compares)
FUZZ_WIRE=(--no-default-features)

# A step that ends with this status was skipped. It says why on its last line. As `pinfold` and kselftest have it.
SKIPPED=4

# The last lines of each failed step are repeated at the end. The table names the step and not the test, and some machines
# keep only the end of a log.
REPEATED=30

rows=()
failures=()
passed=0 failed=0 skipped=0

# step NAME COMMAND...
step() {
    local name=$1 begin=$SECONDS status verdict log
    shift
    log=$(mktemp)
    say ""
    say "== $name"
    set +e
    (
        set -e
        "$@"
    ) 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    case $status in
        0) verdict=ok passed=$((passed + 1)) ;;
        "$SKIPPED")
            verdict=skipped skipped=$((skipped + 1))
            if [[ ${CI:-} == true ]]; then
                verdict='skipped, and CI=true: FAILED' failed=$((failed + 1))
            fi
            ;;
        *) verdict="FAILED with $status" failed=$((failed + 1)) ;;
    esac
    if [[ $verdict == *FAILED* ]]; then
        failures+=("== the end of $name:"$'\n'"$(tail -n "$REPEATED" "$log")")
    fi
    rm -f "$log"
    say "== $name: $verdict, $((SECONDS - begin)) s"
    rows+=("$(printf '%6d s  %-34s %s' $((SECONDS - begin)) "$name" "$verdict")")
}

skip() {
    say "SKIP: $*"
    exit "$SKIPPED"
}

pinfold() {
    "$TARGET_DIR/release/pinfold" "$@"
}

# The end of each step that failed, then a row for each step; the last line counts them.
tell_steps() {
    printf '\n'
    ((failed == 0)) || printf '%s\n\n' "${failures[@]}"
    printf '%s\n' "${rows[@]}"
    printf '%6d s  in all\n\n' "$SECONDS"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}

# replay_all FOLDER TARGET [ARGUMENT...]
replay_all() {
    local folder=$1 target=$2 files
    shift 2
    mapfile -t files < <(find "$folder" -name '*.seq' | sort)
    if ((${#files[@]} == 0)); then
        say "no sequence in $folder"
        exit 1
    fi
    pinfold replay "${files[@]}" --target "$target" "$@"
}

# require_tool NAME: a program of cargo that only some steps need, installed by the first of them
require_tool() {
    command -v "$1" >/dev/null || {
        say "$1: installing"
        cargo install --quiet --locked "$1" || skip "$1 could not be installed"
    }
}

require_cargo_fuzz() {
    require_tool cargo-fuzz
    cargo +nightly --version >/dev/null 2>&1 || skip "no nightly toolchain"
}

build_fuzz_targets() {
    require_cargo_fuzz
    cargo +nightly fuzz build "${FUZZ_SEQUENCES[@]}"
    cargo +nightly fuzz build "${FUZZ_WIRE[@]}" wire_hostile
}
