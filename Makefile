# Everything works on a clean clone with Python 3.11, git, make and a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LATEST := .venv-latest
OLDEST := .venv-oldest
TESTS := tests  # a part of them: make test-oldest TESTS="tests/wire tests/codecs"
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.ready-docs
COVERAGE := $(BIN)/coverage

# The tests of what does no I/O.
QUICK := tests/wire tests/control tests/codecs tests/graph tests/planning \
	$(addprefix tests/test_,$(addsuffix .py,chunk exports node))
CORE := flowmesh/wire/*,flowmesh/control/*,flowmesh/codecs/*

.PHONY: help lint check test test-latest test-oldest test-long coverage demo bench wheel docs format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | column -t -s'|'

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

lint: $(READY)  ## format, lint, types and the rules of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint  ## lint, and the tests of what does no I/O (under a minute)
	$(BIN)/python -m pytest -q $(QUICK)

test: lint  ## lint and all tests, and how much of what does no I/O they reach (several minutes)
	$(COVERAGE) run -m pytest -m "not long"
	$(COVERAGE) report --include '$(CORE)'

test-latest:  ## all tests with the newest release of each dependency, in a virtual environment of their own
	$(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/python -m pip install --quiet --upgrade pip
	$(LATEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	$(LATEST)/bin/python -m pytest -m "not long" $(TESTS)

test-oldest: $(OLDEST)/.ready  ## all tests with the lowest releases that pyproject.toml allows (Python 3.11)
	$(OLDEST)/bin/python -m pytest -m "not long" $(TESTS)

$(OLDEST)/.ready: pyproject.toml tests/lowest_versions.py
	$(PYTHON) -m venv --clear $(OLDEST)
	$(PYTHON) tests/lowest_versions.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet --only-binary :all: --constraint $(OLDEST)/constraints.txt --editable '.[dev]'
	touch $@

test-long: $(READY)  ## the long runs: many cycles, many schedules
	$(BIN)/python -m pytest -m long --timeout 3600

coverage: $(READY)  ## how much of everything the tests reach, nodes' processes too (slow: tests of speed may fail)
	$(COVERAGE) erase
	-$(COVERAGE) run --rcfile tests/children.coveragerc -m pytest -q -m "not long"
	$(COVERAGE) combine --quiet --rcfile tests/children.coveragerc
	$(COVERAGE) report

demo: $(READY)  ## a real film through five processes, and a recording played again; the results lie in demo-output/
	$(BIN)/python examples/fetch_footage.py
	$(BIN)/python examples/street.py --output demo-output
	$(BIN)/python examples/record_replay.py --output demo-output

bench: $(READY)  ## measure speed beside its floor
	$(BIN)/python -m benchmarks

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

docs: $(DOCS_READY)  ## build the documentation into site/
	$(BIN)/zensical build --clean --strict

format: $(READY)  ## put the code in form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## remove what the other commands made
	rm -rf $(VENV) $(LATEST) $(OLDEST) site dist build demo-output .cache .hypothesis .coverage*
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
