# Sourced by the other scripts: where the repository is, and the tools that setup.sh keeps in it.
ROOT=$(cd "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/.tools
# rustup puts cargo where only a login shell finds it, so a fresh installation is looked for too.
PATH=$TOOLS/bin:$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH

NODE_AT_LEAST=20.19.0
CARGO_AT_LEAST=1.95.0

# at_least WANTED ACTUAL: whether the second version is not older than the first.
at_least() {
    [ -n "${2:-}" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

node_version() {
    node --version 2>/dev/null | sed 's/^v//'
}
