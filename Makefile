# make demo      a first look: sets up .venv, then one summary and one comparison
# make test      what must hold: ruff, mypy, pytest with a sample of each law
# make test-all  every case of every law; CI runs it after make test
# make bench     the figures of speed and memory, measured on this machine, beside the other tools that are installed
# make clean     takes away what these made
#
# Needs make and a Python from 3.11 on with venv and pip: `make PYTHON=python3.12 test` names another one.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all lint bench clean

demo: $(READY)
	$(BIN)/archscope summary specs/tutorials/residual_mnist.yaml
	$(BIN)/archscope flops --compare specs/tutorials/bottleneck_1x1.yaml

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

test-all: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) -m law --laws=all

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(READY)
	$(BIN)/python tests/benchmarks/startup.py
	$(BIN)/python tests/benchmarks/work.py
	$(BIN)/python tests/benchmarks/peers.py
	$(BIN)/python tests/benchmarks/memory.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("archscope needs Python 3.11 or newer: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@
