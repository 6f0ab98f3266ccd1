#!/usr/bin/env bash
# Formatting, lints, and what cargo-deny says of licences, bans and sources.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

echo "lint: formatting"
cargo fmt --all --check

echo "lint: scripts"
for script in scripts/*.sh .ci/run; do
    bash -n "$script"
done

echo "lint: licences, bans, sources"
# Advisories are left out: their database is a download, and a build must pass without internet.
cargo deny --workspace check --hide-inclusion-graph bans licenses sources

echo "lint: clippy"
cargo clippy --workspace --all-targets -- -D warnings

# libFuzzer's own main; clippy has seen everything else of the targets.
scripts/fuzz.sh
