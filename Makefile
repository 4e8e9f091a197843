# Everything runs in .venv, which `make setup` makes and every target keeps fresh.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := $(shell cat pyproject.toml constraints/dev.txt | cksum | tr ' ' '-')
STAMP := $(VENV)/.ready-$(LOCK)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export PYTHONPATH := tests

.DEFAULT_GOAL := help
.PHONY: help setup demo check test audit fmt generate lock provision cluster cluster-down bench bench-scale fault crash-points reactions images clean test-oldest

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything, from locked versions

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || { \
	  echo "intops needs Python 3.11 to 3.14, and $(PYTHON) is not one; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@rm -f $(VENV)/.ready-*
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian its part is a package: apt-get install python3-venv"; exit 1; }
	@echo "Installing locked versions into $(VENV) ..."
	@$(PIP) --require-hashes -r constraints/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Run the main job on this machine, without a cluster (under a minute)
	@$(BIN)/python -m support.demo

check: setup ## Format, lint, types, contracts, unit and golden tests, generated files fresh (under a minute)
	@.ci/check.sh

test: setup ## Everything, with a real Kubernetes and real peers; says at its end what could not run
	@.ci/test.sh

audit: setup ## Ask PyPI for known flaws of every locked dependency; needs the network, fails without an answer
	@for lock in constraints/*.txt; do echo "== $$lock"; \
	  $(BIN)/uvx pip-audit==2.10.1 --strict --disable-pip --require-hashes -r "$$lock" || exit 1; done

fmt: setup ## Format the code
	@$(BIN)/ruff check -q --fix-only . && $(BIN)/ruff format -q .

generate: setup ## Write CRDs, reference docs and chart parts from the models
	@.ci/generate.sh

lock: setup ## Lock what pyproject.toml names; newest versions: make lock UPGRADE=--upgrade
	@.ci/lock.sh $(UPGRADE)

provision: setup ## Get what the tests need beside .venv: Debian packages, Kubernetes binaries
	@$(BIN)/python -m support.provision

cluster: setup ## A real one-node Kubernetes on this machine with intops in it
	@$(BIN)/python -m support.cluster up

cluster-down: setup ## Take that cluster away, with everything it left
	@$(BIN)/python -m support.cluster down

bench: setup ## Measure, side by side with a peer; prints tables for docs/performance.md
	@PYTHONPATH=.:tests $(BIN)/python -m bench

bench-scale: provision ## The operator with FLOWS=1000 Flows, beside one written the ordinary way
	@PYTHONPATH=.:tests $(BIN)/python -m bench.scale $(or $(FLOWS),1000)

fault: provision ## The long fault runs, or HOURS=8 of faults at random; reports go to build/
ifdef HOURS
	@PYTHONPATH=tests $(BIN)/python -m support.soak --hours $(HOURS)
else
	@$(BIN)/python -m pytest -q --levels fault --fault-runs full --fault-report build/fault-report.md
endif

crash-points: provision ## Every request of the operator goes wrong in every way; hours; report goes to build/
	@$(BIN)/python -m pytest -q --levels cluster --fault-runs full --fault-report build/crash-points.md \
	  tests/cluster/test_api_faults.py tests/cluster/test_operator_faults.py

test-oldest: setup ## The tests with a cluster, on the oldest Kubernetes that is supported
	@INTOPS_KUBERNETES=oldest $(BIN)/python -m support.provision
	@INTOPS_KUBERNETES=oldest $(BIN)/python -m pytest --levels cluster

reactions: provision ## Measure how each class of errors is answered; writes docs/reference/reactions.*
	@$(BIN)/python -m pytest -q --levels fault tests/fault/test_reactions.py \
	  --write-reactions docs/reference/reactions.yaml
	@$(BIN)/python -m intops_cli.reference

images: setup ## Build both images with docker, podman or buildah
	@.ci/images.sh

clean: ## Remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist build .intops
