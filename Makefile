# make demo      a first look: sets up .venv, then one summary and one comparison
# make test      what must hold: ruff, mypy, pytest with a sample of each law
# make test-all  every case of every law; CI runs it after make test
# make fuzz      a hundred thousand odd specs and models, in children with limits; EXAMPLES=1000 SEED=1 for others
# make bench     the figures of speed and memory, measured on this machine, beside the other tools that are installed
# make gpu       what is known of a GPU, anew: with $(PYTHON) as it is, no network; ONLY= sections, BUDGET= seconds
# make clean     takes away what these made
#
# Needs make and a Python from 3.11 on with venv and pip. `make test PYTHON=python3.13` and `make test TORCH=2.15.0` run
# the tests with another Python or torch, in an environment of their own (.venv-2.15.0-3.13): ruff and mypy judge the
# code by the pinned versions, so they are left out there.

PYTHON ?= python3
TORCH ?=
WORKERS ?= 2
EXAMPLES ?= 100000
SEED ?= 0
PINNED := $(shell sed -n 's/^torch==//p' constraints.txt)
ANOTHER := $(TORCH)$(filter command,$(origin PYTHON))
VENV := .venv$(if $(ANOTHER),-$(or $(TORCH),$(PINNED))-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all fuzz lint bench gpu clean

demo: $(READY)
	$(BIN)/archscope summary specs/tutorials/residual_mnist.yaml
	$(BIN)/archscope flops --compare specs/tutorials/bottleneck_1x1.yaml

test: $(if $(ANOTHER),$(READY),lint)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

test-all: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) -m law --laws=all

fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --examples $(EXAMPLES) --seed $(SEED) --workers $(WORKERS)

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

bench: $(READY)
	$(BIN)/python tests/benchmarks/startup.py
	$(BIN)/python tests/benchmarks/work.py
	$(BIN)/python tests/benchmarks/peers.py
	$(BIN)/python tests/benchmarks/memory.py
	$(BIN)/python tests/benchmarks/hostile.py

gpu:
	ONLY="$(ONLY)" BUDGET="$(BUDGET)" $(PYTHON) tests/benchmarks/gpu.py

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("archscope needs Python 3.11 or newer: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed 's/^torch==.*/torch==$(or $(TORCH),$(PINNED))/' constraints.txt > $(VENV)/constraints.txt
	@$(BIN)/python -m pip uninstall -qq --yes archscope  # what this project was called in older checkouts
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[test]'
	@touch $@
