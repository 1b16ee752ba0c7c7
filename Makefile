# Every target needs only python3 (3.11+), make and a PyPI index, with these exceptions: `test` also
# Node.js 18+ with npm, `test-long` moreover Go, a JDK 17+ and Maven, each with its package registry.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
STAMP  := $(VENV)/.installed
MEMBERS := . core plugins/actors plugins/postgres plugins/sqlite tests/conformance

.DEFAULT_GOAL := help
.PHONY: help install demo bench test test-long parity docs lint format proto constraints sdk-pins clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Create .venv with the exact versions of constraints.txt

$(STAMP): constraints.txt pyproject.toml $(foreach m,$(MEMBERS),$(m)/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit("Durahub needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' constraints.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes constraints.txt
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation $(foreach m,$(MEMBERS),--editable $(m))
	@touch $@

demo: $(STAMP) ## Run real Dapr workflows on the sidecar, kill it midway, and see them complete
	$(BIN)/python -m examples.demo

test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -n 2

test-long: $(STAMP) ## Run the tests with their long forms
	$(BIN)/python -m pytest -n 2 --long --override-ini faulthandler_timeout=3600

bench: $(STAMP) ## Measure sidecars on real stores, in less than five minutes
	$(BIN)/python -m tests.benchmarks

parity: $(STAMP) ## Run the tests of parity with Dapr and write docs/reference/parity.md
	$(BIN)/python -m pytest -n 2 -m parity --parity-page

lint: $(STAMP) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs

docs: $(STAMP) ## Build the documentation into docs/_build, warnings are errors
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

format: $(STAMP) ## Rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(STAMP) ## Regenerate the protocol code from the .proto files
	$(BIN)/python core/tests/protocol/regenerate.py

constraints: ## Resolve constraints.txt anew (needs uv on the PATH or in .venv)
	$$(command -v $(UV) || command -v uv) pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  $(foreach d,durahub durahub-actors durahub-core durahub-postgres durahub-sqlite durahub-conformance,--no-emit-package $(d)) \
	  --group dev $(foreach m,$(MEMBERS),$(m)/pyproject.toml) --output-file constraints.txt

sdk-pins: $(STAMP) ## Resolve what tests/sdks installs anew, from the versions that it names
	for family in tests/sdks/python/*.in; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url --no-emit-find-links --output-file $${family%.in}.txt $$family || exit; \
	done
	for family in tests/sdks/javascript/*/; do \
	  (cd $$family && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund) || exit; \
	done
	cd tests/sdks/go && go mod tidy

clean: ## Remove what the targets above created
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .sdks docs/_build
