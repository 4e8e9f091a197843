#!/usr/bin/env bash
# Everything, in an order that shows failures early; the last thing said is what did not run.
# Tests with a cluster and tests without one run beside each other: each waits most of its time, for leases,
# back-offs and pods. What the latter say comes as a whole after the former.
set -euo pipefail
cd "$(dirname "$0")/.."
INTOPS_NOT_RUN=$(mktemp)
export INTOPS_NOT_RUN
SAID=$(mktemp)
BESIDE=
report() {
  local status=$?
  if [ -s "$INTOPS_NOT_RUN" ]; then
    printf '\n== did not run on this machine, and why\n'
    sort -u "$INTOPS_NOT_RUN"
    if [ "${CI:-}" = true ] && [ "$status" = 0 ]; then status=1; fi
  fi
  if [ -n "$BESIDE" ]; then kill -- "-$BESIDE" 2>/dev/null || true; fi
  rm -f "$INTOPS_NOT_RUN" "$SAID"
  exit "$status"
}
trap report EXIT

.ci/check.sh
.venv/bin/python -m support.provision

printf '\n== tests with a cluster; those without one run beside them\n'
# A job of its own: what a shell without job control runs beside itself ignores Ctrl-C, as do its children.
set -m
.venv/bin/python -m pytest --levels component,fault >"$SAID" 2>&1 &
BESIDE=$!
set +m
status=0
.venv/bin/python -m pytest --levels cluster || status=$?
wait "$BESIDE" || status=$?
BESIDE=
printf '\n== tests without a cluster\n'
cat "$SAID"
exit "$status"
