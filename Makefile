# make demo and make test are the two that matter; `make` alone lists everything. All set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
# For make cluster: local or celery.
EXECUTOR ?= local
# For make cluster: whether waits begin in a worker, or by trigger.
START ?= worker
# For make kills, make events and make histories.
SEED ?= 1
HISTORIES ?= 2000
BIN := $(VENV)/bin
# Airflow is thousands of modules. Without cached bytecode, every process compiles them first, for seconds.
unexport PYTHONDONTWRITEBYTECODE
# The tests that share an Airflow stay with one worker; the others go one by one to any free worker. Many tests
# await something: three workers keep two cores busy.
PYTEST := $(BIN)/pytest -n 3 --dist loadgroup
# The day of Airflow 3.3.2's release: later packages might not work with it.
CONSTRAINTS_DATE := 2026-09-18
# The commands that pyenv puts into PATH find only the versions that are switched on. A missing version fails its
# sessions of the matrix.
PYENV_PYTHONS := $(wildcard $(shell pyenv root 2>/dev/null)/versions/3.1[123].*/bin)

.PHONY: help
help:  ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | column -t -s @

.PHONY: setup
setup: $(VENV)/.ready  ## Create the development environment in .venv

$(VENV)/.ready: constraints.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh "$(PYTHON)" $(VENV)
	@touch $@

.PHONY: demo
demo: setup  ## Run the example DAG on real Airflow against an emulator of the API; DAG=oceanbase_on_backup runs another
	@$(BIN)/python scripts/demo.py $(if $(DAG),--dag $(DAG))

.PHONY: cluster
cluster: setup  ## Kill a triggerer during 200 waits on a complete Airflow (EXECUTOR=celery: and a worker; START=trigger: begin them there)
	@$(BIN)/python scripts/cluster.py --executor $(EXECUTOR) --start $(START)

.PHONY: kills
kills: setup  ## Kill 20 waits at random moments on a complete Airflow (SEED=2: at other moments)
	@$(BIN)/python scripts/kills.py --seed $(SEED)

.PHONY: events
events: setup  ## Run DAGs on completed backups while the triggerer is killed repeatedly (SEED=2: at other moments)
	@$(BIN)/python scripts/events.py --seed $(SEED)

.PHONY: lint
lint: setup  ## Run the static checks: ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

.PHONY: test
test: lint  ## Run all checks: make lint, then pytest with coverage
	$(PYTEST) --cov

.PHONY: quick
quick: lint  ## Run make lint and the fast tests within a minute: nothing thorough, no whole DAG, no package
	$(PYTEST) -q -m "not builds and not whole_airflow and not thorough"

.PHONY: faults
faults: setup  ## Print what comes of each fault of server, network and data, for each sensor, operator and trigger
	@PYTHONPATH=.:tests:tests/support:scripts $(BIN)/python -m faults

.PHONY: realities
realities: setup  ## Run each job on each way in which the service may really answer; update the table of the documentation
	@PYTHONPATH=.:tests:tests/support:scripts $(BIN)/python -m realities

.PHONY: tables
tables: setup  ## Write the tables of the docs that come from runs: what a log shows, what tasks ride out
	@for table in situations outages; do \
	  PYTHONPATH=$(CURDIR):$(CURDIR)/tests:$(CURDIR)/tests/support:$(CURDIR)/scripts \
	    $(BIN)/python -m $$table write > /dev/null || exit 1; \
	done

.PHONY: histories
histories: setup  ## Run fixed and random histories of a start, waits and a watch against models (HISTORIES=2000 SEED=1: how many, which)
	HISTORIES=$(HISTORIES) SEED=$(SEED) $(BIN)/pytest -q -n 0 $(addprefix tests/histories/,fixed.py run.py agreement.py)

.PHONY: docs
docs: setup  ## Build the documentation into docs/_build/; a broken link or reference fails
	AIRFLOW_HOME=$(CURDIR)/docs/_build/airflow AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR \
	  $(BIN)/sphinx-build -q -n -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

.PHONY: ui
ui: setup  ## Test the web UI in a real browser (SCREENSHOTS=docs/images: update the screenshots)
	$(BIN)/pytest tests/ui $(if $(SCREENSHOTS),--screenshots $(SCREENSHOTS))

.PHONY: matrix
matrix: setup  ## Run the tests on every supported Airflow and Python (needs 3.11, 3.12 and 3.13)
	PATH="$(subst : ,:,$(addsuffix :,$(PYENV_PYTHONS)))$$PATH" $(BIN)/nox

.PHONY: audit
audit: setup  ## Look for known vulnerabilities in the pinned environment
	$(BIN)/uv tool run pip-audit --no-deps --disable-pip -r constraints.txt

.PHONY: format
format: setup  ## Format the code and apply ruff's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: build
build: setup  ## Build wheel and sdist into dist/ and check them as a package index does
	rm -rf dist
	$(BIN)/uv build -q --no-create-gitignore
	$(BIN)/twine check --strict dist/*

.PHONY: release
release: setup  ## Check, build, tag and upload this version (DRY_RUN=1: neither tag nor upload)
	@$(BIN)/python scripts/release.py $(if $(DRY_RUN),--dry-run)

.PHONY: soak
soak: setup  ## Run 2,000 waits for ten minutes against a cloud that fails one request in ten, in every way (SECONDS=60: shorter)
	@PYTHONPATH=.:tests:tests/support:scripts $(BIN)/python -m benchmarks.soak $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: bench
bench: setup  ## Measure the cost of a poll and a wait and update benchmarks/ (QUICK=1: only check that it runs)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

.PHONY: bench-triggerer
bench-triggerer: setup  ## Measure 1,000 and 3,000 waits in a real triggerer and update benchmarks/ (WAITS=100: only print)
	@PYTHONPATH=$(CURDIR):$(CURDIR)/scripts $(BIN)/python -m benchmarks.triggerer $(if $(WAITS),--waits $(WAITS))

.PHONY: bench-handover
bench-handover: setup  ## Measure the seconds from DONE to the next task and update benchmarks/ (WAITS=5: only print)
	@PYTHONPATH=$(CURDIR):$(CURDIR)/scripts $(BIN)/python -m benchmarks.handover $(if $(WAITS),--waits $(WAITS))

.PHONY: constraints
constraints: setup  ## Update the pins: constraints.txt for development, tests/constraints/ for each Airflow
	$(BIN)/uv pip compile -q pyproject.toml --group dev --python-version 3.11 --upgrade \
	  --exclude-newer $(CONSTRAINTS_DATE) \
	  --no-header --no-annotate --no-emit-index-url -o constraints.txt
	$(BIN)/nox -s constraints

.PHONY: clean
clean:  ## Remove what the other commands created
	rm -rf $(VENV) .nox dist docs/_build .coverage .mypy_cache .pytest_cache .ruff_cache test-results
