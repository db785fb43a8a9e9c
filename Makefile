# `make run` and `make test` set up everything they need in .venv; PYTHON=... picks the interpreter.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?= scenarios/llama70b.kvs

.PHONY: run test test-fast test-long check check-gpu bench clean

run: $(VENV)/.run
	$(BIN)/kvscen run $(SCENARIO)

test: check
	$(BIN)/python -m pytest -m "not long and not alone" --numprocesses 2 --dist loadgroup
	$(BIN)/python -m pytest -m "not long and alone"

# Real traces of millions of look-ups, files of a gigabyte: minutes each.
test-long: $(VENV)/.test
	$(BIN)/python -m pytest -m long

# Without the tests that make virtual environments or run for long.
test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -m "not slow and not long"

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# It fetches nothing: `pip install '.[gds,test]'` before, here or in the Python that is named.
check-gpu:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/check_gpu.py

bench: $(VENV)/.run
	$(BIN)/python benchmarks/posix.py

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "kvscen needs Python 3.11, 3.12 or 3.13 with venv; name one with: make PYTHON=/path/to/python3.12"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@# The extra `nixl` would bring torch, 6 GB that are not needed.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'nixl-cu13>=1.5.1' \
	|| echo "no nixl-cu13 for this machine: the tests that move bytes with NIXL will be skipped"
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
