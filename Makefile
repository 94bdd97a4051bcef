# `make demo` and `make test` are all a fresh machine needs: each sets up what it uses.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python -m
SOURCES := segtune.py trainables tune search_spaces cluster analysis tools benchmarks tests
PYTEST_ARGS ?=
WORKERS ?= 2

.PHONY: help setup demo test test-long lint format clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

setup: $(VENV)/.ready ## create .venv with the pinned packages, detectron2 included

$(VENV)/.ready: pyproject.toml constraints.txt tools/set_up.py tools/install_detectron2.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "setup: expected Python 3.11 or later, got $$("$(PYTHON)" --version 2>&1 || echo none);" \
	    "install it, or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" tools/set_up.py
	@touch $@

demo: setup ## the whole story on simulated micrographs, in ./demo
	@$(VENV)/bin/segtune demo

test: setup ## all tests but the long ones, in WORKERS processes, a module of tests in one of them
	$(RUN) pytest -q -m "not long" --timeout=900 -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-long: setup ## kills, scale and fault tables
	$(RUN) pytest -q -m long --timeout=3600 $(PYTEST_ARGS) || [ $$? -eq 5 ]  # 5: none selected

lint: setup ## style, formatting, types, import directions
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy $(SOURCES)
	$(VENV)/bin/lint-imports

format: setup ## format the code and mend what can be mended
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## remove caches and build products (not .venv, not studies)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
