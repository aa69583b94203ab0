# Every target does its own set-up: Python 3.11 or newer and make are all a machine needs.

.DEFAULT_GOAL := help
.PHONY: help run test lint types contracts dependencies check image bench format clean

BIN := .venv/bin
SYNCED := .venv/.synced
PYTEST := -m pytest $(if $(ALL),,-m "not slow") $(ARGS)

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

run: $(SYNCED) ## start a relay to try: SMTP on 127.0.0.1:2525, mail kept in a Maildir
	@exec $(BIN)/presend serve --dev

test: $(SYNCED) ## run the tests but the slow ones; ALL=1 runs all; as root on Debian, installs their programs
	@.ci/programs
	$(BIN)/python $(strip $(if $(COVERAGE),-m coverage run) $(PYTEST))

lint: $(SYNCED) ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(SYNCED) ## mypy --strict
	$(BIN)/mypy relay validators tests

contracts: $(SYNCED) ## who may import whom
	$(BIN)/lint-imports

dependencies: $(SYNCED) ## what is imported is declared, and the other way round
	$(BIN)/deptry .

check: lint types contracts dependencies test ## all of the above

image: $(SYNCED) ## build the image and run it in a pod: root, podman, runc, debootstrap
	$(BIN)/python -m pytest tests/deploy/image_check.py

bench: $(SYNCED) ## measure speed and memory beside other relays: ten minutes, root on Debian
	$(BIN)/python -m tests.bench $(ARGS)

format: $(SYNCED) ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove the environment and what the tools left
	rm -rf .venv .coverage .coverage.* .*_cache .hypothesis dist

$(SYNCED): pyproject.toml uv.lock .ci/setup
	@.ci/setup
	@touch $@
