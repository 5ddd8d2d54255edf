# Targets set up what they need: the first one you type may be any of them.
#   make lab      students: open the course in JupyterLab
#   make demo     instructors: grade a class of sample submissions
#   make test     maintainers: lint, types, unit tests, corpus, notebooks, end to end
#   make lessons  every notebook in a real JupyterLab: half an hour
#   make bench    this project beside its peers
#   make results  every table of results/ again: hours; results-quick: minutes

# Torch is installed first, alone and exactly. To take it from another index,
# such as the one with CPU-only builds:  make setup TORCH_INDEX=<url>
TORCH_VERSION := 2.13.0
TORCH_INDEX ?=
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
  >/dev/null 2>&1 && echo $$p && break; done)

BIN := .venv/bin
READY := .venv/ready
TESTS ?=
# JupyterLab refuses to start as root unless told; containers often have no other user.
ROOT_OK := $(if $(filter 0,$(shell id -u)),--allow-root)
WORKERS ?= 2

.PHONY: setup lab demo test lint types lessons bench results results-quick clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

setup: $(READY)

$(READY): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv and pip was found." \
	  "Install one, or name it: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== Setting up .venv with $$($(PYTHON) --version): a few minutes, once =="
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "== 1 of 2: torch $(TORCH_VERSION), alone, so that nothing pulls another build =="
	$(BIN)/python -m pip install "torch==$(TORCH_VERSION)" $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@echo "== 2 of 2: the course and its tools, at the versions of constraints.txt =="
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@# The part of JupyterLab that asks the network for news and for newer versions.
	$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements"
	@touch $(READY)
	@echo "== .venv is ready =="

lab: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab $(ROOT_OK) notebooks/00_start_here.ipynb

demo: $(READY)
	$(BIN)/autograder demo

# Two processes with one thread each; a file's tests stay together, so that what they share
# (a demo class, a trained network) is made once.
test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

lessons: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_browser.py --every-lesson

bench: $(READY)
	$(BIN)/python -m pip install -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks

# Interrupt it as you like: finished rows are kept. CIFAR-10 must be there (see README).
results: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments

results-quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments --quick

clean:
	rm -rf demo release autograded feedback .pytest_cache .mypy_cache .ruff_cache
