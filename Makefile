# `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOK := notebooks/fashion_mnist.ipynb
EXECUTE := $(BIN)/jupyter nbconvert --log-level=WARN --execute --to notebook \
	--ExecutePreprocessor.record_timing=False

# The data: FASHION_MNIST_ROOT, else ../shared/data beside the checkout, else data/ (utils' default).
ifndef FASHION_MNIST_ROOT
ifneq ($(wildcard ../shared/data/FashionMNIST),)
FASHION_MNIST_ROOT := $(abspath ../shared/data)
endif
endif
ifdef FASHION_MNIST_ROOT
export FASHION_MNIST_ROOT
endif

.PHONY: help report test test-quick lint lab notebook benchmark starter grade clean

help:
	@echo "make report      execute the notebook, write report/fashion_mnist.html"
	@echo "make test        every test: units, nbval on the notebook, lint"
	@echo "make test-quick  the tests that take under a minute"
	@echo "make lab         open the notebook in JupyterLab"
	@echo "make benchmark   time loader, training, time to 86.31 % and growth (10 to 20 minutes)"
	@echo "make notebook    re-execute the committed notebook in place (maintainers)"
	@echo "make starter     write starter/fashion_mnist.ipynb, the notebook a student begins with"
	@echo "make grade SUBMISSIONS=folder   grade every notebook below it into grades/"
	@echo "make clean       remove build/, report/, starter/ and grades/"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

report: $(READY)
	$(EXECUTE) --output-dir build $(NOTEBOOK)
	$(BIN)/python -m tools.report build/fashion_mnist.ipynb --output report/fashion_mnist.html

test: $(READY) lint
	$(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=600 notebooks tests

test-quick: $(READY) lint
	$(BIN)/python -m pytest -m "not slow" tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(READY)
	$(BIN)/jupyter lab $(NOTEBOOK)

notebook: $(READY)
	FASHION_MNIST_REQUIRED=1 $(EXECUTE) --inplace $(NOTEBOOK)
	$(BIN)/ruff format --quiet $(NOTEBOOK)
	$(BIN)/python -m tools.notebook docs/training.png

benchmark: $(READY)
	for script in loader training time_to_accuracy scaling; do \
		FASHION_MNIST_REQUIRED=1 $(BIN)/python benchmarks/$$script.py || exit 1; done

starter: $(READY)
	$(BIN)/python -m tools.starter starter/fashion_mnist.ipynb

OUT ?= grades
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
grade: $(READY)
	$(if $(SUBMISSIONS),,$(error which folder? make grade SUBMISSIONS=folder))
	$(BIN)/python -m tools.grading "$(SUBMISSIONS)" --out "$(OUT)" -n $(WORKERS) --no-network

clean:
	rm -rf build report starter grades
