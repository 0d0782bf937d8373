# Two commands: `make demo` to see it, `make test` to trust it. Both install what they need into .venv by themselves.
# A desk of your own begins with make install: the README goes on from there.
# Another Python than python3: make demo PYTHON=python3.13. More for the command itself: make demo ARGS="--port 9000".

PYTHON ?= python3
ARGS ?=
export THOROUGH
VENV := .venv
RUN := $(VENV)/bin/python
MAKEFLAGS += --no-print-directory

# Installs the lock file $(1); $(2) says what for. Ends with one line that says what is wrong.
define install
	@say() { echo "make: $$1" >&2; exit 1; }; \
	command -v $(PYTHON) >/dev/null 2>&1 || say "there is no $(PYTHON) here: install Python 3.11 to 3.14, or name one: make PYTHON=python3.12 ..."; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || say "$(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1), and 3.11 to 3.14 is needed: install one, or name one: make PYTHON=python3.12 ..."; \
	$(RUN) -c 'import pip' >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || say "$(PYTHON) cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)."; \
	echo "Installing what is needed $(2) into $(VENV) ($$($(RUN) --version)) ..."; \
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes --retries 2 --timeout 20 -r $(1) >$(VENV)/install.log 2>&1 \
		|| say "installing failed (is there a network?): $$(grep -E '^ *ERROR' $(VENV)/install.log | tail -n 1). All of it: $(VENV)/install.log"; \
	touch $@
endef

.PHONY: install demo test check audit bench crash-matrix faults permissions screenshots messages lock clean

install: $(VENV)/.run
	@echo "$(VENV) has what is needed to run, in the versions of requirements.txt."

demo: $(VENV)/.run
	@exec $(RUN) manage.py demo --port 8000 --sandbox-port 12111 --data-dir .demo --invoices 500 $(ARGS)

test: $(VENV)/.dev
	@command -v chromium >/dev/null 2>&1 || echo "There is no chromium here: the tests that drive a browser are skipped (Debian: apt install chromium)."
	@exec $(RUN) -m pytest -n auto $(ARGS)

check: $(VENV)/.dev
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	@echo "$(RUN) manage.py makemigrations --check"
	@DATABASE_URL=sqlite://:memory: CELERY_BROKER_URL=memory:// $(RUN) manage.py makemigrations --check --dry-run
	@echo "$(RUN) -m tests.helpers.lint_migrations"
	@DATABASE_URL=sqlite://:memory: CELERY_BROKER_URL=memory:// $(RUN) -m tests.helpers.lint_migrations

# Known vulnerabilities, licences, and an SBOM in test-results/sbom.json. What cannot be asked without a network is named.
audit: $(VENV)/.dev
	@$(RUN) .ci/audit $(ARGS) || [ $$? = 75 ]

# All of it writes benchmarks/RESULTS.md; one alone: make bench ARGS="door --rounds 1". See benchmarks/README.md.
bench: $(VENV)/.dev
	@exec $(RUN) -m benchmarks $(ARGS)

# Kills a process at every point of every action, takes its authority away there, and loses the database's tail; writes
# docs/crash-matrix.md.
crash-matrix: $(VENV)/.dev
	@exec $(RUN) -m tests.crash $(ARGS)

# Breaks servers, connections, clocks and processes under a running installation of its own; writes docs/faults.md.
faults: $(VENV)/.dev
	@exec $(RUN) -m tests.faults $(ARGS)

# Writes the tables of docs/permissions.md from the rows that the tests compare with the desk.
permissions: $(VENV)/.dev
	@exec $(RUN) -m tests.permission_matrix

# Starts a demo of its own, and takes the pictures of README and docs anew.
screenshots: $(VENV)/.dev
	@exec $(RUN) docs/images/take.py $(ARGS)

# Finds the texts of the desk, and compiles their translations: locale/de/LC_MESSAGES/django.po is where they are written.
# Needs GNU gettext (Debian: apt install gettext).
messages: $(VENV)/.dev
	DATABASE_URL=sqlite://:memory: CELERY_BROKER_URL=memory:// $(RUN) manage.py makemessages --locale de
	DATABASE_URL=sqlite://:memory: CELERY_BROKER_URL=memory:// $(RUN) manage.py compilemessages --locale de --verbosity 0

lock:
	uv pip compile pyproject.toml --generate-hashes --universal --python-version 3.11 --no-header --quiet $(ARGS) -o requirements.txt
	uv pip compile pyproject.toml --group dev -c requirements.txt --generate-hashes --universal --python-version 3.11 --no-header --quiet $(ARGS) -o requirements-dev.txt

# The demo's data goes too.
clean:
	rm -rf $(VENV) .demo .clients .coverage htmlcov staticfiles test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: requirements.txt
	$(call install,requirements.txt,to run)

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(call install,requirements-dev.txt,to test)
