#!/usr/bin/env bash
# The one check before a commit: style, types, import contracts. Uses the tools on PATH, or those of CHECK_BIN.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CHECK_BIN:+$CHECK_BIN/}
failed=0
step() {
    echo "--- $*"
    "$@" || failed=1
}
step "${bin}ruff" check .
step "${bin}ruff" format --check .
step "${bin}mypy"
step "${bin}lint-imports"
[ "$failed" = 0 ] && echo "--- all checks passed"
exit "$failed"
