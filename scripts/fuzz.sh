#!/usr/bin/env bash
# Fuzzes one parser with libFuzzer: scripts/fuzz.sh TARGET [SECONDS]   (targets: fuzz/fuzz_targets)
# Without arguments it only builds all targets. What it finds is written to artefacts/fuzz/TARGET;
# the input of a crash becomes a file in fuzz/corpus/TARGET.
# A stable compiler will do: only our own crates are instrumented, so that the dependencies are
# shared with every other build.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

if [ "${1:-}" = --rustc ]; then
    # As cargo's wrapper for the workspace's own crates.
    shift
    exec "$@" --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
fi

if [ $# -eq 0 ]; then
    echo "fuzz: building every target, without instruments"
    exec cargo build -p fuzz --features libfuzzer --bins
fi

target=$1
[ -f "fuzz/fuzz_targets/$target.rs" ] || { echo "fuzz: no target $target" >&2; exit 2; }
wrapper=$ROOT/target/fuzz-rustc
mkdir -p target "artefacts/fuzz/$target"
printf '#!/bin/sh\nexec "%s" --rustc "$@"\n' "$ROOT/scripts/fuzz.sh" >"$wrapper"
chmod +x "$wrapper"
RUSTC_WORKSPACE_WRAPPER=$wrapper cargo build -p fuzz --features libfuzzer --bin "fuzz_$target"
exec "target/debug/fuzz_$target" -max_total_time="${2:-60}" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="artefacts/fuzz/$target/crash-" "artefacts/fuzz/$target" "fuzz/corpus/$target"
