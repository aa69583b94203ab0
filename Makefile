# Every target sets up its own environment. The machine needs only make and Python 3.11 or newer.

.DEFAULT_GOAL := help
.PHONY: help run test lint types contracts dependencies check image
.PHONY: bench hostile interop format clean

BIN := .venv/bin
SYNCED := .venv/.synced
PYTEST := -m pytest $(if $(ALL),,-m "not slow") $(ARGS)

help: ## list the targets and the variables
	@sed -n -e 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' \
	    -e 's/^#   \([A-Z_]*=[^ ]*\) *\(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

run: $(SYNCED) ## start a development relay: SMTP on 127.0.0.1:2525, mail is written to a Maildir
	@exec $(BIN)/presend serve --dev

test: $(SYNCED) ## run the fast tests, or all with ALL=1; as root on Debian, install the programs they need
	@.ci/programs
	$(BIN)/python $(strip $(if $(COVERAGE),-m coverage run) $(PYTEST))

lint: $(SYNCED) ## check lint rules and formatting with ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(SYNCED) ## check types with mypy --strict
	$(BIN)/mypy relay validators tests

contracts: $(SYNCED) ## check the import rules with import-linter
	$(BIN)/lint-imports

dependencies: $(SYNCED) ## check that declared and imported dependencies match, with deptry
	$(BIN)/deptry .

check: lint types contracts dependencies test ## run all checks and the tests

image: $(SYNCED) ## build the image and run it in a pod; root on Debian: installs podman and others
	@.ci/programs image
	$(BIN)/python -m pytest tests/deploy/image_check.py

bench: $(SYNCED) ## compare speed and memory with other relays: ten minutes, root on Debian
	$(BIN)/python -m tests.bench $(ARGS)

hostile: $(SYNCED) ## attack the relay, and measure its other clients, probes and memory: ten minutes
	$(BIN)/python -m tests.hostile $(ARGS)

interop: $(SYNCED) ## try other clients and servers and write docs/interoperability.md: root on Debian
	$(BIN)/python -m tests.interop $(ARGS)

format: $(SYNCED) ## fix and format the code with ruff
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove the environment, caches and build output
	rm -rf .venv .coverage .coverage.* .*_cache .hypothesis dist

$(SYNCED): pyproject.toml uv.lock .ci/setup
	@.ci/setup
	@touch $@

# Variables, on the command line of make, such as `make test ALL=1`:
#   PYTHON=PATH      the Python 3.11 or newer for a new .venv; `make clean` removes an old one
#   ALL=1            test: run the slow tests too
#   ARGS="..."       test, bench, hostile, interop: further arguments, such as "-k pool"
#   COVERAGE=1       test: measure the coverage
#   NO_INSTALL=1     test, image: install no Debian packages
