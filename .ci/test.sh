#!/usr/bin/env bash
# Everything, in an order that shows failures early; the last thing said is what did not run.
set -euo pipefail
cd "$(dirname "$0")/.."
INTOPS_NOT_RUN=$(mktemp)
export INTOPS_NOT_RUN
report() {
  local status=$?
  if [ -s "$INTOPS_NOT_RUN" ]; then
    printf '\n== did not run on this machine, and why\n'
    sort -u "$INTOPS_NOT_RUN"
    if [ "${CI:-}" = true ] && [ "$status" = 0 ]; then status=1; fi
  fi
  rm -f "$INTOPS_NOT_RUN"
  exit "$status"
}
trap report EXIT

.ci/check.sh
.venv/bin/python -m support.provision
.venv/bin/python -m pytest --levels component,fault,cluster
