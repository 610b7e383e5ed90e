# Daybook on a fresh machine: Python 3.11 or newer and make are all it needs.
#
#   make demo     play a small SaaS through a month, then look at its books
#   make test     lint, types, layers and the whole test suite, as CI does
#   make dev      everything in one process group on an embedded PostgreSQL
#   make bench    the measured figures; ONLY=name runs one
#   make lint     what `make test` checks before it runs the tests
#   make format   let ruff rewrite what it can
#   make lock     write the lock files again from pyproject.toml; UPGRADE=1 moves to newer versions
#   make latest   the tests against the newest allowed version of everything
#   make clean    remove what these targets made

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=...` overrides it.
FIND_PYTHON = for candidate in python3 python3.13 python3.12 python3.11 python; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$candidate" && break; done
PYTHON ?= $(shell $(FIND_PYTHON))

VENV := .venv
BIN := $(VENV)/bin
LATEST := .venv-latest
PIP_INSTALL := -m pip install --disable-pip-version-check --no-input --quiet
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.PHONY: help install demo dev test lint format bench lock latest clean

help:
	@sed -n 's/^#   //p' Makefile

install: $(VENV)/.ready

# Made anew when the lock changes, so that it never holds a package that the lock does not name.
$(VENV)/.locked: requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "Daybook needs Python 3.11 or newer; none was found." >&2; exit 1; }
	@echo "Installing the locked packages into $(VENV) (about a minute, once) ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: install
	$(BIN)/daybook demo

dev: install
	$(BIN)/daybook dev

bench: install
	$(BIN)/python -m bench $(if $(ONLY),$(ONLY))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

test: lint
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report=
	$(BIN)/python .ci/coverage_gate.py

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# One resolution for all three, so that the image holds exactly what was tested.
lock: install
	$(LOCK) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --constraint requirements/dev.txt --output-file requirements/run.txt
	echo "setuptools" | $(LOCK) - --constraint requirements/dev.txt --output-file requirements/build.txt

latest:
	$(PYTHON) -m venv --clear $(LATEST)
	$(LATEST)/bin/python $(PIP_INSTALL) --upgrade pip
	$(LATEST)/bin/python $(PIP_INSTALL) --upgrade --upgrade-strategy eager --editable '.[dev]'
	$(LATEST)/bin/python -m pip list --format=freeze
	$(LATEST)/bin/python -m pytest

clean:
	rm -rf $(VENV) $(LATEST) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache build daybook.egg-info
