# Two commands: `make run` opens the app, `make test` runs every test. Both set up what is missing first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TEST_PROCESSES ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup system manim run serve test check demo sample gallery bench format clean
.DEFAULT_GOAL := help

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup: $(VENV)/.installed system   ## virtual environment, requirements, missing system packages

$(VENV)/.installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "T2V Studio needs Python 3.11 to 3.13; set PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps -e .
	touch $@

system:
	@sh scripts/system_packages.sh

manim: setup     ## the Manim engine: what it needs to be built, then Manim itself
	@sh scripts/system_packages.sh manim
	$(BIN)/pip install -r requirements-manim.txt
	$(BIN)/t2v doctor | grep -i manim

run: setup       ## open the app, with a sample book and a sample pair
	$(BIN)/t2v demo --if-empty
	$(BIN)/t2v serve --open

serve: setup     ## the app alone
	$(BIN)/t2v serve

test: setup      ## every test; the Manim engine's too where it can be installed
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("manim") is None)' || { sh scripts/system_packages.sh manim; \
	  $(BIN)/pip install -q -r requirements-manim.txt || echo "Manim could not be installed: its tests are skipped (see: make manim)"; }
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --no-loadscope-reorder

check: setup     ## format, lint, import rules, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest tests/test_imports.py
	$(BIN)/mypy

demo: setup      ## headless: the sample book and the sample pair, and where they are
	$(BIN)/t2v demo

sample: setup    ## build the sample book from its source
	$(BIN)/python data/sample/build.py

gallery: setup   ## a contact sheet for each diagram kind, theme and size, into docs/gallery/
	$(BIN)/python -m t2v_studio.engines.local.gallery

bench: setup     ## figures of speed, for docs/lab_log.md
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

format: setup    ## put the code into the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:           ## remove the virtual environment and caches; the library and outputs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
