#!/usr/bin/env bash
# The fast gate: what `make check` and the start of `make test` run. Each step names its repair.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

step() { # step NAME COMMAND...: silent where all is well, else the whole output
  local name=$1 log
  shift
  printf '== %s\n' "$name"
  log=$("$@" 2>&1) || { printf '%s\n' "$log"; exit 1; }
}

step "format (repair: make fmt)" $bin/ruff format --check .
step "lint (repair: make fmt, the rest by hand)" $bin/ruff check .
step "import contracts (pyproject.toml, tool.importlinter)" $bin/lint-imports --no-cache
step "security" $bin/bandit -q -c pyproject.toml -r crds core operator runtime cli
step "generated files (repair: make generate)" .ci/generate.sh --check
step "types" $bin/mypy -p intops_api -p intops_core -p intops_operator -p intops_runtime -p intops_cli -p support
printf '== guards, unit and golden tests\n'
$bin/python -m pytest -q --levels guards,unit,golden
