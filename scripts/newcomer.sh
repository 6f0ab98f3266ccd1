#!/usr/bin/env bash
# What a newcomer does: clones the repository, types the README's two commands, and meets somebody.
#
#   scripts/newcomer.sh            both commands
#   scripts/newcomer.sh --run-only without the test command, which takes long
#
# The clone holds what is committed. It prints a line PASS or FAIL for each step and fails when one
# of them failed. A failed run keeps its folder, with the server's output and pictures of the tabs.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

# Everything is compiled from nothing on two cores.
START_SECONDS=${START_SECONDS:-2400}
# What the server promises after SIGTERM.
STOP_SECONDS=10

run_only=false
case ${1:-} in
    "") ;;
    --run-only) run_only=true ;;
    *)
        echo "newcomer: unknown option $1; known is --run-only" >&2
        exit 2
        ;;
esac

failures=0
passed() { printf 'PASS  %s\n' "$*"; }
failed() {
    printf 'FAIL  %s\n' "$*"
    failures=$((failures + 1))
}

folder=$(mktemp -d "${TMPDIR:-/tmp}/plenum-newcomer.XXXXXX")
# With a space, since a newcomer's folder may have one.
clone="$folder/my plenum"
server=

is_running() { kill -0 -- "-$1" 2>/dev/null; }

# The command got a process group of its own, so that everything it started ends with it.
stop_server() {
    local group=$server second
    server=
    [ -n "$group" ] && is_running "$group" || return 0
    kill -TERM -- "-$group" 2>/dev/null || true
    for second in $(seq $((STOP_SECONDS * 5))); do
        is_running "$group" || return 0
        sleep 0.2
    done
    kill -KILL -- "-$group" 2>/dev/null || true
    return 1
}

cleanup() {
    stop_server || true
    if [ "$failures" -eq 0 ]; then
        rm -rf "$folder"
    else
        echo "newcomer: everything is kept in $folder"
    fi
}
trap cleanup EXIT
trap 'failures=$((failures + 1)); exit 130' INT TERM

finish() {
    printf '%d failed\n' "$failures"
    [ "$failures" -eq 0 ]
    exit
}

# The address that the server prints; until it answers, that is only a line of text.
address() {
    sed 's/\x1b\[[0-9;]*m//g' "$folder/run.log" |
        grep -oE 'https?://(127\.0\.0\.1|localhost|\[::1\]):[0-9]+[^[:space:]]*' | head -n 1
}

wait_for_address() {
    local deadline=$((SECONDS + START_SECONDS)) url
    while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$server" 2>/dev/null; do
        url=$(address || true)
        if [ -n "$url" ] && curl --silent --fail --output /dev/null --max-time 5 "$url"; then
            printf '%s\n' "$url"
            return 0
        fi
        sleep 1
    done
    return 1
}

if git clone --quiet "$ROOT" "$clone"; then
    passed "a fresh clone"
else
    failed "git clone"
    finish
fi
readme=$clone/README.md
if run_command=$("$ROOT/scripts/readme-command.sh" run "$readme") &&
    test_command=$("$ROOT/scripts/readme-command.sh" test "$readme"); then
    passed "the README's commands: $run_command; $test_command"
else
    failed "the README names both commands"
    finish
fi

started=$SECONDS
(cd "$clone" && exec setsid bash -euo pipefail -c "$run_command") \
    >"$folder/run.log" 2>&1 </dev/null &
server=$!
if url=$(wait_for_address); then
    passed "$run_command answers at $url after $((SECONDS - started)) s"
    if (cd "$clone" && scripts/setup.sh --test) >"$folder/setup.log" 2>&1 &&
        node "$clone/scripts/newcomer.mjs" "$url" "$folder"; then
        passed "two tabs see each other"
    else
        failed "two tabs see each other"
    fi
else
    tail -n 20 "$folder/run.log"
    failed "$run_command prints an address that answers"
fi
if stop_server; then
    passed "the server ends within $STOP_SECONDS s"
else
    failed "the server ends within $STOP_SECONDS s"
fi

if ! $run_only; then
    started=$SECONDS
    if (cd "$clone" && bash -euo pipefail -c "$test_command") </dev/null >"$folder/test.log" 2>&1; then
        passed "$test_command, $((SECONDS - started)) s: $(tail -n 1 "$folder/test.log")"
    else
        tail -n 30 "$folder/test.log"
        failed "$test_command"
    fi
fi
finish
