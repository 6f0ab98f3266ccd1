#!/usr/bin/env bash
# Builds the page into crates/web/dist when something of it is newer than the last build.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT/crates/web"

if [ -f dist/index.html ]; then
    # A folder counts as well: its time changes when a file in it is deleted.
    newer=$(find . -mindepth 1 \( -name node_modules -o -name dist -o -name '*.rs' \) -prune \
        -o -newer dist/index.html -print -quit)
    [ -n "$newer" ] || exit 0
fi
echo "web: building the page"
npm run build </dev/null
