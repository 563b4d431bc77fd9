# One command per job, the same here and in CI. `make help` lists them.
VENV    ?= .venv
PYTHON  ?= python3
TORCH   ?= torch==2.13.0
WORKERS ?= 2
BIN     := $(VENV)/bin
DONE    := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-quick lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(DONE)  ## make .venv and install the package with everything that development needs

$(DONE): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: $(DONE)  ## label real molecules, distil a student, export and check it, run it: about ten minutes
	$(BIN)/python examples/01_demo.py --output runs/demo

test: $(DONE)  ## run all tests
	$(BIN)/python -m pytest -n $(WORKERS)

test-quick: $(DONE)  ## run the tests that take seconds
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

lint: $(DONE)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(DONE)  ## put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches, but no runs
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
