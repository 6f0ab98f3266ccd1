#!/usr/bin/env bash
# Runs every test of the workspace and prints the ten slowest.
# Arguments go to the test runner: scripts/test.sh -p rtp
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

mkdir -p artefacts
log=artefacts/test.log
scope=("$@")
[ $# -gt 0 ] || scope=(--workspace)

echo "test: the program, which tests with real peers start"
# Like the tests: features are unified over the whole workspace, so nothing is built twice.
cargo build --workspace --bins

if [ $# -eq 0 ]; then
    echo "test: examples in the documentation"
    cargo test --quiet --doc --workspace </dev/null
fi

status=0
if cargo nextest --version >/dev/null 2>&1; then
    NEXTEST_HIDE_PROGRESS_BAR=1 cargo nextest run --config-file scripts/nextest.toml "${scope[@]}" \
        </dev/null 2>&1 | tee "$log" || status=$?
    slowest=$(sed 's/\x1b\[[0-9;]*m//g' "$log" |
        sed -nE 's/^ *(PASS|FAIL|TRY [0-9]+ [A-Z]+|TIMEOUT|SIG[A-Z]+) \[ *([0-9.]+)s\] *(\([^)]*\))? *(.*)/\2 s  \4/p' |
        sort -u | sort -rn | sed -n '1,10p')
    closing=$(grep -E '^ *(.\[[0-9;]*m)* *Summary' "$log" | tail -n 1) || true
else
    cargo test --no-fail-fast "${scope[@]}" </dev/null 2>&1 | tee "$log" || status=$?
    # The stable test harness times whole binaries only.
    slowest=$(awk '/^ +Running /{name=$2 " " $3}
        /^test result:.*finished in/{sub(/s$/, "", $NF); print $NF " s  " name}' "$log" |
        sort -rn | sed -n '1,10p')
    closing=$(grep -E '^test result:' "$log" | sort | uniq -c | sort -rn | head -n 1 |
        sed 's/^ *[0-9]* //') || true
fi

printf '\nThe ten slowest:\n%s\n\n%s\n' "${slowest:-none}" "$closing"
exit "$status"
