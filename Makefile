# One virtual environment for everything, made when first needed. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench docs kill-test clean

# constraints.txt: the tested versions, above all torch's, so that nothing pulls another build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,check]'
	touch $@

# Each demo gets a folder of its own: a run is never overwritten.
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)

demo: $(VENV)/.installed
	$(BIN)/bijectory train smiley_mixture_cdf --run $(DEMO)/smiley_mixture_cdf
	$(BIN)/bijectory train smiley_realnvp --run $(DEMO)/smiley_realnvp
	$(BIN)/bijectory report $(DEMO)/smiley_mixture_cdf $(DEMO)/smiley_realnvp -o runs/report.html

test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,check]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/bijectory train smiley_mixture_cdf
	$(BIN)/bijectory train smiley_realnvp
	$(BIN)/bijectory report -o runs/report.html runs/smiley_mixture_cdf runs/smiley_realnvp

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 -m 'not slow and not gpu' $(ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/mypy

# SIGKILL at 100 random moments, each run resumed and compared bit for bit with one that nobody killed.
kill-test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 -m slow tests/training/test_kills.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
