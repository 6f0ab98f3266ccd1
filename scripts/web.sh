#!/usr/bin/env bash
# Builds the page into crates/web/dist when something of it is newer than the last build.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT/crates/web"

# Beside the page, not in it: what is in dist/ is served. It holds the sum of the page that was
# built, since without one cargo puts a page there that says only that none was built.
stamp=node_modules/.page-stamp
page_sum() { sha256sum dist/index.html 2>/dev/null; }

if [ -s "$stamp" ] && [ "$(page_sum)" = "$(cat "$stamp")" ]; then
    # A folder counts as well: its time changes when a file in it is deleted.
    newer=$(find . -mindepth 1 \( -name node_modules -o -name dist -o -name '*.rs' \) -prune \
        -o -newer "$stamp" -print -quit)
    [ -n "$newer" ] || exit 0
fi
echo "web: building the page"
npm run build </dev/null
page_sum >"$stamp"
