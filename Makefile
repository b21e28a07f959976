# One environment, one command: `make run` shows the gateway at work, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test test-fast lint install bench schema clean

run: install
	$(BIN)/gateway demo

# Compiled here, where PYTHONDONTWRITEBYTECODE would have every process compile it again: a third of a start.
install: $(STAMP)
	@$(BIN)/python -m compileall -q gateway

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Some tests of real processes keep real time: they have the machine to themselves. All of them get a second look, in
# case the machine was late.
test: lint
	$(BIN)/python -m pytest -n 2 --ignore tests/whole
	$(BIN)/python -m pytest -n 2 --maxschedchunk 1 tests/whole -m 'not alone' --reruns 2
	$(BIN)/python -m pytest tests/whole -m alone --reruns 2

test-fast: install
	$(BIN)/python -m pytest -n 2 -m 'not slow'

bench: install
	$(BIN)/gateway bench

# What is made from the configuration's models: the schema for editors and the reference page. Tests hold both equal.
schema: install
	$(BIN)/gateway schema > config/gateway.schema.json
	$(BIN)/gateway reference > docs/configuration.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis var
