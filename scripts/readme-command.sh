#!/usr/bin/env bash
# Prints the command that README.md gives for a purpose, so that what a newcomer types is what is
# tested: the fenced block after the line  <!-- command:NAME -->  (NAME is run or test).
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
name=${1:?usage: readme-command.sh NAME [README]}
readme=${2:-$ROOT/README.md}

command=$(awk -v marker="<!-- command:$name -->" '
    index($0, marker) { found = 1; next }
    found && /^ *```/ { if (inside) exit; inside = 1; next }
    inside { print }
' "$readme")
if [ -z "$command" ]; then
    echo "$readme has no fenced block after the line <!-- command:$name -->" >&2
    exit 1
fi
printf '%s\n' "$command"
