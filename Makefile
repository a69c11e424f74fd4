# One virtual environment for everything, made when first needed. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench docs clean

# --prefer-binary and constraints.txt: the tested versions, above all torch's, so that nothing pulls another build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,check]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/bijectory train smiley_mixture_cdf
	$(BIN)/bijectory train smiley_realnvp

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 -m 'not slow and not gpu' $(ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
