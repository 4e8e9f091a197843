#!/usr/bin/env bash
# Lock every dependency with its hashes, for Python 3.11 to 3.14. The files name no package source.
# Keeps the versions that still fit; `.ci/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
for extra in operator runtime cli dev; do
  env -u PIP_FIND_LINKS -u UV_FIND_LINKS .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@" \
    --extra "$extra" pyproject.toml -o "constraints/$extra.txt"
done
