# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need under .venv and nowhere else.
#
# PYTHON  the interpreter that the environment is made with, 3.11 or newer: make PYTHON=python3.12 test
# SEED    which world `make simulate` shows; DAYS how many virtual days it tries
# ARGS    further arguments of pytest, of the demo or of the benchmark: make test ARGS="-k dialogue"
#         (ARGS=-n0 runs the tests one after another, in one process)

PYTHON ?= python3
ARGS ?=

PARALLEL := -n auto # how many processes that is, and which tests go together: tests/conftest.py

VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
MADE_FOR := $(VENV)/made-for
RUNTIME := $(VENV)/installed-runtime
DEV := $(VENV)/installed-dev

# The environment holds absolute paths and one Python's packages: it is rebuilt for a moved tree or another PYTHON.
IDENTITY := $(CURDIR) $(shell $(PYTHON) -c 'import sys; print(sys.base_prefix, *sys.version_info[:2])' 2>/dev/null)
ifneq ($(shell cat $(MADE_FOR) 2>/dev/null),$(strip $(IDENTITY)))
.PHONY: $(MADE_FOR)
endif

.DELETE_ON_ERROR:
.PHONY: help demo test test-lowest check simulate bench soak wheel clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(RUNTIME) ## run the agent against simulated servers, on loopback only
	@$(BIN)/smtpcheck demo $(ARGS)

test: check ## check the code, then run all tests
	@$(BIN)/python -m pytest -q $(PARALLEL) $(ARGS)

test-lowest: $(MADE_FOR) ## run all tests with the lowest version of every dependency that pyproject.toml allows
	@rm -rf $(LOWEST) && $(PYTHON) -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOWEST)/bin/uv pip compile --quiet --resolution lowest-direct --extra otlp --extra ses pyproject.toml -o $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt \
		--editable '.[dev,bench]'
	@$(LOWEST)/bin/python -m pytest -q $(PARALLEL) $(ARGS)

check: $(DEV) ## check style and types
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --diff; exit 1; }
	@$(BIN)/mypy --no-error-summary

simulate: $(DEV) ## look for faults in worlds of the agent on virtual time: SEED=17 tells one story, DAYS=100 tries many
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(DAYS),--days $(DAYS)) $(ARGS)

bench: $(DEV) ## measure what it costs, against others and against its goals (Linux, a few minutes)
	@$(BIN)/python -m tests.bench $(ARGS)

soak: $(DEV) ## kill 200 times each a process that stores its state, one that sends mail, and one that sends alerts
	@SMTPCHECK_KILLS=200 $(BIN)/python -m pytest -q tests/state/test_state_kills.py tests/agent/test_loopback_kills.py \
		tests/agent/test_alert_kills.py $(ARGS)

wheel: $(DEV) ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## remove everything that was made here
	@rm -rf $(VENV) $(LOWEST) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE_FOR):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "smtpcheck needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@echo '$(strip $(IDENTITY))' > $@

$(RUNTIME): $(MADE_FOR) pyproject.toml
	@echo 'Installing smtpcheck into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): $(MADE_FOR) pyproject.toml
	@echo 'Installing smtpcheck and its tools into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@ $(RUNTIME)
