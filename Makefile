# Every target may be called from any folder: make -C path/to/plenum, make -f path/to/plenum/Makefile.
# The work is done by scripts/, and by cargo and npm; here stands only what belongs together.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# The path may hold spaces, which make's own functions split at.
ROOT := $(shell cd "$$(dirname -- "$$(sed 's/^ *//' <<<'$(MAKEFILE_LIST)')")" && pwd)
# More arguments for the program that a target starts: make test ARGS='-p room'
ARGS :=

define enter
cd "$(ROOT)"
source scripts/env.sh
endef

.PHONY: help run build web setup test soak lint bench clean

help: ## list the targets
	@$(enter)
	sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

run: build ## build everything and start a server on this machine (ARGS: more for `plenum serve`)
	@$(enter)
	echo "run: starting the server; end it with Ctrl+C"
	exec cargo run --quiet -p plenum -- serve --dev $(ARGS)

build: web ## build the page and the program
	@$(enter)
	echo "build: the program (the first time takes some minutes)"
	cargo build -p plenum

web: setup ## build the page
	@$(enter)
	scripts/web.sh

setup: ## install what is missing to build
	@$(enter)
	scripts/setup.sh

test: web ## pass every test (ARGS: for the test runner, such as -p rtp)
	@$(enter)
	scripts/setup.sh --test
	npm --prefix crates/web run check
	npm --prefix crates/web test
	scripts/test.sh $(ARGS)

soak: web ## a long call and many calls: what grows, what is left behind (a quarter of an hour)
	@$(enter)
	scripts/setup.sh --test
	scripts/soak.sh $(ARGS)

lint: web ## formatting, lints, licences
	@$(enter)
	scripts/setup.sh --lint
	scripts/lint.sh

bench: web ## measure media against peers and limits, and the API (ARGS: --json, --quick, --only 1,2)
	@$(enter)
	scripts/setup.sh --bench >&2
	echo "bench: building with every optimisation (the first time takes some minutes)" >&2
	cargo build --quiet --release -p media-bench -p plenum
	exec "$${CARGO_TARGET_DIR:-target}/release/media-bench" $(ARGS)

clean: ## remove what was built (installed tools and npm packages stay)
	@$(enter)
	cargo clean
	rm -rf crates/web/dist artefacts
