#!/usr/bin/env bash
# Build intops-operator and intops-worker with docker, podman or buildah (TOOL names one of them,
# BASE another base image), and put the bill of materials of each into build/. The context is a folder of its own:
# the tree holds far more than it needs. The same tree on the same base gives the same images (SOURCE_DATE_EPOCH,
# seconds since 1970, is the time of all files; that of the last commit by default).
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
tool=${TOOL:-}
for candidate in docker podman buildah; do
  if [ -z "$tool" ] && command -v "$candidate" >/dev/null; then tool=$candidate; fi
done
if [ -z "$tool" ]; then
  echo "Images need docker, podman or buildah, and none of them is on the PATH." >&2
  exit 1
fi
# 1980 is the oldest that a wheel can hold; a tree without its history has no better time.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 315532800)}
timed=(--build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")
case "$(basename "$tool")" in
  podman | buildah) timed+=(--timestamp "$SOURCE_DATE_EPOCH") ;;
esac

read_file() { # read_file IMAGE PATH: a file of an image, on standard output
  local container
  if [ "$(basename "$tool")" = buildah ]; then
    container=$("$tool" from --pull-never "$1")
    "$tool" run "$container" -- cat "$2"
    "$tool" rm "$container" >/dev/null
  else
    "$tool" run --rm --entrypoint cat "$1" "$2"
  fi
}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp -r constraints containers "$context"
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
  --wheel-dir "$context/dist" .
tag=$(basename "$context"/dist/intops-*.whl | cut -d- -f2)
mkdir -p build
for plane in operator worker; do
  "$tool" build ${BASE:+--build-arg "BASE=$BASE"} "${timed[@]}" \
    -f "$context/containers/$plane.Containerfile" -t "intops-$plane:$tag" "$context"
  read_file "intops-$plane:$tag" /opt/intops/sbom.cdx.json >"build/intops-$plane.cdx.json"
done
echo "built intops-operator:$tag and intops-worker:$tag; what they hold: build/intops-{operator,worker}.cdx.json"
