# Thin targets; what they hold stands in the tests. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Where `make run` keeps its state.
DATA ?= data
# Length of `make chaos` and `make storm`, and which schedule: a random one where it is empty.
MINUTES ?= 2
SEED ?=
# Limits `make bench` to one family, such as ONLY=wire.
ONLY ?=
# How long `make fuzz` goes on, in all, and on which target (all where empty).
SECONDS ?= 60
TARGET ?=
RUN := tests/scripts/run.sh

.PHONY: help run test tools lint chaos storm bench fuzz deny clean-data

help: ## Lists these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## Builds both services and starts them here, with the console on http://127.0.0.1:8800
	cargo build --locked --release -p ao-agent -p ao-aggregator
	DATA=$(DATA) deploy/run-local.sh

test: tools lint ## Everything: tools, lint, then unit and property, repository, network, end-to-end tests and two minutes of chaos
	cargo build --locked --workspace --all-targets
	$(RUN) unit --workspace --lib --bins
	$(RUN) repo --workspace --test repo
	$(RUN) netns --workspace --test netns
	$(RUN) fuzz --workspace --test fuzz
	$(RUN) e2e --workspace --test e2e
	$(RUN) chaos -p ao-tests --bin ao-chaos -- --minutes 2 --seed 1

tools: ## Installs what the tests need into target/tools, at pinned versions
	tests/scripts/tools.sh

lint: ## Formatting, clippy and the links of the documentation; a warning is an error
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --no-deps --document-private-items

chaos: tools ## Faults by a seeded schedule while data flows, then counts what is lost or double; MINUTES=10 SEED=7
	cargo build --locked -p ao-agent -p ao-aggregator -p ao-tests --bins
	$(RUN) chaos -p ao-tests --bin ao-chaos -- --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

storm: ## Numbered lines into rotating logs faster than the agent may read them, and a count of each; MINUTES=5
	cargo build --locked --release -p ao-agent -p ao-aggregator
	cargo run --locked --release -p ao-tests --bin ao-storm -- --minutes $(MINUTES)

bench: ## Measures and writes target/bench.json; ONLY=family for one family; ONLY=drain DRAIN_MB=2500
	cargo build --locked --release -p ao-agent -p ao-aggregator
	cargo run --locked --release -p ao-tests --bin ao-bench -- $(if $(ONLY),--only $(ONLY))

fuzz: ## Mutates the corpus of every decoder; SECONDS=600, TARGET=name for one alone
	cargo run --locked --release -p ao-fuzz -- --seconds $(SECONDS) $(if $(TARGET),--target $(TARGET))

deny: ## Licences, sources and banned crates, by cargo-deny
	cargo deny check bans licenses sources

clean-data: ## Deletes what `make run` stored
	rm -rf -- "$(DATA)"
