# `make help` lists what there is. Each target does the set-up that it needs, once.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
BUILT := build/wheel
# Wheels only: building a source distribution would run packages that no lock file names.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install
LOCKED := $(PIP) --only-binary :all: --require-hashes
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

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
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

.PHONY: setup
setup: $(VENV)/.segue $(VENV)/.demo $(VENV)/.dev ## the virtual environment with everything for development

.PHONY: wheel
wheel: $(BUILT)/.done ## the package as it is shipped, its frame path compiled: build/wheel/*.whl

# What was built is the same for as long as no source has changed.
$(BUILT)/.done: $(VENV)/.compile pyproject.toml tools/compile $(shell find proxy -name '*.py')
	@tools/compile $(BIN)/python $(BUILT)
	@touch $@

$(VENV)/.compile: requirements/compile.txt | setup
	@echo "Installing the compiler of Python"
	@$(LOCKED) -r requirements/compile.txt
	@touch $@

.PHONY: test-compiled
test-compiled: wheel ## the tests of the frame path against what is compiled of it
	@TESTS_COMPILED=1 PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(BUILT)/package $(BIN)/python -m pytest \
		--override-ini pythonpath="$(BUILT)/package ." --numprocesses auto --dist loadfile \
		tests/test_compiled.py tests/test_walker.py tests/test_walker_chunks.py \
		tests/test_frames.py tests/mapping/test_splice.py tests/relay/test_websocket.py tests/test_invariants.py $(ARGS)

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
lock-check: setup ## do the lock files say what their sources ask for? (works offline)
	@$(BIN)/python tools/check_locks.py

.PHONY: lock
lock: setup ## compile the lock files anew (ARGS=--upgrade for newer versions)
	@$(COMPILE) $(ARGS) pyproject.toml -o requirements/runtime.txt
	@$(COMPILE) $(ARGS) requirements/build.in -c requirements/runtime.txt -o requirements/build.txt
	@$(COMPILE) $(ARGS) requirements/demo.in -c requirements/runtime.txt -c requirements/build.txt \
		-o requirements/demo.txt
	@$(COMPILE) $(ARGS) requirements/redis.in -c requirements/runtime.txt -o requirements/redis.txt
	@$(COMPILE) $(ARGS) requirements/dev.in -c requirements/runtime.txt -c requirements/build.txt \
		-c requirements/demo.txt -c requirements/redis.txt -o requirements/dev.txt
	@$(COMPILE) $(ARGS) requirements/fuzz.in -o requirements/fuzz.txt
	@$(COMPILE) $(ARGS) requirements/compile.in -c requirements/build.txt -c requirements/dev.txt \
		-o requirements/compile.txt

.PHONY: coverage
coverage: setup ## branch coverage of the pure floors by their own tests; it has to be full
	@$(BIN)/python tools/pure_coverage.py

.PHONY: clean
clean: ## remove what builds and tools left; the virtual environment stays
	@rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@echo "Creating $(VENV)"
	@tools/create_venv "$(PYTHON)" $(VENV)

# The stamps are in the environment, so that whoever removes it removes them.
$(VENV)/.segue: pyproject.toml requirements/build.txt requirements/runtime.txt | $(BIN)/python
	@echo "Installing the proxy"
	@$(LOCKED) -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.demo: requirements/demo.txt | $(BIN)/python
	@echo "Installing the demo backend's packages"
	@$(LOCKED) -r requirements/demo.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing the development tools"
	@$(LOCKED) -r requirements/dev.txt
	@touch $@

.PHONY: test-pure
test-pure: setup ## all tests with aiohttp's parser that is written in Python
	@tools/system_packages
	@AIOHTTP_NO_EXTENSIONS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: setup $(VENV)/.fuzz ## coverage-guided fuzzing, FUZZ_SECONDS for each target (ARGS=... names some)
	@$(BIN)/python -m tools.fuzz $(FUZZ_SECONDS) $(ARGS)

$(VENV)/.fuzz: requirements/fuzz.txt
	@echo "Installing the fuzzer"
	@$(LOCKED) -r requirements/fuzz.txt
	@touch $@

.PHONY: autobahn
autobahn: setup $(VENV)/.autobahn ## the WebSocket test suite of that name with Segue in the middle
	@$(BIN)/python -m tools.autobahn $(VENV)/autobahn $(ARGS)

$(VENV)/.autobahn: requirements/autobahn.txt requirements/autobahn-pip.txt tools/autobahn/setup
	@echo "Fetching the Autobahn test suite, and a Python 2.7 for it"
	@tools/autobahn/setup $(BIN)/python $(VENV)/autobahn
	@touch $@

.PHONY: bench
bench: wheel ## measure Segue beside its peers: bench/results/ (ARGS=--help lists the options)
	@$(BIN)/python -m bench install
	@$(BIN)/python -m bench $(ARGS)

DURATION ?= 600

.PHONY: soak
soak: setup ## mixed traffic for DURATION seconds (600), then memory and every account are checked
	@$(BIN)/python -m bench.soak --seconds $(DURATION)
