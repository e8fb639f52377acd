# `make` alone lists what can be done.
.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-road build fmt sample hash clean

help: ## lists what can be done
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: ## takes the sample (or DATA=file) from CSV to clusters on this machine; DEMO_KEEP=1 leaves PostgreSQL running
	@scripts/setup run
	@echo "building the release binaries (some minutes the first time)" >&2
	@cargo build --release --bins
	@cargo run --quiet --release --package demo --bin demo -- $(if $(DATA),--data '$(DATA)')

test: ## formatting, lints, docs and all tests, on a PostgreSQL and a Kafka of its own
	@scripts/test

bench: ## measures the parts with criterion, and the whole road on real Kafka and PostgreSQL
	@scripts/setup run
	@scripts/bench

bench-road: ## measures the whole road alone, with ROWS made rows (1000000), and DATA=file as the small input
	@scripts/setup run
	@scripts/bench road

build: ## builds the release binaries
	@scripts/setup build
	@cargo build --release --bins

fmt: ## formats the code
	@cargo fmt --all

sample: ## writes data/sample_made.csv anew
	@cargo run --quiet --package demo --bin make-sample

hash: ## prints the hash of the derived tables at DATABASE_URL
	@cargo run --quiet --release --package consumer -- --pipeline emissions hash

clean: ## stops what DEMO_KEEP=1 left running, and removes target/
	@scripts/postgres down target/demo/postgres --wipe
	@scripts/kafka down target/demo/kafka --wipe
	@rm -rf target
