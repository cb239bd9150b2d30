# Everything a newcomer or CI runs. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := qwen3vl_edge converters quant cli
# BACKEND=cpu|cuda|vulkan|metal and CUDA_ARCH=86|all-major|…: docs/devices.md; without them what is built stays
SETUP_NATIVE = $(BIN)/python tools/setup_native.py --backend='$(BACKEND)' --cuda-arch='$(CUDA_ARCH)'
.DEFAULT_GOAL := help

.PHONY: help setup setup-parity demo test check check-types proof parity peers bench golden demo-model samples wheel clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# llama.cpp comes first, built for this CPU; pip then finds it installed.
$(VENV)/.installed: pyproject.toml | $(VENV)/.python
	$(SETUP_NATIVE)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	# opencv-python wants libGL, which servers lack; its twin without windows does not
	$(BIN)/python -c 'import cv2' 2>/dev/null || $(BIN)/pip install --quiet opencv-python-headless==5.0.0.93
	@touch $@

setup: $(VENV)/.installed ## Make .venv: a sound llama.cpp (BACKEND=cuda, vulkan, …), the package, the tools
	@$(SETUP_NATIVE)  # looks at a stamp: another CPU or version means another build

$(VENV)/.parity: $(VENV)/.installed tools/oracle.py
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,parity]'
	$(BIN)/python tools/oracle.py
	@touch $@

setup-parity: setup $(VENV)/.parity ## Also install the reference implementation and llama.cpp's converter

demo: setup ## Convert, quantize and question the carried demo model
	@tools/demo.sh

test: setup ## Run the tests
	$(BIN)/pytest -q

check: setup ## Lint, types, layers: what CI checks beside the tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-types: setup ## Compare every file type with llama.cpp's quantizer (minutes)
	$(BIN)/pytest -q -m types

proof: setup ## Caption under kills, poisoned files, aborts and full disks (minutes)
	$(BIN)/pytest -q -m proof

parity: setup-parity ## Compare with transformers and with llama.cpp's converter
	$(BIN)/pytest -q -m parity

peers: setup ## Build llama.cpp's own programs into the user's cache, to be measured against
	@$(BIN)/python -m tools.peers

bench: setup-parity peers ## Measure speed and memory against the peers (BENCH="start convert ask runtime video caption")
	$(BIN)/python -m tools.bench $(BENCH)

golden: setup-parity ## Write the golden files anew, from the oracles
	$(BIN)/python -m tools.goldens

demo-model: setup-parity ## Train the demo model (hours; goes on where it stopped)
	$(BIN)/python -m tools.demo_model.train --resume

samples: setup-parity ## Draw the sample folder anew
	$(BIN)/python -m tools.demo_model.samples

wheel: setup ## Build the wheel into dist/
	rm -rf build/lib build/bdist.*
	$(BIN)/python -m build --wheel

clean: ## Remove what was built, but not .venv
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
