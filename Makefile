# Everything works on a clean clone with Python 3.11, git, make and a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUICK := tests/wire tests/control tests/shape

.PHONY: help check test test-long demo bench docs format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | column -t -s'|'

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

check: $(READY)  ## format, lint, types, imports, and the tests of what does no I/O (under a minute)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/wire tests/control tests/test_*.py

test: check  ## check, and all that must hold (several minutes)
	$(BIN)/python -m pytest -m "not long"

test-long: $(READY)  ## the long runs: many cycles, many schedules
	$(BIN)/python -m pytest -m long --timeout 3600

demo: $(READY)  ## a real video through five processes; the results lie in demo-output/
	$(BIN)/python examples/street.py --output demo-output

bench: $(READY)  ## measure speed beside its floor
	$(BIN)/python -m benchmarks

docs: $(READY)  ## build the documentation into site/
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/zensical build

format: $(READY)  ## put the code in form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## remove what the other commands made
	rm -rf $(VENV) site dist build demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
