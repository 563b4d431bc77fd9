# One command per job, the same here and in CI. `make help` lists them.
VENV    ?= .venv
PYTHON  ?= python3
TORCH   ?= torch==2.13.0
WORKERS ?= 2
BIN     := $(VENV)/bin
DONE    := $(VENV)/.installed
NATIVE  := core/native/CMakeLists.txt $(wildcard core/native/include/* core/native/src/*.* core/native/src/kernels/*)

# openmm-torch is compiled against one version of torch, in its CUDA build: an environment of its own, of 7 GB
OPENMM_VENV  ?= .venv-openmm
OPENMM_TORCH ?= torch==2.9.1 openmmtorch==1.5
OPENMM_BIN   := $(OPENMM_VENV)/bin
OPENMM_DONE  := $(OPENMM_VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-openmm test-quick docs lint format evidence cards clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(DONE)  ## make .venv and install the package with everything that development needs

$(DONE): pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(OPENMM_DONE): pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(OPENMM_VENV)
	$(OPENMM_BIN)/python -m pip install --quiet $(OPENMM_TORCH)
	$(OPENMM_BIN)/python -m pip install --quiet --editable ".[openmm,analysis]" hypothesis pytest pytest-xdist
	touch $@

demo: $(DONE)  ## label real molecules, distil a student, export and check it, run it: about ten minutes
	$(BIN)/python examples/01_demo.py --output runs/demo

test: $(DONE) test-openmm  ## run all tests, in both environments
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-openmm: $(OPENMM_DONE)  ## run the tests of OpenMM with openmm-torch, in an environment of their own
	$(OPENMM_BIN)/python -m pytest -n $(WORKERS) tests/openmm tests/test_neighbors.py

test-quick: $(DONE)  ## run the tests that take seconds
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

docs: $(DONE)  ## build the documentation into site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html, or run $(BIN)/mkdocs serve"

lint: $(DONE)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(DONE)  ## put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

STUDENTS := original tiny ultra-tiny
CARDS    := docs/model_cards
EVIDENCE_PS ?= 20

evidence: $(DONE)  ## measure the shipped students for their cards (EVIDENCE_PS=20 of dynamics in each engine)
	set -e; for s in $(STUDENTS); do mkdir -p $(CARDS)/evidence/$$s; \
	    $(BIN)/mlffd verify $$s --json $(CARDS)/evidence/$$s/verify.json; \
	    for e in ase lammps openmm; do \
	        $(BIN)/mlffd nve $$s recipes/structures/ibuprofen.xyz --engine $$e --picoseconds $(EVIDENCE_PS) -o runs/evidence/$$s-$$e; \
	        cp runs/evidence/$$s-$$e/nve.json $(CARDS)/evidence/$$s/nve-$$e.json; \
	    done; \
	    $(BIN)/mlffd audit runs/evidence/$$s-ase/trajectory.xyz --model $$s -o runs/evidence/$$s-audit; \
	    cp runs/evidence/$$s-audit/audit.json $(CARDS)/evidence/$$s/audit.json; \
	    $(BIN)/mlffd benchmark $$s --batches 1,8 --teacher gfn2-xtb --no-memory -o runs/evidence/$$s-benchmark; \
	    cp runs/evidence/$$s-benchmark/benchmark.json $(CARDS)/evidence/$$s/benchmark.json; \
	done

cards: $(DONE)  ## write the cards of the shipped students from the artifacts and docs/model_cards/evidence
	set -e; for s in $(STUDENTS); do \
	    $(BIN)/mlffd card $$s --evidence $(CARDS)/evidence/$$s -o $(CARDS)/$$s.md; \
	done

clean:  ## remove the environments and caches, but no runs
	rm -rf $(VENV) $(OPENMM_VENV) .pytest_cache .ruff_cache build dist site
