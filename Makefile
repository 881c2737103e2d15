# Everything starts here. `make run` and `make test` are all the set-up there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A virtual environment names its own place, so one that was copied from elsewhere is made anew.
MADE := $(VENV)/.made-for-$(shell pwd | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help run test test-long test-train check bench bench-peers model lock clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "Abyssal needs Python 3.11 to 3.14; name one with: make PYTHON=python3.12 run"; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: locks/run.txt pyproject.toml $(MADE)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r locks/run.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: locks/dev.txt pyproject.toml $(MADE)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r locks/dev.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@ $(VENV)/.run

run: $(VENV)/.run  ## start the platform, ask it one question, go on serving until Ctrl-C
	@$(BIN)/abyssal quickstart

test: $(VENV)/.dev  ## every test
	$(BIN)/pytest

check: $(VENV)/.dev  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: $(VENV)/.dev  ## speed and memory against nginx (needs nginx and wrk)
	$(BIN)/python -m bench

bench-peers: $(VENV)/.dev  ## install sglang-router and the OpenAI SDK to compare with
	$(BIN)/python -m bench --peers

model: | $(MADE)  ## train abyssal-tiny anew (installs torch, takes a while)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[train]'
	$(BIN)/python -m abyssal.engine.training

test-long: $(VENV)/.dev  ## fuzz every parser, ten minutes in all (installs atheris)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --minutes 10

test-train: $(VENV)/.dev  ## the training recipe's own tests (installs torch)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[train]'
	$(BIN)/pytest tests/train

lock:  ## resolve the dependencies anew (needs uv)
	printf 'hatchling\neditables\n' | uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra server --extra engine pyproject.toml - -o locks/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra dev pyproject.toml -o locks/dev.txt

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist .ruff_cache .pytest_cache .hypothesis .import_linter_cache
