# Everything starts from nothing: each target first makes the environment that it needs, in .venv.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run example test rows stock stock-debian stock-pgbouncer lint audit bench faults fuzz lock

help: ## these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## the environment, from the pinned locks
	@:

run: setup ## everything with a practice carrier, and one demonstration message; Ctrl-C stops it
	$(VENV)/bin/postback up --demo

example: setup ## the auto-responder of examples/ in a conversation with a customer, over a practice carrier
	$(VENV)/bin/python examples/conversation.py

test: setup ## the suite, three files at a time
	$(VENV)/bin/pytest -n 3 --dist loadfile -m "not rows"

rows: setup ## every fault row and the benchmark, in a short form
	$(VENV)/bin/pytest -m rows

stock: stock-debian stock-pgbouncer ## the part about Postgres once more, on Debian's as it is packaged and behind its PgBouncer

stock-debian: setup
	$(VENV)/bin/pytest -n 3 --dist loadfile -m stock --bed debian

stock-pgbouncer: setup
	$(VENV)/bin/pytest -n 3 --dist loadfile -m stock --bed pgbouncer

lint: setup ## ruff, mypy strict, import rules
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

audit: setup ## known vulnerabilities of what the locks name, where their database can be asked
	$(VENV)/bin/python -m advisories

bench: setup ## the benchmark table
	$(VENV)/bin/python -m benchmarks

faults: setup ## the fault table: what breaks, and what is lost by it
	$(VENV)/bin/python -m faults

fuzz: setup ## a million requests that nobody should send
	$(VENV)/bin/python -m faults.fuzz

# The settings of this machine's pip and uv (another index, its address) must not get into the locks. A version that
# stands in a lock stays there as long as pyproject.toml allows it, unless UPGRADE names its package. Each package is in
# one lock only, and pip in none: an environment keeps the one that its Python brings.
COMPILE := UV_NO_CONFIG=1 $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(addprefix --upgrade-package ,$(UPGRADE))

lock: ## writes both locks anew from pyproject.toml
	rm -rf $(VENV)/lock
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --extra objects --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra dev --constraints requirements.lock --output-file requirements-dev.lock \
		--no-emit-package pip $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.lock) pyproject.toml
	rm -rf $(VENV)/lock

$(STAMP): requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Postback needs Python 3.11 or later; make PYTHON=python3.12 names another one." >&2; exit 1; }
	@echo "Installing what the two locks name into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
		-r requirements-dev.lock
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
