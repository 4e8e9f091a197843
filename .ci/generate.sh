#!/usr/bin/env bash
# The one list of generators: everything that is written from the code. With --check nothing is
# written: a generator compares with the files, and fails naming `make generate` where they differ.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python -m intops_api.schema.generate "$@"
.venv/bin/python -m intops_cli.reference "$@"
.venv/bin/python -m intops_cli.monitoring "$@"
.venv/bin/python -m intops_cli.plain "$@"
PYTHONPATH=tests .venv/bin/python -m support.fault_rows "$@"
PYTHONPATH=tests .venv/bin/python -m support.security_rows "$@"
