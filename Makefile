# Each target creates the environment .venv if it does not exist, and reuses it otherwise.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

# Tests of large networks take minutes, so they run only where CI is set or with TESTS=all. The
# longest examples and simulations run with TESTS=all only; the examples also by `make docs`.
ifneq ($(filter all,$(TESTS)),)
SELECTION =
else ifneq ($(CI),)
SELECTION = -m "not long"
else
SELECTION = -m "not slow"
endif

# The full suite runs in at most four processes, since each of them loads its own networks. A
# selection by ARGS runs in one process, where --pdb works and nothing is loaded twice.
SPREAD = $(if $(ARGS),,-n logical --maxprocesses 4 --dist worksteal)
SLOWEST = $(if $(CI),--durations 15)

.PHONY: demo test lint format coverage bench docs dist clean

demo: $(STAMP)
	$(BIN)/python examples/quickstart.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks --json benchmarks/latest.json

# The gallery runs all examples, which takes ten minutes; make docs GALLERY=0 leaves them out.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	MPLBACKEND=agg $(BIN)/python -m sphinx -q -W --keep-going -b html \
	    $(if $(GALLERY),-D plot_gallery=$(GALLERY)) docs docs/_build
	$(BIN)/python docs/check_links.py docs/_build
	@echo "The site begins with docs/_build/index.html."

dist: $(STAMP)
	rm -rf build dist
	$(BIN)/python -m build --quiet --no-isolation
	$(BIN)/python -m twine check --strict dist/*

test: lint
	$(BIN)/python -m pytest $(SELECTION) $(SPREAD) $(SLOWEST) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(STAMP)
	$(BIN)/coverage run -m pytest $(SELECTION)
	$(BIN)/coverage report

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated docs/auto_examples *.egg-info .pytest_cache .ruff_cache
