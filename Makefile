# `make` or `make help` lists the targets. What they do is in scripts/, a few lines each.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# rustup's default place, for shells that do not have it in PATH (sudo's, for one).
export PATH := $(PATH):$(HOME)/.cargo/bin
export PREFIX DESTDIR SYSCONFDIR STATEDIR RUNDIR MODULEDIR
export TICKS STRATEGIES REPORT SPEED ARGS KILLS SEED CLASS

# The module and the engine; always built by the same command, so that nothing is built twice.
BUILD := cargo build --release --locked -p strat-module -p strat-engine

# The first look should not wait for the optimiser: until there is a release build, `make run` and `make demo` make do with a quick one.
LOOK := $(if $(wildcard $(or $(CARGO_TARGET_DIR),target)/release/strat-engine),release,quick)

# The simulator, with the known mistakes that `make planted` plants in it.
SIMULATE := cargo run --release --locked -q -p strat-tests --features planted --bin simulate --

# The client's families, each of which is to build alone.
CLIENT_FEATURES := cache candles limits market positions resilience sealed sessions tls upkeep

.PHONY: help setup setup-test build install release run replay demo test bench bench-full bench-accept bench-client chaos simulate planted fuzz \
	docs screenshots fmt lint coverage clean clean-data

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Install what is missing to build and run (Debian, Ubuntu; root or sudo)
	@scripts/setup.sh

setup-test: ## Install also what only the tests use (redis-py, schemathesis, exchange_calendars, Redis 8, Valkey, axe-core, into .run/; Chromium)
	@scripts/setup.sh test

build: setup ## Build the module (target/release/libstrat.so) and the engine
	$(BUILD)

# Builds nothing: it may be root's, who need not have Rust.
install: ## Install what is built: PREFIX=/usr/local [DESTDIR=… SYSCONFDIR=/etc MODULEDIR=/usr/lib/redis/modules]
	@scripts/install.sh

release: build ## Make a tarball of module, engine, units, settings and pages in target/release-tarball
	@scripts/release.sh

run: setup ## Trade the simulated market on private servers until Ctrl-C; data stay in .run/
	$(BUILD:--release=--profile $(LOOK))
	@STRAT_PROFILE=$(LOOK) scripts/run.sh

replay: build ## Replay a file: TICKS=… STRATEGIES=… REPORT=… (absolute paths) [SPEED=max|N] [ARGS=…]
	@scripts/replay.sh

demo: setup ## Replay the bundled sample day and print trades, exits, profit and loss
	$(BUILD:--release=--profile $(LOOK))
	@STRAT_PROFILE=$(LOOK) scripts/demo.sh

test: setup-test lint ## Everything: formatting, clippy, all tests, and a short run of each harness below
	$(BUILD)
	cargo test --workspace --locked --no-fail-fast -- --skip chaos::
	@KILLS=$(or $(KILLS),15) scripts/chaos.sh
	$(SIMULATE) --seeds 20000
	$(SIMULATE) --planted

bench: build ## Measure against plain Redis, Lua and the usual loop, two minutes: [ARGS='--only ticks,storm']
	@scripts/bench.sh quick

bench-full: build ## The same with a million strategies, about an hour; docs/benchmarks.md says what it means
	@scripts/bench.sh full

bench-accept: build ## Measure briefly, and keep the figures in bench/baseline.json as accepted: [ARGS='--only …']
	@scripts/bench.sh quick --accept

bench-client: setup ## Measure each call of the client against the same commands of the bare redis crate: [CALL=part of a name]
	cargo bench --locked -q -p strat-client --bench parity -- $(CALL)

chaos: setup ## Kill, pause and cut off real processes while they trade: [KILLS=n] [SEED=s] [CLASS=…]
	@scripts/chaos.sh

simulate: setup ## Seeded schedules of crashes and lies against the order machine: [SEEDS=n] [SEED=first]
	$(SIMULATE) --seeds $(or $(SEEDS),100000) $(if $(SEED),--from $(SEED)) $(ARGS)

planted: setup ## Plant each known mistake; the simulator must catch every one
	$(SIMULATE) --planted

fuzz: build ## Raw commands against a live server, then damaged messages of each broker and feed: [SECONDS=n of each] [SEED=s]
	STRAT_FUZZ_SECONDS=$(or $(SECONDS),60) $(if $(SEED),STRAT_FUZZ_SEED=$(SEED)) cargo test --locked -p strat-tests --test it -- fuzz --nocapture
	STRAT_FUZZ_SECONDS=$(or $(SECONDS),60) $(if $(SEED),STRAT_FUZZ_SEED=$(SEED)) cargo test --locked -p strat-engine --lib -- fuzz --nocapture

docs: build ## Write the pages of docs/ that are made from the code: commands, configuration, fields
	STRAT_WRITE_DOCS=1 cargo test --locked -q -p strat-tests --test it -- docs::pages

screenshots: setup-test build ## Take pictures of the page's main states into target/screenshots/
	@scripts/screenshots.sh

fmt: ## Format the Rust code
	cargo fmt --all

lint: setup ## Check formatting, clippy, the pages of the code, scripts, container files, licences of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@for feature in $(CLIENT_FEATURES); do \
		cargo clippy --locked -q -p strat-client --lib --no-default-features --features $$feature -- -D warnings || exit 1; \
	done
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked -q
	@scripts/lint.sh

coverage: setup-test ## How many lines the tests reach, black-box ones included: [TOPICS='api bridge'] [ARGS='--html']
	@scripts/coverage.sh

clean: ## Stop leftover servers of make run, remove target/; data in .run/ are kept
	@scripts/clean.sh
	cargo clean

clean-data: ## Stop leftover servers of make run and delete .run/, its data included
	@scripts/clean.sh data
