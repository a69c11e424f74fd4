# One virtual environment for everything, made when first needed. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# constraints.txt: the tested versions, above all torch's, so that nothing pulls another build.
INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo test check bench docs kill-test clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python $(INSTALL) '.[test,check]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python $(INSTALL) '.[docs]'
	touch $@

# Each demo gets a folder of its own: a run is never overwritten.
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)

demo: $(VENV)/.installed
	$(BIN)/bijectory train smiley_mixture_cdf --run $(DEMO)/smiley_mixture_cdf
	$(BIN)/bijectory train smiley_realnvp --run $(DEMO)/smiley_realnvp
	$(BIN)/bijectory report $(DEMO)/smiley_mixture_cdf $(DEMO)/smiley_realnvp -o runs/report.html

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 -m 'not slow and not gpu' $(ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy

# 100 kills at random moments, each run resumed and compared bit for bit; 1,000 flipped bytes and cut files.
kill-test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 -m slow tests/training

# Peers at pinned versions in an environment of their own; about an hour of measuring (ARGS='--rows steps smiley' for some of it), then docs/benchmarks.md and its plot.
BENCH := .venv-bench
bench:
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	echo '*' > $(BENCH)/.gitignore
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --constraint benchmarks/constraints.txt --editable . \
	  zuko nflows normflows FrEIA pyro-ppl jax flowjax distrax optax matplotlib
	$(BENCH)/bin/python benchmarks/run.py $(ARGS)
	$(BENCH)/bin/python benchmarks/table.py

# The documentation as pages in site/: open site/index.html.
docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .venv-bench site build dist .mypy_cache .ruff_cache .pytest_cache
