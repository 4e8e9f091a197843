#!/usr/bin/env bash
# Build intops-operator and intops-worker with docker, podman or buildah (TOOL names one of them,
# BASE another base image). The context is a folder of its own: the tree holds far more than it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=${TOOL:-}
for candidate in docker podman buildah; do
  if [ -z "$tool" ] && command -v "$candidate" >/dev/null; then tool=$candidate; fi
done
if [ -z "$tool" ]; then
  echo "Images need docker, podman or buildah, and none of them is on the PATH." >&2
  exit 1
fi
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp -r constraints containers "$context"
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
  --wheel-dir "$context/dist" .
tag=$(basename "$context"/dist/intops-*.whl | cut -d- -f2)
for plane in operator worker; do
  "$tool" build ${BASE:+--build-arg "BASE=$BASE"} -f "$context/containers/$plane.Containerfile" \
    -t "intops-$plane:$tag" "$context"
done
echo "built intops-operator:$tag and intops-worker:$tag"
