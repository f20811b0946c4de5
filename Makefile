PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRACT := .venv-extract
# two processes; whoever is done takes over waiting tests, since a few need a Python of their own and take seconds
PARALLEL := -n 2 --dist worksteal

.PHONY: demo test test-all check env extract-env page real clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

env: $(READY)  ## the environment alone

demo: $(READY)  ## sign an unseen sentence, draw it, translate it
	$(BIN)/slt-hf demo

test: $(READY)  ## default suite: CPU, offline, at most five minutes
	$(BIN)/python -m pytest $(PARALLEL)

test-all: $(READY)  ## with the slow tests
	$(BIN)/python -m pytest $(PARALLEL) -m ''

check: $(READY)  ## what CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/mypy slt_hf scripts tests

$(EXTRACT)/.ready: constraints-extract.txt
	$(PYTHON) -m venv $(EXTRACT)
	$(EXTRACT)/bin/pip install --quiet --disable-pip-version-check --constraint constraints-extract.txt mediapipe pose-format av
	touch $@

extract-env: $(EXTRACT)/.ready  ## pose extraction: MediaPipe needs numpy < 2, so it lives apart

page: $(READY)  ## fetch what the page of `slt-hf serve` finds landmarks with (npm)
	$(BIN)/slt-hf serve --fetch-landmarks

real: $(READY)  ## train and score the recipes on real data (SLT_HF_SHARED_DATA, else ../shared/data)
	$(BIN)/python scripts/make_real.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
