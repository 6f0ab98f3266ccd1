#!/usr/bin/env bash
# Runs what shows only after a while; SOAK_SECONDS is how long the long call lasts (600).
# Lips are here since their bounds want a quiet machine.
# Arguments go to the test harness: scripts/soak.sh five_hundred
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

echo "soak: the program"
cargo build --workspace --bins
cargo test --workspace --test lips --test soak --test durability -- --ignored --nocapture --test-threads=1 "$@" </dev/null
