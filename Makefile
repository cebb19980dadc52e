# Every command sets up what it needs in .venv and writes inside this folder only.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-cache-dir install --quiet -c constraints.txt

export XDG_CACHE_HOME := $(CURDIR)/.cache
export XDG_CONFIG_HOME := $(CURDIR)/.cache/config
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export TORCHINDUCTOR_CACHE_DIR := $(CURDIR)/.cache/inductor
# glibc would give back to the system what a training step frees, and fetch it anew in the next (LOG, 2026-11-25).
export MALLOC_MMAP_THRESHOLD_ := 33554432
export MALLOC_TRIM_THRESHOLD_ := 4294967296

# Compiled modules are kept: a program that a test starts would compile them anew.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/python -m pytest --basetemp=$(CURDIR)/.cache/pytest
# Tests share the cores between processes; each then computes with one thread.
SHARED := OMP_NUM_THREADS=1 $(PYTEST) -n auto
FAST := $(SHARED) -m "not slow and not gpu"

.PHONY: help demo install dev test slow-test long-test gpu-test gpu-check check format

help:
	@echo "make demo    train the default recipe on the built-in digits and write its report"
	@echo "make test    run the fast tests"
	@echo "make check   format, lint, types, fast tests"

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "installing into $(VENV) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(PIP) -e '.[dev]'
	@touch $@

.cache:
	@mkdir -p .cache

install: $(VENV)/.installed

dev: $(VENV)/.dev

demo: $(VENV)/.installed
	$(BIN)/trickbag train

test: $(VENV)/.dev | .cache
	$(FAST)

slow-test: $(VENV)/.dev | .cache
	$(SHARED) --dist loadfile -m "slow and not long and not gpu"

long-test: $(VENV)/.dev | .cache
	$(PYTEST) -m "long and not gpu"

gpu-test: $(VENV)/.dev | .cache
	$(PYTEST) -m gpu

# Nothing is installed: with .venv if it is there, else with what PYTHON has.
gpu-check: | .cache
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu_check.py $(DATA)

check: $(VENV)/.dev | .cache
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(FAST)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
