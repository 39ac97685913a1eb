# make run   install the runtime and read the bundled sample, without camera, display or network
# make test  install everything and run the tests
# make test-lowest   use every extra of the runtime with the lowest versions that are allowed
# make test-arm    read the demo and a video on an emulated aarch64 and compare (root, debootstrap, qemu-user-static; minutes)
# make check format, lint, types (make lint), tests: what CI runs
# make kill  the killing test with 600 rounds instead of 60
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: run test test-lowest test-arm check lint kill format clean

run: $(VENV)/run.stamp
	@mkdir -p out
	$(BIN)/edge-run --demo --no-display --save out/demo.png
	@echo "annotated picture: out/demo.png"

test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-lowest:
	.ci/lowest

test-arm: $(VENV)/dev.stamp
	PYTHON=$(BIN)/python .ci/arm

check: lint test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

kill: $(VENV)/dev.stamp
	ERV_KILLS=600 $(BIN)/python -m pytest -s tests/test_killing.py

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) out build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[cpu,demo]'
	@touch $@

# torch first and by its exact version: an open range would bring gigabytes of CUDA packages
$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q torch==2.13.0
	$(BIN)/python -m pip install -q -e '.[dev]'
	@touch $@ $(VENV)/run.stamp
