# `make` lists the targets.
BIN := .venv/bin
NOTEBOOK := notebooks/fashion_mnist.ipynb
STARTER := starter/fashion_mnist.ipynb
FURTHER := notebooks/further.ipynb
EXERCISES := notebooks/exercises.ipynb
# Keys for the kernel's sockets: without, it warns that its TCP is in plain text.
ENCRYPTED := --KernelManager.transport_encryption=auto
EXECUTE := $(BIN)/jupyter nbconvert --log-level=WARN --execute --to notebook $(ENCRYPTED) \
	--ExecutePreprocessor.record_timing=False

# .venv/.ready-3.12 says that .venv is complete, and which Python made it: that stays until PYTHON
# names another. Without ensurepip, which Debian packs apart, a Python cannot make one.
PYTHONS := 3.11 3.12 3.13
READY := $(if $(PYTHON),,$(wildcard .venv/.ready-*))
PYTHON ?= python3
ifndef READY
VERSION := $(shell $(PYTHON) -Ec 'import ensurepip, sys; print("%d.%d" % sys.version_info[:2])' \
	2>/dev/null)
READY := .venv/.ready-$(VERSION)
endif
REFUSAL = $(PYTHON) $(if $(VERSION),is Python $(VERSION),does not run here or lacks venv (Debian: \
	apt-get install python3-venv)); name one of $(PYTHONS), as in: make report PYTHON=python3.13

# Nobody's settings change what a test or a notebook does; in JupyterLab they are welcome.
unexport $(filter PYTHON% PYTEST%,$(.VARIABLES))
ifneq ($(MAKECMDGOALS),lab)
unexport MPLBACKEND MATPLOTLIBRC JUPYTER_PATH JUPYTER_CONFIG_PATH JUPYTER_PREFER_ENV_PATH
export IPYTHONDIR := $(CURDIR)/.venv/ipython
export JUPYTER_CONFIG_DIR := $(CURDIR)/.venv/jupyter
export MPLCONFIGDIR := $(CURDIR)/.venv/matplotlib
endif

.PHONY: help report further test test-quick lint pins renew lab notebook benchmark starter student \
	check grade clean

help:
	@echo "make report      execute the notebook, write report/fashion_mnist.html"
	@echo "make further     the same for the second notebook: report/further.html"
	@echo "make test        every test: units, nbval on the notebook, lint"
	@echo "make test-quick  the tests that neither train much, grade, nor start other programs"
	@echo "make lab         open the starter in JupyterLab, or the notebook where there is no starter"
	@echo "make benchmark   time loading, training and grading on a quiet machine (about 15 minutes);"
	@echo "                 WRITE=1 puts the tables into benchmarks/README.md"
	@echo "make notebook    re-execute the committed notebooks in place (maintainers)"
	@echo "make pins        check that the pins resolve for every Python and platform (maintainers)"
	@echo "make renew       renew all pins but those that pyproject.toml holds back (maintainers)"
	@echo "make starter     write starter/fashion_mnist.ipynb, the notebook a student begins with;"
	@echo "                 FORCE=1 replaces one that was changed"
	@echo "make student     write student/fashion-mnist.zip, what students get: no answer is in it;"
	@echo "                 DATA=1 puts the images in, for a room without network"
	@echo "make check NOTEBOOK=my.ipynb    what each question earns, and its report beside it"
	@echo "make grade SUBMISSIONS=folder   grade a folder, or a platform's zip, into grades/"
	@echo "make clean       remove build/, report/ and student/"

$(READY): pyproject.toml constraints.txt
	$(if $(wildcard $@)$(filter $(PYTHONS),$(VERSION)),,$(error $(REFUSAL)))
	test -e $@ || { rm -f .venv/.ready-*; $(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

report: $(READY)
	$(EXECUTE) --output-dir build $(NOTEBOOK)
	$(BIN)/python -m tools.report build/fashion_mnist.ipynb --output report/fashion_mnist.html

further: $(READY)
	$(EXECUTE) --output-dir build $(FURTHER)
	$(BIN)/python -m tools.report build/further.ipynb --output report/further.html

# Two files at a time, each on a core of its own, in this order: the files of most tests, which
# would go first otherwise, are not those that take longest.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(READY) lint
	$(PYTEST) --nbval-lax --nbval-cell-timeout=600 $(NOTEBOOK) tests

test-quick: $(READY) lint
	$(PYTEST) -m "not slow" tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

pins: $(READY)
	$(BIN)/python .ci/pins.py

renew: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
		--fork-strategy fewest --upgrade --only-binary :all: --no-annotate --quiet \
		--custom-compile-command "make renew" --output-file constraints.txt
	$(BIN)/python .ci/pins.py

lab: $(READY)
	$(BIN)/jupyter lab $(ENCRYPTED) $(or $(wildcard $(STARTER)),$(NOTEBOOK))

notebook: $(READY)
	FASHION_MNIST_REQUIRED=1 $(EXECUTE) --inplace $(NOTEBOOK) $(FURTHER) $(EXERCISES)
	$(BIN)/ruff format --quiet notebooks

benchmark: $(READY)
	for name in book epoch grading; do \
		FASHION_MNIST_REQUIRED=1 $(BIN)/python -m benchmarks.$$name $(if $(WRITE),--write) || exit 1; done

starter: $(READY)
	$(BIN)/python -m tools.starter $(STARTER) $(if $(FORCE),--force)

student: $(READY)
	$(BIN)/python -m tools.student student/fashion-mnist.zip $(if $(DATA),--data)

check: $(READY)
	$(if $(filter command line,$(origin NOTEBOOK)),,$(error which file? make check NOTEBOOK=my.ipynb))
	$(BIN)/python -m tools.check "$(NOTEBOOK)"

OUT ?= grades
grade: $(READY)
	$(if $(SUBMISSIONS),,$(error which folder? make grade SUBMISSIONS=folder))
	$(BIN)/python -m tools.grading "$(SUBMISSIONS)" --out "$(OUT)" --no-network \
		$(if $(WORKERS),-n $(WORKERS))

clean:
	rm -rf build report student
