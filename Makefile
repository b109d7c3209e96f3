# Two commands matter: `make app` opens the explorer, `make test` runs the tests. Both build .venv on first use.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
WORKERS ?= 3
# Where an image switches bytecode off, each of the hundreds of processes that the tests start would compile this project anew.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: app test test-full test-browser journeys faults check format wheel bench studies recipes inside real shipped pictures clean

app: .venv/.app
	$(BIN)/sftqa app

# Three workers keep two cores busy, since tests also wait; who is through takes over half of what another has left. More: WORKERS=8.
test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# The same with what is marked `full`: kills of every recipe, every harm its full number of times, every family of models and every combination
# of choices in every test, and eight times as many random examples. Before a release.
test-full: .venv/.dev
	SFTQA_TESTS=full $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# In an installed Chrome or Chromium: what no other test can tell, once. Marked `journey` it is left to `make journeys`, unless it is `smoke`.
test-browser: .venv/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "smoke or (browser and not journey)" tests/browser tests/journeys

# Every journey that a person makes through the explorer; takes about an hour on two cores.
journeys: .venv/.dev
	$(BIN)/python -m pytest -m "browser or journey" tests/browser tests/journeys

# Does every harm its full number of times (the tests do some of them once) and prints the table: harm, times tried, outcome.
faults: .venv/.dev
	SFTQA_TESTS=full $(BIN)/python -m pytest tests/faults

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: .venv/.dev
	$(BIN)/python -m build --wheel

bench: .venv/.dev
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/probing.py

# Makes everything in cache/shipped but the models anew, in a workspace of its own: probes, studies, the example run. Two hours.
studies: .venv/.dev
	SFTQA_CACHE=build/shipping SFTQA_SHIPPED=build/nothing $(BIN)/python -m sftqa_core.shipping.built_in_world cache/shipped

# The studies of recipes alone, beside what ships: those of their runs that ship already are not made again.
recipes: .venv/.dev
	SFTQA_CACHE=build/recipes $(BIN)/python -m sftqa_core.shipping.built_in_world cache/shipped --recipes

# Looks inside the tuned models of twelve cells alone, beside what ships.
inside: .venv/.dev
	SFTQA_CACHE=build/inside $(BIN)/python -m sftqa_core.shipping.built_in_world cache/shipped --inside

# What real models know and what tuning does to them, beside what ships; MODELS is a folder with their GGUF files. Hours; stops and goes on.
real: .venv/.dev
	@test -n "$(MODELS)" || { echo "Name the folder with the GGUF files: make real MODELS=/path/to/folder"; exit 1; }
	SFTQA_CACHE=build/real $(BIN)/python -m sftqa_core.shipping.real_evidence cache/shipped $(MODELS)

# Everything with the models pre-trained anew, which takes about as long again.
shipped: .venv/.dev
	SFTQA_CACHE=build/shipping SFTQA_SHIPPED=build/nothing $(BIN)/python -m sftqa_core.shipping.built_in_world cache/shipped --pretrain

# Needs an installed Chrome or Chromium, as test-browser does.
pictures: .venv/.dev
	$(BIN)/python docs/pictures/take.py

# torch comes first and alone: the pinned release is found in one step, and its build (CPU or CUDA) is not chosen anew by another package.
.venv/.app: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found. Name one: make app PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Building .venv with $(PYTHON) (once; a few minutes) ..."
	$(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	touch $@

.venv/.dev: .venv/.app
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache
