# make demo     see it work, in a temporary directory
# make test     linters, types, layers, and all tests, as many at once as there are processors
# make setup    what these need: Debian's packages, and a virtual environment in .venv
# make soak     ten minutes of three hosts at work, with kills
# make bench    beside restic and borg, which it installs; hours at full size
# make growth   how time, memory and requests grow up to a million files and 300 snapshots; hours
# Packages are installed with apt-get (by sudo, if you are not root) only where one is missing.

PYTHON ?= python3
PACKAGES = acl attr fuse3 gcc libfuse3-dev pkg-config python3-dev python3-venv rsync
BIN = .venv/bin

.PHONY: demo test check setup packages clean soak bench growth

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" contrib/demo.sh

test: check
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: setup
	$(BIN)/python contrib/soak.py

bench: setup
	@contrib/packages.sh restic borgbackup python3-llfuse
	@contrib/newest-borg.sh .venv
	$(BIN)/python -m bench --output docs/benchmarks-table.md

growth: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench.growth

setup: packages .venv/ready

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "snapfs needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	# Where the environment forbids Python to write byte code, each start would compile all again.
	$(BIN)/python -m compileall -q snapfs
	@touch $@

packages:
	@contrib/packages.sh $(PACKAGES)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
