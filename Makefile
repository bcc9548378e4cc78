# Task runner. `make demo` and `make test` each take a fresh clone all the way; the others are for daily work.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# meson-python looks for meson and ninja on PATH
export PATH := $(abspath $(BIN)):$(PATH)

# Makes the environment that the workers of bfv and ckks run in, where a Python that has OpenFHE can be found
OPENFHE := $(BIN)/python -m he_core.arith.openfhe_backend.install

BUILD_TOOLS := "meson-python>=0.17,<0.23" "meson>=1.4" "ninja>=1.11"

.PHONY: help demo test quick lint format types bench results clean

help:  ## list the tasks
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.demo  ## install, train the demo and write its report
	$(BIN)/dcsfl-train run

test: $(VENV)/.dev $(VENV)/.in-process $(VENV)/.flower lint types  ## install everything for development, lint, check types, run every test
	$(BIN)/python -m pytest -q

quick: $(VENV)/.dev  ## the tests that take seconds
	$(BIN)/python -m pytest -q -m "not slow"

lint: $(VENV)/.dev  ## formatter and linter, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.dev  ## let formatter and linter mend what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.dev  ## type checker
	$(BIN)/mypy

bench: $(VENV)/.peers  ## cost on this machine beside the peers', in minutes: a page, tables, plots in bench/results/
	$(BIN)/python bench/run.py

results: $(VENV)/.peers  ## the same with every kernel target and stage: a quarter of an hour
	$(BIN)/python bench/run.py --full

$(VENV)/.tools:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(BUILD_TOOLS)
	@touch $@

# Editable and without build isolation: the C kernels are rebuilt when their sources change.
$(VENV)/.demo: $(VENV)/.tools pyproject.toml meson.build
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[demo]'
	$(OPENFHE) --optional
	@touch $@

$(VENV)/.dev: $(VENV)/.tools pyproject.toml meson.build
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev]'
	$(OPENFHE) --optional
	@touch $@

# The engine under a Python that OpenFHE loads on, where there is one: its schemes without a worker in between.
$(VENV)/.in-process: $(VENV)/.dev
	$(OPENFHE) --optional --into $(VENV)/in-process
	test ! -d $(VENV)/in-process || $(VENV)/in-process/bin/pip install --quiet --disable-pip-version-check $(BUILD_TOOLS)
	test ! -d $(VENV)/in-process || $(VENV)/in-process/bin/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[test-engine]'
	@touch $@

# Flower gets an environment of its own, with the engine in it: it pins versions that others here exclude. Where it does
# not install, its tests are skipped and it is left out of the comparison. A build folder of its own, for both
# environments load the extension that they built.
FLOWER_PIP := $(VENV)/flower/bin/pip install --quiet --disable-pip-version-check
$(VENV)/.flower: $(VENV)/.tools pyproject.toml meson.build
	-$(PYTHON) -m venv $(VENV)/flower && $(FLOWER_PIP) $(BUILD_TOOLS) flwr==1.42.0
	-PATH=$(abspath $(VENV)/flower/bin):$$PATH $(FLOWER_PIP) --no-build-isolation --config-settings=build-dir=build/flower -e .
	@touch $@

# A peer that does not install here is left out of the comparison.
$(VENV)/.peers: $(VENV)/.dev $(VENV)/.flower
	-$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev,peers]'
	@touch $@

clean:  ## remove everything that was built
	rm -rf $(VENV) build
