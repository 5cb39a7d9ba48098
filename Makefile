# `make demo` and `make test` need Python 3.11+ and make, and set up all else themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_PEERS = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'

.PHONY: demo test test-matrix check format bench bench-quick scores pages soak coverage clean

demo: $(READY)
	$(BIN)/unbroken demo

test: $(READY)  ## in one process more than there are cores, for most tests wait; a file's tests stay together, for they share servers
	$(BIN)/python -m pytest --numprocesses=$$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)') --maxprocesses=4 --dist=loadfile

test-matrix: $(READY)  ## the core tests on old and new frameworks, and on every CPython 3.11+ of this machine
	$(BIN)/python tests/matrix.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --ignore=tests/faults --ignore=tests/e2e --ignore=tests/benchmarks
	$(BIN)/coverage combine
	$(BIN)/coverage report

bench: $(READY)  ## side by side with real peers; prints ratios, gates nothing; over an hour on a quiet machine
	$(BENCH_PEERS)
	$(BIN)/python -m benchmarks

bench-quick: $(READY)  ## the same, much less of everything: some minutes
	$(BENCH_PEERS)
	$(BIN)/python -m benchmarks --quick

scores: $(READY)  ## how often the rules of check, and explain, are right on their corpora
	$(BIN)/python -m tests.diagnose.source.scores
	$(BIN)/python -m tests.diagnose.logs.scores

pages: $(READY)  ## what is made from data in the docs: causes, rules, scores
	$(BIN)/python -m unbroken.diagnose.pages docs/causes
	$(BIN)/python -m tests.diagnose.source.reference
	$(BIN)/python -m tests.diagnose.logs.reference

soak: $(READY)  ## the long runs
	$(BIN)/python -m pytest -m soak --timeout=1800

clean:
	rm -rf $(VENV) .venvs build dist .coverage* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "unbroken needs Python 3.11 or later; $(PYTHON) is older. Say which: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
