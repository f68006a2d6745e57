# `make help` lists what there is. Each target does the set-up that it needs, once.

PYTHON ?= python3
ARGS ?=

# `make PYTHON=...` works in an environment of that Python's own, named by its version.
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(shell '$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifeq ($(VENV),.venv-)
$(error PYTHON=$(PYTHON) does not run. Name a Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12 ...)
endif
endif
BIN := $(VENV)/bin
# One whose Python is gone is made anew, whole: its stamps would say that everything is in it.
$(shell test -e $(BIN)/python || rm -rf $(VENV))
# Most tests wait for processes and sockets: two at a time for each core.
WORKERS = $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
BUILT := build/wheel
ifneq ($(VENV),.venv)
BUILT := build/wheel$(VENV:.venv%=%)
endif
INSTALL := @tools/install_locked $(BIN)/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "  %-13s %s\n", $$1, $$2 }'

.PHONY: install
install: $(VENV)/.segue ## the virtual environment with the proxy: .venv/bin/segue

.PHONY: demo
demo: $(VENV)/.segue $(VENV)/.demo ## watch old frames come out new (ARGS=--once ends by itself)
	@$(BIN)/segue demo $(ARGS)

.PHONY: test
test: setup ## all tests, with the set-up that they need (ARGS=... goes to pytest)
	@tools/system_packages
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

.PHONY: unit
unit: setup ## the tests that need no sockets and no processes: seconds
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile tests/unit $(ARGS)

# Every supported Python that the machine has, but for the one that has been dealt with.
define each_other_python
@$(BIN)/python -m tools.interpreters --others | while read -r version path; do \
	echo "Python $$version"; $(MAKE) --no-print-directory -s $(1) PYTHON="$$path" </dev/null || exit 1; \
done
endef

.PHONY: unit-pythons
unit-pythons: setup ## the unit tests on every other supported Python that is found
	$(call each_other_python,unit)

.PHONY: test-pythons
test-pythons: setup ## all tests on every other supported Python that is found
	$(call each_other_python,test)

.PHONY: setup
setup: $(VENV)/.segue $(VENV)/.demo $(VENV)/.dev ## the virtual environment with everything for development

.PHONY: wheel
wheel: $(BUILT)/.done ## the package as it is shipped, its frame path compiled: build/wheel/*.whl

# What was built is the same for as long as no source has changed.
$(BUILT)/.done: $(VENV)/.compile pyproject.toml README.md LICENSE tools/compile $(shell find proxy -name '*.py' -o -path '*/assets/*' -type f)
	@tools/compile $(BIN)/python $(BUILT)
	@touch $@

.PHONY: test-compiled
test-compiled: wheel setup ## the tests of the frame path against what is compiled of it
	@TESTS_COMPILED=1 PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(BUILT)/package $(BIN)/python -m pytest \
		--override-ini pythonpath="$(BUILT)/package ." --numprocesses $(WORKERS) --dist loadfile \
		tests/unit/test_compiled.py tests/unit/websocket tests/unit/test_rewriting.py \
		tests/unit/mapping/compiler/test_splice.py tests/sockets/relay/test_websocket.py \
		tests/sockets/test_invariants.py $(ARGS)

.PHONY: check
check: lint format-check types imports docker-lint lock-check ## all checks that run no test

.PHONY: lint
lint: setup ## ruff's rules
	@$(BIN)/ruff check .

.PHONY: format
format: setup ## rewrite the code in ruff's format
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format .

.PHONY: format-check
format-check: setup ## is everything in ruff's format?
	@$(BIN)/ruff format --check .

.PHONY: types
types: setup ## strict types
	@$(BIN)/mypy

.PHONY: imports
imports: setup ## the import contracts
	@$(BIN)/lint-imports --no-cache

.PHONY: docker-lint
docker-lint: setup ## the Dockerfile's rules
	@$(BIN)/hadolint Dockerfile

.PHONY: schemas
schemas: setup ## write the JSON Schemas of the configuration and of mappings anew
	@for what in config mapping; do $(BIN)/segue schema $$what > schemas/$$what.schema.json; done

.PHONY: lock-check
lock-check: $(VENV)/.lock ## do the lock files say what pyproject.toml asks for, whole? (works offline)
	@$(BIN)/python tools/locks.py check

.PHONY: lock
lock: $(VENV)/.lock ## compile the lock files anew (ARGS=--upgrade for newer versions)
	@$(BIN)/python tools/locks.py make $(ARGS)

.PHONY: docs
docs: setup ## the documents as a site, every link checked: build/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html"

.PHONY: collection
collection: setup ## are the same tests collected each time?
	@tools/system_packages
	@$(BIN)/python tools/collected.py

.PHONY: coverage
coverage: setup ## the unit tests, and their branch coverage of the pure rooms, which has to be full
	@$(BIN)/python tools/pure_coverage.py

.PHONY: clean
clean: ## remove what builds and tools left; the virtual environment stays
	@rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@echo "Creating $(VENV)"
	@tools/create_venv "$(PYTHON)" $(VENV)

# The stamps are in the environment, so that whoever removes it removes them.
$(VENV)/.segue: pyproject.toml requirements/build.txt requirements/runtime.txt | $(BIN)/python
	@echo "Installing the proxy"
	$(INSTALL) build runtime
	@$(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install \
		--no-deps --no-build-isolation --no-index --editable .
	@touch $@

# What builds the package and what compiles it, and no tool for development.
$(VENV)/.compile: requirements/build.txt requirements/compile.txt | $(BIN)/python
	@echo "Installing the compiler of the frame path"
	$(INSTALL) build compile
	@touch $@

$(VENV)/.demo: requirements/demo.txt | $(BIN)/python
	@echo "Installing the demo backend's packages"
	$(INSTALL) demo
	@touch $@

# Of its own, so that lock files that cannot be installed can be mended.
$(VENV)/.lock: requirements/lock.txt | $(BIN)/python
	$(INSTALL) lock
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing the development tools"
	$(INSTALL) dev
	@touch $@

.PHONY: test-pure
test-pure: setup ## all tests with aiohttp's parser that is written in Python
	@tools/system_packages
	@AIOHTTP_NO_EXTENSIONS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: setup $(VENV)/.fuzz ## coverage-guided fuzzing, FUZZ_SECONDS for each target (ARGS=... names some)
	@$(BIN)/python -m tools.fuzz $(FUZZ_SECONDS) $(ARGS)

$(VENV)/.fuzz: requirements/fuzz.txt | $(BIN)/python
	@echo "Installing the fuzzer"
	$(INSTALL) fuzz
	@touch $@

.PHONY: sunset
sunset: setup ## ninety simulated days of a fleet: is a mapping ever called safe wrongly, or late? (ARGS=SEEDS)
	@$(BIN)/python -m tools.sunset_simulation $(ARGS)

API_FUZZ_SECONDS ?= 60

.PHONY: api-fuzz
api-fuzz: setup $(VENV)/.api-fuzz ## fuzz the admin API by its own description, API_FUZZ_SECONDS (ARGS=SEED)
	@$(BIN)/python -m tools.api_fuzz $(VENV)/api-fuzz/bin/st $(API_FUZZ_SECONDS) $(ARGS)

# An environment of its own: it would put itself into every run of pytest.
$(VENV)/.api-fuzz: requirements/api-fuzz.txt | $(BIN)/python
	@echo "Installing the fuzzer of the admin API"
	@tools/create_venv $(BIN)/python $(VENV)/api-fuzz
	@tools/install_locked $(VENV)/api-fuzz/bin/python api-fuzz
	@touch $@

.PHONY: autobahn
autobahn: setup $(VENV)/.autobahn ## the WebSocket test suite of that name with Segue in the middle
	@$(BIN)/python -m tools.autobahn $(VENV)/autobahn $(ARGS)

$(VENV)/.autobahn: requirements/autobahn.txt requirements/autobahn-pip.txt tools/autobahn/setup
	@echo "Fetching the Autobahn test suite, and a Python 2.7 for it"
	@tools/autobahn/setup $(BIN)/python $(VENV)/autobahn
	@touch $@

.PHONY: bench
bench: wheel setup ## measure Segue beside its peers: bench/results/ (ARGS=--help lists the options)
	@$(BIN)/python -m bench install
	@$(BIN)/python -m bench $(ARGS)

.PHONY: proof
proof: setup ## what takes long, its results in proofs/ (ARGS=... names parts; an hour or more for all)
	@$(BIN)/python -m tools.proof $(ARGS)

.PHONY: proof-check
proof-check: setup ## which results in proofs/ are older than the code that they are about?
	@$(BIN)/python -m tools.proof --check $(ARGS)

DURATION ?= 600

.PHONY: guard-runs
guard-runs: setup ## 3,000 simulated rollouts: do guards take back what they should, and nothing else?
	@$(BIN)/python -m tools.guard_runs

.PHONY: soak
soak: setup ## mixed traffic for DURATION seconds (600), then memory and every account are checked
	@$(BIN)/python -m bench.soak --seconds $(DURATION)

RUNS ?= 1000

.PHONY: freshness
freshness: setup ## RUNS (1000) of a page that polls after every frame, and the same in Chromium: is anything stale?
	@FRESHNESS_RUNS=$(RUNS) FRESHNESS_SOCKETS=255 FRESHNESS_CHATS=10 $(BIN)/python -m pytest --quiet --capture=no \
		tests/sockets/gateway/test_freshness_runs.py tests/browser/test_refetching.py $(ARGS)
