# Two entry points: `make demo` shows what the package does, `make test` runs the tests. Both need only Python >= 3.11 (on
# Debian with python3-venv), git and make. On Linux, torch from PyPI brings gigabytes of CUDA; for CPUs only:
#     PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
BIN := .venv/bin
SOURCES := src tests examples integrations

.PHONY: demo app test test-app test-newest test-oldest lint format docs clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.12")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

demo: .venv/installed
	$(BIN)/unipose demo

# Gradio limits Pillow to below the version in constraints.txt, so pip chooses the versions here.
app: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[app]"
	$(BIN)/unipose app

test: .venv/installed-test
	$(BIN)/python -m pytest

# The tests of the app, which `make test` skips; those in a browser need Debian's chromium. Gradio limits Pillow to below the
# version in constraints.txt, so pip chooses the versions here.
test-app:
	$(PYTHON) -m venv --clear build/app
	build/app/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test,app]" playwright
	build/app/bin/python -m pytest tests/app

# What `pip install` gives today: the newest releases that pyproject.toml allows, without constraints.
test-newest:
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/python -m pip install --quiet --disable-pip-version-check ".[test]"
	build/newest/bin/python -m pytest -m versions

# The oldest releases that pyproject.toml allows, which pip cannot select but uv can.
test-oldest:
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/oldest/bin/uv pip install --quiet --python build/oldest/bin/python --resolution lowest-direct ".[test]"
	build/oldest/bin/python -m pytest -m versions

lint: .venv/installed-test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: .venv/installed-test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# The site, into build/site; a broken link or a docstring that does not parse stops it.
docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf .venv demo
