# Everything a developer runs, and the same that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.made-from-lock
# Processes that run tests side by side: one more than processors, because tests also wait.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST = $(if $(STORE),PRETERITE_TEST_STORE=$(STORE)) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal \
  $(if $(STORE),tests/stories tests/integrations)

# Where Python may not keep what it has compiled, each of the thousand processes that tests start compiles the whole package
# again, and each worker of pytest rewrites the assertions of every test.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(SETUP)  ## make .venv with everything pinned in requirements.lock

$(SETUP): requirements.lock pyproject.toml examples/retail/pyproject.toml examples/coupled/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "1 of 2: installing the pinned dependencies into $(VENV) (about a minute, once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "2 of 2: installing preterite and its examples"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . -e examples/retail -e examples/coupled
	@touch $(SETUP)

servers:  ## install and start PostgreSQL and PgBouncer, for tests and the demo; scripts/servers does more
	@scripts/servers install && scripts/servers start

browser:  ## install Chromium from Debian's packages, for the tests of the web shop
	@scripts/browser install

test: $(SETUP)  ## run the quick tier of tests, without servers; STORE=postgres runs the stories on PostgreSQL
	$(PYTEST)

test-all: $(SETUP)  ## run every test, with servers and the browser where they are; STORE=postgres as above
	$(PYTEST) --all

check: $(SETUP)  ## lint, format, types, layers, public API
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture

demo: $(SETUP)  ## replay a year of real purchases; STORE=postgres, DATA=FILE another file, RESUME=1 continues
	$(BIN)/python -m retail.demo $(if $(STORE),--store $(STORE)) $(if $(DATA),--lines $(DATA)) $(if $(RESUME),--resume)

shop: $(SETUP)  ## open the web shop on loopback; NEW=1 fills it again, PORT=8001 another port
	$(BIN)/python -m retail.web $(if $(NEW),--new) $(if $(PORT),--port $(PORT))

bench: $(SETUP)  ## measure speed, latency and memory beside the same rows in hand-written SQL
	$(BIN)/python -m benchmarks $(BENCH)

simulate: $(SETUP)  ## run a hundred simulated worlds, each from a seed; SEEDS=2000 so many, SEED=17 that one
	$(BIN)/python -m preterite.testing.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) $(SIMULATE)

crash: $(SETUP)  ## kill every flow at every write and sync, and take its power away; a quarter of an hour
	PYTHONPATH=tests $(BIN)/python -m crash $(CRASH)

mutants: $(SETUP)  ## put a fault into the core, one after the other, and see which layers of tests notice; half an hour and more
	PYTHONPATH=tests $(BIN)/python -m mutants $(MUTANTS)

peers: .venv-peers/.made  ## install what benchmarks compare with: RabbitMQ, and other packages in .venv-peers
	@scripts/servers install-rabbitmq && scripts/servers start-rabbitmq

.venv-peers/.made: benchmarks/peers/requirements.txt
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@echo "installing other packages into .venv-peers (a minute, once)"
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check -r benchmarks/peers/requirements.txt
	@touch $@

storm: $(SETUP)  ## kill, pause, crash and cut everything under load on PostgreSQL, and check the books; a quarter of an hour
	PYTHONPATH=tests $(BIN)/python -m support.storm $(STORM)

fuzz: $(SETUP)  ## send hostile input to messages, the command line and the shop; MINUTES=10 of each, FUZZ="--only shop"
	PYTHONPATH=tests:examples/retail/tests $(BIN)/python -m fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(FUZZ)

lock:  ## pin the newest allowed dependencies again (needs uv)
	uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
	  --extra sqlalchemy --extra calendar --extra postgres --extra fastapi --extra check --extra web --output-file requirements.lock pyproject.toml requirements.in

.PHONY: help setup servers browser test test-all check demo shop bench simulate crash mutants peers storm fuzz lock
